//! Several sessions on one mailbox against clients that believe what they are told.
//!
//! A client keeps a list of UIDs and flags and changes it only by responses (design §7.5, §7.6): every
//! number in a response must mean what it thinks, nothing alive is told to be gone, and what it would
//! remember as HIGHESTMODSEQ never hides an expunge from it (RFC 7162 §3.2, §6).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use restante_mailbox::{Flags, MailboxName, ModSeq, UidSet, UserMailbox, Wanted};
use restante_proto::types::{Code, Condition, FetchItem, UntaggedData};
use restante_testkit::strict::{Answer, StrictClient};
use restante_testkit::world::{World, WorldOptions};

#[derive(Debug, Clone)]
enum Op {
    Noop,
    Idle,
    Store {
        from: Index,
        to: Index,
        uid: bool,
        silent: bool,
        add: bool,
        flag: &'static str,
    },
    Expunge,
    UidExpunge {
        from: Index,
    },
    Append,
    Copy {
        from: Index,
        to: Index,
    },
    Move {
        from: Index,
        to: Index,
        uid: bool,
    },
    Replace {
        from: Index,
        uid: bool,
    },
}

impl Op {
    /// Whether the command uses sequence numbers in a way that forbids EXPUNGE (RFC 9051 §7.5.1).
    fn forbids_expunge(&self) -> bool {
        matches!(self, Op::Store { uid: false, .. })
    }
}

fn op() -> impl Strategy<Value = Op> {
    let index = any::<Index>;
    let store = (
        index(),
        index(),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        0..4_usize,
    );
    let store = store.prop_map(|(from, to, uid, silent, add, flag)| {
        let flag = ["\\Deleted", "\\Deleted", "$Work", "\\Seen"][flag];
        Op::Store {
            from,
            to,
            uid,
            silent,
            add,
            flag,
        }
    });
    prop_oneof![
        2 => Just(Op::Noop),
        1 => Just(Op::Idle),
        8 => store,
        2 => Just(Op::Expunge),
        1 => index().prop_map(|from| Op::UidExpunge { from }),
        2 => Just(Op::Append),
        1 => (index(), index()).prop_map(|(from, to)| Op::Copy { from, to }),
        1 => (index(), index(), any::<bool>()).prop_map(|(from, to, uid)| Op::Move { from, to, uid }),
        1 => (index(), any::<bool>()).prop_map(|(from, uid)| Op::Replace { from, uid }),
    ]
}

impl Known {
    /// Takes what a FETCH or UIDFETCH response says; returns its MODSEQ.
    fn take(&mut self, items: &[FetchItem]) -> u64 {
        let mut modseq = 0;
        for item in items {
            match item {
                FetchItem::Uid(uid) => {
                    assert!(self.uid.is_none_or(|known| known == uid.get()));
                    self.uid = Some(uid.get());
                }
                FetchItem::Flags(flags) => {
                    let names = flags.iter().map(ToString::to_string);
                    self.flags = Some(names.filter(|f| f != "\\Recent").collect());
                }
                FetchItem::ModSeq(mod_seq) => modseq = modseq.max(mod_seq.get()),
                other => panic!("nobody asked for {other:?}"),
            }
        }
        modseq
    }
}

/// A message as a client knows it.
#[derive(Debug, Clone, Default, PartialEq)]
struct Known {
    uid: Option<u32>,
    flags: Option<BTreeSet<String>>,
}

struct Client {
    connection: StrictClient,
    qresync: bool,
    uid_only: bool,
    /// Whether it is told between commands, or others act meanwhile: it may hear of a message's end before it could ask
    /// for its UID.
    surprised: bool,
    /// Whether a FETCH response has the UID without being asked for it.
    told_uids: bool,
    messages: Vec<Known>,
    /// What a client of QRESYNC would keep as HIGHESTMODSEQ.
    highest: u64,
    user: &'static str,
    /// The names by which its user knows the two mailboxes.
    inbox: &'static str,
    other: &'static str,
}

