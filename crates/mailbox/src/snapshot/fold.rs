//! The fold: a snapshot and the record after it give the next snapshot.

use std::sync::Arc;

use super::{
    Annotations, NotLoaded, Snapshot,
    chunk::{Chunk, ChunkRef, PAGE_CHUNKS_MAX, Page},
    columns::CHUNK_ROWS_MAX,
    part::Made,
    summary::Summary,
};
use crate::{
    flags::{Flags, Slot},
    keywords::Keywords,
    record::{Effect, NewRow, Record},
    tail::Tail,
    types::{ModSeq, Row, Uid},
    uid_set::UidSet,
};

/// Two neighbours with no more rows than this become one chunk.
const CHUNK_ROWS_SPARSE: usize = CHUNK_ROWS_MAX / 2;
/// Two neighbours with no more chunks than this become one page.
const PAGE_CHUNKS_SPARSE: usize = PAGE_CHUNKS_MAX / 2;

/// Why a record cannot follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FoldError {
    /// Records between the snapshot and this one are missing, or it is of another log.
    #[error("the log has a gap between modseq {at} and {record}")]
    Gap {
        /// The snapshot's.
        at: ModSeq,
        /// The record's.
        record: ModSeq,
    },
    /// A message would get a UID below UIDNEXT.
    #[error("UID {uid} was given before")]
    UidReused {
        /// The UID.
        uid: Uid,
    },
    /// A message would get the last UID, or UIDNEXT would move past it.
    #[error("the UIDs are at their end")]
    UidLimit,
    /// A keyword cannot be defined or freed so.
    #[error("keyword slot {} cannot be changed so", .0.get())]
    Keyword(Slot),
    /// A jump stands after another effect.
    #[error("a jump is not the first effect of its record")]
    Jump,
    /// Rows that the record changes are not in memory: see [`Wanted::Record`](super::Wanted::Record).
    #[error("rows that the record needs are not loaded")]
    NotLoaded,
    /// A chunk that the record brings was made for another place of the log.
    #[error("the chunk from UID {first} is not of this record")]
    Chunk {
        /// Its first UID.
        first: Uid,
    },
}

impl From<NotLoaded> for FoldError {
    fn from(NotLoaded: NotLoaded) -> Self {
        Self::NotLoaded
    }
}

impl Tail {
    /// The tail after `record`, for a record that brings messages and nothing else (what a user has seen
    /// changes no tail): a delivery to a mailbox that nobody has open reads nothing but the tail. None if it
    /// has other effects.
    ///
    /// # Errors
    /// [`FoldError`].
    pub fn after_append(&self, record: &Record) -> Option<Result<Self, FoldError>> {
        let only = record
            .effects()
            .iter()
            .all(|effect| matches!(effect, Effect::Append(_)));
        only.then(|| {
            let mut tail = self.clone();
            tail.follow(record)?;
            for row in record.appended() {
                tail.give(row.uid, row.uid)?;
                let row = Summary::of_row(&row.row(record.modseq()));
                tail.messages = tail.messages.saturating_add(1);
                tail.unseen = tail.unseen.saturating_add(row.unseen);
                tail.deleted = tail.deleted.saturating_add(row.deleted);
                tail.size = tail.size.saturating_add(row.size);
            }
            Ok(tail)
        })
    }

    fn follow(&mut self, record: &Record) -> Result<(), FoldError> {
        let follows = self.modseq.checked_add(record.step()) == Some(record.modseq());
        if !follows || record.parent() != self.chain {
            return Err(FoldError::Gap {
                at: self.modseq,
                record: record.modseq(),
            });
        }
        self.modseq = record.modseq();
        self.chain = record.chain();
        self.wall_ms = record.wall_ms();
        Ok(())
    }

    /// UIDs from `first` to `last` are given.
    fn give(&mut self, first: Uid, last: Uid) -> Result<(), FoldError> {
        if first < self.uid_next {
            return Err(FoldError::UidReused { uid: first });
        }
        self.uid_next = last.checked_add(1).ok_or(FoldError::UidLimit)?;
        Ok(())
    }

