//! The legal purge: what `restante purge` asks a server for.

use std::collections::BTreeSet;
use std::sync::Arc;

use restante_mailbox::{Account, EmailId, Mail, MailError, MailboxName, Uid, UidSet, Wanted};
use serde::{Deserialize, Serialize};

use crate::admin::Reply;
use crate::transfer::Answer;

/// Messages in one reply.
const LINES_MAX: usize = 10_000;

/// Which messages are meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Which {
    /// Those with UIDs in these ranges, expunged ones that are kept too.
    Uids {
        /// The mailbox's name.
        mailbox: String,
        /// Ranges, each with its ends.
        uids: Vec<(u32, u32)>,
    },
    /// Those with this Message-ID, wherever they are.
    MessageId(String),
}

/// A message that is to be purged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PurgeLine {
    /// Its bytes.
    pub size: u64,
    /// Its subject, decoded.
    pub subject: String,
    /// The mailboxes that show it, with the UID there; none if it was expunged.
    pub places: Vec<(String, u32)>,
}

/// A message that was purged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TombstoneLine {
    /// The number that is its EMAILID (RFC 8474).
    pub email: u64,
    /// When, milliseconds since 1970.
    pub purged_ms: i64,
    /// The bytes that it had.
    pub size: u64,
    /// Why.
    pub reason: String,
    /// Whether nothing is left of it on the disk.
    pub is_erased: bool,
}

/// Lists the messages, and purges them if there is a reason.
pub(crate) async fn purge(mail: &Mail, user: &str, which: &Which, reason: Option<&str>) -> Answer {
    let account = mail.account_of(user).await?;
    let emails = find(&account, which).await?;
    let Some(reason) = reason else {
        let messages = describe(&account, &emails).await?;
        return Ok(Reply::ToPurge { messages });
    };
    let report = mail.purge(&account, &emails, reason).await?;
    tracing::warn!(
        user,
        emails = report.emails,
        messages = report.messages,
        reason,
        "messages were purged"
    );
    let reply = Reply::Purged {
        emails: report.emails,
        messages: report.messages,
        bytes: report.email_bytes,
    };
    Ok(reply)
}

/// What was purged.
pub(crate) async fn tombstones(mail: &Mail, user: &str) -> Answer {
    let account = mail.account_of(user).await?;
    let tombstones = account.tombstones().await?;
    let tombstones = tombstones.into_iter().map(|tombstone| TombstoneLine {
        email: tombstone.email.0,
        purged_ms: tombstone.purged_ms,
        size: tombstone.size,
        reason: tombstone.reason,
        is_erased: tombstone.is_erased,
    });
    let tombstones = tombstones.collect();
    Ok(Reply::Tombstones { tombstones })
}

async fn find(account: &Arc<Account>, which: &Which) -> Result<BTreeSet<EmailId>, MailError> {
    let (mailbox, ranges) = match which {
        Which::MessageId(id) => {
            let found = account.emails_with_message_id(id).await?;
            return Ok(found.into_iter().collect());
        }
        Which::Uids { mailbox, uids } => (mailbox, uids),
    };
    let mailbox = account.mailbox(&MailboxName::new(mailbox)?).await?;
    let ranges = ranges.iter();
    let ranges = ranges.filter_map(|(a, b)| Some((Uid::new(*a)?, Uid::new(*b)?)));
    let uids = UidSet::from_unsorted(ranges);
    let snapshot = mailbox.snapshot().await?;
    let loaded = mailbox.ensure(&snapshot, Wanted::Uids(&uids)).await?;
    let mut found: BTreeSet<_> = loaded.rows_in(&uids).map(|row| row.email).collect();
    let kept = mailbox.expunged().await?;
    let kept = kept.iter().filter(|message| uids.contains(message.uid));
    found.extend(kept.map(|message| message.email));
    Ok(found)
}

async fn describe(
    account: &Arc<Account>,
    emails: &BTreeSet<EmailId>,
) -> Result<Vec<PurgeLine>, MailError> {
    let mut shown = account.shown_in(emails).await?;
    let mut lines = Vec::new();
    for id in emails.iter().take(LINES_MAX) {
        let email = match account.email(*id).await {
            // Purged already, or gone for good.
            Err(MailError::Expunged) => continue,
            email => email?,
        };
        let places = shown.remove(id).unwrap_or_default();
        lines.push(PurgeLine {
            size: email.size(),
            subject: account.subject(&email).await?,
            places: places
                .into_iter()
                .map(|(name, uid)| (name.as_str().to_owned(), uid.get()))
                .collect(),
        });
    }
    Ok(lines)
}
