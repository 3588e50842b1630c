//! Deduplication: the same fact noted twenty times is shown once, with a count.
//!
//! A note is folded into an older one of the same project that says the same: word for word, or but for letter case,
//! inflection, the punctuation between words and words that say nothing of their own ("the", "also", "note that"). What
//! makes another fact of a sentence is compared as it stands: the order of the words, numbers, signs, identifiers, "not",
//! "before", every preposition. A rule by likeness alone would hide the port that changed behind the port that was. How
//! many notes are folded into one is its count.
//!
//! A note that is folded stays in lists and is found. When the note that it is shown with is forgotten or changed, the
//! store shows it on its own at once, and the next run looks again.
//!
//! **Invariant:** a pinned note is never folded; one of another project never is either.

use std::collections::HashMap;
use std::sync::LazyLock;
use std::{collections::HashSet, mem};

use crate::domain::consolidate::{Change, Fold, Plan};
use crate::domain::terms::index_terms;
use crate::domain::transcript::hash;
use crate::domain::{ConsolidationType, Name, NoteId, Timestamp, token};

/// Different facts that a planner holds, at some 80 bytes each; what is beyond stays as it is.
pub const MAX_FACTS: usize = 100_000;
/// Words that say nothing of their own in a note.
const SAYS_NOTHING: &str = "a an the is are was were be been it its this that these those there i we you our my your \
    please note remember that also just really very actually basically currently quite so";

static DROPPED: LazyLock<HashSet<&'static str>> =
    LazyLock::new(|| SAYS_NOTHING.split_whitespace().collect());

/// What is known of a note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteFacts {
    /// Which.
    pub note_id: NoteId,
    /// Its project, if any.
    pub project: Option<Name>,
    /// With whom it was learned.
    pub with_whom: Option<Name>,
    /// When it was written.
    pub created_at: Timestamp,
    /// Whether it is always shown.
    pub pinned: bool,
    /// Its heading, if any.
    pub title: Option<String>,
    /// What it says.
    pub content: String,
    /// What it is shown with already.
    pub folded_into: Option<NoteId>,
}

/// The oldest note of a fact, or a pinned one.
#[derive(Debug)]
struct Shown {
    note_id: NoteId,
    as_written: [u8; 16],
}

/// Finds what was noted again in a tenant.
#[derive(Debug)]
pub struct Planner {
    facts: HashMap<[u8; 16], Shown>,
    plan: Plan,
}

impl Default for Planner {
    fn default() -> Self {
        Self {
            facts: HashMap::new(),
            plan: Plan::new(ConsolidationType::Deduplication),
        }
    }
}

/// The plan for all notes of a tenant, in any order.
pub fn plan(mut notes: Vec<NoteFacts>) -> Plan {
    notes.sort_by_key(|facts| (!facts.pinned, facts.created_at, facts.note_id));
    let mut planner = Planner::default();
    planner.page(&notes);
    planner.finish()
}

impl Planner {
    /// Takes the next notes: pinned ones first, then the others in the order of time.
    pub fn page(&mut self, page: &[NoteFacts]) {
        for facts in page {
            self.plan.items_processed += 1;
            let Some((into, exact)) = self.place(facts) else {
                self.plan.items_left_out += 1;
                continue;
            };
            if into != facts.folded_into {
                let tokens = cost(facts);
                let own = |place: Option<NoteId>| if place.is_some() { 0 } else { tokens };
                self.plan.changes.push(Change::Fold(Fold {
                    note_id: facts.note_id,
                    from: facts.folded_into,
                    into,
                    exact,
                    tokens_before: own(facts.folded_into),
                    tokens_after: own(into),
                }));
            }
        }
    }

    /// What a note is to be shown with and whether that says the same word for word; `None` if there is no room to tell.
    fn place(&mut self, facts: &NoteFacts) -> Option<(Option<NoteId>, bool)> {
        let words = words_of(facts);
        let as_written = written(facts);
        let scope = facts.project.as_ref().map_or("", Name::as_str);
        // A project has a name of at least a byte, so that none and any are told apart.
        let mut parts = vec![scope.as_bytes()];
        parts.extend(words.iter().map(String::as_bytes));
        // A text of little words alone is known by how it is written.
        let key = if words.is_empty() {
            hash(&[scope.as_bytes(), &as_written])
        } else {
            hash(&parts)
        };
        match self.facts.get(&key) {
            Some(shown) if !facts.pinned => {
                Some((Some(shown.note_id), shown.as_written == as_written))
            }
            Some(_) => Some((None, false)),
            None if self.facts.len() < MAX_FACTS => {
                let note_id = facts.note_id;
                let shown = Shown {
                    note_id,
                    as_written,
                };
                self.facts.insert(key, shown);
                Some((None, false))
            }
            None => None,
        }
    }

    /// The plan. First what is shown on its own again, then what is shown by another than before, then what is folded now:
    /// so none is ever shown by one that is folded itself, wherever a run is cut off.
    pub fn finish(mut self) -> Plan {
        self.plan.changes.sort_by_key(|change| match change {
            Change::Fold(fold) => (fold.into.is_some(), fold.from.is_none()),
            _ => (true, true),
        });
        mem::replace(&mut self.plan, Plan::new(ConsolidationType::Deduplication))
    }
}

fn cost(facts: &NoteFacts) -> u64 {
    let title = facts.title.as_deref().map_or(0, token::estimate);
    (title + token::estimate(&facts.content)) as u64
}

fn written(facts: &NoteFacts) -> [u8; 16] {
    let title = facts.title.as_deref().unwrap_or_default();
    hash(&[title.trim().as_bytes(), facts.content.trim().as_bytes()])
}

/// What a note says, word by word. A title that the content begins with adds nothing.
fn words_of(facts: &NoteFacts) -> Vec<String> {
    let title = facts.title.as_deref().unwrap_or_default();
    let (mut words, content) = (words_in(title), words_in(&facts.content));
    if content.starts_with(&words) {
        return content;
    }
    words.extend(content);
    words
}

fn words_in(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    for word in text.split_whitespace() {
        let bare = word.trim_matches(['.', ',', ';', ':', '"', '\'', '`', '“', '”', '…']);
        let bare = bare.trim_end_matches('!').to_lowercase();
        if bare.is_empty() || DROPPED.contains(bare.as_str()) || is_bullet(&bare) {
            continue;
        }
        if bare.chars().all(char::is_alphabetic) {
            words.extend(index_terms(&bare));
        } else {
            // A number, a sign, an identifier: as it stands.
            words.push(bare);
        }
    }
    words
}

fn is_bullet(word: &str) -> bool {
    matches!(word, "-" | "–" | "—" | "•" | "*")
}

#[cfg(test)]
mod tests;
