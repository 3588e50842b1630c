//! Recall: whatever the question, the answer is a list, and a good one where the words are there.

use serde_json::json;

use crate::harness::{TestApp, encoded, id, settled, texts};

#[test]
fn a_hit_says_what_it_is_and_why_it_was_found() {
    let app = TestApp::start();
    app.record(json!({"content": {"text": "The tide gauge listens on port 502."}, "refs": ["docs/gauge.md"]})).created();
    app.say("Lunch was late.");
    let found = app
        .post(
            "/api/v1/recall",
            &json!({"query": "Which port does the tide gauge use?"}),
        )
        .ok();
    let hit = &found["hits"][0];
    assert!(hit["score"].as_f64().unwrap() > 0.0);
    assert!(
        hit["why"]["matched"]
            .as_array()
            .unwrap()
            .iter()
            .any(|term| term["term"] == "port"),
        "{hit}"
    );
    let mut known = hit.clone();
    for member in ["score", "why"] {
        known[member] = json!("…");
    }
    insta::assert_snapshot!(settled(&known), @r#"
    {
      "id": "evt_…",
      "type": "event",
      "text": "The tide gauge listens on port 502.",
      "score": "…",
      "ts": "2026-03-01T09:30:00.000Z",
      "refs": [
        "docs/gauge.md"
      ],
      "why": "…"
    }
    "#);
}

#[test]
fn a_search_by_get_finds_the_same() {
    let app = TestApp::start();
    for index in 0..5 {
        app.say(&format!("gauge {index} at the quay"));
    }
    app.hand_off(json!({"learned": "The quay is wet."}))
        .created();
    let by_post = app
        .post(
            "/api/v1/recall",
            &json!({"query": "quay gauge", "limit": 3, "types": ["event"]}),
        )
        .ok();
    let by_get = app
        .get("/api/v1/search?q=quay+gauge&limit=3&types=event")
        .ok();
    assert_eq!(by_get, by_post);
    assert_eq!(by_get["hits"].as_array().unwrap().len(), 3);
    let handoffs = app.get("/api/v1/search?q=quay&types=handoff").ok();
    assert!(id(&handoffs["hits"][0], "id").starts_with("sh_"));
    let both = app
        .get("/api/v1/search?q=quay&types=handoff,event&limit=100")
        .ok();
    assert_eq!(both["hits"].as_array().unwrap().len(), 6);
    app.get("/api/v1/search").blames(422, "q");
}

#[test]
fn words_are_found_in_their_other_forms_and_names_whole_and_in_parts() {
    let app = TestApp::start();
    let wanted = [
        "The deploys were failing again.",
        "parseTideGaugeReading panicked in src/gauge/reader.rs:42",
        "潮位計のポートは502です",
        "Straße nach Łódź, naïve café",
        "error E0277 from release-2026.03",
    ]
    .map(|text| app.say(text));
    for (query, index) in [
        ("deployment failed", 0),
        ("deploy", 0),
        ("parseTideGaugeReading", 1),
        ("reader.rs", 1),
        ("src/gauge/reader.rs", 1),
        ("潮位計", 2),
        ("naive cafe", 3),
        ("E0277", 4),
        ("release-2026.03", 4),
    ] {
        assert_eq!(app.recall(query).first(), Some(&wanted[index]), "{query}");
    }
}

#[test]
fn no_question_is_an_error() {
    let app = TestApp::start();
    app.say("the tide gauge at the quay");
    let marks = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";
    let long = "tide gauge ".repeat(9_500);
    let mut queries = vec![
        String::new(),
        " \n\t".to_owned(),
        "the and of to a".to_owned(),
        marks.to_owned(),
        long,
    ];
    for query in [
        "NEAR(tide gauge, 5)",
        "tide AND",
        "OR",
        "NOT tide",
        "\"tide",
        "\"",
        "tide*",
        "^tide",
        "terms:tide",
        "{terms} : tide",
        "tide + gauge",
        "(tide",
        "-tide",
        "tide; drop table event",
        "'",
        "%",
        "\\",
        "\0",
        "a\0b",
        "\u{feff}",
        "\u{202e}",
        "潮",
        "潮位計のポートは",
        "수위계",
        "🦀",
        "👩‍👩‍👧‍👦 🇫🇷",
        "e\u{301}\u{301}\u{301}",
        "../../etc/passwd",
        "C:\\Windows",
        "3.14.15",
        "a.b.c.d.e.f.g.h",
        "--------",
        "______",
        "term_index",
        "rank",
        "<script>",
        "Vec<String>",
    ] {
        queries.push(query.to_owned());
    }
    queries.push("🦀".repeat(25_000));
    queries.push("漢字".repeat(17_000));
    queries.push("x".repeat(100_000));
    queries.push("a.".repeat(50_000));
    queries.push((0..20_000).map(|number| format!("w{number} ")).collect());
    for query in &queries {
        let found = app.post("/api/v1/recall", &json!({"query": query})).ok();
        assert!(found["hits"].is_array());
    }
    // Those that fit into an address.
    for query in queries.iter().filter(|query| query.len() < 5_000) {
        app.get(&format!("/api/v1/search?q={}", encoded(query)))
            .ok();
    }
}

#[test]
fn a_question_of_nothing_but_marks_and_small_words_finds_nothing() {
    let app = TestApp::start();
    app.say("the tide gauge at the quay");
    for query in ["", "  ", "...", "?!", "\"\"", "\0"] {
        assert_eq!(app.recall(query), [""; 0], "{query:?}");
    }
}

#[test]
fn a_long_question_still_finds() {
    let app = TestApp::start();
    let wanted = app.say("the tide gauge at the quay");
    assert_eq!(app.recall(&"tide gauge ".repeat(9_500)), [wanted]);
}

#[test]
fn a_question_beyond_the_limit_is_refused_rather_than_cut() {
    let app = TestApp::start();
    app.post("/api/v1/recall", &json!({"query": "x".repeat(256 * 1024)}))
        .ok();
    app.post(
        "/api/v1/recall",
        &json!({"query": "x".repeat(256 * 1024 + 1)}),
    )
    .blames(422, "query");
}

#[test]
fn filters_narrow_what_is_found() {
    let app = TestApp::start();
    for (session, project, tags, ts) in [
        (
            "s1",
            json!("p"),
            json!(["red", "round"]),
            "2026-01-01T00:00:00Z",
        ),
        ("s2", json!("q"), json!(["red"]), "2026-01-02T00:00:00Z"),
        ("s3", json!(null), json!([]), "2026-01-03T00:00:00Z"),
    ] {
        let over = json!({"session_id": session, "project_id": project, "tags": tags, "ts": ts, "content": {"text": format!("buoy of {session}")}});
        app.record(over).created();
    }
    for (filter, count) in [
        (json!({}), 3),
        (json!({"session_id": "s2"}), 1),
        (json!({"session_id": "nobody"}), 0),
        (json!({"project_id": "p"}), 2),
        (json!({"tags": ["red"]}), 2),
        (json!({"tags": ["red", "round"]}), 1),
        (json!({"tags": ["blue"]}), 0),
        (json!({"since": "2026-01-02T00:00:00Z"}), 2),
        (json!({"until": "2026-01-02T00:00:00Z"}), 1),
        (json!({"limit": 2}), 2),
        (json!({"types": ["handoff"]}), 0),
        (json!({"types": []}), 3),
        (json!({"min_score": 1}), 0),
        (json!({"max_tokens": 5}), 1),
        (json!({"tenant_id": "nobody"}), 0),
    ] {
        let mut query = filter.clone();
        query["query"] = json!("buoy");
        assert_eq!(app.recall_with(query).len(), count, "{filter}");
    }
}

#[test]
fn a_filter_that_is_wrong_is_named() {
    let app = TestApp::start();
    for (field, value) in [
        ("limit", json!(0)),
        ("limit", json!(-1)),
        ("limit", json!(101)),
        ("limit", json!(1u64 << 40)),
        ("limit", json!(u64::MAX)),
        ("limit", json!("ten")),
        ("limit", json!(1.5)),
        ("min_score", json!(-1)),
        ("min_score", json!(1.1)),
        ("asked_at", json!("yesterday")),
        ("max_tokens", json!(0)),
        ("types[0]", json!("dream")),
        ("types", json!("event")),
        ("channel", json!("secret")),
        ("since", json!("yesterday")),
        ("session_id", json!("")),
        ("query", json!(5)),
        ("querry", json!("x")),
    ] {
        let mut body = json!({"query": "x"});
        let member = field.trim_end_matches("[0]");
        body[member] = if field.ends_with(']') {
            json!([value])
        } else {
            value
        };
        app.post("/api/v1/recall", &body).blames(422, field);
    }
    let backwards =
        json!({"query": "x", "since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"});
    app.post("/api/v1/recall", &backwards).blames(422, "until");
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=1e3", "limit"),
        ("min_score=NaN", "min_score"),
        ("min_score=inf", "min_score"),
    ] {
        app.get(&format!("/api/v1/search?q=x&{query}"))
            .blames(422, field);
    }
}

