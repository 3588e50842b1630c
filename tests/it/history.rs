//! Session files of Claude Code, imported by the real binary.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::process::command;

fn line(session: &str, cwd: &Path, number: u32, kind: &str, content: &Value) -> String {
    let line = json!({
        "parentUuid": null, "isSidechain": false, "cwd": cwd, "sessionId": session, "version": "2.1.30", "type": kind,
        "uuid": format!("{session}-{number}"), "timestamp": format!("2026-10-0{}T08:{:02}:00.000Z", 1 + number / 60, number % 60),
        "message": {"role": kind, "content": content},
    });
    format!("{line}\n")
}

#[test]
fn a_history_becomes_sessions_events_and_handoffs_once() {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("memory.db");
    let work = dir.path().join("work");
    let out = dir.path().join("out");
    for directory in [&work, &out] {
        fs::create_dir(directory).unwrap();
    }
    fs::write(out.join(".agent-memory-ignore"), "").unwrap();
    let projects = dir.path().join("projects");
    fs::create_dir_all(projects.join("-work")).unwrap();
    let put = |name: &str, text: &str| fs::write(projects.join("-work").join(name), text).unwrap();
    let mut first = String::from("{\"type\":\"summary\",\"summary\":\"x\",\"leafUuid\":\"l\"}\n");
    first += &line("one", &work, 1, "user", &json!("Why does the gauge drift?"));
    first += &line(
        "one",
        &work,
        2,
        "assistant",
        &json!([{"type": "text", "text": "It drifts because the spring is old."},
        {"type": "tool_use", "id": "t", "name": "Read", "input": {"file_path": "spring.md"}}]),
    );
    first += &line(
        "one",
        &work,
        3,
        "user",
        &json!([{"type": "tool_result", "tool_use_id": "t", "content": "old"}]),
    );
    first += "half a li";
    put("one.jsonl", &first);
    let many: String = (0..450)
        .map(|number| {
            line(
                "two",
                &work,
                number,
                "user",
                &json!(format!("Reading {number}.")),
            )
        })
        .collect();
    put("two.jsonl", &format!("broken\n{many}"));
    put(
        "agent-3.jsonl",
        &line("one", &work, 9, "user", &json!("aside")),
    );
    put("empty.jsonl", "");
    put("other.jsonl", "{\"a\":1}\n");
    put(
        "left.jsonl",
        &line("left", &out, 1, "user", &json!("not this")),
    );
    put("notes.txt", "nothing of ours");

    let run = |args: &[&str]| {
        let output = command(&db)
            .env("USER", "ada")
            .arg("--json")
            .args(args)
            .output()
            .unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}");
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let history = projects.to_str().unwrap();
    let dry = run(&["import", "--from", "claude-code", "--dry-run", history]);
    assert_eq!((&dry["events"], &dry["files"]), (&json!(454), &json!(2)));
    assert_eq!(run(&["status"])["stats"]["sessions"], 0);

    let report = run(&["import", "--from", "claude-code", history]);
    assert_eq!(
        (&report["events"], &report["handoffs"], &report["files"]),
        (&json!(454), &json!(2), &json!(2))
    );
    assert_eq!(
        report["lines_skipped"],
        json!({"broken": 1, "bookkeeping": 1})
    );
    let skipped = report["files_skipped"].as_array().unwrap();
    let why = |name: &str| {
        let found = skipped
            .iter()
            .find(|file| file["path"].as_str().unwrap().ends_with(name));
        found.unwrap_or_else(|| panic!("{name} is not in {report}"))["why"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(why("agent-3.jsonl"), "of a subagent");
    assert!(why("left.jsonl").contains(".agent-memory-ignore"));
    assert!(
        why("other.jsonl").contains("where the session was")
            && why("empty.jsonl").contains("where the session was")
    );
    assert_eq!(report["files_skipped_count"], 4);

    let events = run(&["list", "events", "--limit", "3"]);
    let shown = events["events"].to_string();
    assert!(shown.contains("2026-10-0"), "{shown}");
    let woken = command(&db)
        .args([
            "wake-up",
            "--project",
            &format!("dir:{}", work.canonicalize().unwrap().display()),
        ])
        .output()
        .unwrap();
    let woken = String::from_utf8(woken.stdout).unwrap();
    assert!(
        woken.contains("It drifts because the spring is old."),
        "{woken}"
    );

    // Again changes nothing; what is new since then comes in.
    let handoffs = run(&["list", "handoffs"]);
    let again = run(&["import", "--from", "claude-code", history]);
    assert_eq!(
        (&again["events"], &again["files"], &again["files_known"]),
        (&json!(0), &json!(0), &json!(2))
    );
    assert_eq!(run(&["list", "handoffs"]), handoffs);
    first = first.replace(
        "half a li",
        &line("one", &work, 4, "user", &json!("And now?")),
    );
    put("one.jsonl", &first);
    let later = run(&["import", "--from", "claude-code", history]);
    assert_eq!((&later["events"], &later["files"]), (&json!(1), &json!(1)));
    // The same sessions from another place are the same events.
    let moved = dir.path().join("moved");
    fs::rename(&projects, &moved).unwrap();
    let elsewhere = run(&["import", "--from", "claude-code", moved.to_str().unwrap()]);
    assert_eq!(
        (&elsewhere["events"], &elsewhere["events_known"]),
        (&json!(0), &json!(455))
    );
    assert_eq!(run(&["status"])["stats"]["handoffs.full"], 2);
}

#[test]
fn a_history_that_is_not_there_is_said_so() {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("memory.db");
    let empty = dir.path().join("empty");
    fs::create_dir(&empty).unwrap();
    for (args, code) in [
        (
            vec!["import", "--from", "claude-code", empty.to_str().unwrap()],
            4,
        ),
        (
            vec!["import", "--from", "claude-code", "/nowhere/at/all"],
            1,
        ),
        (vec!["import", "a", "b"], 2),
        (vec!["import"], 2),
        (vec!["import", "--from", "word-star", "a"], 2),
    ] {
        let output = command(&db).args(&args).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {output:?}");
    }
}
