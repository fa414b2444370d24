//! Threading: ORDEREDSUBJECT and REFERENCES (RFC 5256 §3) and REFS (draft-ietf-morg-inthread §4).
//!
//! All run in near-linear time on any input: chains of any depth are walked without recursion, and
//! references that would close a loop are left out.

use std::collections::HashMap;

use restante_message::MessageIdHash;

/// What threading needs to know of a message. The messages are given in the order of the mailbox.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The number to print: a UID or a sequence number.
    pub number: u32,
    /// The Message-ID, if there is a valid one.
    pub message_id: Option<MessageIdHash>,
    /// The references, oldest first (RFC 5256 §3: References, or else the first of In-Reply-To).
    pub references: &'a [MessageIdHash],
    /// The base subject (RFC 5256 §2.1), already folded by the collation.
    pub base_subject: &'a [u8],
    /// Whether extracting the base subject took a reply or forward mark off.
    pub is_reply: bool,
    /// The sent date in seconds since 1970, UTC (RFC 5256 §2.2).
    pub sent: i64,
    /// The internal date in seconds since 1970, UTC.
    pub arrived: i64,
}

/// Which algorithm.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Algorithm {
    /// RFC 5256 §3, "poor man's threading".
    OrderedSubject,
    /// RFC 5256 §3.
    References,
    /// draft-ietf-morg-inthread §4: by references alone; the newest thread comes last.
    Refs,
}

const NONE: u32 = u32::MAX;

/// How far up a chain of ancestors is followed when a parent is *changed*. A link that would need
/// more is left out, as one that closes a loop is.
const ANCESTORS_MAX: usize = 1_000;

/// Threads made of the messages that were given.
#[derive(Debug)]
pub struct Forest<'a> {
    messages: &'a [Message<'a>],
    /// Index of the node's message, or [`NONE`] for a dummy.
    message: Vec<u32>,
    children: Vec<Vec<u32>>,
    roots: Vec<u32>,
}

