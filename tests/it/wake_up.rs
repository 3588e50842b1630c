//! The wake-up: what the next session reads first.

use serde_json::{Value, json};

use crate::harness::{TestApp, id, settled, texts};
use crate::process;

/// The arrays of a wake-up together, as JSON.
fn array_bytes(wake_up: &Value) -> usize {
    let layers = &wake_up["layers"];
    [
        &wake_up["identity_thread"],
        &wake_up["recent_decisions"],
        &wake_up["knowledge"],
        &layers["reflection"],
        &layers["recent"],
        &layers["progressive"],
        &layers["metadata"]["with_whom"],
        &layers["metadata"]["topics"],
    ]
    .iter()
    .map(|array| array.to_string().len())
    .sum()
}

fn write_handoffs(app: &TestApp, count: usize) {
    for index in 0..count {
        let day = index % 28 + 1;
        app.hand_off(json!({
            "session_id": format!("session {index}"), "created_at": format!("2026-02-{day:02}T00:00:00Z"),
            "experienced": format!("On day {day} we calibrated gauge {index} against the harbour's own. ").repeat(5),
            "learned": format!("Gauge {index} drifts by {day} mm a month."),
            "becoming": format!("Somebody who checks gauge {index} twice."),
            "remember": format!("Gauge {index} is due again."), "tags": ["gauge", format!("tag{}", index % 12)],
        }))
        .created();
    }
}

