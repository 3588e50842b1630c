//! What makes consolidation one that people can trust: each type of job is taken back to what was there, two never run at
//! once, and what is shown for another comes back the moment that it should.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::consolidation::{consolidating, export, hand_off, is_well, level, run};
use crate::harness::{TestApp, id, made_id, texts};
use crate::import::sealed;
use crate::process::{command, wait_for};

/// Types that change what is shown.
const CHANGING: [&str; 5] = [
    "identity_consolidation",
    "reflection",
    "handoff_compression",
    "decision_archival",
    "deduplication",
];

/// A year and a half of a tenant: sessions, decisions, and notes of which some say the same.
fn live(app: &TestApp, tenant: &str) {
    let of = |mut over: Value| {
        over["tenant_id"] = json!(tenant);
        over
    };
    for number in 1..=14 {
        let becoming = if number % 3 == 0 {
            "I write down what I measured."
        } else {
            "I check the float before I trust a flat line."
        };
        let over = json!({"becoming": becoming, "learned": format!("Gauge {number} drifts when it is cold. The seal of pipe {} leaks.", number * 7)});
        hand_off(app, number, 15 * i64::from(number), &of(over));
    }
    for (number, scope) in (1..).zip(["project", "policy", "user", "global", "session"]) {
        let decision = json!({
            "decision_id": made_id("dec", number), "decision": format!("float {number} is greased"), "scope": scope,
            "ts": "2025-11-01T00:00:00.000Z",
        });
        app.post("/api/v1/decisions", &of(decision)).created();
    }
    let facts = [
        "The pool opens 16 connections.",
        "the pool opens 16 connections",
        "The tide table is wrong for Husum.",
        "Note that the pool opens 16 connections!",
    ];
    for (number, content) in (1..).zip(facts) {
        let note = json!({"note_id": made_id("kn", number), "content": content});
        app.post("/api/v1/knowledge", &of(note)).created();
    }
    let pinned = json!({"note_id": made_id("kn", 9), "content": "The tide table is wrong for Husum.", "pinned": true});
    app.post("/api/v1/knowledge", &of(pinned)).created();
}

/// All that a reader is shown of a tenant: the export's rows but those that are named so, the notes with what they are shown
/// with, and the wake-up.
fn shown(app: &TestApp, tenant: &str, but: &str) -> Vec<String> {
    let export = app.get(&format!("/api/v1/export/all?tenant_id={tenant}"));
    let text = export.text();
    let rows = text.lines().filter(|line| {
        !line.contains(but)
            && !line.contains("\"type\":\"trailer\"")
            && !line.contains("\"type\":\"header\"")
    });
    let mut rows: Vec<String> = rows.map(str::to_owned).collect();
    assert!(rows.len() > 20, "{text}");
    let notes = app.get(&format!("/api/v1/knowledge?tenant_id={tenant}&limit=100"));
    let notes = notes.ok()["knowledge"].clone();
    let notes = notes.as_array().unwrap().iter().map(Value::to_string);
    rows.extend(notes.filter(|line| !line.contains(but)));
    rows
}

#[track_caller]
fn import(app: &TestApp, path: &str, lines: &str) -> crate::harness::Answer {
    let headers = [("content-type", "application/x-ndjson")];
    app.send("POST", path, &headers, Some(lines.as_bytes()))
}

fn undo(app: &TestApp, job: &Value) -> crate::harness::Answer {
    let path = format!("/api/v1/consolidation/jobs/{}/undo", id(job, "job_id"));
    app.post(&path, &json!({}))
}

