//! EXPUNGE and UID EXPUNGE (RFC 9051 §6.4.3, §6.4.9).

use restante_mailbox::{ExpungeWhat, FlagFilter, Flags, Rights, UidSet, Wanted};
use restante_proto::types::{self as wire, Code, MessageSet};

use crate::cx::Cx;
use crate::message_limit;
use crate::reply::{Failure, Outcome, Reply};
use crate::state::{Selected, State};
use crate::sync;

/// Expunges the messages with `\Deleted` that this client has been shown, all or those of `uids`. The
/// sync point after the command tells what went.
pub(crate) async fn run(cx: &mut Cx, state: &mut State, uids: Option<wire::UidSet>) -> Outcome {
    let (_, writable) = state.writable(Rights::EXPUNGE)?;
    let selected = writable.0;
    let among = match uids {
        Some(set) => {
            let set = MessageSet::Uid(set);
            sync::look(cx, selected, &set).await?;
            let among = selected.view.resolve(&set).await?;
            Some(limited(cx, selected, among).await?)
        }
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

/// Of these, those with the highest UIDs, if more of them have `\Deleted` than a UID EXPUNGE may take (RFC
/// 9738 §3.1).
async fn limited(cx: &mut Cx, selected: &Selected, among: UidSet) -> Result<UidSet, Failure> {
    let Some(limit) = cx.message_limit() else {
        return Ok(among);
    };
    let deleted = FlagFilter::with(Flags::DELETED);
    let rows = selected.view.load(Wanted::Flagged(deleted)).await?;
    let deleted = rows.loaded().uids_with(deleted).intersect(&among);
    match message_limit::cut(&deleted, limit) {
        Some(highest) => {
            cx.limit_to(limit, &highest);
            Ok(highest)
        }
        None => Ok(among),
    }
}
