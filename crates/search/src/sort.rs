//! Sorting by several criteria (RFC 5256 §3, RFC 5957).

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
        self.collation.fold_to_sort(text, &mut self.bytes);
        self.ends.push(self.bytes.len());
    }

    /// As [`Texts::push`], of a text in the form that the collation makes of it.
    pub fn push_folded(&mut self, folded: &[u8]) {
        self.bytes.extend_from_slice(folded);
        self.ends.push(self.bytes.len());
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
}

/// How many octets of a text are compared at once.
const STEP: usize = 8;

/// A message while it is sorted, largest part first: eight octets of its text (or its number), how many of them are
/// the text's ([`STEP`] + 1: it goes on), and its place in the mailbox. Such keys stand side by side in memory, so
/// that a comparison does not wait for texts that lie anywhere.
#[derive(Clone, Copy)]
struct SortKey(u128);

impl SortKey {
    fn index(self) -> u32 {
        self.0 as u32
    }

    /// All but the place in the mailbox.
    fn value(self) -> u128 {
        self.0 >> 32
    }
}

impl Column {
    /// The key of a message, of which everything before octet `from` is the same as its neighbours'.
    fn key(&self, index: u32, from: usize, reverse: bool) -> SortKey {
        let (head, length) = match self {
            Column::Numbers(numbers) => (numbers[index as usize] as u64 ^ 1 << 63, 0),
            Column::Texts(texts) => {
                let rest = texts.get(index as usize).get(from..).unwrap_or_default();
                let head = match rest.first_chunk() {
                    Some(head) => *head,
                    None => {
                        let mut head = [0; STEP];
                        head[..rest.len()].copy_from_slice(rest);
                        head
                    }
                };
                // Of "a" and "a\0" the shorter is the first.
                (u64::from_be_bytes(head), rest.len().min(STEP + 1) as u32)
            }
        };
        let (head, length) = match reverse {
            true => (!head, !length),
            false => (head, length),
        };
        SortKey(u128::from(head) << 64 | u128::from(length) << 32 | u128::from(index))
    }

    /// Whether messages with this key, of [`Column::key`], may still differ.
    fn goes_on(&self, key: SortKey, reverse: bool) -> bool {
        let length = key.value() as u32;
        let length = if reverse { !length } else { length };
        matches!(self, Column::Texts(_)) && length as usize > STEP
    }
}

/// The messages 0 to `count` − 1 in the order of `criteria`, each with whether it is reversed.
/// Messages that are the same by all of them stay in the order of the mailbox, reversed or not
/// (RFC 5256 §3).
///
/// By a few octets at a time: what is the same up to there is sorted again by the next ones, then by the next
/// criterion.
///
/// # Panics
/// A column has fewer than `count` values.
pub fn order(criteria: &[(Column, bool)], count: u32) -> Vec<u32> {
    let mut keys: Vec<SortKey> = (0..count).map(|index| SortKey(index.into())).collect();
    // Messages that are the same so far, the criterion that comes next, and from which octet on.
    let mut same = vec![(0..count, 0_u32, 0_u32)];
    while let Some((range, number, from)) = same.pop() {
        let Some((column, reverse)) = criteria.get(number as usize) else {
            // They are in the order of the mailbox: the place is a part of each key.
            continue;
        };
        let mut start = range.start;
        let keys = &mut keys[range.start as usize..range.end as usize];
        for key in keys.iter_mut() {
            *key = column.key(key.index(), from as usize, *reverse);
        }
        keys.sort_unstable_by_key(|key| key.0);
        for group in keys.chunk_by(|a, b| a.value() == b.value()) {
            // Not more than `count`.
            let range = start..start + group.len() as u32;
            start = range.end;
            if group.len() > 1 {
                same.push(match column.goes_on(group[0], *reverse) {
                    true => (range, number, from + STEP as u32),
                    false => (range, number + 1, 0),
                });
            }
        }
    }
    keys.into_iter().map(SortKey::index).collect()
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
            list in proptest::collection::vec(("(abcdefgh){0,3}[a-c\0A-Cä]{0,12}", -2i64..3), 0..40),
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
