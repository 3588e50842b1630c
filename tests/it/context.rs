//! The context bundle from outside: what is in it, what never is, and what it takes.

use serde_json::{Value, json};

use crate::harness::TestApp;

fn texts(bundle: &Value) -> Vec<String> {
    let sections = bundle["sections"].as_array().unwrap();
    let items = sections
        .iter()
        .flat_map(|section| section["items"].as_array().unwrap());
    items
        .map(|item| item["text"].as_str().unwrap().to_owned())
        .collect()
}

fn said(text: &str) -> Value {
    json!({
        "session_id": "s", "channel": "private", "actor": {"type": "human", "id": "ada"}, "kind": "message",
        "content": {"text": text},
    })
}

fn bundle(app: &TestApp, body: &Value) -> Value {
    app.post("/api/v1/context", body).ok()
}

#[test]
fn the_one_event_that_says_so_is_in_it() {
    let app = TestApp::start();
    for number in 0..60 {
        app.record(said(&format!(
            "station {number} was painted in colour {number} last week"
        )))
        .created();
    }
    app.record(said(
        "Prometheus asks us every ten seconds, that is the scrape interval",
    ))
    .created();
    let bundle = bundle(
        &app,
        &json!({"query_text": "what is the prometheus scrape interval"}),
    );
    assert!(
        texts(&bundle)
            .iter()
            .any(|text| text.contains("every ten seconds")),
        "{bundle}"
    );
    assert_eq!(bundle["mode"], "LEARNING");
    assert!(bundle["acb_id"].as_str().unwrap().starts_with("acb_"));
}

#[test]
fn of_two_decisions_the_later_is_shown_and_the_earlier_says_so() {
    let app = TestApp::start();
    let old = app
        .post(
            "/api/v1/decisions",
            &json!({"decision": "The pool has sixteen connections"}),
        )
        .created();
    let id = old["decision_id"].as_str().unwrap().to_owned();
    let new = json!({"decision": "The pool has four connections", "rationale": ["sixteen were never used"]});
    app.post(&format!("/api/v1/decisions/{id}/supersede"), &new)
        .created();
    let bundle = bundle(
        &app,
        &json!({"query_text": "how many connections has the pool", "intent": "task"}),
    );
    let texts = texts(&bundle);
    assert!(texts.iter().any(|text| text.contains("four connections")));
    assert!(
        !texts
            .iter()
            .any(|text| text.starts_with("The pool has sixteen"))
    );
    let omission = &bundle["omissions"].as_array().unwrap()[0];
    assert_eq!(
        (&omission["id"], &omission["reason"]),
        (&json!(id), &json!("superseded"))
    );
}

#[test]
fn a_fact_stated_twenty_times_appears_once() {
    let app = TestApp::start();
    for _ in 0..20 {
        app.record(said("The tide gauge speaks Modbus at 9600 baud."))
            .created();
    }
    let bundle = bundle(
        &app,
        &json!({"query_text": "tide gauge baud", "session_id": "other"}),
    );
    assert_eq!(texts(&bundle).len(), 1);
    assert_eq!(bundle["omissions"].as_array().unwrap().len(), 19);
}

#[test]
fn what_is_secret_is_in_no_bundle_and_no_omission() {
    let app = TestApp::start();
    let mut event = said("the vault of the gauge is behind the map");
    event["sensitivity"] = json!("secret");
    let id = app.record(event).created()["event_id"].clone();
    let bundle = bundle(
        &app,
        &json!({"query_text": "vault gauge map", "session_id": "s"}),
    );
    assert!(
        !bundle.to_string().contains(id.as_str().unwrap()),
        "{bundle}"
    );
}

#[test]
fn a_large_tool_result_does_not_swell_it() {
    let app = TestApp::start();
    let mut event = said("");
    event["kind"] = json!("tool_result");
    event["content"] = json!({"output": "the gauge reports nothing new\n".repeat(330_000)});
    app.record(event).created();
    let bundle = bundle(
        &app,
        &json!({"query_text": "gauge reports", "session_id": "s"}),
    );
    assert!(
        bundle["token_used_est"].as_i64().unwrap() < 1000,
        "{bundle}"
    );
}

#[test]
fn the_text_is_what_the_budget_was_counted_for() {
    let app = TestApp::start();
    for number in 0..30 {
        app.record(said(&format!(
            "the gauge of station {number} was read at noon"
        )))
        .created();
    }
    let body = json!({"query_text": "gauge station noon", "max_tokens": 200});
    let sections = bundle(&app, &body);
    assert!(sections["token_used_est"].as_i64().unwrap() <= 200);
    let left_out = sections["omissions"].as_array().unwrap();
    assert!(
        left_out
            .iter()
            .all(|omission| omission["reason"] == "budget")
            && !left_out.is_empty()
    );
    let headers = [
        ("content-type", "application/json"),
        ("accept", "text/markdown"),
    ];
    let answer = app.send(
        "POST",
        "/api/v1/acb/build",
        &headers,
        Some(body.to_string().as_bytes()),
    );
    let text = answer.text();
    assert!(
        text.starts_with("## From memory\n- 2026-03-01 [evt_"),
        "{text}"
    );
}

#[test]
fn an_unknown_tenant_gets_an_empty_bundle() {
    let app = TestApp::start();
    let bundle = bundle(
        &app,
        &json!({"query_text": "anything", "tenant_id": "nobody"}),
    );
    assert_eq!(
        (&bundle["sections"], &bundle["token_used_est"]),
        (&json!([]), &json!(0))
    );
}

#[test]
fn what_cannot_be_is_named() {
    let app = TestApp::start();
    for (field, body) in [
        ("max_tokens", json!({"query_text": "x", "max_tokens": 0})),
        (
            "max_tokens",
            json!({"query_text": "x", "max_tokens": 9_000_000}),
        ),
        ("channel", json!({"query_text": "x", "channel": "radio"})),
        ("session_id", json!({"query_text": "x", "session_id": ""})),
        ("query_text", json!({"query_text": 5})),
        ("body", json!({})),
        ("colour", json!({"query_text": "x", "colour": "red"})),
    ] {
        let problem = app.post("/api/v1/context", &body).problem(422);
        assert_eq!(problem["errors"][0]["field"], field);
    }
}
