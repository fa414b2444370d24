//! A client that keeps a mailbox offline, whose connection breaks at any moment: after the next SELECT with QRESYNC it
//! knows what is there (RFC 7162 §3.2, §3.2.5, §6; RFC 4549 §6.1).

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use restante_mailbox::{Flags, MailboxName, UserMailbox, Wanted};
use restante_proto::types::{Code, Condition, FetchItem, UntaggedData};
use restante_testkit::strict::{Answer, StrictClient};
use restante_testkit::world::{World, WorldOptions};

/// What happens between two connections, or while there is one. Numbers are taken modulo what there is.
#[derive(Debug, Clone)]
enum Op {
    Noop,
    /// A FETCH by number, in which no expunge may be told.
    Fetch,
    Store {
        at: usize,
        count: usize,
        add: bool,
        flag: &'static str,
        by_number: bool,
    },
    /// Marks a message and expunges it.
    Remove {
        at: usize,
    },
    Append,
    Copy {
        at: usize,
    },
    Replace {
        at: usize,
    },
    Move {
        at: usize,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let flag = prop::sample::select(&["\\Flagged", "$Work", "\\Seen"][..]);
    prop_oneof![
        1 => Just(Op::Noop),
        2 => Just(Op::Fetch),
        6 => (0..99_usize, 1..4_usize, any::<bool>(), flag, any::<bool>())
            .prop_map(|(at, count, add, flag, by_number)| Op::Store { at, count, add, flag, by_number }),
        3 => (0..99_usize).prop_map(|at| Op::Remove { at }),
        2 => Just(Op::Append),
        1 => (0..99_usize).prop_map(|at| Op::Copy { at }),
        1 => (0..99_usize).prop_map(|at| Op::Replace { at }),
        1 => (0..99_usize).prop_map(|at| Op::Move { at }),
    ]
}

/// Whose the client is: the owner's, or of another user, who has a `\Seen` of their own.
#[derive(Debug, Clone, Copy)]
struct User {
    name: &'static str,
    inbox: &'static str,
    other: &'static str,
}

const OWNER: User = User {
    name: "alice",
    inbox: "INBOX",
    other: "Other",
};
const READER: User = User {
    name: "bob",
    inbox: "\"Other Users/alice/INBOX\"",
    other: "\"Other Users/alice/Other\"",
};

/// UID and flags of every message that is there, as a user sees them.
async fn truth(world: &World, user: User) -> BTreeMap<u32, BTreeSet<String>> {
    let account = world.account("alice").await.expect("alice");
    let mailbox = account.mailbox(&MailboxName::inbox()).await.expect("INBOX");
    let user = world.account(user.name).await.expect("a user").id();
    let mailbox = UserMailbox::for_reader(mailbox, user);
    let snapshot = mailbox.snapshot().await.expect("a snapshot");
    let loaded = mailbox.ensure(&snapshot, Wanted::All).await.expect("rows");
    let names = |flags: Flags| {
        let system = Flags::SYSTEM_NAMES
            .iter()
            .filter(|(flag, _)| flags.contains(*flag));
        let keywords = snapshot.keywords().names_of(flags).map(str::to_owned);
        let system = system.map(|(_, name)| (*name).to_owned());
        system.chain(keywords).collect()
    };
    let rows = loaded.rows(..);
    rows.map(|row| (row.uid.get(), names(row.flags))).collect()
}

async fn connect(world: &World, commands: &[&str]) -> StrictClient {
    let mut client = StrictClient::new(world.connect(true));
    client.response().await.expect("grammar").expect("greeting");
    for command in commands {
        let answer = client.command(command).await.expect("grammar");
        assert!(answer.is_ok(), "{command}: {answer:?}");
    }
    client
}

/// MOVE, COPY or REPLACE of a message.
fn moved(op: &Op, uid: &str, user: User) -> String {
    match op {
        Op::Copy { .. } => format!("UID COPY {uid} {}", user.inbox),
        Op::Replace { .. } => {
            let inbox = user.inbox;
            format!("UID REPLACE {uid} {inbox} {{14+}}\r\nSubject: y\r\n\r\n")
        }
        _ => format!("UID MOVE {uid} {}", user.other),
    }
}

fn join(numbers: impl Iterator<Item = u32>) -> String {
    let numbers: Vec<_> = numbers.map(|number| number.to_string()).collect();
    numbers.join(",")
}

/// How it asks to be told what it missed.
#[derive(Debug, Clone, Copy)]
struct Way {
    user: User,
    uid_only: bool,
    known_uids: bool,
    sample: bool,
}

/// What the client keeps.
#[derive(Debug, Default)]
struct Cache {
    uid_validity: u32,
    highest: u64,
    /// Below it all messages are known.
    uid_next: u32,
    flags: BTreeMap<u32, BTreeSet<String>>,
}

impl Cache {
    /// Takes an answer to its end, as RFC 7162 §6 has it.
    fn read(&mut self, answer: &Answer) {
        let mut mod_seqs = 0;
        for data in &answer.data {
            match data {
                UntaggedData::Vanished { uids, .. } => {
                    for range in uids.ranges.iter().filter_map(|range| range.numbers()) {
                        self.flags
                            .retain(|uid, _| !(range.0.get()..=range.1.get()).contains(uid));
                    }
                }
                UntaggedData::Fetch { items, .. } => {
                    let uid = items.iter().find_map(|item| match item {
                        FetchItem::Uid(uid) => Some(uid.get()),
                        _ => None,
                    });
                    mod_seqs = mod_seqs.max(self.take(uid.expect("RFC 7162 §3.2.4"), items));
                }
                UntaggedData::UidFetch { uid, items } => {
                    mod_seqs = mod_seqs.max(self.take(uid.get(), items));
                }
                UntaggedData::Expunge(_) => panic!("VANISHED was enabled"),
                _ => {}
            }
        }
        let statuses = answer.statuses.iter().chain([&answer.tagged]);
        let mut code = None;
        for status in statuses {
            match &status.code {
                Some(Code::HighestModSeq(value)) => code = Some(value.get()),
                Some(Code::UidValidity(value)) => self.uid_validity = value.get(),
                _ => {}
            }
        }
        self.highest = code.unwrap_or(self.highest.max(mod_seqs));
    }

