//! What `doctor` finds and names, and what `doctor --repair` makes anew.

use std::fs;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use rusqlite::{Connection, ErrorCode};
use serde_json::{Value, json};

use crate::export::cli;
use crate::process::{Server, client, command};

/// A word that nothing else in the product holds.
const WORD: &str = "xylographer";

/// How `doctor` ended, and what it said.
fn doctor(db: &Path, flags: &[&str]) -> (i32, String) {
    let output = command(db).arg("doctor").args(flags).output().unwrap();
    let words = [output.stdout, output.stderr].concat();
    (
        output.status.code().unwrap(),
        String::from_utf8(words).unwrap(),
    )
}

/// The line of a check that found something.
fn wrong(words: &str, check: &str) -> String {
    let line = words
        .lines()
        .find(|line| line.starts_with(&format!("WRONG {check}")));
    line.unwrap_or_else(|| panic!("{check} found nothing: {words}"))
        .to_owned()
}

fn beside(db: &Path, suffix: &str) -> PathBuf {
    let mut name = db.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[expect(clippy::disallowed_methods, reason = "breaks a file on purpose")]
fn open(db: &Path) -> Connection {
    Connection::open(db).unwrap()
}

fn change(db: &Path, sql: &str) {
    open(db).execute_batch(sql).unwrap();
}

/// A memory with something of each kind.
fn memory(dir: &Path) -> PathBuf {
    let db = dir.join("memory.db");
    let handoff = [
        "handoff",
        "--session",
        "s",
        "--with-whom",
        "Ada",
        "--learned",
        "the gauge leaks",
    ];
    cli(&db, &handoff);
    cli(&db, &["note", "a xylographer cuts in wood"]);
    cli(&db, &["decide", "cut along the grain"]);
    let mut server = Server::start(&db);
    for number in 0..30 {
        let event = json!({
            "session_id": "s", "channel": "private", "actor": {"type": "agent", "id": "a"}, "kind": "message",
            "content": {"text": format!("reading {number} of the tide gauge, {}", "with more to it ".repeat(60))},
        });
        let mut answer = client()
            .post(server.url("/api/v1/events"))
            .send_json(&event)
            .unwrap();
        assert_eq!(answer.status(), 201);
        let _id: Value = answer.body_mut().read_json().unwrap();
    }
    assert!(server.terminate().success());
    assert_eq!(doctor(&db, &[]).0, 0);
    db
}

fn finds(db: &Path) -> bool {
    cli(db, &["recall", WORD]).contains("cuts in wood")
}

/// Repairs, and all is well again.
#[track_caller]
fn repaired(db: &Path) -> String {
    let before = cli(db, &["export"]);
    let (code, words) = doctor(db, &["--repair"]);
    assert_eq!(code, 0, "{words}");
    assert_eq!(cli(db, &["export"]).lines().count(), before.lines().count());
    assert!(words.contains(".before-repair-20"), "{words}");
    assert!(finds(db));
    words
}

#[test]
fn a_missing_term_is_found_and_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let db = memory(dir.path());
    let seq = "(select chunk_first from note)";
    let connection = open(&db);
    let terms: String = connection
        .query_row(
            &format!("select group_concat(term, ' ') from term_instance where doc = {seq} and term like '1:xylo%'"),
            [],
            |row| row.get(0),
        )
        .unwrap();
    let sql =
        format!("insert into term_index (term_index, rowid, terms) select 'delete', {seq}, ?1");
    connection.execute(&sql, [terms]).unwrap();
    drop(connection);
    assert!(!finds(&db));
    let (code, words) = doctor(&db, &[]);
    assert_eq!(code, 1);
    assert!(wrong(&words, "index").contains("1 of "), "{words}");
    repaired(&db);
    // A term too many is as wrong.
    change(
        &db,
        &format!("insert into term_index (rowid, terms) values ({seq}, '1:nonsense')"),
    );
    assert!(wrong(&doctor(&db, &[]).1, "index").contains("by others'"));
    repaired(&db);
}

