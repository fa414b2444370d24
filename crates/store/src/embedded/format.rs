//! The form of the commit log on disk; `docs/format/commit-log.md` has it in prose.
//!
//! Everything that is read here comes from a disk: lengths are checked before they are used, and
//! nothing is believed before its checksum.

use bytes::Bytes;

use crate::blob::{BlobKind, BlobRef};

/// Groups start at multiples of this, in bytes, so that no write touches a page of an earlier group.
pub(crate) const GROUP_ALIGN: u64 = 4096;
/// The length of a group's header, in bytes.
pub(crate) const HEADER_BYTES: usize = 128;
/// The longest operations section that is read, in bytes.
pub(crate) const OPS_BYTES_MAX: u64 = 128 << 20;
/// Blobs carry a checksum for each block of this many bytes.
pub(crate) const BLOCK_BYTES: u64 = 64 << 10;
/// The fixed part of a blob's header, in bytes.
const BLOB_FIXED_BYTES: usize = 32;
/// The longest blob, in bytes (1 TiB): a bound for what a length field may say.
pub(crate) const BLOB_BYTES_MAX: u64 = 1 << 40;

const GROUP_MAGIC: [u8; 8] = *b"RestGrp1";
const BLOB_MAGIC: [u8; 4] = *b"RBb1";
const FLAG_CLEAN: u16 = 1;
const FLAG_EPOCH: u16 = 2;

/// The identity of a log: random, made with it, in every header.
pub(crate) type LogId = [u8; 16];

/// The header of a group: one write, one sync, some batches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GroupHeader {
    pub(crate) log: LogId,
    /// Rises when a loss is accepted.
    pub(crate) epoch: u32,
    pub(crate) segment: u32,
    /// Where in the segment, in bytes.
    pub(crate) offset: u64,
    /// Header, blobs and operations, without the padding, in bytes.
    pub(crate) length: u64,
    /// The commit number of the first batch; of the next one, if there is none in this group.
    pub(crate) first: u64,
    /// How many batches.
    pub(crate) count: u32,
    /// The index was synced up to this commit.
    pub(crate) floor: u64,
    /// The header checksum of the group before; 0 for the first of a log.
    pub(crate) previous: u32,
    /// From the group's beginning, in bytes.
    pub(crate) ops_offset: u64,
    pub(crate) ops_length: u64,
    pub(crate) ops_crc: u32,
    /// Of everything behind the header, up to `length`.
    pub(crate) body_crc: u32,
    /// Milliseconds since 1970, for people.
    pub(crate) time_ms: u64,
    /// Ends the log in good order: the floor is the last commit.
    pub(crate) clean: bool,
    /// Begins an epoch: the commits may have a gap before it.
    pub(crate) begins_epoch: bool,
    /// Of the header itself; identifies the group for the next one.
    pub(crate) crc: u32,
}

impl GroupHeader {
    /// The last commit in this group or before it.
    pub(crate) fn last(&self) -> u64 {
        self.first
            .saturating_add(u64::from(self.count))
            .saturating_sub(1)
    }

    /// Where the next group would start in the segment.
    pub(crate) fn end(&self) -> u64 {
        self.offset
            .saturating_add(align_up(self.length, GROUP_ALIGN))
    }

    /// Writes the header, and its checksum into `self.crc`.
    pub(crate) fn encode(&mut self, out: &mut [u8; HEADER_BYTES]) {
        let flags = if self.clean { FLAG_CLEAN } else { 0 }
            | if self.begins_epoch { FLAG_EPOCH } else { 0 };
        let mut w = Writer { out, at: 0 };
        w.put(&GROUP_MAGIC);
        w.put(&1u16.to_be_bytes());
        w.put(&flags.to_be_bytes());
        w.put(&self.segment.to_be_bytes());
        w.put(&self.log);
        w.put(&self.epoch.to_be_bytes());
        w.put(&self.count.to_be_bytes());
        w.put(&self.offset.to_be_bytes());
        w.put(&self.length.to_be_bytes());
        w.put(&self.first.to_be_bytes());
        w.put(&self.floor.to_be_bytes());
        w.put(&self.ops_offset.to_be_bytes());
        w.put(&self.ops_length.to_be_bytes());
        w.put(&self.time_ms.to_be_bytes());
        w.put(&self.previous.to_be_bytes());
        w.put(&self.ops_crc.to_be_bytes());
        w.put(&self.body_crc.to_be_bytes());
        w.put(&[0; 16]);
        debug_assert_eq!(w.at, HEADER_BYTES - 4);
        self.crc = crc32c::crc32c(&out[..HEADER_BYTES - 4]);
        out[HEADER_BYTES - 4..].copy_from_slice(&self.crc.to_be_bytes());
    }

