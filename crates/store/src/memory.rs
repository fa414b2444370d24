//! The memory engine: the contract without a disk, for tests.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;

use crate::{
    batch::{Batch, CommitNumber, Direction, Key, KeyRange, is_empty},
    blob::{BlobKind, BlobRef, slice},
    error::{CommitError, StoreError},
    options::StoreStats,
};

/// Settings of the memory engine.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct MemoryOptions {
    /// Where the engine's chances come from.
    pub seed: u64,
}

/// A map in memory behind a mutex.
#[derive(Debug)]
pub(crate) struct Memory {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    map: BTreeMap<Key, Bytes>,
    blobs: HashMap<u64, (Key, Bytes)>,
    blob_next: u64,
    last_commit: u64,
    conflicts: u64,
    closed: bool,
}

impl Memory {
    pub(crate) fn new(_options: MemoryOptions) -> Self {
        Self {
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        let state = self.state();
        if state.closed {
            Err(StoreError::Closed)
        } else {
            Ok(state)
        }
    }

    pub(crate) fn get_many(&self, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>, StoreError> {
        let state = self.open()?;
        Ok(keys
            .iter()
            .map(|key| state.map.get(*key).cloned())
            .collect())
    }

    pub(crate) fn scan(
        &self,
        range: KeyRange,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        let state = self.open()?;
        if is_empty(&range) {
            return Ok(Vec::new());
        }
        let entry = |(key, value): (&Key, &Bytes)| (Bytes::copy_from_slice(key), value.clone());
        let entries = state.map.range(range).map(entry);
        Ok(match direction {
            Direction::Ascending => entries.take(limit).collect(),
            Direction::Descending => entries.rev().take(limit).collect(),
        })
    }

    pub(crate) fn commit(&self, batch: Batch) -> Result<CommitNumber, CommitError> {
        batch.check().map_err(|reason| CommitError::Invalid {
            reason: reason.into(),
        })?;
        let mut state = self.state();
        if state.closed {
            return Err(CommitError::Closed);
        }
        if let Some(conflict) = state.conflict(&batch) {
            state.conflicts += 1;
            return Err(conflict);
        }
        for blob in &batch.release {
            state.blobs.remove(&blob.offset);
        }
        for key in &batch.delete {
            state.map.remove(key);
        }
        for put in batch.put {
            let mut value = put.value;
            if let Some((index, offset)) = put.blob {
                let staged = &batch.blobs[index];
                let reference = state.keep(staged.owner(), staged.bytes().cloned());
                staged.set_reference(reference);
                let mut patched = value.to_vec();
                patched[offset..offset + BlobRef::BYTES].copy_from_slice(&reference.to_bytes());
                value = patched.into();
            }
            state.map.insert(put.key, value);
        }
        state.last_commit += 1;
        Ok(CommitNumber(state.last_commit))
    }

    pub(crate) fn read_blob(
        &self,
        owner: &[u8],
        blob: &BlobRef,
        range: Range<u64>,
    ) -> Result<Bytes, StoreError> {
        let state = self.open()?;
        match state.blobs.get(&blob.offset) {
            Some((key, bytes)) if key == owner => slice(bytes, range),
            _ => Err(StoreError::NoSuchBlob),
        }
    }

    pub(crate) fn close(&self) {
        self.state().closed = true;
    }

    pub(crate) fn stats(&self) -> StoreStats {
        let state = self.state();
        StoreStats {
            last_commit: state.last_commit,
            batches: state.last_commit,
            groups: state.last_commit,
            conflicts: state.conflicts,
            floor: state.last_commit,
            blob_bytes_live: state.blobs.values().map(|(_, b)| b.len() as u64).sum(),
            ..StoreStats::default()
        }
    }
}

impl State {
    fn conflict(&self, batch: &Batch) -> Option<CommitError> {
        for key in &batch.require_absent {
            if let Some(current) = self.map.get(key) {
                return Some(CommitError::Conflict {
                    key: key.clone(),
                    current: Some(current.clone()),
                });
            }
        }
        for (key, value) in &batch.require_equal {
            let current = self.map.get(key);
            if current != Some(value) {
                return Some(CommitError::Conflict {
                    key: key.clone(),
                    current: current.cloned(),
                });
            }
        }
        None
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
}
