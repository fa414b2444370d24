//! Numbers that must not be mixed up.

use std::fmt;
use std::num::NonZeroU32;

/// A number that can stand in a set: never zero.
pub trait Number: Copy + Ord + fmt::Debug + fmt::Display {
    /// Wraps a number.
    fn from_nonzero(n: NonZeroU32) -> Self;
    /// The number itself.
    fn get(self) -> u32;
}

macro_rules! nonzero {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub NonZeroU32);

        impl $name {
            /// The value for `n`, or `None` for zero.
            pub const fn new(n: u32) -> Option<Self> {
                match NonZeroU32::new(n) {
                    Some(n) => Some(Self(n)),
                    None => None,
                }
            }

            /// The number itself.
            pub const fn get(self) -> u32 {
                self.0.get()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl Number for $name {
            fn from_nonzero(n: NonZeroU32) -> Self {
                Self(n)
            }

            fn get(self) -> u32 {
                self.0.get()
            }
        }

        impl From<NonZeroU32> for $name {
            fn from(n: NonZeroU32) -> Self {
                Self(n)
            }
        }
    };
}

nonzero! {
    /// A unique identifier of a message in a mailbox (RFC 9051 §2.3.1.1).
    Uid
}
nonzero! {
    /// A message sequence number: a position in one session's view, from 1 (RFC 9051 §2.3.1.2).
    SeqNum
}
nonzero! {
    /// The unique identifier validity value of a mailbox (RFC 9051 §2.3.1.1).
    UidValidity
}

impl Number for NonZeroU32 {
    fn from_nonzero(n: NonZeroU32) -> Self {
        n
    }

    fn get(self) -> u32 {
        NonZeroU32::get(self)
    }
}

/// A modification sequence (RFC 7162 §3.1): at most 2⁶³−1 on the wire.
///
/// Zero is a valid argument of UNCHANGEDSINCE and of a SEARCH key, never of a message.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct ModSeq(pub u64);

impl ModSeq {
    /// The largest value that the grammar allows.
    pub const MAX: Self = Self(i64::MAX as u64);

    /// The number itself.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for ModSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
