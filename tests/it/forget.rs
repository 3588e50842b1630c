//! Forgetting: gone to the eye at once, and soon gone from every byte of the files.

use serde_json::{Value, json};

use crate::harness::{TestApp, id, made_id};
use crate::process::{command, wait_for};

/// A word that nothing else in the product holds.
const WORD: &str = "xylographer";

fn all_events(app: &TestApp) -> f64 {
    app.metric("agent_memory_events{kind=\"message\"}")
}

fn all_handoffs(app: &TestApp) -> f64 {
    app.metric("agent_memory_handoffs_total{compression_level=\"all\"}")
}

#[test]
fn a_forgotten_event_is_gone_and_its_words_leave_the_files() {
    let app = TestApp::start();
    let kept = app.say("the tide gauge");
    let before = app.metric("agent_memory_storage_bytes{type=\"text\"}");
    let receipt = app
        .record(json!({
            "content": {"text": format!("a {WORD} came by"), "more": format!("{WORD} ").repeat(9_000)}, "tags": [WORD],
            "refs": [format!("docs/{WORD}.md")], "actor": {"type": "human", "id": WORD},
        }))
        .created();
    assert!(!app.files_with(WORD).is_empty());
    assert_eq!(all_events(&app), 2.0);
    let path = format!("/api/v1/events/{}", id(&receipt, "event_id"));
    app.delete(&path).forgotten();
    app.get(&path).problem(404);
    app.delete(&path).problem(404);
    app.get(&format!(
        "/api/v1/artifacts/{}",
        id(&receipt, "artifact_id")
    ))
    .problem(404);
    for chunk_id in receipt["chunk_ids"].as_array().unwrap() {
        app.get(&format!("/api/v1/chunks/{}", chunk_id.as_str().unwrap()))
            .problem(404);
    }
    assert_eq!(app.recall(WORD), [""; 0]);
    assert_eq!(app.recall("tide gauge"), [kept]);
    let scrape = app.scrape();
    assert_eq!(scrape.value("agent_memory_events{kind=\"message\"}"), 1.0);
    assert_eq!(
        scrape.value("agent_memory_events_total{kind=\"message\"}"),
        2.0
    );
    assert_eq!(
        scrape.value("agent_memory_storage_bytes{type=\"text\"}"),
        before
    );
    app.wait_until_erased(WORD);
}

#[test]
fn a_forgotten_handoff_is_gone_and_its_words_leave_the_files() {
    let app = TestApp::start();
    let kept = app
        .hand_off(json!({"session_id": "kept", "becoming": "patient"}))
        .created();
    let draft = json!({
        "with_whom": WORD, "learned": format!("a {WORD} carves wood"), "becoming": format!("a {WORD}"), "tags": [WORD],
    });
    let created = app.hand_off(draft).created();
    assert_eq!(all_handoffs(&app), 2.0);
    let path = format!("/api/v1/handoffs/{}", id(&created, "handoff_id"));
    app.delete(&path).forgotten();
    app.get(&path).problem(404);
    app.delete(&path).problem(404);
    assert_eq!(app.recall(WORD), [""; 0]);
    assert_eq!(app.get("/api/v1/handoffs/last").ok(), kept["handoff"]);
    assert_eq!(
        app.get("/api/v1/identity-thread").ok()["total_statements"],
        1
    );
    assert_eq!(all_handoffs(&app), 1.0);
    let wake_up = app.get("/api/v1/wake-up").ok();
    assert_eq!(wake_up["layers"]["metadata"]["handoffs"], 1);
    assert!(!wake_up.to_string().contains(WORD));
    app.wait_until_erased(&format!("a {WORD}"));
}

#[test]
fn the_name_of_a_person_leaves_with_the_last_handoff_that_holds_it() {
    let app = TestApp::start();
    let created = app.hand_off(json!({"with_whom": WORD})).created();
    app.delete(&format!("/api/v1/handoffs/{}", id(&created, "handoff_id")))
        .forgotten();
    app.delete("/api/v1/sessions/s1").accepted();
    app.wait_until_erased(WORD);
}

