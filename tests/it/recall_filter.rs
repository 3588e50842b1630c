//! What a filter lets through is found, however common the word and however many rows stand before it.
//!
//! **Invariant:** every test would pass with an index that is read to its end. That the product reads only so many rows of
//! a word shows beyond 20,000 of them, which no test here has.

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

/// What a reader may not see cannot be guessed word by word.
#[test]
fn a_hidden_word_does_not_show_in_the_share_that_was_found() {
    let answers = ["quokka", "nothing of note"].map(|hidden| {
        let app = TestApp::start();
        app.record(json!({"session_id": "a", "content": {"text": "The ferry leaves at noon."}}))
            .created();
        app.record(json!({"session_id": "b", "sensitivity": "secret", "content": {"text": format!("The word is {hidden}.")}}))
            .created();
        let asked = json!({"query": "ferry quokka", "min_score": 0});
        let found = app.post("/api/v1/recall", &asked).ok();
        (found["hits"][0]["why"]["coverage"].clone(), found["hits"].as_array().unwrap().len())
    });
    assert_eq!(answers[0], answers[1]);
}

#[test]
fn a_question_of_a_time_keeps_to_its_session_and_type_behind_newer_rows() {
    let app = TestApp::start();
    let old = id(
        &app.record(json!({"session_id": "old", "ts": "2025-03-01T00:00:00Z", "content": {"text": "The tide is out."}}))
            .created(),
        "event_id",
    );
    let decision = app.post(
        "/api/v1/decisions",
        &json!({"ts": "2025-03-02T00:00:00Z", "decision": "Dredge the basin"}),
    );
    let decision = id(&decision.created(), "decision_id");
    for batch in 0..6 {
        let events: Vec<_> = (0..1000)
            .map(|number| {
                json!({
                    "session_id": "new", "channel": "private", "kind": "message", "ts": "2025-04-01T00:00:00Z",
                    "actor": {"type": "tool", "id": "gauge"}, "content": {"text": format!("level {batch}{number}")},
                })
            })
            .collect();
        app.post("/api/v1/events/batch", &json!(events)).is(207);
    }
    let asked = |filter: serde_json::Value| {
        let mut query = filter;
        query["query"] = json!("what happened last year?");
        query["asked_at"] = json!("2026-02-01T00:00:00Z");
        app.recall_with(query)
    };
    assert_eq!(asked(json!({"session_id": "old"})), [old.as_str()]);
    assert_eq!(asked(json!({"types": ["decision"]})), [decision.as_str()]);
    // A session of more rows than are looked at is found by its words all the same.
    let found = app.recall_with(json!({"query": "level 00", "session_id": "new"}));
    assert_eq!(found.len(), 10);
}

/// However often a decision was changed, the one that holds comes first.
#[test]
fn the_end_of_a_long_chain_comes_first() {
    let app = TestApp::start();
    let first = app.post(
        "/api/v1/decisions",
        &json!({"decision": "Anchor at the northern pier"}),
    );
    let mut last = id(&first.created(), "decision_id");
    let words = [
        "elm", "oak", "ash", "fir", "yew", "fig", "bay", "box", "may", "gum", "tea", "nut",
    ];
    for word in words {
        let next = app.post(
            &format!("/api/v1/decisions/{last}/supersede"),
            &json!({"decision": format!("Rather {word}")}),
        );
        last = next.created()["decision"]["decision_id"]
            .as_str()
            .unwrap()
            .to_owned();
    }
    let found = app.recall_with(json!({"query": "anchor at the northern pier", "limit": 20}));
    assert_eq!(found.len(), words.len() + 1);
    assert_eq!(found[0], last);
}

#[test]
fn more_types_than_there_are_is_refused() {
    let app = TestApp::start();
    app.post(
        "/api/v1/recall",
        &json!({"query": "x", "types": vec!["event"; 7]}),
    )
    .blames(422, "types");
}
