//! The legal purge: a message is deleted at once, everywhere, and a *tombstone* says so.
//!
//! First its row is replaced by the tombstone, in one batch: from then on nobody can read it. Then the
//! mailboxes that show it expunge it, and the store erases what it still has of it on the disk. What
//! comes after the first batch is done again until it is done: retention sees to purges that were cut
//! short.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    ops::Bound,
    sync::Arc,
};

use restante_message::MessageIdHash;
use restante_store::{Batch, Direction, Key};

use crate::{
    account::Account,
    build::ExpungeWhat,
    codec::{DecodeError, Reader},
    email::EmailRow,
    error::{MailError, Result},
    keys::{self, Table},
    mail::Mail,
    name::MailboxName,
    retention::RetentionReport,
    snapshot::Wanted,
    types::{AccountId, EmailId, Uid},
    uid_set::UidSet,
};

/// The longest reason that is kept, in bytes.
pub const PURGE_REASON_BYTES_MAX: usize = 500;
/// Rows that are read at once.
const ROWS: usize = 1000;
/// Emails that are deleted in one batch.
const EMAILS: usize = 100;
/// A COPY that was on its way may bring an email back: the mailboxes are looked through so often at most.
const PASSES: usize = 8;

const VERSION: u8 = 1;

/// What stands for an email that was purged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tombstone {
    /// Which email it was.
    pub email: EmailId,
    /// When it was purged, milliseconds since 1970.
    pub purged_ms: i64,
    /// The bytes it had.
    pub size: u64,
    /// Why, in the administrator's words.
    pub reason: String,
    /// Nothing of it is left on the disk, either.
    pub is_erased: bool,
}

impl Tombstone {
    /// Version u8, whether it is erased u8, time i64, size u64 (little-endian), the reason.
    fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION, u8::from(self.is_erased)];
        out.extend_from_slice(&self.purged_ms.to_le_bytes());
        out.extend_from_slice(&self.size.to_le_bytes());
        out.extend_from_slice(self.reason.as_bytes());
        out
    }

    fn decode(email: EmailId, value: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("tombstone", value);
        let damaged = reader.damaged();
        if reader.u8()? != VERSION {
            return Err(damaged);
        }
        let is_erased = reader.u8()? == 1;
        let purged_ms = reader.u64_le()?.cast_signed();
        let size = reader.u64_le()?;
        let reason = std::str::from_utf8(reader.take(reader.left())?).map_err(|_| damaged)?;
        Ok(Self {
            email,
            purged_ms,
            size,
            reason: reason.to_owned(),
            is_erased,
        })
    }
}

/// What a purge did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PurgeReport {
    /// Emails.
    pub emails: u64,
    /// Their bytes.
    pub email_bytes: u64,
    /// How many times mailboxes showed them.
    pub messages: u64,
    /// Bytes that the store gave back to the file system.
    pub bytes_freed: u64,
}

/// Where an email is shown.
pub type ShownIn = BTreeMap<EmailId, Vec<(MailboxName, Uid)>>;

impl Account {
    /// The emails with a Message-ID, with angle brackets or without; expunged ones that are kept too.
    ///
    /// # Errors
    /// [`MailError::Unavailable`], [`MailError::Damaged`].
    pub async fn emails_with_message_id(&self, id: &str) -> Result<Vec<EmailId>> {
        let bare = id.trim().trim_start_matches('<').trim_end_matches('>');
        let id = restante_message::message_ids(format!("<{bare}>").as_bytes()).next();
        let Some(hash) = id.map(|id| MessageIdHash::of(&id).0.max(1)) else {
            return Ok(Vec::new());
        };
        let mut found = Vec::new();
        let (mut start, end) = keys::table(self.id(), Table::Email);
        loop {
            let range = (start, end.clone());
            let rows = self.core.store.scan(range, Direction::Ascending, ROWS);
            let rows = rows.await?;
            let Some((last, _)) = rows.last() else {
                return Ok(found);
            };
            start = Bound::Excluded(last.to_vec());
            for (key, value) in rows {
                let email = EmailId(keys::last_u64(&key).unwrap_or(0));
                if EmailRow::decode(email, value)?.message_id() == hash {
                    found.push(email);
                }
            }
        }
    }

    /// The emails that were purged, in the order of their numbers.
    ///
    /// # Errors
    /// [`MailError::Unavailable`], [`MailError::Damaged`].
    pub async fn tombstones(&self) -> Result<Vec<Tombstone>> {
        tombstones(&self.core.store, self.id()).await
    }

    /// Those emails of an account that are no more, though mailboxes may have shown them.
    pub(crate) async fn purged(&self) -> Result<HashSet<EmailId>> {
        let purged = self.tombstones().await?;
        Ok(purged.into_iter().map(|purged| purged.email).collect())
    }

    /// Which mailboxes show emails.
    ///
    /// # Errors
    /// As [`crate::Mailbox::snapshot`].
    pub async fn shown_in(self: &Arc<Self>, emails: &BTreeSet<EmailId>) -> Result<ShownIn> {
        let mut shown = ShownIn::new();
        let tree = self.tree().await?;
        for (name, entry) in &tree.mailboxes {
            let mailbox = match self.open(entry.id).await {
                Err(MailError::NoSuchMailbox) => continue,
                mailbox => mailbox?,
            };
            let snapshot = mailbox.snapshot().await?;
            let loaded = mailbox.ensure(&snapshot, Wanted::All).await?;
            for row in loaded.rows(..).filter(|row| emails.contains(&row.email)) {
                let places = shown.entry(row.email).or_default();
                places.push((name.clone(), row.uid));
            }
        }
        Ok(shown)
    }

