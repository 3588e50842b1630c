//! The promises of a bundle, on facts of every shape.
//!
//! **Invariant:** tokens are counted by a real tokenizer here, not by our estimate.

use std::collections::HashSet;
use std::sync::LazyLock;

use proptest::prelude::*;
use tiktoken_rs::CoreBPE;

use super::*;
use crate::domain::decision::Statement;
use crate::domain::handoff::Fields;
use crate::domain::note::NoteBody;
use crate::domain::recall::Why;
use crate::domain::{
    CompressionLevel, DecisionId, DecisionScope, DecisionStatus, HandoffId, NoteId, Origin,
    Sensitivity,
};

static REAL: LazyLock<CoreBPE> = LazyLock::new(|| tiktoken_rs::o200k_base().unwrap());

fn at(day: u8) -> Timestamp {
    Timestamp::from_millis(i64::from(day) * crate::domain::time::DAY_MS)
}

fn tenant() -> TenantId {
    TenantId::default_tenant()
}

fn query(text: &str, intent: &str, max_tokens: i64) -> ContextQuery {
    let draft = ContextDraft {
        query_text: text.to_owned(),
        intent: Some(intent.to_owned()),
        max_tokens: Some(max_tokens),
        ..ContextDraft::default()
    };
    ContextQuery::parse(&draft, &tenant(), at(0)).unwrap()
}

fn decision(number: u8, text: &str, status: DecisionStatus) -> Decision {
    Decision {
        decision_id: DecisionId::from_bytes([number; 16]),
        tenant_id: tenant(),
        project_id: None,
        ts: at(number),
        status,
        scope: DecisionScope::Policy,
        statement: Statement {
            decision: text.to_owned(),
            rationale: vec![],
            constraints: vec![],
            alternatives: vec![],
            consequences: vec![],
        },
        refs: vec![],
        superseded_by: None,
        archived_at: None,
    }
}

fn note(number: u8, text: &str) -> Note {
    Note {
        note_id: NoteId::from_bytes([number; 16]),
        tenant_id: tenant(),
        project_id: None,
        body: NoteBody {
            title: None,
            content: text.to_owned(),
            with_whom: None,
            source_handoffs: vec![],
            tags: vec![],
            confidence: 0.7,
            pinned: true,
        },
        created_at: at(number),
        updated_at: at(number),
        duplicates: 0,
        duplicate_of: None,
    }
}

fn handoff(number: u8, text: &str) -> Handoff {
    Handoff {
        handoff_id: HandoffId::from_bytes([number; 16]),
        tenant_id: tenant(),
        project_id: None,
        session_id: Name::stored("s".to_owned()),
        with_whom: Name::stored("Ada".to_owned()),
        fields: Fields {
            learned: text.to_owned(),
            ..Fields::default()
        },
        significance: 0.5,
        tags: vec![],
        sensitivity: Sensitivity::None,
        origin: Origin::Agent,
        compression_level: CompressionLevel::Full,
        summary: None,
        quick_ref: None,
        created_at: at(number),
    }
}

fn hit(number: u8, text: &str) -> Hit {
    Hit {
        id: format!("evt_{}", format!("{number:02x}").repeat(16)),
        entity_type: EntityType::Event,
        text: text.to_owned(),
        score: 0.9 - f64::from(number) / 1000.0,
        ts: at(number),
        refs: vec![],
        status: None,
        superseded_by: None,
        duplicates: vec![],
        duplicate_count: 0,
        why: Why {
            coverage: 1.0,
            matched: vec![],
            features: vec![],
        },
    }
}

/// Facts where every text also holds the word that is searched for.
fn facts(texts: &[String]) -> ContextFacts {
    let numbered = || (1u8..).zip(texts.iter().map(|text| format!("gauge {text}")));
    ContextFacts {
        hits: numbered()
            .map(|(number, text)| hit(number, &text))
            .collect(),
        standing: standing(&StandingFacts {
            pinned: numbered()
                .take(2)
                .map(|(number, text)| note(number, &format!("{text} pinned")))
                .collect(),
            decrees: numbered()
                .take(2)
                .map(|(number, text)| decision(number, &text, DecisionStatus::Active))
                .collect(),
            decisions: vec![decision(99, "gauge superseded", DecisionStatus::Superseded)],
            handoffs: numbered()
                .take(3)
                .map(|(number, text)| handoff(number, &text))
                .collect(),
        }),
        session: vec![],
    }
}

fn standing(facts: &StandingFacts) -> Arc<Standing> {
    Arc::new(Standing::of(facts))
}

fn made(query: &ContextQuery, facts: &ContextFacts) -> Bundle {
    assemble(query, facts, Channel::Private, at(100))
}

fn real_tokens(text: &str) -> usize {
    REAL.encode_ordinary(text).len()
}

