//! Decision archival: which decisions leave the wake-up because nobody asked for them.
//!
//! A decision that is older than the threshold and was never recalled is left out of wake-ups. It is still active, listed
//! and found. Rules stay: `policy` and `global` decisions are never archived, nor what a person pinned. A decision that is
//! recalled after it was archived comes back by the store's own doing, not by a plan.
//!
//! **Invariant:** each decision is judged alone, so any page of them in any order is a plan.

use crate::domain::consolidate::{Archive, Change, Plan, Thresholds, days_between};
use crate::domain::{
    ConsolidationType, DecisionId, DecisionScope, DecisionStatus, Timestamp, token,
};

/// What is known of a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecisionFacts {
    /// Which.
    pub decision_id: DecisionId,
    /// When it was made.
    pub ts: Timestamp,
    /// Whether it holds.
    pub status: DecisionStatus,
    /// How far it reaches.
    pub scope: DecisionScope,
    /// When recall or a context last gave it out; `None` for never.
    pub last_recalled: Option<Timestamp>,
    /// Whether a person pinned it.
    pub pinned: bool,
    /// Whether it has left the wake-up already.
    pub archived: bool,
    /// What was decided, as a wake-up shows it.
    pub decision: String,
}

/// The plan for these decisions.
pub fn plan(now: Timestamp, thresholds: &Thresholds, page: &[DecisionFacts]) -> Plan {
    let mut plan = Plan::new(ConsolidationType::DecisionArchival);
    for facts in page {
        plan.items_processed += 1;
        let age_days = days_between(facts.ts, now);
        if leaves(facts) && age_days > thresholds.archive_days {
            plan.changes.push(Change::Archive(Archive {
                decision_id: facts.decision_id,
                age_days,
                tokens_before: token::estimate(&facts.decision) as u64,
            }));
        }
    }
    plan
}

/// Whether it may leave at all.
fn leaves(facts: &DecisionFacts) -> bool {
    let ruling = match facts.scope {
        DecisionScope::Policy | DecisionScope::Global => true,
        DecisionScope::Session | DecisionScope::User | DecisionScope::Project => false,
    };
    // What was superseded is in no wake-up.
    let shown = facts.status == DecisionStatus::Active && !facts.archived;
    shown && !ruling && !facts.pinned && facts.last_recalled.is_none()
}
