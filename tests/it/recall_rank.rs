//! What recall puts first, what it puts together, and when it says nothing.
//!
//! **Invariant:** each test's memory holds what its question is about beside what it is not about, each in a session of
//! its own unless the test is about sessions.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, Ordering};

use agent_memory::domain::token;
use serde_json::{Value, json};

use crate::decision::supersede;
use crate::harness::{TestApp, event, id};

/// The hits of a question.
#[track_caller]
#[expect(
    clippy::needless_pass_by_value,
    reason = "a test writes its JSON in place"
)]
pub(crate) fn hits(app: &TestApp, body: Value) -> Vec<Value> {
    let found = app.post("/api/v1/recall", &body).ok();
    found["hits"].as_array().unwrap().clone()
}

/// Their ids, without those of duplicates.
pub(crate) fn ids(hits: &[Value]) -> Vec<&str> {
    hits.iter().map(|hit| hit["id"].as_str().unwrap()).collect()
}

/// Records an event with these members in a session of its own, unless they name one; answers its id.
#[track_caller]
#[expect(
    clippy::needless_pass_by_value,
    reason = "a test writes its JSON in place"
)]
pub(crate) fn tell(app: &TestApp, over: Value) -> String {
    static SESSION: AtomicU32 = AtomicU32::new(0);
    let mut event = event(&over);
    if over.get("session_id").is_none() {
        event["session_id"] = json!(format!("alone {}", SESSION.fetch_add(1, Ordering::Relaxed)));
    }
    id(&app.post("/api/v1/events", &event).created(), "event_id")
}

/// Records these words in a session of their own; answers the event's id.
#[track_caller]
pub(crate) fn remember(app: &TestApp, text: &str) -> String {
    tell(app, json!({"content": {"text": text}}))
}

/// Records as many memories of other things, a few to a session.
#[track_caller]
pub(crate) fn unrelated(app: &TestApp, tenant: &str, count: usize) {
    let who = [
        "Lotte", "Marek", "Ingrid", "Samir", "Chloe", "Dmitri", "Yuki", "Amara", "Felix", "Noor",
        "Petra",
    ];
    let did = [
        "sold",
        "borrowed",
        "painted",
        "photographed",
        "forgot",
        "wrapped",
        "weighed",
        "mended",
        "juggled",
        "praised",
        "measured",
        "hid",
        "rented",
    ];
    let what = [
        "a kite",
        "the oboe",
        "nine lemons",
        "her scarf",
        "an old atlas",
        "the teapot",
        "two candles",
        "a saddle",
        "the ladder",
        "his violin",
        "a pumpkin",
        "the chessboard",
        "a quilt",
        "some cinnamon",
        "the wheelbarrow",
        "a telescope",
        "the accordion",
    ];
    let place = [
        "in the orchard",
        "at the bakery",
        "behind the cinema",
        "near the museum",
        "on the balcony",
        "during supper",
        "by the fountain",
        "at school",
        "in the attic",
        "on the tram",
        "under the bridge",
        "after choir",
        "before breakfast",
        "at the fair",
        "in the greenhouse",
        "beside the stable",
        "at the dentist",
        "on holiday",
        "in the library",
    ];
    let events = Value::from_iter((0..count).map(|at| {
        let text = format!(
            "{} {} {} {}.", who[at % who.len()], did[at % did.len()], what[at % what.len()], place[at % place.len()]
        );
        event(&json!({"tenant_id": tenant, "session_id": format!("other {}", at / 5), "content": {"text": text},
            "ts": format!("2025-{:02}-{:02}T12:00:00Z", 1 + at % 12, 1 + at % 28)}))
    }));
    for batch in events.as_array().unwrap().chunks(1000) {
        app.post("/api/v1/events/batch", &json!(batch)).itemised();
    }
}

/// Where a memory stands among the hits.
pub(crate) fn place(found: &[Value], id: &str) -> Option<usize> {
    ids(found).iter().position(|hit| *hit == id)
}

