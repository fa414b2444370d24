//! EXPUNGE and UID EXPUNGE (RFC 9051 §6.4.3, §6.4.9).

use restante_mailbox::{ExpungeWhat, Rights};
use restante_proto::types::{self as wire, Code};

use crate::cx::Cx;
use crate::reply::{Outcome, Reply};
use crate::state::State;

/// Expunges the messages with `\Deleted` that this client has been shown, all or those of `uids`. The
/// sync point after the command tells what went.
pub(crate) async fn run(cx: &mut Cx, state: &mut State, uids: Option<wire::UidSet>) -> Outcome {
    let (_, writable) = state.writable(Rights::EXPUNGE)?;
    let selected = writable.0;
    let among = match &uids {
        Some(set) => Some(selected.view.resolve_uids(set).await?),
        None => None,
    };
    let visible = selected.view.all_uids();
    let expunged = selected
        .mailbox
        .expunge(&ExpungeWhat::Deleted(among), Some(&visible))
        .await?;
    let reply = Reply::ok("EXPUNGE completed");
    if cx.enabled.qresync() && !expunged.uids.is_empty() {
        // RFC 7162 §3.2.7, §3.2.8. Nothing older waits to be told: the sync point tells it all.
        let highest = wire::ModSeq(expunged.change.after.modseq().0);
        return Ok(reply.code(Code::HighestModSeq(highest)));
    }
    Ok(reply)
}
