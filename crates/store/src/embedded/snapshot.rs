//! The snapshot of the map: its rows in files, from which a lost index is rebuilt.
//!
//! A snapshot is a set of *parts*, each a range of keys as it was at some commit or later, and a
//! *manifest* that names them. Loading them and replaying the log from the lowest of those commits
//! gives the map back, whatever the parts' commits are: operations are absolute. A part whose rows
//! have not changed is kept from the snapshot before.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufReader, BufWriter, Read, Write},
    ops::{Bound, ControlFlow},
    path::{Path, PathBuf},
};

use bytes::Bytes;

use super::{
    disk::{sync_dir, write_file},
    format::LogId,
    index::{Index, RESERVED, VisitError},
};
use crate::{
    batch::{Batch, Key, KeyRange},
    error::StoreError,
};

/// A part ends when it has so many bytes.
const PART_BYTES_MAX: u64 = 64 << 20;
/// A part that is smaller takes in the next one's rows.
const PART_BYTES_MIN: u64 = 8 << 20;

const PART_MAGIC: [u8; 8] = *b"RestMap1";
const MANIFEST_MAGIC: [u8; 8] = *b"RestMan1";
/// Magic and log id; behind the rows: 0 u16, rows u64, checksum u32.
const PART_HEAD_BYTES: u64 = 24;
const PART_TAIL_BYTES: u64 = 14;

/// One part of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// Names the file; never used twice.
    pub(crate) id: u64,
    /// The rows are as of this commit, or later.
    pub(crate) commit: u64,
    /// The first key of the range; it ends where the next part's begins.
    pub(crate) lower: Key,
    /// The file's length in bytes.
    pub(crate) length: u64,
    pub(crate) rows: u64,
    /// Of everything in the file before it.
    pub(crate) crc: u32,
}

/// A snapshot: its parts in the order of their keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) generation: u64,
    pub(crate) parts: Vec<Part>,
}

impl Manifest {
    /// The log is needed from the commit after this one.
    pub(crate) fn commit(&self) -> u64 {
        self.parts.iter().map(|part| part.commit).min().unwrap_or(0)
    }

    fn encode(&self, log: &LogId) -> Vec<u8> {
        let mut out = MANIFEST_MAGIC.to_vec();
        out.extend_from_slice(log);
        out.extend_from_slice(&self.generation.to_be_bytes());
        out.extend_from_slice(&(self.parts.len() as u32).to_be_bytes());
        for part in &self.parts {
            for number in [part.id, part.commit, part.length, part.rows] {
                out.extend_from_slice(&number.to_be_bytes());
            }
            out.extend_from_slice(&part.crc.to_be_bytes());
            out.extend_from_slice(&(part.lower.len() as u16).to_be_bytes());
            out.extend_from_slice(&part.lower);
        }
        let crc = crc32c::crc32c(&out);
        out.extend_from_slice(&crc.to_be_bytes());
        out
    }