#[test]
fn each_type_of_job_is_taken_back_whole_whatever_was_written_meanwhile() {
    let app = consolidating("02:00");
    live(&app, "default");
    live(&app, "other");
    let other = shown(&app, "other", "between");
    for (number, kind) in (100..).zip(CHANGING) {
        let before = shown(&app, "default", "between");
        let job = run(&app, &json!({"job_type": kind}))[kind].clone();
        assert_eq!(job["status"], "completed", "{job}");
        assert!(job["items_affected"].as_u64().unwrap() > 0, "{job}");
        let after = shown(&app, "default", "between");
        assert_ne!(before, after, "{kind}");
        // Others go on writing. What they write in the months that were looked at is in nobody's way.
        hand_off(
            &app,
            number,
            0,
            &json!({"session_id": format!("between {number}"), "learned": "", "becoming": "", "remember": "",
            "experienced": "between two runs"}),
        );
        app.record(json!({"session_id": "between", "content": {"text": "between two runs"}}))
            .created();
        app.post(
            "/api/v1/knowledge",
            &json!({"content": format!("a note between runs, {kind}")}),
        )
        .created();
        app.post(
            "/api/v1/decisions",
            &json!({"decision": format!("between runs, {kind}")}),
        )
        .created();
        is_well(&app);
        undo(&app, &job).ok();
        assert_eq!(shown(&app, "default", "between"), before, "{kind}");
        is_well(&app);
        // And the next run does it again.
        let again = run(&app, &json!({"job_type": kind}))[kind].clone();
        assert!(
            again["items_affected"].as_u64() >= job["items_affected"].as_u64(),
            "{again}"
        );
    }
    assert_eq!(
        shown(&app, "other", "between"),
        other,
        "another tenant is as it was"
    );
    is_well(&app);
}

#[test]
fn what_changed_or_went_comes_back_in_its_place_of_an_export() {
    let app = consolidating("02:00");
    live(&app, "default");
    for (number, session) in (50..).zip(["x", "y", "z"]) {
        let over = json!({"session_id": session, "becoming": if session == "y" { "i ask twice when the wind turns." } else { "I ask twice when the wind turns." }});
        hand_off(&app, number, 3 + i64::from(number), &over);
    }
    run(&app, &json!({}));
    let principles = app.get("/api/v1/principles").ok()["principles"].clone();
    assert!(principles.as_array().unwrap().len() >= 3, "{principles}");
    // One principle loses what it was drawn from, the others and the months get more.
    app.delete(&format!("/api/v1/handoffs/{}", made_id("sh", 51)))
        .forgotten();
    for number in 60..64 {
        let over = json!({"learned": "The anemometer is read at dawn.", "becoming": "I write down what I measured."});
        hand_off(&app, number, 20 * i64::from(number - 58), &over);
    }
    let before = export(&app);
    for (kind, change) in [
        ("identity_consolidation", "no longer says it often enough"),
        ("reflection", ""),
    ] {
        let body = json!({"job_type": kind, "dry_run": true});
        let plan = app.post("/api/v1/consolidation/run", &body).ok();
        assert!(plan.to_string().contains(change), "{plan}");
        let job = run(&app, &json!({"job_type": kind}))[kind].clone();
        assert!(job["items_affected"].as_u64().unwrap() >= 2, "{job}");
        assert_ne!(export(&app), before);
        undo(&app, &job).ok();
        assert_eq!(export(&app), before, "{kind}");
    }
    is_well(&app);
}

#[test]
fn a_second_run_the_same_day_changes_nothing_though_news_came_to_an_old_month() {
    let app = consolidating("02:00");
    live(&app, "default");
    run(&app, &json!({}));
    for number in 60..70 {
        let over = json!({"learned": format!("The anemometer {number} is read at dawn by Xenia."), "experienced": "Anemometers and barometers, all day."});
        hand_off(&app, number, 40, &over);
    }
    let first = run(&app, &json!({"job_type": "reflection"}))["reflection"].clone();
    assert!(first["items_affected"].as_u64().unwrap() >= 2, "{first}");
    let done = export(&app);
    let again = run(&app, &json!({"job_type": "reflection"}))["reflection"].clone();
    assert_eq!(again["items_affected"], 0, "{again}");
    // The second found nothing because of the first. Without that, it is all there to be found again.
    undo(&app, &first).ok();
    assert_ne!(export(&app), done);
    let again = run(&app, &json!({"job_type": "reflection"}))["reflection"].clone();
    assert_eq!(again["items_affected"], first["items_affected"], "{again}");
    is_well(&app);
}

