//! Erasing: what was deleted leaves the disk now, not when space is needed.
//!
//! A deleted row, and the blob that it owned, live on in the log, in the snapshots and in the index's
//! tables. Each segment that tells of them is emptied of what lives, two new snapshots make it
//! dispensable, and it is dropped; then the index's tables are written anew.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{PoisonError, atomic::Ordering::Relaxed},
    time::Duration,
};

use super::{
    Shared,
    disk::sync_dir,
    files,
    format::Op,
    reclaim::{commit_error, io_error},
    segments::{Found, SegmentReader},
};
use crate::{
    batch::Key,
    blob::{BlobKind, BlobRef},
    error::StoreError,
    options::MaintenanceReport,
};

/// How often to look whether the index is synced.
const FLOOR_POLL: Duration = Duration::from_millis(5);

impl Shared {
    /// Takes everything that was ever said of rows off the disk. Blocks, and blocks maintenance and
    /// backups; commits and reads go on. When it is cut short, call it again.
    ///
    /// One trace stays until the store is closed: the index's own journal, which is cut to nothing then.
    pub(crate) fn erase(&self, keys: &BTreeSet<Key>) -> Result<MaintenanceReport, StoreError> {
        let mut report = MaintenanceReport::default();
        let mut state = self
            .maintenance
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for key in keys {
            if self.get(key)?.is_some() {
                return Err(StoreError::Refused {
                    reason: "a row that exists is not erased".into(),
                });
            }
        }
        let sealed = self.queue.roll().map_err(commit_error)?;
        let sealed = sealed.blocking_recv().map_err(|_| StoreError::Closed)?;
        let sealed = sealed.map_err(commit_error)?;
        let mut telling = Vec::new();
        for number in self
            .sealed_segments()
            .map_err(|error| io_error("the log", error))?
        {
            self.look_for(number, keys, &mut telling, &mut report)?;
        }
        for number in &telling {
            if self.empty(&mut state, *number, &mut report)? {
                return Err(StoreError::Refused {
                    reason: "there is no space to copy what lies beside it".into(),
                });
            }
        }
        self.wait_for_floor(sealed.commit)?;
        // Both generations that are kept, so that neither needs the segments, nor has the rows.
        for _ in 0..2 {
            report.snapshot_parts += self.write_snapshot(&mut state)?;
        }
        for number in telling {
            if !self.drop_segment(&mut state, number, &mut report)? {
                return Err(StoreError::Damaged {
                    what: format!("segment {number}: it holds a message that cannot be read")
                        .into(),
                    owner: None,
                });
            }
        }
        if report.files_dropped > 0 {
            let dirs = sync_dir(&self.files).and_then(|()| sync_dir(&self.lost));
            dirs.map_err(|error| io_error("the large blobs", error))?;
        }
        self.index()?
            .compact()
            .map_err(|reason| StoreError::Refused {
                reason: format!("the index cannot be compacted: {reason}").into(),
            })?;
        Ok(report)
    }

    /// Adds a segment to `telling` if an operation in it is on one of the keys. Large blobs that such an
    /// operation names are unlinked.
    fn look_for(
        &self,
        number: u32,
        keys: &BTreeSet<Key>,
        telling: &mut Vec<u32>,
        report: &mut MaintenanceReport,
    ) -> Result<(), StoreError> {
        let failed = |error| io_error(&format!("segment {number}"), error);
        let damaged = |what: &str| StoreError::Damaged {
            what: format!("segment {number}: {what}").into(),
            owner: None,
        };
        let segment = SegmentReader::open(self.segments.dir(), number, self.log).map_err(failed)?;
        let mut offset = 0;
        let mut tells = false;
        loop {
            let group = match segment.header(offset).map_err(failed)? {
                Found::Group(group) => group,
                Found::Nothing if offset >= segment.length => break,
                Found::Nothing => return Err(damaged("a group is missing")),
                Found::Other(what) => return Err(damaged(what)),
            };
            offset = group.end();
            let batches = segment.operations(&group).map_err(failed)?;
            let batches = batches.map_err(damaged)?;
            for op in batches.into_iter().flat_map(|batch| batch.ops) {
                // A delete names the key only, and that is no secret.
                let Op::Put { key, value, blob } = op else {
                    continue;
                };
                if !keys.contains(&key[..]) {
                    continue;
                }
                tells = true;
                let blob = blob.and_then(|(at, _)| value.get(at as usize..));
                if let Some(blob) = blob.and_then(BlobRef::from_bytes)
                    && blob.kind == BlobKind::File
                {
                    self.unlink_blob(&blob, report)?;
                }
            }
        }
        if tells {
            telling.push(number);
        }
        Ok(())
    }

    /// Unlinks a large blob, wherever it is by now.
    fn unlink_blob(
        &self,
        blob: &BlobRef,
        report: &mut MaintenanceReport,
    ) -> Result<(), StoreError> {
        let path = self.file_path(blob.offset);
        if path.exists() && self.file_is_owned(&path)? {
            return Ok(());
        }
        let aside: Option<PathBuf> = path.file_name().map(|name| self.lost.join(name));
        for path in std::iter::once(path).chain(aside) {
            if let Some(bytes) = files::unlink(&path).map_err(|e| io_error("a large blob", e))? {
                report.files_dropped += 1;
                report.bytes_freed += bytes;
            }
        }
        Ok(())
    }

    /// Waits until the index is in synced tables up to a commit.
    fn wait_for_floor(&self, commit: u64) -> Result<(), StoreError> {
        while self.floor.load(Relaxed) < commit {
            if self.has_failed() || self.queue.is_closing() {
                return Err(StoreError::Closed);
            }
            std::thread::sleep(FLOOR_POLL);
        }
        Ok(())
    }
}
