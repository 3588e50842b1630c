//! The command line, by the real binary: with and without a running server.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use agent_memory::store::sqlite::schema_version;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{TestApp, event, made_id};
use crate::process::{Server, command, wait_for};

/// A folder with the path of a memory in it.
fn place() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("memory.db");
    (dir, db)
}

/// What a command printed and how it ended.
#[derive(Debug)]
struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Ran {
    fn read(output: &Output) -> Self {
        Self {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout.clone()).unwrap(),
            err: String::from_utf8(output.stderr.clone()).unwrap(),
        }
    }

    /// It went well; what it printed.
    #[track_caller]
    fn ok(&self) -> &str {
        assert_eq!((self.code, self.err.as_str()), (0, ""), "{}", self.out);
        &self.out
    }

    /// It went well; what it printed is JSON.
    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(self.ok()).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }

    /// It failed with this code and said why, once, on standard error.
    #[track_caller]
    fn fails(&self, code: i32) -> &str {
        assert_eq!(self.code, code, "{} {}", self.out, self.err);
        assert!(!self.err.trim().is_empty());
        assert!(!self.err.contains("panicked"), "{}", self.err);
        &self.err
    }
}

fn run(db: &Path, args: &[&str]) -> Ran {
    Ran::read(
        &command(db)
            .args(args)
            .stdin(Stdio::null())
            .output()
            .unwrap(),
    )
}

fn run_with_input(db: &Path, args: &[&str], input: &str) -> Ran {
    let mut child = command(db)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that refuses its arguments reads nothing.
    let _written = child.stdin.take().unwrap().write_all(input.as_bytes());
    Ran::read(&child.wait_with_output().unwrap())
}

#[test]
fn a_memory_is_written_and_read_without_a_server() {
    let (_dir, db) = place();
    let event_id = run(
        &db,
        &[
            "record",
            "the tide gauge listens on port 502",
            "--session",
            "s1",
            "--tag",
            "port",
        ],
    );
    let event_id = event_id.ok().trim();
    assert!(
        event_id.starts_with("evt_") && event_id.len() == 36,
        "{event_id}"
    );
    let handoff_id = run(
        &db,
        &[
            "handoff",
            "--session",
            "s1",
            "--with-whom",
            "Ada",
            "--learned",
            "Gauges drift.",
            "--remember",
            "Check gauge 3.",
        ],
    );
    let handoff_id = handoff_id.ok().trim();
    assert!(handoff_id.starts_with("sh_"), "{handoff_id}");
    assert!(run(&db, &["wake-up"]).ok().contains("Check gauge 3."));
    assert!(run(&db, &["wake-up", "--with-whom", "Bo"]).ok().is_empty());
    assert!(
        run(&db, &["recall", "which", "port"])
            .ok()
            .contains(event_id)
    );
    assert!(
        run(&db, &["recall", "zeppelin"])
            .ok()
            .contains("nothing relevant")
    );
    assert!(run(&db, &["list", "events"]).ok().contains(event_id));
    assert!(run(&db, &["list", "handoffs"]).ok().contains(handoff_id));
    assert!(run(&db, &["list", "sessions"]).ok().contains("s1"));
    assert_eq!(run(&db, &["list", "projects"]).ok(), "");
    let shown: Value = serde_json::from_str(run(&db, &["show", event_id]).ok()).unwrap();
    assert_eq!(
        shown["content"]["text"],
        "the tide gauge listens on port 502"
    );
    assert!(run(&db, &["status"]).ok().contains("events    1"));
    assert!(!run(&db, &["doctor"]).ok().contains("WRONG"));
    run(&db, &["migrate"]).ok();
    run(&db, &["forget", event_id]).ok();
    run(&db, &["show", event_id]).fails(4);
    assert!(
        run(&db, &["recall", "which port"])
            .ok()
            .contains("nothing relevant")
    );
}