    /// One FETCH; returns its MODSEQ.
    fn take(&mut self, uid: u32, items: &[FetchItem]) -> u64 {
        let mut modseq = 0;
        for item in items {
            match item {
                FetchItem::Flags(flags) => {
                    let names = flags.iter().map(ToString::to_string);
                    let names = names.filter(|name| name != "\\Recent").collect();
                    self.flags.insert(uid, names);
                }
                FetchItem::ModSeq(value) => modseq = value.get(),
                _ => {}
            }
        }
        modseq
    }

    /// SELECT with what is known, then what is new.
    async fn resume(&mut self, world: &World, way: Way) -> StrictClient {
        let enable = match way.uid_only {
            true => "ENABLE QRESYNC UIDONLY",
            false => "ENABLE QRESYNC",
        };
        let mut client =
            connect(world, &[&format!("LOGIN {} secret", way.user.name), enable]).await;
        let known = join(self.flags.keys().copied());
        let mut sets = String::new();
        if way.known_uids && !known.is_empty() {
            sets = format!(" {known}");
        }
        if way.sample && !way.uid_only && !known.is_empty() {
            // Of those after it might have missed one.
            let complete = self.flags.range(..self.uid_next);
            let count = complete.clone().count() as u32;
            let known = join(complete.map(|(uid, _)| *uid));
            let numbers = join(1..=count);
            if count > 0 {
                sets = format!("{sets} ({numbers} {known})");
            }
        }
        let inbox = way.user.inbox;
        let command = match self.highest {
            0 => format!("SELECT {inbox}"),
            highest => format!(
                "SELECT {inbox} (QRESYNC ({} {highest}{sets}))",
                self.uid_validity
            ),
        };
        let answer = client.command(&command).await.expect("grammar");
        assert!(answer.is_ok(), "{command}: {answer:?}");
        let next = answer.statuses.iter().find_map(|status| match status.code {
            Some(Code::UidNext(uid)) => Some(uid.get()),
            _ => None,
        });
        let new = format!("UID FETCH {}:* (UID FLAGS)", self.uid_next.max(1));
        self.read(&answer);
        let answer = client.command(&new).await.expect("grammar");
        assert!(answer.is_ok(), "{new}: {answer:?}");
        self.read(&answer);
        self.uid_next = next.expect("UIDNEXT");
        client
    }

