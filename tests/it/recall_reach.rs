//! How far recall reaches: along a session, never into another's, and as the memory stands now.
//!
//! **Invariant:** two memories that should answer alike are compared byte by byte, with ids that the test made.

use serde_json::{Value, json};

use crate::export::cli;
use crate::harness::{TestApp, event, id, made_id};
use crate::import::import;
use crate::note::patch;
use crate::process::{Server, client, wait_for};
use crate::recall_rank::{hits, ids, remember, tell, unrelated};

const QUESTION: &str = "What is the name of Olga's parrot?";
const ANSWER: &str = "Whiskerton the Third, obviously.";

fn said(session: &str, text: &str) -> Value {
    json!({"session_id": session, "content": {"text": text}})
}

fn has(found: &[Value], id: &str) -> bool {
    ids(found).contains(&id)
}

#[test]
fn an_answer_is_found_by_the_question_before_it() {
    for count in [5, 60, 260] {
        let app = TestApp::start();
        unrelated(&app, "default", count);
        tell(&app, said("s", "Morning, all."));
        let asked = tell(&app, said("s", QUESTION));
        let answered = tell(&app, said("s", ANSWER));
        let stranger = tell(&app, said("t", "Nobody told me anything."));
        tell(
            &app,
            json!({"tenant_id": "other", "session_id": "s", "content": {"text": "Something else entirely."}}),
        );
        let found = hits(&app, json!({"query": "name of Olga's parrot"}));
        assert!(
            has(&found, &asked) && has(&found, &answered),
            "{count}: {found:#?}"
        );
        assert!(!has(&found, &stranger), "{count}: {found:#?}");
        assert!(!json!(found).to_string().contains("entirely"));
        for (filter, shown) in [
            (json!({"session_id": "s"}), true),
            (json!({"session_id": "t"}), false),
            (json!({"types": ["event"]}), true),
            (
                json!({"types": ["handoff", "decision", "knowledge"]}),
                false,
            ),
            (json!({"tags": ["pets"]}), false),
            (json!({"project_id": "nobody's"}), true),
            (json!({"since": "2026-03-01T09:30:00Z"}), true),
            (json!({"since": "2026-03-01T09:30:00.001Z"}), false),
            (json!({"until": "2026-03-01T09:30:00Z"}), false),
            (json!({"tenant_id": "other"}), false),
        ] {
            let mut body = filter.clone();
            body["query"] = json!("name of Olga's parrot");
            let found = hits(&app, body);
            assert_eq!(
                has(&found, &answered),
                shown,
                "{count} {filter}: {found:#?}"
            );
        }
    }
}

#[test]
fn filters_hold_for_neighbours_one_by_one() {
    let app = TestApp::start();
    unrelated(&app, "default", 40);
    let asked = json!({"session_id": "s", "project_id": "p", "tags": ["pets"], "ts": "2026-02-20T10:00:00Z", "content": {"text": QUESTION}});
    let asked = tell(&app, asked);
    let answers = [
        json!({"project_id": "q", "tags": ["pets"], "ts": "2026-02-20T10:00:01Z", "content": {"text": ANSWER}}),
        json!({"project_id": "p", "tags": [], "ts": "2026-02-20T10:00:02Z", "content": {"text": "Feathers galore."}}),
    ];
    let answers = answers.map(|mut answer| {
        answer["session_id"] = json!("s");
        tell(&app, answer)
    });
    for (filter, shown) in [
        (json!({}), [true, true]),
        (json!({"project_id": "p"}), [false, true]),
        (json!({"tags": ["pets"]}), [true, false]),
        (json!({"tags": ["pets"], "project_id": "p"}), [false, false]),
        (json!({"until": "2026-02-20T10:00:02Z"}), [true, false]),
        (json!({"until": "2026-02-20T10:00:01Z"}), [false, false]),
    ] {
        let mut body = filter.clone();
        body["query"] = json!("name of Olga's parrot");
        let found = hits(&app, body);
        assert!(has(&found, &asked), "{filter}: {found:#?}");
        let seen = [&answers[0], &answers[1]].map(|id| has(&found, id));
        assert_eq!(seen, shown, "{filter}: {found:#?}");
    }
}

