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
//! - `user: NAME PASSWORD`: one more user (there is always `alice` with `secret`). The password `expired`
//!   has expired, and where it is `down`, it cannot be checked.
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
//! - `wait: MS` lets time pass; `clock: SECONDS` moves the clock ahead that stands still by `limit: clock_s`. `deliver: NAME` puts a message into a mailbox, as LMTP would.

mod parse;
mod pattern;
mod run;
mod session;

use std::fmt;
use std::path::Path;
use std::time::Duration;

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
    Clock(Duration),
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
            Step::Wait(_) | Step::Clock(_) | Step::Deliver(_) => None,
        }
    }
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
