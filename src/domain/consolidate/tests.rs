//! Thresholds, tables, and decisions that leave.
//!
//! **Invariant:** as the modules.

use proptest::prelude::*;

use super::archival::{self, DecisionFacts};
use super::*;
use crate::domain::{DecisionScope, DecisionStatus};

const NOW: Timestamp = Timestamp::MAX;

fn decision(days: i64, scope: DecisionScope) -> DecisionFacts {
    DecisionFacts {
        decision_id: DecisionId::from_bytes([1; 16]),
        ts: NOW.plus_millis(-days * DAY_MS),
        status: DecisionStatus::Active,
        scope,
        last_recalled: None,
        pinned: false,
        archived: false,
        decision: "Rust for the server".to_owned(),
    }
}

fn archived(facts: &DecisionFacts) -> bool {
    let page = std::slice::from_ref(facts);
    !archival::plan(NOW, &Thresholds::default(), page)
        .changes
        .is_empty()
}

#[test]
fn a_decision_leaves_when_it_is_old_and_nobody_asked_for_it() {
    for (days, leaves) in [(0, false), (60, false), (61, true), (3_000, true)] {
        assert_eq!(
            archived(&decision(days, DecisionScope::Project)),
            leaves,
            "{days}"
        );
    }
    let old = decision(61, DecisionScope::User);
    for stays in [
        DecisionFacts {
            last_recalled: Some(NOW),
            ..old.clone()
        },
        DecisionFacts {
            pinned: true,
            ..old.clone()
        },
        DecisionFacts {
            archived: true,
            ..old.clone()
        },
        DecisionFacts {
            status: DecisionStatus::Superseded,
            ..old.clone()
        },
        DecisionFacts {
            scope: DecisionScope::Policy,
            ..old.clone()
        },
        DecisionFacts {
            scope: DecisionScope::Global,
            ..old
        },
    ] {
        assert!(!archived(&stays), "{stays:?}");
    }
}

proptest! {
    #[test]
    fn pages_of_decisions_and_their_order_do_not_matter(
        all in prop::collection::vec((0_i64..200, 0_i64..5, any::<bool>()), 0..20), cut in 0_usize..20,
    ) {
        let page: Vec<DecisionFacts> = (0_u8..).zip(&all).map(|(number, (days, scope, pinned))| DecisionFacts {
            decision_id: DecisionId::from_bytes([number; 16]),
            pinned: *pinned,
            ..decision(*days, DecisionScope::from_code(*scope).unwrap())
        }).collect();
        let planned = |page: &[DecisionFacts]| archival::plan(NOW, &Thresholds::default(), page);
        let (one, other) = page.split_at(cut.min(page.len()));
        let mut parts = planned(other);
        parts.extend(planned(one));
        let sorted = |plan: &Plan| {
            let mut lines: Vec<_> = plan.changes.iter().map(|change| format!("{change:?}")).collect();
            lines.sort();
            lines
        };
        let whole = planned(&page);
        prop_assert_eq!(sorted(&whole), sorted(&parts));
        prop_assert_eq!(whole.items_processed, parts.items_processed);
    }

    #[test]
    fn rules_and_pinned_decisions_are_never_touched(
        days in 0_i64..9_999, scope in 0_i64..5, pinned: bool, done: bool, threshold in 1_u32..200,
    ) {
        let scope = DecisionScope::from_code(scope).unwrap();
        let facts = DecisionFacts { pinned, archived: done, ..decision(days, scope) };
        let thresholds = Thresholds { archive_days: threshold, ..Thresholds::default() };
        let plan = archival::plan(NOW, &thresholds, std::slice::from_ref(&facts));
        if !plan.changes.is_empty() {
            prop_assert!(!pinned && !done && !matches!(scope, DecisionScope::Policy | DecisionScope::Global));
            prop_assert!(days > i64::from(threshold));
            let after = DecisionFacts { archived: true, ..facts };
            prop_assert!(archival::plan(NOW, &thresholds, &[after]).changes.is_empty());
        }
    }
}

#[test]
fn thresholds_have_an_order_and_bounds() {
    let fine = Thresholds::default();
    assert_eq!(fine.checked(), Ok(fine));
    for (field, wrong) in [
        (
            "summary_days",
            Thresholds {
                summary_days: 0,
                ..fine
            },
        ),
        (
            "quick_ref_days",
            Thresholds {
                quick_ref_days: 30,
                ..fine
            },
        ),
        (
            "integrated_days",
            Thresholds {
                integrated_days: 90,
                ..fine
            },
        ),
        (
            "integrated_days",
            Thresholds {
                integrated_days: MAX_DAYS + 1,
                ..fine
            },
        ),
        (
            "archive_days",
            Thresholds {
                archive_days: 0,
                ..fine
            },
        ),
        (
            "statements",
            Thresholds {
                statements: 0,
                ..fine
            },
        ),
        (
            "statements",
            Thresholds {
                statements: MAX_STATEMENTS + 1,
                ..fine
            },
        ),
    ] {
        assert_eq!(wrong.checked().unwrap_err().field, field, "{wrong:?}");
    }
    let invalid = Thresholds {
        summary_days: 100,
        ..fine
    }
    .checked()
    .unwrap_err();
    assert_eq!(
        invalid.to_string(),
        "quick_ref_days: is 90, which is not more than summary_days (100)"
    );
}

fn archive(count: u8) -> Plan {
    let page: Vec<DecisionFacts> = (0..count)
        .map(|number| DecisionFacts {
            decision_id: DecisionId::from_bytes([number; 16]),
            ..decision(61, DecisionScope::Project)
        })
        .collect();
    archival::plan(NOW, &Thresholds::default(), &page)
}

#[test]
fn a_plan_reads_as_a_table() {
    insta::assert_snapshot!(archive(1), @r"
    id                                    from            to                  why                             tokens
    dec_00000000000000000000000000000000  in the wake-up  not in the wake-up  61 days old and never recalled  4 to 0
    decision_archival: 1 of 1 change, 4 tokens to 0
    ");
    assert_eq!(
        archive(0).to_string(),
        "decision_archival: 0 of 0 change, 0 tokens to 0"
    );
    let long = archive(105).to_string();
    assert!(long.contains("\nand 5 more\n"), "{long}");
}

#[test]
fn a_plan_is_json() {
    let json = serde_json::to_value(archive(1)).unwrap();
    assert_eq!(json["changes"][0]["change"], "archive");
    assert_eq!(json["changes"][0]["tokens_before"], 4);
    assert_eq!(json["job_type"], "decision_archival");
}

#[test]
fn ids_that_are_drawn_are_of_their_own_kind() {
    let tenant = TenantId::default_tenant();
    let id = derived(&tenant, "principle", &[b"a"]);
    assert_eq!(id[6] >> 4, 8, "the version");
    assert_eq!(id, derived(&tenant, "principle", &[b"a"]));
    for other in [
        derived(&tenant, "principle", &[b"b"]),
        derived(&tenant, "reflection", &[b"a"]),
        derived(&tenant, "principle", &[b"a", b""]),
        derived(
            &TenantId::parse("t", "other").unwrap(),
            "principle",
            &[b"a"],
        ),
    ] {
        assert_ne!(id, other);
    }
}
