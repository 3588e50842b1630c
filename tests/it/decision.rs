//! Decisions: a ledger in which one takes another's place, and nothing else changes.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::harness::{Answer, TestApp, id, made_id, settled, texts};
use crate::process::command;

const PATH: &str = "/api/v1/decisions";
const KEY: [(&str, &str); 1] = [("idempotency-key", "retry-1")];
/// A word that nothing else in the product holds.
const WORD: &str = "xylographer";

/// Records a plain decision with these members on top.
#[track_caller]
pub(crate) fn decide(app: &TestApp, over: &Value) -> Answer {
    app.post(PATH, &draft(over))
}

/// Records a decision of these words; answers its id.
#[track_caller]
pub(crate) fn decided(app: &TestApp, words: &str) -> String {
    let created = decide(app, &json!({"decision": words})).created();
    id(&created, "decision_id")
}

/// Puts something in a decision's place.
#[track_caller]
pub(crate) fn supersede(app: &TestApp, old: &str, body: &Value) -> Answer {
    app.post(&format!("{PATH}/{old}/supersede"), body)
}

/// The ids of a list, page by page.
#[track_caller]
pub(crate) fn pages(app: &TestApp, path: &str, list: &str, key: &str) -> Vec<String> {
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = app.get(&format!("{path}{cursor}")).ok();
        assert!(page[list].as_array().unwrap().len() <= 1, "{path}");
        seen.extend(texts(&page[list], key));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return seen,
        }
    }
}

