//! The memory engine: the contract without a disk, for tests. What it does wrong is said by its options.
//!
//! Commits wait in a queue until a task writes a group of them: a part of the queue, in its order but for
//! batches of different turns. A group is durable when it is answered (unless `sync_lies`).

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    mem,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::sync::{oneshot, watch};

use crate::{
    batch::{Batch, CommitNumber, Direction, Key, KeyRange, is_empty},
    blob::{BlobKind, BlobRef, slice},
    error::{CommitError, StoreError},
    memory_options::{Chances, MemoryOptions},
    options::StoreStats,
    store::Outcome,
};

type Answer = Result<CommitNumber, CommitError>;

/// A map in memory behind a mutex.
#[derive(Debug)]
pub(crate) struct Memory {
    options: MemoryOptions,
    state: Mutex<State>,
    failed: watch::Sender<Option<Arc<str>>>,
}

#[derive(Debug)]
struct State {
    chances: Chances,
    /// What reads see.
    disk: Disk,
    /// What a crash leaves, if that is less.
    synced: Option<Disk>,
    queue: VecDeque<Waiting>,
    /// Batches that were answered `Unknown` and come later: after so many groups.
    late: Vec<(u64, Batch)>,
    /// Whether a task writes what is queued.
    is_writing: bool,
    batches: u64,
    groups: u64,
    conflicts: u64,
    stopped: Option<Stopped>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stopped {
    Closed,
    Crashed,
}

#[derive(Debug)]
struct Waiting {
    batch: Batch,
    answer: oneshot::Sender<Answer>,
}

/// What a crash does not lose.
#[derive(Clone, Debug, Default)]
struct Disk {
    map: BTreeMap<Key, Bytes>,
    blobs: HashMap<u64, (Key, Bytes)>,
    blob_next: u64,
    last_commit: u64,
}

impl Memory {
    pub(crate) fn new(options: MemoryOptions) -> Self {
        Self::on(Disk::default(), options)
    }

    fn on(disk: Disk, options: MemoryOptions) -> Self {
        Self {
            state: Mutex::new(State {
                chances: Chances::new(options.seed),
                synced: options.sync_lies.then(|| disk.clone()),
                disk,
                queue: VecDeque::new(),
                late: Vec::new(),
                is_writing: false,
                batches: 0,
                groups: 0,
                conflicts: 0,
                stopped: None,
            }),
            options,
            failed: watch::Sender::new(None),
        }
    }

    /// See [`crate::Store::failed`].
    pub(crate) fn failed(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.failed.subscribe()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state for a read, which may have to wait, or fail.
    async fn read(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        let yields_max = u64::from(self.options.yields_max);
        if yields_max > 0 {
            let yields = self.state().chances.below(yields_max + 1);
            yield_now(yields).await;
        }
        let mut state = self.state();
        match state.stopped {
            Some(Stopped::Closed) => return Err(StoreError::Closed),
            Some(Stopped::Crashed) => {
                return Err(StoreError::Refused {
                    reason: CRASHED.into(),
                });
            }
            None => {}
        }
        let failed = self.options.read_failed_permille;
        if failed > 0 && state.chances.first(&[failed]).is_some() {
            return Err(StoreError::Read {
                what: "the memory engine".into(),
                source: Arc::new(std::io::Error::other("a fault from the seed")),
            });
        }
        Ok(state)
    }

    pub(crate) async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        Ok(self.read().await?.disk.map.get(key).cloned())
    }

    pub(crate) async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Bytes>>, StoreError> {
        let state = self.read().await?;
        Ok(keys
            .iter()
            .map(|key| state.disk.map.get(key).cloned())
            .collect())
    }

    pub(crate) async fn scan(
        &self,
        range: KeyRange,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        let state = self.read().await?;
        if is_empty(&range) {
            return Ok(Vec::new());
        }
        let entry = |(key, value): (&Key, &Bytes)| (Bytes::copy_from_slice(key), value.clone());
        let entries = state.disk.map.range(range).map(entry);
        Ok(match direction {
            Direction::Ascending => entries.take(limit).collect(),
            Direction::Descending => entries.rev().take(limit).collect(),
        })
    }

    pub(crate) async fn read_blob(
        &self,
        owner: &[u8],
        blob: &BlobRef,
        range: Range<u64>,
    ) -> Result<Bytes, StoreError> {
        let state = self.read().await?;
        match state.disk.blobs.get(&blob.offset) {
            Some((key, bytes)) if key == owner => slice(bytes, range),
            _ => Err(StoreError::NoSuchBlob),
        }
    }

