//! Bringing back what was deleted: what `restante undelete` asks a server for.

use restante_mailbox::{Mail, MailError, MailboxName, Uid, UidSet};
use serde::{Deserialize, Serialize};

use crate::admin::Reply;
use crate::transfer::Answer;

/// Messages in one reply: the newest.
const LINES_MAX: usize = 10_000;

/// A mailbox that was deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletedLine {
    /// The name it had.
    pub name: String,
    /// How many messages were in it.
    pub messages: u32,
    /// When it was deleted, milliseconds since 1970.
    pub deleted_ms: i64,
}

/// A message that was expunged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpungedLine {
    /// The UID it had.
    pub uid: u32,
    /// Its bytes.
    pub size: u64,
    /// When it was expunged, milliseconds since 1970.
    pub expunged_ms: i64,
    /// Its subject, decoded.
    pub subject: String,
}

pub(crate) async fn deleted(mail: &Mail, user: &str) -> Answer {
    let account = mail.account_of(user).await?;
    let mailboxes = account.deleted_mailboxes().await?;
    let mailboxes = mailboxes.into_iter().map(|mailbox| DeletedLine {
        name: mailbox.name.as_str().to_owned(),
        messages: mailbox.messages,
        deleted_ms: mailbox.deleted_ms,
    });
    let mailboxes = mailboxes.collect();
    Ok(Reply::Deleted { mailboxes })
}

pub(crate) async fn expunged(mail: &Mail, user: &str, mailbox: &str) -> Answer {
    let account = mail.account_of(user).await?;
    let mailbox = account.mailbox(&MailboxName::new(mailbox)?).await?;
    let found = mailbox.expunged().await?;
    let newest = found.len().saturating_sub(LINES_MAX);
    let mut messages = Vec::with_capacity(found.len() - newest);
    for message in &found[newest..] {
        let subject = match account.email(message.email).await {
            Ok(email) => account.subject(&email).await?,
            // Gone for good meanwhile.
            Err(MailError::Expunged) => continue,
            Err(error) => return Err(error),
        };
        messages.push(ExpungedLine {
            uid: message.uid.get(),
            size: message.size,
            expunged_ms: message.expunged_ms,
            subject,
        });
    }
    Ok(Reply::Expunged { messages })
}

/// Brings back the messages with these UIDs, or those expunged since a time, or both.
pub(crate) async fn messages(
    mail: &Mail,
    user: &str,
    mailbox: &str,
    uids: Option<&[(u32, u32)]>,
    since_ms: Option<i64>,
) -> Answer {
    let account = mail.account_of(user).await?;
    let mailbox = account.mailbox(&MailboxName::new(mailbox)?).await?;
    let asked = uids.map(|ranges| {
        let ranges = ranges.iter();
        UidSet::from_unsorted(ranges.filter_map(|(a, b)| Some((Uid::new(*a)?, Uid::new(*b)?))))
    });
    let found = mailbox.expunged().await?;
    let wanted: UidSet = found
        .iter()
        .filter(|message| since_ms.is_none_or(|since| message.expunged_ms >= since))
        .map(|message| message.uid)
        .filter(|uid| asked.as_ref().is_none_or(|asked| asked.contains(*uid)))
        .collect();
    let restored = mailbox.restore(&wanted).await?;
    let messages = restored.destination.len() as u64;
    Ok(Reply::Restored { messages })
}

pub(crate) async fn mailbox(mail: &Mail, user: &str, was: &str, name: &str) -> Answer {
    let account = mail.account_of(user).await?;
    let (was, name) = (MailboxName::new(was)?, MailboxName::new(name)?);
    let restored = account.restore_mailbox_named(&was, &name).await?;
    account.subscribe(&name).await?;
    let messages = restored.tail().await?.messages.into();
    Ok(Reply::Restored { messages })
}
