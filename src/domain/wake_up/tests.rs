//! What a wake-up is, whatever is remembered.
//!
//! **Invariant:** facts are made by hand; nothing is read.

use super::*;
use crate::domain::principle::PrincipleBody;
use crate::domain::reflection::ReflectionBody;
use crate::domain::{HandoffId, Name, Origin, PrincipleId, ReflectionId, Sensitivity, TenantId};

fn handoff(day: i64, text: &str) -> Handoff {
    Handoff {
        handoff_id: HandoffId::from_bytes([1; 16]),
        tenant_id: TenantId::default_tenant(),
        project_id: None,
        session_id: Name::stored("s".to_owned()),
        with_whom: Name::stored("Ada".to_owned()),
        fields: Fields {
            learned: text.to_owned(),
            remember: text.to_owned(),
            ..Fields::default()
        },
        significance: 0.5,
        tags: vec![],
        sensitivity: Sensitivity::None,
        origin: Origin::Agent,
        compression_level: CompressionLevel::Full,
        summary: None,
        quick_ref: None,
        created_at: Timestamp::from_millis(day * crate::domain::time::DAY_MS),
    }
}

fn query(max_tokens: i64) -> WakeUpQuery {
    WakeUpQuery::parse(None, None, None, None, None, Some(max_tokens)).unwrap()
}

fn statement(text: &str) -> IdentityStatement {
    IdentityStatement {
        handoff_id: HandoffId::from_bytes([1; 16]),
        becoming: text.to_owned(),
        significance: 0.5,
        created_at: Timestamp::from_millis(0),
    }
}

fn principle(text: &str) -> Principle {
    Principle {
        principle_id: PrincipleId::from_bytes([1; 16]),
        tenant_id: TenantId::default_tenant(),
        body: PrincipleBody {
            text: text.to_owned(),
            source_handoffs: vec![HandoffId::from_bytes([1; 16]); 256],
            count: 300,
            sensitivity: Sensitivity::None,
        },
        created_at: Timestamp::from_millis(0),
        updated_at: Timestamp::from_millis(0),
    }
}

fn reflection(text: &str) -> Reflection {
    Reflection {
        reflection_id: ReflectionId::from_bytes([1; 16]),
        tenant_id: TenantId::default_tenant(),
        body: ReflectionBody {
            period_start: Timestamp::from_millis(0),
            period_end: Timestamp::from_millis(31 * crate::domain::time::DAY_MS),
            session_count: 1,
            summary: text.to_owned(),
            insights: vec![text.to_owned()],
            themes: vec![],
            sensitivity: Sensitivity::None,
        },
        created_at: Timestamp::from_millis(0),
    }
}

#[test]
fn nothing_remembered_is_an_empty_wake_up() {
    let wake_up = assemble(&query(2000), &WakeUpFacts::default());
    assert!(wake_up.first_session);
    assert_eq!(
        (wake_up.context.as_str(), wake_up.estimated_tokens),
        ("", 0)
    );
}

#[test]
fn stays_under_its_bounds_whatever_is_remembered() {
    for size in [0, 10, 1_000, 60_000] {
        let text = "naïve \"quoted\" 漢字 ".repeat(size / 20);
        let facts = WakeUpFacts {
            summary: Summary {
                sessions: 9,
                handoffs: 9,
                ..Summary::default()
            },
            people: vec!["Ada".repeat(100); 10],
            recent: (0..20).map(|day| handoff(day, &text)).collect(),
            older: (0..20).map(|day| handoff(day, &text)).collect(),
            months: (0..3).map(|day| (handoff(day, &text), 7)).collect(),
            identity: (0..30).map(|_| statement(&text)).collect(),
            principles: (0..10).map(|_| principle(&text)).collect(),
            reflections: (0..3).map(|_| reflection(&text)).collect(),
            ..WakeUpFacts::default()
        };
        for max_tokens in [1, 50, 100, 2_000] {
            let wake_up = assemble(&query(max_tokens), &facts);
            assert!(wake_up.estimated_tokens <= usize::try_from(max_tokens).unwrap());
            let value = serde_json::to_value(&wake_up).unwrap();
            let arrays = ["identity_thread", "recent_decisions", "knowledge"]
                .map(|key| value[key].to_string().len());
            let layers = value["layers"].to_string().len();
            assert!(
                arrays.iter().sum::<usize>() + layers <= MAX_ARRAYS_BYTES + 400,
                "{size}"
            );
            assert!(wake_up.identity_thread.len() <= MAX_IDENTITY);
        }
    }
}

#[test]
fn the_smallest_useful_budget_says_what_to_remember() {
    let facts = WakeUpFacts {
        summary: Summary {
            sessions: 1,
            handoffs: 1,
            ..Summary::default()
        },
        recent: vec![handoff(0, "the port is 3456")],
        ..WakeUpFacts::default()
    };
    assert!(
        assemble(&query(60), &facts)
            .context
            .contains("the port is 3456")
    );
}

#[test]
fn conclusions_are_short_and_leave_room_for_the_last_handoffs() {
    let mut facts = WakeUpFacts {
        recent: (0..3)
            .map(|day| handoff(day, &"long ".repeat(300)))
            .collect(),
        principles: (0..10)
            .map(|_| principle(&"measure first ".repeat(100)))
            .collect(),
        reflections: vec![reflection("Gauges\nwere set up."), reflection("Older.")],
        ..WakeUpFacts::default()
    };
    let wake_up = assemble(&query(2_000), &facts);
    let layer = wake_up.layers.reflection.unwrap();
    assert!(!layer.principles.is_empty());
    assert_eq!(layer.reflections.len(), 2);
    assert_eq!(wake_up.layers.recent.unwrap().len(), 3);
    assert!(
        wake_up
            .context
            .contains("- 1970-01-01 to 1970-01-31, 1 session: Gauges were set up.\n"),
        "{}",
        wake_up.context
    );
    assert!(!wake_up.context.contains("Older."));
    let at = |text| wake_up.context.find(text).unwrap();
    assert!(at("Last session") < at("## Conclusions"));
    assert!(at("- measure first") < at("1970-01-31"));
    // Without handoffs it is there all the same.
    facts.recent.clear();
    assert!(
        assemble(&query(100), &facts)
            .context
            .contains("measure first")
    );
    facts.principles.clear();
    facts.reflections.clear();
    assert!(
        !assemble(&query(100), &facts)
            .context
            .contains("Conclusions")
    );
}
