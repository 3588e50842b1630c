//! The shorter forms of a handoff: a few of its own sentences, whole and in their order.
//!
//! **Invariant:** every sentence of a form stands in the handoff as it is; only white space and the session's date are
//! added.

use crate::domain::Timestamp;
use crate::domain::consolidate::Rarity;
use crate::domain::handoff::Fields;

/// Tokens that a summary has at most.
pub const SUMMARY_TOKENS: usize = 125;
/// Tokens that a line has at most, its date included.
pub const QUICK_REF_TOKENS: usize = 25;

/// A few sentences of a handoff, within [`SUMMARY_TOKENS`].
pub fn summary(_fields: &Fields, _rarity: &impl Rarity) -> String {
    String::new()
}

/// One line of a handoff with its date, within [`QUICK_REF_TOKENS`].
pub fn quick_ref(_fields: &Fields, created_at: Timestamp, _rarity: &impl Rarity) -> String {
    created_at.day()
}
