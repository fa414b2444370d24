//! The server's half of SCRAM (RFC 5802, RFC 7677), with and without channel binding.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::oauth::{Gs2, sasl_name};
use super::{
    Binding, Channel, Credentials, Proof, SaslError, ScramHash, ScramKeys, ScramProof, Step, text,
};
use crate::prepare;

/// Bytes of randomness in our part of the nonce.
const NONCE_BYTES: usize = 18;
/// The longest nonce of a client.
const NONCE_CHARS_MAX: usize = 512;

/// One exchange: `Start → Keys → Final → Judged → Over`.
#[derive(Debug)]
pub(super) struct Scram {
    hash: ScramHash,
    plus: bool,
    channel: Channel,
    /// Our part of the nonce; tests set it.
    nonce: Option<String>,
    state: State,
}

#[derive(Debug)]
enum State {
    Start,
    Keys(First),
    Final(First, String, ScramKeys),
    /// The proof was right; what proves the server is still to be said.
    Judged(Vec<u8>),
    Over,
}

/// What the client's first message said.
#[derive(Debug)]
struct First {
    user: String,
    acting_as: Option<String>,
    /// `c=` of the final message: the header, and the channel's data if it is bound.
    bound: Vec<u8>,
    /// client-first-message-bare
    bare: String,
    /// Nonce of the client, then ours.
    nonce: String,
}

impl Scram {
    pub(super) fn new(hash: ScramHash, plus: bool, channel: &Channel) -> Scram {
        Scram {
            hash,
            plus,
            channel: channel.clone(),
            nonce: None,
            state: State::Start,
        }
    }