#[test]
fn passages_that_are_gone_or_nobodys_are_found_and_cut_anew() {
    let dir = tempfile::tempdir().unwrap();
    let db = memory(dir.path());
    change(
        &db,
        "delete from chunk where entity_type = 3;
         delete from chunk where seq = (select max(seq) from chunk where entity_type = 0);
         update chunk set signature = zeroblob(10) where seq = (select min(seq) from chunk where entity_type = 0);
         insert into chunk (seq, tenant_no, entity_type, entity_seq, ts, sensitivity, field, byte_start, byte_end, words, signature)
             values (999, 1, 2, 77, 0, 0, 7, 0, 1, 1, zeroblob(16));",
    );
    let said = wrong(&doctor(&db, &[]).1, "chunks");
    assert!(
        said.contains("1 without an entity") && said.contains("1 without a signature"),
        "{said}"
    );
    let words = repaired(&db);
    assert!(
        words.contains("passages of 3 memories anew, removed"),
        "{words}"
    );
    // What was cut anew can be forgotten like anything.
    let mut server = Server::start(&db);
    let listed = server.get("/api/v1/knowledge").unwrap();
    let id = listed["knowledge"][0]["note_id"].as_str().unwrap();
    let answer = client()
        .delete(server.url(&format!("/api/v1/knowledge/{id}")))
        .call()
        .unwrap();
    assert_eq!(answer.status(), 204);
    assert!(server.terminate().success());
    assert!(!finds(&db));
    assert_eq!(doctor(&db, &[]).0, 0);
}

#[test]
fn wrong_counts_and_totals_are_found_and_counted_anew() {
    let dir = tempfile::tempdir().unwrap();
    let db = memory(dir.path());
    for (sql, check, words) in [
        (
            "update stat set value = value + 7 where name = 'notes'",
            "stat",
            "notes : kept 8, counted 1",
        ),
        (
            "update tenant_stat set value = 3 where name = 'decisions'",
            "stat",
            "do not add up",
        ),
        (
            "update summary set handoffs = handoffs + 1 where with_whom = 'Ada'",
            "totals",
            "totals of projects and people",
        ),
        ("update session set events = 5", "totals", "1 of sessions"),
        (
            "update tenant set words = words + 1",
            "chunks",
            "1 tenants with wrong totals",
        ),
    ] {
        change(&db, sql);
        let (code, said) = doctor(&db, &[]);
        assert_eq!(code, 1, "{sql}");
        assert!(wrong(&said, check).contains(words), "{sql}: {said}");
        repaired(&db);
    }
    // What never falls is kept.
    let status: Value = serde_json::from_str(&cli(&db, &["status", "--json"])).unwrap();
    assert_eq!(status["stats"]["events_recorded.message"], 30);
}

#[test]
fn rows_that_lost_what_they_belong_to_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let db = memory(dir.path());
    change(&db, "delete from session");
    let said = wrong(&doctor(&db, &[]).1, "references");
    assert!(
        said.contains("30 events without their session") && said.contains("1 handoffs"),
        "{said}"
    );
}

#[test]
fn files_that_others_may_read_and_what_was_left_behind_are_found_and_mended() {
    let dir = tempfile::tempdir().unwrap();
    let db = memory(dir.path());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for file in [db.clone(), beside(&db, ".lock"), beside(&db, ".turn")] {
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    }
    let part = beside(&db, ".restore.part");
    fs::write(&part, "left").unwrap();
    let (code, words) = doctor(&db, &[]);
    assert_eq!(code, 1);
    let said = wrong(&words, "permissions");
    assert!(
        said.contains("memory.db,")
            && said.contains("memory.db.turn")
            && said.contains("chmod 600"),
        "{said}"
    );
    assert!(wrong(&words, "left behind").contains("restore.part"));
    repaired(&db);
    assert_eq!([mode(&db), mode(&beside(&db, ".turn"))], [0o600, 0o600]);
    assert!(!part.exists());
    // The copy that the repair made is mentioned, and no fault.
    assert!(doctor(&db, &[]).1.contains("before-repair-"));
}

#[test]
fn whoever_keeps_others_from_writing_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let db = memory(dir.path());
    let turn = fs::OpenOptions::new()
        .write(true)
        .open(beside(&db, ".turn"))
        .unwrap();
    turn.lock().unwrap();
    let (code, words) = doctor(&db, &[]);
    assert_eq!(code, 1);
    let said = wrong(&words, "locks");
    assert!(
        said.contains(&format!("process {}", std::process::id())),
        "{said}"
    );
    drop(turn);
    assert_eq!(doctor(&db, &[]).0, 0);
}

#[test]
fn nothing_is_repaired_under_a_server() {
    let dir = tempfile::tempdir().unwrap();
    let db = memory(dir.path());
    let mut server = Server::start(&db);
    let (code, words) = doctor(&db, &["--repair"]);
    assert_eq!(code, 75, "{words}");
    let new = dir.path().join("new.db");
    let (code, words) = doctor(&db, &["--salvage", new.to_str().unwrap()]);
    assert_eq!(code, 75, "{words}");
    assert!(server.terminate().success());
    repaired(&db);
}

