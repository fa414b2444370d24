//! Runs the dialogues of `tests/lmtp`, over a stream in memory, on a store in memory.
//!
//! A file is a list of lines, done one after the other:
//!
//! ```text
//! # comment
//! user: NAME            makes a user (ada, bob@example.org and plus+user are there)
//! mailbox: USER NAME    makes a mailbox
//! quota: USER BYTES     sets a quota
//! quota_messages: USER MESSAGES
//! C: TEXT               sends a line (nothing is awaited: several are pipelined)
//! C~TEXT                sends raw bytes; \r \n \0 \\ are escapes
//! Z NUMBER              sends so many bytes (lines of text)
//! S: PREFIX             expects the next line to begin so
//! L                     expects the reply to LHLO
//! closed                expects the end of the connection
//! count: USER MAILBOX N expects so many messages
//! mail: USER MAILBOX    expects the newest message to be what follows, line by line:
//! | LINE                * at the end of a line stands for anything
//! ```

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use restante_mailbox::{Mail, MailOptions, Mailbox, MailboxName, SpecialUse, Wanted};
use restante_store::{EmbeddedOptions, MemoryOptions, Store};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream};
use tokio::sync::watch;
use tokio::time::timeout;

use super::{Env, serve};

const PATIENCE: Duration = Duration::from_secs(60);

struct Dialogue {
    mail: Arc<Mail>,
    client: BufReader<DuplexStream>,
}

async fn mail() -> Arc<Mail> {
    mail_on(Store::memory(MemoryOptions::default())).await
}

async fn mail_on(store: Store) -> Arc<Mail> {
    let mail = Mail::open(store, MailOptions::default()).await.unwrap();
    for name in ["ada", "bob@example.org", "plus+user"] {
        mail.user_add(name, None).await.unwrap();
    }
    mail
}

fn connect(mail: &Arc<Mail>, spool: &Path) -> (DuplexStream, watch::Sender<bool>) {
    let (shutdown, down) = watch::channel(false);
    let env = Env {
        mail: Arc::clone(mail),
        sources: None,
        hostname: "mail.test".to_owned(),
        local_domains: vec!["localhost".to_owned(), "mail.test".to_owned()],
        message_bytes_max: 1_000_000,
        recipients_max: 100,
        timeout: PATIENCE,
        spool_dir: spool.to_owned(),
        shutdown: down,
    };
    let (client, server) = tokio::io::duplex(64 * 1024);
    tokio::spawn(serve(server, Arc::new(env), None));
    (client, shutdown)
}

impl Dialogue {
    async fn send(&mut self, bytes: &[u8]) {
        let send = self.client.get_mut().write_all(bytes);
        timeout(PATIENCE, send)
            .await
            .expect("the server reads")
            .unwrap();
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        let read = self.client.read_line(&mut line);
        timeout(PATIENCE, read)
            .await
            .expect("the server answers")
            .unwrap();
        line
    }

    async fn mailbox(&self, user: &str, name: &str) -> Arc<Mailbox> {
        let account = self.mail.account_of(user).await.unwrap();
        account
            .mailbox(&MailboxName::new(name).unwrap())
            .await
            .unwrap()
    }

    async fn newest(&self, user: &str, name: &str) -> Vec<u8> {
        let mailbox = self.mailbox(user, name).await;
        let snapshot = mailbox.snapshot().await.unwrap();
        let loaded = mailbox.ensure(&snapshot, Wanted::All).await.unwrap();
        let row = loaded.rows(..).last().expect("a message");
        let account = mailbox.account();
        let email = account.email(row.email).await.unwrap();
        let bytes = account.read(&email, 0..email.size()).await.unwrap();
        bytes.to_vec()
    }

