//! Who may sign in: the embedded directory, passwords checked on their own threads.

use std::sync::Arc;

use restante_auth::sasl::{Credentials, Proof, ScramHash, ScramKeys};
use restante_auth::{Outcome, Secret, Verifier, prepare, schemes};
use restante_mailbox::{AccountId, Mail, MailError, ScramRow, User};
use restante_session::{Answer, Authenticator, Identity, LoginError, Offers, Peer, Seat, Verdict};

use crate::app_passwords;
use crate::net::Seats;

/// The embedded directory.
pub(crate) struct Directory {
    pub(crate) mail: Arc<Mail>,
    pub(crate) verifier: Verifier,
    /// Sessions of one user.
    pub(crate) seats: Seats<AccountId>,
    pub(crate) scram: Scram,
}

/// How SCRAM is done.
#[derive(Clone)]
pub(crate) struct Scram {
    /// The hashes of which keys are kept.
    pub(crate) hashes: Vec<ScramHash>,
    /// How often a password is hashed.
    pub(crate) iterations: u32,
    /// What the salts of those are made of who have none.
    pub(crate) secret: Secret<[u8; 32]>,
}

impl Authenticator for Directory {
    fn offers(&self) -> Offers {
        Offers {
            scram_sha1: self.scram.hashes.contains(&ScramHash::Sha1),
            scram_sha256: self.scram.hashes.contains(&ScramHash::Sha256),
            ..Offers::PASSWORDS
        }
    }

    fn check<'a>(&'a self, credentials: &'a Credentials, _peer: &'a Peer) -> Verdict<'a> {
        Box::pin(self.check_now(credentials))
    }

    fn scram_keys<'a>(
        &'a self,
        user: &'a str,
        hash: ScramHash,
        _peer: &'a Peer,
    ) -> Answer<'a, ScramKeys> {
        Box::pin(self.scram_keys_of(user, hash))
    }

    fn identity<'a>(&'a self, user: &'a str) -> Verdict<'a> {
        Box::pin(async move {
            let user = self.user(user).await?;
            admit(user.ok_or(LoginError::rejected("unknown user"))?)
        })
    }

    fn seat(&self, account: AccountId) -> Option<Seat> {
        self.seats.take(account).map(Seat::new)
    }
}

impl Directory {
    async fn check_now(&self, credentials: &Credentials) -> Result<Identity, LoginError> {
        let user = match &credentials.proof {
            Proof::Password(password) => self.by_password(&credentials.user, password).await?,
            Proof::Scram(proof) => {
                let user = self.user(&credentials.user).await?;
                match (user, proof.is_right()) {
                    (Some(user), true) => user,
                    (Some(_), false) => {
                        return Err(LoginError::rejected("wrong password, or no keys"));
                    }
                    (None, _) => return Err(LoginError::rejected("unknown user")),
                }
            }
            _ => return Err(LoginError::rejected("neither password nor SCRAM")),
        };
        // Who may act for others is decided above: here it is oneself or nothing.
        let other = credentials
            .acting_as
            .as_deref()
            .is_some_and(|name| !same(name, &user.name));
        if other {
            return Err(LoginError::not_authorized("may not act for another"));
        }
        admit(user)
    }

    pub(crate) async fn user(&self, name: &str) -> Result<Option<User>, LoginError> {
        self.mail.user(name).await.map_err(unavailable)
    }

    async fn by_password(&self, name: &str, password: &Secret<String>) -> Result<User, LoginError> {
        let user = self.user(name).await?;
        if let Some(user) = &user
            && self.is_app_password(user, password).await?
        {
            return Ok(user.clone());
        }
        match (self.own_password(user.as_ref(), password).await?, user) {
            (true, Some(user)) => Ok(user),
            (_, Some(_)) => Err(LoginError::rejected("wrong password")),
            (_, None) => Err(LoginError::rejected("unknown user")),
        }
    }

    /// Whether it is one of the user's app passwords.
    pub(crate) async fn is_app_password(
        &self,
        user: &User,
        password: &Secret<String>,
    ) -> Result<bool, LoginError> {
        let is_app = app_passwords::check(&self.mail, user.account, password.expose());
        is_app.await.map_err(unavailable)
    }

    /// Whether it is the password that the directory has of the user. The work is the same whether there
    /// is such a user or not.
    pub(crate) async fn own_password(
        &self,
        user: Option<&User>,
        password: &Secret<String>,
    ) -> Result<bool, LoginError> {
        let stored = user.and_then(|user| user.password.as_deref());
        let right = verify(&self.verifier, stored, None, password).await?;
        if let (true, Some(user)) = (right, user) {
            self.keep_hash_and_keys(user, password).await;
        }
        Ok(right)
    }

