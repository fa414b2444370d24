//! Columns of numbers as they lie in memory: a base, and offsets as narrow as they can be.

use std::ops::{Range, RangeInclusive};

/// Some numbers. It does not know how many when they are a run.
#[derive(Clone, Debug)]
pub(super) enum Column {
    /// Each is `step` more than the one before.
    Run {
        first: i64,
        step: i64,
    },
    U8(i64, Box<[u8]>),
    U16(i64, Box<[u16]>),
    U32(i64, Box<[u32]>),
    I64(Box<[i64]>),
}

impl Column {
    pub(super) fn new(values: &[i64]) -> Self {
        let first = values.first().copied().unwrap_or(0);
        let step = values.get(1).map_or(0, |second| second.wrapping_sub(first));
        if values
            .windows(2)
            .all(|pair| pair[1].wrapping_sub(pair[0]) == step)
        {
            return Self::Run { first, step };
        }
        let (mut base, mut max) = (first, first);
        for &value in values {
            base = base.min(value);
            max = max.max(value);
        }
        let offsets = values.iter().map(|value| value.wrapping_sub(base) as u64);
        match max.wrapping_sub(base) as u64 {
            0..=0xff => Self::U8(base, offsets.map(|offset| offset as u8).collect()),
            0x100..=0xffff => Self::U16(base, offsets.map(|offset| offset as u16).collect()),
            0x1_0000..=0xffff_ffff => {
                Self::U32(base, offsets.map(|offset| offset as u32).collect())
            }
            _ => Self::I64(values.into()),
        }
    }

    #[inline]
    pub(super) fn at(&self, index: usize) -> i64 {
        match self {
            Self::Run { first, step } => first.wrapping_add(step.wrapping_mul(index as i64)),
            Self::U8(base, offsets) => base.wrapping_add(i64::from(offsets[index])),
            Self::U16(base, offsets) => base.wrapping_add(i64::from(offsets[index])),
            Self::U32(base, offsets) => base.wrapping_add(i64::from(offsets[index])),
            Self::I64(values) => values[index],
        }
    }

    /// Calls `each` with every value in `range`, and its place counted from the start of the range.
    #[inline]
    pub(super) fn each(&self, range: Range<usize>, mut each: impl FnMut(usize, i64)) {
        match self {
            Self::Run { first, step } => {
                let mut value = first.wrapping_add(step.wrapping_mul(range.start as i64));
                for place in 0..range.len() {
                    each(place, value);
                    value = value.wrapping_add(*step);
                }
            }
            Self::U8(base, offsets) => {
                for (place, offset) in offsets[range].iter().enumerate() {
                    each(place, base.wrapping_add(i64::from(*offset)));
                }
            }
            Self::U16(base, offsets) => {
                for (place, offset) in offsets[range].iter().enumerate() {
                    each(place, base.wrapping_add(i64::from(*offset)));
                }
            }
            Self::U32(base, offsets) => {
                for (place, offset) in offsets[range].iter().enumerate() {
                    each(place, base.wrapping_add(i64::from(*offset)));
                }
            }
            Self::I64(values) => {
                for (place, value) in values[range].iter().enumerate() {
                    each(place, *value);
                }
            }
        }
    }

    /// Calls `each` with the places, of `count`, whose values lie in `range`: runs of them, as long as they are.
    pub(super) fn places_in(
        &self,
        count: usize,
        range: &RangeInclusive<i64>,
        each: impl FnMut(Range<usize>),
    ) {
        let (low, high) = (*range.start(), *range.end());
        if low > high {
            return;
        }
        // What is compared are the offsets, as they lie in memory.
        fn narrow<T: TryFrom<u64> + Copy + PartialOrd>(
            base: i64,
            (low, high): (i64, i64),
            largest: T,
            offsets: &[T],
            each: impl FnMut(Range<usize>),
        ) {
            if high < base {
                return;
            }
            let Ok(low) = T::try_from(low.max(base).wrapping_sub(base) as u64) else {
                return;
            };
            let high = T::try_from(high.wrapping_sub(base) as u64).unwrap_or(largest);
            runs(
                offsets
                    .iter()
                    .map(|offset| low <= *offset && *offset <= high),
                each,
            );
        }
        let ends = (low, high);
        match self {
            Self::Run { first, step } => {
                let value = |place: usize| first.wrapping_add(step.wrapping_mul(place as i64));
                runs((0..count).map(|place| range.contains(&value(place))), each);
            }
            Self::U8(base, offsets) => narrow(*base, ends, u8::MAX, offsets, each),
            Self::U16(base, offsets) => narrow(*base, ends, u16::MAX, offsets, each),
            Self::U32(base, offsets) => narrow(*base, ends, u32::MAX, offsets, each),
            Self::I64(values) => runs(values.iter().map(|value| range.contains(value)), each),
        }
    }

    /// The one value that all have, if that is seen at once.
    pub(super) fn constant(&self) -> Option<i64> {
        match self {
            Self::Run { first, step: 0 } => Some(*first),
            _ => None,
        }
    }

    /// All `count` values into `values`, which is emptied before.
    pub(super) fn read(&self, count: usize, values: &mut Vec<i64>) {
        values.clear();
        self.each(0..count, |_, value| values.push(value));
    }

