//! The client's half of the mechanisms.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;

use aws_lc_rs::constant_time::verify_slices_are_equal;

use super::oauth::to_sasl_name;
use super::scram::random_nonce;
use super::{Binding, Channel, ScramHash};
use crate::{Secret, prepare};

/// The fewest iterations that a client takes part in (RFC 5802 §5.1): fewer would help whoever
/// listens to guess the password.
pub const ITERATIONS_MIN: u32 = 4096;
/// The most: more would only keep the client busy.
pub const ITERATIONS_MAX: u32 = 10_000_000;

/// Why a client gives an exchange up.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum ClientError {
    /// The server's message is not of the form that the mechanism prescribes.
    #[error("the server's message is malformed")]
    Malformed,
    /// The server does not know the password, either: it is not the one it says it is.
    #[error("the server could not prove that it knows the password")]
    WrongServer,
    /// The server wants too few or too many iterations.
    #[error("the server wants a number of iterations that is not reasonable")]
    Iterations,
    /// The user name or password has characters that SASLprep forbids.
    #[error("the user name or password has characters that cannot be used")]
    Unusable,
    /// The connection has nothing to bind to.
    #[error("the connection has no channel binding")]
    NoBinding,
    /// The server says that it failed (RFC 5802 §5.1 `e`).
    #[error("the server refused the exchange")]
    Refused,
    /// The system gave no random bytes.
    #[error("the system's random generator failed")]
    Random,
}

/// The client's half of one exchange.
pub trait ClientMechanism: Send {
    /// The mechanism's name.
    fn name(&self) -> &'static str;

    /// The response to a challenge. The first call is given an empty one and makes the initial
    /// response.
    ///
    /// # Errors
    /// The client cannot go on: it cancels the exchange.
    fn step(&mut self, challenge: &[u8]) -> Result<Vec<u8>, ClientError>;

    /// Whether a success of the server can be believed now. False in the middle of an exchange that
    /// has to prove the server, too.
    fn is_done(&self) -> bool;
}

/// Mechanisms of one message: PLAIN, EXTERNAL, ANONYMOUS, OAUTHBEARER, XOAUTH2.
#[derive(Debug)]
pub struct OneMessage {
    name: &'static str,
    message: Option<Secret<Vec<u8>>>,
    /// What is answered to a challenge after it.
    after: &'static [u8],
}

impl OneMessage {
    fn new(name: &'static str, message: String, after: &'static [u8]) -> OneMessage {
        OneMessage {
            name,
            message: Some(Secret::new(message.into_bytes())),
            after,
        }
    }

    /// PLAIN (RFC 4616); `acting_as` another user, or empty.
    pub fn plain(acting_as: &str, user: &str, password: &str) -> OneMessage {
        OneMessage::new("PLAIN", format!("{acting_as}\0{user}\0{password}"), b"")
    }

    /// EXTERNAL (RFC 4422 appendix A); as whom, or empty.
    pub fn external(acting_as: &str) -> OneMessage {
        OneMessage::new("EXTERNAL", acting_as.to_owned(), b"")
    }

    /// ANONYMOUS (RFC 4505); a word of who it is.
    pub fn anonymous(trace: &str) -> OneMessage {
        OneMessage::new("ANONYMOUS", trace.to_owned(), b"")
    }

    /// OAUTHBEARER (RFC 7628); `user` may be empty.
    pub fn oauth_bearer(user: &str, token: &str) -> OneMessage {
        let name = match user {
            "" => String::new(),
            user => format!("a={}", to_sasl_name(user)),
        };
        // RFC 7628 §3.2.3: an error is answered by 0x01.
        OneMessage::new(
            "OAUTHBEARER",
            format!("n,{name},\x01auth=Bearer {token}\x01\x01"),
            b"\x01",
        )
    }

    /// XOAUTH2, for servers that know no OAUTHBEARER.
    pub fn xoauth2(user: &str, token: &str) -> OneMessage {
        OneMessage::new(
            "XOAUTH2",
            format!("user={user}\x01auth=Bearer {token}\x01\x01"),
            b"",
        )
    }
}

impl ClientMechanism for OneMessage {
    fn name(&self) -> &'static str {
        self.name
    }

    fn step(&mut self, _challenge: &[u8]) -> Result<Vec<u8>, ClientError> {
        Ok(match self.message.take() {
            Some(message) => message.expose().clone(),
            None => self.after.to_vec(),
        })
    }

    fn is_done(&self) -> bool {
        self.message.is_none()
    }
}

/// SCRAM (RFC 5802, RFC 7677).
#[derive(Debug)]
pub struct ScramClient {
    hash: ScramHash,
    plus: bool,
    password: Secret<String>,
    /// gs2-header, then the channel's data.
    bound: Vec<u8>,
    header: String,
    bare: String,
    nonce: String,
    state: State,
}

#[derive(Debug)]
enum State {
    First,
    Last,
    Proof(Vec<u8>),
    Done,
    Failed,
}

