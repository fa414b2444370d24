//! What an administrator can ask for, in a running server or on a data directory at rest.
//!
//! Requests and replies are the lines of the control socket; the same code answers them when no
//! server runs.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use restante_auth::sasl::ScramKeys;
use restante_auth::schemes;
use restante_mailbox::{
    AccountId, CheckScope, Mail, MailError, NewUser, QuotaLimits, ScramRow, User,
};
use restante_store::StoreError;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncRead;

use crate::acl;
pub use crate::acl::{AclChange, AclLine};
use crate::app_passwords::{self, AppPasswordLine};
use crate::gate::Watch;
use crate::purge::{self, PurgeLine, TombstoneLine, Which};
use crate::record::{self, LoginLine};
use crate::throttle::ThrottleLine;
use crate::time::unix_ms;
use crate::transfer::{self, MailboxLine, MessageLine};
use crate::undelete::{self, DeletedLine, ExpungedLine};

/// A request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Request {
    /// How the server is.
    Status {},
    /// Reads the configuration again.
    Reload {},
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
        /// As `restante_auth::schemes` reads it.
        hash: String,
        /// The keys of SCRAM of the same password (RFC 5803), if they were made.
        #[serde(default)]
        scram: Vec<String>,
    },
    /// Sets limits of a quota; those not named stay.
    UserQuota {
        /// Who.
        name: String,
        /// The limits.
        limits: Vec<QuotaLimit>,
    },
    /// Hides these capabilities and no others from a user.
    UserHide {
        /// Who.
        name: String,
        /// The words.
        words: Vec<String>,
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
    /// Checks that the data is whole.
    Check {
        /// Only this user's.
        user: Option<String>,
        /// Read every message, too.
        deep: bool,
    },
    /// Lists a user's mailboxes that were deleted and are still kept.
    Deleted {
        /// Whose.
        user: String,
    },
    /// Lists a mailbox's messages that were expunged and are still kept.
    Expunged {
        /// Whose.
        user: String,
        /// The mailbox's name.
        mailbox: String,
    },
    /// Brings expunged messages back.
    Undelete {
        /// Whose.
        user: String,
        /// The mailbox's name.
        mailbox: String,
        /// Those with UIDs in these ranges.
        uids: Option<Vec<(u32, u32)>>,
        /// Those expunged since then, milliseconds since 1970.
        since_ms: Option<i64>,
    },
    /// Brings a deleted mailbox back.
    UndeleteMailbox {
        /// Whose.
        user: String,
        /// The name it had.
        was: String,
        /// The name it shall have.
        name: String,
    },
    /// Deletes messages at once, for good; or only lists them.
    Purge {
        /// Whose.
        user: String,
        /// Which.
        which: Which,
        /// Why; without it they are only listed.
        reason: Option<String>,
    },
    /// Lists what was purged.
    Tombstones {
        /// Whose.
        user: String,
    },
    /// Makes a password for one device of a user.
    AppPasswordAdd {
        /// Whose.
        name: String,
        /// What it is for.
        label: String,
    },
    /// Lists a user's app passwords, without the passwords.
    AppPasswords {
        /// Whose.
        name: String,
    },
    /// Revokes an app password.
    AppPasswordRevoke {
        /// Whose.
        name: String,
        /// Which.
        id: u64,
    },
    /// Lists the last logins of a user, the failed ones too.
    Logins {
        /// Whose.
        name: String,
    },
    /// Lists what others may do with a user's mailboxes, after a change if there is one.
    Acl {
        /// Whose mailboxes.
        user: String,
        /// What to change first.
        change: Option<AclChange>,
    },
    /// Lists who waits because of failed logins.
    Throttled {},
    /// Forgets failed logins: all, or those of a user, from an address, or both.
    ThrottleClear {
        /// Of whom.
        user: Option<String>,
        /// From where.
        address: Option<IpAddr>,
    },
    /// Makes a copy of the store while it is in use.
    Backup {
        /// A directory that does not exist yet, or is empty; from the root.
        to: PathBuf,
    },
    /// Lists a user's mailboxes.
    Mailboxes {
        /// Whose.
        user: String,
    },
    /// Opens a mailbox for import, making it if need be.
    MailboxOpen {
        /// Whose.
        user: String,
        /// Its name, UTF-8 with `/` between levels.
        mailbox: String,
        /// The UIDVALIDITY it shall have if it is new.
        uid_validity: Option<u32>,
        /// What its UIDNEXT shall be at least, if its UIDVALIDITY is the given one.
        uid_next: Option<u32>,
        /// Whether the user shall be subscribed to it.
        subscribe: bool,
    },
    /// Lists messages with UIDs above `after`.
    Messages {
        /// Whose.
        user: String,
        /// The mailbox's name.
        mailbox: String,
        /// UIDs above this one.
        after: u32,
        /// How many at most.
        limit: usize,
    },
    /// Reads a piece of a message; its bytes follow the reply.
    Read {
        /// Whose.
        user: String,
        /// The mailbox's name.
        mailbox: String,
        /// Which message.
        uid: u32,
        /// From which byte on.
        offset: u64,
    },
    /// Appends messages; their bytes follow the request, in the order of the list.
    Append {
        /// Whose.
        user: String,
        /// The mailbox's name.
        mailbox: String,
        /// The messages.
        messages: Vec<MessageLine>,
    },
}