    /// Reads a header that is said to be at `offset` of `segment` in the log `log`.
    pub(crate) fn decode(
        bytes: &[u8; HEADER_BYTES],
        log: &LogId,
        segment: u32,
        offset: u64,
    ) -> Result<Self, &'static str> {
        let mut r = Reader { rest: bytes };
        if r.take::<8>() != GROUP_MAGIC {
            return Err("no group header");
        }
        let version = u16::from_be_bytes(r.take());
        let flags = u16::from_be_bytes(r.take());
        let mut header = Self {
            segment: u32::from_be_bytes(r.take()),
            log: r.take(),
            epoch: u32::from_be_bytes(r.take()),
            count: u32::from_be_bytes(r.take()),
            offset: u64::from_be_bytes(r.take()),
            length: u64::from_be_bytes(r.take()),
            first: u64::from_be_bytes(r.take()),
            floor: u64::from_be_bytes(r.take()),
            ops_offset: u64::from_be_bytes(r.take()),
            ops_length: u64::from_be_bytes(r.take()),
            time_ms: u64::from_be_bytes(r.take()),
            previous: u32::from_be_bytes(r.take()),
            ops_crc: u32::from_be_bytes(r.take()),
            body_crc: u32::from_be_bytes(r.take()),
            clean: flags & FLAG_CLEAN != 0,
            begins_epoch: flags & FLAG_EPOCH != 0,
            crc: 0,
        };
        let _: [u8; 16] = r.take();
        header.crc = u32::from_be_bytes(r.take());
        if header.crc != crc32c::crc32c(&bytes[..HEADER_BYTES - 4]) {
            return Err("a group header with a wrong checksum");
        }
        if version != 1 || flags & !(FLAG_CLEAN | FLAG_EPOCH) != 0 {
            return Err("a group of a newer format");
        }
        if header.log != *log || header.segment != segment || header.offset != offset {
            return Err("a group header of another place");
        }
        let ops_end = header.ops_offset.checked_add(header.ops_length);
        if header.ops_offset < HEADER_BYTES as u64
            || ops_end != Some(header.length)
            || header.ops_length > OPS_BYTES_MAX
            || header.first.checked_add(u64::from(header.count)).is_none()
        {
            return Err("a group header with impossible lengths");
        }
        Ok(header)
    }
}

/// Rounds up to a multiple of `align` (a power of two).
pub(crate) fn align_up(n: u64, align: u64) -> u64 {
    n.saturating_add(align - 1) & !(align - 1)
}

struct Writer<'a> {
    out: &'a mut [u8; HEADER_BYTES],
    at: usize,
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) {
        self.out[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }
}

/// Reads from a slice whose length the caller has checked.
struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        match self.rest.split_first_chunk::<N>() {
            Some((head, tail)) => {
                self.rest = tail;
                *head
            }
            None => [0; N],
        }
    }
}

/// One change of a batch, as logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Put {
        key: Bytes,
        value: Bytes,
        /// The row owns a blob: offset of its reference in the value, checksum of its header.
        blob: Option<(u32, u32)>,
    },
    Delete {
        key: Bytes,
    },
    /// The row of this blob was deleted by this batch.
    Release {
        blob: BlobRef,
    },
}

/// The operations of one batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LoggedBatch {
    pub(crate) turn: u32,
    pub(crate) ops: Vec<Op>,
}

const OP_PUT: u8 = 1;
const OP_DELETE: u8 = 2;
const OP_PUT_BLOB: u8 = 3;
const OP_RELEASE: u8 = 4;

/// Begins a batch in an operations section; returns where its count of operations is to be set.
pub(crate) fn begin_batch(out: &mut Vec<u8>, turn: u32) -> usize {
    out.extend_from_slice(&turn.to_be_bytes());
    out.extend_from_slice(&[0; 4]);
    out.len() - 4
}

/// Ends the batch that [`begin_batch`] began.
pub(crate) fn end_batch(out: &mut [u8], at: usize, count: u32) {
    out[at..at + 4].copy_from_slice(&count.to_be_bytes());
}

