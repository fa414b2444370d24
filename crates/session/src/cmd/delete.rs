//! DELETE (RFC 9051 §6.3.5).

use restante_proto::types::MailboxName;

use super::unsupported;
use crate::cx::Cx;
use crate::reply::Outcome;
use crate::state::State;

pub(crate) async fn run(cx: &mut Cx, state: &mut State, mailbox: MailboxName) -> Outcome {
    let _ = (cx, state, mailbox);
    Err(unsupported("DELETE"))
}