impl Request {
    /// How many bytes follow the request.
    pub(crate) fn payload_bytes(&self) -> u64 {
        match self {
            Request::Append { messages, .. } => messages
                .iter()
                .fold(0, |sum, message| sum.saturating_add(message.size)),
            _ => 0,
        }
    }
}

/// A user to add.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserToAdd {
    /// The name, in any case.
    pub name: String,
    /// The password's hash (`restante_auth::schemes`); without one nobody signs in with the directory's.
    #[serde(default)]
    pub hash: Option<String>,
    /// The keys of SCRAM of the same password (RFC 5803), if they were made.
    #[serde(default)]
    pub scram: Vec<String>,
    /// In bytes.
    #[serde(default)]
    pub quota: Option<u64>,
}

/// A limit of a user's quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotaLimit {
    /// What is limited.
    pub resource: QuotaResource,
    /// How much there may be; none: the server's default.
    pub limit: Option<u64>,
}

/// What a quota limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuotaResource {
    /// Bytes of all messages.
    Bytes,
    /// Messages.
    Messages,
    /// Mailboxes.
    Mailboxes,
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
    /// The configuration was read again.
    Reloaded {
        /// What came of it, for the person who asked.
        text: String,
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
        /// Number of mailboxes.
        mailboxes: u64,
        /// What the quota comes to in bytes, the default included.
        limit: Option<u64>,
        /// The most messages, the default included.
        messages_max: Option<u64>,
        /// The most mailboxes, the default included.
        mailboxes_max: Option<u64>,
        /// Capabilities that are hidden from the user.
        hidden: Vec<String>,
    },
    /// The data was checked.
    Checked {
        /// Accounts.
        accounts: u64,
        /// Mailboxes.
        mailboxes: u64,
        /// Messages in them.
        messages: u64,
        /// Bytes of messages that were read and compared with their checksums.
        bytes_read: u64,
        /// What is wrong; nothing if all is well. The first thousand, if there are more.
        problems: Vec<String>,
    },
    /// A copy was made.
    Copied {
        /// Everything up to this commit is in it.
        commit: u64,
        /// Files.
        files: u64,
        /// Their bytes.
        bytes: u64,
    },
    /// Mailboxes.
    Mailboxes {
        /// In the order of their names.
        mailboxes: Vec<MailboxLine>,
    },
    /// A page of messages; empty after the last.
    Messages {
        /// In the order of their UIDs.
        messages: Vec<MessageLine>,
    },
    /// Bytes follow.
    Bytes {
        /// How many; 0 at the end of the message.
        size: u64,
    },
    /// Deleted mailboxes, in the order of their deletion.
    Deleted {
        /// Which.
        mailboxes: Vec<DeletedLine>,
    },
    /// Expunged messages, in the order of their expunges.
    Expunged {
        /// Which.
        messages: Vec<ExpungedLine>,
    },
    /// Something was brought back.
    Restored {
        /// How many messages.
        messages: u64,
    },
    /// Messages that a purge would delete.
    ToPurge {
        /// Which.
        messages: Vec<PurgeLine>,
    },
    /// Messages were purged.
    Purged {
        /// How many.
        emails: u64,
        /// How often mailboxes showed them.
        messages: u64,
        /// Their bytes.
        bytes: u64,
    },
    /// What was purged, in the order of its arrival.
    Tombstones {
        /// What stands for it.
        tombstones: Vec<TombstoneLine>,
    },
    /// An app password was made: the only time that it is told.
    AppPassword {
        /// Its number.
        id: u64,
        /// The password.
        password: String,
    },
    /// App passwords, in the order in which they were made.
    AppPasswords {
        /// Which.
        passwords: Vec<AppPasswordLine>,
    },
    /// The last logins of a user, the oldest first.
    Logins {
        /// Which.
        logins: Vec<LoginLine>,
    },
    /// What others may do with a user's mailboxes.
    Acl {
        /// By mailbox and identifier.
        entries: Vec<AclLine>,
    },
    /// Failed logins that are counted, those first that wait longest.
    Throttled {
        /// What is counted.
        counts: Vec<ThrottleLine>,
    },
    /// Failed logins were forgotten.
    Cleared {
        /// How many counts.
        counts: usize,
    },
    /// Messages were appended.
    Appended {
        /// Their UIDs.
        uids: Vec<u32>,
    },
}

