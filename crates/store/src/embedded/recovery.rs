//! Opening a store: find the log's end, make sure of it, bring the index up to it.

use std::{
    collections::BTreeSet,
    fs::{File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicBool, AtomicU32, AtomicU64},
    },
};

use tokio::sync::watch;

use super::{
    Counters, Embedded, REBUILD, Shared,
    committer::{Committer, Position},
    disk::{self, Disk, Space, make_dir, sync_dir, write_file},
    files,
    format::{GroupHeader, LogId, Op},
    index::{Index, Mark, Overlay},
    queue::Queue,
    reclaim::{Maintenance, dropped_key, dropped_segment},
    segments::{self, SegmentReader, Segments},
    snapshot::{self, Manifest},
    walk::{LogEnd, Walk, WalkError, find_end},
};
use crate::{
    batch::{Direction, prefix_range},
    error::{Damage, OpenError, StoreError},
    options::EmbeddedOptions,
};

/// Operations are applied to the index when this much has been read, in bytes.
const REPLAY_BYTES: u64 = 4 << 20;

/// The names in the store's directory.
pub(crate) struct Layout {
    pub(crate) dir: PathBuf,
    pub(crate) log: PathBuf,
    pub(crate) files: PathBuf,
    pub(crate) index: PathBuf,
    pub(crate) lost: PathBuf,
    pub(crate) snapshots: PathBuf,
    pub(crate) format: PathBuf,
}

impl Layout {
    pub(crate) fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_path_buf(),
            log: dir.join("log"),
            files: dir.join("blobs"),
            index: dir.join(super::INDEX),
            lost: dir.join("lost"),
            snapshots: dir.join("snapshot"),
            format: dir.join("FORMAT"),
        }
    }
}

