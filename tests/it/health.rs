//! Health in its four forms.

use crate::harness::{NOW, TestApp, settled};

#[test]
fn health_says_how_the_store_is() {
    let app = TestApp::start();
    let answer = app.get("/health");
    insta::assert_snapshot!(settled(&answer.ok()), @r#"
    {
      "status": "ok",
      "timestamp": "2026-03-01T09:30:00.000Z",
      "version": "…",
      "uptime_seconds": 0,
      "database": "connected"
    }
    "#);
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("cache-control"), "no-store");
}

#[test]
fn liveness_and_readiness_are_told_apart() {
    let app = TestApp::start();
    assert_eq!(app.get("/health/live").ok()["status"], "ok");
    let ready = app.get("/health/ready").ok();
    assert_eq!(ready["database"], "connected");
    // A second look within the second is answered by the first proof.
    assert_eq!(app.get("/health/ready").ok()["timestamp"], NOW);
}

#[test]
fn the_detailed_form_shows_sizes_queues_and_memory() {
    let app = TestApp::start();
    app.say("hello");
    let detailed = app.get("/health/detailed").ok();
    assert_eq!(detailed["status"], "ok");
    assert_eq!(detailed["readers"]["total"], 2);
    assert_eq!(detailed["readers"]["waiting"], 0);
    assert_eq!(detailed["write_queue"]["depth"], 0);
    assert!(detailed["write_queue"]["capacity"].as_u64().unwrap() > 0);
    assert_eq!(detailed["store"]["schema_version"], 5);
    assert_eq!(detailed["store"]["page_bytes"], 4096);
    assert!(detailed["store"]["database_bytes"].as_u64().unwrap() > 0);
    assert_eq!(detailed["store"]["open_jobs"], 0);
    assert!(detailed["memory"]["external"].as_u64().unwrap() > 0);
    assert!(!detailed.to_string().contains("hello"));
}

#[test]
fn head_is_answered_like_get_without_a_body() {
    let app = TestApp::start();
    for path in [
        "/health",
        "/health/live",
        "/health/ready",
        "/metrics",
        "/metrics/prometheus",
    ] {
        let answer = app.send("HEAD", path, &[], None);
        assert!(answer.is(200).body.is_empty(), "{path}");
        assert_eq!(
            answer.header("content-type"),
            app.get(path).header("content-type"),
            "{path}"
        );
    }
}