    async fn step(&mut self, line: &str) {
        if let Some(text) = line.strip_prefix("C:") {
            let text = text.strip_prefix(' ').unwrap_or(text);
            self.send(format!("{text}\r\n").as_bytes()).await;
        } else if let Some(text) = line.strip_prefix("C~") {
            self.send(&unescape(text)).await;
        } else if let Some(number) = line.strip_prefix("Z ") {
            let number: usize = number.parse().unwrap();
            let bytes: Vec<u8> = b"zzzzzzz ".iter().copied().cycle().take(number).collect();
            self.send(&bytes).await;
        } else if let Some(prefix) = line.strip_prefix("S: ") {
            let got = self.line().await;
            assert!(
                got.starts_with(prefix) && got.ends_with("\r\n"),
                "{got:?} for {line:?}"
            );
        } else if line == "L" {
            while self.line().await.starts_with("250-") {}
        } else if line == "closed" {
            assert_eq!(self.line().await, "");
        } else {
            let (word, rest) = line.split_once(": ").unwrap_or_else(|| panic!("{line}"));
            let words: Vec<_> = rest.split(' ').collect();
            match (word, words.as_slice()) {
                ("user", [name]) => drop(self.mail.user_add(name, None).await.unwrap()),
                ("mailbox", [user, name]) => {
                    let account = self.mail.account_of(user).await.unwrap();
                    let name = MailboxName::new(name).unwrap();
                    account.create(&name, SpecialUse::NONE).await.unwrap();
                }
                ("quota", [user, bytes]) => {
                    let bytes = Some(bytes.parse().unwrap());
                    let set = self.mail.user_set_quota(user, |quota| quota.bytes = bytes);
                    set.await.unwrap();
                }
                ("quota_messages", [user, messages]) => {
                    let most = Some(messages.parse().unwrap());
                    let set = self
                        .mail
                        .user_set_quota(user, |quota| quota.messages = most);
                    set.await.unwrap();
                }
                ("count", [user, name, count]) => {
                    let mailbox = self.mailbox(user, name).await;
                    let tail = mailbox.tail().await.unwrap();
                    assert_eq!(tail.messages.to_string(), *count, "{line}");
                }
                _ => panic!("{line}"),
            }
        }
    }
}

fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'\\' => match bytes.next().expect("an escape") {
                b'r' => b'\r',
                b'n' => b'\n',
                b'0' => 0,
                other => other,
            },
            byte => byte,
        });
    }
    out
}

async fn run(name: &str, text: &str) {
    let spool = tempfile::tempdir().unwrap();
    let mail = mail().await;
    let (client, _shutdown) = connect(&mail, spool.path());
    let mut dialogue = Dialogue {
        mail,
        client: BufReader::new(client),
    };
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some(where_) = line.strip_prefix("mail: ") else {
            dialogue.step(line).await;
            continue;
        };
        let (user, mailbox) = where_.split_once(' ').unwrap();
        let message = dialogue.newest(user, mailbox).await;
        let message = String::from_utf8(message).unwrap();
        let mut got = message.split("\r\n");
        while let Some(expected) = lines.peek().and_then(|line| line.strip_prefix('|')) {
            lines.next();
            let expected = expected.strip_prefix(' ').unwrap_or(expected);
            let expected = String::from_utf8(unescape(expected)).unwrap();
            let got = got
                .next()
                .unwrap_or_else(|| panic!("{name}: {expected:?} is missing"));
            match expected.strip_suffix('*') {
                Some(prefix) => assert!(got.starts_with(prefix), "{name}: {got:?}"),
                None => assert_eq!(got, expected, "{name}"),
            }
        }
        assert_eq!(
            got.next().unwrap_or_default(),
            "",
            "{name}: more in the message"
        );
    }
}

#[tokio::test]
async fn dialogues() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lmtp");
    let mut seen = 0;
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        println!("{name}");
        run(&name, &text).await;
        seen += 1;
    }
    assert!(seen >= 15, "{seen} dialogues found");
}

