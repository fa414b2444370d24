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
    handle: Handle,
}

#[derive(Debug)]
enum Handle {
    Account(Arc<Account>),
    Mailbox(Arc<Mailbox>),
}

impl Handle {
    /// Whether both are the same object.
    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Account(one), Self::Account(two)) => Arc::ptr_eq(one, two),
            (Self::Mailbox(one), Self::Mailbox(two)) => Arc::ptr_eq(one, two),
            _ => false,
        }
    }

    fn bytes(&self) -> u64 {
        match self {
            Self::Account(account) => account.memory_bytes(),
            Self::Mailbox(mailbox) => mailbox.memory_bytes(),
        }
    }
}

impl State {
    fn evict(&mut self, bytes_max: u64, dropped: &mut Vec<Warmed>) {
        while self.bytes > bytes_max {
            let Some((_, oldest)) = self.by_use.pop_first() else {
                break;
            };
            if let Some(warmed) = self.handles.remove(&oldest) {
                self.bytes = self.bytes.saturating_sub(warmed.bytes);
                dropped.push(warmed);
            }
        }
    }
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
        self.touch((account.id(), None), Handle::Account(account.clone()));
    }

    /// A mailbox was used.
    pub(crate) fn touch_mailbox(&self, mailbox: &Arc<Mailbox>) {
        let key = (mailbox.account().id(), Some(mailbox.id()));
        self.touch(key, Handle::Mailbox(mailbox.clone()));
    }

    /// The mailboxes that are kept, the one used last first.
    pub(crate) fn mailboxes(&self) -> Vec<Arc<Mailbox>> {
        let state = self.lock();
        let keys = state.by_use.values().rev();
        keys.filter_map(|key| match &state.handles.get(key)?.handle {
            Handle::Mailbox(mailbox) => Some(Arc::clone(mailbox)),
            Handle::Account(_) => None,
        })
        .collect()
    }

    /// Counts again what is kept, which may have grown, and drops what is too much.
    pub(crate) fn resize(&self) {
        let mut dropped = Vec::new();
        let mut state = self.lock();
        let mut sum = 0u64;
        for warmed in state.handles.values_mut() {
            warmed.bytes = warmed.handle.bytes();
            sum = sum.saturating_add(warmed.bytes);
        }
        state.bytes = sum;
        state.evict(self.bytes_max, &mut dropped);
        drop(state);
        drop(dropped);
    }

    fn touch(&self, key: (AccountId, Option<MailboxId>), handle: Handle) {
        let mut dropped = Vec::new();
        let mut state = self.lock();
        if let Some(known) = state.handles.get(&key)
            && known.handle.is(&handle)
        {
            // Counted before: what has grown since is found by [`Warm::resize`], so that opening a
            // mailbox costs the same whatever it holds.
            let before = known.tick;
            if before != state.tick {
                state.tick += 1;
                let tick = state.tick;
                state.by_use.remove(&before);
                state.by_use.insert(tick, key);
                if let Some(known) = state.handles.get_mut(&key) {
                    known.tick = tick;
                }
            }
            return;
        }
        drop(state);
        let bytes = handle.bytes();
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
            handle,
        };
        state.handles.insert(key, warmed);
        state.evict(self.bytes_max, &mut dropped);
        drop(state);
        // A large snapshot is freed outside of the lock.
        drop(dropped);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