/// UID and flags of every message that is there.
async fn truth(world: &World, user: &str) -> BTreeMap<u32, BTreeSet<String>> {
    let account = world.account("alice").await.expect("alice");
    let mailbox = account.mailbox(&MailboxName::inbox()).await.expect("INBOX");
    let user = world.account(user).await.expect("a user").id();
    let mailbox = UserMailbox::for_reader(mailbox, user);
    let snapshot = mailbox.snapshot().await.expect("a snapshot");
    let loaded = mailbox.ensure(&snapshot, Wanted::All).await.expect("rows");
    let names = |flags: Flags| {
        let system = Flags::SYSTEM_NAMES
            .iter()
            .filter(|(flag, _)| flags.contains(*flag));
        let keywords = snapshot.keywords().names_of(flags).map(str::to_owned);
        system
            .map(|(_, name)| (*name).to_owned())
            .chain(keywords)
            .collect()
    };
    loaded
        .rows(..)
        .map(|row| (row.uid.get(), names(row.flags)))
        .collect()
}

impl Client {
    async fn new(world: &World, enable: &str) -> Client {
        let mut connection = StrictClient::new(world.connect(true));
        connection.response().await.expect("a greeting");
        let mut client = Client {
            connection,
            qresync: enable.contains("QRESYNC"),
            uid_only: enable.contains("UIDONLY"),
            surprised: enable.contains("NOTIFY"),
            told_uids: enable.contains("CONDSTORE")
                || enable.contains("QRESYNC")
                || enable.contains("rev2"),
            messages: Vec::new(),
            highest: 0,
            user: "",
            inbox: "",
            other: "",
        };
        let (enable, user) = match enable.strip_suffix(" BOB") {
            Some(words) => (words, "bob"),
            None => (enable, "alice"),
        };
        client.user = user;
        client.inbox = match user {
            "bob" => "\"Other Users/alice/INBOX\"",
            _ => "INBOX",
        };
        client.other = match user {
            "bob" => "\"Other Users/alice/Other\"",
            _ => "Other",
        };
        let (words, notify) = match enable.strip_suffix(" NOTIFY") {
            Some(words) => (words, true),
            None => (enable, false),
        };
        let mut commands = vec![
            format!("LOGIN {user} secret"),
            format!("ENABLE {words}"),
            format!("SELECT {}", client.inbox),
        ];
        if notify {
            // Who uses numbers must know when they change.
            let which = match words.contains("UIDONLY") {
                true => "selected",
                false => "selected-delayed",
            };
            let events = "MessageNew MessageExpunge FlagChange";
            commands.push(format!("NOTIFY SET ({which} ({events}))"));
        }
        for command in &commands {
            let answer = client.connection.command(command).await.expect("an answer");
            assert!(answer.is_ok(), "{command}: {answer:?}");
            client.read(&answer, false, &BTreeMap::new());
        }
        client
    }

