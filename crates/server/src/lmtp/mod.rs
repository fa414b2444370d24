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

use restante_mailbox::Mail;
use tokio::sync::watch;

pub(crate) use session::serve;

/// What all LMTP connections share.
#[derive(Debug)]
pub(crate) struct Env {
    pub(crate) mail: Arc<Mail>,
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
