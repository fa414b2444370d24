//! Sets of UIDs.

use std::{fmt, ops::RangeInclusive};

use crate::{
    codec::{DecodeError, Decoded, Reader, put_varint},
    types::Uid,
};

/// A set of UIDs as ascending ranges that neither overlap nor touch. `1:4294967295` is one range.
/// Every operation is linear in ranges or logarithmic.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct UidSet {
    /// First and last, both inside.
    ranges: Vec<(u32, u32)>,
}

impl UidSet {
    /// The empty set.
    pub const fn new() -> Self {
        Self { ranges: Vec::new() }
    }

    /// Every UID that there can be.
    pub fn all() -> Self {
        Self::from_range(Uid::MIN, Uid::MAX)
    }

    /// The UIDs from `first` to `last`; none if `last` is smaller.
    pub fn from_range(first: Uid, last: Uid) -> Self {
        let range = (first.get(), last.get());
        Self {
            ranges: (range.0 <= range.1).then_some(range).into_iter().collect(),
        }
    }

    /// Ranges in any order, overlapping or not, each in either direction (RFC 9051 §9, `seq-range`).
    pub fn from_unsorted(ranges: impl IntoIterator<Item = (Uid, Uid)>) -> Self {
        let ordered = |(a, b): (Uid, Uid)| (a.min(b).get(), a.max(b).get());
        let mut all: Vec<_> = ranges.into_iter().map(ordered).collect();
        all.sort_unstable();
        let mut set = Self::new();
        for (first, last) in all {
            set.push_range(first, last);
        }
        set
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// How many UIDs are in it.
    pub fn len(&self) -> u64 {
        self.ranges
            .iter()
            .map(|(first, last)| u64::from(last - first) + 1)
            .sum()
    }

    /// Whether `uid` is in it.
    pub fn contains(&self, uid: Uid) -> bool {
        let uid = uid.get();
        let at = self.ranges.partition_point(|range| range.1 < uid);
        self.ranges.get(at).is_some_and(|range| range.0 <= uid)
    }

    /// Whether any UID from `first` to `last` is in it.
    pub fn intersects_range(&self, first: Uid, last: Uid) -> bool {
        let at = self.ranges.partition_point(|range| range.1 < first.get());
        self.ranges
            .get(at)
            .is_some_and(|range| range.0 <= last.get())
    }

    /// Whether all UIDs from `first` to `last` are in it.
    pub fn contains_range(&self, first: Uid, last: Uid) -> bool {
        let at = self.ranges.partition_point(|range| range.1 < first.get());
        let holds = |range: &(u32, u32)| range.0 <= first.get() && last.get() <= range.1;
        self.ranges.get(at).is_some_and(holds)
    }

    /// The smallest.
    pub fn first(&self) -> Option<Uid> {
        self.ranges.first().and_then(|range| Uid::new(range.0))
    }

    /// The largest.
    pub fn last(&self) -> Option<Uid> {
        self.ranges.last().and_then(|range| Uid::new(range.1))
    }

    /// The ranges, ascending; neither overlapping nor touching.
    pub fn ranges(
        &self,
    ) -> impl DoubleEndedIterator<Item = RangeInclusive<Uid>> + ExactSizeIterator {
        self.ranges
            .iter()
            .map(|&(first, last)| uid(first)..=uid(last))
    }

    /// The parts of the ranges that lie from `first` to `last`.
    pub(crate) fn ranges_within(
        &self,
        first: Uid,
        last: Uid,
    ) -> impl Iterator<Item = (Uid, Uid)> + '_ {
        let at = self.ranges.partition_point(|range| range.1 < first.get());
        let within = self.ranges[at..]
            .iter()
            .take_while(move |range| range.0 <= last.get());
        within.map(move |range| (uid(range.0).max(first), uid(range.1).min(last)))
    }

    /// How many ranges it takes to write it.
    pub fn range_count(&self) -> usize {
        self.ranges.len()
    }

    /// All UIDs, ascending. `1:*` has four thousand million: look at [`UidSet::len`] first.
    pub fn iter(&self) -> impl Iterator<Item = Uid> {
        self.ranges
            .iter()
            .flat_map(|&(first, last)| (first..=last).map(uid))
    }

    /// The UIDs at these positions, counted from 0; the end is not included.
    pub fn slice(&self, positions: std::ops::Range<u64>) -> Self {
        let mut slice = Self::new();
        let mut at = 0;
        for &(first, last) in &self.ranges {
            let length = u64::from(last - first) + 1;
            let from = positions.start.saturating_sub(at).min(length);
            let to = positions.end.saturating_sub(at).min(length);
            if from < to {
                // Both are below the length of a range of 32-bit numbers.
                slice
                    .ranges
                    .push((first + from as u32, first + (to - 1) as u32));
            }
            at += length;
            if at >= positions.end {
                break;
            }
        }
        slice
    }

