//! `kill -9`, anywhere: what was acknowledged is there, nothing is there by half, and the file is sound.
//!
//! A kill does not empty the page cache, so this proves order and atomicity; [`crate::durable`] proves the fsync.
//!
//! **Invariant:** every kill comes while there is work, which each test waits for.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};
use ureq::SendBody;

use crate::process::{Server, client, command, wait_for};
use crate::talk::{
    BATCH, Ledger, ask, assert_no_half_batch, assert_sound, beside, event, list, rounds, send,
    write_until_gone,
};

/// Rounds in the everyday run.
const ROUNDS: usize = 6;
const WRITERS: usize = 8;
/// Acknowledged writes before the kill, so that each round kills a busy server.
const WRITES_BEFORE_KILL: usize = 40;
/// Events of the histories that are imported and forgotten here; several slices and blocks of them.
const HISTORY: usize = 3000;
/// Kills of a command that makes its file, spread over the time that it takes.
const BIRTHS: usize = 40;

#[test]
fn nothing_acknowledged_is_lost_to_a_kill() {
    killed_in_rounds("killed", |_, round| thread::sleep(millis(round * 7 % 50)));
}

#[test]
fn nothing_acknowledged_is_lost_when_a_stopping_server_is_killed() {
    // The writers go on; those whose connection ends with the listener are done.
    killed_in_rounds("killed while stopping", |server, round| {
        server.ask_to_stop();
        thread::sleep(millis(round * 5 % 100));
    });
}

/// Kills busy servers, each time after `then`, and looks at what each has left.
fn killed_in_rounds(how: &str, then: impl Fn(&Server, usize)) {
    for part in rounds(ROUNDS) {
        let dir = tempfile::tempdir().unwrap();
        let db = dir.path().join("memory.db");
        let ledger = Ledger::default();
        let mut server = Server::start(&db);
        for round in part {
            interrupt(&server, &ledger, || then(&server, round));
            server.kill();
            assert_whole(&db);
            server = Server::start(&db);
            ledger.assert_kept(&server);
            assert_no_half_batch(&server, BATCH);
            eprintln!(
                "{how}: round {round}, {} acknowledged writes kept",
                ledger.len()
            );
        }
        assert!(server.terminate().success());
        assert_sound(&db);
    }
}

/// Lets writers write, and once they are at it does `then` and kills the server by its number.
fn interrupt(server: &Server, ledger: &Ledger, then: impl FnOnce()) {
    let before = ledger.len();
    thread::scope(|scope| {
        for _ in 0..WRITERS {
            let api = server.url("/api/v1");
            scope.spawn(move || write_until_gone(&api, ledger));
        }
        wait_for("some acknowledged writes", || {
            (ledger.len() >= before + WRITES_BEFORE_KILL).then_some(())
        });
        then();
        kill(server.id());
    });
}

fn kill(id: u32) {
    let sent = Command::new("kill").args(["-9", &id.to_string()]).status();
    assert!(sent.unwrap().success());
}

fn millis(count: usize) -> Duration {
    Duration::from_millis(u64::try_from(count).unwrap())
}

#[test]
fn a_file_whose_making_was_killed_is_made_by_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let record = |db: &Path| {
        let mut record = command(db);
        record.args(["record", "--", "a tide gauge"]);
        record.stdout(Stdio::null()).stderr(Stdio::null());
        record
    };
    // From when there is a file to the end.
    let begin = |db: &Path| {
        let mut child = record(db).spawn().unwrap();
        wait_for("a file", || {
            (db.exists() || child.try_wait().unwrap().is_some()).then_some(())
        });
        (child, Instant::now())
    };
    let (mut child, begun) = begin(&dir.path().join("whole.db"));
    assert!(child.wait().unwrap().success());
    let (whole, mut middle) = (begun.elapsed(), 0);
    for round in 0..BIRTHS {
        let db = dir.path().join(format!("memory-{round}.db"));
        let (mut child, begun) = begin(&db);
        let part = u32::try_from(round).unwrap();
        thread::sleep(
            (whole * part / u32::try_from(BIRTHS).unwrap()).saturating_sub(begun.elapsed()),
        );
        // It may be done already.
        let _killed = child.kill();
        middle += usize::from(child.wait().unwrap().code().is_none());
        assert!(record(&db).status().unwrap().success(), "round {round}");
        assert_sound(&db);
    }
    eprintln!("{middle} of {BIRTHS} killed within {whole:?}");
    assert!(middle >= BIRTHS / 4, "{middle} killed within {whole:?}");
}

