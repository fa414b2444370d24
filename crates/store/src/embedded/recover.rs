//! Going on after a loss: what `restante recover --accept-loss` does to the store.
//!
//! Whatever can be read is kept, in a new index; a new *epoch* begins, with commit numbers above the
//! highest ever seen; a snapshot makes sure that nobody has to read the damaged part again. The
//! report names the accounts that lost something, so that their mailboxes can say so to clients.

use std::{
    collections::BTreeSet,
    fs::OpenOptions,
    ops::Bound,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use bytes::Bytes;

use super::{
    disk::{sync_dir, write_file},
    format::{GROUP_ALIGN, GroupHeader, HEADER_BYTES, LogId, LoggedBatch, Op},
    index::{Index, Mark, Overlay, RESERVED},
    open,
    reclaim::dropped_key,
    recovery::{Layout, io_error, set_aside, take_directory},
    segments::{self, Found, SegmentReader},
    snapshot::{self, Manifest},
};
use crate::{
    batch::{Direction, KeyRange},
    error::{Damage, OpenError, StoreError},
    options::EmbeddedOptions,
};

/// Rows that are compared at a time.
const COMPARE_ROWS: usize = 1000;
/// Operations that are collected before they are applied.
const APPLY_OPS: usize = 10_000;

/// What was lost, as far as it can be told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecoverReport {
    /// The store opens as it is; nothing was changed.
    pub was_whole: bool,
    /// Ranges of commits (first, last) that cannot be read any more.
    pub lost: Vec<(u64, u64)>,
    /// Where the log is damaged.
    pub damage: Vec<Damage>,
    /// The accounts (first four bytes of the keys) whose rows are not what they were; `None` if that
    /// cannot be told, and every account has to be taken for touched. Kept on disk until
    /// [`crate::Store::loss_told`]: recovering again returns them again.
    pub accounts: Option<Vec<u32>>,
    /// The first commit of the new epoch.
    pub next_commit: u64,
}

/// Makes a store that refuses to open usable again, without what was lost. Blocks.
pub(crate) fn recover(dir: &Path, options: EmbeddedOptions) -> Result<RecoverReport, OpenError> {
    match open(dir, options.clone()) {
        Ok(store) => {
            return Ok(RecoverReport {
                was_whole: true,
                next_commit: store.stats().last_commit.saturating_add(1),
                accounts: read_touched(dir).map_err(io_error("cannot read what was lost"))?,
                ..RecoverReport::default()
            });
        }
        Err(OpenError::Damaged(_) | OpenError::IndexAhead { .. } | OpenError::Index { .. }) => {}
        Err(error) => return Err(error),
    }
    let (layout, _lock, log) = take_directory(dir, &options)?;
    Salvage::new(&layout, log, &options)?.run()
}

struct Salvage<'a> {
    layout: &'a Layout,
    log: LogId,
    options: &'a EmbeddedOptions,
    numbers: Vec<u32>,
    snapshots: Vec<Manifest>,
    report: RecoverReport,
    epoch: u32,
    /// The last commit that was read, or stepped over.
    last: u64,
}

impl<'a> Salvage<'a> {
    fn new(
        layout: &'a Layout,
        log: LogId,
        options: &'a EmbeddedOptions,
    ) -> Result<Self, OpenError> {
        let numbers = segments::list(&layout.log).map_err(io_error("cannot list the log"))?;
        let snapshots = snapshot::manifests(&layout.snapshots, &log)
            .map_err(io_error("cannot read the snapshots"))?;
        let report = RecoverReport::default();
        Ok(Self {
            layout,
            log,
            options,
            numbers,
            snapshots,
            report,
            epoch: 0,
            last: 0,
        })
    }

    fn run(mut self) -> Result<RecoverReport, OpenError> {
        set_aside(self.layout).map_err(io_error("cannot set the index aside"))?;
        let old = Index::open(&self.layout.lost.join("index"), self.options.cache_bytes).ok();
        let old = old.and_then(|index| match index.mark() {
            Ok(Some(mark)) if mark.log == self.log => Some((index, mark)),
            _ => None,
        });
        let (index, from) = self.load_snapshot()?;
        self.last = from;
        self.replay(&index, from, old.as_ref())?;

        let known = old.as_ref().map_or(0, |(_, mark)| mark.commit);
        let parts = self.snapshots.iter().flat_map(|manifest| &manifest.parts);
        let highest = parts
            .map(|part| part.commit)
            .max()
            .unwrap_or(0)
            .max(known)
            .max(self.last);
        if highest > self.last {
            self.report.lost.push((self.last + 1, highest));
        }
        self.epoch = self
            .epoch
            .max(old.as_ref().map_or(0, |(_, mark)| mark.epoch))
            + 1;
        self.report.next_commit = highest + 1;
        // The old index knows what was there, if it had seen everything that is lost.
        let told = self.report.lost.iter().all(|(_, last)| *last <= known);
        self.report.accounts = match &old {
            Some((old, _)) if told => Some(differences(old, &index).map_err(index_error)?),
            _ => None,
        };
        let touched = touched_text(self.report.accounts.as_deref());
        write_file(&touched_path(&self.layout.dir), touched.as_bytes())
            .map_err(io_error("cannot write down what is lost"))?;
        self.begin_epoch(&index, highest)?;
        Ok(self.report)
    }

