//! SUBSCRIBE and UNSUBSCRIBE (RFC 9051 §6.3.7, §6.3.8).

use restante_proto::types::MailboxName;

use crate::convert;
use crate::reply::{Outcome, Reply};
use crate::state::State;

/// Subscriptions are names: the mailbox need not exist (RFC 9051 §6.3.7).
pub(crate) async fn subscribe(state: &mut State, mailbox: MailboxName) -> Outcome {
    let name = convert::mailbox_name(&mailbox)?;
    state.login()?.account.subscribe(&name).await?;
    Ok(Reply::ok("SUBSCRIBE completed"))
}

/// A name that is not subscribed is no error.
pub(crate) async fn unsubscribe(state: &mut State, mailbox: MailboxName) -> Outcome {
    let name = convert::mailbox_name(&mailbox)?;
    state.login()?.account.unsubscribe(&name).await?;
    Ok(Reply::ok("UNSUBSCRIBE completed"))
}
