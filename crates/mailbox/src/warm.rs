//! What is kept in memory though nobody holds it: the accounts and mailboxes used last.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    account::Account,
    mailbox::Mailbox,
    types::{AccountId, MailboxId},
};

/// Handles in the order of their last use, bounded by the memory that they take.
#[derive(Debug)]
pub(crate) struct Warm {
    bytes_max: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    tick: u64,
    bytes: u64,
    handles: HashMap<(AccountId, Option<MailboxId>), Warmed>,
    by_use: BTreeMap<u64, (AccountId, Option<MailboxId>)>,
}

#[derive(Debug)]
struct Warmed {
    tick: u64,
    bytes: u64,
    _handle: Handle,
}

#[derive(Debug)]
enum Handle {
    Account { _account: Arc<Account> },
    Mailbox { _mailbox: Arc<Mailbox> },
}

impl Warm {
    pub(crate) fn new(bytes_max: u64) -> Self {
        Self {
            bytes_max,
            state: Mutex::default(),
        }
    }

    /// An account was used.
    pub(crate) fn touch_account(&self, account: &Arc<Account>) {
        let bytes = account.memory_bytes();
        let handle = Handle::Account {
            _account: account.clone(),
        };
        self.touch((account.id(), None), bytes, handle);
    }

    /// A mailbox was used, or its size in memory may have changed.
    pub(crate) fn touch_mailbox(&self, mailbox: &Arc<Mailbox>) {
        let bytes = mailbox.memory_bytes();
        let handle = Handle::Mailbox {
            _mailbox: mailbox.clone(),
        };
        let key = (mailbox.account().id(), Some(mailbox.id()));
        self.touch(key, bytes, handle);
    }

    /// Bytes that are kept, as far as they are known.
    pub(crate) fn bytes(&self) -> u64 {
        self.lock().bytes
    }

    fn touch(&self, key: (AccountId, Option<MailboxId>), bytes: u64, handle: Handle) {
        let mut dropped = Vec::new();
        let mut state = self.lock();
        state.tick += 1;
        let tick = state.tick;
        if let Some(before) = state.handles.remove(&key) {
            state.by_use.remove(&before.tick);
            state.bytes = state.bytes.saturating_sub(before.bytes);
            dropped.push(before);
        }
        state.bytes = state.bytes.saturating_add(bytes);
        state.by_use.insert(tick, key);
        let warmed = Warmed {
            tick,
            bytes,
            _handle: handle,
        };
        state.handles.insert(key, warmed);
        while state.bytes > self.bytes_max {
            let Some((_, oldest)) = state.by_use.pop_first() else {
                break;
            };
            if let Some(warmed) = state.handles.remove(&oldest) {
                state.bytes = state.bytes.saturating_sub(warmed.bytes);
                dropped.push(warmed);
            }
        }
        drop(state);
        // A large snapshot is freed outside of the lock.
        drop(dropped);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
