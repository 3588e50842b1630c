//! Events: recording, reading, paging, artifacts, chunks.

use serde_json::json;

use crate::harness::{NOW, TestApp, event, id, made_id, settled, texts};

#[test]
fn a_recorded_event_is_read_back_as_it_was_sent() {
    let app = TestApp::start();
    let receipt = app
        .record(json!({
            "event_id": made_id("evt", 7), "project_id": "tidewatch", "ts": "2026-02-27T08:00:00.5+01:00", "channel": "team",
            "actor": {"type": "agent", "id": "planner"}, "kind": "decision", "sensitivity": "low", "tags": ["gauge", "port"],
            "content": {"zeta": "keys stay in order", "alpha": [1, 2.5, null, true]}, "refs": ["src/gauge.rs"],
        }))
        .created();
    insta::assert_snapshot!(settled(&receipt), @r#"
    {
      "event_id": "evt_…",
      "chunk_ids": [
        "chk_…"
      ]
    }
    "#);
    let read = app
        .get(&format!("/api/v1/events/{}", made_id("evt", 7)))
        .ok();
    insta::assert_snapshot!(settled(&read), @r#"
    {
      "event_id": "evt_…",
      "tenant_id": "default",
      "project_id": "tidewatch",
      "session_id": "s1",
      "ts": "2026-02-27T07:00:00.500Z",
      "channel": "team",
      "actor": {
        "type": "agent",
        "id": "planner"
      },
      "kind": "decision",
      "sensitivity": "low",
      "tags": [
        "gauge",
        "port"
      ],
      "content": {
        "zeta": "keys stay in order",
        "alpha": [
          1,
          2.5,
          null,
          true
        ]
      },
      "refs": [
        "src/gauge.rs"
      ]
    }
    "#);
}

#[test]
fn an_event_without_a_time_happened_now() {
    let app = TestApp::start();
    let event_id = app.say("hello");
    let read = app.get(&format!("/api/v1/events/{event_id}")).ok();
    assert_eq!(read["ts"], NOW);
    assert_eq!(read["sensitivity"], "none");
    assert_eq!(read["tags"], json!([]));
    assert_eq!(read.get("truncated"), None);
}

#[test]
fn code_and_markup_come_back_byte_for_byte() {
    let app = TestApp::start();
    for text in [
        "fn all() -> Vec<String> { vec![] }",
        "<script>alert(1)</script>",
        "a <b> & \"c\" 'd' \\ / \u{2028} \u{7f} \t\r\n",
        "'; drop table event; --",
        "漢字 🦀 e\u{301} \u{202e}",
        "<private",
    ] {
        let event_id = app.say(text);
        let read = app.get(&format!("/api/v1/events/{event_id}")).ok();
        assert_eq!(read["content"]["text"], text);
    }
}

#[test]
fn a_nul_is_stored_as_the_replacement_character() {
    let app = TestApp::start();
    let receipt = app
        .record(json!({"session_id": "s\u{0}1", "tags": ["t\u{0}"], "content": {"te\u{0}xt": "a\u{0}b"}}))
        .created();
    let read = app
        .get(&format!("/api/v1/events/{}", id(&receipt, "event_id")))
        .ok();
    assert_eq!(read["content"], json!({"te\u{fffd}xt": "a\u{fffd}b"}));
    assert_eq!(read["tags"], json!(["t\u{fffd}"]));
    assert_eq!(read["session_id"], "s\u{fffd}1");
}

#[test]
fn the_same_id_with_the_same_content_gets_the_same_answer() {
    let app = TestApp::start();
    let draft = json!({"event_id": made_id("evt", 1), "content": {"a": 1, "b": "two"}});
    let first = app.record(draft.clone()).created();
    app.advance_hours(100);
    assert_eq!(app.record(draft).created(), first);
    let other_order = format!(
        r#"{{"content": {{"b": "two",  "a": 1}}, "kind": "message", "actor": {{"id": "ada", "type": "human"}},
            "channel": "private", "session_id": "s1", "event_id": "{}"}}"#,
        made_id("evt", 1)
    );
    assert_eq!(
        app.post_bytes("/api/v1/events", other_order.as_bytes())
            .created(),
        first
    );
    assert_eq!(
        app.get("/api/v1/events").ok()["events"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        app.metric("agent_memory_events_total{kind=\"message\"}"),
        1.0
    );
}

#[test]
fn the_same_id_with_other_content_is_a_conflict_and_changes_nothing() {
    let app = TestApp::start();
    let event_id = made_id("evt", 1);
    app.record(json!({"event_id": event_id, "content": {"text": "first"}}))
        .created();
    for other in [
        json!({"event_id": event_id, "content": {"text": "second"}}),
        json!({"event_id": event_id, "content": {"text": "first"}, "session_id": "s2"}),
        json!({"event_id": event_id, "content": {"text": "first"}, "tags": ["t"]}),
    ] {
        app.record(other).problem(409);
    }
    let read = app.get(&format!("/api/v1/events/{event_id}")).ok();
    assert_eq!(read["content"]["text"], "first");
    assert_eq!(
        app.get("/api/v1/sessions").ok()["sessions"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn a_list_is_ordered_by_time_and_then_by_insertion() {
    let app = TestApp::start();
    for (text, ts) in [
        ("d", "2026-01-03T00:00:00Z"),
        ("b", "2026-01-02T00:00:00Z"),
        ("c", "2026-01-02T00:00:00Z"),
        ("a", "2026-01-01T00:00:00Z"),
    ] {
        app.record(json!({"content": {"text": text}, "ts": ts}))
            .created();
    }
    let order = |path: &str| -> String {
        let listed = app.get(path).ok();
        let events = listed["events"].as_array().unwrap();
        events
            .iter()
            .map(|event| id(&event["content"], "text"))
            .collect()
    };
    assert_eq!(order("/api/v1/events"), "abcd");
    assert_eq!(order("/api/v1/events?order=desc"), "dcba");
    assert_eq!(order("/api/v1/events?order=asc&limit=2"), "ab");
}

#[test]
fn paging_by_ones_shows_every_event_once_in_both_directions() {
    let app = TestApp::start();
    // All at the clock's time, but for two.
    let mut expected: Vec<_> = (0..7)
        .map(|index| app.say(&format!("event {index}")))
        .collect();
    for (place, ts) in [(0, "2026-02-01T00:00:00Z"), (8, "2026-04-01T00:00:00Z")] {
        let receipt = app.record(json!({"ts": ts})).created();
        expected.insert(place, id(&receipt, "event_id"));
    }
    for order in ["asc", "desc"] {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = app
                .get(&format!("/api/v1/events?limit=1&order={order}{cursor}"))
                .ok();
            seen.extend(texts(&page["events"], "event_id"));
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(seen, expected, "{order}");
        expected.reverse();
    }
}

#[test]
fn paging_goes_on_where_it_was_while_others_write() {
    let app = TestApp::start();
    for index in 0..4 {
        app.say(&format!("event {index}"));
    }
    let first = app.get("/api/v1/events?limit=2").ok();
    app.record(json!({"ts": "2026-01-01T00:00:00Z"})).created();
    let last = app.say("event 4");
    let cursor = id(&first, "next_cursor");
    let rest = app
        .get(&format!("/api/v1/events?limit=10&cursor={cursor}"))
        .ok();
    let rest = texts(&rest["events"], "event_id");
    assert_eq!(rest.len(), 3);
    assert_eq!(rest[2], last);
}

#[test]
fn a_list_is_narrowed_by_session_kind_and_time() {
    let app = TestApp::start();
    for (session, kind, ts) in [
        ("s1", "message", "2026-01-01T00:00:00Z"),
        ("s1", "tool_call", "2026-01-02T00:00:00Z"),
        ("s2", "message", "2026-01-03T00:00:00Z"),
        ("s 3/ü", "artifact", "2026-01-04T00:00:00Z"),
    ] {
        app.record(json!({"session_id": session, "kind": kind, "ts": ts}))
            .created();
    }
    for (query, count) in [
        ("session_id=s1", 2),
        ("session_id=s%203%2F%C3%BC", 1),
        ("session_id=nobody", 0),
        ("kind=message", 2),
        ("kind=task_update", 0),
        ("session_id=s1&kind=message", 1),
        ("since=2026-01-02T00:00:00Z", 3),
        ("until=2026-01-02T00:00:00Z", 1),
        ("since=2026-01-02T00:00:00Z&until=2026-01-04T00:00:00Z", 2),
        ("since=2026-01-02T01:00:00%2B01:00", 3),
        ("session_id=s1&since=2026-01-02T00:00:00Z", 1),
        ("tenant_id=nobody", 0),
    ] {
        let listed = app.get(&format!("/api/v1/events?{query}")).ok();
        assert_eq!(listed["events"].as_array().unwrap().len(), count, "{query}");
        assert_eq!(listed.get("next_cursor"), None, "{query}");
    }
}

#[test]
fn a_tool_result_of_ten_million_bytes_is_kept_whole_beside_its_event() {
    let app = TestApp::start();
    let line = "2026-03-01 tide gauge 3 reads 2.41 m — ok\n";
    let mut output = line.repeat(10_000_000 / line.len());
    output.push_str(&"x".repeat(10_000_000 - output.len()));
    let receipt = app
        .record(json!({"kind": "tool_result", "content": {"tool": "cat", "output": output}}))
        .created();
    let (event_id, artifact_id) = (id(&receipt, "event_id"), id(&receipt, "artifact_id"));
    let read = app.get(&format!("/api/v1/events/{event_id}")).ok();
    assert_eq!(read["truncated"], true);
    assert_eq!(read["artifact_id"], artifact_id);
    let kept = id(&read["content"], "output");
    assert!(kept.len() <= 65_536 && kept.len() > 65_000 && output.starts_with(&kept));
    let artifact = app.get(&format!("/api/v1/artifacts/{artifact_id}")).ok();
    assert_eq!(artifact["bytes"], 10_000_000);
    assert_eq!(artifact["event_id"], event_id);
    assert_eq!(artifact["kind"], "tool_output");
    assert_eq!(
        artifact["meta"],
        json!({"format": "text", "pointer": "/output"})
    );
    assert!(
        artifact["text"] == output,
        "the artifact is not the text that was sent"
    );
    assert!(app.metric("agent_memory_storage_bytes{type=\"text\"}") > 10_000_000.0);
}

#[test]
fn two_long_texts_are_kept_as_the_whole_content() {
    let app = TestApp::start();
    let content = json!({"a": "ä".repeat(40_000), "b": "ö".repeat(40_000), "n": 1});
    let receipt = app.record(json!({"content": content})).created();
    let artifact = app
        .get(&format!(
            "/api/v1/artifacts/{}",
            id(&receipt, "artifact_id")
        ))
        .ok();
    assert_eq!(artifact["kind"], "blob");
    assert_eq!(artifact["meta"], json!({"format": "json"}));
    let whole: serde_json::Value = serde_json::from_str(&id(&artifact, "text")).unwrap();
    assert!(
        whole == content,
        "the artifact is not the content that was sent"
    );
}

#[test]
fn a_text_larger_than_an_artifact_may_be_is_refused() {
    let app = TestApp::start_with(|config| config.max_artifact_bytes = 100_000);
    app.record(json!({"content": {"text": "x".repeat(100_000)}}))
        .created();
    app.record(json!({"content": {"text": "x".repeat(100_001)}}))
        .blames(422, "content");
}

#[test]
fn the_chunks_of_a_long_event_cover_its_text() {
    let app = TestApp::start();
    let text: String = (0..900).map(|index| format!("word{index} ")).collect();
    let receipt = app.record(json!({"content": {"text": text}})).created();
    let chunk_ids: Vec<_> = receipt["chunk_ids"].as_array().unwrap().iter().collect();
    assert!(chunk_ids.len() >= 4, "{receipt}");
    let mut covered = 0;
    for (ordinal, chunk_id) in chunk_ids.iter().enumerate() {
        let chunk = app
            .get(&format!("/api/v1/chunks/{}", chunk_id.as_str().unwrap()))
            .ok();
        assert_eq!(chunk["ordinal"], ordinal);
        assert_eq!(chunk["entity_id"], receipt["event_id"]);
        assert_eq!(
            (&chunk["type"], &chunk["field"]),
            (&json!("event"), &json!("content"))
        );
        let start = text.find(&id(&chunk, "text")).unwrap();
        assert!(start <= covered, "a gap before chunk {ordinal}");
        covered = start + id(&chunk, "text").len();
    }
    assert_eq!(covered, text.len());
}

#[test]
fn what_is_at_the_limit_is_taken_and_what_is_beyond_it_is_named() {
    let app = TestApp::start();
    let tags = |count: usize| {
        (0..count)
            .map(|index| format!("t{index}"))
            .collect::<Vec<_>>()
    };
    for (good, bad, field) in [
        (json!({"tags": tags(64)}), json!({"tags": tags(65)}), "tags"),
        (
            json!({"tags": ["ok", "x".repeat(128)]}),
            json!({"tags": ["ok", "x".repeat(129)]}),
            "tags[1]",
        ),
        (
            json!({"refs": tags(256)}),
            json!({"refs": tags(257)}),
            "refs",
        ),
        (
            json!({"refs": ["x".repeat(2048)]}),
            json!({"refs": ["x".repeat(2049)]}),
            "refs[0]",
        ),
        (
            json!({"session_id": "x".repeat(512)}),
            json!({"session_id": "x".repeat(513)}),
            "session_id",
        ),
        (
            json!({"project_id": "x".repeat(512)}),
            json!({"project_id": "x".repeat(513)}),
            "project_id",
        ),
        (
            json!({"actor": {"type": "tool", "id": "x".repeat(512)}}),
            json!({"actor": {"type": "tool", "id": "x".repeat(513)}}),
            "actor.id",
        ),
        (
            json!({"tenant_id": "x".repeat(128)}),
            json!({"tenant_id": "x".repeat(129)}),
            "tenant_id",
        ),
        (
            json!({"content": {"n": vec![1; 100_000]}}),
            json!({"content": {"n": vec![1; 200_000]}}),
            "content",
        ),
        (
            json!({"ts": "0001-01-01T00:00:00Z"}),
            json!({"ts": "yesterday"}),
            "ts",
        ),
    ] {
        app.record(good).created();
        app.record(bad).blames(422, field);
    }
}

#[test]
fn a_tag_named_twice_is_kept_once() {
    let app = TestApp::start();
    let receipt = app.record(json!({"tags": ["a", " a ", "b"]})).created();
    let read = app
        .get(&format!("/api/v1/events/{}", id(&receipt, "event_id")))
        .ok();
    assert_eq!(read["tags"], json!(["a", "b"]));
}

#[test]
fn an_unknown_id_is_not_found() {
    let app = TestApp::start();
    app.say("something");
    for path in [
        format!("/api/v1/events/{}", made_id("evt", 9)),
        format!("/api/v1/chunks/{}", made_id("chk", 9)),
        format!("/api/v1/artifacts/{}", made_id("art", 9)),
    ] {
        assert_eq!(app.get(&path).problem(404)["code"], "not_found");
    }
    app.delete(&format!("/api/v1/events/{}", made_id("evt", 9)))
        .problem(404);
}

#[test]
fn sensitive_events_stay_out_of_public_and_agent_lists_and_secret_ones_out_of_all() {
    let app = TestApp::start();
    let ids = ["none", "low", "high", "secret"].map(|level| {
        let receipt = app
            .record(json!({"sensitivity": level, "content": {"text": "quay"}}))
            .created();
        id(&receipt, "event_id")
    });
    for (channel, count) in [("public", 2), ("agent", 2), ("private", 3), ("team", 3)] {
        let listed = app.get(&format!("/api/v1/events?channel={channel}")).ok();
        assert_eq!(
            texts(&listed["events"], "event_id"),
            ids[..count],
            "{channel}"
        );
        let found = app.recall_with(json!({"query": "quay", "channel": channel}));
        assert_eq!(found.len(), count, "{channel}");
    }
    assert_eq!(
        app.get("/api/v1/events").ok()["events"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
    assert_eq!(app.recall("quay").len(), 3);
}

#[test]
fn a_secret_event_is_read_by_its_id_alone_and_not_where_others_listen() {
    let app = TestApp::start();
    let long = "quay ".repeat(20_000);
    let receipt = app
        .record(json!({"sensitivity": "secret", "content": {"text": long}}))
        .created();
    let paths = [
        format!("/api/v1/events/{}", id(&receipt, "event_id")),
        format!("/api/v1/artifacts/{}", id(&receipt, "artifact_id")),
        format!(
            "/api/v1/chunks/{}",
            receipt["chunk_ids"][0].as_str().unwrap()
        ),
        format!(
            "/api/v1/chunks/{}",
            receipt["chunk_ids"][1].as_str().unwrap()
        ),
    ];
    for path in &paths {
        app.get(path).ok();
        for channel in ["public", "agent", "team"] {
            app.get(&format!("{path}?channel={channel}")).problem(404);
        }
    }
}

#[test]
fn everything_is_there_after_a_restart() {
    let app = TestApp::start();
    let receipt = app
        .record(json!({"content": {"text": "anemometer"}}))
        .created();
    let path = format!("/api/v1/events/{}", id(&receipt, "event_id"));
    let before = app.get(&path).ok();
    app.recall("nothing of the kind");
    let app = app.restarted();
    assert_eq!(app.get(&path).ok(), before);
    assert_eq!(app.recall("anemometer"), [id(&receipt, "event_id")]);
    let scrape = app.scrape();
    assert_eq!(
        scrape.value("agent_memory_events_total{kind=\"message\"}"),
        1.0
    );
    assert_eq!(scrape.value("agent_memory_events{kind=\"message\"}"), 1.0);
    assert_eq!(scrape.value("agent_memory_sessions"), 1.0);
    assert!(scrape.value("agent_memory_recalls_empty_total") >= 1.0);
}

#[test]
fn a_body_needs_no_content_type_to_be_json() {
    let app = TestApp::start();
    // No content type is JSON, as the older clients send it.
    let draft = event(&json!({})).to_string();
    app.send("POST", "/api/v1/events", &[], Some(draft.as_bytes()))
        .created();
    let typed = [("content-type", "Application/JSON; charset=utf-8")];
    app.send("POST", "/api/v1/events", &typed, Some(draft.as_bytes()))
        .created();
}

#[test]
fn a_page_of_long_events_ends_early_and_goes_on() {
    let app = TestApp::start();
    let mut sent = Vec::new();
    for _ in 0..8 {
        let batch: Vec<_> = (0..20)
            .map(|_| event(&json!({"content": {"text": "·".repeat(32_000)}})))
            .collect();
        let answer = app.post("/api/v1/events/batch", &json!(batch)).itemised();
        sent.extend(texts(&answer["results"], "event_id"));
    }
    let (mut seen, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = app.get(&format!("/api/v1/events?limit=1000{cursor}"));
        assert!(page.body.len() < 9 * 1024 * 1024);
        let page = page.ok();
        seen.extend(texts(&page["events"], "event_id"));
        pages += 1;
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, sent);
    assert_eq!(pages, 2);
}

#[test]
fn writers_of_the_same_id_at_the_same_time_store_one_event() {
    let app = TestApp::start();
    let draft = json!({"event_id": made_id("evt", 1)});
    let answers: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| app.record(draft.clone()).created()))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(
        app.metric("agent_memory_events_total{kind=\"message\"}"),
        1.0
    );
}