    fn decode(bytes: &[u8], log: &LogId) -> Option<Self> {
        let (body, crc) = bytes.split_last_chunk::<4>()?;
        if u32::from_be_bytes(*crc) != crc32c::crc32c(body) {
            return None;
        }
        let mut rest = body;
        if take::<8>(&mut rest)? != MANIFEST_MAGIC || take::<16>(&mut rest)? != *log {
            return None;
        }
        let generation = u64::from_be_bytes(take(&mut rest)?);
        let count = u32::from_be_bytes(take(&mut rest)?);
        let mut parts = Vec::new();
        for _ in 0..count {
            let id = u64::from_be_bytes(take(&mut rest)?);
            let commit = u64::from_be_bytes(take(&mut rest)?);
            let length = u64::from_be_bytes(take(&mut rest)?);
            let rows = u64::from_be_bytes(take(&mut rest)?);
            let crc = u32::from_be_bytes(take(&mut rest)?);
            let lower_length = usize::from(u16::from_be_bytes(take(&mut rest)?));
            let (lower, after) = rest.split_at_checked(lower_length)?;
            rest = after;
            parts.push(Part {
                id,
                commit,
                lower: lower.to_vec(),
                length,
                rows,
                crc,
            });
        }
        rest.is_empty().then_some(Self { generation, parts })
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

fn manifest_path(dir: &Path, generation: u64) -> PathBuf {
    dir.join(format!("manifest-{generation:016x}"))
}

fn part_path(dir: &Path, id: u64) -> PathBuf {
    dir.join(format!("part-{id:016x}"))
}

/// The manifests in a directory that can be read, newest first.
pub(crate) fn manifests(dir: &Path, log: &LogId) -> io::Result<Vec<Manifest>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let hex = name
            .to_str()
            .and_then(|name| name.strip_prefix("manifest-"));
        let Some(Ok(generation)) = hex.map(|hex| u64::from_str_radix(hex, 16)) else {
            continue;
        };
        match Manifest::decode(&std::fs::read(entry.path())?, log) {
            Some(manifest) if manifest.generation == generation => found.push(manifest),
            _ => tracing::warn!(file = ?entry.path(), "a damaged snapshot manifest is ignored"),
        }
    }
    found.sort_unstable_by_key(|manifest| std::cmp::Reverse(manifest.generation));
    Ok(found)
}

