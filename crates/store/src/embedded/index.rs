//! The ordered index over the log: fjall, and nothing but what can be derived from the log.
//!
//! Its journals are worth nothing to us: what is not in its tables at the last floor is replayed
//! from the log. So they are cut to nothing before every open, and how they were torn does not
//! matter (see `docs/decisions/`). They are never removed: without one, fjall would begin again with
//! its sequence numbers, and new rows would hide behind old ones.

use std::{
    collections::HashMap,
    fs::OpenOptions,
    ops::{Bound, ControlFlow},
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::Arc,
};

use bytes::Bytes;
use fjall::{
    AbstractTree, CompressionType, Database, Keyspace, KeyspaceCreateOptions, PersistMode,
    Readable, config::BlockSizePolicy,
};

use super::format::LogId;
use crate::{
    batch::{Direction, Key, KeyRange, is_empty},
    error::StoreError,
};

/// Keys that begin so are the engine's own.
pub(crate) const RESERVED: [u8; 4] = [0xff; 4];

/// From how many keys on a scan may be cheaper than asking for each.
const SCAN_KEYS_MIN: usize = 16;

/// The row that says which log the index belongs to and up to which commit its tables are whole.
const MARK: [u8; 5] = [0xff, 0xff, 0xff, 0xff, b'm'];

/// The rows that a group changes, in their last state.
pub(crate) type Overlay = HashMap<Bytes, Option<Bytes>>;

/// What the index says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) log: LogId,
    pub(crate) epoch: u32,
    /// Everything up to this commit is in the tables, if this row is.
    pub(crate) commit: u64,
}

impl Mark {
    fn to_bytes(self) -> [u8; 28] {
        let mut out = [0; 28];
        out[..16].copy_from_slice(&self.log);
        out[16..20].copy_from_slice(&self.epoch.to_be_bytes());
        out[20..].copy_from_slice(&self.commit.to_be_bytes());
        out
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; 28] = bytes.try_into().ok()?;
        let (log, rest) = bytes.split_first_chunk::<16>()?;
        let (epoch, commit) = rest.split_first_chunk::<4>()?;
        let commit = u64::from_be_bytes(commit.try_into().ok()?);
        Some(Self {
            log: *log,
            epoch: u32::from_be_bytes(*epoch),
            commit,
        })
    }
}

/// Why a visit ended early.
#[derive(Debug)]
pub(crate) enum VisitError {
    Index(StoreError),
    Io(std::io::Error),
}

/// The index, open.
#[derive(Clone)]
pub(crate) struct Index {
    database: Database,
    rows: Keyspace,
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Index")
    }
}