pub(crate) fn encode_put(out: &mut Vec<u8>, key: &[u8], value: &[u8], blob: Option<(u32, u32)>) {
    out.push(if blob.is_some() { OP_PUT_BLOB } else { OP_PUT });
    out.extend_from_slice(&(key.len() as u16).to_be_bytes());
    out.extend_from_slice(&(value.len() as u32).to_be_bytes());
    if let Some((offset, check)) = blob {
        out.extend_from_slice(&offset.to_be_bytes());
        out.extend_from_slice(&check.to_be_bytes());
    }
    out.extend_from_slice(key);
    out.extend_from_slice(value);
}

pub(crate) fn encode_delete(out: &mut Vec<u8>, key: &[u8]) {
    out.push(OP_DELETE);
    out.extend_from_slice(&(key.len() as u16).to_be_bytes());
    out.extend_from_slice(key);
}

pub(crate) fn encode_release(out: &mut Vec<u8>, blob: &BlobRef) {
    out.push(OP_RELEASE);
    out.extend_from_slice(&blob.to_bytes());
}

/// Reads an operations section whose checksum was right: `count` batches, and nothing else.
pub(crate) fn decode_ops(section: &Bytes, count: u32) -> Result<Vec<LoggedBatch>, &'static str> {
    let mut at = 0;
    let mut batches = Vec::new();
    for _ in 0..count {
        batches.push(decode_batch(section, &mut at).ok_or("operations that cannot be read")?);
    }
    if at != section.len() {
        return Err("operations with something behind them");
    }
    Ok(batches)
}

fn decode_batch(section: &Bytes, at: &mut usize) -> Option<LoggedBatch> {
    let turn = u32::from_be_bytes(take(section, at)?);
    let count = u32::from_be_bytes(take(section, at)?);
    let mut ops = Vec::new();
    for _ in 0..count {
        let op = match take::<1>(section, at)?[0] {
            kind @ (OP_PUT | OP_PUT_BLOB) => {
                let key_length = u16::from_be_bytes(take(section, at)?).into();
                let value_length = u32::from_be_bytes(take(section, at)?) as usize;
                let blob = if kind == OP_PUT_BLOB {
                    let offset = u32::from_be_bytes(take(section, at)?);
                    Some((offset, u32::from_be_bytes(take(section, at)?)))
                } else {
                    None
                };
                let key = take_slice(section, at, key_length)?;
                Op::Put {
                    key,
                    value: take_slice(section, at, value_length)?,
                    blob,
                }
            }
            OP_DELETE => {
                let length = u16::from_be_bytes(take(section, at)?).into();
                Op::Delete {
                    key: take_slice(section, at, length)?,
                }
            }
            OP_RELEASE => {
                let bytes: [u8; BlobRef::BYTES] = take(section, at)?;
                Op::Release {
                    blob: BlobRef::from_bytes(&bytes)?,
                }
            }
            _ => return None,
        };
        ops.push(op);
    }
    Some(LoggedBatch { turn, ops })
}

fn take<const N: usize>(section: &Bytes, at: &mut usize) -> Option<[u8; N]> {
    let out = *section.get(*at..)?.first_chunk::<N>()?;
    *at += N;
    Some(out)
}

fn take_slice(section: &Bytes, at: &mut usize, length: usize) -> Option<Bytes> {
    let end = at.checked_add(length)?;
    if end > section.len() {
        return None;
    }
    let out = section.slice(*at..end);
    *at = end;
    Some(out)
}

/// The header of a blob. In a segment it stands before the bytes, in a file of its own behind them
/// (they are streamed, the checksums come last).
///
/// Magic, version u8, codec u8, owner length u16, 0 u32 (key id), reference offset u32, stored
/// length u64, block size u32 (always 64 KiB), checksum of this and what follows u32; owner; one
/// CRC32C u32 for each block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BlobHeader {
    pub(crate) owner: Vec<u8>,
    /// Where in the owner's value the reference is.
    pub(crate) reference_offset: u32,
    pub(crate) length: u64,
    pub(crate) blocks: Vec<u32>,
}

impl BlobHeader {
    /// The length of the header of a blob, in bytes.
    pub(crate) fn bytes(owner_length: usize, blob_length: u64) -> u64 {
        let blocks = blob_length.div_ceil(BLOCK_BYTES);
        BLOB_FIXED_BYTES as u64 + owner_length as u64 + 4 * blocks
    }

