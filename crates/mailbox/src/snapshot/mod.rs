//! Snapshots: a mailbox at one modseq, immutable and shared.
//!
//! A copy-on-write tree in two levels: *pages* of at most 128 *chunks* of at most 1,024 rows. A page
//! and a chunk carry summaries; a chunk has a fixed and a mutable part, which are loaded when they are
//! wanted. What two snapshots have in common they share.

mod access;
mod checkpoint;
mod chunk;
mod column;
mod columns;
mod diff;
mod fold;
mod import;
mod packed;
mod part;
mod summary;
#[cfg(test)]
mod tests;
mod wanted;

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;

use self::chunk::{Page, starts};
pub(crate) use self::part::Made;
pub use self::{
    access::{FlagFilter, Number, Rows},
    checkpoint::Checkpoint,
    chunk::ChunkRef,
    diff::{Diff, NotLoaded},
    fold::FoldError,
    import::{Import, ImportError, chunks_of},
    part::{PartKey, PartKind, Parts},
    wanted::{LoadError, Loaded, Wanted},
};
use crate::{
    flags::Flags,
    keywords::Keywords,
    record::NewRow,
    seen::Seen,
    tail::Tail,
    types::{ModSeq, Row, Uid, UidValidity},
};

/// The annotations of a mailbox by entry name.
pub type Annotations = BTreeMap<Box<str>, Bytes>;

/// A mailbox at one modseq: immutable, shared, cheap to clone.
#[derive(Clone, Debug)]
pub struct Snapshot {
    tail: Tail,
    keywords: Arc<Keywords>,
    annotations: Arc<Annotations>,
    pages: Vec<Arc<Page>>,
    /// The position at which each page begins.
    starts: Vec<u32>,
    /// Whose `\Seen` is shown instead of the mailbox's.
    seen: Option<Arc<Seen>>,
}

impl Snapshot {
    /// An empty new mailbox.
    pub fn new(uid_validity: UidValidity) -> Self {
        Self::with_pages(
            Tail::new(uid_validity),
            Arc::default(),
            Arc::default(),
            Vec::new(),
        )
    }

    fn with_pages(
        tail: Tail,
        keywords: Arc<Keywords>,
        annotations: Arc<Annotations>,
        pages: Vec<Arc<Page>>,
    ) -> Self {
        let starts = starts(pages.iter().map(|page| page.summary.rows));
        Self {
            tail,
            keywords,
            annotations,
            pages,
            starts,
            seen: None,
        }
    }

    /// The same mailbox as a user sees it who has seen this of it: `\Seen` is that user's own, and a
    /// message that this user has changed is changed. What the mailbox's own `\Seen` is cannot be told
    /// from it, but a message whose own was changed still has the modseq of that. The tail is the
    /// mailbox's; how much is unseen is [`Loaded::unseen`].
    #[must_use]
    pub fn with_seen(&self, seen: Arc<Seen>) -> Self {
        Self {
            seen: Some(seen),
            ..self.clone()
        }
    }

    /// Where the log stood.
    pub fn tail(&self) -> &Tail {
        &self.tail
    }

    /// HIGHESTMODSEQ.
    pub fn modseq(&self) -> ModSeq {
        self.tail.modseq
    }

    /// UIDNEXT.
    pub fn uid_next(&self) -> Uid {
        self.tail.uid_next
    }

    /// UIDVALIDITY.
    pub fn uid_validity(&self) -> UidValidity {
        self.tail.uid_validity
    }

    /// How many messages there are.
    pub fn exists(&self) -> u32 {
        self.tail.messages
    }

    /// The mailbox's keywords.
    pub fn keywords(&self) -> &Arc<Keywords> {
        &self.keywords
    }

    /// The mailbox's annotations.
    pub fn annotations(&self) -> &Arc<Annotations> {
        &self.annotations
    }

    /// Flags that at least one message has.
    pub fn flags_in_use(&self) -> Flags {
        self.pages.iter().map(|page| page.summary.any).collect()
    }

    /// The same messages with a tail that names another checkpoint or state. None if `tail` stands at
    /// another place of the log.
    pub fn with_tail(&self, tail: &Tail) -> Option<Self> {
        let place = |tail: &Tail| (tail.chain, tail.modseq, tail.uid_validity, tail.uid_next);
        let same = place(&self.tail) == place(tail);
        same.then(|| Self {
            tail: tail.clone(),
            ..self.clone()
        })
    }

    /// The same mailbox without the rows that can be loaded again: to be kept instead when memory is
    /// short. What others still hold stays in memory as long as they do.
    #[must_use]
    pub fn shed(&self) -> Self {
        let pages = self
            .pages
            .iter()
            .map(|page| Arc::new(page.shed()))
            .collect();
        Self {
            pages,
            ..self.clone()
        }
    }

    /// About how much memory its rows take, in bytes. What it shares with other snapshots is counted.
    pub fn heap_bytes(&self) -> usize {
        self.pages.iter().map(|page| page.heap_bytes()).sum()
    }
}

/// Rows as a record names them.
pub(crate) fn encode_rows(rows: &[NewRow], out: &mut Vec<u8>) {
    let mut block = Vec::with_capacity(rows.len().min(columns::CHUNK_ROWS_MAX));
    crate::codec::put_varint(out, rows.len().div_ceil(columns::CHUNK_ROWS_MAX) as u64);
    for rows in rows.chunks(columns::CHUNK_ROWS_MAX) {
        block.clear();
        block.extend(rows.iter().map(|row| row.row(ModSeq::ZERO)));
        columns::write_block(&block, out);
    }
}

/// The reverse of [`encode_rows`].
pub(crate) fn decode_rows(
    reader: &mut crate::codec::Reader<'_>,
) -> crate::codec::Decoded<Vec<NewRow>> {
    let (mut rows, mut block) = (Vec::<NewRow>::new(), Vec::new());
    for _ in 0..reader.count()? {
        block.clear();
        columns::read_block(reader, &mut block)?;
        let ascends = |last: &NewRow| block.first().is_some_and(|row: &Row| row.uid > last.uid);
        if !rows.last().is_none_or(ascends) {
            return Err(reader.damaged());
        }
        rows.extend(block.iter().map(NewRow::from));
    }
    Ok(rows)
}
