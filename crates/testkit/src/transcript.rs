//! The transcript language: one rule of an RFC, written as the dialogue that shows it.
//!
//! ```text
//! # Another session's EXPUNGE must not renumber this one while it fetches.
//! # RFC 9051 §7.5.1; RFC 2180 §4.1
//! versions: rev1 rev2
//! mailbox: INBOX 3
//! sessions: A B selected
//! enable: A QRESYNC
//! B> STORE 1 +FLAGS.SILENT (\Deleted)
//! B< OK
//! A> FETCH 2 (UID)
//! A< * 2 FETCH (UID 2)
//! A! EXPUNGE
//! A< OK
//! ```
//!
//! **Before the dialogue** (`key: value`):
//!
//! - `versions: rev1 rev2`: run once for each; under `rev2` every session sends
//!   `ENABLE IMAP4rev2` after its login. Without the line: `rev1`.
//! - `mailbox: NAME N`: the mailbox exists and holds N small messages with UIDs 1 to N.
//! - `message: NAME (\Seen $Junk) "17-Jul-2026 02:44:25 -0700"`: one message more; its text
//!   follows in lines that begin with `|`. Flags and date may be left out.
//! - `user: NAME PASSWORD`: one more user (there is always `alice` with `secret`).
//! - `sessions: A B selected`: connections, brought to a state: `connected` (greeting read),
//!   `authenticated`, `selected` or `examined` (INBOX). `as NAME` takes another user.
//! - `enable: A QRESYNC`: what A enables after its login.
//! - `plaintext: A`: A's connection is neither TLS nor local.
//! - `limit: NAME VALUE`: changes one limit of the server, see [`World::limit`](crate::world).
//!
//! **The dialogue.** A line may begin with `[rev1]` or `[rev2]` to be for one version only.
//!
//! - `A> COMMAND` sends a command with a tag of its own; `A>> LINE` sends a line as it stands, and if
//!   it begins with `<$name>`, that is its tag.
//!   `<crlf>` is a line end, `<tag>` a fresh tag, `<nocrlf>` at the end leaves the line open,
//!   `<xHH>` is the byte HH.
//! - `A| text` continues the line before it after a CRLF. A command sent so waits for the `+`
//!   after every `{n}`; `{*}` and `{*+}` stand for the length of all lines that follow.
//! - `A< * LINE` expects an untagged response: the whole of it, but for status responses
//!   (`* OK`, `* NO`, `* BAD`, `* BYE`) only its beginning. `A< OK`, `A< NO [CODE]`, `A< BAD` expect
//!   the beginning of the tagged response to the oldest open command. `A< +` expects a
//!   continuation request. `A< <closed>` expects the end of the connection.
//! - `A! TEXT`: no response since A last sent may contain TEXT.
//! - `A< ...`: other responses may stand between the expected ones, from A's last sending to
//!   its next one; `A!` has the same effect. Without them every response must be expected.
//! - In an expected line, too, `<crlf>` is a line end and `<xHH>` an ASCII character; octets that are
//!   not UTF-8 are seen as U+FFFD.
//! - In an expected line `<any>` is any text, `<n>` a number, `<$name>` a word without spaces,
//!   parentheses and brackets (and quotes, if one follows), remembered: the same text is wanted (or
//!   sent) where it stands again.
//! - `compress: A`: A compresses from now on, in both directions; `plain: A`: no longer.
//! - `wait: MS` lets time pass. `deliver: NAME` puts a message into a mailbox, as LMTP would.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use crate::world::{World, WorldOptions};

/// How long a transcript waits for a response.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long it looks for a response that must not come, where nothing marks the end.
const SILENCE: Duration = Duration::from_millis(40);

/// The protocol revision a transcript runs under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// IMAP4rev1: nothing is enabled.
    Rev1,
    /// IMAP4rev2: every session enables it.
    Rev2,
}