#[test]
fn a_long_event_is_one_hit() {
    let app = TestApp::start();
    let text = "The windlass jams when it is cold. ".repeat(200);
    let event_id = app.say(&text);
    assert_eq!(app.recall("windlass"), [event_id]);
}

#[test]
fn the_same_question_gets_the_same_answer() {
    let app = TestApp::start();
    let ids: Vec<_> = (0..12)
        .map(|index| {
            let over = json!({"session_id": format!("s{index}"), "content": {"text": format!("mooring number {index}")}});
            id(&app.record(over).created(), "event_id")
        })
        .collect();
    let first = app
        .post("/api/v1/recall", &json!({"query": "mooring"}))
        .ok();
    for _ in 0..3 {
        assert_eq!(
            app.post("/api/v1/recall", &json!({"query": "mooring"}))
                .ok(),
            first
        );
    }
    // Of equals, the newest come first.
    let newest: Vec<_> = ids.iter().rev().take(10).cloned().collect();
    assert_eq!(texts(&first["hits"], "id"), newest);
}

#[test]
fn searches_are_counted_and_empty_ones_too() {
    let app = TestApp::start();
    app.say("mooring");
    for query in ["mooring", "nothing of the kind", ""] {
        app.recall(query);
    }
    // They are written with the next write at the latest.
    app.say("another");
    let scrape = app.scrape();
    assert_eq!(scrape.value("agent_memory_recalls_total"), 3.0);
    assert_eq!(scrape.value("agent_memory_recalls_empty_total"), 2.0);
}
