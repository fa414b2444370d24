//! Rows and positions of a loaded snapshot.

use std::ops::{Bound, Range, RangeBounds, RangeInclusive};

use super::{
    Loaded, NotLoaded, Snapshot,
    chunk::{BLANK, Chunk},
    summary::Summary,
};
use crate::{
    flags::Flags,
    seen::Seen,
    types::{ModSeq, Row, Uid},
    uid_set::UidSet,
};

/// Which flags a row must have, and which not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlagFilter {
    /// All of these.
    pub all: Flags,
    /// None of these.
    pub none: Flags,
}

impl FlagFilter {
    /// Rows that have all of these.
    pub const fn with(flags: Flags) -> Self {
        Self {
            all: flags,
            none: Flags::NONE,
        }
    }

    /// Rows that have none of these.
    pub const fn without(flags: Flags) -> Self {
        Self {
            all: Flags::NONE,
            none: flags,
        }
    }

    /// Whether a row with these flags passes.
    pub const fn passes(self, flags: Flags) -> bool {
        flags.contains(self.all) && !flags.intersects(self.none)
    }
}

/// A number that a row has: dates in seconds, sizes in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    /// The size.
    Size,
    /// The save date (RFC 8514).
    SaveDate,
    /// The internal date.
    InternalDate,
    /// The internal date on the clock of its own zone, as if that were UTC.
    LocalDate,
}

/// The place of a row: page, chunk of the page, row of the chunk.
type Place = (usize, usize, usize);

impl FlagFilter {
    /// What it says of `\Seen`, if anything: whether a row must have it. And the rest of it. None if no row
    /// can pass.
    const fn split(self) -> Option<(Option<bool>, Self)> {
        let rest = Self {
            all: self.all.without(Flags::SEEN),
            none: self.none.without(Flags::SEEN),
        };
        let (with, without) = (
            self.all.contains(Flags::SEEN),
            self.none.contains(Flags::SEEN),
        );
        match (with, without) {
            (true, true) => None,
            (true, false) => Some((Some(true), rest)),
            (false, true) => Some((Some(false), rest)),
            (false, false) => Some((None, rest)),
        }
    }
}

/// What rows are to whom the snapshot is shown.
impl Snapshot {
    /// The flags and the modseq of a row.
    #[inline]
    fn shown(&self, uid: Uid, flags: Flags, modseq: ModSeq) -> (Flags, ModSeq) {
        match &self.seen {
            None => (flags, modseq),
            Some(seen) => seen.shown(uid, flags, modseq),
        }
    }

    #[inline]
    fn shown_row(&self, row: Row) -> Row {
        let (flags, modseq) = self.shown(row.uid, row.flags, row.modseq);
        Row {
            flags,
            modseq,
            ..row
        }
    }

    /// Whether a row can pass.
    pub(super) fn can_pass(&self, summary: &Summary, filter: FlagFilter) -> bool {
        let Some(seen) = &self.seen else {
            return summary.can_pass(filter);
        };
        filter.split().is_some_and(|(wanted, rest)| {
            let (first, last) = (summary.first, summary.last);
            let can = match wanted {
                None => true,
                Some(true) => seen.uids().intersects_range(first, last),
                Some(false) => !seen.uids().contains_range(first, last),
            };
            can && summary.can_pass(rest)
        })
    }

    /// Whether every row passes.
    fn all_pass(&self, summary: &Summary, filter: FlagFilter) -> bool {
        let Some(seen) = &self.seen else {
            return summary.all_pass(filter);
        };
        filter.split().is_some_and(|(wanted, rest)| {
            let (first, last) = (summary.first, summary.last);
            let all = match wanted {
                None => true,
                Some(true) => seen.uids().contains_range(first, last),
                Some(false) => !seen.uids().intersects_range(first, last),
            };
            all && summary.all_pass(rest)
        })
    }

