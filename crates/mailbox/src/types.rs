//! The numbers that name things, and the row of a message.

use std::{fmt, num::NonZeroU32};

use crate::flags::Flags;

/// An account. Never reused; 0 is the server itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(pub u32);

/// A mailbox of an account. Never reused within the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MailboxId(pub u32);

/// An email of an account (RFC 8474 §5.1): 42 bits of milliseconds since 1970, 8 bits of node, 14
/// bits of counter. Never reused within the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EmailId(pub u64);

/// A thread of an account (RFC 8474 §5.2). Never changes once it was reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ThreadId(pub u64);

/// The unique identifier of a message in its mailbox (RFC 9051 §2.3.1.1): never 0, ascending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid(NonZeroU32);

impl Uid {
    /// The first UID of a mailbox.
    pub const MIN: Self = Self(NonZeroU32::MIN);
    /// The largest number that a UID could have. It is never given to a message: UIDNEXT, which
    /// has to be larger than every UID, must still be a 32-bit number.
    pub const MAX: Self = Self(NonZeroU32::MAX);

    /// The UID with this number; none for 0.
    pub const fn new(number: u32) -> Option<Self> {
        match NonZeroU32::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// Its number.
    pub const fn get(self) -> u32 {
        self.0.get()
    }

    /// The UID `by` after this one; none past 2³²−1.
    pub fn checked_add(self, by: u32) -> Option<Self> {
        self.0.checked_add(by).map(Self)
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The validity of a mailbox's UIDs (RFC 9051 §2.3.1.1): with another one, they name other messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UidValidity(NonZeroU32);

impl UidValidity {
    /// The UIDVALIDITY with this number; none for 0.
    pub const fn new(number: u32) -> Option<Self> {
        match NonZeroU32::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// Its number.
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

impl fmt::Display for UidValidity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A modification sequence (RFC 7162 §3): the clock of a mailbox, 1 in an empty new one. 0 is before
/// everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModSeq(pub u64);

impl ModSeq {
    /// Before everything.
    pub const ZERO: Self = Self(0);
    /// That of an empty new mailbox.
    pub const FIRST: Self = Self(1);
    /// The largest one: they are 63-bit numbers on the wire (RFC 7162 §7).
    pub const MAX: Self = Self(i64::MAX as u64);

    /// The next one; none past [`ModSeq::MAX`].
    pub fn next(self) -> Option<Self> {
        self.checked_add(1)
    }

    /// The one `by` after this; none past [`ModSeq::MAX`].
    pub fn checked_add(self, by: u64) -> Option<Self> {
        let sum = self.0.checked_add(by).map(Self)?;
        (sum <= Self::MAX).then_some(sum)
    }
}

impl fmt::Display for ModSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A moment as a client gave it: with the zone it was given in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DateTime {
    /// Seconds since 1970-01-01 UTC.
    pub unix_s: i64,
    /// Minutes east of UTC of the zone it is shown in.
    pub zone_min: i16,
}

impl DateTime {
    /// This moment, shown in UTC.
    pub const fn utc(unix_s: i64) -> Self {
        let zone_min = 0;
        Self { unix_s, zone_min }
    }
}

/// What a mailbox knows of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its UID.
    pub uid: Uid,
    /// The email, which other mailboxes of the account may show too.
    pub email: EmailId,
    /// RFC822.SIZE, in bytes.
    pub size: u64,
    /// INTERNALDATE.
    pub internal_date: DateTime,
    /// When it came into this mailbox (RFC 8514 §3), in seconds since 1970.
    pub save_date_s: i64,
    /// System flags, and keywords by the mailbox's slots.
    pub flags: Flags,
    /// The transaction that changed its flags last, or brought it here.
    pub modseq: ModSeq,
}
