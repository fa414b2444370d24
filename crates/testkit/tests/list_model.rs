//! Extended LIST against the rules of RFC 9051 §6.3.9 as they stand there: which names are told, with which
//! attributes and which CHILDINFO (table 3), whatever is subscribed, has gone, or has a special use.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use restante_proto::types::{ChildInfo, ListAttribute, ListExtended, UntaggedData};
use restante_testkit::strict::StrictClient;
use restante_testkit::world::{World, WorldOptions};

/// What happens to a name before anything is listed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Fate {
    created: bool,
    deleted: bool,
    subscribed: bool,
}

/// A LIST.
#[derive(Debug, Clone)]
struct Question {
    subscribed: bool,
    special_use: bool,
    recursive: bool,
    tell_subscribed: bool,
    reference: &'static str,
    patterns: Vec<&'static str>,
}

/// The mailboxes as a client knows them.
#[derive(Debug, Default)]
struct Model {
    mailboxes: BTreeSet<String>,
    subscribed: BTreeSet<String>,
    special: BTreeMap<String, &'static str>,
}

/// What is told of a name: its attributes, and CHILDINFO.
type Told = (BTreeSet<String>, BTreeSet<String>);

fn parents(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices('/').map(|(at, _)| &name[..at])
}

fn is_below(name: &str, parent: &str) -> bool {
    name.strip_prefix(parent)
        .is_some_and(|rest| rest.starts_with('/'))
}

/// `*` is anything, `%` anything without a separator.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    match pattern.split_first() {
        None => name.is_empty(),
        Some((b'*', rest)) => (0..=name.len()).any(|at| matches(rest, &name[at..])),
        Some((b'%', rest)) => {
            let level = name.iter().position(|byte| *byte == b'/');
            (0..=level.unwrap_or(name.len())).any(|at| matches(rest, &name[at..]))
        }
        Some((byte, rest)) => name.first() == Some(byte) && matches(rest, &name[1..]),
    }
}

impl Model {
    fn has_children(&self, name: &str) -> bool {
        self.mailboxes.iter().any(|other| is_below(other, name))
    }

    /// Whether a name meets the selection criteria.
    fn is_selected(&self, question: &Question, name: &str) -> bool {
        let exists = self.mailboxes.contains(name);
        let meets = (!question.subscribed || self.subscribed.contains(name))
            && (!question.special_use || exists && self.special.contains_key(name));
        // Without SUBSCRIBED only what is there is listed, and the levels above it.
        meets && (question.subscribed || exists || self.has_children(name))
    }

    fn answer(&self, question: &Question) -> BTreeMap<String, Told> {
        let mut names: BTreeSet<String> = BTreeSet::new();
        for name in self.mailboxes.iter().chain(&self.subscribed) {
            names.extend(parents(name).map(str::to_owned));
            names.insert(name.clone());
        }
        let is_listed = |name: &str| {
            question.patterns.iter().any(|pattern| {
                let whole = format!("{}{pattern}", question.reference);
                !pattern.is_empty() && matches(whole.as_bytes(), name.as_bytes())
            })
        };
        let mut told = BTreeMap::new();
        for name in names.iter().filter(|name| is_listed(name)) {
            let below = || {
                let below = names.iter().filter(|other| is_below(other, name));
                below.filter(|other| question.recursive && self.is_selected(question, other))
            };
            let selected = self.is_selected(question, name);
            if !selected && below().all(|other| is_listed(other)) {
                continue;
            }
            let mut attributes = BTreeSet::new();
            if !self.mailboxes.contains(name) {
                attributes.insert("\\NonExistent".to_owned());
            }
            if (question.subscribed || question.tell_subscribed) && self.subscribed.contains(name) {
                attributes.insert("\\Subscribed".to_owned());
            }
            attributes.insert(match self.has_children(name) {
                true => "\\HasChildren".to_owned(),
                false => "\\HasNoChildren".to_owned(),
            });
            if let Some(special) = self.special.get(name) {
                attributes.insert((*special).to_owned());
            }
            let mut info = BTreeSet::new();
            if below().next().is_some() {
                let words = [
                    (question.subscribed, "SUBSCRIBED"),
                    (question.special_use, "SPECIAL-USE"),
                ];
                let words = words.iter().filter(|(asked, _)| *asked);
                info.extend(words.map(|(_, word)| (*word).to_owned()));
            }
            told.insert(name.clone(), (attributes, info));
        }
        told
    }
}

fn names() -> Vec<String> {
    let mut names = Vec::new();
    for first in ["a", "b", "INBOX"] {
        names.push(first.to_owned());
        for second in ["a", "b"] {
            names.push(format!("{first}/{second}"));
            for third in ["a", "b"] {
                names.push(format!("{first}/{second}/{third}"));
            }
        }
    }
    names
}

fn question() -> impl Strategy<Value = Question> {
    let pattern = prop::sample::select(
        &[
            "", "%", "*", "a", "a/%", "%/a", "*a", "a*", "a/*/b", "%b", "b/%/%", "INBOX*",
        ][..],
    );
    (
        any::<[bool; 4]>(),
        prop::sample::select(&["", "", "", "a/", "b"][..]),
        prop::collection::vec(pattern, 1..3),
    )
        .prop_map(
            |([subscribed, special_use, recursive, tell], reference, patterns)| Question {
                subscribed,
                special_use,
                recursive: recursive && (subscribed || special_use),
                tell_subscribed: tell,
                reference,
                patterns,
            },
        )
}

