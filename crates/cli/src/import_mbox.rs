//! mbox: messages one after the other, each behind a line `From sender date`.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use indicatif::ProgressBar;

use crate::import::{Body, Importer, Message, is_keyword, progress, with_crlf};

pub(crate) async fn run(importer: &mut Importer, file: &Path, mailbox: &str) -> Result<(), String> {
    let about = |error: std::io::Error| format!("{}: {error}", file.display());
    let open = File::open(file).map_err(about)?;
    let length = open.metadata().map_err(about)?.len();
    let bar = progress(length, "{bar:40} {bytes}/{total_bytes}, {eta} left");
    let mut mbox = Mbox::new(BufReader::with_capacity(1 << 18, open))?;
    // The UIDs' base is in the first message, or in one before it that is no mail.
    let first = mbox.next();
    let base = mbox.base;
    let uids = (
        base.map(|base| base.uid_validity),
        base.and_then(|base| base.last_uid.checked_add(1)),
    );
    let messages = first
        .into_iter()
        .chain(&mut mbox)
        .map(|message| message.map_err(|error| format!("{}: {error}", file.display())));
    let advance = |bar: &ProgressBar, message: &Message| {
        if let Body::Bytes(bytes) = &message.body {
            bar.inc(bytes.len() as u64);
        }
    };
    importer
        .mailbox(mailbox, uids, true, messages, &bar, advance)
        .await?;
    bar.finish_and_clear();
    mbox.notes()
        .into_iter()
        .for_each(|note| importer.note(note));
    Ok(())
}

/// What the UIDs of a file belong to: `X-IMAPbase` (in the first message) or `X-IMAP`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Base {
    uid_validity: u32,
    /// The largest UID that was ever given out.
    last_uid: u32,
}

impl Base {
    fn parse(value: &str) -> Option<Base> {
        let mut words = value.split_ascii_whitespace();
        let mut number = || words.next()?.parse::<u32>().ok();
        let uid_validity = number().filter(|number| *number > 0)?;
        let last_uid = number()?;
        Some(Base {
            uid_validity,
            last_uid,
        })
    }
}

/// What the header fields say in which mbox programs keep their data.
#[derive(Debug, Default)]
struct Fields {
    flags: Vec<String>,
    uid: Option<u32>,
    base: Option<Base>,
    /// Words and letters that mean nothing here.
    not_understood: Vec<String>,
}

/// Reads messages one by one.
struct Mbox<R> {
    lines: R,
    /// The date of the `From ` line that was read last; `None` at the end.
    next: Option<i64>,
    line: Vec<u8>,
    base: Option<Base>,
    /// How many messages were read.
    count: u64,
    /// The UID of the last message that had one.
    last_uid: u32,
    /// Messages whose UID is there but cannot be kept, and messages that have none.
    uids_not_kept: u64,
    without_uid: u64,
    not_understood: BTreeSet<String>,
}

impl<R: BufRead> Mbox<R> {
    fn new(mut lines: R) -> Result<Mbox<R>, String> {
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = lines
                .read_until(b'\n', &mut line)
                .map_err(|error| error.to_string())?;
            if read == 0 {
                return Ok(Mbox::at(lines, None, line));
            }
            if !line.trim_ascii().is_empty() {
                let date = from_line(&line).ok_or("not an mbox: it does not begin with From")?;
                return Ok(Mbox::at(lines, Some(date), line));
            }
        }
    }

    fn at(lines: R, next: Option<i64>, line: Vec<u8>) -> Mbox<R> {
        Mbox {
            lines,
            next,
            line,
            base: None,
            count: 0,
            last_uid: 0,
            uids_not_kept: 0,
            without_uid: 0,
            not_understood: BTreeSet::new(),
        }
    }

    /// The UID that a message keeps. UIDs ascend and are no larger than the base says: whoever sent a message
    /// may have written one. After a message without a UID, which takes the next one, none can be kept.
    fn uid(&mut self, uid: Option<u32>) -> Option<u32> {
        let last = self.base.map_or(0, |base| base.last_uid);
        match uid {
            Some(uid) if self.without_uid == 0 && self.last_uid < uid && uid <= last => {
                self.last_uid = uid;
                Some(uid)
            }
            _ => {
                self.uids_not_kept += u64::from(uid.is_some());
                self.without_uid += u64::from(self.base.is_some());
                None
            }
        }
    }

    /// What the user should know of what was not taken as it was.
    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.base.is_none() && self.uids_not_kept > 0 {
            notes.push(format!(
                "{} messages have an X-UID, but there is no X-IMAPbase in the first: they got new UIDs.",
                self.uids_not_kept
            ));
        }
        if self.without_uid > 0 {
            notes.push(format!(
                "{} messages without a usable X-UID got new UIDs.",
                self.without_uid
            ));
        }
        if !self.not_understood.is_empty() {
            let words: Vec<_> = self.not_understood.iter().map(String::as_str).collect();
            notes.push(format!(
                "Not understood in Status, X-Status and X-Keywords: {}.",
                words.join(", ")
            ));
        }
        notes
    }

    fn message(&mut self, date: i64) -> std::io::Result<Message> {
        let mut bytes = Vec::new();
        let mut after_blank = false;
        self.next = None;
        loop {
            self.line.clear();
            if self.lines.read_until(b'\n', &mut self.line)? == 0 {
                break;
            }
            if after_blank && let Some(next) = from_line(&self.line) {
                self.next = Some(next);
                break;
            }
            after_blank = matches!(self.line.as_slice(), b"\n" | b"\r\n");
            // A line of the message that begins with From was written with one more >.
            let quotes = self.line.iter().take_while(|b| **b == b'>').count();
            let quoted = quotes > 0 && self.line[quotes..].starts_with(b"From ");
            bytes.extend_from_slice(&self.line[usize::from(quoted)..]);
        }
        // The blank line before the next From belongs to the format.
        if bytes.ends_with(b"\n\n") {
            bytes.truncate(bytes.len() - 1);
        } else if bytes.ends_with(b"\r\n\r\n") {
            bytes.truncate(bytes.len() - 2);
        }
        let (fields, bytes) = take_status(with_crlf(bytes));
        let internal = is_internal(&bytes);
        if self.count == 0 {
            self.base = self.base.or(fields.base);
        }
        let mut uid = None;
        if !internal {
            self.count += 1;
            uid = self.uid(fields.uid);
            // Enough to see what it is about.
            let room = 20_usize.saturating_sub(self.not_understood.len());
            let words = fields.not_understood.into_iter().take(room);
            self.not_understood.extend(words);
        }
        Ok(Message {
            uid,
            date,
            flags: fields.flags,
            body: Body::Bytes(bytes),
        })
    }
}