    /// The first place of `count` whose value is not below `value`; the column ascends.
    pub(super) fn lower_bound(&self, count: usize, value: i64) -> usize {
        if let Self::Run { first, step: 1 } = self {
            let place = value.saturating_sub(*first).max(0);
            return usize::try_from(place).map_or(count, |place| place.min(count));
        }
        let (mut low, mut high) = (0, count);
        while low < high {
            let middle = low.midpoint(high);
            if self.at(middle) < value {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// The column of `count` values with more after them. Copies bytes where they fit as they are.
    pub(super) fn extended(&self, count: usize, more: &[i64]) -> Self {
        let fits = |base: i64, max: u64| {
            let fits = |value: &i64| *value >= base && value.wrapping_sub(base) as u64 <= max;
            more.iter().all(fits)
        };
        match self {
            Self::Run { first, step } => {
                let mut next = first.wrapping_add(step.wrapping_mul(count as i64));
                let goes_on = more.iter().all(|value| {
                    let same = *value == next;
                    next = next.wrapping_add(*step);
                    same
                });
                // One value is a run with any step.
                if goes_on && count > 1 {
                    return self.clone();
                }
            }
            Self::U8(base, offsets) if fits(*base, 0xff) => {
                let more = more.iter().map(|value| value.wrapping_sub(*base) as u8);
                return Self::U8(*base, joined(offsets, more));
            }
            Self::U16(base, offsets) if fits(*base, 0xffff) => {
                let more = more.iter().map(|value| value.wrapping_sub(*base) as u16);
                return Self::U16(*base, joined(offsets, more));
            }
            Self::U32(base, offsets) if fits(*base, 0xffff_ffff) => {
                let more = more.iter().map(|value| value.wrapping_sub(*base) as u32);
                return Self::U32(*base, joined(offsets, more));
            }
            Self::I64(values) => return Self::I64(joined(values, more.iter().copied())),
            _ => {}
        }
        let mut values = Vec::with_capacity(count + more.len());
        self.read(count, &mut values);
        values.extend_from_slice(more);
        Self::new(&values)
    }

    /// What it takes on the heap, in bytes.
    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Self::Run { .. } => 0,
            Self::U8(_, offsets) => offsets.len(),
            Self::U16(_, offsets) => 2 * offsets.len(),
            Self::U32(_, offsets) => 4 * offsets.len(),
            Self::I64(values) => 8 * values.len(),
        }
    }
}

/// Calls `each` with the runs of places at which there is `true`.
pub(super) fn runs(hits: impl Iterator<Item = bool>, mut each: impl FnMut(Range<usize>)) {
    let (mut start, mut end) = (None, 0);
    for (place, hit) in hits.enumerate() {
        match (hit, start) {
            (true, None) => start = Some(place),
            (false, Some(first)) => {
                each(first..place);
                start = None;
            }
            _ => {}
        }
        end = place + 1;
    }
    if let Some(first) = start {
        each(first..end);
    }
}

fn joined<T: Copy>(old: &[T], more: impl ExactSizeIterator<Item = T>) -> Box<[T]> {
    let mut all = Vec::with_capacity(old.len() + more.len());
    all.extend_from_slice(old);
    all.extend(more);
    all.into_boxed_slice()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_values() -> impl Strategy<Value = Vec<i64>> {
        let value = prop_oneof![0..4_i64, 0..300_i64, 0..100_000_i64, any::<i64>()];
        prop_oneof![
            prop::collection::vec(value.clone(), 1..40),
            prop::collection::vec(0..300_i64, 1..40),
            (value, -3..9_i64, 1..40_usize).prop_map(|(first, step, count)| {
                let at = |n| step.wrapping_mul(n as i64).wrapping_add(first);
                (0..count).map(at).collect()
            }),
        ]
    }

    proptest! {
        #[test]
        fn like_a_vector(values in any_values(), more in any_values()) {
            let column = Column::new(&values);
            let mut read = Vec::new();
            column.read(values.len(), &mut read);
            prop_assert_eq!(&read, &values);
            for (index, value) in values.iter().enumerate() {
                prop_assert_eq!(column.at(index), *value);
            }
            let all = [&values[..], &more].concat();
            column.extended(values.len(), &more).read(all.len(), &mut read);
            prop_assert_eq!(read, all);
        }

        #[test]
        fn places_like_a_vector(values in any_values(), ends in any::<(prop::sample::Index, prop::sample::Index)>(), off in -1..2_i64) {
            let end = |index: prop::sample::Index| values[index.index(values.len())].saturating_add(off);
            let open = [(i64::MIN, i64::MAX), (i64::MIN, end(ends.0)), (end(ends.0), i64::MAX)];
            for (low, high) in [(end(ends.0), end(ends.1))].into_iter().chain(open) {
                let (mut places, mut last) = (Vec::new(), None);
                Column::new(&values).places_in(values.len(), &(low..=high), |run| {
                    // As long as they are.
                    assert!(!run.is_empty() && last.is_none_or(|last| run.start > last));
                    last = Some(run.end);
                    places.extend(run);
                });
                let model = (0..values.len()).filter(|place| (low..=high).contains(&values[*place]));
                prop_assert_eq!(places, model.collect::<Vec<_>>());
            }
        }

        #[test]
        fn finds_like_a_vector(values in prop::collection::btree_set(1..200_i64, 1..60), wanted in 0..210_i64) {
            let values: Vec<i64> = values.into_iter().collect();
            let place = Column::new(&values).lower_bound(values.len(), wanted);
            prop_assert_eq!(place, values.partition_point(|value| *value < wanted));
        }
    }

    #[test]
    fn a_run_goes_on() {
        let column = Column::new(&[5, 6, 7]).extended(3, &[8]);
        assert!(matches!(column, Column::Run { first: 5, step: 1 }));
        let column = Column::new(&[5]).extended(1, &[6]).extended(2, &[7]);
        assert!(matches!(column, Column::Run { first: 5, step: 1 }));
        assert!(matches!(column.extended(3, &[9]), Column::U8(5, _)));
    }
}
