//! Opening a store: find the log's end, make sure of it, bring the index up to it.

use std::{
    fs::OpenOptions,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicBool, AtomicU64},
    },
};

use tokio::sync::watch;

use super::{
    Counters, Embedded, Shared,
    committer::{Committer, Position},
    disk::{self, Disk, make_dir, sync_dir, write_file},
    format::{GroupHeader, LogId, Op},
    index::{Index, Mark, Overlay},
    queue::Queue,
    segments::{self, SegmentReader, Segments},
    walk::{LogEnd, Walk, WalkError, find_end},
};
use crate::{
    error::{Damage, OpenError},
    options::EmbeddedOptions,
};

/// Operations are applied to the index when this much has been read, in bytes.
const REPLAY_BYTES: u64 = 4 << 20;

/// The names in the store's directory.
struct Layout {
    dir: PathBuf,
    log: PathBuf,
    files: PathBuf,
    index: PathBuf,
    lost: PathBuf,
    format: PathBuf,
}

impl Layout {
    fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_path_buf(),
            log: dir.join("log"),
            files: dir.join("blobs"),
            index: dir.join("index"),
            lost: dir.join("lost"),
            format: dir.join("FORMAT"),
        }
    }
}

/// Opens the store in a directory, or creates it. Blocks.
pub(crate) fn open(dir: &Path, options: EmbeddedOptions) -> Result<Embedded, OpenError> {
    let layout = Layout::new(dir);
    make_dir(dir).map_err(io_error("cannot create the store's directory"))?;
    let kind = disk::network_file_system(dir).map_err(io_error("cannot look at the directory"))?;
    if let (Some(kind), false) = (kind, options.allow_network_file_system) {
        return Err(OpenError::NetworkFileSystem {
            dir: dir.to_path_buf(),
            kind,
        });
    }
    let lock = disk::lock(dir)?;
    let log = identify(&layout)?;
    let disk = Disk::new(options.faults.clone());

    let numbers = segments::list(&layout.log).map_err(io_error("cannot list the log"))?;
    let end = find_end(&layout.log, log, &numbers).map_err(walk_error)?;
    let (index, replay_from) = open_index(&layout, &options, log, &end, &numbers)?;
    // Nothing is changed before it is known that the index is not ahead of the log.
    settle(&layout, &disk, log, &numbers, &end).map_err(io_error("cannot settle the log's end"))?;

    let numbers = segments::list(&layout.log).map_err(io_error("cannot list the log"))?;
    let ops_since_floor = match &end.last {
        Some(last) => replay(&layout, &index, log, &numbers, last, replay_from)?,
        None => 0,
    };

    let last_commit = end.last.as_ref().map_or(0, GroupHeader::last);
    let position = Position {
        epoch: end.last.as_ref().map_or(1, |last| last.epoch),
        begins_epoch: end.last.is_none(),
        segment_next: numbers.last().map_or(1, |number| number.saturating_add(1)),
        commit_next: last_commit.saturating_add(1),
        previous: end.last.as_ref().map_or(0, |last| last.crc),
        ops_since_floor,
    };
    let counters = Counters {
        last_commit: AtomicU64::new(last_commit),
        ..Counters::default()
    };
    let shared = Arc::new(Shared {
        dir: layout.dir,
        log,
        options,
        disk,
        index: RwLock::new(Some(index.clone())),
        segments: Segments::new(layout.log),
        files: layout.files,
        queue: Queue::default(),
        floor: AtomicU64::new(replay_from),
        failed: watch::channel(None).0,
        has_failed: AtomicBool::new(false),
        counters,
        lock: Mutex::new(Some(lock)),
    });
    let committer = Committer::new(shared.clone(), index, position);
    let thread = std::thread::Builder::new()
        .name("store-committer".into())
        .spawn(move || committer.run())
        .map_err(io_error("cannot start the committer"))?;
    Ok(Embedded {
        shared,
        committer: Mutex::new(Some(thread)),
    })
}

