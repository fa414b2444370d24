//! Chunks of rows, and pages of chunks.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;

use super::{
    NotLoaded,
    columns::{CHUNK_ROWS_MAX, Fixed, Mutable},
    part::{Held, Made, PartKey, PartKind},
    summary::Summary,
};
use crate::{
    codec::{DecodeError, Decoded, Reader, put_varint, seal, unseal},
    flags::Flags,
    tail::read_modseq,
    types::{ModSeq, Row, Uid},
    uid_set::UidSet,
};

/// The most chunks of a page; few in tests, likewise.
pub(super) const PAGE_CHUNKS_MAX: usize = if cfg!(test) { 4 } else { 128 };

/// At most 1,024 rows: a summary and two parts.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    pub(super) summary: Summary,
    pub(super) fixed: Arc<Held<Fixed>>,
    pub(super) mutable: Arc<Held<Mutable>>,
}

impl Chunk {
    /// A chunk of at least one row. None for no rows.
    pub(super) fn new(rows: &[Row], made: Made) -> Option<Self> {
        Some(Self {
            summary: Summary::of_rows(rows)?,
            fixed: Arc::new(Held::new(made, Fixed::new(rows))),
            mutable: Arc::new(Held::new(made, Mutable::new(rows))),
        })
    }

    /// With more rows at the end, which must have room.
    pub(super) fn extended(&self, rows: &[Row], made: Made) -> Result<Self, NotLoaded> {
        let Some(more) = Summary::of_rows(rows) else {
            return Ok(self.clone());
        };
        let (fixed, mutable) = (self.fixed.get()?, self.mutable.get()?);
        Ok(Self {
            summary: self.summary.joined(more),
            fixed: Arc::new(Held::new(made, fixed.extended(rows))),
            mutable: Arc::new(Held::new(made, mutable.extended(rows))),
        })
    }

    pub(super) fn is_loaded(&self) -> bool {
        self.fixed.is_loaded() && self.mutable.is_loaded()
    }

    pub(super) fn rows(&self) -> usize {
        self.summary.rows as usize
    }