/// The same dialogue, one byte at a time.
#[tokio::test]
async fn any_split_of_the_input_gives_the_same_replies() {
    let spool = tempfile::tempdir().unwrap();
    let mail = mail().await;
    let (client, _shutdown) = connect(&mail, spool.path());
    let mut dialogue = Dialogue {
        mail,
        client: BufReader::new(client),
    };
    let input = b"LHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<ada>\r\nDATA\r\nx\r\n..\r\n.\r\nQUIT\r\n";
    for byte in input {
        dialogue.send(&[*byte]).await;
        tokio::task::yield_now().await;
    }
    let mut replies = Vec::new();
    loop {
        let line = dialogue.line().await;
        if line.is_empty() {
            break;
        }
        if !line.starts_with("250-") {
            replies.push(line[..3].to_owned());
        }
    }
    assert_eq!(replies, ["220", "250", "250", "250", "354", "250", "221"]);
    assert!(
        dialogue
            .newest("ada", "INBOX")
            .await
            .ends_with(b"\r\nx\r\n.\r\n")
    );
}

/// A delivery is one sync, and writes little more than the message.
#[tokio::test]
async fn a_delivery_is_one_sync() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let store = Store::open(&path, EmbeddedOptions::default()).await;
    let mail = mail_on(store.unwrap()).await;
    let (client, _shutdown) = connect(&mail, dir.path());
    let mut dialogue = Dialogue {
        mail,
        client: BufReader::new(client),
    };
    dialogue.send(b"LHLO x\r\n").await;
    dialogue.line().await;
    dialogue.step("L").await;
    let mut before = dialogue.mail.store().stats();
    for n in 0..20 {
        for line in ["C: MAIL FROM:<a@b>", "C: RCPT TO:<ada>", "C: DATA"] {
            dialogue.step(line).await;
            dialogue.line().await;
        }
        let text = format!("Subject: {n}\r\n\r\n{}\r\n.", "x".repeat(900));
        dialogue.step(&format!("C: {text}")).await;
        dialogue.step("S: 250").await;
        let after = dialogue.mail.store().stats();
        // The first one makes what the account needs.
        if n > 0 {
            assert_eq!(after.groups - before.groups, 1, "syncs");
            let written = after.group_bytes - before.group_bytes;
            // It was 2,158 when this was written.
            assert!(written < 2_374, "{written} bytes");
        }
        before = after;
    }
}

#[tokio::test]
async fn shutdown_says_421() {
    let spool = tempfile::tempdir().unwrap();
    let mail = mail().await;
    let (client, shutdown) = connect(&mail, spool.path());
    let mut dialogue = Dialogue {
        mail,
        client: BufReader::new(client),
    };
    dialogue.step("S: 220").await;
    shutdown.send(true).unwrap();
    dialogue.step("S: 421 4.3.2").await;
    dialogue.step("closed").await;
}