    pub(super) fn name(&self) -> &'static str {
        match (self.hash, self.plus) {
            (ScramHash::Sha1, true) => "SCRAM-SHA-1-PLUS",
            (ScramHash::Sha256, true) => "SCRAM-SHA-256-PLUS",
            (hash, false) => hash.mechanism(),
        }
    }

    pub(super) fn step(&mut self, response: &[u8]) -> Step {
        let step = match std::mem::replace(&mut self.state, State::Over) {
            State::Start => self.first(response),
            State::Final(first, server_first, keys) => {
                self.last(response, first, &server_first, &keys)
            }
            State::Keys(_) | State::Judged(_) | State::Over => Err(SaslError::Over),
        };
        step.unwrap_or_else(Step::Failed)
    }

    /// `gs2-header "n=" saslname ",r=" nonce ["," extensions]`
    fn first(&mut self, response: &[u8]) -> Result<Step, SaslError> {
        let message = text(response)?;
        let header = Gs2::parse(&message).ok_or(SaslError::Malformed)?;
        let bound = self.bound(header.flag, &message.as_bytes()[..header.bytes])?;
        let bare = header.after;
        if bare.starts_with("m=") {
            return Err(SaslError::Refused(MANDATORY));
        }
        let mut attributes = bare.split(',');
        let user = attributes.next().and_then(|part| part.strip_prefix("n="));
        let nonce = attributes.next().and_then(|part| part.strip_prefix("r="));
        let (Some(user), Some(nonce)) = (user, nonce) else {
            return Err(SaslError::Malformed);
        };
        mandatory(attributes)?;
        let user = sasl_name(user).ok_or(SaslError::Malformed)?;
        // RFC 5802 §5.1 `r`: printable ASCII except a comma.
        if nonce.is_empty()
            || nonce.len() > NONCE_CHARS_MAX
            || !nonce.bytes().all(|b| b.is_ascii_graphic())
        {
            return Err(SaslError::Malformed);
        }
        // A name that cannot be prepared is nobody's, and nobody has keys, too.
        let user = prepare(&user).map_or(user, |user| user.expose().clone());
        let ours = match self.nonce.take() {
            Some(nonce) => nonce,
            None => random_nonce().ok_or(SaslError::Random)?,
        };
        self.state = State::Keys(First {
            user: user.clone(),
            acting_as: header.acting_as,
            bound,
            nonce: format!("{nonce}{ours}"),
            bare: bare.to_owned(),
        });
        Ok(Step::Keys(self.hash, user))
    }

    /// What the final message has to bind to (RFC 5802 §6): checked before anything else is said.
    fn bound(&self, flag: &str, header: &[u8]) -> Result<Vec<u8>, SaslError> {
        let asked = flag.strip_prefix("p=");
        let data = match (asked, self.plus) {
            (Some(name), true) => Binding::ALL
                .iter()
                .filter(|binding| binding.name() == name)
                .find_map(|binding| self.channel.data(*binding))
                .ok_or(SaslError::Refused(
                    "a channel binding that this connection has not",
                ))?,
            (None, true) => return Err(SaslError::Refused("-PLUS without channel binding")),
            (Some(_), false) => return Err(SaslError::Refused("channel binding without -PLUS")),
            // The client can bind and thinks that we cannot: somebody took -PLUS out of the list.
            (None, false) if flag == "y" && self.channel.can_bind() => {
                return Err(SaslError::Refused(
                    "the list of mechanisms was tampered with",
                ));
            }
            (None, false) => &[],
        };
        Ok([header, data].concat())
    }

    pub(super) fn keys(&mut self, keys: ScramKeys) -> Step {
        let State::Keys(first) = std::mem::replace(&mut self.state, State::Over) else {
            return Step::Failed(SaslError::Over);
        };
        let salt = STANDARD.encode(&keys.salt);
        let server_first = format!("r={},s={salt},i={}", first.nonce, keys.iterations);
        let challenge = server_first.clone().into_bytes();
        self.state = State::Final(first, server_first, keys);
        Step::Challenge(challenge)
    }

    /// `"c=" base64 ",r=" nonce ["," extensions] ",p=" base64`
    fn last(
        &mut self,
        response: &[u8],
        first: First,
        server_first: &str,
        keys: &ScramKeys,
    ) -> Result<Step, SaslError> {
        let message = text(response)?;
        let (without_proof, proof) = message.rsplit_once(",p=").ok_or(SaslError::Malformed)?;
        let mut attributes = without_proof.split(',');
        let bound = attributes.next().and_then(|part| part.strip_prefix("c="));
        let nonce = attributes.next().and_then(|part| part.strip_prefix("r="));
        let (Some(bound), Some(nonce)) = (bound, nonce) else {
            return Err(SaslError::Malformed);
        };
        mandatory(attributes)?;
        let decode = |text| STANDARD.decode(text).map_err(|_| SaslError::Malformed);
        let (bound, proof) = (decode(bound)?, decode(proof)?);
        if nonce != first.nonce {
            return Err(SaslError::Refused("the nonce of another exchange"));
        }
        if verify_slices_are_equal(&bound, &first.bound).is_err() {
            return Err(SaslError::Refused("the channel binding is wrong"));
        }
        let auth_message = format!("{},{server_first},{without_proof}", first.bare);
        let signature = self.hash.hmac(keys.stored_key(), auth_message.as_bytes());
        let client_key: Vec<u8> = proof.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        let stored = self.hash.digest(&client_key);
        let fits = proof.len() == signature.len()
            && verify_slices_are_equal(&stored, keys.stored_key()).is_ok();
        let right = fits && keys.real;
        if right {
            let signature = self.hash.hmac(keys.server_key(), auth_message.as_bytes());
            self.state = State::Judged(signature);
        }
        Ok(Step::Done(Credentials {
            user: first.user,
            acting_as: first.acting_as,
            proof: Proof::Scram(ScramProof {
                hash: self.hash,
                right,
            }),
        }))
    }

    /// The server's final message.
    pub(super) fn signature(&mut self) -> Option<Vec<u8>> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Judged(signature) => {
                Some(format!("v={}", STANDARD.encode(signature)).into_bytes())
            }
            _ => None,
        }
    }
}

const MANDATORY: &str = "a mandatory extension";

/// RFC 5802 §5.1 `m`: an extension that must be understood; there is none. All others are passed over.
fn mandatory<'a>(mut extensions: impl Iterator<Item = &'a str>) -> Result<(), SaslError> {
    match extensions.any(|part| part.starts_with("m=")) {
        true => Err(SaslError::Refused(MANDATORY)),
        false => Ok(()),
    }
}

/// Printable, and without a comma.
pub(super) fn random_nonce() -> Option<String> {
    let mut bytes = [0u8; NONCE_BYTES];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    Some(STANDARD.encode(bytes))
}

#[cfg(test)]
mod tests;
