//! GETQUOTA, GETQUOTAROOT and SETQUOTA (RFC 9208 §4.1).
//!
//! An account with a quota has one quota root, the empty name, with what is limited: STORAGE, in units of
//! 1,024 octets, MESSAGE and MAILBOX. Without a quota there is no root: a QUOTA response names at least one
//! resource (RFC 9208 §7). All limits are hard, so nobody is ever told of a soft one (§4.3.1).
//!
//! Who is configured to set quotas sees the root of every account, under the name `#user/NAME`. A limit that
//! SETQUOTA does not name is the server's default again, as after `restante user quota`.

use std::sync::Arc;

use restante_mailbox::{Account, MailError, Quota, QuotaLimits, Rights, canonical_user_name};
use restante_proto::types::{Code, MailboxName, QuotaLimit, QuotaResource, SetQuota};

use crate::convert;
use crate::cx::Cx;
use crate::env::Env;
use crate::place::Place;
use crate::reply::{Failure, Outcome, Reply, client_bug};
use crate::state::{Login, State};

/// The user's own root.
const ROOT: &[u8] = b"";

/// What stands before a user's name in the name of a root.
const ROOT_OF_USER: &str = "#user/";

/// STORAGE is in units of so many bytes (RFC 9208 §5.1).
const STORAGE_UNIT: u64 = 1024;

/// Whether this user may set quotas.
pub(crate) fn is_administrator(env: &Env, login: &Login) -> bool {
    let mut names = env.quota_admins.iter();
    !login.is_anonymous && names.any(|name| canonical_user_name(name) == *login.name)
}

/// GETQUOTA.
pub(crate) async fn get(cx: &mut Cx, state: &mut State, root: Vec<u8>) -> Outcome {
    let login = state.login()?;
    refuse_anonymous(login)?;
    let owner = owner(cx, login, &root).ok_or_else(no_such_root)?;
    let account = account(&cx.env, &owner).await?;
    let quota = account.quota().await;
    let limits = limits(cx, quota);
    if limits.is_empty() {
        return Err(no_such_root());
    }
    cx.writer().quota(&root, &limits);
    Ok(Reply::ok("GETQUOTA completed"))
}

/// GETQUOTAROOT: every mailbox of the account is under its root, if it has one; also one that does not exist
/// yet (RFC 9208 §4.1.2).
pub(crate) async fn get_root(cx: &mut Cx, state: &mut State, mailbox: MailboxName) -> Outcome {
    let login = state.login()?;
    let name = convert::mailbox_name(&mailbox)?;
    let place = Place::of(&cx.env, login, &name).await?;
    let (root, limits) = match place.is_own() {
        true => {
            refuse_anonymous(login)?;
            let quota = login.account.quota().await;
            (ROOT.to_vec(), limits(cx, quota))
        }
        // Another user's quota is theirs alone to see (RFC 9208 §6), and of who sets it.
        false => {
            place.entry(Rights::READ).await?;
            let root = format!("{ROOT_OF_USER}{}", place.owner).into_bytes();
            let quota = place.account.quota().await;
            match is_administrator(&cx.env, login) {
                true => (root, limits(cx, quota)),
                false => (root, Vec::new()),
            }
        }
    };
    let name = convert::wire_name(&name);
    if limits.is_empty() {
        cx.writer().quota_root(&name, &[]);
    } else {
        cx.writer().quota_root(&name, std::slice::from_ref(&root));
        cx.writer().quota(&root, &limits);
    }
    Ok(Reply::ok("GETQUOTAROOT completed"))
}

/// SETQUOTA (RFC 9208 §4.1.3), for who is configured to.
pub(crate) async fn set(cx: &mut Cx, state: &mut State, args: SetQuota) -> Outcome {
    let login = state.login()?;
    if !is_administrator(&cx.env, login) {
        return Ok(Reply::no("Only an administrator sets quotas").code(Code::NoPerm));
    }
    let mut set = QuotaLimits::default();
    for (resource, limit) in args.limits {
        let (word, place, limit) = match resource {
            // A limit beyond what can be counted in bytes is rounded down to that.
            QuotaResource::Storage => (
                "QUOTA=RES-STORAGE",
                &mut set.bytes,
                limit.saturating_mul(STORAGE_UNIT),
            ),
            QuotaResource::Message => ("QUOTA=RES-MESSAGE", &mut set.messages, limit),
            QuotaResource::Mailbox => ("QUOTA=RES-MAILBOX", &mut set.mailboxes, limit),
            _ => return Ok(Reply::no("This is not limited here").code(Code::Cannot)),
        };
        if cx.hides(word) {
            return Ok(Reply::no("This is not limited here").code(Code::Cannot));
        }
        if place.replace(limit).is_some() {
            return Err(client_bug("A resource is named twice"));
        }
    }
    let owner = owner(cx, login, &args.root).ok_or_else(no_such_root)?;
    let user = cx.env.mail.user_set_quota(&owner, |quota| *quota = set);
    let user = user.await.map_err(root_of_nobody)?;
    tracing::info!(peer = %cx.peer, by = %login.name, user = %user.name, limits = ?set, "set quota");
    let account = account(&cx.env, &user.name).await?;
    let quota = account.quota().await;
    let limits = limits(cx, quota);
    // A QUOTA response names at least one resource.
    if !limits.is_empty() {
        cx.writer().quota(&args.root, &limits);
    }
    Ok(Reply::ok("SETQUOTA completed"))
}

/// The user whose root this is, as far as this one may know.
fn owner(cx: &Cx, login: &Login, root: &[u8]) -> Option<String> {
    if root == ROOT {
        return Some(login.name.to_string());
    }
    let name = std::str::from_utf8(root).ok()?.strip_prefix(ROOT_OF_USER)?;
    is_administrator(&cx.env, login).then(|| name.to_owned())
}

async fn account(env: &Env, owner: &str) -> Result<Arc<Account>, Failure> {
    let account = env.mail.account_of(owner).await;
    account.map_err(root_of_nobody)
}

fn root_of_nobody(error: MailError) -> Failure {
    match error {
        MailError::NoSuchUser => no_such_root(),
        error => error.into(),
    }
}

fn no_such_root() -> Failure {
    let reply = Reply::no("No such quota root");
    reply.code(Code::NonExistent).into()
}

/// Nobody in particular is told nothing (RFC 9208 §8).
fn refuse_anonymous(login: &Login) -> Result<(), Failure> {
    match login.is_anonymous {
        true => {
            let reply = Reply::no("Quotas are not for guests to see");
            Err(reply.code(Code::NoPerm).into())
        }
        false => Ok(()),
    }
}

/// What is limited.
fn limits(cx: &Cx, quota: Quota) -> Vec<QuotaLimit> {
    let of = quota.limits;
    let resources = [
        (
            "QUOTA=RES-STORAGE",
            QuotaResource::Storage,
            quota.used_bytes.div_ceil(STORAGE_UNIT),
            of.bytes.map(|bytes| bytes / STORAGE_UNIT),
        ),
        (
            "QUOTA=RES-MESSAGE",
            QuotaResource::Message,
            quota.messages,
            of.messages,
        ),
        (
            "QUOTA=RES-MAILBOX",
            QuotaResource::Mailbox,
            quota.mailboxes,
            of.mailboxes,
        ),
    ];
    // A resource that is told is advertised (RFC 9208 §3.1.1).
    let told = resources.into_iter().filter(|(word, ..)| !cx.hides(word));
    let limits = told.filter_map(|(_, resource, usage, limit)| {
        Some(QuotaLimit {
            resource,
            usage,
            limit: limit?,
        })
    });
    limits.collect()
}
