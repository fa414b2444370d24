//! Reading blobs, wherever they lie: checked against their owner and their checksums.

use std::{
    fs::File,
    io::{self, IoSliceMut},
    ops::Range,
    os::unix::fs::FileExt,
    sync::Arc,
};

use bytes::Bytes;

use super::{
    Shared,
    format::{BLOCK_BYTES, BlobHeader, BlobMismatch},
};
use crate::{
    blob::{BlobKind, BlobRef},
    error::StoreError,
    read_ahead::ReadAhead,
};

/// Reads above this are never tried on the runtime's thread, in bytes.
const INLINE_BYTES_MAX: u64 = 256 << 10;
/// The largest range of one read, in bytes.
pub(crate) const READ_BYTES_MAX: u64 = 256 << 20;

/// Why a blob could not be read at its reference.
enum Miss {
    /// There is no such blob there: it may have been moved.
    Gone,
    /// It would have to wait for the disk.
    WouldBlock,
    Failed(StoreError),
}

impl Shared {
    /// Reads a part of a blob.
    pub(crate) async fn read_blob(
        self: &Arc<Self>,
        owner: &[u8],
        blob: &BlobRef,
        range: Range<u64>,
    ) -> Result<Bytes, StoreError> {
        if range.start > range.end || range.end > blob.length {
            return Err(StoreError::Range);
        }
        if range.end - range.start > READ_BYTES_MAX {
            return Err(StoreError::Range);
        }
        if range.end - range.start <= INLINE_BYTES_MAX {
            match self.read_at(owner, blob, &range, false, None) {
                Ok(bytes) => return Ok(bytes),
                Err(Miss::Failed(error)) => return Err(error),
                Err(Miss::Gone | Miss::WouldBlock) => {}
            }
        }
        let (shared, owner, blob) = (self.clone(), owner.to_vec(), *blob);
        tokio::task::spawn_blocking(move || shared.read_blob_blocking(&owner, &blob, &range))
            .await
            .map_err(|_| StoreError::Closed)?
    }

    /// As [`Shared::read_blob`], with what lies behind the blob, if that is read next.
    pub(crate) async fn read_blob_ahead(
        self: &Arc<Self>,
        owner: &[u8],
        blob: &BlobRef,
        range: Range<u64>,
        ahead: &mut ReadAhead,
    ) -> Result<Bytes, StoreError> {
        if blob.kind != BlobKind::Segment || range.start > range.end || range.end > blob.length {
            return self.read_blob(owner, blob, range).await;
        }
        let whole = BlobHeader::bytes(owner.len(), blob.length).saturating_add(blob.length);
        if let Some((offset, length)) = ahead.wanted(blob, whole) {
            match self.window(blob.segment, offset, length).await {
                Ok(octets) => ahead.fill(blob, octets),
                Err(_) => ahead.give_up(),
            }
        }
        if ahead.slice(blob, blob.offset, whole).is_some()
            && let Ok(bytes) = self.read_at(owner, blob, &range, false, Some(ahead))
        {
            return Ok(bytes);
        }
        // Also what was wrong in there is looked for where it lies.
        self.read_blob(owner, blob, range).await
    }