#[test]
fn every_command_works_beside_a_running_server() {
    let app = TestApp::start();
    let db = app.file();
    let spoken = app.say("the tide gauge listens on port 502");
    let event_id = run(db, &["record", "the anemometer listens on port 503"])
        .ok()
        .trim()
        .to_owned();
    // The server sees it at once, and its counts soon after.
    assert_eq!(app.recall("anemometer"), [event_id.as_str()]);
    wait_for("the server's counts", || {
        (app.metric("agent_memory_events_total{kind=\"message\"}") == 2.0).then_some(())
    });
    run(db, &["handoff", "--remember", "Mind the ports."]).ok();
    assert!(
        app.get("/api/v1/wake-up").ok()["context"]
            .as_str()
            .unwrap()
            .contains("Mind the ports.")
    );
    assert!(run(db, &["wake-up"]).ok().contains("Mind the ports."));
    assert!(run(db, &["recall", "tide gauge"]).ok().contains(&spoken));
    assert_eq!(
        run(db, &["list", "events", "--json"]).json()["events"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    run(db, &["show", &spoken]).ok();
    run(db, &["status"]).ok();
    assert!(!run(db, &["doctor"]).ok().contains("WRONG"));
    run(db, &["migrate"]).ok();
    run(db, &["forget", &event_id]).ok();
    app.get(&format!("/api/v1/events/{event_id}")).problem(404);
    app.wait_until_erased("anemometer");
    run(db, &["forget", "--session", "s1"]).ok();
    app.get(&format!("/api/v1/events/{spoken}")).problem(404);
    app.wait_until_erased("tide gauge");
}

#[test]
fn json_is_printed_where_it_is_asked_for() {
    let (_dir, db) = place();
    let receipt = run(&db, &["--json", "record", "quay", "--project", "p"]).json();
    let event_id = receipt["event_id"].as_str().unwrap().to_owned();
    let handoff = run(&db, &["handoff", "--json", "--story", "quay"]).json();
    assert_eq!(handoff["story"], "quay");
    assert_eq!(
        run(&db, &["wake-up", "--json"]).json()["last_handoff"],
        handoff
    );
    let found = run(&db, &["recall", "quay", "--json"]).json();
    assert_eq!(found["hits"][0]["duplicate_count"], 1);
    for what in ["events", "handoffs", "sessions", "projects"] {
        assert_eq!(
            run(&db, &["list", what, "--json"]).json()[what]
                .as_array()
                .unwrap()
                .len(),
            1,
            "{what}"
        );
    }
    let shown = run(&db, &["show", &event_id, "--json"]).json();
    assert_eq!(shown["event_id"], receipt["event_id"]);
    let status = run(&db, &["status", "--json"]).json();
    assert_eq!(status["stats"]["events.message"], 1);
    assert_eq!(status["file"]["schema_version"], schema_version());
    let findings = run(&db, &["doctor", "--json"]).json();
    assert!(
        findings
            .as_array()
            .unwrap()
            .iter()
            .all(|finding| finding["ok"] == true),
        "{findings}"
    );
    let config = run(&db, &["config", "--json"]).json();
    assert_eq!(config["db"]["source"], "flag");
    assert_eq!(config["listen"]["value"], "127.0.0.1:3456");
}

#[test]
fn commands_that_change_something_also_answer_in_json() {
    let (_dir, db) = place();
    let receipt = run(&db, &["record", "quay", "--json"]).json();
    run(&db, &["migrate", "--json"]).json();
    run(
        &db,
        &["forget", "--json", receipt["event_id"].as_str().unwrap()],
    )
    .json();
}

#[test]
fn many_events_come_in_as_lines() {
    let (_dir, db) = place();
    let lines: String = (0..1500)
        .map(|number| format!("{}\n\n", event(&json!({"content": {"n": number}}))))
        .collect();
    let ran = run_with_input(&db, &["record", "--ndjson"], &lines);
    assert_eq!(ran.ok().lines().count(), 1500);
    let status = run(&db, &["status", "--json"]).json();
    assert_eq!(status["stats"]["events.message"], 1500);
    let answers = run_with_input(
        &db,
        &["record", "--ndjson", "--json"],
        &format!("{0}\n{0}\n", event(&json!({}))),
    );
    let answers: Vec<Value> = serde_json::Deserializer::from_str(answers.ok())
        .into_iter()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(answers.len(), 2);
}

#[test]
fn a_refused_line_is_told_and_the_others_are_kept() {
    let (_dir, db) = place();
    let lines = format!(
        "{}\n{}\nnot json\n",
        event(&json!({})),
        event(&json!({"kind": "dream"}))
    );
    let ran = run_with_input(&db, &["record", "--ndjson"], &lines);
    ran.fails(2);
    assert_eq!(
        ran.out
            .lines()
            .filter(|line| line.starts_with("evt_"))
            .count(),
        1
    );
    assert_eq!(
        run(&db, &["status", "--json"]).json()["stats"]["events.message"],
        1
    );
    let ran = run_with_input(&db, &["record", "--ndjson", "--json"], &lines);
    ran.fails(2);
    let printed: Result<Vec<Value>, _> = serde_json::Deserializer::from_str(&ran.out)
        .into_iter()
        .collect();
    assert!(printed.is_ok(), "{}", ran.out);
}

#[test]
fn a_handoff_comes_in_as_json() {
    let (_dir, db) = place();
    let draft = json!({"session_id": "s", "with_whom": "Ada", "becoming": "Patient.", "handoff_id": made_id("sh", 1)});
    let ran = run_with_input(&db, &["handoff", "--from-json"], &draft.to_string());
    assert_eq!(ran.ok().trim(), made_id("sh", 1));
    run_with_input(&db, &["handoff", "--from-json"], &draft.to_string()).ok();
    run_with_input(&db, &["handoff", "--from-json"], "{").fails(2);
    run_with_input(&db, &["handoff", "--from-json"], "{}").fails(2);
}

#[test]
fn text_comes_in_from_standard_input() {
    let (_dir, db) = place();
    let event_id = run_with_input(
        &db,
        &["record", "-", "--kind", "tool_result"],
        "line one\nline two\n",
    );
    let shown = run(&db, &["show", event_id.ok().trim()]).json();
    assert_eq!(shown["content"]["text"], "line one\nline two\n");
    assert_eq!(shown["kind"], "tool_result");
}

#[test]
fn an_exit_code_says_what_was_wrong() {
    let (_dir, db) = place();
    run(&db, &["status"]).fails(4);
    assert!(!db.exists(), "a question makes no file");
    run(&db, &["record", "hello"]).ok();
    for wrong in [
        &["record", "hello", "--kind", "dream"][..],
        &["record", "hello", "--channel", "loud"],
        &["record", " "],
        &["record"],
        &["record", "hello", "--tenant", "a b"],
        &["handoff"],
        &["handoff", "--story", "x", "--significance", "2"],
        &["recall"],
        &["recall", "x", "--limit", "0"],
        &["recall", "x", "--since", "yesterday"],
        &["wake-up", "--max-tokens", "0"],
        &["list", "dreams"],
        &["list", "events", "--limit", "1001"],
        &["list", "events", "--cursor", "x"],
        &["show", "x"],
        &["show", "evt_1"],
        &["forget"],
        &["forget", "x"],
        &["forget", "--whole-tenant"],
        &["dream"],
        &["--dream"],
    ] {
        run(&db, wrong).fails(2);
    }
    for missing in [
        &["show", &made_id("evt", 1)][..],
        &["show", &made_id("sh", 1)],
        &["forget", &made_id("evt", 1)],
        &["forget", "--session", "nobody"],
        &["forget", "--whole-tenant", "--yes", "--tenant", "nobody"],
    ] {
        run(&db, missing).fails(4);
    }
    let taken = event(&json!({"event_id": made_id("evt", 1)})).to_string();
    run_with_input(&db, &["record", "--ndjson"], &taken).ok();
    let other = event(&json!({"event_id": made_id("evt", 1), "tags": ["x"]})).to_string();
    run_with_input(&db, &["record", "--ndjson"], &other).fails(5);
    let handoff = |story: &str| json!({"session_id": "s", "with_whom": "A", "story": story, "handoff_id": made_id("sh", 1)});
    run_with_input(&db, &["handoff", "--from-json"], &handoff("x").to_string()).ok();
    run_with_input(&db, &["handoff", "--from-json"], &handoff("y").to_string()).fails(5);
}

#[test]
fn a_search_from_the_command_line_is_counted() {
    let (_dir, db) = place();
    run(&db, &["record", "the gauge is painted red"]).ok();
    run(&db, &["recall", "gauge"]).ok();
    run(&db, &["recall", "zebra"]).ok();
    let stats = run(&db, &["status", "--json"]).json()["stats"].clone();
    assert_eq!(
        (&stats["recalls"], &stats["recalls_empty"]),
        (&json!(2), &json!(1))
    );
}

#[test]
fn a_tenant_is_acted_in_by_name() {
    let (_dir, db) = place();
    run(&db, &["record", "quay", "--tenant", "a"]).ok();
    assert_eq!(run(&db, &["list", "events"]).ok(), "");
    assert!(
        run(&db, &["--tenant", "a", "list", "events"])
            .ok()
            .contains("quay")
    );
    run(&db, &["forget", "--whole-tenant", "--yes", "--tenant", "a"]).ok();
    assert_eq!(run(&db, &["list", "events", "--tenant", "a"]).ok(), "");
}

#[test]
fn what_a_command_forgets_is_gone_from_the_files_when_it_returns() {
    let (dir, db) = place();
    let event_id = run(&db, &["record", "a xylographer came by"])
        .ok()
        .trim()
        .to_owned();
    let holds = || {
        let entries = fs::read_dir(dir.path()).unwrap();
        entries
            .map(|entry| fs::read(entry.unwrap().path()).unwrap_or_default())
            .any(|bytes| String::from_utf8_lossy(&bytes).contains("xylograph"))
    };
    assert!(holds());
    run(&db, &["forget", &event_id]).ok();
    assert!(!holds());
}

#[test]
fn a_file_that_is_not_ours_is_refused_and_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let mut foreign = b"SQLite format 3\0".to_vec();
    foreign.resize(4096, 0);
    for (name, bytes) in [
        ("notes.txt", b"Dear diary, today".repeat(20)),
        ("other.db", foreign),
        ("short", b"x".to_vec()),
    ] {
        let path = dir.path().join(name);
        fs::write(&path, &bytes).unwrap();
        for args in [
            &["record", "hello"][..],
            &["status"],
            &["migrate"],
            &["serve", "--listen", "127.0.0.1:0"],
        ] {
            let ran = run(&path, args);
            assert!(ran.fails(74).contains("--db"), "{}", ran.err);
        }
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
    // Nothing was put beside them.
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
}

#[test]
fn a_file_of_a_newer_version_is_refused() {
    let (_dir, db) = place();
    run(&db, &["record", "hello"]).ok();
    run(&db, &["migrate"]).ok();
    // user_version, where SQLite's file format has it.
    let mut bytes = fs::read(&db).unwrap();
    bytes[60..64].copy_from_slice(&99u32.to_be_bytes());
    fs::write(&db, bytes).unwrap();
    for args in [
        &["record", "hello"][..],
        &["status"],
        &["migrate"],
        &["serve", "--listen", "127.0.0.1:0"],
    ] {
        assert!(run(&db, args).fails(74).contains("newer"));
    }
}

#[test]
fn a_path_that_cannot_be_a_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    run(dir.path(), &["record", "hello"]).fails(74);
    fs::write(dir.path().join("plain"), "x").unwrap();
    run(&dir.path().join("plain/memory.db"), &["record", "hello"]).fails(74);
}

#[test]
fn a_write_that_others_keep_out_says_to_try_again() {
    let (_dir, db) = place();
    run(&db, &["record", "hello"]).ok();
    let turn = fs::File::options()
        .write(true)
        .open(db.with_extension("db.turn"))
        .unwrap();
    turn.lock().unwrap();
    run(&db, &["record", "hello again"]).fails(75);
    drop(turn);
    assert_eq!(
        run(&db, &["status", "--json"]).json()["stats"]["events.message"],
        1
    );
}

#[test]
fn the_memory_is_readable_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let (dir, _) = place();
    let db = dir.path().join("new/folder/memory.db");
    run(&db, &["record", "hello"]).ok();
    for entry in fs::read_dir(db.parent().unwrap()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(
            mode & 0o077,
            0,
            "{} has mode {mode:o}",
            entry.path().display()
        );
    }
    let folder = fs::metadata(db.parent().unwrap())
        .unwrap()
        .permissions()
        .mode()
        & 0o777;
    assert_eq!(folder, 0o700);
}

