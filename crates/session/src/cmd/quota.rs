//! GETQUOTA, GETQUOTAROOT and SETQUOTA (RFC 9208 §4.1).
//!
//! An account has one quota root, the empty name, with one limited resource: STORAGE, in units of
//! 1,024 octets. Without a quota the root has no limits.

use restante_proto::types::{Code, MailboxName, QuotaLimit, QuotaResource};

use crate::convert;
use crate::cx::Cx;
use crate::reply::{Outcome, Reply};
use crate::state::{Login, State};

const ROOT: &[u8] = b"";

/// GETQUOTA.
pub(crate) async fn get(cx: &mut Cx, state: &mut State, root: Vec<u8>) -> Outcome {
    let login = state.login()?;
    if root != ROOT {
        return Ok(Reply::no("No such quota root").code(Code::NonExistent));
    }
    tell(cx, login).await;
    Ok(Reply::ok("GETQUOTA completed"))
}

/// GETQUOTAROOT: every mailbox of the account is under the one root.
pub(crate) async fn get_root(cx: &mut Cx, state: &mut State, mailbox: MailboxName) -> Outcome {
    let login = state.login()?;
    let name = convert::mailbox_name(&mailbox)?;
    login.account.mailbox(&name).await?;
    cx.writer()
        .quota_root(&convert::wire_name(&name), &[ROOT.to_vec()]);
    tell(cx, login).await;
    Ok(Reply::ok("GETQUOTAROOT completed"))
}

/// SETQUOTA is the administrator's business: `restante user quota`.
pub(crate) fn set(state: &State) -> Outcome {
    state.login()?;
    Ok(Reply::no("Only an administrator sets quotas").code(Code::NoPerm))
}

async fn tell(cx: &mut Cx, login: &Login) {
    let quota = login.account.quota().await;
    let limits: Vec<QuotaLimit> = quota
        .limit_bytes
        .map(|limit| QuotaLimit {
            resource: QuotaResource::Storage,
            usage: quota.used_bytes.div_ceil(1024),
            limit: limit / 1024,
        })
        .into_iter()
        .collect();
    cx.writer().quota(ROOT, &limits);
}