    /// Octets of a segment; fewer at its end.
    async fn window(&self, segment: u32, offset: u64, length: u64) -> io::Result<Bytes> {
        let file = self.segments.file(segment)?;
        match pread(&file, offset, length, false, true) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            read => return read,
        }
        let read = move || pread(&file, offset, length, true, true);
        tokio::task::spawn_blocking(read)
            .await
            .map_err(io::Error::other)?
    }

    /// Reads a part of a blob, waiting for the disk. A miss reads the row once: the blob may have
    /// been moved since the caller read it.
    pub(crate) fn read_blob_blocking(
        &self,
        owner: &[u8],
        blob: &BlobRef,
        range: &Range<u64>,
    ) -> Result<Bytes, StoreError> {
        match self.read_at(owner, blob, range, true, None) {
            Ok(bytes) => return Ok(bytes),
            Err(Miss::Failed(error)) => return Err(error),
            Err(Miss::Gone | Miss::WouldBlock) => {}
        }
        let row = self.get(owner)?.ok_or(StoreError::NoSuchBlob)?;
        let is_named = row
            .windows(BlobRef::BYTES)
            .any(|bytes| *bytes == blob.to_bytes());
        for bytes in row.windows(BlobRef::BYTES) {
            let Some(other) = BlobRef::from_bytes(bytes) else {
                continue;
            };
            if other == *blob || other.length != blob.length {
                continue;
            }
            match self.read_at(owner, &other, range, true, None) {
                Ok(bytes) => return Ok(bytes),
                Err(Miss::Failed(error)) => return Err(error),
                Err(Miss::Gone | Miss::WouldBlock) => {}
            }
        }
        if is_named {
            Err(damaged(owner, blob, "is not there"))
        } else {
            Err(StoreError::NoSuchBlob)
        }
    }

    fn read_at(
        &self,
        owner: &[u8],
        blob: &BlobRef,
        range: &Range<u64>,
        wait: bool,
        ahead: Option<&ReadAhead>,
    ) -> Result<Bytes, Miss> {
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::WouldBlock => Miss::WouldBlock,
            io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof => Miss::Gone,
            _ => Miss::Failed(StoreError::Read {
                what: place(blob).into(),
                source: Arc::new(error),
            }),
        };
        let header_bytes = BlobHeader::bytes(owner.len(), blob.length);
        if header_bytes > READ_BYTES_MAX {
            return Err(Miss::Gone);
        }
        let (file, header_at, body_at) = match blob.kind {
            BlobKind::Segment => {
                let file = self.segments.file(blob.segment).map_err(failed)?;
                let body_at = blob.offset.checked_add(header_bytes).ok_or(Miss::Gone)?;
                (file, blob.offset, body_at)
            }
            BlobKind::File => {
                let file = File::open(self.file_path(blob.offset)).map_err(failed)?;
                (Arc::new(file), blob.length, 0)
            }
            BlobKind::Memory => return Err(Miss::Gone),
        };
        let read = |offset, length| {
            let there = ahead.and_then(|ahead| ahead.slice(blob, offset, length));
            there.map_or_else(|| pread(&file, offset, length, wait, false), Ok)
        };
        // Whole blocks, because the checksums are of whole blocks.
        let first = range.start / BLOCK_BYTES * BLOCK_BYTES;
        let end = range
            .end
            .div_ceil(BLOCK_BYTES)
            .saturating_mul(BLOCK_BYTES)
            .min(blob.length);
        let (head, body);
        if first == 0 && blob.kind == BlobKind::Segment {
            // Header and beginning lie together: one read.
            let all = read(header_at, header_bytes + end).map_err(failed)?;
            head = all.slice(..header_bytes as usize);
            body = all.slice(header_bytes as usize..);
        } else {
            head = read(header_at, header_bytes).map_err(failed)?;
            let length = end.saturating_sub(first);
            body = read(body_at.saturating_add(first), length).map_err(failed)?;
        }
        let header = match BlobHeader::decode(&head, owner, blob.length) {
            Ok((header, _)) => header,
            Err(BlobMismatch::Other) => return Err(Miss::Gone),
            Err(BlobMismatch::Damaged) => {
                return Err(Miss::Failed(damaged(owner, blob, "has a damaged header")));
            }
        };
        let blocks = header.blocks.iter().skip((first / BLOCK_BYTES) as usize);
        for (block, crc) in body.chunks(BLOCK_BYTES as usize).zip(blocks) {
            if crc32c::crc32c(block) != *crc {
                return Err(Miss::Failed(damaged(owner, blob, "has a wrong checksum")));
            }
        }
        let start = (range.start - first) as usize;
        Ok(body.slice(start..start + (range.end - range.start) as usize))
    }
}

/// Reads exactly so many bytes, or with `short` fewer at the end of the file; without `wait` only if they need not be
/// waited for.
fn pread(file: &File, offset: u64, length: u64, wait: bool, short: bool) -> io::Result<Bytes> {
    let length = usize::try_from(length).map_err(|_| io::ErrorKind::UnexpectedEof)?;
    let mut bytes = vec![0; length];
    let mut done = 0;
    while done < length {
        let at = offset.saturating_add(done as u64);
        match pread_some(file, &mut bytes[done..], at, wait) {
            Ok(0) if short => {
                bytes.truncate(done);
                break;
            }
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => done += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(bytes.into())
}

fn pread_some(file: &File, bytes: &mut [u8], offset: u64, wait: bool) -> io::Result<usize> {
    if wait {
        return file.read_at(bytes, offset);
    }
    let flags = rustix::io::ReadWriteFlags::NOWAIT;
    let read = rustix::io::preadv2(file, &mut [IoSliceMut::new(bytes)], offset, flags);
    read.map_err(|error| match error {
        // Not in the page cache, or the file system cannot tell.
        rustix::io::Errno::AGAIN | rustix::io::Errno::OPNOTSUPP => io::ErrorKind::WouldBlock.into(),
        error => error.into(),
    })
}

fn place(blob: &BlobRef) -> String {
    match blob.kind {
        BlobKind::Segment => {
            format!(
                "a blob in segment {} at offset {}",
                blob.segment, blob.offset
            )
        }
        BlobKind::File => format!("the blob in file {:016x}", blob.offset),
        BlobKind::Memory => "a blob of the memory engine".into(),
    }
}

fn damaged(owner: &[u8], blob: &BlobRef, how: &str) -> StoreError {
    let what = format!("{} {how}", place(blob)).into();
    StoreError::Damaged {
        what,
        owner: Some(owner.to_vec()),
    }
}
