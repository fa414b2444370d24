//! SEARCH and UID SEARCH (RFC 9051 §6.4.4).

use restante_proto::types::Search;

use super::unsupported;
use crate::cx::Cx;
use crate::reply::Outcome;
use crate::state::State;

pub(crate) async fn run(cx: &mut Cx, state: &mut State, args: Search) -> Outcome {
    let _ = (cx, state, args);
    Err(unsupported("SEARCH"))
}
