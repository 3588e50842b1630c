//! Import: what was exported comes back as it was; what is broken is refused by its line; again changes nothing.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Output, Stdio};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::export::{cli, fill, lines, rows};
use crate::harness::{Answer, TestApp, made_id};
use crate::process::{Server, client, command, wait_for};

const LINES: &[(&str, &str)] = &[("content-type", "application/x-ndjson")];

#[track_caller]
pub(crate) fn import(app: &TestApp, query: &str, export: &str) -> Answer {
    let path = format!("/api/v1/import{query}");
    app.send("POST", &path, LINES, Some(export.as_bytes()))
}

/// The whole of a memory, what is secret included.
pub(crate) fn whole(app: &TestApp) -> String {
    cli(app.file(), &["export"])
}

fn plural(kind: &str) -> String {
    match kind {
        "knowledge" => kind.to_owned(),
        other => format!("{other}s"),
    }
}

/// Rows as an export with a header and a trailer that agrees.
pub(crate) fn sealed(rows: &[Value]) -> String {
    let mut counts = json!({"projects": 0, "sessions": 0, "events": 0, "artifacts": 0, "handoffs": 0, "decisions": 0,
        "knowledge": 0, "reflections": 0, "principles": 0});
    let mut text = header(&json!({})) + "\n";
    for row in rows {
        let count = &mut counts[plural(row["type"].as_str().unwrap_or("event"))];
        *count = json!(count.as_u64().unwrap_or(0) + 1);
        text.push_str(&format!("{row}\n"));
    }
    let digest: String = Sha256::digest(&text)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    text + &json!({"type": "trailer", "counts": counts, "sha256": digest}).to_string() + "\n"
}

fn header(over: &Value) -> String {
    let mut header = json!({"type": "header", "format": "agent-memory", "version": 2, "tenant_id": "default",
        "created_at": "2026-03-01T09:30:00.000Z", "schema": 2, "up_to": "secret"});
    for (key, value) in over.as_object().unwrap() {
        header[key] = value.clone();
    }
    header.to_string()
}

fn note(number: u32, over: &Value) -> Value {
    with(
        json!({"type": "knowledge", "note_id": made_id("kn", number), "tenant_id": "default", "content": "plain",
            "source_handoffs": [], "tags": [], "confidence": 0.5, "pinned": false,
            "created_at": "2026-03-01T09:30:00.000Z", "updated_at": "2026-03-01T09:30:00.000Z"}),
        over,
    )
}

/// A reflection on a day, by number.
pub(crate) fn reflection(number: u32, over: &Value) -> Value {
    with(
        json!({"type": "reflection", "reflection_id": made_id("refl", number), "tenant_id": "default",
            "period_start": format!("2026-02-{number:02}T00:00:00.000Z"),
            "period_end": format!("2026-02-{:02}T00:00:00.000Z", number + 1), "session_count": 2,
            "summary": format!("On day {number} the gauges were set up."), "insights": [], "themes": [],
            "sensitivity": "none", "created_at": "2026-03-01T09:30:00.000Z"}),
        over,
    )
}

/// A principle that was found on a day, by number.
pub(crate) fn principle(number: u32, over: &Value) -> Value {
    let ts = format!("2026-02-{number:02}T00:00:00.000Z");
    with(
        json!({"type": "principle", "principle_id": made_id("prin", number), "tenant_id": "default",
            "text": format!("Principle {number}: measure first."), "source_handoffs": [made_id("sh", 1)], "count": 3,
            "sensitivity": "none", "created_at": ts, "updated_at": ts}),
        over,
    )
}

fn event(number: u32, over: &Value) -> Value {
    with(
        json!({"type": "event", "event_id": made_id("evt", number), "tenant_id": "default", "session_id": "s1",
            "ts": "2026-03-01T09:30:00.000Z", "channel": "private", "actor": {"type": "human", "id": "ada"},
            "kind": "message", "sensitivity": "none", "tags": [], "content": {"text": "hello"}, "refs": []}),
        over,
    )
}

