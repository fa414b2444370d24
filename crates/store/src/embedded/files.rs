//! Large blobs: files of their own.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::SystemTime,
};

use bytes::{Bytes, BytesMut};

use super::{
    Shared,
    disk::{is_full, sync_dir},
    format::{
        BLOB_BYTES_MAX, BLOCK_BYTES, BlobHeader, FILE_TAIL_BYTES, block_crcs, decode_file_tail,
        encode_file_tail, peek_blob_header,
    },
};
use crate::{
    batch::Key,
    error::{StageError, StoreError},
};

/// How much is collected before it is written, in bytes.
const WRITE_BYTES: usize = 256 << 10;

/// A large blob being written to its file. Dropping it removes the file.
#[derive(Debug)]
pub(crate) struct FileWriter {
    staged: StagedFile,
    owner: Key,
    buffer: BytesMut,
    blocks: Vec<u32>,
}

impl FileWriter {
    /// Creates the file of a new blob.
    pub(crate) async fn create(shared: Arc<Shared>, owner: Key) -> Result<Self, StageError> {
        let staged = blocking(move || {
            loop {
                let id = shared.next_file_id();
                let path = shared.file_path(id);
                match OpenOptions::new()
                    .read(true)
                    .write(true)
                    .create_new(true)
                    .open(&path)
                {
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                    Err(error) => return Err(error),
                    Ok(file) => {
                        let file = Arc::new(file);
                        let kept = AtomicBool::new(false);
                        return Ok(StagedFile {
                            shared,
                            id,
                            path,
                            file,
                            length: 0,
                            check: 0,
                            kept,
                        });
                    }
                }
            }
        })
        .await?;
        Ok(Self {
            staged,
            owner,
            buffer: BytesMut::new(),
            blocks: Vec::new(),
        })
    }

    pub(crate) fn len(&self) -> u64 {
        self.staged.length + self.buffer.len() as u64
    }