impl ScramClient {
    /// Begins an exchange. With `plus` it is bound to the channel by the strongest binding there is;
    /// without, the server is told that this client would not bind.
    ///
    /// # Errors
    /// Names that cannot be used; `plus` on a channel that has no binding.
    pub fn new(
        hash: ScramHash,
        plus: bool,
        user: &str,
        password: &str,
        channel: &Channel,
    ) -> Result<ScramClient, ClientError> {
        let user = prepare(user).ok_or(ClientError::Unusable)?;
        let password = prepare(password).ok_or(ClientError::Unusable)?;
        let nonce = random_nonce().ok_or(ClientError::Random)?;
        let found = Binding::ALL
            .into_iter()
            .find_map(|binding| Some((binding, channel.data(binding)?)));
        let (header, data) = match (plus, found) {
            (true, Some((binding, data))) => (format!("p={},,", binding.name()), data),
            (true, None) => return Err(ClientError::NoBinding),
            (false, _) => ("n,,".to_owned(), &[][..]),
        };
        Ok(ScramClient {
            hash,
            plus,
            password,
            bound: [header.as_bytes(), data].concat(),
            header,
            bare: format!("n={},r={nonce}", to_sasl_name(user.expose())),
            nonce,
            state: State::First,
        })
    }

    /// Says `y` instead of `n`: this client could bind, but the server did not offer it (RFC 5802
    /// §6). A server that did offer it notices that somebody changed its list.
    pub fn could_bind(mut self) -> ScramClient {
        if !self.plus {
            self.header = "y,,".to_owned();
            self.bound = self.header.clone().into_bytes();
        }
        self
    }

    fn last(&mut self, challenge: &[u8]) -> Result<Vec<u8>, ClientError> {
        let server_first = std::str::from_utf8(challenge).map_err(|_| ClientError::Malformed)?;
        let mut parts = server_first.split(',');
        let mut part = |key: &str| {
            let value = parts.next().and_then(|part| part.strip_prefix(key));
            value.ok_or(ClientError::Malformed)
        };
        let (nonce, salt, iterations) = (part("r=")?, part("s=")?, part("i=")?);
        // The server's own part must be there, and ours before it.
        if nonce
            .strip_prefix(self.nonce.as_str())
            .is_none_or(str::is_empty)
        {
            return Err(ClientError::Malformed);
        }
        let salt = STANDARD.decode(salt).map_err(|_| ClientError::Malformed)?;
        let iterations: u32 = iterations.parse().map_err(|_| ClientError::Malformed)?;
        if !(ITERATIONS_MIN..=ITERATIONS_MAX).contains(&iterations) {
            return Err(ClientError::Iterations);
        }
        let count = std::num::NonZeroU32::new(iterations).ok_or(ClientError::Iterations)?;
        let salted = self.hash.salted(self.password.expose(), &salt, count);
        let client_key = Secret::new(self.hash.hmac(salted.expose(), b"Client Key"));
        let stored_key = self.hash.digest(client_key.expose());
        let without_proof = format!("c={},r={nonce}", STANDARD.encode(&self.bound));
        let message = format!("{},{server_first},{without_proof}", self.bare);
        let signature = self.hash.hmac(&stored_key, message.as_bytes());
        let proof: Vec<u8> = client_key
            .expose()
            .iter()
            .zip(&signature)
            .map(|(a, b)| a ^ b)
            .collect();
        let server_key = self.hash.hmac(salted.expose(), b"Server Key");
        self.state = State::Proof(self.hash.hmac(&server_key, message.as_bytes()));
        Ok(format!("{without_proof},p={}", STANDARD.encode(proof)).into_bytes())
    }
}

impl ClientMechanism for ScramClient {
    fn name(&self) -> &'static str {
        match (self.hash, self.plus) {
            (ScramHash::Sha1, true) => "SCRAM-SHA-1-PLUS",
            (ScramHash::Sha256, true) => "SCRAM-SHA-256-PLUS",
            (hash, false) => hash.mechanism(),
        }
    }

    fn step(&mut self, challenge: &[u8]) -> Result<Vec<u8>, ClientError> {
        match std::mem::replace(&mut self.state, State::Failed) {
            State::First => {
                self.state = State::Last;
                Ok(format!("{}{}", self.header, self.bare).into_bytes())
            }
            State::Last => self.last(challenge),
            State::Proof(wanted) => {
                if challenge.starts_with(b"e=") {
                    return Err(ClientError::Refused);
                }
                let given = challenge
                    .strip_prefix(b"v=")
                    .and_then(|text| STANDARD.decode(text).ok());
                match given {
                    Some(given) if verify_slices_are_equal(&given, &wanted).is_ok() => {
                        self.state = State::Done;
                        Ok(Vec::new())
                    }
                    _ => Err(ClientError::WrongServer),
                }
            }
            State::Done | State::Failed => Err(ClientError::Malformed),
        }
    }

    fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }
}
