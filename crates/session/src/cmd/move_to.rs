//! MOVE and UID MOVE (RFC 9051 §6.4.8; RFC 6851).

use restante_proto::types::{MailboxName, MessageSet};

use super::unsupported;
use crate::cx::Cx;
use crate::reply::Outcome;
use crate::state::State;

pub(crate) async fn run(
    cx: &mut Cx,
    state: &mut State,
    set: MessageSet,
    to: MailboxName,
) -> Outcome {
    let _ = (cx, state, set, to);
    Err(unsupported("MOVE"))
}