fn fate() -> impl Strategy<Value = Fate> {
    (0..3u8, any::<bool>()).prop_map(|(life, subscribed)| Fate {
        created: life > 0,
        deleted: life > 1,
        subscribed,
    })
}

async fn done(client: &mut StrictClient, command: &str) -> Result<(), TestCaseError> {
    let answer = client.command(command).await.map_err(TestCaseError::fail)?;
    prop_assert!(answer.is_ok(), "{command}: {:?}", answer.tagged);
    Ok(())
}

/// Makes what the fates say, there and in the model.
async fn set_up(
    client: &mut StrictClient,
    fates: &[Fate],
    special: &[usize],
) -> Result<Model, TestCaseError> {
    let mut model = Model::default();
    model.mailboxes.insert("INBOX".to_owned());
    done(client, "UNSUBSCRIBE INBOX").await?;
    let names = names();
    for (use_name, name) in ["\\Junk", "\\Sent"].into_iter().zip(special) {
        let name = &names[*name];
        if model.mailboxes.contains(name) {
            continue;
        }
        done(client, &format!("CREATE {name} (USE ({use_name}))")).await?;
        model.special.insert(name.clone(), use_name);
        model.mailboxes.insert(name.clone());
        let parents = parents(name).map(str::to_owned);
        model.mailboxes.extend(parents);
    }
    for (name, fate) in names.iter().zip(fates) {
        if fate.created && !model.mailboxes.contains(name) {
            done(client, &format!("CREATE {name}")).await?;
            model.mailboxes.insert(name.clone());
            let parents = parents(name).map(str::to_owned);
            model.mailboxes.extend(parents);
        }
        if fate.subscribed {
            done(client, &format!("SUBSCRIBE {name}")).await?;
            model.subscribed.insert(name.clone());
        }
    }
    for (name, fate) in names.iter().zip(fates) {
        if fate.deleted && name != "INBOX" && model.mailboxes.remove(name) {
            done(client, &format!("DELETE {name}")).await?;
            model.special.remove(name);
        }
    }
    Ok(model)
}

/// Asks, and compares.
async fn ask(
    client: &mut StrictClient,
    model: &Model,
    question: &Question,
) -> Result<(), TestCaseError> {
    let words = [
        (question.subscribed, "SUBSCRIBED"),
        (question.special_use, "SPECIAL-USE"),
        (question.recursive, "RECURSIVEMATCH"),
    ];
    let words: Vec<&str> = words
        .iter()
        .filter_map(|(asked, word)| asked.then_some(*word))
        .collect();
    let patterns: Vec<String> = question
        .patterns
        .iter()
        .map(|pattern| format!("\"{pattern}\""))
        .collect();
    let returns = match question.tell_subscribed {
        true => " RETURN (SUBSCRIBED)",
        false => "",
    };
    let command = format!(
        "LIST ({}) \"{}\" ({}){returns}",
        words.join(" "),
        question.reference,
        patterns.join(" "),
    );
    let answer = client
        .command(&command)
        .await
        .map_err(TestCaseError::fail)?;
    prop_assert!(answer.is_ok(), "{command}: {:?}", answer.tagged);
    let mut told: BTreeMap<String, Told> = BTreeMap::new();
    for data in answer.data {
        let UntaggedData::List(entry) = data else {
            return Err(TestCaseError::fail(format!("{command}: {data:?}")));
        };
        let text = |attribute: &ListAttribute| {
            let mut text = Vec::new();
            attribute.write(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        };
        let attributes = entry.attributes.iter().map(text).collect();
        let mut info = BTreeSet::new();
        for item in &entry.extended {
            let ListExtended::ChildInfo(options) = item else {
                return Err(TestCaseError::fail(format!("{command}: {item:?}")));
            };
            info.extend(options.iter().map(|option| match option {
                ChildInfo::Subscribed => "SUBSCRIBED".to_owned(),
                ChildInfo::SpecialUse => "SPECIAL-USE".to_owned(),
                ChildInfo::Other(other) => other.clone(),
            }));
        }
        let before = told.insert(entry.mailbox.as_str().to_owned(), (attributes, info));
        prop_assert!(before.is_none(), "{command}: {} twice", entry.mailbox);
    }
    prop_assert_eq!(told, model.answer(question), "{}", command);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn lists_are_what_the_rules_say(
        fates in prop::collection::vec(fate(), 21),
        special in prop::collection::vec(0usize..21, 2),
        questions in prop::collection::vec(question(), 1..12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let world = World::new(WorldOptions::default()).await;
            let mut client = StrictClient::new(world.connect(true));
            client.response().await.map_err(TestCaseError::fail)?;
            done(&mut client, "LOGIN alice secret").await?;
            let model = set_up(&mut client, &fates, &special).await?;
            for question in &questions {
                ask(&mut client, &model, question).await?;
            }
            Ok::<(), TestCaseError>(())
        })?;
    }
}