    /// Counts what is in `pages`.
    pub(super) fn count(&mut self, pages: &[Arc<Page>]) {
        let sum = pages
            .iter()
            .map(|page| page.summary)
            .reduce(Summary::joined);
        let of = |value: fn(&Summary) -> u32| sum.as_ref().map_or(0, value);
        self.messages = of(|sum| sum.rows);
        self.unseen = of(|sum| sum.unseen);
        self.deleted = of(|sum| sum.deleted);
        self.size = sum.map_or(0, |sum| sum.size);
    }
}

impl Snapshot {
    /// The snapshot after `record`. What [`Wanted::Record`](super::Wanted::Record) says must be loaded;
    /// an append alone needs nothing.
    ///
    /// # Errors
    /// [`FoldError`]: the record cannot be the next one.
    pub fn apply(&self, record: &Record) -> Result<Snapshot, FoldError> {
        let mut tail = self.tail.clone();
        tail.follow(record)?;
        let mut fold = self.fold(record.made(), tail);
        for (index, effect) in record.effects().iter().enumerate() {
            fold.effect(index, effect)?;
        }
        Ok(fold.end())
    }

    /// The snapshot after these records, of which each does nothing but append: the same as one after the
    /// other, but each chunk and page is made once, however many records fill it.
    pub(crate) fn apply_appends(&self, records: &[Record]) -> Result<Snapshot, FoldError> {
        let Some(last) = records.last() else {
            return Ok(self.clone());
        };
        let mut fold = self.fold(last.made(), self.tail.clone());
        let mut runs = Vec::with_capacity(records.len());
        for record in records {
            fold.tail.follow(record)?;
            for effect in record.effects() {
                if let Effect::Append(rows) = effect {
                    fold.give(rows)?;
                    runs.push((record.made(), &rows[..]));
                }
            }
        }
        fold.append(&runs)?;
        Ok(fold.end())
    }

    fn fold(&self, made: Made, tail: Tail) -> Fold {
        Fold {
            made,
            tail,
            keywords: Arc::clone(&self.keywords),
            annotations: Arc::clone(&self.annotations),
            pages: self.pages.clone(),
        }
    }
}

/// A snapshot on the way to the next.
struct Fold {
    made: Made,
    tail: Tail,
    keywords: Arc<Keywords>,
    annotations: Arc<Annotations>,
    pages: Vec<Arc<Page>>,
}

impl Fold {
    fn end(mut self) -> Snapshot {
        self.tail.count(&self.pages);
        let Fold {
            tail,
            keywords,
            annotations,
            pages,
            ..
        } = self;
        Snapshot::with_pages(tail, keywords, annotations, pages)
    }

    fn effect(&mut self, index: usize, effect: &Effect) -> Result<(), FoldError> {
        match effect {
            Effect::Append(rows) => {
                self.give(rows)?;
                self.append(&[(self.made, rows)])?;
            }
            Effect::AppendChunks(chunks) => self.append_chunks(chunks)?,
            Effect::SetFlags { uids, clear, set } => self.set_flags(uids, *clear, *set)?,
            Effect::Expunge { uids } => self.expunge(uids)?,
            Effect::DefineKeyword { slot, name } => {
                if !Arc::make_mut(&mut self.keywords).define(*slot, name) {
                    return Err(FoldError::Keyword(*slot));
                }
            }
            Effect::FreeKeyword { slot } => {
                let used = self
                    .pages
                    .iter()
                    .any(|page| page.summary.any.intersects(slot.flag()));
                if used || !Arc::make_mut(&mut self.keywords).free(*slot) {
                    return Err(FoldError::Keyword(*slot));
                }
            }
            Effect::Annotate { entry, value } => {
                let annotations = Arc::make_mut(&mut self.annotations);
                match value {
                    Some(value) => annotations.insert(entry.clone(), value.clone()),
                    None => annotations.remove(entry),
                };
            }
            Effect::Jump { uids, touch, .. } => {
                if index != 0 {
                    return Err(FoldError::Jump);
                }
                let uid_next = self.tail.uid_next.checked_add(*uids);
                self.tail.uid_next = uid_next.ok_or(FoldError::UidLimit)?;
                self.tail.vanished_floor = self.tail.modseq;
                if *touch {
                    self.touch()?;
                }
            }
            Effect::Private { .. } => {}
        }
        Ok(())
    }

