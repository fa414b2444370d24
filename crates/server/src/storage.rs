//! Opening the data directory.

use std::path::PathBuf;
use std::sync::Arc;

use restante_mailbox::{
    AccountId, Mail, MailError, MailOptions, MailboxName, QuotaLimits, SpecialUse,
};
use restante_store::{EmbeddedOptions, OpenError, RecoverReport, Store};
use thiserror::Error;

use crate::config::Config;
use crate::service::ServiceError;
use crate::{files, service};

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
    /// The store is another user's.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// The store cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store was opened but does not serve.
    #[error(transparent)]
    Mail(#[from] MailError),
}

/// Opens (at first: makes) the store of the configured data directory. Root becomes the service's user by
/// it, if one is configured: no file in the store is root's.
///
/// # Errors
/// See [`StorageError`].
pub async fn open(config: &Config) -> Result<Arc<Mail>, StorageError> {
    let data = config.data_dir();
    service::become_owner(config)?;
    files::create_private_dir(&data).map_err(|source| StorageError::Directory {
        path: data.clone(),
        source,
    })?;
    let store = Store::open(&data.join("store"), store_options(config)).await?;
    Ok(Mail::open(store, mail_options(config)).await?)
}

fn store_options(config: &Config) -> EmbeddedOptions {
    let mut options = EmbeddedOptions::default();
    options.cache_bytes = config.mail.store_cache.0;
    options.grace = config.mail.grace.duration();
    options
}

/// What [`recover`] did.
#[derive(Debug)]
pub struct Recovered {
    /// What the store lost.
    pub report: RecoverReport,
    /// How many accounts had their clients told, by a jump in every mailbox.
    pub accounts_told: usize,
    /// The server's own rows (users, leases) are touched too.
    pub directory_touched: bool,
}

/// Makes a data directory usable again whose store refuses to open, without what was lost, and lets
/// every touched account's clients know. If it is interrupted, it may be called again.
///
/// # Errors
/// See [`StorageError`].
pub async fn recover(config: &Config) -> Result<Recovered, StorageError> {
    let dir = config.data_dir().join("store");
    service::become_owner(config)?;
    let report = Store::recover(&dir, store_options(config)).await?;
    let mail = open(config).await?;
    let accounts = match &report.accounts {
        Some(accounts) => accounts.clone(),
        None => every_account(&mail).await?,
    };
    let directory_touched = report.accounts.as_ref().is_none_or(|all| all.contains(&0));
    let mut accounts_told = 0;
    for account in accounts.into_iter().filter(|account| *account != 0) {
        match mail.account(AccountId(account)).await {
            Ok(account) => account.jump_all().await?,
            // The user is among what was lost: there is nobody to tell.
            Err(MailError::NoSuchUser) => continue,
            Err(error) => return Err(error.into()),
        }
        accounts_told += 1;
    }
    mail.store().close().await;
    Store::loss_told(&dir).map_err(|source| StorageError::Directory { path: dir, source })?;
    Ok(Recovered {
        report,
        accounts_told,
        directory_touched,
    })
}

async fn every_account(mail: &Mail) -> Result<Vec<u32>, MailError> {
    const PAGE: usize = 1000;
    let (mut accounts, mut after) = (Vec::new(), None::<String>);
    loop {
        let page = mail.users(after.as_deref(), PAGE).await?;
        accounts.extend(page.iter().map(|user| user.account.0));
        match page.last() {
            Some(last) if page.len() == PAGE => after = Some(last.name.clone()),
            _ => return Ok(accounts),
        }
    }
}

/// The settings of the mailbox layer.
pub(crate) fn mail_options(config: &Config) -> MailOptions {
    let mut options = MailOptions::default();
    options.retention = config.mail.retention.duration();
    options.grace = config.mail.grace.duration();
    options.snapshot_cache_bytes = config.mail.mailbox_cache.0;
    options.email_cache_bytes = config.mail.email_cache.0;
    options.derived_cache_bytes = config.mail.search_cache.0;
    options.retained_bytes_max = Some(config.mail.retained_size_max.0).filter(|bytes| *bytes > 0);
    // LMTP adds header fields to a message that may be as large as allowed.
    options.message_bytes_max = config.mail.message_size_max.0 + (16 << 10);
    // The configuration was checked: every name is one.
    let names = config.mail.mailboxes.iter();
    let names = names.filter_map(|name| MailboxName::new(name).ok());
    options.mailboxes = names
        .map(|name| (name.clone(), special_use(&name)))
        .collect();
    let limit = |number: u64| Some(number).filter(|number| *number > 0);
    options.quota = QuotaLimits {
        bytes: limit(config.mail.quota.0),
        messages: limit(config.mail.quota_messages),
        mailboxes: limit(config.mail.quota_mailboxes),
    };
    options
}

/// The special use that a mailbox's name says (RFC 6154 §2).
fn special_use(name: &MailboxName) -> SpecialUse {
    SpecialUse::from_name(&format!("\\{name}")).unwrap_or_default()
}
