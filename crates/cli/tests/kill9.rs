//! kill -9 of the real binary under load: every change that a client was told of is there afterwards,
//! and what was under way happened whole or not at all.
//!
//! The seed is printed; `RESTANTE_SEED` sets it.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use common::{PATIENCE, Server};

const WORKERS: usize = 4;
const ROUNDS: usize = 5;

/// SplitMix64.
struct Chances(u64);

impl Chances {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

/// A connection whose other end may die at any moment: everything is `None` then.
struct Line(BufReader<TcpStream>);

impl Line {
    fn new(port: u16) -> Option<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        Some(Self(BufReader::new(stream)))
    }

    fn imap(port: u16) -> Option<Self> {
        let mut line = Self::new(port)?;
        line.read()?;
        line.ok("LOGIN ada x")?;
        Some(line)
    }

    fn send(&mut self, text: &str) -> Option<()> {
        self.0.get_mut().write_all(text.as_bytes()).ok()
    }

    fn read(&mut self) -> Option<String> {
        let mut line = Vec::new();
        match self.0.read_until(b'\n', &mut line) {
            // A line without its end was cut off: it says nothing.
            Ok(_) if line.ends_with(b"\n") => {
                Some(String::from_utf8_lossy(&line).trim_end().to_owned())
            }
            _ => None,
        }
    }

    /// Sends a command; its lines up to `OK`, in one.
    fn ok(&mut self, command: &str) -> Option<String> {
        self.send(&format!("x {command}\r\n"))?;
        let mut all = String::new();
        loop {
            let line = self.read()?;
            all.push_str(&line);
            all.push('\n');
            if let Some(rest) = line.strip_prefix("x ") {
                // The process says so itself when it goes down; nothing else is refused here.
                assert!(rest.starts_with("OK"), "{command}: {all}");
                return Some(all);
            }
        }
    }
}

/// A message: its `X-Id` and its flags.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Message {
    id: String,
    flags: BTreeSet<&'static str>,
}

type Mailbox = BTreeMap<u32, Message>;
const FLAGS: [&str; 3] = ["\\Flagged", "\\Deleted", "$Later"];

/// The two mailboxes of a worker, as far as it was told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct State {
    mailboxes: [Mailbox; 2],
}

#[derive(Clone, Debug)]
enum Change {
    Append(String),
    Flag(u32, &'static str),
    Copy(u32),
    Move(u32),
    Expunge(u32),
}

/// The UID of a message that nobody was told.
const UNTOLD: u32 = 0;

impl State {
    fn apply(&mut self, change: &Change, new: u32) {
        let [from, to] = &mut self.mailboxes;
        match change {
            Change::Append(id) => {
                let (id, flags) = (id.clone(), BTreeSet::new());
                from.insert(new, Message { id, flags });
            }
            Change::Flag(uid, flag) => _ = from.get_mut(uid).unwrap().flags.insert(flag),
            Change::Copy(uid) => _ = to.insert(new, from[uid].clone()),
            Change::Move(uid) => _ = to.insert(new, from.remove(uid).unwrap()),
            Change::Expunge(uid) => _ = from.remove(uid),
        }
    }

    /// Whether this was found where `want` was expected; its untold message may have any new UID.
    fn is(&self, want: &State) -> bool {
        self.mailboxes
            .iter()
            .zip(&want.mailboxes)
            .all(|(found, want)| {
                let mut found = found.clone();
                let mut want = want.clone();
                if let Some(untold) = want.remove(&UNTOLD) {
                    match found.pop_last() {
                        Some((uid, last)) if last == untold && !want.contains_key(&uid) => {}
                        _ => return false,
                    }
                }
                found == want
            })
    }
}

#[derive(Default)]
struct Worker {
    number: usize,
    state: State,
    /// Sent, not answered.
    under_way: Option<Change>,
    messages: usize,
    /// Ids that were acknowledged in the mailbox that all share, and one that was not.
    shared: BTreeSet<String>,
    shared_under_way: Option<String>,
}

/// Changes that were acknowledged, in all.
static ACKNOWLEDGED: AtomicUsize = AtomicUsize::new(0);

impl Worker {
    fn names(&self) -> [String; 2] {
        [format!("from{}", self.number), format!("to{}", self.number)]
    }

    fn new_id(&mut self) -> String {
        self.messages += 1;
        format!("{}-{}", self.number, self.messages)
    }

