//! Finding a string in text.

use crate::collation::Collation;
use memchr::memmem::Finder;

/// How much text is folded at a time.
const WINDOW: usize = 16 * 1024;

/// A string to look for, prepared once.
#[derive(Clone, Debug)]
pub struct Needle {
    finder: Finder<'static>,
    collation: Collation,
}

impl Needle {
    /// Prepares `text`. An empty needle is found in every text (RFC 9051 §6.4.4).
    pub fn new(text: &str, collation: Collation) -> Needle {
        let mut folded = Vec::new();
        collation.fold_to_find(text, &mut folded);
        Needle {
            finder: Finder::new(&folded).into_owned(),
            collation,
        }
    }

    /// How it is compared.
    pub fn collation(&self) -> Collation {
        self.collation
    }

    /// Whether the needle is found in every text.
    pub fn is_empty(&self) -> bool {
        self.finder.needle().is_empty()
    }

    /// Whether `text` has the needle as a substring.
    pub fn is_in(&self, text: &str) -> bool {
        self.is_in_with(text, &mut Vec::new())
    }

    /// As [`Needle::is_in`], with memory that many calls share.
    pub fn is_in_with(&self, text: &str, scratch: &mut Vec<u8>) -> bool {
        scratch.clear();
        self.collation.fold_to_find(text, scratch);
        self.finder.find(scratch).is_some()
    }

    /// Where the needle begins in texts in the form of [`Collation::fold_to_find`] of its collation: one after the other, with octets between
    /// them that are not of UTF-8, which it does not span.
    pub fn find_in_form(&self, form: &[u8]) -> Option<usize> {
        self.finder.find(form)
    }
}

/// Looks for several needles at once in a text that comes in pieces; memory is bounded by the
/// longest needle and a window.
#[derive(Debug)]
pub struct Scan<'n> {
    needles: &'n [Needle],
    found: Vec<bool>,
    missing: usize,
    /// The folded end of what came before, so that a needle across two pieces is found.
    window: Vec<u8>,
    overlap: usize,
    collation: Collation,
}

impl<'n> Scan<'n> {
    /// A scan for `needles`, all of one collation, with nothing read yet.
    pub fn new(needles: &'n [Needle]) -> Scan<'n> {
        let found: Vec<bool> = needles.iter().map(Needle::is_empty).collect();
        let missing = found.iter().filter(|found| !**found).count();
        let longest = needles
            .iter()
            .map(|n| n.finder.needle().len())
            .max()
            .unwrap_or(0);
        Scan {
            needles,
            found,
            missing,
            window: Vec::new(),
            overlap: longest.saturating_sub(1),
            collation: needles
                .first()
                .map_or_else(Collation::default, |n| n.collation),
        }
    }

    /// Takes the next piece of text. Gives whether every needle has been found, so that the rest
    /// need not be read.
    pub fn push(&mut self, text: &str) -> bool {
        let mut rest = text;
        while !rest.is_empty() && self.missing > 0 {
            let (piece, after) = rest.split_at(rest.floor_char_boundary(WINDOW));
            rest = after;
            self.collation.fold_to_find(piece, &mut self.window);
            for (needle, found) in self.needles.iter().zip(&mut self.found) {
                if !*found && needle.finder.find(&self.window).is_some() {
                    *found = true;
                    self.missing -= 1;
                }
            }
            let kept = self.window.len().saturating_sub(self.overlap);
            self.window.drain(..kept);
        }
        self.missing == 0
    }

    /// Ends a text: what comes next does not continue it, so no needle spans the two.
    pub fn end_text(&mut self) {
        self.window.clear();
    }

    /// Whether every needle has been found, so that the rest need not be read.
    pub fn is_done(&self) -> bool {
        self.missing == 0
    }

    /// Whether the needle of that index has been found so far.
    pub fn found(&self, index: usize) -> bool {
        self.found[index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn finds_without_regard_to_case() {
        assert!(Needle::new("WOLKEN", Collation::default()).is_in("über den Wolken"));
        assert!(Needle::new("ÜBER", Collation::default()).is_in("über den Wolken"));
        assert!(!Needle::new("under", Collation::default()).is_in("über den Wolken"));
        assert!(Needle::new("", Collation::default()).is_in(""));
        assert!(Needle::new("wOLKEN", Collation::AsciiCasemap).is_in("über den Wolken"));
        assert!(!Needle::new("ÜBER", Collation::AsciiCasemap).is_in("über den Wolken"));
        assert!(Needle::new("über", Collation::Octet).is_in("über den Wolken"));
        assert!(!Needle::new("wolken", Collation::Octet).is_in("über den Wolken"));
    }

    #[test]
    fn a_needle_does_not_span_two_texts() {
        let needles = [Needle::new("ab", Collation::default())];
        let mut scan = Scan::new(&needles);
        scan.push("a");
        scan.end_text();
        scan.push("b");
        assert!(!scan.found(0));
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(text in "[a-cA-Cä-ü]{0,60}", needle in "[a-cA-Cä-ü]{0,4}", cuts in proptest::collection::vec(0usize..200, 0..6)) {
            let needles = [Needle::new(&needle, Collation::default())];
            let mut scan = Scan::new(&needles);
            let mut at = 0;
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| text.floor_char_boundary(c)).collect();
            cuts.sort_unstable();
            for cut in cuts {
                scan.push(&text[at..cut]);
                at = cut;
            }
            scan.push(&text[at..]);
            let model = memchr::memmem::find(&crate::folded(&text), &crate::folded(&needle)).is_some();
            prop_assert_eq!(scan.found(0), model);
        }
    }
}
