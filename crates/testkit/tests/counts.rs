//! What commands cost in figures that do not depend on the clock: allocations on the session's
//! thread, bytes and syncs of the commit log. They are compared with `counts/baseline.tsv`, and
//! may not grow by more than a tenth unless the baseline is changed with the reason in the commit.
//!
//! `RESTANTE_COUNTS=write cargo test -p restante-testkit --test counts` writes a new baseline.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use restante_store::{EmbeddedOptions, Store, StoreStats};
use restante_testkit::world::{World, WorldOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::runtime::Runtime;

const BASELINE: &str = include_str!("counts/baseline.tsv");
const BASELINE_PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/counts/baseline.tsv");

/// How often a command is repeated. Of allocations the least count is taken, as a table that grows
/// is no command's own cost; of the log the mean, as a checkpoint is.
const REPEATS: u32 = 50;

type Figures = BTreeMap<String, u64>;

/// A client that allocates nothing while it is measured.
struct Client {
    stream: DuplexStream,
    answer: Vec<u8>,
}

impl Client {
    async fn connect(world: &World) -> Self {
        let mut client = Self {
            stream: world.connect(true),
            answer: Vec::with_capacity(1 << 20),
        };
        client.command("x LOGIN alice secret\r\n").await;
        client.command("x SELECT INBOX\r\n").await;
        client
    }

    /// Sends bytes with the tag `x` and reads up to the tagged OK.
    async fn command(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.expect("sent");
        self.until(b"x OK").await;
    }

    /// Reads until a line begins so, and ends.
    async fn until(&mut self, begin: &[u8]) {
        self.answer.clear();
        loop {
            let read = self.stream.read_buf(&mut self.answer).await.expect("read");
            assert_ne!(read, 0, "the server closed");
            let last = self.answer.strip_suffix(b"\r\n").and_then(|lines| {
                let at = lines.iter().rposition(|&byte| byte == b'\n');
                lines.get(at.map_or(0, |at| at + 1)..)
            });
            match last {
                Some(line) if line.starts_with(begin) => return,
                Some(line) if line.starts_with(b"x ") => {
                    panic!("{:?}", String::from_utf8_lossy(line))
                }
                _ => {}
            }
        }
    }
}

struct Meter<'a> {
    runtime: &'a Runtime,
    world: &'a World,
    figures: Figures,
}

impl Meter<'_> {
    fn stats(&self) -> StoreStats {
        self.world.mail().store().stats()
    }

    /// Repeats `work` and notes what it cost at least, or on the average, each time.
    fn measure(&mut self, name: &str, writes: bool, mut work: impl FnMut(u32)) {
        // The first ones fill caches.
        (0..3).for_each(&mut work);
        let before = self.stats();
        let allocations = (3..REPEATS + 3)
            .map(|n| allocation_counter::measure(|| work(n)).count_total)
            .min();
        let after = self.stats();
        let mut note = |what: &str, value: u64| {
            self.figures.insert(format!("{name}: {what}"), value);
        };
        note("allocations", allocations.unwrap_or(0));
        if writes {
            let each = |sum: u64| sum * 100 / u64::from(REPEATS);
            note("syncs of 100", each(after.groups - before.groups));
            let bytes = after.group_bytes - before.group_bytes;
            note("bytes written by 100", each(bytes));
        }
    }

    /// One command, again and again.
    fn command(&mut self, name: &str, writes: bool, client: &mut Client, text: &[&str]) {
        let runtime = self.runtime;
        self.measure(name, writes, |n| {
            runtime.block_on(client.command(text[n as usize % text.len()]));
        });
    }
}

async fn world(dir: &std::path::Path) -> World {
    let store = Store::open(dir, EmbeddedOptions::default()).await;
    let world = World::on(store.expect("a store"), WorldOptions::default()).await;
    world.mailbox("INBOX", 300).await.expect("messages");
    world.mailbox("Other", 1).await.expect("messages");
    world
}

fn reads(meter: &mut Meter<'_>, client: &mut Client) {
    meter.command("NOOP", false, client, &["x NOOP\r\n"]);
    let one = ["x UID FETCH 17 (UID FLAGS)\r\n"];
    meter.command("UID FETCH 17 (UID FLAGS)", false, client, &one);
    let all = ["x FETCH 1:* (FLAGS)\r\n"];
    meter.command("FETCH 1:* (FLAGS) of 300", false, client, &all);
    let envelope = ["x UID FETCH 17 (ENVELOPE BODYSTRUCTURE)\r\n"];
    meter.command("UID FETCH 17 ENVELOPE", false, client, &envelope);
    let body = ["x UID FETCH 17 (BODY.PEEK[])\r\n"];
    meter.command("UID FETCH 17 BODY.PEEK[]", false, client, &body);
    let select = ["x SELECT INBOX\r\n"];
    meter.command("SELECT of 300", false, client, &select);
    let search = ["x UID SEARCH UNSEEN\r\n"];
    meter.command("UID SEARCH UNSEEN of 300", false, client, &search);
    // The first one opens each message.
    let header = ["x UID SEARCH HEADER X-Spam yes\r\n"];
    meter.command(
        "UID SEARCH HEADER X-Spam yes of 300",
        false,
        client,
        &header,
    );
}

