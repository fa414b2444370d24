//! Mail in and out by command: what `restante import` and `restante export` ask a server for.
//!
//! Import keeps flags, dates and, where the mailbox is new, UIDs and UIDVALIDITY. It is not held to
//! quotas: the administrator knows what is being moved.

use std::sync::Arc;

use bytes::Bytes;
use restante_mailbox::{
    Account, Append, DateTime, FlagNames, Flags, Mail, MailError, Mailbox, MailboxName, SpecialUse,
    Uid, UidValidity, Wanted,
};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::admin::Reply;

/// Rows in one reply.
pub const ROWS_MAX: usize = 5_000;

/// Bytes of a message in one reply.
pub const READ_BYTES_MAX: usize = 1 << 20;

/// Messages in one request.
pub const APPEND_MAX: usize = 200;

const PIECE_BYTES: usize = 64 * 1024;

/// A mailbox as listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailboxLine {
    /// Its name, UTF-8 with `/` between levels.
    pub name: String,
    /// Its UIDVALIDITY.
    pub uid_validity: u32,
    /// Its UIDNEXT.
    pub uid_next: u32,
    /// How many messages are in it.
    pub messages: u32,
    /// Whether the user is subscribed to it.
    pub subscribed: bool,
}

/// A message as it is in a mailbox, or shall be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageLine {
    /// Its UID; 0: the next one.
    #[serde(default)]
    pub uid: u32,
    /// Its bytes.
    pub size: u64,
    /// INTERNALDATE, seconds since 1970.
    pub date: i64,
    /// INTERNALDATE's zone, minutes east of UTC.
    #[serde(default)]
    pub zone: i16,
    /// System flags (`\Seen`) and keywords.
    #[serde(default)]
    pub flags: Vec<String>,
}

/// The reply to a request about a user's mail.
pub(crate) type Answer = Result<Reply, MailError>;

async fn account(mail: &Mail, user: &str) -> Result<Arc<Account>, MailError> {
    mail.account_of(user).await
}

async fn mailbox(mail: &Mail, user: &str, name: &str) -> Result<Arc<Mailbox>, MailError> {
    account(mail, user)
        .await?
        .mailbox(&MailboxName::new(name)?)
        .await
}

pub(crate) async fn list(mail: &Mail, user: &str) -> Answer {
    let account = account(mail, user).await?;
    let tree = account.tree().await?;
    let mut mailboxes = Vec::with_capacity(tree.mailboxes.len());
    for (name, entry) in &tree.mailboxes {
        let tail = account.open(entry.id).await?.tail().await?;
        mailboxes.push(MailboxLine {
            name: name.as_str().to_owned(),
            uid_validity: tail.uid_validity.get(),
            uid_next: tail.uid_next.get(),
            messages: tail.messages,
            subscribed: tree.subscribed.contains(name),
        });
    }
    Ok(Reply::Mailboxes { mailboxes })
}

/// Opens a mailbox for import, making it if need be, with the given UIDVALIDITY if it is new.
pub(crate) async fn open(
    mail: &Mail,
    user: &str,
    name: &str,
    (uid_validity, uid_next): (Option<u32>, Option<u32>),
    subscribe: bool,
) -> Answer {
    let account = account(mail, user).await?;
    let name = MailboxName::new(name)?;
    let uid_validity = uid_validity.and_then(UidValidity::new);
    match account
        .create_with(&name, SpecialUse::NONE, uid_validity)
        .await
    {
        Ok(_) | Err(MailError::AlreadyExists) => {}
        Err(error) => return Err(error),
    }
    if subscribe {
        account.subscribe(&name).await?;
    }
    let mut tail = account.mailbox(&name).await?.tail().await?;
    if let Some(wanted) = uid_validity
        && tail.uid_validity != wanted
        && tail.uid_next == Uid::MIN
        && account.renew(&name, wanted).await.is_ok()
    {
        tail = account.mailbox(&name).await?.tail().await?;
    }
    if uid_validity == Some(tail.uid_validity)
        && let Some(uid_next) = uid_next.and_then(Uid::new)
        && uid_next > tail.uid_next
    {
        let mailbox = account.mailbox(&name).await?;
        mailbox.raise_uid_next(uid_next).await?;
        tail = mailbox.tail().await?;
    }
    let mailbox = MailboxLine {
        name: name.as_str().to_owned(),
        uid_validity: tail.uid_validity.get(),
        uid_next: tail.uid_next.get(),
        messages: tail.messages,
        subscribed: subscribe,
    };
    Ok(Reply::Mailboxes {
        mailboxes: vec![mailbox],
    })
}

