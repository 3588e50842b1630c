//! Repeated writes under an `Idempotency-Key`.

use serde_json::json;

use crate::harness::{TestApp, event, handoff, id};

const KEY: [(&str, &str); 1] = [("idempotency-key", "retry-1")];

#[test]
fn a_repeated_write_gets_the_first_answer_and_stores_nothing() {
    let app = TestApp::start();
    for (path, body, status) in [
        ("/api/v1/events", event(&json!({})), 201),
        ("/api/v1/handoff", handoff(&json!({})), 201),
        (
            "/api/v1/events/batch",
            json!([event(&json!({})), event(&json!({})), {"no": "event"}]),
            207,
        ),
    ] {
        let first = app.post_with(path, &KEY, &body).is(status).json();
        app.advance_hours(1);
        assert_eq!(
            app.post_with(path, &KEY, &body).is(status).json(),
            first,
            "{path}"
        );
    }
    let scrape = app.scrape();
    assert_eq!(
        scrape.value("agent_memory_events_total{kind=\"message\"}"),
        3.0
    );
    assert_eq!(
        scrape.value("agent_memory_handoffs_total{compression_level=\"all\"}"),
        1.0
    );
}

#[test]
fn a_key_holds_for_both_names_of_a_route() {
    let app = TestApp::start();
    let first = app
        .post_with("/api/v1/handoff", &KEY, &handoff(&json!({})))
        .created();
    assert_eq!(
        app.post_with("/api/v1/handoffs", &KEY, &handoff(&json!({})))
            .created(),
        first
    );
}

#[test]
fn another_body_under_the_same_key_is_a_conflict() {
    let app = TestApp::start();
    app.post_with("/api/v1/events", &KEY, &event(&json!({})))
        .created();
    app.post_with(
        "/api/v1/events",
        &KEY,
        &event(&json!({"content": {"text": "other"}})),
    )
    .problem(409);
    app.post_with("/api/v1/handoff", &KEY, &handoff(&json!({})))
        .created();
    app.post_with(
        "/api/v1/handoff",
        &KEY,
        &handoff(&json!({"story": "other"})),
    )
    .problem(409);
    app.post_with("/api/v1/events/batch", &KEY, &json!([event(&json!({}))]))
        .itemised();
    app.post_with(
        "/api/v1/events/batch",
        &KEY,
        &json!([event(&json!({"tags": ["x"]}))]),
    )
    .problem(409);
    assert_eq!(
        app.metric("agent_memory_events_total{kind=\"message\"}"),
        2.0
    );
}

#[test]
fn a_batch_without_a_valid_item_under_a_used_key_is_a_conflict_as_well() {
    let app = TestApp::start();
    app.post_with("/api/v1/events/batch", &KEY, &json!([event(&json!({}))]))
        .itemised();
    app.post_with(
        "/api/v1/events/batch",
        &KEY,
        &json!([event(&json!({"session_id": ""}))]),
    )
    .problem(409);
    app.post_with("/api/v1/events/batch", &KEY, &json!([]))
        .problem(409);
}

#[test]
fn the_order_of_keys_and_the_place_of_the_tenant_make_no_other_body() {
    let app = TestApp::start();
    let first = app.post_with(
        "/api/v1/handoff",
        &KEY,
        &json!({"session_id": "s", "with_whom": "Ada", "story": "x"}),
    );
    let again =
        json!({"story": "x", "tenant_id": "default", "with_whom": "Ada", "session_id": "s"});
    assert_eq!(
        app.post_with("/api/v1/handoff", &KEY, &again).created(),
        first.created()
    );
}

#[test]
fn a_key_is_of_its_tenant_and_route() {
    let app = TestApp::start();
    let (one, two) = (
        event(&json!({"content": {"n": 1}})),
        event(&json!({"content": {"n": 2}})),
    );
    let first = app.post_with("/api/v1/events", &KEY, &one).created();
    let other = app
        .post_with("/api/v1/events?tenant_id=other", &KEY, &two)
        .created();
    assert_ne!(first, other);
    app.post_with("/api/v1/events/batch", &KEY, &json!([two]))
        .itemised();
}

#[test]
fn a_key_is_forgotten_after_a_day() {
    let app = TestApp::start();
    let first = app
        .post_with("/api/v1/events", &KEY, &event(&json!({})))
        .created();
    app.clock.advance_millis(24 * 3_600_000 - 1);
    assert_eq!(
        app.post_with("/api/v1/events", &KEY, &event(&json!({})))
            .created(),
        first
    );
    app.clock.advance_millis(1);
    let other = event(&json!({"content": {"text": "other"}}));
    let second = app.post_with("/api/v1/events", &KEY, &other).created();
    assert_ne!(second["event_id"], first["event_id"]);
    assert_eq!(
        app.post_with("/api/v1/events", &KEY, &other).created(),
        second
    );
}

#[test]
fn a_refused_write_does_not_use_its_key_up() {
    let app = TestApp::start();
    app.post_with("/api/v1/events", &KEY, &event(&json!({"kind": "dream"})))
        .problem(422);
    app.post_with("/api/v1/events", &KEY, &event(&json!({"session_id": ""})))
        .problem(422);
    app.post_with("/api/v1/events", &KEY, &event(&json!({})))
        .created();
}

#[test]
fn a_key_of_something_forgotten_makes_nothing_anew() {
    let app = TestApp::start();
    let created = app
        .post_with("/api/v1/handoff", &KEY, &handoff(&json!({})))
        .created();
    app.delete(&format!("/api/v1/handoffs/{}", id(&created, "handoff_id")))
        .forgotten();
    app.post_with("/api/v1/handoff", &KEY, &handoff(&json!({})))
        .problem(409);
    app.get("/api/v1/handoffs/last").problem(404);
}

#[test]
fn a_key_survives_a_restart() {
    let app = TestApp::start();
    let first = app
        .post_with("/api/v1/events", &KEY, &event(&json!({})))
        .created();
    let app = app.restarted();
    assert_eq!(
        app.post_with("/api/v1/events", &KEY, &event(&json!({})))
            .created(),
        first
    );
}

#[test]
fn a_key_that_cannot_be_kept_is_refused() {
    let app = TestApp::start();
    let long = "k".repeat(256);
    for key in ["", "a b", long.as_str()] {
        app.post_with(
            "/api/v1/events",
            &[("idempotency-key", key)],
            &event(&json!({})),
        )
        .blames(422, "Idempotency-Key");
    }
    app.post_with(
        "/api/v1/events",
        &[("idempotency-key", &long[..255])],
        &event(&json!({})),
    )
    .created();
}

#[test]
fn bodies_that_differ_in_a_secret_alone_are_the_same_body() {
    let app = TestApp::start();
    let body = |filling: &str| {
        event(&json!({"content": {"text": format!("the key is {}{}", "ghp_", filling.repeat(9))}}))
    };
    let first = app
        .post_with("/api/v1/events", &KEY, &body("aB3d"))
        .created();
    assert_eq!(
        app.post_with("/api/v1/events", &KEY, &body("eF5g"))
            .created(),
        first
    );
}

#[test]
fn requests_under_one_key_at_the_same_time_store_once() {
    let app = TestApp::start();
    let answers: Vec<_> = std::thread::scope(|scope| {
        let send = || {
            app.post_with("/api/v1/handoff", &KEY, &handoff(&json!({})))
                .created()
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(send)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(
        app.metric("agent_memory_handoffs_total{compression_level=\"all\"}"),
        1.0
    );
}
