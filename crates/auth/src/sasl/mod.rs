//! SASL mechanisms (RFC 4422) as state machines: the server's half here, the client's in [`client`].
//!
//! [`Mechanism::start`] names a mechanism and tells it what kind of connection it is on; then every
//! response of the client, already decoded from base64, goes to [`Mechanism::step`]. With an initial
//! response (RFC 4959) the first step gets it; without one, send an empty challenge first if
//! [`Mechanism::client_first`], otherwise step with an empty response to get the server's first
//! challenge. What comes out says what to do: see [`Step`]. When the credentials have been checked,
//! [`Mechanism::last_challenge`] gives what is still to be said before the outcome.
//!
//! ```
//! use restante_auth::sasl::{Channel, Mechanism, Step};
//! let mut mechanism = Mechanism::start("PLAIN", &Channel::default()).unwrap();
//! match mechanism.step(b"\0tim\0tanstaaftanstaaf") {
//!     Step::Done(credentials) => assert_eq!(credentials.user, "tim"),
//!     _ => unreachable!(),
//! }
//! ```

mod anonymous;
pub mod binding;
mod certificate;
pub mod client;
mod external;
mod keys;
mod login;
mod oauth;
mod plain;
mod scram;

use std::borrow::Cow;

use thiserror::Error;

pub use binding::{Binding, Channel};
pub use certificate::ClientCertificate;
pub use keys::{ScramHash, ScramKeys, ScramKeysError};

use crate::Secret;

/// The longest response of a client that a mechanism looks at, in bytes before base64.
pub const RESPONSE_BYTES_MAX: usize = 8 * 1024;

/// What a finished exchange claims. It is checked by the caller, not here.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// Who signs in (the authentication identity), as sent. Empty where the mechanism does not say:
    /// a token, a certificate and nobody in particular are asked who they are for.
    pub user: String,
    /// On whose behalf (the authorization identity); `None` when empty or not sent.
    pub acting_as: Option<String>,
    /// What proves it.
    pub proof: Proof,
}

/// What a client offers as proof.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Proof {
    /// A password in plain text, to be verified against the stored hash.
    Password(Secret<String>),
    /// A finished SCRAM exchange (RFC 5802). Whether the proof was right is known already: whoever
    /// checks it says no if it was not, and otherwise only looks at what else may forbid the login.
    Scram(ScramProof),
    /// An OAuth 2.0 access token (RFC 7628).
    Token(Secret<String>),
    /// The certificate that TLS has verified (RFC 4422 appendix A).
    Certificate(ClientCertificate),
    /// None at all (RFC 4505), but perhaps a word of who it is, for the log.
    Anonymous(String),
}

/// The outcome of a SCRAM exchange: made by the mechanism alone.
#[derive(Debug, Clone)]
pub struct ScramProof {
    hash: ScramHash,
    right: bool,
}

impl ScramProof {
    /// The hash that was used.
    pub fn hash(&self) -> ScramHash {
        self.hash
    }

    /// Whether the client knows the password, and the user exists.
    pub fn is_right(&self) -> bool {
        self.right
    }
}

/// The longest response with a token: as long as tokens in headers of HTTP may be where most is taken.
pub const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// What to do after a response of the client.
#[derive(Debug)]
pub enum Step {
    /// Send this challenge and wait for the next response.
    Challenge(Vec<u8>),
    /// Look up the SCRAM keys of this user and hand them to [`Mechanism::keys`].
    Keys(ScramHash, String),
    /// The exchange is over: check the credentials.
    Done(Credentials),
    /// The exchange is over: the response was malformed.
    Failed(SaslError),
}

/// Why an exchange failed before any credential was checked: the client misbehaved.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum SaslError {
    /// Not of the form that the mechanism prescribes.
    #[error("malformed response")]
    Malformed,
    /// Longer than [`RESPONSE_BYTES_MAX`].
    #[error("response too long")]
    TooLong,
    /// A user name or password that is not UTF-8.
    #[error("response is not UTF-8")]
    NotUtf8,
    /// A step after the last one.
    #[error("the exchange is over")]
    Over,
    /// Well formed, but not what this server and this connection want: a wrong channel binding, a
    /// nonce of another exchange. To the client it is a failed login like any other.
    #[error("{0}")]
    Refused(&'static str),
    /// The system gave no random bytes.
    #[error("the system's random generator failed")]
    Random,
}

/// One exchange of one mechanism.
#[derive(Debug)]
pub struct Mechanism(Kind);

#[derive(Debug)]
enum Kind {
    Plain(plain::Plain),
    Login(login::Login),
    Scram(Box<scram::Scram>),
    OAuth(oauth::OAuth),
    External(external::External),
    Anonymous(anonymous::Anonymous),
}

/// The mechanisms, in the order in which they are advertised: a client that takes the first it knows
/// takes the best. Those that send what others could use again are for TLS only.
pub const MECHANISMS: &[&str] = &[
    "SCRAM-SHA-256-PLUS",
    "SCRAM-SHA-1-PLUS",
    "SCRAM-SHA-256",
    "SCRAM-SHA-1",
    "PLAIN",
    "LOGIN",
    "EXTERNAL",
    "OAUTHBEARER",
    "XOAUTH2",
    "ANONYMOUS",
];

