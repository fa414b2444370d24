//! RENAME (RFC 9051 §6.3.6).

use std::sync::Arc;

use restante_mailbox::{MailError, Rights};
use restante_proto::types::{Code, MailboxName};

use crate::convert;
use crate::cx::Cx;
use crate::place::{Place, no_permission};
use crate::reply::{Outcome, Reply};
use crate::state::State;

/// Renames a mailbox and those below it. The messages of INBOX move to the new mailbox, and it stays.
pub(crate) async fn run(
    cx: &mut Cx,
    state: &mut State,
    from: MailboxName,
    to: MailboxName,
) -> Outcome {
    let login = state.login()?;
    let (from, to) = (convert::mailbox_name(&from)?, convert::mailbox_name(&to)?);
    let from = Place::of(&cx.env, login, &from).await?;
    let to = Place::of(&cx.env, login, &to).await?;
    if !Arc::ptr_eq(&from.account, &to.account) {
        let reply = Reply::no("A mailbox cannot be given to another user");
        return Ok(reply.code(Code::Cannot));
    }
    if !from.is_own() {
        // RFC 4314 §4
        let (tree, ..) = from.entry(Rights::DELETE).await?;
        if !to.rights_above(&tree).contains(Rights::CREATE) {
            return Err(no_permission());
        }
        if from.name.is_inbox() {
            return Err(MailError::CannotDeleteInbox.into());
        }
    }
    from.account.rename(&from.name, &to.name).await?;
    Ok(Reply::ok("RENAME completed"))
}
