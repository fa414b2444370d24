//! Reading blobs that lie one after the other by few reads.

use bytes::Bytes;

use crate::blob::{BlobKind, BlobRef};

/// Octets of one read.
const WINDOW_BYTES: u64 = 64 << 10;
/// A larger blob is read by itself.
const BLOB_BYTES_MAX: u64 = WINDOW_BYTES / 2;
/// What may lie between two blobs: their headers, and the records of their batches.
const GAP_BYTES_MAX: u64 = 4 << 10;
/// More than a blob's header and its end have.
const EDGE_BYTES: u64 = 512;

/// Blobs that will be read in this order, and what was read of them before it was asked for. It holds up to
/// 64 KiB.
#[derive(Debug, Default)]
pub struct ReadAhead {
    /// Where blobs lie one after the other, at least two: segment, beginning, end. The first is read next.
    runs: std::collections::VecDeque<(u32, u64, u64)>,
    /// Octets of this segment, from this offset on.
    segment: u32,
    start: u64,
    octets: Bytes,
}

impl ReadAhead {
    /// These blobs will be read.
    pub fn of<'b>(blobs: impl IntoIterator<Item = &'b BlobRef>) -> ReadAhead {
        let mut ahead = ReadAhead::default();
        let mut run: Option<(u32, u64, u64, usize)> = None;
        let mut end_run = |run: Option<(u32, u64, u64, usize)>| {
            if let Some((segment, start, end, 2..)) = run {
                ahead.runs.push_back((segment, start, end + EDGE_BYTES));
            }
        };
        for blob in blobs {
            if blob.kind != BlobKind::Segment || blob.length > BLOB_BYTES_MAX {
                end_run(run.take());
                continue;
            }
            let Some(end) = blob.offset.checked_add(blob.length) else {
                continue;
            };
            run = match run {
                Some((segment, start, before, count))
                    if segment == blob.segment
                        && blob.offset >= before
                        && blob.offset - before <= GAP_BYTES_MAX =>
                {
                    Some((segment, start, end, count + 1))
                }
                other => {
                    end_run(other);
                    Some((blob.segment, blob.offset, end, 1))
                }
            };
        }
        end_run(run);
        ahead
    }

    /// What to read now, as the next blobs are wanted: an offset and a length. None if the blob is there, or lies
    /// alone.
    pub(crate) fn wanted(&mut self, blob: &BlobRef, length: u64) -> Option<(u64, u64)> {
        if self.slice(blob, blob.offset, length).is_some() {
            return None;
        }
        let inside = |(segment, start, end): &(u32, u64, u64)| {
            *segment == blob.segment && (*start..*end).contains(&blob.offset)
        };
        let at = self.runs.iter().position(inside)?;
        self.runs.drain(..at);
        let (_, _, end) = self.runs.front()?;
        let length = WINDOW_BYTES.min(end - blob.offset);
        Some((blob.offset, length))
    }

    /// Takes what was read.
    pub(crate) fn fill(&mut self, blob: &BlobRef, octets: Bytes) {
        (self.segment, self.start, self.octets) = (blob.segment, blob.offset, octets);
    }

    /// Reads nothing ahead any more.
    pub(crate) fn give_up(&mut self) {
        *self = ReadAhead::default();
    }

    /// Octets of the blob's segment, if they were read.
    pub(crate) fn slice(&self, blob: &BlobRef, offset: u64, length: u64) -> Option<Bytes> {
        if blob.kind != BlobKind::Segment || blob.segment != self.segment {
            return None;
        }
        let from = usize::try_from(offset.checked_sub(self.start)?).ok()?;
        let to = from.checked_add(usize::try_from(length).ok()?)?;
        (to <= self.octets.len()).then(|| self.octets.slice(from..to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(segment: u32, offset: u64, length: u64) -> BlobRef {
        BlobRef {
            kind: BlobKind::Segment,
            codec: 0,
            segment,
            offset,
            length,
        }
    }

    #[test]
    fn only_neighbours_are_read_together() {
        let blobs = [
            blob(1, 1000, 3000),
            blob(1, 5000, 1000),
            // Far away, alone.
            blob(1, 50_000, 1000),
            // Another segment; large ones are not read ahead.
            blob(2, 52_000, 1000),
            blob(2, 53_100, 1 << 20),
            blob(3, 0, 30_000),
            blob(3, 30_100, 30_000),
            blob(3, 60_200, 30_000),
            // Backwards.
            blob(3, 10, 100),
        ];
        let mut ahead = ReadAhead::of(&blobs);
        assert_eq!(
            ahead.wanted(&blobs[0], 3100),
            Some((1000, 5000 + EDGE_BYTES))
        );
        ahead.fill(&blobs[0], Bytes::from(vec![7; 5000]));
        assert_eq!(ahead.wanted(&blobs[1], 1000), None);
        assert_eq!(ahead.slice(&blobs[1], 5000, 1000).unwrap().len(), 1000);
        assert_eq!(ahead.slice(&blobs[1], 5000, 1001), None);
        assert_eq!(ahead.slice(&blobs[3], 1000, 10), None);
        for alone in [2, 3, 4] {
            assert_eq!(ahead.wanted(&blobs[alone], 100), None);
        }
        assert_eq!(ahead.wanted(&blobs[5], 30_100), Some((0, WINDOW_BYTES)));
        // What did not fit is read from its beginning on.
        ahead.fill(&blobs[5], Bytes::from(vec![7; WINDOW_BYTES as usize]));
        assert_eq!(ahead.wanted(&blobs[6], 30_100), None);
        assert_eq!(
            ahead.wanted(&blobs[7], 30_100),
            Some((60_200, 30_000 + EDGE_BYTES))
        );
    }
}
