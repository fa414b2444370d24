//! Tokens that are JWTs, checked with the issuer's public keys.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, Validation, decode};
use serde_json::Value;

use super::claims::Claims;
use super::keys::Issuer;
use super::{Refused, refuse};
use crate::config::OAuth as Settings;

/// What the header of a token says.
#[derive(Debug)]
pub(super) struct Header {
    algorithm: String,
    key: Option<String>,
    kind: Option<String>,
    critical: bool,
}

/// The header, if it is a JWT at all (RFC 7515 §7.1).
pub(super) fn header(token: &str) -> Result<Header, &'static str> {
    let mut parts = token.split('.');
    let (Some(first), Some(_), Some(_), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err("not a JWT");
    };
    let first = URL_SAFE_NO_PAD.decode(first).map_err(|_| "not a JWT")?;
    let header: Value = serde_json::from_slice(&first).map_err(|_| "not a JWT")?;
    let text = |name: &str| header.get(name).and_then(Value::as_str).map(str::to_owned);
    Ok(Header {
        algorithm: text("alg").ok_or("not a JWT")?,
        key: text("kid"),
        kind: text("typ"),
        critical: header.get("crit").is_some(),
    })
}

/// The claims of a token that is good: signed by the issuer, for us, now.
pub(super) async fn check(
    settings: &Settings,
    issuer: &Issuer,
    token: &str,
    header: &Header,
) -> Result<Claims, Refused> {
    let algorithm = algorithm(&header.algorithm)?;
    if header.critical {
        return refuse("a critical header that is not understood");
    }
    check_kind(header.kind.as_deref(), settings.require_at_jwt)?;
    let keys = issuer.keys_for(header.key.as_deref(), algorithm).await?;
    let mut validation = Validation::new(algorithm);
    validation.algorithms = vec![algorithm];
    validation.leeway = settings.leeway.0;
    validation.validate_nbf = true;
    validation.set_issuer(&[&settings.issuer]);
    validation.set_audience(&settings.audience);
    validation.set_required_spec_claims(&["exp", "iss", "aud"]);
    let mut reason = "no key of the issuer fits".to_owned();
    for key in keys {
        match decode::<Value>(token, &key, &validation) {
            Ok(data) => {
                let claims = Claims::new(data.claims);
                claims.check_times(settings.leeway.0)?;
                return Ok(claims);
            }
            Err(error) => reason = error.to_string(),
        }
    }
    refuse(reason)
}

/// Signatures by a key pair only: `none` proves nothing, and HMAC would take a public key for a secret
/// (RFC 8725 §2.1, §3.1).
fn algorithm(name: &str) -> Result<Algorithm, Refused> {
    Ok(match name {
        "RS256" => Algorithm::RS256,
        "RS384" => Algorithm::RS384,
        "RS512" => Algorithm::RS512,
        "PS256" => Algorithm::PS256,
        "PS384" => Algorithm::PS384,
        "PS512" => Algorithm::PS512,
        "ES256" => Algorithm::ES256,
        "ES384" => Algorithm::ES384,
        "EdDSA" => Algorithm::EdDSA,
        other => return refuse(format!("algorithm {other:.20} is not accepted")),
    })
}

/// RFC 9068 §4: `at+jwt`; many issuers still say `JWT`, or nothing.
fn check_kind(kind: Option<&str>, strict: bool) -> Result<(), Refused> {
    let kind = kind.map(str::to_ascii_lowercase);
    match kind.as_deref() {
        Some("at+jwt" | "application/at+jwt") => Ok(()),
        None | Some("jwt") if !strict => Ok(()),
        _ => refuse("not the type of an access token"),
    }
}
