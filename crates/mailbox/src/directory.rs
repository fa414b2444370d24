//! The users of the server: rows of account 0.

use std::ops::Bound;

use restante_store::{Batch, CommitError, Direction};
use unicode_normalization::UnicodeNormalization;

use crate::{
    account::read_tree,
    codec::{Decoded, Reader, put_bytes, put_varint},
    error::{Limit, MailError, Result},
    keys,
    mail::Mail,
    quota::QuotaLimits,
    scram::{self, ScramRow},
    tree::Tree,
    types::AccountId,
};

/// A user: who may log in, and the account that is theirs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The number of the account; never used again for another.
    pub account: AccountId,
    /// The name in its canonical form, see [`canonical_user_name`].
    pub name: String,
    /// The password's hash as a PHC string; without one nobody can log in with a password.
    pub password: Option<String>,
    /// The quota; what is `None` is the server's default.
    pub quota: QuotaLimits,
    /// Whether the user is locked out. Mail is still delivered.
    pub disabled: bool,
}

/// A user to add.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewUser {
    /// The name, in any form.
    pub name: String,
    /// The password's hash as a PHC string.
    pub password: Option<String>,
    /// The quota.
    pub quota: QuotaLimits,
    /// The keys of SCRAM that were made of the password, if any were.
    pub scram: Vec<ScramRow>,
}

const USER_VERSION: u8 = 1;
const ACCOUNT_COUNTER: &str = "account";
/// The longest name and the longest hash, in bytes.
const TEXT_BYTES_MAX: usize = 512;
const TRIES: usize = 32;

/// The form in which names are compared and kept: trimmed, NFC, lower case.
pub fn canonical_user_name(name: &str) -> String {
    let lower: String = name.trim().nfc().collect::<String>().to_lowercase();
    lower.nfc().collect()
}

impl User {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![USER_VERSION];
        put_varint(&mut out, self.account.0.into());
        let has = |yes: bool, bit: u8| u8::from(yes) << bit;
        out.push(
            has(self.disabled, 0)
                | has(self.password.is_some(), 1)
                | has(self.quota.bytes.is_some(), 2)
                | has(self.quota.messages.is_some(), 3)
                | has(self.quota.mailboxes.is_some(), 4),
        );
        put_varint(&mut out, self.quota.bytes.unwrap_or_default());
        put_bytes(
            &mut out,
            self.password.as_deref().unwrap_or_default().as_bytes(),
        );
        // Only where there is one, so that rows from before there were any stay what they are.
        for limit in [self.quota.messages, self.quota.mailboxes] {
            limit.iter().for_each(|limit| put_varint(&mut out, *limit));
        }
        out
    }

    fn decode(name: &str, bytes: &[u8]) -> Result<Self> {
        let decode = || -> Decoded<Self> {
            let mut reader = Reader::new("user", bytes);
            if reader.u8()? != USER_VERSION {
                return Err(reader.damaged());
            }
            let account = AccountId(reader.varint_u32()?);
            let has = reader.u8()?;
            let bytes = reader.varint()?;
            let password = reader.str()?;
            let mut limit = |bit| match has & bit != 0 {
                true => reader.varint().map(Some),
                false => Ok(None),
            };
            let quota = QuotaLimits {
                bytes: (has & 4 != 0).then_some(bytes),
                messages: limit(8)?,
                mailboxes: limit(16)?,
            };
            Ok(Self {
                account,
                name: name.into(),
                password: (has & 2 != 0).then(|| password.into()),
                quota,
                disabled: has & 1 != 0,
            })
        };
        decode().map_err(|_| MailError::damaged(format!("directory row of user {name:?}")))
    }
}

impl Mail {
    /// The user of this name, in any form.
    ///
    /// # Errors
    /// [`MailError::Unavailable`], [`MailError::Damaged`].
    pub async fn user(&self, name: &str) -> Result<Option<User>> {
        let name = canonical_user_name(name);
        if name.is_empty() || name.len() > TEXT_BYTES_MAX {
            return Ok(None);
        }
        let row = self.core.store.get(&keys::user(&name)).await?;
        row.map(|row| User::decode(&name, &row)).transpose()
    }

    /// The user whose account this is.
    ///
    /// # Errors
    /// As [`Mail::user`].
    pub async fn user_of_account(&self, account: AccountId) -> Result<Option<User>> {
        self.core.user_of_account(account).await
    }

    /// Adds a user.
    ///
    /// # Errors
    /// [`MailError::UserExists`], [`MailError::Limit`].
    pub async fn user_add(&self, name: &str, password: Option<String>) -> Result<User> {
        let user = NewUser {
            name: name.into(),
            password,
            quota: QuotaLimits::default(),
            scram: Vec::new(),
        };
        let mut added = self.users_add(vec![user]).await?;
        added.pop().ok_or(MailError::Busy)
    }