/// Reads the log's identity, or makes a new store.
fn identify(layout: &Layout) -> Result<LogId, OpenError> {
    let wrong = |reason: &str| OpenError::Format {
        dir: layout.dir.clone(),
        reason: reason.to_owned(),
    };
    match std::fs::read_to_string(&layout.format) {
        Ok(text) => {
            let mut lines = text.lines();
            if lines.next() != Some("restante store 1") {
                return Err(wrong("FORMAT names another format"));
            }
            let id = lines.next().and_then(|line| line.strip_prefix("log "));
            let id = id
                .filter(|id| id.len() == 32)
                .and_then(|id| u128::from_str_radix(id, 16).ok());
            let check = lines.next().and_then(|line| line.strip_prefix("crc "));
            let id = id
                .ok_or_else(|| wrong("FORMAT cannot be read"))?
                .to_be_bytes();
            let expected = format!("{:08x}", crc32c::crc32c(&id));
            if check != Some(&expected) {
                return Err(wrong("FORMAT has a wrong checksum"));
            }
            make_dirs(layout).map_err(io_error("cannot create a directory"))?;
            Ok(id)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let numbers = match segments::list(&layout.log) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
                other => other.map_err(io_error("cannot list the log"))?,
            };
            if !numbers.is_empty() || layout.index.exists() {
                return Err(wrong("FORMAT is missing"));
            }
            create(layout).map_err(io_error("cannot create the store"))
        }
        Err(source) => Err(OpenError::Io {
            what: "cannot read FORMAT".into(),
            source,
        }),
    }
}

fn make_dirs(layout: &Layout) -> io::Result<()> {
    make_dir(&layout.log)?;
    make_dir(&layout.files)?;
    make_dir(&layout.lost)
}

fn create(layout: &Layout) -> io::Result<LogId> {
    make_dirs(layout)?;
    let mut id = [0; 16];
    let mut filled = 0;
    while filled < id.len() {
        let flags = rustix::rand::GetRandomFlags::empty();
        filled += rustix::rand::getrandom(&mut id[filled..], flags)?;
    }
    let hex = u128::from_be_bytes(id);
    let text = format!(
        "restante store 1\nlog {hex:032x}\ncrc {:08x}\n",
        crc32c::crc32c(&id)
    );
    write_file(&layout.format, text.as_bytes())?;
    Ok(id)
}

/// Opens the index and says after which commit the log is to be replayed.
fn open_index(
    layout: &Layout,
    options: &EmbeddedOptions,
    log: LogId,
    end: &LogEnd,
    _numbers: &[u32],
) -> Result<(Index, u64), OpenError> {
    let (last, floor, epoch) = end
        .last
        .as_ref()
        .map_or((0, 0, 0), |last| (last.last(), last.floor, last.epoch));
    let refused = match Index::open(&layout.index, options.cache_bytes) {
        Ok(index) => match index.mark() {
            Ok(None) => return Ok((index, 0)),
            Ok(Some(mark)) if mark.log == log && mark.epoch >= epoch => {
                if mark.commit > last || mark.epoch > epoch && end.last.is_some() {
                    return Err(OpenError::IndexAhead {
                        log: last,
                        index: mark.commit,
                    });
                }
                return Ok((index, mark.commit.min(floor)));
            }
            Ok(Some(Mark { .. })) => "it belongs to another log".to_owned(),
            Err(error) => error.to_string(),
        },
        Err(reason) => reason,
    };
    tracing::warn!(reason = %refused, "the index is rebuilt from the log");
    set_aside(layout).map_err(io_error("cannot set the index aside"))?;
    let index = Index::open(&layout.index, options.cache_bytes)
        .map_err(|reason| OpenError::Index { reason })?;
    Ok((index, 0))
}

