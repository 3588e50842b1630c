//! What a month comes to.
//!
//! **Invariant:** as the module.

use proptest::prelude::*;

use super::*;
use crate::domain::consolidate::rarity::Counts;
use crate::domain::consolidate::summary::tests::any_fields;

fn at(text: &str) -> Timestamp {
    Timestamp::parse("t", text).unwrap()
}

fn session(day: i64, learned: &str, remember: &str) -> SessionFacts {
    SessionFacts {
        session: Name::parse("s", &format!("s{day}")).unwrap(),
        with_whom: Name::parse("w", "Marit").unwrap(),
        created_at: at("2026-01-01T12:00:00Z").plus_millis(day * 86_400_000),
        sensitivity: Sensitivity::None,
        significance: 0.5,
        fields: Fields {
            learned: learned.to_owned(),
            remember: remember.to_owned(),
            ..Fields::default()
        },
    }
}

fn january() -> Month {
    Month::of(at("2026-01-15T00:00:00Z"))
}

fn planned(
    facts: &[SessionFacts],
    choices: &[ChoiceFacts],
    known: Option<&Reflection>,
    before: Option<&Reflection>,
) -> Plan {
    let counts = Counts::default();
    let mut planner = Planner::new(TenantId::default_tenant(), january(), &counts);
    planner.page(facts);
    planner.decisions(choices);
    planner.finish(known, before)
}

fn reflection(plan: &Plan) -> Reflection {
    let [Change::WriteReflection(write)] = plan.changes.as_slice() else {
        panic!("{plan:?}")
    };
    Reflection {
        reflection_id: write.reflection_id,
        tenant_id: TenantId::default_tenant(),
        body: write.body.clone(),
        created_at: at("2026-02-01T00:00:00Z"),
    }
}

fn month() -> Vec<SessionFacts> {
    vec![
        session(
            0,
            "The gauge at Büsum drifts when it is cold. The checksum is CRC-16.",
            "Replace the battery of gauge three.",
        ),
        session(
            3,
            "Batteries of the gauge lose charge below zero.",
            "Ask Jonas about Debian.",
        ),
        session(
            9,
            "The battery of gauge three is replaced, done.",
            "Measure the pool.",
        ),
        session(20, "Gauge readings are stored with WAL.", ""),
    ]
}

fn choice(ts: &str, decision: &str, superseded: bool) -> ChoiceFacts {
    ChoiceFacts {
        ts: at(ts),
        decision: decision.to_owned(),
        superseded,
    }
}

#[test]
fn says_what_the_month_came_to() {
    let choices = [
        choice("2026-01-04T00:00:00Z", "WAL,\nsynchronous full", false),
        choice("2026-01-05T00:00:00Z", "A pool of 16", true),
        choice("2026-02-05T00:00:00Z", "Not of this month", true),
    ];
    let written = reflection(&planned(&month(), &choices, None, None));
    let body = written.body;
    assert!(
        body.summary
            .starts_with("4 sessions with Marit, 2026-01-01 to 2026-01-21, about gauge, "),
        "{}",
        body.summary
    );
    assert!(
        body.summary.contains("The checksum is CRC-16."),
        "{}",
        body.summary
    );
    assert_eq!(body.themes[0], "gauge");
    assert!(
        !body
            .themes
            .iter()
            .any(|theme| theme == "the" || theme == "Marit"),
        "{:?}",
        body.themes
    );
    let open: Vec<_> = body
        .insights
        .iter()
        .filter(|line| line.starts_with("Open: "))
        .collect();
    assert_eq!(
        open,
        ["Open: Measure the pool.", "Open: Ask Jonas about Debian."]
    );
    assert!(
        body.insights
            .contains(&"Decided: WAL, synchronous full".to_owned())
    );
    assert!(
        body.insights
            .contains(&"No longer holds: A pool of 16".to_owned())
    );
    assert!(
        !body
            .insights
            .iter()
            .any(|line| line.contains("Not of this month"))
    );
    assert_eq!(
        (body.period_start, body.session_count),
        (at("2026-01-01T00:00:00Z"), 4)
    );
    assert_eq!(
        body.period_end,
        at("2026-01-21T12:00:00.001Z"),
        "it ends with what is known"
    );
}

#[test]
fn a_second_run_changes_nothing_and_news_change_the_same_one() {
    let known = reflection(&planned(&month(), &[], None, None));
    assert_eq!(planned(&month(), &[], Some(&known), None).changes, []);
    let mut more = month();
    more.push(session(25, "The tide table is wrong for Husum.", ""));
    let plan = planned(&more, &[], Some(&known), None);
    let next = reflection(&plan);
    assert!(next.reflection_id == known.reflection_id && next.body.session_count == 5);
    assert!(
        matches!(&plan.changes[0], Change::WriteReflection(write) if write.known && write.tokens_before > 0)
    );
    let plan = planned(&[], &[], Some(&known), None);
    assert!(
        matches!(plan.changes.as_slice(), [Change::RetireReflection(_)]),
        "{plan:?}"
    );
    assert_eq!(planned(&[], &[], None, None).changes, []);
}

