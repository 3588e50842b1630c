//! What a filter lets through is found, however common the word and however many rows stand before it.
//!
//! **Invariant:** every test would pass with an index that is read to its end.

use serde_json::json;

use crate::harness::{TestApp, id};

/// A word that is everywhere does not hide what a filter asks for.
#[test]
fn a_common_word_is_found_where_the_filter_looks() {
    let app = TestApp::start();
    let over = json!({
        "session_id": "old", "project_id": "p", "tags": ["rare"], "ts": "2026-01-01T00:00:00Z",
        "content": {"text": "The tide is out."},
    });
    let old = id(&app.record(over).created(), "event_id");
    for batch in 0..6 {
        let events: Vec<_> = (0..1000)
            .map(|number| {
                json!({
                    "session_id": format!("new-{batch}"), "channel": "private", "kind": "message", "project_id": "q",
                    "actor": {"type": "tool", "id": "gauge"}, "content": {"text": format!("tide {batch}{number}")},
                })
            })
            .collect();
        app.post("/api/v1/events/batch", &json!(events)).is(207);
    }
    for filter in [
        json!({"session_id": "old"}),
        json!({"tags": ["rare"]}),
        json!({"until": "2026-01-02T00:00:00Z"}),
        json!({"project_id": "p"}),
    ] {
        let mut query = filter.clone();
        query["query"] = json!("tide");
        assert_eq!(app.recall_with(query), [old.as_str()], "{filter}");
    }
}

#[test]
fn a_hidden_word_mends_nothing() {
    let app = TestApp::start();
    let seen = app.say("The tourmalone lies in the drawer.");
    for _ in 0..2 {
        let over =
            json!({"sensitivity": "secret", "content": {"text": "The tourmaline is in the safe."}});
        app.record(over).created();
    }
    assert_eq!(app.recall_with(json!({"query": "tourmalxne"})), [seen]);
}

#[test]
fn a_question_of_a_time_finds_every_type_of_that_time() {
    let app = TestApp::start();
    for number in 0..600 {
        app.say(&format!("filler number {number} of some sort"));
    }
    let day = "2026-02-10T09:00:00Z";
    let event = id(
        &app.record(json!({"ts": day, "content": {"text": "The crane broke."}}))
            .created(),
        "event_id",
    );
    let decision = app.post(
        "/api/v1/decisions",
        &json!({"ts": day, "decision": "Rent another crane"}),
    );
    let decision = id(&decision.created(), "decision_id");
    for question in [
        "what happened yesterday?",
        "what did we talk about yesterday",
        "summarize yesterday",
    ] {
        let found = app.recall_with(json!({"query": question, "asked_at": "2026-02-11T10:00:00Z"}));
        assert!(
            found.contains(&event) && found.contains(&decision),
            "{question}: {found:?}"
        );
    }
}