fn handoff(number: u32, over: &Value) -> Value {
    with(
        json!({"type": "handoff", "handoff_id": made_id("sh", number), "tenant_id": "default", "session_id": "s1",
            "with_whom": "Ada", "experienced": "e", "noticed": "", "learned": "", "story": "", "becoming": "calm",
            "remember": "", "significance": 0.5, "tags": [], "sensitivity": "none", "origin": "agent",
            "compression_level": "full", "created_at": "2026-03-01T09:30:00.000Z"}),
        over,
    )
}

fn decision(number: u32, over: &Value) -> Value {
    with(
        json!({"type": "decision", "decision_id": made_id("dec", number), "tenant_id": "default",
            "ts": "2026-03-01T09:30:00.000Z", "status": "active", "scope": "project", "decision": "so be it",
            "rationale": [], "constraints": [], "alternatives": [], "consequences": [], "refs": []}),
        over,
    )
}

fn with(mut base: Value, over: &Value) -> Value {
    for (key, value) in over.as_object().unwrap() {
        base[key] = value.clone();
    }
    base
}

fn is_sound(app: &TestApp) {
    cli(app.file(), &["doctor"]);
}

#[test]
fn a_round_trip_gives_an_equal_export() {
    let (old, new) = (TestApp::start(), TestApp::start());
    fill(&old);
    let export = whole(&old);
    let report = import(&new, "", &export).ok();
    let counts = lines(&export).last().unwrap()["counts"].clone();
    assert_eq!(report["stored"], counts);
    assert_eq!(
        (
            &report["conflict_count"],
            &report["redacted"],
            &report["mode"]
        ),
        (&json!(0), &json!(0), &json!("merge"))
    );
    assert_eq!(rows(&whole(&new)), rows(&export));
    is_sound(&new);
    for path in [
        "/api/v1/stats",
        "/api/v1/sessions",
        "/api/v1/projects",
        "/api/v1/events",
        "/api/v1/handoffs",
        "/api/v1/decisions",
        "/api/v1/knowledge",
        "/api/v1/reflections",
        "/api/v1/principles",
        "/api/v1/identity-thread",
    ] {
        assert_eq!(new.get(path).ok(), old.get(path).ok(), "{path}");
    }
    for layer in ["metadata", "reflection"] {
        assert_eq!(
            new.get("/api/v1/wake-up").ok()["layers"][layer],
            old.get("/api/v1/wake-up").ok()["layers"][layer]
        );
    }
    assert_eq!(new.recall("Grüße"), old.recall("Grüße"));
    // The client's repetition is still one, and another body still a conflict.
    let again = json!({"decision_id": made_id("dec", 2), "decision": "WAL on", "consequences": ["three files"]});
    new.post("/api/v1/decisions", &again).created();
    new.post(
        "/api/v1/decisions",
        &with(again, &json!({"decision": "WAL off"})),
    )
    .problem(409);
    // What was imported can be forgotten to the last word.
    new.delete("/api/v1/tenants/default").accepted();
    new.wait_until_erased("tool output");
    is_sound(&new);
}

#[test]
fn the_same_again_changes_nothing() {
    let app = TestApp::start();
    fill(&app);
    let export = whole(&app);
    let counts = lines(&export).last().unwrap()["counts"].clone();
    for mode in ["merge", "skip", "replace"] {
        for _ in 0..2 {
            let report = import(&app, &format!("?mode={mode}"), &export).ok();
            assert_eq!(report["unchanged"], counts, "{mode}: {report}");
            assert_eq!(report["conflicts"], json!([]));
            assert_eq!(rows(&whole(&app)), rows(&export), "{mode}");
        }
    }
    is_sound(&app);
}

