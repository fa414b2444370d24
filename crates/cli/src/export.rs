//! `restante export`: all mail of a user as a Maildir, with flags, keywords and UIDs.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use clap::Args;
use restante_server::Admin;
use restante_server::admin::{Reply, Request};
use restante_server::transfer::{MailboxLine, MessageLine, ROWS_MAX};

use crate::Place;
use crate::admin::{block_on, text};
use crate::import::progress;

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// Whose mail
    #[arg(long, value_name = "NAME")]
    user: String,
    /// Where to: a new directory, or one that an earlier export has begun
    #[arg(long, value_name = "DIR")]
    maildir: PathBuf,
    /// Only this mailbox
    #[arg(long, value_name = "M")]
    mailbox: Option<String>,
    #[command(flatten)]
    place: Place,
}

/// Letters for keywords in file names.
const KEYWORDS_MAX: usize = 26;

pub(crate) fn run(args: &ExportArgs) -> Result<(), String> {
    let config = args.place.load()?;
    block_on(async {
        let admin = Admin::open(&config).await.map_err(text)?;
        let mut exporter = Exporter {
            admin,
            user: args.user.clone(),
            written: 0,
            already: 0,
        };
        let result = exporter.run(args).await;
        exporter.admin.close().await;
        result.map_err(|error| format!("{error}\nrun the same command again to go on"))?;
        println!("{} messages exported.", exporter.written);
        if exporter.already > 0 {
            println!("{} were there already.", exporter.already);
        }
        Ok(())
    })
}

struct Exporter {
    admin: Admin,
    user: String,
    written: u64,
    already: u64,
}

impl Exporter {
    async fn run(&mut self, args: &ExportArgs) -> Result<(), String> {
        let request = Request::Mailboxes {
            user: self.user.clone(),
        };
        let Reply::Mailboxes { mut mailboxes } = self.admin.call(request).await.map_err(text)?
        else {
            return Err("an unexpected answer".to_owned());
        };
        if let Some(only) = &args.mailbox {
            mailboxes.retain(|mailbox| mailbox.name == *only);
            if mailboxes.is_empty() {
                return Err(format!("{only}: no such mailbox"));
            }
        }
        let total = mailboxes
            .iter()
            .map(|mailbox| u64::from(mailbox.messages))
            .sum();
        let bar = progress(total, "{bar:40} {pos}/{len} messages, {eta} left  {msg}");
        let mut subscriptions = String::from("V\t2\n\n");
        for mailbox in &mailboxes {
            bar.set_message(mailbox.name.clone());
            self.mailbox(mailbox, &folder(&args.maildir, &mailbox.name), &bar)
                .await?;
            if mailbox.subscribed {
                let levels: Vec<_> = mailbox.name.split('/').map(on_disk).collect();
                subscriptions.push_str(&levels.join("\t"));
                subscriptions.push('\n');
            }
        }
        write(
            &args.maildir.join("subscriptions"),
            subscriptions.as_bytes(),
        )?;
        bar.finish_and_clear();
        Ok(())
    }

