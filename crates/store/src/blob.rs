//! Blobs: references, writers, staged blobs.

use std::{
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::{Bytes, BytesMut};

use crate::{
    batch::Key,
    embedded::{FileWriter, Shared, StagedFile},
    error::{StageError, StoreError},
};

/// A blob of this length or more is staged in a file of its own, in bytes.
pub const BLOB_FILE_BYTES_MIN: usize = 1 << 20;

/// Where a blob lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BlobKind {
    /// In a segment of the log, at an offset.
    Segment,
    /// In a file of its own; the offset is the file's number.
    File,
    /// In the memory engine; the offset is its number.
    Memory,
}

/// Where and how a blob is kept. Opaque to users but for its length; only the row that owns the blob
/// may carry it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BlobRef {
    pub(crate) kind: BlobKind,
    /// 0: the bytes as they are.
    pub(crate) codec: u8,
    pub(crate) segment: u32,
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

impl BlobRef {
    /// The length of a reference in a row's value.
    pub const BYTES: usize = 24;

    /// The blob's length in bytes, decoded.
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Whether the blob has no bytes.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Where the blob lies.
    pub fn kind(&self) -> BlobKind {
        self.kind
    }

    /// The form in a row: kind u8, codec u8, 0 u16, segment u32, offset u64, length u64, big-endian.
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut out = [0; Self::BYTES];
        out[0] = match self.kind {
            BlobKind::Segment => 1,
            BlobKind::File => 2,
            BlobKind::Memory => 3,
        };
        out[1] = self.codec;
        out[4..8].copy_from_slice(&self.segment.to_be_bytes());
        out[8..16].copy_from_slice(&self.offset.to_be_bytes());
        out[16..24].copy_from_slice(&self.length.to_be_bytes());
        out
    }

    /// Reads the form in a row; `None` if it is not one that this version knows.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; Self::BYTES] = bytes.get(..Self::BYTES)?.try_into().ok()?;
        let kind = match bytes[0] {
            1 => BlobKind::Segment,
            2 => BlobKind::File,
            3 => BlobKind::Memory,
            _ => return None,
        };
        if bytes[1] != 0 || bytes[2] != 0 || bytes[3] != 0 {
            return None;
        }
        let [
            _,
            _,
            _,
            _,
            s0,
            s1,
            s2,
            s3,
            offset @ ..,
            l0,
            l1,
            l2,
            l3,
            l4,
            l5,
            l6,
            l7,
        ] = *bytes;
        Some(Self {
            kind,
            codec: bytes[1],
            segment: u32::from_be_bytes([s0, s1, s2, s3]),
            offset: u64::from_be_bytes(offset),
            length: u64::from_be_bytes([l0, l1, l2, l3, l4, l5, l6, l7]),
        })
    }
}

/// A blob being written. Dropping it aborts: nothing of it is kept.
#[derive(Debug)]
pub struct BlobWriter {
    owner: Key,
    body: Body,
    /// Where large blobs go; `None` keeps everything in memory.
    files: Option<Arc<Shared>>,
}

#[derive(Debug)]
enum Body {
    Memory(BytesMut),
    File(FileWriter),
}

impl BlobWriter {
    pub(crate) fn memory(owner: Key) -> Self {
        Self {
            owner,
            body: Body::Memory(BytesMut::new()),
            files: None,
        }
    }

    pub(crate) fn embedded(files: Arc<Shared>, owner: Key) -> Self {
        Self {
            owner,
            body: Body::Memory(BytesMut::new()),
            files: Some(files),
        }
    }

    /// Appends bytes. Below [`BLOB_FILE_BYTES_MIN`] they are kept in memory.
    ///
    /// # Errors
    /// See [`StageError`]; the blob cannot be finished then.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), StageError> {
        if let (Body::Memory(memory), Some(files)) = (&mut self.body, &self.files)
            && memory.len() + bytes.len() >= BLOB_FILE_BYTES_MIN
        {
            let mut file = FileWriter::create(files.clone(), self.owner.clone()).await?;
            file.write(memory).await?;
            self.body = Body::File(file);
        }
        match &mut self.body {
            Body::Memory(memory) => memory.extend_from_slice(bytes),
            Body::File(file) => file.write(bytes).await?,
        }
        Ok(())
    }

    /// How many bytes were written.
    pub fn len(&self) -> u64 {
        match &self.body {
            Body::Memory(memory) => memory.len() as u64,
            Body::File(file) => file.len(),
        }
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ends the blob. A large one is durable when this returns, though nothing owns it yet.
    ///
    /// # Errors
    /// See [`StageError`]; nothing of the blob is kept.
    pub async fn finish(self) -> Result<Staged, StageError> {
        let (owner, body) = match self.body {
            Body::Memory(memory) => (self.owner, StagedBody::Memory(memory.freeze())),
            Body::File(file) => {
                let (owner, staged) = file.finish().await?;
                (owner, StagedBody::File(staged))
            }
        };
        Ok(Staged(Arc::new(StagedInner {
            owner,
            body,
            reference: Mutex::default(),
        })))
    }
}

