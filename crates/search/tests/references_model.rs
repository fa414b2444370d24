//! THREAD REFERENCES against the steps of RFC 5256 §3, written down one after the other without regard to time.

use std::collections::HashMap;

use proptest::prelude::*;
use restante_message::MessageIdHash;
use restante_search::thread::{Algorithm, Message, thread};

#[derive(Debug, Clone)]
struct Mail {
    id: Option<u8>,
    references: Vec<u8>,
    subject: &'static str,
    is_reply: bool,
    sent: i64,
}

/// A message, or a dummy, with what answers it.
#[derive(Debug)]
struct Tree {
    message: Option<usize>,
    children: Vec<Tree>,
}

/// Step 1: which node is which message, and whose child.
#[derive(Default)]
struct Links {
    message: Vec<Option<usize>>,
    parent: Vec<Option<usize>>,
    by_id: HashMap<u8, usize>,
}

impl Links {
    fn node(&mut self, message: Option<usize>) -> usize {
        self.message.push(message);
        self.parent.push(None);
        self.parent.len() - 1
    }

    fn of_id(&mut self, id: u8) -> usize {
        if let Some(node) = self.by_id.get(&id) {
            return *node;
        }
        let node = self.node(None);
        self.by_id.insert(id, node);
        node
    }

    fn link(&mut self, parent: usize, child: usize) {
        let mut above = Some(parent);
        while let Some(node) = above {
            if node == child {
                return;
            }
            above = self.parent[node];
        }
        self.parent[child] = Some(parent);
    }

    fn add(&mut self, index: usize, mail: &Mail) {
        let own = match mail.id.map(|id| self.of_id(id)) {
            Some(node) if self.message[node].is_none() => {
                self.message[node] = Some(index);
                node
            }
            _ => self.node(Some(index)),
        };
        let mut last = None;
        for id in &mail.references {
            let node = self.of_id(*id);
            if let Some(last) = last
                && self.parent[node].is_none()
            {
                self.link(last, node);
            }
            last = Some(node);
        }
        self.parent[own] = None;
        if let Some(last) = last {
            self.link(last, own);
        }
    }

    /// What is left of a node without the dummies below the root.
    fn pruned(&self, node: usize) -> Vec<Tree> {
        let below = (0..self.parent.len()).filter(|child| self.parent[*child] == Some(node));
        let children: Vec<Tree> = below.flat_map(|child| self.pruned(child)).collect();
        match self.message[node] {
            None => children,
            message => vec![Tree { message, children }],
        }
    }
}

fn sent(mails: &[Mail], tree: &Tree) -> (i64, usize) {
    let first = tree.message.or_else(|| tree.children[0].message);
    first.map_or((0, 0), |index| (mails[index].sent, index))
}

fn sort(mails: &[Mail], trees: &mut [Tree]) {
    for tree in trees.iter_mut() {
        sort(mails, &mut tree.children);
    }
    trees.sort_by_key(|tree| sent(mails, tree));
}

fn subject<'m>(mails: &'m [Mail], tree: &Tree) -> &'m str {
    let first = tree.message.or_else(|| tree.children[0].message);
    first.map_or("", |index| mails[index].subject)
}

fn references(mails: &[Mail]) -> Vec<Tree> {
    let mut links = Links::default();
    for (index, mail) in mails.iter().enumerate() {
        links.add(index, mail);
    }
    // Steps 2 and 3
    let mut roots = Vec::new();
    for node in (0..links.parent.len()).filter(|node| links.parent[*node].is_none()) {
        let mut trees = links.pruned(node);
        match trees.len() {
            0 => {}
            1 => roots.append(&mut trees),
            _ => roots.push(Tree {
                message: None,
                children: trees,
            }),
        }
    }
    // Step 4
    for root in roots.iter_mut().filter(|root| root.message.is_none()) {
        root.children.sort_by_key(|child| sent(mails, child));
    }
    roots.sort_by_key(|root| sent(mails, root));
    let mut roots = merged(mails, roots);
    // Step 6
    sort(mails, &mut roots);
    roots
}

/// Step 5.
fn merged(mails: &[Mail], roots: Vec<Tree>) -> Vec<Tree> {
    let is_reply = |tree: &Tree| tree.message.is_some_and(|index| mails[index].is_reply);
    let mut table: HashMap<&str, usize> = HashMap::new();
    for (at, root) in roots.iter().enumerate() {
        let subject = subject(mails, root);
        if subject.is_empty() {
            continue;
        }
        match table.get(subject).map(|kept| &roots[*kept]) {
            None => {
                table.insert(subject, at);
            }
            Some(kept) => {
                let is_better = root.message.is_none() || (is_reply(kept) && !is_reply(root));
                if kept.message.is_some() && is_better {
                    table.insert(subject, at);
                }
            }
        }
    }
    let mut roots: Vec<Option<Tree>> = roots.into_iter().map(Some).collect();
    for at in 0..roots.len() {
        let Some(root) = roots[at].take() else {
            // It went below another already.
            continue;
        };
        let subject = subject(mails, &root);
        let kept = table.get(subject).copied().unwrap_or(at);
        if subject.is_empty() || kept == at {
            roots[at] = Some(root);
            continue;
        }
        let mut there = roots[kept].take().expect("what is in the table is a root");
        if there.message.is_none() && root.message.is_none() {
            there.children.extend(root.children);
        } else if there.message.is_none() || (is_reply(&root) && !is_reply(&there)) {
            there.children.push(root);
        } else {
            table.insert(subject, roots.len());
            roots.push(Some(Tree {
                message: None,
                children: vec![there, root],
            }));
            continue;
        }
        roots[kept] = Some(there);
    }
    roots.into_iter().flatten().collect()
}

fn print(trees: &[Tree], out: &mut String) {
    for tree in trees {
        out.push('(');
        print_members(tree, out);
        out.push(')');
    }
}

fn print_members(tree: &Tree, out: &mut String) {
    if let Some(index) = tree.message {
        out.push_str(&(index + 1).to_string());
        if !tree.children.is_empty() {
            out.push(' ');
        }
    }
    match &tree.children[..] {
        [only] => print_members(only, out),
        children => print(children, out),
    }
}

fn mail() -> impl Strategy<Value = Mail> {
    (
        proptest::option::weighted(0.9, 0u8..9),
        proptest::collection::vec(0u8..11, 0..4),
        prop::sample::select(vec!["", "A", "B", "C"]),
        any::<bool>(),
        0i64..7,
    )
        .prop_map(|(id, references, subject, is_reply, sent)| Mail {
            id,
            references,
            subject,
            is_reply,
            sent,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn threads_are_those_of_the_steps(mails in proptest::collection::vec(mail(), 0..14)) {
        let hash = |id: &u8| MessageIdHash(u64::from(*id));
        let ids: Vec<Vec<MessageIdHash>> =
            mails.iter().map(|mail| mail.references.iter().map(hash).collect()).collect();
        let messages: Vec<Message<'_>> = mails
            .iter()
            .zip(&ids)
            .zip(1u32..)
            .map(|((mail, references), number)| Message {
                number,
                message_id: mail.id.as_ref().map(hash),
                references,
                base_subject: mail.subject.as_bytes(),
                is_reply: mail.is_reply,
                sent: mail.sent,
                arrived: mail.sent,
            })
            .collect();
        let mut out = Vec::new();
        thread(&messages, Algorithm::References).write(&mut out);
        let mut expected = String::new();
        print(&references(&mails), &mut expected);
        prop_assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
