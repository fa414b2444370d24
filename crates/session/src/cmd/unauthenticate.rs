//! UNAUTHENTICATE (RFC 8437 §3).

use crate::reply::{Failure, Outcome, Reply};

/// The session's loop forgets the user: a NO is not permitted, so nothing here can fail.
pub(crate) fn run() -> Outcome {
    Err(Failure::Unauthenticate(Reply::ok(
        "UNAUTHENTICATE completed",
    )))
}
