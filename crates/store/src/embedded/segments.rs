//! The segments of the log as files: their names, open descriptors, reading groups.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;

use super::format::{GROUP_ALIGN, GroupHeader, HEADER_BYTES, LogId, LoggedBatch, decode_ops};
use crate::error::Damage;

/// How many segments are kept open for reading.
const OPEN_MAX: usize = 64;

/// The path of a segment.
pub(crate) fn path(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("{number:010}.seg"))
}

/// The numbers of the segments in a directory, ascending.
pub(crate) fn list(dir: &Path) -> io::Result<Vec<u32>> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".seg"));
        if let Some(Ok(number)) = number.map(str::parse) {
            numbers.push(number);
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Segments open for reading blobs, a bounded number at a time.
#[derive(Debug)]
pub(crate) struct Segments {
    dir: PathBuf,
    open: Mutex<OpenFiles>,
}

#[derive(Debug, Default)]
struct OpenFiles {
    files: BTreeMap<u32, (Arc<File>, u64)>,
    clock: u64,
}

impl Segments {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self {
            dir,
            open: Mutex::default(),
        }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// A segment for reading.
    pub(crate) fn file(&self, number: u32) -> io::Result<Arc<File>> {
        let mut guard = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let open = &mut *guard;
        open.clock += 1;
        if let Some((file, used)) = open.files.get_mut(&number) {
            *used = open.clock;
            return Ok(file.clone());
        }
        let file = Arc::new(File::open(path(&self.dir, number))?);
        if open.files.len() >= OPEN_MAX {
            let oldest = open
                .files
                .iter()
                .min_by_key(|(_, (_, used))| *used)
                .map(|(n, _)| *n);
            oldest.map(|number| open.files.remove(&number));
        }
        open.files.insert(number, (file.clone(), open.clock));
        Ok(file)
    }

    /// Forgets a segment that is to be unlinked.
    pub(crate) fn forget(&self, number: u32) {
        self.open
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .files
            .remove(&number);
    }
}

/// What stands where a group's header may be.
#[derive(Debug)]
pub(crate) enum Found {
    Group(GroupHeader),
    /// Nothing was ever written here, or the file ends.
    Nothing,
    /// Something else.
    Other(&'static str),
}

/// A segment being read group by group.
#[derive(Debug)]
pub(crate) struct SegmentReader {
    pub(crate) number: u32,
    pub(crate) path: PathBuf,
    pub(crate) file: File,
    pub(crate) length: u64,
    log: LogId,
}

impl SegmentReader {
    pub(crate) fn open(dir: &Path, number: u32, log: LogId) -> io::Result<Self> {
        let path = path(dir, number);
        let file = OpenOptions::new().read(true).write(true).open(&path)?;
        let length = file.metadata()?.len();
        Ok(Self {
            number,
            path,
            file,
            length,
            log,
        })
    }

    /// Reads the header at an offset.
    pub(crate) fn header(&self, offset: u64) -> io::Result<Found> {
        let mut bytes = [0; HEADER_BYTES];
        match self.file.read_exact_at(&mut bytes, offset) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Ok(if offset >= self.length {
                    Found::Nothing
                } else {
                    Found::Other("a short group")
                });
            }
            Err(error) => return Err(error),
        }
        Ok(
            match GroupHeader::decode(&bytes, &self.log, self.number, offset) {
                Ok(header) if header.length > self.length.saturating_sub(offset) => {
                    Found::Other("a group that is longer than its segment")
                }
                Ok(header) => Found::Group(header),
                Err(_) if bytes == [0; HEADER_BYTES] => Found::Nothing,
                Err(reason) => Found::Other(reason),
            },
        )
    }

    /// Looks for a group's header at or after an offset, through the whole segment.
    pub(crate) fn find_group(&self, from: u64) -> io::Result<Option<GroupHeader>> {
        let mut buffer = vec![0; 1 << 20];
        let mut at = from;
        while at < self.length {
            let wanted = (self.length - at).min(buffer.len() as u64) as usize;
            self.file.read_exact_at(&mut buffer[..wanted], at)?;
            for (page, bytes) in buffer[..wanted].chunks(GROUP_ALIGN as usize).enumerate() {
                let offset = at + page as u64 * GROUP_ALIGN;
                let Some(bytes) = bytes.first_chunk() else {
                    continue;
                };
                if let Ok(header) = GroupHeader::decode(bytes, &self.log, self.number, offset) {
                    return Ok(Some(header));
                }
            }
            at += wanted as u64;
        }
        Ok(None)
    }

    /// The end of the last byte at or after an offset that is not zero; the offset if there is none.
    pub(crate) fn end_of_data(&self, from: u64) -> io::Result<u64> {
        let mut buffer = vec![0; 1 << 20];
        let (mut at, mut end) = (from, from);
        while at < self.length {
            let wanted = (self.length - at).min(buffer.len() as u64) as usize;
            self.file.read_exact_at(&mut buffer[..wanted], at)?;
            if let Some(last) = last_data(&buffer[..wanted]) {
                end = at + last as u64 + 1;
            }
            at += wanted as u64;
        }
        Ok(end)
    }

    /// Reads and checks the operations of a group, without its blobs.
    pub(crate) fn operations(
        &self,
        header: &GroupHeader,
    ) -> io::Result<Result<Vec<LoggedBatch>, &'static str>> {
        // The header was checked against the segment's length, and bounds the section.
        let mut section = vec![0; header.ops_length as usize];
        self.file
            .read_exact_at(&mut section, header.offset + header.ops_offset)?;
        if crc32c::crc32c(&section) != header.ops_crc {
            return Ok(Err("operations with a wrong checksum"));
        }
        Ok(decode_ops(&Bytes::from(section), header.count))
    }

    /// Whether everything behind a group's header is as it was written.
    pub(crate) fn body_is_whole(&self, header: &GroupHeader) -> io::Result<bool> {
        let mut buffer = vec![0; 1 << 20];
        let mut at = header.offset + HEADER_BYTES as u64;
        let end = header.offset + header.length;
        let mut crc = 0;
        while at < end {
            let wanted = (end - at).min(buffer.len() as u64) as usize;
            self.file.read_exact_at(&mut buffer[..wanted], at)?;
            crc = crc32c::crc32c_append(crc, &buffer[..wanted]);
            at += wanted as u64;
        }
        Ok(crc == header.body_crc)
    }

    /// Damage at an offset.
    pub(crate) fn damage(&self, offset: u64, reason: impl Into<String>, last_good: u64) -> Damage {
        Damage {
            segment: self.number,
            offset,
            reason: reason.into(),
            last_good,
            ..Damage::default()
        }
    }
}

/// The last byte that is not zero. Most of a segment is not written yet after a crash, so pages are compared
/// before bytes are looked at.
fn last_data(bytes: &[u8]) -> Option<usize> {
    const ZEROS: [u8; GROUP_ALIGN as usize] = [0; GROUP_ALIGN as usize];
    let page = bytes
        .chunks(ZEROS.len())
        .rposition(|page| page != &ZEROS[..page.len()])?;
    let start = page * ZEROS.len();
    let page = bytes[start..].chunks(ZEROS.len()).next()?;
    let last = page.iter().rposition(|byte| *byte != 0)?;
    Some(start + last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_byte_of_data() {
        assert_eq!(last_data(&[]), None);
        for length in [1, 4095, 4096, 4097, 10_000] {
            let mut bytes = vec![0; length];
            assert_eq!(last_data(&bytes), None);
            for at in [0, length / 2, length - 1] {
                bytes[at] = 1;
                assert_eq!(last_data(&bytes), Some(at));
            }
        }
    }
}