    /// Whether a row can have been changed after `since`.
    pub(super) fn can_change_since(&self, summary: &Summary, since: ModSeq) -> bool {
        let own = |seen: &Seen| seen.can_change_since(summary.first, summary.last, since);
        summary.modseq > since || self.seen.as_deref().is_some_and(own)
    }

    /// Whether how much of it is unseen can only be told from its rows.
    pub(super) fn must_count_unseen(&self, summary: &Summary) -> bool {
        let (first, last) = (summary.first, summary.last);
        let in_part = |seen: &Seen| {
            seen.uids().intersects_range(first, last) && !seen.uids().contains_range(first, last)
        };
        self.seen.as_deref().is_some_and(in_part)
    }

    /// Whether no message has a UID from `from` on that is below `to`; false also if that is not known.
    pub(crate) fn is_gap(&self, from: Uid, to: Uid) -> bool {
        let (from, to) = (self.try_lower_bound(from), self.try_lower_bound(to));
        from.is_ok() && from == to
    }

    /// The smallest UID.
    pub(crate) fn first_uid(&self) -> Option<Uid> {
        self.pages.first().map(|page| page.summary.first)
    }

    /// The flags of a row as the mailbox has them, `\Seen` too.
    pub(super) fn try_own_flags(&self, uid: Uid) -> Result<Option<Flags>, NotLoaded> {
        let Some((page, chunk, index)) = self.try_find(uid)? else {
            return Ok(None);
        };
        let chunk = &self.pages[page].chunks.get()?.list[chunk];
        Ok(Some(chunk.mutable.get()?.flags(index)))
    }

    /// The UIDs of `uids` that exist.
    pub(super) fn try_existing(&self, uids: &UidSet) -> Result<UidSet, NotLoaded> {
        let mut existing = UidSet::new();
        for page in self.pages.iter().filter(|page| page.summary.touches(uids)) {
            let chunks = page.chunks.get()?.list.iter();
            for chunk in chunks.filter(|chunk| chunk.summary.touches(uids)) {
                let fixed = chunk.fixed.get()?;
                for places in chunk.places(uids)? {
                    if fixed.is_dense() {
                        existing.insert_range(fixed.uid(places.start), fixed.uid(places.end - 1));
                    } else {
                        fixed.each_uid(places, |_, uid| existing.insert(uid));
                    }
                }
            }
        }
        Ok(existing)
    }
}

impl Snapshot {
    fn try_lower_bound(&self, uid: Uid) -> Result<u32, NotLoaded> {
        let at = self.pages.partition_point(|page| page.summary.last < uid);
        let Some(page) = self.pages.get(at) else {
            return Ok(self.tail.messages);
        };
        if uid <= page.summary.first {
            return Ok(self.starts[at]);
        }
        let chunks = page.chunks.get()?;
        let inner = chunks
            .list
            .partition_point(|chunk| chunk.summary.last < uid);
        let Some(chunk) = chunks.list.get(inner) else {
            return Ok(self.tail.messages);
        };
        let start = self.starts[at] + chunks.starts[inner];
        if uid <= chunk.summary.first {
            return Ok(start);
        }
        Ok(start + chunk.fixed.get()?.lower_bound(uid) as u32)
    }

    fn try_find(&self, uid: Uid) -> Result<Option<Place>, NotLoaded> {
        let page = self.pages.partition_point(|page| page.summary.last < uid);
        if self
            .pages
            .get(page)
            .is_none_or(|page| uid < page.summary.first)
        {
            return Ok(None);
        }
        let chunks = self.pages[page].chunks.get()?;
        let chunk = chunks
            .list
            .partition_point(|chunk| chunk.summary.last < uid);
        if chunks
            .list
            .get(chunk)
            .is_none_or(|chunk| uid < chunk.summary.first)
        {
            return Ok(None);
        }
        let index = chunks.list[chunk].fixed.get()?.find(uid);
        Ok(index.map(|index| (page, chunk, index)))
    }

