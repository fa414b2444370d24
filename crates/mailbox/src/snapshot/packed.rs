//! Columns of numbers as they are stored: differences in as few bits as most of them need, outliers
//! apart.
//!
//! `header u8 (bit 7: each from its predecessor, bits 0–6: bits a number), base, [first], outliers,
//! numbers`: a number is `base + (outlier << bits | bits of it)`, with wrap-around.

use crate::codec::{Decoded, Reader, put_signed, put_varint};

const FROM_PREDECESSOR: u8 = 0x80;

/// Appends at least one number to `out`.
pub(super) fn pack(values: &[i64], out: &mut Vec<u8>) {
    let Some((&first, rest)) = values.split_first() else {
        return;
    };
    let plain = Plan::new(values.iter().copied());
    // As for any run of one number.
    if plain.width == 0 && plain.outliers == 0 {
        out.push(0);
        put_signed(out, plain.base);
        return put_varint(out, 0);
    }
    let steps = || {
        values
            .iter()
            .zip(rest)
            .map(|(before, value)| value.wrapping_sub(*before))
    };
    let stepwise = Plan::new(steps());
    if stepwise.cost_bits + 8 * varint_bytes(first) < plain.cost_bits {
        out.push(FROM_PREDECESSOR | stepwise.width);
        put_signed(out, stepwise.base);
        put_signed(out, first);
        stepwise.write(steps(), out);
    } else {
        out.push(plain.width);
        put_signed(out, plain.base);
        plain.write(values.iter().copied(), out);
    }
}

/// Reads `count` numbers, at least one, into `values`, which is emptied before.
pub(super) fn unpack(reader: &mut Reader<'_>, count: usize, values: &mut Vec<i64>) -> Decoded<()> {
    values.clear();
    let header = reader.u8()?;
    let base = reader.signed()?;
    let width = header & !FROM_PREDECESSOR;
    if width > 64 || count == 0 {
        return Err(reader.damaged());
    }
    if header & FROM_PREDECESSOR == 0 {
        return read(reader, count, base, width, values);
    }
    let mut value = reader.signed()?;
    values.push(value);
    read(reader, count - 1, base, width, values)?;
    for step in &mut values[1..] {
        value = value.wrapping_add(*step);
        *step = value;
    }
    Ok(())
}

/// How to write some numbers with the fewest bits.
struct Plan {
    base: i64,
    width: u8,
    outliers: usize,
    cost_bits: usize,
}

impl Plan {
    fn new(values: impl Iterator<Item = i64> + Clone) -> Self {
        let base = values.clone().min().unwrap_or(0);
        let mut by_bits = [0_usize; 65];
        let mut count = 0;
        for value in values {
            by_bits[bits(offset(value, base))] += 1;
            count += 1;
        }
        let mut best = Self {
            base,
            width: 0,
            outliers: 0,
            cost_bits: usize::MAX,
        };
        // The best width is that of a number, and those that need more bits are outliers: they cost
        // their place, and what they have above it.
        for width in (0..=64).filter(|width| *width == 0 || by_bits[*width] > 0) {
            let mut outliers = 0;
            let mut cost_bits = count * width + 8 * varint_bytes(base);
            for (more, count) in by_bits[width + 1..].iter().enumerate() {
                outliers += count;
                cost_bits += count * (8 + 8 * (more + 1).div_ceil(7));
            }
            if cost_bits < best.cost_bits {
                best = Self {
                    base,
                    width: width as u8,
                    outliers,
                    cost_bits,
                };
            }
            if outliers == 0 {
                break;
            }
        }
        best
    }

    fn write(&self, values: impl Iterator<Item = i64> + Clone, out: &mut Vec<u8>) {
        let width = u32::from(self.width);
        let offsets = values.map(|value| offset(value, self.base));
        put_varint(out, self.outliers as u64);
        let mut before = 0;
        for (index, offset) in offsets.clone().enumerate() {
            let high = offset.checked_shr(width).unwrap_or(0);
            if high != 0 {
                put_varint(out, (index - before) as u64);
                put_varint(out, high);
                before = index;
            }
        }
        let mut waiting = 0_u128;
        let mut held = 0;
        for offset in offsets {
            waiting |= u128::from(offset & mask(width)) << held;
            held += width;
            while held >= 8 {
                out.push(waiting as u8);
                waiting >>= 8;
                held -= 8;
            }
        }
        if held > 0 {
            out.push(waiting as u8);
        }
    }
}

