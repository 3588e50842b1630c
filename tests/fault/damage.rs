//! Damaged files: a page overwritten, a log cut short.
//!
//! **Invariant:** what is whole stays readable, and what is damaged is named.

use std::fs;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rusqlite::Connection;
use serde_json::json;

use crate::process::{Server, wait_for};
use crate::talk::{
    Ledger, ask, assert_sound, assert_unavailable, beside, doctor, event, health, record,
};

const PAGE: u64 = 4096;

#[test]
fn a_damaged_page_is_named_by_doctor_and_shows_in_health_and_the_rest_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("memory.db");
    let mut server = Server::start(&db);
    let id = record(&server, "beside the damage");
    let note = json!({"content": "in the damaged table"});
    let answer = ask(&server, "POST", "/api/v1/knowledge", Some(&note));
    assert_eq!(answer.status, 201, "{answer:?}");
    assert!(server.terminate().success());
    assert_sound(&db);
    overwrite_root(&db, "note");

    let (ok, words) = doctor(&db);
    assert!(!ok, "{words}");
    let named: Vec<&str> = words
        .lines()
        .filter(|line| line.contains("integrity"))
        .collect();
    assert!(
        named.iter().any(|line| line.contains("table note")),
        "{words}"
    );
    assert!(!words.contains("table event"), "{words}");

    let mut server = Server::start(&db);
    // What is whole is read and written, before anybody has met the damage and after.
    let rest_goes_on = |server: &Server| {
        assert_eq!(
            ask(server, "GET", &format!("/api/v1/events/{id}"), None).status,
            200
        );
        record(server, "another one beside the damage");
    };
    rest_goes_on(&server);
    assert_unavailable(&ask(&server, "GET", "/api/v1/knowledge", None));
    assert_eq!(health(&server), 503);
    assert_unavailable(&ask(&server, "POST", "/api/v1/knowledge", Some(&note)));
    rest_goes_on(&server);
    // It does not pass by itself, and no write that succeeds says it did.
    let report = ask(&server, "GET", "/health", None);
    assert_eq!(
        (report.status, &report.body["database"]),
        (503, &json!("damaged"))
    );
    let metrics = crate::process::client()
        .get(server.url("/metrics"))
        .call()
        .unwrap();
    let metrics = metrics.into_body().read_to_string().unwrap();
    assert!(
        metrics.contains("\nagent_memory_up 0\n"),
        "agent_memory_up is not 0"
    );
    assert!(server.terminate().success());
}

/// Puts nonsense in place of the root page of a table of a stopped file.
fn overwrite_root(db: &Path, table: &str) {
    #[expect(
        clippy::disallowed_methods,
        reason = "a look at the layout of a stopped file"
    )]
    let connection = Connection::open(db).unwrap();
    let sql = "select rootpage from sqlite_schema where name = ?1";
    let page: u64 = connection
        .query_row(sql, [table], |row| row.get::<_, i64>(0))
        .unwrap()
        .try_into()
        .unwrap();
    drop(connection);
    let mut file = fs::OpenOptions::new().write(true).open(db).unwrap();
    file.seek(SeekFrom::Start((page - 1) * PAGE)).unwrap();
    file.write_all(&[0xa5; 4096]).unwrap();
}

#[test]
fn a_log_cut_short_keeps_every_commit_before_the_cut() {
    const FRAME: u64 = PAGE + 24;
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("memory.db");
    // The schema goes into the file, so that the log holds these commits alone.
    assert!(Server::start(&db).terminate().success());
    let mut server = Server::start(&db);
    let log = beside(&db, "-wal");
    let length = || fs::metadata(&log).unwrap().len();
    let mut committed = Vec::new();
    for number in 0..40 {
        let id = record(&server, &format!("commit {number}"));
        committed.push((id, length()));
    }
    server.kill();
    let (file, whole) = (fs::read(&db).unwrap(), fs::read(&log).unwrap());
    let end = committed[39].1;
    // In the header, in the middle of a frame in the middle, between two frames, in the last frame, one byte short.
    for cut in [
        10,
        end / 2,
        32 + FRAME * ((end - 32) / FRAME / 3),
        end - FRAME / 2,
        end - 1,
    ] {
        fs::write(&db, &file).unwrap();
        fs::write(&log, &whole[..usize::try_from(cut).unwrap()]).unwrap();
        fs::set_permissions(&log, fs::Permissions::from_mode(0o600)).unwrap();
        // A doctor that was alone with the file has cleaned up after itself.
        let _gone = fs::remove_file(beside(&db, "-shm"));
        let ledger = Ledger::default();
        // The log may have been begun anew by a checkpoint; commits before that are in the file.
        for (id, until) in &committed {
            if *until <= cut {
                ledger.stored(id);
            }
        }
        assert!(cut < end / 2 || ledger.len() > 10, "{} kept", ledger.len());
        let mut server = Server::start(&db);
        ledger.assert_kept(&server);
        record(&server, "after the cut");
        wait_for("health", || (health(&server) == 200).then_some(()));
        let answer = ask(&server, "POST", "/api/v1/events", Some(&event("and on")));
        assert_eq!(answer.status, 201);
        server.kill();
        assert_sound(&db);
    }
}
