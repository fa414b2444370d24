//! Reads the small productions out of one response frame.

use bytes::Bytes;
use memchr::memchr;
use thiserror::Error;

use super::frame::{FrameLiteral, ResponseFrame};
use crate::types::{is_astring_char, is_atom_char};

/// How faithfully a response must follow the grammar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// The grammar of the RFCs exactly, US-ASCII outside literals. For tests of servers.
    Strict,
    /// As [`Strict`](Mode::Strict), with UTF-8 in quoted strings, text and mailbox names: what a
    /// server may send after `ENABLE IMAP4rev2` or `ENABLE UTF8=ACCEPT` (RFC 9051 §5.1,
    /// RFC 9755 §3).
    StrictUtf8,
    /// Whatever can be understood: what clients need with the servers that exist.
    #[default]
    Lenient,
    /// As [`Lenient`](Mode::Lenient), with mailbox names in UTF-8: for after ENABLE.
    LenientUtf8,
}

impl Mode {
    /// Whether deviations from the grammar are passed over.
    pub fn is_lenient(self) -> bool {
        matches!(self, Mode::Lenient | Mode::LenientUtf8)
    }

    /// Whether UTF-8 is in force, and mailbox names are not in modified UTF-7.
    pub fn utf8(self) -> bool {
        matches!(self, Mode::StrictUtf8 | Mode::LenientUtf8)
    }

    /// The same mode with UTF-8 in force or not.
    pub fn with_utf8(self, utf8: bool) -> Self {
        match (self.is_lenient(), utf8) {
            (true, false) => Mode::Lenient,
            (true, true) => Mode::LenientUtf8,
            (false, false) => Mode::Strict,
            (false, true) => Mode::StrictUtf8,
        }
    }
}

/// A response that does not follow the grammar.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("malformed response: {expected} expected at octet {position}")]
pub struct ResponseDecodeError {
    /// Offset into the frame.
    pub position: usize,
    /// What the grammar has there.
    pub expected: &'static str,
}

pub(super) type Result<T> = std::result::Result<T, ResponseDecodeError>;

/// How deep lists may nest in a response; deeper ones are refused.
pub(super) const DEPTH_MAX: usize = 160;

/// A value that may have been streamed past the decoder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Nil,
    Bytes(Bytes),
    Streamed(u64),
}

/// A position in a frame. Copies of it are how the decoder looks ahead.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'a> {
    bytes: &'a Bytes,
    literals: &'a [FrameLiteral],
    pos: usize,
    /// Where the response's text ends: before its CRLF.
    end: usize,
    pub(super) mode: Mode,
}

impl<'a> Cursor<'a> {
    /// Starts at the beginning of a frame, and checks its line end.
    pub(super) fn new(frame: &'a ResponseFrame, mode: Mode) -> Result<Self> {
        let bytes = &frame.bytes;
        let end = match bytes.strip_suffix(b"\r\n") {
            Some(line) => line.len(),
            None if mode.is_lenient() => bytes.strip_suffix(b"\n").unwrap_or(bytes).len(),
            None => {
                return Err(ResponseDecodeError {
                    position: bytes.len(),
                    expected: "CRLF",
                });
            }
        };
        let mut pos = 0;
        if mode.is_lenient() {
            // Some servers put NUL octets before a response (features: "leading NUL bytes").
            pos = bytes[..end].iter().take_while(|&&b| b == 0).count();
        }
        Ok(Self {
            bytes,
            literals: &frame.literals,
            pos,
            end,
            mode,
        })
    }

    /// Starts in a frame that ends with the header of a literal that is being streamed.
    pub(super) fn open(frame: &'a ResponseFrame, mode: Mode) -> Self {
        let end = frame.bytes.len();
        Self {
            bytes: &frame.bytes,
            literals: &frame.literals,
            pos: 0,
            end,
            mode,
        }
    }

    pub(super) fn error<T>(&self, expected: &'static str) -> Result<T> {
        Err(ResponseDecodeError {
            position: self.pos,
            expected,
        })
    }

    pub(super) fn lenient(&self) -> bool {
        self.mode.is_lenient()
    }

    pub(super) fn position(&self) -> usize {
        self.pos
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        &self.bytes[self.pos..self.end]
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.rest().first().copied()
    }