/// Runs the binary on a file; its exit code, and what it printed on each stream.
pub(crate) fn cli(db: &Path, args: &[&str]) -> (i32, String, String) {
    let output = command(db)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// The same, where it has to go well; what it printed.
#[track_caller]
pub(crate) fn cli_ok(db: &Path, args: &[&str]) -> String {
    let (code, out, err) = cli(db, args);
    assert_eq!((code, err.as_str()), (0, ""), "{args:?}: {out}");
    out.trim_end().to_owned()
}

/// A provider's key, put together here so that no scanner mistakes this file for a leak.
pub(crate) fn provider_key() -> String {
    format!("sk-{}-api03-{}", "ant", "Zq7Xw9Lk2Mv4".repeat(3))
}

fn draft(over: &Value) -> Value {
    let mut draft = json!({"decision": "keep the tide gauge"});
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
    texts(&listed["decisions"], "decision_id")
}

fn in_wake_up(app: &TestApp, query: &str) -> Vec<String> {
    let wake_up = app.get(&format!("/api/v1/wake-up{query}")).ok();
    texts(&wake_up["recent_decisions"], "decision_id")
}

fn count(app: &TestApp, status: &str) -> f64 {
    app.metric(&format!(
        "agent_memory_decisions_total{{status=\"{status}\"}}"
    ))
}

fn hit(app: &TestApp, query: &str) -> Value {
    let found = app.post("/api/v1/recall", &json!({"query": query})).ok();
    assert_eq!(found["hits"].as_array().unwrap().len(), 1, "{found}");
    found["hits"][0].clone()
}

/// The hit that a superseded decision is found as: right below what took its place.
fn hit_below(app: &TestApp, query: &str, successor: &str) -> Value {
    let found = app.post("/api/v1/recall", &json!({"query": query})).ok();
    assert_eq!(found["hits"].as_array().unwrap().len(), 2, "{found}");
    assert_eq!(found["hits"][0]["id"], successor);
    found["hits"][1].clone()
}

#[test]
fn a_decision_is_kept_with_its_reasons() {
    let app = TestApp::start();
    let created = decide(
        &app,
        &json!({
            "project_id": "harbour", "scope": "policy", "decision": "WAL with synchronous=FULL",
            "rationale": ["survives a power loss", "one writer anyway"], "constraints": ["one machine"],
            "alternatives": ["synchronous=NORMAL"], "consequences": ["an fsync a group"], "refs": ["docs/durability.md"],
        }),
    )
    .created();
    insta::assert_snapshot!(settled(&created), @r#"
    {
      "success": true,
      "decision_id": "dec_…",
      "ts": "2026-03-01T09:30:00.000Z",
      "decision": {
        "decision_id": "dec_…",
        "tenant_id": "default",
        "project_id": "harbour",
        "ts": "2026-03-01T09:30:00.000Z",
        "status": "active",
        "scope": "policy",
        "decision": "WAL with synchronous=FULL",
        "rationale": [
          "survives a power loss",
          "one writer anyway"
        ],
        "constraints": [
          "one machine"
        ],
        "alternatives": [
          "synchronous=NORMAL"
        ],
        "consequences": [
          "an fsync a group"
        ],
        "refs": [
          "docs/durability.md"
        ]
      }
    }
    "#);
    let decision_id = id(&created, "decision_id");
    assert_eq!(shown(&app, &decision_id), created["decision"]);
    let list = app.get(PATH).ok();
    assert_eq!(list, json!({"decisions": [created["decision"]]}));
}

#[test]
fn a_decision_needs_its_statement_alone() {
    let app = TestApp::start();
    let created = app
        .post(PATH, &json!({"decision": "  keep the gauge \n"}))
        .created();
    insta::assert_snapshot!(settled(&created["decision"]), @r#"
    {
      "decision_id": "dec_…",
      "tenant_id": "default",
      "ts": "2026-03-01T09:30:00.000Z",
      "status": "active",
      "scope": "project",
      "decision": "keep the gauge",
      "rationale": [],
      "constraints": [],
      "alternatives": [],
      "consequences": [],
      "refs": []
    }
    "#);
}

#[test]
fn the_call_of_the_older_interface_lists_what_there_is() {
    let app = TestApp::start();
    for query in ["", "?tenant_id=default", "?tenant_id=default&limit=5"] {
        assert_eq!(
            app.get(&format!("{PATH}{query}")).ok(),
            json!({"decisions": []})
        );
    }
    let ids = ["one", "two"].map(|words| decided(&app, words));
    for query in ["", "?tenant_id=default", "?tenant_id=default&limit=5"] {
        assert_eq!(listed(&app, query), ids);
    }
}

#[test]
fn every_reason_is_found_and_leads_to_its_decision() {
    let app = TestApp::start();
    decided(&app, "paint the buoys");
    let created = decide(
        &app,
        &json!({
            "decision": "keep the anemometer", "rationale": ["gusts"], "constraints": ["brine"],
            "alternatives": ["windsock"], "consequences": ["calibration"], "refs": ["docs/wind.md"],
        }),
    )
    .created();
    for word in ["anemometer", "gusts", "brine", "windsock", "calibration"] {
        let hit = hit(&app, word);
        assert_eq!(hit["id"], created["decision_id"], "{word}");
        assert_eq!(hit["type"], "decision");
        assert_eq!(hit["refs"], json!(["docs/wind.md"]));
        assert_eq!(hit["superseded_by"], Value::Null);
    }
    let of = |types: Value| app.recall_with(json!({"query": "anemometer", "types": types}));
    assert_eq!(of(json!(["decision"])).len(), 1);
    assert_eq!(of(json!(["event", "handoff", "knowledge"])), [""; 0]);
}

#[test]
fn a_forgotten_decision_is_gone_and_its_words_leave_the_files() {
    let app = TestApp::start();
    let kept = decided(&app, "keep the tide gauge");
    let before = app.metric("agent_memory_storage_bytes{type=\"text\"}");
    let created = decide(
        &app,
        &json!({
            "decision": format!("hire a {WORD}"), "rationale": [format!("{WORD}s carve")], "constraints": [WORD],
            "alternatives": [format!("no {WORD}")], "consequences": [format!("{WORD} paid")], "refs": [format!("{WORD}.md")],
        }),
    )
    .created();
    assert!(!app.files_with(WORD).is_empty());
    let path = format!("{PATH}/{}", id(&created, "decision_id"));
    app.delete(&path).forgotten();
    app.get(&path).problem(404);
    app.delete(&path).problem(404);
    app.post(&format!("{path}/supersede"), &json!({"decision": "x"}))
        .problem(404);
    assert_eq!(app.recall(WORD), [""; 0]);
    assert_eq!(listed(&app, ""), [kept.as_str()]);
    assert_eq!(in_wake_up(&app, ""), [kept]);
    assert_eq!(
        app.metric("agent_memory_storage_bytes{type=\"text\"}"),
        before
    );
    assert_eq!(count(&app, "active"), 1.0);
    app.wait_until_erased(WORD);
}

#[test]
fn a_new_decision_takes_the_place_of_one_that_holds() {
    let app = TestApp::start();
    let old = decided(&app, "moor at the north quay");
    app.advance_hours(1);
    let answer = supersede(
        &app,
        &old,
        &json!({"decision": "moor at the south pier", "scope": "global"}),
    )
    .created();
    insta::assert_snapshot!(settled(&answer), @r#"
    {
      "success": true,
      "decision": {
        "decision_id": "dec_…",
        "tenant_id": "default",
        "ts": "2026-03-01T10:30:00.000Z",
        "status": "active",
        "scope": "global",
        "decision": "moor at the south pier",
        "rationale": [],
        "constraints": [],
        "alternatives": [],
        "consequences": [],
        "refs": []
      },
      "superseded": {
        "decision_id": "dec_…",
        "tenant_id": "default",
        "ts": "2026-03-01T09:30:00.000Z",
        "status": "superseded",
        "scope": "project",
        "decision": "moor at the north quay",
        "rationale": [],
        "constraints": [],
        "alternatives": [],
        "consequences": [],
        "refs": [],
        "superseded_by": "dec_…"
      }
    }
    "#);
    assert_eq!(answer["superseded"]["decision_id"], old);
    assert_eq!(
        answer["superseded"]["superseded_by"],
        answer["decision"]["decision_id"]
    );
    let new = id(&answer["decision"], "decision_id");
    assert_eq!(shown(&app, &old), answer["superseded"]);
    assert_eq!(shown(&app, &new), answer["decision"]);
    let list = app.get(PATH).ok();
    assert_eq!(
        list["decisions"],
        json!([answer["superseded"], answer["decision"]])
    );
    assert_eq!(hit_below(&app, "north", &new)["superseded_by"], new);
    assert_eq!(hit(&app, "south")["superseded_by"], Value::Null);
    let wake_up = app.get("/api/v1/wake-up").ok();
    assert_eq!(
        texts(&wake_up["recent_decisions"], "decision_id"),
        [new.as_str()]
    );
    let context = id(&wake_up, "context");
    assert!(
        context.contains("south pier") && !context.contains("north"),
        "{context}"
    );
    assert_eq!(
        (count(&app, "active"), count(&app, "superseded")),
        (1.0, 1.0)
    );
}

#[test]
fn a_decision_that_is_there_takes_the_place_of_several() {
    let app = TestApp::start();
    let [one, two, three] = ["north quay", "east quay", "south pier"].map(|w| decided(&app, w));
    for old in [&one, &two] {
        let answer = supersede(&app, old, &json!({"superseded_by": three})).created();
        assert_eq!(answer["success"], true);
        assert_eq!(answer["decision"], shown(&app, &three));
        assert_eq!(answer["superseded"], shown(&app, old));
        assert_eq!(answer["superseded"]["status"], "superseded");
        assert_eq!(answer["superseded"]["superseded_by"], three);
    }
    assert_eq!(listed(&app, "?status=superseded"), [one, two]);
    assert_eq!(listed(&app, "?status=active"), [three.as_str()]);
    assert_eq!(in_wake_up(&app, ""), [three]);
    assert_eq!(
        (count(&app, "active"), count(&app, "superseded")),
        (1.0, 2.0)
    );
}

#[test]
fn what_was_superseded_is_not_superseded_again() {
    let app = TestApp::start();
    let [old, new, other] = ["one", "two", "three"].map(|words| decided(&app, words));
    supersede(&app, &old, &json!({"superseded_by": new})).created();
    supersede(&app, &old, &json!({"superseded_by": other})).problem(409);
    supersede(&app, &old, &json!({"decision": "four"})).problem(409);
    supersede(
        &app,
        &old,
        &json!({"decision": "four", "decision_id": made_id("dec", 4)}),
    )
    .problem(409);
    // A refused successor is not stored either.
    app.get(&format!("{PATH}/{}", made_id("dec", 4)))
        .problem(404);
    assert_eq!(app.recall("four"), [""; 0]);
    assert_eq!(listed(&app, ""), [old.clone(), new.clone(), other]);
    assert_eq!(shown(&app, &old)["superseded_by"], new);
    assert_eq!(
        (count(&app, "active"), count(&app, "superseded")),
        (2.0, 1.0)
    );
}

#[test]
fn there_are_no_cycles_in_the_ledger() {
    let app = TestApp::start();
    let own = json!({"decision": "one", "decision_id": made_id("dec", 1)});
    decide(&app, &own).created();
    let one = made_id("dec", 1);
    let [two, three] = ["two", "three"].map(|words| decided(&app, words));
    supersede(&app, &one, &json!({"superseded_by": one})).problem(409);
    supersede(&app, &one, &own).problem(409);
    assert_eq!(shown(&app, &one)["status"], "active");
    supersede(&app, &one, &json!({"superseded_by": two})).created();
    supersede(&app, &two, &json!({"superseded_by": one})).problem(409);
    supersede(&app, &two, &own).problem(409);
    supersede(&app, &two, &json!({"superseded_by": three})).created();
    supersede(&app, &three, &json!({"superseded_by": one})).problem(409);
    supersede(&app, &three, &json!({"superseded_by": two})).problem(409);
    supersede(&app, &three, &own).problem(409);
    assert_eq!(shown(&app, &one)["superseded_by"], two);
    assert_eq!(shown(&app, &two)["superseded_by"], three);
    assert_eq!(listed(&app, "?status=active"), [three]);
    assert_eq!(
        (count(&app, "active"), count(&app, "superseded")),
        (1.0, 2.0)
    );
}

#[test]
fn a_successor_that_nobody_knows_changes_nothing() {
    let app = TestApp::start();
    let old = decided(&app, "one");
    supersede(&app, &old, &json!({"superseded_by": made_id("dec", 9)})).problem(404);
    supersede(&app, &made_id("dec", 9), &json!({"superseded_by": old})).problem(404);
    supersede(&app, &made_id("dec", 9), &json!({"decision": "two"})).problem(404);
    assert_eq!(shown(&app, &old)["status"], "active");
    assert_eq!(listed(&app, ""), [old]);
}

#[test]
fn a_repeated_supersede_with_the_same_id_gets_the_first_answer() {
    let app = TestApp::start();
    let old = decided(&app, "one");
    let body = json!({"decision": "two", "decision_id": made_id("dec", 2)});
    let first = supersede(&app, &old, &body).created();
    app.advance_hours(1);
    assert_eq!(supersede(&app, &old, &body).created(), first);
    let again =
        json!({"decision_id": made_id("dec", 2), "tenant_id": "default", "decision": "two"});
    assert_eq!(supersede(&app, &old, &again).created(), first);
    supersede(
        &app,
        &old,
        &json!({"decision": "other", "decision_id": made_id("dec", 2)}),
    )
    .problem(409);
    assert_eq!(listed(&app, ""), [old, made_id("dec", 2)]);
    assert_eq!(
        (count(&app, "active"), count(&app, "superseded")),
        (1.0, 1.0)
    );
}

#[test]
fn a_repeated_supersede_under_an_idempotency_key_gets_the_first_answer() {
    let app = TestApp::start();
    let old = decided(&app, "one");
    let path = format!("{PATH}/{old}/supersede");
    let body = json!({"decision": "two"});
    let first = app.post_with(&path, &KEY, &body).created();
    assert_eq!(app.post_with(&path, &KEY, &body).created(), first);
    app.post_with(&path, &KEY, &json!({"decision": "three"}))
        .problem(409);
    assert_eq!(listed(&app, "").len(), 2);
}

#[test]
fn what_supersedes_is_either_a_decision_or_the_id_of_one() {
    let app = TestApp::start();
    let old = decided(&app, "one");
    let other = decided(&app, "two");
    for (field, body) in [
        ("decision", json!({"superseded_by": other, "decision": "x"})),
        ("status", json!({"decision": "x", "status": "active"})),
        ("superseded_by", json!({"superseded_by": null})),
        ("superseded_by", json!({"superseded_by": 7})),
        ("superseded_by", json!({"superseded_by": "dec_1"})),
        ("superseded_by", json!({"superseded_by": made_id("kn", 1)})),
        ("decision", json!({"decision": " "})),
        ("decision", json!({"decision": null})),
        ("rationale", json!({"decision": "x", "rationale": "y"})),
        ("body", json!({})),
        ("body", json!([])),
        ("body", json!("dec")),
    ] {
        supersede(&app, &old, &body).blames(422, field);
    }
    app.post_bytes(&format!("{PATH}/{old}/supersede"), b"{\"decision\": ")
        .problem(400);
    app.post(
        &format!("{PATH}/{old}/supersede?by={other}"),
        &json!({"decision": "x"}),
    )
    .blames(422, "by");
    supersede(&app, "dec_1", &json!({"decision": "x"})).blames(422, "id");
    assert_eq!(listed(&app, "?status=active"), [old, other]);
}

#[test]
fn what_was_superseded_stays_so_when_its_successor_is_forgotten() {
    let app = TestApp::start();
    let [one, two, three] = ["north quay", "east quay", "south pier"].map(|w| decided(&app, w));
    supersede(&app, &one, &json!({"superseded_by": two})).created();
    supersede(&app, &two, &json!({"superseded_by": three})).created();
    app.delete(&format!("{PATH}/{two}")).forgotten();
    // The chain closes over the gap.
    assert_eq!(shown(&app, &one)["superseded_by"], three);
    assert_eq!(hit_below(&app, "north", &three)["superseded_by"], three);
    app.delete(&format!("{PATH}/{three}")).forgotten();
    let left = shown(&app, &one);
    assert_eq!(left["status"], "superseded");
    assert_eq!(left["superseded_by"], Value::Null);
    assert_eq!(listed(&app, "?status=superseded"), [one.as_str()]);
    assert_eq!(listed(&app, "?status=active"), [""; 0]);
    assert_eq!(in_wake_up(&app, ""), [""; 0]);
    assert_eq!(app.recall("north"), [one.as_str()]);
    supersede(&app, &one, &json!({"decision": "x"})).problem(409);
    assert_eq!(
        (count(&app, "active"), count(&app, "superseded")),
        (0.0, 1.0)
    );
    app.delete(&format!("{PATH}/{one}")).forgotten();
    assert_eq!(
        (count(&app, "active"), count(&app, "superseded")),
        (0.0, 0.0)
    );
}

#[test]
fn a_hit_that_holds_no_longer_says_so_even_when_its_successor_was_forgotten() {
    let app = TestApp::start();
    let [one, two] = ["north quay", "south pier"].map(|words| decided(&app, words));
    supersede(&app, &one, &json!({"superseded_by": two})).created();
    let before = hit_below(&app, "north", &two);
    assert_eq!(before["superseded_by"], two);
    app.delete(&format!("{PATH}/{two}")).forgotten();
    // Whatever it says: a reader of the hit alone has to be able to tell it from one that holds.
    let three = decided(&app, "west dock");
    let (superseded, holding) = (hit(&app, "north"), hit(&app, "west"));
    assert_eq!(superseded["id"], one);
    assert_eq!(holding["id"], three);
    assert_eq!(superseded["status"], "superseded");
    assert_eq!(holding["status"], "active");
}

#[test]
fn a_decision_of_two_weeks_ago_is_recalled() {
    let app = TestApp::start();
    let old = decide(
        &app,
        &json!({"decision": "log to stderr, never to the database", "ts": "2026-02-15T09:30:00Z"}),
    )
    .created();
    assert_eq!(old["ts"], "2026-02-15T09:30:00.000Z");
    let old = id(&old, "decision_id");
    for index in 0..40 {
        app.say(&format!("fetch number {index} of the tide table"));
    }
    let asked = app
        .post("/api/v1/recall", &json!({"query": "where do we log to?"}))
        .ok();
    assert_eq!(asked["hits"][0]["id"], old, "{asked}");
    assert_eq!(asked["hits"][0]["ts"], "2026-02-15T09:30:00.000Z");
    let within = |since: &str, until: &str| {
        app.recall_with(json!({"query": "log to stderr", "since": since, "until": until}))
    };
    assert_eq!(
        within("2026-02-15T09:30:00Z", "2026-02-15T09:30:00.001Z"),
        [old.as_str()]
    );
    assert!(!within("2026-02-16T00:00:00Z", "2026-04-01T00:00:00Z").contains(&old));
    assert_eq!(in_wake_up(&app, ""), [old.as_str()]);
    // The list is in the order of time, not of writing.
    let new = decided(&app, "one more");
    let older = decide(
        &app,
        &json!({"decision": "the first", "ts": "2026-01-01T00:00:00Z"}),
    );
    let older = id(&older.created(), "decision_id");
    assert_eq!(listed(&app, ""), [older, old, new]);
}

#[test]
fn a_list_is_narrowed_by_status_scope_and_project() {
    let app = TestApp::start();
    let mut ids = Vec::new();
    for scope in ["session", "user", "project", "policy", "global"] {
        for project in [json!("alpha"), json!("beta"), json!(null)] {
            let created = decide(&app, &json!({"scope": scope, "project_id": project})).created();
            assert_eq!(created["decision"]["scope"], scope);
            assert_eq!(created["decision"]["project_id"], project);
            ids.push(id(&created, "decision_id"));
        }
    }
    // alpha's of scope user, by the free one of scope policy.
    supersede(&app, &ids[3], &json!({"superseded_by": ids[11]})).created();
    let want = |numbers: &[usize]| -> Vec<String> {
        numbers.iter().map(|number| ids[*number].clone()).collect()
    };
    assert_eq!(
        listed(&app, "?project_id=alpha"),
        want(&[0, 2, 3, 5, 6, 8, 9, 11, 12, 14])
    );
    assert_eq!(
        listed(&app, "?project_id=unheard-of"),
        want(&[2, 5, 8, 11, 14])
    );
    assert_eq!(listed(&app, "?scope=user"), want(&[3, 4, 5]));
    assert_eq!(listed(&app, "?scope=user&status=active"), want(&[4, 5]));
    assert_eq!(listed(&app, "?status=superseded"), want(&[3]));
    assert_eq!(listed(&app, "?status=superseded&project_id=beta"), [""; 0]);
    assert_eq!(
        listed(&app, "?status=superseded&project_id=alpha&scope=user"),
        want(&[3])
    );
    assert_eq!(
        listed(&app, "?project_id=beta&scope=global&order=desc"),
        want(&[14, 13])
    );
    assert_eq!(listed(&app, "?status=active").len(), 14);
    for (query, field) in [
        ("?status=gone", "status"),
        ("?status=", "status"),
        ("?scope=world", "scope"),
        ("?project_id=", "project_id"),
        ("?since=2026-01-01T00:00:00Z", "since"),
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
    let mut ids: Vec<_> = (0..7)
        .map(|index| {
            let project = [json!("p"), json!("q"), json!(null)][index % 3].clone();
            let scope = ["project", "global"][index % 2];
            // All at one time.
            let created = decide(&app, &json!({"project_id": project, "scope": scope})).created();
            id(&created, "decision_id")
        })
        .collect();
    let early = decide(
        &app,
        &json!({"ts": "2026-01-01T00:00:00Z", "project_id": "p"}),
    )
    .created();
    ids.insert(0, id(&early, "decision_id"));
    supersede(&app, &ids[1], &json!({"superseded_by": ids[2]})).created();
    for (filter, numbers) in [
        ("", &[0, 1, 2, 3, 4, 5, 6, 7][..]),
        ("&project_id=p", &[0, 1, 3, 4, 6, 7]),
        ("&status=active", &[0, 2, 3, 4, 5, 6, 7]),
        ("&status=active&project_id=q", &[2, 3, 5, 6]),
        ("&scope=global", &[2, 4, 6]),
        ("&project_id=nobody", &[3, 6]),
    ] {
        let mut want: Vec<_> = numbers.iter().map(|number| ids[*number].clone()).collect();
        for order in ["asc", "desc"] {
            let path = format!("{PATH}?limit=1&order={order}{filter}");
            assert_eq!(
                pages(&app, &path, "decisions", "decision_id"),
                want,
                "{filter} {order}"
            );
            want.reverse();
        }
    }
    let cursor = id(&app.get(&format!("{PATH}?limit=1")).ok(), "next_cursor");
    app.get(&format!("/api/v1/knowledge?cursor={cursor}"))
        .blames(422, "cursor");
}

#[test]
fn what_always_holds_comes_first_in_the_wake_up() {
    let app = TestApp::start();
    let mut ids = Vec::new();
    for (scope, project, words) in [
        ("policy", json!(null), "never force-push"),
        ("project", json!("alpha"), "alpha moors north"),
        ("global", json!("beta"), "answer in short sentences"),
        ("project", json!("beta"), "beta moors south"),
        ("user", json!(null), "tea, not coffee"),
        ("session", json!(null), "the demo first"),
    ] {
        let over = json!({"scope": scope, "project_id": project, "decision": words});
        ids.push(id(&decide(&app, &over).created(), "decision_id"));
        app.advance_hours(1);
    }
    let want = |numbers: &[usize]| -> Vec<String> {
        numbers.iter().map(|number| ids[*number].clone()).collect()
    };
    assert_eq!(in_wake_up(&app, ""), want(&[2, 0, 5, 4, 3, 1]));
    // What is of another project stays there, unless it holds for all.
    assert_eq!(
        in_wake_up(&app, "?project_id=alpha"),
        want(&[2, 0, 5, 4, 1])
    );
    assert_eq!(
        in_wake_up(&app, "?project_id=unheard-of"),
        want(&[2, 0, 5, 4])
    );
    let wake_up = app.get("/api/v1/wake-up?project_id=alpha").ok();
    insta::assert_snapshot!(id(&wake_up, "context"), @r#"
    ## Decisions that hold
    - 2026-03-01 (global): answer in short sentences
    - 2026-03-01 (policy): never force-push
    - 2026-03-01: the demo first
    - 2026-03-01: tea, not coffee
    - 2026-03-01: alpha moors north
    "#);
    insta::assert_snapshot!(settled(&wake_up["recent_decisions"][0]), @r#"
    {
      "decision_id": "dec_…",
      "ts": "2026-03-01T11:30:00.000Z",
      "scope": "global",
      "decision": "answer in short sentences"
    }
    "#);
    // Ten newer ones do not push it out.
    for index in 0..12 {
        decided(&app, &format!("number {index}"));
    }
    let shown = in_wake_up(&app, "");
    assert_eq!(shown[..2], want(&[2, 0]));
    assert!((3..=10).contains(&shown.len()), "{shown:?}");
}

#[test]
fn the_same_id_again_gets_the_same_answer_and_other_words_are_a_conflict() {
    let app = TestApp::start();
    let body =
        json!({"decision_id": made_id("dec", 1), "decision": "one", "rationale": ["because"]});
    let first = decide(&app, &body).created();
    assert_eq!(first["decision_id"], made_id("dec", 1));
    app.advance_hours(1);
    assert_eq!(decide(&app, &body).created(), first);
    for other in [
        json!({"decision_id": made_id("dec", 1), "decision": "two", "rationale": ["because"]}),
        json!({"decision_id": made_id("dec", 1), "decision": "one"}),
        json!({"decision_id": made_id("dec", 1), "decision": "one", "rationale": ["because"], "scope": "global"}),
        json!({"decision_id": made_id("dec", 1), "decision": "one", "rationale": ["because"], "ts": "2026-01-01T00:00:00Z"}),
        json!({"decision_id": made_id("dec", 1), "decision": "one", "constraints": ["because"]}),
    ] {
        decide(&app, &other).problem(409);
    }
    assert_eq!(count(&app, "active"), 1.0);
    // One that the server named is nobody's to repeat.
    let ours = decided(&app, "three");
    decide(&app, &json!({"decision_id": ours, "decision": "three"})).problem(409);
}

#[test]
fn a_repeated_write_under_a_key_stores_once() {
    let app = TestApp::start();
    let body = draft(&json!({"rationale": ["because"]}));
    let first = app.post_with(PATH, &KEY, &body).created();
    app.advance_hours(1);
    assert_eq!(app.post_with(PATH, &KEY, &body).created(), first);
    app.post_with(PATH, &KEY, &draft(&json!({"decision": "other"})))
        .problem(409);
    assert_eq!(count(&app, "active"), 1.0);
    app.delete(&format!("{PATH}/{}", id(&first, "decision_id")))
        .forgotten();
    app.post_with(PATH, &KEY, &body).problem(409);
    assert_eq!(listed(&app, ""), [""; 0]);
    assert_eq!(count(&app, "active"), 0.0);
    // A day later the key is free.
    app.advance_hours(24);
    app.post_with(PATH, &KEY, &body).created();
}

#[test]
fn secrets_in_a_decision_are_never_stored() {
    let app = TestApp::start();
    let key = provider_key();
    let body = json!({
        "decision_id": made_id("dec", 1), "project_id": format!("p {key}"), "decision": format!("use {key} today"),
        "rationale": ["plain", format!("{key} works")], "constraints": [key], "alternatives": [format!("not {key}")],
        "consequences": [format!("pay for {key}")], "refs": [format!("https://example.org/?key={key}")],
    });
    let created = decide(&app, &body).created();
    assert_eq!(
        created["decision"]["decision"],
        "use [REDACTED:anthropic_key] today"
    );
    assert_eq!(
        created["decision"]["constraints"],
        json!(["[REDACTED:anthropic_key]"])
    );
    let redactions = || app.metric("agent_memory_redactions_total{kind=\"anthropic_key\"}");
    assert_eq!(redactions(), 7.0);
    // A repetition takes nothing out anew; a successor does.
    decide(&app, &body).created();
    assert_eq!(redactions(), 7.0);
    let answer = supersede(
        &app,
        &made_id("dec", 1),
        &json!({"decision": key, "rationale": [key]}),
    )
    .created();
    assert_eq!(redactions(), 9.0);
    for refused in [
        decide(&app, &json!({"decision_id": key})).problem(422),
        decide(&app, &json!({"scope": key})).problem(422),
        decide(&app, &json!({"ts": key})).problem(422),
        decide(&app, &json!({"rationale": key})).problem(422),
        supersede(&app, &made_id("dec", 1), &json!({"superseded_by": key})).problem(422),
    ] {
        assert!(!refused.to_string().contains("Zq7Xw9Lk2Mv4"), "{refused}");
    }
    assert!(!format!("{created}{answer}").contains("Zq7Xw9Lk2Mv4"));
    assert!(app.files_with("Zq7Xw9Lk2Mv4").is_empty());
    assert_eq!(redactions(), 9.0);
    let private = json!({"decision": format!("go <private>{WORD}</private> on"), "rationale": [format!("a<private>{WORD}</private>")]});
    let created = decide(&app, &private).created();
    assert_eq!(created["decision"]["decision"], "go  on");
    assert!(app.files_with(WORD).is_empty());
}

#[test]
fn what_is_out_of_bounds_is_named() {
    let app = TestApp::start();
    for (field, over) in [
        ("decision", json!({"decision": ""})),
        ("decision", json!({"decision": " \n"})),
        (
            "decision",
            json!({"decision": "<private>all of it</private>"}),
        ),
        ("decision", json!({"decision": "x".repeat(16 * 1024 + 1)})),
        ("rationale", json!({"rationale": numbered(65)})),
        ("constraints", json!({"constraints": numbered(65)})),
        ("alternatives", json!({"alternatives": numbered(65)})),
        ("consequences", json!({"consequences": numbered(65)})),
        ("refs", json!({"refs": numbered(257)})),
        ("rationale[1]", json!({"rationale": ["a", " "]})),
        ("constraints[0]", json!({"constraints": ["x".repeat(4097)]})),
        ("alternatives[0]", json!({"alternatives": [""]})),
        (
            "consequences[2]",
            json!({"consequences": ["a", "b", "x".repeat(4097)]}),
        ),
        ("refs[0]", json!({"refs": ["x".repeat(2049)]})),
        ("project_id", json!({"project_id": ""})),
        ("project_id", json!({"project_id": "x".repeat(513)})),
        ("project_id", json!({"project_id": "a\nb"})),
        ("decision_id", json!({"decision_id": "dec_1"})),
        ("decision_id", json!({"decision_id": made_id("kn", 1)})),
        (
            "decision_id",
            json!({"decision_id": made_id("dec", 0xabc).to_uppercase()}),
        ),
        ("tenant_id", json!({"tenant_id": "a b"})),
        ("ts", json!({"ts": "soon"})),
        ("ts", json!({"ts": "2026-02-30T00:00:00Z"})),
    ] {
        decide(&app, &over).blames(422, field);
    }
    assert_eq!(app.get(PATH).ok(), json!({"decisions": []}));
    assert_eq!(app.metric("agent_memory_storage_bytes{type=\"text\"}"), 0.0);
    let item = |index: usize| format!("{index:04}").repeat(1024);
    let items: Vec<_> = (0..64).map(item).collect();
    let fits = json!({
        "decision": "x".repeat(16 * 1024), "rationale": items, "constraints": items, "alternatives": items,
        "consequences": items, "refs": (0..256).map(|index| format!("{index:04}").repeat(512)).collect::<Vec<_>>(),
        "project_id": "p".repeat(512),
    });
    let created = decide(&app, &fits).created();
    assert_eq!(created["decision"]["consequences"], json!(items));
    assert_eq!(
        app.metric("agent_memory_storage_bytes{type=\"text\"}"),
        f64::from(16 * 1024 + 4 * 64 * 4096)
    );
    let decision_id = id(&created, "decision_id");
    assert_eq!(shown(&app, &decision_id), created["decision"]);
    app.delete(&format!("{PATH}/{decision_id}")).forgotten();
    assert_eq!(app.metric("agent_memory_storage_bytes{type=\"text\"}"), 0.0);
}

fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|index| index.to_string()).collect()
}

#[test]
fn what_is_of_the_wrong_shape_is_named() {
    let app = TestApp::start();
    for (field, over) in [
        ("decision", json!({"decision": 5})),
        ("decision", json!({"decision": null})),
        ("decision", json!({"decision": ["a"]})),
        ("rationale", json!({"rationale": "because"})),
        ("rationale[0]", json!({"rationale": [1]})),
        ("constraints[1]", json!({"constraints": ["a", null]})),
        ("alternatives", json!({"alternatives": {"a": 1}})),
        ("consequences", json!({"consequences": true})),
        ("refs[0]", json!({"refs": [["a"]]})),
        ("scope", json!({"scope": "world"})),
        ("scope", json!({"scope": 3})),
        ("ts", json!({"ts": 1_772_357_400})),
        ("project_id", json!({"project_id": 1})),
        ("decision_id", json!({"decision_id": 1})),
        ("tenant_id", json!({"tenant_id": 1})),
        ("status", json!({"status": "active"})),
        ("superseded_by", json!({"superseded_by": made_id("dec", 1)})),
        ("tags", json!({"tags": ["a"]})),
        ("title", json!({"title": "a"})),
    ] {
        decide(&app, &over).blames(422, field);
    }
    app.post(PATH, &json!({})).blames(422, "body");
    app.post(PATH, &json!(["a"])).blames(422, "body");
    app.post_bytes(PATH, b"").problem(400);
    app.post_bytes(PATH, b"{\"decision\": \"a\"").problem(400);
    app.post_bytes(PATH, b"{\"decision\": \"a\"} {}")
        .problem(400);
    app.post_bytes(PATH, b"{\"decision\": \"a\", \"decision\": \"b\"}")
        .problem(422);
    app.send("POST", PATH, &[("content-type", "text/plain")], Some(b"{}"))
        .problem(415);
    app.send("PATCH", &format!("{PATH}/{}", made_id("dec", 1)), &[], None)
        .problem(405);
    app.get(&format!("{PATH}/{}/supersede", made_id("dec", 1)))
        .problem(405);
    app.get(&format!("{PATH}/xyz")).blames(422, "id");
    app.delete(&format!("{PATH}/{}", made_id("kn", 1)))
        .blames(422, "id");
    app.get(&format!("{PATH}/{}?status=active", made_id("dec", 1)))
        .blames(422, "status");
    app.post(&format!("{PATH}?scope=user"), &draft(&json!({})))
        .blames(422, "scope");
    assert_eq!(app.get(PATH).ok(), json!({"decisions": []}));
}

#[test]
fn odd_text_comes_back_as_it_was_sent() {
    let app = TestApp::start();
    let words = "保存 naïve \"quotes\" \\ \u{1F980} <b> \u{202E}x";
    let created = decide(
        &app,
        &json!({"decision": words, "rationale": [words, words, "a\0b"], "refs": [words]}),
    )
    .created();
    let read = shown(&app, &id(&created, "decision_id"));
    assert_eq!(read["decision"], words);
    // The same one twice counts once, and U+0000 is replaced.
    assert_eq!(read["rationale"], json!([words, "a\u{FFFD}b"]));
    assert_eq!(read["refs"], json!([words]));
}

#[test]
fn another_tenants_decision_looks_just_like_an_unknown_one() {
    let app = TestApp::start();
    let same = [
        ("x-request-id", "same"),
        ("x-tenant-id", "stranger"),
        ("content-type", "application/json"),
    ];
    let own = decide(&app, &json!({"tenant_id": "stranger"})).created();
    let own = id(&own, "decision_id");
    let theirs = decided(&app, "the quay of the other");
    let unknown = made_id("dec", 1);
    let supersede_by = |id: &str| json!({"superseded_by": id}).to_string();
    let new = json!({"decision": "x"}).to_string();
    let path = |id: &str, rest: &str| format!("{PATH}/{id}{rest}");
    let calls = |id: &str| -> Vec<Answer> {
        [
            ("GET", path(id, ""), None),
            ("DELETE", path(id, ""), None),
            ("POST", path(id, "/supersede"), Some(new.clone())),
            ("POST", path(id, "/supersede"), Some(supersede_by(&own))),
            ("POST", path(&own, "/supersede"), Some(supersede_by(id))),
        ]
        .into_iter()
        .map(|(method, path, body)| {
            app.send(method, &path, &same, body.as_deref().map(str::as_bytes))
        })
        .collect()
    };
    for (one, other) in calls(&theirs).into_iter().zip(calls(&unknown)) {
        one.problem(404);
        assert_eq!(one.text(), other.text());
        let names = |answer: &Answer| {
            let names = answer.headers.keys().map(ToString::to_string);
            names.collect::<BTreeSet<_>>()
        };
        assert_eq!(names(&one), names(&other));
    }
    assert_eq!(shown(&app, &theirs)["status"], "active");
    assert_eq!(listed(&app, "?tenant_id=stranger"), [own]);
    assert_eq!(listed(&app, "?tenant_id=nobody"), [""; 0]);
    assert_eq!(in_wake_up(&app, "?tenant_id=stranger&topic=quay").len(), 1);
    assert_eq!(
        app.recall_with(json!({"query": "quay", "tenant_id": "stranger"})),
        [""; 0]
    );
    // A tenant that nobody has heard of has none either.
    for method in ["GET", "DELETE"] {
        app.send(method, &path(&theirs, "?tenant_id=nobody"), &[], None)
            .problem(404);
    }
    app.post(
        &path(&theirs, "/supersede?tenant_id=nobody"),
        &json!({"decision": "x"}),
    )
    .problem(404);
    app.post(
        &path(&theirs, "/supersede?tenant_id=stranger"),
        &json!({"decision": "x", "tenant_id": "default"}),
    )
    .blames(422, "tenant_id");
    assert_eq!(listed(&app, "?tenant_id=nobody"), [""; 0]);
}

#[test]
fn the_same_id_is_another_decision_in_another_tenant() {
    let app = TestApp::start();
    for tenant in ["a", "b"] {
        for (number, words) in [(1, "old"), (2, "new")] {
            let over = json!({"tenant_id": tenant, "decision_id": made_id("dec", number), "decision": format!("{words} of {tenant}")});
            decide(&app, &over).created();
        }
    }
    let body = json!({"superseded_by": made_id("dec", 2), "tenant_id": "a"});
    supersede(&app, &made_id("dec", 1), &body).created();
    let status = |tenant: &str| {
        let path = format!("{PATH}/{}?tenant_id={tenant}", made_id("dec", 1));
        app.get(&path).ok()
    };
    assert_eq!(status("a")["status"], "superseded");
    assert_eq!(status("b")["status"], "active");
    // Forgetting the successor of one does not touch the other.
    app.delete(&format!("{PATH}/{}?tenant_id=b", made_id("dec", 2)))
        .forgotten();
    assert_eq!(status("a")["superseded_by"], made_id("dec", 2));
    assert_eq!(status("b")["decision"], "old of b");
}

#[test]
fn decisions_are_made_replaced_shown_and_forgotten_without_a_server() {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("memory.db");
    let old = cli_ok(
        &db,
        &[
            "decide",
            "moor at the north quay",
            "--because",
            "it is near",
            "--because",
            "it is deep",
            "--constraint",
            "one berth",
            "--alternative",
            "the pier",
            "--consequence",
            "a longer rope",
            "--project",
            "harbour",
        ],
    );
    assert!(old.starts_with("dec_") && old.len() == 36, "{old}");
    let shown: Value = serde_json::from_str(&cli_ok(&db, &["show", &old])).unwrap();
    let mut shown_before = shown.clone();
    shown_before["ts"] = json!("…");
    insta::assert_snapshot!(settled(&shown_before), @r#"
    {
      "decision_id": "dec_…",
      "tenant_id": "default",
      "project_id": "harbour",
      "ts": "…",
      "status": "active",
      "scope": "project",
      "decision": "moor at the north quay",
      "rationale": [
        "it is near",
        "it is deep"
      ],
      "constraints": [
        "one berth"
      ],
      "alternatives": [
        "the pier"
      ],
      "consequences": [
        "a longer rope"
      ],
      "refs": []
    }
    "#);
    let new = cli_ok(
        &db,
        &[
            "decide",
            "moor at the south pier",
            "--scope",
            "policy",
            "--supersedes",
            &old,
            "--json",
        ],
    );
    let new: Value = serde_json::from_str(&new).unwrap();
    assert_eq!(
        (&new["scope"], &new["status"]),
        (&json!("policy"), &json!("active"))
    );
    let new = id(&new, "decision_id");
    let shown: Value = serde_json::from_str(&cli_ok(&db, &["show", &old])).unwrap();
    assert_eq!(shown["superseded_by"], new);
    let list = cli_ok(&db, &["list", "decisions"]);
    let lines: Vec<&str> = list.lines().collect();
    assert_eq!(lines.len(), 2, "{list}");
    assert!(
        lines[0].starts_with(&new) && lines[0].contains("active"),
        "{list}"
    );
    assert!(
        lines[1].starts_with(&old) && lines[1].contains("superseded"),
        "{list}"
    );
    let json: Value = serde_json::from_str(&cli_ok(
        &db,
        &["list", "decisions", "--json", "--order", "asc"],
    ))
    .unwrap();
    assert_eq!(
        texts(&json["decisions"], "decision_id"),
        [old.clone(), new.clone()]
    );
    let wake_up = cli_ok(&db, &["wake-up"]);
    assert!(
        wake_up.contains("south pier") && !wake_up.contains("north"),
        "{wake_up}"
    );
    assert!(cli_ok(&db, &["recall", "north quay"]).contains(&old));
    for (code, args) in [
        (5, vec!["decide", "x", "--supersedes", &old]),
        (4, vec!["decide", "x", "--supersedes", &made_id("dec", 1)]),
        (2, vec!["decide", "x", "--supersedes", "dec_1"]),
        (2, vec!["decide", "x", "--scope", "world"]),
        (2, vec!["decide", " "]),
        (2, vec!["decide"]),
        (4, vec!["show", &made_id("dec", 1)]),
        (4, vec!["forget", &made_id("dec", 1)]),
        (4, vec!["--tenant", "other", "show", &old]),
        (
            4,
            vec!["--tenant", "other", "decide", "x", "--supersedes", &old],
        ),
    ] {
        let (got, out, err) = cli(&db, &args);
        assert_eq!(got, code, "{args:?}: {out}{err}");
        assert!(!err.trim().is_empty() && out.is_empty(), "{args:?}: {out}");
    }
    assert_eq!(cli_ok(&db, &["forget", &new]), "forgotten");
    assert_eq!(cli(&db, &["show", &new]).0, 4);
    assert!(!cli_ok(&db, &["doctor"]).contains("WRONG"));
    let bytes = std::fs::read(&db).unwrap();
    assert!(!bytes.windows(10).any(|window| window == b"south pier"));
}

#[test]
fn the_command_line_and_a_server_keep_one_ledger() {
    let app = TestApp::start();
    let db = app.file();
    let old = decided(&app, "moor at the north quay");
    let new = cli_ok(
        db,
        &["decide", "moor at the south pier", "--supersedes", &old],
    );
    assert_eq!(shown(&app, &old)["superseded_by"], new);
    assert_eq!(in_wake_up(&app, ""), [new.as_str()]);
    crate::process::wait_for("the server's counts", || {
        (count(&app, "active") == 1.0 && count(&app, "superseded") == 1.0).then_some(())
    });
    cli_ok(db, &["forget", &old]);
    app.get(&format!("{PATH}/{old}")).problem(404);
    app.wait_until_erased("north quay");
}