#[test]
fn a_note_that_was_shown_by_another_is_shown_again_at_once() {
    let app = consolidating("02:00");
    app.post("/api/v1/projects", &json!({"project_id": "p"}));
    let say = |number: u32, content: &str, project: Option<&str>| {
        let note =
            json!({"note_id": made_id("kn", number), "content": content, "project_id": project});
        app.post("/api/v1/knowledge", &note).created();
        app.clock.advance_millis(1_000);
    };
    let same = "The pool opens 16 connections.";
    for number in 1..=4 {
        say(number, same, None);
    }
    say(11, same, Some("p"));
    say(12, same, Some("p"));
    let only = json!({"job_type": "deduplication"});
    let fold = |affected: u64| {
        let job = run(&app, &only)["deduplication"].clone();
        assert_eq!(job["items_affected"], affected, "{job}");
    };
    let of = |number: u32| {
        app.get(&format!("/api/v1/knowledge/{}", made_id("kn", number)))
            .ok()
    };
    let shown = || {
        let wake_up = app.get("/api/v1/wake-up?project_id=p").ok();
        let mut shown: Vec<(String, u64)> = wake_up["knowledge"]
            .as_array()
            .unwrap()
            .iter()
            .map(|note| (id(note, "note_id"), note["count"].as_u64().unwrap_or(1)))
            .collect();
        shown.sort();
        shown
    };
    let ids = |shown: &[(u32, u64)]| -> Vec<(String, u64)> {
        shown
            .iter()
            .map(|(number, count)| (made_id("kn", *number), *count))
            .collect()
    };
    fold(4);
    assert_eq!(shown(), ids(&[(1, 4), (11, 2)]));
    assert_eq!(of(3)["duplicate_of"], made_id("kn", 1).as_str());
    // The one that is shown says something else: the others are there again before anybody runs anything.
    let change = json!({"content": "The pool opens 8 connections."});
    app.send(
        "PATCH",
        &format!("/api/v1/knowledge/{}", made_id("kn", 1)),
        &[],
        Some(change.to_string().as_bytes()),
    )
    .ok();
    for number in 2..=4 {
        assert!(of(number).get("duplicate_of").is_none());
    }
    is_well(&app);
    fold(2);
    assert_eq!(shown(), ids(&[(1, 1), (2, 3), (11, 2)]));
    // It is forgotten.
    app.delete(&format!("/api/v1/knowledge/{}", made_id("kn", 2)))
        .forgotten();
    assert_eq!(shown(), ids(&[(1, 1), (3, 1), (4, 1), (11, 2)]));
    app.delete(&format!("/api/v1/knowledge/{}", made_id("kn", 11)))
        .forgotten();
    assert!(of(12).get("duplicate_of").is_none());
    fold(1);
    // One that is folded is changed itself: it stands alone, and the other counts it no more.
    let change = json!({"pinned": true});
    app.send(
        "PATCH",
        &format!("/api/v1/knowledge/{}", made_id("kn", 4)),
        &[],
        Some(change.to_string().as_bytes()),
    )
    .ok();
    assert_eq!(shown(), ids(&[(1, 1), (3, 1), (4, 1), (12, 1)]));
    // What is pinned is shown for the others.
    fold(1);
    assert_eq!(shown(), ids(&[(1, 1), (4, 2), (12, 1)]));
    // The same by an import that replaces it, from an older one, of the one that is shown.
    let older = json!({"type": "knowledge", "note_id": made_id("kn", 4), "tenant_id": "default", "content": "Another fact.",
        "source_handoffs": [], "tags": [], "confidence": 0.5, "pinned": false,
        "created_at": "2026-01-01T00:00:00.000Z", "updated_at": "2026-01-01T00:00:00.000Z"});
    let answer = import(&app, "/api/v1/import?mode=replace", &sealed(&[older]));
    answer.is(200);
    assert!(of(3).get("duplicate_of").is_none(), "{}", answer.text());
    is_well(&app);
}