    /// Expunges emails wherever they are shown. Returns how many messages that were.
    async fn expunge_emails(self: &Arc<Self>, emails: &BTreeSet<EmailId>) -> Result<u64> {
        let mut expunged = 0;
        for _ in 0..PASSES {
            let mut by_mailbox: BTreeMap<MailboxName, Vec<Uid>> = BTreeMap::new();
            for (name, uid) in self.shown_in(emails).await?.into_values().flatten() {
                by_mailbox.entry(name).or_default().push(uid);
            }
            if by_mailbox.is_empty() {
                break;
            }
            for (name, uids) in by_mailbox {
                let uids: UidSet = uids.into_iter().collect();
                let gone = match self.mailbox(&name).await {
                    // Renamed or deleted meanwhile: the next pass sees.
                    Err(MailError::NoSuchMailbox) => continue,
                    mailbox => mailbox?.expunge(&ExpungeWhat::Uids(uids), None).await?,
                };
                expunged += gone.uids.len();
            }
        }
        Ok(expunged)
    }
}

impl Mail {
    /// Deletes emails at once: nobody can read them when this returns, and nothing of them is left in the
    /// store's files, but for the index's journal, which goes when the store is closed. A tombstone with
    /// the reason stays. What was copied out of the store, by clients or as a backup, has them still.
    ///
    /// # Errors
    /// [`MailError::Unavailable`] if the store cannot erase them now: they are deleted nevertheless, and
    /// [`Mail::retention`] erases them later. As [`crate::Mailbox::expunge`].
    pub async fn purge(
        &self,
        account: &Arc<Account>,
        emails: &BTreeSet<EmailId>,
        reason: &str,
    ) -> Result<PurgeReport> {
        if reason.len() > PURGE_REASON_BYTES_MAX {
            return Err(MailError::misuse(format!(
                "a reason longer than {PURGE_REASON_BYTES_MAX} bytes"
            )));
        }
        let mut deleted = RetentionReport::default();
        let all: Vec<_> = emails.iter().copied().collect();
        for some in all.chunks(EMAILS) {
            // The store may move a message meanwhile.
            while !self
                .delete_emails(account.id(), some, Some(reason), &mut deleted)
                .await?
            {}
        }
        let mut report = self.finish_purge(account, emails).await?;
        report.emails = deleted.emails;
        report.email_bytes = deleted.email_bytes;
        Ok(report)
    }

    /// What is left to do for emails that have tombstones.
    async fn finish_purge(
        &self,
        account: &Arc<Account>,
        emails: &BTreeSet<EmailId>,
    ) -> Result<PurgeReport> {
        let mut report = PurgeReport {
            messages: account.expunge_emails(emails).await?,
            ..PurgeReport::default()
        };
        let rows: BTreeSet<Key> = emails
            .iter()
            .map(|email| keys::email(account.id(), *email))
            .collect();
        report.bytes_freed = self.core.store.erase(rows).await?.bytes_freed;
        self.core.messages_moved();
        // What was on its way before is there now.
        report.messages += account.expunge_emails(emails).await?;
        let mut batch = Batch::new(account.id().0);
        for mut tombstone in account.tombstones().await? {
            if emails.contains(&tombstone.email) && !tombstone.is_erased {
                tombstone.is_erased = true;
                let key = keys::tombstone(account.id(), tombstone.email);
                batch.put(key, tombstone.encode());
            }
        }
        self.core.store.commit(batch).await?;
        Ok(report)
    }

    /// Finishes the purges of an account that were cut short.
    pub(crate) async fn finish_purges(&self, id: AccountId) -> Result<()> {
        let purged = tombstones(&self.core.store, id).await?;
        let left = purged.into_iter().filter(|purged| !purged.is_erased);
        let left: BTreeSet<_> = left.map(|purged| purged.email).collect();
        if left.is_empty() {
            return Ok(());
        }
        let account = self.account(id).await?;
        self.finish_purge(&account, &left).await?;
        Ok(())
    }
}

/// Adds the tombstone of an email to the batch that deletes it.
pub(crate) fn bury(batch: &mut Batch, account: AccountId, row: &EmailRow, now_ms: i64, why: &str) {
    let tombstone = Tombstone {
        email: row.id(),
        purged_ms: now_ms,
        size: row.size(),
        reason: why.to_owned(),
        is_erased: false,
    };
    batch.put(keys::tombstone(account, row.id()), tombstone.encode());
}

/// The tombstones of an account.
pub(crate) async fn tombstones(
    store: &restante_store::Store,
    account: AccountId,
) -> Result<Vec<Tombstone>> {
    let range = keys::table(account, Table::Tombstone);
    let rows = store.scan(range, Direction::Ascending, usize::MAX).await?;
    rows.into_iter()
        .map(|(key, value)| {
            let email = EmailId(keys::last_u64(&key).unwrap_or(0));
            Ok(Tombstone::decode(email, &value)?)
        })
        .collect()
}