/// Threads `messages` by `algorithm`.
pub fn thread<'a>(messages: &'a [Message<'a>], algorithm: Algorithm) -> Forest<'a> {
    match algorithm {
        Algorithm::OrderedSubject => ordered_subject(messages),
        Algorithm::References => {
            let mut forest = by_references(messages);
            forest.sort_roots_by(|forest, node| forest.sent(node));
            forest.merge_subjects();
            forest.sort_all();
            forest
        }
        Algorithm::Refs => {
            let mut forest = by_references(messages);
            forest.sort_all();
            let newest = forest.newest_arrivals();
            forest.roots.sort_by_key(|root| newest[*root as usize]);
            forest
        }
    }
}

fn ordered_subject<'a>(messages: &'a [Message<'a>]) -> Forest<'a> {
    let mut order: Vec<u32> = (0..messages.len() as u32).collect();
    order.sort_by_key(|i| {
        let m = &messages[*i as usize];
        (m.base_subject, m.sent, *i)
    });
    let mut forest = Forest {
        messages,
        message: (0..messages.len() as u32).collect(),
        children: vec![Vec::new(); messages.len()],
        roots: Vec::new(),
    };
    for i in order {
        let subject = messages[i as usize].base_subject;
        match forest.roots.last() {
            Some(root) if messages[*root as usize].base_subject == subject => {
                let root = *root as usize;
                forest.children[root].push(i);
            }
            _ => forest.roots.push(i),
        }
    }
    forest
        .roots
        .sort_by_key(|i| (messages[*i as usize].sent, *i));
    forest
}

/// Parent links under construction (RFC 5256 §3, step 1).
struct Links {
    message: Vec<u32>,
    parent: Vec<u32>,
    /// Union-find over nodes that were ever linked: two nodes in different sets are not related,
    /// so that most links need no walk to rule out a loop.
    set: Vec<u32>,
}

impl Links {
    fn node(&mut self, message: u32) -> u32 {
        let node = self.parent.len() as u32;
        self.message.push(message);
        self.parent.push(NONE);
        self.set.push(node);
        node
    }

    fn find(&mut self, mut node: u32) -> u32 {
        while self.set[node as usize] != node {
            let up = self.set[self.set[node as usize] as usize];
            self.set[node as usize] = up;
            node = up;
        }
        node
    }

    /// Makes `parent` the parent of `child`, unless that would close a loop.
    fn link(&mut self, parent: u32, child: u32) {
        let (a, b) = (self.find(parent), self.find(child));
        if a == b && self.is_ancestor(child, parent) {
            return;
        }
        self.set[a as usize] = b;
        self.parent[child as usize] = parent;
    }

    fn is_ancestor(&self, ancestor: u32, mut node: u32) -> bool {
        for _ in 0..ANCESTORS_MAX {
            if node == ancestor {
                return true;
            }
            node = self.parent[node as usize];
            if node == NONE {
                return false;
            }
        }
        true
    }
}

/// Steps 1 to 3 of REFERENCES: links, roots, and dummies pruned.
fn by_references<'a>(messages: &'a [Message<'a>]) -> Forest<'a> {
    let mut links = Links {
        message: Vec::new(),
        parent: Vec::new(),
        set: Vec::new(),
    };
    let mut by_id: HashMap<MessageIdHash, u32> = HashMap::with_capacity(messages.len());
    for (index, message) in messages.iter().enumerate() {
        let index = index as u32;
        // Step 1.A: the references are a chain.
        let mut last = NONE;
        for reference in message.references {
            let node = *by_id.entry(*reference).or_insert_with(|| links.node(NONE));
            if last != NONE && links.parent[node as usize] == NONE {
                links.link(last, node);
            }
            last = node;
        }
        let node = match message.message_id {
            None => links.node(index),
            Some(id) => {
                let node = *by_id.entry(id).or_insert_with(|| links.node(NONE));
                if links.message[node as usize] == NONE {
                    links.message[node as usize] = index;
                    node
                } else {
                    links.node(index)
                }
            }
        };
        // Step 1.B: the last reference is the parent, whatever was thought before.
        if links.parent[node as usize] != last {
            links.parent[node as usize] = NONE;
            if last != NONE {
                links.link(last, node);
            }
        }
    }
    prune(messages, links)
}

/// Steps 2 and 3: gathers the roots and takes dummies out.
fn prune<'a>(messages: &'a [Message<'a>], links: Links) -> Forest<'a> {
    let Links {
        message, parent, ..
    } = links;
    // Children before parents: nodes by falling depth, without recursion.
    let mut waiting = vec![0u32; parent.len()];
    for p in parent.iter().filter(|p| **p != NONE) {
        waiting[*p as usize] += 1;
    }
    let mut ready: Vec<u32> = (0..parent.len() as u32)
        .filter(|n| waiting[*n as usize] == 0)
        .collect();
    let mut children: Vec<Vec<u32>> = vec![Vec::new(); parent.len()];
    let mut roots = Vec::new();
    while let Some(node) = ready.pop() {
        let is_dummy = message[node as usize] == NONE;
        let up = parent[node as usize];
        if up == NONE {
            match (is_dummy, children[node as usize].len()) {
                (true, 0) => {}
                (true, 1) => roots.push(children[node as usize][0]),
                _ => roots.push(node),
            }
            continue;
        }
        if is_dummy {
            // The order of siblings does not matter before step 6: move the fewer to the more.
            let mut few = std::mem::take(&mut children[node as usize]);
            let many = &mut children[up as usize];
            if few.len() > many.len() {
                std::mem::swap(&mut few, many);
            }
            many.append(&mut few);
        } else {
            children[up as usize].push(node);
        }
        waiting[up as usize] -= 1;
        if waiting[up as usize] == 0 {
            ready.push(up);
        }
    }
    Forest {
        messages,
        message,
        children,
        roots,
    }
}

impl<'a> Forest<'a> {
    fn own(&self, node: u32) -> Option<&'a Message<'a>> {
        self.messages.get(self.message[node as usize] as usize)
    }

    /// The node's message, or for a dummy its first child's.
    fn first(&self, node: u32) -> Option<&'a Message<'a>> {
        self.own(node)
            .or_else(|| self.own(*self.children[node as usize].first()?))
    }

    /// Sort key by sent date; messages of one date stay in the order of the mailbox.
    fn sent(&self, node: u32) -> (i64, u32) {
        let index = match self.message[node as usize] {
            NONE => self.children[node as usize]
                .first()
                .map_or(NONE, |c| self.message[*c as usize]),
            index => index,
        };
        (
            self.messages.get(index as usize).map_or(0, |m| m.sent),
            index,
        )
    }

    /// Step 4: sorts the roots, and before that the children of dummies among them.
    fn sort_roots_by(&mut self, key: impl Fn(&Forest<'a>, u32) -> (i64, u32)) {
        for i in 0..self.roots.len() {
            if self.own(self.roots[i]).is_none() {
                self.sort_children(self.roots[i]);
            }
        }
        let mut roots = std::mem::take(&mut self.roots);
        roots.sort_by_cached_key(|node| key(self, *node));
        self.roots = roots;
    }

    fn sort_children(&mut self, node: u32) {
        let mut children = std::mem::take(&mut self.children[node as usize]);
        children.sort_by_cached_key(|child| self.sent(*child));
        self.children[node as usize] = children;
    }

    /// Step 6: sorts every set of siblings, children before parents (only roots are dummies now).
    fn sort_all(&mut self) {
        for node in 0..self.children.len() as u32 {
            if self.children[node as usize].len() > 1 {
                self.sort_children(node);
            }
        }
        self.sort_roots_by(|forest, node| forest.sent(node));
    }

    /// Step 5: gathers the threads of one base subject.
    fn merge_subjects(&mut self) {
        let mut table: HashMap<&'a [u8], u32> = HashMap::new();
        for node in &self.roots {
            let Some(subject) = self.thread_subject(*node) else {
                continue;
            };
            let is_dummy = self.own(*node).is_none();
            let is_reply = self.own(*node).is_some_and(|m| m.is_reply);
            table
                .entry(subject)
                .and_modify(|kept| {
                    let kept_message = self.own(*kept);
                    let kept_is_reply = kept_message.is_some_and(|m| m.is_reply);
                    if kept_message.is_some() && (is_dummy || (kept_is_reply && !is_reply)) {
                        *kept = *node;
                    }
                })
                .or_insert(*node);
        }
        let mut gone = vec![false; self.message.len()];
        let mut added = Vec::new();
        for node in self.roots.clone() {
            let Some(subject) = self.thread_subject(node) else {
                continue;
            };
            let Some(kept) = table.get_mut(subject) else {
                continue;
            };
            if *kept == node {
                continue;
            }
            let kept_node = *kept;
            match (self.own(kept_node), self.own(node)) {
                (None, None) => {
                    let mut children = std::mem::take(&mut self.children[node as usize]);
                    self.children[kept_node as usize].append(&mut children);
                    gone[node as usize] = true;
                }
                (None, Some(_)) => {
                    self.children[kept_node as usize].push(node);
                    gone[node as usize] = true;
                }
                (Some(there), Some(here)) if here.is_reply && !there.is_reply => {
                    self.children[kept_node as usize].push(node);
                    gone[node as usize] = true;
                }
                _ => {
                    let dummy = self.message.len() as u32;
                    self.message.push(NONE);
                    self.children.push(vec![kept_node, node]);
                    gone.push(false);
                    gone[kept_node as usize] = true;
                    gone[node as usize] = true;
                    added.push(dummy);
                    *kept = dummy;
                }
            }
        }
        self.roots.append(&mut added);
        self.roots.retain(|node| !gone[*node as usize]);
    }

    fn thread_subject(&self, node: u32) -> Option<&'a [u8]> {
        self.first(node)
            .map(|m| m.base_subject)
            .filter(|subject| !subject.is_empty())
    }

    /// The newest internal date in each root's thread.
    fn newest_arrivals(&self) -> Vec<i64> {
        let mut newest = vec![i64::MIN; self.message.len()];
        let mut stack = Vec::new();
        for root in &self.roots {
            let mut latest = i64::MIN;
            stack.push(*root);
            while let Some(node) = stack.pop() {
                latest = latest.max(self.own(node).map_or(i64::MIN, |m| m.arrived));
                stack.extend_from_slice(&self.children[node as usize]);
            }
            newest[*root as usize] = latest;
        }
        newest
    }

    /// Appends the `thread-list`s of a THREAD response (RFC 5256 §5).
    pub fn write(&self, out: &mut Vec<u8>) {
        enum Step {
            Open(u32),
            Text(u8),
        }
        let mut digits = itoa::Buffer::new();
        let mut steps = Vec::new();
        for root in &self.roots {
            steps.push(Step::Open(*root));
            while let Some(step) = steps.pop() {
                let mut node = match step {
                    Step::Text(byte) => {
                        out.push(byte);
                        continue;
                    }
                    Step::Open(node) => node,
                };
                out.push(b'(');
                steps.push(Step::Text(b')'));
                // A line of only children is a run of numbers; where it forks, each child is a list.
                loop {
                    let children = &self.children[node as usize];
                    if let Some(message) = self.own(node) {
                        out.extend_from_slice(digits.format(message.number).as_bytes());
                        if !children.is_empty() {
                            out.push(b' ');
                        }
                    }
                    match children.as_slice() {
                        [] => break,
                        [only] => node = *only,
                        many => {
                            steps.extend(many.iter().rev().map(|child| Step::Open(*child)));
                            break;
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    struct Mail {
        id: Option<MessageIdHash>,
        references: Vec<MessageIdHash>,
        subject: &'static str,
        is_reply: bool,
        sent: i64,
    }

    fn mail(
        id: &str,
        references: &[&str],
        subject: &'static str,
        is_reply: bool,
        sent: i64,
    ) -> Mail {
        let hash = |id: &str| MessageIdHash::of(id.as_bytes());
        Mail {
            id: (!id.is_empty()).then(|| hash(id)),
            references: references.iter().map(|id| hash(id)).collect(),
            subject,
            is_reply,
            sent,
        }
    }

    fn printed(mails: &[Mail], algorithm: Algorithm) -> String {
        let messages: Vec<Message<'_>> = mails
            .iter()
            .enumerate()
            .map(|(i, m)| Message {
                number: i as u32 + 1,
                message_id: m.id,
                references: &m.references,
                base_subject: m.subject.as_bytes(),
                is_reply: m.is_reply,
                sent: m.sent,
                arrived: m.sent,
            })
            .collect();
        let mut out = Vec::new();
        thread(&messages, algorithm).write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_conversation_forks() {
        // The shape of RFC 5256 §4: (3 6 (4 23)(44 7 96))
        let mails = [
            mail("a", &[], "S", false, 1),
            mail("b", &["a"], "S", true, 2),
            mail("c", &["a", "b"], "S", true, 3),
            mail("d", &["a", "b", "c"], "S", true, 4),
            mail("e", &["a", "b"], "S", true, 5),
            mail("f", &["e"], "S", true, 6),
        ];
        assert_eq!(printed(&mails, Algorithm::References), "(1 2 (3 4)(5 6))");
        assert_eq!(printed(&mails, Algorithm::Refs), "(1 2 (3 4)(5 6))");
    }

    #[test]
    fn siblings_of_a_missing_parent_stay_together() {
        let mails = [
            mail("b", &["gone"], "S", true, 2),
            mail("c", &["gone"], "T", true, 1),
        ];
        assert_eq!(printed(&mails, Algorithm::References), "((2)(1))");
        let one = [mail("b", &["gone"], "S", true, 2)];
        assert_eq!(printed(&one, Algorithm::References), "(1)");
    }

    #[test]
    fn equal_subjects_are_gathered_by_references_only() {
        let mails = [
            mail("a", &[], "LUNCH", false, 1),
            mail("b", &[], "LUNCH", true, 2),
            mail("c", &[], "LUNCH", false, 3),
            mail("d", &[], "", false, 4),
            mail("e", &[], "", false, 5),
        ];
        assert_eq!(printed(&mails, Algorithm::References), "((1 2)(3))(4)(5)");
        assert_eq!(printed(&mails, Algorithm::Refs), "(1)(2)(3)(4)(5)");
    }

    #[test]
    fn a_reply_comes_below_the_original_even_if_it_arrived_first() {
        let mails = [mail("b", &[], "X", true, 1), mail("a", &[], "X", false, 2)];
        assert_eq!(printed(&mails, Algorithm::References), "(2 1)");
    }

    #[test]
    fn ordered_subject_has_no_grandchildren() {
        let mails = [
            mail("a", &[], "B", false, 3),
            mail("b", &[], "A", false, 1),
            mail("c", &[], "B", true, 5),
            mail("d", &[], "B", true, 4),
            mail("e", &[], "A", true, 2),
        ];
        assert_eq!(
            printed(&mails, Algorithm::OrderedSubject),
            "(2 5)(1 (4)(3))"
        );
    }

    #[test]
    fn loops_and_doubles_are_survived() {
        let mails = [
            mail("a", &["b"], "1", true, 1),
            mail("b", &["a"], "2", true, 2),
            mail("a", &["a"], "3", true, 3),
            mail("c", &["c"], "4", true, 4),
            mail("", &[], "5", false, 5),
        ];
        assert_eq!(printed(&mails, Algorithm::References), "(2 1 3)(4)(5)");
    }

    #[test]
    fn the_newest_thread_is_last_in_refs() {
        let mails = [
            mail("a", &[], "1", false, 1),
            mail("b", &[], "2", false, 2),
            mail("c", &["a"], "1", true, 3),
        ];
        assert_eq!(printed(&mails, Algorithm::Refs), "(2)(1 3)");
        assert_eq!(printed(&mails, Algorithm::References), "(1 3)(2)");
    }

    #[test]
    fn a_chain_of_100_000_is_one_line() {
        let mails: Vec<Mail> = (0..100_000)
            .map(|i| mail(&format!("{i}"), &[&format!("{}", i + 1)], "S", true, -i))
            .collect();
        let text = printed(&mails, Algorithm::References);
        assert!(text.starts_with("(100000 99999 ") && text.ends_with(" 2 1)"));
    }

    proptest! {
        #[test]
        fn every_message_is_in_the_answer_once(
            raw in proptest::collection::vec((0u8..12, proptest::collection::vec(0u8..12, 0..4), 0usize..3, any::<bool>(), 0i64..9), 0..40)
        ) {
            let subjects = ["", "A", "B"];
            let mails: Vec<Mail> = raw.iter().map(|(id, refs, s, reply, sent)| Mail {
                id: Some(MessageIdHash(u64::from(*id))),
                references: refs.iter().map(|r| MessageIdHash(u64::from(*r))).collect(),
                subject: subjects[*s],
                is_reply: *reply,
                sent: *sent,
            }).collect();
            for algorithm in [Algorithm::OrderedSubject, Algorithm::References, Algorithm::Refs] {
                let text = printed(&mails, algorithm);
                let mut numbers: Vec<usize> = text.split(|c: char| !c.is_ascii_digit())
                    .filter(|n| !n.is_empty()).map(|n| n.parse().unwrap()).collect();
                numbers.sort_unstable();
                prop_assert_eq!(numbers, (1..=mails.len()).collect::<Vec<_>>());
                prop_assert_eq!(text.matches('(').count(), text.matches(')').count());
                prop_assert!(!text.contains("()") && !text.contains(" )"));
            }
        }
    }
}
