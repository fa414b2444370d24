//! Content-Transfer-Encoding taken off, piece by piece (RFC 2045 §6).

use memchr::memchr2;

use crate::structure::{Encoding, Kind, Part};

/// White space at the end of a quoted-printable line is held back up to this many octets.
const HELD_MAX: usize = 1024;

/// The encoding of a part is none that we know: `NO [UNKNOWN-CTE]` (RFC 9051 §6.4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown content transfer encoding")]
pub struct UnknownEncoding;

/// Decodes the body of a part that comes in pieces, in bounded memory.
///
/// Damaged input decodes to what can be read: octets that are not base64 are passed over, a `=`
/// that escapes nothing stays.
#[derive(Clone, Debug)]
pub struct Decoder {
    transfer: Transfer,
    /// For text: lines end in CRLF whatever is stored (RFC 9051 §7.5.2, BINARY).
    line_ends: Option<LineEnds>,
    decoded: Vec<u8>,
}

#[derive(Clone, Debug)]
enum Transfer {
    Identity,
    Base64(Base64),
    QuotedPrintable(QuotedPrintable),
}

impl Decoder {
    /// A decoder for this encoding that changes nothing else.
    ///
    /// # Errors
    /// [`UnknownEncoding`] for [`Encoding::Unknown`].
    pub fn new(encoding: Encoding) -> Result<Decoder, UnknownEncoding> {
        let transfer = match encoding {
            Encoding::SevenBit | Encoding::EightBit | Encoding::Binary => Transfer::Identity,
            Encoding::QuotedPrintable => Transfer::QuotedPrintable(QuotedPrintable::default()),
            Encoding::Base64 => Transfer::Base64(Base64::default()),
            Encoding::Unknown => return Err(UnknownEncoding),
        };
        Ok(Decoder {
            transfer,
            ..Decoder::identity()
        })
    }

    pub(crate) fn identity() -> Decoder {
        Decoder {
            transfer: Transfer::Identity,
            line_ends: None,
            decoded: Vec::new(),
        }
    }

    /// The decoder for `BINARY` of this part: text gets CRLF line ends, the content of a
    /// multipart or message is given as it is.
    ///
    /// # Errors
    /// [`UnknownEncoding`] for a leaf with an unknown encoding.
    pub fn for_binary(part: &Part) -> Result<Decoder, UnknownEncoding> {
        if part.kind != Kind::Leaf {
            return Decoder::new(Encoding::Binary);
        }
        let mut decoder = Decoder::new(part.encoding)?;
        decoder.line_ends = part.is_text().then(LineEnds::default);
        Ok(decoder)
    }

    /// Decodes the next octets and appends what is complete.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let Some(line_ends) = &mut self.line_ends else {
            self.transfer.push(bytes, out);
            return;
        };
        if let Transfer::Identity = self.transfer {
            line_ends.push(bytes, out);
            return;
        }
        self.decoded.clear();
        self.transfer.push(bytes, &mut self.decoded);
        line_ends.push(&self.decoded, out);
    }

    /// Appends what is left at the end of the body.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.decoded.clear();
        self.transfer.finish(&mut self.decoded);
        match &mut self.line_ends {
            Some(line_ends) => line_ends.push(&self.decoded, out),
            None => out.extend_from_slice(&self.decoded),
        }
    }
}

/// What a decoded part is like, for `BINARY.SIZE` and to choose literal or literal8.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measure {
    /// Octets after decoding.
    pub octets: u64,
    /// Whether a NUL is among them: then only a literal8 can carry them.
    pub has_nul: bool,
}

impl Measure {
    /// Counts decoded octets.
    pub fn add(&mut self, decoded: &[u8]) {
        self.octets += decoded.len() as u64;
        self.has_nul = self.has_nul || memchr::memchr(0, decoded).is_some();
    }
}

impl Transfer {
    fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        match self {
            Transfer::Identity => out.extend_from_slice(bytes),
            Transfer::Base64(base64) => base64.push(bytes, out),
            Transfer::QuotedPrintable(quoted) => quoted.push(bytes, out),
        }
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        match self {
            Transfer::Identity => {}
            Transfer::Base64(base64) => base64.flush(out),
            Transfer::QuotedPrintable(quoted) => quoted.finish(out),
        }
    }
}

/// Makes every LF a CRLF.
#[derive(Clone, Debug, Default)]
struct LineEnds {
    after_cr: bool,
}