/// A question, perhaps something of this session, sensitivity and text, and then the answer.
fn interrupted(by: Option<[&str; 3]>) -> TestApp {
    let app = TestApp::start();
    unrelated_alike(&app);
    let plain = |text| Some(["s", "none", text]);
    let said = [
        plain("Morning, all."),
        plain(QUESTION),
        by,
        plain(ANSWER),
        plain("Thanks."),
    ];
    for (number, said) in (1..).zip(said) {
        let Some([session, sensitivity, text]) = said else {
            continue;
        };
        tell(
            &app,
            json!({"session_id": session, "event_id": made_id("evt", number), "sensitivity": sensitivity,
                "ts": format!("2026-02-20T10:00:0{number}Z"), "content": {"text": text}}),
        );
    }
    app
}

fn unrelated_alike(app: &TestApp) {
    for number in 100..130_u32 {
        let mut over = said(
            &format!("u{}", number / 3),
            &format!(
                "Entry {number}: the cook boiled {} eggs in pot {}.",
                number * 3,
                number % 7
            ),
        );
        over["event_id"] = json!(made_id("evt", number));
        tell(app, over);
    }
}

#[test]
fn what_a_reader_may_not_see_leaves_no_trace_in_the_answer() {
    let queries = [
        "name of Olga's parrot",
        "Olga's parrot",
        "whiskerton",
        "parot",
        "what happened on 20 February?",
        "the safe",
        "vault combination of the parrot",
    ];
    for (sensitivity, channels) in [
        ("secret", &["private", "team", "public", "agent"][..]),
        ("high", &["public", "agent"][..]),
    ] {
        for text in [
            "The vault combination is twelve.",
            "Olga's parrot is named after the vault, the parrot, Olga's.",
        ] {
            let apps =
                ["s", "elsewhere"].map(|session| interrupted(Some([session, sensitivity, text])));
            for channel in channels {
                for query in queries {
                    for body in [
                        json!({"query": query, "channel": channel}),
                        json!({"query": query, "channel": channel, "min_score": 0, "limit": 100}),
                    ] {
                        let [with, without] =
                            [&apps[0], &apps[1]].map(|app| app.post("/api/v1/recall", &body).ok());
                        assert_eq!(with, without, "{sensitivity} {body} {text}");
                    }
                }
            }
        }
    }
    let app = interrupted(Some(["s", "high", "The vault combination is twelve."]));
    for channel in ["private", "team"] {
        let found = hits(
            &app,
            json!({"query": "vault combination", "channel": channel}),
        );
        assert_eq!(ids(&found)[0], made_id("evt", 3));
    }
    let app = interrupted(Some(["s", "low", "The vault combination is twelve."]));
    for channel in ["public", "agent"] {
        let found = hits(
            &app,
            json!({"query": "vault combination", "channel": channel}),
        );
        assert_eq!(ids(&found)[0], made_id("evt", 3));
    }
}

#[test]
fn neighbours_of_what_was_forgotten_close_ranks() {
    let with = interrupted(Some(["s", "none", "Let me think about that for a while."]));
    let without = interrupted(None);
    with.delete(&format!("/api/v1/events/{}", made_id("evt", 3)))
        .forgotten();
    for query in [
        "name of Olga's parrot",
        "whiskerton",
        "think for a while",
        "what happened on 20 February?",
    ] {
        for body in [
            json!({"query": query}),
            json!({"query": query, "min_score": 0, "limit": 100}),
        ] {
            let [with, without] =
                [&with, &without].map(|app| app.post("/api/v1/recall", &body).ok());
            assert!(!with.to_string().contains(&made_id("evt", 3)), "{body}");
            assert_eq!(with, without, "{body}");
        }
    }
    let found = hits(&with, json!({"query": "name of Olga's parrot"}));
    assert!(has(&found, &made_id("evt", 4)), "{found:#?}");
    with.delete(&format!("/api/v1/events/{}", made_id("evt", 2)))
        .forgotten();
    assert!(
        hits(&with, json!({"query": "name of Olga's parrot"}))
            .iter()
            .all(|hit| hit["id"] != made_id("evt", 4))
    );
}