    pub(super) fn at_end(&self) -> bool {
        self.pos == self.end
    }

    /// The end of the response, nothing after it.
    pub(super) fn finish(&mut self) -> Result<()> {
        if self.lenient() {
            // Trailing spaces: several servers (STATUS, CAPABILITY, LIST).
            self.skip_spaces();
        }
        if self.at_end() {
            Ok(())
        } else {
            self.error("end of line")
        }
    }

    pub(super) fn skip_spaces(&mut self) {
        self.pos += self.rest().iter().take_while(|&&b| b == b' ').count();
    }

    /// Skips spaces if `byte` stands after them.
    pub(super) fn skip_spaces_before(&mut self, byte: u8) {
        let mut ahead = self.clone();
        ahead.skip_spaces();
        if ahead.peek() == Some(byte) {
            *self = ahead;
        }
    }

    pub(super) fn advance(&mut self, n: usize) {
        self.pos = (self.pos + n).min(self.end);
    }

    pub(super) fn take_if(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.pos += usize::from(found);
        found
    }

    pub(super) fn byte(&mut self, byte: u8, expected: &'static str) -> Result<()> {
        if self.take_if(byte) {
            Ok(())
        } else {
            self.error(expected)
        }
    }

    /// `SP`: exactly one space; any number of them when lenient.
    pub(super) fn space(&mut self) -> Result<()> {
        self.byte(b' ', "space")?;
        if self.lenient() {
            self.skip_spaces();
        }
        Ok(())
    }

    /// A space if another item follows, for `*(SP item)`: tells whether there is one.
    pub(super) fn more(&mut self) -> Result<bool> {
        if self.lenient() {
            self.skip_spaces();
            return Ok(!self.at_end() && !matches!(self.peek(), Some(b')' | b']')));
        }
        Ok(self.take_if(b' '))
    }

    /// Takes `word` if it stands here, in any case, and is not the beginning of a longer atom.
    pub(super) fn word(&mut self, word: &str) -> bool {
        let rest = self.rest();
        let found = rest.len() >= word.len()
            && rest[..word.len()].eq_ignore_ascii_case(word.as_bytes())
            && !rest.get(word.len()).is_some_and(|&b| is_atom_char(b));
        if found {
            self.pos += word.len();
        }
        found
    }

    fn take_while(&mut self, accept: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = self.rest();
        let length = rest.iter().position(|&b| !accept(b)).unwrap_or(rest.len());
        self.pos += length;
        &rest[..length]
    }