    fn give(&mut self, rows: &[NewRow]) -> Result<(), FoldError> {
        let mut rows = rows.iter();
        rows.try_for_each(|row| self.tail.give(row.uid, row.uid))
    }

    /// Appends what some records bring, each with what it makes. A chunk is made by the last record that
    /// has rows in it, and a page by that of its last chunk.
    fn append(&mut self, runs: &[(Made, &[NewRow])]) -> Result<(), FoldError> {
        let mut all: Vec<Row> = Vec::with_capacity(runs.iter().map(|(_, new)| new.len()).sum());
        let mut ends = Vec::with_capacity(runs.len());
        for (made, new) in runs {
            all.extend(new.iter().map(|row| row.row(made.modseq)));
            ends.push((all.len(), *made));
        }
        if all.is_empty() {
            return Ok(());
        }
        // Who brought the last of the rows before `end`.
        let made = |end: usize| {
            let at = ends.partition_point(|(until, _)| *until < end);
            ends.get(at).map_or(self.made, |(_, made)| *made)
        };
        let mut done = 0;
        let mut list = Vec::new();
        // Go on with the last chunk if it is in memory and has room; else begin a new one.
        if let Some(page) = self.pages.last()
            && let Ok(chunks) = page.chunks.get()
            && let Some(last) = chunks.list.last()
        {
            let room = CHUNK_ROWS_MAX.saturating_sub(last.rows()).min(all.len());
            let extends = last.is_loaded() && room > 0;
            if extends || chunks.list.len() < PAGE_CHUNKS_MAX {
                list.reserve(chunks.list.len() + 1);
                list.extend_from_slice(&chunks.list);
            }
            if extends && let Some(end) = list.last_mut() {
                *end = Arc::new(last.extended(&all[..room], made(room))?);
                done = room;
            }
            if !list.is_empty() {
                self.pages.pop();
            }
        }
        for rows in all[done..].chunks(CHUNK_ROWS_MAX) {
            done += rows.len();
            list.extend(Chunk::new(rows, made(done)).map(Arc::new));
        }
        for list in list.chunks(PAGE_CHUNKS_MAX) {
            // Its last chunk is new, or has rows more than before.
            let made = list.last().map_or(self.made, |last| last.mutable.made);
            self.pages
                .extend(Page::new(list.to_vec(), made).map(Arc::new));
        }
        Ok(())
    }

    fn append_chunks(&mut self, chunks: &[ChunkRef]) -> Result<(), FoldError> {
        for chunk in chunks {
            self.tail.give(chunk.first(), chunk.last())?;
            if chunk.summary.modseq != self.made.modseq {
                return Err(FoldError::Chunk {
                    first: chunk.first(),
                });
            }
        }
        let list: Vec<_> = chunks.iter().map(|chunk| Arc::new(chunk.chunk())).collect();
        self.push_pages(&list);
        Ok(())
    }

    fn push_pages(&mut self, list: &[Arc<Chunk>]) {
        let pages = list.chunks(PAGE_CHUNKS_MAX);
        let pages = pages.filter_map(|list| Page::new(list.to_vec(), self.made));
        self.pages.extend(pages.map(Arc::new));
    }

    fn set_flags(&mut self, uids: &UidSet, clear: Flags, set: Flags) -> Result<(), FoldError> {
        for page in &mut self.pages {
            if !page.summary.touches(uids) || !page.summary.can_change(clear, set) {
                continue;
            }
            let chunks = &page.chunks.get()?.list;
            let mut list = None::<Vec<_>>;
            for (at, chunk) in chunks.iter().enumerate() {
                if let Some(chunk) = chunk.with_flags(uids, clear, set, self.made)? {
                    list.get_or_insert_with(|| chunks.clone())[at] = Arc::new(chunk);
                }
            }
            if let Some(new) = list.and_then(|list| Page::new(list, self.made)) {
                *page = Arc::new(new);
            }
        }
        Ok(())
    }