#[test]
fn a_tenant_is_copied_by_importing_it_elsewhere() {
    let app = TestApp::start();
    fill(&app);
    let export = whole(&app);
    import(&app, "?tenant_id=copy", &export).ok();
    let copy = cli(app.file(), &["export", "--tenant", "copy"]);
    assert_eq!(
        copy.replace("\"tenant_id\":\"copy\"", "\"tenant_id\":\"default\"")
            .lines()
            .skip(1)
            .collect::<Vec<_>>()[..28],
        export.lines().skip(1).collect::<Vec<_>>()[..28]
    );
    is_sound(&app);
}

#[test]
fn a_mode_says_what_becomes_of_a_row_whose_id_is_taken() {
    let before = [
        json!({"type": "project", "project_id": "p", "tenant_id": "default", "name": "p", "aliases": [], "created_at": "2026-03-01T09:30:00.000Z"}),
        json!({"type": "session", "session_id": "s1", "tenant_id": "default", "project_id": "p", "with_whom": "Ada",
            "started_at": "2026-03-01T09:30:00.000Z", "last_seen_at": "2026-03-01T09:30:00.000Z"}),
        event(1, &json!({})),
        handoff(1, &json!({})),
        decision(
            1,
            &json!({"status": "superseded", "superseded_by": made_id("dec", 2)}),
        ),
        decision(2, &json!({})),
        note(1, &json!({})),
        note(2, &json!({})),
        reflection(1, &json!({})),
        principle(1, &json!({})),
        principle(2, &json!({})),
    ];
    let after = [
        with(
            before[0].clone(),
            &json!({"name": "Tides", "aliases": ["q"]}),
        ),
        with(
            before[1].clone(),
            &json!({"with_whom": "Bo", "started_at": "2026-02-01T00:00:00.000Z"}),
        ),
        with(
            before[2].clone(),
            &json!({"content": {"text": "other"}, "tags": ["t"]}),
        ),
        with(
            before[3].clone(),
            &json!({"with_whom": "Bo", "compression_level": "summary", "summary": "short"}),
        ),
        before[4].clone(),
        with(
            before[5].clone(),
            &json!({"decision": "otherwise", "status": "superseded"}),
        ),
        with(
            before[6].clone(),
            &json!({"content": "earlier", "updated_at": "2026-03-01T09:00:00.000Z"}),
        ),
        with(
            before[7].clone(),
            &json!({"content": "later", "updated_at": "2026-03-01T10:00:00.000Z"}),
        ),
        with(
            before[8].clone(),
            &json!({"summary": "other", "sensitivity": "high", "created_at": "2026-03-01T10:00:00.000Z"}),
        ),
        with(before[9].clone(), &json!({"count": 4})),
        with(
            before[10].clone(),
            &json!({"text": "later", "created_at": "2026-01-01T00:00:00.000Z", "updated_at": "2026-03-01T10:00:00.000Z"}),
        ),
    ];
    for mode in ["merge", "skip", "replace"] {
        let app = TestApp::start();
        let query = format!("?mode={mode}");
        assert_eq!(
            import(&app, &query, &sealed(&before)).ok()["stored"]["knowledge"],
            2
        );
        assert_eq!(rows(&whole(&app)), before);
        let report = import(&app, &query, &sealed(&after)).ok();
        let expected: Vec<Value> = match mode {
            "merge" => {
                let lines: Vec<_> = report["conflicts"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|one| one["line"].as_u64().unwrap())
                    .collect();
                assert_eq!(lines, [2, 3, 4, 5, 7, 8, 10, 11], "{report}");
                assert_eq!(report["conflicts"][2]["id"], made_id("evt", 1));
                assert_eq!(report["stored"]["knowledge"], 1);
                assert_eq!(report["stored"]["principles"], 1);
                let merged = before[..7].iter().chain(&after[7..8]);
                let merged = merged.chain(&before[8..10]).chain(&after[10..]);
                merged.cloned().collect()
            }
            "skip" => {
                assert_eq!(
                    report["unchanged"],
                    json!({"projects": 1, "sessions": 1, "events": 1, "artifacts": 0, "handoffs": 1, "decisions": 2, "knowledge": 2,
                        "reflections": 1, "principles": 2})
                );
                before.to_vec()
            }
            _ => {
                assert_eq!(report["stored"]["decisions"], 1, "{report}");
                after.to_vec()
            }
        };
        assert_eq!(rows(&whole(&app)), expected, "{mode}");
        is_sound(&app);
        // By any other mode than replace, the same again is the same answer in effect.
        import(&app, &query, &sealed(&after)).ok();
        assert_eq!(rows(&whole(&app)), expected, "{mode} again");
        is_sound(&app);
    }
}

