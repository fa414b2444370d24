//! What is derived from emails and asked for again and again, in columns: what SEARCH, SORT and THREAD compare.
//!
//! Reading the rows of 100,000 emails takes half a second, and they do not fit into memory; what one command
//! compares of them does. This crate does not know what the values mean. A UID never names another email, so what
//! was derived stays true; it is dropped when memory is short, and nothing is lost.

use std::{
    collections::{HashMap, VecDeque},
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    account::Account,
    types::{AccountId, MailboxId, Uid},
};

/// The UIDs of a block have all but so many bits in common.
const BLOCK_BITS: u32 = 11;

/// Values of a column for messages of a mailbox whose UIDs lie close together. Where many are equal, as senders are, each
/// is there once.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct DerivedBlock {
    /// The low bits of the UIDs, ascending.
    uids: Vec<u16>,
    /// Which value each has; empty if each has its own.
    which: Vec<u16>,
    /// Where each value ends.
    ends: Vec<u32>,
    bytes: Vec<u8>,
}

impl DerivedBlock {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The block that a UID belongs to.
    pub fn of(uid: Uid) -> u32 {
        uid.get() >> BLOCK_BITS
    }

    /// Adds the value of a message: `derive` appends it. UIDs must ascend, and [`DerivedBlock::compact`] comes after
    /// all.
    pub fn push(&mut self, uid: Uid, derive: impl FnOnce(&mut Vec<u8>)) {
        derive(&mut self.bytes);
        self.uids.push(low(uid));
        self.ends.push(end(self.bytes.len()));
    }

    /// How many messages there are.
    pub fn len(&self) -> usize {
        self.uids.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.uids.is_empty()
    }

    /// The place of a message among those of the block.
    pub fn place(&self, uid: Uid) -> Option<usize> {
        let low = low(uid);
        // Mostly no UID is missing.
        let guess = usize::from(low.checked_sub(*self.uids.first()?)?);
        if self.uids.get(guess) == Some(&low) {
            return Some(guess);
        }
        self.uids.binary_search(&low).ok()
    }

    /// The number of the value that the message at a place has.
    ///
    /// # Panics
    /// There is none.
    pub fn number(&self, place: usize) -> usize {
        match self.which.is_empty() {
            true => place,
            false => usize::from(self.which[place]),
        }
    }

    /// The numbers of the values that the messages at these places have, and maybe of others.
    pub fn numbers(&self, places: Range<usize>) -> Range<usize> {
        match self.which.is_empty() {
            true => places,
            false => 0..self.ends.len(),
        }
    }

    /// The value of the message at a place.
    ///
    /// # Panics
    /// There is none.
    pub fn value(&self, place: usize) -> &[u8] {
        let number = self.number(place);
        self.values(number..number + 1)
    }

    /// The values of these numbers, one after the other.
    ///
    /// # Panics
    /// There are fewer.
    pub fn values(&self, numbers: Range<usize>) -> &[u8] {
        &self.bytes[self.range(numbers)]
    }

    /// The number of the value that the byte at `offset` of [`DerivedBlock::values`] of all belongs to.
    pub fn number_at(&self, offset: usize) -> usize {
        self.ends.partition_point(|end| *end as usize <= offset)
    }

    /// Where the values of these numbers lie among all.
    pub fn range(&self, numbers: Range<usize>) -> Range<usize> {
        let at = |number: usize| match number.checked_sub(1) {
            Some(before) => self.ends[before] as usize,
            None => 0,
        };
        at(numbers.start)..at(numbers.end)
    }