#[test]
fn a_taken_port_is_said() {
    let (_dir, db) = place();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ran = run(&db, &["serve", "--listen", &address]);
    assert_ne!(ran.code, 0);
    assert!(
        ran.err.contains(&address) && ran.err.contains("--listen"),
        "{}",
        ran.err
    );
}

#[test]
fn a_server_does_not_listen_where_strangers_are() {
    let (_dir, db) = place();
    let refused = |address: &str| {
        let ran = run(&db, &["serve", "--listen", address]);
        assert_ne!(ran.code, 0);
        assert!(ran.err.contains(address), "{}", ran.err);
        assert!(ran.err.contains("key create NAME"), "{}", ran.err);
    };
    for address in ["0.0.0.0:0", "192.0.2.1:3456", "[::]:0"] {
        refused(address);
    }
    assert!(!db.exists());
    run(&db, &["status"]).fails(4);
    run(&db, &["note", "hello"]).ok();
    refused("0.0.0.0:0");
    // A key that opens nothing any more is none.
    run(&db, &["key", "create", "a"]).ok();
    run(&db, &["key", "revoke", "a"]).ok();
    refused("0.0.0.0:0");
    run(&db, &["serve", "--listen", "nonsense"]).fails(2);
}

#[test]
fn a_server_that_is_told_to_stop_does_so_in_time_and_keeps_what_it_took() {
    let (_dir, db) = place();
    let mut server = Server::start(&db);
    // An idle connection that stays open, as pooled clients have it.
    let idle = crate::process::client();
    let stored = idle
        .post(server.url("/api/v1/events"))
        .send_json(event(&json!({})))
        .unwrap();
    assert_eq!(stored.status(), 201);
    let begun = Instant::now();
    let status = server.terminate();
    assert_eq!(status.code(), Some(0));
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
    drop(idle);
    assert_eq!(
        run(&db, &["status", "--json"]).json()["stats"]["events.message"],
        1
    );
    // In order: the log is empty, so the file is complete by itself.
    let wal = fs::metadata(db.with_extension("db-wal")).map_or(0, |file| file.len());
    assert_eq!(wal, 0);
}

