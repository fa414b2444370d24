//! Rows that become chunks without going through records: an import, and appends too large for a
//! record.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    Annotations, Snapshot,
    chunk::{Chunk, ChunkRef, PAGE_CHUNKS_MAX, Page},
    columns::CHUNK_ROWS_MAX,
    part::{Made, PartKey},
};
use crate::{
    flags::Slot,
    keywords::Keywords,
    record::NewRow,
    tail::Tail,
    types::{ModSeq, Row, Uid, UidValidity},
};

/// Why a row cannot be imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// UIDs must ascend, and leave room for UIDNEXT.
    #[error("UID {0} is not larger than those before, or the last there can be")]
    Uid(Uid),
    /// Modseqs begin with 1, and none may be larger than the mailbox's.
    #[error("modseq {0} is not one of this mailbox")]
    ModSeq(ModSeq),
    /// A slot is taken, or the name cannot be one.
    #[error("keyword slot {} cannot be defined so", .0.get())]
    Keyword(Slot),
}

/// A mailbox that begins with given rows instead of records: UIDs, UIDVALIDITY, modseqs, dates and flags
/// are kept. Takes bounded memory if what [`Import::drain`] gives is written as it goes.
#[derive(Debug)]
pub struct Import {
    tail: Tail,
    keywords: Keywords,
    salt: u32,
    rows: Vec<Row>,
    chunks: Vec<Arc<Chunk>>,
    pages: Vec<Arc<Page>>,
    puts: Vec<(PartKey, Bytes)>,
}

impl Import {
    /// An import; `nonce` as for a record.
    pub fn new(uid_validity: UidValidity, nonce: u64) -> Self {
        Self {
            tail: Tail::new(uid_validity),
            keywords: Keywords::new(),
            salt: salt(nonce),
            rows: Vec::new(),
            chunks: Vec::new(),
            pages: Vec::new(),
            puts: Vec::new(),
        }
    }

    /// Gives a free keyword slot a name.
    ///
    /// # Errors
    /// [`ImportError::Keyword`].
    pub fn define_keyword(&mut self, slot: Slot, name: &str) -> Result<(), ImportError> {
        match self.keywords.define(slot, name) {
            true => Ok(()),
            false => Err(ImportError::Keyword(slot)),
        }
    }

    /// Adds a message.
    ///
    /// # Errors
    /// [`ImportError`].
    pub fn push(&mut self, row: Row) -> Result<(), ImportError> {
        if !(ModSeq::FIRST..=ModSeq::MAX).contains(&row.modseq) {
            return Err(ImportError::ModSeq(row.modseq));
        }
        let next = row
            .uid
            .checked_add(1)
            .filter(|_| row.uid >= self.tail.uid_next);
        self.tail.uid_next = next.ok_or(ImportError::Uid(row.uid))?;
        self.tail.modseq = self.tail.modseq.max(row.modseq);
        self.rows.push(row);
        if self.rows.len() == CHUNK_ROWS_MAX {
            self.chunk();
        }
        Ok(())
    }

    /// Parts to be written before the root is; what was given is not kept.
    pub fn drain(&mut self) -> Vec<(PartKey, Bytes)> {
        std::mem::take(&mut self.puts)
    }

    /// The mailbox. `uid_next` and `modseq` are lower bounds. Write what `drain` still gives, then the
    /// [`checkpoint`](Snapshot::checkpoint) with a tail that names its root.
    pub fn finish(
        mut self,
        uid_next: Uid,
        modseq: ModSeq,
        annotations: Annotations,
    ) -> (Snapshot, Vec<(PartKey, Bytes)>) {
        self.chunk();
        self.page();
        let puts = self.drain();
        let Self {
            mut tail,
            keywords,
            pages,
            ..
        } = self;
        tail.uid_next = tail.uid_next.max(uid_next);
        tail.modseq = tail.modseq.max(modseq).min(ModSeq::MAX);
        // What vanished before is not known.
        tail.vanished_floor = tail.modseq;
        tail.count(&pages);
        let (keywords, annotations) = (Arc::new(keywords), Arc::new(annotations));
        (
            Snapshot::with_pages(tail, keywords, annotations, pages),
            puts,
        )
    }

    fn chunk(&mut self) {
        let modseq = self
            .rows
            .iter()
            .map(|row| row.modseq)
            .max()
            .unwrap_or_default();
        let made = Made {
            modseq,
            salt: self.salt,
        };
        let rows = std::mem::take(&mut self.rows);
        let Some((chunk, puts)) = stored(&rows, made) else {
            return;
        };
        self.puts.extend(puts);
        self.chunks.push(Arc::new(chunk.chunk()));
        if self.chunks.len() == PAGE_CHUNKS_MAX {
            self.page();
        }
    }

    fn page(&mut self) {
        let chunks = std::mem::take(&mut self.chunks);
        let modseq = chunks
            .iter()
            .map(|chunk| chunk.summary.modseq)
            .max()
            .unwrap_or_default();
        let made = Made {
            modseq,
            salt: self.salt,
        };
        let Some(page) = Page::new(chunks, made) else {
            return;
        };
        self.pages.push(Arc::new(page));
    }
}

/// The rows of an append that is too large for a record: chunks for
/// [`Effect::AppendChunks`](crate::Effect::AppendChunks), and their parts, which must be in the store
/// before the record is. `modseq` is that of the record to come, which has to be checked again when it
/// is built; `nonce` is fresh for every try.
pub fn chunks_of(
    rows: &[NewRow],
    modseq: ModSeq,
    nonce: u64,
) -> (Vec<ChunkRef>, Vec<(PartKey, Bytes)>) {
    let made = Made {
        modseq,
        salt: salt(nonce),
    };
    let (mut chunks, mut puts) = (Vec::new(), Vec::new());
    let mut block = Vec::new();
    for rows in rows.chunks(CHUNK_ROWS_MAX) {
        block.clear();
        block.extend(rows.iter().map(|row| row.row(modseq)));
        if let Some((chunk, parts)) = stored(&block, made) {
            chunks.push(chunk);
            puts.extend(parts);
        }
    }
    (chunks, puts)
}

fn stored(rows: &[Row], made: Made) -> Option<(ChunkRef, [(PartKey, Bytes); 2])> {
    let chunk = Chunk::new(rows, made)?;
    let fixed = (chunk.fixed_key(), chunk.fixed.get().ok()?.encode());
    let mutable = (chunk.mutable_key(), chunk.mutable.get().ok()?.encode());
    Some((chunk.reference(), [fixed, mutable]))
}

fn salt(nonce: u64) -> u32 {
    (nonce ^ (nonce >> 32)) as u32
}
