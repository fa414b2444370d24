//! What all sources of users have in common: which ways to sign in are offered, tokens, certificates, and
//! users who act for others.

use std::sync::Arc;

use restante_auth::Secret;
use restante_auth::sasl::{ClientCertificate, Credentials, Proof, ScramHash, ScramKeys};
use restante_mailbox::{AccountId, Mail, MailError, canonical_user_name};
use restante_session::{
    Answer, Authenticator, Identity, LoginError, LoginSeen, Offers, Peer, Seat, Verdict,
};

use crate::authenticator::{make_account, same};
use crate::config::{Config, Master};
use crate::oauth::{OAuth, OAuthError};
use crate::record::Record;
use crate::throttle::{Rules, Throttle};
use crate::time::unix_ms;

/// Sits before the sources of users, which know passwords only.
pub(crate) struct Gate {
    pub(crate) users: Arc<dyn Authenticator>,
    /// What the operator allows.
    allowed: Offers,
    anonymous_user: String,
    masters: Vec<Master>,
    separator: String,
    /// Tokens, if an issuer is configured; with the mail, where accounts are made.
    oauth: Option<(OAuth, Arc<Mail>)>,
    pub(crate) watch: Arc<Watch>,
    rules: Rules,
}

/// What is seen of logins, whatever the settings are.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) throttle: Throttle,
    pub(crate) record: Record,
}

impl Watch {
    /// With what an earlier process has seen.
    pub(crate) async fn load(mail: &Mail) -> Result<Watch, MailError> {
        Ok(Watch {
            throttle: Throttle::load(mail).await?,
            record: Record::default(),
        })
    }

    /// Writes down what is new.
    pub(crate) async fn save(&self, mail: &Mail) {
        self.throttle.save(mail).await;
        self.record.save(mail).await;
    }
}

impl Gate {
    pub(crate) fn new(
        users: Arc<dyn Authenticator>,
        config: &Config,
        mail: &Arc<Mail>,
        watch: Arc<Watch>,
    ) -> Result<Gate, OAuthError> {
        let oauth = match config.offers("OAUTHBEARER") {
            true => OAuth::new(config)?.map(|oauth| (oauth, Arc::clone(mail))),
            false => None,
        };
        Ok(Gate {
            users,
            allowed: Offers {
                passwords: config.offers("PLAIN"),
                scram_sha1: config.offers("SCRAM-SHA-1"),
                scram_sha256: config.offers("SCRAM-SHA-256"),
                tokens: oauth.is_some(),
                certificates: config.offers("EXTERNAL"),
                anonymous: config.offers("ANONYMOUS"),
            },
            anonymous_user: config.login.anonymous_user.clone(),
            masters: config.login.masters.clone(),
            separator: config.login.master_separator.clone(),
            oauth,
            watch,
            rules: Rules {
                longest: config.login.throttle.duration(),
                exempt: config.login.throttle_exempt.clone(),
            },
        })
    }

    /// Checks credentials, after a wait for who has guessed wrong too often.
    async fn check_in_time(
        &self,
        credentials: &Credentials,
        peer: &Peer,
    ) -> Result<Identity, LoginError> {
        let Some(from) = peer.address else {
            return self.check_now(credentials, peer).await;
        };
        let throttle = &self.watch.throttle;
        let name = self.split(&credentials.user).0;
        let (wait, _trying) = throttle.begin(&self.rules, name, from, unix_ms());
        if !wait.is_zero() {
            tracing::info!(%peer, user = ?name.get(..100).unwrap_or(name), ?wait, "login held up: too many failed");
            tokio::time::sleep(wait).await;
        }
        let outcome = self.check_now(credentials, peer).await;
        match &outcome {
            Ok(_) => throttle.succeeded(name, from, unix_ms()),
            Err(LoginError::Rejected(_) | LoginError::Token(_)) => {
                let password = match &credentials.proof {
                    Proof::Password(password) => Some(password.expose().as_str()),
                    _ => None,
                };
                throttle.failed(name, from, password, unix_ms());
            }
            Err(_) => {}
        }
        outcome
    }

    async fn check_now(
        &self,
        credentials: &Credentials,
        peer: &Peer,
    ) -> Result<Identity, LoginError> {
        let (identity, acting_as) = match &credentials.proof {
            Proof::Password(_) | Proof::Scram(_) => {
                let (name, user) = self.split(&credentials.user);
                let own = Credentials {
                    user: name.to_owned(),
                    acting_as: None,
                    proof: credentials.proof.clone(),
                };
                let identity = self.users.check(&own, peer).await?;
                (identity, user.or(credentials.acting_as.as_deref()))
            }
            Proof::Certificate(certificate) if self.allowed.certificates => {
                let identity = self.by_certificate(certificate).await?;
                (identity, credentials.acting_as.as_deref())
            }
            Proof::Token(token) => {
                let identity = self.by_token(token).await?;
                (identity, credentials.acting_as.as_deref())
            }
            Proof::Anonymous(trace) if self.allowed.anonymous => {
                tracing::info!(%peer, ?trace, "anonymous login");
                (self.users.identity(&self.anonymous_user).await?, None)
            }
            _ => return Err(LoginError::rejected("this way to sign in is not offered")),
        };
        match acting_as {
            Some(other) if !self.is_of(other, &identity.name, credentials) => {
                self.act(identity, other, peer).await
            }
            _ => Ok(identity),
        }
    }