    pub(crate) async fn write(&mut self, mut bytes: &[u8]) -> Result<(), StageError> {
        if self.len().saturating_add(bytes.len() as u64) > BLOB_BYTES_MAX {
            return Err(StageError::Full);
        }
        while !bytes.is_empty() {
            let room = WRITE_BYTES - self.buffer.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.buffer.extend_from_slice(now);
            bytes = later;
            if self.buffer.len() == WRITE_BYTES {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// Writes what was collected: whole blocks, except at the end of the blob.
    async fn flush(&mut self) -> Result<(), StageError> {
        let bytes = self.buffer.split().freeze();
        let space = &self.staged.shared.space;
        let left = space.free(&self.staged.shared.dir);
        if left
            < self
                .staged
                .shared
                .options
                .reserve_bytes
                .saturating_add(bytes.len() as u64)
        {
            return Err(StageError::Full);
        }
        space.spend(bytes.len() as u64);
        let (shared, file) = (self.staged.shared.clone(), self.staged.file.clone());
        let offset = self.staged.length;
        self.staged.length += bytes.len() as u64;
        let blocks = blocking(move || {
            shared.disk.write_all_at(&file, &bytes, offset)?;
            Ok(block_crcs(&bytes))
        })
        .await?;
        self.blocks.extend(blocks);
        Ok(())
    }

    /// Writes the rest and the header behind it; all of it is durable when this returns.
    pub(crate) async fn finish(mut self) -> Result<(Key, StagedFile), StageError> {
        self.flush().await?;
        let mut staged = self.staged;
        let header = BlobHeader {
            owner: self.owner.clone(),
            reference_offset: u32::MAX,
            length: staged.length,
            blocks: self.blocks,
        };
        let staged = blocking(move || {
            let mut bytes = Vec::new();
            staged.check = header.encode(&mut bytes);
            let header_bytes = bytes.len() as u32;
            encode_file_tail(&mut bytes, header_bytes);
            let shared = &staged.shared;
            shared
                .disk
                .write_all_at(&staged.file, &bytes, staged.length)?;
            shared.disk.sync_all(&staged.file)?;
            sync_dir(&shared.files)?;
            Ok(staged)
        })
        .await?;
        Ok((self.owner, staged))
    }
}

/// A large blob whose file is complete. Dropping it removes the file, unless a row owns it.
#[derive(Debug)]
pub(crate) struct StagedFile {
    shared: Arc<Shared>,
    pub(crate) id: u64,
    path: PathBuf,
    file: Arc<File>,
    pub(crate) length: u64,
    /// The checksum of the header.
    pub(crate) check: u32,
    kept: AtomicBool,
}

impl StagedFile {
    /// The file belongs to a row, or may: it is not removed.
    pub(crate) fn keep(&self) {
        self.kept.store(true, Relaxed);
    }

    pub(crate) async fn read(&self, offset: u64, length: u64) -> Result<Bytes, StoreError> {
        let file = self.file.clone();
        let length = usize::try_from(length).map_err(|_| StoreError::Range)?;
        let read = move || {
            let mut bytes = vec![0; length];
            file.read_exact_at(&mut bytes, offset)
                .map(|()| Bytes::from(bytes))
        };
        let failed = |error: io::Error| StoreError::Read {
            what: "a staged blob".into(),
            source: Arc::new(error),
        };
        tokio::task::spawn_blocking(read)
            .await
            .map_err(|_| StoreError::Closed)?
            .map_err(failed)
    }
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        if !self.kept.load(Relaxed) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Shared {
    /// A number for a large blob that was never used: the time, and larger than the last.
    fn next_file_id(&self) -> u64 {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let micros = since.map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(0));
        let next = |last: u64| Some(micros.max(last.saturating_add(1)));
        let last = self.counters.file_id.fetch_update(Relaxed, Relaxed, next);
        micros.max(last.unwrap_or_else(|last| last).saturating_add(1))
    }
}

/// The number that is a large blob's file's name.
pub(crate) fn file_id(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?.strip_suffix(".blob")?;
    u64::from_str_radix(name, 16).ok()
}

/// The longest header of a large blob that is read, in bytes: that of a blob of 1 TiB.
const HEADER_BYTES_MAX: u64 = BLOB_BYTES_MAX / BLOCK_BYTES * 4 + (8 << 10);

/// Unlinks a blob's file. Returns its bytes, or `None` if there was none.
pub(crate) fn unlink(path: &Path) -> io::Result<Option<u64>> {
    let bytes = std::fs::metadata(path).map_or(0, |file| file.len());
    match std::fs::remove_file(path) {
        Ok(()) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whose blob a file is, and how long; `None` if it was never finished.
pub(crate) fn describe(path: &Path) -> io::Result<Option<(Key, u64)>> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut tail = [0; FILE_TAIL_BYTES as usize];
    let Some(tail_at) = length.checked_sub(FILE_TAIL_BYTES) else {
        return Ok(None);
    };
    file.read_exact_at(&mut tail, tail_at)?;
    let Some(header_bytes) = decode_file_tail(&tail) else {
        return Ok(None);
    };
    let header_bytes = u64::from(header_bytes);
    let Some(header_at) = tail_at.checked_sub(header_bytes) else {
        return Ok(None);
    };
    if header_bytes > HEADER_BYTES_MAX {
        return Ok(None);
    }
    let mut header = vec![0; header_bytes as usize];
    file.read_exact_at(&mut header, header_at)?;
    Ok(peek_blob_header(&header).filter(|(_, blob_length)| *blob_length == header_at))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, StageError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) if is_full(&error) => Err(StageError::Full),
        Ok(Err(error)) => Err(StageError::Write(Arc::new(error))),
        Err(_) => Err(StageError::Closed),
    }
}

const _: () = assert!((WRITE_BYTES as u64).is_multiple_of(BLOCK_BYTES));