impl<R: BufRead> Iterator for Mbox<R> {
    type Item = Result<Message, String>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let date = self.next?;
            match self.message(date) {
                // What UW IMAP keeps its data in is no mail.
                Ok(Message {
                    body: Body::Bytes(bytes),
                    ..
                }) if is_internal(&bytes) => {}
                other => return Some(other.map_err(|error| error.to_string())),
            }
        }
    }
}

fn is_internal(bytes: &[u8]) -> bool {
    let head = &bytes[..bytes.len().min(4096)];
    let subject = b"DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA";
    head.windows(subject.len()).any(|window| window == subject)
}

/// The date of a line `From sender Fri Jul  8 12:08:34 2011`, in seconds since 1970; `None` if it is
/// another line.
fn from_line(line: &[u8]) -> Option<i64> {
    let line = std::str::from_utf8(line.strip_prefix(b"From ")?).ok()?;
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let clock = words.iter().position(|word| {
        let parts: Vec<_> = word.split(':').collect();
        (2..=3).contains(&parts.len()) && parts.iter().all(|p| p.parse::<u8>().is_ok())
    })?;
    let number = |word: &str| word.parse::<i64>().ok();
    let mut time = words[clock]
        .split(':')
        .map(|part| number(part).unwrap_or(0));
    let (hour, minute) = (time.next()?, time.next()?);
    let second = time.next().unwrap_or(0);
    let day = number(words.get(clock.checked_sub(1)?)?)?;
    let month_word = words.get(clock.checked_sub(2)?)?;
    let months = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let month = months.find(month_word.get(..3)?)? / 3 + 1;
    // A zone may stand before the year.
    let year = words[clock + 1..]
        .iter()
        .filter(|w| w.len() == 4)
        .find_map(|word| number(word))?;
    if !(1970..=9999).contains(&year) || !(1..=31).contains(&day) || hour > 23 || minute > 59 {
        return None;
    }
    let days = restante_server::days_from_civil(year, month as i64, day);
    Some(days * 86_400 + hour * 3_600 + minute * 60 + second.min(60))
}

/// Takes the header fields out in which mbox programs keep flags.
fn take_status(bytes: Vec<u8>) -> (Fields, Vec<u8>) {
    let mut fields = Fields::default();
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes.as_slice();
    let mut dropping = false;
    while !rest.is_empty() {
        let end = rest
            .iter()
            .position(|b| *b == b'\n')
            .map_or(rest.len(), |at| at + 1);
        let (line, tail) = rest.split_at(end);
        if line == b"\r\n" {
            break;
        }
        rest = tail;
        let folded = line.starts_with(b" ") || line.starts_with(b"\t");
        if !folded {
            dropping = status_field(line, &mut fields);
        }
        if !dropping {
            out.extend_from_slice(line);
        }
    }
    out.extend_from_slice(rest);
    (fields, out)
}

