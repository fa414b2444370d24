//! STARTTLS (RFC 9051 §6.2.1).

use crate::cx::Cx;
use crate::reply::{Failure, Outcome, Reply, client_bug};
use crate::state::State;

/// Checks whether TLS can begin here; the session's loop sends the OK and does the handshake.
///
/// Bytes that came with the command in one go were not protected, so they must never be read as
/// commands given inside TLS: they are thrown away with what the framer holds (RFC 9051 §6.2.1).
pub(crate) fn run(cx: &mut Cx, state: &State) -> Outcome {
    if !matches!(state, State::NotAuthenticated(_)) {
        return Err(client_bug("STARTTLS comes before the login"));
    }
    if !cx.conn.can_starttls() {
        return Err(client_bug("TLS cannot be started here"));
    }
    Err(Failure::StartTls(Reply::ok("Begin TLS negotiation now")))
}
