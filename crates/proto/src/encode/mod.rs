//! Encodes responses: typed values to bytes, appended to a `Vec<u8>`.
//!
//! A [`Writer`] borrows the buffer for a few lines; nothing is allocated per item. [`FetchItems`]
//! does not even borrow it, so that a body can be streamed between two items.
//! [`Writer::response`] encodes any [`Response`](crate::types::Response) with the same functions.
//!
//! ```
//! use restante_proto::encode::Writer;
//! use restante_proto::types::{Code, Condition, SeqNum, Tag};
//!
//! let mut out = Vec::new();
//! let mut writer = Writer::new(&mut out, false);
//! writer.exists(23);
//! writer.expunge(SeqNum::new(4).unwrap());
//! let tag = Tag::new("a1").unwrap();
//! writer.status_line(Some(&tag), Condition::Ok, Some(&Code::ReadWrite), "SELECT completed");
//! assert_eq!(out, b"* 23 EXISTS\r\n* 4 EXPUNGE\r\na1 OK [READ-WRITE] SELECT completed\r\n");
//! ```

mod body;
mod code;
mod fetch;
mod lines;
mod response;
mod search;
mod status;

pub use fetch::{FetchItems, write_section};
pub use search::EsearchWriter;

use crate::types::{MailboxName, Number, NumberSet, SetEnd, is_atom_char, mutf7};

/// Appends responses to a buffer.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
    utf8: bool,
    utf8_text: bool,
}

impl<'a> Writer<'a> {
    /// A writer to the end of `out`. With `utf8` (the client enabled UTF8=ACCEPT or IMAP4rev2)
    /// mailbox names and quoted strings are UTF-8; without, names are modified UTF-7 and other
    /// text that is not ASCII becomes a literal.
    pub fn new(out: &'a mut Vec<u8>, utf8: bool) -> Self {
        Self {
            out,
            utf8,
            utf8_text: utf8,
        }
    }

    /// The same, with UTF-8 in text for people: the client asked for a language (RFC 5255 §3.2).
    #[must_use]
    pub fn with_utf8_text(mut self) -> Self {
        self.utf8_text = true;
        self
    }

    /// Appends bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    pub(crate) fn space(&mut self) {
        self.out.push(b' ');
    }

    pub(crate) fn end_line(&mut self) {
        self.raw(b"\r\n");
    }

    /// Appends a number.
    pub fn number(&mut self, n: u64) {
        write_number(self.out, n);
    }

    /// Appends a string: quoted if it can be, else a literal.
    pub fn string(&mut self, text: &[u8]) {
        write_string(self.out, text, self.utf8);
    }

    /// Appends a string, or NIL.
    pub fn nstring(&mut self, text: Option<&[u8]>) {
        match text {
            Some(text) => self.string(text),
            None => self.raw(b"NIL"),
        }
    }

    /// Appends an astring: an atom if it can be one, else a string.
    pub fn astring(&mut self, text: &[u8]) {
        write_astring(self.out, text, self.utf8);
    }

    /// Appends a mailbox name.
    pub fn mailbox(&mut self, name: &MailboxName) {
        self.mailbox_text(name.as_str());
    }

    /// Appends a text in the encoding of mailbox names.
    pub fn mailbox_text(&mut self, name: &str) {
        if self.utf8 {
            write_astring(self.out, name.as_bytes(), true);
        } else {
            write_astring(self.out, mutf7::encode(name).as_bytes(), false);
        }
    }

    /// Appends `(item item …)`.
    pub(crate) fn list<T>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        mut item: impl FnMut(&mut Self, T),
    ) {
        self.out.push(b'(');
        for (i, value) in items.into_iter().enumerate() {
            if i > 0 {
                self.space();
            }
            item(self, value);
        }
        self.out.push(b')');
    }

    /// Appends ranges as a set: `1:3,7`. They must be valid (first ≤ last) and at least one.
    pub fn ranges<N: Number>(&mut self, ranges: impl IntoIterator<Item = (N, N)>) {
        write_ranges(self.out, ranges);
    }

    /// Appends numbers as a set; ascending neighbours become ranges. At least one.
    pub fn numbers<N: Number>(&mut self, numbers: impl IntoIterator<Item = N>) {
        write_ranges(
            self.out,
            Runs {
                numbers: numbers.into_iter(),
                next: None,
            },
        );
    }

    /// Appends a set as it is.
    pub fn set<N: Number>(&mut self, set: &NumberSet<N>) {
        write_set(self.out, set);
    }
}

/// Ascending numbers as inclusive ranges.
struct Runs<I: Iterator> {
    numbers: I,
    next: Option<I::Item>,
}

impl<N: Number, I: Iterator<Item = N>> Iterator for Runs<I> {
    type Item = (N, N);

