//! SASLprep (RFC 4013): the same name or password, however it was typed, as the same bytes.

use crate::Secret;

/// Prepares a name or password: compatibility characters and kinds of spaces become one, what cannot
/// be seen is taken out. `None` if it has characters that are forbidden (controls, private use, mixed
/// directions), or if nothing is left of it.
pub fn prepare(text: &str) -> Option<Secret<String>> {
    let prepared = stringprep::saslprep(text).ok()?;
    (!prepared.is_empty()).then(|| Secret::new(prepared.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 4013 §3.
    #[test]
    fn the_examples_of_the_rfc() {
        for (given, wanted) in [
            ("I\u{ad}X", Some("IX")),
            ("user", Some("user")),
            ("USER", Some("USER")),
            ("\u{aa}", Some("a")),
            ("\u{2168}", Some("IX")),
            ("\u{7}", None),
            ("\u{627}1", None),
            ("", None),
            ("a\0b", None),
        ] {
            let prepared = prepare(given);
            let prepared = prepared.as_ref().map(|text| text.expose().as_str());
            assert_eq!(prepared, wanted, "{given:?}");
        }
    }
}
