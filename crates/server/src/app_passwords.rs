//! App passwords: made here, shown once, checked without the work that a person's password needs.
//!
//! They are 100 random bits, so that one hash is enough: nobody guesses them, whoever has the hash.

use aws_lc_rs::{constant_time, digest};
use restante_auth::{Secret, Verifier};
use restante_mailbox::{AccountId, AppPassword, Mail, MailError};
use serde::{Deserialize, Serialize};

use crate::time::unix_ms;

/// Without those that look like others, and a power of two.
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// Letters of one: 5 bits each.
const LENGTH: usize = 20;
/// They are shown in groups, which may be left out.
const GROUP: usize = 4;
/// How often a use is written down.
const NOTE_EVERY_MS: i64 = 3_600_000;

/// An app password as an administrator sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppPasswordLine {
    /// Its number.
    pub id: u64,
    /// What it is for.
    pub label: String,
    /// When it was made, milliseconds since 1970.
    pub created_ms: i64,
    /// When it was used last, within an hour; 0: never.
    pub used_ms: i64,
}

impl From<AppPassword> for AppPasswordLine {
    fn from(password: AppPassword) -> AppPasswordLine {
        AppPasswordLine {
            id: password.id,
            label: password.label,
            created_ms: password.created_ms,
            used_ms: password.used_ms,
        }
    }
}

/// Makes one. The password itself is not kept.
pub(crate) async fn add(
    mail: &Mail,
    account: AccountId,
    label: &str,
) -> Result<(u64, Secret<String>), MailError> {
    let random = || {
        Verifier::random().map_err(|error| MailError::Unavailable {
            reason: error.to_string().into(),
        })
    };
    let letters: String = random()?[..LENGTH]
        .iter()
        .map(|byte| char::from(LETTERS[usize::from(byte % 32)]))
        .collect();
    let salt = random()?[..16].to_vec();
    let hash = hash(&salt, &letters);
    let password = AppPassword {
        id: 0,
        label: label.to_owned(),
        created_ms: unix_ms(),
        used_ms: 0,
        salt,
        hash,
    };
    let kept = mail.app_password_add(account, password).await?;
    let groups = letters.as_bytes().chunks(GROUP);
    let groups: Vec<_> = groups.map(String::from_utf8_lossy).collect();
    Ok((kept.id, groups.join("-").into()))
}

/// Whether a password is one of the account's app passwords; then its use is noted.
pub(crate) async fn check(
    mail: &Mail,
    account: AccountId,
    password: &str,
) -> Result<bool, MailError> {
    let Some(letters) = letters(password) else {
        return Ok(false);
    };
    let kept = mail.app_passwords(account).await?;
    let is_it = |kept: &&AppPassword| {
        let hash = hash(&kept.salt, letters.expose());
        constant_time::verify_slices_are_equal(&hash, &kept.hash).is_ok()
    };
    let Some(found) = kept.iter().find(is_it) else {
        return Ok(false);
    };
    let now_ms = unix_ms();
    if now_ms - found.used_ms >= NOTE_EVERY_MS {
        mail.app_password_used(account, found, now_ms).await?;
    }
    Ok(true)
}

/// The letters of what has the form of an app password: with or without hyphens and spaces, in any case.
fn letters(password: &str) -> Option<Secret<String>> {
    if password.len() > 2 * LENGTH {
        return None;
    }
    let letters = password.chars().filter(|c| !matches!(c, '-' | ' '));
    let letters: String = letters.map(|c| c.to_ascii_lowercase()).collect();
    let whole = letters.len() == LENGTH && letters.bytes().all(|byte| LETTERS.contains(&byte));
    whole.then(|| letters.into())
}

fn hash(salt: &[u8], letters: &str) -> Vec<u8> {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(salt);
    context.update(letters.as_bytes());
    context.finish().as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use restante_mailbox::MailOptions;
    use restante_store::{MemoryOptions, Store};

    use super::*;

    #[tokio::test]
    async fn made_used_and_revoked() {
        let store = Store::memory(MemoryOptions::default());
        let mail = Mail::open(store, MailOptions::default()).await.unwrap();
        let ann = mail.user_add("ann", None).await.unwrap().account;
        let joe = mail.user_add("joe", None).await.unwrap().account;
        let (first, password) = add(&mail, ann, "phone").await.unwrap();
        let (second, other) = add(&mail, ann, "laptop").await.unwrap();
        assert!(second > first && password.expose() != other.expose());
        assert_eq!(password.expose().len(), 24);
        let check = |account, password: String| {
            let mail = &mail;
            async move { check(mail, account, &password).await.unwrap() }
        };
        let typed = password.expose().to_uppercase().replace('-', " ");
        assert!(check(ann, typed).await);
        assert!(check(ann, password.expose().replace('-', "")).await);
        assert!(!check(joe, password.expose().clone()).await);
        for wrong in ["", "x", "aaaa-aaaa-aaaa-aaaa-aaaa", &"-".repeat(100)] {
            assert!(!check(ann, wrong.to_owned()).await, "{wrong}");
        }
        let kept = mail.app_passwords(ann).await.unwrap();
        assert!(kept[0].used_ms > 0 && kept[1].used_ms == 0);
        assert!(mail.app_password_revoke(ann, first).await.unwrap());
        assert!(!mail.app_password_revoke(ann, first).await.unwrap());
        assert!(!check(ann, password.expose().clone()).await);
        assert!(check(ann, other.expose().clone()).await);
        for _ in 1..100 {
            add(&mail, ann, "").await.unwrap();
        }
        assert!(add(&mail, ann, "").await.is_err());
        assert!(add(&mail, joe, &"l".repeat(201)).await.is_err());
    }
}
