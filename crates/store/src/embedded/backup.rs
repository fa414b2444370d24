//! A consistent copy of a store while it works, by hard links where the file system allows them.

use std::{
    io,
    path::{Path, PathBuf},
    sync::PoisonError,
};

use super::{
    Shared,
    disk::{make_dir, sync_dir, write_file},
    files,
    queue::Sealed,
    segments,
};
use crate::error::{CommitError, StoreError};

/// What a backup holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackupReport {
    /// Everything up to this commit, and nothing after it.
    pub commit: u64,
    /// Files.
    pub files: u64,
    /// Their bytes; linked files take no more space on the same file system.
    pub bytes: u64,
}

impl Shared {
    /// Makes a copy of the store in a directory that does not exist, or is empty. Blocks.
    ///
    /// While it runs nothing is reclaimed. The copy opens like any store; its index is rebuilt from
    /// the snapshot and the log.
    pub(crate) fn backup(&self, target: &Path) -> Result<BackupReport, StoreError> {
        let _pinned = self
            .maintenance
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let roll = self.queue.roll().map_err(refused)?;
        let sealed = roll
            .blocking_recv()
            .map_err(|_| StoreError::Closed)?
            .map_err(refused)?;
        self.copy_to(target, sealed)
            .map_err(|error| StoreError::Read {
                what: format!("the backup in {}", target.display()).into(),
                source: std::sync::Arc::new(error),
            })
    }

    fn copy_to(&self, target: &Path, sealed: Sealed) -> io::Result<BackupReport> {
        make_dir(target)?;
        if std::fs::read_dir(target)?.next().is_some() {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "the directory is not empty",
            ));
        }
        let mut report = BackupReport {
            commit: sealed.commit,
            files: 0,
            bytes: 0,
        };
        let mut copy = |from: &Path, dir: &Path| {
            let Some(name) = from.file_name() else {
                return Ok(());
            };
            report.files += 1;
            report.bytes += link_or_copy(from, &dir.join(name))?;
            Ok::<_, io::Error>(())
        };
        let dir = |name: &str| {
            let dir = target.join(name);
            make_dir(&dir).map(|()| dir)
        };

        let log = dir("log")?;
        for number in segments::list(self.segments.dir())? {
            if number <= sealed.segment {
                copy(&segments::path(self.segments.dir(), number), &log)?;
            }
        }
        let blobs = dir("blobs")?;
        for path in entries(&self.files)? {
            // An upload that is not finished, or was given up meanwhile, belongs to no row.
            match files::describe(&path) {
                Ok(Some(_)) => {}
                Ok(None) => continue,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            }
            match copy(&path, &blobs) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => other?,
            }
        }
        let snapshots = dir("snapshot")?;
        for path in entries(&self.snapshots_dir)? {
            copy(&path, &snapshots)?;
        }
        for dir in [&log, &blobs, &snapshots] {
            sync_dir(dir)?;
        }
        // Last, so that a backup that was not finished is not taken for a store.
        let format = std::fs::read(self.dir.join("FORMAT"))?;
        write_file(&target.join("FORMAT"), &format)?;
        Ok(report)
    }
}

fn entries(dir: &Path) -> io::Result<Vec<PathBuf>> {
    std::fs::read_dir(dir)?
        .map(|entry| Ok(entry?.path()))
        .collect()
}

/// Links a file that never changes; on another file system, copies it durably.
fn link_or_copy(from: &Path, to: &Path) -> io::Result<u64> {
    match std::fs::hard_link(from, to) {
        Ok(()) => Ok(std::fs::metadata(to)?.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(error),
        Err(_) => {
            let bytes = std::fs::copy(from, to)?;
            std::fs::File::open(to)?.sync_all()?;
            Ok(bytes)
        }
    }
}

fn refused(error: CommitError) -> StoreError {
    match error {
        CommitError::Closed => StoreError::Closed,
        error => StoreError::Refused {
            reason: error.to_string().into(),
        },
    }
}
