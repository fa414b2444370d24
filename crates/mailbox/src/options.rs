//! What can be set.

use std::{sync::Arc, time::Duration};

use crate::{
    clock::{Clock, SystemClock},
    name::MailboxName,
    quota::QuotaLimits,
    tree::SpecialUse,
};

/// Settings of [`crate::Mail`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MailOptions {
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
    /// This process's number among those that make EMAILIDs in the same store.
    pub node: u8,
    /// How long expunged messages, and the records of what happened, are kept.
    pub retention: Duration,
    /// How many bytes of expunged messages an account keeps for that time. The oldest go before their time, but
    /// not before the grace is over.
    pub retained_bytes_max: Option<u64>,
    /// How long nothing is deleted after it became unreachable, whatever the retention. No upload
    /// and no command may take longer than half of it.
    pub grace: Duration,
    /// Memory for the snapshots of mailboxes, in bytes: what is used now may take more for a while.
    pub snapshot_cache_bytes: u64,
    /// Memory for the rows of emails (ENVELOPE, BODYSTRUCTURE, …), in bytes.
    pub email_cache_bytes: u64,
    /// Memory for what SEARCH, SORT and THREAD compare of emails, in bytes.
    pub derived_cache_bytes: u64,
    /// The largest message, in bytes (RFC 7889).
    pub message_bytes_max: u64,
    /// The quota of users who have none of their own.
    pub quota: QuotaLimits,
    /// What a new account has beside INBOX, with their special uses (RFC 6154); all are subscribed.
    pub mailboxes: Vec<(MailboxName, SpecialUse)>,
    /// A checkpoint is due after this many records …
    pub checkpoint_records: u64,
    /// … or after so many bytes of them.
    pub checkpoint_bytes: u64,
}

impl Default for MailOptions {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            node: 0,
            retention: Duration::from_secs(14 * 24 * 3600),
            retained_bytes_max: None,
            grace: Duration::from_secs(24 * 3600),
            snapshot_cache_bytes: 64 << 20,
            email_cache_bytes: 64 << 20,
            derived_cache_bytes: 128 << 20,
            message_bytes_max: 50 << 20,
            quota: QuotaLimits::default(),
            mailboxes: Vec::new(),
            checkpoint_records: 256,
            checkpoint_bytes: 1 << 20,
        }
    }
}