    /// A new index with the newest snapshot that can be loaded.
    fn load_snapshot(&self) -> Result<(Index, u64), OpenError> {
        for manifest in &self.snapshots {
            let index = self.new_index()?;
            match snapshot::load(&self.layout.snapshots, &self.log, manifest, &index) {
                Ok(()) => return Ok((index, manifest.commit())),
                Err(reason) => tracing::error!(%reason, "a snapshot cannot be loaded"),
            }
            drop(index);
            std::fs::remove_dir_all(&self.layout.index)
                .map_err(io_error("cannot remove the index"))?;
        }
        Ok((self.new_index()?, 0))
    }

    fn new_index(&self) -> Result<Index, OpenError> {
        Index::open(&self.layout.index, self.options.cache_bytes)
            .map_err(|reason| OpenError::Index { reason })
    }

    /// Applies whatever can be read after `from`; to the old index what it does not know yet.
    fn replay(
        &mut self,
        index: &Index,
        from: u64,
        old: Option<&(Index, Mark)>,
    ) -> Result<(), OpenError> {
        let mut target = Target::new(index);
        let mut old_target = old.map(|(index, mark)| (Target::new(index), mark.commit));
        for number in self.numbers.clone() {
            let segment = SegmentReader::open(&self.layout.log, number, self.log)
                .map_err(io_error("cannot read the log"))?;
            let mut offset = 0;
            while let Some(group) = self.next_group(&segment, offset)? {
                offset = group.end();
                self.epoch = self.epoch.max(group.epoch);
                if group.count == 0 || group.last() <= from {
                    self.last = self.last.max(group.last().min(from));
                    continue;
                }
                let read = segment
                    .operations(&group)
                    .map_err(io_error("cannot read the log"))?;
                let batches = match read {
                    Ok(batches) => batches,
                    Err(reason) => {
                        self.lost(&segment, group.offset, reason, group.first, group.last());
                        self.last = self.last.max(group.last());
                        continue;
                    }
                };
                let expected = self.last.saturating_add(1);
                if group.first > expected && !group.begins_epoch {
                    let reason = "groups are missing before this one";
                    self.lost(&segment, group.offset, reason, expected, group.first - 1);
                }
                self.last = self.last.max(group.last());
                if let Some((old, _)) = old_target
                    .as_mut()
                    .filter(|(_, known)| group.first > *known)
                {
                    old.add(batches.clone())?;
                }
                target.add(batches)?;
            }
        }
        if let Some((mut old, _)) = old_target {
            old.apply()?;
        }
        target.apply()
    }

    fn lost(&mut self, segment: &SegmentReader, offset: u64, reason: &str, first: u64, last: u64) {
        self.report.lost.push((first, last));
        let mut damage = segment.damage(offset, reason, first.saturating_sub(1));
        damage.next_good = Some(last.saturating_add(1));
        self.report.damage.push(damage);
    }

    /// The group at an offset, or the next one behind something else.
    fn next_group(
        &mut self,
        segment: &SegmentReader,
        offset: u64,
    ) -> Result<Option<GroupHeader>, OpenError> {
        let failed = || io_error("cannot read the log");
        match segment.header(offset).map_err(failed())? {
            Found::Group(group) => Ok(Some(group)),
            Found::Nothing | Found::Other(_) => segment.find_group(offset).map_err(failed()),
        }
    }