/// Removes every manifest and part that the given snapshots do not use.
pub(crate) fn sweep(dir: &Path, keep: &[&Manifest]) -> io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let kept = keep.iter().any(|manifest| {
            path == manifest_path(dir, manifest.generation)
                || manifest
                    .parts
                    .iter()
                    .any(|part| path == part_path(dir, part.id))
        });
        if !kept {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Why a snapshot was not written. What was there before is untouched.
#[derive(Debug)]
pub(crate) enum SnapshotError {
    Index(StoreError),
    Io(io::Error),
    /// What was read back is not what was written.
    ReadBack(String),
}

impl From<VisitError> for SnapshotError {
    fn from(error: VisitError) -> Self {
        match error {
            VisitError::Index(error) => Self::Index(error),
            VisitError::Io(error) => Self::Io(error),
        }
    }
}

impl From<io::Error> for SnapshotError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Writes a snapshot of the index. `commit` says the last commit that is applied, and is asked before
/// each part; parts of `before` with the same rows are used again. Returns the manifest, durable, and
/// how many parts were written.
pub(crate) fn write(
    dir: &Path,
    log: &LogId,
    index: &Index,
    before: Option<&Manifest>,
    commit: impl Fn() -> u64,
) -> Result<(Manifest, u64), SnapshotError> {
    let mut manifest = Manifest {
        generation: before.map_or(1, |before| before.generation + 1),
        parts: Vec::new(),
    };
    let old = before.map_or(&[][..], |before| &before.parts);
    let next_id = old
        .iter()
        .map(|part| part.id)
        .max()
        .unwrap_or(0)
        .max(manifest.generation << 24);
    let (mut lower, mut written): (Key, u64) = (Vec::new(), 0);
    loop {
        let at = commit();
        // First only look: most parts have not changed.
        let looked = stream(index, log, &lower, old, &mut io::sink())?;
        let same = old.iter().position(|part| {
            part.lower == lower && part.crc == looked.crc && part.rows == looked.rows
        });
        let reuse = same.filter(|at| {
            let next = old.get(at + 1).map(|part| &part.lower);
            next == looked.next.as_ref() && intact(dir, &old[*at])
        });
        let next = if let Some(reuse) = reuse {
            manifest.parts.push(Part {
                commit: at,
                ..old[reuse].clone()
            });
            looked.next
        } else {
            written += 1;
            let id = next_id + written;
            let at = commit();
            let streamed = write_part(dir, id, |out| stream(index, log, &lower, old, out))?;
            manifest.parts.push(Part {
                id,
                commit: at,
                lower: lower.clone(),
                length: streamed.length,
                rows: streamed.rows,
                crc: streamed.crc,
            });
            streamed.next
        };
        match next {
            Some(next) => lower = next,
            None => break,
        }
    }
    write_file(
        &manifest_path(dir, manifest.generation),
        &manifest.encode(log),
    )?;
    Ok((manifest, written))
}

/// Whether a part's file is there, every byte of it.
fn intact(dir: &Path, part: &Part) -> bool {
    check_part(&part_path(dir, part.id), part.length, part.crc).is_ok()
}

/// What was streamed into a part.
struct Streamed {
    rows: u64,
    crc: u32,
    length: u64,
    /// Where the next part begins.
    next: Option<Key>,
}

/// Streams the rows from `lower` on until the part is full.
fn stream(
    index: &Index,
    log: &LogId,
    lower: &Key,
    old: &[Part],
    out: &mut impl Write,
) -> Result<Streamed, SnapshotError> {
    let mut sum = Summed {
        out,
        crc: 0,
        length: 0,
    };
    sum.write_all(&PART_MAGIC)?;
    sum.write_all(log)?;
    let (mut rows, mut next) = (0, None);
    let boundary = old.partition_point(|part| part.lower <= *lower);
    let mut boundaries = old[boundary..].iter().map(|part| &part.lower).peekable();
    let range: KeyRange = (Bound::Included(lower.clone()), Bound::Unbounded);
    index.visit(range, |key, value| {
        let mut at_boundary = false;
        while boundaries
            .next_if(|boundary| boundary[..] <= key[..])
            .is_some()
        {
            at_boundary = true;
        }
        let bytes = sum.length;
        // The engine's own rows change often: they are a part of their own.
        let is_own = key.starts_with(&RESERVED) && lower[..] < RESERVED[..];
        if is_own || bytes >= PART_BYTES_MAX || at_boundary && bytes >= PART_BYTES_MIN {
            next = Some(if is_own {
                RESERVED.to_vec()
            } else {
                key.to_vec()
            });
            return Ok(ControlFlow::Break(()));
        }
        sum.write_all(&(key.len() as u16).to_be_bytes())?;
        sum.write_all(&(value.len() as u32).to_be_bytes())?;
        sum.write_all(&key)?;
        sum.write_all(&value)?;
        rows += 1;
        Ok(ControlFlow::Continue(()))
    })?;
    sum.write_all(&0u16.to_be_bytes())?;
    sum.write_all(&rows_bytes(rows))?;
    let crc = sum.crc;
    sum.write_all(&crc.to_be_bytes())?;
    Ok(Streamed {
        rows,
        crc,
        length: sum.length,
        next,
    })
}

fn rows_bytes(rows: u64) -> [u8; 8] {
    rows.to_be_bytes()
}

fn write_part(
    dir: &Path,
    id: u64,
    fill: impl FnOnce(&mut BufWriter<File>) -> Result<Streamed, SnapshotError>,
) -> Result<Streamed, SnapshotError> {
    let path = part_path(dir, id);
    let temporary = path.with_extension("tmp");
    let file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .open(&temporary)?;
    let mut out = BufWriter::with_capacity(256 << 10, file);
    let streamed = fill(&mut out)?;
    let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    drop(file);
    check_part(&temporary, streamed.length, streamed.crc)?;
    std::fs::rename(&temporary, &path)?;
    sync_dir(dir)?;
    Ok(streamed)
}

/// Reads a part's file through: is it what was written?
fn check_part(path: &Path, length: u64, crc: u32) -> Result<(), SnapshotError> {
    let bad = || SnapshotError::ReadBack(format!("{} is not what was written", path.display()));
    let mut file = File::open(path)?;
    if file.metadata()?.len() != length || length < PART_HEAD_BYTES + PART_TAIL_BYTES {
        return Err(bad());
    }
    let mut buffer = vec![0; 1 << 20];
    let (mut sum, mut left) = (0, length - 4);
    while left > 0 {
        let wanted = left.min(buffer.len() as u64) as usize;
        file.read_exact(&mut buffer[..wanted])?;
        sum = crc32c::crc32c_append(sum, &buffer[..wanted]);
        left -= wanted as u64;
    }
    let mut stored = [0; 4];
    file.read_exact(&mut stored)?;
    if sum == crc && u32::from_be_bytes(stored) == crc {
        Ok(())
    } else {
        Err(bad())
    }
}

/// A writer that sums what it writes.
struct Summed<'a, W> {
    out: &'a mut W,
    crc: u32,
    length: u64,
}