/// Records a decision; answers its id.
#[track_caller]
pub(crate) fn decide(app: &TestApp, over: &Value) -> String {
    id(
        &app.post("/api/v1/decisions", over).created(),
        "decision_id",
    )
}

/// Puts another decision in its place; answers its id.
#[track_caller]
pub(crate) fn replace(app: &TestApp, old: &str, over: &Value) -> String {
    id(
        &supersede(app, old, over).created()["decision"],
        "decision_id",
    )
}

fn spoke(who: &str, kind: &str, text: &str) -> Value {
    json!({"actor": {"type": kind, "id": who}, "content": {"text": text}})
}

#[test]
fn a_hit_accounts_for_its_score() {
    let app = TestApp::start();
    unrelated(&app, "default", 40);
    tell(
        &app,
        json!({"session_id": "s", "content": {"text": "Which port has the tide gauge?"}}),
    );
    tell(
        &app,
        json!({"session_id": "s", "content": {"text": "It is 502."}}),
    );
    app.hand_off(json!({"session_id": "s", "learned": "The tide gauge has a port of its own."}))
        .created();
    let old = decide(
        &app,
        &json!({"decision": "The tide gauge gets port 501", "refs": ["docs/ports.md"]}),
    );
    replace(
        &app,
        &old,
        &json!({"decision": "The tide gauge gets port 502"}),
    );
    app.post(
        "/api/v1/knowledge",
        &json!({"content": "A tide gauge port is below 1024"}),
    )
    .created();
    for query in [
        "tide gauge port",
        "what did we decide about the tide gauge?",
        "tide gauge yesterday",
        "tdie guage",
    ] {
        for min_score in [Value::Null, json!(0)] {
            let found = hits(
                &app,
                json!({"query": query, "min_score": min_score, "limit": 100}),
            );
            assert!(found.len() > 1, "{query}: {found:#?}");
            let scores: Vec<f64> = found
                .iter()
                .map(|hit| hit["score"].as_f64().unwrap())
                .collect();
            assert!(scores.is_sorted_by(|a, b| a >= b), "{query}: {scores:?}");
            assert!(
                scores.iter().all(|score| (0.0..=1.0).contains(score)),
                "{query}: {scores:?}"
            );
            let distinct: HashSet<&str> = ids(&found).into_iter().collect();
            assert_eq!(distinct.len(), found.len(), "{query}");
            for hit in &found {
                let prefix = match hit["type"].as_str().unwrap() {
                    "event" => "evt_",
                    "handoff" => "sh_",
                    "decision" => "dec_",
                    _ => "kn_",
                };
                assert!(hit["id"].as_str().unwrap().starts_with(prefix), "{hit}");
                assert_eq!(hit.get("status").is_some(), prefix == "dec_", "{hit}");
                assert_eq!(
                    hit.get("superseded_by").is_some(),
                    hit["id"] == old,
                    "{hit}"
                );
                let coverage = hit["why"]["coverage"].as_f64().unwrap();
                assert!((0.0..=1.0).contains(&coverage), "{hit}");
                let shares = |list: &str| -> Vec<f64> {
                    let list = hit["why"][list].as_array().unwrap();
                    list.iter()
                        .map(|item| item["share"].as_f64().unwrap())
                        .collect()
                };
                let sum: f64 = shares("features").iter().sum();
                assert!((sum - 1.0).abs() < 0.01, "{query}: {sum} in {hit}");
                assert!(
                    shares("matched")
                        .iter()
                        .all(|share| (0.0..=1.0).contains(share)),
                    "{hit}"
                );
            }
        }
    }
}

