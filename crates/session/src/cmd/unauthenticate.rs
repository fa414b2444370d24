//! UNAUTHENTICATE (RFC 8437 §3).

use crate::capability;
use crate::cx::Cx;
use crate::reply::{Failure, Outcome, Reply, client_bug};

/// The session's loop forgets the user: a NO is not permitted, so nothing here can fail.
pub(crate) fn run(cx: &mut Cx) -> Outcome {
    if capability::hidden(&cx.env, "UNAUTHENTICATE") {
        return Err(client_bug("UNAUTHENTICATE is not supported"));
    }
    Err(Failure::Unauthenticate(Reply::ok(
        "UNAUTHENTICATE completed",
    )))
}
