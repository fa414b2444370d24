//! EXPUNGE and UID EXPUNGE (RFC 9051 §6.4.3, §6.4.9).

use restante_proto::types::UidSet;

use super::unsupported;
use crate::cx::Cx;
use crate::reply::Outcome;
use crate::state::State;

pub(crate) async fn run(cx: &mut Cx, state: &mut State, uids: Option<UidSet>) -> Outcome {
    let _ = (cx, state, uids);
    Err(unsupported("EXPUNGE"))
}