    /// Has equal values once only, if that is much less, and no room for more.
    pub fn compact(&mut self) {
        if self.which.is_empty() && !self.is_empty() {
            let mut known: HashMap<&[u8], u16> = HashMap::new();
            let mut which = Vec::with_capacity(self.len());
            let mut firsts = Vec::new();
            for place in 0..self.len() {
                let next = firsts.len() as u16;
                let number = *known.entry(self.value(place)).or_insert_with(|| {
                    firsts.push(place);
                    next
                });
                which.push(number);
            }
            // The numbers take two bytes a message.
            if firsts.len() < self.len() / 2 {
                let (mut ends, mut bytes) = (Vec::with_capacity(firsts.len()), Vec::new());
                for place in firsts {
                    bytes.extend_from_slice(self.value(place));
                    ends.push(end(bytes.len()));
                }
                (self.which, self.ends, self.bytes) = (which, ends, bytes);
            }
        }
        self.uids.shrink_to_fit();
        self.which.shrink_to_fit();
        self.ends.shrink_to_fit();
        self.bytes.shrink_to_fit();
    }

    /// With the values of `other`, which has none of its messages.
    #[must_use]
    pub fn merged(&self, other: &Self) -> Self {
        let mut merged = Self {
            uids: Vec::with_capacity(self.len() + other.len()),
            which: Vec::new(),
            ends: Vec::with_capacity(self.len() + other.len()),
            bytes: Vec::with_capacity(self.bytes.len() + other.bytes.len()),
        };
        let (mut a, mut b) = (0, 0);
        while a < self.len() || b < other.len() {
            let first = match (self.uids.get(a), other.uids.get(b)) {
                (Some(one), Some(two)) => one < two,
                (one, _) => one.is_some(),
            };
            let (from, place) = match first {
                true => (self, &mut a),
                false => (other, &mut b),
            };
            merged.bytes.extend_from_slice(from.value(*place));
            merged.uids.push(from.uids[*place]);
            merged.ends.push(end(merged.bytes.len()));
            *place += 1;
        }
        merged
    }

    /// Those of its messages that `other` does not have.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let mut left = Self::new();
        for (place, low) in self.uids.iter().enumerate() {
            if other.uids.binary_search(low).is_err() {
                left.bytes.extend_from_slice(self.value(place));
                left.uids.push(*low);
                left.ends.push(end(left.bytes.len()));
            }
        }
        left
    }

    fn memory_bytes(&self) -> u64 {
        // With the names in the tables.
        let own = size_of::<Self>() + size_of::<Slot>() + 160;
        let numbers = 2 * (self.uids.capacity() + self.which.capacity());
        (own + numbers + 4 * self.ends.capacity() + self.bytes.capacity()) as u64
    }
}

fn low(uid: Uid) -> u16 {
    (uid.get() & ((1 << BLOCK_BITS) - 1)) as u16
}