#[test]
fn settings_are_shown_with_where_they_come_from() {
    let (_dir, db) = place();
    let mut config = command(&db);
    config
        .args(["config", "--json", "--workers", "3"])
        .env("AGENT_MEMORY_READERS", "7");
    let shown = Ran::read(&config.output().unwrap()).json();
    assert_eq!(shown["workers"], json!({"value": "3", "source": "flag"}));
    assert_eq!(
        shown["readers"],
        json!({"value": "7", "source": "environment"})
    );
    assert_eq!(
        shown["durability"],
        json!({"value": "full", "source": "default"})
    );
    let mut config = command(&db);
    let refused = config
        .args(["config"])
        .env("AGENT_MEMORY_READERS", "many")
        .output()
        .unwrap();
    Ran::read(&refused).fails(2);
    assert!(!db.exists());
}

#[test]
fn help_and_version_are_there() {
    let (_dir, db) = place();
    assert!(
        run(&db, &["--version"])
            .ok()
            .contains(&format!("schema {}", schema_version()))
    );
    let help = run(&db, &["--help"]);
    for name in [
        "serve", "record", "handoff", "wake-up", "recall", "list", "show", "forget", "status",
        "doctor", "migrate", "config", "hook", "project", "install", "service",
    ] {
        assert!(help.ok().contains(name), "{name}");
        run(&db, &[name, "--help"]).ok();
    }
}

