//! The store: one cheap handle, whichever engine is behind it.

use std::{
    collections::BTreeSet,
    future::Future,
    ops::Range,
    path::Path,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use tokio::sync::{oneshot, watch};

use crate::{
    batch::{Batch, CommitNumber, Direction, Key, KeyRange},
    blob::{BlobRef, BlobWriter},
    embedded::{self, BackupReport, Embedded, RecoverReport, VerifyReport},
    error::{CommitError, OpenError, StoreError},
    memory::Memory,
    memory_options::MemoryOptions,
    options::{Budget, EmbeddedOptions, MaintenanceReport, StoreStats},
    read_ahead::ReadAhead,
};

/// An ordered map with conditional batches, and blobs. Clones are the same store.
#[derive(Clone, Debug)]
pub struct Store {
    engine: Engine,
    failed: watch::Receiver<Option<Arc<str>>>,
}

#[derive(Clone, Debug)]
enum Engine {
    Embedded(Arc<Embedded>),
    Memory(Arc<Memory>),
}

impl Store {
    /// Opens the store in a directory, and creates it if there is none: the embedded engine. It is
    /// ready when this returns; what had been acknowledged is there.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(dir: &Path, options: EmbeddedOptions) -> Result<Self, OpenError> {
        let dir = dir.to_path_buf();
        let opened = tokio::task::spawn_blocking(move || embedded::open(&dir, options)).await;
        let engine = opened.map_err(|error| OpenError::Io {
            what: "opening the store was interrupted".into(),
            source: std::io::Error::other(error),
        })??;
        let failed = engine.failed();
        Ok(Self {
            engine: Engine::Embedded(Arc::new(engine)),
            failed,
        })
    }

    /// Makes a store usable again that [`Store::open`] refuses because its log is damaged or has lost
    /// acknowledged commits: what can be read is kept, a new epoch begins, the report says what is
    /// gone. A store that opens is left as it is. For `restante recover --accept-loss`; the caller
    /// must write a jump record to every mailbox of a touched account afterwards.
    ///
    /// # Errors
    /// See [`OpenError`]; it may be called again.
    pub async fn recover(dir: &Path, options: EmbeddedOptions) -> Result<RecoverReport, OpenError> {
        let dir = dir.to_path_buf();
        let recovered = tokio::task::spawn_blocking(move || embedded::recover(&dir, options)).await;
        recovered.map_err(|error| OpenError::Io {
            what: "the recovery was interrupted".into(),
            source: std::io::Error::other(error),
        })?
    }

    /// To be called when every account that [`Store::recover`] named has its jump records: the list is
    /// forgotten.
    ///
    /// # Errors
    /// If the list cannot be removed.
    pub fn loss_told(dir: &Path) -> std::io::Result<()> {
        embedded::loss_told(dir)
    }

    /// A new, empty store in memory.
    pub fn memory(options: MemoryOptions) -> Self {
        Self::of_memory(Memory::new(options))
    }

    fn of_memory(engine: Memory) -> Self {
        let failed = engine.failed();
        Self {
            engine: Engine::Memory(Arc::new(engine)),
            failed,
        }
    }

    /// Crashes the memory engine (unless it has crashed, or was closed) and gives a new store with what
    /// was durable; of what waited to be written, a part may be. This store refuses everything from
    /// then on. `options` are those of the new one. `None` from the embedded engine: its tests end processes.
    pub fn crash(&self, options: MemoryOptions) -> Option<Self> {
        match &self.engine {
            Engine::Embedded(_) => None,
            Engine::Memory(engine) => Some(Self::of_memory(engine.crash(options))),
        }
    }

    /// The value of a key.
    ///
    /// # Errors
    /// [`StoreError::Read`], [`StoreError::Damaged`], [`StoreError::Refused`], [`StoreError::Closed`].
    pub async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        match &self.engine {
            Engine::Embedded(engine) => engine.shared().get(key),
            Engine::Memory(engine) => engine.get(key).await,
        }
    }

    /// The values of many keys at one moment, in the order asked. Sorted keys are read fastest.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Bytes>>, StoreError> {
        match &self.engine {
            Engine::Embedded(engine) => engine.shared().get_many(keys),
            Engine::Memory(engine) => engine.get_many(keys).await,
        }
    }

    /// Up to `limit` rows of a range at one moment. An inverted range is empty.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub async fn scan(
        &self,
        range: KeyRange,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        match &self.engine {
            Engine::Embedded(engine) => engine.shared().scan(range, direction, limit),
            Engine::Memory(engine) => engine.scan(range, direction, limit).await,
        }
    }

    /// Begins a blob. `owner` is the key of the row that will carry its reference: the row and the
    /// blob go in one batch.
    pub fn stage(&self, owner: impl Into<Key>) -> BlobWriter {
        match &self.engine {
            Engine::Embedded(engine) => BlobWriter::embedded(engine.shared().clone(), owner.into()),
            Engine::Memory(_) => BlobWriter::memory(owner.into()),
        }
    }

    /// Commits a batch: `Ok` means that all of it is durable.
    ///
    /// # Errors
    /// See [`CommitError`]; only [`CommitError::Unknown`] leaves open whether it happened.
    pub async fn commit(&self, batch: Batch) -> Result<CommitNumber, CommitError> {
        self.submit(batch).await
    }

    /// Hands over a batch now: its place in the order is taken when this returns. The future is the
    /// outcome; dropping it does not take the batch back.
    pub fn submit(&self, batch: Batch) -> CommitFuture {
        match &self.engine {
            Engine::Embedded(engine) => CommitFuture(engine.submit(batch)),
            Engine::Memory(engine) => CommitFuture(engine.submit(batch)),
        }
    }

    /// Reads a part of a blob, checks its checksums and that `owner` owns it. If the store has moved
    /// the blob meanwhile (`blob` is from a row read earlier), it is found through the row.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBlob`] when the row is gone, [`StoreError::Damaged`] when the bytes are
    /// not those that were written, [`StoreError::Range`]; else as [`Store::get`].
    pub async fn read_blob(
        &self,
        owner: &[u8],
        blob: &BlobRef,
        range: Range<u64>,
    ) -> Result<Bytes, StoreError> {
        match &self.engine {
            Engine::Embedded(engine) => engine.shared().read_blob(owner, blob, range).await,
            Engine::Memory(engine) => engine.read_blob(owner, blob, range).await,
        }
    }

    /// As [`Store::read_blob`], of one of the blobs that `ahead` was made for: those after it may be read with it.
    ///
    /// # Errors
    /// As [`Store::read_blob`].
    pub async fn read_blob_ahead(
        &self,
        owner: &[u8],
        blob: &BlobRef,
        range: Range<u64>,
        ahead: &mut ReadAhead,
    ) -> Result<Bytes, StoreError> {
        match &self.engine {
            Engine::Embedded(engine) => {
                let shared = engine.shared();
                shared.read_blob_ahead(owner, blob, range, ahead).await
            }
            Engine::Memory(engine) => engine.read_blob(owner, blob, range).await,
        }
    }

    /// Does what is due: reclaims space, writes the index's snapshot, raises the floor. To be called
    /// from time to time; one call at a time does something, others return at once.
    ///
    /// # Errors
    /// As [`Store::get`]; what was done until then stays done.
    pub async fn maintain(&self, budget: Budget) -> Result<MaintenanceReport, StoreError> {
        match &self.engine {
            Engine::Embedded(engine) => engine.maintain(budget).await,
            Engine::Memory(_) => Ok(MaintenanceReport::default()),
        }
    }

    /// Takes everything that was ever said of rows off the disk, now: of rows that were deleted, and of the
    /// blobs that they owned. Segments that tell of them are emptied and dropped, the snapshots and the
    /// index's tables written anew; the index's journal follows when the store is closed. Takes as long
    /// as reading the log's operations and writing two snapshots; commits and reads go on. If it fails or
    /// is cut short, it is to be called again. A backup made before has the rows still.
    ///
    /// # Errors
    /// [`StoreError::Refused`] if a row exists, or for want of space; [`StoreError::Damaged`] if a segment
    /// cannot be read through; else as [`Store::get`].
    pub async fn erase(&self, keys: BTreeSet<Key>) -> Result<MaintenanceReport, StoreError> {
        match &self.engine {
            Engine::Embedded(engine) => engine.erase(keys).await,
            Engine::Memory(_) => Ok(MaintenanceReport::default()),
        }
    }

    /// Makes a consistent copy of the store in a directory that does not exist or is empty, while the
    /// store works: hard links where possible. The copy opens like any store. The memory engine
    /// has nothing to copy and refuses.
    ///
    /// # Errors
    /// [`StoreError::Read`] if a file cannot be copied; what is in the directory then is no store.
    pub async fn backup(&self, target: &Path) -> Result<BackupReport, StoreError> {
        match &self.engine {
            Engine::Embedded(engine) => engine.backup(target).await,
            Engine::Memory(_) => Err(StoreError::Refused {
                reason: "the memory engine has no files".into(),
            }),
        }
    }

    /// Reads everything and says what is not as it was written. Takes as long as the disk takes to
    /// read the store; may be called while it works.
    ///
    /// # Errors
    /// As [`Store::get`]; what is damaged is not an error but in the report.
    pub async fn verify(&self) -> Result<VerifyReport, StoreError> {
        match &self.engine {
            Engine::Embedded(engine) => engine.verify().await,
            Engine::Memory(_) => Ok(VerifyReport::default()),
        }
    }

    /// Waits until the store has failed for good and says why. From then on every commit is refused;
    /// the process should say so and exit, and its successor recovers. Never returns otherwise.
    pub async fn failed(&self) -> Arc<str> {
        let mut failed = self.failed.clone();
        loop {
            if let Some(reason) = failed.borrow_and_update().clone() {
                return reason;
            }
            if failed.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Finishes what was submitted and closes; later calls answer `Closed`.
    pub async fn close(&self) {
        match &self.engine {
            Engine::Embedded(engine) => engine.close().await,
            Engine::Memory(engine) => engine.close(),
        }
    }

    /// Figures for metrics.
    pub fn stats(&self) -> StoreStats {
        match &self.engine {
            Engine::Embedded(engine) => engine.stats(),
            Engine::Memory(engine) => engine.stats(),
        }
    }
}

/// The outcome of a submitted batch.
#[derive(Debug)]
#[must_use = "the outcome of a batch says whether it is durable"]
pub struct CommitFuture(Outcome);

#[derive(Debug)]
pub(crate) enum Outcome {
    Ready(Option<Result<CommitNumber, CommitError>>),
    Waiting(oneshot::Receiver<Result<CommitNumber, CommitError>>),
}

impl Future for CommitFuture {
    type Output = Result<CommitNumber, CommitError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Outcome::Ready(result) => {
                Poll::Ready(result.take().unwrap_or(Err(CommitError::Closed)))
            }
            // The committer ended without an answer: it may have been written.
            Outcome::Waiting(receiver) => Pin::new(receiver).poll(cx).map(|answer| {
                answer.unwrap_or_else(|_| {
                    Err(CommitError::Unknown {
                        reason: "the committer is gone".into(),
                    })
                })
            }),
        }
    }
}