    /// Adds one. Constant time if it is larger than all others.
    pub fn insert(&mut self, uid: Uid) {
        self.insert_range(uid, uid);
    }

    /// Adds the UIDs from `first` to `last`. Constant time if they are larger than all others.
    pub fn insert_range(&mut self, first: Uid, last: Uid) {
        let (mut first, mut last) = (first.get(), last.get());
        if first > last {
            return;
        }
        if self.ranges.last().is_none_or(|range| range.0 <= first) {
            return self.push_range(first, last);
        }
        let start = self.ranges.partition_point(|range| range.1 < first - 1);
        let end = self
            .ranges
            .partition_point(|range| range.0 <= last.saturating_add(1));
        if start < end {
            first = first.min(self.ranges[start].0);
            last = last.max(self.ranges[end - 1].1);
        }
        self.ranges.splice(start..end, [(first, last)]);
    }

    /// Those in either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let mut set = Self {
            ranges: Vec::with_capacity(self.ranges.len() + other.ranges.len()),
        };
        let (mut left, mut right) = (&self.ranges[..], &other.ranges[..]);
        loop {
            let next = match (left.first(), right.first()) {
                (Some(a), Some(b)) if a.0 <= b.0 => &mut left,
                (_, Some(_)) => &mut right,
                (Some(_), None) => &mut left,
                (None, None) => return set,
            };
            set.push_range(next[0].0, next[0].1);
            *next = &next[1..];
        }
    }

    /// Those in both.
    #[must_use]
    pub fn intersect(&self, other: &Self) -> Self {
        let mut set = Self::new();
        let (mut left, mut right) = (&self.ranges[..], &other.ranges[..]);
        while let (Some(a), Some(b)) = (left.first(), right.first()) {
            let (first, last) = (a.0.max(b.0), a.1.min(b.1));
            if first <= last {
                set.ranges.push((first, last));
            }
            if a.1 <= b.1 {
                left = &left[1..];
            } else {
                right = &right[1..];
            }
        }
        set
    }

    /// Those in this, but not in `other`.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        let mut set = Self::new();
        let mut holes = &other.ranges[..];
        for &(mut first, last) in &self.ranges {
            while let Some(hole) = holes.first().filter(|hole| hole.0 <= last) {
                if hole.0 > first {
                    set.ranges.push((first, hole.0 - 1));
                }
                first = first.max(hole.1.saturating_add(1));
                if hole.1 >= last {
                    break;
                }
                holes = &holes[1..];
            }
            let covered = holes
                .first()
                .is_some_and(|hole| hole.0 <= last && hole.1 >= last);
            if !covered && first <= last {
                set.ranges.push((first, last));
            }
        }
        set
    }

    /// Adds a range that does not begin before the last one.
    fn push_range(&mut self, first: u32, last: u32) {
        match self.ranges.last_mut() {
            Some(range) if first <= range.1.saturating_add(1) => range.1 = range.1.max(last),
            _ => self.ranges.push((first, last)),
        }
    }

    /// Appends it to `out`: the number of ranges, then for each the distance from the one before and
    /// its length, as varints. A single range takes at most 11 bytes.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.ranges.len() as u64);
        let mut end = 0;
        for &(first, last) in &self.ranges {
            put_varint(out, u64::from(first - end));
            put_varint(out, u64::from(last - first));
            end = last;
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        let damaged = |reader: &Reader<'_>| -> DecodeError { reader.damaged() };
        let count = reader.count()?;
        let mut ranges = Vec::with_capacity(count);
        let mut end = 0_u32;
        for index in 0..count {
            let gap = reader.varint_u32()?;
            let length = reader.varint_u32()?;
            // Ranges that touch would be one.
            if gap == 0 || (index > 0 && gap == 1) {
                return Err(damaged(reader));
            }
            let first = end.checked_add(gap).ok_or(damaged(reader))?;
            end = first.checked_add(length).ok_or(damaged(reader))?;
            ranges.push((first, end));
        }
        Ok(Self { ranges })
    }
}

/// Only for numbers of a set, which are never 0.
fn uid(number: u32) -> Uid {
    Uid::new(number).unwrap_or(Uid::MIN)
}

impl From<Uid> for UidSet {
    fn from(uid: Uid) -> Self {
        Self::from_range(uid, uid)
    }
}

