//! Tenants: what one has, no other sees, and where a request names its tenant.

use std::collections::BTreeSet;

use serde_json::json;

use crate::harness::{Answer, TestApp, event, handoff, id, made_id};

/// The same id for every request, so that answers can be compared byte for byte.
const SAME: [(&str, &str); 2] = [("x-request-id", "same"), ("x-tenant-id", "stranger")];

#[test]
fn another_tenants_id_looks_just_like_an_unknown_one() {
    let app = TestApp::start();
    app.record(json!({"tenant_id": "stranger"})).created();
    let receipt = app
        .record(json!({"content": {"text": "quay ".repeat(20_000)}}))
        .created();
    let created = app.hand_off(json!({})).created();
    let chunk_id = id(&json!({"id": receipt["chunk_ids"][1]}), "id");
    for (list, theirs, unknown) in [
        ("events", id(&receipt, "event_id"), made_id("evt", 1)),
        ("artifacts", id(&receipt, "artifact_id"), made_id("art", 1)),
        ("chunks", chunk_id, made_id("chk", 1)),
        ("handoffs", id(&created, "handoff_id"), made_id("sh", 1)),
        ("sessions", "s2".to_owned(), "nobody".to_owned()),
    ] {
        for method in ["GET", "DELETE"] {
            if (method == "DELETE" && ["artifacts", "chunks"].contains(&list))
                || (method == "GET" && list == "sessions")
            {
                continue;
            }
            let path = |id: &str| format!("/api/v1/{list}/{id}");
            let one = app.send(method, &path(&theirs), &SAME, None);
            let other = app.send(method, &path(&unknown), &SAME, None);
            one.problem(404);
            assert_eq!(one.text(), other.text(), "{method} {list}");
            let names = |answer: &Answer| {
                answer
                    .headers
                    .keys()
                    .map(ToString::to_string)
                    .collect::<BTreeSet<_>>()
            };
            assert_eq!(names(&one), names(&other), "{method} {list}");
        }
    }
    app.get(&format!("/api/v1/events/{}", id(&receipt, "event_id")))
        .ok();
    app.get(&format!("/api/v1/handoffs/{}", id(&created, "handoff_id")))
        .ok();
}

#[test]
fn lists_searches_and_wake_ups_show_one_tenant() {
    let app = TestApp::start();
    for tenant in ["a", "b"] {
        let text = format!("the quay of {tenant}");
        app.record(json!({"tenant_id": tenant, "session_id": tenant, "project_id": tenant, "content": {"text": text}})).created();
        app.hand_off(json!({"tenant_id": tenant, "session_id": tenant, "project_id": tenant, "becoming": text})).created();
    }
    for (tenant, other) in [("a", "b"), ("b", "a")] {
        for path in [
            "events",
            "handoffs",
            "handoffs/last",
            "sessions",
            "projects",
            "identity-thread",
            "wake-up",
            "search?q=quay",
        ] {
            let mark = if path.contains('?') { '&' } else { '?' };
            let shown = app
                .get(&format!("/api/v1/{path}{mark}tenant_id={tenant}"))
                .ok()
                .to_string();
            assert!(
                shown.contains(&format!("\"{tenant}\"")) || shown.contains(&format!("of {tenant}")),
                "{path} {shown}"
            );
            assert!(
                !shown.contains(&format!("\"{other}\"")) && !shown.contains(&format!("of {other}")),
                "{path} {shown}"
            );
        }
    }
    assert_eq!(app.get("/api/v1/events").ok(), json!({"events": []}));
}

#[test]
fn the_same_client_made_id_is_another_event_in_another_tenant() {
    let app = TestApp::start();
    for tenant in ["a", "b"] {
        app.record(json!({"tenant_id": tenant, "event_id": made_id("evt", 1), "content": {"text": tenant}})).created();
        app.hand_off(json!({"tenant_id": tenant, "handoff_id": made_id("sh", 1), "story": tenant}))
            .created();
    }
    for tenant in ["a", "b"] {
        let read = app
            .get(&format!(
                "/api/v1/events/{}?tenant_id={tenant}",
                made_id("evt", 1)
            ))
            .ok();
        assert_eq!(
            (&read["content"]["text"], &read["tenant_id"]),
            (&json!(tenant), &json!(tenant))
        );
    }
    app.delete(&format!("/api/v1/events/{}?tenant_id=a", made_id("evt", 1)))
        .forgotten();
    app.get(&format!("/api/v1/events/{}?tenant_id=b", made_id("evt", 1)))
        .ok();
}

