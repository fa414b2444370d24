//! LOGIN (RFC 9051 §6.2.3), and what follows a check of credentials however they came.

use std::time::Duration;

use restante_auth::sasl::{Credentials, Proof};
use restante_mailbox::AccountId;
use restante_proto::types::{Code, Secret};

use crate::cx::Cx;
use crate::env::{Identity, LoginError, LoginSeen};
use crate::referral;
use crate::reply::{Failure, Outcome, Reply};
use crate::state::{Login, State};

pub(crate) async fn run(
    cx: &mut Cx,
    state: &mut State,
    user: Vec<u8>,
    password: Secret<Vec<u8>>,
) -> Outcome {
    if !cx.password_allowed() {
        return Err(privacy_required());
    }
    if !cx.env.authenticator.offers().passwords {
        // RFC 9051 §6.2.3: LOGINDISABLED was told.
        return Err(Reply::no("LOGIN is not possible here")
            .code(Code::Cannot)
            .into());
    }
    let credentials = String::from_utf8(user).ok().and_then(|user| {
        let password = String::from_utf8(password.expose().clone()).ok()?;
        Some(Credentials {
            user,
            acting_as: None,
            proof: Proof::Password(password.into()),
        })
    });
    match credentials {
        Some(credentials) => match cx.env.authenticator.check(&credentials, &cx.peer).await {
            Ok(identity) => admit(cx, state, "LOGIN", identity).await,
            Err(error) => Err(failed(cx, state, "LOGIN", &credentials.user, error).await),
        },
        None => Err(failed(cx, state, "LOGIN", "", LoginError::rejected("not UTF-8")).await),
    }
}

/// A password would go over the wire in the clear (RFC 9051 §6.2.3 LOGINDISABLED; RFC 5530).
pub(crate) fn privacy_required() -> Failure {
    Reply::no("Not without TLS: your password would be readable on the way")
        .code(Code::PrivacyRequired)
        .into()
}

/// Opens the account of a user whose credentials are right.
pub(crate) async fn admit(
    cx: &mut Cx,
    state: &mut State,
    how: &'static str,
    identity: Identity,
) -> Outcome {
    let Identity { name, account } = identity;
    // Only whose credentials are right learns it (RFC 2221 §6).
    if let Some(url) = referral::url_of(&cx.env.referrals, &name) {
        tracing::info!(peer = %cx.peer, user = %name, how, url, "login referred to another server");
        let reply = Reply::no("Your mail is on another server");
        return Err(match cx.hides("LOGIN-REFERRALS") {
            true => reply,
            false => reply.code(Code::Referral(url.into_bytes())),
        }
        .into());
    }
    let Some(seat) = cx.env.authenticator.seat(account) else {
        tracing::warn!(peer = %cx.peer, user = %name, "login refused: too many sessions");
        let reply = Reply::no("Too many connections of this user").code(Code::Limit);
        return Err(reply.into());
    };
    cx.hidden_from_user = cx.env.mail.hidden_words(account).await?;
    let account = cx.env.mail.account(account).await?;
    tracing::info!(peer = %cx.peer, user = %name, how, secure = cx.conn.is_secure(), "login");
    record(cx, state, &name, Some(account.id()), how, None);
    *state = State::Authenticated(Login {
        who: cx.env.sharing.who(&name),
        name: name.into(),
        account,
        is_anonymous: how == "ANONYMOUS",
        _seat: seat,
    });
    cx.conn.after_login(&cx.env.limits);
    let words = cx.capabilities(state);
    Ok(Reply::ok("Logged in").code(Code::Capability(words)))
}

/// Tells who keeps a record of logins.
fn record(
    cx: &Cx,
    state: &State,
    user: &str,
    account: Option<AccountId>,
    how: &'static str,
    failure: Option<&LoginError>,
) {
    let client = match state {
        State::NotAuthenticated(guest) => guest.client.as_deref(),
        _ => None,
    };
    cx.env.authenticator.seen(&LoginSeen {
        user,
        account,
        peer: &cx.peer,
        how,
        security: cx.conn.security(),
        client,
        failure,
    });
}

/// A failed login: said to the log at once, to the client after a delay that grows; the last of too
/// many ends the session.
pub(crate) async fn failed(
    cx: &mut Cx,
    state: &mut State,
    how: &'static str,
    user: &str,
    error: LoginError,
) -> Failure {
    let user: String = user.chars().take(100).collect();
    let (reply, guessing) = match &error {
        LoginError::Rejected(_) | LoginError::Token(_) => (
            Reply::no("User or password is wrong").code(Code::AuthenticationFailed),
            true,
        ),
        LoginError::NotAuthorized(_) => (
            Reply::no("This user may not log in").code(Code::AuthorizationFailed),
            true,
        ),
        LoginError::Expired => (
            Reply::no("The password has expired").code(Code::Expired),
            true,
        ),
        LoginError::Unavailable(reason) => {
            tracing::error!(peer = %cx.peer, ?user, how, reason, "login cannot be checked");
            let text = "Logins cannot be checked now, try again later";
            (Reply::no(text).code(Code::Unavailable), false)
        }
    };
    let State::NotAuthenticated(guest) = state else {
        return Failure::Reply(reply);
    };
    if !guessing {
        return Failure::Reply(reply);
    }
    guest.failed_logins += 1;
    let tries = guest.failed_logins;
    record(cx, state, &user, None, how, Some(&error));
    let limits = &cx.env.limits;
    tracing::info!(peer = %cx.peer, ?user, how, ?error, tries, "login failed");
    let doublings = (tries - 1).min(6);
    tokio::time::sleep(limits.login_delay.min(Duration::from_secs(5)) * (1 << doublings)).await;
    if tries >= limits.login_attempts_max {
        return Failure::LastReply(reply, "Too many failed logins".into());
    }
    Failure::Reply(reply)
}