    fn try_place(&self, rank: u32) -> Result<Option<Place>, NotLoaded> {
        if rank >= self.tail.messages {
            return Ok(None);
        }
        let page = self.starts.partition_point(|start| *start <= rank) - 1;
        let starts = &self.pages[page].chunks.get()?.starts;
        let rank = rank - self.starts[page];
        let chunk = starts.partition_point(|start| *start <= rank) - 1;
        Ok(Some((page, chunk, (rank - starts[chunk]) as usize)))
    }
}

/// The value, or a panic that says what the caller forgot.
#[inline]
fn loaded<T>(result: Result<T, NotLoaded>) -> T {
    match result {
        Ok(value) => value,
        Err(NotLoaded) => panic!("rows of a mailbox are used that were not wanted before"),
    }
}

impl Loaded {
    fn chunk(&self, page: usize, chunk: usize) -> &Chunk {
        &loaded(self.0.pages[page].chunks.get()).list[chunk]
    }

    /// The message with this UID.
    pub fn row(&self, uid: Uid) -> Option<Row> {
        let (page, chunk, index) = loaded(self.0.try_find(uid))?;
        let row = loaded(self.chunk(page, chunk).row(index));
        Some(self.0.shown_row(row))
    }

    /// Whether there is a message with this UID.
    pub fn contains(&self, uid: Uid) -> bool {
        loaded(self.0.try_find(uid)).is_some()
    }

    /// The position of this UID, counted from 0.
    pub fn rank(&self, uid: Uid) -> Option<u32> {
        let (page, chunk, index) = loaded(self.0.try_find(uid))?;
        let start = self.0.starts[page] + loaded(self.0.pages[page].chunks.get()).starts[chunk];
        Some(start + index as u32)
    }

    /// How many messages have a smaller UID.
    pub fn lower_bound(&self, uid: Uid) -> u32 {
        loaded(self.0.try_lower_bound(uid))
    }

    /// The UID at a position, counted from 0.
    pub fn uid_at(&self, rank: u32) -> Option<Uid> {
        let (page, chunk, index) = loaded(self.0.try_place(rank))?;
        Some(loaded(self.chunk(page, chunk).fixed.get()).uid(index))
    }

