//! Giving space back: live blobs are copied out of segments that are mostly dead, dead segments and
//! dead large blobs are dropped, the snapshot that all this leans on is written.
//!
//! What is dead is never taken from a counter: every blob's owner row is asked. Counters only say
//! where to look.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    Shared,
    disk::sync_dir,
    files,
    format::{GroupHeader, Op},
    index::RESERVED,
    segments::{self, Found, SegmentReader},
    snapshot::{self, Manifest, SnapshotError},
};
use crate::{
    batch::{Batch, CommitNumber, Key, Put},
    blob::{BlobKind, BlobRef, Staged},
    error::{CommitError, StoreError},
    options::{Budget, MaintenanceReport},
};

/// Blobs that are copied at a time, in bytes.
const COPY_BYTES: u64 = 2 << 20;
/// Blobs may have died without a word in [`Batch::release`]: segments are looked at again after this.
const LOOK_AGAIN: Duration = Duration::from_secs(24 * 3600);
/// The turn of the engine's own batches.
pub(crate) const OWN_TURN: u32 = u32::MAX;

/// What maintenance knows from one call to the next.
#[derive(Debug, Default)]
pub(crate) struct Maintenance {
    usage: BTreeMap<u32, Usage>,
    /// Newest first, at most two.
    pub(crate) snapshots: Vec<Manifest>,
    files_checked: bool,
    /// Large blobs in `lost/` and since when.
    lost: Vec<(PathBuf, Instant)>,
}

impl Maintenance {
    pub(crate) fn new(mut snapshots: Vec<Manifest>) -> Self {
        snapshots.truncate(2);
        Self {
            snapshots,
            ..Self::default()
        }
    }
}

/// What a sealed segment holds.
#[derive(Clone, Copy, Debug)]
struct Usage {
    bytes: u64,
    last_commit: u64,
    blob_bytes: u64,
    live_bytes: u64,
    /// Released since it was looked at.
    released_bytes: u64,
    /// Found without live blobs: when, and at which commit.
    dead_since: Option<(Instant, u64)>,
    /// It could not be read through; it stays as it is.
    damaged: bool,
    looked: Instant,
}

/// What batches released since maintenance looked.
#[derive(Debug, Default)]
pub(crate) struct Released {
    segments: BTreeMap<u32, u64>,
    files: Vec<u64>,
}

impl Released {
    pub(crate) fn note(&mut self, blobs: &[BlobRef]) {
        for blob in blobs {
            match blob.kind {
                BlobKind::Segment => *self.segments.entry(blob.segment).or_default() += blob.length,
                BlobKind::File => self.files.push(blob.offset),
                BlobKind::Memory => {}
            }
        }
    }
}

/// The row that says that a segment was dropped on purpose.
pub(crate) fn dropped_key(segment: u32) -> Key {
    let mut key = RESERVED.to_vec();
    key.push(b'd');
    key.extend_from_slice(&segment.to_be_bytes());
    key
}

/// The segment that a row says was dropped.
pub(crate) fn dropped_segment(key: &[u8]) -> Option<u32> {
    let number = key.strip_prefix(&RESERVED)?.strip_prefix(b"d")?;
    Some(u32::from_be_bytes(number.try_into().ok()?))
}

/// The row that names the snapshots.
fn snapshots_key() -> Key {
    [&RESERVED[..], b"s"].concat()
}

impl Shared {
    /// Does what is due, within a budget. Blocks. One call at a time.
    pub(crate) fn maintain(&self, budget: Budget) -> Result<MaintenanceReport, StoreError> {
        let mut report = MaintenanceReport::default();
        let Ok(mut state) = self.maintenance.try_lock() else {
            return Ok(report);
        };
        let state = &mut *state;
        let deadline = Instant::now() + budget.time;
        let over = || Instant::now() >= deadline || self.has_failed() || self.queue.is_closing();

        self.look_at_files(state, &mut report)?;
        self.look_at_segments(state, &mut report, &over)?;
        // Without space neither of the first two works, but the third gives some back.
        let copied = self.copy_forward(state, budget, &mut report, &over);
        let written = self.snapshot_if_due(state, &mut report);
        self.drop_segments(state, &mut report)?;
        let bytes = directory_bytes(self.segments.dir()) + directory_bytes(&self.files);
        self.counters.disk_bytes.store(bytes, Relaxed);
        copied.and(written).map(|()| report)
    }

