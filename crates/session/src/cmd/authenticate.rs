//! AUTHENTICATE (RFC 9051 §6.2.2; RFC 4422; SASL-IR RFC 4959).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use restante_auth::sasl::{Credentials, Mechanism, Refusal, SaslError, Step, TokenError};
use restante_proto::types::{Authenticate, Code, Secret};

use super::login::{admit, failed, privacy_required};
use crate::capability::has_mechanism;
use crate::cx::Cx;
use crate::env::LoginError;
use crate::reply::{Failure, Outcome, Reply, client_bug};
use crate::state::State;

pub(crate) async fn run(cx: &mut Cx, state: &mut State, args: Authenticate) -> Outcome {
    let mut mechanism = begin(cx, args.mechanism.as_str())?;
    let name = mechanism.name();
    let mut step = match args.initial_response {
        Some(response) => mechanism.step(response.expose()),
        None if mechanism.client_first() => Step::Challenge(Vec::new()),
        None => mechanism.step(b""),
    };
    loop {
        step = match step {
            Step::Challenge(challenge) => {
                let response = exchange(cx, name, &challenge).await?;
                mechanism.step(response.expose())
            }
            Step::Keys(hash, user) => {
                let keys = cx.env.authenticator.scram_keys(&user, hash, &cx.peer);
                match keys.await {
                    Ok(keys) => mechanism.keys(keys),
                    Err(error) => return Err(failed(cx, state, name, &user, error).await),
                }
            }
            Step::Done(credentials) => {
                return conclude(cx, state, &mut mechanism, &credentials).await;
            }
            Step::Failed(error) => return Err(broken(cx, state, name, error).await),
        };
    }
}

/// The mechanism, if it can be used on this connection.
fn begin(cx: &Cx, name: &str) -> Result<Mechanism, Failure> {
    let channel = cx.conn.channel();
    let mechanism = Mechanism::start(name, &channel);
    let mut facts = cx.facts(false, &channel);
    match mechanism {
        Some(mechanism) if has_mechanism(&facts, mechanism.name()) => Ok(mechanism),
        Some(mechanism) => {
            facts.password_allowed = true;
            match has_mechanism(&facts, mechanism.name()) {
                true => Err(privacy_required()),
                false => Err(unsupported()),
            }
        }
        None => Err(unsupported()),
    }
}

fn unsupported() -> Failure {
    let text = "This authentication mechanism is not supported";
    Reply::no(text).code(Code::Cannot).into()
}

/// Has the credentials checked, and tells the client what its mechanism wants to be told of it.
async fn conclude(
    cx: &mut Cx,
    state: &mut State,
    mechanism: &mut Mechanism,
    credentials: &Credentials,
) -> Outcome {
    let name = mechanism.name();
    let error = match cx.env.authenticator.check(credentials, &cx.peer).await {
        Ok(identity) => {
            // The server proves itself, too (RFC 5802 §5): the client may still give up.
            if let Some(challenge) = mechanism.last_challenge(None)
                && !exchange(cx, name, &challenge).await?.expose().is_empty()
            {
                return Err(client_bug("The last response is to be empty"));
            }
            return admit(cx, state, name, identity).await;
        }
        Err(error) => error,
    };
    if let LoginError::Token(refusal) = &error {
        let refusal = Refusal::Token(TokenError {
            lacks_scope: refusal.lacks_scope,
            scope: refusal.scope.as_str().into(),
            configuration: refusal.configuration.as_str().into(),
        });
        if let Some(challenge) = mechanism.last_challenge(Some(&refusal)) {
            // RFC 7628 §3.2.3: 0x01 comes back, or *; whatever it is, the login has failed.
            if let Err(Failure::Io(error)) = exchange(cx, name, &challenge).await {
                return Err(Failure::Io(error));
            }
        }
    }
    let user = match credentials.user.as_str() {
        "" => credentials.acting_as.as_deref().unwrap_or_default(),
        user => user,
    };
    Err(failed(cx, state, name, user, error).await)
}

/// An exchange that ended before there were credentials to check.
async fn broken(cx: &mut Cx, state: &mut State, how: &'static str, error: SaslError) -> Failure {
    let text = match error {
        SaslError::Refused(reason) => {
            return failed(cx, state, how, "", LoginError::rejected(reason)).await;
        }
        SaslError::Random => {
            let reason = error.to_string();
            return failed(cx, state, how, "", LoginError::Unavailable(reason)).await;
        }
        SaslError::TooLong => "The response is too long",
        SaslError::Malformed | SaslError::NotUtf8 | SaslError::Over => {
            "The response is not of this mechanism's form"
        }
    };
    tracing::info!(peer = %cx.peer, how, %error, "login failed");
    client_bug(text)
}

/// Sends a challenge and takes the response. `*` cancels the exchange: BAD (RFC 9051 §6.2.2).
async fn exchange(
    cx: &mut Cx,
    how: &'static str,
    challenge: &[u8],
) -> Result<Secret<Vec<u8>>, Failure> {
    let challenge = STANDARD.encode(challenge);
    cx.line(format_args!("+ {challenge}"));
    let line = cx.conn.read_line().await?;
    if line.as_ref() == b"*" {
        // People do so whose program asks them for a password: nobody guesses.
        tracing::info!(peer = %cx.peer, how, "login given up by the client");
        return Err(Reply::bad("Authentication cancelled").into());
    }
    STANDARD.decode(&line).map(Secret::new).map_err(|_| {
        tracing::info!(peer = %cx.peer, how, error = "the response is not base64", "login failed");
        client_bug("The response is not base64")
    })
}
