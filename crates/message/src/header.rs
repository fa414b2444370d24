//! Header fields: finding, unfolding, subsetting (RFC 5322 §2.2).

use std::borrow::Cow;

use memchr::{memchr, memchr2};

/// One field of a header: its name, and its value still folded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// The name as written, without white space before the colon. Never empty.
    pub name: &'a [u8],
    /// Everything after the colon, line breaks included.
    pub value: &'a [u8],
    /// The whole field, all of its lines.
    pub raw: &'a [u8],
}

impl<'a> Field<'a> {
    /// The value without line breaks and surrounding white space.
    pub fn text(&self) -> Cow<'a, [u8]> {
        unfold(self.value)
    }
}

/// The fields of a header, in order; lines that are no field are passed over.
pub fn fields(header: &[u8]) -> Fields<'_> {
    Fields { rest: header }
}

/// Iterator of [`fields`].
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// What was not read.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        loop {
            let rest = self.rest;
            if rest.is_empty() || is_blank_line(rest) {
                return None;
            }
            let mut end = 0;
            let mut first_line = 0;
            loop {
                end += memchr(b'\n', &rest[end..]).map_or(rest.len() - end, |at| at + 1);
                if first_line == 0 {
                    first_line = end;
                }
                if !matches!(rest.get(end), Some(b' ' | b'\t')) {
                    break;
                }
            }
            let (raw, rest) = rest.split_at(end);
            self.rest = rest;
            // Names are short: one pass over them is cheaper than a search for the colon.
            let line = &raw[..first_line];
            let ends = |byte: &u8| !IS_OF_NAME[usize::from(*byte)];
            let Some(end) = line.iter().position(ends) else {
                continue;
            };
            // There may be white space before the colon (RFC 5322 §4.5.3).
            let space = match line[end] {
                b':' => Some(0),
                _ => memchr(b':', &line[end..]),
            };
            let Some(space) = space else {
                continue;
            };
            let (name, colon) = (&line[..end], end + space);
            if !name.is_empty() && line[end..colon].trim_ascii().is_empty() {
                return Some(Field {
                    name,
                    value: &raw[colon + 1..],
                    raw,
                });
            }
        }
    }
}

/// What a name may have in it: no white space, no control, no colon.
const IS_OF_NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = b' ' as usize + 1;
    while byte < 256 {
        table[byte] = byte != 0x7f && byte != b':' as usize;
        byte += 1;
    }
    table
};

/// Whether these octets begin with an empty line.
pub(crate) fn is_blank_line(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\n") || bytes.starts_with(b"\r\n")
}

/// The first field of this name (compared without case).
pub fn field<'a>(header: &'a [u8], name: &[u8]) -> Option<Field<'a>> {
    fields(header).find(|field| field.name.eq_ignore_ascii_case(name))
}

/// A field value in one line: line breaks taken out, white space around it too. A CR amid a line
/// is white space.
pub fn unfold(value: &[u8]) -> Cow<'_, [u8]> {
    let value = value.trim_ascii();
    if memchr2(b'\n', b'\r', value).is_none() {
        return Cow::Borrowed(value);
    }
    let mut out = Vec::with_capacity(value.len());
    for (index, &byte) in value.iter().enumerate() {
        match (byte, value.get(index + 1)) {
            (b'\n', _) | (b'\r', Some(b'\r' | b'\n')) => {}
            (b'\r', _) => out.push(b' '),
            _ => out.push(byte),
        }
    }
    Cow::Owned(out)
}

/// Appends the fields with these names, raw and in order, and the blank line:
/// `HEADER.FIELDS`; with `not`, all others: `HEADER.FIELDS.NOT` (RFC 9051 §6.4.5).
///
/// The blank line is always there, except when the header itself has none (a message without
/// body and blank line, RFC 9051 §7.5.2).
pub fn header_fields(header: &[u8], names: &[&[u8]], not: bool, out: &mut Vec<u8>) {
    FieldNames::new(names.iter().copied()).select(header, not, out);
}

/// The class of a name, as a bit: by its length and its first letter.
fn class(name: &[u8]) -> u64 {
    let first = name.first().map_or(0, u8::to_ascii_lowercase);
    1 << ((usize::from(first) + 5 * name.len()) % 64)
}

/// Names of header fields, made ready to be looked for in many headers.
#[derive(Clone, Debug, Default)]
pub struct FieldNames {
    /// A bit for each of 64 classes that names fall into.
    classes: u64,
    /// Of each name its length and its first letter: they rule out most.
    heads: Vec<u16>,
    names: Vec<Box<[u8]>>,
}

impl FieldNames {
    /// These names.
    pub fn new<'n>(names: impl IntoIterator<Item = &'n [u8]>) -> FieldNames {
        let names: Vec<Box<[u8]>> = names.into_iter().map(Box::from).collect();
        FieldNames {
            classes: names.iter().fold(0, |all, name| all | class(name)),
            heads: names.iter().map(|name| FieldNames::head(name)).collect(),
            names,
        }
    }

    fn head(name: &[u8]) -> u16 {
        let first = name.first().map_or(0, u8::to_ascii_lowercase);
        // The whole lengths are compared with the names.
        u16::from_le_bytes([first, name.len() as u8])
    }

    fn contains(&self, name: &[u8]) -> bool {
        if self.classes & class(name) == 0 {
            return false;
        }
        let head = FieldNames::head(name);
        let mut heads = self.heads.iter().zip(&self.names);
        heads.any(|(other, known)| *other == head && known.eq_ignore_ascii_case(name))
    }

    /// As [`header_fields`].
    pub fn select(&self, header: &[u8], not: bool, out: &mut Vec<u8>) {
        let mut fields = fields(header);
        // Fields that follow each other are copied together.
        let mut chosen = 0..0;
        while let Some(field) = fields.next() {
            if self.contains(field.name) == not {
                continue;
            }
            let end = header.len() - fields.rest.len();
            let start = end - field.raw.len();
            if start != chosen.end {
                out.extend_from_slice(&header[chosen]);
                chosen = start..end;
            }
            chosen.end = end;
        }
        out.extend_from_slice(&header[chosen]);
        if !fields.rest.is_empty() {
            out.extend_from_slice(b"\r\n");
        }
    }
}
