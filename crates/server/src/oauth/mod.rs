//! OAuth 2.0 access tokens: checked with the issuer's keys (RFC 9068, RFC 8725), or by asking it
//! (RFC 7662).

mod claims;
mod jwt;
mod keys;

use restante_auth::Secret;
use restante_session::{LoginError, TokenRefusal};
use thiserror::Error;

use crate::config::{Config, OAuth as Settings};
use crate::files;
use crate::http::{Http, HttpError};

use claims::Claims;
use keys::Issuer;

/// Why tokens cannot be checked at all.
#[derive(Debug, Error)]
pub enum OAuthError {
    /// The HTTP client cannot be made.
    #[error("oauth: {0}")]
    Http(String),
    /// The secret cannot be read.
    #[error("oauth.client_secret_file: {0}")]
    Secret(std::io::Error),
}

/// Why a token does not open the door.
#[derive(Debug)]
enum Refused {
    /// The token is not good; why, for the log.
    Token(String),
    /// It is good, and lacks the scope.
    Scope,
    /// The issuer could not be asked.
    Unavailable(String),
}

impl From<HttpError> for Refused {
    fn from(error: HttpError) -> Refused {
        Refused::Unavailable(format!("the issuer: {error}"))
    }
}

fn refuse<T>(reason: impl Into<String>) -> Result<T, Refused> {
    Err(Refused::Token(reason.into()))
}

/// Checks tokens of one issuer.
pub(crate) struct OAuth {
    settings: Settings,
    secret: Option<Secret<String>>,
    issuer: Issuer,
}

impl OAuth {
    /// `None` if no issuer is configured.
    pub(crate) fn new(config: &Config) -> Result<Option<OAuth>, OAuthError> {
        let settings = config.oauth.clone();
        if settings.issuer.is_empty() {
            return Ok(None);
        }
        let http = Http::new(&settings.ca_file, settings.timeout.duration());
        let http = http.map_err(|error| OAuthError::Http(error.to_string()))?;
        let file = &settings.client_secret_file;
        let secret = match settings.client_id.is_empty() {
            true => None,
            false => {
                let text = files::read_secret(file).map_err(OAuthError::Secret)?;
                let text = String::from_utf8(text).map_err(|_| {
                    OAuthError::Secret(std::io::Error::other("the secret is not UTF-8"))
                })?;
                let text = Secret::new(text);
                Some(Secret::new(
                    text.expose().trim_end_matches(['\r', '\n']).to_owned(),
                ))
            }
        };
        let issuer = Issuer::new(http, &settings.issuer);
        Ok(Some(OAuth {
            settings,
            secret,
            issuer,
        }))
    }

    /// Whether an account is made for who has none.
    pub(crate) fn makes_accounts(&self) -> bool {
        self.settings.create_accounts
    }

    /// The user whose token this is.
    pub(crate) async fn user(&self, token: &Secret<String>) -> Result<String, LoginError> {
        let error = match self.claims(token.expose()).await {
            Ok(claims) => match self.name(&claims) {
                Ok(name) => return Ok(name),
                Err(error) => error,
            },
            Err(error) => error,
        };
        let (reason, lacks_scope) = match error {
            Refused::Unavailable(reason) => return Err(LoginError::Unavailable(reason)),
            Refused::Token(reason) => (reason, false),
            Refused::Scope => ("the scope is missing".to_owned(), true),
        };
        Err(LoginError::Token(Box::new(TokenRefusal {
            reason,
            lacks_scope,
            scope: self.settings.scope.clone(),
            configuration: self.issuer.configuration(),
        })))
    }

    async fn claims(&self, token: &str) -> Result<Claims, Refused> {
        if token.is_empty() {
            return refuse("no token");
        }
        let claims = match jwt::header(token) {
            Ok(header) => jwt::check(&self.settings, &self.issuer, token, &header).await?,
            Err(reason) if self.secret.is_none() => return refuse(reason),
            Err(_) => self.introspect(token).await?,
        };
        match claims.has_scopes(&self.settings.scope) {
            true => Ok(claims),
            false => Err(Refused::Scope),
        }
    }

    /// RFC 7662 §2.
    async fn introspect(&self, token: &str) -> Result<Claims, Refused> {
        let Some(secret) = &self.secret else {
            return refuse("not a JWT, and introspection is not configured");
        };
        let address = self.issuer.introspection().await?;
        let form = vec![
            ("token", Secret::new(token.to_owned())),
            ("token_type_hint", Secret::new("access_token".to_owned())),
        ];
        let http = self.issuer.http();
        let answer = http
            .post(&address, &self.settings.client_id, secret, form)
            .await?;
        let claims = Claims::new(answer);
        if !claims.is_active() {
            return refuse("introspection: not active");
        }
        // RFC 7662 §2.2: optional there; what is said must fit.
        claims.check_times(self.settings.leeway.0)?;
        if claims
            .text("iss")
            .is_some_and(|issuer| issuer != self.settings.issuer)
        {
            return refuse("introspection: another issuer");
        }
        if claims.has("aud") && !claims.is_for(&self.settings.audience) {
            return refuse("introspection: another audience");
        }
        Ok(claims)
    }

    /// The user's name here.
    fn name(&self, claims: &Claims) -> Result<String, Refused> {
        let claim = &self.settings.claim;
        let name = claims.text(claim).unwrap_or_default();
        if name.is_empty() || name.contains('\0') {
            return refuse(format!("no claim {claim}"));
        }
        // OpenID Connect Core §5.1: an address that anybody could have typed in is no identity.
        if claim == "email" && claims.is_false("email_verified") {
            return refuse("the mail address is not verified");
        }
        Ok(self.strip(name))
    }

    /// A name without the domains that are taken off.
    pub(crate) fn strip(&self, name: &str) -> String {
        let lower = name.to_lowercase();
        let strip = |domain: &String| {
            let local = lower.strip_suffix(&domain.to_lowercase())?;
            local.strip_suffix('@').map(str::to_owned)
        };
        self.settings
            .strip_domains
            .iter()
            .find_map(strip)
            .unwrap_or(lower)
    }
}

#[cfg(test)]
mod tests;
