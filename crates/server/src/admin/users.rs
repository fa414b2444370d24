//! What an administrator does with users.

use restante_auth::sasl::ScramKeys;
use restante_auth::schemes;
use restante_mailbox::{Mail, MailError, NewUser, QuotaLimits, ScramRow};

use super::{Answer, QuotaLimit, QuotaResource, Reply, UserLine, UserToAdd};
use super::{about, account_of, done, user};

/// Users in one request.
pub const USERS_MAX: usize = 1_000;

/// Says what is wrong with a user name, if anything. Names may be plain or addresses.
pub fn check_user_name(name: &str) -> Result<(), String> {
    let name = name.trim();
    if name.is_empty() {
        return Err("a user name is empty".to_owned());
    }
    if name.len() > 255 {
        return Err(format!("{name}: longer than 255 bytes"));
    }
    if name.contains(|c: char| c.is_control() || c.is_whitespace()) {
        return Err(format!(
            "{name:?}: a user name has no spaces or control characters"
        ));
    }
    // "*" separates a master user from the user (later); the others cannot be in an address.
    if let Some(bad) = name
        .chars()
        .find(|c| matches!(c, '*' | '<' | '>' | '"' | ',' | '/' | '\\'))
    {
        return Err(format!("{name}: a user name has no {bad}"));
    }
    Ok(())
}

pub(super) async fn page(mail: &Mail, after: Option<&str>, limit: usize) -> Answer {
    let users = mail.users(after, limit.min(USERS_MAX)).await;
    let users = users.map_err(|e| e.to_string())?;
    Ok(Reply::Users {
        users: users.into_iter().map(UserLine::from).collect(),
    })
}

pub(super) async fn one(mail: &Mail, name: &str) -> Answer {
    let user = user(mail, name).await?;
    let account = mail.account(user.account).await;
    let quota = account.map_err(|e| about(name, &e))?.quota().await;
    let hidden = mail.hidden_words(user.account).await;
    let hidden = hidden.map_err(|e| about(name, &e))?;
    Ok(Reply::User {
        user: user.into(),
        used: quota.used_bytes,
        messages: quota.messages,
        mailboxes: quota.mailboxes,
        limit: quota.limits.bytes,
        messages_max: quota.limits.messages,
        mailboxes_max: quota.limits.mailboxes,
        hidden,
    })
}

pub(super) async fn set_password(
    mail: &Mail,
    name: &str,
    hash: String,
    scram: &[String],
) -> Answer {
    schemes::check(&hash).map_err(|e| format!("{name}: {e}"))?;
    let keys = scram_rows(name, scram)?;
    let set = mail.user_set_password_and_keys(name, Some(hash), keys);
    done(name, set.await)
}

pub(super) async fn set_quota(mail: &Mail, name: &str, limits: &[QuotaLimit]) -> Answer {
    let set = mail.user_set_quota(name, |quota| {
        for QuotaLimit { resource, limit } in limits {
            *match resource {
                QuotaResource::Bytes => &mut quota.bytes,
                QuotaResource::Messages => &mut quota.messages,
                QuotaResource::Mailboxes => &mut quota.mailboxes,
            } = *limit;
        }
    });
    done(name, set.await)
}

pub(super) async fn hide(mail: &Mail, name: &str, words: &[String]) -> Answer {
    let unknown = |word: &&String| !restante_session::is_capability(word);
    if let Some(word) = words.iter().find(unknown) {
        return Err(format!("\"{word}\" is no capability of this server"));
    }
    let account = account_of(mail, name).await?;
    done(name, mail.set_hidden_words(account, words).await)
}

fn scram_rows(name: &str, keys: &[String]) -> Result<Vec<ScramRow>, String> {
    let row = |text: &String| {
        let (hash, keys) = ScramKeys::from_text(text).map_err(|e| format!("{name}: {e}"))?;
        Ok(crate::authenticator::scram_row(hash, &keys))
    };
    keys.iter().map(row).collect()
}

pub(super) async fn add(mail: &Mail, users: Vec<UserToAdd>, skip: bool) -> Answer {
    if users.len() > USERS_MAX {
        return Err(format!("more than {USERS_MAX} users in one request"));
    }
    let mut new = Vec::with_capacity(users.len());
    let mut existing = Vec::new();
    for user in users {
        check_user_name(&user.name)?;
        if let Some(hash) = &user.hash {
            schemes::check(hash).map_err(|e| format!("{}: {e}", user.name))?;
        }
        if mail
            .user(&user.name)
            .await
            .map_err(|e| about(&user.name, &e))?
            .is_some()
        {
            if !skip {
                return Err(about(&user.name, &MailError::UserExists));
            }
            existing.push(user.name);
            continue;
        }
        new.push(NewUser {
            scram: scram_rows(&user.name, &user.scram)?,
            name: user.name,
            password: user.hash,
            quota: QuotaLimits {
                bytes: user.quota,
                ..QuotaLimits::default()
            },
        });
    }
    let mut added = 0;
    if !new.is_empty() {
        let users = mail.users_add(new).await.map_err(|error| match error {
            MailError::UserExists => "the same user is named twice".to_owned(),
            other => other.to_string(),
        })?;
        added = users.len();
        for user in users {
            // Makes the account, so that the first delivery does not have to.
            mail.account(user.account)
                .await
                .map_err(|e| about(&user.name, &e))?;
        }
    }
    Ok(Reply::Added { added, existing })
}
