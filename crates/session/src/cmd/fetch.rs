//! FETCH and UID FETCH (RFC 9051 §6.4.5).

use restante_proto::types::Fetch;

use super::unsupported;
use crate::cx::Cx;
use crate::reply::Outcome;
use crate::state::State;

pub(crate) async fn run(cx: &mut Cx, state: &mut State, args: Fetch) -> Outcome {
    let _ = (cx, state, args);
    Err(unsupported("FETCH"))
}
