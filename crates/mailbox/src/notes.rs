//! Small rows that the server keeps for itself: what it has seen of logins.

use std::ops::Bound;

use restante_store::{Batch, Direction};

use crate::{
    error::{MailError, Result},
    keys::{self, Table},
    mail::Mail,
    types::AccountId,
};

/// Rows in one batch.
const ROWS: usize = 1000;

/// A row that was changed: its key, and its new value or none.
pub type NoteChange = (Vec<u8>, Option<Vec<u8>>);

impl Mail {
    /// All that is kept of failed logins: keys and values as they were given.
    ///
    /// # Errors
    /// [`MailError::Unavailable`].
    pub async fn throttle_rows(&self) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let prefix = keys::throttle(&[]).len();
        let (mut start, end) = keys::table(keys::SERVER, Table::Throttle);
        let mut all = Vec::new();
        loop {
            let range = (start, end.clone());
            let store = &self.core.store;
            let rows = store.scan(range, Direction::Ascending, ROWS).await?;
            let Some((last, _)) = rows.last() else {
                return Ok(all);
            };
            start = Bound::Excluded(last.to_vec());
            let rows = rows.into_iter();
            all.extend(rows.map(|(key, value)| (key[prefix..].to_vec(), value.to_vec())));
        }
    }

    /// Changes what is kept of failed logins.
    ///
    /// # Errors
    /// [`MailError::Unavailable`], [`MailError::Full`].
    pub async fn change_throttle_rows(&self, changes: &[NoteChange]) -> Result<()> {
        for some in changes.chunks(ROWS) {
            let mut batch = Batch::new(keys::SERVER.0);
            for (key, value) in some {
                let key = keys::throttle(key);
                match value {
                    Some(value) => {
                        batch.put(key, value.clone());
                    }
                    None => batch.delete.push(key),
                }
            }
            self.core.store.commit(batch).await?;
        }
        Ok(())
    }

    /// Keeps logins of an account: the time of each (ms since 1970) and what is known of it. Of those that
    /// are kept by then, only the newest `most` stay.
    ///
    /// # Errors
    /// [`MailError::Unavailable`], [`MailError::Full`].
    pub async fn keep_logins(
        &self,
        account: AccountId,
        logins: &[(i64, Vec<u8>)],
        most: usize,
    ) -> Result<()> {
        let store = &self.core.store;
        let range = keys::table(account, Table::Login);
        let rows = store.scan(range, Direction::Ascending, usize::MAX).await?;
        let mut batch = Batch::new(account.0);
        // Two at the same moment are two all the same.
        let mut last = rows.last().and_then(|(key, _)| keys::last_u64(key));
        let from = logins.len().saturating_sub(most);
        for (ms, login) in &logins[from..] {
            let mut id = u64::try_from(*ms).unwrap_or(0);
            if let Some(last) = last {
                id = id.max(last + 1);
            }
            last = Some(id);
            batch.put(keys::login(account, id), login.clone());
        }
        let kept = most.saturating_sub(logins.len() - from);
        let old = rows.len().saturating_sub(kept);
        batch
            .delete
            .extend(rows[..old].iter().map(|(key, _)| key.to_vec()));
        store.commit(batch).await?;
        Ok(())
    }

    /// The logins of an account that are kept, the oldest first: about when (ms since 1970), and what was
    /// given.
    ///
    /// # Errors
    /// [`MailError::Unavailable`], [`MailError::Damaged`].
    pub async fn logins(&self, account: AccountId) -> Result<Vec<(i64, Vec<u8>)>> {
        let store = &self.core.store;
        let range = keys::table(account, Table::Login);
        let rows = store.scan(range, Direction::Ascending, usize::MAX).await?;
        rows.into_iter()
            .map(|(key, value)| {
                let ms = keys::last_u64(&key).and_then(|ms| i64::try_from(ms).ok());
                let ms = ms.ok_or_else(|| MailError::damaged("the key of a login"))?;
                Ok((ms, value.to_vec()))
            })
            .collect()
    }
}
