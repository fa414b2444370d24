//! Modified UTF-7, the mailbox names of IMAP4rev1 (RFC 3501 §5.1.3).

use std::borrow::Cow;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

fn digit(b: u8) -> Option<u32> {
    let value = match b {
        b'A'..=b'Z' => b - b'A',
        b'a'..=b'z' => b - b'a' + 26,
        b'0'..=b'9' => b - b'0' + 52,
        b'+' => 62,
        b',' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

const fn is_direct(b: u8) -> bool {
    matches!(b, 0x20..=0x7e) && b != b'&'
}

/// Encodes a name. Plain ASCII without `&` is returned as it is.
pub fn encode(name: &str) -> Cow<'_, str> {
    if name.bytes().all(is_direct) {
        return Cow::Borrowed(name);
    }
    let mut out = Vec::with_capacity(name.len() + 8);
    encode_into(name, &mut out);
    // Only ASCII was written.
    Cow::Owned(String::from_utf8(out).unwrap_or_default())
}

/// Encodes a name to the end of `out`.
pub fn encode_into(name: &str, out: &mut Vec<u8>) {
    let (mut bits, mut held, mut shifted) = (0u32, 0u32, false);
    for c in name.chars() {
        let direct = c.is_ascii() && (is_direct(c as u8) || c == '&');
        if direct {
            if shifted {
                end_shift(&mut bits, &mut held, out);
                shifted = false;
            }
            out.push(c as u8);
            if c == '&' {
                out.push(b'-');
            }
            continue;
        }
        if !shifted {
            out.push(b'&');
            shifted = true;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            bits = (bits << 16) | u32::from(*unit);
            held += 16;
            while held >= 6 {
                held -= 6;
                out.push(ALPHABET[((bits >> held) & 63) as usize]);
            }
            bits &= (1 << held) - 1;
        }
    }
    if shifted {
        end_shift(&mut bits, &mut held, out);
    }
}

fn end_shift(bits: &mut u32, held: &mut u32, out: &mut Vec<u8>) {
    if *held > 0 {
        out.push(ALPHABET[((*bits << (6 - *held)) & 63) as usize]);
    }
    out.push(b'-');
    (*bits, *held) = (0, 0);
}

/// Decodes a name; `None` if it is not canonical modified UTF-7.
///
/// Refused: bytes outside printable ASCII, a shift that does not end, that is empty or encodes
/// what can stand for itself, two shifts side by side, wrong surrogates, bits left over.
pub fn decode(name: &[u8]) -> Option<String> {
    let mut out = String::with_capacity(name.len());
    let mut units: Vec<u16> = Vec::new();
    let mut rest = name;
    let mut after_shift = false;
    while let Some((&b, tail)) = rest.split_first() {
        if b != b'&' {
            if !is_direct(b) {
                return None;
            }
            out.push(char::from(b));
            after_shift = false;
            rest = tail;
            continue;
        }
        let end = tail.iter().position(|&b| b == b'-')?;
        let (coded, tail) = (&tail[..end], &tail[end + 1..]);
        rest = tail;
        if coded.is_empty() {
            out.push('&');
            after_shift = false;
            continue;
        }
        // RFC 3501 §5.1.3: "superfluous shifts are not permitted".
        if after_shift {
            return None;
        }
        units.clear();
        decode_shift(coded, &mut units)?;
        for c in char::decode_utf16(units.iter().copied()) {
            let c = c.ok()?;
            if matches!(c, ' '..='~') {
                return None;
            }
            out.push(c);
        }
        after_shift = true;
    }
    Some(out)
}

fn decode_shift(coded: &[u8], units: &mut Vec<u16>) -> Option<()> {
    let (mut bits, mut held) = (0u32, 0u32);
    for &b in coded {
        bits = (bits << 6) | digit(b)?;
        held += 6;
        if held >= 16 {
            held -= 16;
            units.push((bits >> held) as u16);
            bits &= (1 << held) - 1;
        }
    }
    // Fewer than six bits, all zero, may be left over.
    (held < 6 && bits == 0 && !units.is_empty()).then_some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_names() {
        for (utf8, coded) in [
            ("~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"),
            ("台北日本語", "&U,BTF2XlZyyKng-"),
            ("Entwürfe", "Entw&APw-rfe"),
            ("R&D", "R&-D"),
            ("&&", "&-&-"),
            ("é&é", "&AOk-&-&AOk-"),
            ("😀", "&2D3eAA-"),
            ("", ""),
        ] {
            assert_eq!(encode(utf8), coded);
            assert_eq!(decode(coded.as_bytes()).as_deref(), Some(utf8), "{coded}");
        }
    }

    #[test]
    fn not_canonical() {
        for bad in [
            "&U,BTFw-&ZeVnLIqe-", // superfluous shift (RFC 3501 §5.1.3)
            "&Jjo!",              // no end (RFC 3501 §5.1.3)
            "&",
            "a&b",
            "&AGE-",     // "a" must stand for itself
            "&2D0-",     // lone surrogate
            "&AOl-",     // bits left over
            "&AO-",      // too short
            "&AOkA-",    // six bits too many
            "&AOk=-",    // padding
            "caf\u{e9}", // eight-bit
            "a\tb",
        ] {
            assert_eq!(decode(bad.as_bytes()), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn every_name_survives(name in "\\PC{0,40}") {
            prop_assert_eq!(decode(encode(&name).as_bytes()), Some(name));
        }

        #[test]
        fn one_form_per_name(coded in proptest::collection::vec(any::<u8>(), 0..24)) {
            if let Some(name) = decode(&coded) {
                let again = encode(&name).into_owned();
                prop_assert_eq!(again.as_bytes(), &coded[..]);
            }
        }

        #[test]
        fn one_form_per_name_dense(coded in "(&[A-D+,]{1,8}-|[a&-]){0,4}") {
            if let Some(name) = decode(coded.as_bytes()) {
                let again = encode(&name).into_owned();
                prop_assert_eq!(again, coded);
            }
        }
    }
}
