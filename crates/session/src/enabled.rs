//! What the client enabled, and everything that follows from it.
//!
//! The differences between IMAP4rev1, IMAP4rev2 and `UTF8=ACCEPT` are questions to this type;
//! commands never ask for a revision by themselves.

/// The extensions in force on one connection (RFC 9051 §6.3.1; RFC 7162 §3.1, §3.2.3).
///
/// Additive: nothing here is ever taken back while the connection lives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Enabled {
    rev2: bool,
    utf8_accept: bool,
    condstore: bool,
    qresync: bool,
    uid_only: bool,
}

impl Enabled {
    /// Turns IMAP4rev2 on.
    pub fn enable_rev2(&mut self) {
        self.rev2 = true;
    }

    /// Turns `UTF8=ACCEPT` on (RFC 9755 §3).
    pub fn enable_utf8(&mut self) {
        self.utf8_accept = true;
    }

    /// Notes a CONDSTORE enabling command (RFC 7162 §3.1); true if it is the first.
    pub fn enable_condstore(&mut self) -> bool {
        !std::mem::replace(&mut self.condstore, true)
    }

    /// Turns QRESYNC on, which is also a CONDSTORE enabling command (RFC 7162 §3.2.3); true if
    /// the client was not CONDSTORE-aware before.
    pub fn enable_qresync(&mut self) -> bool {
        self.qresync = true;
        self.enable_condstore()
    }

    /// Turns UIDONLY on (RFC 9586 §3.1).
    pub fn enable_uid_only(&mut self) {
        self.uid_only = true;
    }

    /// Whether there are no message numbers any more, in either direction (RFC 9586 §3).
    pub fn uid_only(self) -> bool {
        self.uid_only
    }

    /// Whether the client spoke `ENABLE IMAP4rev2`.
    pub fn rev2(self) -> bool {
        self.rev2
    }

    /// Whether `UTF8=ACCEPT` was enabled by its own name (APPEND's `UTF8` data, RFC 9755 §4).
    pub fn utf8_accept(self) -> bool {
        self.utf8_accept
    }

    /// Whether FETCH responses that nobody asked for carry UID and MODSEQ (RFC 7162 §3.2.4).
    pub fn condstore(self) -> bool {
        self.condstore
    }

    /// Whether QRESYNC was enabled (RFC 7162 §3.2.3).
    pub fn qresync(self) -> bool {
        self.qresync
    }

    /// Whether VANISHED replaces EXPUNGE (RFC 7162 §3.2.10; RFC 9586 §3.4).
    pub fn vanished(self) -> bool {
        self.qresync || self.uid_only
    }

    /// Whether mailbox names are UTF-8 on the wire in both directions; else modified UTF-7
    /// (RFC 9051 §5.1; RFC 3501 §5.1.3; RFC 9755 §3).
    pub fn utf8_names(self) -> bool {
        self.rev2 || self.utf8_accept
    }

    /// Whether quoted strings may carry UTF-8 (RFC 9051 §4.3; RFC 9755 §3).
    pub fn utf8_quoted(self) -> bool {
        self.rev2 || self.utf8_accept
    }

    /// Whether `\Recent` and RECENT exist (IMAP4rev1 only; RFC 9051 appendix E, 8).
    pub fn recent(self) -> bool {
        !self.rev2
    }

    /// Whether SEARCH answers with ESEARCH even without RETURN (RFC 9051 §6.4.4).
    pub fn esearch_always(self) -> bool {
        self.rev2
    }

    /// Whether SELECT names its mailbox with LIST (RFC 9051 §6.3.2) and gives no `UNSEEN` code.
    pub fn select_lists(self) -> bool {
        self.rev2
    }

    /// Whether a FETCH response that nobody asked for names its UID (RFC 9051 §6.3.13;
    /// RFC 7162 §3.2.4).
    pub fn fetch_tells_uid(self) -> bool {
        (self.condstore || self.rev2) && !self.uid_only
    }
}