    fn uids(&self, at: usize, count: usize) -> Option<Vec<u32>> {
        let uids: Vec<_> = self.flags.keys().copied().collect();
        let at = at % uids.len().max(1);
        let uids = uids.get(at..(at + count).min(uids.len()))?.to_vec();
        (!uids.is_empty()).then_some(uids)
    }

    fn number(&self, uid: u32) -> u32 {
        self.flags.range(..=uid).count() as u32
    }

    /// A command of this client. STORE is conditional, on what it keeps; what was not refused it has done itself.
    async fn run(&mut self, world: &World, client: &mut StrictClient, way: Way, op: &Op) {
        let mut own = None;
        let mut by_numbers = false;
        let command = match op {
            Op::Noop => "NOOP".to_owned(),
            Op::Fetch if way.uid_only => "UID FETCH 1:* (MODSEQ)".to_owned(),
            Op::Fetch => "FETCH 1:* (UID MODSEQ)".to_owned(),
            Op::Append => format!("APPEND {} {{14+}}\r\nSubject: x\r\n\r\n", way.user.inbox),
            Op::Store {
                at,
                count,
                add,
                flag,
                by_number,
            } => {
                let Some(uids) = self.uids(*at, *count) else {
                    return;
                };
                // After those it might have missed one, numbers are not known.
                let complete = |uid: &u32| *uid < self.uid_next;
                by_numbers = *by_number && !way.uid_only && uids.iter().all(complete);
                let named = match by_numbers {
                    true => join(uids.iter().map(|uid| self.number(*uid))),
                    false => join(uids.iter().copied()),
                };
                own = Some((uids, *add, *flag));
                let sign = if *add { '+' } else { '-' };
                let since = self.highest;
                let command = if by_numbers { "STORE" } else { "UID STORE" };
                format!("{command} {named} (UNCHANGEDSINCE {since}) {sign}FLAGS.SILENT ({flag})")
            }
            Op::Remove { at } => match self.uids(*at, 1).map(|uids| join(uids.into_iter())) {
                Some(uid) => {
                    let store = format!("UID STORE {uid} +FLAGS (\\Deleted)");
                    self.read(&client.command(&store).await.expect("grammar"));
                    format!("UID EXPUNGE {uid}")
                }
                None => return,
            },
            Op::Move { at } | Op::Copy { at } | Op::Replace { at } => {
                let Some(uid) = self.uids(*at, 1).map(|uids| join(uids.into_iter())) else {
                    return;
                };
                moved(op, &uid, way.user)
            }
        };
        if matches!(op, Op::Fetch) && self.flags.is_empty() {
            return;
        }
        let before = self.flags.clone();
        let answer = client.command(&command).await.expect("grammar");
        // By number it is NO if some are gone, and so is REPLACE.
        let may_fail = by_numbers || matches!(op, Op::Replace { .. });
        assert!(may_fail || answer.is_ok(), "{command}: {answer:?}");
        assert_ne!(answer.tagged.condition, Condition::Bad, "{command}");
        self.read(&answer);
        let Some((uids, add, flag)) = own else {
            return;
        };
        let refused: BTreeSet<u32> = match &answer.tagged.code {
            Some(Code::Modified(set)) => {
                let ranges = set.ranges.iter().filter_map(|range| range.numbers());
                ranges
                    .flat_map(|(first, last)| first.get()..=last.get())
                    .collect()
            }
            _ => BTreeSet::new(),
        };
        let there = truth(world, way.user).await;
        let number = |uid| before.range(..=uid).count() as u32;
        for uid in uids {
            let named = if by_numbers { number(uid) } else { uid };
            if refused.contains(&named) {
                continue;
            }
            let Some(flags) = self.flags.get_mut(&uid) else {
                continue;
            };
            match add {
                true => flags.insert(flag.to_owned()),
                false => flags.remove(flag),
            };
            // Nobody else had changed this flag since.
            if let Some(now) = there.get(&uid) {
                assert_eq!(now.contains(flag), add, "{command}: {answer:?}, {before:?}");
            }
        }
    }
}

/// The same by somebody else, who looks at what is there.
async fn others(world: &World, (client, user): (&mut StrictClient, User), op: &Op) {
    let there: Vec<u32> = truth(world, user).await.into_keys().collect();
    let uid = |at: usize| there.get(at % there.len().max(1)).copied();
    let command = match op {
        Op::Noop | Op::Fetch => "NOOP".to_owned(),
        Op::Append => format!(
            "APPEND {} (\\Flagged) {{14+}}\r\nSubject: x\r\n\r\n",
            user.inbox
        ),
        Op::Store { at, add, flag, .. } => match uid(*at) {
            Some(uid) => {
                let sign = if *add { '+' } else { '-' };
                format!("UID STORE {uid} {sign}FLAGS.SILENT ({flag})")
            }
            None => return,
        },
        Op::Remove { at } => match uid(*at) {
            Some(uid) => {
                let store = format!("UID STORE {uid} +FLAGS.SILENT (\\Deleted)");
                client.command("NOOP").await.expect("grammar");
                client.command(&store).await.expect("grammar");
                format!("UID EXPUNGE {uid}")
            }
            None => return,
        },
        Op::Move { at } | Op::Copy { at } | Op::Replace { at } => match uid(*at) {
            Some(uid) => moved(op, &uid.to_string(), user),
            None => return,
        },
    };
    // It has to know of what it names.
    client.command("NOOP").await.expect("grammar");
    let answer = client.command(&command).await.expect("grammar");
    assert!(answer.is_ok(), "{command}: {answer:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_lost_connection_loses_no_change(
        is_reader in any::<bool>(),
        connections in prop::collection::vec(
            (
                any::<(bool, bool, bool)>(),
                prop::collection::vec((0..3_usize, op()), 0..16),
                prop::collection::vec((0..2_usize, op()), 0..6),
            ),
            1..6,
        ),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let world = World::new(WorldOptions::default()).await;
            world.mailbox("INBOX", 6).await.expect("messages");
            world.mailbox("Other", 0).await.expect("a mailbox");
            world.user("bob", "secret").await.expect("bob");
            world.share_all("bob").await;
            let user = if is_reader { READER } else { OWNER };
            let mut rest = Vec::new();
            for user in [OWNER, READER] {
                let (login, select) = (
                    format!("LOGIN {} secret", user.name),
                    format!("SELECT {}", user.inbox),
                );
                rest.push((connect(&world, &[&login, &select]).await, user));
            }
            let mut cache = Cache::default();
            for ((uid_only, known_uids, sample), online, offline) in &connections {
                let way = Way {
                    user,
                    uid_only: *uid_only,
                    known_uids: *known_uids,
                    sample: *sample,
                };
                let mut client = cache.resume(&world, way).await;
                prop_assert_eq!(&cache.flags, &truth(&world, user).await);
                for (who, op) in online {
                    match rest.get_mut(*who) {
                        None => cache.run(&world, &mut client, way, op).await,
                        Some((client, user)) => others(&world, (client, *user), op).await,
                    }
                }
                // The connection breaks: what was not told is told later.
                drop(client);
                for (who, op) in offline {
                    let (client, user) = &mut rest[*who];
                    others(&world, (client, *user), op).await;
                }
            }
            let way = Way { user, uid_only: false, known_uids: false, sample: true };
            let _client = cache.resume(&world, way).await;
            prop_assert_eq!(&cache.flags, &truth(&world, user).await);
            prop_assert_eq!(world.check().await, Ok(()));
            Ok(())
        })?;
    }
}