    /// Commits one of the engine's own batches, and waits for it.
    fn commit_own(&self, batch: Batch) -> Result<CommitNumber, CommitError> {
        let unknown = |_| CommitError::Unknown {
            reason: "the committer is gone".into(),
        };
        self.queue.submit(batch)?.blocking_recv().map_err(unknown)?
    }

    /// Looks through the sealed segments that are new or from which much was released.
    fn look_at_segments(
        &self,
        state: &mut Maintenance,
        report: &mut MaintenanceReport,
        over: &impl Fn() -> bool,
    ) -> Result<(), StoreError> {
        let released = std::mem::take(&mut self.released().segments);
        for (number, bytes) in released {
            if let Some(usage) = state.usage.get_mut(&number) {
                usage.released_bytes += bytes;
            }
        }
        let sealed = self.sealed_segments().map_err(|e| io_error("the log", e))?;
        state
            .usage
            .retain(|number, _| sealed.binary_search(number).is_ok());
        for number in sealed {
            let known = state.usage.get(&number);
            let stale = known.is_none_or(|usage| {
                let live = usage.live_bytes.saturating_sub(usage.released_bytes);
                usage.looked.elapsed() >= LOOK_AGAIN
                    || usage.released_bytes > 0 && live * 2 < usage.blob_bytes
            });
            if !stale {
                continue;
            }
            if over() {
                report.more = true;
                break;
            }
            let usage = self.usage(number)?;
            state.usage.insert(number, usage);
        }
        let live = state.usage.values().map(|usage| usage.live_bytes).sum();
        self.counters.blob_bytes_live.store(live, Relaxed);
        Ok(())
    }

    /// The numbers of the segments that are not written to any more, ascending.
    pub(crate) fn sealed_segments(&self) -> io::Result<Vec<u32>> {
        let mut numbers = segments::list(self.segments.dir())?;
        let active = self.counters.segment.load(Relaxed);
        numbers.retain(|number| *number < active);
        Ok(numbers)
    }

    /// Looks through one segment.
    fn usage(&self, number: u32) -> Result<Usage, StoreError> {
        let mut usage = Usage {
            bytes: 0,
            last_commit: 0,
            blob_bytes: 0,
            live_bytes: 0,
            released_bytes: 0,
            dead_since: None,
            damaged: false,
            looked: Instant::now(),
        };
        let observed = self.counters.last_commit.load(Relaxed);
        let whole = self.each_blob(number, |group, blob, row| {
            usage.last_commit = usage.last_commit.max(group.last());
            usage.bytes = group.end();
            if let Some((_, blob)) = blob {
                usage.blob_bytes += blob.length;
                if row.is_some() {
                    usage.live_bytes += blob.length;
                }
            }
            Ok(())
        })?;
        usage.damaged = !whole;
        usage.dead_since = (usage.live_bytes == 0).then(|| (Instant::now(), observed));
        Ok(usage)
    }

    /// Shows every group of a segment, and every blob that was put into it; with the row if it still
    /// owns the blob. Returns whether all of the segment could be read.
    fn each_blob(
        &self,
        number: u32,
        mut see: impl FnMut(
            &GroupHeader,
            Option<(&OwnedBlob, BlobRef)>,
            Option<&Bytes>,
        ) -> Result<(), StoreError>,
    ) -> Result<bool, StoreError> {
        let what = || format!("segment {number}");
        let failed = |error| io_error(&what(), error);
        let segment = SegmentReader::open(self.segments.dir(), number, self.log).map_err(failed)?;
        let mut offset = 0;
        loop {
            let group = match segment.header(offset).map_err(failed)? {
                Found::Group(group) => group,
                Found::Nothing => return Ok(offset >= segment.length),
                Found::Other(_) => return Ok(false),
            };
            offset = group.end();
            see(&group, None, None)?;
            let Ok(batches) = segment.operations(&group).map_err(failed)? else {
                return Ok(false);
            };
            for op in batches.into_iter().flat_map(|batch| batch.ops) {
                let Op::Put {
                    key,
                    value,
                    blob: Some((at, _)),
                } = op
                else {
                    continue;
                };
                let at = at as usize;
                let Some(blob) = value.get(at..).and_then(BlobRef::from_bytes) else {
                    return Ok(false);
                };
                if blob.kind != BlobKind::Segment || blob.segment != number {
                    continue;
                }
                let row = self.get(&key)?.filter(|row| owns(row, at, &blob));
                see(
                    &group,
                    Some((&OwnedBlob { owner: key, at }, blob)),
                    row.as_ref(),
                )?;
            }
        }
    }

