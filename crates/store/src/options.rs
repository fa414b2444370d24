//! What can be set, and what is reported.

use std::time::Duration;

use crate::embedded::DiskFaults;

/// Settings of the embedded engine. Sizes in bytes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EmbeddedOptions {
    /// Memory for the index's cache of blocks.
    pub cache_bytes: u64,
    /// How large a segment of the log is. Space is allocated a segment at a time.
    pub segment_bytes: u64,
    /// The index is synced (the floor rises) when this much was logged since.
    pub floor_bytes: u64,
    /// … or when this much time went by with something logged.
    pub floor_interval: Duration,
    /// A snapshot of the index is written when this much was logged since the last one.
    pub snapshot_bytes: u64,
    /// How long a segment that nothing points to any more, and a large blob that no row owns, is
    /// kept before it is unlinked.
    pub grace: Duration,
    /// Space that is kept free for deletes, the index and the snapshot: batches with blobs are
    /// answered [`crate::CommitError::Full`] when less is left.
    pub reserve_bytes: u64,
    /// Opens a directory on a network file system all the same.
    pub allow_network_file_system: bool,
    /// Faults for tests.
    #[doc(hidden)]
    pub faults: Option<DiskFaults>,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        Self {
            cache_bytes: 32 << 20,
            segment_bytes: 256 << 20,
            floor_bytes: 64 << 20,
            floor_interval: Duration::from_secs(60),
            snapshot_bytes: 1 << 30,
            grace: Duration::from_secs(24 * 3600),
            reserve_bytes: 64 << 20,
            allow_network_file_system: false,
            faults: None,
        }
    }
}

/// How much one call of [`crate::Store::maintain`] may do.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Bytes of blobs that may be copied.
    pub copy_bytes: u64,
    /// When to stop, at the latest after the step in hand.
    pub time: Duration,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            copy_bytes: 256 << 20,
            time: Duration::from_secs(10),
        }
    }
}

/// What one call of [`crate::Store::maintain`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MaintenanceReport {
    /// Live blobs copied forward.
    pub blobs_copied: u64,
    /// Their bytes.
    pub bytes_copied: u64,
    /// Segments dropped.
    pub segments_dropped: u64,
    /// Large blobs unlinked.
    pub files_dropped: u64,
    /// Bytes given back to the file system.
    pub bytes_freed: u64,
    /// Parts of the index's snapshot that were written.
    pub snapshot_parts: u64,
    /// More could be done at once.
    pub more: bool,
}

/// Figures for metrics, all since the store was opened where nothing else is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreStats {
    /// The last durable commit.
    pub last_commit: u64,
    /// Batches that were applied.
    pub batches: u64,
    /// Groups that were written, each with one sync.
    pub groups: u64,
    /// Batches refused for a condition.
    pub conflicts: u64,
    /// Bytes written to the log.
    pub log_bytes: u64,
    /// Those of them that are no padding.
    pub group_bytes: u64,
    /// The commit up to which the index is synced.
    pub floor: u64,
    /// Segments of the log on disk.
    pub segments: u64,
    /// Bytes of blobs in segments that rows own, as of the last maintenance (a hint).
    pub blob_bytes_live: u64,
    /// Bytes on disk for the index, and for segments and large blobs as of the last maintenance.
    pub disk_bytes: u64,
    /// Times that the committer waited for the index to keep up.
    pub throttled: u64,
}
