//! What is still to be remembered: each sentence of `remember` until a later handoff says that it was done.
//!
//! **Invariant:** at most [`MOST`] items, however long the month; what is said again is one item, as new as it was said
//! last.

use std::collections::VecDeque;

use crate::domain::handoff::Fields;
use crate::domain::terms::{fnv1a, index_terms};
use crate::domain::transcript::sentence;

/// Items that are followed; the oldest gives way.
const MOST: usize = 64;
/// How much of an item's terms the sentence that settles it has, in tenths.
const SETTLED_TENTHS: usize = 7;
/// Words by which something is said to be done.
const DONE: [&str; 12] = [
    "done",
    "fixed",
    "finished",
    "merged",
    "shipped",
    "resolved",
    "completed",
    "closed",
    "works now",
    "released",
    "no longer",
    "settled",
];

/// The items that are open.
#[derive(Debug, Default)]
pub(super) struct Open {
    items: VecDeque<Item>,
}

#[derive(Debug)]
struct Item {
    text: String,
    terms: Vec<u64>,
}

impl Open {
    /// Takes the next handoff: what it says to be done, then what it asks to remember.
    pub(super) fn take(&mut self, fields: &Fields) {
        for text in [
            &fields.experienced,
            &fields.noticed,
            &fields.learned,
            &fields.story,
        ] {
            for sentence in sentence::split(text) {
                let lower = sentence.to_lowercase();
                if DONE.iter().any(|word| lower.contains(word)) {
                    let terms = terms_of(sentence);
                    self.items.retain(|item| !item.settled_by(&terms));
                }
            }
        }
        for sentence in sentence::choosable(&fields.remember) {
            let item = Item {
                text: sentence.to_owned(),
                terms: terms_of(sentence),
            };
            self.items.retain(|known| known.terms != item.terms);
            self.items.push_back(item);
            if self.items.len() > MOST {
                self.items.pop_front();
            }
        }
    }

    /// The newest items, the newest first.
    pub(super) fn newest(&self, most: usize) -> Vec<&str> {
        let newest = self.items.iter().rev().take(most);
        newest.map(|item| item.text.as_str()).collect()
    }
}

impl Item {
    fn settled_by(&self, terms: &[u64]) -> bool {
        let has = |term: &&u64| terms.binary_search(term).is_ok();
        let said = self.terms.iter().filter(has).count();
        !self.terms.is_empty() && said * 10 >= self.terms.len() * SETTLED_TENTHS
    }
}

fn terms_of(text: &str) -> Vec<u64> {
    let mut terms: Vec<u64> = index_terms(text).iter().map(|term| fnv1a(term)).collect();
    terms.sort_unstable();
    terms.dedup();
    terms
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handoff(learned: &str, remember: &str) -> Fields {
        Fields {
            learned: learned.to_owned(),
            remember: remember.to_owned(),
            ..Fields::default()
        }
    }

    #[test]
    fn an_item_is_open_until_it_is_said_to_be_done() {
        let mut open = Open::default();
        open.take(&handoff(
            "",
            "Replace the battery of gauge three. Ask Jonas about Debian.",
        ));
        open.take(&handoff(
            "The battery of gauge four is weak.",
            "Measure the pool.",
        ));
        assert_eq!(
            open.newest(8),
            [
                "Measure the pool.",
                "Ask Jonas about Debian.",
                "Replace the battery of gauge three."
            ]
        );
        open.take(&handoff(
            "Done: the battery of gauge three is replaced.",
            "",
        ));
        assert_eq!(
            open.newest(8),
            ["Measure the pool.", "Ask Jonas about Debian."]
        );
        open.take(&handoff("", "Ask Jonas about Debian!"));
        assert_eq!(open.newest(1), ["Ask Jonas about Debian!"]);
    }

    #[test]
    fn the_oldest_gives_way() {
        let mut open = Open::default();
        for number in 0..200 {
            open.take(&handoff("", &format!("Look at ticket {number}.")));
        }
        assert_eq!(open.items.len(), MOST);
        assert_eq!(open.newest(1), ["Look at ticket 199."]);
    }
}
