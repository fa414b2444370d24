//! Who may sign in: the embedded directory, passwords checked on their own threads.

use std::sync::Arc;

use restante_auth::sasl::{Credentials, Proof};
use restante_auth::{Outcome, Verifier};
use restante_mailbox::{AccountId, Mail};
use restante_session::{Authenticator, Identity, LoginError, Peer, Seat, Verdict};

use crate::net::Seats;

/// The embedded directory.
pub(crate) struct Directory {
    pub(crate) mail: Arc<Mail>,
    pub(crate) verifier: Verifier,
    /// Sessions of one user.
    pub(crate) seats: Seats<AccountId>,
}

impl Authenticator for Directory {
    fn check<'a>(&'a self, credentials: &'a Credentials, _peer: &'a Peer) -> Verdict<'a> {
        Box::pin(self.check_now(credentials))
    }

    fn seat(&self, account: AccountId) -> Option<Seat> {
        self.seats.take(account).map(Seat::new)
    }
}

impl Directory {
    async fn check_now(&self, credentials: &Credentials) -> Result<Identity, LoginError> {
        let Proof::Password(password) = &credentials.proof else {
            return Err(LoginError::rejected("only passwords are checked here"));
        };
        let unavailable = |reason: String| LoginError::Unavailable(reason);
        let user = self.mail.user(&credentials.user).await;
        let user = user.map_err(|error| unavailable(error.to_string()))?;
        let hash = user.as_ref().and_then(|user| user.password.as_deref());
        match self.verifier.verify(hash, password).await {
            Outcome::Right => {}
            Outcome::Wrong if user.is_some() => return Err(LoginError::rejected("wrong password")),
            Outcome::Wrong => return Err(LoginError::rejected("unknown user")),
            Outcome::Busy => return Err(unavailable("too many passwords to check".to_owned())),
        }
        let Some(user) = user else {
            return Err(LoginError::rejected("unknown user"));
        };
        // Nobody acts for others yet: the authorization identity is oneself or nothing.
        let other = credentials
            .acting_as
            .as_deref()
            .is_some_and(|name| !same(name, &user.name));
        if user.disabled {
            return Err(LoginError::not_authorized("the user is disabled"));
        }
        if other {
            return Err(LoginError::not_authorized("may not act for another"));
        }
        Ok(Identity {
            name: user.name,
            account: user.account,
        })
    }
}

fn same(name: &str, canonical: &str) -> bool {
    restante_mailbox::canonical_user_name(name) == canonical
}
