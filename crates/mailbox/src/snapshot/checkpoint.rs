//! Checkpoints: a snapshot as values of the store.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    NotLoaded, PartKey, Snapshot,
    chunk::{Chunk, Page},
};
use crate::{
    codec::{DecodeError, Reader, put_bytes, put_varint, seal, unseal},
    flags::Slot,
    keywords::Keywords,
    snapshot::Annotations,
    tail::{RootRef, Tail},
};

/// What a checkpoint writes: the parts and pages that are not in the store yet, and the root. The batch
/// that holds the root must also replace the tail by one that names it; the parts may be written before.
#[derive(Debug)]
pub struct Checkpoint {
    puts: Vec<(PartKey, Bytes)>,
    root: RootRef,
    root_bytes: Bytes,
    written: Vec<Written>,
}

#[derive(Debug)]
enum Written {
    Page(Arc<Page>),
    Fixed(Arc<Chunk>),
    Mutable(Arc<Chunk>),
}

impl Checkpoint {
    /// Pages and parts to be written.
    pub fn puts(&self) -> &[(PartKey, Bytes)] {
        &self.puts
    }

    /// The root's name.
    pub fn root(&self) -> RootRef {
        self.root
    }

    /// The root's value.
    pub fn root_bytes(&self) -> &Bytes {
        &self.root_bytes
    }

    /// To be called when everything is durable: later checkpoints do not write it again.
    pub fn committed(self) {
        for written in self.written {
            match written {
                Written::Page(page) => page.chunks.set_stored(),
                Written::Fixed(chunk) => chunk.fixed.set_stored(),
                Written::Mutable(chunk) => chunk.mutable.set_stored(),
            }
        }
    }
}

const VERSION: u8 = 1;
const WHAT: &str = "mailbox root";

impl Snapshot {
    /// What has to be written so that the mailbox can be read from this place of its log. Only what
    /// changed since the last checkpoint that this snapshot descends from.
    ///
    /// # Errors
    /// [`NotLoaded`] if something is neither in memory nor in the store, which does not happen.
    pub fn checkpoint(&self) -> Result<Checkpoint, NotLoaded> {
        let (mut puts, mut written) = (Vec::new(), Vec::new());
        for page in &self.pages {
            if page.chunks.is_stored() {
                continue;
            }
            for chunk in &page.chunks.get()?.list {
                if !chunk.fixed.is_stored() {
                    puts.push((chunk.fixed_key(), chunk.fixed.get()?.encode()));
                    written.push(Written::Fixed(Arc::clone(chunk)));
                }
                if !chunk.mutable.is_stored() {
                    puts.push((chunk.mutable_key(), chunk.mutable.get()?.encode()));
                    written.push(Written::Mutable(Arc::clone(chunk)));
                }
            }
            puts.push((page.key(), page.encode()?));
            written.push(Written::Page(Arc::clone(page)));
        }
        let root = RootRef {
            modseq: self.tail.modseq,
        };
        Ok(Checkpoint {
            puts,
            root,
            root_bytes: self.encode_root(),
            written,
        })
    }

    fn encode_root(&self) -> Bytes {
        let mut out = vec![VERSION];
        put_bytes(&mut out, &self.tail.encode());
        put_varint(&mut out, self.keywords.len() as u64);
        for (slot, name) in self.keywords.iter() {
            out.push(slot.get());
            put_bytes(&mut out, name.as_bytes());
        }
        put_varint(&mut out, self.annotations.len() as u64);
        for (entry, value) in self.annotations.iter() {
            put_bytes(&mut out, entry.as_bytes());
            put_bytes(&mut out, value);
        }
        put_varint(&mut out, self.pages.len() as u64);
        self.pages
            .iter()
            .for_each(|page| page.write_reference(&mut out));
        seal(out)
    }

    /// The mailbox as it was at a checkpoint. Reads nothing but the root; pages and chunks are loaded
    /// when they are wanted. Its tail names this root.
    ///
    /// # Errors
    /// [`DecodeError`] for anything but what [`Checkpoint::root_bytes`] gave.
    pub fn from_root(root: RootRef, bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(WHAT, unseal(WHAT, bytes)?);
        if reader.u8()? != VERSION {
            return Err(reader.damaged());
        }
        let mut tail = Tail::decode(reader.bytes()?)?;
        let mut keywords = Keywords::new();
        for _ in 0..reader.count()? {
            let slot = Slot::new(reader.u8()?).ok_or(reader.damaged())?;
            if !keywords.define(slot, reader.str()?) {
                return Err(reader.damaged());
            }
        }
        let mut annotations = Annotations::new();
        for _ in 0..reader.count()? {
            let entry = reader.str()?.into();
            annotations.insert(entry, Bytes::copy_from_slice(reader.bytes()?));
        }
        let mut pages: Vec<Arc<Page>> = Vec::new();
        for _ in 0..reader.count()? {
            let page = Page::read_reference(&mut reader)?;
            if pages
                .last()
                .is_some_and(|last| last.summary.last >= page.summary.first)
            {
                return Err(reader.damaged());
            }
            pages.push(Arc::new(page));
        }
        reader.end()?;
        let mut counted = tail.clone();
        counted.count(&pages);
        let below_uid_next = pages
            .last()
            .is_none_or(|last| last.summary.last < tail.uid_next);
        if counted != tail || tail.modseq != root.modseq || !below_uid_next {
            return Err(reader.damaged());
        }
        tail.root = Some(root);
        Ok(Self::with_pages(
            tail,
            Arc::new(keywords),
            Arc::new(annotations),
            pages,
        ))
    }
}
