//! COMPARATOR: what SEARCH, SORT and THREAD compare by (RFC 5255 §4.7).

use restante_proto::types::{Code, UntaggedData};
use restante_search::Collation;

use crate::cx::Cx;
use crate::reply::{Outcome, Reply, client_bug};

/// The longest pattern (RFC 4790 §3.2).
const PATTERN_BYTES_MAX: usize = 254;
/// More patterns than any client has use for.
const PATTERNS_MAX: usize = 100;

/// A collation and its direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Comparator {
    /// How texts are compared.
    pub(crate) collation: Collation,
    /// Whether the order is the other way round (RFC 4790 §3.3).
    pub(crate) reverse: bool,
}

impl Comparator {
    fn name(self) -> String {
        let sign = if self.reverse { "-" } else { "" };
        format!("{sign}{}", self.collation.name())
    }
}

pub(super) fn run(cx: &mut Cx, wanted: &[Vec<u8>]) -> Outcome {
    if wanted.len() > PATTERNS_MAX {
        return Err(client_bug("Too many comparators"));
    }
    let mut chosen = None;
    let mut matching: Vec<Collation> = Vec::new();
    for wanted in wanted {
        let (reverse, pattern) = match wanted.split_first() {
            Some((b'-', pattern)) => (true, pattern),
            Some((b'+', pattern)) => (false, pattern),
            _ => (false, &wanted[..]),
        };
        if wanted.eq_ignore_ascii_case(b"default") {
            chosen = chosen.or(Some(Comparator::default()));
            note(&mut matching, Collation::default());
            continue;
        }
        if !is_pattern(pattern) {
            return Err(client_bug("That is no name of a comparator"));
        }
        // The most useful comes first (RFC 4790 §3.2).
        let found = Collation::ALL.into_iter();
        for collation in found.filter(|known| matches(pattern, known.name().as_bytes())) {
            chosen = chosen.or(Some(Comparator { collation, reverse }));
            note(&mut matching, collation);
        }
    }
    match chosen {
        Some(comparator) => cx.comparator = comparator,
        None if wanted.is_empty() => {}
        None => {
            let reply = Reply::no("There is no such comparator");
            return Err(reply.code(Code::BadComparator).into());
        }
    }
    let names = |list: &[Collation]| {
        let list = list.iter();
        list.map(|collation| collation.name().into()).collect()
    };
    cx.data(&UntaggedData::Comparator {
        active: cx.comparator.name().into_bytes(),
        // Only if there is more than one (RFC 5255 §4.8).
        matching: match matching.len() {
            0 | 1 => Vec::new(),
            _ => names(&matching),
        },
    });
    Ok(Reply::ok("COMPARATOR completed"))
}

fn note(matching: &mut Vec<Collation>, collation: Collation) {
    if !matching.contains(&collation) {
        matching.push(collation);
    }
}

/// `("*" / (ALPHA ["*"])) *(collation-char ["*"])` (RFC 4790 §3.2)
fn is_pattern(pattern: &[u8]) -> bool {
    let character = |byte: &u8| byte.is_ascii_alphanumeric() || b"-;=.*".contains(byte);
    let begins =
        matches!(pattern.first(), Some(byte) if byte.is_ascii_alphabetic() || *byte == b'*');
    begins
        && pattern.len() <= PATTERN_BYTES_MAX
        && pattern.iter().all(character)
        && !pattern.windows(2).any(|two| two == b"**")
}

/// Whether a name is one that the pattern means; a `*` stands for any characters.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let mut parts = pattern.split(|byte| *byte == b'*');
    let same = |a: &[u8], b: &[u8]| a.eq_ignore_ascii_case(b);
    let first = parts.next().unwrap_or_default();
    let Some((begin, mut rest)) = name.split_at_checked(first.len()) else {
        return false;
    };
    if !same(begin, first) {
        return false;
    }
    let mut parts: Vec<&[u8]> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        let windows = 0..(rest.len() + 1).saturating_sub(part.len());
        match windows
            .into_iter()
            .find(|at| same(&rest[*at..*at + part.len()], part))
        {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.len() >= last.len() && same(&rest[rest.len() - last.len()..], last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_names() {
        let yes = [
            "i;octet", "I;OCTET", "*", "i;*", "*octet", "i*;oc*t", "i;octet*",
        ];
        for pattern in yes {
            assert!(matches(pattern.as_bytes(), b"i;octet"), "{pattern}");
        }
        for pattern in ["i;oct", "octet", "cz;*", "i;octet*t", "*x*", "i;octets"] {
            assert!(!matches(pattern.as_bytes(), b"i;octet"), "{pattern}");
        }
    }

    #[test]
    fn patterns_have_a_grammar() {
        assert!(is_pattern(b"cz;*") && is_pattern(b"*") && is_pattern(b"i;a=1.2"));
        for bad in ["", "**", "1;a", ";a", "i;a b", "i;\u{e4}"] {
            assert!(!is_pattern(bad.as_bytes()), "{bad}");
        }
        assert!(!is_pattern(&[b'a'; 255]));
    }
}
