//! The keys with which users authorize URLs to mailboxes (RFC 4467 §2.2): each user has one for each mailbox.

use std::{fmt, sync::atomic::Ordering};

use restante_store::{Batch, CommitError, Direction};

use crate::{
    error::{MailError, Result},
    keys::{self, Table},
    mail::Mail,
    mailbox::Mailbox,
    types::{AccountId, MailboxId},
};

const VERSION: u8 = 1;
const TRIES: usize = 32;
/// Rows deleted at once.
const ROWS: usize = 1000;

/// A key: random octets that never leave the server.
#[derive(Clone, PartialEq, Eq)]
pub struct UrlKey(pub [u8; 32]);

impl fmt::Debug for UrlKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UrlKey(…)")
    }
}

impl UrlKey {
    fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend_from_slice(&self.0);
        out
    }

    fn decode(value: &[u8]) -> Result<UrlKey> {
        let key = value.strip_prefix(&[VERSION]);
        let key = key.and_then(|key| key.try_into().ok());
        key.map(UrlKey)
            .ok_or_else(|| MailError::damaged("a key of URLs"))
    }
}

impl Mail {
    /// A user's key for a mailbox, which may be another account's.
    ///
    /// # Errors
    /// [`MailError::Unavailable`], [`MailError::Damaged`].
    pub async fn url_key(
        &self,
        user: AccountId,
        mailbox: (AccountId, MailboxId),
    ) -> Result<Option<UrlKey>> {
        let row = self.core.store.get(&keys::url_key(user, mailbox)).await?;
        row.map(|row| UrlKey::decode(&row)).transpose()
    }

    /// Whether a user has a key for a mailbox. Costs nothing once it is known.
    ///
    /// # Errors
    /// As [`Mail::url_key`].
    pub async fn has_url_key(&self, user: AccountId, mailbox: &Mailbox) -> Result<bool> {
        let age = self.core.url_keys_removed.load(Ordering::Acquire);
        if let Some(has) = mailbox.knows_url_key(user, age) {
            return Ok(has);
        }
        let of = (mailbox.account().id(), mailbox.id());
        let has = self.url_key(user, of).await?.is_some();
        mailbox.note_url_key(user, age, has);
        Ok(has)
    }

    /// A user's key for a mailbox; if there is none, `fresh` becomes it.
    ///
    /// # Errors
    /// As [`Mail::url_key`].
    pub async fn url_key_or(
        &self,
        user: AccountId,
        mailbox: &Mailbox,
        fresh: UrlKey,
    ) -> Result<UrlKey> {
        let of = (mailbox.account().id(), mailbox.id());
        for _ in 0..TRIES {
            let age = self.core.url_keys_removed.load(Ordering::Acquire);
            if let Some(key) = self.url_key(user, of).await? {
                return Ok(key);
            }
            let key = keys::url_key(user, of);
            let mut batch = Batch::new(user.0);
            batch.require_absent.push(key.clone());
            batch.put(key, fresh.encode());
            match self.core.store.commit(batch).await {
                Ok(_) => {
                    mailbox.note_url_key(user, age, true);
                    return Ok(fresh);
                }
                Err(CommitError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(MailError::Busy)
    }

    /// Replaces a user's key for a mailbox: what was authorized with the old one is no more. Gives how often
    /// that happened, see [`Mailbox::url_key_resets`].
    ///
    /// # Errors
    /// [`MailError::Unavailable`].
    pub async fn url_key_reset(
        &self,
        user: AccountId,
        mailbox: &Mailbox,
        fresh: UrlKey,
    ) -> Result<u32> {
        let age = self.core.url_keys_removed.load(Ordering::Acquire);
        let of = (mailbox.account().id(), mailbox.id());
        let mut batch = Batch::new(user.0);
        batch.put(keys::url_key(user, of), fresh.encode());
        self.core.store.commit(batch).await?;
        mailbox.note_url_key(user, age, true);
        Ok(mailbox.note_url_key_reset(user))
    }

    /// Removes all keys of a user.
    ///
    /// # Errors
    /// [`MailError::Unavailable`].
    pub async fn url_keys_remove(&self, user: AccountId) -> Result<()> {
        loop {
            let range = keys::table(user, Table::UrlKey);
            let store = &self.core.store;
            let rows = store.scan(range, Direction::Ascending, ROWS).await?;
            if rows.is_empty() {
                self.core.url_keys_removed.fetch_add(1, Ordering::AcqRel);
                return Ok(());
            }
            let mut batch = Batch::new(user.0);
            batch
                .delete
                .extend(rows.into_iter().map(|(key, _)| key.to_vec()));
            store.commit(batch).await?;
        }
    }
}
