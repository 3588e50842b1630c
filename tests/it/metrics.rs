//! The series: all there from the first scrape on, right to the last count, and never more of them.

use std::collections::BTreeSet;

use serde_json::json;

use crate::harness::{TestApp, event, made_id};
use crate::process::wait_for;

const KINDS: &[&str] = &[
    "message",
    "tool_call",
    "tool_result",
    "decision",
    "task_update",
    "artifact",
];

#[test]
fn every_series_of_the_guide_is_there_on_the_first_scrape_of_an_empty_store() {
    let app = TestApp::start();
    let scrape = app.scrape();
    assert_eq!(scrape.value("agent_memory_up"), 1.0);
    assert!(scrape.value("agent_memory_uptime_seconds") >= 0.0);
    for kind in ["heap_used", "heap_total", "rss", "external"] {
        scrape.value(&format!("agent_memory_memory_bytes{{type=\"{kind}\"}}"));
    }
    assert!(scrape.value("agent_memory_memory_bytes{type=\"external\"}") > 0.0);
    assert_eq!(
        scrape.value("agent_memory_db_pool_connections{state=\"total\"}"),
        2.0
    );
    assert_eq!(
        scrape.value("agent_memory_db_pool_connections{state=\"idle\"}"),
        2.0
    );
    assert_eq!(
        scrape.value("agent_memory_db_pool_connections{state=\"waiting\"}"),
        0.0
    );
    for kind in KINDS {
        assert_eq!(
            scrape.value(&format!("agent_memory_events_total{{kind=\"{kind}\"}}")),
            0.0
        );
        assert_eq!(
            scrape.value(&format!("agent_memory_events{{kind=\"{kind}\"}}")),
            0.0
        );
    }
    for level in ["all", "full", "summary", "quick_ref", "integrated"] {
        assert_eq!(
            scrape.value(&format!(
                "agent_memory_handoffs_total{{compression_level=\"{level}\"}}"
            )),
            0.0
        );
    }
    assert_eq!(
        scrape.value("agent_memory_decisions_total{status=\"active\"}"),
        0.0
    );
    assert_eq!(
        scrape.value("agent_memory_decisions_total{status=\"superseded\"}"),
        0.0
    );
    assert_eq!(
        scrape.value("agent_memory_storage_bytes{type=\"text\"}"),
        0.0
    );
    assert_eq!(scrape.value("agent_memory_knowledge_notes_total"), 0.0);
    assert_eq!(scrape.answers("POST", "/api/v1/handoff", "201"), 0.0);
    assert_eq!(scrape.answers("POST", "/api/v1/handoff", "500"), 0.0);
    for suffix in ["count", "sum"] {
        let series = format!(
            "agent_memory_http_request_duration_seconds_{suffix}{{method=\"POST\",path=\"/api/v1/handoff\"}}"
        );
        assert_eq!(scrape.value(&series), 0.0);
    }
    let last = "agent_memory_http_request_duration_seconds_bucket{method=\"POST\",path=\"/api/v1/handoff\",le=\"+Inf\"}";
    assert_eq!(scrape.value(last), 0.0);
}

#[test]
fn a_family_says_what_its_numbers_mean() {
    let app = TestApp::start();
    let scrape = app.scrape();
    for (name, kind) in [
        ("agent_memory_up", "gauge"),
        ("agent_memory_uptime_seconds", "gauge"),
        ("agent_memory_memory_bytes", "gauge"),
        ("agent_memory_http_requests_total", "counter"),
        ("agent_memory_http_request_duration_seconds", "histogram"),
        ("agent_memory_db_pool_connections", "gauge"),
        ("agent_memory_events_total", "counter"),
        ("agent_memory_events", "gauge"),
        ("agent_memory_handoffs_total", "untyped"),
        ("agent_memory_decisions_total", "untyped"),
        ("agent_memory_storage_bytes", "gauge"),
        ("agent_memory_knowledge_notes_total", "untyped"),
        ("agent_memory_redactions_total", "counter"),
        ("agent_memory_recalls_total", "counter"),
    ] {
        assert_eq!(
            scrape.types.get(name).map(String::as_str),
            Some(kind),
            "{name}"
        );
    }
    // Nothing is exposed without a type, and each type has something to say.
    let families: BTreeSet<_> = scrape
        .series
        .keys()
        .map(|series| {
            let name = series.split('{').next().unwrap();
            let base = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| name.strip_suffix(end));
            base.filter(|base| {
                scrape
                    .types
                    .get(*base)
                    .is_some_and(|kind| kind == "histogram")
            })
            .unwrap_or(name)
        })
        .collect();
    assert_eq!(families, scrape.types.keys().map(String::as_str).collect());
    assert_eq!(
        app.get("/metrics").header("content-type"),
        "text/plain; version=0.0.4; charset=utf-8"
    );
}

