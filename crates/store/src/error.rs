//! What can go wrong, named by what it means for the caller.

use std::{fmt, io, path::PathBuf, sync::Arc};

use bytes::Bytes;

use crate::batch::Key;

/// Why a commit did not answer `Ok`.
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// A condition did not hold; nothing was changed. Read again and build again.
    #[error("another writer was first")]
    Conflict {
        /// The first key whose condition failed.
        key: Key,
        /// What is there instead, in the order of the log.
        current: Option<Bytes>,
    },
    /// It may have happened or not. The embedded engine refuses every later commit until it has been
    /// opened again, see [`crate::Store::failed`].
    #[error("outcome unknown: {reason}")]
    Unknown {
        /// For the log.
        reason: Arc<str>,
    },
    /// There is no room on the disk: definitely not applied, and it may be tried again later.
    #[error("no space: {reason}")]
    Full {
        /// For the log.
        reason: Arc<str>,
    },
    /// Definitely not applied, and neither will anything after it, because of an earlier failure.
    #[error("store refuses commits: {reason}")]
    Refused {
        /// For the log.
        reason: Arc<str>,
    },
    /// Definitely not applied: the store has been closed.
    #[error("store is closed")]
    Closed,
    /// Definitely not applied: the batch itself is wrong (API misuse).
    #[error("invalid batch: {reason}")]
    Invalid {
        /// What is wrong with it.
        reason: Arc<str>,
    },
}

impl fmt::Debug for CommitError {
    /// Without the value of a row: it may be long, and it is not for logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict { key, current } => {
                let current = current
                    .as_ref()
                    .map(|value| format!("{} bytes", value.len()));
                write!(f, "Conflict {{ key: {key:02x?}, current: {current:?} }}")
            }
            Self::Unknown { reason } => write!(f, "Unknown({reason})"),
            Self::Full { reason } => write!(f, "Full({reason})"),
            Self::Refused { reason } => write!(f, "Refused({reason})"),
            Self::Closed => f.write_str("Closed"),
            Self::Invalid { reason } => write!(f, "Invalid({reason})"),
        }
    }
}

/// Why a read failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The disk or the index could not be read.
    #[error("cannot read {what}")]
    Read {
        /// What was being read.
        what: Arc<str>,
        /// The cause.
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// What was read is not what was written.
    #[error("damaged: {what}")]
    Damaged {
        /// What is damaged, and where.
        what: Arc<str>,
        /// The row whose blob is damaged, if it is a blob.
        owner: Option<Key>,
    },
    /// The row that owns this blob does not exist any more, or names another blob.
    #[error("no such blob")]
    NoSuchBlob,
    /// The range does not lie within the blob, or is too large for one read.
    #[error("range outside of the blob")]
    Range,
    /// The store does not serve any more.
    #[error("store refuses to serve: {reason}")]
    Refused {
        /// For the log.
        reason: Arc<str>,
    },
    /// The store has been closed.
    #[error("store is closed")]
    Closed,
}

/// Why a blob could not be staged. Nothing of it is kept.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StageError {
    /// There is no room on the disk.
    #[error("no space for a large blob")]
    Full,
    /// The disk failed.
    #[error("cannot write a large blob")]
    Write(#[source] Arc<io::Error>),
    /// The store does not take blobs any more.
    #[error("store refuses blobs: {reason}")]
    Refused {
        /// For the log.
        reason: Arc<str>,
    },
    /// The store has been closed.
    #[error("store is closed")]
    Closed,
}

/// Why a store could not be opened. Nothing was changed, except where the text says so.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process serves from this directory.
    #[error("{} is in use by another process", dir.display())]
    InUse {
        /// The store's directory.
        dir: PathBuf,
    },
    /// The directory is on a network file system, where locks and syncs cannot be relied upon.
    #[error("{} is on a network file system ({kind})", dir.display())]
    NetworkFileSystem {
        /// The store's directory.
        dir: PathBuf,
        /// What kind.
        kind: &'static str,
    },
    /// The directory holds something else, or a format that this version does not know.
    #[error("{} is not a store that this version can open: {reason}", dir.display())]
    Format {
        /// The store's directory.
        dir: PathBuf,
        /// What was found.
        reason: String,
    },
    /// The index knows commits that the log does not have: acknowledged changes were lost.
    #[error(
        "the log ends at commit {log}, but commit {index} was acknowledged: changes were lost; \
         restore the log or run `restante recover --accept-loss`"
    )]
    IndexAhead {
        /// The last commit in the log.
        log: u64,
        /// The last commit that the index was given.
        index: u64,
    },
    /// The log is damaged where it cannot be a torn last write.
    #[error("the log is damaged: {0}")]
    Damaged(Box<Damage>),
    /// The disk failed.
    #[error("{what}")]
    Io {
        /// What was being done.
        what: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The index failed, and could not be rebuilt.
    #[error("index: {reason}")]
    Index {
        /// What it said.
        reason: String,
    },
}

/// What is damaged in a log, as far as it can be told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// The segment's number.
    pub segment: u32,
    /// Where in the segment, in bytes.
    pub offset: u64,
    /// What was found there.
    pub reason: String,
    /// The last commit that can be read before the damage.
    pub last_good: u64,
    /// The first commit that can be read behind it, if any.
    pub next_good: Option<u64>,
    /// The turns (account numbers) that are touched, as far as they are known.
    pub turns: Vec<u32>,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "segment {} at offset {}: {}; good up to commit {}",
            self.segment, self.offset, self.reason, self.last_good
        )?;
        if let Some(next) = self.next_good {
            write!(f, ", and again from commit {next}")?;
        }
        if !self.turns.is_empty() {
            write!(f, "; accounts {:?}", self.turns)?;
        }
        Ok(())
    }
}
