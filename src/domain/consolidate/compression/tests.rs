//! Which handoffs move on.
//!
//! **Invariant:** as the module.

use proptest::prelude::*;

use super::*;
use crate::domain::consolidate::rarity::Counts;
use crate::domain::consolidate::summary::tests::any_fields;
use crate::domain::time::DAY_MS;

const NOW: Timestamp = Timestamp::MAX;

fn days_ago(days: i64) -> Timestamp {
    NOW.plus_millis(-days * DAY_MS)
}

fn handoff(days: i64, level: CompressionLevel) -> HandoffFacts {
    HandoffFacts {
        handoff_id: HandoffId::from_bytes([1; 16]),
        created_at: days_ago(days),
        level,
        fields: Fields {
            learned: "The pool starves under load. Jonas measured it. ".repeat(20),
            remember: "Measure the pool.".to_owned(),
            ..Fields::default()
        },
        summary: None,
        quick_ref: None,
    }
}

fn planned(facts: &HandoffFacts) -> Option<Compress> {
    let plan = plan(
        NOW,
        &Thresholds::default(),
        &Counts::default(),
        std::slice::from_ref(facts),
    );
    match plan.changes.first() {
        Some(Change::Compress(change)) => Some(change.clone()),
        _ => None,
    }
}

/// As the store keeps it after the change.
fn applied(facts: &HandoffFacts, change: &Compress) -> HandoffFacts {
    HandoffFacts {
        level: change.to,
        summary: change.summary.clone().or(facts.summary.clone()),
        quick_ref: change.quick_ref.clone().or(facts.quick_ref.clone()),
        ..facts.clone()
    }
}

#[test]
fn moves_when_it_is_older_than_the_threshold_and_not_before() {
    use CompressionLevel::{Full, Integrated, QuickRef, Summary};
    for (days, level) in [
        (0, None),
        (30, None),
        (31, Some(Summary)),
        (90, Some(Summary)),
        (91, Some(QuickRef)),
        (180, Some(QuickRef)),
        (181, Some(Integrated)),
        (5_000, Some(Integrated)),
    ] {
        assert_eq!(
            planned(&handoff(days, Full)).map(|change| change.to),
            level,
            "{days}"
        );
    }
    assert!(
        planned(&handoff(31, Integrated)).is_none(),
        "nothing moves back"
    );
    assert!(
        planned(&handoff(-3, Full)).is_none(),
        "nor what is dated ahead"
    );
    let due = due_before(NOW, 30);
    assert_eq!(days_between(due, NOW), 31);
    assert_eq!(days_between(due.plus_millis(1), NOW), 30);
}

#[test]
fn each_form_is_shorter_than_the_one_before() {
    let full = handoff(181, CompressionLevel::Full);
    let change = planned(&full).unwrap();
    let (summary, line) = (
        change.summary.clone().unwrap(),
        change.quick_ref.clone().unwrap(),
    );
    assert!(
        token::estimate(&summary) <= 125 && token::estimate(&line) <= 25 + 8,
        "{summary} / {line}"
    );
    assert!(
        change.tokens_before > 200 && change.tokens_after < 20,
        "{change:?}"
    );
    assert!(line.starts_with(&full.created_at.day()), "{line}");
}

#[test]
fn what_is_there_already_stays() {
    let known = HandoffFacts {
        summary: Some("Mine.".to_owned()),
        ..handoff(91, CompressionLevel::Summary)
    };
    let change = planned(&known).unwrap();
    assert_eq!(
        (change.summary, change.tokens_before),
        (None, token::estimate("Mine.") as u64)
    );
    assert!(change.quick_ref.is_some());
}

proptest! {
    #[test]
    fn a_second_run_changes_nothing(fields in any_fields(), days in 0_i64..400, code in 0_i64..4) {
        let facts = HandoffFacts {
            fields,
            ..handoff(days, CompressionLevel::from_code(code).unwrap())
        };
        if let Some(change) = planned(&facts) {
            let after = applied(&facts, &change);
            prop_assert_eq!(&after.fields, &facts.fields);
            prop_assert!(change.to > change.from);
            prop_assert!(planned(&after).is_none());
            prop_assert!(after.summary.is_some());
        }
    }

    #[test]
    fn pages_and_their_order_do_not_matter(days in prop::collection::vec(0_i64..400, 0..12), cut in 0_usize..12) {
        let page: Vec<HandoffFacts> = days.iter().enumerate().map(|(number, days)| HandoffFacts {
            handoff_id: HandoffId::from_bytes([u8::try_from(number).unwrap(); 16]),
            ..handoff(*days, CompressionLevel::Full)
        }).collect();
        let (one, other) = page.split_at(cut.min(page.len()));
        let (thresholds, counts) = (Thresholds::default(), Counts::default());
        let planned = |page: &[HandoffFacts]| plan(NOW, &thresholds, &counts, page);
        let whole = planned(&page);
        let mut parts = planned(other);
        parts.extend(planned(one));
        let sorted = |plan: &Plan| {
            let mut lines: Vec<_> = plan.changes.iter().map(|change| format!("{change:?}")).collect();
            lines.sort();
            lines
        };
        prop_assert_eq!(sorted(&whole), sorted(&parts));
        prop_assert_eq!(whole.items_processed, parts.items_processed);
    }
}