/// Moves an index that was refused out of the way.
fn set_aside(layout: &Layout) -> io::Result<()> {
    let aside = layout.lost.join("index");
    match std::fs::remove_dir_all(&aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::fs::rename(&layout.index, &aside)?;
    sync_dir(&layout.dir)
}

/// Makes sure of the log's end before anything is built on it: what the page cache shows may not be
/// on the disk. The last whole group is written again, a tear is kept aside and cut off.
fn settle(
    layout: &Layout,
    disk: &Disk,
    log: LogId,
    numbers: &[u32],
    end: &LogEnd,
) -> io::Result<()> {
    if let Some((number, offset, data_end)) = end.torn {
        let segment = SegmentReader::open(&layout.log, number, log)?;
        let name = format!("tear-{number:010}-{offset}-{}", segment_time(&segment)?);
        tracing::warn!(segment = number, offset, bytes = data_end - offset, file = %name,
            "a torn last write is cut off; it was never acknowledged");
        keep_aside(&segment, offset, data_end, &layout.lost.join(name))?;
    }
    for number in numbers.iter().rev() {
        let keep = match &end.last {
            Some(last) if last.segment > *number => break,
            Some(last) if last.segment == *number => Some(last),
            _ => None,
        };
        let segment = SegmentReader::open(&layout.log, *number, log)?;
        let Some(last) = keep else {
            // Nothing whole was ever written to it.
            std::fs::remove_file(&segment.path)?;
            continue;
        };
        write_again(&segment, disk, last)?;
        if segment.length != last.end() {
            disk.truncate(&segment.file, last.end())?;
        }
        disk.sync_all(&segment.file)?;
    }
    sync_dir(&layout.log)
}

fn segment_time(segment: &SegmentReader) -> io::Result<u64> {
    let modified = segment.file.metadata()?.modified()?;
    let since = modified.duration_since(std::time::UNIX_EPOCH);
    Ok(since.map_or(0, |since| since.as_secs()))
}

/// Copies a part of a segment into a file, a piece at a time.
fn keep_aside(segment: &SegmentReader, from: u64, to: u64, path: &Path) -> io::Result<()> {
    let file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .open(path)?;
    copy_pieces(from, to, |buffer, at| {
        segment.file.read_exact_at(buffer, at)?;
        file.write_all_at(buffer, at - from)
    })?;
    file.sync_all()?;
    path.parent().map_or(Ok(()), sync_dir)
}

fn write_again(segment: &SegmentReader, disk: &Disk, group: &GroupHeader) -> io::Result<()> {
    copy_pieces(
        group.offset,
        group.end().min(segment.length),
        |buffer, at| {
            segment.file.read_exact_at(buffer, at)?;
            disk.write_all_at(&segment.file, buffer, at)
        },
    )
}

fn copy_pieces(
    from: u64,
    to: u64,
    mut copy: impl FnMut(&mut [u8], u64) -> io::Result<()>,
) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 20];
    let mut at = from;
    while at < to {
        let wanted = (to - at).min(buffer.len() as u64) as usize;
        copy(&mut buffer[..wanted], at)?;
        at += wanted as u64;
    }
    Ok(())
}

/// Applies every commit after `from` to the index; returns the bytes of their operations.
fn replay(
    layout: &Layout,
    index: &Index,
    log: LogId,
    numbers: &[u32],
    last: &GroupHeader,
    from: u64,
) -> Result<u64, OpenError> {
    if last.last() <= from {
        return Ok(0);
    }
    let walk = Walk::from_commit(&layout.log, log, numbers, last, from.saturating_add(1));
    let Some(mut walk) = walk.map_err(walk_error)? else {
        return Err(OpenError::Damaged(Box::new(Damage {
            reason: format!(
                "the log does not reach back to commit {}",
                from.saturating_add(1)
            ),
            ..Damage::default()
        })));
    };
    let mut overlay = Overlay::new();
    let (mut bytes, mut waiting) = (0, 0);
    while let Some(group) = walk.next().map_err(walk_error)? {
        if group.last() <= from {
            continue;
        }
        let read = walk
            .segment()
            .operations(&group)
            .map_err(io_error("cannot read the log"))?;
        let batches = read.map_err(|reason| {
            let last_good = group.first.saturating_sub(1);
            OpenError::Damaged(Box::new(walk.segment().damage(
                group.offset,
                reason,
                last_good,
            )))
        })?;
        for op in batches.into_iter().flat_map(|batch| batch.ops) {
            match op {
                Op::Put { key, value, .. } => drop(overlay.insert(key, Some(value))),
                Op::Delete { key } => drop(overlay.insert(key, None)),
                Op::Release { .. } => {}
            }
        }
        bytes += group.ops_length;
        waiting += group.ops_length;
        if waiting >= REPLAY_BYTES {
            apply(index, std::mem::take(&mut overlay))?;
            waiting = 0;
        }
    }
    apply(index, overlay)?;
    Ok(bytes)
}

fn apply(index: &Index, overlay: Overlay) -> Result<(), OpenError> {
    index
        .apply(overlay)
        .map_err(|reason| OpenError::Index { reason })
}

fn io_error(what: &'static str) -> impl FnOnce(io::Error) -> OpenError {
    move |source| OpenError::Io {
        what: what.into(),
        source,
    }
}

fn walk_error(error: WalkError) -> OpenError {
    match error {
        WalkError::Io(source) => OpenError::Io {
            what: "cannot read the log".into(),
            source,
        },
        WalkError::Damage(damage) => OpenError::Damaged(Box::new(damage)),
    }
}
