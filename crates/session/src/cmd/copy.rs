//! COPY and MOVE with their UID forms (RFC 9051 §6.4.7, §6.4.8).

use restante_mailbox::{Copied, UidSet};
use restante_proto::types::{Code, CopyUid, MailboxName, MessageSet, ModSeq};

use super::store::expunge_issued;
use crate::convert;
use crate::cx::Cx;
use crate::reply::{Failure, Outcome, Reply, try_create};
use crate::state::{Selected, State};
use crate::sync::{self, Tell};

/// COPY: all or nothing.
pub(crate) async fn copy(
    cx: &mut Cx,
    state: &mut State,
    set: MessageSet,
    mailbox: MailboxName,
) -> Outcome {
    let (login, selected) = state.selected()?;
    let uids = resolve(cx, selected, &set).await?;
    let name = convert::mailbox_name(&mailbox)?;
    let to = login.account.mailbox(&name).await.map_err(try_create)?;
    if !set.is_uid() && !uids.intersect(&selected.view.ghosts()).is_empty() {
        return Err(expunge_issued());
    }
    let copied = match set.is_uid() {
        true => selected.mailbox.copy(&uids, &to).await,
        false => {
            // What is expunged at this very moment is not left out in silence (RFC 2180 §4.4.2).
            let rows = selected.view.rows(&uids).await?;
            let shown: UidSet = rows.iter(&uids).map(|(_, row)| row.uid).collect();
            selected.mailbox.copy_all(&shown, &to).await
        }
    };
    let copied = copied.map_err(try_create)?;
    let reply = Reply::ok("COPY completed");
    Ok(match copy_uid(&copied) {
        Some(code) => reply.code(code),
        None => reply,
    })
}

/// MOVE: the untagged COPYUID comes first (RFC 6851 §4.3), the expunges from the sync point.
pub(crate) async fn move_to(
    cx: &mut Cx,
    state: &mut State,
    set: MessageSet,
    mailbox: MailboxName,
) -> Outcome {
    let (login, writable) = state.writable()?;
    let selected = writable.0;
    let uids = resolve(cx, selected, &set).await?;
    let name = convert::mailbox_name(&mailbox)?;
    let to = login.account.mailbox(&name).await.map_err(try_create)?;
    let gone = uids.intersect(&selected.view.ghosts());
    let moved = selected
        .mailbox
        .move_to(&uids.difference(&gone), &to)
        .await
        .map_err(try_create)?;
    if let Some(code) = copy_uid(&moved) {
        cx.untagged_ok(code, "Moved");
    }
    if !set.is_uid() && !gone.is_empty() {
        return Err(expunge_issued());
    }
    let reply = Reply::ok("MOVE completed");
    if cx.enabled.qresync() && !moved.source.is_empty() {
        // RFC 7162 §3.2.7 says it for EXPUNGE, RFC 6851 §4.4 that MOVE is the same here.
        let highest = ModSeq(moved.source_change.after.modseq().0);
        return Ok(reply.code(Code::HighestModSeq(highest)));
    }
    Ok(reply)
}

/// The messages that are named. Others' changes are told first, so that what is gone is known.
async fn resolve(
    cx: &mut Cx,
    selected: &mut Selected,
    set: &MessageSet,
) -> Result<UidSet, Failure> {
    let uids = selected.view.resolve(set).await?;
    let newest = selected.mailbox.snapshot().await?;
    sync::advance(cx, selected, &newest, false, Tell::Flags).await?;
    Ok(uids)
}

/// COPYUID, unless no message was copied (RFC 4315 §3).
fn copy_uid(copied: &Copied) -> Option<Code> {
    if copied.source.is_empty() {
        return None;
    }
    Some(Code::CopyUid(CopyUid {
        uid_validity: convert::wire_uid_validity(copied.uid_validity)?,
        source: convert::wire_uids(copied.source.iter().copied()),
        destination: convert::wire_uids(copied.destination.iter().copied()),
    }))
}
