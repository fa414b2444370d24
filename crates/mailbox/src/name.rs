//! Names of mailboxes.

use std::{borrow::Borrow, fmt, sync::Arc};

use unicode_normalization::{UnicodeNormalization, char::is_public_assigned, is_nfc};

/// The name of a mailbox: UTF-8 in NFC, `/` between components, `INBOX` in capitals.
///
/// RFC 9051 §5.1: INBOX is case-insensitive; here as the whole first component only, so that
/// `inbox/lists` is a child of INBOX and `INBOXES` is not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MailboxName(Arc<str>);

/// Why a name is not that of a mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The name, or a component of it, is empty.
    #[error("a mailbox name, and each part of it, needs at least one character")]
    Empty,
    /// The name is too long.
    #[error("the mailbox name is longer than {} bytes", MailboxName::BYTES_MAX)]
    TooLong,
    /// The name has too many components.
    #[error("the mailbox name has more than {} levels", MailboxName::DEPTH_MAX)]
    TooDeep,
    /// The name has a control character (RFC 9051 §5.1, RFC 5198 §2).
    #[error("a mailbox name cannot contain control characters")]
    Control,
    /// The name of a new mailbox has what Unicode has no character for, or begins with a byte order
    /// mark (RFC 9051 §5.1, RFC 5198 §2).
    #[error("a new mailbox's name can have only characters that Unicode has")]
    Unassigned,
}

impl MailboxName {
    /// Between the components of a name.
    pub const SEPARATOR: char = '/';
    /// The longest name, in bytes of UTF-8.
    pub const BYTES_MAX: usize = 1024;
    /// The most components of a name.
    pub const DEPTH_MAX: usize = 32;

    /// Makes a name canonical. One separator at the end is dropped (RFC 9051 §6.3.4: "the server
    /// MUST ignore" it where it has no meaning).
    ///
    /// # Errors
    /// [`NameError`] says why it cannot be a name.
    pub fn new(name: &str) -> Result<Self, NameError> {
        let name = name.strip_suffix(Self::SEPARATOR).unwrap_or(name);
        // NFC may make a name longer, at most threefold.
        if name.len() > Self::BYTES_MAX {
            return Err(NameError::TooLong);
        }
        let composed: String;
        let mut name = name;
        if !is_nfc(name) {
            composed = name.nfc().collect();
            name = &composed;
        }
        if name.len() > Self::BYTES_MAX {
            return Err(NameError::TooLong);
        }
        // U+2028 and U+2029 would be line ends in clients (RFC 5198 §2).
        if name
            .chars()
            .any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}'))
        {
            return Err(NameError::Control);
        }
        if name.split(Self::SEPARATOR).any(str::is_empty) {
            return Err(NameError::Empty);
        }
        if name.split(Self::SEPARATOR).count() > Self::DEPTH_MAX {
            return Err(NameError::TooDeep);
        }
        let first = name.split(Self::SEPARATOR).next().unwrap_or(name);
        if first != "INBOX" && first.eq_ignore_ascii_case("INBOX") {
            return Ok(Self(format!("INBOX{}", &name[first.len()..]).into()));
        }
        Ok(Self(name.into()))
    }

    /// Whether a new mailbox can have this name. Old ones may have others: what Unicode assigns in
    /// time might have another normal form than it has now.
    ///
    /// # Errors
    /// [`NameError::Unassigned`].
    pub fn check_new(&self) -> Result<(), NameError> {
        let private_use = |c| matches!(c, '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{ffffd}' | '\u{100000}'..='\u{10fffd}');
        let is_character = |c: char| c.is_ascii() || is_public_assigned(c) || private_use(c);
        match self.0.starts_with('\u{feff}') || !self.0.chars().all(is_character) {
            true => Err(NameError::Unassigned),
            false => Ok(()),
        }
    }

    /// Text in the normal form of names, for comparing: a pattern, say.
    pub fn compose(text: &str) -> String {
        text.nfc().collect()
    }

    /// INBOX.
    pub fn inbox() -> Self {
        Self("INBOX".into())
    }

    /// Whether this is INBOX itself.
    pub fn is_inbox(&self) -> bool {
        &*self.0 == "INBOX"
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name without its last component.
    pub fn parent(&self) -> Option<Self> {
        let (parent, _) = self.0.rsplit_once(Self::SEPARATOR)?;
        Some(Self(parent.into()))
    }

    /// Whether this lies below `other`, at any depth.
    pub fn is_below(&self, other: &Self) -> bool {
        self.0
            .strip_prefix(&*other.0)
            .is_some_and(|rest| rest.starts_with(Self::SEPARATOR))
    }

    /// The name after `from`, itself or a parent of it, has been renamed to `to`.
    ///
    /// # Errors
    /// The new name may be too long or too deep.
    pub fn renamed(&self, from: &Self, to: &Self) -> Result<Self, NameError> {
        match self.0.strip_prefix(&*from.0) {
            Some(rest) => Self::new(&format!("{}{rest}", to.0)),
            None => Ok(self.clone()),
        }
    }
}

impl fmt::Display for MailboxName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for MailboxName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for MailboxName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for MailboxName {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        Self::new(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_canonical() {
        for (given, canonical) in [
            ("inbox", "INBOX"),
            ("InBoX/Lists", "INBOX/Lists"),
            ("INBOXES", "INBOXES"),
            ("Work/", "Work"),
            ("Work/inbox", "Work/inbox"),
            ("Entwu\u{0308}rfe", "Entw\u{fc}rfe"),
        ] {
            assert_eq!(MailboxName::new(given).unwrap().as_str(), canonical);
        }
    }

    #[test]
    fn what_is_no_name() {
        let deep = "a/".repeat(32) + "a";
        let long = "a".repeat(1025);
        for (given, error) in [
            ("", NameError::Empty),
            ("/", NameError::Empty),
            ("/a", NameError::Empty),
            ("a//b", NameError::Empty),
            ("a\r\nb", NameError::Control),
            ("a\u{2028}b", NameError::Control),
            (&deep, NameError::TooDeep),
            (&long, NameError::TooLong),
        ] {
            assert_eq!(MailboxName::new(given), Err(error), "{given:?}");
        }
    }

    #[test]
    fn new_names_have_characters_of_unicode() {
        for (given, is_new) in [
            ("Entw\u{fc}rfe", true),
            ("Mail \u{1f4e7} \u{f8ff} \u{200d}", true),
            ("a\u{feff}", true),
            ("\u{feff}a", false),
            ("a\u{378}", false),
            ("a\u{ffff}", false),
            ("\u{10ffff}", false),
        ] {
            let name = MailboxName::new(given).unwrap();
            assert_eq!(name.check_new().is_ok(), is_new, "{given:?}");
        }
    }

    #[test]
    fn below_and_renamed() {
        let name = |n| MailboxName::new(n).unwrap();
        assert!(name("a/b/c").is_below(&name("a/b")));
        assert!(!name("a/bc").is_below(&name("a/b")));
        assert!(!name("a/b").is_below(&name("a/b")));
        let renamed = name("a/b/c").renamed(&name("a"), &name("x/y")).unwrap();
        assert_eq!(renamed, name("x/y/b/c"));
        assert_eq!(name("a/b").parent(), Some(name("a")));
        assert_eq!(name("a").parent(), None);
    }
}