impl Version {
    fn word(self) -> &'static str {
        match self {
            Version::Rev1 => "rev1",
            Version::Rev2 => "rev2",
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Why a transcript failed, in words for the person who reads the test's output.
#[derive(Debug)]
pub struct Failure {
    /// The line of the file, from 1.
    pub line: usize,
    /// What was wanted and what came.
    pub what: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

fn failure<T>(line: usize, what: impl Into<String>) -> Result<T, Failure> {
    Err(Failure {
        line,
        what: what.into(),
    })
}

/// A parsed transcript.
#[derive(Debug)]
pub struct Transcript {
    /// The comment on top: the rule.
    pub rule: String,
    /// The versions it runs under.
    pub versions: Vec<Version>,
    setup: Vec<(usize, Setup)>,
    steps: Vec<(usize, Option<Version>, Step)>,
}

#[derive(Debug)]
enum Setup {
    Mailbox {
        name: String,
        messages: u32,
    },
    Message {
        mailbox: String,
        flags: Vec<String>,
        date: Option<String>,
        text: String,
    },
    User {
        name: String,
        password: String,
    },
    Sessions {
        names: Vec<String>,
        state: Start,
        user: String,
    },
    Enable {
        session: String,
        words: String,
    },
    Plaintext {
        session: String,
    },
    Limit {
        name: String,
        value: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    Connected,
    Authenticated,
    Selected,
    Examined,
}

#[derive(Debug)]
enum Step {
    Send {
        session: String,
        parts: Vec<String>,
        tagged: bool,
    },
    Expect {
        session: String,
        pattern: String,
    },
    Refuse {
        session: String,
        text: String,
    },
    Anything {
        session: String,
    },
    Wait(Duration),
    Deliver(String),
    Compress(String),
    Plain(String),
}

impl Step {
    fn session(&self) -> Option<&str> {
        match self {
            Step::Send { session, .. }
            | Step::Expect { session, .. }
            | Step::Refuse { session, .. }
            | Step::Anything { session }
            | Step::Compress(session)
            | Step::Plain(session) => Some(session),
            Step::Wait(_) | Step::Deliver(_) => None,
        }
    }
}

impl Transcript {
    /// Reads a transcript.
    ///
    /// # Errors
    /// A line that the language does not have.
    pub fn parse(text: &str) -> Result<Transcript, Failure> {
        let mut transcript = Transcript {
            rule: String::new(),
            versions: vec![Version::Rev1],
            setup: Vec::new(),
            steps: Vec::new(),
        };
        let mut before_dialogue = true;
        for (index, line) in text.lines().enumerate() {
            let number = index + 1;
            if let Some(comment) = line.strip_prefix('#') {
                if before_dialogue && transcript.setup.is_empty() {
                    if !transcript.rule.is_empty() {
                        transcript.rule.push(' ');
                    }
                    transcript.rule.push_str(comment.trim());
                }
                continue;
            }
            if line.trim().is_empty() {
                continue;
            }
            if let Some(text) = line.strip_prefix('|') {
                let Some((_, Setup::Message { text: message, .. })) = transcript.setup.last_mut()
                else {
                    return failure(number, "a line with | follows no message:");
                };
                message.push_str(text.strip_prefix(' ').unwrap_or(text));
                message.push_str("\r\n");
                continue;
            }
            let (version, line) = version_prefix(line);
            if let Some((key, value)) = setup_line(line) {
                if key == "wait" {
                    let ms = value.parse().map_err(|_| Failure {
                        line: number,
                        what: "wait: wants milliseconds".to_owned(),
                    })?;
                    transcript
                        .steps
                        .push((number, version, Step::Wait(Duration::from_millis(ms))));
                    continue;
                }
                if key == "compress" {
                    let step = Step::Compress(value.to_owned());
                    transcript.steps.push((number, version, step));
                    continue;
                }
                if key == "plain" {
                    let step = Step::Plain(value.to_owned());
                    transcript.steps.push((number, version, step));
                    continue;
                }
                if key == "deliver" {
                    transcript
                        .steps
                        .push((number, version, Step::Deliver(value.to_owned())));
                    continue;
                }
                transcript.setup_line(number, key, value)?;
                continue;
            }
            before_dialogue = false;
            transcript.step_line(number, version, line)?;
        }
        Ok(transcript)
    }

    fn setup_line(&mut self, number: usize, key: &str, value: &str) -> Result<(), Failure> {
        let words: Vec<&str> = value.split_whitespace().collect();
        let setup = match (key, words.as_slice()) {
            ("versions", words) => {
                self.versions = words
                    .iter()
                    .map(|word| match *word {
                        "rev1" => Ok(Version::Rev1),
                        "rev2" => Ok(Version::Rev2),
                        other => failure(number, format!("no version {other}")),
                    })
                    .collect::<Result<_, _>>()?;
                return Ok(());
            }
            ("mailbox", [name @ .., count]) if !name.is_empty() => {
                let Ok(messages) = count.parse() else {
                    return failure(number, "mailbox: wants a name and a number of messages");
                };
                Setup::Mailbox {
                    name: name.join(" "),
                    messages,
                }
            }
            ("message", [mailbox, ..]) => {
                let flags = match (value.find('('), value.find(')')) {
                    (Some(open), Some(close)) if open < close => value[open + 1..close]
                        .split_whitespace()
                        .map(str::to_owned)
                        .collect(),
                    _ => Vec::new(),
                };
                let date = value.split('"').nth(1).map(str::to_owned);
                Setup::Message {
                    mailbox: (*mailbox).to_owned(),
                    flags,
                    date,
                    text: String::new(),
                }
            }
            ("user", [name, password]) => Setup::User {
                name: (*name).to_owned(),
                password: (*password).to_owned(),
            },
            ("sessions", words) => {
                let (words, user) = match words {
                    [rest @ .., "as", user] => (rest, (*user).to_owned()),
                    all => (all, "alice".to_owned()),
                };
                let (names, state) = match words {
                    [names @ .., "connected"] => (names, Start::Connected),
                    [names @ .., "authenticated"] => (names, Start::Authenticated),
                    [names @ .., "selected"] => (names, Start::Selected),
                    [names @ .., "examined"] => (names, Start::Examined),
                    _ => return failure(number, "sessions: wants names and a state"),
                };
                let names = names.iter().map(|name| (*name).to_owned()).collect();
                Setup::Sessions { names, state, user }
            }
            ("enable", [session, words @ ..]) => Setup::Enable {
                session: (*session).to_owned(),
                words: words.join(" "),
            },
            ("plaintext", [session]) => Setup::Plaintext {
                session: (*session).to_owned(),
            },
            ("limit", [name, value]) => Setup::Limit {
                name: (*name).to_owned(),
                value: (*value).to_owned(),
            },
            _ => return failure(number, format!("not understood: {key}: {value}")),
        };
        self.setup.push((number, setup));
        Ok(())
    }

    fn step_line(
        &mut self,
        number: usize,
        version: Option<Version>,
        line: &str,
    ) -> Result<(), Failure> {
        let end = line.find(['>', '<', '!', '|']).unwrap_or(0);
        let (session, rest) = line.split_at(end);
        let session = session.to_owned();
        if session.is_empty() || !session.chars().all(|c| c.is_ascii_alphanumeric()) {
            return failure(number, format!("not understood: {line}"));
        }
        let text = |skip: usize| {
            let text = &rest[skip..];
            text.strip_prefix(' ').unwrap_or(text).to_owned()
        };
        let step = if rest.starts_with(">>") {
            Step::Send {
                session,
                parts: vec![text(2)],
                tagged: false,
            }
        } else if rest.starts_with('>') {
            Step::Send {
                session,
                parts: vec![text(1)],
                tagged: true,
            }
        } else if rest.starts_with('<') {
            match text(1) {
                dots if dots.trim() == "..." => Step::Anything { session },
                pattern => Step::Expect { session, pattern },
            }
        } else if rest.starts_with('!') {
            Step::Refuse {
                session,
                text: text(1),
            }
        } else {
            match self.steps.last_mut() {
                Some((
                    _,
                    _,
                    Step::Send {
                        session: last,
                        parts,
                        ..
                    },
                )) if *last == session => {
                    parts.push(text(1));
                }
                Some((
                    _,
                    _,
                    Step::Expect {
                        session: last,
                        pattern,
                    },
                )) if *last == session => {
                    pattern.push_str("\r\n");
                    pattern.push_str(&text(1));
                }
                _ => return failure(number, "a line with | continues nothing"),
            }
            return Ok(());
        };
        self.steps.push((number, version, step));
        Ok(())
    }

    /// Runs it under one version, with a server of its own; ends with a check of the store.
    ///
    /// # Errors
    /// The first expectation that is not met.
    ///
    /// With `tls`, its connections are TLS but for those that the transcript calls plain.
    pub async fn run(&self, version: Version, tls: bool) -> Result<(), Failure> {
        let mut options = WorldOptions {
            tls,
            ..WorldOptions::default()
        };
        for (line, setup) in &self.setup {
            if let Setup::Limit { name, value } = setup {
                options
                    .limit(name, value)
                    .map_err(|what| Failure { line: *line, what })?;
            }
        }
        let world = World::new(options).await;
        let mut run = Run {
            world,
            sessions: HashMap::new(),
            names: HashMap::new(),
        };
        self.set_up(&mut run, version).await?;
        let steps: Vec<_> = self
            .steps
            .iter()
            .filter(|(_, only, _)| only.is_none_or(|only| only == version))
            .collect();
        for (index, (line, _, step)) in steps.iter().enumerate() {
            let following = steps[index..].iter().map(|(_, _, step)| step);
            run.step(*line, step, following).await?;
        }
        let last = steps.last().map_or(0, |(line, _, _)| *line);
        let mut names: Vec<_> = run.sessions.keys().cloned().collect();
        names.sort();
        for name in names {
            run.end(last, &name).await?;
        }
        run.world
            .check()
            .await
            .map_err(|what| Failure { line: last, what })
    }

    async fn set_up(&self, run: &mut Run, version: Version) -> Result<(), Failure> {
        for (line, setup) in &self.setup {
            let fail = |what: String| Failure { line: *line, what };
            match setup {
                Setup::Mailbox { name, messages } => {
                    run.world.mailbox(name, *messages).await.map_err(fail)?;
                }
                Setup::Message {
                    mailbox,
                    flags,
                    date,
                    text,
                } => {
                    run.world
                        .message(mailbox, flags, date.as_deref(), text.as_bytes())
                        .await
                        .map_err(fail)?;
                }
                Setup::User { name, password } => {
                    run.world.user(name, password).await.map_err(fail)?;
                }
                Setup::Sessions { names, state, user } => {
                    for name in names {
                        self.start(run, *line, name, *state, user, version).await?;
                    }
                }
                Setup::Enable { .. } | Setup::Plaintext { .. } | Setup::Limit { .. } => {}
            }
        }
        Ok(())
    }

    async fn start(
        &self,
        run: &mut Run,
        line: usize,
        name: &str,
        state: Start,
        user: &str,
        version: Version,
    ) -> Result<(), Failure> {
        let secure = !self.setup.iter().any(
            |(_, setup)| matches!(setup, Setup::Plaintext { session } if session.as_str() == name),
        );
        let stream = run.world.connect(secure);
        run.sessions
            .insert(name.to_owned(), Session::new(name, stream));
        let session = run.session(line, name)?;
        let greeting = session.response(line).await?;
        if !greeting.starts_with("* OK ") {
            return failure(line, format!("the greeting is {greeting:?}"));
        }
        if state == Start::Connected {
            return Ok(());
        }
        let password = run.world.password(user).unwrap_or_default();
        let session = run.session(line, name)?;
        session
            .command(line, &format!("LOGIN {user} {password}"))
            .await?;
        if version == Version::Rev2 {
            session.command(line, "ENABLE IMAP4rev2").await?;
        }
        for (_, setup) in &self.setup {
            if let Setup::Enable {
                session: wanted,
                words,
            } = setup
                && wanted == name
            {
                session.command(line, &format!("ENABLE {words}")).await?;
            }
        }
        match state {
            Start::Selected => session.command(line, "SELECT INBOX").await,
            Start::Examined => session.command(line, "EXAMINE INBOX").await,
            Start::Connected | Start::Authenticated => Ok(()),
        }
    }
}

fn version_prefix(line: &str) -> (Option<Version>, &str) {
    for version in [Version::Rev1, Version::Rev2] {
        let rest = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_prefix(version.word()))
            .and_then(|rest| rest.strip_prefix(']'));
        if let Some(rest) = rest {
            return (Some(version), rest.trim_start());
        }
    }
    (None, line)
}

fn setup_line(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once(':')?;
    let lower = key.chars().all(|c| c.is_ascii_lowercase());
    (lower && !key.is_empty()).then(|| (key, value.trim()))
}

struct Run {
    world: World,
    sessions: HashMap<String, Session>,
    names: HashMap<String, String>,
}

impl Run {
    fn session(&mut self, line: usize, name: &str) -> Result<&mut Session, Failure> {
        match self.sessions.get_mut(name) {
            Some(session) => Ok(session),
            None => failure(line, format!("no session {name}")),
        }
    }

    async fn step<'a>(
        &mut self,
        line: usize,
        step: &Step,
        following: impl Iterator<Item = &'a Step>,
    ) -> Result<(), Failure> {
        match step {
            Step::Wait(time) => {
                tokio::time::sleep(*time).await;
                Ok(())
            }
            Step::Deliver(mailbox) => {
                let text = b"Subject: News\r\n\r\nText\r\n";
                let delivered = self.world.message(mailbox, &[], None, text).await;
                delivered.map_err(|what| Failure { line, what })
            }
            Step::Plain(name) => {
                self.session(line, name)?.deflate = None;
                Ok(())
            }
            Step::Compress(name) => {
                let session = self.session(line, name)?;
                session.deflate = Some(Deflate {
                    compress: Compress::new(Compression::default(), false),
                    decompress: Decompress::new(false),
                });
                Ok(())
            }
            Step::Send {
                session: name,
                parts,
                tagged,
            } => {
                let exchange: Vec<&Step> = following
                    .skip(1)
                    .filter(|step| step.session() == Some(name))
                    .take_while(|step| !matches!(step, Step::Send { .. }))
                    .collect();
                let expected = exchange
                    .iter()
                    .any(|step| matches!(step, Step::Expect { .. } | Step::Anything { .. }));
                let names = self.names.clone();
                let session = self.session(line, name)?;
                if expected || !session.pipelining {
                    session.seen.clear();
                }
                session.pipelining = !expected;
                session.lax = exchange
                    .iter()
                    .any(|step| matches!(step, Step::Anything { .. } | Step::Refuse { .. }));
                session.send(line, parts, *tagged, &names).await
            }
            Step::Anything { .. } => Ok(()),
            Step::Expect {
                session: name,
                pattern,
            } => {
                let mut names = std::mem::take(&mut self.names);
                let session = self.session(line, name)?;
                let result = session.expect(line, pattern, &mut names).await;
                self.names = names;
                result
            }
            Step::Refuse {
                session: name,
                text,
            } => {
                let more = following.skip(1).any(|step| match step {
                    Step::Expect { session, .. } => session == name,
                    _ => false,
                });
                let session = self.session(line, name)?;
                session.refused.push((line, text.clone()));
                if !more {
                    session.listen(line).await?;
                }
                session.check_refused()
            }
        }
    }

    /// Logs a session out; nothing unexpected may have been waiting.
    async fn end(&mut self, line: usize, name: &str) -> Result<(), Failure> {
        let session = self.session(line, name)?;
        if session.closed {
            return Ok(());
        }
        session.lax = false;
        session
            .send(line, &["LOGOUT".to_owned()], true, &HashMap::new())
            .await?;
        let mut names = HashMap::new();
        session.expect(line, "* BYE", &mut names).await?;
        session.expect(line, "OK", &mut names).await
    }
}

/// A client's side of COMPRESS.
struct Deflate {
    compress: Compress,
    decompress: Decompress,
}

impl Deflate {
    fn pack(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut packed = Vec::with_capacity(bytes.len() + bytes.len() / 8 + 64);
        let flush = FlushCompress::Partial;
        // There is room for all of it, so it cannot fail.
        let _ = self.compress.compress_vec(bytes, &mut packed, flush);
        packed
    }

    fn unpack(&mut self, mut packed: &[u8], plain: &mut Vec<u8>) -> std::io::Result<()> {
        loop {
            plain.reserve(16 << 10);
            let (before, had) = (self.decompress.total_in(), plain.len());
            self.decompress
                .decompress_vec(packed, plain, FlushDecompress::Sync)?;
            packed = &packed[(self.decompress.total_in() - before) as usize..];
            if packed.is_empty() && plain.len() == had {
                return Ok(());
            }
        }
    }
}

/// One connection of a transcript.
struct Session {
    name: String,
    stream: DuplexStream,
    deflate: Option<Deflate>,
    buffer: Vec<u8>,
    tags: u32,
    /// Tags of commands that have no tagged response yet, oldest first.
    open: std::collections::VecDeque<String>,
    /// Responses since the session last sent.
    seen: Vec<String>,
    refused: Vec<(usize, String)>,
    lax: bool,
    pipelining: bool,
    closed: bool,
}

impl Session {
    fn new(name: &str, stream: DuplexStream) -> Session {
        Session {
            name: name.to_owned(),
            stream,
            deflate: None,
            buffer: Vec::new(),
            tags: 0,
            open: std::collections::VecDeque::new(),
            seen: Vec::new(),
            refused: Vec::new(),
            lax: false,
            pipelining: false,
            closed: false,
        }
    }

    fn fresh_tag(&mut self) -> String {
        self.tags += 1;
        let tag = format!("{}{}", self.name, self.tags);
        self.open.push_back(tag.clone());
        tag
    }

    /// A command of the set-up: must be OK; what else it says is passed over.
    async fn command(&mut self, line: usize, command: &str) -> Result<(), Failure> {
        self.lax = true;
        self.send(line, &[command.to_owned()], true, &HashMap::new())
            .await?;
        self.expect(line, "OK", &mut HashMap::new()).await?;
        self.lax = false;
        Ok(())
    }

    async fn send(
        &mut self,
        line: usize,
        parts: &[String],
        tagged: bool,
        names: &HashMap<String, String>,
    ) -> Result<(), Failure> {
        self.refused.clear();
        for (index, part) in parts.iter().enumerate() {
            let mut bytes = Vec::new();
            if index == 0 && tagged {
                let tag = self.fresh_tag();
                bytes.extend_from_slice(tag.as_bytes());
                bytes.push(b' ');
            }
            self.expand(part, names, &mut bytes);
            if index == 0 && !tagged && part.starts_with("<$") {
                let tag = bytes.split(|byte| *byte == b' ').next();
                let tag = String::from_utf8_lossy(tag.unwrap_or_default());
                self.open.push_back(tag.into_owned());
            }
            if let Some(start) = ends_with_star_literal(&bytes) {
                let mut rest = Vec::new();
                for (position, following) in parts[index + 1..].iter().enumerate() {
                    if position > 0 {
                        rest.extend_from_slice(b"\r\n");
                    }
                    self.expand(following, names, &mut rest);
                }
                let mark = bytes.split_off(start);
                let count = rest.len().to_string();
                for byte in mark {
                    match byte {
                        b'*' => bytes.extend_from_slice(count.as_bytes()),
                        other => bytes.push(other),
                    }
                }
            }
            let waits = index + 1 < parts.len() && waits_for_continuation(&bytes);
            if !(bytes.ends_with(b"<nocrlf>")) {
                bytes.extend_from_slice(b"\r\n");
            } else {
                bytes.truncate(bytes.len() - b"<nocrlf>".len());
            }
            if let Some(deflate) = &mut self.deflate {
                bytes = deflate.pack(&bytes);
            }
            if let Err(error) = self.stream.write_all(&bytes).await {
                return failure(line, format!("{} cannot send: {error}", self.name));
            }
            if waits {
                let response = self.response(line).await?;
                if !response.starts_with('+') {
                    return failure(
                        line,
                        format!("wanted a + for the literal, got {response:?}"),
                    );
                }
            }
        }
        Ok(())
    }

    fn expand(&mut self, text: &str, names: &HashMap<String, String>, out: &mut Vec<u8>) {
        let mut rest = text;
        while let Some(at) = rest.find('<') {
            out.extend_from_slice(&rest.as_bytes()[..at]);
            rest = &rest[at..];
            let Some(end) = rest.find('>') else { break };
            let word = &rest[1..end];
            if word == "crlf" {
                out.extend_from_slice(b"\r\n");
            } else if word == "tag" {
                let tag = self.fresh_tag();
                out.extend_from_slice(tag.as_bytes());
            } else if let Some(byte) = word
                .strip_prefix('x')
                .and_then(|hex| u8::from_str_radix(hex, 16).ok())
            {
                out.push(byte);
            } else if let Some(value) = word.strip_prefix('$').and_then(|name| names.get(name)) {
                out.extend_from_slice(value.as_bytes());
            } else {
                out.extend_from_slice(&rest.as_bytes()[..=end]);
            }
            rest = &rest[end + 1..];
        }
        out.extend_from_slice(rest.as_bytes());
    }

    async fn expect(
        &mut self,
        line: usize,
        pattern: &str,
        names: &mut HashMap<String, String>,
    ) -> Result<(), Failure> {
        if pattern.trim() == "<closed>" {
            return match self.read_response().await {
                Ok(Some(response)) => failure(
                    line,
                    format!("wanted the end of the connection, got {response:?}"),
                ),
                Ok(None) | Err(_) => {
                    self.closed = true;
                    Ok(())
                }
            };
        }
        let untagged = pattern.starts_with("* ") || pattern.starts_with('+');
        let mut skipped = String::new();
        loop {
            let response = match self.response(line).await {
                Ok(response) => response,
                Err(mut failure) => {
                    failure.what = format!(
                        "{} while {} waited for {pattern:?}{skipped}",
                        failure.what, self.name
                    );
                    return Err(failure);
                }
            };
            self.check_refused()?;
            let tag = self.open.front().cloned().unwrap_or_default();
            let tagged = response
                .strip_prefix(tag.as_str())
                .and_then(|rest| rest.strip_prefix(' '));
            let matched = match (untagged, tagged) {
                (true, None) => {
                    let whole = !pattern.starts_with('+')
                        && !["* OK", "* NO", "* BAD", "* BYE", "* PREAUTH"]
                            .iter()
                            .any(|status| pattern.starts_with(status));
                    matches(pattern, &response, whole, names)
                }
                (false, Some(rest)) => {
                    self.open.pop_front();
                    if matches(pattern, rest, false, names) {
                        return Ok(());
                    }
                    false
                }
                _ => false,
            };
            if matched {
                return Ok(());
            }
            if self.lax && tagged.is_none() {
                skipped.push_str(&format!("\n      passed over {response:?}"));
                continue;
            }
            return failure(
                line,
                format!(
                    "{} wanted {pattern:?}\n      but got {response:?}{skipped}",
                    self.name
                ),
            );
        }
    }

    fn check_refused(&self) -> Result<(), Failure> {
        for (line, text) in &self.refused {
            if let Some(found) = self.seen.iter().find(|seen| seen.contains(text.as_str())) {
                return failure(
                    *line,
                    format!(
                        "{} must not be told {text:?}, but was: {found:?}",
                        self.name
                    ),
                );
            }
        }
        Ok(())
    }

    /// Takes what comes for a moment.
    async fn listen(&mut self, line: usize) -> Result<(), Failure> {
        while let Ok(result) = tokio::time::timeout(SILENCE, self.read_response()).await {
            match result {
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return failure(line, "the connection was closed"),
            }
        }
        Ok(())
    }

    /// The next response as a whole, with its literals, without the last CRLF.
    async fn response(&mut self, line: usize) -> Result<String, Failure> {
        match tokio::time::timeout(PATIENCE, self.read_response()).await {
            Ok(Ok(Some(response))) => Ok(response),
            Ok(Ok(None)) => failure(line, "the connection was closed"),
            Ok(Err(error)) => failure(line, format!("the connection broke: {error}")),
            Err(_) => failure(line, "nothing came"),
        }
    }

    async fn read_response(&mut self) -> std::io::Result<Option<String>> {
        loop {
            if let Some(end) = complete_response(&self.buffer) {
                let rest = self.buffer.split_off(end);
                let mut response = std::mem::replace(&mut self.buffer, rest);
                response.truncate(end - 2);
                let response = String::from_utf8_lossy(&response).into_owned();
                self.seen.push(response.clone());
                return Ok(Some(response));
            }
            if let Some(deflate) = &mut self.deflate {
                let mut packed = Vec::new();
                if self.stream.read_buf(&mut packed).await? == 0 {
                    return Ok(None);
                }
                deflate.unpack(&packed, &mut self.buffer)?;
            } else if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }
}

/// Where the first response in `bytes` ends (behind its CRLF), if all of it is there.
fn complete_response(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let end = at + bytes.get(at..)?.windows(2).position(|two| two == b"\r\n")?;
        match literal_length(&bytes[at..end]) {
            Some(length) => at = end + 2 + length,
            None => return Some(end + 2),
        }
    }
}

fn literal_length(line: &[u8]) -> Option<usize> {
    let inner = line.strip_suffix(b"}")?;
    let open = inner.iter().rposition(|&byte| byte == b'{')?;
    std::str::from_utf8(&inner[open + 1..]).ok()?.parse().ok()
}

fn waits_for_continuation(line: &[u8]) -> bool {
    literal_length(line).is_some()
}

fn ends_with_star_literal(line: &[u8]) -> Option<usize> {
    [&b"{*}"[..], b"{*+}"]
        .into_iter()
        .find(|mark| line.ends_with(mark))
        .map(|mark| line.len() - mark.len())
}

/// Whether `text` matches (`whole`: all of it; else its beginning); remembers names if it does.
fn matches(pattern: &str, text: &str, whole: bool, names: &mut HashMap<String, String>) -> bool {
    let mut found = names.clone();
    if matches_from(pattern, text, whole, &mut found) {
        *names = found;
        return true;
    }
    false
}

fn matches_from(
    pattern: &str,
    text: &str,
    whole: bool,
    names: &mut HashMap<String, String>,
) -> bool {
    let (mut pattern, mut text) = (pattern, text);
    loop {
        if pattern.is_empty() {
            return !whole || text.is_empty();
        }
        if let Some(rest) = pattern.strip_prefix("<any>") {
            return text
                .char_indices()
                .map(|(at, _)| at)
                .chain([text.len()])
                .any(|at| matches_from(rest, &text[at..], whole, names));
        }
        if let Some(rest) = pattern.strip_prefix("<crlf>") {
            match text.strip_prefix("\r\n") {
                Some(left) => (pattern, text) = (rest, left),
                None => return false,
            }
            continue;
        }
        if let Some((byte, rest)) = hex_byte(pattern) {
            match text.strip_prefix(char::from(byte)) {
                Some(left) if byte.is_ascii() => (pattern, text) = (rest, left),
                _ => return false,
            }
            continue;
        }
        if let Some(rest) = pattern.strip_prefix("<n>") {
            let digits = text.bytes().take_while(u8::is_ascii_digit).count();
            if digits == 0 {
                return false;
            }
            (pattern, text) = (rest, &text[digits..]);
            continue;
        }
        if let Some((name, rest)) = pattern.strip_prefix("<$").and_then(|p| p.split_once('>')) {
            match names.get(name) {
                Some(value) => match text.strip_prefix(value.as_str()) {
                    Some(left) => (pattern, text) = (rest, left),
                    None => return false,
                },
                None => {
                    let quoted = rest.starts_with('"');
                    let ends = |c: char| " ()[]\r".contains(c) || (quoted && c == '"');
                    let end = text.find(ends).unwrap_or(text.len());
                    if end == 0 {
                        return false;
                    }
                    names.insert(name.to_owned(), text[..end].to_owned());
                    (pattern, text) = (rest, &text[end..]);
                }
            }
            continue;
        }
        let (mut wanted, mut given) = (pattern.chars(), text.chars());
        if wanted.next() != given.next() {
            return false;
        }
        (pattern, text) = (wanted.as_str(), given.as_str());
    }
}

/// The byte that `<xHH>` at the beginning stands for, and what follows it.
fn hex_byte(pattern: &str) -> Option<(u8, &str)> {
    let (digits, rest) = pattern.strip_prefix("<x")?.split_once('>')?;
    let byte = u8::from_str_radix(digits, 16).ok()?;
    (digits.len() == 2).then_some((byte, rest))
}

/// One runnable case: a file under one version.
#[derive(Debug)]
pub struct Case {
    /// `area/rule (rev1)`.
    pub name: String,
    /// Where the file is.
    pub path: std::path::PathBuf,
    /// The version to run under.
    pub version: Version,
}

/// All cases under a directory, in order of their names.
///
/// # Errors
/// A file that cannot be read or parsed, named.
pub fn cases(root: &Path) -> Result<Vec<Case>, String> {
    let mut files = Vec::new();
    let mut directories = vec![root.to_path_buf()];
    while let Some(directory) = directories.pop() {
        let entries = std::fs::read_dir(&directory)
            .map_err(|error| format!("{}: {error}", directory.display()))?;
        for entry in entries {
            let path = entry.map_err(|error| error.to_string())?.path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "txt") {
                files.push(path);
            }
        }
    }
    files.sort();
    let mut cases = Vec::new();
    for path in files {
        let transcript = load(&path)?;
        let name = path.strip_prefix(root).unwrap_or(&path).with_extension("");
        for version in transcript.versions {
            cases.push(Case {
                name: format!("{} ({version})", name.display()),
                path: path.clone(),
                version,
            });
        }
    }
    Ok(cases)
}

/// Reads one file.
///
/// # Errors
/// As [`cases`].
pub fn load(path: &Path) -> Result<Transcript, String> {
    let text =
        std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Transcript::parse(&text).map_err(|failure| format!("{}: {failure}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(pattern: &str, text: &str, whole: bool) -> bool {
        matches(pattern, text, whole, &mut HashMap::new())
    }

    #[test]
    fn patterns_match_what_they_say() {
        assert!(fits("* 1 EXISTS", "* 1 EXISTS", true));
        assert!(fits("a<crlf>b<x00>", "a\r\nb\0", true));
        assert!(!fits("a<crlf>b<x00>", "a\r\nb\u{1}", true));
        assert!(!fits("* 1 EXISTS", "* 1 EXISTS ", true));
        assert!(fits("* OK [UIDNEXT <n>]", "* OK [UIDNEXT 12] Next", false));
        assert!(!fits("* OK [UIDNEXT <n>]", "* OK [UIDNEXT ]", false));
        assert!(fits("a<any>c", "abbbc", true));
        assert!(!fits("a<any>c", "abbb", true));
        assert!(fits("<$x> <$x>", "7 7", true));
        assert!(!fits("<$x> <$x>", "7 8", true));
        assert!(fits("\"<$x>\" <$x>", "\"7\" 7", true));
    }

    #[test]
    fn responses_end_behind_their_literals() {
        assert_eq!(complete_response(b"* OK\r\nA"), Some(6));
        assert_eq!(complete_response(b"* 1 {3}\r\na\r\n"), None);
        assert_eq!(complete_response(b"* 1 {3}\r\na\r\n)\r\n"), Some(15));
    }

    #[test]
    fn a_line_that_means_nothing_is_refused() {
        assert!(Transcript::parse("nonsense").is_err());
        assert!(Transcript::parse("mailbox: INBOX many").is_err());
        assert!(Transcript::parse("A| x").is_err());
    }
}