    /// Adds users, all or none. Much faster than one by one; up to a few thousand at a time.
    ///
    /// # Errors
    /// [`MailError::UserExists`] if one does, or is named twice; [`MailError::Limit`].
    pub async fn users_add(&self, new: Vec<NewUser>) -> Result<Vec<User>> {
        let store = &self.core.store;
        for _ in 0..TRIES {
            let counter_key = keys::counter(ACCOUNT_COUNTER);
            let counter = store.get(&counter_key).await?;
            let mut last = match &counter {
                Some(value) => Reader::new("counter", value).u32_le()?,
                None => 0,
            };
            let mut batch = Batch::new(keys::SERVER.0);
            let mut users = Vec::with_capacity(new.len());
            for user in &new {
                let keys_of_new = &user.scram;
                let name = canonical_user_name(&user.name);
                let password = user.password.as_deref().unwrap_or_default();
                if name.is_empty() || name.len().max(password.len()) > TEXT_BYTES_MAX {
                    return Err(MailError::Limit(Limit::User));
                }
                last = last.checked_add(1).ok_or(MailError::Limit(Limit::User))?;
                let user = User {
                    account: AccountId(last),
                    name,
                    password: user.password.clone(),
                    quota: user.quota,
                    disabled: false,
                };
                scram::put(&mut batch, user.account, keys_of_new);
                let key = keys::user(&user.name);
                batch.require_absent.push(key.clone());
                batch.put(key, user.encode());
                batch.put(keys::user_of_account(user.account), user.name.clone());
                users.push(user);
            }
            let mut names: Vec<_> = users.iter().map(|user| &user.name).collect();
            names.sort_unstable();
            if names.windows(2).any(|pair| pair[0] == pair[1]) {
                return Err(MailError::UserExists);
            }
            match counter {
                Some(value) => batch.require_equal.push((counter_key.clone(), value)),
                None => batch.require_absent.push(counter_key.clone()),
            }
            batch.put(counter_key.clone(), last.to_le_bytes().to_vec());
            match store.commit(batch).await {
                Ok(_) => return Ok(users),
                Err(CommitError::Conflict { key, .. }) if key == counter_key => {}
                Err(CommitError::Conflict { .. }) => return Err(MailError::UserExists),
                Err(error) => return Err(error.into()),
            }
        }
        Err(MailError::Busy)
    }

    /// Sets the password's hash (a PHC string), or takes it away. The keys of SCRAM that were made of
    /// the old password go with it, in the same batch.
    ///
    /// # Errors
    /// [`MailError::NoSuchUser`], [`MailError::Limit`].
    pub async fn user_set_password(&self, name: &str, password: Option<String>) -> Result<User> {
        self.user_set_password_and_keys(name, password, Vec::new())
            .await
    }

    /// The same, with new keys of SCRAM.
    ///
    /// # Errors
    /// [`MailError::NoSuchUser`], [`MailError::Limit`].
    pub async fn user_set_password_and_keys(
        &self,
        name: &str,
        password: Option<String>,
        keys: Vec<ScramRow>,
    ) -> Result<User> {
        if password.as_deref().unwrap_or_default().len() > TEXT_BYTES_MAX {
            return Err(MailError::Limit(Limit::User));
        }
        self.user_change(name, |user, batch| {
            user.password = password.clone();
            scram::replace(batch, user.account, &keys);
        })
        .await
    }

    /// Changes the quota; what is `None` is the server's default.
    ///
    /// # Errors
    /// [`MailError::NoSuchUser`].
    pub async fn user_set_quota(
        &self,
        name: &str,
        change: impl Fn(&mut QuotaLimits),
    ) -> Result<User> {
        let user = self
            .user_change(name, |user, _| change(&mut user.quota))
            .await?;
        self.quota_changed(&user);
        Ok(user)
    }

    /// Locks a user out, or in again. Who is locked out has no sessions any more ([`Account::closed`]).
    ///
    /// [`Account::closed`]: crate::Account::closed
    ///
    /// # Errors
    /// [`MailError::NoSuchUser`].
    pub async fn user_set_disabled(&self, name: &str, disabled: bool) -> Result<User> {
        let user = self
            .user_change(name, |user, _| user.disabled = disabled)
            .await?;
        self.set_closed(user.account, disabled);
        Ok(user)
    }

