//! RENAME (RFC 9051 §6.3.6).

use std::sync::Arc;

use restante_mailbox::{MailError, Rights};
use restante_proto::types::{Code, ListEntry, ListExtended, MailboxName, UntaggedData};

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
    let (old, new) = (
        convert::mailbox_name(&from)?,
        convert::new_mailbox_name(&to)?,
    );
    let source = Place::of(&cx.env, login, &old).await?;
    let target = Place::of(&cx.env, login, &new).await?;
    if !Arc::ptr_eq(&source.account, &target.account) {
        let reply = Reply::no("A mailbox cannot be given to another user");
        return Ok(reply.code(Code::Cannot));
    }
    if !source.is_own() {
        // RFC 4314 §4
        let (tree, ..) = source.entry(Rights::DELETE).await?;
        if !target.rights_above(&tree).contains(Rights::CREATE) {
            return Err(no_permission());
        }
        if source.name.is_inbox() {
            return Err(MailError::CannotDeleteInbox.into());
        }
    }
    source.account.rename(&source.name, &target.name).await?;
    // One response for both names, if either was given in another spelling (RFC 9051 §6.3.6).
    let respelled = convert::is_respelled(&from, &old) || convert::is_respelled(&to, &new);
    if cx.enabled.rev2() && respelled {
        cx.data(&UntaggedData::List(ListEntry {
            attributes: Vec::new(),
            separator: Some('/'),
            mailbox: convert::wire_name(&new),
            extended: vec![ListExtended::OldName(from)],
        }));
    }
    Ok(Reply::ok("RENAME completed"))
}