    /// `atom = 1*ATOM-CHAR`
    pub(super) fn atom(&mut self) -> Result<&'a [u8]> {
        let lenient = self.lenient();
        let atom = self.take_while(|b| is_atom_char(b) || (lenient && b >= 0x80));
        if atom.is_empty() {
            self.error("atom")
        } else {
            Ok(atom)
        }
    }

    /// An atom as text. Only US-ASCII can stand in it unless lenient.
    pub(super) fn atom_string(&mut self) -> Result<String> {
        self.atom().map(lossy)
    }

    /// A run of characters up to a space, parenthesis or bracket, for words of extensions.
    pub(super) fn token(&mut self) -> Result<&'a [u8]> {
        let token = self.take_while(|b| !matches!(b, b' ' | b'(' | b')' | b'"' | b'{' | b']'));
        if token.is_empty() {
            self.error("word")
        } else {
            Ok(token)
        }
    }

    /// A run of characters up to a space or parenthesis: what servers send as flags.
    pub(super) fn flag_token(&mut self) -> Result<&'a [u8]> {
        let token = self.take_while(|b| !matches!(b, b' ' | b'(' | b')'));
        if token.is_empty() {
            self.error("flag")
        } else {
            Ok(token)
        }
    }

    /// A tag: `1*<any ASTRING-CHAR except "+">`.
    pub(super) fn tag(&mut self) -> Result<&'a [u8]> {
        let tag = self.take_while(|b| is_astring_char(b) && b != b'+');
        if tag.is_empty() {
            self.error("tag")
        } else {
            Ok(tag)
        }
    }

    fn digits(&mut self) -> &'a [u8] {
        self.take_while(|b| b.is_ascii_digit())
    }

    fn number_below(&mut self, max: u64) -> Result<u64> {
        let start = self.pos;
        let digits = self.digits();
        let mut value = 0u64;
        for &digit in digits {
            let next = value
                .checked_mul(10)
                .and_then(|v| v.checked_add(u64::from(digit - b'0')));
            match next {
                Some(next) if next <= max => value = next,
                _ => {
                    self.pos = start;
                    return self.error("number in range");
                }
            }
        }
        if digits.is_empty() {
            self.error("number")
        } else {
            Ok(value)
        }
    }

    /// `number`: unsigned 32 bits.
    pub(super) fn number(&mut self) -> Result<u32> {
        // The bound makes the cast exact.
        Ok(self.number_below(u64::from(u32::MAX))? as u32)
    }

    /// `number64`: unsigned 63 bits.
    pub(super) fn number64(&mut self) -> Result<u64> {
        self.number_below(if self.lenient() {
            u64::MAX
        } else {
            i64::MAX as u64
        })
    }

    /// `nz-number = digit-nz *DIGIT`
    pub(super) fn nz_number(&mut self) -> Result<u32> {
        let start = self.clone();
        if self.peek() == Some(b'0') && !self.lenient() {
            return self.error("number above zero");
        }
        match self.number()? {
            0 => {
                *self = start;
                self.error("number above zero")
            }
            number => Ok(number),
        }
    }

    /// `nil`
    pub(super) fn nil(&mut self) -> bool {
        self.word("NIL")
    }

    /// The text of a quoted string after its opening quote.
    fn quoted_rest(&mut self) -> Result<Bytes> {
        let start = self.pos;
        let rest = self.rest();
        let stop = rest.iter().position(|&b| matches!(b, b'"' | b'\\'));
        let Some(stop) = stop else {
            return self.error("closing quote");
        };
        let text = if rest[stop] == b'"' {
            self.pos += stop + 1;
            self.bytes.slice(start..start + stop)
        } else {
            Bytes::from(self.quoted_escaped()?)
        };
        let bad = if self.lenient() {
            None
        } else if self.mode.utf8() && std::str::from_utf8(&text).is_err() {
            Some("UTF-8 in quoted string")
        } else if !self.mode.utf8() && !text.is_ascii() {
            Some("US-ASCII in quoted string")
        } else if text.iter().any(|b| matches!(b, 0 | b'\r' | b'\n')) {
            Some("no control character in quoted string")
        } else {
            None
        };
        match bad {
            Some(expected) => Err(ResponseDecodeError {
                position: start,
                expected,
            }),
            None => Ok(text),
        }
    }

    fn quoted_escaped(&mut self) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        loop {
            let Some(byte) = self.peek() else {
                return self.error("closing quote");
            };
            self.pos += 1;
            match byte {
                b'"' => return Ok(out),
                b'\\' => match self.peek() {
                    Some(next @ (b'"' | b'\\')) => {
                        self.pos += 1;
                        out.push(next);
                    }
                    // A backslash before another character stands for itself.
                    _ if self.lenient() => out.push(b'\\'),
                    _ => return self.error("escaped quote or backslash"),
                },
                other => out.push(other),
            }
        }
    }

    /// Whether a literal begins here.
    pub(super) fn at_literal(&self) -> bool {
        self.literals
            .binary_search_by_key(&self.pos, |l| l.at)
            .is_ok()
    }

    /// A literal, `literal8` too if `binary`.
    fn literal(&mut self, binary: bool) -> Result<Value> {
        let Ok(index) = self.literals.binary_search_by_key(&self.pos, |l| l.at) else {
            return self.error("string");
        };
        let literal = &self.literals[index];
        let is_literal8 = self.peek() == Some(b'~');
        if !self.lenient() {
            let header = &self.bytes[literal.at..literal.data.start];
            if is_literal8 && !binary {
                return self.error("string");
            }
            if !header.ends_with(b"}\r\n") || header.ends_with(b"+}\r\n") {
                // RFC 9051 §9: non-synchronizing literals are not sent to a client.
                return self.error("literal of a server");
            }
            if literal.size > i64::MAX as u64 {
                return self.error("literal size of 63 bits");
            }
        }
        if literal.data.end > self.end {
            return self.error("whole literal");
        }
        let value = if literal.streamed {
            Value::Streamed(literal.size)
        } else {
            let data = self.bytes.slice(literal.data.clone());
            if !self.lenient() && !is_literal8 && memchr(0, &data).is_some() {
                return self.error("literal without NUL");
            }
            Value::Bytes(data)
        };
        self.pos = literal.data.end;
        Ok(value)
    }

    /// `string = quoted / literal`
    pub(super) fn string(&mut self) -> Result<Bytes> {
        if self.take_if(b'"') {
            return self.quoted_rest();
        }
        match self.literal(false)? {
            Value::Bytes(bytes) => Ok(bytes),
            _ => self.error("literal in memory"),
        }
    }

    /// `quoted`
    pub(super) fn quoted(&mut self) -> Result<Bytes> {
        self.byte(b'"', "quoted string")?;
        self.quoted_rest()
    }

    /// `nstring = string / nil`. Lenient: an atom or number also stands for itself.
    pub(super) fn nstring(&mut self) -> Result<Option<Bytes>> {
        match self.value(false)? {
            Value::Nil => Ok(None),
            Value::Bytes(bytes) => Ok(Some(bytes)),
            Value::Streamed(_) => self.error("literal in memory"),
        }
    }

    /// `nstring / literal8` (the latter if `binary`), possibly streamed.
    pub(super) fn value(&mut self, binary: bool) -> Result<Value> {
        if self.nil() {
            return Ok(Value::Nil);
        }
        if self.take_if(b'"') {
            return self.quoted_rest().map(Value::Bytes);
        }
        if self.at_literal() {
            return self.literal(binary);
        }
        if self.lenient() && self.peek().is_some_and(is_astring_char) {
            return Ok(Value::Bytes(Bytes::copy_from_slice(self.token()?)));
        }
        self.error("string or NIL")
    }

    /// `astring = 1*ASTRING-CHAR / string`
    pub(super) fn astring(&mut self) -> Result<Bytes> {
        if matches!(self.peek(), Some(b'"')) || self.at_literal() {
            return self.string();
        }
        let lenient = self.lenient();
        let start = self.pos;
        // Lenient: names of mailboxes in raw UTF-8 and with odd characters.
        let atom = self.take_while(|b| {
            is_astring_char(b) || (lenient && (b >= 0x80 || matches!(b, b'\\' | b'%' | b'*')))
        });
        if atom.is_empty() {
            return self.error("string or atom");
        }
        Ok(self.bytes.slice(start..self.pos))
    }

    /// All that is left of the line, for human-readable text.
    pub(super) fn text_rest(&mut self) -> Result<&'a [u8]> {
        let text = self.rest();
        if !self.lenient() {
            if text.iter().any(|b| matches!(b, 0 | b'\r' | b'\n')) {
                return self.error("text without control characters");
            }
            if !self.mode.utf8() && !text.is_ascii() {
                return self.error("US-ASCII text");
            }
            if std::str::from_utf8(text).is_err() {
                return self.error("UTF-8 text");
            }
        }
        self.pos = self.end;
        Ok(text)
    }

    /// Skips one value of any shape: list, string, atom. Bounded in depth.
    pub(super) fn skip_value(&mut self) -> Result<()> {
        let mut depth = 0usize;
        loop {
            self.skip_spaces();
            match self.peek() {
                Some(b'(') => {
                    depth += 1;
                    self.pos += 1;
                    continue;
                }
                Some(b')') if depth > 0 => {
                    depth -= 1;
                    self.pos += 1;
                }
                Some(b'"') => drop(self.string()?),
                Some(_) if self.at_literal() => drop(self.literal(true)?),
                Some(_) => {
                    let length = self.token().map(<[u8]>::len);
                    if length.is_err() {
                        // A stray bracket or brace.
                        if matches!(self.peek(), Some(b')') | None) {
                            return self.error("value");
                        }
                        self.pos += 1;
                    }
                }
                None => return self.error("value"),
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }
}

/// Text for people or ASCII words: what is not UTF-8 is replaced.
pub(super) fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
