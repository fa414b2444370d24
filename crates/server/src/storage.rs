//! Opening the data directory.

use std::path::PathBuf;
use std::sync::Arc;

use restante_mailbox::{Mail, MailError, MailOptions, MailboxName, SpecialUse};
use restante_store::{EmbeddedOptions, OpenError, Store};
use thiserror::Error;

use crate::config::Config;
use crate::files;

/// Why the data directory cannot be opened.
#[derive(Debug, Error)]
pub enum StorageError {
    /// The directory cannot be made.
    #[error("{}: the data directory cannot be made: {source}", path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The store cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store was opened but does not serve.
    #[error(transparent)]
    Mail(#[from] MailError),
}

/// Opens (at first: makes) the store of the configured data directory.
///
/// # Errors
/// See [`StorageError`].
pub async fn open(config: &Config) -> Result<Arc<Mail>, StorageError> {
    let data = config.data_dir();
    files::create_private_dir(&data).map_err(|source| StorageError::Directory {
        path: data.clone(),
        source,
    })?;
    let mut options = EmbeddedOptions::default();
    options.cache_bytes = config.mail.store_cache.0;
    options.grace = config.mail.grace.duration();
    let store = Store::open(&data.join("store"), options).await?;
    Ok(Mail::open(store, mail_options(config)).await?)
}

/// The settings of the mailbox layer.
pub(crate) fn mail_options(config: &Config) -> MailOptions {
    let mut options = MailOptions::default();
    options.retention = config.mail.retention.duration();
    options.grace = config.mail.grace.duration();
    // LMTP adds header fields to a message that may be as large as allowed.
    options.message_bytes_max = config.mail.message_size_max.0 + (16 << 10);
    // The configuration was checked: every name is one.
    let names = config.mail.mailboxes.iter();
    let names = names.filter_map(|name| MailboxName::new(name).ok());
    options.mailboxes = names
        .map(|name| (name.clone(), special_use(&name)))
        .collect();
    options.quota_bytes = Some(config.mail.quota.0).filter(|bytes| *bytes > 0);
    options
}

/// The special use that a mailbox's name says (RFC 6154 §2).
fn special_use(name: &MailboxName) -> SpecialUse {
    SpecialUse::from_name(&format!("\\{name}")).unwrap_or_default()
}
