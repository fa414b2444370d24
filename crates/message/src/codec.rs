//! The compact form of a [`Structure`] that is kept with an email.
//!
//! `version, size, parts, part…`; a part is `kind | encoding << 2 | has charset << 5`, then as
//! LEB128 numbers: header start (from the body start of the part before), header length, body
//! length, lines, media type, charset if any, descendants if it is not a leaf. A name is its
//! number in a table that only grows, or 0 and its length and octets. Version 1 is the only one.

use std::borrow::Cow;

use crate::content::{CHARSETS, MEDIA_TYPES};
use crate::structure::{Encoding, Kind, Part, Structure};

const VERSION: u8 = 1;

impl Structure {
    /// The compact form: about 12 octets a part.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(8 + self.parts.len() * 16);
        out.push(VERSION);
        put_number(&mut out, self.size);
        put_number(&mut out, self.parts.len() as u64);
        let mut base = 0;
        for (index, part) in self.parts.iter().enumerate() {
            out.push(
                kind_code(part.kind)
                    | encoding_code(part.encoding) << 2
                    | u8::from(part.charset.is_some()) << 5,
            );
            put_number(&mut out, part.header.start - base);
            put_number(&mut out, part.header.end - part.header.start);
            put_number(&mut out, part.octets());
            put_number(&mut out, part.lines);
            put_name(&mut out, &part.media_type, &MEDIA_TYPES);
            if let Some(charset) = &part.charset {
                put_name(&mut out, charset, &CHARSETS);
            }
            if part.kind != Kind::Leaf {
                put_number(&mut out, u64::from(part.end) - index as u64 - 1);
            }
            base = part.body.start;
        }
        out
    }

    /// Reads what [`Structure::encode`] wrote; `None` if it is damaged or of a later version.
    ///
    /// All ranges of the result lie within the message and within the body of their parent.
    pub fn decode(bytes: &[u8]) -> Option<Structure> {
        let mut input = Input { rest: bytes };
        if input.byte()? != VERSION {
            return None;
        }
        let size = input.number()?;
        let count = usize::try_from(input.number()?).ok()?;
        // A part takes six octets or more, so a damaged count cannot ask for much memory.
        if count == 0 || count > input.rest.len() {
            return None;
        }
        let mut parts: Vec<Part> = Vec::with_capacity(count);
        let mut parents: Vec<usize> = Vec::new();
        let mut base = 0_u64;
        for index in 0..count {
            while parents
                .last()
                .is_some_and(|&parent| parts[parent].end as usize <= index)
            {
                parents.pop();
            }
            let part = input.part(base, index)?;
            let (bounds, end) = match parents.last() {
                Some(&parent) => (parts[parent].body.clone(), parts[parent].end as usize),
                None if index == 0 => (0..size, count),
                None => return None,
            };
            let is_whole = index > 0 || part.end as usize == count;
            if part.header.start < bounds.start
                || part.body.end > bounds.end
                || part.end as usize > end
                || !is_whole
            {
                return None;
            }
            if let Some(&parent) = parents.last() {
                // An embedded message is the only child of its part.
                if parts[parent].kind == Kind::Message && part.end != parts[parent].end {
                    return None;
                }
            }
            if part.kind != Kind::Leaf {
                parents.push(index);
            }
            base = part.body.start;
            parts.push(part);
        }
        input.rest.is_empty().then_some(Structure { parts, size })
    }
}

fn kind_code(kind: Kind) -> u8 {
    match kind {
        Kind::Leaf => 0,
        Kind::Multipart => 1,
        Kind::Message => 2,
    }
}

fn encoding_code(encoding: Encoding) -> u8 {
    match encoding {
        Encoding::SevenBit => 0,
        Encoding::EightBit => 1,
        Encoding::Binary => 2,
        Encoding::QuotedPrintable => 3,
        Encoding::Base64 => 4,
        Encoding::Unknown => 5,
    }
}

fn put_name(out: &mut Vec<u8>, name: &str, table: &[&str]) {
    match table.iter().position(|known| *known == name) {
        Some(at) => put_number(out, at as u64 + 1),
        None => {
            put_number(out, 0);
            put_bytes(out, name.as_bytes());
        }
    }
}

/// Appends a number as LEB128.
pub(crate) fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends a length and octets.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Octets being decoded; every method gives `None` at the end or for damage.
pub(crate) struct Input<'a> {
    pub(crate) rest: &'a [u8],
}

impl<'a> Input<'a> {
    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    pub(crate) fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return None;
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(bytes)
    }

    pub(crate) fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    fn name(&mut self, table: &'static [&'static str]) -> Option<Cow<'static, str>> {
        match usize::try_from(self.number()?).ok()?.checked_sub(1) {
            Some(at) => table.get(at).map(|name| Cow::Borrowed(*name)),
            None => Some(Cow::Owned(self.text()?.to_owned())),
        }
    }

    fn part(&mut self, base: u64, index: usize) -> Option<Part> {
        let flags = self.byte()?;
        let kind = match flags & 3 {
            0 => Kind::Leaf,
            1 => Kind::Multipart,
            2 => Kind::Message,
            _ => return None,
        };
        let encoding = match flags >> 2 & 7 {
            0 => Encoding::SevenBit,
            1 => Encoding::EightBit,
            2 => Encoding::Binary,
            3 => Encoding::QuotedPrintable,
            4 => Encoding::Base64,
            5 => Encoding::Unknown,
            _ => return None,
        };
        if flags >> 6 != 0 {
            return None;
        }
        let start = base.checked_add(self.number()?)?;
        let body = start.checked_add(self.number()?)?;
        let end = body.checked_add(self.number()?)?;
        let lines = self.number()?;
        let media_type = self.name(&MEDIA_TYPES)?;
        let charset = if flags >> 5 & 1 == 1 {
            Some(self.name(&CHARSETS)?)
        } else {
            None
        };
        let descendants = match kind {
            Kind::Leaf => 0,
            _ => u32::try_from(self.number()?)
                .ok()
                .filter(|&count| count > 0)?,
        };
        Some(Part {
            header: start..body,
            body: body..end,
            lines,
            kind,
            encoding,
            media_type,
            charset,
            end: u32::try_from(index)
                .ok()?
                .checked_add(1)?
                .checked_add(descendants)?,
        })
    }
}
