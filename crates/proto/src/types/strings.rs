//! Small string types: tags, atoms, secrets.

use std::fmt;

use zeroize::Zeroize;

/// Whether `b` is an ATOM-CHAR (RFC 9051 §9): printable ASCII without `( ) { % * " \ ]` and space.
pub const fn is_atom_char(b: u8) -> bool {
    matches!(b, 0x21..=0x7e) && !matches!(b, b'(' | b')' | b'{' | b'%' | b'*' | b'"' | b'\\' | b']')
}

/// Whether `b` is an ASTRING-CHAR: an ATOM-CHAR or `]`.
pub const fn is_astring_char(b: u8) -> bool {
    is_atom_char(b) || b == b']'
}

/// Whether `b` may stand in a tag: an ASTRING-CHAR other than `+`.
pub const fn is_tag_char(b: u8) -> bool {
    is_astring_char(b) && b != b'+'
}

/// The tag of a command (RFC 9051 §2.2.1): never empty, printable ASCII.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Tag(Box<str>);

impl Tag {
    /// The tag `s`, or `None` if it is not one.
    pub fn new(s: impl Into<Box<str>>) -> Option<Self> {
        let s = s.into();
        (!s.is_empty() && s.bytes().all(is_tag_char)).then_some(Self(s))
    }

    /// The tag as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An atom (RFC 9051 §4.1): never empty. Compares as written; see [`Atom::is`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Atom(Box<str>);

impl Atom {
    /// The atom `s`, or `None` if it is not one.
    pub fn new(s: impl Into<Box<str>>) -> Option<Self> {
        let s = s.into();
        (!s.is_empty() && s.bytes().all(is_atom_char)).then_some(Self(s))
    }

    /// The atom as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is `word`, in any case.
    pub fn is(&self, word: &str) -> bool {
        self.0.eq_ignore_ascii_case(word)
    }
}

impl fmt::Display for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An object identifier (RFC 8474 §7): 1 to 255 letters, digits, `_` and `-`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ObjectId(Box<str>);

impl ObjectId {
    /// The identifier `s`, or `None` if it is not one.
    pub fn new(s: impl Into<Box<str>>) -> Option<Self> {
        let s = s.into();
        let valid = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        ((1..=255).contains(&s.len()) && s.bytes().all(valid)).then_some(Self(s))
    }

    /// The identifier as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Something sent to log in. It is never printed, and wiped from memory when dropped.
#[derive(Clone, Default)]
pub struct Secret<T: Zeroize>(T);

impl<T: Zeroize> Secret<T> {
    /// Hides `value`.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself. Do not log it.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Compares the bytes without an early exit, so that the time tells only the length.
impl<T: Zeroize + AsRef<[u8]>> PartialEq for Secret<T> {
    fn eq(&self, other: &Self) -> bool {
        let (a, b) = (self.0.as_ref(), other.0.as_ref());
        a.len() == b.len() && a.iter().zip(b).fold(0, |acc, (x, y)| acc | (x ^ y)) == 0
    }
}

impl<T: Zeroize + AsRef<[u8]>> Eq for Secret<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_and_atoms_are_checked() {
        assert!(Tag::new("a001").is_some());
        assert!(Tag::new("a]1").is_some());
        for bad in ["", "a+1", "a 1", "a*", "a\u{e9}", "a\r"] {
            assert!(Tag::new(bad).is_none(), "{bad:?}");
        }
        assert!(Atom::new("$Forwarded").is_some());
        assert!(Atom::new("a]").is_none());
        assert!(ObjectId::new("M-1_x").is_some());
        assert!(ObjectId::new("a.b").is_none());
    }

    #[test]
    fn secrets_are_not_printed() {
        let secret = Secret::new(b"hunter2".to_vec());
        assert_eq!(format!("{secret:?}"), "Secret(…)");
        assert_eq!(secret, Secret::new(b"hunter2".to_vec()));
        assert_ne!(secret, Secret::new(b"hunter3".to_vec()));
    }
}
