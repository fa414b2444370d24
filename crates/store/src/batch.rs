//! What is asked of a store: keys, ranges and batches.

use std::ops::Bound;

use bytes::Bytes;

use crate::blob::{BlobRef, Staged};

/// A key: any bytes, ordered as bytes, at most [`Batch::KEY_BYTES_MAX`] long, not empty.
pub type Key = Vec<u8>;

/// The keys between two bounds, in byte order.
pub type KeyRange = (Bound<Key>, Bound<Key>);

/// The range of all keys that begin with `prefix`; an empty prefix is every key.
pub fn prefix_range(prefix: &[u8]) -> KeyRange {
    let mut end = prefix.to_vec();
    while let Some(last) = end.last_mut() {
        if *last < u8::MAX {
            *last += 1;
            return (Bound::Included(prefix.to_vec()), Bound::Excluded(end));
        }
        end.pop();
    }
    (Bound::Included(prefix.to_vec()), Bound::Unbounded)
}

/// Whether no key can lie in a range (`BTreeMap::range` panics on such).
pub(crate) fn is_empty(range: &KeyRange) -> bool {
    use std::ops::Bound::{Excluded, Included, Unbounded};
    match range {
        (Unbounded, _) | (_, Unbounded) => false,
        (Included(a), Included(b)) => a > b,
        (Included(a) | Excluded(a), Included(b) | Excluded(b)) => a >= b,
    }
}

/// The number of a batch in the order of the log. Ascends, is never used twice; the first is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct CommitNumber(pub u64);

/// Which end of a range a scan begins at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Smallest key first.
    Ascending,
    /// Largest key first.
    Descending,
}

/// A set of changes that happens whole or not at all.
///
/// The conditions are evaluated in the order of submission against everything submitted before, so a
/// writer may submit a batch that builds on one of its own that is not durable yet.
/// Deletes are applied before puts, so a key in both is put.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Whose turn this takes (the account's number): the committer takes turns by it, so that an
    /// import does not stand before a delivery. Batches of one turn keep their order.
    pub turn: u32,
    /// Keys that must not exist.
    pub require_absent: Vec<Key>,
    /// Keys that must exist with exactly this value.
    pub require_equal: Vec<(Key, Bytes)>,
    /// Rows to write.
    pub put: Vec<Put>,
    /// Rows to delete; one that does not exist is no error.
    pub delete: Vec<Key>,
    /// Blobs that become durable with this batch. Each must be named by exactly one [`Put`].
    pub blobs: Vec<Staged>,
    /// Blobs whose row this batch deletes (for the accounting of space).
    pub release: Vec<BlobRef>,
}

impl Batch {
    /// The longest key, in bytes.
    pub const KEY_BYTES_MAX: usize = 4096;
    /// The largest value, in bytes.
    pub const VALUE_BYTES_MAX: usize = 8 << 20;
    /// The most that the keys and values of one batch may come to, in bytes (blobs not counted).
    pub const BYTES_MAX: usize = 32 << 20;
    /// The most that the blobs of one batch may come to that have no file of their own, in bytes.
    pub const BLOB_BYTES_MAX: usize = 256 << 20;
    /// The most operations in one batch.
    pub const OPERATIONS_MAX: usize = 1 << 20;
    /// The most blobs in one batch.
    pub const BLOBS_MAX: usize = 4096;

    /// An empty batch that takes its turn as `turn`.
    pub fn new(turn: u32) -> Self {
        Self {
            turn,
            ..Self::default()
        }
    }

    /// Adds a blob and returns its index, for [`Put::with_blob`].
    pub fn attach(&mut self, staged: Staged) -> usize {
        self.blobs.push(staged);
        self.blobs.len() - 1
    }

    /// Adds a row without a blob.
    pub fn put(&mut self, key: impl Into<Key>, value: impl Into<Bytes>) -> &mut Self {
        self.put.push(Put::new(key, value));
        self
    }

    /// The bytes of all keys and values, conditions not counted.
    pub fn op_bytes(&self) -> usize {
        let put: usize = self.put.iter().map(|p| p.key.len() + p.value.len()).sum();
        put + self.delete.iter().map(Vec::len).sum::<usize>()
    }

    /// Says what is wrong with a batch that no engine may take. Engines call it first.
    pub(crate) fn check(&self) -> Result<(), String> {
        let keys = self
            .require_absent
            .iter()
            .chain(self.require_equal.iter().map(|(k, _)| k))
            .chain(self.put.iter().map(|p| &p.key))
            .chain(&self.delete);
        for key in keys {
            if key.is_empty() || key.len() > Self::KEY_BYTES_MAX {
                return Err(format!("a key has {} bytes", key.len()));
            }
        }
        if self.blobs.len() > Self::BLOBS_MAX {
            return Err(format!("{} blobs in one batch", self.blobs.len()));
        }
        let blob_bytes: usize = self
            .blobs
            .iter()
            .filter_map(|b| b.bytes())
            .map(Bytes::len)
            .sum();
        if blob_bytes > Self::BLOB_BYTES_MAX {
            return Err(format!("blobs of {blob_bytes} bytes in one batch"));
        }
        let operations = self.put.len() + self.delete.len() + self.release.len();
        if operations > Self::OPERATIONS_MAX {
            return Err(format!("{operations} operations in one batch"));
        }
        if self.op_bytes() > Self::BYTES_MAX {
            return Err(format!("a batch of {} bytes", self.op_bytes()));
        }
        let mut named = vec![false; self.blobs.len()];
        for put in &self.put {
            if put.value.len() > Self::VALUE_BYTES_MAX {
                return Err(format!("a value has {} bytes", put.value.len()));
            }
            let Some((index, offset)) = put.blob else {
                continue;
            };
            let staged = self
                .blobs
                .get(index)
                .ok_or("a row names a blob that is not there")?;
            if std::mem::replace(&mut named[index], true) {
                return Err("two rows name the same blob".into());
            }
            if staged.owner() != put.key {
                return Err("a blob was staged for another row".into());
            }
            match offset.checked_add(BlobRef::BYTES) {
                Some(end) if end <= put.value.len() => {}
                _ => return Err("no room for the blob reference in the value".into()),
            }
        }
        if named.contains(&false) {
            return Err("a blob without a row".into());
        }
        Ok(())
    }
}

/// A row to write.
#[derive(Clone, Debug)]
pub struct Put {
    /// The row's key.
    pub key: Key,
    /// Its new value.
    pub value: Bytes,
    /// Which of the batch's blobs this row owns, and the offset in `value` at which the committer
    /// writes the [`BlobRef::BYTES`] bytes of its reference.
    pub blob: Option<(usize, usize)>,
}

impl Put {
    /// A row without a blob.
    pub fn new(key: impl Into<Key>, value: impl Into<Bytes>) -> Self {
        Self {
            key: key.into(),
            value: value.into(),
            blob: None,
        }
    }

    /// A row that owns `blobs[index]` of its batch; the reference is written at `offset` of `value`.
    pub fn with_blob(
        key: impl Into<Key>,
        value: impl Into<Bytes>,
        index: usize,
        offset: usize,
    ) -> Self {
        Self {
            key: key.into(),
            value: value.into(),
            blob: Some((index, offset)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_ranges() {
        let range = |p: &[u8]| prefix_range(p).1;
        assert_eq!(range(b"ab"), Bound::Excluded(b"ac".to_vec()));
        assert_eq!(range(b"a\xff\xff"), Bound::Excluded(b"b".to_vec()));
        assert_eq!(range(b"\xff"), Bound::Unbounded);
        assert_eq!(range(b""), Bound::Unbounded);
    }
}
