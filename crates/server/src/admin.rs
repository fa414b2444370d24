//! What an administrator can ask for, in a running server or on a data directory at rest.
//!
//! Requests and replies are the lines of the control socket; the same code answers them when no
//! server runs.

use restante_mailbox::{Mail, MailError, NewUser, User};
use serde::{Deserialize, Serialize};

/// A request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Request {
    /// How the server is.
    Status {},
    /// Adds users, some hundreds at a time.
    UsersAdd {
        /// Who.
        users: Vec<UserToAdd>,
        /// Leave out those who exist, instead of refusing all.
        skip_existing: bool,
    },
    /// Lists users in the order of their names.
    Users {
        /// Begin after this name.
        after: Option<String>,
        /// How many at most.
        limit: usize,
    },
    /// Shows one user, with what is in the account.
    User {
        /// Who.
        name: String,
    },
    /// Sets the hash of a password.
    UserPassword {
        /// Who.
        name: String,
        /// PHC string.
        hash: String,
    },
    /// Sets or (null) removes a quota.
    UserQuota {
        /// Who.
        name: String,
        /// In bytes.
        bytes: Option<u64>,
    },
    /// Locks a user out, or lets one in again.
    UserDisabled {
        /// Who.
        name: String,
        /// Whether the user is locked out.
        disabled: bool,
    },
    /// Removes a user; the mail is deleted after the retention time.
    UserRemove {
        /// Who.
        name: String,
    },
}

/// A user to add.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserToAdd {
    /// The name, in any case.
    pub name: String,
    /// The password's hash as a PHC string.
    pub hash: String,
    /// In bytes.
    #[serde(default)]
    pub quota: Option<u64>,
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reply {
    /// It is done.
    Done {},
    /// It was not done, and why.
    Error {
        /// For the person who asked.
        text: String,
    },
    /// The server runs.
    Status {
        /// Its version.
        version: String,
        /// Its process.
        pid: u32,
        /// Open connections of all kinds.
        connections: usize,
    },
    /// Users were added.
    Added {
        /// How many.
        added: usize,
        /// Names that existed already.
        existing: Vec<String>,
    },
    /// A page of users; empty after the last.
    Users {
        /// In the order of their names.
        users: Vec<UserLine>,
    },
    /// One user.
    User {
        /// Who.
        user: UserLine,
        /// Bytes of all messages.
        used: u64,
        /// Number of all messages.
        messages: u64,
        /// What the quota comes to, the default included.
        limit: Option<u64>,
    },
}

/// A user as shown: no password, no hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserLine {
    /// The name in its canonical form.
    pub name: String,
    /// The account's number.
    pub account: u32,
    /// The user's own quota in bytes.
    pub quota: Option<u64>,
    /// Locked out.
    pub disabled: bool,
    /// Whether there is a password.
    pub password: bool,
}

impl From<User> for UserLine {
    fn from(user: User) -> UserLine {
        UserLine {
            name: user.name,
            account: user.account.0,
            quota: user.quota_bytes,
            disabled: user.disabled,
            password: user.password.is_some(),
        }
    }
}

/// Users in one request.
pub const USERS_MAX: usize = 1_000;

/// Does what a request asks for.
pub async fn perform(mail: &Mail, request: Request) -> Reply {
    match try_perform(mail, request).await {
        Ok(reply) => reply,
        Err(text) => Reply::Error { text },
    }
}

async fn try_perform(mail: &Mail, request: Request) -> Result<Reply, String> {
    match request {
        Request::Status {} => Ok(Reply::Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            connections: 0,
        }),
        Request::UsersAdd {
            users,
            skip_existing,
        } => add(mail, users, skip_existing).await,
        Request::Users { after, limit } => {
            let users = mail.users(after.as_deref(), limit.min(USERS_MAX)).await;
            let users = users.map_err(|e| e.to_string())?;
            Ok(Reply::Users {
                users: users.into_iter().map(UserLine::from).collect(),
            })
        }
        Request::User { name } => {
            let user = mail.user(&name).await.map_err(|e| about(&name, &e))?;
            let user = user.ok_or_else(|| about(&name, &MailError::NoSuchUser))?;
            let account = mail
                .account(user.account)
                .await
                .map_err(|e| about(&name, &e))?;
            let quota = account.quota().await;
            Ok(Reply::User {
                user: user.into(),
                used: quota.used_bytes,
                messages: quota.messages,
                limit: quota.limit_bytes,
            })
        }
        Request::UserPassword { name, hash } => {
            restante_auth::password::check_phc(&hash).map_err(|e| format!("{name}: {e}"))?;
            done(&name, mail.user_set_password(&name, Some(hash)).await)
        }
        Request::UserQuota { name, bytes } => done(&name, mail.user_set_quota(&name, bytes).await),
        Request::UserDisabled { name, disabled } => {
            done(&name, mail.user_set_disabled(&name, disabled).await)
        }
        Request::UserRemove { name } => done(&name, mail.user_remove(&name).await),
    }
}

fn done<T>(name: &str, result: Result<T, MailError>) -> Result<Reply, String> {
    result
        .map(|_| Reply::Done {})
        .map_err(|error| about(name, &error))
}

fn about(name: &str, error: &MailError) -> String {
    format!("{name}: {error}")
}

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

async fn add(mail: &Mail, users: Vec<UserToAdd>, skip: bool) -> Result<Reply, String> {
    if users.len() > USERS_MAX {
        return Err(format!("more than {USERS_MAX} users in one request"));
    }
    let mut new = Vec::with_capacity(users.len());
    let mut existing = Vec::new();
    for user in users {
        check_user_name(&user.name)?;
        restante_auth::password::check_phc(&user.hash)
            .map_err(|e| format!("{}: {e}", user.name))?;
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
            name: user.name,
            password: Some(user.hash),
            quota_bytes: user.quota,
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
