//! An ordered map with conditional batches, and blobs; its engines.
//!
//! What it does: [`Store`] holds keys in byte order and blobs (messages) beside them. A [`Batch`]
//! happens whole or not at all, only if its conditions hold, and `Ok` means that it is durable, its
//! blobs included. Two engines give the same contract: the *embedded* one ([`Store::open`]: one
//! directory, one process, one log on disk with an index over it) and the *memory* one
//! ([`Store::memory`]: for tests, nothing survives the process).
//!
//! What it does not do: it knows nothing of mail, of accounts beyond [`Batch::turn`], or of what
//! the values mean. It has no transactions with reads: a writer reads, then states what it read as
//! conditions of its batch, and builds again after a [`CommitError::Conflict`].
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! use restante_store::{Batch, MemoryOptions, Put, Store};
//!
//! let store = Store::memory(MemoryOptions::default());
//! // A row and the blob that it owns go in one batch.
//! let mut writer = store.stage(b"email/1".to_vec());
//! writer.write(b"Subject: hi\r\n\r\nhello\r\n").await?;
//! let staged = writer.finish().await?;
//!
//! let mut batch = Batch::new(7);
//! batch.require_absent.push(b"email/1".to_vec());
//! let blob = batch.attach(staged.clone());
//! // The value has room for the 24-byte reference at offset 1.
//! batch.put.push(Put::with_blob(b"email/1".to_vec(), vec![1; 25], blob, 1));
//! store.commit(batch).await?;
//!
//! let reference = staged.reference().expect("set by the commit");
//! let bytes = store.read_blob(b"email/1", &reference, 0..11).await?;
//! assert_eq!(&bytes[..], b"Subject: hi");
//! # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
//! ```

mod batch;
mod blob;
mod embedded;
mod error;
mod memory;
mod memory_options;
mod options;
mod read_ahead;
mod store;

pub use batch::{Batch, CommitNumber, Direction, Key, KeyRange, Put, prefix_range};
pub use blob::{BLOB_FILE_BYTES_MIN, BlobKind, BlobRef, BlobWriter, Staged};
pub use embedded::{BackupReport, Problem, RecoverReport, VerifyReport};
#[doc(hidden)]
pub use embedded::{DiskCall, DiskFault, DiskFaults};
pub use error::{CommitError, Damage, OpenError, StageError, StoreError};
pub use memory_options::MemoryOptions;
pub use options::{Budget, EmbeddedOptions, MaintenanceReport, StoreStats};
pub use read_ahead::ReadAhead;
pub use store::{CommitFuture, Store};
