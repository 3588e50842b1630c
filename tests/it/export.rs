//! Export: everything of a tenant as JSON lines, whole, in bounded pieces.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::harness::{TestApp, id, made_id, texts};
use crate::import::{import, principle, reflection, sealed};
use crate::process::{command, wait_for};

/// What a command printed; it has to go well.
#[track_caller]
pub(crate) fn cli(db: &Path, args: &[&str]) -> String {
    let output = command(db)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{args:?}: {errors}");
    assert_eq!(errors, "", "{args:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The lines of an export.
pub(crate) fn lines(export: &str) -> Vec<Value> {
    let parse = |line: &str| serde_json::from_str(line).unwrap();
    export.lines().map(parse).collect()
}

/// The rows of an export, without its header and trailer.
pub(crate) fn rows(export: &str) -> Vec<Value> {
    let all = lines(export);
    all[1..all.len() - 1].to_vec()
}

/// A memory with every kind of row.
pub(crate) fn fill(app: &TestApp) {
    app.post(
        "/api/v1/session/start",
        &json!({"session_id": "empty", "with_whom": "Bo", "started_at": "2026-02-01T08:00:00Z"}),
    );
    app.record(json!({"event_id": made_id("evt", 1), "project_id": "tides", "tags": ["tür", "漢字"],
        "refs": ["src/a.rs"], "ts": "2026-02-03T08:00:00.123Z", "content": {"text": "🦀 Grüße\u{0}", "n": 0.1, "big": 1e300,
        "small": 0.300_000_000_000_000_04, "list": [1, null, true, {"k": "v"}]}}))
        .created();
    // Quotes and control characters, which JSON makes longer.
    let long = "\"\u{1}a line of tool output\n".repeat(20_000);
    app.record(
        json!({"session_id": "long", "kind": "tool_result", "actor": {"type": "tool", "id": "cat"},
        "content": {"output": long, "code": 0}}),
    )
    .created();
    app.record(json!({"session_id": "long", "content": {"a": "x".repeat(60_000), "b": "y".repeat(60_000)}}))
        .created();
    for (sensitivity, channel) in [("low", "public"), ("high", "team"), ("secret", "private")] {
        app.record(
            json!({"sensitivity": sensitivity, "channel": channel, "session_id": "s2",
            "content": {"text": format!("a {sensitivity} word")}}),
        )
        .created();
    }
    app.hand_off(json!({"handoff_id": made_id("sh", 1), "project_id": "tides", "becoming": "precise", "significance": 0.3,
        "tags": ["x"], "created_at": "2026-02-03T09:00:00Z"}))
        .created();
    app.hand_off(json!({"session_id": "s2", "origin": "automatic", "learned": "by a hook"}))
        .created();
    app.hand_off(json!({"session_id": "s3", "sensitivity": "secret", "remember": "hush"}))
        .created();
    let old = app
        .post("/api/v1/decisions", &json!({"decision": "WAL off", "project_id": "tides", "scope": "policy",
            "rationale": ["simple"], "alternatives": ["WAL on", "no file"], "ts": "2026-02-01T00:00:00Z"}))
        .created();
    let path = format!("/api/v1/decisions/{}/supersede", id(&old, "decision_id"));
    let next = app
        .post(&path, &json!({"decision_id": made_id("dec", 2), "decision": "WAL on", "consequences": ["three files"]}))
        .created();
    let path = format!(
        "/api/v1/decisions/{}/supersede",
        id(&next["decision"], "decision_id")
    );
    app.post(
        &path,
        &json!({"decision": "WAL on, full", "refs": ["adr/3"]}),
    )
    .created();
    let note = app
        .post(
            "/api/v1/knowledge",
            &json!({"content": "the port is 3456", "title": "Port", "pinned": true, "tags": ["net"],
            "source_handoffs": [made_id("sh", 1)], "confidence": 0.1, "with_whom": "Ada"}),
        )
        .created();
    app.advance_hours(1);
    let path = format!("/api/v1/knowledge/{}", id(&note, "note_id"));
    app.send(
        "PATCH",
        &path,
        &[("content-type", "application/json")],
        Some(br#"{"content": "the port is 3457"}"#),
    )
    .ok();
    app.post(
        "/api/v1/knowledge",
        &json!({"content": "plain", "project_id": "elsewhere"}),
    )
    .created();
    let concluded = [
        reflection(
            2,
            &json!({"insights": ["a \"gauge\" drifts", "漢字"], "themes": ["tides", "tür"]}),
        ),
        reflection(
            1,
            &json!({"sensitivity": "high", "summary": "a high conclusion"}),
        ),
        reflection(
            3,
            &json!({"sensitivity": "secret", "summary": "hushed", "session_count": 0}),
        ),
        principle(
            2,
            &json!({"source_handoffs": [made_id("sh", 1), made_id("sh", 7)], "count": 40}),
        ),
        principle(
            1,
            &json!({"sensitivity": "high", "source_handoffs": [], "updated_at": "2026-02-20T00:00:00.000Z"}),
        ),
        principle(
            3,
            &json!({"sensitivity": "secret", "text": "hushed, always"}),
        ),
    ];
    import(app, "", &sealed(&concluded)).ok();
}

#[test]
fn an_export_has_a_header_every_row_and_a_trailer() {
    let app = TestApp::start();
    fill(&app);
    let answer = app.get("/api/v1/export/all");
    assert_eq!(
        answer.is(200).header("content-type"),
        "application/x-ndjson"
    );
    let text = answer.text();
    let all = lines(&text);
    let header = &all[0];
    assert_eq!(
        header,
        &json!({"type": "header", "format": "agent-memory", "version": 2, "tenant_id": "default",
            "created_at": "2026-03-01T10:30:00.000Z", "schema": header["schema"], "up_to": "high"})
    );
    let trailer = all.last().unwrap();
    let body = &text[..text[..text.len() - 1].rfind('\n').unwrap() + 1];
    let digest: String = Sha256::digest(body)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(
        trailer,
        &json!({"type": "trailer", "counts": {"projects": 2, "sessions": 5, "events": 5, "artifacts": 2, "handoffs": 2,
            "decisions": 3, "knowledge": 2, "reflections": 2, "principles": 2}, "left_out": {"secret": 4}, "sha256": digest})
    );
    let kinds: Vec<_> = all
        .iter()
        .map(|line| line["type"].as_str().unwrap())
        .collect();
    let order = [
        "header",
        "project",
        "session",
        "event",
        "artifact",
        "handoff",
        "decision",
        "knowledge",
        "reflection",
        "principle",
        "trailer",
    ];
    let mut seen = kinds.clone();
    seen.retain(|kind| *kind != "artifact");
    seen.dedup();
    assert_eq!(
        seen,
        order
            .iter()
            .copied()
            .filter(|kind| *kind != "artifact")
            .collect::<Vec<_>>()
    );
    for (index, line) in all
        .iter()
        .enumerate()
        .filter(|(_, line)| line["type"] == "artifact")
    {
        assert_eq!(line["event_id"], all[index - 1]["event_id"]);
    }
    assert!(!text.contains("a secret word") && !text.contains("hush"));
    assert!(text.contains("a high word") && text.contains("a high conclusion"));
    let open = app.get("/api/v1/export/all?channel=public").text();
    assert!(open.contains("a low word") && open.contains("Principle 2"));
    assert!(!open.contains("a high word") && !open.contains("a high conclusion"));
    assert!(!open.contains("Principle 1"));
    assert_eq!(lines(&open).last().unwrap().get("left_out"), None);
}

#[test]
fn the_command_line_exports_what_is_secret_too() {
    let app = TestApp::start();
    fill(&app);
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("memory.jsonl");
    let said = cli(app.file(), &["export", "--out", out.to_str().unwrap()]);
    assert_eq!(said, format!("29 rows in {}\n", out.display()));
    let text = fs::read_to_string(&out).unwrap();
    assert!(text.contains("a secret word") && text.contains("hush"));
    assert_eq!(
        lines(&text).last().unwrap()["left_out"],
        json!({"secret": 0})
    );
    assert_eq!(rows(&text), rows(&cli(app.file(), &["export"])));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(
            fs::metadata(&out).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
    assert_eq!(
        fs::read_dir(dir.path()).unwrap().count(),
        1,
        "a part was left behind"
    );
}

#[test]
fn what_is_not_there_or_being_forgotten_is_not_exported() {
    let app = TestApp::start();
    fill(&app);
    app.delete("/api/v1/sessions/long").accepted();
    let text = app.get("/api/v1/export/all").text();
    assert!(!text.contains("tool output"));
    let empty = app.get("/api/v1/export/all?tenant_id=nobody").text();
    assert_eq!(lines(&empty).len(), 2);
    assert_eq!(rows(&empty), [] as [Value; 0]);
    app.get("/api/v1/export/all?limit=3").blames(422, "limit");
}

#[test]
fn a_client_that_stops_reading_does_not_keep_the_log() {
    let app = TestApp::start();
    // More than the sockets of both sides hold.
    for number in 0..3 {
        let body = format!("{number} a line of output that is repeated\n").repeat(225_000);
        app.record(json!({"session_id": "big", "content": {"output": body}}))
            .created();
    }
    let mut stream = TcpStream::connect(app.address()).unwrap();
    stream
        .write_all(b"GET /api/v1/export/all HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    let mut begin = [0; 1000];
    stream.read_exact(&mut begin).unwrap();
    assert!(begin.starts_with(b"HTTP/1.1 200"));
    let doomed = app.say("soon forgotten");
    app.delete(&format!("/api/v1/events/{doomed}")).forgotten();
    let log = app.file().with_extension("db-wal");
    wait_for("the log to be emptied", || {
        (fs::metadata(&log).unwrap().len() == 0).then_some(())
    });
    let idle = app.get("/health/detailed").ok();
    assert_eq!(idle["readers"]["idle"], idle["readers"]["total"]);
    // And when it goes on it gets the rest.
    let mut rest = Vec::new();
    stream
        .set_read_timeout(Some(std::time::Duration::from_secs(20)))
        .unwrap();
    while !rest.ends_with(b"\r\n0\r\n\r\n") {
        let mut part = vec![0; 1 << 20];
        let read = stream.read(&mut part).unwrap();
        assert!(read > 0, "the answer broke off");
        rest.extend_from_slice(&part[..read]);
    }
    assert!(String::from_utf8_lossy(&rest).contains("\"type\":\"trailer\""));
}

#[test]
fn a_thread_is_a_document_of_the_handoffs_in_time() {
    let app = TestApp::start();
    assert_eq!(
        app.get("/api/v1/export/thread").ok(),
        json!({"tenant_id": "default", "handoffs": [], "identity_thread": [], "cut": false})
    );
    for (session, day, person, project, becoming) in [
        ("s2", 3, "Bo", "tides", "a gauge\nreader"),
        ("s1", 2, "Ada", "tides", "precise"),
        ("s3", 4, "Ada", "other", ""),
    ] {
        app.hand_off(json!({"session_id": session, "with_whom": person, "project_id": project, "becoming": becoming,
            "learned": format!("of {session}"), "created_at": format!("2026-02-0{day}T09:00:00Z")}))
            .created();
    }
    app.hand_off(json!({"session_id": "s4", "sensitivity": "secret", "story": "hush"}))
        .created();
    let thread = app.get("/api/v1/export/thread?format=json").ok();
    assert_eq!(texts(&thread["handoffs"], "session_id"), ["s1", "s2", "s3"]);
    assert_eq!(
        texts(&thread["identity_thread"], "becoming"),
        ["precise", "a gauge\nreader"]
    );
    let answer = app.get("/api/v1/export/thread?format=markdown");
    assert_eq!(
        answer.is(200).header("content-type"),
        "text/markdown; charset=utf-8"
    );
    let expected = "# Handoffs of default

## 2026-02-02 with Ada (session s1)

**Experienced:** We set the tide gauge up.

**Learned:** of s1

**Becoming:** precise

## 2026-02-03 with Bo (session s2)

**Experienced:** We set the tide gauge up.

**Learned:** of s2

**Becoming:** a gauge
reader

## 2026-02-04 with Ada (session s3)

**Experienced:** We set the tide gauge up.

**Learned:** of s3

## Identity thread

- 2026-02-02: precise
- 2026-02-03: a gauge reader
";
    assert_eq!(answer.text(), expected);
    let with = app
        .get("/api/v1/export/thread?with_whom=Ada&project_id=tides")
        .ok();
    assert_eq!(texts(&with["handoffs"], "session_id"), ["s1"]);
    let accepted = app.get_with("/api/v1/export/thread", &[("accept", "text/markdown")]);
    assert_eq!(accepted.text(), answer.text());
    app.get("/api/v1/export/thread?format=pdf")
        .blames(422, "format");
}

#[test]
fn a_long_thread_says_that_it_is_cut() {
    let app = TestApp::start();
    let long = "word ".repeat(13_000);
    for number in 0..27 {
        let session = format!("s{number}");
        app.hand_off(json!({"session_id": session, "experienced": long, "noticed": long, "learned": long, "story": long,
            "remember": long}))
            .created();
    }
    let thread = app.get("/api/v1/export/thread").ok();
    assert_eq!(thread["cut"], true);
    let sessions = texts(&thread["handoffs"], "session_id");
    assert_eq!(sessions.last().unwrap(), "s26");
    assert!((20..27).contains(&sessions.len()), "{}", sessions.len());
    let text = app.get("/api/v1/export/thread?format=markdown").text();
    let says = format!(
        "Older handoffs are left out: these are the newest {}.",
        sessions.len()
    );
    assert!(text.contains(&says));
}
