//! Numbers and byte strings as bytes, and back; the reading half is total.

use bytes::Bytes;

/// A stored value of this crate that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} is damaged at byte {at}")]
pub struct DecodeError {
    /// What was being read.
    pub what: &'static str,
    /// Where in it the first thing was that cannot be.
    pub at: usize,
}

/// Appends a number, seven bits a byte, least significant first.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a number of which the high or low bits are mostly zero.
pub(crate) fn put_u128(out: &mut Vec<u8>, value: u128) {
    put_varint(out, value as u64);
    put_varint(out, (value >> 64) as u64);
}

/// Appends a number that may be negative, small ones in few bytes.
pub(crate) fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_varint(out, zigzag(value));
}

/// Appends a byte string with its length.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Small negative numbers to small numbers.
pub(crate) const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// The reverse of [`zigzag`].
pub(crate) const fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Reads a value from its beginning. Every method fails, and never panics, on what cannot be.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    what: &'static str,
    bytes: &'a [u8],
    at: usize,
}

pub(crate) type Decoded<T> = Result<T, DecodeError>;

impl<'a> Reader<'a> {
    pub(crate) const fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self { what, bytes, at: 0 }
    }

    /// The error for what was just read.
    pub(crate) const fn damaged(&self) -> DecodeError {
        DecodeError {
            what: self.what,
            at: self.at,
        }
    }

    pub(crate) const fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub(crate) fn take(&mut self, length: usize) -> Decoded<&'a [u8]> {
        let end = self.at.checked_add(length).ok_or(self.damaged())?;
        let taken = self.bytes.get(self.at..end).ok_or(self.damaged())?;
        self.at = end;
        Ok(taken)
    }

    pub(crate) fn u8(&mut self) -> Decoded<u8> {
        Ok(self.take(1)?[0])
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Decoded<[u8; N]> {
        let taken = self.take(N)?;
        taken.try_into().map_err(|_| self.damaged())
    }

    pub(crate) fn u32_le(&mut self) -> Decoded<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64_le(&mut self) -> Decoded<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn varint(&mut self) -> Decoded<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(self.damaged())
    }

    pub(crate) fn varint_u32(&mut self) -> Decoded<u32> {
        let value = self.varint()?;
        u32::try_from(value).map_err(|_| self.damaged())
    }

    pub(crate) fn signed(&mut self) -> Decoded<i64> {
        self.varint().map(unzigzag)
    }

    pub(crate) fn u128(&mut self) -> Decoded<u128> {
        let low = u128::from(self.varint()?);
        let high = u128::from(self.varint()?);
        Ok(high << 64 | low)
    }

    /// A count of things of which each takes at least one byte: a larger one is damage, so that
    /// nobody reserves memory for it.
    pub(crate) fn count(&mut self) -> Decoded<usize> {
        let count = self.varint()?;
        match usize::try_from(count) {
            Ok(count) if count <= self.left() => Ok(count),
            _ => Err(self.damaged()),
        }
    }

    /// A count of things from 1 to `max`.
    pub(crate) fn count_up_to(&mut self, max: usize) -> Decoded<usize> {
        match usize::try_from(self.varint()?) {
            Ok(count) if (1..=max).contains(&count) => Ok(count),
            _ => Err(self.damaged()),
        }
    }

    pub(crate) fn bytes(&mut self) -> Decoded<&'a [u8]> {
        let length = self.count()?;
        self.take(length)
    }

    pub(crate) fn str(&mut self) -> Decoded<&'a str> {
        let bytes = self.bytes()?;
        std::str::from_utf8(bytes).map_err(|_| self.damaged())
    }

    /// Nothing may follow.
    pub(crate) fn end(&self) -> Decoded<()> {
        if self.left() == 0 {
            Ok(())
        } else {
            Err(self.damaged())
        }
    }
}

/// Appends a checksum of all bytes so far.
pub(crate) fn seal(mut out: Vec<u8>) -> Bytes {
    let sum = checksum(&out);
    out.extend_from_slice(&sum.to_le_bytes());
    out.into()
}

/// The bytes before the checksum of a [`seal`]ed value.
pub(crate) fn unseal<'a>(what: &'static str, bytes: &'a [u8]) -> Decoded<&'a [u8]> {
    let damaged = DecodeError {
        what,
        at: bytes.len(),
    };
    let (value, sum) = bytes.split_last_chunk().ok_or(damaged)?;
    if checksum(value) == u32::from_le_bytes(*sum) {
        Ok(value)
    } else {
        Err(damaged)
    }
}

fn checksum(bytes: &[u8]) -> u32 {
    xxhash_rust::xxh3::xxh3_64(bytes) as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_come_back(a: u64, b: i64, c: u128) {
            let mut out = Vec::new();
            put_varint(&mut out, a);
            put_signed(&mut out, b);
            put_u128(&mut out, c);
            put_bytes(&mut out, b"x");
            let mut reader = Reader::new("test", &out);
            prop_assert_eq!(reader.varint(), Ok(a));
            prop_assert_eq!(reader.signed(), Ok(b));
            prop_assert_eq!(reader.u128(), Ok(c));
            prop_assert_eq!(reader.bytes(), Ok(&b"x"[..]));
            prop_assert_eq!(reader.end(), Ok(()));
        }

        #[test]
        fn nothing_panics(bytes: Vec<u8>) {
            let mut reader = Reader::new("test", &bytes);
            while reader.varint().is_ok() {}
            let _ = Reader::new("test", &bytes).str();
            let _ = unseal("test", &bytes);
        }
    }

    #[test]
    fn too_long_is_damage() {
        assert!(Reader::new("test", &[0xff; 9]).varint().is_err());
        assert!(Reader::new("test", &[0xff; 10]).varint().is_err());
        let max = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        assert_eq!(Reader::new("test", &max).varint(), Ok(u64::MAX));
        assert!(Reader::new("test", &[0x80, 0x80, 0x80, 1]).bytes().is_err());
    }
}