/// A disk that is full and a store that cannot tell what happened: only 4xx, what was acknowledged is
/// there once, and nothing is there twice.
#[tokio::test]
async fn failures_of_the_store_are_temporary_and_nothing_is_lost_or_doubled() {
    const MESSAGES: usize = 150;
    let mut options = MemoryOptions::default();
    options.seed = 7;
    options.yields_max = 3;
    options.full_permille = 100;
    options.unknown_applied_permille = 100;
    options.unknown_lost_permille = 100;
    let spool = tempfile::tempdir().unwrap();
    let mail = Mail::open(Store::memory(options), MailOptions::default())
        .await
        .unwrap();
    while mail.user("ada").await.unwrap().is_none() {
        let _ = mail.user_add("ada", None).await;
    }
    while mail.account_of("ada").await.is_err() {}
    let (client, _shutdown) = connect(&mail, spool.path());
    let mut dialogue = Dialogue {
        mail,
        client: BufReader::new(client),
    };
    dialogue.line().await;
    dialogue.step("C: LHLO x").await;
    dialogue.step("L").await;
    let mut acknowledged = [false; MESSAGES];
    for (number, saved) in acknowledged.iter_mut().enumerate() {
        let text = format!(
            "MAIL FROM:<>\r\nRCPT TO:<ada>\r\nDATA\r\nSubject: {number}\r\n\r\n{}\r\n.\r\n",
            "x".repeat(number)
        );
        dialogue.send(text.as_bytes()).await;
        for expected in ["250 2.1.0", "250 2.1.5", "354"] {
            let line = dialogue.line().await;
            assert!(line.starts_with(expected), "{line}");
        }
        let line = dialogue.line().await;
        assert!(
            line.starts_with("250 2.0.0") || line.starts_with("45"),
            "{line}"
        );
        *saved = line.starts_with("250");
    }
    let count = acknowledged.iter().filter(|saved| **saved).count();
    assert!(
        (1..MESSAGES).contains(&count),
        "{count} acknowledged: the faults did not happen"
    );
    let mailbox = dialogue.mailbox("ada", "INBOX").await;
    let snapshot = mailbox.snapshot().await.unwrap();
    let loaded = mailbox.ensure(&snapshot, Wanted::All).await.unwrap();
    let mut found = [0; MESSAGES];
    for row in loaded.rows(..) {
        let email = mailbox.account().email(row.email).await.unwrap();
        let bytes = mailbox
            .account()
            .read(&email, 0..email.size())
            .await
            .unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let number = text
            .split("Subject: ")
            .nth(1)
            .and_then(|rest| rest.lines().next());
        found[number.unwrap().parse::<usize>().unwrap()] += 1;
    }
    for (number, (saved, times)) in acknowledged.into_iter().zip(found).enumerate() {
        assert!(
            times == 1 || (times == 0 && !saved),
            "message {number}: {times} times, {saved}"
        );
    }
}

/// What a client may send, without waiting for anything.
#[derive(Debug, Clone)]
enum Sent {
    Lhlo,
    Mail,
    Rcpt(bool),
    Data(Vec<&'static str>),
    Bdat { size: usize, last: bool },
    Rset,
    Noop,
    Nonsense,
}

fn sent() -> impl Strategy<Value = Sent> {
    let lines = proptest::sample::select(vec!["x\r\n", "..\r\n", "\n.\n", "QUIT\r\n", "a\0b\r\n"]);
    let size = proptest::sample::select(vec![0, 1, 6, 100, 70_000]);
    prop_oneof![
        1 => Just(Sent::Lhlo),
        3 => Just(Sent::Mail),
        5 => proptest::bool::weighted(0.7).prop_map(Sent::Rcpt),
        1 => proptest::collection::vec(lines, 0..4).prop_map(Sent::Data),
        4 => (size, any::<bool>()).prop_map(|(size, last)| Sent::Bdat { size, last }),
        1 => Just(Sent::Rset),
        1 => Just(Sent::Noop),
        1 => Just(Sent::Nonsense),
    ]
}

/// What is expected of a session: the codes of its replies to what it is sent.
#[derive(Debug, Default)]
struct Model {
    greeted: bool,
    mail: bool,
    recipients: usize,
    chunks: bool,
    errors: u32,
    messages: usize,
}

impl Model {
    fn send(&mut self, sent: &Sent, input: &mut Vec<u8>, replies: &mut Vec<&'static str>) {
        let before = replies.len();
        match sent {
            Sent::Lhlo => {
                input.extend_from_slice(b"LHLO x\r\n");
                *self = Model {
                    greeted: true,
                    errors: self.errors,
                    messages: self.messages,
                    ..Model::default()
                };
                replies.push("250");
            }
            Sent::Mail => {
                input.extend_from_slice(b"MAIL FROM:<c@d>\r\n");
                let taken = self.greeted && !self.mail;
                self.mail |= taken;
                replies.push(if taken { "250" } else { "503" });
            }
            Sent::Rcpt(known) => {
                let name = if *known { "ada" } else { "nobody" };
                input.extend_from_slice(format!("RCPT TO:<{name}>\r\n").as_bytes());
                match (self.mail && !self.chunks, known) {
                    (false, _) => replies.push("503"),
                    (true, true) => {
                        self.recipients += 1;
                        replies.push("250");
                    }
                    // No error of the client.
                    (true, false) => return replies.push("550"),
                }
            }
            Sent::Data(lines) => {
                input.extend_from_slice(b"DATA\r\n");
                if !self.mail || self.chunks || self.recipients == 0 {
                    replies.push("503");
                } else {
                    lines
                        .iter()
                        .for_each(|line| input.extend_from_slice(line.as_bytes()));
                    if !lines.last().is_none_or(|line| line.ends_with("\r\n")) {
                        input.extend_from_slice(b"\r\n");
                    }
                    input.extend_from_slice(b".\r\n");
                    replies.push("354");
                    self.delivered(replies);
                }
            }
            Sent::Bdat { size, last } => {
                let word = if *last { " LAST" } else { "" };
                input.extend_from_slice(format!("BDAT {size}{word}\r\n").as_bytes());
                input.extend(b"QUIT\r\n".iter().cycle().take(*size));
                match (self.mail, self.recipients, last) {
                    (false, ..) | (true, 0, false) => replies.push("503"),
                    (true, _, true) => self.delivered(replies),
                    (true, _, false) => {
                        self.chunks = true;
                        replies.push("250");
                    }
                }
            }
            Sent::Rset => {
                input.extend_from_slice(b"RSET\r\n");
                (self.mail, self.recipients, self.chunks) = (false, 0, false);
                replies.push("250");
            }
            Sent::Noop => {
                input.extend_from_slice(b"NOOP\r\n");
                replies.push("250");
            }
            Sent::Nonsense => {
                input.extend_from_slice(b"\xff\0\r\n");
                replies.push("500");
            }
        }
        let errors = replies[before..]
            .iter()
            .filter(|code| code.starts_with('5'));
        self.errors += errors.count() as u32;
    }

