//! AUTHENTICATE (RFC 9051 §6.2.2; RFC 4422; SASL-IR RFC 4959).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use restante_auth::sasl::{Mechanism, SaslError, Step};
use restante_proto::types::{Authenticate, Code};

use super::login::{log_in, privacy_required};
use crate::cx::Cx;
use crate::reply::{Failure, Outcome, Reply, client_bug};
use crate::state::State;

pub(crate) async fn run(cx: &mut Cx, state: &mut State, args: Authenticate) -> Outcome {
    let Some(mut mechanism) = Mechanism::start(args.mechanism.as_str()) else {
        let text = "This authentication mechanism is not supported";
        return Err(Reply::no(text).code(Code::Cannot).into());
    };
    if !cx.password_allowed() {
        return Err(privacy_required());
    }
    let name = mechanism.name();
    let mut step = match args.initial_response {
        Some(response) => mechanism.step(response.expose()),
        None if mechanism.client_first() => Step::Challenge(Vec::new()),
        None => mechanism.step(b""),
    };
    loop {
        match step {
            Step::Challenge(challenge) => {
                let response = exchange(cx, &challenge).await?;
                step = mechanism.step(&response);
            }
            Step::Done(credentials) => return log_in(cx, state, name, &credentials).await,
            Step::Failed(SaslError::TooLong) => return Err(client_bug("The response is too long")),
            Step::Failed(_) => {
                return Err(client_bug("The response is not of this mechanism's form"));
            }
        }
    }
}

/// Sends a challenge and takes the response. `*` cancels the exchange: BAD (RFC 9051 §6.2.2).
async fn exchange(cx: &mut Cx, challenge: &[u8]) -> Result<Vec<u8>, Failure> {
    let challenge = STANDARD.encode(challenge);
    cx.line(format_args!("+ {challenge}"));
    let line = cx.conn.read_line().await?;
    if line.as_ref() == b"*" {
        return Err(Reply::bad("Authentication cancelled").into());
    }
    STANDARD
        .decode(&line)
        .map_err(|_| client_bug("The response is not base64"))
}