    /// Changes things until the server is gone.
    fn work(&mut self, port: u16, chances: &mut Chances) -> Option<()> {
        let mut line = Line::imap(port)?;
        let [from, to] = self.names();
        line.ok(&format!("SELECT {from}"))?;
        loop {
            if chances.below(5) == 0 {
                let id = self.new_id();
                self.shared_under_way = Some(id.clone());
                line.ok(&append("all", &id))?;
                self.shared_under_way = None;
                self.shared.insert(id);
                ACKNOWLEDGED.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            let uids: Vec<u32> = self.state.mailboxes[0].keys().copied().collect();
            let uid = (!uids.is_empty()).then(|| uids[chances.below(uids.len() as u64) as usize]);
            let change = match (chances.below(10), uid) {
                (0..=3, _) | (_, None) => Change::Append(self.new_id()),
                (4 | 5, Some(uid)) => Change::Flag(uid, FLAGS[chances.below(3) as usize]),
                (6, Some(uid)) => Change::Copy(uid),
                (7, Some(uid)) => Change::Move(uid),
                (_, Some(uid)) if self.state.mailboxes[0][&uid].flags.contains(FLAGS[1]) => {
                    Change::Expunge(uid)
                }
                (_, Some(uid)) => Change::Flag(uid, FLAGS[1]),
            };
            let command = match &change {
                Change::Append(id) => append(&from, id),
                Change::Flag(uid, flag) => format!("UID STORE {uid} +FLAGS ({flag})"),
                Change::Copy(uid) => format!("UID COPY {uid} {to}"),
                Change::Move(uid) => format!("UID MOVE {uid} {to}"),
                Change::Expunge(uid) => format!("UID EXPUNGE {uid}"),
            };
            self.under_way = Some(change.clone());
            let answer = line.ok(&command)?;
            self.under_way = None;
            let new = match &change {
                Change::Append(_) => last_number(&answer, "[APPENDUID "),
                Change::Copy(_) | Change::Move(_) => last_number(&answer, "[COPYUID "),
                _ => UNTOLD,
            };
            self.state.apply(&change, new);
            ACKNOWLEDGED.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Compares with what the server has now, and takes that over.
    fn verify(&mut self, line: &mut Line) {
        let found = State {
            mailboxes: self.names().map(|name| mailbox(line, &name)),
        };
        let under_way = self.under_way.take();
        let after = under_way.as_ref().map(|change| {
            let mut after = self.state.clone();
            after.apply(change, UNTOLD);
            after
        });
        assert!(
            found.is(&self.state) || after.is_some_and(|after| found.is(&after)),
            "worker {}: {under_way:?} was under way\n\
             found {found:#?}\nwhere this was acknowledged: {:#?}",
            self.number,
            self.state
        );
        self.state = found;
    }
}

fn append(mailbox: &str, id: &str) -> String {
    let message = format!(
        "X-Id: {id}\r\nSubject: test\r\n\r\n{}\r\n",
        "text ".repeat(200)
    );
    format!("APPEND {mailbox} {{{}+}}\r\n{message}", message.len())
}

/// The last number of a response code.
fn last_number(answer: &str, code: &str) -> u32 {
    let code = answer
        .split(code)
        .nth(1)
        .and_then(|rest| rest.split(']').next());
    let number = code.and_then(|code| code.rsplit(' ').next());
    number
        .and_then(|n| n.parse().ok())
        .unwrap_or_else(|| panic!("no {code:?} in {answer:?}"))
}

fn mailbox(line: &mut Line, name: &str) -> Mailbox {
    let examined = line.ok(&format!("EXAMINE {name}")).unwrap();
    let next = last_number(&examined, "[UIDNEXT ");
    let fetched = line
        .ok("UID FETCH 1:* (UID FLAGS BODY.PEEK[HEADER.FIELDS (X-Id)])")
        .unwrap();
    let mut found = Mailbox::new();
    for response in fetched.split("\n* ").filter(|r| r.contains("FETCH (")) {
        let after = |what: &str| {
            let rest = response
                .split(what)
                .nth(1)
                .unwrap_or_else(|| panic!("{response}"));
            rest.split([' ', ')', '\n']).next().unwrap().to_owned()
        };
        let uid: u32 = after("UID ").parse().unwrap();
        let id = after("X-Id: ");
        let flags = response
            .split("FLAGS (")
            .nth(1)
            .unwrap()
            .split(')')
            .next()
            .unwrap();
        let flags = FLAGS
            .into_iter()
            .filter(|flag| flags.split(' ').any(|f| f == *flag))
            .collect();
        assert!(uid < next, "UID {uid} in {name}, whose UIDNEXT is {next}");
        assert!(
            found.insert(uid, Message { id, flags }).is_none(),
            "UID {uid} twice in {name}"
        );
    }
    found
}

/// Delivers until the server is gone.
fn deliver(
    port: u16,
    done: &mut BTreeSet<String>,
    under_way: &mut Option<String>,
    round: usize,
) -> Option<()> {
    let mut line = Line::new(port)?;
    line.read()?;
    line.send("LHLO test\r\n")?;
    while line.read()?.starts_with("250-") {}
    for n in 0.. {
        let id = format!("lmtp-{round}-{n}");
        *under_way = Some(id.clone());
        line.send(&format!(
            "MAIL FROM:<a@b>\r\nRCPT TO:<ada>\r\nDATA\r\nX-Id: {id}\r\n\r\nhello\r\n.\r\n"
        ))?;
        for answer in ["250", "250", "354", "250"] {
            let read = line.read()?;
            assert!(read.starts_with(answer), "{read}");
        }
        *under_way = None;
        done.insert(id);
    }
    None
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let seed = std::env::var("RESTANTE_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seed = seed.unwrap_or(now.as_nanos() as u64);
    println!("RESTANTE_SEED={seed}");
    let mut chances = Chances(seed);
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut workers: Vec<Worker> = (0..WORKERS)
        .map(|number| Worker {
            number,
            ..Worker::default()
        })
        .collect();
    let (mut delivered, mut delivery) = (BTreeSet::new(), None);
    let mut unanswered: BTreeSet<String> = BTreeSet::new();
    for round in 0..ROUNDS {
        let mut server = Server::start(&data);
        if round == 0 {
            server.add_user("ada", "x");
            let mut line = Line::imap(server.imap).unwrap();
            line.ok("CREATE all").unwrap();
            for name in workers.iter().flat_map(Worker::names) {
                line.ok(&format!("CREATE {name}")).unwrap();
            }
        }
        let (imap, lmtp) = (server.imap, server.lmtp);
        let wait = Duration::from_millis(800 + chances.below(1500));
        std::thread::scope(|scope| {
            for worker in &mut workers {
                let mut chances = Chances(chances.below(u64::MAX));
                scope.spawn(move || worker.work(imap, &mut chances));
            }
            let (delivered, delivery) = (&mut delivered, &mut delivery);
            scope.spawn(move || deliver(lmtp, delivered, delivery, round));
            std::thread::sleep(wait);
            // However slow the machine is.
            let start = Instant::now();
            let enough = 15 * (round + 1);
            while ACKNOWLEDGED.load(Ordering::Relaxed) < enough && start.elapsed() < PATIENCE {
                std::thread::sleep(Duration::from_millis(10));
            }
            server.child.kill().unwrap();
            server.child.wait().unwrap();
        });
        drop(server);

        let server = Server::start(&data);
        let mut line = Line::imap(server.imap).unwrap();
        for worker in &mut workers {
            worker.verify(&mut line);
            unanswered.extend(worker.shared_under_way.take());
        }
        unanswered.extend(delivery.take());
        let shared: BTreeSet<_> = workers.iter().flat_map(|w| &w.shared).cloned().collect();
        for (name, acknowledged) in [("all", &shared), ("INBOX", &delivered)] {
            let mut found = BTreeSet::new();
            for message in mailbox(&mut line, name).into_values() {
                let id = message.id;
                assert!(
                    acknowledged.contains(&id) || unanswered.contains(&id),
                    "{id} in {name}"
                );
                assert!(found.insert(id.clone()), "{id} is twice in {name}");
            }
            let lost: Vec<_> = acknowledged.difference(&found).collect();
            assert!(lost.is_empty(), "{name} lost {lost:?}");
        }
        let check = server.command(&["check", "--deep"], "");
        let said = String::from_utf8_lossy(&check.stdout).into_owned();
        assert!(
            check.status.success(),
            "{said}{}",
            String::from_utf8_lossy(&check.stderr)
        );
        println!("round {round}: killed after {wait:?}; {}", said.trim());
    }
    let acknowledged = ACKNOWLEDGED.load(Ordering::Relaxed);
    println!(
        "{acknowledged} changes, {} deliveries acknowledged",
        delivered.len()
    );
    assert!(acknowledged > 50 && !delivered.is_empty());
}