impl Reply {
    /// How many bytes follow the reply.
    pub(crate) fn payload_bytes(&self) -> u64 {
        match self {
            Reply::Bytes { size } => *size,
            _ => 0,
        }
    }
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
    /// The user's own limit of messages.
    #[serde(default)]
    pub quota_messages: Option<u64>,
    /// The user's own limit of mailboxes.
    #[serde(default)]
    pub quota_mailboxes: Option<u64>,
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
            quota: user.quota.bytes,
            quota_messages: user.quota.messages,
            quota_mailboxes: user.quota.mailboxes,
            disabled: user.disabled,
            password: user.password.is_some(),
        }
    }
}

/// Counts in one reply.
const LINES_MAX: usize = 10_000;

/// Problems in one reply.
const PROBLEMS_MAX: usize = 1_000;

/// Users in one request.
pub const USERS_MAX: usize = 1_000;

/// Does what a request asks for. Returns the reply and the bytes that follow it.
pub(crate) async fn perform(
    mail: &Mail,
    watch: Option<&Watch>,
    request: Request,
    payload: &mut (dyn AsyncRead + Unpin + Send),
) -> (Reply, Bytes) {
    let answer = match request {
        Request::Mailboxes { user } => told(&user, transfer::list(mail, &user).await),
        Request::Deleted { user } => told(&user, undelete::deleted(mail, &user).await),
        Request::Expunged { user, mailbox } => {
            let answer = undelete::expunged(mail, &user, &mailbox).await;
            told(&format!("{user}, {mailbox}"), answer)
        }
        Request::Undelete {
            user,
            mailbox,
            uids,
            since_ms,
        } => {
            let answer = undelete::messages(mail, &user, &mailbox, uids.as_deref(), since_ms).await;
            told(&format!("{user}, {mailbox}"), answer)
        }
        Request::UndeleteMailbox { user, was, name } => {
            let answer = undelete::mailbox(mail, &user, &was, &name).await;
            told(&format!("{user}, {was}"), answer)
        }
        Request::Purge {
            user,
            which,
            reason,
        } => {
            let answer = purge::purge(mail, &user, &which, reason.as_deref()).await;
            told(&user, answer)
        }
        Request::Acl { user, change } => told(&user, acl::acl(mail, &user, change.as_ref()).await),
        Request::Tombstones { user } => told(&user, purge::tombstones(mail, &user).await),
        Request::Logins { .. } | Request::Throttled {} | Request::ThrottleClear { .. } => {
            let reply = about_logins(mail, watch, request).await;
            reply.map(|reply| (reply, Bytes::new()))
        }
        Request::MailboxOpen {
            user,
            mailbox,
            uid_validity,
            uid_next,
            subscribe,
        } => {
            let uids = (uid_validity, uid_next);
            let answer = transfer::open(mail, &user, &mailbox, uids, subscribe).await;
            told(&format!("{user}, {mailbox}"), answer)
        }
        Request::Messages {
            user,
            mailbox,
            after,
            limit,
        } => {
            let answer = transfer::rows(mail, &user, &mailbox, after, limit).await;
            told(&format!("{user}, {mailbox}"), answer)
        }
        Request::Read {
            user,
            mailbox,
            uid,
            offset,
        } => {
            let answer = transfer::read(mail, &user, &mailbox, uid, offset).await;
            told(&format!("{user}, {mailbox}"), answer)
        }
        Request::Append {
            user,
            mailbox,
            messages,
        } => {
            let answer = transfer::append(mail, &user, &mailbox, messages, payload).await;
            told(&format!("{user}, {mailbox}"), answer)
        }
        request => try_perform(mail, request)
            .await
            .map(|reply| (reply, Bytes::new())),
    };
    answer.unwrap_or_else(|text| (Reply::Error { text }, Bytes::new()))
}