#[test]
fn says_what_changed_against_the_month_before() {
    let mut before = reflection(&planned(&month(), &[], None, None));
    before.body.themes = vec!["gauge".to_owned(), "sirens".to_owned()];
    let body = reflection(&planned(&month(), &[], None, Some(&before))).body;
    assert!(
        body.insights
            .iter()
            .any(|line| line.starts_with("New against the month before: ")
                && !line.contains("gauge"))
    );
    assert!(
        body.insights
            .contains(&"No longer a theme: sirens".to_owned()),
        "{:?}",
        body.insights
    );
}

#[test]
fn is_as_sensitive_as_the_most_sensitive_and_knows_no_secret() {
    let with = |sensitivity, text: &str| SessionFacts {
        sensitivity,
        ..session(21, text, text)
    };
    let mut facts = month();
    facts.push(with(Sensitivity::High, "Payroll is late."));
    facts.push(with(Sensitivity::Secret, "Xylographer."));
    let body = reflection(&planned(&facts, &[], None, None)).body;
    assert_eq!(
        (body.sensitivity, body.session_count),
        (Sensitivity::High, 5)
    );
    assert!(!format!("{body:?}").contains("Xylographer"));
}

#[test]
fn months_follow_each_other() {
    let december = Month::of(at("2025-12-31T23:59:59.999Z"));
    assert_eq!(
        (december.to_string(), december.next()),
        ("2025-12".to_owned(), january())
    );
    assert_eq!(december.end(), january().start());
    assert!(Month::of(Timestamp::MAX).end() >= Timestamp::MAX.plus_millis(-86_400_000 * 3));
    let one = reflection_id(&TenantId::default_tenant(), january());
    assert_ne!(one, reflection_id(&TenantId::default_tenant(), december));
    assert_ne!(
        one,
        reflection_id(&TenantId::parse("t", "other").unwrap(), january())
    );
}

#[test]
fn stays_small_however_long_the_month() {
    let counts = Counts::default();
    let mut planner = Planner::new(TenantId::default_tenant(), january(), &counts);
    for number in 0..300 {
        let words: String = (0..100)
            .map(|word| format!("zq{}xy{} ", letters(number), letters(word)))
            .collect();
        planner.page(&[session(
            number % 31,
            &format!("{words}. Short {number}."),
            &format!("Mind {}.", letters(number)),
        )]);
    }
    assert!(planner.words.len() <= MOST_WORDS && planner.told.len() <= MOST_TOLD);
    let body = reflection(&planner.finish(None, None)).body;
    assert!(
        body.bytes() < 8 * 1024 && body.themes.len() <= THEMES,
        "{}",
        body.bytes()
    );
}

/// A number without digits, since numbers are no themes.
fn letters(number: i64) -> String {
    number
        .to_string()
        .bytes()
        .map(|digit| char::from(digit - b'0' + b'a'))
        .collect()
}

proptest! {
    // A month of handoffs each.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn where_pages_end_does_not_matter(all in prop::collection::vec((any_fields(), 0_i64..31), 0..8), cuts in prop::collection::vec(1_usize..4, 8)) {
        let mut facts: Vec<SessionFacts> = all.into_iter().map(|(fields, day)| SessionFacts { fields, ..session(day, "", "") }).collect();
        facts.sort_by_key(|facts| facts.created_at);
        let counts = Counts::default();
        let mut planner = Planner::new(TenantId::default_tenant(), january(), &counts);
        let mut rest = facts.as_slice();
        for cut in cuts {
            let (page, others) = rest.split_at(cut.min(rest.len()));
            planner.page(page);
            rest = others;
        }
        prop_assert_eq!(planner.finish(None, None), planned(&facts, &[], None, None));
    }

    #[test]
    fn whatever_it_says_can_be_stored(all in prop::collection::vec((any_fields(), 0_i64..31), 0..8)) {
        let mut facts: Vec<SessionFacts> = all.into_iter().map(|(fields, day)| SessionFacts { fields, ..session(day, "", "") }).collect();
        facts.sort_by_key(|facts| facts.created_at);
        let plan = planned(&facts, &[], None, None);
        prop_assert_eq!(plan.changes.is_empty(), facts.is_empty());
        if !facts.is_empty() {
            let known = reflection(&plan);
            let mut cleaner = crate::domain::content::Cleaner::default();
            prop_assert!(known.body.clone().cleaned(&mut cleaner).is_ok(), "{:?}", known.body);
            prop_assert_eq!(planned(&facts, &[], Some(&known), None).changes, vec![]);
        }
    }
}
