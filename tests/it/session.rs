//! Sessions and projects.

use serde_json::json;

use crate::harness::{NOW, TestApp, id, settled, texts};

#[test]
fn a_session_is_announced() {
    let app = TestApp::start();
    let started = app
        .post(
            "/api/v1/session/start",
            &json!({"session_id": "s1", "project_id": "tidewatch", "with_whom": "Ada"}),
        )
        .created();
    insta::assert_snapshot!(settled(&started), @r#"
    {
      "session_id": "s1",
      "tenant_id": "default",
      "project_id": "tidewatch",
      "with_whom": "Ada",
      "started_at": "2026-03-01T09:30:00.000Z",
      "last_seen_at": "2026-03-01T09:30:00.000Z",
      "counts": {
        "events": 0,
        "handoffs": 0
      }
    }
    "#);
    app.advance_hours(1);
    let again = app
        .post("/api/v1/session/start", &json!({"session_id": "s1"}))
        .created();
    assert_eq!(again["started_at"], NOW);
    assert_eq!(again["last_seen_at"], "2026-03-01T10:30:00.000Z");
    assert_eq!(again["with_whom"], "Ada");
    assert_eq!(app.metric("agent_memory_sessions"), 1.0);
}

#[test]
fn a_session_counts_what_it_holds_without_being_announced() {
    let app = TestApp::start();
    app.record(json!({"ts": "2026-02-01T00:00:00Z"})).created();
    app.record(json!({})).created();
    app.hand_off(json!({})).created();
    let listed = app.get("/api/v1/sessions").ok();
    insta::assert_snapshot!(settled(&listed), @r#"
    {
      "sessions": [
        {
          "session_id": "s1",
          "tenant_id": "default",
          "with_whom": "Ada",
          "started_at": "2026-02-01T00:00:00.000Z",
          "last_seen_at": "2026-03-01T09:30:00.000Z",
          "counts": {
            "events": 2,
            "handoffs": 1
          }
        }
      ]
    }
    "#);
}

#[test]
fn paging_sessions_by_ones_shows_each_once_in_both_directions() {
    let app = TestApp::start();
    let mut expected = Vec::new();
    for index in 0..5 {
        let name = format!("s/{index} ü");
        app.post(
            "/api/v1/session/start",
            &json!({"session_id": name, "project_id": format!("p{index}")}),
        )
        .created();
        expected.push(name);
    }
    for (list, key) in [("sessions", "session_id"), ("projects", "project_id")] {
        let mut want: Vec<_> = match list {
            "sessions" => expected.clone(),
            _ => (0..5).map(|index| format!("p{index}")).collect(),
        };
        for order in ["asc", "desc"] {
            let (mut seen, mut cursor) = (Vec::new(), String::new());
            loop {
                let page = app
                    .get(&format!("/api/v1/{list}?limit=1&order={order}{cursor}"))
                    .ok();
                seen.extend(texts(&page[list], key));
                match page["next_cursor"].as_str() {
                    Some(next) => cursor = format!("&cursor={next}"),
                    None => break,
                }
            }
            assert_eq!(seen, want, "{list} {order}");
            want.reverse();
        }
    }
}

#[test]
fn projects_are_those_that_were_named() {
    let app = TestApp::start();
    app.record(json!({"project_id": "tidewatch"})).created();
    app.hand_off(json!({"project_id": "harbour/office"}))
        .created();
    app.record(json!({"project_id": "tidewatch"})).created();
    let listed = app.get("/api/v1/projects").ok();
    insta::assert_snapshot!(settled(&listed), @r#"
    {
      "projects": [
        {
          "project_id": "tidewatch",
          "tenant_id": "default",
          "name": "tidewatch",
          "aliases": []
        },
        {
          "project_id": "harbour/office",
          "tenant_id": "default",
          "name": "harbour/office",
          "aliases": []
        }
      ]
    }
    "#);
    assert_eq!(
        app.get("/api/v1/projects?tenant_id=nobody").ok(),
        json!({"projects": []})
    );
}

#[test]
fn a_session_that_is_out_of_bounds_is_refused() {
    let app = TestApp::start();
    for (field, body) in [
        ("body", json!({})),
        ("session_id", json!({"session_id": ""})),
        ("session_id", json!({"session_id": 7})),
        (
            "started_at",
            json!({"session_id": "s", "started_at": "now"}),
        ),
        (
            "project_id",
            json!({"session_id": "s", "project_id": "a\tb"}),
        ),
        ("mood", json!({"session_id": "s", "mood": "good"})),
    ] {
        app.post("/api/v1/session/start", &body).blames(422, field);
    }
    assert_eq!(app.get("/api/v1/sessions").ok(), json!({"sessions": []}));
}

#[test]
fn a_session_is_forgotten_under_its_own_name() {
    let app = TestApp::start();
    app.record(json!({"session_id": "a/b c?d"})).created();
    app.record(json!({"session_id": "kept"})).created();
    let job = app.delete("/api/v1/sessions/a%2Fb%20c%3Fd").accepted();
    assert_eq!(job["job_type"], "forget_session");
    assert!(id(&job, "job_id").starts_with("job_"));
    assert_eq!(
        texts(&app.get("/api/v1/sessions").ok()["sessions"], "session_id"),
        ["kept"]
    );
}
