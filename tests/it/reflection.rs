//! Reflections and principles: brought in by an import, listed, read, found, shown in a wake-up, forgotten.

use serde_json::{Value, json};

use crate::export::cli;
use crate::harness::{TestApp, encoded, id, made_id, settled, texts};
use crate::import::{import, principle, reflection, sealed, whole};
use crate::process::wait_for;

/// A word that nothing else in the product holds.
const WORD: &str = "xylographer";

#[track_caller]
fn bring(app: &TestApp, rows: &[Value]) {
    let report = import(app, "", &sealed(rows)).ok();
    assert_eq!(report["conflict_count"], 0, "{report}");
}

/// Brings rows into another tenant.
#[track_caller]
fn bring_to(app: &TestApp, tenant: &str, rows: &[Value]) {
    import(app, &format!("?tenant_id={tenant}"), &sealed(rows)).ok();
}

#[test]
fn they_read_as_they_were_written() {
    let app = TestApp::start();
    let over = json!({"insights": ["They drift."], "themes": ["tides"], "sensitivity": "low"});
    bring(&app, &[reflection(1, &over), principle(1, &json!({}))]);
    let path = format!("/api/v1/reflections/{}", made_id("refl", 1));
    insta::assert_snapshot!(settled(&app.get(&path).ok()), @r#"
    {
      "reflection_id": "refl_…",
      "tenant_id": "default",
      "period_start": "2026-02-01T00:00:00.000Z",
      "period_end": "2026-02-02T00:00:00.000Z",
      "session_count": 2,
      "summary": "On day 1 the gauges were set up.",
      "insights": [
        "They drift."
      ],
      "themes": [
        "tides"
      ],
      "sensitivity": "low",
      "created_at": "2026-03-01T09:30:00.000Z"
    }
    "#);
    let path = format!("/api/v1/principles/{}", made_id("prin", 1));
    insta::assert_snapshot!(settled(&app.get(&path).ok()), @r#"
    {
      "principle_id": "prin_…",
      "tenant_id": "default",
      "text": "Principle 1: measure first.",
      "source_handoffs": [
        "sh_…"
      ],
      "count": 3,
      "sensitivity": "none",
      "created_at": "2026-02-01T00:00:00.000Z",
      "updated_at": "2026-02-01T00:00:00.000Z"
    }
    "#);
    // They are concluded, not told: nobody writes them here.
    for list in ["reflections", "principles"] {
        let path = format!("/api/v1/{list}");
        app.post(&path, &json!({})).problem(405);
        app.send("PATCH", &format!("{path}/x"), &[], Some(b"{}"))
            .problem(405);
    }
}

#[test]
fn lists_go_by_time_and_in_pages() {
    let app = TestApp::start();
    let days = [5, 1, 4, 2, 3];
    let rows: Vec<Value> = days
        .iter()
        .flat_map(|day| [reflection(*day, &json!({})), principle(*day, &json!({}))])
        .collect();
    bring(&app, &rows);
    for (list, key, prefix) in [
        ("reflections", "reflection_id", "refl"),
        ("principles", "principle_id", "prin"),
    ] {
        let path = format!("/api/v1/{list}");
        let ids = |days: &[u32]| -> Vec<String> {
            days.iter().map(|day| made_id(prefix, *day)).collect()
        };
        assert_eq!(
            texts(&app.get(&path).ok()[list], key),
            ids(&[1, 2, 3, 4, 5])
        );
        let newest = app.get(&format!("{path}?order=desc&limit=2")).ok();
        assert_eq!(texts(&newest[list], key), ids(&[5, 4]));
        let cursor = id(&newest, "next_cursor");
        let next = app
            .get(&format!("{path}?order=desc&limit=3&cursor={cursor}"))
            .ok();
        assert_eq!(texts(&next[list], key), ids(&[3, 2, 1]));
        assert_eq!(next.get("next_cursor"), None);
        // A cursor is of its list alone.
        for other in ["events", "reflections", "principles"] {
            if other != list {
                app.get(&format!("/api/v1/{other}?cursor={cursor}"))
                    .blames(422, "cursor");
            }
        }
        assert_eq!(
            app.get(&format!("{path}?tenant_id=nobody")).ok(),
            json!({list: []})
        );
    }
}

#[test]
fn what_is_asked_wrongly_is_named() {
    let app = TestApp::start();
    for (list, prefix) in [("reflections", "refl"), ("principles", "prin")] {
        let path = format!("/api/v1/{list}");
        for (query, field) in [
            ("limit=0", "limit"),
            ("limit=1001", "limit"),
            ("limit=-1", "limit"),
            ("limit=few", "limit"),
            ("order=up", "order"),
            ("cursor=", "cursor"),
            ("cursor=AAAA", "cursor"),
            ("cursor=%F0%9F%A6%80", "cursor"),
            ("project_id=p", "project_id"),
            ("colour=red", "colour"),
            ("channel=loud", "channel"),
            ("tenant_id=a%20b", "tenant_id"),
        ] {
            app.get(&format!("{path}?{query}")).blames(422, field);
        }
        let hex = "0123456789abcdef0123456789abcdef";
        for bad in [
            "1".to_owned(),
            hex.to_owned(),
            format!("kn_{hex}"),
            format!("{prefix}_{}", hex.to_uppercase()),
            format!("{prefix}_{hex}0"),
            format!("{prefix}_"),
            "🦀".to_owned(),
        ] {
            let path = format!("{path}/{}", encoded(&bad));
            app.get(&path).blames(422, "id");
            app.delete(&path).blames(422, "id");
        }
        let unknown = format!("{path}/{}", made_id(prefix, 1));
        app.get(&unknown).problem(404);
        app.delete(&unknown).problem(404);
        app.get(&format!("{unknown}?limit=1")).blames(422, "limit");
        app.delete(&format!("{unknown}?force=1"))
            .blames(422, "force");
    }
}

#[test]
fn another_tenants_are_not_there() {
    let app = TestApp::start();
    let rows = [
        reflection(1, &json!({"summary": WORD})),
        principle(1, &json!({"text": WORD})),
    ];
    bring_to(&app, "theirs", &rows);
    for (list, prefix) in [("reflections", "refl"), ("principles", "prin")] {
        let path = format!("/api/v1/{list}/{}", made_id(prefix, 1));
        app.get(&path).problem(404);
        app.delete(&path).problem(404);
        let listed = app.get(&format!("/api/v1/{list}")).ok();
        assert_eq!(listed, json!({list: []}));
        app.get(&format!("{path}?tenant_id=theirs")).ok();
    }
    assert_eq!(app.recall(WORD), [""; 0]);
    assert!(!app.get("/api/v1/wake-up").ok().to_string().contains(WORD));
}

#[test]
fn each_is_shown_to_those_who_may_see_what_it_was_drawn_from() {
    let app = TestApp::start();
    let mut rows = Vec::new();
    for (day, sensitivity) in (1..).zip(["none", "low", "high", "secret"]) {
        let text = format!("{WORD} {sensitivity}");
        rows.push(reflection(
            day,
            &json!({"summary": text, "sensitivity": sensitivity}),
        ));
        rows.push(principle(
            day,
            &json!({"text": text, "sensitivity": sensitivity}),
        ));
    }
    bring(&app, &rows);
    for (channel, seen, by_id) in [
        ("public", 2, 2),
        ("agent", 2, 2),
        ("team", 3, 3),
        ("private", 3, 4),
    ] {
        let shown = |text: &str| -> Vec<u32> {
            let words = ["none", "low", "high", "secret"];
            let days = (1..).zip(words);
            days.filter(|(_, word)| text.contains(&format!("{WORD} {word}")))
                .map(|(day, _)| day)
                .collect()
        };
        let all: Vec<u32> = (1..=seen).collect();
        for path in [
            format!("/api/v1/reflections?channel={channel}"),
            format!("/api/v1/principles?channel={channel}"),
            format!("/api/v1/search?q={WORD}&types=reflection&channel={channel}"),
            format!("/api/v1/search?q={WORD}&types=principle&channel={channel}"),
            format!("/api/v1/wake-up?channel={channel}"),
            format!("/api/v1/export/all?channel={channel}"),
        ] {
            assert_eq!(shown(&app.get(&path).text()), all, "{path}");
        }
        let bundle = json!({"query_text": WORD, "channel": channel});
        assert_eq!(shown(&app.post("/api/v1/context", &bundle).text()), all);
        for (list, prefix) in [("reflections", "refl"), ("principles", "prin")] {
            for day in 1..=4 {
                let path = format!("/api/v1/{list}/{}?channel={channel}", made_id(prefix, day));
                let answer = app.get(&path);
                if day <= by_id {
                    answer.ok();
                } else {
                    answer.problem(404);
                }
            }
        }
    }
    // The context of a wake-up shows one reflection: the newest that may be seen.
    let context = |channel: &str| {
        let path = format!("/api/v1/wake-up?channel={channel}");
        id(&app.get(&path).ok(), "context")
    };
    assert!(context("public").contains(&format!("2 sessions: {WORD} low")));
    assert!(context("private").contains(&format!("2 sessions: {WORD} high")));
}

#[test]
fn recall_finds_them_by_words_themes_types_and_time() {
    let app = TestApp::start();
    let over = json!({"insights": ["the anemometer drifts"], "themes": ["harbour works", "tür"]});
    bring(
        &app,
        &[
            reflection(7, &over),
            principle(9, &json!({"text": "check the anemometer twice"})),
        ],
    );
    let note = app
        .post("/api/v1/knowledge", &json!({"content": "an anemometer"}))
        .created();
    let (first, second) = (made_id("refl", 7), made_id("prin", 9));
    let mut all = app.recall("anemometer");
    all.sort();
    let mut expected = [id(&note, "note_id"), first.clone(), second.clone()];
    expected.sort();
    assert_eq!(all, expected);
    for (over, expected) in [
        (json!({"types": ["reflection"]}), vec![&first]),
        (json!({"types": ["principle"]}), vec![&second]),
        (json!({"types": ["event", "handoff"]}), vec![]),
        (json!({"tags": ["harbour works"]}), vec![&first]),
        (json!({"until": "2026-02-08T00:00:00Z"}), vec![&first]),
        (
            json!({"since": "2026-02-08T00:00:00Z", "until": "2026-02-20T00:00:00Z"}),
            vec![&second],
        ),
        // They are of no project, and of no session.
        (
            json!({"project_id": "p", "types": ["principle"]}),
            vec![&second],
        ),
        (json!({"session_id": "s1"}), vec![]),
    ] {
        let mut query = json!({"query": "anemometer"});
        for (key, value) in over.as_object().unwrap() {
            query[key] = value.clone();
        }
        assert_eq!(
            app.recall_with(query).iter().collect::<Vec<_>>(),
            expected,
            "{over}"
        );
    }
    // By the month of its period, as a person would ask.
    assert_eq!(app.recall("drifts in February 2026")[0], first);
    let hits = app
        .post("/api/v1/recall", &json!({"query": "anemometer twice"}))
        .ok();
    assert_eq!(hits["hits"][0]["type"], "principle");
    assert_eq!(hits["hits"][0]["refs"], json!([made_id("sh", 1)]));
    // A bundle says what they are and where they come from.
    let bundle = app
        .post("/api/v1/context", &json!({"query_text": "anemometer"}))
        .ok();
    let part = bundle["sections"]
        .as_array()
        .unwrap()
        .iter()
        .find(|section| section["name"] == "knowledge")
        .unwrap();
    let mut types = texts(&part["items"], "type");
    types.sort();
    assert_eq!(types, ["knowledge", "principle", "reflection"]);
}

#[test]
fn a_wake_up_begins_with_what_holds_always() {
    let app = TestApp::start();
    app.hand_off(json!({"remember": "The port is 3456."}))
        .created();
    let rows = [
        reflection(1, &json!({"summary": "An older week."})),
        reflection(
            8,
            &json!({"summary": "The gauges\nwere set up.", "session_count": 1}),
        ),
        principle(
            1,
            &json!({"text": "Measure\ntwice.", "updated_at": "2026-02-27T00:00:00.000Z"}),
        ),
        principle(2, &json!({"text": "Ask early."})),
    ];
    bring(&app, &rows);
    let wake_up = app.get("/api/v1/wake-up").ok();
    insta::assert_snapshot!(settled(&wake_up["layers"]["reflection"]), @r#"
    {
      "principles": [
        {
          "principle_id": "prin_…",
          "text": "Measure\ntwice.",
          "count": 3,
          "updated_at": "2026-02-27T00:00:00.000Z"
        },
        {
          "principle_id": "prin_…",
          "text": "Ask early.",
          "count": 3,
          "updated_at": "2026-02-02T00:00:00.000Z"
        }
      ],
      "reflections": [
        {
          "reflection_id": "refl_…",
          "period_start": "2026-02-08T00:00:00.000Z",
          "period_end": "2026-02-09T00:00:00.000Z",
          "session_count": 1,
          "summary": "The gauges\nwere set up."
        },
        {
          "reflection_id": "refl_…",
          "period_start": "2026-02-01T00:00:00.000Z",
          "period_end": "2026-02-02T00:00:00.000Z",
          "session_count": 2,
          "summary": "An older week."
        }
      ]
    }
    "#);
    let text = app.get_with("/api/v1/wake-up", &[("accept", "text/markdown")]);
    insta::assert_snapshot!(text.is(200).text(), @r"
    1 session, 1 handoff, 2026-03-01 to 2026-03-01; with Ada

    ## Last session, 2026-03-01 with Ada
    - Remember: The port is 3456.
    - Experienced: We set the tide gauge up.

    ## Conclusions
    - Measure twice.
    - Ask early.
    - 2026-02-08 to 2026-02-08, 1 session: The gauges were set up.
    ");
    let without = app.get("/api/v1/wake-up?layers=metadata,recent").ok();
    assert_eq!(without["layers"].get("reflection"), None);
    assert!(!id(&without, "context").contains("Conclusions"));
    let alone = app.get("/api/v1/wake-up?layers=reflection").ok();
    assert!(id(&alone, "context").contains("Measure twice."));
}

#[test]
fn many_conclusions_stay_within_the_bounds_of_a_wake_up() {
    let app = TestApp::start();
    for number in 0..12 {
        app.hand_off(
            json!({"session_id": format!("s{number}"), "learned": "the gauge drifts ".repeat(100),
            "becoming": "somebody who measures ".repeat(20)}),
        )
        .created();
    }
    let rows: Vec<Value> = (1..=27)
        .flat_map(|day| {
            let text = format!("naïve \"quoted\" 漢字 {day} ").repeat(300);
            [
                reflection(
                    day,
                    &json!({"summary": text, "insights": [text.get(..3_000)]}),
                ),
                principle(day, &json!({"text": text})),
            ]
        })
        .collect();
    bring(&app, &rows);
    for max_tokens in [1, 30, 100, 2_000, 20_000] {
        let wake_up = app
            .get(&format!("/api/v1/wake-up?max_tokens={max_tokens}"))
            .ok();
        assert!(wake_up["estimated_tokens"].as_u64().unwrap() <= max_tokens);
        let arrays: usize = [
            &wake_up["identity_thread"],
            &wake_up["recent_decisions"],
            &wake_up["knowledge"],
            &wake_up["layers"],
        ]
        .iter()
        .map(|part| part.to_string().len())
        .sum();
        assert!(arrays <= 8 * 1024 + 400, "{arrays}");
        let layers = &wake_up["layers"];
        assert!(
            !layers["reflection"]["principles"]
                .as_array()
                .unwrap()
                .is_empty()
        );
        assert!(
            !layers["reflection"]["reflections"]
                .as_array()
                .unwrap()
                .is_empty()
        );
        assert_eq!(layers["recent"].as_array().unwrap().len(), 3);
    }
    let context = id(&app.get("/api/v1/wake-up").ok(), "context");
    assert!(context.contains("## Conclusions"), "{context}");
}

#[test]
fn a_forgotten_one_leaves_the_files_word_by_word() {
    let app = TestApp::start();
    let kept = [reflection(1, &json!({})), principle(1, &json!({}))];
    bring(&app, &kept);
    let before = app.metric("agent_memory_storage_bytes{type=\"text\"}");
    let rows = [
        reflection(
            2,
            &json!({"summary": format!("a {WORD}"), "insights": [WORD], "themes": [WORD]}),
        ),
        principle(2, &json!({"text": format!("be a {WORD}")})),
    ];
    bring(&app, &rows);
    assert!(!app.files_with(WORD).is_empty());
    let scrape = app.scrape();
    assert_eq!(scrape.value("agent_memory_reflections"), 2.0);
    assert_eq!(scrape.value("agent_memory_principles"), 2.0);
    for path in [
        format!("/api/v1/reflections/{}", made_id("refl", 2)),
        format!("/api/v1/principles/{}", made_id("prin", 2)),
    ] {
        app.delete(&path).forgotten();
        app.get(&path).problem(404);
        app.delete(&path).problem(404);
    }
    assert_eq!(app.recall(WORD), [""; 0]);
    app.wait_until_erased(WORD);
    let scrape = app.scrape();
    assert_eq!(scrape.value("agent_memory_reflections"), 1.0);
    assert_eq!(scrape.value("agent_memory_principles"), 1.0);
    let after = scrape.value("agent_memory_storage_bytes{type=\"text\"}");
    assert_eq!(after, before);
    let stats = app.get("/api/v1/stats").ok();
    assert_eq!(
        (&stats["reflections"], &stats["principles"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(crate::export::rows(&whole(&app)), kept);
    cli(app.file(), &["doctor"]);
}

#[test]
fn replaced_words_leave_the_files_as_well() {
    let app = TestApp::start();
    bring(
        &app,
        &[
            reflection(1, &json!({"summary": WORD})),
            principle(1, &json!({"text": WORD})),
        ],
    );
    let other = sealed(&[reflection(1, &json!({})), principle(1, &json!({}))]);
    let report = import(&app, "?mode=replace", &other).ok();
    assert_eq!(report["stored"]["reflections"], 1);
    assert_eq!(report["stored"]["principles"], 1);
    app.wait_until_erased(WORD);
    cli(app.file(), &["doctor"]);
}

#[test]
fn they_go_with_their_tenant() {
    let app = TestApp::start();
    let rows: Vec<Value> = (1..=20)
        .flat_map(|day| {
            [
                reflection(day, &json!({"summary": format!("{WORD} {day}")})),
                principle(day, &json!({"text": format!("{WORD} {day}")})),
            ]
        })
        .collect();
    bring_to(&app, "old", &rows);
    bring(&app, &rows[..2]);
    app.delete("/api/v1/tenants/old").accepted();
    for list in ["reflections", "principles"] {
        let listed = app.get(&format!("/api/v1/{list}?tenant_id=old")).ok();
        assert_eq!(listed, json!({list: []}));
    }
    wait_for("the counts to fall", || {
        let scrape = app.scrape();
        let left = ["agent_memory_reflections", "agent_memory_principles"];
        left.iter()
            .all(|series| scrape.value(series) == 1.0)
            .then_some(())
    });
    app.wait_until_erased(&format!("{WORD} 20"));
    cli(app.file(), &["doctor"]);
}

#[test]
fn an_export_of_the_version_before_is_read_as_well() {
    let app = TestApp::start();
    let text = include_str!("../fixtures/schema-1.jsonl");
    let first: String = text.split_inclusive('\n').take(21).collect();
    assert!(first.contains("\"version\":1,") && first.contains("\"type\":\"trailer\""));
    let app_rows = crate::export::rows(&first);
    app.advance_hours(24 * 365 * 30);
    import(&app, "", &first).ok();
    assert_eq!(crate::export::rows(&whole(&app)), app_rows);
}

#[test]
fn the_command_line_lists_shows_and_forgets_them() {
    let app = TestApp::start();
    let rows = [
        reflection(
            1,
            &json!({"sensitivity": "secret", "summary": "a\nsecret week"}),
        ),
        reflection(2, &json!({})),
        principle(1, &json!({})),
    ];
    bring(&app, &rows);
    let db = app.file();
    let listed = cli(db, &["list", "reflections"]);
    assert_eq!(
        listed,
        format!(
            "{}  2026-02-02 to 2026-02-02  On day 2 the gauges were set up.\n",
            made_id("refl", 2)
        )
    );
    let listed = cli(db, &["list", "principles"]);
    assert_eq!(
        listed,
        format!(
            "{}  2026-02-01T00:00:00.000Z     3 times  Principle 1: measure first.\n",
            made_id("prin", 1)
        )
    );
    let listed: Value = serde_json::from_str(&cli(db, &["list", "principles", "--json"])).unwrap();
    assert_eq!(
        texts(&listed["principles"], "principle_id"),
        [made_id("prin", 1)]
    );
    let shown: Value = serde_json::from_str(&cli(db, &["show", &made_id("refl", 1)])).unwrap();
    assert_eq!(shown["summary"], "a\nsecret week");
    let status = cli(db, &["status"]);
    assert!(
        status.contains("concluded 2 reflections, 1 principles\n"),
        "{status}"
    );
    assert!(cli(db, &["wake-up"]).contains("measure first"));
    assert!(cli(db, &["recall", "gauges", "--type", "reflection"]).contains("day 2"));
    for id in [made_id("refl", 1), made_id("prin", 1)] {
        cli(db, &["forget", &id]);
        let output = crate::process::command(db)
            .args(["show", &id])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(4));
    }
    cli(db, &["doctor"]);
}
