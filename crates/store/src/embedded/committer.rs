//! The committer: the one thread that writes. It turns what waits into groups, makes each durable
//! with one sync, applies it to the index and answers.

use std::{
    fs::{File, OpenOptions},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;

use super::{
    Shared,
    disk::{is_full, sync_dir},
    format::{
        self, BlobHeader, GROUP_ALIGN, GroupHeader, HEADER_BYTES, align_up, block_crcs,
        segment_reference,
    },
    index::{Index, Mark, Overlay},
    queue::{Answer, Pending, RollAnswer, Sealed, Work},
    reclaim::OWN_TURN,
    segments,
};
use crate::{
    batch::{Batch, CommitNumber},
    blob::{BlobKind, BlobRef},
    error::{CommitError, StoreError},
};

/// How often a floor in the making is looked at while nothing else happens.
const FLOOR_POLL: Duration = Duration::from_millis(20);

/// A small group that goes where nothing was written before takes so many zeros with it. Blocks that
/// are allocated but were never written cost every sync a change of the file system's own journal;
/// this way only one group in many pays for it. Nobody sees the zeros: they are where zeros are.
const ZEROS_AHEAD: u64 = 256 << 10;
/// What a small group is: a larger one has use for the bandwidth itself.
const SMALL_GROUP_BYTES: u64 = 64 << 10;

/// Where the log goes on.
#[derive(Clone, Debug)]
pub(crate) struct Position {
    pub(crate) epoch: u32,
    pub(crate) begins_epoch: bool,
    pub(crate) segment_next: u32,
    pub(crate) commit_next: u64,
    pub(crate) previous: u32,
    /// Bytes of operations that were replayed: in the index, but above the floor.
    pub(crate) ops_since_floor: u64,
}

#[derive(Debug)]
pub(crate) struct Committer {
    shared: Arc<Shared>,
    index: Index,
    position: Position,
    segment: Option<Active>,
    unfloored_since: Option<Instant>,
    /// The commit whose floor is in the making.
    floor_pending: Option<u64>,
    /// Somebody waits for the floor: the next one begins as soon as it can.
    floor_wanted: bool,
    buffer: Vec<u8>,
    ops: Vec<u8>,
}

/// The segment in use.
#[derive(Debug)]
struct Active {
    number: u32,
    file: File,
    offset: u64,
    length: u64,
    /// Blocks below were written before.
    written: u64,
}

/// A group in the making.
#[derive(Debug, Default)]
struct Group {
    overlay: Overlay,
    accepted: Vec<Accepted>,
    rejected: Vec<(Answer, CommitError)>,
}

#[derive(Debug)]
struct Accepted {
    answer: Answer,
    references: Vec<BlobRef>,
    batch: Batch,
}

/// Why a group was not written.
enum WriteError {
    /// Nothing of it is there.
    Definite(CommitError),
    /// It may be there; nothing may be written after it.
    Fatal(Arc<str>),
}

impl Committer {
    pub(crate) fn new(shared: Arc<Shared>, index: Index, position: Position) -> Self {
        let unfloored_since = (position.ops_since_floor > 0).then(Instant::now);
        Self {
            shared,
            index,
            position,
            segment: None,
            unfloored_since,
            floor_pending: None,
            floor_wanted: false,
            buffer: Vec::new(),
            ops: Vec::new(),
        }
    }

    /// Works until the store is closed or has failed. A panic, which would be our own mistake, is a
    /// failure of the store: nobody waits for ever.
    pub(crate) fn run_guarded(self) {
        let shared = self.shared.clone();
        if catch_unwind(AssertUnwindSafe(|| self.run())).is_err() {
            shared.fail("the committer has panicked".into());
        }
    }

    fn run(mut self) {
        loop {
            match self.shared.queue.next(self.deadline()) {
                Work::Group(pending) => self.group(pending),
                Work::Roll(answer) => self.roll(answer),
                Work::Timeout => {}
                Work::Close => break self.close(),
                Work::Abandon => break,
            }
            if self.shared.has_failed() {
                break;
            }
            self.floor();
        }
    }

    /// When to look at the floor, if nothing else happens.
    fn deadline(&self) -> Option<Instant> {
        if self.floor_pending.is_some() {
            return Some(Instant::now() + FLOOR_POLL);
        }
        self.unfloored_since
            .map(|since| since + self.shared.options.floor_interval)
    }

    fn group(&mut self, pending: Vec<Pending>) {
        self.throttle();
        let bound = bound(&pending);
        if let Err(error) = self.make_room(bound) {
            return self.refuse_all(pending, error);
        }
        let mut group = Group::default();
        self.buffer.clear();
        self.buffer.resize(HEADER_BYTES, 0);
        self.ops.clear();
        for Pending { batch, answer } in pending {
            match self.judge(&group.overlay, &batch) {
                Ok(()) => self.accept(&mut group, batch, answer),
                Err(error) => group.rejected.push((answer, error)),
            }
        }
        if group.accepted.is_empty() {
            return self.answer_rejected(group.rejected);
        }
        match self.write(group.accepted.len() as u32, false) {
            Ok(()) => self.apply(group),
            Err(WriteError::Definite(error)) => {
                let answers = group.accepted.into_iter().map(|accepted| accepted.answer);
                for answer in answers.chain(group.rejected.into_iter().map(|(answer, _)| answer)) {
                    let _ = answer.send(Err(error.clone()));
                }
            }
            Err(WriteError::Fatal(reason)) => self.unknown(group, reason),
        }
    }

    fn refuse_all(&mut self, pending: Vec<Pending>, error: WriteError) {
        let error = match error {
            WriteError::Definite(error) => error,
            WriteError::Fatal(reason) => {
                self.shared.fail(reason.clone());
                CommitError::Refused { reason }
            }
        };
        for pending in pending {
            let _ = pending.answer.send(Err(error.clone()));
        }
    }

    /// Whether a batch's conditions hold after everything accepted before it.
    fn judge(&self, overlay: &Overlay, batch: &Batch) -> Result<(), CommitError> {
        let read = |key: &[u8]| match overlay.get(key) {
            Some(value) => Ok(value.clone()),
            None => self.shared.get(key).map_err(|error| refused(&error)),
        };
        for key in &batch.require_absent {
            if let Some(current) = read(key)? {
                return Err(CommitError::Conflict {
                    key: key.clone(),
                    current: Some(current),
                });
            }
        }
        for (key, value) in &batch.require_equal {
            let current = read(key)?;
            if current.as_ref() != Some(value) {
                return Err(CommitError::Conflict {
                    key: key.clone(),
                    current,
                });
            }
        }
        let reserve = self.shared.options.reserve_bytes;
        // What gives space back may take of the reserve.
        let gives_back = batch.blobs.is_empty() || batch.turn == OWN_TURN;
        let wanted = if gives_back { reserve / 4 } else { reserve };
        let free = self.shared.space.free(&self.shared.dir);
        if free < wanted {
            let reason = format!("{free} bytes are free, {wanted} are kept in reserve");
            return Err(CommitError::Full {
                reason: reason.into(),
            });
        }
        Ok(())
    }

    /// Writes a batch's blobs and operations into the group.
    fn accept(&mut self, group: &mut Group, batch: Batch, answer: Answer) {
        let at = format::begin_batch(&mut self.ops, batch.turn);
        let mut references = vec![None; batch.blobs.len()];
        for key in &batch.delete {
            format::encode_delete(&mut self.ops, key);
            group.overlay.insert(Bytes::copy_from_slice(key), None);
        }
        for put in &batch.put {
            let mut value = put.value.clone();
            let mut blob = None;
            if let Some((index, offset)) = put.blob {
                let (reference, check) = self.place(&batch, index, offset);
                references[index] = Some(reference);
                let mut patched = value.to_vec();
                patched[offset..offset + BlobRef::BYTES].copy_from_slice(&reference.to_bytes());
                value = patched.into();
                blob = Some((offset as u32, check));
            }
            format::encode_put(&mut self.ops, &put.key, &value, blob);
            group
                .overlay
                .insert(Bytes::copy_from_slice(&put.key), Some(value));
        }
        for blob in &batch.release {
            format::encode_release(&mut self.ops, blob);
        }
        let count = batch.delete.len() + batch.put.len() + batch.release.len();
        format::end_batch(&mut self.ops, at, count as u32);
        let references = references.into_iter().flatten().collect();
        group.accepted.push(Accepted {
            answer,
            references,
            batch,
        });
    }

    /// Writes a blob into the group, unless it has a file; returns its reference and the checksum
    /// of its header.
    fn place(&mut self, batch: &Batch, index: usize, offset: usize) -> (BlobRef, u32) {
        let staged = &batch.blobs[index];
        if let Some((id, check)) = staged.file() {
            let reference = BlobRef {
                kind: BlobKind::File,
                codec: 0,
                segment: 0,
                offset: id,
                length: staged.len(),
            };
            return (reference, check);
        }
        let bytes = staged.bytes().map_or(&[][..], |bytes| bytes);
        self.buffer
            .resize(align_up(self.buffer.len() as u64, 8) as usize, 0);
        let (number, start) = self
            .segment
            .as_ref()
            .map_or((0, 0), |segment| (segment.number, segment.offset));
        let at = start + self.buffer.len() as u64;
        let header = BlobHeader {
            owner: staged.owner().to_vec(),
            reference_offset: offset as u32,
            length: bytes.len() as u64,
            blocks: block_crcs(bytes),
        };
        let check = header.encode(&mut self.buffer);
        self.buffer.extend_from_slice(bytes);
        (segment_reference(number, at, bytes.len() as u64), check)
    }

    /// Writes the group that is in the buffers, durably.
    fn write(&mut self, count: u32, clean: bool) -> Result<(), WriteError> {
        let shared = &self.shared;
        let Some(segment) = &mut self.segment else {
            return Err(WriteError::Fatal("no segment to write to".into()));
        };
        let ops_offset = self.buffer.len() as u64;
        self.buffer.extend_from_slice(&self.ops);
        let length = self.buffer.len() as u64;
        let mut header = GroupHeader {
            log: shared.log,
            epoch: self.position.epoch,
            segment: segment.number,
            offset: segment.offset,
            length,
            first: self.position.commit_next,
            count,
            floor: shared.floor.load(Relaxed),
            previous: self.position.previous,
            ops_offset,
            ops_length: self.ops.len() as u64,
            ops_crc: crc32c::crc32c(&self.ops),
            body_crc: crc32c::crc32c(&self.buffer[HEADER_BYTES..]),
            time_ms: now_ms(),
            clean,
            begins_epoch: self.position.begins_epoch,
            crc: 0,
        };
        let mut head = [0; HEADER_BYTES];
        header.encode(&mut head);
        self.buffer[..HEADER_BYTES].copy_from_slice(&head);
        let padded = align_up(length, GROUP_ALIGN);
        let end = segment.offset + padded;
        let mut ahead = 0;
        if end > segment.written {
            if padded <= SMALL_GROUP_BYTES {
                ahead = ZEROS_AHEAD.min(segment.length.saturating_sub(end));
            }
            segment.written = end + ahead;
        }
        self.buffer.resize((padded + ahead) as usize, 0);

        if let Err(error) = shared
            .disk
            .write_all_at(&segment.file, &self.buffer, segment.offset)
        {
            return Err(self.cut_back(&error));
        }
        if let Err(error) = shared.disk.sync_data(&segment.file) {
            return Err(WriteError::Fatal(
                format!("cannot sync the log: {error}").into(),
            ));
        }
        segment.offset = end;
        self.position.commit_next += u64::from(count);
        self.position.previous = header.crc;
        self.position.begins_epoch = false;
        self.position.ops_since_floor += self.ops.len() as u64;
        // Once more in the index's journal, and again in its tables.
        shared.space.spend(2 * self.ops.len() as u64);
        shared.counters.groups.fetch_add(1, Relaxed);
        shared.counters.log_bytes.fetch_add(padded, Relaxed);
        shared.counters.group_bytes.fetch_add(length, Relaxed);
        // One huge batch must not keep its memory for ever.
        self.buffer.shrink_to(8 << 20);
        self.ops.shrink_to(8 << 20);
        Ok(())
    }

    /// After a write that failed: makes sure that nothing of it is there. The segment is sealed.
    fn cut_back(&mut self, error: &io::Error) -> WriteError {
        let reason: Arc<str> = format!("cannot write to the log: {error}").into();
        let Some(segment) = self.segment.take() else {
            return WriteError::Fatal(reason);
        };
        if let Err(second) = self.seal(&segment) {
            return WriteError::Fatal(format!("{reason}, nor cut it back: {second}").into());
        }
        self.shared
            .counters
            .segment
            .store(self.position.segment_next, Relaxed);
        if is_full(error) {
            self.shared.space.forget();
            return WriteError::Definite(CommitError::Full { reason });
        }
        self.shared.fail(reason.clone());
        WriteError::Definite(CommitError::Refused { reason })
    }

    /// Ends a segment behind its last group, for good. An empty one is removed.
    fn seal(&mut self, segment: &Active) -> io::Result<()> {
        let shared = &self.shared;
        shared.disk.truncate(&segment.file, segment.offset)?;
        shared.disk.sync_all(&segment.file)?;
        if segment.offset == 0 {
            std::fs::remove_file(segments::path(shared.segments.dir(), segment.number))?;
            sync_dir(shared.segments.dir())?;
            self.position.segment_next = segment.number;
        }
        Ok(())
    }

    /// Sees to it that a group of so many bytes fits into the segment in use.
    fn make_room(&mut self, bytes: u64) -> Result<(), WriteError> {
        let wanted = align_up(bytes.max(self.shared.options.segment_bytes), GROUP_ALIGN);
        match &mut self.segment {
            Some(segment) if segment.offset.saturating_add(bytes) <= segment.length => {
                return Ok(());
            }
            Some(segment) if segment.offset == 0 => {
                // Still empty, and too small for this one group.
                self.shared
                    .disk
                    .allocate(&segment.file, wanted)
                    .map_err(allocate_error)?;
                segment.length = wanted;
                return Ok(());
            }
            _ => {}
        }
        let number = self.position.segment_next;
        let path = segments::path(self.shared.segments.dir(), number);
        let file = self.allocate(&path, wanted).map_err(|error| {
            // A file that was never written to; if it stays, recovery removes it.
            let _ = std::fs::remove_file(&path);
            allocate_error(error)
        })?;
        self.position.segment_next = number.saturating_add(1);
        let old = self.segment.replace(Active {
            number,
            file,
            offset: 0,
            length: wanted,
            written: 0,
        });
        if let Some(Err(error)) = old.map(|old| self.seal(&old)) {
            return Err(WriteError::Fatal(
                format!("cannot seal a segment: {error}").into(),
            ));
        }
        self.shared.counters.segment.store(number, Relaxed);
        Ok(())
    }

    fn allocate(&self, path: &std::path::Path, length: u64) -> io::Result<File> {
        let shared = &self.shared;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)?;
        shared.disk.allocate(&file, length)?;
        shared.space.spend(length);
        shared.disk.sync_all(&file)?;
        sync_dir(shared.segments.dir())?;
        Ok(file)
    }

    /// Applies a durable group to the index and answers everybody.
    fn apply(&mut self, mut group: Group) {
        let overlay = std::mem::take(&mut group.overlay);
        if let Err(reason) = self.index.apply(overlay) {
            return self.unknown(group, format!("cannot apply to the index: {reason}").into());
        }
        self.unfloored_since.get_or_insert_with(Instant::now);
        let counters = &self.shared.counters;
        counters
            .batches
            .fetch_add(group.accepted.len() as u64, Relaxed);
        let last = self.position.commit_next - 1;
        counters.last_commit.store(last, Relaxed);
        let first = self.position.commit_next - group.accepted.len() as u64;
        for (number, accepted) in (first..).zip(group.accepted) {
            self.shared
                .note_blobs(&accepted.batch, &accepted.references);
            let _ = accepted.answer.send(Ok(CommitNumber(number)));
        }
        self.answer_rejected(group.rejected);
    }

    fn answer_rejected(&self, rejected: Vec<(Answer, CommitError)>) {
        for (answer, error) in rejected {
            if matches!(error, CommitError::Conflict { .. }) {
                self.shared.counters.conflicts.fetch_add(1, Relaxed);
            }
            let _ = answer.send(Err(error));
        }
    }

    /// The group may be on the disk or not: nothing may come after it.
    fn unknown(&self, group: Group, reason: Arc<str>) {
        self.shared.fail(reason.clone());
        for accepted in group.accepted {
            accepted.batch.blobs.iter().for_each(|staged| staged.keep());
            let _ = accepted.answer.send(Err(CommitError::Unknown {
                reason: reason.clone(),
            }));
        }
        for (answer, _) in group.rejected {
            let _ = answer.send(Err(CommitError::Refused {
                reason: reason.clone(),
            }));
        }
    }

    /// Waits before the log if the index lags, so that the library never puts us to sleep.
    fn throttle(&self) {
        if !self.index.lags() {
            return;
        }
        self.shared.counters.throttled.fetch_add(1, Relaxed);
        while self.index.lags() && self.index.check().is_ok() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Raises the floor when it is time.
    fn floor(&mut self) {
        if let Some(commit) = self.floor_pending {
            if self.index.flushed() {
                self.shared.floor.store(commit, Relaxed);
                self.floor_pending = None;
            } else if let Err(reason) = self.index.check() {
                self.shared
                    .fail(format!("the index cannot be synced: {reason}").into());
            }
            return;
        }
        let options = &self.shared.options;
        let due = self.floor_wanted
            || self.position.ops_since_floor >= options.floor_bytes
            || self
                .unfloored_since
                .is_some_and(|since| since.elapsed() >= options.floor_interval);
        if due {
            self.begin_floor();
        }
    }

    fn begin_floor(&mut self) {
        let commit = self.position.commit_next - 1;
        let mark = Mark {
            log: self.shared.log,
            epoch: self.position.epoch,
            commit,
        };
        self.unfloored_since = None;
        self.floor_wanted = false;
        self.position.ops_since_floor = 0;
        match self.index.begin_floor(mark) {
            Ok(()) => self.floor_pending = Some(commit),
            Err(reason) => self.shared.fail(format!("the index: {reason}").into()),
        }
    }

    /// Seals the segment in use; says the number of the last one that is sealed.
    fn roll(&mut self, answer: RollAnswer) {
        if let Some(Err(error)) = self.segment.take().map(|segment| self.seal(&segment)) {
            let reason: Arc<str> = format!("cannot seal a segment: {error}").into();
            self.shared.fail(reason.clone());
            let _ = answer.send(Err(CommitError::Refused { reason }));
            return;
        }
        self.floor_wanted = self.unfloored_since.is_some() || self.floor_pending.is_some();
        let next = self.position.segment_next;
        self.shared.counters.segment.store(next, Relaxed);
        let sealed = Sealed {
            segment: next - 1,
            commit: self.position.commit_next - 1,
        };
        let _ = answer.send(Ok(sealed));
    }

    /// Ends the log in good order: index synced, a last group that says so, the segment sealed.
    fn close(&mut self) {
        if self.floor_pending.is_none() && self.unfloored_since.is_some() {
            self.begin_floor();
        }
        while self.floor_pending.is_some() && !self.shared.has_failed() {
            self.floor();
            if self.floor_pending.is_some() {
                std::thread::sleep(Duration::from_millis(1));
            } else if self.unfloored_since.is_some() {
                self.begin_floor();
            }
        }
        let last = self.position.commit_next - 1;
        let wrote = self
            .segment
            .as_ref()
            .is_some_and(|segment| segment.offset > 0);
        if self.shared.has_failed() || !wrote || self.shared.floor.load(Relaxed) != last {
            return;
        }
        self.buffer.clear();
        self.buffer.resize(HEADER_BYTES, 0);
        self.ops.clear();
        let written = self
            .make_room(GROUP_ALIGN)
            .and_then(|()| self.write(0, true));
        // Without it the next start only has more to check.
        if written.is_ok()
            && let Some(segment) = self.segment.take()
        {
            let _ = self.seal(&segment);
        }
    }
}

/// The most bytes that a group of these batches can have.
fn bound(pending: &[Pending]) -> u64 {
    let batch_bytes = |pending: &Pending| {
        let batch = &pending.batch;
        let blobs: u64 = batch
            .blobs
            .iter()
            .map(|blob| {
                let length = blob.bytes().map_or(0, |bytes| bytes.len() as u64);
                BlobHeader::bytes(blob.owner().len(), length) + length + 8
            })
            .sum();
        let ops = batch.put.len() * 15 + batch.delete.len() * 3 + batch.release.len() * 25 + 8;
        blobs + ops as u64 + batch.op_bytes() as u64
    };
    let bytes: u64 = pending.iter().map(batch_bytes).sum();
    align_up(bytes + HEADER_BYTES as u64, GROUP_ALIGN)
}

fn allocate_error(error: io::Error) -> WriteError {
    let reason: Arc<str> = format!("cannot allocate a segment: {error}").into();
    if is_full(&error) {
        WriteError::Definite(CommitError::Full { reason })
    } else {
        WriteError::Fatal(reason)
    }
}

fn refused(error: &StoreError) -> CommitError {
    let mut reason = error.to_string();
    if let Some(source) = std::error::Error::source(error) {
        reason = format!("{reason}: {source}");
    }
    CommitError::Refused {
        reason: reason.into(),
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}
