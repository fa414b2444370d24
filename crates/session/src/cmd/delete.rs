//! DELETE (RFC 9051 §6.3.5).

use restante_proto::types::{Code, MailboxName};

use crate::convert;
use crate::cx::Cx;
use crate::reply::{Outcome, Reply};
use crate::state::State;

/// Deletes a mailbox; those below it stay. A session that deletes its own selected mailbox has none
/// selected afterwards.
pub(crate) async fn run(cx: &mut Cx, state: &mut State, mailbox: MailboxName) -> Outcome {
    let login = state.login()?;
    let name = convert::mailbox_name(&mailbox)?;
    let id = login.account.tree().await?.get(&name).map(|entry| entry.id);
    login.account.delete(&name).await?;
    let own = matches!(state.selected(), Ok((_, selected)) if Some(selected.mailbox.id()) == id);
    if own {
        state.deselect();
        if cx.enabled.rev2() || cx.enabled.qresync() {
            cx.untagged_ok(Code::Closed, "The mailbox was deleted");
        }
    }
    Ok(Reply::ok("DELETE completed"))
}
