//! Flag words as the text that is sent.

use restante_mailbox::{Flags, Keywords};

/// Writes flag lists, fast where the same words come again and again.
#[derive(Debug)]
pub(crate) struct FlagWriter<'a> {
    keywords: &'a Keywords,
    /// The last words and their text without parentheses.
    cache: Vec<(Flags, Vec<u8>)>,
    oldest: usize,
}

/// Words remembered: mailboxes use few different ones.
const CACHED: usize = 8;

impl<'a> FlagWriter<'a> {
    /// For the flags of a snapshot with these keywords.
    pub(crate) fn new(keywords: &'a Keywords) -> FlagWriter<'a> {
        FlagWriter {
            keywords,
            cache: Vec::new(),
            oldest: 0,
        }
    }

    /// Appends `(\Seen $Junk)`, with `\Recent` if it is.
    pub(crate) fn write(&mut self, out: &mut Vec<u8>, flags: Flags, recent: bool) {
        let slot = match self.cache.iter().position(|(known, _)| *known == flags) {
            Some(slot) => slot,
            None => self.remember(flags),
        };
        let text = &self.cache[slot].1;
        out.push(b'(');
        out.extend_from_slice(text);
        if recent {
            if !text.is_empty() {
                out.push(b' ');
            }
            out.extend_from_slice(b"\\Recent");
        }
        out.push(b')');
    }

    fn remember(&mut self, flags: Flags) -> usize {
        let mut text = Vec::new();
        let system = Flags::SYSTEM_NAMES
            .iter()
            .filter(|(flag, _)| flags.contains(*flag))
            .map(|(_, name)| *name);
        for name in system.chain(self.keywords.names_of(flags)) {
            if !text.is_empty() {
                text.push(b' ');
            }
            text.extend_from_slice(name.as_bytes());
        }
        if self.cache.len() < CACHED {
            self.cache.push((flags, text));
            return self.cache.len() - 1;
        }
        let slot = self.oldest;
        self.oldest = (slot + 1) % CACHED;
        self.cache[slot] = (flags, text);
        slot
    }
}

/// The flags of a mailbox for FLAGS (RFC 9051 §7.3.5) and PERMANENTFLAGS, without parentheses: the system
/// flags and its keywords that are `among` these.
pub(crate) fn defined(keywords: &Keywords, among: Flags) -> String {
    let mut text = String::new();
    let system = Flags::SYSTEM_NAMES.iter();
    let system = system.filter(|(flag, _)| among.contains(*flag));
    let keywords = keywords.iter();
    let keywords = keywords.filter(|(slot, _)| among.contains(slot.flag()));
    for name in system
        .map(|(_, name)| *name)
        .chain(keywords.map(|(_, name)| name))
    {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(name);
    }
    text
}
