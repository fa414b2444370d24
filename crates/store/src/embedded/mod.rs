//! The embedded engine: one directory, one process, one log on disk with an index over it.
//!
//! `docs/format/commit-log.md` has what lies on the disk. A commit's way: [`queue`] → [`committer`]
//! (conditions, one group, one sync) → [`index`]. A read's way: [`index`], and for blobs [`blobs`]. A
//! start's way: [`recovery`], which finds the log's end with [`walk`] and replays.

use std::{
    collections::BTreeSet,
    fs::File,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    thread::JoinHandle,
};

use bytes::Bytes;
use tokio::sync::watch;

use crate::{
    batch::{Batch, Direction, Key, KeyRange},
    blob::BlobRef,
    error::{CommitError, StoreError},
    options::{Budget, EmbeddedOptions, MaintenanceReport, StoreStats},
    store::Outcome,
};

mod backup;
mod blobs;
mod committer;
mod disk;
mod erase;
mod files;
mod format;
mod index;
mod queue;
mod reclaim;
mod recover;
mod recovery;
mod segments;
mod snapshot;
mod verify;
mod walk;

pub use backup::BackupReport;
pub use disk::{DiskCall, DiskFault, DiskFaults};
pub(crate) use files::{FileWriter, StagedFile};
pub use recover::RecoverReport;
pub(crate) use recover::{loss_told, recover};
pub(crate) use recovery::open;
pub use verify::{Problem, VerifyReport};

use disk::{Disk, Space};
use format::LogId;
use index::{Index, RESERVED};
use queue::Queue;
use reclaim::{Maintenance, Released};
use segments::Segments;

/// The directory of the ordered index.
const INDEX: &str = "index";
/// A file of this name asks the next start to rebuild the index.
const REBUILD: &str = "rebuild-index";

/// The embedded engine, open.
#[derive(Debug)]
pub(crate) struct Embedded {
    shared: Arc<Shared>,
    committer: Mutex<Option<JoinHandle<()>>>,
}

/// What the committer and the readers share.
#[derive(Debug)]
pub(crate) struct Shared {
    dir: PathBuf,
    log: LogId,
    options: EmbeddedOptions,
    disk: Disk,
    space: Space,
    /// `None` once the store is closed.
    index: RwLock<Option<Index>>,
    segments: Segments,
    files: PathBuf,
    lost: PathBuf,
    snapshots_dir: PathBuf,
    /// Large blobs with this number or a lower one are of an earlier process.
    file_id_start: u64,
    maintenance: Mutex<Maintenance>,
    released: Mutex<Released>,
    queue: Queue,
    /// The commit up to which the index is in tables, synced.
    floor: AtomicU64,
    failed: watch::Sender<Option<Arc<str>>>,
    has_failed: AtomicBool,
    counters: Counters,
    lock: Mutex<Option<File>>,
}

#[derive(Debug, Default)]
struct Counters {
    last_commit: AtomicU64,
    batches: AtomicU64,
    groups: AtomicU64,
    conflicts: AtomicU64,
    log_bytes: AtomicU64,
    group_bytes: AtomicU64,
    throttled: AtomicU64,
    blob_bytes_live: AtomicU64,
    disk_bytes: AtomicU64,
    /// The segment that is written to, or would be next.
    segment: AtomicU32,
    file_id: AtomicU64,
}

impl Embedded {
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) fn failed(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.shared.failed.subscribe()
    }

    pub(crate) fn submit(&self, batch: Batch) -> Outcome {
        let invalid = |reason: String| CommitError::Invalid {
            reason: reason.into(),
        };
        let checked = batch
            .check()
            .and_then(|()| check_keys(&batch))
            .map_err(invalid);
        match checked.and_then(|()| self.shared.queue.submit(batch)) {
            Ok(receiver) => Outcome::Waiting(receiver),
            Err(error) => Outcome::Ready(Some(Err(error))),
        }
    }

    /// Finishes what was submitted, ends the log in good order and gives up the directory.
    pub(crate) async fn close(&self) {
        self.shared.queue.close();
        let thread = self
            .committer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let shared = self.shared.clone();
        let _ = tokio::task::spawn_blocking(move || {
            if let Some(thread) = thread {
                let _ = thread.join();
            }
            shared.let_go();
        })
        .await;
    }

    /// Does what is due, within a budget.
    pub(crate) async fn maintain(&self, budget: Budget) -> Result<MaintenanceReport, StoreError> {
        let shared = self.shared.clone();
        let maintain = tokio::task::spawn_blocking(move || shared.maintain(budget));
        maintain.await.map_err(|_| StoreError::Closed)?
    }

    /// Takes everything that was ever said of rows off the disk.
    pub(crate) async fn erase(&self, keys: BTreeSet<Key>) -> Result<MaintenanceReport, StoreError> {
        let shared = self.shared.clone();
        let erase = tokio::task::spawn_blocking(move || shared.erase(&keys));
        erase.await.map_err(|_| StoreError::Closed)?
    }

    /// Makes a copy of the store.
    pub(crate) async fn backup(&self, target: &Path) -> Result<BackupReport, StoreError> {
        let (shared, target) = (self.shared.clone(), target.to_path_buf());
        let backup = tokio::task::spawn_blocking(move || shared.backup(&target));
        backup.await.map_err(|_| StoreError::Closed)?
    }

    /// Reads everything.
    pub(crate) async fn verify(&self) -> Result<VerifyReport, StoreError> {
        let shared = self.shared.clone();
        let verify = tokio::task::spawn_blocking(move || shared.verify());
        verify.await.map_err(|_| StoreError::Closed)?
    }

    pub(crate) fn stats(&self) -> StoreStats {
        let shared = &self.shared;
        let index_bytes = shared.index().map_or(0, |index| index.disk_bytes());
        StoreStats {
            last_commit: shared.counters.last_commit.load(Relaxed),
            batches: shared.counters.batches.load(Relaxed),
            groups: shared.counters.groups.load(Relaxed),
            conflicts: shared.counters.conflicts.load(Relaxed),
            log_bytes: shared.counters.log_bytes.load(Relaxed),
            group_bytes: shared.counters.group_bytes.load(Relaxed),
            floor: shared.floor.load(Relaxed),
            throttled: shared.counters.throttled.load(Relaxed),
            segments: shared
                .sealed_segments()
                .map_or(0, |sealed| sealed.len() as u64),
            blob_bytes_live: shared.counters.blob_bytes_live.load(Relaxed),
            disk_bytes: index_bytes + shared.counters.disk_bytes.load(Relaxed),
        }
    }
}