fn told(what: &str, answer: transfer::Answer) -> Result<(Reply, Bytes), String> {
    answer.map_err(|error| about(what, &error))
}

async fn try_perform(mail: &Mail, request: Request) -> Result<Reply, String> {
    match request {
        Request::Status {} => Ok(Reply::Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            connections: 0,
        }),
        Request::Reload {} => Err("no server runs that could reload".to_owned()),
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
            let hidden = mail.hidden_words(user.account).await;
            let hidden = hidden.map_err(|e| about(&name, &e))?;
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
        Request::UserPassword { name, hash, scram } => {
            schemes::check(&hash).map_err(|e| format!("{name}: {e}"))?;
            let keys = scram_rows(&name, &scram)?;
            let set = mail.user_set_password_and_keys(&name, Some(hash), keys);
            done(&name, set.await)
        }
        Request::UserQuota { name, limits } => {
            let set = mail.user_set_quota(&name, |quota| {
                for QuotaLimit { resource, limit } in &limits {
                    *match resource {
                        QuotaResource::Bytes => &mut quota.bytes,
                        QuotaResource::Messages => &mut quota.messages,
                        QuotaResource::Mailboxes => &mut quota.mailboxes,
                    } = *limit;
                }
            });
            done(&name, set.await)
        }
        Request::UserHide { name, words } => {
            let unknown = |word: &&String| !restante_session::is_capability(word);
            if let Some(word) = words.iter().find(unknown) {
                return Err(format!("\"{word}\" is no capability of this server"));
            }
            let account = account_of(mail, &name).await?;
            let set = mail.set_hidden_words(account, &words).await;
            set.map_err(|e| about(&name, &e))?;
            Ok(Reply::Done {})
        }
        Request::UserDisabled { name, disabled } => {
            done(&name, mail.user_set_disabled(&name, disabled).await)
        }
        Request::UserRemove { name } => done(&name, mail.user_remove(&name).await),
        Request::AppPasswordAdd { name, label } => {
            let account = account_of(mail, &name).await?;
            let added = app_passwords::add(mail, account, &label).await;
            let (id, password) = added.map_err(|e| about(&name, &e))?;
            Ok(Reply::AppPassword {
                id,
                password: password.expose().clone(),
            })
        }
        Request::AppPasswords { name } => {
            let account = account_of(mail, &name).await?;
            let kept = mail.app_passwords(account).await;
            let kept = kept.map_err(|e| about(&name, &e))?;
            Ok(Reply::AppPasswords {
                passwords: kept.into_iter().map(AppPasswordLine::from).collect(),
            })
        }
        Request::AppPasswordRevoke { name, id } => {
            let account = account_of(mail, &name).await?;
            match mail.app_password_revoke(account, id).await {
                Ok(true) => Ok(Reply::Done {}),
                Ok(false) => Err(format!("{name}: there is no app password {id}")),
                Err(error) => Err(about(&name, &error)),
            }
        }
        Request::Check { user, deep } => check(mail, user, deep).await,
        Request::Backup { to } => {
            if !to.is_absolute() {
                return Err(format!("{}: not a path from the root", to.display()));
            }
            let report = mail.store().backup(&to).await;
            let report = report.map_err(|error| not_copied(&to, &error))?;
            Ok(Reply::Copied {
                commit: report.commit,
                files: report.files,
                bytes: report.bytes,
            })
        }
        Request::Mailboxes { .. }
        | Request::Deleted { .. }
        | Request::Expunged { .. }
        | Request::Undelete { .. }
        | Request::UndeleteMailbox { .. }
        | Request::Purge { .. }
        | Request::Tombstones { .. }
        | Request::Acl { .. }
        | Request::Logins { .. }
        | Request::Throttled {}
        | Request::ThrottleClear { .. }
        | Request::MailboxOpen { .. }
        | Request::Messages { .. }
        | Request::Read { .. }
        | Request::Append { .. } => Err("a request with a payload".to_owned()),
    }
}