    /// Whether a name that was asked for is this user's: with a token it may have the domain that is
    /// taken off the token's.
    fn is_of(&self, asked: &str, name: &str, credentials: &Credentials) -> bool {
        let stripped = match (&credentials.proof, &self.oauth) {
            (Proof::Token(_), Some((oauth, _))) => oauth.strip(asked),
            _ => asked.to_owned(),
        };
        same(asked, name) || same(&stripped, name)
    }

    async fn by_token(&self, token: &Secret<String>) -> Result<Identity, LoginError> {
        let Some((oauth, mail)) = &self.oauth else {
            return Err(LoginError::rejected("this way to sign in is not offered"));
        };
        let name = oauth.user(token).await?;
        match self.users.identity(&name).await {
            Err(LoginError::Rejected(_)) if oauth.makes_accounts() => {}
            // The issuer vouches for them, and they are nobody here.
            Err(LoginError::Rejected(_)) => {
                return Err(LoginError::not_authorized(format!("no user {name:.100}")));
            }
            found => return found,
        }
        make_account(mail, &name).await?;
        self.users.identity(&name).await
    }

    /// `user*master`: who signs in, and as whom. Only where there are masters, since a user's name
    /// may have the separator in it.
    fn split<'a>(&self, name: &'a str) -> (&'a str, Option<&'a str>) {
        match name.rsplit_once(self.separator.as_str()) {
            Some((user, master)) if self.master(&canonical_user_name(master)).is_some() => {
                (master, Some(user))
            }
            _ => (name, None),
        }
    }

    fn master(&self, name: &str) -> Option<&Master> {
        self.masters.iter().find(|master| same(&master.name, name))
    }

    /// The user `other`, if this one may act for them. Whether there is such a user is not told.
    async fn act(&self, by: Identity, other: &str, peer: &Peer) -> Result<Identity, LoginError> {
        let name = canonical_user_name(other);
        let may = self
            .master(&by.name)
            .is_some_and(|master| master.may_act_as(&name));
        let refused = |reason: &str| {
            Err(LoginError::not_authorized(format!(
                "{} for {name:.100}: {reason}",
                by.name
            )))
        };
        if !may {
            return refused("may not act for this user");
        }
        match self.users.identity(&name).await {
            Ok(identity) => {
                tracing::info!(%peer, master = %by.name, user = %identity.name, "acts for another");
                Ok(identity)
            }
            Err(LoginError::Rejected(_)) => refused("no such user"),
            Err(error) => Err(error),
        }
    }

    async fn by_certificate(
        &self,
        certificate: &ClientCertificate,
    ) -> Result<Identity, LoginError> {
        for name in &certificate.names {
            match self.users.identity(name).await {
                Err(LoginError::Rejected(_)) => {}
                found => return found,
            }
        }
        let ClientCertificate {
            subject,
            fingerprint,
            ..
        } = certificate;
        Err(LoginError::rejected(format!(
            "nobody is {subject:.200} ({fingerprint})"
        )))
    }
}

impl Authenticator for Gate {
    fn offers(&self) -> Offers {
        let users = self.users.offers();
        Offers {
            passwords: self.allowed.passwords && users.passwords,
            scram_sha1: self.allowed.scram_sha1 && users.scram_sha1,
            scram_sha256: self.allowed.scram_sha256 && users.scram_sha256,
            ..self.allowed
        }
    }

    fn check<'a>(&'a self, credentials: &'a Credentials, peer: &'a Peer) -> Verdict<'a> {
        Box::pin(self.check_in_time(credentials, peer))
    }

    fn scram_keys<'a>(
        &'a self,
        user: &'a str,
        hash: ScramHash,
        peer: &'a Peer,
    ) -> Answer<'a, ScramKeys> {
        self.users.scram_keys(self.split(user).0, hash, peer)
    }

    fn identity<'a>(&'a self, user: &'a str) -> Verdict<'a> {
        self.users.identity(user)
    }

    fn seen(&self, login: &LoginSeen<'_>) {
        self.watch.record.seen(login, unix_ms());
    }

    fn client_told(&self, account: AccountId, peer: &Peer, client: &str) {
        self.watch.record.client_told(account, peer, client);
    }

    fn seat(&self, account: AccountId) -> Option<Seat> {
        self.users.seat(account)
    }
}
