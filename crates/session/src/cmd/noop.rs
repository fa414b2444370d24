//! NOOP, CHECK and LOGOUT: commands whose work the session's loop does (RFC 9051 §6.1.2, §6.1.3;
//! RFC 3501 §6.4.1).

use crate::reply::{Failure, Outcome, Reply};

/// NOOP. What it is for, the sync point, comes after every command.
pub(crate) fn noop() -> Outcome {
    Ok(Reply::ok("NOOP completed"))
}

/// CHECK: everything acknowledged is durable, so there is nothing to do.
pub(crate) fn check() -> Outcome {
    Ok(Reply::ok("CHECK completed"))
}

/// LOGOUT: the BYE comes before the tagged OK; the loop sends both.
pub(crate) fn logout() -> Outcome {
    Err(Failure::Logout)
}
