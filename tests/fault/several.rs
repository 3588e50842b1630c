//! Others on the same file: a second server, commands, a reader that does not let go.
//!
//! **Invariant:** everybody's acknowledged writes are there, and counted once.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rusqlite::{Connection, OpenFlags};

use crate::process::{Server, client, command, wait_for};
use crate::talk::{Ledger, ask, assert_sound, beside, bulk, event, list, send};

#[test]
fn two_servers_and_the_command_line_lose_nothing_and_agree_on_the_count() {
    const WRITES: usize = 60;
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("memory.db");
    let mut servers = [Server::start(&db), Server::start(&db)];
    let ledger = Ledger::default();
    thread::scope(|scope| {
        for (index, server) in servers.iter().enumerate() {
            for writer in 0..2 {
                let ledger = &ledger;
                scope.spawn(move || {
                    for number in 0..WRITES {
                        let text = format!("server {index} writer {writer} number {number}");
                        let url = server.url("/api/v1/events");
                        let answer = send(&client(), "POST", &url, Some(&event(&text))).unwrap();
                        assert_eq!(answer.status, 201, "{answer:?}");
                        ledger.stored(answer.body["event_id"].as_str().unwrap());
                    }
                });
            }
        }
        for number in 0..10 {
            let output = command(&db)
                .args(["--json", "record", &format!("command {number}")])
                .output()
                .unwrap();
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            ledger.stored(said["event_id"].as_str().expect("no id in the answer"));
        }
    });
    for server in &servers {
        ledger.assert_kept(server);
        assert_eq!(list(server, "events").len(), 4 * WRITES + 10);
    }
    // Each one's writes stand in its own order.
    let texts: Vec<String> = list(&servers[0], "events")
        .iter()
        .map(|row| row["content"]["text"].as_str().unwrap().to_owned())
        .collect();
    for of in ["server 0 writer 0", "server 1 writer 1", "command"] {
        let numbers: Vec<usize> = texts
            .iter()
            .filter_map(|text| text.strip_prefix(of))
            .map(|rest| rest.rsplit(' ').next().unwrap().parse().unwrap())
            .collect();
        assert!(
            numbers.is_sorted() && !numbers.is_empty(),
            "{of}: {numbers:?}"
        );
    }
    for server in &mut servers {
        assert!(server.terminate().success());
    }
    assert_sound(&db);
}

/// One that never ends is not let fill the disk: at a bound writes are refused, reads go on, and it passes.
#[test]
fn a_reader_that_never_ends_stops_the_writes_and_not_the_disk() {
    const BOUND: u64 = 128 * 1024 * 1024;
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("memory.db");
    let mut server = Server::start_with(&db, &["--max-log", &BOUND.to_string()]);
    crate::talk::record(&server, "first");
    let reader = hold_snapshot(&db);
    let body = bulk(1_000_000);
    let write = || {
        send(
            &client(),
            "POST",
            &server.url("/api/v1/events"),
            Some(&body),
        )
        .unwrap()
    };
    let refused = wait_for("a write to be refused", || {
        Some(write()).filter(|answer| answer.status != 201)
    });
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.retry_after.is_some(), "{refused:?}");
    for _ in 0..20 {
        assert_eq!(write().status, 503);
    }
    let log = fs::metadata(beside(&db, "-wal")).unwrap().len();
    assert!((BOUND..BOUND + 8_000_000).contains(&log), "{log}");
    assert!(
        series(
            &server,
            "agent_memory_writes_rejected_total{reason=\"log_full\"}"
        ) > 20.0
    );
    let listed = send(
        &client(),
        "GET",
        &server.url("/api/v1/events?limit=1"),
        None,
    )
    .unwrap();
    assert_eq!((listed.status, crate::talk::health(&server)), (200, 200));
    drop(reader);
    wait_for("writes to be taken again", || {
        (write().status == 201).then_some(())
    });
    assert!(server.terminate().success());
    assert_sound(&db);
}

/// A reader that holds its snapshot keeps the log from being emptied. That shows, and it passes.
#[test]
fn a_reader_that_holds_its_snapshot_shows_in_the_metrics_and_the_log_shrinks_after_it() {
    const LARGE: u64 = 70_000_000;
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("memory.db");
    let mut server = Server::start(&db);
    crate::talk::record(&server, "first");
    let reader = hold_snapshot(&db);
    let log = || fs::metadata(beside(&db, "-wal")).unwrap().len();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let body = bulk(1_000_000);
                while !stop.load(Ordering::Relaxed) {
                    let url = server.url("/api/v1/events");
                    let answer = send(&client(), "POST", &url, Some(&body)).unwrap();
                    assert_eq!(answer.status, 201, "{answer:?}");
                }
            });
        }
        wait_for("a log beyond its bound", || (log() > LARGE).then_some(()));
        stop.store(true, Ordering::Relaxed);
    });
    let behind = || {
        series(&server, "agent_memory_sqlite_wal_frames{state=\"log\"}")
            - series(
                &server,
                "agent_memory_sqlite_wal_frames{state=\"checkpointed\"}",
            )
    };
    wait_for("the metrics to show it", || {
        let bytes = series(&server, "agent_memory_sqlite_file_bytes{file=\"wal\"}");
        (behind() > 10_000.0 && bytes > 7e7).then_some(())
    });
    assert_eq!(crate::talk::health(&server), 200);
    drop(reader);
    // Nobody writes any more, and still it shrinks.
    wait_for("the log to shrink", || (log() < 1_000_000).then_some(()));
    wait_for("the metrics to show that", || {
        (behind() == 0.0 && series(&server, "agent_memory_sqlite_file_bytes{file=\"wal\"}") < 1e6)
            .then_some(())
    });
    assert!(server.terminate().success());
    assert_sound(&db);
}

#[expect(clippy::disallowed_methods, reason = "another program")]
fn hold_snapshot(db: &Path) -> Connection {
    let reader = Connection::open_with_flags(db, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    reader.execute_batch("begin").unwrap();
    let count: i64 = reader
        .query_row("select count(*) from event", [], |row| row.get(0))
        .unwrap();
    assert_eq!(count, 1);
    reader
}

fn series(server: &Server, name: &str) -> f64 {
    let mut answer = client().get(server.url("/metrics")).call().unwrap();
    let text = answer.body_mut().read_to_string().unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("no series {name}"))
        .trim()
        .parse()
        .unwrap()
}

#[test]
fn a_lock_that_another_program_keeps_refuses_writes_and_ends_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("memory.db");
    let server = Server::start(&db);
    let other = hold_write_lock(&db);
    crate::talk::assert_unavailable(&ask(
        &server,
        "POST",
        "/api/v1/events",
        Some(&event("locked out")),
    ));
    assert_eq!(ask(&server, "GET", "/api/v1/events", None).status, 200);
    drop(other);
    wait_for("writing again", || {
        (ask(&server, "POST", "/api/v1/events", Some(&event("let in"))).status == 201).then_some(())
    });
}

#[expect(clippy::disallowed_methods, reason = "another program")]
fn hold_write_lock(db: &Path) -> Connection {
    let other = Connection::open(db).unwrap();
    other.execute_batch("begin immediate").unwrap();
    other
}