/// The answers to a handful of questions, as they came.
fn answers(app: &TestApp) -> Vec<String> {
    let queries = [
        "name of Olga's parrot",
        "tide gauge port",
        "the cook boiled eggs",
        "anemomter",
        "tide gauge yesterday",
        "what did Jonas say about the tide gauge",
        "port 502",
        "",
        "Which engine holds the ledger?",
        "xylographer",
    ];
    let mut answers = Vec::new();
    for query in queries {
        for body in [
            json!({"query": query}),
            json!({"query": query, "min_score": 0, "limit": 100}),
        ] {
            answers.push(app.post("/api/v1/recall", &body).is(200).text());
        }
    }
    answers
}

fn varied(app: &TestApp) {
    unrelated_alike(app);
    for text in [
        QUESTION,
        ANSWER,
        "The anemometer squeaks.",
        "The tide gauge listens on port 502.",
    ] {
        tell(app, said("s", text));
    }
    tell(
        app,
        json!({"session_id": "j", "actor": {"type": "human", "id": "jonas"}, "ts": "2026-02-28T10:00:00Z",
        "content": {"text": "Leave the tide gauge alone."}}),
    );
    for _ in 0..3 {
        remember(app, "The tide gauge is yellow.");
    }
    app.hand_off(json!({"session_id": "s", "learned": "A tide gauge needs patience."}))
        .created();
    app.post(
        "/api/v1/knowledge",
        &json!({"content": "The tide gauge has a twin.", "tags": ["gauge"]}),
    )
    .created();
    let old = app
        .post(
            "/api/v1/decisions",
            &json!({"decision": "PostgreSQL holds the ledger"}),
        )
        .created();
    let path = format!("/api/v1/decisions/{}/supersede", id(&old, "decision_id"));
    app.post(&path, &json!({"decision": "An embedded engine it is"}))
        .created();
}

#[test]
fn another_tenant_moves_nothing_while_it_is_there_nor_when_it_is_gone() {
    let app = TestApp::start();
    varied(&app);
    let before = answers(&app);
    let events = Value::from_iter((0..2_000).map(|at| {
        let session = ["s", "j", "u33"][at % 3];
        let text = match at % 5 {
            0 => "tide gauge tide gauge port 502",
            1 => "xylographer anemometters parrot Olga",
            2 => "Jonas said the cook boiled eggs",
            3 => "the engine holds the ledger, PostgreSQL",
            _ => "yesterday",
        };
        event(&json!({"tenant_id": "other", "session_id": session, "content": {"text": format!("{text} {at}")}}))
    }));
    for batch in events.as_array().unwrap().chunks(1000) {
        app.post("/api/v1/events/batch", &json!(batch)).itemised();
    }
    for _ in 0..3 {
        app.post(
            "/api/v1/decisions",
            &json!({"tenant_id": "other", "decision": "PostgreSQL holds the ledger"}),
        )
        .created();
    }
    assert_eq!(answers(&app), before);
    app.delete("/api/v1/tenants/other").accepted();
    assert_eq!(answers(&app), before);
    wait_for("the tenant to go", || {
        (app.metric("agent_memory_events{kind=\"message\"}") < 100.0).then_some(())
    });
    assert_eq!(answers(&app), before);
}

#[test]
fn a_memory_that_was_exported_imported_or_restarted_answers_alike() {
    let app = TestApp::start();
    varied(&app);
    let before = answers(&app);
    let export = cli(app.file(), &["export"]);
    let copy = TestApp::start();
    import(&copy, "", &export).ok();
    assert_eq!(answers(&copy), before);
    import(&copy, "?mode=replace", &export).ok();
    assert_eq!(answers(&copy), before);
    assert_eq!(answers(&copy.restarted()), before);
    assert_eq!(answers(&app.restarted()), before);
}

#[test]
fn the_real_binary_answers_alike_after_a_restart_and_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("memory.db");
    let mut server = Server::start(&db);
    let events: Vec<Value> = [
        QUESTION,
        ANSWER,
        "The anemometer squeaks.",
        "The tide gauge listens on port 502.",
    ]
    .iter()
    .map(|text| event(&said("s", text)))
    .collect();
    client()
        .post(server.url("/api/v1/events/batch"))
        .send_json(&events)
        .unwrap();
    let ask = |server: &Server| {
        ["Olga+parrot", "anemomter", "tide+gauge+port", "port+502"]
            .map(|query| server.get(&format!("/api/v1/search?q={query}")).unwrap())
    };
    let before = ask(&server);
    assert!(before[0].to_string().contains(ANSWER), "{before:?}");
    assert!(server.terminate().success());
    let mut server = Server::start(&db);
    assert_eq!(ask(&server), before);
    server.kill();
    assert_eq!(ask(&Server::start(&db)), before);
}