/// Why there is no backup, and what to do if the server may not write there.
fn not_copied(to: &Path, error: &StoreError) -> String {
    let mut text = format!("{}: {error}", to.display());
    let StoreError::Read { source, .. } = error else {
        return text;
    };
    text.push_str(&format!(": {source}"));
    let cause = source.downcast_ref::<std::io::Error>();
    if cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::PermissionDenied) {
        text.push_str(
            ". The server writes it, as its own user, and in its sandbox only below the data directory and \
             the directories that [service] writable names",
        );
    }
    text
}

async fn account_of(mail: &Mail, name: &str) -> Result<AccountId, String> {
    let user = mail.user(name).await.map_err(|e| about(name, &e))?;
    let user = user.ok_or_else(|| about(name, &MailError::NoSuchUser))?;
    Ok(user.account)
}

/// What was seen of logins: by this server, or by the last one that ran.
async fn about_logins(
    mail: &Mail,
    running: Option<&Watch>,
    request: Request,
) -> Result<Reply, String> {
    let loaded;
    let watch = match running {
        Some(watch) => watch,
        None => {
            loaded = Watch::load(mail).await.map_err(|e| e.to_string())?;
            &loaded
        }
    };
    // What waits to be written is asked for, too; what is cleared stays cleared.
    let reply = match request {
        Request::Logins { name } => {
            watch.save(mail).await;
            let account = account_of(mail, &name).await?;
            let logins = record::logins(mail, account).await;
            Reply::Logins {
                logins: logins.map_err(|e| about(&name, &e))?,
            }
        }
        Request::ThrottleClear { user, address } => Reply::Cleared {
            counts: watch.throttle.clear(user.as_deref(), address),
        },
        _ => Reply::Throttled {
            counts: watch.throttle.list(LINES_MAX, unix_ms()),
        },
    };
    watch.save(mail).await;
    Ok(reply)
}

async fn check(mail: &Mail, user: Option<String>, deep: bool) -> Result<Reply, String> {
    let scope = match user {
        None => CheckScope::All,
        Some(name) => {
            let user = mail.user(&name).await.map_err(|e| about(&name, &e))?;
            let user = user.ok_or_else(|| about(&name, &MailError::NoSuchUser))?;
            CheckScope::Account(user.account)
        }
    };
    let report = mail.check(scope, deep).await.map_err(|e| e.to_string())?;
    let mut problems: Vec<String> = report.problems.iter().map(ToString::to_string).collect();
    if deep && scope == CheckScope::All {
        // The log itself, below accounts and mailboxes.
        let verified = mail.store().verify().await.map_err(|e| e.to_string())?;
        for problem in verified.problems {
            let owner = problem.owner.as_deref();
            problems.push(match owner.and_then(restante_mailbox::owner_of_blob) {
                Some((account, email)) => {
                    format!("account {}, email {}: {}", account.0, email.0, problem.what)
                }
                None => problem.what,
            });
        }
    }
    for problem in &mut problems {
        if let Some(user) = user_of(mail, problem).await {
            problem.push_str(&format!(" (user {user})"));
        }
        tracing::error!(%problem, "check");
    }
    problems.truncate(PROBLEMS_MAX);
    Ok(Reply::Checked {
        accounts: report.accounts,
        mailboxes: report.mailboxes,
        messages: report.messages,
        bytes_read: report.bytes_read,
        problems,
    })
}

/// The user whose account a problem begins with.
async fn user_of(mail: &Mail, problem: &str) -> Option<String> {
    let number = problem.strip_prefix("account ")?;
    let end = number.find(|c: char| !c.is_ascii_digit())?;
    let account = AccountId(number[..end].parse().ok()?);
    let user = mail.user_of_account(account).await.ok()??;
    Some(user.name)
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

fn scram_rows(name: &str, keys: &[String]) -> Result<Vec<ScramRow>, String> {
    let row = |text: &String| {
        let (hash, keys) = ScramKeys::from_text(text).map_err(|e| format!("{name}: {e}"))?;
        Ok(crate::authenticator::scram_row(hash, &keys))
    };
    keys.iter().map(row).collect()
}

async fn add(mail: &Mail, users: Vec<UserToAdd>, skip: bool) -> Result<Reply, String> {
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