    /// Copies the live blobs out of segments with less than half live bytes.
    fn copy_forward(
        &self,
        state: &mut Maintenance,
        budget: Budget,
        report: &mut MaintenanceReport,
        over: &impl Fn() -> bool,
    ) -> Result<(), StoreError> {
        let wanted: Vec<u32> = state
            .usage
            .iter()
            .filter(|(_, usage)| !usage.damaged && usage.live_bytes > 0)
            .filter(|(_, usage)| usage.live_bytes * 2 < usage.blob_bytes)
            .map(|(number, _)| *number)
            .collect();
        for number in wanted {
            if over() || report.bytes_copied >= budget.copy_bytes {
                report.more = true;
                break;
            }
            let full = self.empty(state, number, report)?;
            if full {
                tracing::warn!(
                    "there is no space to copy live blobs; segments that are dead still go"
                );
                break;
            }
        }
        Ok(())
    }

    /// Copies the live blobs out of a segment. True: there was no space for all of them.
    pub(crate) fn empty(
        &self,
        state: &mut Maintenance,
        number: u32,
        report: &mut MaintenanceReport,
    ) -> Result<bool, StoreError> {
        let mut copy = Copy {
            shared: self,
            waiting: Vec::new(),
            bytes: 0,
            full: false,
            report,
        };
        self.each_blob(number, |_, blob, row| match (blob, row) {
            (Some((owned, blob)), Some(row)) => copy.add(owned, &blob, row),
            _ => Ok(()),
        })?;
        copy.wait()?;
        let full = copy.full;
        let usage = self.usage(number)?;
        state.usage.insert(number, usage);
        Ok(full)
    }

    /// Writes a snapshot if the log has grown enough since the last one, or if one is all that keeps
    /// dead segments from being dropped.
    fn snapshot_if_due(
        &self,
        state: &mut Maintenance,
        report: &mut MaintenanceReport,
    ) -> Result<(), StoreError> {
        let newest = state.snapshots.first().map_or(0, Manifest::commit);
        let since = state
            .usage
            .values()
            .filter(|usage| usage.last_commit > newest);
        let grown = since.map(|usage| usage.bytes).sum::<u64>() >= self.options.snapshot_bytes;
        let covered = covered(&state.snapshots);
        let floor = self.floor.load(Relaxed);
        let blocked = state
            .usage
            .values()
            .any(|usage| usage.last_commit > covered && self.is_ripe(usage, floor));
        if !grown && !blocked {
            return Ok(());
        }
        let manifest = self.write_snapshot(state)?;
        report.snapshot_parts += manifest;
        report.more |= blocked;
        Ok(())
    }

    /// Writes a snapshot, and says so in the log. Returns how many parts were written.
    pub(crate) fn write_snapshot(&self, state: &mut Maintenance) -> Result<u64, StoreError> {
        let index = self.index()?;
        let commit = || self.counters.last_commit.load(Relaxed);
        let before = state.snapshots.first();
        let (manifest, parts) =
            snapshot::write(&self.snapshots_dir, &self.log, &index, before, commit)
                .map_err(snapshot_error)?;
        let mut batch = Batch::new(OWN_TURN);
        let mut value = Vec::new();
        for manifest in std::iter::once(&manifest).chain(before) {
            value.extend_from_slice(&manifest.generation.to_be_bytes());
            value.extend_from_slice(&manifest.commit().to_be_bytes());
        }
        batch.put(snapshots_key(), value);
        self.commit_own(batch).map_err(commit_error)?;
        state.snapshots.insert(0, manifest);
        state.snapshots.truncate(2);
        let keep: Vec<&Manifest> = state.snapshots.iter().collect();
        snapshot::sweep(&self.snapshots_dir, &keep).map_err(|e| io_error("the snapshots", e))?;
        Ok(parts)
    }