#[test]
fn counters_are_exact_after_known_operations() {
    let app = TestApp::start();
    for (index, kind) in KINDS.iter().enumerate() {
        for _ in 0..=index {
            app.record(json!({"kind": kind, "content": {"text": "12345"}}))
                .created();
        }
    }
    app.post(
        "/api/v1/events/batch",
        &json!([event(&json!({})), event(&json!({"kind": "dream"}))]),
    )
    .itemised();
    let created = app.hand_off(json!({"experienced": "1234567"})).created();
    app.hand_off(json!({"session_id": "s2", "experienced": "1234567"}))
        .created();
    app.record(json!({"kind": "dream"})).problem(422);
    app.record(json!({"event_id": made_id("evt", 1)})).created();
    app.record(json!({"event_id": made_id("evt", 1), "tags": ["x"]}))
        .problem(409);
    app.post_bytes("/api/v1/events", b"{").problem(400);
    app.post_bytes("/api/v1/events", &vec![b' '; 11 << 20])
        .problem(413);
    app.send(
        "POST",
        "/api/v1/events",
        &[("content-type", "text/plain")],
        Some(b"x"),
    )
    .problem(415);
    app.get(&format!("/api/v1/events/{}", made_id("evt", 9)))
        .problem(404);
    app.get(&format!("/api/v1/events/{}", made_id("evt", 1)))
        .ok();
    app.send("PUT", "/api/v1/events", &[], None).problem(405);
    app.send("BREW", "/api/v1/wake-up", &[], None).problem(405);
    app.get("/nowhere").problem(404);
    app.delete(&format!(
        "/api/v1/handoffs/{}",
        created["handoff_id"].as_str().unwrap()
    ))
    .forgotten();
    app.delete("/api/v1/sessions/s2").accepted();
    let scrape = wait_for("the session to go", || {
        let scrape = app.scrape();
        (scrape.value("agent_memory_sessions") == 1.0).then_some(scrape)
    });

    for (index, kind) in KINDS.iter().enumerate() {
        // One more message by the batch and one with an id.
        let expected = [3.0, 2.0, 3.0, 4.0, 5.0, 6.0][index];
        assert_eq!(
            scrape.value(&format!("agent_memory_events_total{{kind=\"{kind}\"}}")),
            expected,
            "{kind}"
        );
        assert_eq!(
            scrape.value(&format!("agent_memory_events{{kind=\"{kind}\"}}")),
            expected,
            "{kind}"
        );
    }
    assert_eq!(
        scrape.value("agent_memory_handoffs_total{compression_level=\"all\"}"),
        0.0
    );
    for (method, path, status, count) in [
        ("POST", "/api/v1/events", "201", 22.0),
        ("POST", "/api/v1/events", "422", 1.0),
        ("POST", "/api/v1/events", "409", 1.0),
        ("POST", "/api/v1/events", "400", 1.0),
        ("POST", "/api/v1/events", "413", 1.0),
        ("POST", "/api/v1/events", "415", 1.0),
        ("POST", "/api/v1/events", "500", 0.0),
        ("POST", "/api/v1/events/batch", "207", 1.0),
        ("POST", "/api/v1/handoff", "201", 2.0),
        ("GET", "/api/v1/events/{id}", "404", 1.0),
        ("GET", "/api/v1/events/{id}", "200", 1.0),
        ("DELETE", "/api/v1/handoffs/{id}", "204", 1.0),
        ("DELETE", "/api/v1/sessions/{id}", "202", 1.0),
        ("GET", "unmatched", "404", 1.0),
    ] {
        assert_eq!(
            scrape.answers(method, path, status),
            count,
            "{method} {path} {status}"
        );
    }
    let refused: f64 = scrape
        .series
        .iter()
        .filter(|(series, _)| series.contains("status=\"405\""))
        .map(|(_, count)| count)
        .sum();
    assert_eq!(refused, 2.0);
    let timed =
        "agent_memory_http_request_duration_seconds_count{method=\"POST\",path=\"/api/v1/events\"}";
    assert_eq!(scrape.value(timed), 27.0);
}

