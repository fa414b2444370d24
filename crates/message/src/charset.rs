//! Charsets to UTF-8, piece by piece.

use encoding_rs::{CoderResult, REPLACEMENT, WINDOWS_1252};

use crate::structure::Part;
use crate::transfer::{self, Decoder};

/// Octets decoded at once, so that the memory in use does not follow the piece.
const STEP: usize = 16 << 10;

/// Whether text in this charset can be converted.
pub(crate) fn is_known(label: &[u8]) -> bool {
    is_utf7(label) || known(label).is_some()
}

/// Whether text in the charset of this name can be converted by [`CharsetDecoder`]; without regard
/// to case.
pub fn is_known_charset(label: &str) -> bool {
    is_known(label.as_bytes())
}

fn known(label: &[u8]) -> Option<&'static encoding_rs::Encoding> {
    encoding_rs::Encoding::for_label(label).filter(|encoding| *encoding != REPLACEMENT)
}

fn is_utf7(label: &[u8]) -> bool {
    [
        &b"utf-7"[..],
        b"unicode-1-1-utf-7",
        b"x-utf-7",
        b"csunicode11utf7",
    ]
    .iter()
    .any(|name| label.eq_ignore_ascii_case(name))
}

/// Converts octets in a charset to UTF-8; what cannot be read becomes U+FFFD.
pub struct CharsetDecoder {
    charset: Charset,
}

enum Charset {
    Known(Box<encoding_rs::Decoder>),
    Utf7(Utf7),
    /// No charset, an unknown one or US-ASCII: UTF-8 where it is valid, windows-1252 elsewhere.
    Guess(Vec<u8>),
}

impl CharsetDecoder {
    /// A decoder for this charset parameter, or for text without one.
    pub fn new(label: Option<&str>) -> CharsetDecoder {
        let label = label.unwrap_or("").as_bytes();
        let is_ascii = [&b"us-ascii"[..], b"ascii", b"ansi_x3.4-1968"]
            .iter()
            .any(|name| label.eq_ignore_ascii_case(name));
        let charset = match known(label) {
            _ if is_utf7(label) => Charset::Utf7(Utf7::default()),
            Some(encoding) if !is_ascii => Charset::Known(Box::new(encoding.new_decoder())),
            _ => Charset::Guess(Vec::new()),
        };
        CharsetDecoder { charset }
    }

    /// Converts the next octets.
    pub fn push(&mut self, bytes: &[u8], out: &mut String) {
        match &mut self.charset {
            Charset::Known(decoder) => known_push(decoder, bytes, false, out),
            Charset::Utf7(utf7) => utf7.push(bytes, out),
            Charset::Guess(held) => {
                let mut rest = bytes;
                // At most three octets are held; one or a few more decide about them.
                while !held.is_empty()
                    && let Some((&byte, tail)) = rest.split_first()
                {
                    let mut joined = std::mem::take(held);
                    joined.push(byte);
                    guess(&joined, held, out);
                    rest = tail;
                }
                guess(rest, held, out);
            }
        }
    }

    /// Converts what is left at the end of the text.
    pub fn finish(&mut self, out: &mut String) {
        match &mut self.charset {
            Charset::Known(decoder) => known_push(decoder, b"", true, out),
            Charset::Utf7(utf7) => utf7.end_base64(out),
            Charset::Guess(held) => windows_1252(&std::mem::take(held), out),
        }
    }
}

impl std::fmt::Debug for CharsetDecoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = match &self.charset {
            Charset::Known(decoder) => decoder.encoding().name(),
            Charset::Utf7(_) => "UTF-7",
            Charset::Guess(_) => "unknown",
        };
        f.debug_struct("CharsetDecoder")
            .field("charset", &name)
            .finish()
    }
}

fn known_push(decoder: &mut encoding_rs::Decoder, bytes: &[u8], last: bool, out: &mut String) {
    let mut rest = bytes;
    loop {
        // The capacity asked for is enough for all of it; the loop is for the case that not.
        out.reserve(
            decoder
                .max_utf8_buffer_length(rest.len())
                .unwrap_or(STEP)
                .min(4 * STEP),
        );
        let (result, read, _) = decoder.decode_to_string(rest, out, last);
        rest = &rest[read..];
        if result == CoderResult::InputEmpty {
            return;
        }
    }
}

/// UTF-8 where it is valid, windows-1252 elsewhere; holds back an incomplete character.
fn guess(bytes: &[u8], held: &mut Vec<u8>, out: &mut String) {
    let mut rest = bytes;
    loop {
        match std::str::from_utf8(rest) {
            Ok(text) => return out.push_str(text),
            Err(error) => {
                let (valid, invalid) = rest.split_at(error.valid_up_to());
                out.push_str(std::str::from_utf8(valid).unwrap_or(""));
                let Some(length) = error.error_len() else {
                    held.extend_from_slice(invalid);
                    return;
                };
                windows_1252(&invalid[..length], out);
                rest = &invalid[length..];
            }
        }
    }
}

fn windows_1252(bytes: &[u8], out: &mut String) {
    out.push_str(&WINDOWS_1252.decode_without_bom_handling(bytes).0);
}

/// Text of a header or parameter that has no charset.
pub(crate) fn guess_text(bytes: &[u8]) -> String {
    let mut out = String::new();
    let mut decoder = CharsetDecoder::new(None);
    decoder.push(bytes, &mut out);
    decoder.finish(&mut out);
    out
}