    async fn mailbox(
        &mut self,
        mailbox: &MailboxLine,
        dir: &Path,
        bar: &indicatif::ProgressBar,
    ) -> Result<(), String> {
        for part in ["cur", "new", "tmp"] {
            let path = dir.join(part);
            fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        let there = names_there(&dir.join("cur"))?;
        let mut keywords: Vec<String> = Vec::new();
        let mut uidlist = format!("3 V{} N{}\n", mailbox.uid_validity, mailbox.uid_next);
        let mut after = 0;
        loop {
            let request = Request::Messages {
                user: self.user.clone(),
                mailbox: mailbox.name.clone(),
                after,
                limit: ROWS_MAX,
            };
            let Reply::Messages { messages } = self.admin.call(request).await.map_err(text)? else {
                return Err("an unexpected answer".to_owned());
            };
            let Some(last) = messages.last() else { break };
            after = last.uid;
            for message in &messages {
                let base = format!(
                    "{}.U{}V{}.restante",
                    message.date, message.uid, mailbox.uid_validity
                );
                let name = format!("{base}:2,{}", letters(message, &mut keywords));
                uidlist.push_str(&format!("{} :{base}\n", message.uid));
                match there.iter_named(&base) {
                    Some(old) if old == name => self.already += 1,
                    // Its flags have changed since the earlier export.
                    Some(old) => {
                        let cur = dir.join("cur");
                        fs::rename(cur.join(old), cur.join(&name))
                            .map_err(|error| format!("{}: {error}", cur.display()))?;
                        self.already += 1;
                    }
                    None => {
                        let bytes = self.read(&mailbox.name, message).await?;
                        place(dir, &name, &bytes, message.date)?;
                        self.written += 1;
                    }
                }
                bar.inc(1);
            }
        }
        let list: String = keywords
            .iter()
            .enumerate()
            .map(|(number, keyword)| format!("{number} {keyword}\n"))
            .collect();
        write(&dir.join("dovecot-keywords"), list.as_bytes())?;
        write(&dir.join("dovecot-uidlist"), uidlist.as_bytes())
    }

    async fn read(&mut self, mailbox: &str, message: &MessageLine) -> Result<Vec<u8>, String> {
        let mut out = Vec::new();
        while (out.len() as u64) < message.size {
            let request = Request::Read {
                user: self.user.clone(),
                mailbox: mailbox.to_owned(),
                uid: message.uid,
                offset: out.len() as u64,
            };
            let (_, bytes) = self.admin.call_with(request, &[]).await.map_err(text)?;
            if bytes.is_empty() {
                return Err(format!("{mailbox}: message {} ends early", message.uid));
            }
            out.extend_from_slice(&bytes);
        }
        Ok(without_cr(out))
    }
}

/// Maildir files have LF at line ends. Other CRs stay; where one stands before a line end, all line
/// ends stay CRLF, or the import would take it for a part of that.
fn without_cr(bytes: Vec<u8>) -> Vec<u8> {
    if bytes.windows(3).any(|three| three == b"\r\r\n") {
        return bytes;
    }
    let mut out = Vec::with_capacity(bytes.len());
    for (index, byte) in bytes.iter().enumerate() {
        if !(*byte == b'\r' && bytes.get(index + 1) == Some(&b'\n')) {
            out.push(*byte);
        }
    }
    out
}

/// The Maildir++ directory of a mailbox. A dot within a level is written in modified UTF-7, which
/// readers decode.
fn folder(root: &Path, name: &str) -> PathBuf {
    if name == "INBOX" {
        return root.to_owned();
    }
    let levels: Vec<_> = name.split('/').map(on_disk).collect();
    root.join(format!(".{}", levels.join(".")))
}

fn on_disk(level: &str) -> String {
    let mut out = restante_proto::types::mutf7::encode(level).into_owned();
    if out.contains('.') {
        out = out.replace('.', "&AC4-");
    }
    out
}

fn letters(message: &MessageLine, keywords: &mut Vec<String>) -> String {
    let mut letters: Vec<char> = Vec::new();
    for flag in &message.flags {
        letters.push(match flag.as_str() {
            "\\Draft" => 'D',
            "\\Flagged" => 'F',
            "\\Answered" => 'R',
            "\\Seen" => 'S',
            "\\Deleted" => 'T',
            "$Forwarded" => 'P',
            keyword => {
                let known = keywords.iter().position(|known| known == keyword);
                let number = known.unwrap_or(keywords.len());
                if number >= KEYWORDS_MAX {
                    continue;
                }
                if known.is_none() {
                    keywords.push(keyword.to_owned());
                }
                char::from(b'a' + u8::try_from(number).unwrap_or(0))
            }
        });
    }
    letters.sort_unstable();
    letters.into_iter().collect()
}

/// The files that are there, by their names without flags.
struct There(std::collections::HashMap<String, String>);

impl There {
    fn iter_named(&self, base: &str) -> Option<&str> {
        self.0.get(base).map(String::as_str)
    }
}

fn names_there(cur: &Path) -> Result<There, String> {
    let about = |error: std::io::Error| format!("{}: {error}", cur.display());
    let mut there = std::collections::HashMap::new();
    for entry in fs::read_dir(cur).map_err(about)? {
        if let Ok(name) = entry.map_err(about)?.file_name().into_string() {
            let base = name.split(":2,").next().unwrap_or_default().to_owned();
            there.insert(base, name);
        }
    }
    Ok(There(there))
}

/// Writes a message whole or not at all, with its date as the file's.
fn place(dir: &Path, name: &str, bytes: &[u8], date: i64) -> Result<(), String> {
    let tmp = dir.join("tmp").join(name);
    let about = |error: std::io::Error| format!("{}: {error}", tmp.display());
    let mut file = fs::File::create(&tmp).map_err(about)?;
    file.write_all(bytes).map_err(about)?;
    if let Ok(seconds) = u64::try_from(date) {
        let time = UNIX_EPOCH + Duration::from_secs(seconds);
        file.set_modified(time).map_err(about)?;
    }
    drop(file);
    fs::rename(&tmp, dir.join("cur").join(name)).map_err(about)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    fs::write(path, bytes).map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back_by_an_import() {
        for message in [
            "a\r\nb\r\n",
            "a\rb\r\n",
            "a\r\r\n\r\nb\r\n",
            "a\r\r\r\n",
            "",
            "a\r",
        ] {
            let file = without_cr(message.as_bytes().to_vec());
            assert_eq!(crate::import::with_crlf(file), message.as_bytes());
        }
        assert_eq!(without_cr(b"a\r\nb\r\n".to_vec()), b"a\nb\n");
    }

    #[test]
    fn folders_on_disk() {
        let folder = |name| folder(Path::new("/x"), name).display().to_string();
        assert_eq!(folder("INBOX"), "/x");
        assert_eq!(folder("Entwürfe/2025"), "/x/.Entw&APw-rfe.2025");
        assert_eq!(folder("a.b"), "/x/.a&AC4-b");
    }

    #[test]
    fn letters_for_flags() {
        let message = |flags: &[&str]| MessageLine {
            uid: 1,
            size: 0,
            date: 0,
            zone: 0,
            flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
        };
        let mut keywords = Vec::new();
        assert_eq!(
            letters(&message(&["\\Seen", "$Junk", "\\Flagged"]), &mut keywords),
            "FSa"
        );
        assert_eq!(letters(&message(&["other", "$Junk"]), &mut keywords), "ab");
        assert_eq!(keywords, ["$Junk", "other"]);
    }
}