impl Index {
    /// Opens or creates an index; only what is in its tables is there.
    pub(crate) fn open(dir: &Path, cache_bytes: u64) -> Result<Self, String> {
        cut_journals(dir).map_err(|error| format!("cannot cut the journals: {error}"))?;
        // A damaged index may make the library panic; that is a reason to rebuild, not to die.
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let database = Database::builder(dir)
                .cache_size(cache_bytes)
                .max_cached_files(Some(256))
                .journal_compression(CompressionType::None)
                .manual_journal_persist(true)
                .worker_threads(2)
                .open()?;
            let rows = database.keyspace("rows", || {
                KeyspaceCreateOptions::default()
                    .manual_journal_persist(true)
                    .data_block_size_policy(BlockSizePolicy::all(8 << 10))
                    // Larger than what is logged between two floors: only the floor rotates it.
                    .max_memtable_size(192 << 20)
            })?;
            Ok::<_, fjall::Error>(Self { database, rows })
        }));
        match opened {
            Ok(Ok(index)) => Ok(index),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("the index is damaged".into()),
        }
    }

    /// What the tables say they hold; `None` for a new index.
    pub(crate) fn mark(&self) -> Result<Option<Mark>, StoreError> {
        Ok(self.get(&MARK)?.and_then(|bytes| Mark::from_bytes(&bytes)))
    }

    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        Ok(self.rows.get(key).map_err(failed)?.map(detach))
    }

    /// Reads at one moment. Ascending keys that lie close together are read as one scan, as long as
    /// little lies between them.
    pub(crate) fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Bytes>>, StoreError> {
        let snapshot = self.database.snapshot();
        let mut values = Vec::with_capacity(keys.len());
        if let (Some(first), Some(last)) = (keys.first(), keys.last())
            && keys.len() >= SCAN_KEYS_MIN
            && keys.is_sorted()
        {
            let mut rows = snapshot.range(&self.rows, first.as_slice()..=last.as_slice());
            let mut row = next_row(&mut rows)?;
            let mut between = 0;
            'keys: for key in keys {
                while row.as_ref().is_some_and(|(at, _)| **at < **key) {
                    between += 1;
                    if between > values.len() + SCAN_KEYS_MIN {
                        break 'keys;
                    }
                    row = next_row(&mut rows)?;
                }
                // The same key may be asked again: the row stays.
                let found = row.as_ref().filter(|(at, _)| **at == **key);
                values.push(found.map(|(_, value)| detach(value.clone())));
            }
        }
        for key in &keys[values.len()..] {
            values.push(snapshot.get(&self.rows, key).map_err(failed)?.map(detach));
        }
        Ok(values)
    }

    /// Reads at one moment; the engine's own rows are not in the range of all keys.
    pub(crate) fn scan(
        &self,
        range: KeyRange,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        let end = match range.1 {
            Bound::Included(end) if end[..] < RESERVED[..] => Bound::Included(end),
            Bound::Excluded(end) if end[..] <= RESERVED[..] => Bound::Excluded(end),
            _ => Bound::Excluded(RESERVED.to_vec()),
        };
        self.scan_all((range.0, end), direction, limit)
    }

    /// As [`Index::scan`], the engine's own rows too.
    pub(crate) fn scan_all(
        &self,
        range: KeyRange,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        if is_empty(&range) {
            return Ok(Vec::new());
        }
        let entries = self.database.snapshot().range(&self.rows, range);
        let entry = |guard: fjall::Guard| {
            let (key, value) = guard.into_inner().map_err(failed)?;
            Ok((Bytes::from(key), Bytes::from(value)))
        };
        match direction {
            Direction::Ascending => entries.take(limit).map(entry).collect(),
            Direction::Descending => entries.rev().take(limit).map(entry).collect(),
        }
    }

    /// Shows every row of a range but the mark, at one moment, in order, until `see` breaks.
    pub(crate) fn visit(
        &self,
        range: KeyRange,
        mut see: impl FnMut(Bytes, Bytes) -> std::io::Result<ControlFlow<()>>,
    ) -> Result<(), VisitError> {
        if is_empty(&range) {
            return Ok(());
        }
        for guard in self.database.snapshot().range(&self.rows, range) {
            let (key, value) = guard
                .into_inner()
                .map_err(|e| VisitError::Index(failed(e)))?;
            if *key == MARK {
                continue;
            }
            if see(key.into(), value.into())
                .map_err(VisitError::Io)?
                .is_break()
            {
                break;
            }
        }
        Ok(())
    }

    /// Loads rows that are sorted, into an index that nobody reads yet. Fast; not through memory.
    pub(crate) fn load(
        &self,
        rows: impl Iterator<Item = Result<(Bytes, Bytes), String>>,
    ) -> Result<(), String> {
        let mut ingestion = self
            .rows
            .start_ingestion()
            .map_err(|error| error.to_string())?;
        for row in rows {
            let (key, value) = row?;
            ingestion
                .write(key, value)
                .map_err(|error| error.to_string())?;
        }
        ingestion.finish().map_err(|error| error.to_string())
    }

    /// Applies the rows of a group, in one step for readers. Not synced.
    pub(crate) fn apply(&self, overlay: Overlay) -> Result<(), String> {
        let mut batch = self.database.batch().durability(None);
        for (key, value) in overlay {
            match value {
                Some(value) => batch.insert(&self.rows, key, value),
                None => batch.remove(&self.rows, key),
            }
        }
        batch.commit().map_err(|error| error.to_string())
    }

    /// Says that everything up to `mark` has been applied, and begins to write it into tables. The
    /// mark is durable when [`Index::flushed`] says so, and everything before it too.
    pub(crate) fn begin_floor(&self, mark: Mark) -> Result<(), String> {
        let error = |error: fjall::Error| error.to_string();
        self.rows
            .insert(MARK, mark.to_bytes().to_vec())
            .map_err(error)?;
        self.rows.rotate_memtable().map_err(error)?;
        Ok(())
    }

    /// Whether what was rotated is in tables, synced.
    pub(crate) fn flushed(&self) -> bool {
        self.rows.tree.sealed_memtable_count() == 0
    }

    /// Whether the index has failed for good (one of the library's workers met an error).
    pub(crate) fn check(&self) -> Result<(), String> {
        self.database
            .persist(PersistMode::Buffer)
            .map_err(|error| error.to_string())
    }

    /// Whether the index lags behind so far that the library would soon put its writers to sleep.
    pub(crate) fn lags(&self) -> bool {
        self.rows.tree.sealed_memtable_count() >= 2 || self.rows.tree.l0_run_count() >= 16
    }

    /// Writes all tables anew, without what was deleted or replaced. Blocks; reads and writes go on.
    pub(crate) fn compact(&self) -> Result<(), String> {
        self.rows.major_compact().map_err(|error| error.to_string())
    }

    /// Bytes of its tables and journals on disk.
    pub(crate) fn disk_bytes(&self) -> u64 {
        self.rows.disk_space()
    }
}