#[test]
fn what_nothing_is_about_is_answered_with_nothing() {
    let app = TestApp::start();
    unrelated(&app, "default", 520);
    let known = remember(
        &app,
        "The tide gauge listens on port 502 behind the pilot house.",
    );
    for query in [
        "What is the capital of Mongolia?",
        "Which kernel parameter disables transparent hugepages?",
        "How long does sourdough ferment?",
        "When does the marathon start?",
        "Who won the election?",
        "quantum chromodynamics",
        "Why is the deployment failing?",
        "Wie heißt der Hund?",
        "数据库连接池",
    ] {
        let found = hits(&app, json!({"query": query}));
        assert!(found.is_empty(), "{query}: {found:#?}");
    }
    for query in [
        "Which kernel parameter was painted by Lotte?",
        "Who won the election at the bakery?",
    ] {
        let nearest = hits(&app, json!({"query": query, "min_score": 0}));
        assert!(!nearest.is_empty(), "{query}");
        assert_eq!(nearest.len(), 10, "{query}");
    }
    for query in [
        "Which port does the tide gauge listen on?",
        "tide gauge",
        "pilot house",
    ] {
        assert_eq!(
            ids(&hits(&app, json!({"query": query})))[0],
            known,
            "{query}"
        );
    }
    assert!(
        hits(
            &app,
            json!({"query": "Which port does the gauge use?", "min_score": 0.99})
        )
        .is_empty()
    );
    for bad in [
        json!(-0.01),
        json!(1.01),
        json!("0.5"),
        json!(true),
        json!([0.5]),
        json!(1e308),
    ] {
        app.post(
            "/api/v1/recall",
            &json!({"query": "tide", "min_score": bad}),
        )
        .blames(422, "min_score");
    }
    for bad in ["-0.1", "1.1", "NaN", "half", "0,5", ""] {
        app.get(&format!("/api/v1/search?q=tide&min_score={bad}"))
            .blames(422, "min_score");
    }
}

#[test]
fn who_said_it_counts_when_the_question_asks() {
    let app = TestApp::start();
    unrelated(&app, "default", 60);
    let said = |who: &str, kind: &str, text: &str| tell(&app, spoke(who, kind, text));
    let jonas = said(
        "jonas",
        "human",
        "The ferry timetable needs another late sailing on Fridays.",
    );
    said(
        "ada",
        "human",
        "Jonas and the ferry timetable: a late sailing on Fridays would be nice for Jonas.",
    );
    let mira = said(
        "mira",
        "human",
        "The ferry timetable needs fewer late sailings, say on Saturdays.",
    );
    for (query, first) in [
        ("What did Jonas say about the ferry timetable?", &jonas),
        (
            "what did jonas think of the late sailing on the ferry timetable",
            &jonas,
        ),
        ("What did Mira say about the ferry timetable?", &mira),
    ] {
        let found = hits(&app, json!({"query": query}));
        assert_eq!(ids(&found)[0], first, "{query}: {found:#?}");
    }
    let mine = said(
        "ada",
        "human",
        "For the lighthouse lamp I would take the LED, it lasts longer.",
    );
    let yours = said(
        "claude",
        "agent",
        "For the lighthouse lamp I would take the halogen, it looks warmer.",
    );
    for (query, first) in [
        ("What did I say about the lighthouse lamp?", &mine),
        ("What did I decide about the lighthouse lamp?", &mine),
        ("What did you recommend for the lighthouse lamp?", &yours),
        ("What did you say about the lighthouse lamp?", &yours),
    ] {
        let found = hits(&app, json!({"query": query}));
        assert_eq!(ids(&found)[0], first, "{query}: {found:#?}");
    }
}

