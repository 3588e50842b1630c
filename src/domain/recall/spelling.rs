//! Typing errors: the word that was meant by one that occurs nowhere.
//!
//! Only a word without any match is mended, and only by one that the memory holds. The index is walked where words begin
//! as the typed one does, allowing for an error in the first two letters; of what is found there, the closest is taken.
//!
//! **Invariant:** a word that occurs is never replaced.

/// Shorter words are too close to too many others.
const MIN_LETTERS: usize = 4;
/// Longer ones are not words.
const MAX_LETTERS: usize = 24;
/// A row of the matrix of [`errors`]: a word with two letters too many, and the place before it.
const WIDTH: usize = MAX_LETTERS + 3;
/// Words that may have been meant.
const MOST_MEANT: usize = 8;
/// From this length on a word may have two errors.
const LONG: usize = 8;
/// What a mended word weighs beside one that was typed so.
pub const MENDED_WEIGHT: f64 = 0.6;

/// How the words begin among which the meant one is looked for; none if a word is not mended at all.
pub fn beginnings(typed: &str) -> Vec<String> {
    if !(MIN_LETTERS..=MAX_LETTERS).contains(&typed.len())
        || !typed.bytes().all(|b| b.is_ascii_lowercase())
    {
        return Vec::new();
    }
    let letter = |at: usize| typed.get(at..=at).unwrap_or_default();
    let mut beginnings = Vec::new();
    // As typed; the first two swapped; the second or the first one too many.
    for (first, second) in [(0, 1), (1, 0), (0, 2), (1, 2)] {
        let beginning = format!("{}{}", letter(first), letter(second));
        if !beginnings.contains(&beginning) {
            beginnings.push(beginning);
        }
    }
    beginnings
}

/// The closest of the known words, each given with the number of passages that hold it, the closest first; of equally
/// close ones the more frequent, then the first in the alphabet. At most [`MOST_MEANT`].
pub fn closest<'a>(
    typed: &str,
    known: impl Iterator<Item = &'a (String, i64)>,
) -> Vec<(String, i64)> {
    let (most, most_changed) = if typed.len() >= LONG { (2, 4) } else { (1, 2) };
    let of_typed = letters(typed);
    let errors = |word: &str| {
        // An error takes one letter away and puts another one there, at most; most words are told apart by that.
        let near = word.len().abs_diff(typed.len()) <= most
            && word.is_ascii()
            && (of_typed ^ letters(word)).count_ones() <= most_changed;
        near.then(|| errors(typed.as_bytes(), word.as_bytes()))
            .filter(|errors| *errors <= most)
    };
    let mut close: Vec<_> = known
        .filter_map(|(word, count)| Some((errors(word)?, std::cmp::Reverse(*count), word)))
        .collect();
    close.sort();
    close.dedup();
    close.truncate(MOST_MEANT);
    close
        .into_iter()
        .map(|(_, count, word)| (word.clone(), count.0))
        .collect()
}

/// Which letters a word has, a bit each; others than small ones share the bits that are left.
fn letters(word: &str) -> u32 {
    word.bytes()
        .fold(0, |bits, letter| bits | 1 << (letter & 0x1f))
}

/// Letters changed, missing, too many, or swapped with their neighbour (optimal string alignment). Words longer than
/// [`MAX_LETTERS`] and the errors that may be in it count as all wrong.
fn errors(a: &[u8], b: &[u8]) -> usize {
    // Three rows of the matrix: the one before the last is what a swap looks back to.
    let mut before_last = [0; WIDTH];
    let mut last = [0; WIDTH];
    for (cell, letters) in last.iter_mut().zip(0..) {
        *cell = letters;
    }
    if a.len() >= WIDTH || b.len() >= WIDTH {
        return a.len().max(b.len());
    }
    let mut letter_before = None;
    for (row, letter) in (1_u8..).zip(a) {
        let mut this = [0; WIDTH];
        let mut left = row;
        let mut other_before = None;
        if let Some(first) = this.first_mut() {
            *first = row;
        }
        for (place, other) in (1..).zip(b) {
            let above = |cells: &[u8; WIDTH], back: usize| {
                cells.get(place - back).copied().unwrap_or(u8::MAX / 2)
            };
            let mut value = (left + 1)
                .min(above(&last, 0) + 1)
                .min(above(&last, 1) + u8::from(letter != other));
            if place > 1 && letter_before == Some(other) && other_before == Some(letter) {
                value = value.min(above(&before_last, 2) + 1);
            }
            if let Some(cell) = this.get_mut(place) {
                *cell = value;
            }
            left = value;
            other_before = Some(other);
        }
        letter_before = Some(letter);
        (before_last, last) = (last, this);
    }
    last.get(b.len())
        .map_or(usize::MAX, |errors| usize::from(*errors))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mended(typed: &str, known: &[(&str, i64)]) -> Option<String> {
        let known: Vec<_> = known
            .iter()
            .map(|(word, count)| ((*word).to_owned(), *count))
            .collect();
        closest(typed, known.iter())
            .into_iter()
            .map(|(word, _)| word)
            .next()
    }

    #[test]
    fn finds_what_was_meant() {
        for (typed, word) in [
            ("promtheus", "prometheus"),
            ("kuberentes", "kubernetes"),
            ("postgrse", "postgres"),
            ("migraton", "migration"),
            ("rdeis", "redis"),
        ] {
            assert_eq!(
                mended(typed, &[("other", 9), (word, 1)]).as_deref(),
                Some(word),
                "{typed}"
            );
            let begins = beginnings(typed);
            assert!(
                begins.iter().any(|begin| word.starts_with(begin)),
                "{typed}: {begins:?}"
            );
        }
    }

    #[test]
    fn leaves_what_is_too_far() {
        assert_eq!(mended("cache", &[("coach", 3), ("catches", 2)]), None);
        assert!(
            beginnings("abc").is_empty()
                && beginnings("x2yz").is_empty()
                && beginnings("größe").is_empty()
        );
    }

    #[test]
    fn takes_the_nearer_then_the_more_frequent() {
        assert_eq!(
            mended("deploymnt", &[("deployment", 1), ("deploy", 50)]).as_deref(),
            Some("deployment")
        );
        assert_eq!(
            mended("pott", &[("port", 1), ("pool", 9), ("post", 4)]).as_deref(),
            Some("post")
        );
        assert_eq!(errors(b"", b"ab"), 2);
    }

    proptest! {
        #[test]
        fn an_error_changes_two_letters_at_most(a in "[a-e0-3]{0,9}", b in "[a-e0-3]{0,9}") {
            let changed = (letters(&a) ^ letters(&b)).count_ones() as usize;
            prop_assert!(changed <= 2 * errors(a.as_bytes(), b.as_bytes()));
        }
    }
}
