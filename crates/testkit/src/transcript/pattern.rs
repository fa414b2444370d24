//! Expected lines with holes in them.

use std::collections::HashMap;

/// Whether `text` matches (`whole`: all of it; else its beginning); remembers names if it does.
pub(super) fn matches(
    pattern: &str,
    text: &str,
    whole: bool,
    names: &mut HashMap<String, String>,
) -> bool {
    let mut found = names.clone();
    if matches_from(pattern, text, whole, &mut found) {
        *names = found;
        return true;
    }
    false
}

fn matches_from(
    pattern: &str,
    text: &str,
    whole: bool,
    names: &mut HashMap<String, String>,
) -> bool {
    let (mut pattern, mut text) = (pattern, text);
    loop {
        if pattern.is_empty() {
            return !whole || text.is_empty();
        }
        if let Some(rest) = pattern.strip_prefix("<any>") {
            return text
                .char_indices()
                .map(|(at, _)| at)
                .chain([text.len()])
                .any(|at| matches_from(rest, &text[at..], whole, names));
        }
        if let Some(rest) = pattern.strip_prefix("<crlf>") {
            match text.strip_prefix("\r\n") {
                Some(left) => (pattern, text) = (rest, left),
                None => return false,
            }
            continue;
        }
        if let Some((byte, rest)) = hex_byte(pattern) {
            match text.strip_prefix(char::from(byte)) {
                Some(left) if byte.is_ascii() => (pattern, text) = (rest, left),
                _ => return false,
            }
            continue;
        }
        if let Some(rest) = pattern.strip_prefix("<n>") {
            let digits = text.bytes().take_while(u8::is_ascii_digit).count();
            if digits == 0 {
                return false;
            }
            (pattern, text) = (rest, &text[digits..]);
            continue;
        }
        if let Some((name, rest)) = pattern.strip_prefix("<$").and_then(|p| p.split_once('>')) {
            match names.get(name) {
                Some(value) => match text.strip_prefix(value.as_str()) {
                    Some(left) => (pattern, text) = (rest, left),
                    None => return false,
                },
                None => {
                    let quoted = rest.starts_with('"');
                    let ends = |c: char| " ()[]\r".contains(c) || (quoted && c == '"');
                    let end = text.find(ends).unwrap_or(text.len());
                    if end == 0 {
                        return false;
                    }
                    names.insert(name.to_owned(), text[..end].to_owned());
                    (pattern, text) = (rest, &text[end..]);
                }
            }
            continue;
        }
        let (mut wanted, mut given) = (pattern.chars(), text.chars());
        if wanted.next() != given.next() {
            return false;
        }
        (pattern, text) = (wanted.as_str(), given.as_str());
    }
}

/// The byte that `<xHH>` at the beginning stands for, and what follows it.
fn hex_byte(pattern: &str) -> Option<(u8, &str)> {
    let (digits, rest) = pattern.strip_prefix("<x")?.split_once('>')?;
    let byte = u8::from_str_radix(digits, 16).ok()?;
    (digits.len() == 2).then_some((byte, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(pattern: &str, text: &str, whole: bool) -> bool {
        matches(pattern, text, whole, &mut HashMap::new())
    }

    #[test]
    fn patterns_match_what_they_say() {
        assert!(fits("* 1 EXISTS", "* 1 EXISTS", true));
        assert!(fits("a<crlf>b<x00>", "a\r\nb\0", true));
        assert!(!fits("a<crlf>b<x00>", "a\r\nb\u{1}", true));
        assert!(!fits("* 1 EXISTS", "* 1 EXISTS ", true));
        assert!(fits("* OK [UIDNEXT <n>]", "* OK [UIDNEXT 12] Next", false));
        assert!(!fits("* OK [UIDNEXT <n>]", "* OK [UIDNEXT ]", false));
        assert!(fits("a<any>c", "abbbc", true));
        assert!(!fits("a<any>c", "abbb", true));
        assert!(fits("<$x> <$x>", "7 7", true));
        assert!(!fits("<$x> <$x>", "7 8", true));
        assert!(fits("\"<$x>\" <$x>", "\"7\" 7", true));
    }
}
