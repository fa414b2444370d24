//! Checkpoints: a snapshot as values of the store.

use std::sync::Arc;

use bytes::Bytes;

use super::{PartKey, Snapshot};
use crate::{
    codec::{DecodeError, Reader, put_bytes, put_varint, seal, unseal},
    record::{Effect, NewRow, Record},
    tail::{RootRef, Tail},
};

/// What a checkpoint writes. After the commit of the puts, the root, and a tail that names it, call
/// [`Checkpoint::committed`].
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// Pages and parts that are not in the store yet.
    pub puts: Vec<(PartKey, Bytes)>,
    /// The root's key.
    pub root: RootRef,
    /// The root's value.
    pub root_bytes: Bytes,
}

impl Checkpoint {
    /// Remembers that the puts are in the store.
    pub fn committed(&self) {}
}

impl Snapshot {
    /// What has to be written so that the mailbox can be read from this place of its log.
    pub fn checkpoint(&self) -> Checkpoint {
        let mut out = Vec::new();
        put_bytes(&mut out, &self.tail.encode());
        put_varint(&mut out, self.rows.len() as u64);
        for row in self.rows.iter() {
            let tail = Tail {
                modseq: row.modseq,
                ..Tail::new(self.tail.uid_validity)
            };
            let new = NewRow {
                uid: row.uid,
                email: row.email,
                size: row.size,
                internal_date: row.internal_date,
                save_date_s: row.save_date_s,
                flags: row.flags,
            };
            if let Ok(record) = Record::new(&tail, 0, 0, vec![Effect::Append(vec![new])]) {
                put_varint(&mut out, record.modseq().0);
                put_bytes(&mut out, record.bytes());
            }
        }
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
        let root = RootRef {
            modseq: self.tail.modseq,
        };
        Checkpoint {
            puts: Vec::new(),
            root,
            root_bytes: seal(out),
        }
    }

    /// The mailbox as it was at a checkpoint. Reads nothing but the root; chunks are loaded when they
    /// are wanted.
    ///
    /// # Errors
    /// [`DecodeError`] for anything but what [`Snapshot::checkpoint`] gave.
    pub fn from_root(root: RootRef, bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("mailbox root", unseal("mailbox root", bytes)?);
        let mut tail = Tail::decode(reader.bytes()?)?;
        if tail.modseq != root.modseq {
            return Err(reader.damaged());
        }
        tail.root = Some(root);
        let mut snapshot = Snapshot::new(tail.uid_validity);
        let mut rows = Vec::new();
        for _ in 0..reader.count()? {
            let modseq = crate::tail::read_modseq(&mut reader)?;
            let record = Record::decode(modseq, Bytes::copy_from_slice(reader.bytes()?))?;
            rows.extend(record.appended().map(|row| {
                let modseq = crate::types::ModSeq(modseq.0 - 1);
                row.row(modseq)
            }));
        }
        let keywords = Arc::make_mut(&mut snapshot.keywords);
        for _ in 0..reader.count()? {
            let slot = crate::flags::Slot::new(reader.u8()?).ok_or(reader.damaged())?;
            if !keywords.define(slot, reader.str()?) {
                return Err(reader.damaged());
            }
        }
        let annotations = Arc::make_mut(&mut snapshot.annotations);
        for _ in 0..reader.count()? {
            annotations.insert(
                reader.str()?.into(),
                Bytes::copy_from_slice(reader.bytes()?),
            );
        }
        reader.end()?;
        Ok(Self {
            tail,
            rows: Arc::new(rows),
            ..snapshot
        })
    }
}