#[test]
fn a_handoff_that_takes_the_place_of_an_automatic_one_is_whole() {
    let app = consolidating("02:00");
    let automatic = |number: u32, text: &str| {
        hand_off(
            &app,
            number,
            100,
            &json!({"session_id": "s", "origin": "automatic", "experienced": text}),
        )
    };
    let only = json!({"job_type": "handoff_compression"});
    let first = automatic(
        1,
        "The first xylographer came to the pier and cut the sign. It took him all day, and the rain came.",
    );
    let job = run(&app, &only)["handoff_compression"].clone();
    assert_eq!(level(&app, &first), "quick_ref");
    // A later firing.
    let second = automatic(
        2,
        "The second engraver came to the pier and cut the sign. It took her an hour, and the sun came.",
    );
    app.get(&format!("/api/v1/handoffs/{first}")).is(404);
    let standing = app.get(&format!("/api/v1/handoffs/{second}")).ok();
    assert_eq!(standing["compression_level"], "full");
    assert!(standing.get("summary").is_none() && standing.get("quick_ref").is_none());
    app.wait_until_erased("xylographer");
    // Nothing of what was done to the first one is left to undo, and that is no fault.
    undo(&app, &job).ok();
    assert_eq!(level(&app, &second), "full");
    run(&app, &only);
    assert_eq!(level(&app, &second), "quick_ref");
    // The agent's own.
    let own = hand_off(&app, 3, 0, &json!({"session_id": "s"}));
    let standing = app.get(&format!("/api/v1/handoffs/{own}")).ok();
    assert_eq!(standing["compression_level"], "full");
    assert!(standing.get("quick_ref").is_none());
    app.wait_until_erased("engraver");
    assert_eq!(
        app.metric("agent_memory_handoffs{compression_level=\"full\"}"),
        1.0
    );
    is_well(&app);
}

/// Keeps the processors busy until dropped.
struct Busy(Arc<AtomicBool>);