    /// Takes an answer as a client does.
    fn read(&mut self, answer: &Answer, no_expunge: bool, alive: &BTreeMap<u32, BTreeSet<String>>) {
        let mut mod_seqs = 0;
        for data in &answer.data {
            match data {
                UntaggedData::Exists(exists) => {
                    let exists = *exists as usize;
                    assert!(
                        exists >= self.messages.len(),
                        "EXISTS takes no messages away"
                    );
                    self.messages.resize(exists, Known::default());
                }
                UntaggedData::Expunge(number) => {
                    let vanished = self.qresync || self.uid_only;
                    assert!(!vanished && !no_expunge, "EXPUNGE must not come here");
                    let gone = self.messages.remove(number.get() as usize - 1);
                    assert!(gone.uid.is_some() || self.surprised, "it was asked for");
                    let is_alive = gone.uid.is_some_and(|uid| alive.contains_key(&uid));
                    assert!(!is_alive, "{gone:?} is alive");
                }
                UntaggedData::Vanished { earlier, uids } => {
                    assert!((self.qresync || self.uid_only) && !no_expunge && !earlier);
                    for range in &uids.ranges {
                        let (first, last) = range.numbers().expect("no star");
                        for uid in first.get()..=last.get() {
                            assert!(!alive.contains_key(&uid), "{uid} is alive");
                            let known = |wanted| self.messages.iter().position(|k| k.uid == wanted);
                            let at =
                                known(Some(uid)).or_else(|| known(None).filter(|_| self.surprised));
                            self.messages.remove(at.expect("a message that was known"));
                        }
                    }
                }
                UntaggedData::Fetch { seq, items } => {
                    assert!(!self.uid_only, "there are no message numbers");
                    let known = &mut self.messages[seq.get() as usize - 1];
                    mod_seqs = mod_seqs.max(known.take(items));
                }
                UntaggedData::UidFetch { uid, items } => {
                    assert!(self.uid_only, "UIDONLY was not enabled");
                    // One that was not told of before is the first of the new ones.
                    let uid = Some(uid.get());
                    let at = self.messages.iter().position(|known| known.uid == uid);
                    let at = at.or_else(|| self.messages.iter().position(|k| k.uid.is_none()));
                    let known = &mut self.messages[at.expect("a message that EXISTS counts")];
                    known.uid = uid;
                    mod_seqs = mod_seqs.max(known.take(items));
                }
                _ => {}
            }
        }
        // RFC 7162 §6: a code counts more than what can be computed from FETCH.
        let statuses = answer.statuses.iter().chain([&answer.tagged]);
        let code = statuses
            .filter_map(|status| match &status.code {
                Some(Code::HighestModSeq(highest)) => Some(highest.get()),
                _ => None,
            })
            .next_back();
        match code {
            Some(code) => {
                assert!(
                    code >= self.highest,
                    "HIGHESTMODSEQ fell from {} to {code}",
                    self.highest
                );
                self.highest = code;
            }
            None => self.highest = self.highest.max(mod_seqs),
        }
    }

    /// Asks until the UIDs and flags of all messages are known. A change that changes nothing has the
    /// flags and UIDs of all messages as its answer.
    async fn learn(&mut self, world: &World) {
        let mut tries = 0;
        while self
            .messages
            .iter()
            .any(|known| known.uid.is_none() || known.flags.is_none())
        {
            let command = match (self.uid_only, self.told_uids) {
                (true, _) => "UID STORE 1:* -FLAGS ($Never)",
                (false, true) => "STORE 1:* -FLAGS ($Never)",
                (false, false) => "FETCH 1:* (UID FLAGS)",
            };
            let answer = self.connection.command(command).await;
            let answer = answer.expect("an answer");
            self.read(&answer, !self.uid_only, &truth(world, self.user).await);
            if !answer.is_ok() {
                // EXPUNGEISSUED: some are gone, and here it may be told.
                let answer = self.connection.command("NOOP").await.expect("an answer");
                self.read(&answer, false, &truth(world, self.user).await);
            }
            tries += 1;
            assert!(tries < 10, "{:?} stay unknown: {answer:?}", self.messages);
        }
    }

    fn range(&self, from: &Index, to: &Index) -> Option<(usize, usize)> {
        let len = self.messages.len();
        if len == 0 {
            return None;
        }
        let (a, b) = (from.index(len), to.index(len));
        Some((a.min(b), a.max(b)))
    }

