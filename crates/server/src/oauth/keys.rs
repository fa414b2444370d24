//! The issuer: where it is to be asked, and its keys (RFC 8414, OpenID Connect Discovery, RFC 7517).

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::Value;

use super::{Refused, refuse};
use crate::http::{Http, HttpError, check_address};

/// Keys are asked for again after this long.
const FRESH: Duration = Duration::from_secs(3600);
/// The issuer is not asked more often, whatever keys tokens name.
const PAUSE: Duration = Duration::from_secs(30);
/// Keys of one issuer.
const KEYS_MAX: usize = 64;

/// One issuer.
pub(super) struct Issuer {
    http: Http,
    name: String,
    known: RwLock<Known>,
    /// Held by who asks; the others wait for the same answer.
    asking: tokio::sync::Mutex<Asked>,
}

/// What is known of it.
#[derive(Clone, Default)]
struct Known {
    keys: Arc<Vec<Key>>,
    introspection: Option<String>,
    at: Option<Instant>,
}

/// When it was asked last, and whether it answered.
#[derive(Default)]
struct Asked {
    at: Option<Instant>,
    failed: Option<String>,
}

struct Key {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

impl Issuer {
    pub(super) fn new(http: Http, name: &str) -> Issuer {
        Issuer {
            http,
            name: name.to_owned(),
            known: RwLock::default(),
            asking: tokio::sync::Mutex::default(),
        }
    }

    pub(super) fn http(&self) -> &Http {
        &self.http
    }

    /// The address of the OpenID configuration.
    pub(super) fn configuration(&self) -> String {
        let name = self.name.trim_end_matches('/');
        format!("{name}/.well-known/openid-configuration")
    }

    /// The address of RFC 8414 §3.1: between host and path.
    fn metadata(&self) -> String {
        let name = self.name.trim_end_matches('/');
        let start = name.find("://").map_or(0, |at| at + 3);
        let path = name[start..].find('/').map_or(name.len(), |at| start + at);
        let (host, path) = name.split_at(path);
        format!("{host}/.well-known/oauth-authorization-server{path}")
    }

    /// Where tokens are introspected.
    pub(super) async fn introspection(&self) -> Result<String, Refused> {
        let known = self
            .refreshed(|known| known.introspection.is_some())
            .await?;
        match known.introspection {
            Some(address) => Ok(address),
            None => refuse("the issuer has no introspection"),
        }
    }

