//! SUBSCRIBE and UNSUBSCRIBE (RFC 9051 §6.3.7, §6.3.8).

use restante_proto::types::MailboxName;

use super::unsupported;
use crate::cx::Cx;
use crate::reply::Outcome;
use crate::state::State;

pub(crate) async fn subscribe(cx: &mut Cx, state: &mut State, mailbox: MailboxName) -> Outcome {
    let _ = (cx, state, mailbox);
    Err(unsupported("SUBSCRIBE"))
}

pub(crate) async fn unsubscribe(cx: &mut Cx, state: &mut State, mailbox: MailboxName) -> Outcome {
    let _ = (cx, state, mailbox);
    Err(unsupported("UNSUBSCRIBE"))
}