    /// Removes a user. The account's number is never used again; its data is deleted after the
    /// retention time.
    ///
    /// # Errors
    /// [`MailError::NoSuchUser`].
    pub async fn user_remove(&self, name: &str) -> Result<()> {
        for _ in 0..TRIES {
            let user = self.user(name).await?.ok_or(MailError::NoSuchUser)?;
            // Nobody is to get with the name what was granted to this user. First, so that a removal that is
            // cut off can be done again.
            self.forget_identifier(&user.name).await?;
            let key = keys::user(&user.name);
            let mut batch = Batch::new(keys::SERVER.0);
            batch
                .require_equal
                .push((key.clone(), user.encode().into()));
            batch.delete.push(key);
            batch.delete.push(keys::user_of_account(user.account));
            scram::replace(&mut batch, user.account, &[]);
            if let Some(now) = read_tree(&self.core, user.account).await? {
                let nothing = Tree::default();
                now.tree.index_shares(&nothing, user.account, &mut batch);
            }
            let now = self.core.now_ms();
            batch.put(keys::removed(user.account), now.to_le_bytes().to_vec());
            match self.core.store.commit(batch).await {
                Ok(_) => {
                    self.set_closed(user.account, true);
                    // What was granted meanwhile.
                    return self.forget_identifier(&user.name).await;
                }
                Err(CommitError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(MailError::Busy)
    }

    /// Up to `limit` users in the order of their names, from the first after `after`.
    ///
    /// # Errors
    /// As [`Mail::user`].
    pub async fn users(&self, after: Option<&str>, limit: usize) -> Result<Vec<User>> {
        let (mut start, end) = keys::table(keys::SERVER, keys::Table::User);
        if let Some(after) = after {
            start = Bound::Excluded(keys::user(&canonical_user_name(after)));
        }
        let rows = self
            .core
            .store
            .scan((start, end), Direction::Ascending, limit)
            .await?;
        let prefix = keys::user("").len();
        rows.into_iter()
            .map(|(key, row)| {
                let name = key.get(prefix..).unwrap_or_default();
                let name = std::str::from_utf8(name)
                    .map_err(|_| MailError::damaged("a user's name in the directory"))?;
                User::decode(name, &row)
            })
            .collect()
    }

    /// Replaces the hash of the same password by another, if the user still has the hash that `user` has.
    /// `None`: the password was changed meanwhile, or the user is gone, and nothing is changed.
    ///
    /// # Errors
    /// [`MailError::Limit`], [`MailError::Unavailable`].
    pub async fn user_rehash(&self, user: &User, hash: String) -> Result<Option<User>> {
        if hash.len() > TEXT_BYTES_MAX {
            return Err(MailError::Limit(Limit::User));
        }
        let key = keys::user(&user.name);
        let mut batch = Batch::new(keys::SERVER.0);
        batch
            .require_equal
            .push((key.clone(), user.encode().into()));
        let user = User {
            password: Some(hash),
            ..user.clone()
        };
        batch.put(key, user.encode());
        match self.core.store.commit(batch).await {
            Ok(_) => Ok(Some(user)),
            Err(CommitError::Conflict { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn user_change(
        &self,
        name: &str,
        change: impl Fn(&mut User, &mut Batch),
    ) -> Result<User> {
        for _ in 0..TRIES {
            let mut user = self.user(name).await?.ok_or(MailError::NoSuchUser)?;
            let key = keys::user(&user.name);
            let mut batch = Batch::new(keys::SERVER.0);
            batch
                .require_equal
                .push((key.clone(), user.encode().into()));
            change(&mut user, &mut batch);
            batch.put(key, user.encode());
            match self.core.store.commit(batch).await {
                Ok(_) => return Ok(user),
                Err(CommitError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(MailError::Busy)
    }
}

impl crate::mail::Core {
    pub(crate) async fn user_of_account(&self, account: AccountId) -> Result<Option<User>> {
        let Some(name) = self.store.get(&keys::user_of_account(account)).await? else {
            return Ok(None);
        };
        let name = std::str::from_utf8(&name)
            .map_err(|_| MailError::damaged("a user's name in the directory"))?;
        let row = self.store.get(&keys::user(name)).await?;
        row.map(|row| User::decode(name, &row)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_from_before_there_were_more_limits_stay_what_they_are() {
        let old = [1, 7, 0b110, 100, 2, b'$', b'x'];
        let mut user = User::decode("ada", &old).unwrap();
        assert_eq!((user.quota.bytes, user.quota.messages), (Some(100), None));
        assert_eq!(user.encode(), old);
        user.quota.mailboxes = Some(300);
        let row = user.encode();
        assert_eq!(User::decode("ada", &row).unwrap(), user);
        assert_eq!(row[2], 0b1_0110);
        user.quota.messages = Some(0);
        assert_eq!(User::decode("ada", &user.encode()).unwrap(), user);
        assert!(User::decode("ada", &row[..row.len() - 2]).is_err());
    }
}