#[test]
fn a_damaged_page_is_named_left_alone_and_what_is_beside_it_saved() {
    let dir = tempfile::tempdir().unwrap();
    let db = memory(dir.path());
    // A leaf of the events, in the middle of them.
    let page: i64 = open(&db)
        .query_row(
            "select pageno from dbstat where name = 'event' and pagetype = 'leaf' order by path limit 1 offset 2",
            [],
            |row| row.get(0),
        )
        .unwrap();
    let mut file = fs::OpenOptions::new().write(true).open(&db).unwrap();
    file.seek(SeekFrom::Start((u64::try_from(page).unwrap() - 1) * 4096))
        .unwrap();
    file.write_all(&[0xa5; 4096]).unwrap();
    drop(file);
    let (code, words) = doctor(&db, &[]);
    assert_eq!(code, 1);
    assert!(
        wrong(&words, "integrity").contains("table event"),
        "{words}"
    );
    let copy = dir.path().join("copy.db");
    let copied = command(&db).arg("backup").arg(&copy).output().unwrap();
    assert_eq!(copied.status.code(), Some(74));
    assert!(!copy.exists() && String::from_utf8_lossy(&copied.stderr).contains("damaged"));
    let before = fs::read(&db).unwrap();
    let (code, words) = doctor(&db, &["--repair"]);
    assert_eq!(code, 74, "{words}");
    assert!(
        words.contains("--salvage") && words.contains("table event"),
        "{words}"
    );
    assert_eq!(fs::read(&db).unwrap(), before);

    let new = dir.path().join("new.db");
    let (code, words) = doctor(&db, &["--salvage", new.to_str().unwrap()]);
    assert_eq!(code, 1, "{words}");
    assert!(words.contains("LOST  event: 1 places"), "{words}");
    assert_eq!(fs::read(&db).unwrap(), before);
    cli(&db, &["restore", new.to_str().unwrap(), "--force"]);
    assert_eq!(doctor(&db, &[]).0, 0);
    let left: i64 = open(&db)
        .query_row("select count(*) from event", [], |row| row.get(0))
        .unwrap();
    // A page has three of them.
    assert!((24..30).contains(&left), "{left}");
    assert!(finds(&db));
    assert!(cli(&db, &["recall", "reading", "29"]).contains("reading 29"));
}

#[test]
fn a_passage_or_tenant_that_is_said_to_be_less_sensitive_than_it_is_is_found_and_mended() {
    let dir = tempfile::tempdir().unwrap();
    let db = memory(dir.path());
    let mut server = Server::start(&db);
    let event = json!({
        "session_id": "s", "channel": "private", "actor": {"type": "agent", "id": "a"}, "kind": "message",
        "content": {"text": "the zeugma is under the third stone"}, "sensitivity": "high",
    });
    let url = server.url("/api/v1/events");
    assert_eq!(client().post(&url).send_json(&event).unwrap().status(), 201);
    assert!(server.terminate().success());
    let public = || {
        let mut server = Server::start(&db);
        let found = server
            .get("/api/v1/search?q=zeugma&channel=public")
            .unwrap();
        assert!(server.terminate().success());
        found["hits"].to_string().contains("third stone")
    };
    assert!(!public());
    let high = "entity_type = 0 and entity_seq = (select max(seq) from event)";
    change(
        &db,
        &format!("update chunk set sensitivity = 0 where {high}"),
    );
    assert!(
        public(),
        "the gate is elsewhere, and this test needs another fault"
    );
    let (code, words) = doctor(&db, &[]);
    assert_eq!(code, 1);
    assert!(
        wrong(&words, "chunks").contains("; 1 say other than their memory"),
        "{words}"
    );
    repaired(&db);
    assert!(!public());
    change(&db, "update tenant set most_sensitive = 0");
    let (code, words) = doctor(&db, &[]);
    assert_eq!(code, 1);
    assert!(
        wrong(&words, "chunks").contains("1 tenants are said to hold nothing as sensitive"),
        "{words}"
    );
    let words = repaired(&db);
    assert!(words.contains("the passages of 0 memories anew"), "{words}");
    let kept: i64 = open(&db)
        .query_row("select most_sensitive from tenant", [], |row| row.get(0))
        .unwrap();
    assert_eq!(kept, 2);
    assert!(!public());
}

