//! LMTP (RFC 2033): how a mail server delivers here.
//!
//! One task serves one connection. Commands that arrive together are answered together
//! (RFC 2920). A message for one recipient streams straight into that user's draft; one for several
//! is kept once, in memory or in a file, and then given to each. After the message there is one
//! reply for each recipient (RFC 2033 §4.2): `250` is sent only for what is durable, and an outcome
//! that is not known is a `451`, so that mail is never lost.

mod address;
mod command;
mod data;
mod deliver;
mod reply;
mod session;
mod spool;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use restante_mailbox::{Limit, Mail, MailError};
use tokio::sync::watch;

use crate::sources::{Recipient as Found, Sources};

pub(crate) use session::serve;

/// What all LMTP connections share.
#[derive(Debug)]
pub(crate) struct Env {
    pub(crate) mail: Arc<Mail>,
    /// Where users come from, if not from the directory alone.
    pub(crate) sources: Option<Arc<Sources>>,
    /// Our name in replies and in `Received`.
    pub(crate) hostname: String,
    /// Domains whose recipients are looked up by local part, in lower case.
    pub(crate) local_domains: Vec<String>,
    /// The largest message in bytes, without the header fields that are added here.
    pub(crate) message_bytes_max: u64,
    pub(crate) recipients_max: usize,
    /// How long a client may be silent.
    pub(crate) timeout: Duration,
    /// Where large messages for several recipients are kept while they arrive.
    pub(crate) spool_dir: PathBuf,
    pub(crate) shutdown: watch::Receiver<bool>,
}

/// The client: where it is.
pub(crate) type ClientAddress = Option<IpAddr>;

/// The user that an address stands for.
///
/// # Errors
/// [`MailError::NoSuchUser`], also for what is no address; [`MailError::Unavailable`].
pub(crate) async fn find(env: &Env, address: &str) -> Result<String, MailError> {
    let (found, _) = found(env, address).await?;
    Ok(found.name().to_owned())
}

/// Whether a message of so many bytes (0: not known) would be taken for an address.
///
/// # Errors
/// As [`find`]; [`MailError::OverQuota`], [`MailError::Limit`].
pub(crate) async fn would_take(env: &Env, address: &str, size: u64) -> Result<(), MailError> {
    let (found, _) = found(env, address).await?;
    if size > env.message_bytes_max {
        return Err(MailError::Limit(Limit::MessageBytes));
    }
    match found {
        Found::User(user) => {
            let account = env.mail.account(user.account).await?;
            deliver::check_quota(&account, Some(size).filter(|size| *size > 0)).await
        }
        // Nothing is in it yet, and the account is made when mail comes.
        Found::New(_) => Ok(()),
    }
}

/// Whether an address is of one of our domains, or has none.
pub(crate) fn is_local(env: &Env, address: &str) -> bool {
    match address.rsplit_once('@') {
        Some((_, domain)) => env.local_domains.contains(&domain.to_lowercase()),
        None => true,
    }
}

/// What a sender is told of a failure: code, enhanced code and text.
pub(crate) fn reply_to(error: &MailError) -> String {
    let reply = reply::of_error(error);
    format!("{} {} {}", reply.code, reply.enhanced, reply.text)
}

async fn found(env: &Env, address: &str) -> Result<(Found, Option<String>), MailError> {
    // Names with spaces are no addresses, and the grammar of paths would cut them there.
    match address::path(address) {
        Ok((Some(parsed), "")) => deliver::find(env, &parsed).await,
        _ => Err(MailError::NoSuchUser),
    }
}
