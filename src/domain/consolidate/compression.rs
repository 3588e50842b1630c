//! Handoff compression: which handoffs move on to a shorter form, and those forms.
//!
//! A handoff is shown as its age asks for: whole, then as a summary, then as one dated line (`quick_ref`), then as
//! `integrated`: the reflection on its month and the principles speak for it, and a wake-up shows all such handoffs of a
//! month as the one line that [`integrated`] gives. Where one of them is asked for by a topic, its `quick_ref` is shown. A
//! handoff moves straight to the level of its age from any level before it, and never back: thresholds that were raised
//! show nothing whole again, an undo does.
//!
//! Forms are added, never changed: one that is there already stays, and both are made when a level is skipped.
//!
//! **Invariant:** each handoff is judged alone, so any page of them in any order is a plan; its texts stay.

use crate::domain::consolidate::reflection::Month;
use crate::domain::consolidate::summary::Forms;
use crate::domain::consolidate::{
    Change, Compress, Plan, Rarity, Thresholds, counted, days_between,
};
use crate::domain::handoff::Fields;
use crate::domain::{CompressionLevel, ConsolidationType, HandoffId, Timestamp, token};

/// What is known of a handoff.
#[derive(Debug, Clone, PartialEq)]
pub struct HandoffFacts {
    /// Which.
    pub handoff_id: HandoffId,
    /// When the session ended.
    pub created_at: Timestamp,
    /// The level it has.
    pub level: CompressionLevel,
    /// Its texts.
    pub fields: Fields,
    /// The summary, if it has one.
    pub summary: Option<String>,
    /// The line, if it has one.
    pub quick_ref: Option<String>,
}

/// The level that an age asks for.
pub fn level_at(age_days: u32, thresholds: &Thresholds) -> CompressionLevel {
    if age_days > thresholds.integrated_days {
        CompressionLevel::Integrated
    } else if age_days > thresholds.quick_ref_days {
        CompressionLevel::QuickRef
    } else if age_days > thresholds.summary_days {
        CompressionLevel::Summary
    } else {
        CompressionLevel::Full
    }
}

/// The last moment at which a handoff that is due now may have ended: the store need not hand over younger ones, nor
/// those at the level that `level_at` gives for their age.
pub fn due_before(now: Timestamp, days: u32) -> Timestamp {
    now.plus_millis(-(i64::from(days) + 1) * crate::domain::time::DAY_MS)
}

/// The line that stands for the integrated handoffs of a month, as many as are shown.
pub fn integrated(month: Month, handoffs: u32) -> String {
    format!(
        "{month}: {}, see the reflection on that month",
        counted(handoffs, "handoff")
    )
}

/// The plan for these handoffs.
pub fn plan(
    now: Timestamp,
    thresholds: &Thresholds,
    rarity: &impl Rarity,
    page: &[HandoffFacts],
) -> Plan {
    let mut plan = Plan::new(ConsolidationType::HandoffCompression);
    for facts in page {
        plan.items_processed += 1;
        let age_days = days_between(facts.created_at, now);
        let to = level_at(age_days, thresholds);
        if to > facts.level {
            plan.changes
                .push(Change::Compress(compressed(facts, to, age_days, rarity)));
        }
    }
    plan
}

fn compressed(
    facts: &HandoffFacts,
    to: CompressionLevel,
    age_days: u32,
    rarity: &impl Rarity,
) -> Compress {
    let forms = Forms::of(&facts.fields, rarity);
    let made_summary = facts.summary.is_none().then(|| forms.summary());
    let made_ref = (facts.quick_ref.is_none() && to > CompressionLevel::Summary)
        .then(|| forms.quick_ref(facts.created_at));
    let line = integrated(Month::of(facts.created_at), 1);
    let shown = |level: CompressionLevel| {
        let form = match level {
            CompressionLevel::Full => None,
            CompressionLevel::Summary => facts.summary.as_ref().or(made_summary.as_ref()),
            CompressionLevel::QuickRef => facts.quick_ref.as_ref().or(made_ref.as_ref()),
            CompressionLevel::Integrated => Some(&line),
        };
        form.map_or_else(|| whole(&facts.fields), |form| token::estimate(form) as u64)
    };
    Compress {
        handoff_id: facts.handoff_id,
        from: facts.level,
        to,
        age_days,
        tokens_before: shown(facts.level),
        tokens_after: shown(to),
        summary: made_summary,
        quick_ref: made_ref,
    }
}

/// Tokens of all six texts.
fn whole(fields: &Fields) -> u64 {
    fields
        .each()
        .iter()
        .map(|(_, text)| token::estimate(text) as u64)
        .sum()
}

#[cfg(test)]
mod tests;
