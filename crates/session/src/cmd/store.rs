//! STORE and UID STORE (RFC 9051 §6.4.6).

use restante_proto::types::Store;

use super::unsupported;
use crate::cx::Cx;
use crate::reply::Outcome;
use crate::state::State;

pub(crate) async fn run(cx: &mut Cx, state: &mut State, args: Store) -> Outcome {
    let _ = (cx, state, args);
    Err(unsupported("STORE"))
}