    async fn run(&mut self, world: &World, op: &Op) {
        let command = match op {
            Op::Noop => "NOOP".to_owned(),
            Op::Idle => "IDLE\r\nDONE".to_owned(),
            Op::Expunge => "EXPUNGE".to_owned(),
            Op::Append => format!("APPEND {} {{14+}}\r\nSubject: x\r\n\r\n", self.inbox),
            Op::UidExpunge { from } => match self.range(from, from) {
                Some((at, _)) => format!("UID EXPUNGE {}:*", self.uid(at)),
                None => return,
            },
            Op::Store {
                from,
                to,
                uid,
                silent,
                add,
                flag,
            } => {
                let Some((a, b)) = self.range(from, to) else {
                    return;
                };
                let silent = if *silent { ".SILENT" } else { "" };
                let sign = if *add { '+' } else { '-' };
                format!(
                    "{} {sign}FLAGS{silent} ({flag})",
                    self.named("STORE", a, b, *uid)
                )
            }
            Op::Copy { from, to } => match self.range(from, to) {
                Some((a, b)) => format!("{} {}", self.named("COPY", a, b, false), self.inbox),
                None => return,
            },
            Op::Move { from, to, uid } => match self.range(from, to) {
                Some((a, b)) => format!("{} {}", self.named("MOVE", a, b, *uid), self.other),
                None => return,
            },
            Op::Replace { from, uid } => match self.range(from, from) {
                Some((at, _)) => {
                    let target = match *uid || self.uid_only {
                        true => format!("UID REPLACE {}", self.uid(at)),
                        false => format!("REPLACE {}", at + 1),
                    };
                    let inbox = self.inbox;
                    format!("{target} {inbox} {{14+}}\r\nSubject: y\r\n\r\n")
                }
                None => return,
            },
        };
        let before = self.messages.clone();
        let answer = self.connection.command(&command).await.expect("an answer");
        assert_ne!(
            answer.tagged.condition,
            Condition::Bad,
            "{command}: {answer:?}"
        );
        let no_expunge = op.forbids_expunge() && !self.uid_only;
        self.read(&answer, no_expunge, &truth(world, self.user).await);
        if let Op::Store {
            from,
            to,
            uid,
            silent: true,
            add,
            flag,
        } = op
            && !before.is_empty()
        {
            // The client knows what it did itself. One that has no numbers may have its list in another order.
            let len = before.len();
            let (a, b) = (from.index(len), to.index(len));
            let named = before[a.min(b)..=a.max(b)].iter();
            let mut own: BTreeSet<_> = named.filter_map(|known| known.uid).collect();
            if *uid || self.uid_only {
                let (a, b) = (before[a].uid, before[b].uid);
                let all = before.iter().filter_map(|known| known.uid);
                own = all
                    .filter(|uid| (a.min(b)..=a.max(b)).contains(&Some(*uid)))
                    .collect();
            }
            for known in &mut self.messages {
                if known.uid.is_some_and(|uid| own.contains(&uid))
                    && let Some(flags) = &mut known.flags
                {
                    match add {
                        true => flags.insert((*flag).to_owned()),
                        false => flags.remove(*flag),
                    };
                }
            }
        }
        self.learn(world).await;
        self.check_highest(world).await;
    }

    fn uid(&self, at: usize) -> u32 {
        self.messages[at].uid.expect("it was asked for")
    }

    fn named(&self, command: &str, a: usize, b: usize, uid: bool) -> String {
        match uid || self.uid_only {
            true => format!("UID {command} {}:{}", self.uid(a), self.uid(b)),
            false => format!("{command} {}:{}", a + 1, b + 1),
        }
    }

    /// The client, told everything, knows what is there.
    async fn check_all(&self, world: &World) {
        let known = self.messages.iter();
        let mut known: Vec<_> = known
            .map(|known| {
                (
                    known.uid.unwrap_or(0),
                    known.flags.clone().unwrap_or_default(),
                )
            })
            .collect();
        if self.uid_only {
            // It knows no order but that of the UIDs.
            known.sort();
        }
        assert_eq!(
            known,
            truth(world, self.user)
                .await
                .into_iter()
                .collect::<Vec<_>>()
        );
    }

    /// If the connection broke now, the client would come back with its HIGHESTMODSEQ and be told of
    /// every message that it still has and that is gone.
    async fn check_highest(&self, world: &World) {
        if !self.qresync {
            return;
        }
        let account = world.account("alice").await.expect("alice");
        let mailbox = account.mailbox(&MailboxName::inbox()).await.expect("INBOX");
        let snapshot = mailbox.snapshot().await.expect("a snapshot");
        let since = ModSeq(self.highest);
        let told = mailbox
            .vanished_since(&snapshot, since, &UidSet::all())
            .await
            .expect("UIDs");
        let alive = truth(world, self.user).await;
        for known in &self.messages {
            let uid = known.uid.expect("it was asked for");
            let vanished = told.iter().any(|told| told.get() == uid);
            assert!(
                alive.contains_key(&uid) || vanished,
                "{uid} would stay for ever"
            );
        }
    }
}

