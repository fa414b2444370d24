//! What an account may hold, and holds.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{
    error::{MailError, Result},
    tail::Tail,
};

/// What an account may hold; `None` is no limit, or in a user's row the server's default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuotaLimits {
    /// Bytes of all messages.
    pub bytes: Option<u64>,
    /// Messages in all mailboxes.
    pub messages: Option<u64>,
    /// Mailboxes, INBOX among them.
    pub mailboxes: Option<u64>,
}

impl QuotaLimits {
    /// These limits, and `others` for what they say nothing of.
    pub fn or(self, others: Self) -> Self {
        Self {
            bytes: self.bytes.or(others.bytes),
            messages: self.messages.or(others.messages),
            mailboxes: self.mailboxes.or(others.mailboxes),
        }
    }
}

/// What an account may hold, and holds (RFC 9208). Expunged messages that are still kept do not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// The sizes of all messages in all mailboxes, in bytes.
    pub used_bytes: u64,
    /// The messages in all mailboxes.
    pub messages: u64,
    /// The mailboxes.
    pub mailboxes: u64,
    /// What they may come to.
    pub limits: QuotaLimits,
    /// Room that is held for messages on their way, in bytes.
    pub reserved_bytes: u64,
    /// How many messages are on their way.
    pub reserved_messages: u64,
}

impl Quota {
    /// Whether so much more would be too much. Nothing fits always: a flag change must not fail for want of
    /// space.
    ///
    /// # Errors
    /// [`MailError::OverQuota`].
    pub fn admits(&self, bytes: u64, messages: u64) -> Result<()> {
        let exceeds = |used: u64, reserved: u64, more: u64, limit: Option<u64>| {
            let sum = used.saturating_add(reserved).saturating_add(more);
            more > 0 && limit.is_some_and(|limit| sum > limit)
        };
        let limits = &self.limits;
        match exceeds(self.used_bytes, self.reserved_bytes, bytes, limits.bytes)
            || exceeds(
                self.messages,
                self.reserved_messages,
                messages,
                limits.messages,
            ) {
            true => Err(MailError::OverQuota),
            false => Ok(()),
        }
    }
}

/// The sums of an account's tails.
#[derive(Debug)]
pub(crate) struct Usage(Arc<Mutex<Quota>>);

/// Room that is held for messages on their way; given back when dropped.
#[derive(Debug)]
pub struct Reservation {
    usage: Arc<Mutex<Quota>>,
    bytes: u64,
    messages: u64,
}

fn lock(usage: &Mutex<Quota>) -> MutexGuard<'_, Quota> {
    usage.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Usage {
    pub(crate) fn new(limits: QuotaLimits) -> Self {
        Self(Arc::new(Mutex::new(Quota {
            limits,
            ..Quota::default()
        })))
    }

    /// All but the number of mailboxes, which the tree knows.
    pub(crate) fn quota(&self) -> Quota {
        *lock(&self.0)
    }

    pub(crate) fn set_limits(&self, limits: QuotaLimits) {
        lock(&self.0).limits = limits;
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

    pub(crate) fn reserve(&self, bytes: u64, messages: u64) -> Result<Reservation> {
        let mut quota = lock(&self.0);
        quota.admits(bytes, messages)?;
        quota.reserved_bytes = quota.reserved_bytes.saturating_add(bytes);
        quota.reserved_messages = quota.reserved_messages.saturating_add(messages);
        Ok(Reservation {
            usage: self.0.clone(),
            bytes,
            messages,
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
        let mut more = Usage(self.usage.clone()).reserve(by, 0)?;
        self.bytes += std::mem::take(&mut more.bytes);
        Ok(())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut quota = lock(&self.usage);
        quota.reserved_bytes = quota.reserved_bytes.saturating_sub(self.bytes);
        quota.reserved_messages = quota.reserved_messages.saturating_sub(self.messages);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(bytes: u64, messages: Option<u64>) -> QuotaLimits {
        QuotaLimits {
            bytes: Some(bytes),
            messages,
            mailboxes: None,
        }
    }

    #[test]
    fn room_is_held_and_given_back() {
        let usage = Usage::new(limits(100, None));
        let mut held = usage.reserve(60, 1).unwrap();
        assert!(matches!(usage.reserve(41, 1), Err(MailError::OverQuota)));
        held.grow(40).unwrap();
        assert!(held.grow(1).is_err());
        assert_eq!(usage.quota().reserved_bytes, 100);
        drop(held);
        assert_eq!(usage.quota().reserved_bytes, 0);
        usage.set_limits(limits(0, None));
        assert!(usage.reserve(0, 1).is_ok());
    }

    #[test]
    fn messages_count_beside_bytes() {
        let usage = Usage::new(limits(100, Some(2)));
        let held = usage.reserve(10, 2).unwrap();
        assert!(matches!(usage.reserve(10, 1), Err(MailError::OverQuota)));
        // A message that takes the place of another.
        assert!(usage.reserve(10, 0).is_ok());
        drop(held);
        assert_eq!(usage.quota().reserved_messages, 0);
        assert!(matches!(usage.reserve(10, 3), Err(MailError::OverQuota)));
        assert!(usage.reserve(90, 2).is_ok());
    }
}
