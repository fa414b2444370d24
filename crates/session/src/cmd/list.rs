//! LIST (RFC 9051 §6.3.9).

use restante_proto::types::List;

use super::unsupported;
use crate::cx::Cx;
use crate::reply::Outcome;
use crate::state::State;

pub(crate) async fn run(cx: &mut Cx, state: &mut State, args: List) -> Outcome {
    let _ = (cx, state, args);
    Err(unsupported("LIST"))
}
