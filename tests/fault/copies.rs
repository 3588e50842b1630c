//! Copies of a busy memory, putting them back, and taking out what is old: under flat-out writes, and killed anywhere.
//!
//! `scripts/test --full backup` sets more seconds and rounds than the everyday run has.
//!
//! **Invariant:** what a copy holds is held against what was acknowledged, and against the order it was stored in.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};

use crate::process::{Server, client, command, wait_for};
use crate::talk::{Ledger, ask, assert_sound, beside, doctor, event, rounds, send};

const WRITERS: usize = 8;
/// Rounds of each kill in the everyday run.
const ROUNDS: usize = 2;

/// A number of seconds from outside.
#[expect(clippy::disallowed_methods, reason = "a test has no flags")]
fn seconds(name: &str, everyday: u64) -> Duration {
    let seconds = std::env::var(name).map_or(everyday, |text| text.parse().unwrap());
    Duration::from_secs(seconds)
}

fn run(db: &Path, args: &[&str]) -> String {
    let output = command(db).args(args).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

fn begin(db: &Path, args: &[&str]) -> Child {
    let mut command = command(db);
    command
        .args(args)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.spawn().unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[expect(clippy::disallowed_methods, reason = "read-only, and not the product")]
fn look(db: &Path) -> Connection {
    Connection::open_with_flags(db, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap()
}

fn one(db: &Path, sql: &str) -> i64 {
    look(db).query_row(sql, [], |row| row.get(0)).unwrap()
}

/// The events of a file in the order they were stored in.
fn stored(db: &Path) -> Vec<(i64, String)> {
    let connection = look(db);
    let mut statement = connection
        .prepare("select seq, lower(hex(id)) from event order by seq")
        .unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
    rows.unwrap().map(Result::unwrap).collect()
}

/// Writes single events and batches until told to stop; notes what was acknowledged and how long it took.
fn write(
    server: &Server,
    stop: &AtomicBool,
    acknowledged: &Mutex<Vec<String>>,
    slowest: &Mutex<Vec<Duration>>,
) {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let agent = client();
    // One that is not answered in time is not acknowledged.
    while !stop.load(Ordering::Relaxed) {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let begun = Instant::now();
        let ids = if number.is_multiple_of(4) {
            let items =
                (0..20).map(|item| event(&format!("batch {number} item {item} of the tide gauge")));
            let url = server.url("/api/v1/events/batch");
            let Some(answer) = send(&agent, "POST", &url, Some(&Value::Array(items.collect())))
            else {
                continue;
            };
            assert_eq!(answer.status, 207, "{answer:?}");
            let results = answer.body["results"].as_array().unwrap().clone();
            results
                .iter()
                .map(|item| item["event_id"].clone())
                .collect()
        } else {
            let url = server.url("/api/v1/events");
            let answer = send(
                &agent,
                "POST",
                &url,
                Some(&event(&format!("entry {number}"))),
            )
            .unwrap();
            assert_eq!(answer.status, 201, "{answer:?}");
            vec![answer.body["event_id"].clone()]
        };
        let took = begun.elapsed();
        let ids = ids
            .iter()
            .map(|id| id.as_str().unwrap().trim_start_matches("evt_").to_owned());
        acknowledged
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(ids);
        slowest
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(took);
    }
}

#[test]
fn each_copy_of_a_busy_memory_is_sound_and_a_prefix_of_what_was_acknowledged() {
    let (time, every) = (seconds("BACKUP_SECONDS", 20), seconds("BACKUP_EVERY", 4));
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("memory.db");
    let mut server = Server::start(&db);
    let (stop, acknowledged, times) = (AtomicBool::new(false), Mutex::default(), Mutex::default());
    let mut copies = Vec::new();
    thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| write(&server, &stop, &acknowledged, &times));
        }
        let end = Instant::now() + time;
        while Instant::now() < end {
            thread::sleep(every.min(end.saturating_duration_since(Instant::now())));
            let before: Vec<String> = acknowledged.lock().unwrap().clone();
            let copy = dir.path().join(format!("copy-{}.db", copies.len()));
            let begun = Instant::now();
            run(&db, &["backup", text(&copy)]);
            copies.push((copy, before, begun.elapsed()));
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(server.terminate().success());
    let whole = stored(&db);
    let times = {
        let mut times = times.into_inner().unwrap();
        times.sort();
        times
    };
    eprintln!(
        "{} copies beside {} events, answers p50 {:?} p99 {:?} max {:?}",
        copies.len(),
        whole.len(),
        times[times.len() / 2],
        times[times.len() * 99 / 100],
        times[times.len() - 1]
    );
    assert!(copies.len() >= 3, "only {} copies", copies.len());
    let mut last = 0;
    for (copy, before, took) in &copies {
        let said = run(&db, &["backup", "--check", text(copy)]);
        assert!(said.contains("it is what its manifest says"), "{said}");
        let held = stored(copy);
        eprintln!("{}: {} events in {took:?}", copy.display(), held.len());
        // Event by event the beginning of what there is, and no less than was acknowledged before it was asked for.
        assert_eq!(held, whole[..held.len()]);
        let ids: std::collections::HashSet<&str> = held.iter().map(|(_, id)| id.as_str()).collect();
        let missing = before
            .iter()
            .filter(|id| !ids.contains(id.as_str()))
            .count();
        assert_eq!(missing, 0, "of {} acknowledged before", before.len());
        assert!(held.len() > last, "nothing was written between two copies");
        last = held.len();
    }
    // Put back, and it goes on.
    let (copy, ..) = copies.last().unwrap();
    let elsewhere = dir.path().join("restored/memory.db");
    run(&elsewhere, &["restore", text(copy)]);
    assert_sound(&elsewhere);
    let mut server = Server::start(&elsewhere);
    let ledger = Ledger::default();
    for number in 0..20 {
        let answer = ask(
            &server,
            "POST",
            "/api/v1/events",
            Some(&event(&format!("on {number}"))),
        );
        ledger.stored(answer.body["event_id"].as_str().unwrap());
    }
    ledger.assert_kept(&server);
    assert!(server.terminate().success());
    assert_eq!(stored(&elsewhere).len(), last + 20);
    assert_sound(&elsewhere);
}

/// A memory of some megabytes.
fn filled(db: &Path) {
    let mut server = Server::start(db);
    for part in 0..4 {
        let items = (0..500).map(|item| event(&format!("{part} {item} {}", "x".repeat(3000))));
        let body = Value::Array(items.collect());
        assert_eq!(
            ask(&server, "POST", "/api/v1/events/batch", Some(&body)).status,
            207
        );
    }
    assert!(server.terminate().success());
}

/// Kills a command after a part of the time that it takes.
fn kill_in_the_middle(db: &Path, args: &[&str], whole: Duration, round: usize) {
    let mut child = begin(db, args);
    let part = u32::try_from(round * 37 % 100).unwrap();
    thread::sleep(whole * part / 100);
    // It may be done already.
    let _killed = child.kill();
    child.wait().unwrap();
}

fn timed(work: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    work();
    begun.elapsed()
}

#[test]
fn a_killed_backup_leaves_no_half_copy_and_the_next_one_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let (db, copy) = (dir.path().join("memory.db"), dir.path().join("copy.db"));
    filled(&db);
    let whole = timed(|| drop(run(&db, &["backup", text(&copy)])));
    for round in rounds(ROUNDS).into_iter().flatten() {
        let forced = round % 2 == 0;
        if !forced {
            fs::remove_file(&copy).unwrap();
        }
        let args = ["backup", text(&copy), "--force"];
        kill_in_the_middle(&db, &args[..2 + usize::from(forced)], whole, round + 1);
        assert!(copy.exists() || !forced, "the earlier copy is gone");
        if copy.exists() {
            run(&db, &["backup", "--check", text(&copy)]);
        }
        assert_sound(&db);
        run(&db, &["backup", text(&copy), "--force"]);
        run(&db, &["backup", "--check", text(&copy)]);
        assert!(!beside(&copy, ".part").exists());
        eprintln!("backup killed: round {round}");
    }
}

#[test]
fn a_killed_restore_leaves_the_one_or_the_other_and_is_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let (db, copy) = (dir.path().join("memory.db"), dir.path().join("copy.db"));
    filled(&db);
    run(&db, &["backup", text(&copy)]);
    let notes = || one(&db, "select count(*) from note");
    let mut left = [0, 0];
    let whole = timed(|| drop(run(&db, &["restore", text(&copy), "--force"])));
    for round in rounds(ROUNDS).into_iter().flatten() {
        run(&db, &["note", "since the copy"]);
        kill_in_the_middle(&db, &["restore", text(&copy), "--force"], whole, round + 1);
        // Doctor names what is left, and nothing else is wrong; the next one takes it.
        let part = beside(&db, ".restore.part");
        if part.exists() {
            assert!(doctor(&db).1.contains(".restore.part was left"));
            fs::rename(&part, beside(&db, ".away")).unwrap();
        }
        assert_sound(&db);
        assert_eq!(one(&db, "select count(*) from event"), 2000);
        let old = usize::try_from(notes()).unwrap();
        assert!(old <= 1);
        left[old] += 1;
        run(&db, &["restore", text(&copy), "--force"]);
        assert_eq!(notes(), 0);
        assert!(!beside(&db, ".restore.part").exists());
        let mut server = Server::start(&db);
        assert!(server.terminate().success());
        assert_sound(&db);
        for entry in fs::read_dir(dir.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.to_string_lossy().contains(".before-restore-") {
                fs::remove_file(path).unwrap();
            }
        }
    }
    eprintln!(
        "restore killed: {} left the copy, {} the memory that was there",
        left[0], left[1]
    );
}