fn writes(meter: &mut Meter<'_>, client: &mut Client) {
    let one = [
        "x UID STORE 17 +FLAGS.SILENT (\\Seen)\r\n",
        "x UID STORE 17 -FLAGS.SILENT (\\Seen)\r\n",
    ];
    meter.command("UID STORE of one flag", true, client, &one);
    let all = [
        "x STORE 1:300 +FLAGS.SILENT (\\Answered)\r\n",
        "x STORE 1:300 -FLAGS.SILENT (\\Answered)\r\n",
    ];
    meter.command("STORE 1:300", true, client, &all);
    let copy = ["x UID COPY 1:10 Other\r\n"];
    meter.command("UID COPY of 10", true, client, &copy);
    let append = format!("x APPEND Other {{2000+}}\r\n{}\r\n", message());
    meter.command("APPEND of 2,000 octets", true, client, &[&append]);
    let runtime = meter.runtime;
    let expunges: Vec<(String, String)> = (0..REPEATS + 3)
        .map(|n| {
            let uid = 100 + n;
            let mark = format!("x UID STORE {uid} +FLAGS.SILENT (\\Deleted)\r\n");
            (mark, format!("x UID EXPUNGE {uid}\r\n"))
        })
        .collect();
    meter.measure("UID STORE \\Deleted and UID EXPUNGE", true, |n| {
        let (mark, expunge) = &expunges[n as usize];
        runtime.block_on(client.command(mark));
        runtime.block_on(client.command(expunge));
    });
}

fn message() -> String {
    let head = "From: a@example.org\r\nSubject: s\r\n\r\n";
    let line = "A line of text that says nothing.\r\n";
    let mut text = head.to_owned();
    while text.len() + line.len() + 2 <= 2000 {
        text.push_str(line);
    }
    let rest = 2000 - text.len() - 2;
    text.push_str(&"x".repeat(rest));
    text.push_str("\r\n");
    text
}

/// Another session sets a flag; this one is in IDLE and told.
fn wake_up(meter: &mut Meter<'_>, client: &mut Client) {
    let runtime = meter.runtime;
    let mut idler = runtime.block_on(Client::connect(meter.world));
    runtime.block_on(async {
        let idle = idler.stream.write_all(b"x IDLE\r\n").await;
        idle.expect("sent");
        idler.until(b"+").await;
    });
    meter.measure("STORE of one flag, told to a session in IDLE", false, |n| {
        let text = match n % 2 {
            0 => "x UID STORE 17 +FLAGS.SILENT (\\Flagged)\r\n",
            _ => "x UID STORE 17 -FLAGS.SILENT (\\Flagged)\r\n",
        };
        runtime.block_on(client.command(text));
        runtime.block_on(idler.until(b"* 17 FETCH"));
    });
}

/// The baseline's lines: name, tab, figure.
fn baseline() -> Figures {
    let lines = BASELINE.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| {
            let (name, value) = line.split_once('\t')?;
            Some((name.to_owned(), value.parse().ok()?))
        })
        .collect()
}

fn write_baseline(figures: &Figures) {
    let mut text = String::from("# Written by the test `counts`; see there.\n");
    for (name, value) in figures {
        writeln!(text, "{name}\t{value}").expect("a string");
    }
    std::fs::write(BASELINE_PATH, text).expect("the baseline can be written");
}

/// What grew by more than a tenth, or is not in the baseline.
fn grown(figures: &Figures, baseline: &Figures) -> Vec<String> {
    let mut grown = Vec::new();
    for (name, &value) in figures {
        match baseline.get(name) {
            None => grown.push(format!("{name}: {value}, not in the baseline")),
            Some(&was) if value * 10 > was * 11 => {
                grown.push(format!("{name}: {value}, was {was}"));
            }
            Some(&was) if value * 10 < was * 9 => {
                println!("{name}: {value}, was {was}: write a new baseline to keep it so");
            }
            Some(_) => {}
        }
    }
    grown
}

#[test]
fn commands_cost_what_they_did() {
    let dir = tempfile::tempdir().expect("a directory");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let world = runtime.block_on(world(dir.path()));
    let mut client = runtime.block_on(Client::connect(&world));
    let mut meter = Meter {
        runtime: &runtime,
        world: &world,
        figures: Figures::new(),
    };
    reads(&mut meter, &mut client);
    writes(&mut meter, &mut client);
    wake_up(&mut meter, &mut client);
    let figures = meter.figures;
    if std::env::var_os("RESTANTE_COUNTS").is_some_and(|value| value == "write") {
        return write_baseline(&figures);
    }
    let grown = grown(&figures, &baseline());
    assert!(grown.is_empty(), "more than before:\n{}", grown.join("\n"));
}

#[test]
fn growth_is_seen() {
    let figures = |value| Figures::from([("a".to_owned(), value)]);
    assert!(grown(&figures(11), &figures(10)).is_empty());
    assert_eq!(grown(&figures(12), &figures(10)), ["a: 12, was 10"]);
    assert_eq!(grown(&figures(1), &figures(0)), ["a: 1, was 0"]);
    assert_eq!(grown(&figures(1), &Figures::new()).len(), 1);
}