    fn next(&mut self) -> Option<(N, N)> {
        let first = self.next.take().or_else(|| self.numbers.next())?;
        let mut last = first;
        for n in self.numbers.by_ref() {
            if last.get().checked_add(1) != Some(n.get()) {
                self.next = Some(n);
                break;
            }
            last = n;
        }
        Some((first, last))
    }
}

/// Appends a number in decimal.
pub(crate) fn write_number(out: &mut Vec<u8>, n: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(n).as_bytes());
}

fn write_ranges<N: Number>(out: &mut Vec<u8>, ranges: impl IntoIterator<Item = (N, N)>) {
    for (i, (first, last)) in ranges.into_iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write_number(out, first.get().into());
        if first != last {
            out.push(b':');
            write_number(out, last.get().into());
        }
    }
}

/// Appends a set, `*` and `$` included.
pub(crate) fn write_set<N: Number>(out: &mut Vec<u8>, set: &NumberSet<N>) {
    let end = |out: &mut Vec<u8>, end: SetEnd<N>| match end {
        SetEnd::Number(n) => write_number(out, n.get().into()),
        SetEnd::Star => out.push(b'*'),
    };
    for (i, range) in set.ranges.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        end(out, range.first);
        if range.first != range.last {
            out.push(b':');
            end(out, range.last);
        }
    }
    if set.saved {
        if !set.ranges.is_empty() {
            out.push(b',');
        }
        out.push(b'$');
    }
}

/// Appends a string: quoted if it can be, else a literal. A NUL has no form in a string and is
/// left out (RFC 9051 §4.3).
pub(crate) fn write_string(out: &mut Vec<u8>, text: &[u8], utf8: bool) {
    let (mut eight_bit, mut special, mut control, mut nul) = (false, false, false, false);
    for &b in text {
        eight_bit |= b >= 0x80;
        special |= matches!(b, b'"' | b'\\');
        control |= matches!(b, b'\r' | b'\n');
        nul |= b == 0;
    }
    if nul {
        let text: Vec<u8> = text.iter().copied().filter(|b| *b != 0).collect();
        return write_string(out, &text, utf8);
    }
    if control || (eight_bit && !(utf8 && std::str::from_utf8(text).is_ok())) {
        write_literal_header(out, text.len() as u64);
        out.extend_from_slice(text);
        return;
    }
    out.push(b'"');
    if special {
        for &b in text {
            if matches!(b, b'"' | b'\\') {
                out.push(b'\\');
            }
            out.push(b);
        }
    } else {
        out.extend_from_slice(text);
    }
    out.push(b'"');
}

pub(crate) fn write_astring(out: &mut Vec<u8>, text: &[u8], utf8: bool) {
    // NIL is a valid astring, but not everybody reads it as one.
    let atom = !text.is_empty()
        && text.iter().all(|b| is_atom_char(*b))
        && !text.eq_ignore_ascii_case(b"NIL");
    if atom {
        out.extend_from_slice(text)
    } else {
        write_string(out, text, utf8)
    }
}

/// Appends `{size}` and a line end.
pub(crate) fn write_literal_header(out: &mut Vec<u8>, size: u64) {
    out.push(b'{');
    write_number(out, size);
    out.extend_from_slice(b"}\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Uid;

    fn string(text: &str, utf8: bool) -> String {
        let mut out = Vec::new();
        write_string(&mut out, text.as_bytes(), utf8);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn strings_take_the_right_form() {
        assert_eq!(string("", false), "\"\"");
        assert_eq!(string("a\"b\\c", false), r#""a\"b\\c""#);
        assert_eq!(string("a\r\nb", true), "{4}\r\na\r\nb");
        assert_eq!(string("é", false), "{2}\r\né");
        assert_eq!(string("é", true), "\"é\"");
        assert_eq!(string("a\0b", true), "\"ab\"");
        let mut out = Vec::new();
        write_string(&mut out, b"\xff", true);
        assert_eq!(out, b"{1}\r\n\xff");
    }

    #[test]
    fn mailbox_names_by_mode() {
        for (name, utf8, expected) in [
            ("INBOX", false, "INBOX"),
            ("Entwürfe", false, "Entw&APw-rfe"),
            ("Entwürfe", true, "\"Entwürfe\""),
            ("a b", false, "\"a b\""),
            ("R&D", false, "R&-D"),
            ("R&D", true, "R&D"),
            ("", false, "\"\""),
            ("nil", false, "\"nil\""),
            ("a%", false, "\"a%\""),
        ] {
            let mut out = Vec::new();
            Writer::new(&mut out, utf8).mailbox(&MailboxName::new(name));
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn numbers_become_runs() {
        let mut out = Vec::new();
        let uids = [1, 2, 3, 5, 9, 10, u32::MAX].map(|n| Uid::new(n).unwrap());
        Writer::new(&mut out, false).numbers(uids);
        assert_eq!(out, b"1:3,5,9:10,4294967295");
    }
}