    /// The messages with UIDs in `range`, ascending.
    pub fn rows(&self, range: impl RangeBounds<Uid>) -> Rows<'_> {
        let after = |uid: Uid| match uid.checked_add(1) {
            Some(next) => self.lower_bound(next),
            None => self.0.tail.messages,
        };
        let start = match range.start_bound() {
            Bound::Included(uid) => self.lower_bound(*uid),
            Bound::Excluded(uid) => after(*uid),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(uid) => after(*uid),
            Bound::Excluded(uid) => self.lower_bound(*uid),
            Bound::Unbounded => self.0.tail.messages,
        };
        self.rows_at(start..end)
    }

    /// The messages at positions in `ranks`, counted from 0.
    pub fn rows_at(&self, ranks: Range<u32>) -> Rows<'_> {
        let end = ranks.end.min(self.0.tail.messages);
        let left = end.saturating_sub(ranks.start);
        let place = if left == 0 {
            None
        } else {
            loaded(self.0.try_place(ranks.start))
        };
        let (page, chunk, index) = place.unwrap_or_default();
        Rows {
            of: self,
            page,
            chunk,
            index,
            left,
            block: [BLANK; BLOCK],
            at: BLOCK,
            end: BLOCK,
        }
    }

    /// The messages in `uids`, ascending.
    pub fn rows_in<'a>(&'a self, uids: &'a UidSet) -> impl Iterator<Item = Row> + 'a {
        self.ranked_in(uids).map(|(_, row)| row)
    }

    /// The messages in `uids` with their positions, ascending.
    pub fn ranked_in<'a>(&'a self, uids: &'a UidSet) -> impl Iterator<Item = (u32, Row)> + 'a {
        let chunks = self.chunks(|summary| summary.touches(uids));
        chunks.flat_map(move |(start, chunk)| {
            let (fixed, mutable) = (loaded(chunk.fixed.get()), loaded(chunk.mutable.get()));
            let places = loaded(chunk.places(uids)).flatten();
            places.map(move |index| {
                let row = fixed.row(index, mutable.flags(index), mutable.modseq(index));
                (start + index as u32, self.0.shown_row(row))
            })
        })
    }

    /// As [`Loaded::ranked_in`], but only what STORE looks at.
    pub(crate) fn flags_in<'a>(
        &'a self,
        uids: &'a UidSet,
    ) -> impl Iterator<Item = (u32, Uid, Flags, ModSeq)> + 'a {
        let chunks = self.chunks(|summary| summary.touches(uids));
        chunks.flat_map(move |(start, chunk)| {
            let (fixed, mutable) = (loaded(chunk.fixed.get()), loaded(chunk.mutable.get()));
            let places = loaded(chunk.places(uids)).flatten();
            places.map(move |index| {
                let uid = fixed.uid(index);
                let (flags, modseq) =
                    self.0
                        .shown(uid, mutable.flags(index), mutable.modseq(index));
                (start + index as u32, uid, flags, modseq)
            })
        })
    }

    /// The messages that pass `filter`, ascending. Chunks in which none can pass are not looked at.
    pub fn rows_with(&self, filter: FlagFilter) -> impl Iterator<Item = Row> + '_ {
        let chunks = self.chunks(move |summary| self.0.can_pass(summary, filter));
        let is_shown = self.0.seen.is_some();
        chunks.flat_map(move |(_, chunk)| {
            let (fixed, mutable) = (loaded(chunk.fixed.get()), loaded(chunk.mutable.get()));
            (0..chunk.rows()).filter_map(move |index| {
                let flags = mutable.flags(index);
                if !is_shown {
                    let row = || fixed.row(index, flags, mutable.modseq(index));
                    return filter.passes(flags).then(row);
                }
                let row = self
                    .0
                    .shown_row(fixed.row(index, flags, mutable.modseq(index)));
                filter.passes(row.flags).then_some(row)
            })
        })
    }

    /// The UIDs of the messages that pass `filter`.
    pub fn uids_with(&self, filter: FlagFilter) -> UidSet {
        let Some(seen) = &self.0.seen else {
            return self.uids_among(filter, filter);
        };
        match filter.split() {
            None => UidSet::new(),
            Some((None, rest)) => self.uids_among(filter, rest),
            Some((Some(true), rest)) => self.uids_among(filter, rest).intersect(seen.uids()),
            Some((Some(false), rest)) => self.uids_among(filter, rest).difference(seen.uids()),
        }
    }

    /// The UIDs of the messages whose flags, as the mailbox has them, pass `filter`, among those chunks that
    /// can have a message which passes `among`.
    fn uids_among(&self, among: FlagFilter, filter: FlagFilter) -> UidSet {
        let mut uids = UidSet::new();
        for (_, chunk) in self.chunks(|summary| self.0.can_pass(summary, among)) {
            let fixed = loaded(chunk.fixed.get());
            let summary = &chunk.summary;
            if summary.all_pass(filter) && fixed.is_dense() {
                uids.insert_range(summary.first, summary.last);
                continue;
            }
            let mutable = loaded(chunk.mutable.get());
            let passes: Vec<bool> = mutable
                .words()
                .iter()
                .map(|flags| filter.passes(*flags))
                .collect();
            mutable.each_word(0..chunk.rows(), |index, word| {
                if passes[word] {
                    uids.insert(fixed.uid(index));
                }
            });
        }
        uids
    }

    /// The UIDs of the messages whose flags pass `passes`, among those chunks that can have a message which passes
    /// `filter`.
    pub fn uids_where(&self, filter: FlagFilter, passes: impl Fn(Flags) -> bool) -> UidSet {
        let mut uids = UidSet::new();
        for (_, chunk) in self.chunks(|summary| self.0.can_pass(summary, filter)) {
            let (fixed, mutable) = (loaded(chunk.fixed.get()), loaded(chunk.mutable.get()));
            if let Some(seen) = &self.0.seen {
                let words = mutable.words().iter();
                let passes: Vec<(bool, bool)> = words
                    .map(|flags| {
                        let seen = passes(*flags | Flags::SEEN);
                        (seen, passes(flags.without(Flags::SEEN)))
                    })
                    .collect();
                mutable.each_word(0..chunk.rows(), |index, word| {
                    let uid = fixed.uid(index);
                    let (if_seen, if_not) = passes[word];
                    if if_seen == if_not && if_seen
                        || if_seen != if_not && if_seen == seen.uids().contains(uid)
                    {
                        uids.insert(uid);
                    }
                });
                continue;
            }
            let passes: Vec<bool> = mutable.words().iter().map(|flags| passes(*flags)).collect();
            // Words that no row has any more may be there still.
            if passes.iter().all(|passes| *passes) && fixed.is_dense() {
                uids.insert_range(chunk.summary.first, chunk.summary.last);
            } else if passes.contains(&true) {
                mutable.each_word(0..chunk.rows(), |index, word| {
                    if passes[word] {
                        uids.insert(fixed.uid(index));
                    }
                });
            }
        }
        uids
    }

    /// The UIDs of the messages whose number lies in `range`, among those chunks that can have a message which passes
    /// `filter`.
    pub fn uids_between(
        &self,
        filter: FlagFilter,
        number: Number,
        range: &RangeInclusive<i64>,
    ) -> UidSet {
        let mut uids = UidSet::new();
        for (_, chunk) in self.chunks(|summary| self.0.can_pass(summary, filter)) {
            let fixed = loaded(chunk.fixed.get());
            fixed.places_in(number, range, |places| {
                if fixed.is_dense() {
                    uids.insert_range(fixed.uid(places.start), fixed.uid(places.end - 1));
                } else {
                    fixed.each_uid(places, |_, uid| uids.insert(uid));
                }
            });
        }
        uids
    }

    /// How many messages pass `filter`.
    pub fn count_with(&self, filter: FlagFilter) -> u32 {
        let mut count = 0;
        for (_, chunk) in self.chunks(|summary| self.0.can_pass(summary, filter)) {
            if self.0.all_pass(&chunk.summary, filter) {
                count += chunk.summary.rows;
                continue;
            }
            if self.0.seen.is_some() {
                let (fixed, mutable) = (loaded(chunk.fixed.get()), loaded(chunk.mutable.get()));
                let passes = |index: &usize| {
                    let flags = mutable.flags(*index);
                    let (flags, _) = self.0.shown(fixed.uid(*index), flags, ModSeq::ZERO);
                    filter.passes(flags)
                };
                count += (0..chunk.rows()).filter(passes).count() as u32;
                continue;
            }
            let mutable = loaded(chunk.mutable.get());
            let passes: Vec<u32> = mutable
                .words()
                .iter()
                .map(|flags| u32::from(filter.passes(*flags)))
                .collect();
            mutable.each_word(0..chunk.rows(), |_, word| count += passes[word]);
        }
        count
    }

    /// The messages changed after `modseq`, ascending (RFC 7162 §3.1.4.1). Chunks without any are not
    /// looked at.
    pub fn changed_since(&self, modseq: ModSeq) -> impl Iterator<Item = Row> + '_ {
        let chunks = self.chunks(move |summary| self.0.can_change_since(summary, modseq));
        let is_shown = self.0.seen.is_some();
        chunks.flat_map(move |(_, chunk)| {
            let (fixed, mutable) = (loaded(chunk.fixed.get()), loaded(chunk.mutable.get()));
            (0..chunk.rows()).filter_map(move |index| {
                let changed = mutable.modseq(index);
                if !is_shown {
                    let row = || fixed.row(index, mutable.flags(index), changed);
                    return (changed > modseq).then(row);
                }
                let row = self
                    .0
                    .shown_row(fixed.row(index, mutable.flags(index), changed));
                (row.modseq > modseq).then_some(row)
            })
        })
    }

    /// The UID of the first message without `\Seen`.
    pub fn first_unseen(&self) -> Option<Uid> {
        self.rows_with(FlagFilter::without(Flags::SEEN))
            .next()
            .map(|row| row.uid)
    }

    /// How many messages are without `\Seen`. Needs [`Wanted::Unseen`](super::Wanted::Unseen).
    pub fn unseen(&self) -> u32 {
        let Some(seen) = &self.0.seen else {
            return self.0.tail.unseen;
        };
        let mut unseen = self.0.tail.messages;
        for range in seen.uids().ranges() {
            let end = match range.end().checked_add(1) {
                Some(next) => self.lower_bound(next),
                None => self.0.tail.messages,
            };
            unseen -= end - self.lower_bound(*range.start());
        }
        unseen
    }

    /// The UIDs of `uids` that exist.
    pub fn existing(&self, uids: &UidSet) -> UidSet {
        loaded(self.0.try_existing(uids))
    }

    /// The UIDs of all messages.
    pub fn uids(&self) -> UidSet {
        self.existing(&UidSet::all())
    }

    /// The chunks that can have what is looked for, and the positions at which they begin.
    fn chunks<'a>(
        &'a self,
        can: impl Fn(&Summary) -> bool + Copy + 'a,
    ) -> impl Iterator<Item = (u32, &'a Chunk)> + 'a {
        let pages = self.0.pages.iter().zip(&self.0.starts);
        let pages = pages.filter(move |(page, _)| can(&page.summary));
        pages.flat_map(move |(page, start)| {
            let chunks = loaded(page.chunks.get());
            let with_start = chunks.list.iter().zip(&chunks.starts);
            let wanted = with_start.filter(move |(chunk, _)| can(&chunk.summary));
            wanted.map(move |(chunk, inner)| (start + inner, &**chunk))
        })
    }
}