#[test]
fn tool_output_stands_below_the_statement_and_other_memories_beside_events() {
    let app = TestApp::start();
    unrelated(&app, "default", 60);
    let mut output = spoke(
        "grep",
        "tool",
        "sonar.log:17: the sonar transducer is mounted on the keel, port side",
    );
    output["kind"] = json!("tool_result");
    let stated = tell(
        &app,
        spoke(
            "ada",
            "human",
            "Note that the sonar transducer is mounted on the keel, port side.",
        ),
    );
    let printed = tell(&app, output);
    let found = hits(
        &app,
        json!({"query": "Where is the sonar transducer mounted?"}),
    );
    assert_eq!(ids(&found)[0], stated, "{found:#?}");
    if let Some(at) = place(&found, &printed) {
        assert!(at > 0);
    }
    remember(&app, "We talked about the ballast pump over lunch.");
    let handoff = app
        .hand_off(json!({"session_id": "h", "learned": "The ballast pump wants priming."}))
        .created();
    let note = app
        .post(
            "/api/v1/knowledge",
            &json!({"content": "The ballast pump is a Jabsco."}),
        )
        .created();
    let chosen = decide(
        &app,
        &json!({"decision": "Replace the ballast pump in April"}),
    );
    let found = hits(&app, json!({"query": "ballast pump"}));
    assert_eq!(found.len(), 4, "{found:#?}");
    for wanted in [
        id(&handoff, "handoff_id"),
        id(&note, "note_id"),
        chosen.clone(),
    ] {
        assert!(place(&found, &wanted).is_some(), "{wanted}: {found:#?}");
    }
    for (types, wanted) in [
        ("handoff", id(&handoff, "handoff_id")),
        ("knowledge", id(&note, "note_id")),
        ("decision", chosen),
    ] {
        assert_eq!(
            ids(&hits(
                &app,
                json!({"query": "ballast pump", "types": [types]})
            )),
            [wanted]
        );
    }
}

#[test]
fn limit_and_max_tokens_bound_the_list() {
    let app = TestApp::start();
    let kinds = ["rope", "chain", "hawser", "line", "cable"];
    for at in 0..130 {
        remember(
            &app,
            &format!(
                "mooring {} number {at} hangs on hook {}",
                kinds[at % kinds.len()],
                at * 7
            ),
        );
    }
    for limit in [1, 2, 10, 99, 100] {
        assert_eq!(
            hits(&app, json!({"query": "mooring", "limit": limit})).len(),
            limit
        );
    }
    let all = hits(&app, json!({"query": "mooring", "limit": 100}));
    for max_tokens in [1, 11, 50, 200, 1000] {
        let some = hits(
            &app,
            json!({"query": "mooring", "limit": 100, "max_tokens": max_tokens}),
        );
        let tokens: usize = some
            .iter()
            .map(|hit| token::estimate(hit["text"].as_str().unwrap()))
            .sum();
        assert!(tokens <= max_tokens, "{tokens} of {max_tokens}");
        assert_eq!(some[..], all[..some.len()], "{max_tokens}");
        assert!(
            some.len() == all.len() || tokens + 40 > max_tokens,
            "{tokens} of {max_tokens}"
        );
    }
}

#[test]
fn a_long_event_is_one_hit_with_the_passage_that_answers() {
    let app = TestApp::start();
    unrelated(&app, "default", 60);
    let filler = |from: usize| -> String {
        (from..from + 300)
            .map(|at| format!("Item {at} of the log is dull, as is item {}. ", at * 3))
            .collect()
    };
    let text = format!(
        "{}The spare key hangs under the figurehead. {}The stove burns peat alone. {}",
        filler(0),
        filler(1000),
        filler(2000)
    );
    assert!(text.split(' ').count() > 3_000);
    let long = remember(&app, &text);
    for (query, answer) in [
        ("Where does the spare key hang?", "figurehead"),
        ("What does the stove burn?", "peat"),
    ] {
        let found = hits(&app, json!({"query": query}));
        let of: Vec<&Value> = found.iter().filter(|hit| hit["id"] == long).collect();
        assert_eq!(of.len(), 1, "{query}");
        let shown = of[0]["text"].as_str().unwrap();
        assert!(
            shown.contains(answer) && shown.len() < text.len() / 3,
            "{query}: {shown}"
        );
    }
}
