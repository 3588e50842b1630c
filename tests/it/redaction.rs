//! Secrets do not enter: not the tables, not the index, not the log of writes.

use serde_json::{Value, json};

use crate::harness::{TestApp, event, id, made_id};

/// A provider's key, put together here so that no scanner mistakes this file for a leak.
fn provider_key() -> String {
    format!("sk-{}-api03-{}", "ant", "Zq7Xw9Lk2Mv4".repeat(3))
}

fn bearer() -> String {
    format!("eyJh{}", "Rt5Yb8Nc1Pd6".repeat(3))
}

fn private_key() -> String {
    let body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSj\n".repeat(4);
    format!(
        "-----BEGIN {0} KEY-----\n{body}-----END {0} KEY-----",
        "PRIVATE"
    )
}

/// What must stand in no file, as parts that no cut or escape changes.
const TRACES: &[&str] = &[
    "Zq7Xw9Lk2Mv4",
    "Rt5Yb8Nc1Pd6",
    "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSj",
];

fn holds_no_secret(app: &TestApp) {
    for trace in TRACES {
        assert_eq!(
            app.files_with(trace),
            [""; 0].map(std::path::PathBuf::from),
            "{trace}"
        );
    }
}

fn redactions(app: &TestApp, kind: &str) -> f64 {
    app.metric(&format!("agent_memory_redactions_total{{kind=\"{kind}\"}}"))
}

#[test]
fn secrets_in_an_event_are_never_stored() {
    let app = TestApp::start();
    let (key, pem, token) = (provider_key(), private_key(), bearer());
    let receipt = app
        .record(json!({
            "session_id": format!("s {key}"), "project_id": format!("p {key}"), "actor": {"type": "human", "id": format!("a {key}")},
            "tags": ["plain", key], "refs": [format!("https://example.org/?key={key}")],
            "content": {
                "text": format!("use {key} today"), "pem": pem, "nested": [{"header": format!("Authorization: Bearer {token}")}],
                key.clone(): "as a name", "in_json": json!({"key": key}).to_string(),
            },
        }))
        .created();
    let read = app
        .get(&format!("/api/v1/events/{}", id(&receipt, "event_id")))
        .ok();
    assert_eq!(
        read["content"]["text"],
        "use [REDACTED:anthropic_key] today"
    );
    assert_eq!(read["content"]["pem"], "[REDACTED:private_key]");
    assert_eq!(
        read["content"]["nested"][0]["header"],
        "Authorization: Bearer [REDACTED:bearer_token]"
    );
    assert_eq!(read["content"]["[REDACTED:anthropic_key]"], "as a name");
    assert_eq!(read["tags"], json!(["plain", "[REDACTED:anthropic_key]"]));
    holds_no_secret(&app);
    assert_eq!(redactions(&app, "anthropic_key"), 8.0);
    assert_eq!(redactions(&app, "private_key"), 1.0);
    assert_eq!(redactions(&app, "bearer_token"), 1.0);
    assert_eq!(app.recall("Zq7Xw9Lk2Mv4"), [""; 0]);
}

#[test]
fn secrets_in_a_handoff_are_never_stored() {
    let app = TestApp::start();
    let (key, pem, token) = (provider_key(), private_key(), bearer());
    let created = app
        .hand_off(json!({
            "session_id": key, "project_id": key, "with_whom": key, "experienced": key, "noticed": pem,
            "learned": format!("curl -H 'Authorization: Bearer {token}'"), "story": key, "becoming": key,
            "remember": format!("it was {key}."), "tags": [key],
        }))
        .created();
    assert_eq!(
        created["handoff"]["remember"],
        "it was [REDACTED:anthropic_key]."
    );
    assert_eq!(created["handoff"]["noticed"], "[REDACTED:private_key]");
    holds_no_secret(&app);
    for trace in TRACES {
        assert!(!created.to_string().contains(trace));
    }
    assert_eq!(redactions(&app, "anthropic_key"), 8.0);
}

