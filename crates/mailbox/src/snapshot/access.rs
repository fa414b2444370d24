//! Rows and positions of a loaded snapshot.

use std::ops::{Bound, Range, RangeBounds};

use super::Loaded;
use crate::{
    flags::Flags,
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
    /// Whether a row with these flags passes.
    pub const fn passes(self, flags: Flags) -> bool {
        flags.contains(self.all) && !flags.intersects(self.none)
    }
}

impl Loaded {
    /// The message with this UID.
    pub fn row(&self, uid: Uid) -> Option<Row> {
        self.rank(uid).map(|rank| self.0.rows[rank as usize])
    }

    /// The position of this UID, counted from 0.
    pub fn rank(&self, uid: Uid) -> Option<u32> {
        self.0
            .rows
            .binary_search_by_key(&uid, |row| row.uid)
            .ok()
            .map(|rank| rank as u32)
    }

    /// How many messages have a smaller UID.
    pub fn lower_bound(&self, uid: Uid) -> u32 {
        self.0.rows.partition_point(|row| row.uid < uid) as u32
    }

    /// The UID at a position, counted from 0.
    pub fn uid_at(&self, rank: u32) -> Option<Uid> {
        self.0.rows.get(rank as usize).map(|row| row.uid)
    }

    /// The messages with UIDs in `range`, ascending.
    pub fn rows(&self, range: impl RangeBounds<Uid>) -> Rows<'_> {
        let start = match range.start_bound() {
            Bound::Included(uid) => self.lower_bound(*uid),
            Bound::Excluded(uid) => uid
                .checked_add(1)
                .map_or(u32::MAX, |uid| self.lower_bound(uid)),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(uid) => uid
                .checked_add(1)
                .map_or(u32::MAX, |uid| self.lower_bound(uid)),
            Bound::Excluded(uid) => self.lower_bound(*uid),
            Bound::Unbounded => u32::MAX,
        };
        self.rows_at(start..end)
    }

    /// The messages at positions in `ranks`, counted from 0.
    pub fn rows_at(&self, ranks: Range<u32>) -> Rows<'_> {
        let end = (ranks.end as usize).min(self.0.rows.len());
        let start = (ranks.start as usize).min(end);
        Rows {
            rows: self.0.rows[start..end].iter(),
        }
    }

    /// The messages in `uids`, ascending.
    pub fn rows_in<'a>(&'a self, uids: &'a UidSet) -> impl Iterator<Item = Row> + 'a {
        uids.ranges().flat_map(|range| self.rows(range))
    }

    /// The messages that pass `filter`, ascending.
    pub fn rows_with(&self, filter: FlagFilter) -> impl Iterator<Item = Row> + '_ {
        self.rows(..).filter(move |row| filter.passes(row.flags))
    }

    /// The messages changed after `modseq`, ascending (RFC 7162 §3.1.4.1).
    pub fn changed_since(&self, modseq: ModSeq) -> impl Iterator<Item = Row> + '_ {
        self.rows(..).filter(move |row| row.modseq > modseq)
    }

    /// The UID of the first message without `\Seen`.
    pub fn first_unseen(&self) -> Option<Uid> {
        let filter = FlagFilter {
            none: Flags::SEEN,
            ..FlagFilter::default()
        };
        self.rows_with(filter).next().map(|row| row.uid)
    }

    /// The UIDs of `uids` that exist.
    pub fn existing(&self, uids: &UidSet) -> UidSet {
        self.rows_in(uids).map(|row| row.uid).collect()
    }
}

/// Messages in the order of their UIDs; nothing is allocated for a row.
#[derive(Clone, Debug)]
pub struct Rows<'a> {
    rows: std::slice::Iter<'a, Row>,
}

impl Iterator for Rows<'_> {
    type Item = Row;

    fn next(&mut self) -> Option<Row> {
        self.rows.next().copied()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.rows.size_hint()
    }
}

impl ExactSizeIterator for Rows<'_> {}