#[test]
fn a_large_batch_is_there_as_a_whole_or_not_at_all() {
    const SIZE: usize = 1000;
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("memory.db");
    let mut server = Server::start(&db);
    let ledger = Ledger::default();
    for round in 0..4 {
        let items = (0..SIZE).map(|item| event(&format!("batch {round} item {item}")));
        let body = Value::Array(items.collect());
        let (url, log) = (server.url("/api/v1/events/batch"), beside(&db, "-wal"));
        let begun = fs::metadata(&log).unwrap().len();
        thread::scope(|scope| {
            let sender = scope.spawn(|| send(&client(), "POST", &url, Some(&body)));
            if round % 2 == 0 {
                // The group's frames go into the log at its commit: kill between them.
                wait_for("the first frames of the batch", || {
                    (sender.is_finished() || fs::metadata(&log).unwrap().len() > begun)
                        .then_some(())
                });
            } else {
                thread::sleep(millis(40 * round));
            }
            kill(server.id());
            if let Some(answer) = sender.join().unwrap() {
                for item in answer.body["results"].as_array().unwrap() {
                    ledger.stored(item["event_id"].as_str().unwrap());
                }
            }
        });
        server.kill();
        assert_whole(&db);
        server = Server::start(&db);
        ledger.assert_kept(&server);
        assert_no_half_batch(&server, SIZE);
    }
}

#[test]
fn a_killed_import_over_http_leaves_whole_rows_and_is_finished_by_repeating_it() {
    let dir = tempfile::tempdir().unwrap();
    let export = history(dir.path());
    let db = dir.path().join("memory.db");
    let mut server = Server::start(&db);
    let body = fs::read_to_string(&export).unwrap();
    let url = server.url("/api/v1/import");
    let (killed, wait) = mpsc::channel::<()>();
    // The last quarter does not come before the kill, so that there is something left to do.
    let mut most = body.as_bytes()[..body.len() / 4 * 3].chain(Silence(wait));
    thread::scope(|scope| {
        let import = scope.spawn(move || {
            let request = client().post(&url);
            let request = request.header("content-type", "application/x-ndjson");
            request.send(SendBody::from_reader(&mut most)).is_ok()
        });
        wait_for("some imported rows", || {
            (events(&server) > 300).then_some(())
        });
        server.kill();
        drop(killed);
        assert!(!import.join().unwrap(), "the kill came after the import");
    });
    assert_whole(&db);
    let mut server = Server::start(&db);
    let stored = events(&server);
    assert!((301..HISTORY).contains(&stored), "{stored}");
    let again = client()
        .post(server.url("/api/v1/import"))
        .header("content-type", "application/x-ndjson")
        .send(body.as_str())
        .unwrap()
        .body_mut()
        .read_json::<Value>()
        .unwrap();
    assert_eq!(again["conflict_count"], 0, "{again}");
    assert_eq!(again["stored"]["events"], HISTORY - stored, "{again}");
    assert_eq!(events(&server), HISTORY);
    assert!(server.terminate().success());
    assert_sound(&db);
}

