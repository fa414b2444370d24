//! mbox: messages one after the other, each behind a line `From sender date`.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use crate::import::{Body, Importer, Message, is_keyword, progress, with_crlf};

pub(crate) async fn run(importer: &mut Importer, file: &Path, mailbox: &str) -> Result<(), String> {
    let about = |error: std::io::Error| format!("{}: {error}", file.display());
    let open = File::open(file).map_err(about)?;
    let length = open.metadata().map_err(about)?.len();
    let bar = progress(length, "{bar:40} {bytes}/{total_bytes}, {eta} left");
    let messages = Mbox::new(BufReader::with_capacity(1 << 18, open))?
        .map(|message| message.map_err(|error| format!("{}: {error}", file.display())));
    importer
        .mailbox(
            mailbox,
            (None, None),
            true,
            messages,
            &bar,
            |bar, message| {
                if let Body::Bytes(bytes) = &message.body {
                    bar.inc(bytes.len() as u64);
                }
            },
        )
        .await?;
    bar.finish_and_clear();
    Ok(())
}

/// Reads messages one by one.
struct Mbox<R> {
    lines: R,
    /// The date of the `From ` line that was read last; `None` at the end.
    next: Option<i64>,
    line: Vec<u8>,
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
                return Ok(Mbox {
                    lines,
                    next: None,
                    line,
                });
            }
            if !line.trim_ascii().is_empty() {
                let date = from_line(&line).ok_or("not an mbox: it does not begin with From")?;
                return Ok(Mbox {
                    lines,
                    next: Some(date),
                    line,
                });
            }
        }
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
        let (flags, bytes) = take_status(with_crlf(bytes));
        Ok(Message {
            uid: None,
            date,
            flags,
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
fn take_status(bytes: Vec<u8>) -> (Vec<String>, Vec<u8>) {
    let mut flags = Vec::new();
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
            dropping = status_field(line, &mut flags);
        }
        if !dropping {
            out.extend_from_slice(line);
        }
    }
    out.extend_from_slice(rest);
    (flags, out)
}

/// Whether the line is such a field; its flags are added.
fn status_field(line: &[u8], flags: &mut Vec<String>) -> bool {
    let Some(colon) = line.iter().position(|b| *b == b':') else {
        return false;
    };
    let (name, value) = (&line[..colon], String::from_utf8_lossy(&line[colon + 1..]));
    let is = |field: &str| name.eq_ignore_ascii_case(field.as_bytes());
    if is("Status") || is("X-Status") {
        for letter in value.trim().chars() {
            let flag = match letter {
                'R' => "\\Seen",
                'A' => "\\Answered",
                'F' => "\\Flagged",
                'T' => "\\Draft",
                'D' => "\\Deleted",
                _ => continue,
            };
            flags.push(flag.to_owned());
        }
        return true;
    }
    if is("X-Keywords") {
        let words = value
            .split_ascii_whitespace()
            .filter(|word| is_keyword(word));
        flags.extend(words.map(str::to_owned));
        return true;
    }
    is("X-UID") || is("X-IMAP") || is("X-IMAPbase")
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