/// Messages with UIDs larger than `after`, in their order.
pub(crate) async fn rows(mail: &Mail, user: &str, name: &str, after: u32, limit: usize) -> Answer {
    let mailbox = mailbox(mail, user, name).await?;
    let snapshot = mailbox.snapshot().await?;
    let first = after.checked_add(1).and_then(Uid::new);
    let mut messages = Vec::new();
    if let Some(first) = first {
        let loaded = mailbox
            .ensure(&snapshot, Wanted::Range(first, Uid::MAX))
            .await?;
        let keywords = snapshot.keywords();
        for row in loaded.rows(first..).take(limit.min(ROWS_MAX)) {
            let mut flags: Vec<String> = Flags::SYSTEM_NAMES
                .iter()
                .filter(|(flag, _)| row.flags.contains(*flag))
                .map(|(_, name)| (*name).to_owned())
                .collect();
            flags.extend(keywords.names_of(row.flags).map(str::to_owned));
            messages.push(MessageLine {
                uid: row.uid.get(),
                size: row.size,
                date: row.internal_date.unix_s,
                zone: row.internal_date.zone_min,
                flags,
            });
        }
    }
    Ok(Reply::Messages { messages })
}

/// A piece of a message, at most [`READ_BYTES_MAX`].
pub(crate) async fn read(
    mail: &Mail,
    user: &str,
    name: &str,
    uid: u32,
    offset: u64,
) -> Result<Bytes, MailError> {
    let mailbox = mailbox(mail, user, name).await?;
    let uid = Uid::new(uid).ok_or(MailError::Expunged)?;
    let snapshot = mailbox.snapshot().await?;
    let loaded = mailbox.ensure(&snapshot, Wanted::Range(uid, uid)).await?;
    let row = loaded.row(uid).ok_or(MailError::Expunged)?;
    let account = mailbox.account();
    let email = account.email(row.email).await?;
    let end = offset
        .saturating_add(READ_BYTES_MAX as u64)
        .min(email.size());
    account.read(&email, offset.min(end)..end).await
}

/// Appends messages whose bytes follow in `payload`, one after the other.
pub(crate) async fn append(
    mail: &Mail,
    user: &str,
    name: &str,
    messages: Vec<MessageLine>,
    payload: &mut (dyn AsyncRead + Unpin + Send),
) -> Answer {
    if messages.len() > APPEND_MAX {
        return Err(MailError::Limit(restante_mailbox::Limit::Messages));
    }
    let mailbox = mailbox(mail, user, name).await?;
    let mut appends = Vec::with_capacity(messages.len());
    let mut uids = Vec::with_capacity(messages.len());
    let mut buffer = vec![0; PIECE_BYTES];
    for message in messages {
        let mut draft = mailbox.account().new_email();
        let mut left = message.size;
        while left > 0 {
            let want = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE_BYTES);
            let unavailable = |error: std::io::Error| MailError::Unavailable {
                reason: format!("the message did not arrive: {error}").into(),
            };
            payload
                .read_exact(&mut buffer[..want])
                .await
                .map_err(unavailable)?;
            draft.write(&buffer[..want]).await?;
            left -= want as u64;
        }
        let mut flags = FlagNames::default();
        for flag in message.flags {
            let system = Flags::SYSTEM_NAMES
                .iter()
                .find(|(_, name)| name.eq_ignore_ascii_case(&flag));
            match system {
                Some((system, _)) => flags.system = Flags(flags.system.0 | system.0),
                None => flags.keywords.push(flag.into()),
            }
        }
        appends.push(Append {
            email: draft.finish().await?,
            flags,
            internal_date: DateTime {
                unix_s: message.date,
                zone_min: message.zone,
            },
        });
        uids.push(Uid::new(message.uid));
    }
    let appended = mailbox.append_at(appends, &uids).await?;
    let uids = appended.uids.iter().map(|uid| uid.get()).collect();
    Ok(Reply::Appended { uids })
}
