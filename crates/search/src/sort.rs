//! Sorting by several criteria (RFC 5256 §3, RFC 5957).

use std::cmp::Ordering;

use crate::collation::Collation;

/// The values of one criterion, one for each message in the order of the mailbox.
#[derive(Clone, Debug)]
pub enum Column {
    /// Dates in seconds, sizes in bytes.
    Numbers(Vec<i64>),
    /// Texts by their collation.
    Texts(Texts),
}

/// Texts in the form in which they are compared, one after the other in one piece of memory.
#[derive(Clone, Debug, Default)]
pub struct Texts {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// The first eight octets of each: they decide mostly.
    heads: Vec<u64>,
    collation: Collation,
}

impl Texts {
    /// None yet.
    pub fn new(collation: Collation) -> Texts {
        Texts {
            collation,
            ..Texts::default()
        }
    }

    /// Adds the next message's text. What a message does not have is the empty string, which comes
    /// before all others.
    pub fn push(&mut self, text: &str) {
        let start = self.bytes.len();
        self.collation.fold(text, &mut self.bytes);
        self.end(start);
    }

    /// As [`Texts::push`], of a text in the form that the collation makes of it.
    pub fn push_folded(&mut self, folded: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(folded);
        self.end(start);
    }

    fn end(&mut self, start: usize) {
        self.ends.push(self.bytes.len());
        let folded = &self.bytes[start..];
        let mut head = [0; 8];
        let length = folded.len().min(8);
        head[..length].copy_from_slice(&folded[..length]);
        self.heads.push(u64::from_be_bytes(head));
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The form of the text at `index` that is compared.
    ///
    /// # Panics
    /// There is none.
    pub fn get(&self, index: usize) -> &[u8] {
        let start = match index.checked_sub(1) {
            Some(before) => self.ends[before],
            None => 0,
        };
        &self.bytes[start..self.ends[index]]
    }

    fn compare(&self, a: usize, b: usize) -> Ordering {
        // A shorter text is padded with NUL, and NUL is the smallest octet: equal heads decide
        // nothing, different ones everything.
        self.heads[a]
            .cmp(&self.heads[b])
            .then_with(|| self.get(a).cmp(self.get(b)))
    }
}

impl Column {
    fn compare(&self, a: usize, b: usize) -> Ordering {
        match self {
            Column::Numbers(numbers) => numbers[a].cmp(&numbers[b]),
            Column::Texts(texts) => texts.compare(a, b),
        }
    }
}

/// The messages 0 to `count` − 1 in the order of `criteria`, each with whether it is reversed.
/// Messages that are the same by all of them stay in the order of the mailbox, reversed or not
/// (RFC 5256 §3).
///
/// # Panics
/// A column has fewer than `count` values.
pub fn order(criteria: &[(Column, bool)], count: u32) -> Vec<u32> {
    let mut order: Vec<u32> = (0..count).collect();
    order.sort_unstable_by(|&a, &b| {
        for (column, reverse) in criteria {
            let ordering = column.compare(a as usize, b as usize);
            if ordering != Ordering::Equal {
                return if *reverse {
                    ordering.reverse()
                } else {
                    ordering
                };
            }
        }
        a.cmp(&b)
    });
    order
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts<'a>(list: impl IntoIterator<Item = &'a str>) -> Column {
        let mut texts = Texts::new(Collation::default());
        list.into_iter().for_each(|text| texts.push(text));
        Column::Texts(texts)
    }

    #[test]
    fn case_makes_no_difference_and_nothing_comes_first() {
        let column = texts(["beta", "Alpha", "", "ALPHA", "äther", "gamma"]);
        // Ä decomposes to A with a mark, which is larger than any letter.
        assert_eq!(order(&[(column, false)], 6), [2, 1, 3, 4, 0, 5]);
    }

    #[test]
    fn only_the_criterion_is_reversed() {
        let subjects = texts(["b", "a", "b", "a"]);
        assert_eq!(order(&[(subjects.clone(), true)], 4), [0, 2, 1, 3]);
        let dates = Column::Numbers(vec![1, 2, 3, 4]);
        assert_eq!(order(&[(subjects, false), (dates, true)], 4), [3, 1, 2, 0]);
        assert_eq!(order(&[], 3), [0, 1, 2]);
    }

    proptest! {
        #[test]
        fn as_a_stable_sort(
            list in proptest::collection::vec(("[a-c\0A-Cä]{0,12}", -2i64..3), 0..40),
            reversed in any::<(bool, bool)>()
        ) {
            let columns = [
                (texts(list.iter().map(|(text, _)| text.as_str())), reversed.0),
                (Column::Numbers(list.iter().map(|(_, number)| *number).collect()), reversed.1),
            ];
            let mut model: Vec<u32> = (0..list.len() as u32).collect();
            model.sort_by(|a, b| {
                let (a, b) = (&list[*a as usize], &list[*b as usize]);
                let text = crate::folded(&a.0).cmp(&crate::folded(&b.0));
                let text = if reversed.0 { text.reverse() } else { text };
                let number = a.1.cmp(&b.1);
                text.then(if reversed.1 { number.reverse() } else { number })
            });
            prop_assert_eq!(order(&columns, list.len() as u32), model);
        }
    }
}