    fn touch(&mut self) -> Result<(), FoldError> {
        for page in &mut self.pages {
            let chunks = page.chunks.get()?.list.iter();
            let touched = chunks.map(|chunk| chunk.touched(self.made).map(Arc::new));
            let list = touched.collect::<Result<Vec<_>, NotLoaded>>()?;
            if let Some(new) = Page::new(list, self.made) {
                *page = Arc::new(new);
            }
        }
        Ok(())
    }

    fn expunge(&mut self, uids: &UidSet) -> Result<(), FoldError> {
        let mut pages = Vec::with_capacity(self.pages.len());
        for page in &self.pages {
            if !page.summary.touches(uids) {
                self.push_page(&mut pages, Arc::clone(page))?;
                continue;
            }
            if page.summary.is_within(uids) {
                continue;
            }
            let chunks = &page.chunks.get()?.list;
            let mut list = Vec::with_capacity(chunks.len());
            let mut any = false;
            for chunk in chunks {
                match self.without(chunk, uids)? {
                    Some(kept) => {
                        any = true;
                        kept.into_iter()
                            .try_for_each(|chunk| self.push_chunk(&mut list, chunk))?;
                    }
                    None => self.push_chunk(&mut list, Arc::clone(chunk))?,
                }
            }
            if !any {
                self.push_page(&mut pages, Arc::clone(page))?;
            } else if let Some(page) = Page::new(list, self.made) {
                self.push_page(&mut pages, Arc::new(page))?;
            }
        }
        self.pages = pages;
        Ok(())
    }

    /// What is left of a chunk, if it changes.
    fn without(
        &self,
        chunk: &Arc<Chunk>,
        uids: &UidSet,
    ) -> Result<Option<Option<Arc<Chunk>>>, NotLoaded> {
        if !chunk.summary.touches(uids) {
            return Ok(None);
        }
        if chunk.summary.is_within(uids) {
            return Ok(Some(None));
        }
        let mut places = chunk.places(uids)?.peekable();
        if places.peek().is_none() {
            return Ok(None);
        }
        let rows = chunk.all_rows()?;
        let mut kept = Vec::with_capacity(rows.len());
        let mut from = 0;
        for gone in places {
            kept.extend_from_slice(&rows[from..gone.start]);
            from = gone.end;
        }
        kept.extend_from_slice(&rows[from..]);
        Ok(Some(Chunk::new(&kept, self.made).map(Arc::new)))
    }

    /// Adds a chunk to a page, or to its last chunk if both are sparse, loaded, and one is new.
    fn push_chunk(&self, list: &mut Vec<Arc<Chunk>>, chunk: Arc<Chunk>) -> Result<(), NotLoaded> {
        if let Some(last) = list.last_mut()
            && last.rows() + chunk.rows() <= CHUNK_ROWS_SPARSE
            && (last.fixed.made == self.made || chunk.fixed.made == self.made)
            && last.is_loaded()
            && chunk.is_loaded()
        {
            let rows = [last.all_rows()?, chunk.all_rows()?].concat();
            if let Some(joined) = Chunk::new(&rows, self.made) {
                *last = Arc::new(joined);
            }
            return Ok(());
        }
        list.push(chunk);
        Ok(())
    }

    /// Likewise for pages.
    fn push_page(&self, pages: &mut Vec<Arc<Page>>, page: Arc<Page>) -> Result<(), NotLoaded> {
        if let Some(last) = pages.last_mut()
            && (last.chunks.made == self.made || page.chunks.made == self.made)
            && let (Ok(left), Ok(right)) = (last.chunks.get(), page.chunks.get())
            && left.list.len() + right.list.len() <= PAGE_CHUNKS_SPARSE
        {
            let mut list = left.list.clone();
            for chunk in &right.list {
                self.push_chunk(&mut list, Arc::clone(chunk))?;
            }
            if let Some(joined) = Page::new(list, self.made) {
                *last = Arc::new(joined);
            }
            return Ok(());
        }
        pages.push(page);
        Ok(())
    }
}
