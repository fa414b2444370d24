//! App passwords: passwords of single devices, made by the server.

use restante_store::{Batch, CommitError, Direction};

use crate::{
    codec::{Decoded, Reader, put_bytes, put_signed},
    error::{Limit, MailError, Result},
    keys::{self, Table},
    mail::Mail,
    types::AccountId,
};

/// App passwords of one user at most.
const COUNT_MAX: usize = 100;
/// The longest label, in bytes.
const LABEL_BYTES_MAX: usize = 200;
const TRIES: usize = 32;
const VERSION: u8 = 1;

/// An app password, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppPassword {
    /// Its number, not used again as long as a later one is there.
    pub id: u64,
    /// What it is for, in the user's words.
    pub label: String,
    /// When it was made, milliseconds since 1970.
    pub created_ms: i64,
    /// When it was used last, about; 0: never.
    pub used_ms: i64,
    /// What it was hashed with.
    pub salt: Vec<u8>,
    /// The hash.
    pub hash: Vec<u8>,
}

impl AppPassword {
    /// Version u8, made and used (signed varints), label, salt, hash (each with its length).
    fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        put_signed(&mut out, self.created_ms);
        put_signed(&mut out, self.used_ms);
        for bytes in [self.label.as_bytes(), &self.salt, &self.hash] {
            put_bytes(&mut out, bytes);
        }
        out
    }

    fn decode(id: u64, value: &[u8]) -> Decoded<Self> {
        let mut reader = Reader::new("app password", value);
        let damaged = reader.damaged();
        if reader.u8()? != VERSION {
            return Err(damaged);
        }
        let (created_ms, used_ms) = (reader.signed()?, reader.signed()?);
        let label = std::str::from_utf8(reader.bytes()?).map_err(|_| damaged)?;
        Ok(Self {
            id,
            label: label.to_owned(),
            created_ms,
            used_ms,
            salt: reader.bytes()?.to_vec(),
            hash: reader.bytes()?.to_vec(),
        })
    }
}

impl Mail {
    /// The app passwords of an account, in the order in which they were made.
    ///
    /// # Errors
    /// [`MailError::Unavailable`], [`MailError::Damaged`].
    pub async fn app_passwords(&self, account: AccountId) -> Result<Vec<AppPassword>> {
        let range = keys::table(account, Table::AppPassword);
        let store = &self.core.store;
        let rows = store.scan(range, Direction::Ascending, COUNT_MAX).await?;
        rows.into_iter()
            .map(|(key, value)| {
                let id = keys::last_u64(&key).unwrap_or(0);
                Ok(AppPassword::decode(id, &value)?)
            })
            .collect()
    }

    /// Keeps a new app password; its number is chosen here.
    ///
    /// # Errors
    /// [`MailError::Limit`] if there are too many, or the label is too long; [`MailError::Unavailable`].
    pub async fn app_password_add(
        &self,
        account: AccountId,
        mut password: AppPassword,
    ) -> Result<AppPassword> {
        if password.label.len() > LABEL_BYTES_MAX {
            return Err(MailError::Limit(Limit::AppPasswords));
        }
        for _ in 0..TRIES {
            let kept = self.app_passwords(account).await?;
            if kept.len() >= COUNT_MAX {
                return Err(MailError::Limit(Limit::AppPasswords));
            }
            password.id = kept.last().map_or(1, |last| last.id + 1);
            let key = keys::app_password(account, password.id);
            let mut batch = Batch::new(account.0);
            batch.require_absent.push(key.clone());
            batch.put(key, password.encode());
            match self.core.store.commit(batch).await {
                Ok(_) => return Ok(password),
                Err(CommitError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(MailError::Busy)
    }

    /// Notes that an app password was used, unless it was revoked meanwhile.
    ///
    /// # Errors
    /// [`MailError::Unavailable`].
    pub async fn app_password_used(
        &self,
        account: AccountId,
        password: &AppPassword,
        used_ms: i64,
    ) -> Result<()> {
        let key = keys::app_password(account, password.id);
        let used = AppPassword {
            used_ms,
            ..password.clone()
        };
        let mut batch = Batch::new(account.0);
        batch
            .require_equal
            .push((key.clone(), password.encode().into()));
        batch.put(key, used.encode());
        match self.core.store.commit(batch).await {
            // Another login noted it.
            Ok(_) | Err(CommitError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Revokes an app password. False: there is none of this number.
    ///
    /// # Errors
    /// [`MailError::Unavailable`].
    pub async fn app_password_revoke(&self, account: AccountId, id: u64) -> Result<bool> {
        let key = keys::app_password(account, id);
        if self.core.store.get(&key).await?.is_none() {
            return Ok(false);
        }
        let mut batch = Batch::new(account.0);
        batch.delete.push(key);
        self.core.store.commit(batch).await?;
        Ok(true)
    }
}
