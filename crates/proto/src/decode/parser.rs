//! The elements of the grammar that all commands share (RFC 9051 §4, §9).

use std::borrow::Cow;
use std::num::NonZeroU32;

use memchr::{memchr, memchr3};

use super::error::{DecodeError, DecodeErrorKind};
use crate::types::{
    Atom, Flag, MailboxName, MailboxNameError, ModSeq, Number, NumberSet, ObjectId, SetEnd,
    SetRange, is_astring_char, is_atom_char, is_tag_char,
};

pub(crate) type Result<T> = std::result::Result<T, DecodeError>;

/// The most digits of a literal header that are looked at; more make no literal.
const LITERAL_DIGITS_MAX: usize = 20;

/// A literal header: `{n}`, `{n+}`, `~{n}` or `~{n+}`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct LiteralSpec {
    /// `None` if it is more than 2⁶³−1.
    pub(crate) size: Option<u64>,
    pub(crate) literal8: bool,
    pub(crate) synchronizing: bool,
}

/// The literal header that ends `line` (without its line end), and where it begins.
pub(crate) fn literal_at_end(line: &[u8]) -> Option<(LiteralSpec, usize)> {
    let (&last, rest) = line.split_last()?;
    if last != b'}' {
        return None;
    }
    let (synchronizing, rest) = match rest.split_last() {
        Some((b'+', rest)) => (false, rest),
        _ => (true, rest),
    };
    let digits = rest.iter().rev().take(LITERAL_DIGITS_MAX + 1);
    let digits = digits.take_while(|b| b.is_ascii_digit()).count();
    if digits == 0 || digits > LITERAL_DIGITS_MAX {
        return None;
    }
    let open = rest.len().checked_sub(digits + 1)?;
    if rest[open] != b'{' {
        return None;
    }
    let size = parse_number(&rest[open + 1..]).filter(|n| *n <= i64::MAX as u64);
    let literal8 = open > 0 && rest[open - 1] == b'~';
    Some((
        LiteralSpec {
            size,
            literal8,
            synchronizing,
        },
        open - usize::from(literal8),
    ))
}

pub(super) fn parse_number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0u64, |n, b| {
        n.checked_mul(10)?
            .checked_add(u64::from(b.wrapping_sub(b'0')))
    })
}

/// A word in upper case, as long as any that is known.
pub(crate) enum Word<'a> {
    /// In upper case already, as most clients write commands.
    Upper(&'a [u8]),
    Changed([u8; WORD_MAX], usize),
}

/// No known word is as long.
const WORD_MAX: usize = 24;

impl Word<'_> {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Upper(bytes) => bytes,
            Self::Changed(bytes, len) => &bytes[..*len],
        }
    }
}

/// Which bytes a word can have.
const WORD_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut b = 0;
    while b < 128 {
        let byte = b as u8;
        table[b] = byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'+');
        b += 1;
    }
    table
};

/// A reader of one command (or a piece of one) that is there as a whole.
pub(crate) struct Parser<'a> {
    bytes: &'a [u8],
    pos: usize,
    /// Mailbox names are UTF-8, not modified UTF-7.
    utf8: bool,
    /// How many ranges and list members the rest of the command may have.
    items_left: usize,
    /// How deep search keys may still nest.
    depth_left: usize,
    /// A quoted string or an atom had bytes above 127.
    pub(crate) utf8_quoted: bool,
}

impl<'a> Parser<'a> {
    pub(crate) fn new(bytes: &'a [u8], options: &super::DecodeOptions) -> Self {
        Self {
            bytes,
            pos: 0,
            utf8: options.utf8,
            items_left: options.items_max,
            depth_left: options.depth_max,
            utf8_quoted: false,
        }
    }

    pub(crate) fn position(&self) -> usize {
        self.pos
    }

    pub(crate) fn rewind(&mut self, position: usize) {
        self.pos = position.min(self.bytes.len());
    }

    /// Takes `count` bytes that the caller has seen.
    pub(super) fn advance(&mut self, count: usize) {
        self.rewind(self.pos + count);
    }