/// How many rows are read from their columns at once.
const BLOCK: usize = 16;

/// Messages in the order of their UIDs; nothing is allocated for a row.
#[derive(Clone, Debug)]
pub struct Rows<'a> {
    of: &'a Loaded,
    /// The place of the next row that is not in the block.
    page: usize,
    chunk: usize,
    index: usize,
    /// How many rows from there on.
    left: u32,
    block: [Row; BLOCK],
    /// The rows of the block that are still to come.
    at: usize,
    end: usize,
}

impl Rows<'_> {
    fn refill(&mut self) {
        let chunks = &loaded(self.of.0.pages[self.page].chunks.get()).list;
        let chunk = &chunks[self.chunk];
        let rows = BLOCK.min(chunk.rows() - self.index).min(self.left as usize);
        loaded(chunk.fixed.get()).fill(self.index, &mut self.block[..rows]);
        loaded(chunk.mutable.get()).fill(self.index, &mut self.block[..rows]);
        if self.of.0.seen.is_some() {
            for row in &mut self.block[..rows] {
                *row = self.of.0.shown_row(*row);
            }
        }
        (self.at, self.end) = (0, rows);
        self.left -= rows as u32;
        self.index += rows;
        if self.index == chunk.rows() {
            (self.index, self.chunk) = (0, self.chunk + 1);
        }
        if self.chunk == chunks.len() {
            (self.chunk, self.page) = (0, self.page + 1);
        }
    }
}

impl Iterator for Rows<'_> {
    type Item = Row;

    #[inline]
    fn next(&mut self) -> Option<Row> {
        if self.at == self.end {
            if self.left == 0 {
                return None;
            }
            self.refill();
        }
        let row = self.block[self.at];
        self.at += 1;
        Some(row)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.left as usize + (self.end - self.at);
        (left, Some(left))
    }
}

impl ExactSizeIterator for Rows<'_> {}
