//! The keywords of a mailbox: which slot of the flags has which name.

use std::sync::Arc;

use crate::flags::{Flags, Slot};

/// The keywords of a mailbox by slot (RFC 9051 §2.3.2). Names are compared without regard to ASCII
/// case; the first spelling is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keywords {
    /// By slot; never longer than [`Slot::COUNT`], the last is always some.
    names: Vec<Option<Arc<str>>>,
}

impl Keywords {
    /// The longest name in bytes.
    pub const NAME_BYTES_MAX: usize = 255;

    /// None.
    pub const fn new() -> Self {
        Self { names: Vec::new() }
    }

    /// The name in a slot.
    pub fn name(&self, slot: Slot) -> Option<&str> {
        self.names.get(usize::from(slot.get()))?.as_deref()
    }

    /// The slot of a name.
    pub fn slot(&self, name: &str) -> Option<Slot> {
        self.iter()
            .find(|(_, known)| known.eq_ignore_ascii_case(name))
            .map(|(slot, _)| slot)
    }

    /// The flag of a name.
    pub fn flag(&self, name: &str) -> Option<Flags> {
        self.slot(name).map(Slot::flag)
    }

    /// The keywords in the order of their slots.
    pub fn iter(&self) -> impl Iterator<Item = (Slot, &str)> {
        Slot::all()
            .zip(&self.names)
            .filter_map(|(slot, name)| Some((slot, name.as_deref()?)))
    }

    /// The names of the keywords in `flags`.
    pub fn names_of(&self, flags: Flags) -> impl Iterator<Item = &str> {
        flags.slots().filter_map(|slot| self.name(slot))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.names.iter().flatten().count()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The first slot without a name.
    pub fn first_free(&self) -> Option<Slot> {
        Slot::all().find(|slot| self.name(*slot).is_none())
    }

    /// The bits of all defined keywords.
    pub fn flags(&self) -> Flags {
        self.iter().map(|(slot, _)| slot.flag()).collect()
    }

    /// Whether this can be the name of a keyword: an atom (RFC 9051 §9, `flag-keyword`) of at most
    /// [`Keywords::NAME_BYTES_MAX`] bytes.
    pub fn is_name(name: &str) -> bool {
        let atom = |byte: u8| byte.is_ascii_graphic() && !b"(){%*\"\\]".contains(&byte);
        !name.is_empty() && name.len() <= Self::NAME_BYTES_MAX && name.bytes().all(atom)
    }

    /// Gives a free slot a name. False, and nothing happens, if the slot is taken, another slot has
    /// that name, or it is not a name.
    pub(crate) fn define(&mut self, slot: Slot, name: &str) -> bool {
        if !Self::is_name(name) || self.name(slot).is_some() || self.slot(name).is_some() {
            return false;
        }
        let index = usize::from(slot.get());
        if self.names.len() <= index {
            self.names.resize(index + 1, None);
        }
        self.names[index] = Some(name.into());
        true
    }

    /// Takes the name from a slot. False if it had none.
    pub(crate) fn free(&mut self, slot: Slot) -> bool {
        let taken = self
            .names
            .get_mut(usize::from(slot.get()))
            .and_then(Option::take);
        while let Some(None) = self.names.last() {
            self.names.pop();
        }
        taken.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(number: u8) -> Slot {
        Slot::new(number).expect("a slot")
    }

    #[test]
    fn the_first_spelling_is_kept() {
        let mut keywords = Keywords::new();
        assert!(keywords.define(slot(3), "$Junk"));
        assert!(!keywords.define(slot(4), "$JUNK"), "the same keyword");
        assert!(!keywords.define(slot(3), "other"), "slot taken");
        assert_eq!(keywords.slot("$junk"), Some(slot(3)));
        assert_eq!(keywords.name(slot(3)), Some("$Junk"));
        assert_eq!(keywords.first_free(), Some(slot(0)));
        assert!(keywords.free(slot(3)));
        assert!(!keywords.free(slot(3)));
        assert_eq!(keywords, Keywords::new());
    }

    #[test]
    fn there_are_123() {
        let mut keywords = Keywords::new();
        while let Some(slot) = keywords.first_free() {
            assert!(keywords.define(slot, &format!("k{}", slot.get())));
        }
        assert_eq!(keywords.len(), 123);
        assert_eq!(keywords.flags(), Flags::KEYWORDS);
    }

    #[test]
    fn names_are_atoms() {
        for good in ["$Forwarded", "NonJunk", "a", "$label1", "x.y-z:1[2"] {
            assert!(Keywords::is_name(good), "{good}");
        }
        for bad in ["", "\\Seen", "a b", "a(b", "k\u{e4}se", "a]", "a%", "a\r"] {
            assert!(!Keywords::is_name(bad), "{bad}");
        }
        assert!(!Keywords::is_name(&"x".repeat(256)));
    }
}