    /// Whether nothing but the snapshots may still need a segment.
    fn is_ripe(&self, usage: &Usage, floor: u64) -> bool {
        let Some((since, commit)) = usage.dead_since else {
            return false;
        };
        !usage.damaged && commit <= floor && since.elapsed() >= self.options.grace
    }

    /// Drops the segments that nothing needs any more. Logged first, unlinked second.
    fn drop_segments(
        &self,
        state: &mut Maintenance,
        report: &mut MaintenanceReport,
    ) -> Result<(), StoreError> {
        let floor = self.floor.load(Relaxed);
        let covered = covered(&state.snapshots);
        let ripe: Vec<u32> = state
            .usage
            .iter()
            .filter(|(_, usage)| {
                usage.last_commit <= covered.min(floor) && self.is_ripe(usage, floor)
            })
            .map(|(number, _)| *number)
            .collect();
        for number in ripe {
            self.drop_segment(state, number, report)?;
        }
        Ok(())
    }

    /// Drops a segment that the snapshots do not need, unless something lives in it. False: it stays.
    pub(crate) fn drop_segment(
        &self,
        state: &mut Maintenance,
        number: u32,
        report: &mut MaintenanceReport,
    ) -> Result<bool, StoreError> {
        let usage = self.usage(number)?;
        if usage.damaged || usage.live_bytes > 0 {
            state.usage.insert(number, usage);
            return Ok(false);
        }
        let mut batch = Batch::new(OWN_TURN);
        batch.put(
            dropped_key(number),
            usage.last_commit.to_be_bytes().to_vec(),
        );
        self.commit_own(batch).map_err(commit_error)?;
        self.segments.forget(number);
        let unlink = || {
            std::fs::remove_file(segments::path(self.segments.dir(), number))?;
            sync_dir(self.segments.dir())
        };
        unlink().map_err(|error| io_error(&format!("segment {number}"), error))?;
        state.usage.remove(&number);
        report.segments_dropped += 1;
        report.bytes_freed += usage.bytes;
        Ok(true)
    }

    /// Large blobs without an owner go to `lost/`, and after the grace away.
    fn look_at_files(
        &self,
        state: &mut Maintenance,
        report: &mut MaintenanceReport,
    ) -> Result<(), StoreError> {
        let failed = |error| io_error("the large blobs", error);
        let mut candidates: Vec<PathBuf> = std::mem::take(&mut self.released().files)
            .into_iter()
            .map(|id| self.file_path(id))
            .collect();
        if !state.files_checked {
            // What earlier processes left: anything older than this one's first.
            let old = |path: &Path| files::file_id(path).is_some_and(|id| id <= self.file_id_start);
            candidates.extend(
                list(&self.files)
                    .map_err(failed)?
                    .into_iter()
                    .filter(|p| old(p)),
            );
            let now = Instant::now();
            let lost = list(&self.lost).map_err(failed)?;
            let is_blob = |path: &PathBuf| files::file_id(path).is_some();
            state
                .lost
                .extend(lost.into_iter().filter(is_blob).map(|path| (path, now)));
            state.files_checked = true;
        }
        for path in candidates {
            if self.file_is_owned(&path)? {
                continue;
            }
            let Some(name) = path.file_name() else {
                continue;
            };
            let aside = self.lost.join(name);
            match std::fs::rename(&path, &aside) {
                Ok(()) => state.lost.push((aside, Instant::now())),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed(error)),
            }
        }
        let grace = self.options.grace;
        let mut result = Ok(());
        state.lost.retain(|(path, since)| {
            if since.elapsed() < grace || result.is_err() {
                return true;
            }
            match files::unlink(path) {
                Ok(bytes) => {
                    report.files_dropped += u64::from(bytes.is_some());
                    report.bytes_freed += bytes.unwrap_or(0);
                    false
                }
                Err(error) => {
                    result = Err(failed(error));
                    true
                }
            }
        });
        result
    }

    /// Whether a row owns the large blob in a file.
    pub(crate) fn file_is_owned(&self, path: &Path) -> Result<bool, StoreError> {
        let described = match files::describe(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
            other => other.map_err(|error| io_error("a large blob", error))?,
        };
        let (Some((owner, length)), Some(id)) = (described, files::file_id(path)) else {
            return Ok(false);
        };
        let blob = BlobRef {
            kind: BlobKind::File,
            codec: 0,
            segment: 0,
            offset: id,
            length,
        };
        let row = self.get(&owner)?;
        let reference = blob.to_bytes();
        Ok(row.is_some_and(|row| row.windows(BlobRef::BYTES).any(|bytes| bytes == reference)))
    }
}