    /// One reply for each recipient (RFC 2033 §4.2, §4.3).
    fn delivered(&mut self, replies: &mut Vec<&'static str>) {
        replies.extend(std::iter::repeat_n("250", self.recipients));
        self.messages += self.recipients;
        (self.mail, self.recipients, self.chunks) = (false, 0, false);
    }
}

async fn has_the_replies_of_the_model(all: Vec<Sent>) {
    let (mut model, mut input, mut expected) = (Model::default(), Vec::new(), vec!["220"]);
    for sent in &all {
        model.send(sent, &mut input, &mut expected);
        // Where the server would end it is another test's.
        if model.errors >= 8 {
            break;
        }
    }
    input.extend_from_slice(b"QUIT\r\n");
    expected.push("221");
    let spool = tempfile::tempdir().unwrap();
    let mail = mail().await;
    let (client, _shutdown) = connect(&mail, spool.path());
    let (from, mut to) = tokio::io::split(client);
    let send = async {
        to.write_all(&input).await.unwrap();
    };
    let read = async {
        let mut lines = BufReader::new(from).lines();
        let mut codes = Vec::new();
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.as_bytes().get(3) != Some(&b'-') {
                codes.push(line[..3].to_owned());
            }
        }
        codes
    };
    let both = async { tokio::join!(send, read).1 };
    let codes = timeout(PATIENCE, both)
        .await
        .expect("the server answers and ends");
    assert_eq!(codes, expected, "{all:?}");
    let account = mail.account_of("ada").await.unwrap();
    let inbox = account.mailbox(&MailboxName::inbox()).await.unwrap();
    assert_eq!(
        inbox.tail().await.unwrap().messages as usize,
        model.messages
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_is_pipelined_has_the_replies_of_a_model(
        all in proptest::collection::vec(sent(), 0..30),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(has_the_replies_of_the_model(all));
    }
}
