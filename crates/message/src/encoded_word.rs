//! Encoded words in headers, to UTF-8 (RFC 2047).

use std::borrow::Cow;

use memchr::{memchr, memmem};

use crate::charset::{CharsetDecoder, guess_text, is_known};
use crate::header::unfold;
use crate::structure::Encoding;
use crate::transfer::{Decoder, hex};

/// A header value in one line as a person reads it: unfolded, encoded words decoded.
///
/// White space between encoded words goes (RFC 2047 §6.2); a character split over several of
/// one charset is put together; one that cannot be decoded stays as it is. Octets outside of
/// encoded words are taken for UTF-8, or windows-1252 where they are not.
pub fn decode_header(value: &[u8]) -> String {
    let value: Cow<'_, [u8]> = unfold(value);
    let mut out = String::new();
    // Text not yet written, between the last encoded word and here.
    let mut plain = 0;
    let mut at = 0;
    let mut run: Option<Run> = None;
    while let Some(found) = memmem::find(&value[at..], b"=?") {
        let start = at + found;
        let Some((word, length)) = EncodedWord::read(&value[start..]) else {
            at = start + 2;
            continue;
        };
        let between = &value[plain..start];
        let is_adjacent = run.is_some() && between.trim_ascii().is_empty();
        let continued = run.take_if(|run| is_adjacent && run.charset == word.charset);
        let mut current = continued.unwrap_or_else(|| {
            end_run(&mut run, &mut out);
            if !is_adjacent {
                out.push_str(&guess_text(between));
            }
            Run {
                charset: word.charset.clone(),
                decoder: CharsetDecoder::new(Some(&word.charset)),
            }
        });
        current.decoder.push(&word.octets, &mut out);
        run = Some(current);
        at = start + length;
        plain = at;
    }
    end_run(&mut run, &mut out);
    out.push_str(&guess_text(&value[plain..]));
    out
}

/// Encoded words of one charset that follow each other.
struct Run {
    charset: String,
    decoder: CharsetDecoder,
}

fn end_run(run: &mut Option<Run>, out: &mut String) {
    if let Some(mut run) = run.take() {
        run.decoder.finish(out);
    }
}

struct EncodedWord {
    charset: String,
    octets: Vec<u8>,
}

impl EncodedWord {
    /// `=?charset[*language]?B|Q?text?=`; also the length of it.
    fn read(text: &[u8]) -> Option<(EncodedWord, usize)> {
        let rest = text.strip_prefix(b"=?")?;
        let charset_length = memchr(b'?', &rest[..rest.len().min(128)])?;
        let (charset, rest) = rest.split_at(charset_length);
        let charset = charset.split(|&byte| byte == b'*').next()?;
        if charset.is_empty() || !is_known(charset) {
            return None;
        }
        let [b'?', encoding, b'?', rest @ ..] = rest else {
            return None;
        };
        let length = memchr(b'?', rest)?;
        if rest.get(length + 1) != Some(&b'=') {
            return None;
        }
        let encoded = &rest[..length];
        let octets = match encoding {
            b'Q' | b'q' => q_octets(encoded),
            b'B' | b'b' => b_octets(encoded)?,
            _ => return None,
        };
        let charset = String::from_utf8_lossy(charset).to_ascii_lowercase();
        Some((
            EncodedWord { charset, octets },
            2 + charset_length + 3 + length + 2,
        ))
    }
}

fn b_octets(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut decoder = Decoder::new(Encoding::Base64).ok()?;
    decoder.push(text, &mut out);
    decoder.finish(&mut out);
    Some(out)
}

fn q_octets(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match (byte, tail) {
            (b'_', _) => out.push(b' '),
            (b'=', [high, low, after @ ..]) => match hex(*high, *low) {
                Some(octet) => {
                    out.push(octet);
                    rest = after;
                }
                None => out.push(b'='),
            },
            _ => out.push(byte),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::decode_header;

    #[test]
    fn known_answers() {
        let cases = [
            // RFC 2047 §8
            ("(=?ISO-8859-1?Q?a?=)", "(a)"),
            ("(=?ISO-8859-1?Q?a?= b)", "(a b)"),
            ("(=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=)", "(ab)"),
            ("(=?ISO-8859-1?Q?a?=  =?ISO-8859-1?Q?b?=)", "(ab)"),
            ("(=?ISO-8859-1?Q?a?=\r\n    =?ISO-8859-1?Q?b?=)", "(ab)"),
            ("(=?ISO-8859-1?Q?a_b?=)", "(a b)"),
            ("(=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=)", "(a b)"),
            ("=?ISO-8859-1?Q?Andr=E9?= Pirard", "André Pirard"),
            (
                "=?ISO-8859-1?B?SWYgeW91IGNhbiByZWFkIHRoaXMgeW8=?=\r\n \
                 =?ISO-8859-2?B?dSB1bmRlcnN0YW5kIHRoZSBleGFtcGxlLg==?=",
                "If you can read this you understand the example.",
            ),
            // RFC 2231 §5: a language.
            ("=?US-ASCII*EN?Q?Keith_Moore?=", "Keith Moore"),
            // A character split over two words, a broken word, a charset nobody knows.
            ("=?utf-8?Q?=E2=82?= =?UTF-8?q?=AC?=", "€"),
            ("=?utf-8?B?4oI=?= =?utf-8?B?rA==?=", "€"),
            ("a =?utf-8?Q?b", "a =?utf-8?Q?b"),
            ("=?utf-8?X?b?= =?utf-8?Q?c?=", "=?utf-8?X?b?= c"),
            ("=?x-nobody?Q?b?=", "=?x-nobody?Q?b?="),
            ("=?utf-8?Q?a=zz=4?=", "a=zz=4"),
            ("=?utf-8?Q??= x", " x"),
            ("plain\r\n\ttext ü", "plain\ttext ü"),
        ];
        for (value, expected) in cases {
            assert_eq!(decode_header(value.as_bytes()), expected, "{value}");
        }
    }
}