    pub(crate) fn at_end(&self) -> bool {
        self.pos == self.bytes.len()
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.pos).copied()
    }

    pub(crate) fn peek_at(&self, ahead: usize) -> Option<u8> {
        self.bytes.get(self.pos.checked_add(ahead)?).copied()
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        &self.bytes[self.pos..]
    }

    pub(crate) fn fail<T>(&self, kind: DecodeErrorKind, message: &'static str) -> Result<T> {
        Err(DecodeError {
            kind,
            message,
            position: self.pos,
        })
    }

    pub(crate) fn syntax<T>(&self, message: &'static str) -> Result<T> {
        self.fail(DecodeErrorKind::Syntax, message)
    }

    /// Counts one more member of a set or list.
    pub(crate) fn count_item(&mut self) -> Result<()> {
        match self.items_left.checked_sub(1) {
            Some(left) => {
                self.items_left = left;
                Ok(())
            }
            None => self.fail(DecodeErrorKind::Limit, "too many ranges or list members"),
        }
    }

    /// Runs `inner` one level deeper.
    pub(crate) fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let Some(left) = self.depth_left.checked_sub(1) else {
            return self.fail(DecodeErrorKind::Limit, "nested too deeply");
        };
        self.depth_left = left;
        let value = inner(self);
        self.depth_left += 1;
        value
    }

    pub(crate) fn eat(&mut self, b: u8) -> bool {
        let found = self.peek() == Some(b);
        self.pos += usize::from(found);
        found
    }

    pub(crate) fn expect(&mut self, b: u8, message: &'static str) -> Result<()> {
        if self.eat(b) {
            Ok(())
        } else {
            self.syntax(message)
        }
    }

    /// SP: exactly one space.
    pub(crate) fn space(&mut self) -> Result<()> {
        self.expect(b' ', "expected a space")
    }

    pub(crate) fn open(&mut self) -> Result<()> {
        self.expect(b'(', "expected \"(\"")
    }

    pub(crate) fn close(&mut self) -> Result<()> {
        self.expect(b')', "expected \")\"")
    }

    /// The end of the command. Spaces before it do no harm.
    pub(crate) fn end(&mut self) -> Result<()> {
        while self.eat(b' ') {}
        if self.at_end() {
            Ok(())
        } else {
            self.syntax("unexpected data after the command")
        }
    }

    /// Whether only spaces are left.
    pub(crate) fn only_spaces_left(&self) -> bool {
        self.rest().iter().all(|b| *b == b' ')
    }

    fn take_while(&mut self, accept: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = self.rest();
        let len = rest.iter().position(|b| !accept(*b)).unwrap_or(rest.len());
        self.pos += len;
        &rest[..len]
    }

    /// A word of letters, digits, `.`, `-`, `_` and `+`, for comparison with known ones. It may
    /// be empty. What follows it must be checked by the caller's next step.
    pub(crate) fn word(&mut self) -> Word<'a> {
        let rest = self.rest();
        let end = rest.iter().position(|&b| !WORD_BYTES[usize::from(b)]);
        let word = &rest[..end.unwrap_or(rest.len())];
        self.pos += word.len();
        if !word.iter().any(u8::is_ascii_lowercase) {
            return Word::Upper(word);
        }
        // A longer text is cut off and so cannot be a known word.
        let len = word.len().min(WORD_MAX);
        let mut bytes = [0; WORD_MAX];
        bytes[..len].copy_from_slice(&word[..len]);
        bytes.make_ascii_uppercase();
        Word::Changed(bytes, len)
    }

    /// The word ahead, without taking it.
    pub(crate) fn peek_word(&mut self) -> Word<'a> {
        let start = self.pos;
        let word = self.word();
        self.pos = start;
        word
    }

    /// Takes `word` (in any case) if it is the whole next word.
    pub(crate) fn eat_word(&mut self, word: &[u8]) -> bool {
        let start = self.pos;
        if self.word().as_bytes() == word {
            return true;
        }
        self.pos = start;
        false
    }

    /// `"(" item *(SP item) ")"`; empty only if `may_be_empty`.
    pub(crate) fn list<T>(
        &mut self,
        may_be_empty: bool,
        mut item: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        self.open()?;
        let mut items = Vec::new();
        if may_be_empty && self.eat(b')') {
            return Ok(items);
        }
        loop {
            self.count_item()?;
            items.push(item(self)?);
            if self.eat(b')') {
                return Ok(items);
            }
            self.expect(b' ', "expected a space or \")\"")?;
        }
    }

    /// `item *(SP item)` to the end of the command.
    pub(crate) fn until_end<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut items = Vec::new();
        loop {
            self.count_item()?;
            items.push(item(self)?);
            if self.only_spaces_left() {
                return Ok(items);
            }
            self.space()?;
        }
    }

    // ---- numbers ----

    fn digits(&mut self) -> Result<u64> {
        let (start, mut n) = (self.pos, 0u64);
        for b in self.rest() {
            let digit = b.wrapping_sub(b'0');
            if digit > 9 {
                break;
            }
            // What does not fit stays too large.
            n = n.saturating_mul(10).saturating_add(digit.into());
            self.pos += 1;
        }
        if self.pos == start {
            return self.syntax("expected a number");
        }
        if n > i64::MAX as u64 {
            return self.fail(DecodeErrorKind::Number, "number too large");
        }
        Ok(n)
    }

    /// `number = 1*DIGIT`: 0 ≤ n < 2³²
    pub(crate) fn number(&mut self) -> Result<u32> {
        let n = self.digits()?;
        u32::try_from(n).or_else(|_| self.fail(DecodeErrorKind::Number, "number too large"))
    }

    /// `nz-number = digit-nz *DIGIT`: 0 < n < 2³²
    pub(crate) fn nz_number(&mut self) -> Result<NonZeroU32> {
        if self.peek() == Some(b'0') {
            return self.syntax("expected a number above zero");
        }
        let n = self.number()?;
        NonZeroU32::new(n).map_or_else(|| self.syntax("expected a number above zero"), Ok)
    }

    /// `number64 = 1*DIGIT`: 0 ≤ n < 2⁶³
    pub(crate) fn number64(&mut self) -> Result<u64> {
        self.digits()
    }

    /// `mod-sequence-valzer = "0" / mod-sequence-value` (RFC 7162 §7)
    pub(crate) fn mod_seq(&mut self) -> Result<ModSeq> {
        self.digits().map(ModSeq)
    }

    // ---- sets ----

    /// `seq-number = nz-number / "*"`
    pub(crate) fn set_end<N: Number>(&mut self) -> Result<SetEnd<N>> {
        if self.eat(b'*') {
            return Ok(SetEnd::Star);
        }
        self.nz_number().map(|n| SetEnd::Number(N::from_nonzero(n)))
    }

    /// ```abnf
    /// seq-range    = seq-number ":" seq-number
    /// sequence-set = (seq-number / seq-range) ["," sequence-set]
    /// sequence-set =/ seq-last-command      ; "$", RFC 5182
    /// ```
    pub(crate) fn set<N: Number>(&mut self) -> Result<NumberSet<N>> {
        let mut set = NumberSet::default();
        loop {
            self.count_item()?;
            if self.eat(b'$') {
                set.saved = true;
            } else {
                let first = self.set_end()?;
                let last = if self.eat(b':') {
                    self.set_end()?
                } else {
                    first
                };
                set.ranges.push(SetRange { first, last });
            }
            if !self.eat(b',') {
                return Ok(set);
            }
        }
    }

    /// A set without `*` and `$` (RFC 7162 §7, known-uids).
    pub(crate) fn plain_set<N: Number>(&mut self) -> Result<NumberSet<N>> {
        let set = self.set()?;
        if set.saved || set.has_star() {
            return self.syntax("\"*\" and \"$\" are not allowed in this set");
        }
        Ok(set)
    }

    // ---- strings ----

    /// The characters of a tag; may be none.
    pub(crate) fn tag_text(&mut self) -> &'a [u8] {
        self.take_while(is_tag_char)
    }

    /// The characters of base64; may be none.
    pub(crate) fn base64_text(&mut self) -> &'a [u8] {
        self.take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'='))
    }

    /// `atom = 1*ATOM-CHAR`
    pub(crate) fn atom(&mut self) -> Result<Atom> {
        let text = self.take_while(is_atom_char);
        match std::str::from_utf8(text).ok().and_then(Atom::new) {
            Some(atom) => Ok(atom),
            None => self.syntax("expected an atom"),
        }
    }

    /// `charset = atom / quoted`
    pub(crate) fn charset(&mut self) -> Result<String> {
        let name = self.astring()?;
        match String::from_utf8(name.into_owned()) {
            Ok(name) if name.is_ascii() && !name.is_empty() => Ok(name),
            _ => self.syntax("expected a charset"),
        }
    }

    /// ```abnf
    /// astring = 1*ASTRING-CHAR / string
    /// ```
    /// Also taken as they are sent and do no harm: `%`, `*` and `\` inside, and UTF-8.
    pub(crate) fn astring(&mut self) -> Result<Cow<'a, [u8]>> {
        if let Some(string) = self.string_if_any()? {
            return Ok(string);
        }
        let text = self
            .take_while(|b| is_astring_char(b) || matches!(b, b'%' | b'*' | b'\\') || b >= 0x80);
        if text.is_empty() {
            return self.syntax("expected a string");
        }
        if !text.is_ascii() {
            self.check_utf8(text)?;
        }
        Ok(Cow::Borrowed(text))
    }

    /// An astring, owned.
    pub(crate) fn astring_owned(&mut self) -> Result<Vec<u8>> {
        self.astring().map(Cow::into_owned)
    }

    /// `string = quoted / literal`
    pub(crate) fn string(&mut self) -> Result<Cow<'a, [u8]>> {
        match self.string_if_any()? {
            Some(string) => Ok(string),
            None => self.syntax("expected a quoted string or a literal"),
        }
    }

    /// `nstring = string / nil`
    pub(crate) fn nstring(&mut self) -> Result<Option<Vec<u8>>> {
        if let Some(string) = self.string_if_any()? {
            return Ok(Some(string.into_owned()));
        }
        if self.eat_word(b"NIL") {
            Ok(None)
        } else {
            self.syntax("expected a string or NIL")
        }
    }

    fn string_if_any(&mut self) -> Result<Option<Cow<'a, [u8]>>> {
        match self.peek() {
            Some(b'"') => self.quoted().map(Some),
            Some(b'{') => self.literal().map(|bytes| Some(Cow::Borrowed(bytes))),
            Some(b'~') if self.peek_at(1) == Some(b'{') => {
                self.literal().map(|bytes| Some(Cow::Borrowed(bytes)))
            }
            _ => Ok(None),
        }
    }

    /// ```abnf
    /// quoted      = DQUOTE *QUOTED-CHAR DQUOTE
    /// QUOTED-CHAR = <any TEXT-CHAR except quoted-specials> /
    ///               "\" quoted-specials / UTF8-2 / UTF8-3 / UTF8-4
    /// ```
    pub(crate) fn quoted(&mut self) -> Result<Cow<'a, [u8]>> {
        self.expect(b'"', "expected a quoted string")?;
        let rest = self.rest();
        let Some(end) = memchr3(b'"', b'\\', b'\n', rest) else {
            return self.syntax("quoted string does not end");
        };
        if rest[end] == b'"' {
            let text = &rest[..end];
            self.check_quoted(text)?;
            self.pos += end + 1;
            return Ok(Cow::Borrowed(text));
        }
        let mut text = Vec::new();
        loop {
            let rest = self.rest();
            let Some(end) = memchr3(b'"', b'\\', b'\n', rest) else {
                return self.syntax("quoted string does not end");
            };
            text.extend_from_slice(&rest[..end]);
            self.pos += end;
            match (rest[end], rest.get(end + 1)) {
                (b'"', _) => break,
                (b'\\', Some(escaped @ (b'"' | b'\\'))) => {
                    text.push(*escaped);
                    self.pos += 2;
                }
                (b'\\', _) => return self.syntax("only \\\" and \\\\ are escapes"),
                _ => return self.syntax("quoted string does not end"),
            }
        }
        self.check_quoted(&text)?;
        self.pos += 1;
        Ok(Cow::Owned(text))
    }

    fn check_quoted(&mut self, text: &[u8]) -> Result<()> {
        if text.iter().any(|b| matches!(b, 0 | b'\r')) {
            return self.syntax("quoted string has a control character that is not allowed");
        }
        if text.is_ascii() {
            Ok(())
        } else {
            self.check_utf8(text)
        }
    }

    fn check_utf8(&mut self, text: &[u8]) -> Result<()> {
        self.utf8_quoted = true;
        if std::str::from_utf8(text).is_ok() {
            Ok(())
        } else {
            self.syntax("string is not UTF-8; use a literal")
        }
    }

    /// ```abnf
    /// literal  = "{" number64 ["+"] "}" CRLF *CHAR8
    /// literal8 = "~{" number64 ["+"] "}" CRLF *OCTET
    /// ```
    fn literal(&mut self) -> Result<&'a [u8]> {
        let literal8 = self.eat(b'~');
        self.expect(b'{', "expected a literal")?;
        let size = self.number64()?;
        self.eat(b'+');
        self.expect(b'}', "literal header does not end")?;
        if self.at_end() {
            // The line end was cut off: the literal itself has not come yet.
            return self.fail(DecodeErrorKind::Incomplete, "literal is not there");
        }
        self.eat(b'\r');
        self.expect(b'\n', "literal header is not at the end of a line")?;
        let rest = self.rest();
        let bytes = match usize::try_from(size).ok().and_then(|size| rest.get(..size)) {
            Some(bytes) => bytes,
            None => return self.fail(DecodeErrorKind::Incomplete, "literal is not there"),
        };
        if !literal8 && memchr(0, bytes).is_some() {
            return self.syntax("literal has a NUL");
        }
        self.pos += bytes.len();
        Ok(bytes)
    }

    /// A literal header at the end of what there is, for a literal that is streamed.
    pub(crate) fn literal_header(&mut self) -> Result<LiteralSpec> {
        match literal_at_end(self.rest()) {
            Some((spec, 0)) => {
                self.pos = self.bytes.len();
                Ok(spec)
            }
            _ => self.syntax("expected a literal"),
        }
    }

    // ---- names, flags ----

    /// ```abnf
    /// mailbox = "INBOX" / astring
    /// ```
    pub(crate) fn mailbox(&mut self) -> Result<MailboxName> {
        let name = self.astring()?;
        self.mailbox_from(&name)
    }

    fn decoded_name(&self, name: &[u8]) -> std::result::Result<MailboxName, MailboxNameError> {
        match self.utf8 {
            true => MailboxName::from_utf8(name),
            false => MailboxName::from_mutf7(name),
        }
    }

    fn mailbox_from(&self, name: &[u8]) -> Result<MailboxName> {
        self.decoded_name(name).or_else(|error| {
            let message = match error {
                MailboxNameError::NotCanonical => "mailbox name is not canonical modified UTF-7",
                MailboxNameError::NotUtf8 => "mailbox name is not UTF-8",
                MailboxNameError::Control => "mailbox name has a control character",
            };
            self.fail(DecodeErrorKind::MailboxName, message)
        })
    }

    /// A mailbox name that is only a part of one (reference) or has wildcards: decoded alike, but
    /// `inbox` stays as it is. What could be part of no name becomes U+0000, which is part of none either:
    /// nothing matches it, and that is no error (RFC 9051 §6.3.9).
    pub(crate) fn mailbox_text(&mut self, name: &[u8]) -> Result<String> {
        if name.eq_ignore_ascii_case(b"INBOX") {
            return Ok(String::from_utf8_lossy(name).into_owned());
        }
        match self.decoded_name(name) {
            Ok(name) => Ok(name.as_str().to_owned()),
            Err(MailboxNameError::NotCanonical | MailboxNameError::Control) => Ok("\0".to_owned()),
            Err(MailboxNameError::NotUtf8) => self.mailbox_from(name).map(|_| String::new()),
        }
    }

    /// ```abnf
    /// flag = "\Answered" / "\Flagged" / "\Deleted" / "\Seen" / "\Draft" /
    ///        flag-keyword / flag-extension
    /// ```
    pub(crate) fn flag(&mut self) -> Result<Flag> {
        let backslash = self.eat(b'\\');
        let name = self.take_while(is_atom_char);
        if let Some(flag) = Flag::system(name).filter(|_| backslash) {
            return Ok(flag);
        }
        match std::str::from_utf8(name).ok().and_then(Atom::new) {
            Some(name) if backslash => Ok(Flag::Extension(name)),
            Some(name) => Ok(Flag::Keyword(name)),
            None => self.syntax("expected a flag"),
        }
    }

    /// `flag-list = "(" [flag *(SP flag)] ")"`
    pub(crate) fn flag_list(&mut self) -> Result<Vec<Flag>> {
        self.list(true, Self::flag)
    }

    /// An object identifier (RFC 8474 §7), as an atom or a string.
    pub(crate) fn object_id(&mut self) -> Result<ObjectId> {
        let id = self.astring()?;
        match std::str::from_utf8(&id).ok().and_then(ObjectId::new) {
            Some(id) => Ok(id),
            None => self.syntax("expected an object identifier"),
        }
    }
}
