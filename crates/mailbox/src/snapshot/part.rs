//! Parts of chunks.

use std::future::Future;

use bytes::Bytes;

use crate::{
    codec::{Decoded, Reader},
    types::{ModSeq, Uid},
};

/// What is stored under a [`PartKey`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PartKind {
    /// References to chunks.
    Page,
    /// The columns of a chunk that never change: uid, email, size, dates.
    Fixed,
    /// The columns that do: flags, modseq.
    Mutable,
}

/// The name of a page or part, unique in its mailbox: what is stored under it never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartKey {
    /// What it is.
    pub kind: PartKind,
    /// The modseq of the transaction that made it.
    pub modseq: ModSeq,
    /// From that transaction's nonce: so that two transactions that both tried to be this modseq
    /// cannot mean the same part.
    pub salt: u32,
    /// Its first UID.
    pub first: Uid,
    /// Its last UID.
    pub last: Uid,
}

impl PartKey {
    /// How it ends a key of the store: by kind, then modseq. 21 bytes.
    pub fn to_bytes(self) -> [u8; 21] {
        let kind = match self.kind {
            PartKind::Page => 0,
            PartKind::Fixed => 1,
            PartKind::Mutable => 2,
        };
        let mut out = [kind; 21];
        out[1..9].copy_from_slice(&self.modseq.0.to_be_bytes());
        out[9..13].copy_from_slice(&self.salt.to_be_bytes());
        out[13..17].copy_from_slice(&self.first.get().to_be_bytes());
        out[17..21].copy_from_slice(&self.last.get().to_be_bytes());
        out
    }

    /// The reverse of [`PartKey::to_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        let kind = match kind {
            0 => PartKind::Page,
            1 => PartKind::Fixed,
            2 => PartKind::Mutable,
            _ => return None,
        };
        let (modseq, rest) = rest.split_first_chunk()?;
        let (salt, rest) = rest.split_first_chunk()?;
        let (first, rest) = rest.split_first_chunk()?;
        Some(Self {
            kind,
            modseq: ModSeq(u64::from_be_bytes(*modseq)),
            salt: u32::from_be_bytes(*salt),
            first: Uid::new(u32::from_be_bytes(*first))?,
            last: Uid::new(u32::from_be_bytes(rest.try_into().ok()?))?,
        })
    }
}

/// Where the pages and parts of one mailbox are read from.
pub trait Parts: Sync {
    /// Why reading fails.
    type Error: std::error::Error + Send + Sync + 'static;

    /// The values of `keys`, in their order; none for one that is not there.
    fn parts(
        &self,
        keys: &[PartKey],
    ) -> impl Future<Output = Result<Vec<Option<Bytes>>, Self::Error>> + Send;
}

/// A chunk as a page or a record names it: summaries, and the names of its two parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkRef {
    pub(crate) bytes: Bytes,
}

impl ChunkRef {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        crate::codec::put_bytes(out, &self.bytes);
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        reader.bytes().map(|bytes| Self {
            bytes: Bytes::copy_from_slice(bytes),
        })
    }
}