#[test]
fn a_scrape_counts_itself_once() {
    let app = TestApp::start();
    for _ in 0..3 {
        app.scrape();
    }
    app.get("/metrics").is(200);
    let scrape = app.scrape();
    assert_eq!(scrape.answers("GET", "/metrics/prometheus", "200"), 4.0);
    assert_eq!(scrape.value("agent_memory_http_requests_in_flight"), 1.0);
}

#[test]
fn text_is_counted_in_bytes_as_it_is_stored() {
    let app = TestApp::start();
    app.hand_off(json!({"experienced": "äöü", "story": "123"}))
        .created();
    assert_eq!(app.metric("agent_memory_storage_bytes{type=\"text\"}"), 9.0);
}

#[test]
fn five_hundred_strange_requests_add_no_series() {
    let app = TestApp::start();
    app.say("hello");
    let before = app.scrape();
    for index in 0..500 {
        let method = ["GET", "POST", "DELETE", "PUT", "BREW", "X-Y"][index % 6];
        let path = match index % 5 {
            0 => format!("/api/v1/events/{}", made_id("evt", 1000)),
            1 => format!("/random/{index}"),
            2 => format!("/api/v1/{index}?q={index}"),
            3 => format!("/api/v1/handoffs/{index}"),
            _ => format!("/{index}/%F0%9F%A6%80\"{{}}")
                .replace('"', "%22")
                .replace(['{', '}'], "%7B"),
        };
        let tenant = format!("tenant-{index}");
        let answer = app.send(method, &path, &[("x-tenant-id", &tenant)], None);
        assert!(
            (400..500).contains(&answer.status),
            "{method} {path}: {}",
            answer.status
        );
    }
    let after = app.scrape();
    assert_eq!(after.names(), before.names());
    assert_eq!(after.types, before.types);
    let total = |scrape: &crate::harness::Scrape| -> f64 {
        scrape
            .series
            .iter()
            .filter(|(series, _)| series.starts_with("agent_memory_http_requests_total{"))
            .map(|(_, value)| value)
            .sum()
    };
    // And the scrape before.
    assert_eq!(total(&after) - total(&before), 501.0);
}

#[test]
fn aliases_count_under_the_path_they_stand_for() {
    let app = TestApp::start();
    app.post("/api/v1/handoffs", &crate::harness::handoff(&json!({})))
        .created();
    app.get("/api/v1/search?q=tide").ok();
    app.get("/metrics").is(200);
    let scrape = app.scrape();
    assert_eq!(scrape.answers("POST", "/api/v1/handoff", "201"), 1.0);
    assert_eq!(scrape.answers("GET", "/api/v1/recall", "200"), 1.0);
    assert_eq!(scrape.answers("GET", "/metrics/prometheus", "200"), 1.0);
    for path in [
        "\"/api/v1/search\"",
        "\"/metrics\"",
        "method=\"POST\",path=\"/api/v1/handoffs\"",
    ] {
        assert!(
            !scrape.names().iter().any(|series| series.contains(path)),
            "{path}"
        );
    }
}

#[test]
fn a_client_that_goes_away_is_no_longer_in_flight() {
    use std::io::Write;
    let app = TestApp::start();
    let mut stream = std::net::TcpStream::connect(app.address()).unwrap();
    let head = "POST /api/v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{";
    stream.write_all(head.as_bytes()).unwrap();
    let in_flight = || app.metric("agent_memory_http_requests_in_flight");
    wait_for("the request to begin", || {
        (in_flight() == 2.0).then_some(())
    });
    drop(stream);
    wait_for("the request to end", || (in_flight() == 1.0).then_some(()));
    assert_eq!(
        app.metric("agent_memory_events_total{kind=\"message\"}"),
        0.0
    );
}

#[test]
fn counts_of_memory_survive_a_restart_and_those_of_requests_begin_anew() {
    let app = TestApp::start();
    let gone = app.say("one");
    app.say("two");
    app.delete(&format!("/api/v1/events/{gone}")).forgotten();
    app.hand_off(json!({})).created();
    let before = app.scrape();
    let app = app.restarted();
    let after = app.scrape();
    assert_eq!(after.names(), before.names());
    for (series, value) in &before.series {
        let facts = [
            "events",
            "handoffs",
            "sessions",
            "storage",
            "redactions",
            "recalls",
        ];
        if facts
            .iter()
            .any(|fact| series.starts_with(&format!("agent_memory_{fact}")))
        {
            assert_eq!(after.value(series), *value, "{series}");
        }
    }
    assert_eq!(
        after.value("agent_memory_events_total{kind=\"message\"}"),
        2.0
    );
    assert_eq!(after.answers("POST", "/api/v1/events", "201"), 0.0);
}
