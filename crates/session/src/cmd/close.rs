//! CLOSE and UNSELECT (RFC 9051 §6.4.1, §6.4.2).

use restante_mailbox::{ExpungeWhat, MailError, Rights};

use crate::reply::{Outcome, Reply};
use crate::state::State;

/// Expunges what is `\Deleted` in this client's view and leaves the mailbox. No EXPUNGE is told, and
/// no HIGHESTMODSEQ (RFC 7162 §3.2.8). Under EXAMINE nothing is expunged, without an error.
pub(crate) async fn close(state: &mut State) -> Outcome {
    let (_, selected) = state.selected()?;
    // RFC 4314 §4: who may not expunge closes it all the same.
    if !selected.examined && selected.rights.contains(Rights::EXPUNGE) {
        // Messages that this client has not been told of stay, also if they are \Deleted.
        let visible = selected.view.all_uids();
        let what = ExpungeWhat::Deleted(None);
        match selected.mailbox.expunge(&what, Some(&visible)).await {
            Ok(_) | Err(MailError::NoSuchMailbox) => {}
            Err(error) => return Err(error.into()),
        }
    }
    state.deselect();
    Ok(Reply::ok("CLOSE completed"))
}

/// Leaves the mailbox.
pub(crate) fn unselect(state: &mut State) -> Outcome {
    state.selected()?;
    state.deselect();
    Ok(Reply::ok("UNSELECT completed"))
}
