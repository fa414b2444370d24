//! The collations that there are (RFC 4790, RFC 5051).

use restante_message::is_known_charset;

use crate::casemap;

/// How texts are compared: equality, order and substrings are those of the octets of a form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Collation {
    /// `i;unicode-casemap` (RFC 5051): no case in any script.
    #[default]
    UnicodeCasemap,
    /// `i;ascii-casemap` (RFC 4790 §9.2): no case of the letters of ASCII.
    AsciiCasemap,
    /// `i;octet` (RFC 4790 §9.3): the octets of the text in UTF-8.
    Octet,
}

impl Collation {
    /// All, the most useful first.
    pub const ALL: [Collation; 3] = [
        Collation::UnicodeCasemap,
        Collation::AsciiCasemap,
        Collation::Octet,
    ];

    /// The name in IANA's registry.
    pub fn name(self) -> &'static str {
        match self {
            Collation::UnicodeCasemap => "i;unicode-casemap",
            Collation::AsciiCasemap => "i;ascii-casemap",
            Collation::Octet => "i;octet",
        }
    }

    /// Appends the form of `text` that is compared.
    pub fn fold(self, text: &str, out: &mut Vec<u8>) {
        let start = out.len();
        match self {
            Collation::UnicodeCasemap => casemap::fold(text, out),
            Collation::AsciiCasemap => {
                out.extend_from_slice(text.as_bytes());
                out[start..].make_ascii_uppercase();
            }
            Collation::Octet => out.extend_from_slice(text.as_bytes()),
        }
    }

    /// Appends a form for putting texts in order: as [`Collation::fold`], but a text of which something could
    /// not be converted to Unicode comes after all others, by its octets (RFC 5255 §4.6).
    pub fn fold_to_sort(self, text: &str, out: &mut Vec<u8>) {
        if is_converted(text) {
            return self.fold(text, out);
        }
        out.push(AFTER_TEXT);
        out.extend_from_slice(text.as_bytes());
    }

    /// Appends a form for finding substrings: equal for the same texts as that of [`Collation::fold`],
    /// with small letters, as the finder's table of rare octets expects.
    pub fn fold_to_find(self, text: &str, out: &mut Vec<u8>) {
        let start = out.len();
        match self {
            Collation::UnicodeCasemap => casemap::fold_swapped(text, out),
            Collation::AsciiCasemap => {
                out.extend_from_slice(text.as_bytes());
                out[start..].make_ascii_lowercase();
            }
            Collation::Octet => out.extend_from_slice(text.as_bytes()),
        }
    }
}

/// Stands before a text that comes after all others: no text in UTF-8 has it.
const AFTER_TEXT: u8 = 0xff;

/// Whether all of a text of a header was converted: nothing was replaced, and no encoded word (RFC 2047 §2) of
/// an unknown charset is left.
fn is_converted(text: &str) -> bool {
    let is_word = |word: &str| {
        let mut parts = word.splitn(4, '?');
        let parts = [parts.next(), parts.next(), parts.next(), parts.next()];
        let [Some(charset), Some(encoding), Some(_), Some(rest)] = parts else {
            return false;
        };
        let charset = charset.split('*').next().unwrap_or_default();
        let is_unknown = !charset.is_empty() && !is_known_charset(charset);
        is_unknown && matches!(encoding, "B" | "b" | "Q" | "q") && rest.starts_with('=')
    };
    let mut words = text.match_indices("=?");
    !text.contains(char::REPLACEMENT_CHARACTER) && !words.any(|(at, _)| is_word(&text[at + 2..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(collation: Collation, text: &str) -> Vec<u8> {
        let mut out = b"before".to_vec();
        collation.fold(text, &mut out);
        out.split_off(6)
    }

    #[test]
    fn each_knows_as_much_of_case_as_it_says() {
        use Collation::{AsciiCasemap, Octet, UnicodeCasemap};
        assert_eq!(form(UnicodeCasemap, "aÜ"), form(UnicodeCasemap, "Aü"));
        assert_ne!(form(AsciiCasemap, "aÜ"), form(AsciiCasemap, "Aü"));
        assert_eq!(form(AsciiCasemap, "aÜ"), form(AsciiCasemap, "AÜ"));
        assert_ne!(form(Octet, "aÜ"), form(Octet, "AÜ"));
        assert_eq!(form(Octet, "aÜ"), "aÜ".as_bytes());
        // RFC 4790 §9.2: what lies between Z and a comes after the letters.
        assert!(form(AsciiCasemap, "a") < form(AsciiCasemap, "_"));
        assert!(form(Octet, "_") < form(Octet, "a"));
    }

    #[test]
    fn what_was_not_converted_comes_last() {
        let form = |text: &str| {
            let mut out = Vec::new();
            Collation::UnicodeCasemap.fold_to_sort(text, &mut out);
            out
        };
        for text in [
            "",
            "zebra",
            "\u{10ffff}",
            "=?",
            "a =?b?= c",
            "=?x?Q?",
            "=??Q?a?=",
            "=?x?QQ?a?=",
            "=?utf-8?Q?a?=@b",
        ] {
            assert!(form(text) < form("\u{fffd}"), "{text}");
            assert_eq!(form(text), self::form(Collation::UnicodeCasemap, text));
        }
        // By octets, whatever their case.
        let unconverted = ["=?x-unknown?Q?a?=", "A\u{fffd}", "a\u{fffd}"];
        assert!(unconverted.is_sorted_by_key(|text| form(text)));
        assert!(form("a =?x?b?YQ==?= b") > form("\u{10ffff}"));
    }
}