#[test]
fn a_tenant_is_named_by_body_query_or_header() {
    let app = TestApp::start();
    app.post("/api/v1/events", &event(&json!({"tenant_id": "t"})))
        .created();
    app.post("/api/v1/events?tenant_id=t", &event(&json!({})))
        .created();
    app.post_with(
        "/api/v1/events",
        &[("x-tenant-id", "t")],
        &event(&json!({})),
    )
    .created();
    app.post_with(
        "/api/v1/events?tenant_id=t",
        &[("x-tenant-id", "t")],
        &event(&json!({"tenant_id": "t"})),
    )
    .created();
    let by_header = app.get_with("/api/v1/events", &[("x-tenant-id", "t")]).ok();
    assert_eq!(by_header["events"].as_array().unwrap().len(), 4);
    assert_eq!(app.get("/api/v1/events?tenant_id=t").ok(), by_header);
}

#[test]
fn two_tenants_that_differ_are_refused() {
    let app = TestApp::start();
    let header = [("x-tenant-id", "b")];
    let bodies = [
        ("/api/v1/events", event(&json!({"tenant_id": "a"}))),
        ("/api/v1/handoff", handoff(&json!({"tenant_id": "a"}))),
        (
            "/api/v1/session/start",
            json!({"tenant_id": "a", "session_id": "s"}),
        ),
        ("/api/v1/recall", json!({"tenant_id": "a", "query": "x"})),
    ];
    for (path, body) in &bodies {
        app.post_with(path, &header, body).blames(422, "tenant_id");
        app.post(&format!("{path}?tenant_id=b"), body)
            .blames(422, "tenant_id");
        app.post_with(&format!("{path}?tenant_id=a"), &header, body)
            .blames(422, "tenant_id");
    }
    for path in [
        "events",
        "handoffs",
        "wake-up",
        "search",
        "sessions",
        "projects",
        "identity-thread",
    ] {
        let mark = if path == "search" { "?q=x&" } else { "?" };
        app.get_with(&format!("/api/v1/{path}{mark}tenant_id=a"), &header)
            .blames(422, "tenant_id");
    }
    for tenant in ["a", "b"] {
        assert_eq!(
            app.get(&format!("/api/v1/sessions?tenant_id={tenant}"))
                .ok(),
            json!({"sessions": []})
        );
    }
}

#[test]
fn a_tenants_name_is_plain() {
    let app = TestApp::start();
    for good in ["a", "locomo/conv-26", "me@example.org", "A.b_c:d-9"] {
        app.record(json!({"tenant_id": good})).created();
    }
    for bad in ["", "a b", "ünder", "a\nb", "<script>"] {
        app.record(json!({"tenant_id": bad}))
            .blames(422, "tenant_id");
    }
    app.get("/api/v1/events?tenant_id=")
        .blames(422, "tenant_id");
    app.get("/api/v1/events?tenant_id=a%00")
        .blames(422, "tenant_id");
    app.get_with("/api/v1/events", &[("x-tenant-id", "a b")])
        .blames(422, "X-Tenant-Id");
}

#[test]
fn what_one_tenant_writes_does_not_move_anothers_ranking() {
    let app = TestApp::start();
    for text in ["mooring rope", "mooring ring", "rope ladder"] {
        app.say(text);
    }
    let before = app
        .post("/api/v1/recall", &json!({"query": "mooring rope"}))
        .ok();
    for _ in 0..30 {
        app.record(json!({"tenant_id": "other", "content": {"text": "mooring mooring mooring"}}))
            .created();
    }
    assert_eq!(
        app.post("/api/v1/recall", &json!({"query": "mooring rope"}))
            .ok(),
        before
    );
}