fn text() -> impl Strategy<Value = String> {
    let sample =
        |text: &'static str| (1usize..30).prop_map(move |times| format!("{text} ").repeat(times));
    prop_oneof![
        sample("the tide station reports a level that is three centimetres above normal"),
        sample("fn level(&self) -> Result<Centimetres, Error> { self.gauge.read()?.try_into() }"),
        sample(
            r#"{"station": "husum", "level_cm": 318, "at": "2026-03-21T04:10:00Z", "ok": true}"#
        ),
        sample("潮位が上がっています。今夜は安心してお休みください。"),
        sample("水位超過警戒線請立即通知值班人員並關閉閘門"),
        sample("🌊🚨 подъём уровня воды Überflutung"),
        "[a-zA-Z0-9 .,;:_/(){}<>=*-]{1,400}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn keeps_its_promises(texts in prop::collection::vec(text(), 0..25), max_tokens in 1i64..6000, intent in "(task|debugging|learning|)") {
        let (query, facts) = (query("gauge", &intent, max_tokens), facts(&texts));
        let bundle = made(&query, &facts);
        let budget = usize::try_from(max_tokens).unwrap();
        prop_assert!(real_tokens(&bundle.markdown()) <= budget, "over the budget of {budget}");
        prop_assert!(bundle.token_used_est <= budget);
        let items: Vec<&Item> = bundle.sections.iter().flat_map(|section| &section.items).collect();
        prop_assert!(items.iter().all(|item| item.refs.contains(&item.id)), "an item without a reference");
        let shown: HashSet<u64> = items.iter().map(|item| item.said).collect();
        prop_assert_eq!(shown.len(), items.len(), "a text twice");
        let mut named: Vec<&str> = items.iter().map(|item| item.id.as_str()).collect();
        named.extend(bundle.omissions.iter().map(|omission| omission.id.as_str()));
        let unique: HashSet<&str> = named.iter().copied().collect();
        prop_assert_eq!(unique.len(), named.len(), "in the bundle and left out, or left out twice");
        // Everything that was offered is in one of the two.
        let offered = facts.hits.len() + facts.standing.len();
        prop_assert_eq!(named.len(), offered);
    }
}

#[test]
fn an_empty_memory_gives_an_empty_bundle() {
    let bundle = made(&query("anything", "", 1000), &ContextFacts::default());
    assert!(bundle.sections.is_empty() && bundle.omissions.is_empty());
    assert_eq!(bundle.token_used_est, 0);
}

#[test]
fn a_hundred_tokens_are_of_use() {
    let texts: Vec<String> = (0..20)
        .map(|number| format!("station {number} uses a scrape interval of {number} seconds"))
        .collect();
    let bundle = made(&query("gauge", "", 100), &facts(&texts));
    assert!(!bundle.sections.is_empty(), "nothing fitted");
    assert!(bundle.token_used_est >= 30, "{}", bundle.token_used_est);
}

#[test]
fn what_always_holds_comes_first_and_what_no_longer_holds_is_left_out() {
    let bundle = made(
        &query("gauge", "", 5000),
        &facts(&["one".to_owned(), "two".to_owned()]),
    );
    assert_eq!(bundle.sections[0].name, Part::Standing);
    let left_out: Vec<_> = bundle
        .omissions
        .iter()
        .filter(|omission| omission.reason == Reason::Superseded)
        .collect();
    assert_eq!(left_out.len(), 1);
}

#[test]
fn a_fact_stated_twenty_times_stands_once() {
    let mut facts = facts(&[]);
    let says = [
        "The gauge port is 3456.",
        "the gauge port is 3456",
        "The gauge port is: 3456",
    ];
    facts.hits = (1..=20)
        .map(|number| hit(number, says[usize::from(number) % 3]))
        .collect();
    let bundle = made(&query("gauge", "", 5000), &facts);
    assert_eq!(
        bundle
            .sections
            .iter()
            .map(|section| section.items.len())
            .sum::<usize>(),
        1
    );
    assert_eq!(
        bundle
            .omissions
            .iter()
            .filter(|omission| omission.reason == Reason::Duplicate)
            .count(),
        19
    );
}

#[test]
fn one_long_text_does_not_swell_a_bundle() {
    let facts = ContextFacts {
        standing: standing(&StandingFacts {
            handoffs: vec![handoff(1, &"the tide rises ".repeat(20_000))],
            decisions: vec![decision(2, "short", DecisionStatus::Active)],
            ..StandingFacts::default()
        }),
        ..ContextFacts::default()
    };
    let bundle = made(&query("gauge", "", 65_000), &facts);
    assert!(bundle.token_used_est < 600, "{}", bundle.token_used_est);
    assert!(bundle.sections[0].items[0].truncated);
}