impl LineEnds {
    fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let mut rest = bytes;
        while let Some(at) = memchr::memchr(b'\n', rest) {
            let has_cr = if at == 0 {
                self.after_cr
            } else {
                rest[at - 1] == b'\r'
            };
            out.extend_from_slice(&rest[..at]);
            out.extend_from_slice(if has_cr { b"\n" } else { b"\r\n" });
            rest = &rest[at + 1..];
            self.after_cr = false;
        }
        out.extend_from_slice(rest);
        if let Some(&last) = rest.last() {
            self.after_cr = last == b'\r';
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Base64 {
    bits: u32,
    /// Characters in `bits`, less than four.
    count: u8,
}

const NOT_BASE64: u8 = 0xff;

/// The value of each character of the alphabet (RFC 2045 §6.8).
const BASE64_VALUES: [u8; 256] = {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut values = [NOT_BASE64; 256];
    let mut at = 0;
    while at < alphabet.len() {
        values[alphabet[at] as usize] = at as u8;
        at += 1;
    }
    values
};

/// The value of a base64 character.
pub(crate) fn base64_value(byte: u8) -> Option<u8> {
    Some(BASE64_VALUES[byte as usize]).filter(|&value| value != NOT_BASE64)
}

impl Base64 {
    fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.count == 0 {
                let (quads, _) = rest.as_chunks::<4>();
                let mut used = 0;
                for quad in quads {
                    let values = quad.map(|byte| BASE64_VALUES[byte as usize]);
                    if values.iter().fold(0, |all, value| all | value) > 63 {
                        break;
                    }
                    let [a, b, c, d] = values;
                    out.extend_from_slice(&[a << 2 | b >> 4, b << 4 | c >> 2, c << 6 | d]);
                    used += 4;
                }
                rest = &rest[used..];
            }
            let Some((&byte, tail)) = rest.split_first() else {
                return;
            };
            rest = tail;
            if let Some(value) = base64_value(byte) {
                self.bits = self.bits << 6 | u32::from(value);
                self.count += 1;
                if self.count == 4 {
                    out.extend_from_slice(&self.bits.to_be_bytes()[1..]);
                    *self = Base64::default();
                }
            } else if byte == b'=' {
                // The end; but several encoded texts one after the other are seen as well.
                self.flush(out);
            }
        }
    }

    /// Writes what an incomplete group of characters holds.
    fn flush(&mut self, out: &mut Vec<u8>) {
        match self.count {
            2 => out.push((self.bits >> 4) as u8),
            3 => out.extend_from_slice(&[(self.bits >> 10) as u8, (self.bits >> 2) as u8]),
            _ => {}
        }
        *self = Base64::default();
    }
}

#[derive(Clone, Debug, Default)]
struct QuotedPrintable {
    escape: Escape,
    /// White space (and CR) that is dropped if the line ends after it, kept otherwise.
    held: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Escape {
    #[default]
    No,
    /// After `=`; white space after it is in `held`.
    Started,
    /// After `=` and one hexadecimal digit.
    Digit(u8),
    /// After `=` and CR.
    Cr,
}

impl QuotedPrintable {
    fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let mut rest = bytes;
        while let Some(&byte) = rest.first() {
            if self.escape != Escape::No {
                if self.escaped(byte, out) {
                    rest = &rest[1..];
                }
                continue;
            }
            if !self.held.is_empty() && !matches!(byte, b'\n' | b' ' | b'\t' | b'\r') {
                out.append(&mut self.held);
            }
            let Some(at) = memchr2(b'=', b'\n', rest) else {
                let held = rest.len() - trim_white(rest).len();
                let (text, white) = rest.split_at(rest.len() - held);
                if !text.is_empty() {
                    out.append(&mut self.held);
                }
                out.extend_from_slice(text);
                self.held.extend_from_slice(white);
                if self.held.len() > 2 * HELD_MAX {
                    out.extend(self.held.drain(..self.held.len() - HELD_MAX));
                }
                return;
            };
            let line = &rest[..at];
            if rest[at] == b'=' {
                out.append(&mut self.held);
                out.extend_from_slice(line);
                self.escape = Escape::Started;
            } else if !trim_white(line).is_empty() || self.held.is_empty() {
                out.append(&mut self.held);
                end_line(line, out);
            } else {
                self.held.extend_from_slice(line);
                end_line(&self.held, out);
                self.held.clear();
            }
            rest = &rest[at + 1..];
        }
    }

    /// Takes an octet after `=`; false if it does not belong to the escape and is still to be
    /// read.
    fn escaped(&mut self, byte: u8, out: &mut Vec<u8>) -> bool {
        let escape = std::mem::take(&mut self.escape);
        match (escape, byte) {
            (Escape::Started, b' ' | b'\t') if self.held.len() < HELD_MAX => {
                self.held.push(byte);
                self.escape = Escape::Started;
            }
            (Escape::Started, b'\r') => {
                self.held.clear();
                self.escape = Escape::Cr;
            }
            // A soft line break, with what white space a relay added.
            (Escape::Started, b'\n') => self.held.clear(),
            (Escape::Started, _) if self.held.is_empty() && byte.is_ascii_hexdigit() => {
                self.escape = Escape::Digit(byte);
            }
            (Escape::Started, _) => {
                out.push(b'=');
                out.append(&mut self.held);
                return false;
            }
            (Escape::Digit(first), _) => {
                let Some(value) = hex(first, byte) else {
                    out.extend_from_slice(&[b'=', first]);
                    return false;
                };
                out.push(value);
            }
            (Escape::Cr, b'\n') => {}
            (Escape::Cr | Escape::No, _) => return false,
        }
        true
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        if let Escape::Digit(first) = self.escape {
            out.extend_from_slice(&[b'=', first]);
        }
        // What is held stood at the end of the last line; only a CR is not white space.
        if self.held.contains(&b'\r') {
            let end = self
                .held
                .iter()
                .rposition(|&byte| byte == b'\r')
                .map_or(0, |at| at + 1);
            out.extend_from_slice(&self.held[..end]);
        }
        *self = QuotedPrintable::default();
    }
}

