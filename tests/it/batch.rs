//! Batches: many events in one transaction, with an answer for each.

use serde_json::{Value, json};

use crate::harness::{TestApp, event, id, made_id, settled, texts};

const BATCH: &str = "/api/v1/events/batch";

#[test]
fn a_batch_answers_for_each_item_in_its_place() {
    let app = TestApp::start();
    app.record(json!({"event_id": made_id("evt", 1), "content": {"text": "taken"}}))
        .created();
    let items = json!([
        event(&json!({"event_id": made_id("evt", 2)})),
        event(&json!({"kind": "dream"})),
        {"session_id": "s"},
        event(&json!({"event_id": made_id("evt", 1), "content": {"text": "other"}})),
        event(&json!({"event_id": made_id("evt", 1), "content": {"text": "taken"}})),
        event(&json!({"event_id": "evt_1"})),
        "no event at all",
        event(&json!({"event_id": made_id("evt", 3)})),
    ]);
    let answer = app.post(BATCH, &items).itemised();
    insta::assert_snapshot!(settled(&answer), @r#"
    {
      "stored": 3,
      "failed": 5,
      "results": [
        {
          "index": 0,
          "status": 201,
          "event_id": "evt_…",
          "chunk_ids": [
            "chk_…"
          ]
        },
        {
          "index": 1,
          "status": 422,
          "error": "kind: is not one of message tool_call tool_result decision task_update artifact",
          "field": "kind"
        },
        {
          "index": 2,
          "status": 422,
          "error": "body: missing field `channel`",
          "field": "body"
        },
        {
          "index": 3,
          "status": 409,
          "error": "another event has this id"
        },
        {
          "index": 4,
          "status": 201,
          "event_id": "evt_…",
          "chunk_ids": [
            "chk_…"
          ]
        },
        {
          "index": 5,
          "status": 422,
          "error": "event_id: is not an id of the form evt_<32 lower-case hex digits>",
          "field": "event_id"
        },
        {
          "index": 6,
          "status": 422,
          "error": "body: is not a JSON object",
          "field": "body"
        },
        {
          "index": 7,
          "status": 201,
          "event_id": "evt_…",
          "chunk_ids": [
            "chk_…"
          ]
        }
      ]
    }
    "#);
    let listed = app.get("/api/v1/events").ok();
    let stored = [1, 2, 3].map(|number| made_id("evt", number));
    assert_eq!(texts(&listed["events"], "event_id"), stored);
}

#[test]
fn lines_of_json_are_a_batch() {
    let app = TestApp::start();
    let lines = format!(
        "{}\n\n  {}  \r\nnot json\n{}",
        event(&json!({"content": {"text": "one"}})),
        event(&json!({"content": {"text": "two"}})),
        event(&json!({"content": {"text": "three"}})),
    );
    for kind in [
        "application/x-ndjson",
        "application/ndjson",
        "application/jsonl",
    ] {
        let answer = app
            .send(
                "POST",
                BATCH,
                &[("content-type", kind)],
                Some(lines.as_bytes()),
            )
            .itemised();
        let statuses: Vec<_> = answer["results"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["status"].as_u64().unwrap())
            .collect();
        assert_eq!(statuses, [201, 201, 422, 201], "{kind}");
        assert_eq!(
            (&answer["stored"], &answer["failed"]),
            (&json!(3), &json!(1))
        );
    }
}

#[test]
fn an_empty_batch_stores_nothing() {
    let app = TestApp::start();
    for (kind, body) in [
        ("application/json", "[]"),
        ("application/x-ndjson", "\n\n"),
        ("application/x-ndjson", ""),
    ] {
        let answer = app
            .send(
                "POST",
                BATCH,
                &[("content-type", kind)],
                Some(body.as_bytes()),
            )
            .itemised();
        assert_eq!(
            answer,
            json!({"stored": 0, "failed": 0, "results": []}),
            "{kind} {body:?}"
        );
    }
}

#[test]
fn a_thousand_events_are_a_batch_and_one_more_is_too_many() {
    let app = TestApp::start();
    let items = |count: usize| Value::from_iter((0..count).map(|_| event(&json!({}))));
    let answer = app.post(BATCH, &items(1000)).itemised();
    assert_eq!(answer["stored"], 1000);
    app.post(BATCH, &items(1001)).blames(422, "body");
    let lines: String = (0..1001)
        .map(|_| format!("{}\n", event(&json!({}))))
        .collect();
    let typed = [("content-type", "application/x-ndjson")];
    app.send("POST", BATCH, &typed, Some(lines.as_bytes()))
        .blames(422, "body");
    assert_eq!(app.metric("agent_memory_events{kind=\"message\"}"), 1000.0);
    let page = app.get("/api/v1/events?limit=1000").ok();
    assert_eq!(page["events"].as_array().unwrap().len(), 1000);
    assert_eq!(page.get("next_cursor"), None);
    assert_eq!(
        app.get("/api/v1/events").ok()["events"]
            .as_array()
            .unwrap()
            .len(),
        50
    );
}

#[test]
fn what_is_no_batch_is_refused_whole() {
    let app = TestApp::start();
    for body in ["{}", "[", "[1,", "null", "\"text\"", "[] []", "\u{feff}[]"] {
        app.post_bytes(BATCH, body.as_bytes()).problem(400);
    }
    app.post_bytes(BATCH, b"[\"\xff\"]").problem(400);
}

#[test]
fn a_batch_with_one_unreadable_item_stores_the_others() {
    let app = TestApp::start();
    let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
    let bad = event(&json!({})).to_string().replace("\"hello\"", &deep);
    let lone = event(&json!({})).to_string().replace("hello", "\\ud800");
    let body = format!("[{bad},{},{lone}]", event(&json!({})));
    let answer = app.post_bytes(BATCH, body.as_bytes()).itemised();
    assert_eq!(
        (&answer["stored"], &answer["failed"]),
        (&json!(1), &json!(2))
    );
}

#[test]
fn a_batch_speaks_for_one_tenant() {
    let app = TestApp::start();
    let items = json!([
        event(&json!({"tenant_id": "a"})),
        event(&json!({"tenant_id": "b"})),
        event(&json!({}))
    ]);
    let answer = app.post(BATCH, &items).itemised();
    let statuses: Vec<_> = answer["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["status"].clone())
        .collect();
    assert_eq!(statuses, [201, 422, 201]);
    assert_eq!(answer["results"][1]["field"], "tenant_id");
    assert_eq!(
        app.get("/api/v1/events?tenant_id=a").ok()["events"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    let header = [("x-tenant-id", "c")];
    let answer = app.post_with(BATCH, &header, &items).itemised();
    let statuses: Vec<_> = answer["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["status"].clone())
        .collect();
    assert_eq!(statuses, [422, 422, 201]);
}

#[test]
fn a_repeated_batch_stores_nothing_twice() {
    let app = TestApp::start();
    let items =
        Value::from_iter((0..20).map(|number| event(&json!({"event_id": made_id("evt", number)}))));
    let first = app.post(BATCH, &items).itemised();
    assert_eq!(app.post(BATCH, &items).itemised(), first);
    assert_eq!(
        app.metric("agent_memory_events_total{kind=\"message\"}"),
        20.0
    );
}

#[test]
fn items_of_a_batch_keep_their_order() {
    let app = TestApp::start();
    let items = Value::from_iter((0..50).map(|number| event(&json!({"content": {"n": number}}))));
    let answer = app.post(BATCH, &items).itemised();
    let sent = texts(&answer["results"], "event_id");
    assert_eq!(
        texts(&app.get("/api/v1/events").ok()["events"], "event_id"),
        sent
    );
    assert_eq!(id(&answer["results"][49], "event_id"), sent[49]);
}
