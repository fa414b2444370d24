//! A transcript's text, line by line.

use std::time::Duration;

use super::{Failure, Setup, Start, Step, Transcript, Version, failure};

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
                let step = match key {
                    "wait" => match value.parse() {
                        Ok(ms) => Step::Wait(Duration::from_millis(ms)),
                        Err(_) => return failure(number, "wait: wants milliseconds"),
                    },
                    "clock" => match value.parse() {
                        Ok(seconds) => Step::Clock(Duration::from_secs(seconds)),
                        Err(_) => return failure(number, "clock: wants seconds"),
                    },
                    "compress" => Step::Compress(value.to_owned()),
                    "plain" => Step::Plain(value.to_owned()),
                    "deliver" => Step::Deliver(value.to_owned()),
                    _ => {
                        transcript.setup_line(number, key, value)?;
                        continue;
                    }
                };
                transcript.steps.push((number, version, step));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_means_nothing_is_refused() {
        assert!(Transcript::parse("nonsense").is_err());
        assert!(Transcript::parse("mailbox: INBOX many").is_err());
        assert!(Transcript::parse("A| x").is_err());
    }
}