/// A blob's owner: its row, and where in it the reference is.
struct OwnedBlob {
    owner: Bytes,
    at: usize,
}

fn owns(row: &Bytes, at: usize, blob: &BlobRef) -> bool {
    row.get(at..).and_then(BlobRef::from_bytes) == Some(*blob)
}

/// Copies blobs forward, some at a time.
struct Copy<'a> {
    shared: &'a Shared,
    waiting: Vec<Waiting>,
    bytes: u64,
    full: bool,
    report: &'a mut MaintenanceReport,
}

type Waiting = (
    u64,
    tokio::sync::oneshot::Receiver<Result<CommitNumber, CommitError>>,
);

impl Copy<'_> {
    fn add(&mut self, owned: &OwnedBlob, blob: &BlobRef, row: &Bytes) -> Result<(), StoreError> {
        let bytes = match self
            .shared
            .read_blob_blocking(&owned.owner, blob, &(0..blob.length))
        {
            Ok(bytes) => bytes,
            // Damaged, or gone meanwhile: it stays where it is, and so does its segment.
            Err(error) => {
                tracing::error!(%error, "a blob cannot be copied");
                return Ok(());
            }
        };
        let mut batch = Batch::new(OWN_TURN);
        batch
            .require_equal
            .push((owned.owner.to_vec(), row.clone()));
        let index = batch.attach(Staged::memory(owned.owner.to_vec(), bytes));
        batch.put.push(Put::with_blob(
            owned.owner.to_vec(),
            row.clone(),
            index,
            owned.at,
        ));
        let receiver = self.shared.queue.submit(batch).map_err(commit_error)?;
        self.waiting.push((blob.length, receiver));
        self.bytes += blob.length;
        if self.bytes >= COPY_BYTES {
            self.wait()
        } else {
            Ok(())
        }
    }

    fn wait(&mut self) -> Result<(), StoreError> {
        self.bytes = 0;
        for (length, receiver) in self.waiting.drain(..) {
            match receiver.blocking_recv() {
                Ok(Ok(_)) => {
                    self.report.blobs_copied += 1;
                    self.report.bytes_copied += length;
                }
                // The row was changed or deleted meanwhile.
                Ok(Err(CommitError::Conflict { .. })) => {}
                Ok(Err(CommitError::Full { .. })) => self.full = true,
                Ok(Err(error)) => return Err(commit_error(error)),
                Err(_) => return Err(StoreError::Closed),
            }
        }
        Ok(())
    }
}

/// The bytes of the files in a directory, as far as they can be told.
fn directory_bytes(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return 0;
    };
    entries
        .flatten()
        .filter_map(|entry| entry.metadata().ok())
        .map(|file| file.len())
        .sum()
}

/// The commit up to which no snapshot that is kept needs the log; 0 before there are two.
fn covered(snapshots: &[Manifest]) -> u64 {
    match snapshots {
        [newer, older, ..] => newer.commit().min(older.commit()),
        _ => 0,
    }
}

fn list(dir: &Path) -> io::Result<Vec<PathBuf>> {
    std::fs::read_dir(dir)?
        .map(|entry| Ok(entry?.path()))
        .collect()
}

pub(crate) fn io_error(what: &str, error: io::Error) -> StoreError {
    StoreError::Read {
        what: what.into(),
        source: std::sync::Arc::new(error),
    }
}

fn snapshot_error(error: SnapshotError) -> StoreError {
    match error {
        SnapshotError::Index(error) => error,
        SnapshotError::Io(error) => io_error("the snapshot", error),
        SnapshotError::ReadBack(what) => StoreError::Damaged {
            what: what.into(),
            owner: None,
        },
    }
}

pub(crate) fn commit_error(error: CommitError) -> StoreError {
    match error {
        CommitError::Closed => StoreError::Closed,
        CommitError::Refused { reason } | CommitError::Unknown { reason } => {
            StoreError::Refused { reason }
        }
        error => StoreError::Refused {
            reason: error.to_string().into(),
        },
    }
}
