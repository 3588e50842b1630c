//! Knowledge notes: kept on their own, changed in place, and gone with every word they ever had.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::decision::{cli, cli_ok, pages, provider_key};
use crate::harness::{Answer, TestApp, handoff, id, made_id, settled, texts};
use crate::process::wait_for;

const PATH: &str = "/api/v1/knowledge";
const KEY: [(&str, &str); 1] = [("idempotency-key", "retry-1")];
/// A word that nothing else in the product holds.
const WORD: &str = "xylographer";

/// Keeps a plain note with these members on top.
#[track_caller]
pub(crate) fn keep(app: &TestApp, over: &Value) -> Answer {
    app.post(PATH, &draft(over))
}

/// Keeps a note of these words; answers its id.
#[track_caller]
pub(crate) fn kept(app: &TestApp, words: &str) -> String {
    id(&keep(app, &json!({"content": words})).created(), "note_id")
}

/// Changes a note.
#[track_caller]
pub(crate) fn patch(app: &TestApp, id: &str, body: &Value) -> Answer {
    let headers = [("content-type", "application/json")];
    let body = body.to_string();
    app.send(
        "PATCH",
        &format!("{PATH}/{id}"),
        &headers,
        Some(body.as_bytes()),
    )
}

fn draft(over: &Value) -> Value {
    let mut draft = json!({"content": "the tide gauge listens on port 502"});
    for (key, value) in over.as_object().unwrap() {
        draft[key] = value.clone();
    }
    draft
}

fn shown(app: &TestApp, id: &str) -> Value {
    app.get(&format!("{PATH}/{id}")).ok()
}

fn listed(app: &TestApp, query: &str) -> Vec<String> {
    let listed = app.get(&format!("{PATH}{query}")).ok();
    texts(&listed["knowledge"], "note_id")
}

fn in_wake_up(app: &TestApp, query: &str) -> Vec<String> {
    let wake_up = app.get(&format!("/api/v1/wake-up{query}")).ok();
    texts(&wake_up["knowledge"], "note_id")
}

fn notes(app: &TestApp) -> f64 {
    app.metric("agent_memory_knowledge_notes_total")
}

fn text_bytes(app: &TestApp) -> f64 {
    app.metric("agent_memory_storage_bytes{type=\"text\"}")
}

/// A note with every member set.
fn full(app: &TestApp) -> (String, Value) {
    let created = keep(
        app,
        &json!({
            "project_id": "harbour", "title": "Gauge", "with_whom": "Ada", "source_handoffs": [made_id("sh", 1)],
            "tags": ["net", "gauge"], "confidence": 0.9, "pinned": true,
        }),
    )
    .created();
    (id(&created, "note_id"), created["note"].clone())
}