impl Drop for Embedded {
    /// Without [`Embedded::close`] the end of the log is as after a crash.
    fn drop(&mut self) {
        let thread = self
            .committer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            self.shared.queue.abandon();
            let _ = thread.join();
            self.shared.let_go();
        }
    }
}

impl Shared {
    /// The index, as long as the store is open.
    fn index(&self) -> Result<Index, StoreError> {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        index.clone().ok_or(StoreError::Closed)
    }

    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.index()?
            .get(key)
            .inspect_err(|error| self.index_failed(error))
    }

    pub(crate) fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Bytes>>, StoreError> {
        self.index()?
            .get_many(keys)
            .inspect_err(|error| self.index_failed(error))
    }

    pub(crate) fn scan(
        &self,
        range: KeyRange,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        let rows = self.index()?.scan(range, direction, limit);
        rows.inspect_err(|error| self.index_failed(error))
    }

    /// The index cannot be read: nothing is lost, but it has to be rebuilt, at the next start.
    fn index_failed(&self, error: &StoreError) {
        if self.has_failed() {
            return;
        }
        // Best effort: a disk that cannot take this will not open the index either.
        let marked = disk::write_file(&self.dir.join(REBUILD), b"");
        let cause = std::error::Error::source(error)
            .map(ToString::to_string)
            .unwrap_or_default();
        tracing::error!(%error, %cause, marked = marked.is_ok(), "the index is damaged");
        self.fail("the index is damaged; the next start rebuilds it from the log".into());
    }

    fn released(&self) -> MutexGuard<'_, Released> {
        self.released.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_failed(&self) -> bool {
        self.has_failed.load(Relaxed)
    }

    /// Refuses everything from now on; only a new start can go on.
    fn fail(&self, reason: Arc<str>) {
        if !self.has_failed.swap(true, Relaxed) {
            tracing::error!(%reason, "the store has failed and takes nothing more; restart to recover");
            self.queue.refuse(&reason);
            self.failed.send_replace(Some(reason));
        }
    }

    /// After a commit: the blobs belong to their rows, the released ones to nobody.
    fn note_blobs(&self, batch: &Batch, references: &[BlobRef]) {
        for (staged, reference) in batch.blobs.iter().zip(references) {
            staged.set_reference(*reference);
            staged.keep();
        }
        if !batch.release.is_empty() {
            self.released().note(&batch.release);
        }
    }

    /// Gives up the index and the directory.
    fn let_go(&self) {
        // Maintenance that is under way ends at its next step, and must not outlive the lock.
        let _maintenance = self
            .maintenance
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let index = self
            .index
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        drop(index);
        // What they hold is in the log, and shall not outlive what was erased there. Best effort: the next
        // start does it again.
        let _ = index::cut_journals(&self.dir.join(INDEX));
        self.lock
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    }

    fn file_path(&self, id: u64) -> PathBuf {
        file_path(&self.files, id)
    }
}

/// The path of a large blob.
fn file_path(files: &Path, id: u64) -> PathBuf {
    files.join(format!("{id:016x}.blob"))
}

/// Users' keys must not be among the engine's own.
fn check_keys(batch: &Batch) -> Result<(), String> {
    let written = batch.put.iter().map(|put| &put.key).chain(&batch.delete);
    for key in written {
        if key.starts_with(&RESERVED) {
            return Err("a key that begins with ff ff ff ff".into());
        }
    }
    Ok(())
}