/// Whether the line is such a field; what it says is noted.
fn status_field(line: &[u8], fields: &mut Fields) -> bool {
    let Some(colon) = line.iter().position(|b| *b == b':') else {
        return false;
    };
    let (name, value) = (&line[..colon], String::from_utf8_lossy(&line[colon + 1..]));
    let value = value.trim();
    let is = |field: &str| name.eq_ignore_ascii_case(field.as_bytes());
    if is("Status") || is("X-Status") {
        value
            .chars()
            .for_each(|letter| status_letter(letter, fields));
    } else if is("X-Keywords") {
        for word in value.split_ascii_whitespace() {
            match is_keyword(word) {
                true => fields.flags.push(word.to_owned()),
                false => fields.not_understood.push(word.to_owned()),
            }
        }
    } else if is("X-UID") {
        fields.uid = value.parse().ok().filter(|uid| *uid > 0);
    } else if is("X-IMAP") || is("X-IMAPbase") {
        fields.base = Base::parse(value);
    } else {
        return false;
    }
    true
}

fn status_letter(letter: char, fields: &mut Fields) {
    let flag = match letter {
        'R' => "\\Seen",
        'A' => "\\Answered",
        'F' => "\\Flagged",
        'T' => "\\Draft",
        'D' => "\\Deleted",
        // Old, new, unread: what \Recent and \Seen say without them.
        'O' | 'N' | 'U' | ' ' | '\t' => return,
        _ => return fields.not_understood.push(letter.to_string()),
    };
    fields.flags.push(flag.to_owned());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(i64, String, String)> {
        let mbox = Mbox::new(text.as_bytes()).unwrap();
        mbox.map(|message| {
            let message = message.unwrap();
            let Body::Bytes(bytes) = message.body else {
                panic!()
            };
            (
                message.date,
                message.flags.join(" "),
                String::from_utf8(bytes).unwrap(),
            )
        })
        .collect()
    }

    #[test]
    fn messages_flags_and_quoting() {
        let text = "From MAILER-DAEMON Fri Jul  8 12:08:34 2011\nSubject: a\nStatus: RO\n\
                    X-Status: A\nX-Keywords: $Label1\n  \n\n>From here\n>>From there\nx\n\n\
                    From b@c Thu Jan  1 00:00:01 1970 +0000\nSubject: b\n\nFrom the start\n";
        let messages = read(text);
        assert_eq!(messages.len(), 2);
        assert_eq!(
            messages[0],
            (
                1_310_126_914,
                "\\Seen \\Answered $Label1".to_owned(),
                "Subject: a\r\n\r\nFrom here\r\n>From there\r\nx\r\n".to_owned()
            )
        );
        // Not after a blank line that ends a message, and without a date: no separator.
        assert_eq!(messages[1].2, "Subject: b\r\n\r\nFrom the start\r\n");
    }

    #[test]
    fn uids_are_kept_up_to_the_last_one_given() {
        let message =
            |head: &str| format!("From a Thu Jan  1 00:00:00 1970\n{head}Subject: x\n\nx\n\n");
        let uids = |text: &str| {
            let mut mbox = Mbox::new(text.as_bytes()).unwrap();
            let uids: Vec<_> = (&mut mbox).map(|message| message.unwrap().uid).collect();
            (mbox.base.map(|base| base.uid_validity), uids, mbox.notes())
        };
        let text = message("X-IMAPbase: 1234567890 0000000009 $Label1 NonJunk\nX-UID: 3\n")
            + &message("X-IMAPbase: 5 7\nX-UID: 7\n")
            + &message("X-UID: 9000\nX-Status: AX\n")
            + &message("X-UID: 8\nX-Keywords: a(b\n");
        let (validity, kept, notes) = uids(&text);
        assert_eq!(validity, Some(1_234_567_890));
        assert_eq!(kept, [Some(3), Some(7), None, None]);
        assert_eq!(notes.len(), 2, "{notes:?}");
        assert!(notes[0].starts_with("2 messages without"), "{notes:?}");
        assert!(notes[1].ends_with("X, a(b."), "{notes:?}");
        // What UW IMAP writes: the base is in a message that is no mail.
        let internal = "Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\nX-IMAP: 77 2\n";
        let text = message(internal) + &message("X-UID: 2\n");
        assert_eq!(uids(&text), (Some(77), vec![Some(2)], vec![]));
        let (validity, kept, notes) = uids(&message("X-UID: 2\n"));
        assert_eq!((validity, kept, notes.len()), (None, vec![None], 1));
        assert_eq!(uids(&message("")).2, Vec::<String>::new());
    }

    #[test]
    fn from_lines() {
        assert_eq!(from_line(b"From a@b Thu Jan  1 00:00:00 1970\n"), Some(0));
        assert_eq!(from_line(b"From a@b Thu Jan  1 00:01 1970"), Some(60));
        assert_eq!(from_line(b"From a b Thu Jan  1 00:00:00 GMT 1970"), Some(0));
        for bad in [
            "From here to there",
            "From: a@b",
            "From a 12:00",
            "From a Foo 1 12:00:00 2011",
        ] {
            assert_eq!(from_line(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn what_is_no_mbox() {
        assert!(Mbox::new(&b"Subject: x\n"[..]).is_err());
        assert_eq!(read(""), []);
        let internal = "From a Thu Jan  1 00:00:00 1970\nSubject: DON'T DELETE THIS MESSAGE -- \
                        FOLDER INTERNAL DATA\n\nx\n";
        assert_eq!(read(internal), []);
    }
}