    /// Whether both are the same rows, flags and modseqs, by the names of their parts.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.is_same_fixed(other) && self.mutable.made == other.mutable.made
    }

    pub(super) fn is_same_fixed(&self, other: &Self) -> bool {
        let ends = |chunk: &Self| (chunk.summary.first, chunk.summary.last);
        self.fixed.made == other.fixed.made && ends(self) == ends(other)
    }

    pub(super) fn fixed_key(&self) -> PartKey {
        self.fixed
            .made
            .key(PartKind::Fixed, self.summary.first, self.summary.last)
    }

    pub(super) fn mutable_key(&self) -> PartKey {
        self.mutable
            .made
            .key(PartKind::Mutable, self.summary.first, self.summary.last)
    }

    pub(super) fn load_fixed(&self, bytes: &[u8]) -> Result<(), DecodeError> {
        self.fixed.load(Fixed::decode(bytes, &self.summary)?);
        Ok(())
    }

    pub(super) fn load_mutable(&self, bytes: &[u8]) -> Result<(), DecodeError> {
        self.mutable.load(Mutable::decode(bytes, &self.summary)?);
        Ok(())
    }

    pub(super) fn row(&self, index: usize) -> Result<Row, NotLoaded> {
        let (fixed, mutable) = (self.fixed.get()?, self.mutable.get()?);
        Ok(fixed.row(index, mutable.flags(index), mutable.modseq(index)))
    }

    pub(super) fn all_rows(&self) -> Result<Vec<Row>, NotLoaded> {
        let (fixed, mutable) = (self.fixed.get()?, self.mutable.get()?);
        let mut rows = vec![BLANK; self.rows()];
        fixed.fill(0, &mut rows);
        mutable.fill(0, &mut rows);
        Ok(rows)
    }

    /// The places of the rows in `uids`, as ranges that are not empty. Does not need the fixed part if
    /// it is all of them.
    pub(super) fn places<'a>(
        &'a self,
        uids: &'a UidSet,
    ) -> Result<impl Iterator<Item = Range<usize>> + 'a, NotLoaded> {
        let Summary { first, last, .. } = self.summary;
        let whole = self.summary.is_within(uids);
        let fixed = if whole { None } else { Some(self.fixed.get()?) };
        let some = fixed.into_iter().flat_map(move |fixed| {
            uids.ranges_within(first, last)
                .filter_map(move |(first, last)| {
                    let start = fixed.lower_bound(first);
                    let end = last
                        .checked_add(1)
                        .map_or(self.rows(), |next| fixed.lower_bound(next));
                    (start < end).then_some(start..end)
                })
        });
        Ok(whole.then_some(0..self.rows()).into_iter().chain(some))
    }

    /// With `flags & !clear | set` in the rows of `uids`; none if that changes nothing.
    pub(super) fn with_flags(
        &self,
        uids: &UidSet,
        clear: Flags,
        set: Flags,
        made: Made,
    ) -> Result<Option<Self>, NotLoaded> {
        if !self.summary.touches(uids) || !self.summary.can_change(clear, set) {
            return Ok(None);
        }
        let mutable = self
            .mutable
            .get()?
            .with_flags(self.places(uids)?, clear, set, made.modseq);
        Ok(mutable.map(|mutable| self.with_mutable(mutable, made)))
    }

    /// With the modseq of `made` in every row.
    pub(super) fn touched(&self, made: Made) -> Result<Self, NotLoaded> {
        Ok(self.with_mutable(self.mutable.get()?.touched(made.modseq), made))
    }

    fn with_mutable(&self, mutable: Mutable, made: Made) -> Self {
        Self {
            summary: mutable.summary(&self.summary),
            fixed: Arc::clone(&self.fixed),
            mutable: Arc::new(Held::new(made, mutable)),
        }
    }

    fn shed(&self) -> Self {
        Self {
            summary: self.summary,
            fixed: self.fixed.shed(),
            mutable: self.mutable.shed(),
        }
    }

    fn heap_bytes(&self) -> usize {
        let fixed = self.fixed.get().map_or(0, Fixed::heap_bytes);
        let mutable = self.mutable.get().map_or(0, Mutable::heap_bytes);
        size_of::<Self>() + size_of::<Arc<Self>>() + size_of::<Held<()>>() * 2 + fixed + mutable
    }

    /// As a record or a page names it.
    pub(super) fn reference(&self) -> ChunkRef {
        let Self {
            summary,
            fixed,
            mutable,
        } = self;
        ChunkRef {
            summary: *summary,
            fixed: fixed.made,
            mutable: mutable.made,
        }
    }
}

/// What stands in a row before it is filled.
pub(super) const BLANK: Row = Row {
    uid: Uid::MIN,
    email: crate::types::EmailId(0),
    size: 0,
    internal_date: crate::types::DateTime::utc(0),
    save_date_s: 0,
    flags: Flags::NONE,
    modseq: ModSeq::ZERO,
};

/// A chunk as a page or a record names it: summaries, and the names of its two parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkRef {
    pub(super) summary: Summary,
    fixed: Made,
    mutable: Made,
}

impl ChunkRef {
    /// Its first UID.
    pub fn first(&self) -> Uid {
        self.summary.first
    }

    /// Its last UID.
    pub fn last(&self) -> Uid {
        self.summary.last
    }

    /// How many messages.
    pub fn rows(&self) -> u32 {
        self.summary.rows
    }

    /// The names of its parts.
    pub fn keys(&self) -> [PartKey; 2] {
        let Self {
            summary: Summary { first, last, .. },
            ..
        } = *self;
        [
            self.fixed.key(PartKind::Fixed, first, last),
            self.mutable.key(PartKind::Mutable, first, last),
        ]
    }

    /// The chunk, of which nothing is in memory.
    pub(super) fn chunk(&self) -> Chunk {
        Chunk {
            summary: self.summary,
            fixed: Arc::new(Held::stored(self.fixed)),
            mutable: Arc::new(Held::stored(self.mutable)),
        }
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        self.summary.write(out);
        put_made(out, self.fixed);
        put_made(out, self.mutable);
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        let summary = Summary::read(reader)?;
        if summary.rows as usize > CHUNK_ROWS_MAX {
            return Err(reader.damaged());
        }
        Ok(Self {
            summary,
            fixed: read_made(reader)?,
            mutable: read_made(reader)?,
        })
    }
}

fn put_made(out: &mut Vec<u8>, made: Made) {
    put_varint(out, made.modseq.0);
    out.extend_from_slice(&made.salt.to_le_bytes());
}

