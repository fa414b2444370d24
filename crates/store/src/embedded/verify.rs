//! Reading everything: is the log, and are the blobs, what was written?

use std::io;

use bytes::Bytes;

use super::{
    Shared,
    format::{GroupHeader, Op},
    segments::{Found, SegmentReader},
};
use crate::{
    batch::Key,
    blob::{BlobKind, BlobRef},
    error::StoreError,
};

/// How many problems are listed; more are counted.
const PROBLEMS_MAX: usize = 10_000;
/// Large blobs are read in pieces of this many bytes.
const PIECE_BYTES: u64 = 1 << 20;

/// What [`crate::Store::verify`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifyReport {
    /// Groups of the log that were read.
    pub groups: u64,
    /// Live blobs that were read.
    pub blobs: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// What is wrong: the first ten thousand.
    pub problems: Vec<Problem>,
    /// How many there are.
    pub problem_count: u64,
}

/// Something that is not what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where and what.
    pub what: String,
    /// The row whose blob it is, if it is one.
    pub owner: Option<Key>,
}

impl VerifyReport {
    fn problem(&mut self, what: impl Into<String>, owner: Option<&[u8]>) {
        self.problem_count += 1;
        if self.problems.len() < PROBLEMS_MAX {
            let owner = owner.map(<[u8]>::to_vec);
            self.problems.push(Problem {
                what: what.into(),
                owner,
            });
        }
    }
}

impl Shared {
    /// Reads every segment (the one in use is sealed first) and every blob that a row owns. Blocks, for as long as the disk
    /// takes; changes nothing.
    pub(crate) fn verify(&self) -> Result<VerifyReport, StoreError> {
        let mut report = VerifyReport::default();
        let failed = |error: io::Error| StoreError::Read {
            what: "the log".into(),
            source: std::sync::Arc::new(error),
        };
        // So that what is in use is read too.
        let roll = self.queue.roll().map_err(|_| StoreError::Closed)?;
        roll.blocking_recv()
            .ok()
            .and_then(Result::ok)
            .ok_or(StoreError::Closed)?;
        let mut before: Option<GroupHeader> = None;
        for number in self.sealed_segments().map_err(failed)? {
            match SegmentReader::open(self.segments.dir(), number, self.log) {
                Ok(segment) => {
                    // Dropped segments leave gaps: what follows one starts afresh.
                    let follows = before.as_ref().is_some_and(|b| b.segment + 1 == number);
                    before = before.filter(|_| follows);
                    self.verify_segment(&segment, &mut before, &mut report)?;
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => before = None,
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(report)
    }

    fn verify_segment(
        &self,
        segment: &SegmentReader,
        before: &mut Option<GroupHeader>,
        report: &mut VerifyReport,
    ) -> Result<(), StoreError> {
        let place = |offset: u64| format!("segment {} at offset {offset}", segment.number);
        let failed = |error: io::Error| StoreError::Read {
            what: format!("segment {}", segment.number).into(),
            source: std::sync::Arc::new(error),
        };
        let mut offset = 0;
        while offset < segment.length {
            let group = match segment.header(offset).map_err(failed)? {
                Found::Group(group) => group,
                found => {
                    let what = match found {
                        Found::Other(what) => what,
                        _ => "a hole",
                    };
                    report.problem(format!("{}: {what}", place(offset)), None);
                    *before = None;
                    match segment.find_group(offset).map_err(failed)? {
                        Some(group) => group,
                        None => return Ok(()),
                    }
                }
            };
            offset = group.end();
            report.groups += 1;
            report.bytes += group.length;
            let follows = |before: &GroupHeader| {
                group.previous == before.crc && group.first == before.last() + 1
            };
            if !group.begins_epoch && !before.as_ref().is_none_or(follows) {
                let what = "a group that does not follow the one before it";
                report.problem(format!("{}: {what}", place(group.offset)), None);
            }
            let whole = segment.body_is_whole(&group).map_err(failed)?;
            match segment.operations(&group).map_err(failed)? {
                Err(reason) => report.problem(format!("{}: {reason}", place(group.offset)), None),
                Ok(batches) => {
                    let mut blamed = false;
                    for op in batches.into_iter().flat_map(|batch| batch.ops) {
                        if let Op::Put {
                            key,
                            value,
                            blob: Some((at, _)),
                        } = op
                        {
                            blamed |= self.verify_blob(&key, &value, at as usize, whole, report)?;
                        }
                    }
                    if !whole && !blamed {
                        let what = "damaged bytes that no row owns any more";
                        report.problem(format!("{}: {what}", place(group.offset)), None);
                    }
                }
            }
            *before = Some(group);
        }
        Ok(())
    }

    /// Reads a blob if its row still owns it. `whole`: the group that it may lie in is as it was
    /// written. Returns whether it is damaged.
    fn verify_blob(
        &self,
        owner: &Bytes,
        value: &Bytes,
        at: usize,
        whole: bool,
        report: &mut VerifyReport,
    ) -> Result<bool, StoreError> {
        let reference = |row: &Bytes| row.get(at..).and_then(BlobRef::from_bytes);
        let Some(blob) = reference(value) else {
            report.problem(
                "a row without the reference that it should have",
                Some(owner),
            );
            return Ok(true);
        };
        let row = self.get(owner)?;
        if row.as_ref().and_then(reference) != Some(blob) {
            return Ok(false);
        }
        report.blobs += 1;
        if whole && blob.kind == BlobKind::Segment {
            return Ok(false);
        }
        let mut start = 0;
        loop {
            let end = (start + PIECE_BYTES).min(blob.length);
            match self.read_blob_blocking(owner, &blob, &(start..end)) {
                Ok(bytes) if blob.kind == BlobKind::File => report.bytes += bytes.len() as u64,
                Ok(_) => {}
                // The row was deleted while we looked.
                Err(StoreError::NoSuchBlob) => return Ok(false),
                Err(error @ (StoreError::Damaged { .. } | StoreError::Read { .. })) => {
                    report.problem(error.to_string(), Some(owner));
                    return Ok(true);
                }
                Err(error) => return Err(error),
            }
            if end == blob.length {
                return Ok(false);
            }
            start = end;
        }
    }
}
