//! GETQUOTA, GETQUOTAROOT and SETQUOTA (RFC 9208 §4.1).
//!
//! An account with a quota has one quota root, the empty name, with one limited resource: STORAGE, in
//! units of 1,024 octets. Without a quota there is no root: a QUOTA response names at least one
//! resource (RFC 9208 §7).

use restante_proto::types::{Code, MailboxName, QuotaLimit, QuotaResource};

use crate::convert;
use crate::cx::Cx;
use crate::reply::{Outcome, Reply};
use crate::state::{Login, State};

const ROOT: &[u8] = b"";

/// GETQUOTA.
pub(crate) async fn get(cx: &mut Cx, state: &mut State, root: Vec<u8>) -> Outcome {
    match limit(state.login()?).await {
        Some(limit) if root == ROOT => {
            cx.writer().quota(ROOT, &[limit]);
            Ok(Reply::ok("GETQUOTA completed"))
        }
        _ => Ok(Reply::no("No such quota root").code(Code::NonExistent)),
    }
}

/// GETQUOTAROOT: every mailbox of the account is under its root, if it has one.
pub(crate) async fn get_root(cx: &mut Cx, state: &mut State, mailbox: MailboxName) -> Outcome {
    let login = state.login()?;
    let name = convert::mailbox_name(&mailbox)?;
    login.account.mailbox(&name).await?;
    let name = convert::wire_name(&name);
    match limit(login).await {
        Some(limit) => {
            cx.writer().quota_root(&name, &[ROOT.to_vec()]);
            cx.writer().quota(ROOT, &[limit]);
        }
        None => cx.writer().quota_root(&name, &[]),
    }
    Ok(Reply::ok("GETQUOTAROOT completed"))
}

/// SETQUOTA is the administrator's business: `restante user quota`.
pub(crate) fn set(state: &State) -> Outcome {
    state.login()?;
    Ok(Reply::no("Only an administrator sets quotas").code(Code::NoPerm))
}

async fn limit(login: &Login) -> Option<QuotaLimit> {
    let quota = login.account.quota().await;
    quota.limit_bytes.map(|limit| QuotaLimit {
        resource: QuotaResource::Storage,
        usage: quota.used_bytes.div_ceil(1024),
        limit: limit / 1024,
    })
}