    /// Queues a batch; it is done at once if nothing is to wait.
    pub(crate) fn submit(self: &Arc<Self>, batch: Batch) -> Outcome {
        if let Err(reason) = batch.check() {
            return Outcome::Ready(Some(Err(CommitError::Invalid {
                reason: reason.into(),
            })));
        }
        let mut state = self.state();
        if let Some(stopped) = state.stopped {
            return Outcome::Ready(Some(Err(stopped.refusal())));
        }
        let (answer, outcome) = oneshot::channel();
        state.queue.push_back(Waiting { batch, answer });
        let waits = self.options.yields_max > 0 || !self.options.delay_max.is_zero();
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) if waits => {
                if !mem::replace(&mut state.is_writing, true) {
                    runtime.spawn(self.clone().write_queue());
                }
            }
            _ => while self.write_group(&mut state) {},
        }
        Outcome::Waiting(outcome)
    }

    /// Writes what is queued, until nothing is.
    async fn write_queue(self: Arc<Self>) {
        loop {
            let (yields, delay) = {
                let chances = &mut self.state().chances;
                let delay_max = u64::try_from(self.options.delay_max.as_micros());
                let delay = match delay_max.unwrap_or(u64::MAX) {
                    0 => 0,
                    max => chances.below(max.saturating_add(1)),
                };
                let yields = chances.below(u64::from(self.options.yields_max) + 1);
                (yields, Duration::from_micros(delay))
            };
            yield_now(yields).await;
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            let mut state = self.state();
            if !self.write_group(&mut state) {
                state.is_writing = false;
                return;
            }
        }
    }

    /// Writes the next group. False: nothing is left to write.
    fn write_group(&self, state: &mut State) -> bool {
        if state.queue.is_empty() {
            return false;
        }
        state.groups += 1;
        let count = 1 + state.chances.below(state.queue.len() as u64);
        let mut group: Vec<Waiting> = state.queue.drain(..count as usize).collect();
        if self.options.reorder {
            group = state.reordered(group);
        }
        if self.options.crash_at == Some(state.groups) {
            self.crash_in(state, group);
            return false;
        }
        for Waiting { batch, answer } in group {
            let outcome = state.outcome(batch, &self.options);
            // The writer may have stopped to listen.
            let _ = answer.send(outcome);
        }
        state.apply_late();
        if self.options.sync_lies && state.chances.below(4) == 0 {
            state.synced = Some(state.disk.clone());
        }
        !state.queue.is_empty()
    }

    /// Crashes: `group` was being written, so all of it happens or nothing. Nobody is told.
    fn crash_in(&self, state: &mut State, group: Vec<Waiting>) {
        if state.chances.below(2) == 0 {
            for waiting in &group {
                // What it would have been answered went down with it.
                let _ = state.apply(&waiting.batch);
            }
        }
        let late = mem::take(&mut state.late);
        for (_, batch) in late {
            if state.chances.below(2) == 0 {
                let _ = state.apply(&batch);
            }
        }
        state.stopped = Some(Stopped::Crashed);
        let queue = mem::take(&mut state.queue);
        for waiting in group.into_iter().chain(queue) {
            let _ = waiting.answer.send(Err(CommitError::Unknown {
                reason: CRASHED.into(),
            }));
        }
        self.failed.send_replace(Some(CRASHED.into()));
    }

    /// Crashes now, unless it has crashed or was closed; gives what is left in a new engine.
    pub(crate) fn crash(&self, options: MemoryOptions) -> Self {
        let mut state = self.state();
        if state.stopped.is_none() {
            let queued = state.queue.len() as u64;
            let count = state.chances.below(queued + 1) as usize;
            let group = state.queue.drain(..count).collect();
            self.crash_in(&mut state, group);
        }
        let disk = state.synced.as_ref().unwrap_or(&state.disk);
        Self::on(disk.clone(), options)
    }

    pub(crate) fn close(&self) {
        let mut state = self.state();
        if state.stopped.is_none() {
            while self.write_group(&mut state) {}
            state.stopped.get_or_insert(Stopped::Closed);
        }
    }

    pub(crate) fn stats(&self) -> StoreStats {
        let state = self.state();
        let last_commit = state.disk.last_commit;
        StoreStats {
            last_commit,
            batches: state.batches,
            groups: state.groups,
            conflicts: state.conflicts,
            floor: last_commit,
            blob_bytes_live: state.disk.blob_bytes(),
            ..StoreStats::default()
        }
    }
}

const CRASHED: &str = "the memory engine crashed";

async fn yield_now(times: u64) {
    for _ in 0..times {
        tokio::task::yield_now().await;
    }
}