fn next_row(rows: &mut fjall::Iter) -> Result<Option<fjall::KvPair>, StoreError> {
    rows.next()
        .map(fjall::Guard::into_inner)
        .transpose()
        .map_err(failed)
}

/// A small value as its own allocation, so that keeping it does not keep the block that it is in.
fn detach(value: fjall::Slice) -> Bytes {
    if value.len() < 4096 {
        Bytes::copy_from_slice(&value)
    } else {
        value.into()
    }
}

/// Cuts every journal of an index to nothing. None is removed.
pub(crate) fn cut_journals(dir: &Path) -> std::io::Result<()> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "jnl") {
            let file = OpenOptions::new().write(true).open(&path)?;
            file.set_len(0)?;
            file.sync_all()?;
        }
    }
    Ok(())
}

fn failed(error: fjall::Error) -> StoreError {
    StoreError::Read {
        what: "the index".into(),
        source: Arc::new(error),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn many_are_what_each_is() {
        let dir = tempfile::tempdir().unwrap();
        let index = Index::open(dir.path(), 1 << 20).unwrap();
        let rows = (0..3000u32).step_by(3).map(|n| {
            let key = Bytes::copy_from_slice(&n.to_be_bytes());
            (key.clone(), Some(key))
        });
        index.apply(rows.collect()).unwrap();
        let config = ProptestConfig::with_cases(64);
        let strategy = (
            prop::collection::vec(0..3100u32, 0..200),
            1..60u32,
            any::<bool>(),
        );
        proptest!(config, |((mut numbers, spread, sorted) in strategy)| {
            for number in &mut numbers {
                *number /= spread;
            }
            if sorted {
                numbers.sort_unstable();
            }
            let keys: Vec<Key> = numbers.iter().map(|n| n.to_be_bytes().to_vec()).collect();
            let many = index.get_many(&keys).unwrap();
            let each: Vec<_> = keys.iter().map(|key| index.get(key).unwrap()).collect();
            prop_assert_eq!(many, each);
        });
    }
}
