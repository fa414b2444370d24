//! The keys of SCRAM: rows of account 0 beside the users (docs/format/scram.md).

use restante_store::{Batch, CommitError};

use crate::{
    codec::{Decoded, Reader, put_bytes, put_varint},
    directory::User,
    error::{MailError, Result},
    keys,
    mail::Mail,
    types::AccountId,
};

const SCRAM_VERSION: u8 = 1;
/// The kinds that a user may have keys of: SHA-1, SHA-256.
const KINDS: [u8; 2] = [1, 2];
/// In account 0: the secret from which salts are made up for those who have none.
const KIND_SECRET: u8 = 0xff;
const SECRET_BYTES: usize = 32;
const TRIES: usize = 4;

/// What a user's server side of SCRAM is kept as (RFC 5802 §3).
#[derive(Clone, PartialEq, Eq)]
pub struct ScramRow {
    /// Which hash: 1 SHA-1, 2 SHA-256.
    pub kind: u8,
    /// How often the password was hashed.
    pub iterations: u32,
    /// The salt.
    pub salt: Vec<u8>,
    /// StoredKey.
    pub stored_key: Vec<u8>,
    /// ServerKey.
    pub server_key: Vec<u8>,
}

impl std::fmt::Debug for ScramRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScramRow")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

impl ScramRow {
    fn encode(&self) -> Vec<u8> {
        let mut out = vec![SCRAM_VERSION];
        put_varint(&mut out, self.iterations.into());
        put_bytes(&mut out, &self.salt);
        put_bytes(&mut out, &self.stored_key);
        put_bytes(&mut out, &self.server_key);
        out
    }

    fn decode(kind: u8, bytes: &[u8]) -> Decoded<ScramRow> {
        let mut reader = Reader::new("keys of SCRAM", bytes);
        if reader.u8()? != SCRAM_VERSION {
            return Err(reader.damaged());
        }
        Ok(ScramRow {
            kind,
            iterations: reader.varint_u32()?,
            salt: reader.bytes()?.to_vec(),
            stored_key: reader.bytes()?.to_vec(),
            server_key: reader.bytes()?.to_vec(),
        })
    }
}

/// Puts the keys of a user who has none.
pub(crate) fn put(batch: &mut Batch, account: AccountId, rows: &[ScramRow]) {
    for row in rows.iter().filter(|row| KINDS.contains(&row.kind)) {
        batch.put(keys::scram(account, row.kind), row.encode());
    }
}

/// Puts these keys in place of all that the user has.
pub(crate) fn replace(batch: &mut Batch, account: AccountId, rows: &[ScramRow]) {
    for kind in KINDS {
        let key = keys::scram(account, kind);
        match rows.iter().find(|row| row.kind == kind) {
            Some(row) => {
                batch.put(key, row.encode());
            }
            None => batch.delete.push(key),
        }
    }
}

impl Mail {
    /// The keys of SCRAM of an account's user.
    ///
    /// # Errors
    /// [`MailError::Unavailable`], [`MailError::Damaged`].
    pub async fn scram_keys(&self, account: AccountId, kind: u8) -> Result<Option<ScramRow>> {
        let row = self.core.store.get(&keys::scram(account, kind)).await?;
        let decode = |row: &[u8]| {
            ScramRow::decode(kind, row)
                .map_err(|_| MailError::damaged(format!("keys of SCRAM of account {account:?}")))
        };
        row.map(|row| decode(&row)).transpose()
    }

    /// Keeps keys that were made of the password whose hash `user` has. False: the user has another
    /// password by now, or is gone, and nothing is kept.
    ///
    /// # Errors
    /// [`MailError::Unavailable`].
    pub async fn keep_scram_keys(&self, user: &User, rows: &[ScramRow]) -> Result<bool> {
        let mut batch = Batch::new(keys::SERVER.0);
        batch
            .require_equal
            .push((keys::user(&user.name), user.encode().into()));
        replace(&mut batch, user.account, rows);
        match self.core.store.commit(batch).await {
            Ok(_) => Ok(true),
            Err(CommitError::Conflict { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The server's secret for the salts of users who have none: made of `fresh` the first time, and the
    /// same ever after.
    ///
    /// # Errors
    /// [`MailError::Unavailable`], [`MailError::Damaged`].
    pub async fn scram_secret(&self, fresh: [u8; SECRET_BYTES]) -> Result<[u8; SECRET_BYTES]> {
        let key = keys::scram(keys::SERVER, KIND_SECRET);
        for _ in 0..TRIES {
            if let Some(row) = self.core.store.get(&key).await? {
                let secret = row.strip_prefix(&[SCRAM_VERSION]);
                let secret = secret.and_then(|secret| secret.try_into().ok());
                return secret.ok_or_else(|| MailError::damaged("the secret of SCRAM's salts"));
            }
            let mut batch = Batch::new(keys::SERVER.0);
            batch.require_absent.push(key.clone());
            batch.put(key.clone(), [&[SCRAM_VERSION], &fresh[..]].concat());
            match self.core.store.commit(batch).await {
                Ok(_) => return Ok(fresh),
                Err(CommitError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(MailError::Busy)
    }
}
