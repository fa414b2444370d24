//! APPEND (RFC 9051 §6.3.12), streamed.

use restante_proto::types::AppendHead;

use super::unsupported;
use crate::cx::Cx;
use crate::reply::Outcome;
use crate::state::State;

pub(crate) async fn run(cx: &mut Cx, state: &mut State, head: AppendHead) -> Outcome {
    let _ = (cx, state, head);
    Err(unsupported("APPEND"))
}