#[test]
fn what_consolidation_left_is_looked_at_and_mended() {
    let dir = tempfile::tempdir().unwrap();
    let db = memory(dir.path());
    for content in ["the weir opens at noon", "The weir opens at noon."] {
        cli(&db, &["note", content]);
    }
    cli(&db, &["consolidate", "run", "--force"]);
    let one = |sql: &str| -> i64 { open(&db).query_row(sql, [], |row| row.get(0)).unwrap() };
    assert_eq!(
        one("select count(*) from note where duplicate_of is not null"),
        1
    );
    assert_eq!(doctor(&db, &[]).0, 0);
    for (sql, words) in [
        (
            "update note set duplicate_of = zeroblob(16) where duplicate_of is not null",
            "1 notes are hidden behind one that is not shown; 1 notes count other",
        ),
        (
            "update note set duplicates = 4 where seq = 1",
            "1 notes count other",
        ),
        (
            "insert into consolidation_job (id, job_type, tenant_no, cause, started_at, status) values (zeroblob(16), 0, 77, 0, 0, 1)",
            "1 jobs are of no tenant",
        ),
        (
            "insert into consolidation_change (job_no, change_no, tenant_no, entity_type, entity_id, before)
                 select min(job_no), 999, 1, 1, zeroblob(16), '{}' from consolidation_job",
            "1 states are kept, to undo a job",
        ),
    ] {
        change(&db, sql);
        let (code, said) = doctor(&db, &[]);
        assert_eq!(code, 1, "{sql}");
        assert!(wrong(&said, "consolidated").contains(words), "{said}");
        let said = repaired(&db);
        assert!(said.contains("of what consolidation did"), "{said}");
    }
    // One that was cut off is no fault, and a repair ends it as the next run would.
    let totals = "select failed from consolidation_total where job_type = 0";
    let failed = one(totals);
    change(
        &db,
        "insert into consolidation_job (id, job_type, tenant_no, cause, started_at) values (zeroblob(16), 0, 1, 0, 0)",
    );
    let (code, said) = doctor(&db, &[]);
    assert!(
        code == 0 && said.contains("1 jobs are running, or were cut off"),
        "{said}"
    );
    repaired(&db);
    assert_eq!(one(totals), failed + 1);
    assert_eq!(
        one(
            "select count(*) from consolidation_job where id = zeroblob(16) and status = 2 and completed_at > 0 and reason like 'the process ended%'"
        ),
        1
    );
}

/// Locks and unlocks files of its own until told to stop, so that the system's list of locks is long and never at rest.
fn keep_locking(dir: &Path, name: usize, stop: &AtomicBool) {
    let files: Vec<_> = (0..60)
        .map(|number| fs::File::create(dir.join(format!("lock-{name}-{number}"))).unwrap())
        .collect();
    while !stop.load(Ordering::Relaxed) {
        files.iter().for_each(|file| file.lock().unwrap());
        files.iter().for_each(|file| file.unlock().unwrap());
    }
}

#[test]
fn another_program_that_has_a_transaction_open_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let db = memory(dir.path());
    let server = Server::start(&db);
    let other = open(&db);
    other.execute_batch("begin immediate").unwrap();
    let stop = AtomicBool::new(false);
    let (code, words) = thread::scope(|scope| {
        for name in 0..3 {
            let (dir, stop) = (dir.path(), &stop);
            scope.spawn(move || keep_locking(dir, name, stop));
        }
        let said = doctor(&db, &[]);
        stop.store(true, Ordering::Relaxed);
        said
    });
    assert_eq!(code, 1, "{words}");
    let said = wrong(&words, "locks");
    assert!(
        said.contains("SQLite's write lock")
            && said.contains(&format!("process {}", std::process::id())),
        "{said}"
    );
    other.execute_batch("rollback").unwrap();
    assert_eq!(doctor(&db, &[]).0, 0);
    drop(server);
}

#[test]
fn a_server_that_writes_flat_out_keeps_nobody_from_writing() {
    let dir = tempfile::tempdir().unwrap();
    let db = memory(dir.path());
    let server = Server::start(&db);
    let (stop, written) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let agent = client();
                while !stop.load(Ordering::Relaxed) {
                    let note = json!({"content": "the weir opens at noon"});
                    let answer = agent.post(server.url("/api/v1/knowledge")).send_json(&note);
                    assert_eq!(answer.unwrap().status(), 201);
                    written.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let said: Vec<_> = (0..3).map(|_| doctor(&db, &[])).collect();
        stop.store(true, Ordering::Relaxed);
        for (code, words) in said {
            assert!(
                code == 0 && words.contains("nobody keeps others from writing"),
                "{words}"
            );
        }
    });
    assert!(written.into_inner() > 100);
}