#[test]
fn killed_retention_goes_on_and_what_is_old_leaves_the_file() {
    const OLD: usize = 1500;
    let source = tempfile::tempdir().unwrap();
    let first = source.path().join("memory.db");
    let mut server = Server::start(&first);
    let old = |text: String, kind: &str| {
        let mut event = event(&text);
        event["ts"] = json!("2020-03-01T09:30:00Z");
        event["kind"] = json!(kind);
        event
    };
    for part in 0..OLD / 500 {
        let items = (0..500).map(|item| {
            old(
                format!("quokkasaurus {part} {item} {}", "x".repeat(2000)),
                "message",
            )
        });
        let body = Value::Array(items.collect());
        assert_eq!(
            ask(&server, "POST", "/api/v1/events/batch", Some(&body)).status,
            207
        );
    }
    let decided = old("decided long ago on zygomorph".to_owned(), "decision");
    for body in [decided, event("of today")] {
        assert_eq!(
            ask(&server, "POST", "/api/v1/events", Some(&body)).status,
            201
        );
    }
    let handoff = json!({"session_id": "fault", "with_whom": "Ada", "learned": "long ago", "created_at": "2020-03-01T09:30:00Z"});
    assert_eq!(
        ask(&server, "POST", "/api/v1/handoff", Some(&handoff)).status,
        201
    );
    assert!(server.terminate().success());
    let length = fs::metadata(&first).unwrap().len();
    for round in rounds(ROUNDS).into_iter().flatten() {
        let dir = tempfile::tempdir().unwrap();
        let db = dir.path().join("memory.db");
        fs::copy(&first, &db).unwrap();
        run(&db, &["doctor", "--json"]);
        let mut server = Server::start_with(&db, &["--retain-events", "180d"]);
        let events = || usize::try_from(one(&db, "select count(*) from event")).unwrap();
        let goal = OLD - (round * 611) % (OLD - 200);
        wait_for("some events to go", || (events() < goal).then_some(()));
        server.kill();
        let left = events();
        assert!(left > 2, "the kill came after the last one");
        assert_sound(&db);
        let mut server = Server::start_with(&db, &["--retain-events", "180d"]);
        wait_for("what is old to go", || (events() == 2).then_some(()));
        wait_for("the file to be cut", || {
            (fs::metadata(&db).unwrap().len() < length / 2).then_some(())
        });
        wait_for("the words to leave the files", || {
            let holds = |suffix: &str| {
                let bytes = fs::read(beside(&db, suffix)).unwrap_or_default();
                bytes.windows(12).any(|window| window == b"quokkasaurus")
            };
            (!holds("") && !holds("-wal")).then_some(())
        });
        let found = |query: &str| {
            let body = json!({"query": query, "min_score": 0});
            let answer = ask(&server, "POST", "/api/v1/recall", Some(&body));
            // What stands beside a hit in its session is a hit too.
            let hits = answer.body["hits"].as_array().unwrap();
            let holds = |hit: &&Value| hit["text"].as_str().unwrap().contains(query);
            hits.iter().filter(holds).count()
        };
        assert_eq!(found("quokkasaurus"), 0);
        assert_eq!(found("zygomorph"), 1);
        assert_eq!(one(&db, "select count(*) from handoff"), 1);
        let metrics = client().get(server.url("/metrics")).call().unwrap();
        let metrics = metrics.into_body().read_to_string().unwrap();
        let series = format!("agent_memory_retention_events_total {OLD}\n");
        assert!(metrics.contains(&series), "{series} is not there");
        assert!(server.terminate().success());
        let after = fs::metadata(&db).unwrap().len();
        assert_sound(&db);
        let audited = run(&db, &["audit", "--action", "event_forget", "--json"]);
        assert!(audited.contains("\"job\""), "{audited}");
        eprintln!(
            "retention killed: round {round} at {left} events; {length} octets became {after}"
        );
    }
    drop::<PathBuf>(first);
}