/// What sessions enable: none of it in the first.
const KINDS: &[&str] = &[
    "X-NOTHING",
    "CONDSTORE",
    "QRESYNC",
    "IMAP4rev2",
    "IMAP4rev2 QRESYNC",
    "UIDONLY",
    "IMAP4rev2 UIDONLY QRESYNC",
    "CONDSTORE NOTIFY",
    "QRESYNC UIDONLY NOTIFY",
    "CONDSTORE BOB",
    "IMAP4rev2 QRESYNC BOB",
];

/// Two mailboxes of alice, to which bob has all rights.
async fn shared_world() -> World {
    let world = World::new(WorldOptions::default()).await;
    world.mailbox("INBOX", 5).await.expect("messages");
    world.mailbox("Other", 0).await.expect("a mailbox");
    world.user("bob", "secret").await.expect("bob");
    world.share_all("bob").await;
    world
}

/// A session of each kind on one mailbox, for long: at each hundredth step all that they know is compared.
/// `RESTANTE_STEPS` and `PROPTEST_RNG_SEED` change how far it goes, and where.
#[test]
fn sessions_of_every_kind_agree_after_ten_thousand_steps() {
    let steps = std::env::var("RESTANTE_STEPS").map_or(10_000, |steps| steps.parse().unwrap());
    let seed = std::env::var("PROPTEST_RNG_SEED").map_or(1, |seed| seed.parse::<u64>().unwrap());
    println!("seed {seed}, {steps} steps");
    let bytes = [seed.to_le_bytes(); 4].concat();
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let step = (0..KINDS.len(), op());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let world = shared_world().await;
        let mut clients = Vec::new();
        for kind in KINDS {
            let mut client = Client::new(&world, kind).await;
            client.learn(&world).await;
            clients.push(client);
        }
        for n in 1..=steps {
            let (who, op) = step.new_tree(&mut runner).unwrap().current();
            // Copies would fill it.
            let op = match op {
                Op::Copy { from, to } if clients[who].messages.len() > 40 => Op::Move {
                    from,
                    to,
                    uid: true,
                },
                op => op,
            };
            clients[who].run(&world, &op).await;
            if n % 100 == 0 || n == steps {
                for client in &mut clients {
                    client.run(&world, &Op::Noop).await;
                    client.check_all(&world).await;
                }
            }
        }
        assert_eq!(world.check().await, Ok(()));
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn clients_that_are_told_everything_know_the_mailbox(
        ops in prop::collection::vec((0usize..3, op()), 1..30),
        kinds in prop::collection::vec(
            prop::sample::select(KINDS),
            3,
        ),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let world = shared_world().await;
            let mut clients = Vec::new();
            for kind in &kinds {
                let mut client = Client::new(&world, kind).await;
                client.learn(&world).await;
                clients.push(client);
            }
            for (who, op) in &ops {
                clients[*who].run(&world, op).await;
            }
            for client in &mut clients {
                client.run(&world, &Op::Noop).await;
                client.check_all(&world).await;
            }
            prop_assert_eq!(world.check().await, Ok(()));
            Ok(())
        })?;
    }

    #[test]
    fn clients_that_act_at_the_same_time_end_with_the_same_mailbox(
        ops in prop::collection::vec(prop::collection::vec(op(), 1..12), 3),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let world = Arc::new(shared_world().await);
            let mut tasks = Vec::new();
            for (ops, kind) in ops.into_iter().zip(["CONDSTORE", "QRESYNC BOB", "IMAP4rev2 QRESYNC"]) {
                let world = world.clone();
                tasks.push(tokio::spawn(async move {
                    let mut client = Client::new(&world, kind).await;
                    client.surprised = true;
                    client.learn(&world).await;
                    for mut op in ops {
                        if let Op::Store { silent, .. } = &mut op {
                            // Which of two changes at the same time won, only an answer tells.
                            *silent = false;
                        }
                        client.run(&world, &op).await;
                    }
                    client
                }));
            }
            let mut clients = Vec::new();
            for task in tasks {
                clients.push(task.await.expect("a client that is content"));
            }
            for client in &mut clients {
                client.run(&world, &Op::Noop).await;
                client.check_all(&world).await;
            }
            prop_assert_eq!(world.check().await, Ok(()));
            Ok(())
        })?;
    }
}