impl Stopped {
    fn refusal(self) -> CommitError {
        match self {
            Self::Closed => CommitError::Closed,
            Self::Crashed => CommitError::Refused {
                reason: CRASHED.into(),
            },
        }
    }
}

impl State {
    /// Takes batches of different turns in any order, those of one turn in theirs.
    fn reordered(&mut self, group: Vec<Waiting>) -> Vec<Waiting> {
        let mut turns: BTreeMap<u32, VecDeque<Waiting>> = BTreeMap::new();
        for waiting in group {
            turns
                .entry(waiting.batch.turn)
                .or_default()
                .push_back(waiting);
        }
        let mut turns: Vec<_> = turns.into_values().collect();
        let mut out = Vec::new();
        while !turns.is_empty() {
            let index = self.chances.below(turns.len() as u64) as usize;
            out.extend(turns[index].pop_front());
            if turns[index].is_empty() {
                turns.swap_remove(index);
            }
        }
        out
    }

    /// Applies a batch, or does what goes wrong with it.
    fn outcome(&mut self, batch: Batch, options: &MemoryOptions) -> Answer {
        let unknown = |reason: &str| {
            Err(CommitError::Unknown {
                reason: reason.into(),
            })
        };
        let chances = [
            options.full_permille,
            options.unknown_applied_permille,
            options.unknown_lost_permille,
            options.unknown_late_permille,
        ];
        let fault = match chances {
            [0, 0, 0, 0] => None,
            _ => self.chances.first(&chances),
        };
        match fault {
            None => self.apply(&batch),
            Some(0) => Err(CommitError::Full {
                reason: "a fault from the seed".into(),
            }),
            Some(1) => {
                let _ = self.apply(&batch);
                unknown("a fault from the seed: after the commit")
            }
            Some(2) => unknown("a fault from the seed: before the commit"),
            Some(_) => {
                let at = self.groups + 1 + self.chances.below(4);
                self.late.push((at, batch));
                unknown("a fault from the seed: the commit comes later")
            }
        }
    }

    fn apply_late(&mut self) {
        let groups = self.groups;
        let due = self.late.extract_if(.., |(at, _)| *at <= groups);
        for (_, batch) in due.collect::<Vec<_>>() {
            // Its writer was told that nobody knows.
            let _ = self.apply(&batch);
        }
    }

    /// Applies a batch if its conditions hold.
    fn apply(&mut self, batch: &Batch) -> Answer {
        if let Some(conflict) = self.disk.conflict(batch) {
            self.conflicts += 1;
            return Err(conflict);
        }
        self.batches += 1;
        Ok(self.disk.apply(batch))
    }
}

impl Disk {
    fn conflict(&self, batch: &Batch) -> Option<CommitError> {
        let conflict = |key: &Key, current: Option<&Bytes>| CommitError::Conflict {
            key: key.clone(),
            current: current.cloned(),
        };
        for key in &batch.require_absent {
            if let Some(current) = self.map.get(key) {
                return Some(conflict(key, Some(current)));
            }
        }
        for (key, value) in &batch.require_equal {
            let current = self.map.get(key);
            if current != Some(value) {
                return Some(conflict(key, current));
            }
        }
        None
    }

    fn apply(&mut self, batch: &Batch) -> CommitNumber {
        for blob in &batch.release {
            self.blobs.remove(&blob.offset);
        }
        for key in &batch.delete {
            self.map.remove(key);
        }
        for put in &batch.put {
            let mut value = put.value.clone();
            if let Some((index, offset)) = put.blob {
                let staged = &batch.blobs[index];
                let reference = self.keep(staged.owner(), staged.bytes().cloned());
                staged.set_reference(reference);
                let mut patched = value.to_vec();
                patched[offset..offset + BlobRef::BYTES].copy_from_slice(&reference.to_bytes());
                value = patched.into();
            }
            self.map.insert(put.key.clone(), value);
        }
        self.last_commit += 1;
        CommitNumber(self.last_commit)
    }

    fn keep(&mut self, owner: &[u8], bytes: Option<Bytes>) -> BlobRef {
        let bytes = bytes.unwrap_or_default();
        self.blob_next += 1;
        let reference = BlobRef {
            kind: BlobKind::Memory,
            codec: 0,
            segment: 0,
            offset: self.blob_next,
            length: bytes.len() as u64,
        };
        self.blobs.insert(self.blob_next, (owner.to_vec(), bytes));
        reference
    }

    fn blob_bytes(&self) -> u64 {
        self.blobs
            .values()
            .map(|(_, bytes)| bytes.len() as u64)
            .sum()
    }
}