#[test]
fn secrets_in_a_batch_a_session_and_a_key_are_never_stored() {
    let app = TestApp::start();
    let key = provider_key();
    let answer = app
        .post(
            "/api/v1/events/batch",
            &json!([
                event(&json!({"content": {"text": key}})),
                event(&json!({"content": {"text": key}, "kind": "dream"})),
                event(&json!({"event_id": key})),
            ]),
        )
        .itemised();
    assert!(!answer.to_string().contains(TRACES[0]), "{answer}");
    app.post(
        "/api/v1/session/start",
        &json!({"session_id": key, "with_whom": key, "project_id": key}),
    )
    .created();
    app.post_with(
        "/api/v1/events",
        &[("idempotency-key", &key)],
        &event(&json!({})),
    )
    .created();
    app.recall(&key);
    holds_no_secret(&app);
}

#[test]
fn a_secret_in_the_cut_part_of_a_long_text_is_not_in_its_artifact() {
    let app = TestApp::start();
    let key = provider_key();
    // Once across the cut, once far beyond it.
    let text = format!("{}{key} {}{key}", "x ".repeat(32_760), "y ".repeat(20_000));
    let receipt = app
        .record(json!({"kind": "tool_result", "content": {"output": text}}))
        .created();
    let artifact = app
        .get(&format!(
            "/api/v1/artifacts/{}",
            id(&receipt, "artifact_id")
        ))
        .ok();
    assert_eq!(
        id(&artifact, "text"),
        text.replace(&key, "[REDACTED:anthropic_key]")
    );
    holds_no_secret(&app);
    assert_eq!(redactions(&app, "anthropic_key"), 2.0);
}

#[test]
fn what_was_said_in_private_is_dropped() {
    let app = TestApp::start();
    let receipt = app
        .record(json!({"content": {"text": "before <private>xylographer</private> after <PRIVATE>xylographer"}}))
        .created();
    let read = app
        .get(&format!("/api/v1/events/{}", id(&receipt, "event_id")))
        .ok();
    assert_eq!(read["content"]["text"], "before  after ");
    assert!(app.files_with("xylographer").is_empty());
}

#[test]
fn prose_about_secrets_is_kept() {
    let app = TestApp::start();
    let text = "The bearer of the token must keep the password secret: task-force-2026, sk-learn, api_key = None.";
    let event_id = app.say(text);
    assert_eq!(
        app.get(&format!("/api/v1/events/{event_id}")).ok()["content"]["text"],
        text
    );
    let scrape = app.scrape();
    let all: f64 = scrape
        .series
        .iter()
        .filter(|(series, _)| series.starts_with("agent_memory_redactions_total"))
        .map(|(_, count)| count)
        .sum();
    assert_eq!(all, 0.0);
}

#[test]
fn a_repeated_write_redacts_once() {
    let app = TestApp::start();
    let draft = json!({"event_id": made_id("evt", 1), "content": {"text": provider_key()}});
    for _ in 0..3 {
        app.record(draft.clone()).created();
    }
    assert_eq!(redactions(&app, "anthropic_key"), 1.0);
}

#[test]
fn a_refusal_does_not_quote_a_secret() {
    let app = TestApp::start();
    let key = provider_key();
    let answers: [Value; 4] = [
        app.record(json!({"kind": key})).problem(422),
        app.record(json!({"event_id": key})).problem(422),
        app.record(json!({"tags": key})).problem(422),
        app.record(json!({key.clone(): 1})).problem(422),
    ];
    // The name of a field is the client's own to see; a value is not repeated.
    for answer in &answers[..3] {
        assert!(!answer.to_string().contains(TRACES[0]), "{answer}");
    }
}

#[test]
fn secrets_in_an_announced_session_are_counted() {
    let app = TestApp::start();
    let draft = json!({"session_id": "s1", "with_whom": provider_key()});
    let started = app.post("/api/v1/session/start", &draft).created();
    assert_eq!(started["with_whom"], "[REDACTED:anthropic_key]");
    // Announced with the next write at the latest.
    app.record(json!({})).created();
    assert_eq!(redactions(&app, "anthropic_key"), 1.0);
}
