//! `restante import`: mail from a Maildir or an mbox, with progress; again without doubling.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use restante_server::Admin;
use restante_server::admin::{Reply, Request};
use restante_server::config::Size;
use restante_server::transfer::{APPEND_MAX, MailboxLine, MessageLine, ROWS_MAX};

use crate::Place;
use crate::admin::{block_on, text};
use crate::{import_maildir, import_mbox};

/// Bytes of messages in one request.
const BATCH_BYTES: usize = 4 << 20;

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// Whose mail it becomes
    #[arg(long, value_name = "NAME")]
    user: String,
    /// A Maildir with its subfolders (Maildir++, or folders in folders). Dovecot's UIDs,
    /// UIDVALIDITY, keywords and subscriptions are kept
    #[arg(
        long,
        value_name = "DIR",
        required_unless_present = "mbox",
        conflicts_with = "mbox"
    )]
    maildir: Option<PathBuf>,
    /// A file in mbox format. Flags and keywords (Status, X-Status, X-Keywords) and, in a new mailbox, the
    /// UIDs (X-IMAPbase, X-UID) are kept
    #[arg(long, value_name = "FILE")]
    mbox: Option<PathBuf>,
    /// The mailbox that mail goes into; for a Maildir, the one that its folders go below
    /// [default: INBOX]
    #[arg(long, value_name = "M")]
    mailbox: Option<String>,
    #[command(flatten)]
    place: Place,
}

/// A message to import.
pub(crate) struct Message {
    /// Its UID where it comes from, if that is known.
    pub(crate) uid: Option<u32>,
    /// When it was received, seconds since 1970.
    pub(crate) date: i64,
    pub(crate) flags: Vec<String>,
    pub(crate) body: Body,
}

/// Its bytes, or where they are.
pub(crate) enum Body {
    /// Bytes with CRLF.
    Bytes(Vec<u8>),
    /// A file, whose line ends become CRLF.
    File(PathBuf),
}

/// What became of the messages.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    imported: u64,
    already: u64,
    left_out: u64,
    mailboxes: Vec<(String, u64)>,
    /// Mailboxes whose UIDs could not be kept.
    renumbered: Vec<String>,
    /// What else the user should know.
    notes: Vec<String>,
}

pub(crate) fn run(args: &ImportArgs) -> Result<(), String> {
    let config = args.place.load()?;
    let summary = block_on(async {
        let admin = Admin::open(&config).await.map_err(text)?;
        let mut importer = Importer {
            admin,
            user: args.user.clone(),
            size_max: config.mail.message_size_max.0,
            summary: Summary::default(),
        };
        let result = match (&args.maildir, &args.mbox) {
            (Some(dir), _) => {
                import_maildir::run(&mut importer, dir, args.mailbox.as_deref()).await
            }
            (None, Some(file)) => {
                let mailbox = args.mailbox.as_deref().unwrap_or("INBOX");
                import_mbox::run(&mut importer, file, mailbox).await
            }
            (None, None) => Err("--maildir or --mbox is needed".to_owned()),
        };
        importer.admin.close().await;
        match result {
            Ok(()) => Ok(importer.summary),
            Err(error) => Err(format!(
                "{error}\n{} messages were imported before; run the same command again to go on",
                importer.summary.imported
            )),
        }
    })?;
    summary.print();
    Ok(())
}

impl Summary {
    fn print(&self) {
        for (name, count) in &self.mailboxes {
            println!("{count:>8}  {name}");
        }
        println!("{} messages imported.", self.imported);
        if self.already > 0 {
            println!("{} were there already.", self.already);
        }
        if self.left_out > 0 {
            println!("{} were left out, as said above.", self.left_out);
        }
        if !self.renumbered.is_empty() {
            println!(
                "UIDs could not be kept in mailboxes that were in use: {}.",
                self.renumbered.join(", ")
            );
        }
        for note in &self.notes {
            println!("{note}");
        }
    }
}