/// Opens the store in a directory, or creates it. Blocks.
pub(crate) fn open(dir: &Path, options: EmbeddedOptions) -> Result<Embedded, OpenError> {
    let (layout, lock, log) = take_directory(dir, &options)?;
    let disk = Disk::new(options.faults.clone());

    let numbers = segments::list(&layout.log).map_err(io_error("cannot list the log"))?;
    let end = find_end(&layout.log, log, &numbers).map_err(walk_error)?;
    let snapshots =
        snapshot::manifests(&layout.snapshots, &log).map_err(io_error("cannot read snapshots"))?;
    let start = Start {
        layout: &layout,
        options: &options,
        log,
        numbers: &numbers,
        end: &end,
    };
    let (index, replay_from) = start.open_index(&snapshots)?;
    // Nothing is changed before it is known that the index is not ahead of the log.
    settle(&layout, &disk, log, &numbers, &end).map_err(io_error("cannot settle the log's end"))?;

    let numbers = segments::list(&layout.log).map_err(io_error("cannot list the log"))?;
    let ops_since_floor = match &end.last {
        Some(last) => replay(&layout, &index, log, &numbers, last, replay_from)?,
        None => 0,
    };
    check_dropped(&layout, &index, &numbers)?;
    remove_aside(&layout).map_err(io_error("cannot remove an old index"))?;

    let last_commit = end.last.as_ref().map_or(0, GroupHeader::last);
    let segment_next = numbers.last().map_or(1, |number| number.saturating_add(1));
    let position = Position {
        epoch: end.last.as_ref().map_or(1, |last| last.epoch),
        begins_epoch: end.last.is_none(),
        segment_next,
        commit_next: last_commit.saturating_add(1),
        previous: end.last.as_ref().map_or(0, |last| last.crc),
        ops_since_floor,
    };
    let file_id_start = last_file_id(&layout).map_err(io_error("cannot list the large blobs"))?;
    let counters = Counters {
        last_commit: AtomicU64::new(last_commit),
        segment: AtomicU32::new(segment_next),
        file_id: AtomicU64::new(file_id_start),
        ..Counters::default()
    };
    let maintenance = Maintenance::new(snapshots);
    let shared = Arc::new(Shared {
        dir: layout.dir,
        log,
        options,
        disk,
        space: Space::default(),
        index: RwLock::new(Some(index.clone())),
        segments: Segments::new(layout.log),
        files: layout.files,
        lost: layout.lost,
        snapshots_dir: layout.snapshots,
        file_id_start,
        maintenance: Mutex::new(maintenance),
        released: Mutex::default(),
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
        .spawn(move || committer.run_guarded())
        .map_err(io_error("cannot start the committer"))?;
    Ok(Embedded {
        shared,
        committer: Mutex::new(Some(thread)),
    })
}

/// Makes sure that the directory is ours alone, and says which log is in it.
pub(crate) fn take_directory(
    dir: &Path,
    options: &EmbeddedOptions,
) -> Result<(Layout, File, LogId), OpenError> {
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
    Ok((layout, lock, log))
}

/// A number that no large blob has, lower than those to come.
fn last_file_id(layout: &Layout) -> io::Result<u64> {
    let mut last = 0;
    for dir in [&layout.files, &layout.lost] {
        for entry in std::fs::read_dir(dir)? {
            last = last.max(files::file_id(&entry?.path()).unwrap_or(0));
        }
    }
    Ok(last)
}

/// Holds what is missing from the log against what was dropped from it on purpose.
fn check_dropped(layout: &Layout, index: &Index, numbers: &[u32]) -> Result<(), OpenError> {
    let rows = prefix_range(&dropped_key(0)[..5]);
    let rows = index
        .scan_all(rows, Direction::Ascending, usize::MAX)
        .map_err(index_error)?;
    let dropped: BTreeSet<u32> = rows
        .iter()
        .filter_map(|(key, _)| dropped_segment(key))
        .collect();
    let present: BTreeSet<u32> = numbers.iter().copied().collect();
    for number in present.intersection(&dropped) {
        // Logged, but not unlinked before the process ended.
        std::fs::remove_file(segments::path(&layout.log, *number))
            .map_err(io_error("cannot remove a dropped segment"))?;
    }
    let last = numbers.last().copied().unwrap_or(0);
    match (1..last).find(|number| !present.contains(number) && !dropped.contains(number)) {
        None => Ok(()),
        Some(segment) => Err(OpenError::Damaged(Box::new(Damage {
            segment,
            reason: "the segment is missing".into(),
            ..Damage::default()
        }))),
    }
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
    make_dir(&layout.lost)?;
    make_dir(&layout.snapshots)
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

/// What is known when the index is opened.
struct Start<'a> {
    layout: &'a Layout,
    options: &'a EmbeddedOptions,
    log: LogId,
    numbers: &'a [u32],
    end: &'a LogEnd,
}

impl Start<'_> {
    fn last_commit(&self) -> u64 {
        self.end.last.as_ref().map_or(0, GroupHeader::last)
    }

    /// Opens the index, or rebuilds it, and says after which commit the log is to be replayed.
    fn open_index(&self, snapshots: &[Manifest]) -> Result<(Index, u64), OpenError> {
        let ahead = |commit| OpenError::IndexAhead {
            log: self.last_commit(),
            index: commit,
        };
        let commits = snapshots
            .iter()
            .flat_map(|manifest| &manifest.parts)
            .map(|part| part.commit);
        if let Some(commit) = commits.max().filter(|commit| *commit > self.last_commit()) {
            return Err(ahead(commit));
        }
        let asked = self.layout.dir.join(REBUILD).exists();
        let refused = match Index::open(&self.layout.index, self.options.cache_bytes) {
            _ if asked => "it was found damaged".to_owned(),
            Ok(index) => match index.mark() {
                Ok(None) if snapshots.is_empty() && self.reaches(1)? => return Ok((index, 0)),
                Ok(None) => "it is new".to_owned(),
                Ok(Some(mark)) if mark.log != self.log => "it belongs to another log".to_owned(),
                Ok(Some(mark)) => match self.replay_from(mark).map_err(ahead)? {
                    Some(from) if self.reaches(from.saturating_add(1))? => {
                        return Ok((index, from));
                    }
                    _ => "it is too old".to_owned(),
                },
                Err(error) => error.to_string(),
            },
            Err(reason) => reason,
        };
        tracing::warn!(reason = %refused, "the index is rebuilt");
        let rebuilt = self.rebuild(snapshots)?;
        if asked {
            // From here on the new index has no mark, which asks for the same.
            std::fs::remove_file(self.layout.dir.join(REBUILD))
                .map_err(io_error("cannot remove the request to rebuild"))?;
        }
        Ok(rebuilt)
    }

    /// Where replay has to begin for an index with this mark; `None` for one of an earlier epoch,
    /// the commit that it knows for one that is ahead of the log.
    fn replay_from(&self, mark: Mark) -> Result<Option<u64>, u64> {
        let (epoch, floor) = self
            .end
            .last
            .as_ref()
            .map_or((0, 0), |last| (last.epoch, last.floor));
        if mark.commit > self.last_commit() || mark.epoch > epoch.max(1) {
            return Err(mark.commit);
        }
        // Never from a number that only the index shows, if the log says a lower one.
        Ok((mark.epoch >= epoch).then_some(mark.commit.min(floor)))
    }

    /// Whether the log has everything from a commit on.
    fn reaches(&self, commit: u64) -> Result<bool, OpenError> {
        match &self.end.last {
            Some(last) if last.last() >= commit => {
                let walk =
                    Walk::from_commit(&self.layout.log, self.log, self.numbers, last, commit);
                Ok(walk.map_err(walk_error)?.is_some())
            }
            _ => Ok(true),
        }
    }

    /// Makes a new index from the newest snapshot that can be loaded, or for the whole log.
    fn rebuild(&self, snapshots: &[Manifest]) -> Result<(Index, u64), OpenError> {
        for manifest in snapshots {
            let commit = manifest.commit();
            if !self.reaches(commit.saturating_add(1))? {
                continue;
            }
            let index = self.new_index()?;
            match snapshot::load(&self.layout.snapshots, &self.log, manifest, &index) {
                Ok(()) => return Ok((index, commit)),
                Err(reason) => tracing::error!(%reason, generation = manifest.generation,
                    "a snapshot cannot be loaded; an older one or the whole log is used"),
            }
        }
        if self.reaches(1)? {
            return Ok((self.new_index()?, 0));
        }
        Err(OpenError::Damaged(Box::new(Damage {
            reason: "the index is lost, and neither a snapshot nor the whole log is there".into(),
            ..Damage::default()
        })))
    }

    fn new_index(&self) -> Result<Index, OpenError> {
        set_aside(self.layout).map_err(io_error("cannot set the index aside"))?;
        Index::open(&self.layout.index, self.options.cache_bytes)
            .map_err(|reason| OpenError::Index { reason })
    }
}

/// Moves an index that was refused out of the way.
pub(crate) fn set_aside(layout: &Layout) -> io::Result<()> {
    if !layout.index.exists() {
        return Ok(());
    }
    remove_aside(layout)?;
    std::fs::rename(&layout.index, layout.lost.join("index"))?;
    sync_dir(&layout.dir)
}

/// Removes an index that was set aside.
fn remove_aside(layout: &Layout) -> io::Result<()> {
    match std::fs::remove_dir_all(layout.lost.join("index")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
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

pub(crate) fn io_error(what: &'static str) -> impl FnOnce(io::Error) -> OpenError {
    move |source| OpenError::Io {
        what: what.into(),
        source,
    }
}

fn index_error(error: StoreError) -> OpenError {
    OpenError::Index {
        reason: error.to_string(),
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