impl Busy {
    fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        for _ in 0..6 {
            let stop = Arc::clone(&stop);
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        Self(stop)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn whoever_sees_a_job_end_may_ask_for_the_next_at_once() {
    let app = consolidating("02:00");
    live(&app, "default");
    // The thread that consolidates gives way to these, between the end of its job and the end of its turn as well.
    let _busy = Busy::start();
    for _ in 0..20 {
        let job = run(&app, &json!({"job_type": "deduplication"}))["deduplication"].clone();
        undo(&app, &job).ok();
    }
}

/// `consolidate run` as a process of its own, caught in the middle of its work: the process, and the job that runs.
fn caught(app: &TestApp) -> (Child, Value) {
    let mut child = command(app.file());
    child.args([
        "consolidate",
        "--quick-ref-days",
        "30000",
        "--integrated-days",
        "36000",
    ]);
    child.args(["run", "--type", "handoff_compression"]);
    let child = child.stdout(Stdio::null()).spawn().unwrap();
    let job = wait_for("some of it to be done", || {
        let history = app
            .get("/api/v1/consolidation/jobs?order=desc&limit=1")
            .ok();
        let job = history["jobs"].as_array().unwrap().first()?.clone();
        (job["items_affected"].as_u64()? > 0).then_some(job)
    });
    (child, job)
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill")
        .args([name, &child.id().to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
}

/// So many that an optimised build takes a tenth of a second for them, in which it is caught.
const MANY: u32 = 1_000;

fn many(app: &TestApp) -> String {
    for number in 0..MANY {
        hand_off(app, number, 40 + i64::from(number % 100), &json!({}));
    }
    export(app)
}

#[test]
fn two_never_consolidate_at_once_and_one_that_was_stopped_is_waited_for() {
    let app = consolidating("02:00");
    many(&app);
    let (mut child, job) = caught(&app);
    signal(&child, "-STOP");
    // It stands still, with the turn in its hands; nobody takes that from it.
    let running = app.get("/api/v1/consolidation/jobs").ok()["jobs"][0].clone();
    assert_eq!(running["status"], "running", "{running}");
    let refused = app.post("/api/v1/consolidation/run", &json!({}));
    assert!(refused.is(409).text().contains("running already"));
    let refused = undo(&app, &job);
    assert!(refused.is(409).text().contains("still running"));
    let ran = command(app.file())
        .args(["consolidate", "run"])
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert_eq!(ran.status.code(), Some(5), "{error}");
    assert!(error.contains("running already"), "{error}");
    signal(&child, "-CONT");
    assert!(child.wait().unwrap().success());
    let jobs = app.get("/api/v1/consolidation/jobs").ok()["jobs"].clone();
    assert_eq!(texts(&jobs, "status"), ["completed"]);
    assert_eq!(jobs[0]["items_affected"], MANY);
}

#[test]
fn what_a_killed_run_had_done_is_taken_back_without_another_run() {
    let app = consolidating("02:00");
    let before = many(&app);
    let (mut child, job) = caught(&app);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_ne!(export(&app), before, "it came too late");
    let undone = undo(&app, &job).ok();
    assert_eq!(undone["status"], "failed");
    assert_eq!(undone["error"], "the process ended before it was done");
    assert_eq!(export(&app), before);
    is_well(&app);
}

#[expect(
    clippy::disallowed_methods,
    reason = "breaks and measures a file on purpose"
)]
fn open(db: &Path) -> Connection {
    Connection::open(db).unwrap()
}

#[test]
fn maintenance_mends_counts_and_gives_pages_back_to_the_disk() {
    let app = consolidating("02:00");
    live(&app, "default");
    let long = "a long reading of the tide gauge and what came of it ".repeat(100);
    for number in 0..400 {
        let note = json!({"note_id": made_id("kn", 1_000 + number), "content": format!("{number} {long}")});
        app.post("/api/v1/knowledge", &note).created();
    }
    for number in 0..400 {
        app.delete(&format!(
            "/api/v1/knowledge/{}",
            made_id("kn", 1_000 + number)
        ))
        .forgotten();
    }
    let file = open(app.file());
    let pragma = |name: &str| -> i64 {
        file.pragma_query_value(None, name, |row| row.get(0))
            .unwrap()
    };
    let (pages, free) = (pragma("page_count"), pragma("freelist_count"));
    assert!(free > 200, "{free} of {pages}");
    // What is counted is wrong, of the tenant and of the store.
    file.execute_batch(
        "update stat set value = value + 7 where name = 'handoffs' and label = 'full';
         update tenant_stat set value = value + 3 where name = 'notes';
         update tenant_stat set value = value - 2 where name = 'decisions' and label = 'active';
         delete from tenant_stat where name = 'handoffs';",
    )
    .unwrap();
    let ran = command(app.file()).args(["doctor"]).output().unwrap();
    assert!(String::from_utf8_lossy(&ran.stdout).contains("WRONG stat"));
    let job = run(&app, &json!({"job_type": "maintenance"}))["maintenance"].clone();
    assert_eq!(job["status"], "completed", "{job}");
    is_well(&app);
    let stats = app.get("/api/v1/stats").ok();
    assert_eq!(
        app.metric("agent_memory_handoffs{compression_level=\"full\"}"),
        14.0,
        "{stats}"
    );
    wait_for("the file to shrink", || {
        let octets = std::fs::metadata(app.file()).unwrap().len();
        let page = u64::try_from(pragma("page_size")).unwrap();
        (octets < (u64::try_from(pages - free).unwrap() + 128) * page).then_some(())
    });
    assert!(
        pragma("freelist_count") <= 64,
        "{}",
        pragma("freelist_count")
    );
}

/// A connection remembers the index as it last searched it.
#[test]
fn maintenance_finds_a_sound_file_sound_however_its_readers_were_used() {
    let app = TestApp::start_with(|config| {
        config.consolidation.schedule = "02:00".parse().unwrap();
        config.store.readers = 1;
    });
    app.say("the tide gauge is read at noon");
    for round in 0..3 {
        app.recall("tide");
        for part in 0..6 {
            let batch: Vec<Value> = (0..500)
                .map(|item| {
                    let text = format!("round {round} part {part} item {item} of the barnacle count");
                    json!({"session_id": "s", "channel": "private", "kind": "message", "actor": {"type": "agent", "id": "a"},
                        "content": {"text": text}})
                })
                .collect();
            let answer = app.post("/api/v1/events/batch", &json!(batch));
            assert_eq!(answer.status, 207, "{}", answer.text());
        }
        let job = run(&app, &json!({"job_type": "maintenance"}))["maintenance"].clone();
        assert_eq!(job["status"], "completed", "{job}");
    }
}

#[test]
fn forms_go_along_in_an_export_and_what_is_shown_together_is_found_again() {
    let app = consolidating("02:00");
    live(&app, "default");
    let plain = export(&app);
    run(&app, &json!({}));
    let whole = export(&app);
    let rows = |text: &str| -> Vec<String> {
        let rows = text.lines().filter(|line| {
            !line.contains("\"type\":\"trailer\"") && !line.contains("\"type\":\"header\"")
        });
        rows.map(str::to_owned).collect()
    };
    let copy = consolidating("02:00");
    import(&copy, "/api/v1/import", &whole).is(200);
    assert_eq!(rows(&export(&copy)), rows(&whole));
    assert!(whole.contains("\"archived_at\"") && whole.contains("\"quick_ref\""));
    let notes = |app: &TestApp| {
        let notes = app.get("/api/v1/knowledge").ok()["knowledge"].clone();
        let told = |note: &Value| (id(note, "note_id"), note.get("duplicate_of").cloned());
        notes
            .as_array()
            .unwrap()
            .iter()
            .map(told)
            .collect::<Vec<_>>()
    };
    assert_ne!(notes(&copy), notes(&app), "it is not in the export");
    run(&copy, &json!({"job_type": "deduplication"}));
    assert_eq!(notes(&copy), notes(&app));
    // An export from before the run says nothing else: no conflict, and nothing is shown whole again.
    let merged = import(&app, "/api/v1/import", &plain).ok();
    assert_eq!(
        merged["conflicts"].as_array().map(Vec::len).unwrap_or(0),
        0,
        "{merged}"
    );
    assert_eq!(rows(&export(&app)), rows(&whole));
    is_well(&app);
    is_well(&copy);
}

#[test]
fn an_undo_works_in_a_salvaged_file_or_says_why_not() {
    let app = consolidating("02:00");
    live(&app, "default");
    let before = export(&app);
    let job = run(&app, &json!({"job_type": "handoff_compression"}))["handoff_compression"].clone();
    let dir = tempfile::tempdir().unwrap();
    let (db, kept) = (app.file().to_owned(), dir.path().join("kept.db"));
    let sound = dir.path().join("sound.db");
    open(&db)
        .execute("vacuum into ?1", [kept.to_str().unwrap()])
        .unwrap();
    // A memory in use has a log.
    open(&kept)
        .query_row("pragma journal_mode = wal", [], |_| Ok(()))
        .unwrap();
    // Undone in place, the rows are what the salvaged ones have to come to.
    undo(&app, &job).ok();
    assert_eq!(export(&app), before);
    let salvage = |from: &Path, to: &Path| {
        let ran = command(from)
            .args(["doctor", "--salvage", to.to_str().unwrap()])
            .output()
            .unwrap();
        (
            ran.status.success(),
            String::from_utf8_lossy(&ran.stdout).into_owned(),
        )
    };
    let rows = |db: &Path| {
        let ran = command(db).args(["export"]).output().unwrap();
        let text = String::from_utf8(ran.stdout).unwrap();
        text.lines()
            .filter(|line| line.contains("\"type\":\"handoff\""))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert!(salvage(&kept, &sound).0);
    let was: Vec<String> = before
        .lines()
        .filter(|line| line.contains("\"type\":\"handoff\""))
        .map(str::to_owned)
        .collect();
    assert_ne!(rows(&sound), was);
    let take_back = |db: &Path| {
        let ran = command(db)
            .args(["consolidate", "undo", &id(&job, "job_id")])
            .output()
            .unwrap();
        (
            ran.status.code().unwrap(),
            String::from_utf8_lossy(&ran.stderr).into_owned(),
        )
    };
    assert_eq!(take_back(&sound), (0, String::new()));
    assert_eq!(rows(&sound), was);
    // The same with the page gone on which the states before stood.
    let file = open(&kept);
    let page: i64 = file
        .query_row(
            "select rootpage from sqlite_schema where name = 'consolidation_change'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    let size: i64 = file
        .pragma_query_value(None, "page_size", |row| row.get(0))
        .unwrap();
    drop(file);
    let mut bytes = std::fs::read(&kept).unwrap();
    let start = usize::try_from((page - 1) * size).unwrap();
    bytes[start..start + usize::try_from(size).unwrap()].fill(0xa5);
    std::fs::write(&kept, bytes).unwrap();
    let damaged = dir.path().join("damaged.db");
    let (whole, said) = salvage(&kept, &damaged);
    assert!(!whole && said.contains("consolidation_change"), "{said}");
    let (code, error) = take_back(&damaged);
    assert_eq!(code, 5, "{error}");
    assert!(error.contains("lost when the file was damaged"), "{error}");
    assert_eq!(rows(&damaged).len(), was.len());
}