/// A line without the white space (and CR) at its end.
fn trim_white(line: &[u8]) -> &[u8] {
    let is_white = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r');
    let length = line
        .iter()
        .rposition(|byte| !is_white(byte))
        .map_or(0, |at| at + 1);
    &line[..length]
}

/// A line without the spaces and tabs at its end (RFC 2045 §6.7 rule 3). Only the last
/// `HELD_MAX` octets are looked at, so that it does not matter in which pieces they came.
fn trim_line(line: &[u8]) -> &[u8] {
    let kept = line.len().saturating_sub(HELD_MAX);
    let is_text = |byte: &u8| !matches!(byte, b' ' | b'\t');
    let length = line[kept..]
        .iter()
        .rposition(is_text)
        .map_or(0, |at| at + 1);
    &line[..kept + length]
}

/// Appends a line whose LF was read.
fn end_line(line: &[u8], out: &mut Vec<u8>) {
    match line.strip_suffix(b"\r") {
        Some(text) => {
            out.extend_from_slice(trim_line(text));
            out.extend_from_slice(b"\r\n");
        }
        None => {
            out.extend_from_slice(trim_line(line));
            out.push(b'\n');
        }
    }
}

/// The octet of two hexadecimal digits.
pub(crate) fn hex(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    Some((digit(high)? << 4 | digit(low)?) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(encoding: Encoding, text: &[u8], piece: usize) -> Vec<u8> {
        let mut decoder = Decoder::new(encoding).expect("known encoding");
        let mut out = Vec::new();
        for bytes in text.chunks(piece) {
            decoder.push(bytes, &mut out);
        }
        decoder.finish(&mut out);
        out
    }

    #[test]
    fn known_answers_in_every_split() {
        use Encoding::{Base64, QuotedPrintable};
        let cases: [(Encoding, &[u8], &[u8]); 21] = [
            (Base64, b"", b""),
            (Base64, b"TQ==", b"M"),
            (Base64, b"TWE=", b"Ma"),
            (Base64, b"TWFu", b"Man"),
            (Base64, b"TWFu\r\nTWFu\r\n", b"ManMan"),
            (Base64, b"T W\tF!u", b"Man"),
            (Base64, b"TWE", b"Ma"),
            (Base64, b"TQ==TWFu", b"MMan"),
            (Base64, b"T", b""),
            (QuotedPrintable, b"a=3Db", b"a=b"),
            (QuotedPrintable, b"a=\r\nb", b"ab"),
            (QuotedPrintable, b"a=\nb", b"ab"),
            (QuotedPrintable, b"a= \t\r\nb", b"ab"),
            (QuotedPrintable, b"a \t\r\nb", b"a\r\nb"),
            (QuotedPrintable, b"a b \nc ", b"a b\nc"),
            (QuotedPrintable, b"a=zzb=4", b"a=zzb=4"),
            (QuotedPrintable, b"=e4=C3", b"\xe4\xc3"),
            (QuotedPrintable, b"a==41=", b"a=A"),
            (QuotedPrintable, b"a \r b\r\n \r\n", b"a \r b\r\n\r\n"),
            (QuotedPrintable, b"a =20\r\n", b"a  \r\n"),
            (QuotedPrintable, b"x= y", b"x= y"),
        ];
        for (encoding, text, expected) in cases {
            for piece in 1..=text.len().max(1) {
                let decoded = decode(encoding, text, piece);
                assert_eq!(
                    decoded.escape_ascii().to_string(),
                    expected.escape_ascii().to_string(),
                    "{} in pieces of {piece}",
                    text.escape_ascii()
                );
            }
        }
    }

    #[test]
    fn binary_text_has_crlf_line_ends_in_every_split() {
        let text = b"a\nb\r\n\nc\r";
        for piece in 1..=text.len() {
            let mut line_ends = LineEnds::default();
            let mut out = Vec::new();
            for bytes in text.chunks(piece) {
                line_ends.push(bytes, &mut out);
            }
            assert_eq!(out, b"a\r\nb\r\n\r\nc\r");
        }
    }
}
