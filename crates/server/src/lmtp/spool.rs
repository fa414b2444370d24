//! A message that is kept while it arrives, to be given to several recipients afterwards.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::fs::File;
use tokio::io::AsyncWriteExt;

/// Up to here a message is kept in memory.
const MEMORY_BYTES_MAX: usize = 256 * 1024;

/// How much is read back at a time.
const PIECE_BYTES: usize = 64 * 1024;

/// The bytes of a message: in memory, or from some size on in a file that has no name.
#[derive(Debug)]
pub(super) struct Spool {
    dir: PathBuf,
    memory: Vec<u8>,
    file: Option<File>,
}

impl Spool {
    pub(super) fn new(dir: &Path) -> Spool {
        Spool {
            dir: dir.to_owned(),
            memory: Vec::new(),
            file: None,
        }
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.file.is_none() {
            if self.memory.len() + bytes.len() <= MEMORY_BYTES_MAX {
                self.memory.extend_from_slice(bytes);
                return Ok(());
            }
            let mut file = nameless_file(&self.dir).await?;
            file.write_all(&self.memory).await?;
            self.memory = Vec::new();
            self.file = Some(file);
        }
        match &mut self.file {
            Some(file) => file.write_all(bytes).await,
            None => Ok(()),
        }
    }

    /// Ends the writing.
    pub(super) async fn finish(mut self) -> io::Result<Spooled> {
        match &mut self.file {
            Some(file) => {
                file.flush().await?;
                let file = file.try_clone().await?.into_std().await;
                Ok(Spooled(Kept::File(file)))
            }
            None => Ok(Spooled(Kept::Memory(self.memory))),
        }
    }
}

/// A message that has arrived whole.
#[derive(Debug)]
pub(super) struct Spooled(Kept);

#[derive(Debug)]
enum Kept {
    Memory(Vec<u8>),
    File(std::fs::File),
}

impl Spooled {
    /// Reads the piece at `offset` into `piece`, which is empty at the end.
    pub(super) async fn read(&self, offset: u64, piece: &mut Vec<u8>) -> io::Result<()> {
        piece.clear();
        match &self.0 {
            Kept::Memory(memory) => {
                let start = usize::try_from(offset)
                    .unwrap_or(usize::MAX)
                    .min(memory.len());
                let end = (start + PIECE_BYTES).min(memory.len());
                piece.extend_from_slice(&memory[start..end]);
            }
            Kept::File(file) => {
                use std::os::unix::fs::FileExt;
                let file = file.try_clone()?;
                let mut buffer = std::mem::take(piece);
                buffer.resize(PIECE_BYTES, 0);
                let read = tokio::task::spawn_blocking(move || {
                    let count = file.read_at(&mut buffer, offset)?;
                    buffer.truncate(count);
                    Ok::<_, io::Error>(buffer)
                });
                *piece = read.await.map_err(io::Error::other)??;
            }
        }
        Ok(())
    }
}

/// A file that is gone from its directory as soon as it is open: nothing stays behind, whatever
/// happens.
async fn nameless_file(dir: &Path) -> io::Result<File> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    crate::files::create_private_dir(dir)?;
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    let path = dir.join(format!("lmtp-{}-{number}", std::process::id()));
    let mut options = tokio::fs::OpenOptions::new();
    let file = options
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .await;
    tokio::fs::remove_file(&path).await?;
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn small_and_large_messages_come_back_and_leave_no_file() {
        let dir = tempfile::tempdir().unwrap();
        for size in [
            0,
            1,
            PIECE_BYTES,
            MEMORY_BYTES_MAX,
            MEMORY_BYTES_MAX + 1,
            1 << 20,
        ] {
            let message: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
            let mut spool = Spool::new(dir.path());
            for piece in message.chunks(10_000) {
                spool.write(piece).await.unwrap();
            }
            let spooled = spool.finish().await.unwrap();
            for _ in 0..2 {
                let (mut got, mut piece) = (Vec::new(), Vec::new());
                loop {
                    spooled.read(got.len() as u64, &mut piece).await.unwrap();
                    if piece.is_empty() {
                        break;
                    }
                    got.extend_from_slice(&piece);
                }
                assert!(got == message, "{size}");
            }
            assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        }
    }
}