#[test]
fn output_that_nobody_reads_is_no_failure() {
    let (_dir, db) = place();
    let lines: String = (0..300)
        .map(|_| format!("{}\n", event(&json!({}))))
        .collect();
    run_with_input(&db, &["record", "--ndjson"], &lines).ok();
    let mut child: std::process::Child = command(&db)
        .args(["list", "events", "--limit", "300"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    assert_eq!(
        (
            ended.status.code(),
            String::from_utf8_lossy(&ended.stderr).as_ref()
        ),
        (Some(0), "")
    );
}

#[test]
fn a_log_in_json_tells_what_happened_and_no_content() {
    let (dir, db) = place();
    let log = dir.path().join("server.log");
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();
    let mut child = command(&db)
        .args([
            "serve",
            "--listen",
            &port,
            "--log-format",
            "json",
            "--log",
            "debug",
            "--log-file",
        ])
        .arg(&log)
        .spawn()
        .unwrap();
    let client = crate::process::client();
    let url = format!("http://{port}/api/v1/events");
    let stored = wait_for("the server", || {
        client
            .post(&url)
            .send_json(event(
                &json!({"content": {"text": "xylographer"}, "tags": ["xylograph"]}),
            ))
            .ok()
    });
    assert_eq!(stored.status(), 201);
    assert_eq!(
        client
            .get(format!("{url}?session_id=xylograph"))
            .call()
            .unwrap()
            .status(),
        200
    );
    Command::new("kill")
        .arg(child.id().to_string())
        .status()
        .unwrap();
    let ended = wait_for("the server's end", || child.try_wait().unwrap());
    assert!(ended.success());
    let text = fs::read_to_string(&log).unwrap();
    for line in text.lines() {
        serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
    assert!(
        text.contains("listening on")
            && text.contains("SIGTERM")
            && text.contains("/api/v1/events")
    );
    assert!(!text.contains("xylograph"), "{text}");
}

#[test]
fn a_bare_call_serves_and_options_go_anywhere() {
    let (dir, db) = place();
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();
    let mut child = command(&db)
        .args(["--listen", &port, "--log", "error"])
        .spawn()
        .unwrap();
    let client = crate::process::client();
    wait_for("the server", || {
        client.get(format!("http://{port}/health/live")).call().ok()
    });
    child.kill().unwrap();
    child.wait().unwrap();
    let other = dir.path().join("other.db").display().to_string();
    let ran = Command::new(crate::process::BINARY)
        .args(["record", "hello", "--db", &other, "--tenant", "t", "--json"])
        .output()
        .unwrap();
    Ran::read(&ran).json();
    let by_environment = Command::new(crate::process::BINARY)
        .args(["list", "events", "--json"])
        .env("AGENT_MEMORY_DB", &other)
        .env("AGENT_MEMORY_TENANT", "t")
        .output()
        .unwrap();
    assert_eq!(
        Ran::read(&by_environment).json()["events"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn recall_says_why_when_asked() {
    let (_dir, db) = place();
    for text in [
        "The gauge of Kiel listens on 502.",
        "the gauge of Kiel listens on 502",
    ] {
        run(&db, &["record", text]).ok();
    }
    let plain = run(&db, &["recall", "Kiel", "gauge"]).ok().to_owned();
    assert!(
        plain.contains("said once more") && !plain.contains("found:"),
        "{plain}"
    );
    let why = run(&db, &["recall", "--why", "Kiel", "gauge"])
        .ok()
        .to_owned();
    assert!(why.contains("words ") && why.contains("found: "), "{why}");
    assert!(why.contains("kiel") && why.contains("gaug"), "{why}");
}
