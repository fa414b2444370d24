//! STATUS (RFC 9051 §6.3.11).

use restante_proto::types::{MailboxName, StatusItem};

use super::unsupported;
use crate::cx::Cx;
use crate::reply::Outcome;
use crate::state::State;

pub(crate) async fn run(
    cx: &mut Cx,
    state: &mut State,
    mailbox: MailboxName,
    items: Vec<StatusItem>,
) -> Outcome {
    let _ = (cx, state, mailbox, items);
    Err(unsupported("STATUS"))
}