/// UTF-7 (RFC 2152).
#[derive(Debug, Default)]
struct Utf7 {
    in_base64: bool,
    /// Nothing came after the `+` yet.
    is_first: bool,
    bits: u32,
    bit_count: u8,
    high_surrogate: Option<u16>,
}

impl Utf7 {
    fn push(&mut self, bytes: &[u8], out: &mut String) {
        for &byte in bytes {
            if self.in_base64 {
                if let Some(value) = transfer::base64_value(byte) {
                    self.is_first = false;
                    self.add(value, out);
                    continue;
                }
                let is_plus = self.is_first && byte == b'-';
                self.end_base64(out);
                match byte {
                    b'-' if is_plus => out.push('+'),
                    b'-' => {}
                    _ => self.direct(byte, out),
                }
            } else {
                self.direct(byte, out);
            }
        }
    }

    fn direct(&mut self, byte: u8, out: &mut String) {
        match byte {
            b'+' => {
                self.in_base64 = true;
                self.is_first = true;
            }
            0..0x80 => out.push(byte.into()),
            _ => out.push(char::REPLACEMENT_CHARACTER),
        }
    }

    fn add(&mut self, value: u8, out: &mut String) {
        self.bits = self.bits << 6 | u32::from(value);
        self.bit_count += 6;
        if self.bit_count < 16 {
            return;
        }
        self.bit_count -= 16;
        let unit = (self.bits >> self.bit_count) as u16;
        self.bits &= (1 << self.bit_count) - 1;
        match (self.high_surrogate.take(), unit) {
            (Some(high), 0xdc00..=0xdfff) => {
                let pair = char::decode_utf16([high, unit]).next();
                out.push(
                    pair.and_then(Result::ok)
                        .unwrap_or(char::REPLACEMENT_CHARACTER),
                );
            }
            (high, unit) => {
                if high.is_some() {
                    out.push(char::REPLACEMENT_CHARACTER);
                }
                match unit {
                    0xd800..=0xdbff => self.high_surrogate = Some(unit),
                    _ => {
                        out.push(char::from_u32(unit.into()).unwrap_or(char::REPLACEMENT_CHARACTER))
                    }
                }
            }
        }
    }

    fn end_base64(&mut self, out: &mut String) {
        if self.high_surrogate.is_some() {
            out.push(char::REPLACEMENT_CHARACTER);
        }
        *self = Utf7::default();
    }
}

/// The text of a part, decoded and converted, from pieces of its body.
#[derive(Debug)]
pub struct TextDecoder {
    transfer: Decoder,
    charset: CharsetDecoder,
    decoded: Vec<u8>,
}

impl TextDecoder {
    /// A decoder for the body of this part. An encoding that is not known is taken for none.
    pub fn for_part(part: &Part) -> TextDecoder {
        TextDecoder {
            transfer: Decoder::new(part.encoding).unwrap_or_else(|_| Decoder::identity()),
            charset: CharsetDecoder::new(part.charset.as_deref()),
            decoded: Vec::new(),
        }
    }

    /// Decodes the next octets of the body.
    pub fn push(&mut self, bytes: &[u8], out: &mut String) {
        for step in bytes.chunks(STEP) {
            self.decoded.clear();
            self.transfer.push(step, &mut self.decoded);
            self.charset.push(&self.decoded, out);
        }
    }

    /// Decodes what is left at the end of the body.
    pub fn finish(&mut self, out: &mut String) {
        self.decoded.clear();
        self.transfer.finish(&mut self.decoded);
        self.charset.push(&self.decoded, out);
        self.charset.finish(out);
    }
}

/// Converts octets that are all there.
pub(crate) fn convert(label: &str, bytes: &[u8]) -> String {
    let mut out = String::new();
    let mut decoder = CharsetDecoder::new(Some(label));
    decoder.push(bytes, &mut out);
    decoder.finish(&mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers_in_every_split() {
        let cases: [(Option<&str>, &[u8], &str); 14] = [
            (Some("utf-8"), "grün €".as_bytes(), "grün €"),
            (Some("ISO-8859-1"), b"gr\xfcn", "grün"),
            (Some("koi8-r"), b"\xf0\xf2", "ПР"),
            (Some("iso-2022-jp"), b"\x1b$B$3$s\x1b(B", "こん"),
            (Some("gb2312"), b"\xc4\xe3", "你"),
            (None, "grün".as_bytes(), "grün"),
            (Some("us-ascii"), b"gr\xfcn \xe2\x82\xac \x80", "grün € €"),
            (Some("x-nonsense"), b"\xe2\x82", "â‚"),
            // RFC 2152
            (Some("utf-7"), b"Hi Mom -+Jjo--!", "Hi Mom -☺-!"),
            (Some("UTF-7"), b"A+ImIDkQ.", "A≢Α."),
            (Some("utf-7"), b"+ZeVnLIqe-", "日本語"),
            (Some("utf-7"), b"1 +- 1", "1 + 1"),
            (Some("utf-7"), b"+2D3eCQ-", "😉"),
            (Some("utf-7"), b"+2D0-x\xff", "\u{fffd}x\u{fffd}"),
        ];
        for (label, bytes, expected) in cases {
            for piece in 1..=bytes.len() {
                let mut decoder = CharsetDecoder::new(label);
                let mut out = String::new();
                for bytes in bytes.chunks(piece) {
                    decoder.push(bytes, &mut out);
                }
                decoder.finish(&mut out);
                assert_eq!(out, expected, "{label:?} in pieces of {piece}");
            }
        }
    }
}
