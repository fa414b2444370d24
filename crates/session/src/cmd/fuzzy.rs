//! FUZZY (RFC 6203): strings that are like the one that was asked for, and how much.
//!
//! A string is taken apart into words. A message has a word if it has its first three quarters (at least
//! three characters, of words of at least four): `broken` is found by `broke` and `Helo` by `help`. It is
//! found if it has half of the words, in whatever order. Its score is
//!
//! - 60 % for the words, each whole or, for three fifths of that, by its beginning;
//! - 40 % if the string is there as it was written;
//! - and of TEXT, seven tenths for that and three for the words in the subject,
//!
//! from 1 to 100, and the mean where several strings were looked for. What is no string is found exactly;
//! so is what stands under NOT.

/// A string under FUZZY, as looks by their index in the program.
#[derive(Debug, Clone)]
pub(crate) struct FuzzyKey {
    /// For the string as it was written.
    pub(super) whole: usize,
    /// For each word, and for its beginning.
    pub(super) words: Vec<(usize, usize)>,
    /// For each word in the subject, where the string is looked for in all of the message.
    pub(super) subject: Vec<usize>,
}

impl FuzzyKey {
    /// Whether a message is like it, as far as it is known.
    pub(super) fn decide(&self, look: &mut dyn FnMut(usize) -> Option<bool>) -> Option<bool> {
        // No words, only signs: then the string itself.
        if self.words.is_empty() {
            return look(self.whole);
        }
        let needed = self.words.len().div_ceil(2);
        let (mut found, mut unknown) = (0, 0);
        for (left, (_, stem)) in (0..self.words.len()).rev().zip(&self.words) {
            match look(*stem) {
                Some(true) => found += 1,
                Some(false) => {}
                None => unknown += 1,
            }
            if found >= needed {
                return Some(true);
            }
            if found + unknown + left < needed {
                return Some(false);
            }
        }
        None
    }

    /// From 0 to 1000, of a message that is known.
    fn score(&self, is: &dyn Fn(usize) -> bool) -> usize {
        let whole = usize::from(is(self.whole));
        if self.words.is_empty() {
            return 1000 * whole;
        }
        let words = self.words.iter().map(|(full, stem)| match is(*full) {
            true => 5,
            false => 3 * usize::from(is(*stem)),
        });
        let score = 400 * whole + 120 * words.sum::<usize>() / self.words.len();
        if self.subject.is_empty() {
            return score;
        }
        let in_subject = self.subject.iter().filter(|look| is(**look)).count();
        (7 * score + 3000 * in_subject / self.subject.len()) / 10
    }
}

/// The score of a message that is known, from 1 to 100.
pub(super) fn score(keys: &[FuzzyKey], is: &dyn Fn(usize) -> bool) -> u8 {
    if keys.is_empty() {
        return 100;
    }
    let sum: usize = keys.iter().map(|key| key.score(is)).sum();
    let mean = sum / keys.len();
    // At most 1000.
    (mean.div_ceil(10) as u8).clamp(1, 100)
}

/// The beginning of a word by which others like it are found.
pub(super) fn stem(word: &str) -> Option<&str> {
    let count = word.chars().count();
    let kept = (3 * count).div_ceil(4);
    let (end, _) = word.char_indices().nth(kept)?;
    (count >= 4).then_some(&word[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_by_their_beginning() {
        let cases = [
            ("Helo", Some("Hel")),
            ("the", None),
            ("broken", Some("broke")),
            ("Größe", Some("Größ")),
            ("", None),
        ];
        for (word, expected) in cases {
            assert_eq!(stem(word), expected, "{word}");
        }
    }

    /// The string, three words with their beginnings.
    fn key() -> FuzzyKey {
        FuzzyKey {
            whole: 0,
            words: vec![(1, 2), (3, 4), (5, 5)],
            subject: Vec::new(),
        }
    }

    #[test]
    fn half_of_the_words_are_enough() {
        let decide = |known: [Option<bool>; 6]| key().decide(&mut |look| known[look]);
        let (yes, no) = (Some(true), Some(false));
        assert_eq!(decide([None, None, yes, None, yes, None]), yes);
        assert_eq!(decide([None, None, yes, None, no, yes]), yes);
        assert_eq!(decide([None, None, no, None, no, None]), no);
        assert_eq!(decide([None, None, yes, None, no, None]), None);
        assert_eq!(decide([None; 6]), None);
    }

    #[test]
    fn what_is_more_alike_scores_more() {
        let score_of = |there: &[usize]| score(&[key()], &|look| there.contains(&look));
        assert_eq!(score_of(&[0, 1, 2, 3, 4, 5]), 100);
        assert_eq!(score_of(&[1, 2, 3, 4, 5]), 60);
        assert!(score_of(&[2, 4, 5]) < score_of(&[1, 2, 4, 5]));
        assert_eq!(score_of(&[]), 1);
        assert_eq!(score(&[], &|_| false), 100);
        let text = FuzzyKey {
            subject: vec![6],
            ..key()
        };
        let all = |subject: bool| {
            score(std::slice::from_ref(&text), &move |look| {
                look < 6 || subject
            })
        };
        assert_eq!((all(true), all(false)), (100, 70));
    }
}
