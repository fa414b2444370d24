//! Flags of one message as a set of bits.

use std::ops::{BitAnd, BitOr, Not};

/// System flags and keywords of a message (RFC 9051 §2.3.2): bits 0–4 are `\Seen`, `\Answered`,
/// `\Flagged`, `\Deleted`, `\Draft`; bit 5 + s is the keyword in slot s of the mailbox's
/// [`Keywords`](crate::Keywords). `\Recent` is not stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Flags(pub u128);

impl Flags {
    /// None.
    pub const NONE: Self = Self(0);
    /// `\Seen`
    pub const SEEN: Self = Self(1);
    /// `\Answered`
    pub const ANSWERED: Self = Self(1 << 1);
    /// `\Flagged`
    pub const FLAGGED: Self = Self(1 << 2);
    /// `\Deleted`
    pub const DELETED: Self = Self(1 << 3);
    /// `\Draft`
    pub const DRAFT: Self = Self(1 << 4);
    /// All five system flags.
    pub const SYSTEM: Self = Self((1 << 5) - 1);
    /// All keywords.
    pub const KEYWORDS: Self = Self(!Self::SYSTEM.0);
    /// Everything.
    pub const ALL: Self = Self(u128::MAX);

    /// The system flags with their names, in the order of their bits.
    pub const SYSTEM_NAMES: [(Self, &'static str); 5] = [
        (Self::SEEN, "\\Seen"),
        (Self::ANSWERED, "\\Answered"),
        (Self::FLAGGED, "\\Flagged"),
        (Self::DELETED, "\\Deleted"),
        (Self::DRAFT, "\\Draft"),
    ];

    /// Whether all of `other` are in it.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any of `other` is in it.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether there are none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Without `other`.
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The slots of its keywords, ascending.
    pub fn slots(self) -> impl Iterator<Item = Slot> {
        let mut bits = self.0 >> Slot::FIRST_BIT;
        std::iter::from_fn(move || {
            let slot = u8::try_from(bits.trailing_zeros())
                .ok()
                .and_then(Slot::new)?;
            bits &= bits - 1;
            Some(slot)
        })
    }
}

impl BitOr for Flags {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitAnd for Flags {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Not for Flags {
    type Output = Self;
    fn not(self) -> Self {
        Self(!self.0)
    }
}

impl FromIterator<Flags> for Flags {
    fn from_iter<I: IntoIterator<Item = Flags>>(flags: I) -> Self {
        flags.into_iter().fold(Self::NONE, BitOr::bitor)
    }
}

/// The place of a keyword in the [`Flags`] of a mailbox: 0 to 122.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u8);

impl Slot {
    /// How many keywords a mailbox can have at the same time.
    pub const COUNT: usize = 128 - Self::FIRST_BIT as usize;
    const FIRST_BIT: u8 = 5;

    /// The slot with this number; none from [`Slot::COUNT`] on.
    pub const fn new(number: u8) -> Option<Self> {
        if (number as usize) < Self::COUNT {
            Some(Self(number))
        } else {
            None
        }
    }

    /// Its number.
    pub const fn get(self) -> u8 {
        self.0
    }

    /// Its bit.
    pub const fn flag(self) -> Flags {
        Flags(1 << (self.0 + Self::FIRST_BIT))
    }

    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT).filter_map(|number| u8::try_from(number).ok().map(Self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_slot_is_the_last_bit() {
        let last = Slot::all().last().expect("there are slots");
        assert_eq!(usize::from(last.get()), Slot::COUNT - 1);
        assert_eq!(last.flag(), Flags(1 << 127));
        assert_eq!(Slot::new(123), None);
    }

    #[test]
    fn slots_of_a_set() {
        let slots = [Slot(0), Slot(7), Slot(122)];
        let flags = slots.iter().map(|slot| slot.flag()).collect::<Flags>() | Flags::SYSTEM;
        assert!(flags.slots().eq(slots));
        assert_eq!(Flags::SYSTEM.slots().count(), 0);
        assert_eq!(Flags::ALL.slots().count(), Slot::COUNT);
    }
}
