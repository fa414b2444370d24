//! Sets of message numbers as a client writes them.

use std::num::NonZeroU32;

use super::numbers::{Number, SeqNum, Uid};

/// One end of a range: a number, or `*`, the largest number in use.
///
/// What `*` means depends on the session's view, so it is never turned into a number here.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SetEnd<N> {
    /// A number.
    Number(N),
    /// `*` (RFC 9051 §9, seq-number).
    Star,
}

/// A range of numbers; both ends belong to it, and either may be the larger one (RFC 9051 §9,
/// seq-range: `4:2` is `2:4`). A single number is a range of two equal ends.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SetRange<N> {
    /// The end written first.
    pub first: SetEnd<N>,
    /// The end written last.
    pub last: SetEnd<N>,
}

impl<N: Number> SetRange<N> {
    /// The range of a single number.
    pub fn single(n: N) -> Self {
        Self {
            first: SetEnd::Number(n),
            last: SetEnd::Number(n),
        }
    }

    /// The range from `a` to `b`.
    pub fn new(a: N, b: N) -> Self {
        Self {
            first: SetEnd::Number(a),
            last: SetEnd::Number(b),
        }
    }

    /// The smaller and the larger end when `*` stands for `star`.
    pub fn resolve(&self, star: N) -> (N, N) {
        let value = |end: SetEnd<N>| match end {
            SetEnd::Number(n) => n,
            SetEnd::Star => star,
        };
        let (a, b) = (value(self.first), value(self.last));
        (a.min(b), a.max(b))
    }

    /// The smaller and the larger end, or `None` if the range has a `*`.
    pub fn numbers(&self) -> Option<(N, N)> {
        match (self.first, self.last) {
            (SetEnd::Number(a), SetEnd::Number(b)) => Some((a.min(b), a.max(b))),
            _ => None,
        }
    }
}

/// A sequence set (RFC 9051 §9, sequence-set): ranges in the order given, overlaps kept.
///
/// `saved` is the `$` of RFC 5182. The grammar lets `$` stand among ranges, so both parts can be
/// there; normally a set is one or the other.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct NumberSet<N> {
    /// The ranges, as written.
    pub ranges: Vec<SetRange<N>>,
    /// Whether the saved search result (`$`) belongs to the set.
    pub saved: bool,
}

/// A set of message sequence numbers.
pub type SeqSet = NumberSet<SeqNum>;
/// A set of unique identifiers.
pub type UidSet = NumberSet<Uid>;
/// A set of numbers that are UIDs or sequence numbers as the context says (ESEARCH ALL).
pub type IdSet = NumberSet<NonZeroU32>;

impl<N> Default for NumberSet<N> {
    fn default() -> Self {
        Self {
            ranges: Vec::new(),
            saved: false,
        }
    }
}

impl<N: Number> NumberSet<N> {
    /// The set `$`.
    pub fn saved() -> Self {
        Self {
            ranges: Vec::new(),
            saved: true,
        }
    }

    /// The set `1:*`.
    pub fn all() -> Self {
        let one = N::from_nonzero(NonZeroU32::MIN);
        Self {
            ranges: vec![SetRange {
                first: SetEnd::Number(one),
                last: SetEnd::Star,
            }],
            saved: false,
        }
    }

    /// The set of one number.
    pub fn single(n: N) -> Self {
        Self {
            ranges: vec![SetRange::single(n)],
            saved: false,
        }
    }

    /// The set of these inclusive ranges.
    pub fn from_ranges(ranges: impl IntoIterator<Item = (N, N)>) -> Self {
        let ranges = ranges
            .into_iter()
            .map(|(a, b)| SetRange::new(a, b))
            .collect();
        Self {
            ranges,
            saved: false,
        }
    }

    /// The set of these numbers; ascending neighbours become ranges.
    pub fn from_numbers(numbers: impl IntoIterator<Item = N>) -> Self {
        let mut runs: Vec<(N, N)> = Vec::new();
        for n in numbers {
            match runs.last_mut() {
                Some((_, last)) if last.get().checked_add(1) == Some(n.get()) => *last = n,
                _ => runs.push((n, n)),
            }
        }
        Self::from_ranges(runs)
    }

    /// Whether the set holds neither ranges nor `$` (such a set has no form on the wire).
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty() && !self.saved
    }

    /// Whether a `*` occurs.
    pub fn has_star(&self) -> bool {
        self.ranges.iter().any(|range| range.numbers().is_none())
    }

    /// The ranges when `*` stands for `star`: ascending, overlaps and neighbours joined.
    /// Does not include `$`. Time n log n in the number of ranges.
    pub fn normalized(&self, star: N) -> Vec<(N, N)> {
        let mut ranges: Vec<(N, N)> = self.ranges.iter().map(|r| r.resolve(star)).collect();
        ranges.sort_unstable();
        let mut joined: Vec<(N, N)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match joined.last_mut() {
                Some((_, end)) if first.get() <= end.get().saturating_add(1) => {
                    *end = (*end).max(last);
                }
                _ => joined.push((first, last)),
            }
        }
        joined
    }

    /// How many numbers the ranges hold when `*` stands for `star`.
    pub fn count(&self, star: N) -> u64 {
        self.normalized(star)
            .iter()
            .map(|(a, b)| u64::from(b.get() - a.get()) + 1)
            .sum()
    }

    /// Whether `n` is in one of the ranges when `*` stands for `star`. Linear; for many
    /// questions use [`normalized`](Self::normalized) once.
    pub fn contains(&self, n: N, star: N) -> bool {
        self.ranges.iter().any(|range| {
            let (first, last) = range.resolve(star);
            (first..=last).contains(&n)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uid(n: u32) -> Uid {
        Uid::new(n).unwrap()
    }

    #[test]
    fn star_takes_part_in_either_order() {
        // RFC 9051 §9: 3291:* includes the last UID even if it is less than 3291.
        let set = UidSet {
            ranges: vec![SetRange {
                first: SetEnd::Number(uid(3291)),
                last: SetEnd::Star,
            }],
            saved: false,
        };
        assert_eq!(set.normalized(uid(10)), [(uid(10), uid(3291))]);
        assert!(set.contains(uid(10), uid(10)));
        assert!(set.has_star());
    }

    #[test]
    fn overlaps_and_neighbours_are_joined() {
        // RFC 9051 §9: *:4,5:7 for a mailbox with 10 messages is 4:10.
        let set = UidSet {
            ranges: vec![
                SetRange {
                    first: SetEnd::Star,
                    last: SetEnd::Number(uid(4)),
                },
                SetRange::new(uid(5), uid(7)),
            ],
            saved: false,
        };
        assert_eq!(set.normalized(uid(10)), [(uid(4), uid(10))]);
        assert_eq!(set.count(uid(10)), 7);
        let set = UidSet::from_numbers([1, 2, 3, 7, 9, 10].map(uid));
        assert_eq!(
            set,
            UidSet::from_ranges([(1, 3), (7, 7), (9, 10)].map(|(a, b)| (uid(a), uid(b))))
        );
        let max = uid(u32::MAX);
        assert_eq!(UidSet::all().normalized(max), [(uid(1), max)]);
        assert_eq!(UidSet::all().count(max), u64::from(u32::MAX));
    }
}
