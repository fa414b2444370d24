//! Flags (RFC 9051 §2.3.2).

use std::fmt;

use super::strings::Atom;

/// A keyword: a flag without a backslash. Keywords are case-insensitive (RFC 9051 §2.3.2); this
/// type keeps them as written.
pub type Keyword = Atom;

/// A message flag.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Flag {
    /// `\Seen`
    Seen,
    /// `\Answered`
    Answered,
    /// `\Flagged`
    Flagged,
    /// `\Deleted`
    Deleted,
    /// `\Draft`
    Draft,
    /// `\Recent` (RFC 3501 §2.3.2); only the server sets it.
    Recent,
    /// A keyword.
    Keyword(Keyword),
    /// Another flag with a backslash; the backslash is not part of the atom.
    Extension(Atom),
}

impl Flag {
    /// The flag for a text such as `\Seen` or `$Forwarded`; `None` if it is none.
    pub fn new(text: &str) -> Option<Self> {
        match text.strip_prefix('\\') {
            None => Atom::new(text).map(Flag::Keyword),
            Some(name) => {
                Self::system(name.as_bytes()).or_else(|| Atom::new(name).map(Flag::Extension))
            }
        }
    }

    /// The system flag of this name (without its backslash, in any case).
    pub fn system(name: &[u8]) -> Option<Self> {
        Some(match name.len() {
            4 if name.eq_ignore_ascii_case(b"Seen") => Flag::Seen,
            5 if name.eq_ignore_ascii_case(b"Draft") => Flag::Draft,
            6 if name.eq_ignore_ascii_case(b"Recent") => Flag::Recent,
            7 if name.eq_ignore_ascii_case(b"Flagged") => Flag::Flagged,
            7 if name.eq_ignore_ascii_case(b"Deleted") => Flag::Deleted,
            8 if name.eq_ignore_ascii_case(b"Answered") => Flag::Answered,
            _ => return None,
        })
    }

    /// The name; for the last two kinds without knowing a backslash, see `Display`.
    fn name(&self) -> (&'static str, &str) {
        match self {
            Flag::Seen => ("\\", "Seen"),
            Flag::Answered => ("\\", "Answered"),
            Flag::Flagged => ("\\", "Flagged"),
            Flag::Deleted => ("\\", "Deleted"),
            Flag::Draft => ("\\", "Draft"),
            Flag::Recent => ("\\", "Recent"),
            Flag::Keyword(keyword) => ("", keyword.as_str()),
            Flag::Extension(name) => ("\\", name.as_str()),
        }
    }

    /// Appends the flag as it is sent.
    pub fn write(&self, out: &mut Vec<u8>) {
        let (prefix, name) = self.name();
        out.extend_from_slice(prefix.as_bytes());
        out.extend_from_slice(name.as_bytes());
    }
}

impl fmt::Display for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (prefix, name) = self.name();
        f.write_str(prefix)?;
        f.write_str(name)
    }
}

/// A member of PERMANENTFLAGS (RFC 9051 §7.1).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum PermanentFlag {
    /// A flag that can be changed for good.
    Flag(Flag),
    /// `\*`: new keywords can be made.
    Wildcard,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_any_case() {
        assert_eq!(Flag::new("\\sEEN"), Some(Flag::Seen));
        assert_eq!(Flag::new("\\Foo").unwrap().to_string(), "\\Foo");
        assert_eq!(Flag::new("$Junk").unwrap().to_string(), "$Junk");
        assert_eq!(
            Flag::new("Seen"),
            Some(Flag::Keyword(Atom::new("Seen").unwrap()))
        );
        assert_eq!(Flag::new("\\"), None);
        assert_eq!(Flag::new("\\*"), None);
        assert_eq!(Flag::new("a b"), None);
    }
}
