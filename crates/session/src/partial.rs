//! PARTIAL (RFC 9394): a page of results.

use std::ops::Range;

use restante_proto::types::PartialRange;

/// The positions, from 0, of what a range names among `count` results. Empty where there is nothing.
pub(crate) fn positions(range: PartialRange, count: u64) -> Range<u64> {
    let (from, to) = match range {
        PartialRange::First(a, b) => (u64::from(a.min(b).get()) - 1, u64::from(a.max(b).get())),
        PartialRange::Last(a, b) => (
            count.saturating_sub(a.max(b).get().into()),
            (count + 1).saturating_sub(a.min(b).get().into()),
        ),
    };
    from.min(count)..to.min(count)
}

/// The range as the answer names it: `4:2` is the same as `2:4` (RFC 9394 §4).
pub(crate) fn told(range: PartialRange) -> PartialRange {
    match range {
        PartialRange::First(a, b) => PartialRange::First(a.min(b), a.max(b)),
        PartialRange::Last(a, b) => PartialRange::Last(a.min(b), a.max(b)),
    }
}

/// How many results a range names, if there are enough.
pub(crate) fn size(range: PartialRange) -> u32 {
    let (PartialRange::First(a, b) | PartialRange::Last(a, b)) = range;
    a.max(b).get() - a.min(b).get() + 1
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    #[test]
    fn pages_from_either_end() {
        let n = |n| NonZeroU32::new(n).expect("not 0");
        let first = |a, b, count| positions(PartialRange::First(n(a), n(b)), count);
        let last = |a, b, count| positions(PartialRange::Last(n(a), n(b)), count);
        assert_eq!(first(1, 5, 10), 0..5);
        assert_eq!(first(5, 1, 10), 0..5);
        assert_eq!(first(8, 20, 10), 7..10);
        assert!(first(11, 20, 10).is_empty());
        assert_eq!(last(1, 3, 10), 7..10);
        assert_eq!(last(3, 1, 10), 7..10);
        assert_eq!(last(9, 20, 10), 0..2);
        assert!(last(11, 20, 10).is_empty());
        assert!(first(1, 1, 0).is_empty() && last(1, 1, 0).is_empty());
        assert_eq!(last(1, u32::MAX, 3), 0..3);
        assert_eq!(size(PartialRange::Last(n(1), n(1500))), 1500);
        assert_eq!(size(PartialRange::First(n(u32::MAX), n(1))), u32::MAX);
    }
}