    /// The keys that may have signed a token. One that is not known may be new: then the issuer is
    /// asked.
    pub(super) async fn keys_for(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Vec<DecodingKey>, Refused> {
        let fits = |key: &Key| {
            let named = id.is_none() || key.id.as_deref() == id;
            named && key.algorithms.contains(&algorithm)
        };
        let known = self.refreshed(|known| known.keys.iter().any(fits)).await?;
        let keys: Vec<_> = known.keys.iter().filter(|key| fits(key)).collect();
        match keys.is_empty() {
            true => refuse("a key that the issuer does not have"),
            false => Ok(keys.into_iter().map(|key| key.key.clone()).collect()),
        }
    }

    /// What is known, if it is enough and fresh; otherwise what the issuer says now. If it does not
    /// answer, what was known goes on.
    async fn refreshed(&self, enough: impl Fn(&Known) -> bool) -> Result<Known, Refused> {
        let usable =
            |known: &Known| enough(known) && known.at.is_some_and(|at| at.elapsed() < FRESH);
        let known = self.known();
        if usable(&known) {
            return Ok(known);
        }
        let mut asked = self.asking.lock().await;
        let known = self.known();
        if usable(&known) {
            return Ok(known);
        }
        if asked.at.is_none_or(|at| at.elapsed() >= PAUSE) {
            asked.at = Some(Instant::now());
            asked.failed = None;
            match self.ask().await {
                Ok(fresh) => {
                    *self.known.write().unwrap_or_else(PoisonError::into_inner) = fresh.clone();
                    return Ok(fresh);
                }
                Err(error) => {
                    tracing::warn!(issuer = %self.name, %error, "the issuer of tokens cannot be asked");
                    asked.failed = Some(error);
                }
            }
        }
        match &asked.failed {
            // Old keys are better than none: the issuer itself would say so by taking them away.
            Some(_) if enough(&known) => Ok(known),
            Some(error) => Err(Refused::Unavailable(error.clone())),
            None => Ok(known),
        }
    }

    /// Lets it be asked again at once.
    #[cfg(test)]
    pub(super) async fn forget_pause(&self) {
        self.asking.lock().await.at = None;
    }

    fn known(&self) -> Known {
        self.known
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    async fn ask(&self) -> Result<Known, String> {
        let text = |error: HttpError| error.to_string();
        let about = match self.http.get(&self.configuration()).await {
            Err(HttpError::Status(404)) => self.http.get(&self.metadata()).await,
            other => other,
        };
        let about = about.map_err(text)?;
        let field = |name: &str| about.get(name).and_then(Value::as_str);
        // RFC 8414 §3.3: otherwise somebody speaks for another.
        if field("issuer") != Some(self.name.as_str()) {
            return Err(format!(
                "its metadata is of the issuer {:?}",
                field("issuer")
            ));
        }
        let address = field("jwks_uri").ok_or("its metadata has no jwks_uri")?;
        let set = self.http.get(address).await.map_err(text)?;
        let keys = set
            .get("keys")
            .and_then(Value::as_array)
            .ok_or("its jwks_uri has no keys")?;
        let keys: Vec<Key> = keys.iter().take(KEYS_MAX).filter_map(key).collect();
        let introspection = field("introspection_endpoint");
        let introspection = introspection.filter(|address| check_address(address).is_ok());
        Ok(Known {
            keys: Arc::new(keys),
            introspection: introspection.map(str::to_owned),
            at: Some(Instant::now()),
        })
    }
}

/// A key, and the algorithms that it may be used with; `None` if there are none.
fn key(value: &Value) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(value.clone()).ok()?;
    if matches!(jwk.common.public_key_use, Some(PublicKeyUse::Encryption)) {
        return None;
    }
    let possible: &[Algorithm] = match &jwk.algorithm {
        // RFC 7518 §3.3: at least 2048 bits, which are 342 characters.
        AlgorithmParameters::RSA(rsa) if rsa.n.len() >= 342 => &[
            Algorithm::RS256,
            Algorithm::RS384,
            Algorithm::RS512,
            Algorithm::PS256,
            Algorithm::PS384,
            Algorithm::PS512,
        ],
        AlgorithmParameters::EllipticCurve(curve) => match curve.curve {
            EllipticCurve::P256 => &[Algorithm::ES256],
            EllipticCurve::P384 => &[Algorithm::ES384],
            _ => return None,
        },
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
            &[Algorithm::EdDSA]
        }
        // A shared secret in a public place is none.
        _ => return None,
    };
    let algorithms: Vec<_> = match jwk.common.key_algorithm {
        Some(named) => {
            let named = pinned(named)?;
            possible
                .iter()
                .copied()
                .filter(|one| *one == named)
                .collect()
        }
        None => possible.to_vec(),
    };
    Some(Key {
        id: jwk.common.key_id.clone(),
        algorithms,
        key: DecodingKey::from_jwk(&jwk).ok()?,
    })
}

fn pinned(algorithm: KeyAlgorithm) -> Option<Algorithm> {
    Some(match algorithm {
        KeyAlgorithm::RS256 => Algorithm::RS256,
        KeyAlgorithm::RS384 => Algorithm::RS384,
        KeyAlgorithm::RS512 => Algorithm::RS512,
        KeyAlgorithm::PS256 => Algorithm::PS256,
        KeyAlgorithm::PS384 => Algorithm::PS384,
        KeyAlgorithm::PS512 => Algorithm::PS512,
        KeyAlgorithm::ES256 => Algorithm::ES256,
        KeyAlgorithm::ES384 => Algorithm::ES384,
        KeyAlgorithm::EdDSA => Algorithm::EdDSA,
        _ => return None,
    })
}
