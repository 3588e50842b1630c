//! A disk that is full, a file that cannot be grown, a disk that fails.
//!
//! **Invariant:** nobody restarts the server: room is made, and it goes on.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::machine::{Frozen, Machine, Mount};
use crate::process::{BINARY, Server, command, wait_for};
use crate::talk::{
    Ledger, ask, assert_sound, assert_unavailable, beside, bulk, event, health, record,
};

/// Bytes of one event's text. A few dozen of them fill what these tests leave free.
const TEXT: usize = 200_000;

#[test]
fn a_full_disk_refuses_writes_in_plain_words_and_takes_them_again_once_there_is_room() {
    // Without one, the limit on the file's size stands in for it.
    let Some(disk) = Mount::in_memory(24) else {
        return;
    };
    let db = disk.path().join("memory.db");
    let filler = disk.path().join("filler");
    fs::write(&filler, vec![1; 16 << 20]).unwrap();
    fills_and_recovers(&db, Server::start(&db), || {
        fs::remove_file(&filler).unwrap()
    });
}

#[test]
fn a_limit_on_the_files_size_refuses_writes_like_a_full_disk() {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("memory.db");
    // A file that cannot grow fails with EFBIG. A shell ignores the signal that would end the process, and so does what
    // it becomes.
    let mut limited = Command::new("bash");
    limited
        .args([
            "-c",
            "trap '' XFSZ; ulimit -S -f 4096; exec \"$@\"",
            "bash",
            BINARY,
            "--db",
        ])
        .arg(&db);
    let server = Server::start_by(limited);
    let id = server.id().to_string();
    fills_and_recovers(&db, server, || {
        let lifted = Command::new("prlimit")
            .args(["--pid", &id, "--fsize=unlimited"])
            .status();
        assert!(lifted.unwrap().success());
    });
}

#[test]
fn a_disk_that_says_no_space_refuses_writes_until_it_has_some() {
    const ENOSPC: i32 = 28;
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("memory.db");
    let machine = Machine::new(&db);
    let server = Server::start_by(machine.command());
    record(&server, "while there was room");
    machine.fail("write", ENOSPC);
    fills_and_recovers(&db, server, || machine.mend());
}

/// Writes until there is no room, looks at what is said, makes room and sees that writing goes on.
fn fills_and_recovers(db: &Path, mut server: Server, make_room: impl FnOnce()) {
    let ledger = Ledger::default();
    let write = || {
        let answer = ask(&server, "POST", "/api/v1/events", Some(&bulk(TEXT)));
        if answer.status == 201 {
            ledger.stored(answer.body["event_id"].as_str().unwrap());
            return true;
        }
        assert_unavailable(&answer);
        false
    };
    // Moving the log into the file may make room for some more, and the server finds that out by itself; so again and
    // again until there is none.
    wait_for("a disk without any room", || {
        let before = ledger.len();
        while write() {}
        assert!(ledger.len() < 1000, "there is always room");
        assert_eq!(health(&server), 503);
        (stays_unhealthy(&server) && ledger.len() == before).then_some(())
    });
    // Reads go on.
    ledger.assert_kept(&server);
    assert!(!write());
    make_room();
    // Also without a client that tries.
    wait_for("the server to see that there is room", || {
        (health(&server) == 200).then_some(())
    });
    ledger.stored(&record(&server, "there is room again"));
    ledger.assert_kept(&server);
    server.kill();
    let mut server = Server::start(db);
    ledger.assert_kept(&server);
    assert!(server.terminate().success());
    assert_sound(db);
}

/// Whether the server has looked at itself three times and found itself unhealthy, with nobody writing.
fn stays_unhealthy(server: &Server) -> bool {
    let mut looks = HashSet::new();
    wait_for("the server to look at itself", || {
        let report = ask(server, "GET", "/health/detailed", None);
        looks.insert(report.body["checked_at"].as_str().unwrap().to_owned());
        (report.status == 200 || looks.len() > 3).then_some(report.status == 503)
    })
}

#[test]
fn a_file_that_nobody_may_change_refuses_writes_and_answers_reads() {
    const EROFS: i32 = 30;
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("memory.db");
    let machine = Machine::new(&db);
    let server = Server::start_by(machine.command());
    let id = record(&server, "while it could be changed");
    let refuses = |server: &Server| {
        for _ in 0..3 {
            assert_unavailable(&ask(server, "POST", "/api/v1/events", Some(&event("no"))));
        }
        assert_eq!(ask(server, "GET", "/health/ready", None).status, 503);
        assert_eq!(health(server), 503);
        assert_eq!(
            ask(server, "GET", &format!("/api/v1/events/{id}"), None).status,
            200
        );
    };
    machine.fail("write", EROFS);
    refuses(&server);
    machine.mend();
    record(&server, "it can be changed again");
    // The same by the system's own means, if this process may.
    if let Some(frozen) = Frozen::new(&[&db, &beside(&db, "-wal")]) {
        refuses(&server);
        drop(frozen);
        record(&server, "thawed");
    }
    wait_for("health to say so", || {
        (health(&server) == 200).then_some(())
    });
}

#[test]
fn a_read_only_place_is_refused_at_the_start_in_plain_words() {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("memory.db");
    assert!(
        command(&db)
            .args(["record", "hello"])
            .output()
            .unwrap()
            .status
            .success()
    );
    let Some(view) = Mount::read_only(dir.path()) else {
        return;
    };
    for arguments in [&["serve", "--listen", "127.0.0.1:0"][..], &["record", "no"]] {
        let output = command(&view.path().join("memory.db"))
            .args(arguments)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(74), "{said}");
        assert!(said.contains("Read-only file system"), "{said}");
    }
}
