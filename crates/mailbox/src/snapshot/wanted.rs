//! Loading: what a command needs is brought into memory first, everything after it is synchronous.

use std::{ops::Deref, sync::Arc};

use super::{FlagFilter, PartKey, Parts, Snapshot};
use crate::{
    codec::DecodeError,
    types::{ModSeq, Uid},
    uid_set::UidSet,
};

/// What has to be in memory.
#[derive(Clone, Copy, Debug)]
pub enum Wanted<'a> {
    /// Every row.
    All,
    /// The rows of these UIDs.
    Uids(&'a UidSet),
    /// The rows from one UID to another.
    Range(Uid, Uid),
    /// The rows at these positions, counted from 0; the end is not included.
    Ranks(u32, u32),
    /// Rows that can have these flags.
    Flagged(FlagFilter),
    /// Rows that can have been changed after this modseq.
    ChangedSince(ModSeq),
    /// The first row without `\Seen`.
    FirstUnseen,
    /// What is needed to find any row's position: pages, and the parts with these UIDs.
    Positions(&'a UidSet),
    /// What differs from this snapshot, for [`Snapshot::diff`].
    Unlike(&'a Snapshot),
}

/// Why what is wanted could not be brought into memory.
#[derive(Debug, thiserror::Error)]
pub enum LoadError<E: std::error::Error + 'static> {
    /// The store cannot be read.
    #[error("cannot read parts of a mailbox")]
    Store(#[source] E),
    /// A part is not there any more: this snapshot is older than the retention time allows. Start again
    /// from the newest root.
    #[error("{0:?} is not there any more")]
    Trimmed(PartKey),
    /// A part is not what was written.
    #[error("{0:?} is damaged")]
    Damaged(PartKey, #[source] DecodeError),
}

impl Snapshot {
    /// Brings what is wanted into memory; at once if it is there already.
    ///
    /// # Errors
    /// [`LoadError`].
    pub async fn ensure<P: Parts>(
        self: &Arc<Self>,
        _parts: &P,
        _wanted: Wanted<'_>,
    ) -> Result<Loaded, LoadError<P::Error>> {
        Ok(Loaded(Arc::clone(self)))
    }

    /// What is wanted, if it is in memory already.
    pub fn loaded(self: &Arc<Self>, _wanted: Wanted<'_>) -> Option<Loaded> {
        Some(Loaded(Arc::clone(self)))
    }
}

/// A snapshot of which the wanted rows are in memory. A cheap clone.
///
/// # Panics
/// Its methods panic when they need a row that was not wanted: an answer without it would be wrong.
#[derive(Clone, Debug)]
pub struct Loaded(pub(super) Arc<Snapshot>);

impl Loaded {
    /// The snapshot.
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.0
    }
}

impl Deref for Loaded {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.0
    }
}