fn read(
    reader: &mut Reader<'_>,
    count: usize,
    base: i64,
    width: u8,
    values: &mut Vec<i64>,
) -> Decoded<()> {
    let outliers = reader.count()?;
    // Two bytes each; they stand before the numbers, so they are read twice.
    let mut outlier_reader = reader.clone();
    for _ in 0..outliers {
        reader.varint()?;
        reader.varint()?;
    }
    let width = u32::from(width);
    let bytes = reader.take((count * width as usize).div_ceil(8))?;
    let start = values.len();
    values.reserve(count);
    let (mut waiting, mut held, mut at) = (0_u128, 0_u32, 0_usize);
    for _ in 0..count {
        if held < width {
            match bytes[at..].first_chunk::<8>() {
                Some(chunk) => {
                    waiting |= u128::from(u64::from_le_bytes(*chunk)) << held;
                    held += 64;
                    at += 8;
                }
                None => {
                    for byte in &bytes[at..] {
                        waiting |= u128::from(*byte) << held;
                        held += 8;
                    }
                    at = bytes.len();
                }
            }
        }
        let offset = waiting as u64 & mask(width);
        values.push(base.wrapping_add(offset as i64));
        waiting >>= width;
        held = held.saturating_sub(width);
    }
    let mut index = 0_u64;
    for _ in 0..outliers {
        index = index.saturating_add(outlier_reader.varint()?);
        let high = outlier_reader.varint()?;
        let value = usize::try_from(index)
            .ok()
            .and_then(|index| values.get_mut(start.checked_add(index)?));
        let (Some(value), true) = (value, width < 64) else {
            return Err(reader.damaged());
        };
        *value = value.wrapping_add((high << width) as i64);
    }
    Ok(())
}

fn offset(value: i64, base: i64) -> u64 {
    value.wrapping_sub(base) as u64
}

fn bits(value: u64) -> usize {
    (64 - value.leading_zeros()) as usize
}

fn mask(width: u32) -> u64 {
    u64::MAX.checked_shr(64 - width).unwrap_or(0)
}

fn varint_bytes(value: i64) -> usize {
    bits(crate::codec::zigzag(value)).div_ceil(7).max(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packed(values: &[i64]) -> Vec<u8> {
        let mut out = Vec::new();
        pack(values, &mut out);
        out
    }

    fn unpacked(bytes: &[u8], count: usize) -> Decoded<Vec<i64>> {
        let mut reader = Reader::new("column", bytes);
        let mut values = Vec::new();
        unpack(&mut reader, count, &mut values)?;
        reader.end()?;
        Ok(values)
    }

    #[test]
    fn runs_take_a_few_bytes() {
        let run: Vec<i64> = (1000..2024).collect();
        assert!(packed(&run).len() <= 5, "{}", packed(&run).len());
        assert!(packed(&[7; 1024]).len() <= 3);
        assert_eq!(unpacked(&packed(&run), 1024), Ok(run));
    }

    #[test]
    fn an_outlier_does_not_widen_the_others() {
        let mut sizes: Vec<i64> = (0..1024).map(|n| n * 37 % 256).collect();
        sizes[500] = 1 << 40;
        let bytes = packed(&sizes);
        assert!(bytes.len() < 1024 + 20, "{}", bytes.len());
        assert_eq!(unpacked(&bytes, 1024), Ok(sizes));
    }

    #[test]
    fn extremes() {
        for values in [
            &[i64::MIN, i64::MAX, 0, -1][..],
            &[i64::MAX],
            &[i64::MIN, i64::MIN],
        ] {
            assert_eq!(unpacked(&packed(values), values.len()), Ok(values.to_vec()));
        }
    }

    fn any_values() -> impl Strategy<Value = Vec<i64>> {
        let value = prop_oneof![
            4 => 0..200_i64,
            2 => 1_700_000_000..1_800_000_000_i64,
            1 => any::<i64>(),
        ];
        prop::collection::vec(value, 1..200)
    }

    proptest! {
        #[test]
        fn come_back(values in any_values()) {
            let bytes = packed(&values);
            prop_assert_eq!(unpacked(&bytes, values.len()), Ok(values));
        }

        #[test]
        fn sorted_come_back(mut values in any_values()) {
            values.sort_unstable();
            prop_assert_eq!(unpacked(&packed(&values), values.len()), Ok(values));
        }

        #[test]
        fn damage_never_panics(bytes: Vec<u8>, count in 1..1024_usize) {
            let _ = unpacked(&bytes, count);
        }
    }
}
