//! CAPABILITY (RFC 9051 §6.1.1).

use crate::cx::Cx;
use crate::reply::{Outcome, Reply};
use crate::state::State;

pub(crate) fn run(cx: &mut Cx, state: &State) -> Outcome {
    let words = cx.capabilities(state);
    cx.line(format_args!("* CAPABILITY {}", words.join(" ")));
    Ok(Reply::ok("CAPABILITY completed"))
}
