//! Loading: what a command needs is brought into memory first, everything after it is synchronous.

use std::{collections::HashSet, ops::Deref, sync::Arc};

use super::{
    FlagFilter, PartKey, Parts, Snapshot,
    chunk::{Chunk, Page},
    summary::Summary,
};
use crate::{
    codec::DecodeError,
    record::{Effect, Record},
    seen::Seen,
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
    /// The rows from one UID to another, both included.
    Range(Uid, Uid),
    /// The rows at these positions, counted from 0; the end is not included.
    Ranks(u32, u32),
    /// Rows that can have these flags.
    Flagged(FlagFilter),
    /// Rows that can have been changed after this modseq.
    ChangedSince(ModSeq),
    /// The first row without `\Seen`.
    FirstUnseen,
    /// What [`Loaded::unseen`] needs.
    Unseen,
    /// What [`Snapshot::apply`] needs for this record, or fares better with.
    Record(&'a Record),
    /// The end of the mailbox: so that an append goes on with the last chunk.
    End,
    /// Every page, but no rows: enough for [`Snapshot::keys_unlike`].
    Pages,
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

/// How many parts are asked for at once: about 1 MiB.
const BATCH_PARTS: usize = 128;

impl Snapshot {
    /// Brings what is wanted into memory; at once if it is there already.
    ///
    /// # Errors
    /// [`LoadError`].
    pub async fn ensure<P: Parts>(
        self: &Arc<Self>,
        parts: &P,
        wanted: Wanted<'_>,
    ) -> Result<Loaded, LoadError<P::Error>> {
        loop {
            let missing = self.missing(wanted);
            if missing.is_empty() {
                return Ok(Loaded(Arc::clone(self)));
            }
            for batch in missing.chunks(BATCH_PARTS) {
                let keys: Vec<_> = batch.iter().map(Missing::key).collect();
                let values = parts.parts(&keys).await.map_err(LoadError::Store)?;
                let mut values = values.into_iter();
                for (missing, key) in batch.iter().zip(keys) {
                    let value = values.next().flatten().ok_or(LoadError::Trimmed(key))?;
                    missing
                        .load(&value)
                        .map_err(|error| LoadError::Damaged(key, error))?;
                }
                // Decoding a batch takes about 3 ms: let others have a turn.
                tokio::task::yield_now().await;
            }
        }
    }

    /// What is wanted, if it is in memory already.
    pub fn loaded(self: &Arc<Self>, wanted: Wanted<'_>) -> Option<Loaded> {
        self.missing(wanted)
            .is_empty()
            .then(|| Loaded(Arc::clone(self)))
    }

    /// Pages that are wanted and not there; if there are none, parts.
    fn missing(&self, wanted: Wanted<'_>) -> Vec<Missing> {
        // Mostly one was folded from the other, and the difference is small.
        if let Wanted::Unlike(other) = wanted
            && self.diff(other).is_ok()
        {
            return Vec::new();
        }
        if let (Wanted::FirstUnseen, Some(seen)) = (wanted, &self.seen) {
            return self
                .missing_before_unseen(seen.uids())
                .into_iter()
                .collect();
        }
        let choice = Choice::new(self, wanted);
        let wanted = |(at, page): &(usize, &Arc<Page>)| choice.page(self, *at, page);
        let pages: Vec<_> = self.pages.iter().enumerate().filter(wanted).collect();
        let unloaded = pages.iter().filter(|(_, page)| !page.chunks.is_loaded());
        let missing: Vec<_> = unloaded
            .map(|(_, page)| Missing::Page(Arc::clone(page)))
            .collect();
        if !missing.is_empty() {
            return missing;
        }
        let mut missing = Vec::new();
        for (at, page) in pages {
            let Ok(chunks) = page.chunks.get() else {
                continue;
            };
            for (inner, chunk) in chunks.list.iter().enumerate() {
                let start = self.starts[at] + chunks.starts[inner];
                let is_last = at + 1 == self.pages.len() && inner + 1 == chunks.list.len();
                if !choice.chunk(self, chunk, start, is_last) {
                    continue;
                }
                if !chunk.fixed.is_loaded() {
                    missing.push(Missing::Fixed(Arc::clone(chunk)));
                }
                if !chunk.mutable.is_loaded() {
                    missing.push(Missing::Mutable(Arc::clone(chunk)));
                }
                if matches!(choice, Choice::FirstUnseen) {
                    break;
                }
            }
        }
        missing
    }

    /// What has to be read next to find the first message that is not in `seen`.
    fn missing_before_unseen(&self, seen: &UidSet) -> Option<Missing> {
        for page in &self.pages {
            if page.summary.is_within(seen) {
                continue;
            }
            let Ok(chunks) = page.chunks.get() else {
                return Some(Missing::Page(Arc::clone(page)));
            };
            for chunk in chunks.list.iter().filter(|c| !c.summary.is_within(seen)) {
                let Ok(fixed) = chunk.fixed.get() else {
                    return Some(Missing::Fixed(Arc::clone(chunk)));
                };
                if !chunk.mutable.is_loaded() {
                    return Some(Missing::Mutable(Arc::clone(chunk)));
                }
                if (0..chunk.rows()).any(|index| !seen.contains(fixed.uid(index))) {
                    return None;
                }
            }
        }
        None
    }
}

/// Something to be read.
enum Missing {
    Page(Arc<Page>),
    Fixed(Arc<Chunk>),
    Mutable(Arc<Chunk>),
}

impl Missing {
    fn key(&self) -> PartKey {
        match self {
            Self::Page(page) => page.key(),
            Self::Fixed(chunk) => chunk.fixed_key(),
            Self::Mutable(chunk) => chunk.mutable_key(),
        }
    }

    fn load(&self, bytes: &[u8]) -> Result<(), DecodeError> {
        match self {
            Self::Page(page) => page.load(bytes),
            Self::Fixed(chunk) => chunk.load_fixed(bytes),
            Self::Mutable(chunk) => chunk.load_mutable(bytes),
        }
    }
}

/// What is wanted, as a choice of pages and chunks by their summaries.
enum Choice<'a> {
    Uids(&'a UidSet),
    Range(Uid, Uid),
    Ranks(u32, u32),
    Flagged(FlagFilter),
    ChangedSince(ModSeq),
    FirstUnseen,
    Unseen,
    Record {
        uids: UidSet,
        end: bool,
    },
    Pages,
    /// And the rows of these UIDs.
    NotIn(HashSet<PartKey>, UidSet),
}

impl<'a> Choice<'a> {
    fn new(of: &Snapshot, wanted: Wanted<'a>) -> Self {
        match wanted {
            Wanted::All => Self::Range(Uid::MIN, Uid::MAX),
            Wanted::Uids(uids) => Self::Uids(uids),
            Wanted::Range(first, last) => Self::Range(first, last),
            Wanted::Ranks(start, end) => Self::Ranks(start, end),
            Wanted::Flagged(filter) => Self::Flagged(filter),
            Wanted::ChangedSince(modseq) => Self::ChangedSince(modseq),
            Wanted::FirstUnseen => Self::FirstUnseen,
            Wanted::Unseen => Self::Unseen,
            Wanted::Record(record) => {
                let appends = |effect: &Effect| matches!(effect, Effect::Append(_));
                let end = record.effects().iter().any(appends);
                Self::Record {
                    uids: record.needs(),
                    end,
                }
            }
            Wanted::End => Self::Record {
                uids: UidSet::new(),
                end: true,
            },
            Wanted::Pages => Self::Pages,
            Wanted::Unlike(other) => Self::NotIn(other.known_keys(of), of.seen_unlike(other)),
        }
    }

    fn page(&self, of: &Snapshot, at: usize, page: &Page) -> bool {
        let summary = &page.summary;
        match self {
            Self::FirstUnseen => {
                let first = of.pages.iter().position(|page| page.summary.unseen > 0);
                first == Some(at)
            }
            Self::Record { uids, end } => {
                summary.touches(uids) || (*end && at + 1 == of.pages.len())
            }
            Self::Pages => true,
            Self::NotIn(keys, uids) => !keys.contains(&page.key()) || summary.touches(uids),
            _ => self.summary(of, summary, of.starts[at]),
        }
    }

    fn chunk(&self, of: &Snapshot, chunk: &Chunk, start: u32, is_last: bool) -> bool {
        match self {
            Self::FirstUnseen => chunk.summary.unseen > 0,
            Self::Record { uids, end } => chunk.summary.touches(uids) || (*end && is_last),
            Self::Pages => false,
            Self::NotIn(keys, uids) => {
                !(keys.contains(&chunk.fixed_key()) && keys.contains(&chunk.mutable_key()))
                    || chunk.summary.touches(uids)
            }
            _ => self.summary(of, &chunk.summary, start),
        }
    }

    fn summary(&self, of: &Snapshot, summary: &Summary, start: u32) -> bool {
        match *self {
            Self::Uids(uids) => summary.touches(uids),
            Self::Range(first, last) => summary.first <= last && first <= summary.last,
            Self::Ranks(from, to) => start < to && from < start.saturating_add(summary.rows),
            Self::Flagged(filter) => of.can_pass(summary, filter),
            Self::ChangedSince(modseq) => of.can_change_since(summary, modseq),
            Self::Unseen => of.must_count_unseen(summary),
            _ => false,
        }
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

    /// The same for a user who has seen this of it. What was wanted because of its flags may have to be wanted
    /// again.
    pub(crate) fn with_seen(&self, seen: Arc<Seen>) -> Self {
        Self(Arc::new(self.0.with_seen(seen)))
    }
}

impl Deref for Loaded {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.0
    }
}