#[test]
fn an_empty_tenant_wakes_up_to_an_empty_memory() {
    let app = TestApp::start();
    let wake_up = app.get("/api/v1/wake-up?tenant_id=new").ok();
    insta::assert_snapshot!(settled(&wake_up), @r#"
    {
      "last_handoff": null,
      "identity_thread": [],
      "recent_decisions": [],
      "knowledge": [],
      "layers": {
        "metadata": {
          "sessions": 0,
          "handoffs": 0,
          "first_at": null,
          "last_at": null,
          "with_whom": [],
          "topics": []
        },
        "reflection": {
          "principles": [],
          "reflections": []
        },
        "recent": [],
        "progressive": []
      },
      "first_session": true,
      "estimated_tokens": 0,
      "context": ""
    }
    "#);
    let as_text = app.get_with("/api/v1/wake-up", &[("accept", "text/markdown")]);
    assert_eq!(
        (
            as_text.is(200).text().as_str(),
            as_text.header("content-type")
        ),
        ("", "text/markdown; charset=utf-8")
    );
    // A read makes no tenant.
    app.delete("/api/v1/tenants/new").problem(404);
}

#[test]
fn the_text_alone_comes_as_markdown() {
    let app = TestApp::start();
    app.hand_off(
        json!({"remember": "The port is 3456.", "becoming": "A careful one.", "tags": ["port"]}),
    )
    .created();
    let answer = app.get_with("/api/v1/wake-up", &[("accept", "text/markdown, */*;q=0.1")]);
    assert_eq!(
        answer.header("content-type"),
        "text/markdown; charset=utf-8"
    );
    insta::assert_snapshot!(answer.is(200).text(), @r#"
    1 session, 1 handoff, 2026-03-01 to 2026-03-01; with Ada; about port

    ## Last session, 2026-03-01 with Ada
    - Remember: The port is 3456.
    - Experienced: We set the tide gauge up.

    ## Becoming
    - 2026-03-01: A careful one.
    "#);
    let as_json = app.get_with("/api/v1/wake-up", &[("accept", "*/*")]).ok();
    assert_eq!(id(&as_json, "context"), answer.text());
}

#[test]
fn the_text_stays_within_the_tokens_asked_for() {
    let app = TestApp::start();
    write_handoffs(&app, 10);
    app.hand_off(json!({
        "session_id": "long", "experienced": "naïve \"quoted\" 漢字 🦀 ".repeat(1500), "remember": "mind the gap ".repeat(2000),
    }))
    .created();
    for max_tokens in [1, 30, 100, 500, 2_000, 20_000] {
        let wake_up = app
            .get(&format!("/api/v1/wake-up?max_tokens={max_tokens}"))
            .ok();
        let tokens = wake_up["estimated_tokens"].as_u64().unwrap();
        assert!(tokens <= max_tokens, "{tokens} of {max_tokens}");
        assert!(
            max_tokens < 100 || id(&wake_up, "context").contains("mind the gap"),
            "{max_tokens}"
        );
        assert!(array_bytes(&wake_up) <= 8 * 1024, "{max_tokens}");
    }
    let wake_up = app.get("/api/v1/wake-up").ok();
    assert!(wake_up["estimated_tokens"].as_u64().unwrap() <= 2_000);
    assert!(
        wake_up["estimated_tokens"].as_u64().unwrap() > 500,
        "the budget is there to be used"
    );
}

#[test]
fn three_hundred_handoffs_weigh_no_more_than_ten() {
    let (few, many) = (TestApp::start(), TestApp::start());
    write_handoffs(&few, 10);
    write_handoffs(&many, 300);
    for (app, count) in [(few, 10), (many, 300)] {
        for path in [
            "/api/v1/wake-up",
            "/api/v1/wake-up?recent_count=20",
            "/api/v1/wake-up?topic=gauge+7+drifts",
        ] {
            let wake_up = app.get(path).ok();
            assert_eq!(wake_up["first_session"], false);
            assert_eq!(wake_up["layers"]["metadata"]["handoffs"], count);
            assert_eq!(wake_up["layers"]["metadata"]["sessions"], count);
            assert!(
                array_bytes(&wake_up) <= 8 * 1024,
                "{path} {count}: {}",
                array_bytes(&wake_up)
            );
            assert!(wake_up.to_string().len() < 20_000, "{path} {count}");
            assert!(wake_up["estimated_tokens"].as_u64().unwrap() <= 2_000);
            assert!(wake_up["identity_thread"].as_array().unwrap().len() <= 10);
        }
    }
}

#[test]
fn the_newest_handoffs_come_first_and_whole() {
    let app = TestApp::start();
    write_handoffs(&app, 6);
    let wake_up = app.get("/api/v1/wake-up?recent_count=2").ok();
    assert_eq!(
        texts(&wake_up["layers"]["recent"], "session_id"),
        ["session 5", "session 4"]
    );
    assert_eq!(wake_up["last_handoff"]["session_id"], "session 5");
    assert_eq!(
        wake_up["layers"]["progressive"].as_array().unwrap().len(),
        4
    );
    assert_eq!(
        wake_up["layers"]["metadata"]["first_at"],
        "2026-02-01T00:00:00.000Z"
    );
    assert_eq!(
        wake_up["layers"]["metadata"]["last_at"],
        "2026-02-06T00:00:00.000Z"
    );
    let statements = texts(&wake_up["identity_thread"], "becoming");
    assert_eq!(
        statements.first().unwrap(),
        "Somebody who checks gauge 0 twice."
    );
    assert_eq!(statements.len(), 6);
}

#[test]
fn a_topic_brings_up_the_older_handoffs_that_are_about_it() {
    let app = TestApp::start();
    write_handoffs(&app, 12);
    app.hand_off(json!({
        "session_id": "old", "created_at": "2025-01-01T00:00:00Z", "learned": "The anemometer speaks Modbus on port 502.",
    }))
    .created();
    let wake_up = app.get("/api/v1/wake-up?topic=anemometer+modbus").ok();
    let progressive = texts(&wake_up["layers"]["progressive"], "text");
    assert!(progressive[0].contains("Modbus"), "{progressive:?}");
    assert!(id(&wake_up, "context").contains("Modbus"));
    // A topic is plain words, whatever it holds.
    for topic in ["%22", "NEAR(a,b)", "-", "*", "%00", "%F0%9F%A6%80", ""] {
        app.get(&format!("/api/v1/wake-up?topic={topic}")).ok();
    }
}

#[test]
fn layers_that_were_not_asked_for_are_absent() {
    let app = TestApp::start();
    write_handoffs(&app, 5);
    let wake_up = app.get("/api/v1/wake-up?layers=metadata,recent").ok();
    let layers: Vec<_> = wake_up["layers"].as_object().unwrap().keys().collect();
    assert_eq!(layers, ["metadata", "recent"]);
    let all = app.get("/api/v1/wake-up").ok();
    let layers: Vec<_> = all["layers"].as_object().unwrap().keys().collect();
    assert_eq!(layers, ["metadata", "reflection", "recent", "progressive"]);
}

#[test]
fn a_person_wakes_up_to_what_was_said_with_that_person() {
    let app = TestApp::start();
    app.hand_off(json!({"session_id": "a", "with_whom": "Ada", "remember": "Ada likes tea."}))
        .created();
    app.hand_off(json!({"session_id": "b", "with_whom": "Bo", "remember": "Bo likes coffee."}))
        .created();
    let wake_up = app.get("/api/v1/wake-up?with_whom=Ada").ok();
    assert_eq!(wake_up["last_handoff"]["with_whom"], "Ada");
    assert_eq!(wake_up["layers"]["metadata"]["handoffs"], 1);
    let context = id(&wake_up, "context");
    assert!(
        context.contains("tea") && !context.contains("coffee"),
        "{context}"
    );
    let stranger = app.get("/api/v1/wake-up?with_whom=Cy").ok();
    assert_eq!(
        (&stranger["first_session"], &stranger["last_handoff"]),
        (&json!(true), &Value::Null)
    );
}

#[test]
fn a_parameter_that_is_wrong_is_named() {
    let app = TestApp::start();
    for (query, field) in [
        ("max_tokens=0", "max_tokens"),
        ("max_tokens=-1", "max_tokens"),
        ("max_tokens=100001", "max_tokens"),
        ("max_tokens=99999999999999999999", "max_tokens"),
        ("max_tokens=many", "max_tokens"),
        ("recent_count=0", "recent_count"),
        ("recent_count=21", "recent_count"),
        ("layers=recent,dreams", "layers"),
        ("with_whom=%0A", "with_whom"),
        ("withwhom=Ada", "withwhom"),
        ("max_tokens=5&max_tokens=6", "max_tokens"),
    ] {
        app.get(&format!("/api/v1/wake-up?{query}"))
            .blames(422, field);
    }
}

#[test]
fn a_wake_up_is_of_this_tenant_alone() {
    let app = TestApp::start();
    app.hand_off(json!({"tenant_id": "other", "remember": "not yours", "tags": ["theirs"]}))
        .created();
    let wake_up = app.get("/api/v1/wake-up").ok();
    assert_eq!(wake_up["first_session"], true);
    assert!(!wake_up.to_string().contains("yours") && !wake_up.to_string().contains("theirs"));
}

/// What the server keeps of its answers must never show: after every kind of write, by whichever process, it answers what
/// a process that has just started reads.
#[test]
fn a_wake_up_is_never_older_than_the_last_write() {
    let app = TestApp::start();
    let fresh = || -> Value {
        let answer = process::command(app.file())
            .args(["--json", "wake-up"])
            .output()
            .unwrap();
        assert!(answer.status.success(), "{answer:?}");
        serde_json::from_slice(&answer.stdout).unwrap()
    };
    let mut last = app.get("/api/v1/wake-up").ok();
    let mut changed = |what: &str| {
        let now = app.get("/api/v1/wake-up").ok();
        assert_ne!(now, last, "{what} does not show");
        assert_eq!(now, fresh(), "{what}");
        last = now;
    };
    let by_command = |arguments: &[&str]| {
        let done = process::command(app.file()).args(arguments).output();
        assert!(
            done.as_ref().is_ok_and(|done| done.status.success()),
            "{done:?}"
        );
    };
    app.post("/api/v1/session/start", &json!({"session_id": "begun"}))
        .created();
    changed("a session");
    app.record(json!({"session_id": "told"})).created();
    changed("a session's first event");
    let handoff = id(
        &app.hand_off(json!({"session_id": "told", "remember": "The tide gauge."}))
            .created(),
        "handoff_id",
    );
    changed("a handoff");
    by_command(&["note", "Gauge 4 reads in feet."]);
    changed("a note by a command");
    let note = app
        .post(
            "/api/v1/knowledge",
            &json!({"content": "Gauge 5 reads in metres."}),
        )
        .created();
    changed("a note");
    let path = format!("/api/v1/knowledge/{}", id(&note, "note_id"));
    let json = [("content-type", "application/json")];
    app.send("PATCH", &path, &json, Some(b"{\"pinned\": true}"))
        .ok();
    changed("a pin");
    app.delete(&path).forgotten();
    changed("a forgotten note");
    let first = app
        .post("/api/v1/decisions", &json!({"decision": "We round down."}))
        .created();
    changed("a decision");
    let path = format!("/api/v1/decisions/{}/supersede", id(&first, "decision_id"));
    app.post(&path, &json!({"decision": "We round up."}))
        .created();
    changed("a successor");
    app.delete(&format!("/api/v1/handoffs/{handoff}"))
        .forgotten();
    changed("a forgotten handoff");
    by_command(&["forget", "--session", "told"]);
    changed("a forgotten session");
}
