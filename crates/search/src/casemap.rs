//! The collation `i;unicode-casemap` (RFC 5051).

use icu_casemap::{CaseMapper, CaseMapperBorrowed};
use unicode_normalization::char::decompose_compatible;

const CASES: CaseMapperBorrowed<'static> = CaseMapper::new();

/// Appends the "titlecased canonicalized UTF-8" form of `text` (RFC 5051 §2): equality, order and
/// substring of two texts are those of the octets of their forms.
pub fn fold(text: &str, out: &mut Vec<u8>) {
    fold_with(text, out, <[u8]>::make_ascii_uppercase, |_| {});
}

/// Appends the form of `text` for finding substrings: that of [`fold`] with the case of all ASCII
/// letters swapped, so that it is the same for the same texts and only for them. Letters are mostly
/// small then, as the finder's table of rare octets expects.
pub(crate) fn fold_swapped(text: &str, out: &mut Vec<u8>) {
    fold_with(text, out, <[u8]>::make_ascii_lowercase, swap_case);
}

/// Folds `text`; runs of ASCII need no table, and what comes out for other characters goes through
/// `wide`.
fn fold_with(text: &str, out: &mut Vec<u8>, ascii: impl Fn(&mut [u8]), wide: impl Fn(&mut [u8])) {
    out.reserve(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let length = match rest.is_ascii() {
            true => rest.len(),
            false => rest
                .bytes()
                .position(|b| !b.is_ascii())
                .unwrap_or(rest.len()),
        };
        let start = out.len();
        out.extend_from_slice(&rest.as_bytes()[..length]);
        ascii(&mut out[start..]);
        rest = &rest[length..];
        let length = rest
            .bytes()
            .position(|b| b.is_ascii())
            .unwrap_or(rest.len());
        let start = out.len();
        for c in rest[..length].chars() {
            fold_char(c, out);
        }
        wide(&mut out[start..]);
        rest = &rest[length..];
    }
}

fn swap_case(text: &mut [u8]) {
    for byte in text.iter_mut().filter(|byte| byte.is_ascii_alphabetic()) {
        *byte ^= 0x20;
    }
}

fn fold_char(c: char, out: &mut Vec<u8>) {
    decompose_compatible(CASES.simple_titlecase(c), |part| {
        out.extend_from_slice(part.encode_utf8(&mut [0; 4]).as_bytes());
    });
}

/// The form of `text` that [`fold`] gives, in a vector of its own.
pub fn folded(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    fold(text, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_5051() {
        // U+01C4 has the titlecase U+01C5, which decomposes to U+0044 U+007A U+030C.
        assert_eq!(folded("\u{1C4}"), "\u{44}\u{7A}\u{30C}".as_bytes());
    }

    #[test]
    fn letters_of_either_case_are_equal() {
        assert_eq!(folded("Grüße AUS"), folded("GRÜßE aus"));
        assert_eq!(folded("ΣΊΣΥΦΟΣ"), folded("σίσυφοσ"));
        assert_eq!(folded("Привет"), folded("ПРИВЕТ"));
        assert_ne!(
            folded("strasse"),
            folded("straße"),
            "only single-character mappings count"
        );
    }

    #[test]
    fn swapped_is_the_same_form_in_the_other_case() {
        for text in ["Grüße AUS 12 é ﬁ \u{212A}", "", "ASCII only", "ΣΊΣΥΦΟΣ x"] {
            let (mut form, mut swapped) = (folded(text), Vec::new());
            swap_case(&mut form);
            fold_swapped(text, &mut swapped);
            assert_eq!(swapped, form, "{text}");
        }
    }

    #[test]
    fn compatible_characters_are_equal() {
        assert_eq!(folded("\u{212A}"), b"K");
        assert_eq!(folded("é"), folded("e\u{301}"));
        // The titlecase step comes first: a ligature has none, so its letters stay small.
        assert_eq!(folded("ﬁ"), b"fi");
    }
}