#[test]
fn a_changed_note_is_found_by_its_new_words_alone() {
    let app = TestApp::start();
    unrelated(&app, "default", 60);
    let created = app.post("/api/v1/knowledge", &json!({"title": "Dinghy", "content": "The spare oar is in the boathouse.", "tags": ["rowing"]})).created();
    let note = id(&created, "note_id");
    for query in [
        "spare oar",
        "boathouse",
        "dinghy",
        "rowing",
        "spear oar",
        "boathuose",
    ] {
        assert!(has(&hits(&app, json!({"query": query})), &note), "{query}");
    }
    patch(&app, &note, &json!({"title": "Kayak", "content": "Two paddles hang in the cellar.", "tags": ["paddling"]})).ok();
    for query in ["spare oar", "boathouse", "dinghy", "rowing", "boathuose"] {
        let found = hits(&app, json!({"query": query}));
        assert!(found.is_empty(), "{query}: {found:#?}");
    }
    for query in [
        "paddles",
        "cellar",
        "kayak",
        "paddling",
        "celler",
        "Where do the paddles hang?",
    ] {
        let found = hits(&app, json!({"query": query}));
        assert_eq!(ids(&found)[0], note, "{query}");
        assert!(
            found[0]["text"].as_str().unwrap().contains("Two paddles"),
            "{query}"
        );
    }
    app.delete(&format!("/api/v1/knowledge/{note}")).forgotten();
    for query in ["paddles", "cellar", "kayak", "paddling", "celler"] {
        for body in [
            json!({"query": query}),
            json!({"query": query, "min_score": 0, "limit": 100}),
        ] {
            assert!(!has(&hits(&app, body), &note), "{query}");
        }
    }
}

#[test]
fn a_tag_is_no_word_and_a_word_is_no_tag() {
    let app = TestApp::start();
    let tagged = tell(
        &app,
        json!({"tags": ["red", "a \"quoted\" one", "潮位"], "content": {"text": "The buoy is wet."}}),
    );
    let worded = remember(&app, "The buoy is red, tag:red, #red, 潮位.");
    for tag in ["red", "a \"quoted\" one", "潮位"] {
        let found = hits(&app, json!({"query": "buoy", "tags": [tag]}));
        assert_eq!(ids(&found), [tagged.as_str()], "{tag}");
    }
    let answer = app.post("/api/v1/recall", &json!({"query": "buoy", "tags": [" "]}));
    answer.blames(422, "tags");
    for tag in ["re", "quoted", "red*", "red OR blue", "\""] {
        let answer = app.post("/api/v1/recall", &json!({"query": "buoy", "tags": [tag]}));
        let found = answer.ok();
        assert_eq!(found["hits"], json!([]), "{tag}");
    }
    assert!(has(&hits(&app, json!({"query": "buoy red"})), &worded));
}

#[test]
fn a_forgotten_session_leaves_no_trace_in_the_scores() {
    let [app, clean] = [true, false].map(|noisy| {
        let app = TestApp::start();
        unrelated_alike(&app);
        if noisy {
            let noise = Value::from_iter((0..400).map(|at| {
                let text = format!("The cook boiled parrot {at} and anemometer {at} for Olga.");
                event(&json!({"session_id": "noise", "content": {"text": text}}))
            }));
            app.post("/api/v1/events/batch", &noise).itemised();
        }
        for (number, text) in (1..).zip([QUESTION, ANSWER, "The anemometer squeaks."]) {
            tell(&app, json!({"session_id": "s", "event_id": made_id("evt", number), "content": {"text": text}}));
        }
        app
    });
    app.delete("/api/v1/sessions/noise").accepted();
    assert!(!answers(&app).concat().contains("boiled parrot"));
    let messages = |app: &TestApp| app.metric("agent_memory_events{kind=\"message\"}");
    wait_for("the session to go, to its last slice", || {
        (messages(&app) == messages(&clean)).then_some(())
    });
    assert_eq!(answers(&app), answers(&clean));
}