/// A bar of so many steps.
pub(crate) fn progress(length: u64, template: &str) -> ProgressBar {
    let bar = ProgressBar::new(length);
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

/// What a mailbox holds before the import.
struct Have {
    uids: HashSet<u32>,
    /// UIDs by size and date: a message that is there already is one of these.
    seen: HashMap<(u64, i64), Vec<u32>>,
}

/// Puts messages into mailboxes.
pub(crate) struct Importer {
    admin: Admin,
    user: String,
    size_max: u64,
    summary: Summary,
}

impl Importer {
    /// Imports messages into one mailbox, in their order, with UIDVALIDITY and UIDNEXT if they are
    /// known. `advance` is told of each.
    pub(crate) async fn mailbox(
        &mut self,
        name: &str,
        uids: (Option<u32>, Option<u32>),
        subscribe: bool,
        messages: impl Iterator<Item = Result<Message, String>>,
        bar: &ProgressBar,
        advance: impl Fn(&ProgressBar, &Message),
    ) -> Result<(), String> {
        let (uid_validity, uid_next) = uids;
        let line = self.open(name, uid_validity, None, subscribe).await?;
        let keeps_uids = uid_validity == Some(line.uid_validity);
        if uid_validity.is_some() && !keeps_uids {
            self.summary.renumbered.push(name.to_owned());
        }
        let mut have = self.have(name).await?;
        let mut batch = Batch::default();
        let mut imported = 0;
        // Those whose UIDs are known come first.
        let mut is_raised = false;
        for message in messages {
            let message = message?;
            advance(bar, &message);
            if let (true, Some(uid)) = (keeps_uids, message.uid) {
                // Below UIDNEXT and not there: the user has deleted it since the last import.
                if have.uids.contains(&uid) || uid < line.uid_next {
                    self.summary.already += 1;
                    continue;
                }
            }
            let bytes = match message.body {
                Body::Bytes(bytes) => bytes,
                Body::File(path) => match std::fs::read(&path) {
                    Ok(bytes) => with_crlf(bytes),
                    Err(error) => {
                        self.leave_out(bar, &format!("{}: {error}", path.display()));
                        continue;
                    }
                },
            };
            let size = bytes.len() as u64;
            if size > self.size_max {
                let text = format!(
                    "{name}: a message of {} is larger than mail.message_size_max",
                    Size(size)
                );
                self.leave_out(bar, &text);
                continue;
            }
            let uid = message.uid.filter(|_| keeps_uids);
            if uid.is_none()
                && let Some(alike) = have.seen.get_mut(&(size, message.date))
                && let Some(at) = self.find(name, alike, &bytes).await
            {
                alike.remove(at);
                self.summary.already += 1;
                continue;
            }
            if keeps_uids && uid.is_none() && !is_raised {
                // A UID that was given out is not given to another message: not even a deleted one's.
                imported += self.append(name, &mut batch).await?;
                self.open(name, uid_validity, uid_next, subscribe).await?;
                is_raised = true;
            }
            if batch.messages.len() >= APPEND_MAX || batch.bytes.len() + bytes.len() > BATCH_BYTES {
                imported += self.append(name, &mut batch).await?;
            }
            batch.messages.push(MessageLine {
                uid: uid.unwrap_or(0),
                size,
                date: message.date,
                zone: 0,
                flags: message.flags,
            });
            batch.bytes.extend_from_slice(&bytes);
        }
        imported += self.append(name, &mut batch).await?;
        if keeps_uids {
            self.open(name, uid_validity, uid_next, subscribe).await?;
        }
        self.summary.mailboxes.push((name.to_owned(), imported));
        Ok(())
    }

    /// Says something in the summary.
    pub(crate) fn note(&mut self, note: String) {
        self.summary.notes.push(note);
    }

    fn leave_out(&mut self, bar: &ProgressBar, text: &str) {
        self.summary.left_out += 1;
        bar.suspend(|| eprintln!("{text}: left out"));
    }

    async fn open(
        &mut self,
        name: &str,
        uid_validity: Option<u32>,
        uid_next: Option<u32>,
        subscribe: bool,
    ) -> Result<MailboxLine, String> {
        let request = Request::MailboxOpen {
            user: self.user.clone(),
            mailbox: name.to_owned(),
            uid_validity,
            uid_next,
            subscribe,
        };
        match self.admin.call(request).await.map_err(text)? {
            Reply::Mailboxes { mailboxes } => mailboxes
                .into_iter()
                .next()
                .ok_or_else(|| "an unexpected answer".to_owned()),
            _ => Err("an unexpected answer".to_owned()),
        }
    }

    async fn have(&mut self, name: &str) -> Result<Have, String> {
        let mut have = Have {
            uids: HashSet::new(),
            seen: HashMap::new(),
        };
        let mut after = 0;
        loop {
            let request = Request::Messages {
                user: self.user.clone(),
                mailbox: name.to_owned(),
                after,
                limit: ROWS_MAX,
            };
            let Reply::Messages { messages } = self.admin.call(request).await.map_err(text)? else {
                return Err("an unexpected answer".to_owned());
            };
            let Some(last) = messages.last() else {
                return Ok(have);
            };
            after = last.uid;
            for message in messages {
                have.uids.insert(message.uid);
                let alike = have.seen.entry((message.size, message.date));
                alike.or_default().push(message.uid);
            }
        }
    }

    /// Which of these messages has the same bytes. One that cannot be read is another.
    async fn find(&mut self, name: &str, uids: &[u32], bytes: &[u8]) -> Option<usize> {
        for (at, uid) in uids.iter().enumerate() {
            if self.is_same(name, *uid, bytes).await {
                return Some(at);
            }
        }
        None
    }

    async fn is_same(&mut self, name: &str, uid: u32, mut bytes: &[u8]) -> bool {
        let length = bytes.len();
        while !bytes.is_empty() {
            let request = Request::Read {
                user: self.user.clone(),
                mailbox: name.to_owned(),
                uid,
                offset: (length - bytes.len()) as u64,
            };
            let Ok((_, piece)) = self.admin.call_with(request, &[]).await else {
                return false;
            };
            match bytes.strip_prefix(&piece[..]) {
                Some(rest) if !piece.is_empty() => bytes = rest,
                _ => return false,
            }
        }
        true
    }

    async fn append(&mut self, name: &str, batch: &mut Batch) -> Result<u64, String> {
        let Batch { messages, bytes } = std::mem::take(batch);
        if messages.is_empty() {
            return Ok(0);
        }
        let request = Request::Append {
            user: self.user.clone(),
            mailbox: name.to_owned(),
            messages,
        };
        match self.admin.call_with(request, &bytes).await.map_err(text)? {
            (Reply::Appended { uids }, _) => {
                self.summary.imported += uids.len() as u64;
                Ok(uids.len() as u64)
            }
            _ => Err("an unexpected answer".to_owned()),
        }
    }
}

#[derive(Default)]
struct Batch {
    messages: Vec<MessageLine>,
    bytes: Vec<u8>,
}

/// Makes every line end with CRLF, as mail on the wire has it.
pub(crate) fn with_crlf(bytes: Vec<u8>) -> Vec<u8> {
    let bare =
        |(index, byte): (usize, &u8)| *byte == b'\n' && (index == 0 || bytes[index - 1] != b'\r');
    let count = bytes.iter().enumerate().filter(|pair| bare(*pair)).count();
    if count == 0 {
        return bytes;
    }
    let mut out = Vec::with_capacity(bytes.len() + count);
    for (index, byte) in bytes.iter().enumerate() {
        if bare((index, byte)) {
            out.push(b'\r');
        }
        out.push(*byte);
    }
    out
}

/// Whether a word can be a keyword (an atom that is no system flag, RFC 9051 §9).
pub(crate) fn is_keyword(word: &str) -> bool {
    !word.is_empty()
        && word.len() <= 255
        && word
            .bytes()
            .all(|b| b.is_ascii_graphic() && !b"(){%*\"\\]".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_become_crlf() {
        let crlf = |text: &str| String::from_utf8(with_crlf(text.into())).unwrap();
        assert_eq!(crlf("a\nb\r\nc\n\n"), "a\r\nb\r\nc\r\n\r\n");
        assert_eq!(crlf("\n"), "\r\n");
        assert_eq!(crlf("a\rb"), "a\rb");
        assert_eq!(crlf(""), "");
    }

    #[test]
    fn keywords_are_atoms() {
        for good in ["$Label1", "NonJunk", "a+b"] {
            assert!(is_keyword(good), "{good}");
        }
        for bad in ["", "a b", "\\Seen", "a(b", "ä"] {
            assert!(!is_keyword(bad), "{bad}");
        }
    }
}