/// A block has at most 2,048 values, each far below a MiB: derived from a row, or of a header.
fn end(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// Columns of a mailbox whose names clients choose. Were there no end, one that asks for ever other ones would push out
/// what others use.
const NAMED_MAX: usize = 16;

/// One for the process: blocks, bounded in bytes. What has not been used goes first.
#[derive(Debug)]
pub(crate) struct DerivedCache {
    bytes_max: u64,
    state: Mutex<State>,
}

/// An account's mailbox, and which of its columns.
type ColumnKey = (AccountId, MailboxId, Arc<[u8]>);

#[derive(Debug, Default)]
struct State {
    bytes: u64,
    columns: HashMap<ColumnKey, Blocks>,
    /// Those of a mailbox whose names clients chose.
    named: HashMap<(AccountId, MailboxId), Vec<Arc<[u8]>>>,
    /// Counts what was asked for of those.
    turn: u64,
    /// In the order of insertion; one that was used meanwhile gets another turn.
    queue: VecDeque<(ColumnKey, u32)>,
}

#[derive(Debug, Default)]
struct Blocks {
    bytes: u64,
    /// When it was asked for.
    turn: u64,
    slots: HashMap<u32, Slot>,
}

#[derive(Debug)]
struct Slot {
    block: Arc<DerivedBlock>,
    bytes: u64,
    used: bool,
}

impl State {
    /// Makes room for a column that a client named: the one that has not been asked for longest goes.
    fn add_named(&mut self, key: &ColumnKey) {
        if self.columns.contains_key(key) {
            return;
        }
        let (account, mailbox, name) = key;
        let names = self.named.entry((*account, *mailbox)).or_default();
        if names.len() >= NAMED_MAX {
            let turn = |name: &Arc<[u8]>| {
                let column = self.columns.get(&(*account, *mailbox, name.clone()));
                column.map_or(0, |column| column.turn)
            };
            let oldest = (0..names.len()).min_by_key(|at| turn(&names[*at]));
            if let Some(oldest) = oldest {
                let old = (*account, *mailbox, names.swap_remove(oldest));
                if let Some(column) = self.columns.remove(&old) {
                    self.bytes -= column.bytes;
                }
                self.queue.retain(|(key, _)| *key != old);
            }
        }
        names.push(name.clone());
    }

    /// A column has no block any more.
    fn remove_empty(&mut self, key: &ColumnKey) {
        if self
            .columns
            .get(key)
            .is_none_or(|column| !column.slots.is_empty())
        {
            return;
        }
        self.columns.remove(key);
        let mailbox = (key.0, key.1);
        if let Some(names) = self.named.get_mut(&mailbox) {
            names.retain(|name| *name != key.2);
            if names.is_empty() {
                self.named.remove(&mailbox);
            }
        }
    }
}

impl DerivedCache {
    pub(crate) fn new(bytes_max: u64) -> Self {
        Self {
            bytes_max,
            state: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, key: &ColumnKey, number: u32) -> Option<Arc<DerivedBlock>> {
        let mut state = self.lock();
        state.turn += 1;
        let turn = state.turn;
        let column = state.columns.get_mut(key)?;
        column.turn = turn;
        let slot = column.slots.get_mut(&number)?;
        slot.used = true;
        Some(slot.block.clone())
    }

    /// A column takes at most half of the memory: of a longer one the first blocks stay, where the last would push
    /// out the first before they are asked for again. Of those that clients named a mailbox has so many.
    fn insert(&self, key: ColumnKey, number: u32, block: Arc<DerivedBlock>, named: bool) {
        let bytes = block.memory_bytes();
        let state = &mut *self.lock();
        if named {
            state.add_named(&key);
        }
        state.turn += 1;
        let column = state.columns.entry(key.clone()).or_default();
        column.turn = state.turn;
        let old = column.slots.get(&number).map(|slot| slot.bytes);
        let before = old.unwrap_or(0);
        if column.bytes - before + bytes > self.bytes_max / 2 {
            state.remove_empty(&key);
            return;
        }
        column.bytes = column.bytes - before + bytes;
        state.bytes = state.bytes - before + bytes;
        let slot = Slot {
            block,
            bytes,
            used: false,
        };
        column.slots.insert(number, slot);
        if old.is_none() {
            state.queue.push_back((key, number));
        }
        while state.bytes > self.bytes_max {
            let Some((key, number)) = state.queue.pop_front() else {
                break;
            };
            let Some(column) = state.columns.get_mut(&key) else {
                continue;
            };
            match column.slots.get_mut(&number) {
                Some(slot) if slot.used => {
                    slot.used = false;
                    state.queue.push_back((key, number));
                }
                Some(slot) => {
                    column.bytes -= slot.bytes;
                    state.bytes -= slot.bytes;
                    column.slots.remove(&number);
                    state.remove_empty(&key);
                }
                None => {}
            }
        }
    }

    /// Forgets what was derived from an account's emails: one of them is to leave no trace.
    pub(crate) fn forget(&self, account: AccountId) {
        let mut state = self.lock();
        let State {
            bytes,
            columns,
            named,
            queue,
            ..
        } = &mut *state;
        named.retain(|mailbox, _| mailbox.0 != account);
        columns.retain(|key, blocks| {
            let stays = key.0 != account;
            if !stays {
                *bytes -= blocks.bytes;
            }
            stays
        });
        queue.retain(|(key, _)| key.0 != account);
    }
}

impl Account {
    /// A block of a column of one of its mailboxes, if it is in memory. Messages may be missing in it.
    pub fn derived(
        &self,
        mailbox: MailboxId,
        column: &Arc<[u8]>,
        number: u32,
    ) -> Option<Arc<DerivedBlock>> {
        let key = (self.id(), mailbox, column.clone());
        self.core.derived.find(&key, number)
    }

    /// A number that is another one when messages lie elsewhere in the store: what was derived of their places is
    /// worth nothing then.
    pub fn message_moves(&self) -> u64 {
        self.core.moves()
    }

    /// Keeps a block of a column in memory, as long as there is room.
    pub fn keep_derived(
        &self,
        mailbox: MailboxId,
        column: &Arc<[u8]>,
        number: u32,
        mut block: DerivedBlock,
    ) -> Arc<DerivedBlock> {
        block.compact();
        let block = Arc::new(block);
        let key = (self.id(), mailbox, column.clone());
        self.core.derived.insert(key, number, block.clone(), false);
        block
    }

    /// As [`Account::keep_derived`], of a column that a client named, in at most 255 octets: 16 of those stay of a
    /// mailbox.
    pub fn keep_derived_named(
        &self,
        mailbox: MailboxId,
        column: &Arc<[u8]>,
        number: u32,
        mut block: DerivedBlock,
    ) {
        block.compact();
        let key = (self.id(), mailbox, column.clone());
        let derived = &self.core.derived;
        derived.insert(key, number, Arc::new(block), true);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn uid(uid: u32) -> Uid {
        Uid::new(uid).unwrap_or(Uid::MAX)
    }

    fn block(uids: impl IntoIterator<Item = u32>) -> DerivedBlock {
        let mut block = DerivedBlock::new();
        for n in uids {
            block.push(uid(n), |out| {
                out.extend_from_slice(n.to_string().repeat(n as usize % 3).as_bytes())
            });
        }
        block
    }

    fn key(account: u32, column: u8) -> ColumnKey {
        (AccountId(account), MailboxId(1), Arc::from([column]))
    }

    proptest! {
        #[test]
        fn merging_is_as_if_made_at_once(
            uids in prop::collection::btree_map(1..2048_u32, any::<bool>(), 0..60)
        ) {
            let all = block(uids.keys().copied());
            let part = |which| block(uids.iter().filter(|(_, in_a)| **in_a == which).map(|(n, _)| *n));
            prop_assert_eq!(&part(true).merged(&part(false)), &all);
            prop_assert_eq!(&part(true).merged(&all.without(&part(true))), &all);
            for n in 1..2048 {
                let place = uids.keys().position(|other| *other == n);
                prop_assert_eq!(all.place(uid(n)), place);
                if let Some(place) = place {
                    let value = n.to_string().repeat(n as usize % 3);
                    prop_assert_eq!(all.value(place), value.as_bytes());
                    for offset in all.range(place..place + 1) {
                        prop_assert_eq!(all.number_at(offset), place);
                    }
                }
            }
        }

        #[test]
        fn equal_values_are_there_once(values in prop::collection::vec("[ab]{0,3}", 0..200)) {
            let mut block = DerivedBlock::new();
            for (n, value) in values.iter().enumerate() {
                block.push(uid(n as u32 + 1), |out| out.extend_from_slice(value.as_bytes()));
            }
            block.compact();
            let distinct: std::collections::BTreeSet<&String> = values.iter().collect();
            if distinct.len() < values.len() / 2 {
                prop_assert_eq!(block.numbers(0..1), 0..distinct.len());
            }
            for (place, value) in values.iter().enumerate() {
                prop_assert_eq!(block.value(place), value.as_bytes());
                let number = block.number(place);
                prop_assert!(block.numbers(place..place + 1).contains(&number));
                for offset in block.range(number..number + 1) {
                    prop_assert_eq!(block.number_at(offset), number);
                }
            }
            // As when a message comes to those that are known.
            let mut more = DerivedBlock::new();
            more.push(uid(1000), |out| out.push(b'c'));
            let mut merged = block.merged(&more);
            merged.compact();
            prop_assert_eq!(merged.value(values.len()), b"c");
            for (place, value) in values.iter().enumerate() {
                prop_assert_eq!(merged.value(place), value.as_bytes());
            }
        }
    }

    #[test]
    fn blocks_are_of_uids_close_together() {
        assert_eq!(DerivedBlock::of(uid(1)), 0);
        assert_eq!(DerivedBlock::of(uid(2047)), 0);
        assert_eq!(DerivedBlock::of(uid(2048)), 1);
        assert_eq!(DerivedBlock::of(Uid::MAX), (1 << 21) - 1);
    }

    #[test]
    fn memory_is_bounded_and_what_is_used_stays() {
        let one = block(1..500).memory_bytes();
        let cache = DerivedCache::new(8 * one);
        for number in 0..100 {
            cache.insert(key(1, 0), number, Arc::new(block(1..500)), false);
        }
        let first = |number| cache.find(&key(1, 0), number).is_some();
        assert!((0..4).all(first), "half of the memory is for one column");
        assert!(!(4..100).any(first));
        for column in 1..100 {
            cache.insert(key(2, column), 7, Arc::new(block(1..500)), false);
            assert!(cache.lock().bytes <= 8 * one);
            assert!(
                cache.find(&key(1, 0), 0).is_some(),
                "it is used all the time"
            );
        }
        assert!(cache.find(&key(1, 0), 3).is_none());
        assert!(cache.lock().queue.len() <= 8);
        cache.forget(AccountId(1));
        assert!(cache.find(&key(1, 0), 0).is_none());
        cache.forget(AccountId(2));
        let state = cache.lock();
        assert_eq!(
            (state.bytes, state.columns.len(), state.queue.len()),
            (0, 0, 0)
        );
    }

    #[test]
    fn of_named_columns_the_last_used_stay() {
        let cache = DerivedCache::new(1 << 20);
        let name = |column: u32| (AccountId(1), MailboxId(1), column.to_le_bytes().into());
        let there = |column| cache.find(&name(column), 1).is_some();
        cache.insert(key(1, 0), 0, Arc::new(block(1..50)), false);
        for column in 0..10_000 {
            for number in [1, 2] {
                cache.insert(name(column), number, Arc::new(block(1..50)), true);
            }
            assert!(there(0), "it is asked for all the time");
            let state = cache.lock();
            let named = (column as usize + 1).min(NAMED_MAX);
            assert_eq!(state.columns.len(), 1 + named);
            assert_eq!(state.queue.len(), 1 + 2 * named);
            let bytes: u64 = state.columns.values().map(|column| column.bytes).sum();
            assert_eq!(state.bytes, bytes);
        }
        assert!(cache.find(&key(1, 0), 0).is_some(), "others have their own");
        assert_eq!((1..10_000).filter(|column| there(*column)).count(), 15);
        assert!(there(9_999) && there(9_985) && !there(9_984));
        // Another mailbox pushes them out, until none is left.
        for number in 0..10_000 {
            for column in 1..4 {
                cache.insert(key(2, column), number, Arc::new(block(1..50)), false);
            }
        }
        let state = cache.lock();
        assert!(state.named.is_empty());
        assert!(state.bytes <= 1 << 20);
    }

    #[test]
    fn a_larger_block_takes_the_place_of_a_smaller_one() {
        let cache = DerivedCache::new(1 << 20);
        for rows in [10, 100, 50] {
            cache.insert(key(1, 0), 0, Arc::new(block(1..rows)), false);
            let kept = cache.find(&key(1, 0), 0);
            assert_eq!(kept.map(|kept| kept.len() as u32), Some(rows - 1));
            let state = cache.lock();
            assert_eq!(state.bytes, state.columns[&key(1, 0)].bytes);
            assert_eq!(state.queue.len(), 1);
        }
    }
}