/// A blob that waits for the batch that owns it. Clones are the same blob (for a retry after a
/// conflict); when the last is dropped without a commit, nothing of the blob is kept.
#[derive(Clone, Debug)]
pub struct Staged(Arc<StagedInner>);

#[derive(Debug)]
struct StagedInner {
    owner: Key,
    body: StagedBody,
    reference: Mutex<Option<BlobRef>>,
}

#[derive(Debug)]
enum StagedBody {
    Memory(Bytes),
    File(StagedFile),
}

impl Staged {
    /// A blob that is there already.
    pub(crate) fn memory(owner: Key, bytes: Bytes) -> Self {
        let body = StagedBody::Memory(bytes);
        Self(Arc::new(StagedInner {
            owner,
            body,
            reference: Mutex::default(),
        }))
    }

    /// The key of the row that will own the blob.
    pub fn owner(&self) -> &[u8] {
        &self.0.owner
    }

    /// The blob's length in bytes.
    pub fn len(&self) -> u64 {
        match &self.0.body {
            StagedBody::Memory(bytes) => bytes.len() as u64,
            StagedBody::File(file) => file.length,
        }
    }

    /// Whether the blob has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The whole blob, if it is kept in memory (it is below [`BLOB_FILE_BYTES_MIN`]).
    pub fn bytes(&self) -> Option<&Bytes> {
        match &self.0.body {
            StagedBody::Memory(bytes) => Some(bytes),
            StagedBody::File(_) => None,
        }
    }

    /// Reads a part of the blob, wherever it is kept.
    ///
    /// # Errors
    /// [`StoreError::Range`] if the range does not lie within it.
    pub async fn read(&self, range: Range<u64>) -> Result<Bytes, StoreError> {
        match &self.0.body {
            StagedBody::Memory(bytes) => slice(bytes, range),
            StagedBody::File(file) => {
                if range.start > range.end || range.end > file.length {
                    return Err(StoreError::Range);
                }
                file.read(range.start, range.end - range.start).await
            }
        }
    }

    /// Where the blob was put by the last commit that took it; `None` before. (After
    /// [`crate::CommitError::Unknown`] it may be set though the batch was lost.)
    pub fn reference(&self) -> Option<BlobRef> {
        *self
            .0
            .reference
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of the blob's file and the checksum of its header, if it has a file.
    pub(crate) fn file(&self) -> Option<(u64, u32)> {
        match &self.0.body {
            StagedBody::Memory(_) => None,
            StagedBody::File(file) => Some((file.id, file.check)),
        }
    }

    /// A row owns the blob now, or may: its file is not removed.
    pub(crate) fn keep(&self) {
        if let StagedBody::File(file) = &self.0.body {
            file.keep();
        }
    }

    pub(crate) fn set_reference(&self, reference: BlobRef) {
        *self
            .0
            .reference
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(reference);
    }
}

/// A range of bytes held in memory.
pub(crate) fn slice(bytes: &Bytes, range: Range<u64>) -> Result<Bytes, StoreError> {
    if range.start > range.end || range.end > bytes.len() as u64 {
        return Err(StoreError::Range);
    }
    Ok(bytes.slice(range.start as usize..range.end as usize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reference_form() {
        for kind in [BlobKind::Segment, BlobKind::File, BlobKind::Memory] {
            let reference = BlobRef {
                kind,
                codec: 0,
                segment: 7,
                offset: 1 << 40 | 5,
                length: 12_345,
            };
            assert_eq!(BlobRef::from_bytes(&reference.to_bytes()), Some(reference));
        }
        assert_eq!(BlobRef::from_bytes(&[0; 24]), None);
        assert_eq!(BlobRef::from_bytes(&[1; 23]), None);
    }
}