fn read_made(reader: &mut Reader<'_>) -> Decoded<Made> {
    Ok(Made {
        modseq: read_modseq(reader)?,
        salt: reader.u32_le()?,
    })
}

/// The chunks of a page, and the position in the page at which each begins.
#[derive(Debug)]
pub(super) struct Chunks {
    pub(super) list: Vec<Arc<Chunk>>,
    pub(super) starts: Vec<u32>,
}

impl Chunks {
    fn new(list: Vec<Arc<Chunk>>) -> Self {
        let starts = starts(list.iter().map(|chunk| chunk.summary.rows));
        Self { list, starts }
    }
}

/// Where each begins if one follows the other.
pub(super) fn starts(rows: impl Iterator<Item = u32>) -> Vec<u32> {
    let mut next = 0_u32;
    let start = |rows: u32| {
        let start = next;
        next = next.saturating_add(rows);
        start
    };
    rows.map(start).collect()
}

/// At most 128 chunks: a summary, and the chunks once they were wanted.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) summary: Summary,
    pub(super) chunks: Held<Chunks>,
}

const VERSION: u8 = 1;
const WHAT: &str = "page of a mailbox";

impl Page {
    /// A page of at least one chunk. None for no chunks.
    pub(super) fn new(list: Vec<Arc<Chunk>>, made: Made) -> Option<Self> {
        let summary = list
            .iter()
            .map(|chunk| chunk.summary)
            .reduce(Summary::joined)?;
        Some(Self {
            summary,
            chunks: Held::new(made, Chunks::new(list)),
        })
    }

    pub(super) fn key(&self) -> PartKey {
        self.chunks
            .made
            .key(PartKind::Page, self.summary.first, self.summary.last)
    }

    pub(super) fn encode(&self) -> Result<Bytes, NotLoaded> {
        let chunks = &self.chunks.get()?.list;
        let mut out = vec![VERSION];
        put_varint(&mut out, chunks.len() as u64);
        chunks
            .iter()
            .for_each(|chunk| chunk.reference().encode(&mut out));
        Ok(seal(out))
    }

    pub(super) fn load(&self, bytes: &[u8]) -> Result<(), DecodeError> {
        let mut reader = Reader::new(WHAT, unseal(WHAT, bytes)?);
        if reader.u8()? != VERSION {
            return Err(reader.damaged());
        }
        let count = reader.count_up_to(PAGE_CHUNKS_MAX)?;
        let mut list: Vec<Arc<Chunk>> = Vec::with_capacity(count);
        for _ in 0..count {
            let chunk = ChunkRef::decode(&mut reader)?;
            let ascends = list
                .last()
                .is_none_or(|last| last.summary.last < chunk.first());
            if !ascends {
                return Err(reader.damaged());
            }
            list.push(Arc::new(chunk.chunk()));
        }
        reader.end()?;
        let summary = list
            .iter()
            .map(|chunk| chunk.summary)
            .reduce(Summary::joined);
        if summary != Some(self.summary) {
            return Err(reader.damaged());
        }
        self.chunks.load(Chunks::new(list));
        Ok(())
    }

    /// Without what is in the store.
    pub(super) fn shed(&self) -> Self {
        let chunks = match self.chunks.get() {
            Ok(chunks) if !self.chunks.is_stored() => {
                let list = chunks.list.iter().map(|chunk| Arc::new(chunk.shed()));
                Held::new(self.chunks.made, Chunks::new(list.collect()))
            }
            _ => Held::stored(self.chunks.made),
        };
        Self {
            summary: self.summary,
            chunks,
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let chunks = self.chunks.get().map_or(&[][..], |chunks| &chunks.list);
        size_of::<Self>() + chunks.iter().map(|chunk| chunk.heap_bytes()).sum::<usize>()
    }

    /// As a root names it.
    pub(super) fn write_reference(&self, out: &mut Vec<u8>) {
        self.summary.write(out);
        put_made(out, self.chunks.made);
    }

    pub(super) fn read_reference(reader: &mut Reader<'_>) -> Decoded<Self> {
        let summary = Summary::read(reader)?;
        Ok(Self {
            summary,
            chunks: Held::stored(read_made(reader)?),
        })
    }
}