    /// Makes the new state durable, then begins the epoch: from then on the store opens.
    fn begin_epoch(&mut self, index: &Index, highest: u64) -> Result<(), OpenError> {
        let failed = |reason| OpenError::Index { reason };
        let next = self
            .numbers
            .last()
            .map_or(1, |number| number.saturating_add(1));
        let mut rows = Overlay::new();
        for number in (1..next).filter(|number| self.numbers.binary_search(number).is_err()) {
            rows.insert(dropped_key(number).into(), Some(Bytes::from(vec![0; 8])));
        }
        index.apply(rows).map_err(failed)?;
        let mark = Mark {
            log: self.log,
            epoch: self.epoch,
            commit: highest,
        };
        index.begin_floor(mark).map_err(failed)?;
        while !index.flushed() {
            index.check().map_err(failed)?;
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let write = |before: Option<&Manifest>| {
            snapshot::write(&self.layout.snapshots, &self.log, index, before, || highest)
                .map(|(manifest, _)| manifest)
                .map_err(|error| failed(format!("cannot write a snapshot: {error:?}")))
        };
        let first = write(self.snapshots.first())?;
        let second = write(Some(&first))?;
        self.write_epoch(next, highest)
            .map_err(io_error("cannot begin the epoch"))?;
        snapshot::sweep(&self.layout.snapshots, &[&first, &second])
            .map_err(io_error("cannot remove old snapshots"))
    }

    fn write_epoch(&self, number: u32, highest: u64) -> std::io::Result<()> {
        let mut group = GroupHeader {
            log: self.log,
            epoch: self.epoch,
            segment: number,
            offset: 0,
            length: HEADER_BYTES as u64,
            first: highest.saturating_add(1),
            count: 0,
            floor: highest,
            previous: 0,
            ops_offset: HEADER_BYTES as u64,
            ops_length: 0,
            ops_crc: 0,
            body_crc: 0,
            time_ms: 0,
            clean: false,
            begins_epoch: true,
            crc: 0,
        };
        let mut head = [0; HEADER_BYTES];
        group.encode(&mut head);
        let mut bytes = head.to_vec();
        bytes.resize(GROUP_ALIGN as usize, 0);
        let path = segments::path(&self.layout.log, number);
        let file = OpenOptions::new().write(true).create_new(true).open(path)?;
        file.write_all_at(&bytes, 0)?;
        file.sync_all()?;
        sync_dir(&self.layout.log)
    }
}

fn touched_path(dir: &Path) -> PathBuf {
    dir.join("lost").join("touched-accounts")
}

/// `all`, or a number on each line.
fn touched_text(accounts: Option<&[u32]>) -> String {
    match accounts {
        None => "all\n".into(),
        Some(accounts) => accounts
            .iter()
            .map(|account| format!("{account}\n"))
            .collect(),
    }
}

/// The accounts that were touched by a loss that nobody has been told of; none if there is no such.
fn read_touched(dir: &Path) -> std::io::Result<Option<Vec<u32>>> {
    match std::fs::read_to_string(touched_path(dir)) {
        // Whatever cannot be read as a list means all.
        Ok(text) => Ok(text.lines().map(|line| line.parse().ok()).collect()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Some(Vec::new())),
        Err(error) => Err(error),
    }
}

/// Every touched account's mailboxes say so now: the list is not needed any more.
pub(crate) fn loss_told(dir: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(touched_path(dir)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => sync_dir(&dir.join("lost")),
    }
}

/// An index that operations are collected for.
struct Target<'a> {
    index: &'a Index,
    overlay: Overlay,
}

impl<'a> Target<'a> {
    fn new(index: &'a Index) -> Self {
        Self {
            index,
            overlay: Overlay::new(),
        }
    }

    fn add(&mut self, batches: Vec<LoggedBatch>) -> Result<(), OpenError> {
        for op in batches.into_iter().flat_map(|batch| batch.ops) {
            match op {
                Op::Put { key, value, .. } => drop(self.overlay.insert(key, Some(value))),
                Op::Delete { key } => drop(self.overlay.insert(key, None)),
                Op::Release { .. } => {}
            }
        }
        if self.overlay.len() >= APPLY_OPS {
            self.apply()
        } else {
            Ok(())
        }
    }

    fn apply(&mut self) -> Result<(), OpenError> {
        let overlay = std::mem::take(&mut self.overlay);
        self.index
            .apply(overlay)
            .map_err(|reason| OpenError::Index { reason })
    }
}

/// The accounts that have a row in one index that is not the same in the other.
fn differences(old: &Index, new: &Index) -> Result<Vec<u32>, StoreError> {
    let mut accounts = BTreeSet::new();
    let mut a = Rows::new(old);
    let mut b = Rows::new(new);
    let (mut x, mut y) = (a.next()?, b.next()?);
    loop {
        let (key, step_a, step_b) = match (&x, &y) {
            (None, None) => return Ok(accounts.into_iter().collect()),
            (Some((k, v)), Some((l, w))) if k == l => ((v != w).then(|| k.clone()), true, true),
            (Some((k, _)), Some((l, _))) if k > l => (Some(l.clone()), false, true),
            (Some((k, _)), _) => (Some(k.clone()), true, false),
            (None, Some((l, _))) => (Some(l.clone()), false, true),
        };
        if let Some(account) = key.as_ref().and_then(|key| key.first_chunk::<4>()) {
            accounts.insert(u32::from_be_bytes(*account));
        }
        if step_a {
            x = a.next()?;
        }
        if step_b {
            y = b.next()?;
        }
    }
}

/// The users' rows of an index, in order.
struct Rows<'a> {
    index: &'a Index,
    page: std::vec::IntoIter<(Bytes, Bytes)>,
    after: Bound<Vec<u8>>,
}

impl<'a> Rows<'a> {
    fn new(index: &'a Index) -> Self {
        Self {
            index,
            page: Vec::new().into_iter(),
            after: Bound::Unbounded,
        }
    }

    fn next(&mut self) -> Result<Option<(Bytes, Bytes)>, StoreError> {
        if self.page.len() == 0 {
            let range: KeyRange = (self.after.clone(), Bound::Excluded(RESERVED.to_vec()));
            self.page = self
                .index
                .scan(range, Direction::Ascending, COMPARE_ROWS)?
                .into_iter();
        }
        let row = self.page.next();
        if let Some((key, _)) = &row {
            self.after = Bound::Excluded(key.to_vec());
        }
        Ok(row)
    }
}

fn index_error(error: StoreError) -> OpenError {
    OpenError::Index {
        reason: error.to_string(),
    }
}
