//! DELETE (RFC 9051 §6.3.5).

use restante_mailbox::Rights;
use restante_proto::types::{Code, ListAttribute, MailboxName};

use crate::convert;
use crate::cx::Cx;
use crate::place::Place;
use crate::reply::{Outcome, Reply};
use crate::state::State;

/// Deletes a mailbox; those below it stay. A session that deletes its own selected mailbox has none
/// selected afterwards.
pub(crate) async fn run(cx: &mut Cx, state: &mut State, mailbox: MailboxName) -> Outcome {
    let login = state.login()?;
    let name = convert::mailbox_name(&mailbox)?;
    let place = Place::of(&cx.env, login, &name).await?;
    let (_, entry, _) = place.entry(Rights::DELETE).await?;
    place.account.delete(&place.name).await?;
    let account = place.account.id();
    let own = matches!(state.selected(), Ok((_, selected)) if selected.is(account, entry.id));
    if own {
        state.deselect();
        if cx.enabled.rev2() || cx.enabled.qresync() {
            cx.untagged_ok(Code::Closed, "The mailbox was deleted");
        }
    }
    convert::tell_name(cx, vec![ListAttribute::NonExistent], &mailbox, &name);
    Ok(Reply::ok("DELETE completed"))
}
