//! How pages and parts of chunks are named, read, and held in memory.

use std::{
    future::Future,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;

use super::NotLoaded;
use crate::types::{ModSeq, Uid};

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
    /// The modseq of the transaction that made it; of its newest row if an import did.
    pub modseq: ModSeq,
    /// A hash of that transaction: so that two that both tried to be this modseq cannot mean the same
    /// part.
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

/// Which transaction made a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Made {
    pub(crate) modseq: ModSeq,
    pub(crate) salt: u32,
}

impl Made {
    pub(super) const fn key(self, kind: PartKind, first: Uid, last: Uid) -> PartKey {
        let Self { modseq, salt } = self;
        PartKey {
            kind,
            modseq,
            salt,
            first,
            last,
        }
    }
}

/// A page's chunks or a part, in memory or not (yet).
#[derive(Debug)]
pub(super) struct Held<T> {
    pub(super) made: Made,
    /// It is in the store.
    stored: AtomicBool,
    value: OnceLock<T>,
}

impl<T> Held<T> {
    /// New, in memory, not in the store.
    pub(super) fn new(made: Made, value: T) -> Self {
        Self {
            made,
            stored: AtomicBool::new(false),
            value: OnceLock::from(value),
        }
    }

    /// In the store, not in memory.
    pub(super) fn stored(made: Made) -> Self {
        Self {
            made,
            stored: AtomicBool::new(true),
            value: OnceLock::new(),
        }
    }

    /// Not in memory, if it is in the store.
    pub(super) fn shed(self: &Arc<Self>) -> Arc<Self> {
        match self.is_stored() {
            true => Arc::new(Self::stored(self.made)),
            false => Arc::clone(self),
        }
    }

    pub(super) fn get(&self) -> Result<&T, NotLoaded> {
        self.value.get().ok_or(NotLoaded)
    }

    pub(super) fn is_loaded(&self) -> bool {
        self.value.get().is_some()
    }

    /// Puts what was read into it; if somebody else was first, that stays.
    pub(super) fn load(&self, value: T) {
        let _ = self.value.set(value);
    }

    pub(super) fn is_stored(&self) -> bool {
        self.stored.load(Ordering::Acquire)
    }

    pub(super) fn set_stored(&self) {
        self.stored.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_back_and_sorts_by_modseq() {
        let key = |modseq, salt| {
            let made = Made {
                modseq: ModSeq(modseq),
                salt,
            };
            made.key(PartKind::Mutable, Uid::MIN, Uid::MAX)
        };
        let bytes = key(258, 7).to_bytes();
        assert_eq!(PartKey::from_bytes(&bytes), Some(key(258, 7)));
        assert!(key(257, u32::MAX).to_bytes() < bytes);
        for end in 0..bytes.len() {
            assert_eq!(PartKey::from_bytes(&bytes[..end]), None);
        }
        assert_eq!(PartKey::from_bytes(&[&bytes[..], b"x"].concat()), None);
    }
}