    /// Appends the header; returns its checksum.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> u32 {
        let start = out.len();
        out.extend_from_slice(&BLOB_MAGIC);
        out.extend_from_slice(&[1, 0]);
        out.extend_from_slice(&(self.owner.len() as u16).to_be_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.reference_offset.to_be_bytes());
        out.extend_from_slice(&self.length.to_be_bytes());
        out.extend_from_slice(&(BLOCK_BYTES as u32).to_be_bytes());
        let crc_at = out.len();
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.owner);
        for block in &self.blocks {
            out.extend_from_slice(&block.to_be_bytes());
        }
        // With the checksum's own place as zeros.
        let crc = crc32c::crc32c(&out[start..]);
        out[crc_at..crc_at + 4].copy_from_slice(&crc.to_be_bytes());
        crc
    }

    /// Reads the header of the blob that `owner` owns, of `length` bytes; `bytes` is exactly
    /// [`BlobHeader::bytes`] long. Returns it and its checksum.
    pub(crate) fn decode(
        bytes: &[u8],
        owner: &[u8],
        length: u64,
    ) -> Result<(Self, u32), BlobMismatch> {
        if bytes.len() as u64 != Self::bytes(owner.len(), length) {
            return Err(BlobMismatch::Damaged);
        }
        let mut r = Reader { rest: bytes };
        if r.take::<4>() != BLOB_MAGIC {
            return Err(BlobMismatch::Other);
        }
        let version_codec: [u8; 2] = r.take();
        let owner_length = u16::from_be_bytes(r.take());
        let key_id: [u8; 4] = r.take();
        let reference_offset = u32::from_be_bytes(r.take());
        let stored_length = u64::from_be_bytes(r.take());
        let block_bytes = u32::from_be_bytes(r.take());
        if usize::from(owner_length) != owner.len() || stored_length != length {
            return Err(BlobMismatch::Other);
        }
        let crc = u32::from_be_bytes(r.take());
        let (before, after) = bytes.split_at(BLOB_FIXED_BYTES - 4);
        let sum = crc32c::crc32c_append(crc32c::crc32c(before), &[0; 4]);
        if crc != crc32c::crc32c_append(sum, &after[4..]) {
            return Err(BlobMismatch::Damaged);
        }
        if version_codec != [1, 0] || key_id != [0; 4] || u64::from(block_bytes) != BLOCK_BYTES {
            return Err(BlobMismatch::Damaged);
        }
        let (stored_owner, table) = r.rest.split_at(owner.len());
        if stored_owner != owner {
            return Err(BlobMismatch::Other);
        }
        let blocks = table
            .as_chunks::<4>()
            .0
            .iter()
            .map(|block| u32::from_be_bytes(*block))
            .collect();
        Ok((
            Self {
                owner: owner.to_vec(),
                reference_offset,
                length,
                blocks,
            },
            crc,
        ))
    }
}

/// What ends the file of a large blob: the length of the header before it u32, magic.
pub(crate) const FILE_TAIL_BYTES: u64 = 8;
const FILE_TAIL_MAGIC: [u8; 4] = *b"RBe1";

/// Appends the end of a large blob's file, behind its header of so many bytes.
pub(crate) fn encode_file_tail(out: &mut Vec<u8>, header_bytes: u32) {
    out.extend_from_slice(&header_bytes.to_be_bytes());
    out.extend_from_slice(&FILE_TAIL_MAGIC);
}

/// Reads the end of a large blob's file: the length of the header before it.
pub(crate) fn decode_file_tail(bytes: &[u8; FILE_TAIL_BYTES as usize]) -> Option<u32> {
    let (length, magic) = bytes.split_first_chunk::<4>()?;
    (magic == FILE_TAIL_MAGIC).then_some(u32::from_be_bytes(*length))
}

/// Says whose blob a header is of, and how long it is, without having been told before.
pub(crate) fn peek_blob_header(bytes: &[u8]) -> Option<(Vec<u8>, u64)> {
    let (fixed, rest) = bytes.split_at_checked(BLOB_FIXED_BYTES)?;
    let owner_length = usize::from(u16::from_be_bytes(*fixed.get(6..)?.first_chunk()?));
    let length = u64::from_be_bytes(*fixed.get(16..)?.first_chunk()?);
    let owner = rest.get(..owner_length)?;
    if length > BLOB_BYTES_MAX {
        return None;
    }
    BlobHeader::decode(bytes, owner, length).ok()?;
    Some((owner.to_vec(), length))
}