impl FromIterator<Uid> for UidSet {
    /// In any order; linear when ascending.
    fn from_iter<I: IntoIterator<Item = Uid>>(uids: I) -> Self {
        let mut set = Self::new();
        let mut unsorted = Vec::new();
        for uid in uids {
            if set.ranges.last().is_none_or(|range| range.0 <= uid.get()) {
                set.push_range(uid.get(), uid.get());
            } else {
                unsorted.push((uid, uid));
            }
        }
        if unsorted.is_empty() {
            set
        } else {
            set.union(&Self::from_unsorted(unsorted))
        }
    }
}

impl Extend<Uid> for UidSet {
    fn extend<I: IntoIterator<Item = Uid>>(&mut self, uids: I) {
        *self = self.union(&uids.into_iter().collect());
    }
}

impl fmt::Display for UidSet {
    /// As in IMAP: `1:3,7`. Empty for the empty set.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (first, last)) in self.ranges.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            if first == last {
                write!(f, "{comma}{first}")?;
            } else {
                write!(f, "{comma}{first}:{last}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for UidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UidSet({self})")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn set(ranges: &[(u32, u32)]) -> UidSet {
        UidSet::from_unsorted(ranges.iter().map(|&(a, b)| (uid(a), uid(b))))
    }

    fn model(set: &UidSet) -> BTreeSet<u32> {
        set.iter().map(Uid::get).collect()
    }

    fn normal(set: &UidSet) -> bool {
        set.ranges.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0)
            && set
                .ranges
                .iter()
                .all(|range| 0 < range.0 && range.0 <= range.1)
    }

    #[test]
    fn known_sets() {
        assert_eq!(
            set(&[(3, 1), (5, 5), (4, 4), (9, 7)]).to_string(),
            "1:5,7:9"
        );
        let max = u32::MAX;
        let all = UidSet::all();
        assert_eq!(all.len(), u64::from(max));
        assert_eq!(set(&[(max, max), (1, max - 1)]), all);
        assert_eq!(all.difference(&set(&[(max, max)])), set(&[(1, max - 1)]));
        assert_eq!(all.difference(&set(&[(1, 1)])), set(&[(2, max)]));
        assert_eq!(all.difference(&all), UidSet::new());
        let mut grown = set(&[(1, 2), (max, max)]);
        grown.insert_range(uid(5), uid(max - 1));
        assert_eq!(grown, set(&[(1, 2), (5, max)]));
        assert!(all.contains(Uid::MAX) && all.contains_range(Uid::MIN, Uid::MAX));
        assert!(!set(&[(1, 2), (4, 5)]).contains_range(uid(2), uid(4)));
    }

    fn any_set() -> impl Strategy<Value = UidSet> {
        prop::collection::vec((1..60_u32, 0..6_u32), 0..12)
            .prop_map(|ranges| {
                ranges
                    .into_iter()
                    .map(|(first, more)| (first, first + more))
            })
            .prop_map(|ranges| UidSet::from_unsorted(ranges.map(|(a, b)| (uid(b), uid(a)))))
    }

    proptest! {
        #[test]
        fn like_a_set_of_numbers(a in any_set(), b in any_set(), one in 1..70_u32, more in 0..9_u32) {
            let (ma, mb) = (model(&a), model(&b));
            let results = [
                (a.union(&b), &ma | &mb),
                (a.intersect(&b), &ma & &mb),
                (a.difference(&b), &ma - &mb),
            ];
            for (got, want) in results {
                prop_assert!(normal(&got), "{:?}", got.ranges);
                prop_assert_eq!(got.len(), want.len() as u64);
                prop_assert_eq!(model(&got), want);
            }
            prop_assert_eq!(a.contains(uid(one)), ma.contains(&one));
            let last = one + more;
            let (any, all) = ((one..=last).any(|n| ma.contains(&n)), (one..=last).all(|n| ma.contains(&n)));
            prop_assert_eq!(a.intersects_range(uid(one), uid(last)), any);
            prop_assert_eq!(a.contains_range(uid(one), uid(last)), all);
            let mut grown = a.clone();
            grown.insert_range(uid(one), uid(last));
            prop_assert!(normal(&grown));
            prop_assert_eq!(&grown, &a.union(&set(&[(one, last)])));
            let unsorted = mb.iter().rev().chain(&ma).map(|&n| uid(n));
            prop_assert_eq!(unsorted.collect::<UidSet>(), a.union(&b));
            grown.extend(b.iter());
            prop_assert_eq!(grown, a.union(&b).union(&set(&[(one, last)])));
        }

        #[test]
        fn comes_back(a in any_set()) {
            let mut out = Vec::new();
            a.encode(&mut out);
            prop_assert_eq!(UidSet::decode(&mut Reader::new("set", &out)), Ok(a));
        }

        #[test]
        fn damage_never_panics(bytes: Vec<u8>) {
            if let Ok(set) = UidSet::decode(&mut Reader::new("set", &bytes)) {
                prop_assert!(normal(&set));
            }
        }
    }
}
