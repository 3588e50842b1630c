//! Copies of a busy memory, putting them back, and taking out what is old: under flat-out writes, and killed anywhere.
//!
//! `scripts/test --full backup` sets more seconds and rounds than the everyday run has.
//!
//! **Invariant:** what a copy holds is held against what was acknowledged, and against the order it was stored in.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};

use crate::machine::Mount;
use crate::process::{BINARY, Server, client, command, wait_for};
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

/// Writes single events and batches until told to stop; notes what was acknowledged, when it was asked for, and how long
/// it took.
fn write(
    server: &Server,
    stop: &AtomicBool,
    acknowledged: &Mutex<Vec<String>>,
    times: &Mutex<Vec<(Instant, Duration)>>,
    unanswered: &AtomicUsize,
) {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let agent = client();
    while !stop.load(Ordering::Relaxed) {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let begun = Instant::now();
        let ids = if number.is_multiple_of(4) {
            let items =
                (0..20).map(|item| event(&format!("batch {number} item {item} of the tide gauge")));
            let url = server.url("/api/v1/events/batch");
            // One that is not answered in time is not acknowledged.
            let Some(answer) = send(&agent, "POST", &url, Some(&Value::Array(items.collect())))
            else {
                unanswered.fetch_add(1, Ordering::Relaxed);
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
            let body = event(&format!("entry {number}"));
            let Some(answer) = send(&agent, "POST", &url, Some(&body)) else {
                unanswered.fetch_add(1, Ordering::Relaxed);
                continue;
            };
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
        times
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((begun, took));
    }
}

/// How many answers there were, and how long they took, in words.
fn spread(mut times: Vec<Duration>) -> String {
    times.sort();
    let at =
        |share: usize| times.get((times.len() * share / 100).min(times.len().saturating_sub(1)));
    let ms = |time: Option<&Duration>| time.map_or(0.0, |time| time.as_secs_f64() * 1e3);
    let (p50, p99, max) = (ms(at(50)), ms(at(99)), ms(times.last()));
    format!(
        "{} answers, p50 {p50:.1} p99 {p99:.1} max {max:.0} ms",
        times.len()
    )
}

#[test]
fn each_copy_of_a_busy_memory_is_sound_and_a_prefix_of_what_was_acknowledged() {
    let (time, every) = (seconds("BACKUP_SECONDS", 9), seconds("BACKUP_EVERY", 2));
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("memory.db");
    let mut server = Server::start(&db);
    let (stop, acknowledged, times) = (AtomicBool::new(false), Mutex::default(), Mutex::default());
    let (mut copies, unanswered) = (Vec::new(), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| write(&server, &stop, &acknowledged, &times, &unanswered));
        }
        let end = Instant::now() + time;
        // A machine that stood still has not had the time.
        while Instant::now() < end || copies.len() < 3 {
            thread::sleep(every);
            let before: Vec<String> = acknowledged.lock().unwrap().clone();
            let copy = dir.path().join(format!("copy-{}.db", copies.len()));
            let begun = Instant::now();
            run(&db, &["backup", text(&copy)]);
            let log = fs::metadata(beside(&db, "-wal")).map_or(0, |log| log.len());
            copies.push((copy, before, begun, begun.elapsed(), log));
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(server.terminate().success());
    let whole = stored(&db);
    let times = times.into_inner().unwrap();
    let in_copies = |at: Instant| {
        copies
            .iter()
            .any(|(_, _, begun, took, _)| at >= *begun && at < *begun + *took)
    };
    let (beside_copies, between): (Vec<_>, Vec<_>) =
        times.iter().partition(|(at, _)| in_copies(*at));
    let only = |times: Vec<(Instant, Duration)>| times.into_iter().map(|(_, took)| took).collect();
    eprintln!(
        "{} copies beside {} events, {} requests not answered in time; while one was made: {}; between them: {}",
        copies.len(),
        whole.len(),
        unanswered.load(Ordering::Relaxed),
        spread(only(beside_copies)),
        spread(only(between))
    );
    let mut last = 0;
    for (copy, before, begun, took, log) in &copies {
        let said = run(&db, &["backup", "--check", text(copy)]);
        assert!(said.contains("it is what its manifest says"), "{said}");
        let held = stored(copy);
        let meanwhile = times
            .iter()
            .filter(|(at, _)| at >= begun && *at < *begun + *took);
        eprintln!(
            "{}: {} events, {} MB, in {:.2} s; {}; log {} MB",
            copy.file_name().unwrap().display(),
            held.len(),
            fs::metadata(copy).unwrap().len() >> 20,
            took.as_secs_f64(),
            spread(meanwhile.map(|(_, took)| *took).collect()),
            log >> 20
        );
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

/// A memory of so many parts of two megabytes.
fn filled(db: &Path, parts: usize) {
    let mut server = Server::start(db);
    for part in 0..parts {
        let items = (0..500).map(|item| event(&format!("{part} {item} {}", "x".repeat(3000))));
        let body = Value::Array(items.collect());
        assert_eq!(
            ask(&server, "POST", "/api/v1/events/batch", Some(&body)).status,
            207
        );
    }
    assert!(server.terminate().success());
}

/// What a command says that fails, and how it ended.
fn fails(command: &mut Command) -> (Option<i32>, String) {
    let output = command.output().unwrap();
    assert!(!output.status.success(), "it did not fail");
    (
        output.status.code(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

/// The names in a directory.
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_copy_to_a_full_or_closed_disk_says_so_and_leaves_nothing_there() {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("memory.db");
    filled(&db, 3);
    if let Some(disk) = Mount::in_memory(4) {
        let (code, said) = fails(command(&db).args(["backup", text(&disk.path().join("copy.db"))]));
        assert!(code == Some(74) && said.contains("make room"), "{said}");
        assert!(names(disk.path()).is_empty(), "{:?}", names(disk.path()));
    }
    // One that is full before it is done: a file of 2 MB is the most that it takes.
    let small = dir.path().join("small");
    fs::create_dir(&small).unwrap();
    let mut limited = Command::new("bash");
    let ignoring = "trap '' XFSZ; ulimit -S -f 2048; exec \"$@\"";
    limited.args(["-c", ignoring, "bash", BINARY, "--db", text(&db), "backup"]);
    let (code, said) = fails(limited.arg(small.join("copy.db")));
    assert!(code == Some(74) && said.contains("cannot write"), "{said}");
    assert!(names(&small).is_empty(), "{:?}", names(&small));
    if let Some(closed) = Mount::read_only(&small) {
        let (code, said) =
            fails(command(&db).args(["backup", text(&closed.path().join("copy.db"))]));
        assert!(
            code == Some(74) && said.contains("Read-only file system"),
            "{said}"
        );
    }
    assert_sound(&db);
    run(&db, &["backup", text(&small.join("copy.db"))]);
    run(&db, &["backup", "--check", text(&small.join("copy.db"))]);
}

#[test]
fn an_upgrade_or_a_restore_for_which_there_is_no_room_changes_nothing() {
    let Some(disk) = Mount::in_memory(1) else {
        return;
    };
    let db = disk.path().join("memory.db");
    let old = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/schema-8.db");
    fs::copy(old, &db).unwrap();
    let before = fs::read(&db).unwrap();
    // Room enough for a log, and not for a copy.
    let free = (1 << 20) - before.len() - 50 * 4096;
    fs::write(disk.path().join("filler"), vec![1; free]).unwrap();
    let (code, said) = fails(command(&db).arg("migrate"));
    assert!(
        code == Some(74) && said.contains("no copy could be made"),
        "{said}"
    );
    assert!(!names(disk.path()).iter().any(|name| name.contains(".bak")));
    assert_eq!(fs::read(&db).unwrap(), before);
    let elsewhere = tempfile::tempdir().unwrap();
    let (other, copy) = (
        elsewhere.path().join("memory.db"),
        elsewhere.path().join("copy.db"),
    );
    filled(&other, 1);
    run(&other, &["backup", text(&copy)]);
    let (code, said) = fails(command(&db).args(["restore", text(&copy), "--force"]));
    assert!(code == Some(74) && said.contains("make room"), "{said}");
    assert!(!names(disk.path()).iter().any(|name| name.contains(".part")));
    assert_eq!(fs::read(&db).unwrap(), before);
    fs::remove_file(disk.path().join("filler")).unwrap();
}

/// How far a command had come when it was killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Killed {
    TooSoon,
    InTheMiddle,
    TooLate,
}

/// Kills a command after so long. While it writes, there is a file `part`, which has another name or is gone at the end.
fn kill(db: &Path, args: &[&str], part: &Path, time: Duration) -> Killed {
    assert!(!part.exists(), "{} is there", part.display());
    let mut child = begin(db, args);
    thread::sleep(time);
    // It may be done already.
    let _killed = child.kill();
    match (child.wait().unwrap().code(), part.exists()) {
        (None, true) => Killed::InTheMiddle,
        (None, false) => Killed::TooSoon,
        (Some(0), false) => Killed::TooLate,
        odd => panic!("{odd:?}"),
    }
}

/// Rounds of killing what takes as long as `whole`, each at another part of it; `round` does one at the time it is told.
///
/// A machine on which others work is now slower and now quicker than when that was timed: a kill that was not in the middle
/// is made once more, sooner or later.
fn kill_in_the_middle(what: &str, whole: Duration, mut round: impl FnMut(Duration) -> Killed) {
    let mut seen = Vec::new();
    let all = rounds(ROUNDS).concat();
    for number in &all {
        let part = u32::try_from((number + 1) * 37 % 100).unwrap();
        let mut time = whole * part / 100;
        for _ in 0..4 {
            let killed = round(time);
            seen.push(killed);
            time = match killed {
                Killed::InTheMiddle => break,
                Killed::TooSoon => time * 3 / 2 + Duration::from_millis(5),
                Killed::TooLate => time / 2,
            };
        }
    }
    eprintln!("{what}, which takes {whole:?}, was killed: {seen:?}");
    let middle = seen.iter().filter(|one| **one == Killed::InTheMiddle);
    // Or else nothing was seen: too soon there is nothing to take back, too late nothing to kill.
    assert!(2 * middle.count() >= all.len(), "{seen:?} of {whole:?}");
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
    filled(&db, 2);
    let whole = timed(|| drop(run(&db, &["backup", text(&copy)])));
    let mut forced = false;
    kill_in_the_middle("a backup", whole, |time| {
        forced = !forced;
        if !forced {
            fs::remove_file(&copy).unwrap();
        }
        let args = ["backup", text(&copy), "--force"];
        let args = &args[..2 + usize::from(forced)];
        let killed = kill(&db, args, &beside(&copy, ".part"), time);
        assert!(copy.exists() || !forced, "the earlier copy is gone");
        if copy.exists() {
            run(&db, &["backup", "--check", text(&copy)]);
        }
        assert_sound(&db);
        run(&db, &["backup", text(&copy), "--force"]);
        run(&db, &["backup", "--check", text(&copy)]);
        assert!(!beside(&copy, ".part").exists());
        killed
    });
}

#[test]
fn a_killed_restore_leaves_the_one_or_the_other_and_is_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let (db, copy) = (dir.path().join("memory.db"), dir.path().join("copy.db"));
    filled(&db, 2);
    run(&db, &["backup", text(&copy)]);
    let notes = || one(&db, "select count(*) from note");
    let mut left = [0, 0];
    let whole = timed(|| drop(run(&db, &["restore", text(&copy), "--force"])));
    kill_in_the_middle("a restore", whole, |time| {
        run(&db, &["note", "since the copy"]);
        let part = beside(&db, ".restore.part");
        let killed = kill(&db, &["restore", text(&copy), "--force"], &part, time);
        // Doctor names what is left, and nothing else is wrong; the next one takes it.
        if part.exists() {
            let said = doctor(&db).1;
            // Its journal may be there as well, between the two.
            assert!(
                said.contains("memory.db.restore.part") && said.contains("was left"),
                "{said}"
            );
            // A journal is no file of its own: with its part it goes aside, and comes back for the next one to take.
            let all = ["", "-journal", "-wal", "-shm"].map(|suffix| {
                (
                    beside(&part, suffix),
                    beside(&db, &format!(".away{suffix}")),
                )
            });
            let there: Vec<_> = all.iter().filter(|(here, _)| here.exists()).collect();
            for (here, away) in &there {
                fs::rename(here, away).unwrap();
            }
            assert_sound(&db);
            for (here, away) in &there {
                fs::rename(away, here).unwrap();
            }
        } else {
            assert_sound(&db);
        }
        assert_eq!(one(&db, "select count(*) from event"), 1000);
        let old = usize::try_from(notes()).unwrap();
        assert!(old <= 1);
        left[old] += 1;
        // What was in the middle has put nothing in place.
        assert!(old == 1 || killed != Killed::InTheMiddle, "{killed:?}");
        assert!(old == 0 || killed != Killed::TooLate, "{killed:?}");
        run(&db, &["restore", text(&copy), "--force"]);
        assert_eq!(notes(), 0);
        assert!(!part.exists());
        let mut server = Server::start(&db);
        assert!(server.terminate().success());
        assert_sound(&db);
        for entry in fs::read_dir(dir.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.to_string_lossy().contains(".before-restore-") {
                fs::remove_file(path).unwrap();
            }
        }
        killed
    });
    eprintln!(
        "{} restores left the copy, {} the memory that was there",
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
        // For as long as it goes on: how long that takes is the machine's business.
        let mut before = left + 1;
        while events() < before {
            before = events();
            let went = || (events() < before || before == 2).then_some(());
            wait_for("what is old to go", went);
        }
        assert_eq!(events(), 2);
        wait_for("the file to be cut", || {
            (fs::metadata(&db).unwrap().len() < length / 2).then_some(())
        });
        wait_for("the words to leave the files", || {
            // Whatever is beside the file.
            let mut files = fs::read_dir(dir.path()).unwrap();
            let holds = |path: &Path| {
                let bytes = fs::read(path).unwrap_or_default();
                bytes.windows(12).any(|window| window == b"quokkasaurus")
            };
            (!files.any(|file| holds(&file.unwrap().path()))).then_some(())
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