/// All rows of all tables that are saved, in the order of their numbers.
fn rows_of(db: &Path, tables: &[&str]) -> Vec<String> {
    let connection = open(db);
    let mut rows = Vec::new();
    for table in tables {
        let mut statement = connection
            .prepare(&format!("select * from {table} order by 1, 2"))
            .unwrap();
        let names: Vec<String> = statement
            .column_names()
            .into_iter()
            .map(ToOwned::to_owned)
            .collect();
        let mut found = statement.query([]).unwrap();
        while let Some(row) = found.next().unwrap() {
            for (column, name) in names.iter().enumerate() {
                // Where passages are, and that something was written, is another matter in a new file.
                if !["chunk_first", "write_seq", "erasures"].contains(&name.as_str()) {
                    rows.push(format!("{table}.{name} {:?}", row.get_ref(column).unwrap()));
                }
            }
        }
    }
    rows
}

#[test]
fn nothing_is_lost_by_saving_a_file_that_is_sound() {
    let dir = tempfile::tempdir().unwrap();
    let db = memory(dir.path());
    for content in ["the weir opens at noon", "The weir opens at noon."] {
        cli(&db, &["note", content]);
    }
    cli(&db, &["key", "create", "laptop"]);
    cli(&db, &["consolidate", "run", "--force"]);
    change(
        &db,
        "update decision set archived_at = 7, last_recalled_at = 5",
    );
    let new = dir.path().join("new.db");
    let (code, words) = doctor(&db, &["--salvage", new.to_str().unwrap()]);
    assert_eq!(code, 0, "{words}");
    let tables = [
        "tenant",
        "project",
        "session",
        "event",
        "artifact",
        "handoff",
        "decision",
        "note",
        "reflection",
        "principle",
        "summary",
        "job",
        "consolidation_job",
        "consolidation_change",
        "consolidation_total",
        "consolidation_due",
        "api_key",
        "audit_who",
        "audit",
        "transcript",
        "tenant_stat",
        "stat",
    ];
    let before = rows_of(&db, &tables);
    assert!(
        before
            .iter()
            .any(|row| row.starts_with("consolidation_change"))
    );
    let after = rows_of(&new, &tables);
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before, after);
    }
    assert_eq!(before.len(), after.len());
    assert_eq!(doctor(&new, &[]).0, 0);
    // The door that the key closed is closed there as well.
    let server = Server::start(&new);
    let answer = client().get(server.url("/api/v1/stats")).call().unwrap();
    assert_eq!(answer.status(), 401);
}

/// What a version did that made one segment of the index out of many, in slices, while others wrote: each slice began anew,
/// a level higher, and at the last level segments are piled up until FTS5 takes no more.
#[test]
fn an_index_without_room_for_segments_is_named_and_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let db = memory(dir.path());
    let mut connection = open(&db);
    connection
        .pragma_update(None, "synchronous", "off")
        .unwrap();
    let add = "insert into term_index (rowid, terms) values (?1, ?2)";
    let mut row = 1_000_000;
    // More than one slice takes.
    let large = connection.transaction().unwrap();
    for _ in 0..2_000 {
        row += 1;
        let words: Vec<_> = (0..50).map(|word| format!("{row}x{word}")).collect();
        large.execute(add, (row, words.join(" "))).unwrap();
    }
    large.commit().unwrap();
    let refused = (0..5_000).find_map(|_| {
        row += 1;
        connection
            .execute(add, (row, format!("{row}")))
            .err()
            .or_else(|| {
                let slice = "insert into term_index (term_index, rank) values ('merge', -1)";
                connection.execute(slice, []).err()
            })
    });
    let refused = refused.expect("the index took all of it");
    assert_eq!(refused.sqlite_error_code(), Some(ErrorCode::DiskFull));
    drop(connection);

    let mut server = Server::start(&db);
    let event = json!({
        "session_id": "s", "channel": "private", "actor": {"type": "agent", "id": "a"}, "kind": "message",
        "content": {"text": "the tide turns at noon"},
    });
    let write = |server: &Server| {
        let answer = client()
            .post(server.url("/api/v1/events"))
            .send_json(&event)
            .unwrap();
        answer.status().as_u16()
    };
    assert_eq!(write(&server), 503);
    assert!(server.terminate().success());

    let (code, words) = doctor(&db, &[]);
    assert_eq!(code, 1, "{words}");
    assert!(wrong(&words, "index").contains("segments"), "{words}");
    let (code, words) = doctor(&db, &["--repair"]);
    assert_eq!(code, 0, "{words}");
    assert_eq!(doctor(&db, &[]).0, 0);
    let mut server = Server::start(&db);
    assert_eq!(write(&server), 201);
    assert!(server.terminate().success());
}
