//! What an account may hold, and holds.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{
    error::{MailError, Result},
    tail::Tail,
};

/// What an account may hold, and holds (RFC 9208). Expunged messages that are still kept do not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// The sizes of all messages in all mailboxes, in bytes.
    pub used_bytes: u64,
    /// What they may come to, in bytes; `None` is no limit.
    pub limit_bytes: Option<u64>,
    /// The messages in all mailboxes.
    pub messages: u64,
    /// Room that is held for messages on their way, in bytes.
    pub reserved_bytes: u64,
}

/// The sums of an account's tails.
#[derive(Debug)]
pub(crate) struct Usage(Arc<Mutex<Quota>>);

/// Room that is held for messages on their way; given back when dropped.
#[derive(Debug)]
pub struct Reservation {
    usage: Arc<Mutex<Quota>>,
    bytes: u64,
}

fn lock(usage: &Mutex<Quota>) -> MutexGuard<'_, Quota> {
    usage.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Usage {
    pub(crate) fn new(limit_bytes: Option<u64>) -> Self {
        Self(Arc::new(Mutex::new(Quota {
            limit_bytes,
            ..Quota::default()
        })))
    }

    pub(crate) fn quota(&self) -> Quota {
        *lock(&self.0)
    }

    pub(crate) fn set_limit(&self, limit_bytes: Option<u64>) {
        lock(&self.0).limit_bytes = limit_bytes;
    }

    /// Counts from nothing.
    pub(crate) fn set<'a>(&self, tails: impl Iterator<Item = &'a Tail>) {
        let (mut bytes, mut messages) = (0u64, 0u64);
        for tail in tails {
            bytes = bytes.saturating_add(tail.size);
            messages += u64::from(tail.messages);
        }
        let mut quota = lock(&self.0);
        (quota.used_bytes, quota.messages) = (bytes, messages);
    }

    /// A mailbox changed from one tail to another.
    pub(crate) fn changed(&self, before: &Tail, after: &Tail) {
        if (before.size, before.messages) == (after.size, after.messages) {
            return;
        }
        let mut quota = lock(&self.0);
        let bytes = quota.used_bytes.saturating_add(after.size);
        quota.used_bytes = bytes.saturating_sub(before.size);
        let messages = quota.messages.saturating_add(after.messages.into());
        quota.messages = messages.saturating_sub(before.messages.into());
    }

    /// A mailbox was deleted.
    pub(crate) fn removed(&self, tail: &Tail) {
        let mut quota = lock(&self.0);
        quota.used_bytes = quota.used_bytes.saturating_sub(tail.size);
        quota.messages = quota.messages.saturating_sub(tail.messages.into());
    }

    pub(crate) fn reserve(&self, bytes: u64) -> Result<Reservation> {
        let mut quota = lock(&self.0);
        let reserved = quota.reserved_bytes.saturating_add(bytes);
        let wanted = quota.used_bytes.saturating_add(reserved);
        // Nothing to reserve fits always: a flag change must not fail for want of space.
        if bytes > 0 && quota.limit_bytes.is_some_and(|limit| wanted > limit) {
            return Err(MailError::OverQuota);
        }
        quota.reserved_bytes = reserved;
        Ok(Reservation {
            usage: self.0.clone(),
            bytes,
        })
    }
}

impl Reservation {
    /// What is held, in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Holds more, if there is room.
    ///
    /// # Errors
    /// [`MailError::OverQuota`].
    pub fn grow(&mut self, by: u64) -> Result<()> {
        let mut more = Usage(self.usage.clone()).reserve(by)?;
        self.bytes += std::mem::take(&mut more.bytes);
        Ok(())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut quota = lock(&self.usage);
        quota.reserved_bytes = quota.reserved_bytes.saturating_sub(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_held_and_given_back() {
        let usage = Usage::new(Some(100));
        let mut held = usage.reserve(60).unwrap();
        assert!(matches!(usage.reserve(41), Err(MailError::OverQuota)));
        held.grow(40).unwrap();
        assert!(held.grow(1).is_err());
        assert_eq!(usage.quota().reserved_bytes, 100);
        drop(held);
        assert_eq!(usage.quota().reserved_bytes, 0);
        usage.set_limit(Some(0));
        assert!(usage.reserve(0).is_ok());
    }
}
