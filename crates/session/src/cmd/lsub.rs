//! LSUB (RFC 3501 §6.3.9).

use restante_proto::types::ListPattern;

use super::unsupported;
use crate::cx::Cx;
use crate::reply::Outcome;
use crate::state::State;

pub(crate) async fn run(
    cx: &mut Cx,
    state: &mut State,
    reference: String,
    pattern: ListPattern,
) -> Outcome {
    let _ = (cx, state, reference, pattern);
    Err(unsupported("LSUB"))
}