impl<W: Write> Write for Summed<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.crc = crc32c::crc32c_append(self.crc, bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Loads a snapshot into a new index. Every part is checked as a whole before its rows are used.
pub(crate) fn load(
    dir: &Path,
    log: &LogId,
    manifest: &Manifest,
    index: &Index,
) -> Result<(), String> {
    for part in &manifest.parts {
        let path = part_path(dir, part.id);
        match check_part(&path, part.length, part.crc) {
            Ok(()) => {}
            Err(SnapshotError::ReadBack(reason)) => return Err(reason),
            Err(SnapshotError::Io(error)) => {
                return Err(format!("{}: {error}", path.display()));
            }
            Err(SnapshotError::Index(error)) => return Err(error.to_string()),
        }
        let rows =
            Rows::open(&path, log).map_err(|error| format!("{}: {error}", path.display()))?;
        if part.rows > 0 {
            index.load(rows)?;
        }
    }
    Ok(())
}

/// The rows of a part whose checksum was right.
struct Rows {
    file: BufReader<File>,
}

impl Rows {
    fn open(path: &Path, log: &LogId) -> io::Result<Self> {
        let mut file = BufReader::with_capacity(256 << 10, File::open(path)?);
        let mut head = [0; PART_HEAD_BYTES as usize];
        file.read_exact(&mut head)?;
        let (magic, id) = head.split_at(8);
        if magic != PART_MAGIC || id != log {
            return Err(io::Error::other("it belongs to another log"));
        }
        Ok(Self { file })
    }

    fn row(&mut self) -> io::Result<Option<(Bytes, Bytes)>> {
        let mut key_length = [0; 2];
        self.file.read_exact(&mut key_length)?;
        let key_length = usize::from(u16::from_be_bytes(key_length));
        if key_length == 0 {
            return Ok(None);
        }
        let mut value_length = [0; 4];
        self.file.read_exact(&mut value_length)?;
        let value_length = u32::from_be_bytes(value_length) as usize;
        if value_length > Batch::VALUE_BYTES_MAX {
            return Err(io::Error::other("a row with an impossible length"));
        }
        let mut row = vec![0; key_length + value_length];
        self.file.read_exact(&mut row)?;
        let row = Bytes::from(row);
        Ok(Some((row.slice(..key_length), row.slice(key_length..))))
    }
}

impl Iterator for Rows {
    type Item = Result<(Bytes, Bytes), String>;

    fn next(&mut self) -> Option<Self::Item> {
        self.row().map_err(|error| error.to_string()).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifest_comes_back_and_no_bit_may_change() {
        let part = |id, lower: &[u8]| Part {
            id,
            commit: 40 + id,
            lower: lower.to_vec(),
            length: 99,
            rows: 3,
            crc: 7,
        };
        let manifest = Manifest {
            generation: 5,
            parts: vec![part(1, b""), part(2, b"key")],
        };
        assert_eq!(manifest.commit(), 41);
        let bytes = manifest.encode(&[3; 16]);
        assert_eq!(Manifest::decode(&bytes, &[3; 16]), Some(manifest));
        assert_eq!(Manifest::decode(&bytes, &[4; 16]), None);
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Manifest::decode(&bytes, &[3; 16]), None, "bit {bit}");
        }
    }
}