#[test]
fn a_forgotten_session_is_gone_with_all_it_holds() {
    let app = TestApp::start();
    let kept = app
        .record(json!({"session_id": "kept", "content": {"text": "the tide gauge"}}))
        .created();
    let batch = Value::from_iter((0..300).map(|number| {
        json!({
            "session_id": WORD, "channel": "private", "actor": {"type": "human", "id": "ada"}, "kind": "message",
            "content": {"text": format!("{WORD} number {number}")}, "event_id": made_id("evt", number),
        })
    }));
    app.post("/api/v1/events/batch", &batch).itemised();
    let handoff = app
        .hand_off(json!({"session_id": WORD, "story": WORD}))
        .created();
    let listed = app
        .get(&format!("/api/v1/events?session_id={WORD}&limit=1"))
        .ok();
    let cursor = id(&listed, "next_cursor");
    app.delete(&format!("/api/v1/sessions/{WORD}")).accepted();
    // At once, before a slice of it is taken out.
    app.get(&format!("/api/v1/events/{}", made_id("evt", 299)))
        .problem(404);
    app.delete(&format!("/api/v1/events/{}", made_id("evt", 298)))
        .problem(404);
    app.get(&format!("/api/v1/chunks/{}", made_id("chk", 299)))
        .problem(404);
    app.get(&format!("/api/v1/handoffs/{}", id(&handoff, "handoff_id")))
        .problem(404);
    app.get("/api/v1/handoffs/last").problem(404);
    app.delete(&format!("/api/v1/sessions/{WORD}")).problem(404);
    assert_eq!(app.recall(WORD), [""; 0]);
    assert_eq!(
        app.get(&format!("/api/v1/events?session_id={WORD}")).ok(),
        json!({"events": []})
    );
    let rest = app.get(&format!("/api/v1/events?cursor={cursor}")).ok();
    assert!(!rest.to_string().contains(WORD));
    wait_for("the counts to fall", || {
        (all_events(&app) == 1.0 && all_handoffs(&app) == 0.0).then_some(())
    });
    let scrape = app.scrape();
    assert_eq!(scrape.value("agent_memory_sessions"), 1.0);
    assert_eq!(
        scrape.value("agent_memory_events_total{kind=\"message\"}"),
        301.0
    );
    app.wait_until_erased(WORD);
    assert_eq!(app.recall("tide gauge"), [id(&kept, "event_id")]);
}

#[test]
fn the_name_of_a_forgotten_session_is_free_at_once() {
    let app = TestApp::start();
    app.record(json!({"content": {"text": "the old quay"}}))
        .created();
    app.delete("/api/v1/sessions/s1").accepted();
    let receipt = app
        .record(json!({"content": {"text": "the new quay"}}))
        .created();
    assert_eq!(app.recall("quay"), [id(&receipt, "event_id")]);
    wait_for("the old session to go", || {
        (all_events(&app) == 1.0).then_some(())
    });
    app.get(&format!("/api/v1/events/{}", id(&receipt, "event_id")))
        .ok();
    let listed = app.get("/api/v1/sessions").ok();
    assert_eq!(listed["sessions"][0]["counts"]["events"], 1);
}

#[test]
fn a_forgotten_tenant_is_gone_with_all_it_holds() {
    let app = TestApp::start();
    let kept = app.say("the tide gauge");
    let mut paths = Vec::new();
    for index in 0..20 {
        let receipt = app
            .record(json!({
                "tenant_id": "old", "session_id": format!("{WORD} {index}"), "project_id": WORD, "content": {"text": WORD},
            }))
            .created();
        paths.push(format!(
            "/api/v1/events/{}?tenant_id=old",
            id(&receipt, "event_id")
        ));
    }
    let over = json!({"tenant_id": "old", "learned": WORD, "with_whom": WORD, "project_id": WORD});
    let handoff = app.hand_off(over).created();
    paths.push(format!(
        "/api/v1/handoffs/{}?tenant_id=old",
        id(&handoff, "handoff_id")
    ));
    let job = app.delete("/api/v1/tenants/old").accepted();
    assert_eq!(job["job_type"], "forget_tenant");
    for path in &paths {
        app.get(path).problem(404);
        app.delete(path).problem(404);
    }
    app.delete("/api/v1/tenants/old").problem(404);
    for list in ["events", "handoffs", "sessions", "projects"] {
        let listed = app.get(&format!("/api/v1/{list}?tenant_id=old")).ok();
        assert_eq!(listed[list], json!([]), "{list}");
    }
    assert_eq!(
        app.recall_with(json!({"query": WORD, "tenant_id": "old"})),
        [""; 0]
    );
    assert_eq!(
        app.get("/api/v1/wake-up?tenant_id=old").ok()["first_session"],
        true
    );
    wait_for("the counts to fall", || {
        (all_events(&app) == 1.0 && all_handoffs(&app) == 0.0).then_some(())
    });
    assert_eq!(app.metric("agent_memory_sessions"), 1.0);
    app.wait_until_erased(WORD);
    assert_eq!(app.recall("tide gauge"), [kept]);
}

