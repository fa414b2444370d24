//! GETQUOTA, GETQUOTAROOT and SETQUOTA (RFC 9208 §4.1).
//!
//! An account with a quota has one quota root, the empty name, with what is limited: STORAGE, in units of
//! 1,024 octets, MESSAGE and MAILBOX. Without a quota there is no root: a QUOTA response names at least one
//! resource (RFC 9208 §7). All limits are hard, so nobody is ever told of a soft one (§4.3.1).

use restante_mailbox::Rights;
use restante_proto::types::{Code, MailboxName, QuotaLimit, QuotaResource};

use crate::convert;
use crate::cx::Cx;
use crate::place::Place;
use crate::reply::{Failure, Outcome, Reply};
use crate::state::{Login, State};

const ROOT: &[u8] = b"";

/// GETQUOTA.
pub(crate) async fn get(cx: &mut Cx, state: &mut State, root: Vec<u8>) -> Outcome {
    let limits = limits(cx, state.login()?).await?;
    if root != ROOT || limits.is_empty() {
        return Ok(Reply::no("No such quota root").code(Code::NonExistent));
    }
    cx.writer().quota(ROOT, &limits);
    Ok(Reply::ok("GETQUOTA completed"))
}

/// GETQUOTAROOT: every mailbox of the account is under its root, if it has one; also one that does not exist
/// yet (RFC 9208 §4.1.2).
pub(crate) async fn get_root(cx: &mut Cx, state: &mut State, mailbox: MailboxName) -> Outcome {
    let login = state.login()?;
    let name = convert::mailbox_name(&mailbox)?;
    let place = Place::of(&cx.env, login, &name).await?;
    let limits = match place.is_own() {
        true => limits(cx, login).await?,
        // Another user's quota is theirs alone to see (RFC 9208 §6).
        false => place.entry(Rights::READ).await.map(|_| Vec::new())?,
    };
    let name = convert::wire_name(&name);
    if limits.is_empty() {
        cx.writer().quota_root(&name, &[]);
    } else {
        cx.writer().quota_root(&name, &[ROOT.to_vec()]);
        cx.writer().quota(ROOT, &limits);
    }
    Ok(Reply::ok("GETQUOTAROOT completed"))
}

/// SETQUOTA is the administrator's business: `restante user quota`.
pub(crate) fn set(state: &State) -> Outcome {
    state.login()?;
    Ok(Reply::no("Only an administrator sets quotas").code(Code::NoPerm))
}

/// What is limited. Nobody in particular is told nothing (RFC 9208 §8).
async fn limits(cx: &mut Cx, login: &Login) -> Result<Vec<QuotaLimit>, Failure> {
    if login.is_anonymous {
        let reply = Reply::no("Quotas are not for guests to see");
        return Err(reply.code(Code::NoPerm).into());
    }
    let quota = login.account.quota().await;
    let of = quota.limits;
    let resources = [
        (
            "QUOTA=RES-STORAGE",
            QuotaResource::Storage,
            quota.used_bytes.div_ceil(1024),
            of.bytes.map(|bytes| bytes / 1024),
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
    Ok(limits.collect())
}
