//! Mailbox names, decoded.

use std::fmt;

use super::mutf7;

/// A mailbox name in UTF-8, as a client means it (RFC 9051 §5.1).
///
/// `INBOX` in any case is stored as `INBOX`. Other names are kept as written: what is a valid
/// name, and normalization, is the mailbox's business. May be empty (METADATA of the server).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MailboxName(Box<str>);

/// Why bytes are not a mailbox name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MailboxNameError {
    /// Not canonical modified UTF-7.
    #[error("mailbox name is not canonical modified UTF-7")]
    NotCanonical,
    /// Not UTF-8.
    #[error("mailbox name is not UTF-8")]
    NotUtf8,
    /// A NUL, CR or LF.
    #[error("mailbox name has a control character that cannot be sent")]
    Control,
}

impl MailboxName {
    /// The name `INBOX`.
    pub fn inbox() -> Self {
        Self("INBOX".into())
    }

    /// The name for a text.
    pub fn new(name: impl Into<Box<str>>) -> Self {
        let name = name.into();
        if name.eq_ignore_ascii_case("INBOX") {
            Self::inbox()
        } else {
            Self(name)
        }
    }

    /// The name that a client without UTF8=ACCEPT or IMAP4rev2 sent (RFC 3501 §5.1.3). What is not ASCII
    /// can only be meant as UTF-8 (RFC 9755 §3).
    pub fn from_mutf7(name: &[u8]) -> Result<Self, MailboxNameError> {
        if !name.is_ascii() {
            return Self::from_utf8(name);
        }
        if name.iter().all(|b| matches!(b, b' '..=b'~') && *b != b'&') {
            // Plain ASCII: no decoding.
            return Self::from_utf8(name);
        }
        mutf7::decode(name)
            .map(Self::new)
            .ok_or(MailboxNameError::NotCanonical)
    }

    /// The name that a client with UTF8=ACCEPT or IMAP4rev2 sent.
    pub fn from_utf8(name: &[u8]) -> Result<Self, MailboxNameError> {
        let name = std::str::from_utf8(name).map_err(|_| MailboxNameError::NotUtf8)?;
        if name.bytes().any(|b| matches!(b, 0 | b'\r' | b'\n')) {
            return Err(MailboxNameError::Control);
        }
        Ok(Self::new(name))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is INBOX.
    pub fn is_inbox(&self) -> bool {
        &*self.0 == "INBOX"
    }
}

impl fmt::Display for MailboxName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for MailboxName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inbox_in_any_case() {
        assert!(MailboxName::from_mutf7(b"iNbOx").unwrap().is_inbox());
        assert!(!MailboxName::from_mutf7(b"inbox/x").unwrap().is_inbox());
        assert_eq!(MailboxName::from_mutf7(b"&AOk-").unwrap().as_str(), "é");
        let raw = MailboxName::from_mutf7("é&AOk-".as_bytes()).unwrap();
        assert_eq!(raw.as_str(), "é&AOk-");
        assert_eq!(
            MailboxName::from_mutf7(b"\xff"),
            Err(MailboxNameError::NotUtf8)
        );
        assert_eq!(
            MailboxName::from_mutf7(b"a&b"),
            Err(MailboxNameError::NotCanonical)
        );
        assert_eq!(
            MailboxName::from_utf8("a&b/é".as_bytes()).unwrap().as_str(),
            "a&b/é"
        );
        assert_eq!(
            MailboxName::from_utf8(b"\xff"),
            Err(MailboxNameError::NotUtf8)
        );
        assert_eq!(
            MailboxName::from_utf8(b"a\nb"),
            Err(MailboxNameError::Control)
        );
    }
}