/// Why bytes are not the header of the blob that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BlobMismatch {
    /// Another blob's, or none: the reference may be out of date.
    Other,
    /// It was this blob's, and is damaged.
    Damaged,
}

/// The checksums of a blob's blocks.
pub(crate) fn block_crcs(bytes: &[u8]) -> Vec<u32> {
    bytes
        .chunks(BLOCK_BYTES as usize)
        .map(crc32c::crc32c)
        .collect()
}

/// A reference into a segment.
pub(crate) fn segment_reference(segment: u32, offset: u64, length: u64) -> BlobRef {
    BlobRef {
        kind: BlobKind::Segment,
        codec: 0,
        segment,
        offset,
        length,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header() -> GroupHeader {
        GroupHeader {
            log: [9; 16],
            epoch: 1,
            segment: 3,
            offset: 8192,
            length: 500,
            first: 77,
            count: 2,
            floor: 70,
            previous: 5,
            ops_offset: 128,
            ops_length: 372,
            ops_crc: 1,
            body_crc: 2,
            time_ms: 3,
            clean: false,
            begins_epoch: true,
            crc: 0,
        }
    }

    #[test]
    fn header_comes_back_and_no_bit_may_change() {
        let mut header = header();
        let mut bytes = [0; HEADER_BYTES];
        header.encode(&mut bytes);
        assert_eq!(
            GroupHeader::decode(&bytes, &[9; 16], 3, 8192).as_ref(),
            Ok(&header)
        );
        assert!(GroupHeader::decode(&bytes, &[8; 16], 3, 8192).is_err());
        assert!(GroupHeader::decode(&bytes, &[9; 16], 4, 8192).is_err());
        assert!(GroupHeader::decode(&bytes, &[9; 16], 3, 4096).is_err());
        for bit in 0..HEADER_BYTES * 8 {
            let mut bytes = bytes;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(
                GroupHeader::decode(&bytes, &[9; 16], 3, 8192).is_err(),
                "bit {bit}"
            );
        }
    }

    #[test]
    fn blob_header_comes_back_and_no_bit_may_change() {
        let header = BlobHeader {
            owner: b"owner".to_vec(),
            reference_offset: 7,
            length: 100_000,
            blocks: vec![1, 2],
        };
        let mut bytes = Vec::new();
        let crc = header.encode(&mut bytes);
        assert_eq!(bytes.len() as u64, BlobHeader::bytes(5, 100_000));
        assert_eq!(
            BlobHeader::decode(&bytes, b"owner", 100_000),
            Ok((header, crc))
        );
        assert_eq!(
            BlobHeader::decode(&bytes, b"0wner", 100_000),
            Err(BlobMismatch::Other)
        );
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(
                BlobHeader::decode(&bytes, b"owner", 100_000).is_err(),
                "bit {bit}"
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn operations_come_back(
            rows in prop::collection::vec((any::<u8>(), ".{1,9}", ".{0,20}"), 0..20),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut out = Vec::new();
            let mut ops = Vec::new();
            let at = begin_batch(&mut out, 42);
            for (kind, key, value) in &rows {
                let key = Bytes::copy_from_slice(key.as_bytes());
                let value = Bytes::copy_from_slice(value.as_bytes());
                match kind % 4 {
                    0 => {
                        encode_delete(&mut out, &key);
                        ops.push(Op::Delete { key });
                    }
                    1 => {
                        let blob = segment_reference(1, 2, u64::from(*kind));
                        encode_release(&mut out, &blob);
                        ops.push(Op::Release { blob });
                    }
                    n => {
                        let blob = (n == 2).then_some((1, u32::from(*kind)));
                        encode_put(&mut out, &key, &value, blob);
                        ops.push(Op::Put { key, value, blob });
                    }
                }
            }
            end_batch(&mut out, at, ops.len() as u32);
            let cut = cut.index(out.len());
            prop_assert!(decode_ops(&Bytes::copy_from_slice(&out[..cut]), 1).is_err());
            let decoded = decode_ops(&out.into(), 1).unwrap();
            prop_assert_eq!(decoded, vec![LoggedBatch { turn: 42, ops }]);
        }

        #[test]
        fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..200), count in 0u32..5) {
            let _ = decode_ops(&bytes.into(), count);
        }
    }
}
