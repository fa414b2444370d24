//! CREATE (RFC 9051 §6.3.4; RFC 6154 §3).

use restante_proto::types::{MailboxName, SpecialUse};

use super::unsupported;
use crate::cx::Cx;
use crate::reply::Outcome;
use crate::state::State;

pub(crate) async fn run(
    cx: &mut Cx,
    state: &mut State,
    mailbox: MailboxName,
    special_use: Vec<SpecialUse>,
) -> Outcome {
    let _ = (cx, state, mailbox, special_use);
    Err(unsupported("CREATE"))
}