#[test]
fn a_session_keeps_to_one_automatic_handoff() {
    let app = TestApp::start();
    let automatic = |number| handoff(number, &json!({"origin": "automatic"}));
    import(&app, "", &sealed(&[automatic(1)])).ok();
    assert_eq!(
        import(&app, "", &sealed(&[automatic(2)])).ok()["conflict_count"],
        1
    );
    assert_eq!(
        import(&app, "?mode=replace", &sealed(&[automatic(3)])).ok()["stored"]["handoffs"],
        1
    );
    assert_eq!(
        import(&app, "", &sealed(&[handoff(4, &json!({}))])).ok()["stored"]["handoffs"],
        1
    );
    assert_eq!(
        import(&app, "?mode=replace", &sealed(&[automatic(5)])).ok()["conflict_count"],
        1
    );
    assert_eq!(
        app.get("/api/v1/handoffs").ok()["handoffs"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    is_sound(&app);
}

#[test]
fn successors_may_come_later_but_never_in_a_circle() {
    let app = TestApp::start();
    let by = |number: u32, next: u32| {
        decision(
            number,
            &json!({"status": "superseded", "superseded_by": made_id("dec", next)}),
        )
    };
    let report = import(&app, "", &sealed(&[by(1, 2), by(2, 3), by(3, 1)])).ok();
    assert_eq!(report["conflicts"][0]["line"], 4, "{report}");
    assert_eq!(report["stored"]["decisions"], 2);
    import(
        &app,
        "",
        &sealed(&[by(1, 2), by(2, 3), decision(3, &json!({}))]),
    )
    .ok();
    let first = app
        .get(&format!("/api/v1/decisions/{}", made_id("dec", 1)))
        .ok();
    assert_eq!(first["superseded_by"], made_id("dec", 2));
    is_sound(&app);
}

#[test]
fn secrets_do_not_enter_by_an_import_either() {
    let app = TestApp::start();
    let key = format!("ghp_{}", "aB3dE6gH9jK2".repeat(3));
    let report = import(
        &app,
        "",
        &sealed(&[
            event(1, &json!({"content": {"text": format!("use {key}")}})),
            note(1, &json!({"content": format!("it is {key}")})),
            reflection(
                1,
                &json!({"summary": format!("it was {key}"), "insights": [key], "themes": [key]}),
            ),
            principle(1, &json!({"text": format!("always {key}")})),
        ]),
    )
    .ok();
    assert_eq!(report["redacted"], 6);
    let scrape = app.scrape();
    assert_eq!(
        scrape.value("agent_memory_redactions_total{kind=\"github_token\"}"),
        6.0
    );
    assert!(app.files_with(&key).is_empty());
    assert!(whole(&app).contains("[REDACTED:"));
}

#[test]
fn a_broken_export_is_refused_by_its_line() {
    let good = sealed(&[note(1, &json!({})), note(2, &json!({}))]);
    let all: Vec<&str> = good.lines().collect();
    let joined = |lines: &[&str]| lines.join("\n") + "\n";
    let newer = header(&json!({"version": 3, "up_to": "dreams"}));
    let foreign = header(&json!({"format": "other-memory"}));
    let stranger = note(1, &json!({"tenant_id": "stranger"})).to_string();
    let secret = format!("{{\"type\":\"ghp_{}\"}}", "aB3dE6gH9jK2".repeat(3));
    let artifact = event(1, &json!({"artifact_id": made_id("art", 1)}));
    let text = |of: u32| {
        json!({"type": "artifact", "artifact_id": made_id("art", of), "tenant_id": "default",
        "event_id": made_id("evt", 1), "kind": "blob", "bytes": 5, "meta": {"format": "text", "pointer": "/text"}, "text": "four"})
    };
    let long = format!(
        "{{\"type\":\"knowledge\",\"content\":\"{}\"}}",
        "x".repeat(33 << 20)
    );
    for (status, line, field, body) in [
        (422, 1, "body", String::new()),
        (400, 1, "line", "what is this\n".to_owned()),
        (422, 1, "type", joined(&all[1..])),
        (422, 1, "version", joined(&[&newer, all[1]])),
        (422, 1, "format", joined(&[&foreign, all[1]])),
        (400, 3, "line", joined(&[all[0], all[1], &all[2][..40]])),
        (400, 3, "line", joined(&[all[0], all[1], "\u{1}"])),
        (422, 2, "line", joined(&[all[0], &secret])),
        (
            422,
            3,
            "line",
            joined(&[all[0], all[1], r#"{"type": "knowledge", "colour": "red"}"#]),
        ),
        (422, 2, "tenant_id", joined(&[all[0], &stranger])),
        (422, 3, "type", joined(&[all[0], all[1], all[0]])),
        (422, 4, "body", joined(&all[..3])),
        (400, 4, "line", good[..good.len() - 20].to_owned()),
        (422, 3, "counts", joined(&[all[0], all[1], all[3]])),
        (
            422,
            5,
            "counts",
            joined(&[all[0], all[1], all[2], all[2], all[3]]),
        ),
        (422, 4, "sha256", good.replacen("plain", "PLAIN", 1)),
        (422, 5, "line", good.clone() + all[2] + "\n"),
        (
            422,
            2,
            "content",
            sealed(&[note(1, &json!({"content": " "}))]),
        ),
        (
            422,
            2,
            "significance",
            sealed(&[handoff(1, &json!({"significance": 2}))]),
        ),
        (
            422,
            2,
            "created_at",
            sealed(&[handoff(
                1,
                &json!({"created_at": "2036-03-01T09:30:00.000Z"}),
            )]),
        ),
        (
            422,
            2,
            "session_id",
            sealed(&[event(1, &json!({"session_id": "\n"}))]),
        ),
        (
            422,
            2,
            "content",
            sealed(&[event(1, &json!({"content": {"text": "x".repeat(70_000)}}))]),
        ),
        (
            422,
            2,
            "fingerprint",
            sealed(&[event(1, &json!({"fingerprint": "zz"}))]),
        ),
        (
            422,
            2,
            "superseded_by",
            sealed(&[decision(1, &json!({"superseded_by": made_id("dec", 2)}))]),
        ),
        (
            422,
            2,
            "summary",
            sealed(&[reflection(1, &json!({"summary": ""}))]),
        ),
        (
            422,
            3,
            "period_end",
            sealed(&[
                reflection(1, &json!({})),
                reflection(2, &json!({"period_end": "2026-02-02T00:00:00.000Z"})),
            ]),
        ),
        (
            422,
            2,
            "period_end",
            sealed(&[reflection(
                1,
                &json!({"period_end": "2026-03-03T00:00:00.000Z"}),
            )]),
        ),
        (
            422,
            2,
            "insights[0]",
            sealed(&[reflection(1, &json!({"insights": [""]}))]),
        ),
        (
            422,
            2,
            "line",
            sealed(&[reflection(1, &json!({"session_count": -1}))]),
        ),
        (
            422,
            2,
            "line",
            sealed(&[reflection(1, &json!({"sensitivity": "extreme"}))]),
        ),
        (
            422,
            2,
            "line",
            sealed(&[reflection(1, &json!({"reflection_id": made_id("prin", 1)}))]),
        ),
        (
            422,
            2,
            "tenant_id",
            sealed(&[reflection(1, &json!({"tenant_id": "stranger"}))]),
        ),
        (
            422,
            2,
            "count",
            sealed(&[principle(1, &json!({"count": 0}))]),
        ),
        (
            422,
            2,
            "text",
            sealed(&[principle(1, &json!({"text": " "}))]),
        ),
        (
            422,
            2,
            "updated_at",
            sealed(&[principle(
                1,
                &json!({"updated_at": "2026-01-01T00:00:00.000Z"}),
            )]),
        ),
        (
            422,
            2,
            "line",
            sealed(&[principle(1, &json!({"colour": "red"}))]),
        ),
        (
            422,
            3,
            "type",
            sealed(&[artifact.clone(), note(1, &json!({}))]),
        ),
        (422, 3, "type", sealed(std::slice::from_ref(&artifact))),
        (422, 2, "type", sealed(&[text(1)])),
        (422, 3, "artifact_id", sealed(&[artifact.clone(), text(2)])),
        (
            422,
            2,
            "session_id",
            sealed(&[
                with(artifact.clone(), &json!({"session_id": "\n"})),
                text(1),
            ]),
        ),
        (422, 4, "type", sealed(&[artifact.clone(), text(1)])),
        (
            422,
            3,
            "bytes",
            sealed(&[artifact, with(text(1), &json!({"bytes": 3}))]),
        ),
        (422, 2, "line", joined(&[all[0], &long])),
    ] {
        let app = TestApp::start();
        let answer = import(&app, "", &body);
        let problem = answer.problem(status);
        assert_eq!(problem["line"], line, "{problem}");
        assert_eq!(problem["errors"][0]["field"], field, "{problem}");
        assert!(
            problem["detail"]
                .as_str()
                .unwrap()
                .starts_with(&format!("line {line}: {field}: ")),
            "{problem}"
        );
        assert_eq!(problem["stored"]["knowledge"], 0, "{problem}");
        assert!(!problem.to_string().contains("ghp_"), "{problem}");
        assert_eq!(rows(&whole(&app)), [] as [Value; 0]);
    }
}

#[test]
fn what_was_stored_before_a_broken_line_is_said_and_mending_goes_on() {
    let app = TestApp::start();
    let notes: Vec<Value> = (0..450).map(|number| note(number, &json!({}))).collect();
    let good = sealed(&notes);
    let broken = good.replacen(&made_id("kn", 440), "kn_broken", 1);
    let problem = import(&app, "", &broken).problem(422);
    assert_eq!(problem["line"], 442);
    // The header and 399 rows were the first two blocks.
    assert_eq!(problem["stored"]["knowledge"], 399);
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("399 rows were stored before"),
        "{problem}"
    );
    let report = import(&app, "", &good).ok();
    assert_eq!(
        (
            &report["stored"]["knowledge"],
            &report["unchanged"]["knowledge"]
        ),
        (&json!(51), &json!(399))
    );
    assert_eq!(rows(&whole(&app)), notes);
    import(&app, "?mode=burn", &good).blames(422, "mode");
    app.send(
        "POST",
        "/api/v1/import",
        &[("content-type", "text/html")],
        Some(b"x"),
    )
    .problem(415);
}

#[test]
fn a_body_beyond_the_usual_limit_is_streamed() {
    let (old, new) = (TestApp::start(), TestApp::start());
    for number in 0..2 {
        let body = format!("{number} a \"line\" of output\u{1}\n").repeat(230_000);
        old.record(json!({"session_id": "big", "content": {"output": body}}))
            .created();
    }
    let export = whole(&old);
    assert!(export.len() > 11 << 20);
    // Five megabytes of text are two lines.
    assert_eq!(export.lines().count(), 1 + 1 + 2 * 3 + 1);
    import(&new, "", &export).ok();
    assert_eq!(rows(&whole(&new)), rows(&export));
    is_sound(&new);
}

fn run(db: &Path, args: &[&str], input: &str) -> Output {
    let mut child = command(db)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that refuses its arguments reads nothing.
    let _written = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

#[test]
fn the_command_line_imports_a_file_or_its_input() {
    let app = TestApp::start();
    fill(&app);
    let dir = tempfile::tempdir().unwrap();
    let (db, file) = (dir.path().join("new.db"), dir.path().join("m.jsonl"));
    let path = file.to_str().unwrap();
    cli(app.file(), &["export", "--out", path]);
    let export = fs::read_to_string(&file).unwrap();
    let said = cli(&db, &["import", path, "--dry-run"]);
    assert!(
        said.starts_with("would store 2 projects, 5 sessions, 6 events, 2 artifacts, 3 handoffs"),
        "{said}"
    );
    assert_eq!(rows(&cli(&db, &["export"])), [] as [Value; 0]);
    let report: Value = serde_json::from_str(&cli(&db, &["import", path, "--json"])).unwrap();
    assert_eq!(report["stored"], lines(&export).last().unwrap()["counts"]);
    assert_eq!(rows(&cli(&db, &["export"])), rows(&export));
    let again = run(&db, &["import", "-", "--mode", "skip"], &export);
    assert!(String::from_utf8_lossy(&again.stdout).starts_with("stored 0 projects"));
    cli(&db, &["doctor"]);
    for (args, input, code, says) in [
        (
            ["import", "-", "--dry-run"].as_slice(),
            "{}",
            2,
            "line 1: type: is not header",
        ),
        (
            &["import", "-"],
            &export[..export.len() / 2],
            2,
            "nothing was stored",
        ),
        (&["import", "-", "--mode", "burn"], "", 2, "--mode"),
        (
            &["import", "/no/such/file"],
            "",
            1,
            "cannot read /no/such/file",
        ),
    ] {
        let output = run(&dir.path().join("other.db"), args, input);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {errors}");
        assert!(errors.contains(says), "{args:?}: {errors}");
    }
}

#[test]
fn an_import_that_was_killed_goes_on_when_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let (db, file) = (dir.path().join("memory.db"), dir.path().join("all.jsonl"));
    let mut all = vec![];
    for number in 0..3000 {
        let session = format!("s{}", number % 7);
        all.push(event(number, &json!({"session_id": session, "content": {"text": format!("number {number} of the tide gauge")}})));
        if number % 100 == 0 {
            all.push(handoff(number, &json!({"session_id": session})));
        }
    }
    let export = sealed(&all);
    fs::write(&file, &export).unwrap();
    let mut server = Server::start(&db);
    // Half of the body, so that the import cannot be done before the kill.
    let address = server.url("").replace("http://", "");
    let mut stream = TcpStream::connect(&address).unwrap();
    let head = format!(
        "POST /api/v1/import HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/x-ndjson\r\nContent-Length: {}\r\n\r\n",
        export.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream
        .write_all(&export.as_bytes()[..export.len() / 2])
        .unwrap();
    wait_for("some imported rows", || {
        let events = server.get("/api/v1/events?limit=250")?;
        (events["events"].as_array()?.len() >= 250).then_some(())
    });
    server.kill();
    let partly = rows(&cli(&db, &["export"])).len();
    let server = Server::start(&db);
    let mut answer = client()
        .post(server.url("/api/v1/import"))
        .content_type("application/x-ndjson")
        .send(export.as_bytes())
        .unwrap();
    assert_eq!(answer.status(), 200);
    let report: Value = answer.body_mut().read_json().unwrap();
    let sum = |counts: &Value| {
        counts
            .as_object()
            .unwrap()
            .values()
            .map(|count| count.as_u64().unwrap())
            .sum::<u64>()
    };
    assert_eq!(sum(&report["stored"]) + sum(&report["unchanged"]), 3030);
    assert!(
        sum(&report["unchanged"]) >= 250 && partly < 3000,
        "{report}"
    );
    let fresh = dir.path().join("fresh.db");
    cli(&fresh, &["import", file.to_str().unwrap()]);
    let by_id = |db: &Path| {
        let mut rows = rows(&cli(db, &["export"]));
        rows.retain(|row| row["type"] != "session");
        rows
    };
    assert_eq!(by_id(&db), by_id(&fresh));
    cli(&db, &["doctor"]);
}