#[test]
fn a_killed_import_on_the_command_line_leaves_whole_rows_and_is_finished_by_repeating_it() {
    let dir = tempfile::tempdir().unwrap();
    let export = history(dir.path());
    let db = dir.path().join("memory.db");
    let body = fs::read(&export).unwrap();
    let mut import = command(&db);
    import.args(["import", "-"]).stdin(Stdio::piped());
    let mut child = import.stdout(Stdio::null()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let feeder = thread::spawn(move || {
        // The last quarter does not come before the kill; the pipe breaks by it, or is kept open until then.
        let _broken = input.write_all(&body[..body.len() / 4 * 3]);
        input
    });
    wait_for("some imported rows", || {
        fs::metadata(beside(&db, "-wal"))
            .is_ok_and(|log| log.len() > 1_000_000)
            .then_some(())
    });
    child.kill().unwrap();
    child.wait().unwrap();
    drop(feeder.join().unwrap());
    assert_whole(&db);
    assert!((1..HISTORY).contains(&rows(&db, "event")));
    let again = command(&db).arg("import").arg(&export).output().unwrap();
    assert!(again.status.success());
    let mut server = Server::start(&db);
    assert_eq!(events(&server), HISTORY);
    assert!(server.terminate().success());
    assert_sound(&db);
}

#[test]
fn a_killed_deletion_hides_everything_at_once_and_goes_on_after_the_restart() {
    let dir = tempfile::tempdir().unwrap();
    let export = history(dir.path());
    for (round, by_server) in [true, false].into_iter().enumerate() {
        let db = dir.path().join(format!("memory-{round}.db"));
        let imported = command(&db).arg("import").arg(&export).output().unwrap();
        assert!(imported.status.success());
        let mut server = Server::start(&db);
        if by_server {
            let answer = ask(&server, "DELETE", "/api/v1/sessions/fault", None);
            assert_eq!(answer.status, 202);
            wait_for("the first slices", || open_and_begun(&db).then_some(()));
            server.kill();
        } else {
            assert!(server.terminate().success());
            let mut forget = command(&db);
            forget.args(["forget", "--session", "fault"]);
            let mut child = forget.stdout(Stdio::null()).spawn().unwrap();
            wait_for("the first slices", || {
                assert!(
                    child.try_wait().unwrap().is_none(),
                    "it was too fast to kill"
                );
                open_and_begun(&db).then_some(())
            });
            child.kill().unwrap();
            child.wait().unwrap();
        }
        assert!(rows(&db, "event") > 0, "the kill came after the deletion");
        assert_whole(&db);
        let mut server = Server::start(&db);
        assert_eq!(list(&server, "events"), Vec::<Value>::new());
        let query = json!({"query": "quokkasaurus gauge", "min_score": 0});
        let hits = ask(&server, "POST", "/api/v1/recall", Some(&query));
        assert_eq!(hits.body["hits"], json!([]), "{hits:?}");
        wait_for("the job's end", || {
            (server.get("/health/detailed")?["store"]["open_jobs"] == json!(0)).then_some(())
        });
        assert!(server.terminate().success());
        assert_eq!(rows(&db, "event"), 0);
        assert_sound(&db);
        for suffix in ["", "-wal"] {
            let bytes = fs::read(beside(&db, suffix)).unwrap_or_default();
            let word = b"quokkasaurus";
            let found = bytes.windows(word.len()).any(|window| window == word);
            assert!(!found, "a forgotten word stands in the file{suffix}");
        }
    }
}

/// A reader that waits until the other end is dropped, and ends.
struct Silence(mpsc::Receiver<()>);

impl Read for Silence {
    fn read(&mut self, _bytes: &mut [u8]) -> io::Result<usize> {
        self.0.recv().map_or(Ok(0), |()| Ok(0))
    }
}

/// Whether a deletion has taken out some events and not all.
fn open_and_begun(db: &Path) -> bool {
    (1..HISTORY).contains(&rows(db, "event"))
}

/// An export of a session of [`HISTORY`] events.
fn history(dir: &Path) -> PathBuf {
    let (source, export) = (dir.join("source.db"), dir.join("export.jsonl"));
    let mut server = Server::start(&source);
    for part in 0..HISTORY / 1000 {
        let items =
            (0..1000).map(|item| event(&format!("quokkasaurus {part} {item} at the gauge")));
        let body = Value::Array(items.collect());
        let answer = ask(&server, "POST", "/api/v1/events/batch", Some(&body));
        assert_eq!(answer.status, 207);
    }
    assert!(server.terminate().success());
    let out = command(&source)
        .args(["export", "--out"])
        .arg(&export)
        .output()
        .unwrap();
    assert!(out.status.success());
    export
}

fn events(server: &Server) -> usize {
    list(server, "events").len()
}

/// A look at the file from outside, as of its last commit.
#[expect(clippy::disallowed_methods, reason = "read-only, and not the product")]
fn look(db: &Path) -> Connection {
    Connection::open_with_flags(db, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap()
}

fn rows(db: &Path, table: &str) -> usize {
    let count = format!("select count(*) from {table}");
    let count: i64 = look(db).query_row(&count, [], |row| row.get(0)).unwrap();
    count.try_into().unwrap()
}

/// After a kill: `doctor` is content, and every passage is in the index and nothing else is.
fn assert_whole(db: &Path) {
    assert_sound(db);
    let connection = look(db);
    let numbers = |sql: &str| -> BTreeSet<i64> {
        let mut statement = connection.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    };
    let (chunks, indexed) = (
        numbers("select seq from chunk"),
        numbers("select distinct doc from term_instance"),
    );
    assert_eq!(chunks, indexed, "passages and index differ");
    let parts: i64 = connection
        .query_row(
            "select count(*) from event e where not exists (select 1 from session s where s.session_no = e.session_no)",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(parts, 0, "events without their session");
}