#[test]
fn the_name_of_a_forgotten_tenant_can_be_used_again_and_is_empty() {
    let app = TestApp::start();
    let draft = |text: &str| json!({"tenant_id": "t", "content": {"text": text}, "event_id": made_id("evt", 1)});
    app.record(draft("the old quay")).created();
    app.hand_off(json!({"tenant_id": "t", "becoming": "old"}))
        .created();
    app.delete("/api/v1/tenants/t").accepted();
    let receipt = app.record(draft("the new quay")).created();
    let found = app.recall_with(json!({"query": "quay", "tenant_id": "t"}));
    assert_eq!(found, [id(&receipt, "event_id")]);
    let wake_up = app.get("/api/v1/wake-up?tenant_id=t").ok();
    assert_eq!(wake_up["first_session"], true);
    assert_eq!(wake_up["identity_thread"], json!([]));
    wait_for("the old tenant to go", || {
        (all_events(&app) == 1.0).then_some(())
    });
    let read = app
        .get(&format!("/api/v1/events/{}?tenant_id=t", made_id("evt", 1)))
        .ok();
    assert_eq!(read["content"]["text"], "the new quay");
}

#[test]
fn an_unfinished_forgetting_goes_on_after_a_restart() {
    let app = TestApp::start();
    let batch = Value::from_iter((0..500).map(|number| {
        json!({
            "session_id": "s", "channel": "private", "actor": {"type": "human", "id": "ada"}, "kind": "message",
            "content": {"text": format!("{WORD} number {number}")},
        })
    }));
    app.post("/api/v1/events/batch", &batch).itemised();
    app.delete("/api/v1/sessions/s").accepted();
    let app = app.restarted();
    assert_eq!(app.recall(WORD), [""; 0]);
    wait_for("the counts to fall", || {
        (all_events(&app) == 0.0).then_some(())
    });
    app.wait_until_erased(WORD);
}

#[test]
fn a_tenant_is_forgotten_under_its_own_name_alone() {
    let app = TestApp::start();
    let event_id = app.say("hello");
    app.record(json!({"tenant_id": "other"})).created();
    app.delete("/api/v1/tenants/other?tenant_id=default")
        .blames(422, "tenant_id");
    app.send(
        "DELETE",
        "/api/v1/tenants/other",
        &[("x-tenant-id", "default")],
        None,
    )
    .blames(422, "tenant_id");
    app.delete("/api/v1/tenants/nobody").problem(404);
    app.delete("/api/v1/tenants/a%20b").blames(422, "id");
    app.send(
        "DELETE",
        "/api/v1/tenants/other",
        &[("x-tenant-id", "other")],
        None,
    )
    .accepted();
    app.get(&format!("/api/v1/events/{event_id}")).ok();
}

#[test]
fn what_was_forgotten_does_not_live_on_under_an_idempotency_key() {
    let app = TestApp::start();
    let headers = [("idempotency-key", "k1")];
    let body = crate::harness::event(&json!({"content": {"text": WORD}}));
    let receipt = app.post_with("/api/v1/events", &headers, &body).created();
    app.delete(&format!("/api/v1/events/{}", id(&receipt, "event_id")))
        .forgotten();
    app.wait_until_erased(WORD);
}

#[test]
fn numbers_leave_the_index_as_they_entered_it() {
    let app = TestApp::start();
    // Each of these is read one unit off by a parser that does not round trip.
    let numbers = json!([
        0.1,
        1e-7,
        1.797_693_134_862_315_7e308,
        9_007_199_254_740_993_i64,
        5.024_985_939_150_636e-309
    ]);
    let event = app
        .record(json!({"content": {"text": "gauge", "numbers": numbers}}))
        .created();
    app.delete(&format!(
        "/api/v1/events/{}",
        event["event_id"].as_str().unwrap()
    ))
    .forgotten();
    assert!(app.recall("0.1 1e-7 gauge").is_empty());
    let kept = app.say("another gauge 0.1");
    assert_eq!(app.recall("0.1 gauge"), [kept]);
}

/// A passage's number is free again once it was forgotten, and what a search has kept of it must not answer for the next
/// one: that may be more sensitive.
#[test]
fn what_takes_the_place_of_the_forgotten_is_judged_by_itself() {
    let app = TestApp::start();
    for by_command in [false, true] {
        let open = app.say(&format!("the {WORD} is open"));
        assert_eq!(app.recall(WORD), [open.as_str()]);
        if by_command {
            let done = command(app.file())
                .args(["forget", &open])
                .output()
                .unwrap();
            assert!(done.status.success(), "{done:?}");
        } else {
            app.delete(&format!("/api/v1/events/{open}")).forgotten();
        }
        let closed = app
            .record(json!({"content": {"text": format!("the {WORD} is closed")}, "sensitivity": "high"}))
            .created();
        let closed = id(&closed, "event_id");
        let public = json!({"query": WORD, "channel": "public"});
        assert_eq!(app.recall_with(public), [""; 0]);
        assert_eq!(app.recall(WORD), [closed.as_str()]);
        app.delete(&format!("/api/v1/events/{closed}")).forgotten();
    }
}