    /// After a password was found right, beside the login, which does not wait for it: replaces a hash
    /// that came from elsewhere, and makes the keys of SCRAM unless there are some.
    async fn keep_hash_and_keys(&self, user: &User, password: &Secret<String>) {
        let rehash = user
            .password
            .as_deref()
            .is_some_and(|hash| !schemes::is_current(hash));
        let keys = self.lacks_keys(user).await;
        if !rehash && !keys {
            return;
        }
        let (mail, verifier, scram) = (
            Arc::clone(&self.mail),
            self.verifier.clone(),
            self.scram.clone(),
        );
        let (mut user, password) = (user.clone(), password.clone());
        tokio::spawn(async move {
            // A password that could not be set here (it has a NUL, say) keeps the hash it has.
            if rehash && let Ok(hash) = verifier.hash(password.clone()).await {
                match mail.user_rehash(&user, hash).await {
                    Ok(Some(changed)) => user = changed,
                    Ok(None) => return,
                    Err(error) => {
                        tracing::warn!(user = %user.name, %error, "the password could not be hashed anew");
                        return;
                    }
                }
            }
            if !keys {
                return;
            }
            let derive = move || {
                let row = |hash: &ScramHash| {
                    let keys =
                        ScramKeys::derive(*hash, password.expose(), scram.iterations).ok()?;
                    Some(scram_row(*hash, &keys))
                };
                scram.hashes.iter().map(row).collect::<Option<Vec<_>>>()
            };
            // A password that SASLprep forbids has no keys.
            let Some(Some(rows)) = verifier.run(derive).await else {
                return;
            };
            if let Err(error) = mail.keep_scram_keys(&user, &rows).await {
                tracing::warn!(user = %user.name, %error, "keys of SCRAM could not be kept");
            }
        });
    }

    async fn lacks_keys(&self, user: &User) -> bool {
        let Some(first) = self.scram.hashes.first() else {
            return false;
        };
        let kept = self.mail.scram_keys(user.account, first.number()).await;
        kept.is_ok_and(|row| row.is_none_or(|row| row.iterations != self.scram.iterations))
    }

    async fn scram_keys_of(&self, name: &str, hash: ScramHash) -> Result<ScramKeys, LoginError> {
        let unavailable = |error: String| LoginError::Unavailable(error);
        let user = self.user(name).await?;
        // Asked for nobody, too, so that both take the same time.
        let account = user
            .as_ref()
            .map_or(AccountId(u32::MAX), |user| user.account);
        let row = self.mail.scram_keys(account, hash.number()).await;
        let row = row.map_err(|error| unavailable(error.to_string()))?;
        match row.filter(|_| user.is_some_and(|user| user.password.is_some())) {
            Some(row) => {
                let ScramRow {
                    iterations,
                    salt,
                    stored_key,
                    server_key,
                    ..
                } = row;
                ScramKeys::stored(hash, salt, iterations, stored_key, server_key)
                    .map_err(|error| unavailable(format!("damaged keys of {name}: {error}")))
            }
            None => {
                let name = restante_mailbox::canonical_user_name(name);
                let secret = self.scram.secret.expose();
                Ok(ScramKeys::of_nobody(
                    hash,
                    secret,
                    &name,
                    self.scram.iterations,
                ))
            }
        }
    }
}

pub(crate) fn unavailable(error: MailError) -> LoginError {
    LoginError::Unavailable(error.to_string())
}

/// Whether a password is the stored one; without one, no. Then the work of a check is done all the same,
/// against `decoy` where users have such hashes.
pub(crate) async fn verify(
    verifier: &Verifier,
    stored: Option<&str>,
    decoy: Option<&str>,
    password: &Secret<String>,
) -> Result<bool, LoginError> {
    let check = async |password: &Secret<String>| {
        let outcome = match (stored, decoy) {
            (None, Some(decoy)) => verifier.pretend(decoy, password).await,
            _ => verifier.verify(stored, password).await,
        };
        match outcome {
            Outcome::Right => Ok(true),
            Outcome::Wrong => Ok(false),
            Outcome::Busy => Err(LoginError::Unavailable(
                "too many passwords to check".to_owned(),
            )),
        }
    };
    if check(password).await? {
        return Ok(true);
    }
    // RFC 4616 §2: the same password may have been typed as other characters when it was set.
    match prepare(password.expose()) {
        Some(prepared) if prepared.expose() != password.expose() => check(&prepared).await,
        _ => Ok(false),
    }
}

/// Makes an account for who is known elsewhere and comes for the first time.
pub(crate) async fn make_account(mail: &Mail, name: &str) -> Result<(), LoginError> {
    if let Err(reason) = crate::admin::check_user_name(name) {
        return Err(LoginError::not_authorized(reason));
    }
    match mail.user_add(name, None).await {
        Ok(_) => tracing::info!(user = %name, "account made at the first login"),
        // Another login was faster.
        Err(MailError::UserExists) => {}
        Err(error) => return Err(unavailable(error)),
    }
    Ok(())
}

/// A user whose proof is right, unless the user is locked out.
pub(crate) fn admit(user: User) -> Result<Identity, LoginError> {
    if user.disabled {
        return Err(LoginError::not_authorized("the user is disabled"));
    }
    Ok(Identity {
        name: user.name,
        account: user.account,
    })
}

/// Keys as the directory keeps them.
pub(crate) fn scram_row(hash: ScramHash, keys: &ScramKeys) -> ScramRow {
    ScramRow {
        kind: hash.number(),
        iterations: keys.iterations(),
        salt: keys.salt().to_vec(),
        stored_key: keys.stored_key().to_vec(),
        server_key: keys.server_key().to_vec(),
    }
}

/// Whether a name is this one in its canonical form.
pub(crate) fn same(name: &str, canonical: &str) -> bool {
    restante_mailbox::canonical_user_name(name) == canonical
}

#[cfg(test)]
mod tests;
