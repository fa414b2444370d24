//! IMAP strings as they go to a client (RFC 9051 §4.3, §9).

use memchr::memchr2;

/// How text that is not ASCII is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strings {
    /// As literals: any client can read it (RFC 3501 allows 8-bit octets in literals only).
    #[default]
    Literal,
    /// As quoted strings if it is UTF-8: after ENABLE of IMAP4rev2 or UTF8=ACCEPT.
    Utf8Quoted,
}

/// Appends an IMAP string: quoted, or a literal for what a quoted string cannot hold.
///
/// NUL can be in neither and becomes `?`.
pub(crate) fn string(strings: Strings, text: &[u8], out: &mut Vec<u8>) {
    let (mut all, mut not_quotable, mut special) = (0, 0, 0);
    for &byte in text {
        all |= byte;
        not_quotable |= u8::from(byte == 0) | u8::from(byte == b'\r') | u8::from(byte == b'\n');
        special |= u8::from(byte == b'"') | u8::from(byte == b'\\');
    }
    let is_text =
        all < 0x80 || (strings == Strings::Utf8Quoted && std::str::from_utf8(text).is_ok());
    if not_quotable != 0 || !is_text {
        out.push(b'{');
        number(text.len() as u64, out);
        out.extend_from_slice(b"}\r\n");
        out.extend(text.iter().map(|&byte| if byte == 0 { b'?' } else { byte }));
        return;
    }
    out.reserve(text.len() + 2);
    out.push(b'"');
    let mut rest = text;
    while special != 0
        && let Some(at) = memchr2(b'"', b'\\', rest)
    {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(&[b'\\', rest[at]]);
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// Appends a string or `NIL`.
pub(crate) fn nstring(strings: Strings, text: Option<&[u8]>, out: &mut Vec<u8>) {
    match text {
        Some(text) => string(strings, text, out),
        None => out.extend_from_slice(b"NIL"),
    }
}

/// Appends a number in decimal.
pub(crate) fn number(number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = number;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}