impl Mechanism {
    /// Starts the mechanism of this name (any case), or `None` if there is no such mechanism.
    pub fn start(name: &str, channel: &Channel) -> Option<Mechanism> {
        let name = MECHANISMS
            .iter()
            .find(|known| known.eq_ignore_ascii_case(name))?;
        let scram = |hash, plus| Kind::Scram(Box::new(scram::Scram::new(hash, plus, channel)));
        Some(Mechanism(match *name {
            "PLAIN" => Kind::Plain(plain::Plain::default()),
            "LOGIN" => Kind::Login(login::Login::default()),
            "SCRAM-SHA-1" => scram(ScramHash::Sha1, false),
            "SCRAM-SHA-256" => scram(ScramHash::Sha256, false),
            "SCRAM-SHA-1-PLUS" => scram(ScramHash::Sha1, true),
            "SCRAM-SHA-256-PLUS" => scram(ScramHash::Sha256, true),
            "OAUTHBEARER" => Kind::OAuth(oauth::OAuth::new(oauth::Form::OAuthBearer)),
            "XOAUTH2" => Kind::OAuth(oauth::OAuth::new(oauth::Form::XOAuth2)),
            "EXTERNAL" => Kind::External(external::External::new(channel)),
            "ANONYMOUS" => Kind::Anonymous(anonymous::Anonymous::default()),
            _ => return None,
        }))
    }

    /// The registered name.
    pub fn name(&self) -> &'static str {
        match &self.0 {
            Kind::Plain(_) => "PLAIN",
            Kind::Login(_) => "LOGIN",
            Kind::Scram(scram) => scram.name(),
            Kind::OAuth(oauth) => oauth.name(),
            Kind::External(_) => "EXTERNAL",
            Kind::Anonymous(_) => "ANONYMOUS",
        }
    }

    /// Whether the client speaks first (RFC 4422 §3, §5). If so and there was no initial response,
    /// an empty challenge is to be sent; otherwise the first challenge comes from a step with an
    /// empty response.
    pub fn client_first(&self) -> bool {
        !matches!(self.0, Kind::Login(_))
    }

    /// Takes the client's next response.
    pub fn step(&mut self, response: &[u8]) -> Step {
        let longest = match self.0 {
            // Tokens of some issuers carry all groups of their user.
            Kind::OAuth(_) => TOKEN_BYTES_MAX,
            _ => RESPONSE_BYTES_MAX,
        };
        if response.len() > longest {
            return Step::Failed(SaslError::TooLong);
        }
        match &mut self.0 {
            Kind::Plain(plain) => plain.step(response),
            Kind::Login(login) => login.step(response),
            Kind::Scram(scram) => scram.step(response),
            Kind::OAuth(oauth) => oauth.step(response),
            Kind::External(external) => external.step(response),
            Kind::Anonymous(anonymous) => anonymous.step(response),
        }
    }

    /// Takes the keys that [`Step::Keys`] asked for.
    pub fn keys(&mut self, keys: ScramKeys) -> Step {
        match &mut self.0 {
            Kind::Scram(scram) => scram.keys(keys),
            _ => Step::Failed(SaslError::Over),
        }
    }

    /// What is to be sent as one more challenge before the outcome, now that the credentials were
    /// found right or, with a `refusal`, not. The client's response to it says nothing: it is
    /// empty, or the 0x01 of RFC 7628 §3.2.3.
    pub fn last_challenge(&mut self, refusal: Option<&Refusal<'_>>) -> Option<Vec<u8>> {
        match (&mut self.0, refusal) {
            (Kind::Scram(scram), None) => scram.signature(),
            (Kind::OAuth(oauth), Some(Refusal::Token(error))) => Some(oauth.error(error)),
            _ => None,
        }
    }
}

/// Why credentials were not accepted, as far as a mechanism tells its client.
#[derive(Debug, Clone)]
pub enum Refusal<'a> {
    /// Nothing to tell.
    Other,
    /// The token does not do.
    Token(TokenError<'a>),
}

/// What RFC 7628 §3.2.2 tells a client whose token was refused.
#[derive(Debug, Clone, Default)]
pub struct TokenError<'a> {
    /// The token is good but lacks the scope.
    pub lacks_scope: bool,
    /// The scope that is needed, if any.
    pub scope: Cow<'a, str>,
    /// The address of the issuer's metadata.
    pub configuration: Cow<'a, str>,
}

fn text(bytes: &[u8]) -> Result<String, SaslError> {
    std::str::from_utf8(bytes)
        .map(str::to_owned)
        .map_err(|_| SaslError::NotUtf8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(name: &str) -> Option<Mechanism> {
        Mechanism::start(name, &Channel::default())
    }

    #[test]
    fn mechanisms_are_found_by_any_case() {
        for name in MECHANISMS {
            let mechanism = start(&name.to_lowercase()).unwrap();
            assert_eq!(mechanism.name(), *name);
        }
        for no in ["CRAM-MD5", "DIGEST-MD5", "NTLM", "SCRAM-SHA-256-", ""] {
            assert!(start(no).is_none(), "{no}");
        }
    }

    #[test]
    fn a_response_beyond_the_limit_is_refused() {
        for name in MECHANISMS {
            let mut mechanism = start(name).unwrap();
            let long = vec![b'a'; TOKEN_BYTES_MAX + 1];
            assert!(matches!(
                mechanism.step(&long),
                Step::Failed(SaslError::TooLong)
            ));
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(256))]
        #[test]
        fn no_response_panics(
            which in 0usize..MECHANISMS.len(),
            responses in proptest::collection::vec(
                proptest::collection::vec(proptest::prelude::any::<u8>(), 0..40), 1..5),
        ) {
            let mut mechanism = start(MECHANISMS[which]).unwrap();
            for response in responses {
                let _ = mechanism.step(&response);
            }
        }
    }
}
