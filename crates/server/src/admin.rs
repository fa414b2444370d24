//! What an administrator can ask for, in a running server or on a data directory at rest.
//!
//! Requests and replies are the lines of the control socket; the same code answers them when no
//! server runs.

mod reply;
mod request;
mod users;

use std::path::Path;

use bytes::Bytes;
use restante_mailbox::{AccountId, CheckScope, Mail, MailError, User};
use restante_store::StoreError;
use tokio::io::AsyncRead;

use crate::acl;
pub use crate::acl::{AclChange, AclLine};
use crate::app_passwords::{self, AppPasswordLine};
use crate::gate::Watch;
use crate::time::unix_ms;
use crate::{purge, record, transfer, undelete};

pub use reply::{Reply, UserLine};
pub use request::{QuotaLimit, QuotaResource, Request, UserToAdd};
pub use users::{USERS_MAX, check_user_name};

/// Counts in one reply.
const LINES_MAX: usize = 10_000;

/// Problems in one reply.
const PROBLEMS_MAX: usize = 1_000;

/// What a request comes to: a reply, or why there is none, for the person who asked.
type Answer = Result<Reply, String>;

/// Does what a request asks for. Returns the reply and the bytes that follow it.
pub(crate) async fn perform(
    mail: &Mail,
    watch: Option<&Watch>,
    request: Request,
    payload: &mut (dyn AsyncRead + Unpin + Send),
) -> (Reply, Bytes) {
    let mut bytes = Bytes::new();
    let answer = answer(mail, watch, request, payload, &mut bytes).await;
    (answer.unwrap_or_else(|text| Reply::Error { text }), bytes)
}

/// The reply; bytes that follow it are put into `bytes`.
async fn answer(
    mail: &Mail,
    watch: Option<&Watch>,
    request: Request,
    payload: &mut (dyn AsyncRead + Unpin + Send),
    bytes: &mut Bytes,
) -> Answer {
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
        } => users::add(mail, users, skip_existing).await,
        Request::Users { after, limit } => users::page(mail, after.as_deref(), limit).await,
        Request::User { name } => users::one(mail, &name).await,
        Request::UserPassword { name, hash, scram } => {
            users::set_password(mail, &name, hash, &scram).await
        }
        Request::UserQuota { name, limits } => users::set_quota(mail, &name, &limits).await,
        Request::UserHide { name, words } => users::hide(mail, &name, &words).await,
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
        Request::Logins { .. } | Request::Throttled {} | Request::ThrottleClear { .. } => {
            about_logins(mail, watch, request).await
        }
        Request::Acl { user, change } => told(&user, acl::acl(mail, &user, change.as_ref()).await),
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
        Request::Tombstones { user } => told(&user, purge::tombstones(mail, &user).await),
        Request::Mailboxes { user } => told(&user, transfer::list(mail, &user).await),
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
            let piece = transfer::read(mail, &user, &mailbox, uid, offset).await;
            *bytes = piece.map_err(|error| about(&format!("{user}, {mailbox}"), &error))?;
            Ok(Reply::Bytes {
                size: bytes.len() as u64,
            })
        }
        Request::Append {
            user,
            mailbox,
            messages,
        } => {
            let answer = transfer::append(mail, &user, &mailbox, messages, payload).await;
            told(&format!("{user}, {mailbox}"), answer)
        }
    }
}

fn told(what: &str, answer: transfer::Answer) -> Answer {
    answer.map_err(|error| about(what, &error))
}

fn done<T>(name: &str, result: Result<T, MailError>) -> Answer {
    told(name, result.map(|_| Reply::Done {}))
}

/// What went wrong for a user, and what to do about it.
fn about(name: &str, error: &MailError) -> String {
    let mut text = format!("{name}: {error}");
    if matches!(error, MailError::NoSuchUser) {
        text.push_str(
            ". Add one with `restante user add NAME`; with --no-password for a user of another source, who has \
             no account before the first login or mail",
        );
    }
    text
}

async fn user(mail: &Mail, name: &str) -> Result<User, String> {
    let user = mail.user(name).await.map_err(|e| about(name, &e))?;
    user.ok_or_else(|| about(name, &MailError::NoSuchUser))
}

async fn account_of(mail: &Mail, name: &str) -> Result<AccountId, String> {
    Ok(user(mail, name).await?.account)
}

/// Why there is no backup, and what to do if the server may not write there.
fn not_copied(to: &Path, error: &StoreError) -> String {
    let StoreError::Read { source, .. } = error else {
        return format!("{}: {error}", to.display());
    };
    let mut text = format!("{}: {source}", to.display());
    let cause = source.downcast_ref::<std::io::Error>();
    if cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::PermissionDenied) {
        text.push_str(
            ". The server writes it, as its own user, and in its sandbox only below the data directory and \
             the directories that [service] writable names",
        );
    }
    text
}

/// What was seen of logins: by this server, or by the last one that ran.
async fn about_logins(mail: &Mail, running: Option<&Watch>, request: Request) -> Answer {
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

async fn check(mail: &Mail, user: Option<String>, deep: bool) -> Answer {
    let scope = match user {
        None => CheckScope::All,
        Some(name) => CheckScope::Account(account_of(mail, &name).await?),
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