#[test]
fn the_calls_of_the_older_interface_work() {
    let app = TestApp::start();
    let source = app.post("/api/v1/handoff", &handoff(&json!({}))).created();
    let created = app
        .post(
            "/api/v1/knowledge",
            &json!({
                "title": "Ports of the harbour", "content": "The tide gauge listens on port 502.",
                "source_handoffs": [source["handoff_id"]], "tags": ["port", "gauge"], "confidence": 0.95,
            }),
        )
        .created();
    assert_eq!(
        created["note"]["source_handoffs"],
        json!([source["handoff_id"]])
    );
    insta::assert_snapshot!(settled(&created), @r#"
    {
      "success": true,
      "note_id": "kn_…",
      "created_at": "2026-03-01T09:30:00.000Z",
      "note": {
        "note_id": "kn_…",
        "tenant_id": "default",
        "title": "Ports of the harbour",
        "content": "The tide gauge listens on port 502.",
        "source_handoffs": [
          "sh_…"
        ],
        "tags": [
          "port",
          "gauge"
        ],
        "confidence": 0.95,
        "pinned": false,
        "created_at": "2026-03-01T09:30:00.000Z",
        "updated_at": "2026-03-01T09:30:00.000Z"
      }
    }
    "#);
    let list = app.get("/api/v1/knowledge?tenant_id=default").ok();
    assert_eq!(list, json!({"knowledge": [created["note"]]}));
    assert_eq!(app.get("/api/v1/knowledge").ok(), list);
    assert_eq!(shown(&app, &id(&created, "note_id")), created["note"]);
}

#[test]
fn a_note_needs_its_content_alone() {
    let app = TestApp::start();
    assert_eq!(app.get(PATH).ok(), json!({"knowledge": []}));
    let created = app.post(PATH, &json!({"content": " port 502\n"})).created();
    insta::assert_snapshot!(settled(&created["note"]), @r#"
    {
      "note_id": "kn_…",
      "tenant_id": "default",
      "content": "port 502",
      "source_handoffs": [],
      "tags": [],
      "confidence": 0.7,
      "pinned": false,
      "created_at": "2026-03-01T09:30:00.000Z",
      "updated_at": "2026-03-01T09:30:00.000Z"
    }
    "#);
    for title in [json!(null), json!(""), json!("  ")] {
        let created = keep(
            &app,
            &json!({"title": title, "with_whom": null, "tags": null}),
        )
        .created();
        assert_eq!(created["note"]["title"], Value::Null, "{title}");
    }
}

#[test]
fn text_is_another_name_of_content() {
    let app = TestApp::start();
    let created = app.post(PATH, &json!({"text": "port 502"})).created();
    assert_eq!(created["note"]["content"], "port 502");
    assert_eq!(created["note"]["text"], Value::Null);
    let changed = patch(&app, &id(&created, "note_id"), &json!({"text": "port 503"})).ok();
    assert_eq!(changed["content"], "port 503");
    app.post(PATH, &json!({"text": "a", "content": "b"}))
        .problem(422);
    patch(
        &app,
        &id(&created, "note_id"),
        &json!({"text": "a", "content": "a"}),
    )
    .problem(422);
    // Both names make the same body.
    let first = app.post_with(PATH, &KEY, &json!({"text": "c"})).created();
    let again = app
        .post_with(PATH, &KEY, &json!({"content": "c"}))
        .created();
    assert_eq!(first, again);
}

#[test]
fn a_note_is_found_by_its_title_its_words_and_its_tags() {
    let app = TestApp::start();
    kept(&app, "paint the buoys");
    let created = keep(
        &app,
        &json!({"title": "Anemometer", "content": "it squeaks", "tags": ["wind"], "source_handoffs": [made_id("sh", 1)]}),
    )
    .created();
    for query in ["anemometer", "squeaks", "wind"] {
        let found = app.post("/api/v1/recall", &json!({"query": query})).ok();
        let hits = found["hits"].as_array().unwrap();
        assert_eq!(hits.len(), 1, "{query} {found}");
        assert_eq!(hits[0]["id"], created["note_id"]);
        assert_eq!(hits[0]["type"], "knowledge");
        assert_eq!(hits[0]["refs"], json!([made_id("sh", 1)]));
    }
    let of = |over: Value| app.recall_with(over);
    assert_eq!(of(json!({"query": "squeaks", "tags": ["wind"]})).len(), 1);
    assert_eq!(of(json!({"query": "squeaks", "tags": ["rain"]})), [""; 0]);
    assert_eq!(
        of(json!({"query": "squeaks", "types": ["knowledge"]})).len(),
        1
    );
    assert_eq!(
        of(json!({"query": "squeaks", "types": ["decision"]})),
        [""; 0]
    );
}

#[test]
fn a_forgotten_note_is_gone_and_its_words_leave_the_files() {
    let app = TestApp::start();
    let other = kept(&app, "paint the buoys");
    let before = text_bytes(&app);
    let created = keep(
        &app,
        &json!({
            "title": format!("The {WORD}"), "content": format!("a {WORD} carves wood. ").repeat(800), "with_whom": WORD,
            "tags": [WORD], "pinned": true,
        }),
    )
    .created();
    assert!(!app.files_with(WORD).is_empty());
    assert_eq!(notes(&app), 2.0);
    let note_id = id(&created, "note_id");
    let path = format!("{PATH}/{note_id}");
    app.delete(&path).forgotten();
    app.get(&path).problem(404);
    app.delete(&path).problem(404);
    patch(&app, &note_id, &json!({"pinned": false})).problem(404);
    assert_eq!(app.recall(WORD), [""; 0]);
    assert_eq!(listed(&app, ""), [other.as_str()]);
    assert_eq!(in_wake_up(&app, ""), [other]);
    assert_eq!((notes(&app), text_bytes(&app)), (1.0, before));
    app.wait_until_erased(WORD);
}

#[test]
fn a_patch_changes_each_member_and_nothing_else() {
    let app = TestApp::start();
    for (member, value) in [
        ("title", json!("Barometer")),
        ("content", json!("it is in the attic")),
        ("with_whom", json!("Bo")),
        (
            "source_handoffs",
            json!([made_id("sh", 2), made_id("sh", 3)]),
        ),
        ("source_handoffs", json!([])),
        ("tags", json!(["attic"])),
        ("tags", json!([])),
        ("confidence", json!(0.0)),
        ("confidence", json!(1.0)),
        ("pinned", json!(false)),
    ] {
        let (note_id, before) = full(&app);
        app.advance_hours(1);
        let changed = patch(&app, &note_id, &json!({member: value})).ok();
        let mut want = before.clone();
        want[member] = value;
        assert_ne!(changed["updated_at"], before["updated_at"]);
        want["updated_at"] = changed["updated_at"].clone();
        assert_eq!(changed, want);
        assert_eq!(shown(&app, &note_id), want);
    }
    assert_eq!(notes(&app), 10.0);
}

#[test]
fn a_patch_of_everything_at_once_is_one_change() {
    let app = TestApp::start();
    let (note_id, _) = full(&app);
    app.advance_hours(2);
    let changed = patch(
        &app,
        &note_id,
        &json!({
            "tenant_id": "default", "title": " Barometer ", "content": " it is in the attic\n", "with_whom": "Bo",
            "source_handoffs": [made_id("sh", 7)], "tags": ["attic", "attic"], "confidence": 0.25, "pinned": false,
        }),
    )
    .ok();
    insta::assert_snapshot!(settled(&changed), @r#"
    {
      "note_id": "kn_…",
      "tenant_id": "default",
      "project_id": "harbour",
      "title": "Barometer",
      "content": "it is in the attic",
      "with_whom": "Bo",
      "source_handoffs": [
        "sh_…"
      ],
      "tags": [
        "attic"
      ],
      "confidence": 0.25,
      "pinned": false,
      "created_at": "2026-03-01T09:30:00.000Z",
      "updated_at": "2026-03-01T11:30:00.000Z"
    }
    "#);
    assert_eq!(listed(&app, ""), [note_id]);
    // "Barometer" and "it is in the attic".
    assert_eq!(text_bytes(&app), 27.0);
}

#[test]
fn null_takes_a_title_or_a_person_away() {
    let app = TestApp::start();
    let (note_id, before) = full(&app);
    let changed = patch(&app, &note_id, &json!({"title": null})).ok();
    let mut want = before;
    want.as_object_mut().unwrap().remove("title");
    assert_eq!(changed, want);
    let changed = patch(&app, &note_id, &json!({"with_whom": null})).ok();
    want.as_object_mut().unwrap().remove("with_whom");
    assert_eq!(changed, want);
    assert_eq!(shown(&app, &note_id), want);
    assert_eq!(
        patch(&app, &note_id, &json!({"title": null, "with_whom": null})).ok(),
        want
    );
    assert_eq!(patch(&app, &note_id, &json!({})).ok(), want);
    // An empty title is none, as when it was written.
    patch(&app, &note_id, &json!({"title": "Gauge"})).ok();
    assert_eq!(patch(&app, &note_id, &json!({"title": " "})).ok(), want);
}

#[test]
fn null_for_what_cannot_be_taken_away_is_refused() {
    let app = TestApp::start();
    let (note_id, before) = full(&app);
    for member in ["content", "tags", "source_handoffs", "confidence", "pinned"] {
        let answer = patch(&app, &note_id, &json!({member: null}));
        assert_eq!(answer.status, 422, "{member}: {}", answer.text());
    }
    assert_eq!(shown(&app, &note_id), before);
}

#[test]
fn a_refused_patch_changes_nothing() {
    let app = TestApp::start();
    let (note_id, before) = full(&app);
    app.advance_hours(1);
    for (field, body) in [
        ("content", json!({"content": ""})),
        ("content", json!({"content": " \n", "title": "new"})),
        (
            "content",
            json!({"content": "<private>all of it</private>"}),
        ),
        ("content", json!({"content": "x".repeat(65_537)})),
        ("content", json!({"content": 5})),
        ("title", json!({"title": "x".repeat(513)})),
        ("title", json!({"title": 5})),
        ("with_whom", json!({"with_whom": ""})),
        ("with_whom", json!({"with_whom": "a\nb"})),
        ("with_whom", json!({"with_whom": "x".repeat(513)})),
        ("with_whom", json!({"with_whom": ["Ada"]})),
        (
            "source_handoffs[1]",
            json!({"source_handoffs": [made_id("sh", 1), "sh_1"]}),
        ),
        (
            "source_handoffs[0]",
            json!({"source_handoffs": [made_id("kn", 1)]}),
        ),
        ("source_handoffs[0]", json!({"source_handoffs": [1]})),
        (
            "source_handoffs",
            json!({"source_handoffs": vec![made_id("sh", 1); 65]}),
        ),
        (
            "source_handoffs",
            json!({"source_handoffs": made_id("sh", 1)}),
        ),
        ("tags", json!({"tags": vec!["t"; 65]})),
        ("tags", json!({"tags": "t"})),
        ("tags[1]", json!({"tags": ["t", " "]})),
        ("tags[0]", json!({"tags": ["x".repeat(129)]})),
        ("tags[0]", json!({"tags": [null]})),
        ("confidence", json!({"confidence": 1.01})),
        ("confidence", json!({"confidence": -0.01})),
        ("confidence", json!({"confidence": "much"})),
        ("pinned", json!({"pinned": "yes"})),
        ("pinned", json!({"pinned": 1, "title": "new"})),
        ("project_id", json!({"project_id": "other"})),
        ("note_id", json!({"note_id": made_id("kn", 1)})),
        ("created_at", json!({"created_at": "2026-01-01T00:00:00Z"})),
        ("updated_at", json!({"updated_at": "2026-01-01T00:00:00Z"})),
        ("titel", json!({"titel": "a typo", "content": "new"})),
        ("tenant_id", json!({"tenant_id": "a b"})),
        ("body", json!([])),
        ("body", json!(null)),
        ("body", json!("content")),
    ] {
        patch(&app, &note_id, &body).blames(422, field);
    }
    let path = format!("{PATH}/{note_id}");
    let json = [("content-type", "application/json")];
    app.send("PATCH", &path, &json, Some(b"")).problem(400);
    app.send("PATCH", &path, &json, Some(b"{\"content\": \"a\""))
        .problem(400);
    app.send(
        "PATCH",
        &path,
        &json,
        Some(b"{\"title\": \"a\", \"title\": \"b\"}"),
    )
    .problem(422);
    app.send(
        "PATCH",
        &path,
        &[("content-type", "text/plain")],
        Some(b"{}"),
    )
    .problem(415);
    app.send("PATCH", &format!("{path}?pinned=true"), &json, Some(b"{}"))
        .blames(422, "pinned");
    app.send(
        "PATCH",
        &format!("{path}?tenant_id=other"),
        &json,
        Some(b"{\"tenant_id\": \"default\"}"),
    )
    .blames(422, "tenant_id");
    app.send("PUT", &path, &json, Some(b"{}")).problem(405);
    patch(&app, "kn_1", &json!({})).blames(422, "id");
    patch(&app, &made_id("kn", 1), &json!({"pinned": true})).problem(404);
    patch(&app, &made_id("kn", 1), &json!({"confidence": 7})).is(404);
    assert_eq!(shown(&app, &note_id), before);
    assert_eq!(app.recall("tide gauge"), [note_id]);
    assert_eq!(app.recall("new"), [""; 0]);
}

#[test]
fn recall_finds_the_words_a_note_has_and_not_those_it_had() {
    let app = TestApp::start();
    let other = kept(&app, "paint the buoys");
    let note_id = kept(&app, "the anemometer squeaks");
    let bystander = kept(&app, "an anemometer costs money");
    patch(&app, &note_id, &json!({"content": "the windsock is torn"})).ok();
    assert_eq!(app.recall("windsock"), [note_id.as_str()]);
    assert_eq!(app.recall("squeaks"), [""; 0]);
    assert_eq!(app.recall("anemometer"), [bystander.as_str()]);
    patch(
        &app,
        &note_id,
        &json!({"title": "Heliograph", "tags": ["signal"]}),
    )
    .ok();
    for query in ["heliograph", "signal", "windsock"] {
        assert_eq!(app.recall(query), [note_id.as_str()], "{query}");
    }
    patch(&app, &note_id, &json!({"title": null, "tags": []})).ok();
    for query in ["heliograph", "signal"] {
        assert_eq!(app.recall(query), [""; 0], "{query}");
    }
    // What does not change the words does not take them away.
    patch(
        &app,
        &note_id,
        &json!({"pinned": true, "confidence": 0.1, "with_whom": "Ada"}),
    )
    .ok();
    assert_eq!(app.recall("windsock"), [note_id.as_str()]);
    // From one passage to many and back.
    let long = format!("{} zeppelin", "the windsock is torn. ".repeat(2_000));
    patch(&app, &note_id, &json!({"content": long})).ok();
    assert_eq!(app.recall("zeppelin"), [note_id.as_str()]);
    assert_eq!(shown(&app, &note_id)["content"], long);
    patch(&app, &note_id, &json!({"content": "short"})).ok();
    assert_eq!(app.recall("zeppelin windsock"), [""; 0]);
    assert_eq!(app.recall("short"), [note_id.as_str()]);
    assert_eq!(app.recall("buoys"), [other]);
    let restarted = app.restarted();
    assert_eq!(restarted.recall("short"), [note_id.as_str()]);
    assert!(!cli_ok(restarted.file(), &["doctor"]).contains("WRONG"));
}

#[test]
fn the_words_a_note_had_leave_the_files() {
    let app = TestApp::start();
    let note_id = kept(&app, "paint the buoys");
    for (member, value, after) in [
        (
            "content",
            json!(format!("a {WORD} carves wood. ").repeat(900)),
            json!("paint the buoys"),
        ),
        ("title", json!(format!("The {WORD}")), json!(null)),
        ("tags", json!([WORD]), json!(["wood"])),
        ("content", json!(format!("one {WORD}")), json!("one carver")),
    ] {
        patch(&app, &note_id, &json!({member: value})).ok();
        assert!(!app.files_with(WORD).is_empty(), "{member}");
        patch(&app, &note_id, &json!({member: after})).ok();
        assert_eq!(app.recall(WORD), [""; 0], "{member}");
        app.wait_until_erased(WORD);
    }
}

#[test]
fn a_person_taken_out_of_a_note_leaves_the_files() {
    let app = TestApp::start();
    let note_id = id(
        &keep(&app, &json!({"with_whom": WORD})).created(),
        "note_id",
    );
    assert!(!app.files_with(WORD).is_empty());
    patch(&app, &note_id, &json!({"with_whom": null})).ok();
    assert!(!shown(&app, &note_id).to_string().contains(WORD));
    app.wait_until_erased(WORD);
}

#[test]
fn pinned_notes_come_first_in_the_wake_up() {
    let app = TestApp::start();
    let ids: Vec<_> = (0..6)
        .map(|index| {
            let project = [json!(null), json!("alpha"), json!("beta")][index % 3].clone();
            let over = json!({"content": format!("number {index}"), "pinned": index < 2, "project_id": project, "title": format!("T{index}")});
            id(&keep(&app, &over).created(), "note_id")
        })
        .collect();
    let want = |numbers: &[usize]| -> Vec<String> {
        numbers.iter().map(|number| ids[*number].clone()).collect()
    };
    assert_eq!(in_wake_up(&app, ""), want(&[1, 0, 5, 4, 3, 2]));
    assert_eq!(in_wake_up(&app, "?project_id=alpha"), want(&[1, 0, 4, 3]));
    assert_eq!(in_wake_up(&app, "?project_id=beta"), want(&[0, 5, 3, 2]));
    assert_eq!(in_wake_up(&app, "?project_id=unheard-of"), want(&[0, 3]));
    patch(&app, &ids[3], &json!({"pinned": true})).ok();
    patch(&app, &ids[0], &json!({"pinned": false})).ok();
    assert_eq!(in_wake_up(&app, ""), want(&[3, 1, 5, 4, 2, 0]));
    let wake_up = app.get("/api/v1/wake-up?project_id=alpha").ok();
    insta::assert_snapshot!(settled(&wake_up["knowledge"][0]), @r#"
    {
      "note_id": "kn_…",
      "title": "T3",
      "content": "number 3",
      "pinned": true
    }
    "#);
    insta::assert_snapshot!(id(&wake_up, "context"), @r#"
    ## Notes
    - T3: number 3
    - T1: number 1
    - T4: number 4
    - T0: number 0
    "#);
    // Newer ones do not push a pinned one out.
    for index in 0..12 {
        kept(&app, &format!("later {index}"));
    }
    let shown = in_wake_up(&app, "");
    assert_eq!(shown[..2], want(&[3, 1]));
    assert!((3..=10).contains(&shown.len()), "{shown:?}");
}

#[test]
fn a_list_is_narrowed_by_pin_and_project() {
    let app = TestApp::start();
    let ids: Vec<_> = (0..6)
        .map(|index| {
            let project = [json!("alpha"), json!("beta"), json!(null)][index % 3].clone();
            let over = json!({"pinned": index < 3, "project_id": project});
            let created = keep(&app, &over).created();
            assert_eq!(created["note"]["project_id"], project);
            id(&created, "note_id")
        })
        .collect();
    let want = |numbers: &[usize]| -> Vec<String> {
        numbers.iter().map(|number| ids[*number].clone()).collect()
    };
    assert_eq!(listed(&app, ""), ids);
    assert_eq!(listed(&app, "?pinned=true"), want(&[0, 1, 2]));
    assert_eq!(listed(&app, "?pinned=false&order=desc"), want(&[5, 4, 3]));
    assert_eq!(listed(&app, "?project_id=alpha"), want(&[0, 2, 3, 5]));
    assert_eq!(listed(&app, "?project_id=alpha&pinned=true"), want(&[0, 2]));
    assert_eq!(listed(&app, "?project_id=unheard-of"), want(&[2, 5]));
    assert_eq!(
        app.recall_with(json!({"query": "gauge", "project_id": "beta"}))
            .len(),
        4
    );
    for (query, field) in [
        ("?pinned=yes", "pinned"),
        ("?pinned=", "pinned"),
        ("?pinned=1", "pinned"),
        ("?project_id=", "project_id"),
        ("?tag=x", "tag"),
        ("?limit=0", "limit"),
        ("?limit=1001", "limit"),
        ("?order=up", "order"),
        ("?cursor=xyz", "cursor"),
    ] {
        app.get(&format!("{PATH}{query}")).blames(422, field);
    }
}

#[test]
fn paging_by_ones_shows_each_once_in_both_directions() {
    let app = TestApp::start();
    // All at one time, but for the last.
    let ids: Vec<_> = (0..7)
        .map(|index| {
            if index == 6 {
                app.advance_hours(1);
            }
            let project = [json!("p"), json!("q"), json!(null)][index % 3].clone();
            let over = json!({"project_id": project, "pinned": index % 2 == 0});
            id(&keep(&app, &over).created(), "note_id")
        })
        .collect();
    // A change does not move a note.
    patch(&app, &ids[1], &json!({"content": "changed"})).ok();
    for (filter, numbers) in [
        ("", &[0, 1, 2, 3, 4, 5, 6][..]),
        ("&project_id=p", &[0, 2, 3, 5, 6]),
        ("&pinned=true", &[0, 2, 4, 6]),
        ("&pinned=false&project_id=q", &[1, 5]),
        ("&project_id=nobody", &[2, 5]),
    ] {
        let mut want: Vec<_> = numbers.iter().map(|number| ids[*number].clone()).collect();
        for order in ["asc", "desc"] {
            let path = format!("{PATH}?limit=1&order={order}{filter}");
            assert_eq!(
                pages(&app, &path, "knowledge", "note_id"),
                want,
                "{filter} {order}"
            );
            want.reverse();
        }
    }
    let cursor = id(&app.get(&format!("{PATH}?limit=1")).ok(), "next_cursor");
    app.get(&format!("/api/v1/decisions?cursor={cursor}"))
        .blames(422, "cursor");
}

#[test]
fn the_same_id_again_gets_the_same_answer_and_other_words_are_a_conflict() {
    let app = TestApp::start();
    let body = json!({"note_id": made_id("kn", 1), "content": "one", "tags": ["a"]});
    let first = keep(&app, &body).created();
    assert_eq!(first["note_id"], made_id("kn", 1));
    app.advance_hours(1);
    assert_eq!(keep(&app, &body).created(), first);
    for other in [
        json!({"note_id": made_id("kn", 1), "content": "two", "tags": ["a"]}),
        json!({"note_id": made_id("kn", 1), "content": "one"}),
        json!({"note_id": made_id("kn", 1), "content": "one", "tags": ["a"], "pinned": true}),
        json!({"note_id": made_id("kn", 1), "content": "one", "tags": ["a"], "confidence": 0.5}),
        json!({"note_id": made_id("kn", 1), "content": "one", "tags": ["a"], "title": "a"}),
    ] {
        keep(&app, &other).problem(409);
    }
    assert_eq!(notes(&app), 1.0);
    // A late repetition does not undo a change.
    patch(&app, &made_id("kn", 1), &json!({"content": "changed"})).ok();
    keep(&app, &body).created();
    assert_eq!(shown(&app, &made_id("kn", 1))["content"], "changed");
    let ours = kept(&app, "three");
    keep(&app, &json!({"note_id": ours, "content": "three"})).problem(409);
}

#[test]
fn a_repeated_write_under_a_key_stores_once() {
    let app = TestApp::start();
    let body = draft(&json!({"tags": ["a"]}));
    let first = app.post_with(PATH, &KEY, &body).created();
    app.advance_hours(1);
    assert_eq!(app.post_with(PATH, &KEY, &body).created(), first);
    app.post_with(PATH, &KEY, &draft(&json!({"content": "other"})))
        .problem(409);
    // The same key on another route is another key.
    app.post_with("/api/v1/decisions", &KEY, &json!({"decision": "x"}))
        .created();
    assert_eq!(notes(&app), 1.0);
    app.delete(&format!("{PATH}/{}", id(&first, "note_id")))
        .forgotten();
    app.post_with(PATH, &KEY, &body).problem(409);
    assert_eq!(listed(&app, ""), [""; 0]);
    assert_eq!(notes(&app), 0.0);
    app.advance_hours(24);
    app.post_with(PATH, &KEY, &body).created();
}

#[test]
fn secrets_in_a_note_are_never_stored() {
    let app = TestApp::start();
    let key = provider_key();
    let redactions = || app.metric("agent_memory_redactions_total{kind=\"anthropic_key\"}");
    let created = keep(
        &app,
        &json!({
            "project_id": format!("p {key}"), "title": format!("about {key}"), "content": format!("use {key} today"),
            "with_whom": format!("Ada {key}"), "tags": ["plain", key],
        }),
    )
    .created();
    assert_eq!(
        created["note"]["content"],
        "use [REDACTED:anthropic_key] today"
    );
    assert_eq!(
        created["note"]["tags"],
        json!(["plain", "[REDACTED:anthropic_key]"])
    );
    assert_eq!(redactions(), 5.0);
    let note_id = id(&created, "note_id");
    let changed = patch(
        &app,
        &note_id,
        &json!({
            "title": key, "content": format!("now {key} and {key}"), "with_whom": key, "tags": [format!("t {key}")],
        }),
    )
    .ok();
    assert_eq!(changed["title"], "[REDACTED:anthropic_key]");
    assert_eq!(changed["with_whom"], "[REDACTED:anthropic_key]");
    assert_eq!(redactions(), 10.0);
    for refused in [
        keep(&app, &json!({"note_id": key})).problem(422),
        keep(&app, &json!({"source_handoffs": [key]})).problem(422),
        keep(&app, &json!({"tags": key})).problem(422),
        keep(&app, &json!({"confidence": key})).problem(422),
        patch(&app, &note_id, &json!({"tags": key})).problem(422),
        patch(&app, &note_id, &json!({"source_handoffs": [key]})).problem(422),
        patch(&app, &note_id, &json!({"title": key, "confidence": 2})).problem(422),
    ] {
        assert!(!refused.to_string().contains("Zq7Xw9Lk2Mv4"), "{refused}");
    }
    assert!(!format!("{created}{changed}").contains("Zq7Xw9Lk2Mv4"));
    assert!(app.files_with("Zq7Xw9Lk2Mv4").is_empty());
    // What was refused was not counted.
    assert_eq!(redactions(), 10.0);
    let private = json!({"content": format!("go <private>{WORD}</private> on"), "title": format!("a<private>{WORD}</private>")});
    assert_eq!(keep(&app, &private).created()["note"]["title"], "a");
    patch(&app, &note_id, &private).ok();
    assert!(app.files_with(WORD).is_empty());
}

#[test]
fn a_title_that_is_private_altogether_is_none() {
    let app = TestApp::start();
    let created = keep(&app, &json!({"title": "<private>all of it</private>"})).created();
    assert_eq!(created["note"]["title"], Value::Null);
    let (note_id, _) = full(&app);
    let changed = patch(
        &app,
        &note_id,
        &json!({"title": "<private>all of it</private>"}),
    )
    .ok();
    assert_eq!(changed["title"], Value::Null);
}

#[test]
fn what_is_out_of_bounds_or_of_the_wrong_shape_is_named() {
    let app = TestApp::start();
    for (field, over) in [
        ("content", json!({"content": ""})),
        ("content", json!({"content": " \n"})),
        ("content", json!({"content": "x".repeat(65_537)})),
        ("content", json!({"content": null})),
        ("content", json!({"content": {"text": "a"}})),
        ("title", json!({"title": "x".repeat(513)})),
        ("title", json!({"title": 5})),
        ("with_whom", json!({"with_whom": " "})),
        ("with_whom", json!({"with_whom": "x".repeat(513)})),
        ("with_whom", json!({"with_whom": "a\u{7f}"})),
        ("with_whom", json!({"with_whom": {}})),
        ("project_id", json!({"project_id": ""})),
        ("project_id", json!({"project_id": "x".repeat(513)})),
        ("project_id", json!({"project_id": 1})),
        (
            "source_handoffs",
            json!({"source_handoffs": vec![made_id("sh", 1); 65]}),
        ),
        ("source_handoffs[0]", json!({"source_handoffs": ["sh_1"]})),
        (
            "source_handoffs[1]",
            json!({"source_handoffs": [made_id("sh", 1), made_id("dec", 1)]}),
        ),
        ("source_handoffs[0]", json!({"source_handoffs": [null]})),
        (
            "source_handoffs",
            json!({"source_handoffs": made_id("sh", 1)}),
        ),
        ("tags", json!({"tags": vec!["t"; 65]})),
        ("tags", json!({"tags": "t"})),
        ("tags[0]", json!({"tags": [""]})),
        ("tags[0]", json!({"tags": ["x".repeat(129)]})),
        ("confidence", json!({"confidence": 1.01})),
        ("confidence", json!({"confidence": -0.1})),
        ("confidence", json!({"confidence": "0.5"})),
        ("confidence", json!({"confidence": true})),
        ("pinned", json!({"pinned": "true"})),
        ("pinned", json!({"pinned": 0})),
        ("note_id", json!({"note_id": "kn_1"})),
        ("note_id", json!({"note_id": made_id("dec", 1)})),
        ("note_id", json!({"note_id": 1})),
        ("tenant_id", json!({"tenant_id": ""})),
        ("created_at", json!({"created_at": "2026-01-01T00:00:00Z"})),
        ("refs", json!({"refs": ["a"]})),
        ("tag", json!({"tag": "a"})),
    ] {
        keep(&app, &over).blames(422, field);
    }
    app.post(PATH, &json!({})).blames(422, "body");
    app.post(PATH, &json!([{"content": "a"}]))
        .blames(422, "body");
    app.post_bytes(PATH, b"{\"content\": \"a\", \"confidence\": NaN}")
        .problem(400);
    app.post_bytes(PATH, b"").problem(400);
    app.post(&format!("{PATH}?pinned=true"), &draft(&json!({})))
        .blames(422, "pinned");
    app.get(&format!("{PATH}/xyz")).blames(422, "id");
    app.delete(&format!("{PATH}/{}", made_id("dec", 1)))
        .blames(422, "id");
    app.get(&format!("{PATH}/{}", made_id("kn", 1)))
        .problem(404);
    assert_eq!(app.get(PATH).ok(), json!({"knowledge": []}));
    assert_eq!(text_bytes(&app), 0.0);
    let tags: Vec<_> = (0..64).map(|index| format!("{index:0128}")).collect();
    let sources: Vec<_> = (0..64).map(|index| made_id("sh", index)).collect();
    let created = keep(
        &app,
        &json!({
            "content": "x".repeat(65_536), "title": "t".repeat(512), "with_whom": "w".repeat(512), "tags": tags,
            "source_handoffs": sources, "confidence": 1, "project_id": "p".repeat(512),
        }),
    )
    .created();
    assert_eq!(created["note"]["tags"], json!(tags));
    assert_eq!(created["note"]["source_handoffs"], json!(sources));
    assert_eq!(created["note"]["confidence"], 1.0);
    assert_eq!(text_bytes(&app), f64::from(65_536 + 512));
    keep(&app, &json!({"confidence": 0})).created();
}

#[test]
fn another_tenants_note_looks_just_like_an_unknown_one() {
    let app = TestApp::start();
    let same = [
        ("x-request-id", "same"),
        ("x-tenant-id", "stranger"),
        ("content-type", "application/json"),
    ];
    let own = keep(&app, &json!({"tenant_id": "stranger", "content": "mine"})).created();
    let theirs = id(
        &keep(&app, &json!({"content": "the quay", "pinned": true})).created(),
        "note_id",
    );
    let before = shown(&app, &theirs);
    for (method, body) in [
        ("GET", None),
        ("DELETE", None),
        ("PATCH", Some("{}")),
        ("PATCH", Some("{\"content\": \"taken over\"}")),
    ] {
        let call = |id: &str| {
            app.send(
                method,
                &format!("{PATH}/{id}"),
                &same,
                body.map(str::as_bytes),
            )
        };
        let (one, other) = (call(&theirs), call(&made_id("kn", 1)));
        one.problem(404);
        assert_eq!(one.text(), other.text(), "{method}");
        let names = |answer: &Answer| {
            let names = answer.headers.keys().map(ToString::to_string);
            names.collect::<BTreeSet<_>>()
        };
        assert_eq!(names(&one), names(&other), "{method}");
    }
    assert_eq!(shown(&app, &theirs), before);
    assert_eq!(listed(&app, "?tenant_id=stranger"), [id(&own, "note_id")]);
    assert_eq!(listed(&app, "?tenant_id=nobody"), [""; 0]);
    assert_eq!(
        in_wake_up(&app, "?tenant_id=stranger"),
        [id(&own, "note_id")]
    );
    assert_eq!(
        app.recall_with(json!({"query": "quay", "tenant_id": "stranger"})),
        [""; 0]
    );
    // The same id twice, in two tenants.
    for tenant in ["a", "b"] {
        keep(
            &app,
            &json!({"tenant_id": tenant, "note_id": made_id("kn", 5), "content": tenant}),
        )
        .created();
    }
    patch(
        &app,
        &made_id("kn", 5),
        &json!({"tenant_id": "a", "content": "changed"}),
    )
    .ok();
    let of = |tenant: &str| {
        let path = format!("{PATH}/{}?tenant_id={tenant}", made_id("kn", 5));
        id(&app.get(&path).ok(), "content")
    };
    assert_eq!((of("a"), of("b")), ("changed".to_owned(), "b".to_owned()));
}

#[test]
fn notes_are_kept_shown_and_forgotten_without_a_server() {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("memory.db");
    let plain = cli_ok(&db, &["note", "paint the buoys"]);
    let pinned = cli_ok(
        &db,
        &[
            "note",
            "the tide gauge listens on port 502",
            "--title",
            "Ports",
            "--tag",
            "port",
            "--tag",
            "gauge",
            "--confidence",
            "0.9",
            "--project",
            "harbour",
            "--pin",
        ],
    );
    assert!(pinned.starts_with("kn_") && pinned.len() == 35, "{pinned}");
    let mut shown: Value = serde_json::from_str(&cli_ok(&db, &["show", &pinned])).unwrap();
    shown["created_at"] = json!("…");
    shown["updated_at"] = json!("…");
    insta::assert_snapshot!(settled(&shown), @r#"
    {
      "note_id": "kn_…",
      "tenant_id": "default",
      "project_id": "harbour",
      "title": "Ports",
      "content": "the tide gauge listens on port 502",
      "source_handoffs": [],
      "tags": [
        "port",
        "gauge"
      ],
      "confidence": 0.9,
      "pinned": true,
      "created_at": "…",
      "updated_at": "…"
    }
    "#);
    let later = cli_ok(&db, &["note", "the demo is on Thursday", "--json"]);
    let later: Value = serde_json::from_str(&later).unwrap();
    assert_eq!(
        (&later["pinned"], &later["confidence"]),
        (&json!(false), &json!(0.7))
    );
    let later = id(&later, "note_id");
    let list = cli_ok(&db, &["list", "knowledge"]);
    let lines: Vec<&str> = list.lines().collect();
    assert_eq!(lines.len(), 3, "{list}");
    for (line, (note_id, words)) in lines.iter().zip([
        (&later, "demo"),
        (&pinned, "Ports the tide gauge"),
        (&plain, "buoys"),
    ]) {
        assert!(
            line.starts_with(note_id.as_str()) && line.contains(words),
            "{list}"
        );
    }
    let first = cli_ok(
        &db,
        &[
            "list",
            "knowledge",
            "--limit",
            "1",
            "--order",
            "asc",
            "--json",
        ],
    );
    let first: Value = serde_json::from_str(&first).unwrap();
    assert_eq!(texts(&first["knowledge"], "note_id"), [plain]);
    assert!(first["next_cursor"].is_string());
    let wake_up = cli_ok(&db, &["wake-up"]);
    let at = |words: &str| {
        wake_up
            .find(words)
            .unwrap_or_else(|| panic!("{words}: {wake_up}"))
    };
    assert!(
        at("port 502") < at("Thursday") && at("Thursday") < at("buoys"),
        "{wake_up}"
    );
    assert!(cli_ok(&db, &["recall", "which port"]).contains(&pinned));
    for (code, args) in [
        (2, vec!["note", " "]),
        (2, vec!["note"]),
        (2, vec!["note", "x", "--confidence", "2"]),
        (2, vec!["note", "x", "--confidence", "much"]),
        (2, vec!["show", "kn_1"]),
        (4, vec!["show", &made_id("kn", 1)]),
        (4, vec!["--tenant", "other", "forget", &pinned]),
        (2, vec!["forget", "kn_1"]),
    ] {
        let (got, out, err) = cli(&db, &args);
        assert_eq!(got, code, "{args:?}: {out}{err}");
        assert!(!err.trim().is_empty() && out.is_empty(), "{args:?}: {out}");
    }
    assert_eq!(cli_ok(&db, &["forget", &pinned]), "forgotten");
    assert_eq!(cli(&db, &["show", &pinned]).0, 4);
    assert!(!cli_ok(&db, &["wake-up"]).contains("502"));
    assert!(!cli_ok(&db, &["doctor"]).contains("WRONG"));
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(8).any(|window| window == b"port 502"));
    }
}

#[test]
fn the_command_line_and_a_server_keep_the_same_notes() {
    let app = TestApp::start();
    let note_id = cli_ok(app.file(), &["note", "the anemometer squeaks", "--pin"]);
    assert_eq!(in_wake_up(&app, ""), [note_id.as_str()]);
    patch(&app, &note_id, &json!({"content": "the windsock is torn"})).ok();
    assert!(!cli_ok(app.file(), &["recall", "anemometer"]).contains("kn_"));
    wait_for("the server's count", || (notes(&app) == 1.0).then_some(()));
    cli_ok(app.file(), &["forget", &note_id]);
    app.get(&format!("{PATH}/{note_id}")).problem(404);
    app.wait_until_erased("windsock");
    wait_for("the server's count", || (notes(&app) == 0.0).then_some(()));
}
