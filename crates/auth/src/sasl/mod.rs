//! The server half of SASL mechanisms (RFC 4422) as state machines.
//!
//! [`Mechanism::start`] names a mechanism; then every response of the client, already decoded from
//! base64, goes to [`Mechanism::step`]. With an initial response (RFC 4959) the first step gets it;
//! without one, send an empty challenge first if [`Mechanism::client_first`], otherwise step with
//! an empty response to get the server's first challenge.
//!
//! ```
//! use restante_auth::sasl::{Mechanism, Step};
//! let mut mechanism = Mechanism::start("PLAIN").unwrap();
//! match mechanism.step(b"\0tim\0tanstaaftanstaaf") {
//!     Step::Done(credentials) => assert_eq!(credentials.user, "tim"),
//!     _ => unreachable!(),
//! }
//! ```

mod certificate;
mod keys;
mod login;
mod plain;

use thiserror::Error;

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

/// What to do after a response of the client.
#[derive(Debug)]
pub enum Step {
    /// Send this challenge and wait for the next response.
    Challenge(Vec<u8>),
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
}

/// One exchange of one mechanism.
#[derive(Debug)]
pub enum Mechanism {
    /// RFC 4616.
    Plain(plain::Plain),
    /// The obsolete LOGIN mechanism (draft-murchison-sasl-login), which Outlook and cameras use.
    Login(login::Login),
}

/// The mechanisms, in the order in which they are advertised. All of them send the password in
/// plain text, so that they are offered inside TLS only.
pub const MECHANISMS: &[&str] = &["PLAIN", "LOGIN"];

impl Mechanism {
    /// Starts the mechanism of this name (any case), or `None` if there is no such mechanism.
    pub fn start(name: &str) -> Option<Mechanism> {
        if name.eq_ignore_ascii_case("PLAIN") {
            Some(Mechanism::Plain(plain::Plain::default()))
        } else if name.eq_ignore_ascii_case("LOGIN") {
            Some(Mechanism::Login(login::Login::default()))
        } else {
            None
        }
    }

    /// The registered name.
    pub fn name(&self) -> &'static str {
        match self {
            Mechanism::Plain(_) => "PLAIN",
            Mechanism::Login(_) => "LOGIN",
        }
    }

    /// Whether the client speaks first (RFC 4422 §3, §5). If so and there was no initial response,
    /// an empty challenge is to be sent; otherwise the first challenge comes from a step with an
    /// empty response.
    pub fn client_first(&self) -> bool {
        match self {
            Mechanism::Plain(_) => true,
            Mechanism::Login(_) => false,
        }
    }

    /// Takes the client's next response.
    pub fn step(&mut self, response: &[u8]) -> Step {
        if response.len() > RESPONSE_BYTES_MAX {
            return Step::Failed(SaslError::TooLong);
        }
        match self {
            Mechanism::Plain(plain) => plain.step(response),
            Mechanism::Login(login) => login.step(response),
        }
    }
}

fn text(bytes: &[u8]) -> Result<String, SaslError> {
    std::str::from_utf8(bytes)
        .map(str::to_owned)
        .map_err(|_| SaslError::NotUtf8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mechanisms_are_found_by_any_case() {
        for name in MECHANISMS {
            assert_eq!(
                Mechanism::start(&name.to_lowercase()).unwrap().name(),
                *name
            );
        }
        assert!(Mechanism::start("CRAM-MD5").is_none());
        assert!(Mechanism::start("").is_none());
    }

    #[test]
    fn a_response_beyond_the_limit_is_refused() {
        for name in MECHANISMS {
            let mut mechanism = Mechanism::start(name).unwrap();
            let long = vec![b'a'; RESPONSE_BYTES_MAX + 1];
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
            which in 0usize..2,
            responses in proptest::collection::vec(
                proptest::collection::vec(proptest::prelude::any::<u8>(), 0..40), 1..5),
        ) {
            let mut mechanism = Mechanism::start(MECHANISMS[which]).unwrap();
            for response in responses {
                let _ = mechanism.step(&response);
            }
        }
    }
}
