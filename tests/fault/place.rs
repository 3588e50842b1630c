//! The files' place: removed, moved, swapped, or with a log that is not theirs.
//!
//! **Invariant:** nothing is acknowledged into a file that nobody will find.

use std::fs;
use std::path::Path;

use crate::process::{Server, command, wait_for};
use crate::talk::{
    Ledger, ask, assert_sound, assert_unavailable, beside, doctor, event, health, record,
};

#[test]
fn a_directory_removed_while_serving_ends_the_writing_and_shows_in_health() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    let db = home.join("memory.db");
    let server = Server::start(&db);
    record(&server, "into a file that has a name");
    fs::remove_dir_all(&home).unwrap();
    assert_unavailable(&ask(
        &server,
        "POST",
        "/api/v1/events",
        Some(&event("into nowhere")),
    ));
    assert_eq!(ask(&server, "GET", "/health/ready", None).status, 503);
    assert_eq!(health(&server), 503);
}

#[test]
fn a_removed_file_is_noticed_without_a_write() {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("memory.db");
    let server = Server::start(&db);
    assert_eq!(health(&server), 200);
    fs::remove_file(&db).unwrap();
    wait_for("health to see it", || {
        (health(&server) == 503).then_some(())
    });
}

#[test]
fn each_file_that_is_taken_away_ends_the_writing_and_one_that_is_put_back_resumes_it() {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("memory.db");
    let away = dir.path().join("away");
    let ledger = Ledger::default();
    let server = Server::start(&db);
    for suffix in ["", "-wal", "-shm"] {
        ledger.stored(&record(&server, "before"));
        let file = beside(&db, suffix);
        fs::rename(&file, &away).unwrap();
        assert_unavailable(&ask(
            &server,
            "POST",
            "/api/v1/events",
            Some(&event("away")),
        ));
        assert_eq!(health(&server), 503);
        // Another file of the same name is not the one that is open.
        fs::copy(&away, &file).unwrap();
        assert_unavailable(&ask(
            &server,
            "POST",
            "/api/v1/events",
            Some(&event("a copy")),
        ));
        fs::rename(&away, &file).unwrap();
        wait_for("writing again", || {
            let answer = ask(&server, "POST", "/api/v1/events", Some(&event("back")));
            (answer.status == 201).then(|| ledger.stored(answer.body["event_id"].as_str().unwrap()))
        });
        wait_for("health to say so", || {
            (health(&server) == 200).then_some(())
        });
    }
    ledger.assert_kept(&server);
    drop(server);
    let server = Server::start(&db);
    ledger.assert_kept(&server);
    drop(server);
    assert_sound(&db);
}

/// A server whose file was swapped for another must not touch the other's log when it stops.
#[test]
fn a_server_that_lost_its_file_leaves_the_new_one_alone() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    let db = home.join("memory.db");
    let mut old = Server::start(&db);
    record(&old, "in the old file");
    fs::rename(&home, dir.path().join("moved")).unwrap();
    let ledger = Ledger::default();
    let mut new = Server::start(&db);
    ledger.stored(&record(&new, "in the new file"));
    assert_unavailable(&ask(
        &old,
        "POST",
        "/api/v1/events",
        Some(&event("whereto")),
    ));
    assert!(old.terminate().success());
    ledger.stored(&record(&new, "in the new file still"));
    new.kill();
    let new = Server::start(&db);
    ledger.assert_kept(&new);
    drop(new);
    assert_sound(&db);
    let moved = dir.path().join("moved/memory.db");
    let old = Server::start(&moved);
    assert_eq!(crate::talk::list(&old, "events").len(), 1);
    drop(old);
    assert_sound(&moved);
}

#[test]
fn the_log_of_another_program_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("memory.db");
    assert!(
        command(&db)
            .args(["record", "ours"])
            .output()
            .unwrap()
            .status
            .success()
    );
    let before = fs::read(&db).unwrap();
    for page in [4096, 8192] {
        let other = dir.path().join(format!("other-{page}.db"));
        let log = foreign_log(&other, page);
        let place = beside(&db, "-wal");
        fs::write(&place, &log).unwrap();
        let output = command(&db)
            .args(["serve", "--listen", "127.0.0.1:0"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(74), "{said}");
        assert!(said.contains("memory.db-wal"), "{said}");
        assert_eq!(fs::read(&db).unwrap(), before, "the file was changed");
        assert_eq!(fs::read(&place).unwrap(), log, "the log was changed");
        fs::remove_file(&place).unwrap();
        let _none = fs::remove_file(beside(&db, "-shm"));
    }
    let server = Server::start(&db);
    assert_eq!(crate::talk::list(&server, "events").len(), 1);
    drop(server);
    assert!(doctor(&db).0);
}

/// What stands in the log of another program's file.
#[expect(clippy::disallowed_methods, reason = "a foreign file")]
fn foreign_log(path: &Path, page: usize) -> Vec<u8> {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection
        .execute_batch(&format!(
            "pragma page_size = {page}; pragma journal_mode = wal; create table t (x); insert into t values (1);"
        ))
        .unwrap();
    fs::read(beside(path, "-wal")).unwrap()
}
