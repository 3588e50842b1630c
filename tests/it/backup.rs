//! Copies of the memory and putting them back, by the real binary, with and without a server.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::export::cli;
use crate::process::{Server, client, command, wait_for};

fn run(db: &Path, args: &[&str]) -> Output {
    let mut command = command(db);
    command.args(args).output().unwrap()
}

/// How a command ended, and what it said on standard error.
fn refused(db: &Path, args: &[&str]) -> (i32, String) {
    let output = run(db, args);
    let said = String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), said)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn note(db: &Path, content: &str) {
    cli(db, &["note", content]);
}

/// The notes of a memory.
fn notes(db: &Path) -> Vec<String> {
    let listed = cli(db, &["list", "knowledge", "--json", "--limit", "1000"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let rows = listed["knowledge"].as_array().unwrap();
    let mut found: Vec<_> = rows
        .iter()
        .map(|row| row["content"].as_str().unwrap().to_owned())
        .collect();
    found.sort();
    found
}

/// A memory with one note, and a copy of it.
fn memory_and_copy(dir: &Path) -> (PathBuf, PathBuf) {
    let (db, copy) = (dir.join("memory.db"), dir.join("copy.db"));
    note(&db, "before the copy");
    cli(&db, &["backup", text(&copy)]);
    (db, copy)
}

fn metric(server: &Server, series: &str) -> f64 {
    let mut answer = client().get(server.url("/metrics")).call().unwrap();
    let body = answer.body_mut().read_to_string().unwrap();
    let line = body
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series}"))
        .parse()
        .unwrap()
}

#[test]
fn a_copy_is_made_beside_a_server_and_is_whole_private_and_described() {
    let dir = tempfile::tempdir().unwrap();
    let (db, copy) = (dir.path().join("memory.db"), dir.path().join("copy.db"));
    let server = Server::start(&db);
    note(&db, "before the copy");
    let said = cli(&db, &["backup", text(&copy), "--json"]);
    let said: Value = serde_json::from_str(&said).unwrap();

    let bytes = fs::read(&copy).unwrap();
    let manifest = beside(&copy, ".manifest.json");
    let written: Value = serde_json::from_slice(&fs::read(&manifest).unwrap()).unwrap();
    assert_eq!(said, written);
    let hash: String = Sha256::digest(&bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(written["sha256"], hash);
    assert_eq!(written["bytes"], bytes.len());
    assert_eq!(written["counts"]["notes"], 1);
    // A rollback journal, by the header: the copy is one file.
    assert_eq!(bytes[18..20], [1, 1]);
    for file in [&copy, &manifest] {
        let mode = fs::metadata(file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }
    let mut names: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("copy"))
        .collect();
    names.sort();
    assert_eq!(names, ["copy.db", "copy.db.manifest.json"]);

    // Not over what is there, unless told to.
    let (code, words) = refused(&db, &["backup", text(&copy)]);
    assert_eq!(code, 5);
    assert!(words.contains("--force"), "{words}");
    note(&db, "after the copy");
    assert_eq!(fs::read(&copy).unwrap(), bytes);
    cli(&db, &["backup", text(&copy), "--force"]);
    let written: Value = serde_json::from_slice(&fs::read(&manifest).unwrap()).unwrap();
    assert_eq!(written["counts"]["notes"], 2);
    let words = cli(&db, &["backup", text(&copy), "--check"]);
    assert!(
        words.contains("is sound") && words.contains("2 notes"),
        "{words}"
    );

    // The server tells of both, though it made neither.
    wait_for("the copies to be counted", || {
        let made = metric(&server, "agent_memory_backups_total{outcome=\"completed\"}");
        (made == 2.0).then_some(())
    });
    let size = metric(&server, "agent_memory_backup_last_size_bytes");
    assert_eq!(size, fs::metadata(&copy).unwrap().len() as f64);
    assert!(
        metric(
            &server,
            "agent_memory_backup_last_success_timestamp_seconds"
        ) > 1.7e9
    );
    assert!(metric(&server, "agent_memory_backup_last_duration_seconds") > 0.0);
    assert_eq!(metric(&server, "agent_memory_backup_interval_seconds"), 0.0);
}

#[test]
fn a_copy_that_cannot_be_made_says_why_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("memory.db");
    note(&db, "kept");
    let nowhere = dir.path().join("none/copy.db");
    for (target, words) in [
        (nowhere.as_path(), "none/copy.db"),
        (dir.path(), "is a directory"),
        (db.as_path(), "belongs to the memory itself"),
    ] {
        let (code, said) = refused(&db, &["backup", text(target), "--force"]);
        assert_eq!(code, 74, "{said}");
        assert!(said.contains(words), "{said}");
    }
    assert_eq!(notes(&db), ["kept"]);
    let (code, _) = refused(
        &dir.path().join("nothing.db"),
        &["backup", text(&dir.path().join("copy.db"))],
    );
    assert_eq!(code, 4);
    assert!(!dir.path().join("copy.db").exists());
}

#[test]
fn a_copy_is_put_back_and_what_was_there_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (db, copy) = memory_and_copy(dir.path());
    note(&db, "after the copy");
    let (code, words) = refused(&db, &["restore", text(&copy)]);
    assert_eq!(code, 5);
    assert!(words.contains("--force"), "{words}");
    assert_eq!(notes(&db).len(), 2);

    let said = cli(&db, &["restore", text(&copy), "--force", "--json"]);
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        (&said["manifest"], &said["counts"]["notes"]),
        (&json!(true), &json!(1))
    );
    assert_eq!(notes(&db), ["before the copy"]);
    let found = cli(&db, &["recall", "before", "the", "copy"]);
    assert!(found.contains("before the copy"), "{found}");
    cli(&db, &["doctor"]);
    let mode = fs::metadata(&db).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // What was there is a memory like any other.
    let kept = PathBuf::from(said["kept"].as_str().unwrap());
    assert!(text(&kept).contains(".before-restore-20"));
    assert_eq!(notes(&kept), ["after the copy", "before the copy"]);
    // The copy itself is as it was; and a new place takes it without being told twice.
    cli(&db, &["backup", text(&copy), "--check"]);
    let elsewhere = dir.path().join("new/memory.db");
    cli(&elsewhere, &["restore", text(&copy)]);
    assert_eq!(notes(&elsewhere), ["before the copy"]);
    note(&elsewhere, "and it goes on");
}

#[test]
fn nothing_is_put_back_under_a_server() {
    let dir = tempfile::tempdir().unwrap();
    let (db, copy) = memory_and_copy(dir.path());
    let mut server = Server::start(&db);
    let (code, words) = refused(&db, &["restore", text(&copy), "--force"]);
    assert_eq!(code, 75);
    assert!(words.contains("stop them first"), "{words}");
    assert!(server.terminate().success());
    cli(&db, &["restore", text(&copy), "--force"]);
}

#[test]
fn a_copy_that_was_changed_or_cut_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (db, copy) = memory_and_copy(dir.path());
    note(&db, "after the copy");
    let (whole, manifest) = (fs::read(&copy).unwrap(), beside(&copy, ".manifest.json"));
    let description = fs::read(&manifest).unwrap();
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    for (bytes, words) in [
        (flipped.as_slice(), "is not what its manifest says"),
        (
            &whole[..whole.len() - 4096],
            "is not what its manifest says",
        ),
        (b"no database", "not an SQLite file"),
        (b"", "is empty"),
    ] {
        fs::write(&copy, bytes).unwrap();
        for args in [
            ["restore", text(&copy), "--force"],
            ["backup", text(&copy), "--check"],
        ] {
            let (code, said) = refused(&db, &args);
            assert_eq!(code, 74, "{said}");
            assert!(said.contains(words), "{args:?}: {said}");
        }
    }
    // Without a manifest damage is found by looking at each page.
    fs::remove_file(&manifest).unwrap();
    fs::write(&copy, &whole[..whole.len() - 8 * 4096]).unwrap();
    let (code, said) = refused(&db, &["restore", text(&copy), "--force"]);
    assert_eq!(code, 74, "{said}");
    assert!(
        said.contains("damaged") || said.contains("malformed"),
        "{said}"
    );
    assert_eq!(notes(&db).len(), 2);
    assert!(!beside(&db, ".restore.part").exists());
    // A manifest that is none is no reason to guess.
    fs::write(&copy, &whole).unwrap();
    fs::write(&manifest, "{").unwrap();
    let (code, said) = refused(&db, &["restore", text(&copy), "--force"]);
    assert!(code == 74 && said.contains("move it away"), "{said}");
    fs::write(&manifest, description).unwrap();
    cli(&db, &["restore", text(&copy), "--force"]);
    assert_eq!(notes(&db), ["before the copy"]);
}

#[test]
fn the_log_of_the_file_before_is_not_read_into_the_copy() {
    let dir = tempfile::tempdir().unwrap();
    let (db, copy) = memory_and_copy(dir.path());
    let mut server = Server::start(&db);
    for number in 0..50 {
        note(&db, &format!("in the log {number}"));
    }
    server.kill();
    assert!(fs::metadata(beside(&db, "-wal")).unwrap().len() > 0);
    // By hand, as people do: it is refused, and nothing is mixed.
    let by_hand = dir.path().join("by-hand.db");
    fs::copy(&copy, &by_hand).unwrap();
    fs::copy(beside(&db, "-wal"), beside(&by_hand, "-wal")).unwrap();
    let before = fs::read(&by_hand).unwrap();
    for args in [["migrate"], ["serve"], ["status"]] {
        let (code, said) = refused(&by_hand, &args);
        assert_eq!(code, 74, "{said}");
        assert!(
            said.contains("log of the file that was here before"),
            "{said}"
        );
    }
    assert_eq!(fs::read(&by_hand).unwrap(), before);
    // By the command: the old file takes its log along.
    let said = cli(&db, &["restore", text(&copy), "--force", "--json"]);
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(notes(&db), ["before the copy"]);
    cli(&db, &["doctor"]);
    assert_eq!(notes(Path::new(said["kept"].as_str().unwrap())).len(), 51);
}

#[test]
fn a_copy_is_changed_by_no_command_and_becomes_a_memory_by_serving_it() {
    let dir = tempfile::tempdir().unwrap();
    let (_db, copy) = memory_and_copy(dir.path());
    let before = fs::read(&copy).unwrap();
    for args in [["status"], ["doctor"], ["export"]] {
        let (code, said) = refused(&copy, &args);
        assert_eq!(code, 74, "{said}");
        assert!(said.contains("agent-memory restore"), "{said}");
    }
    assert_eq!(fs::read(&copy).unwrap(), before);
    let mut server = Server::start(&copy);
    assert!(server.terminate().success());
    assert_eq!(notes(&copy), ["before the copy"]);
    cli(&copy, &["doctor"]);
}

#[test]
fn a_copy_of_each_older_schema_is_put_back_and_then_upgraded() {
    for schema in [1, 3, 4, 7, 8] {
        let dir = tempfile::tempdir().unwrap();
        let (db, copy) = (dir.path().join("memory.db"), dir.path().join("old.db"));
        note(&db, "newer");
        let fixture = format!("tests/fixtures/schema-{schema}.db");
        fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join(fixture), &copy).unwrap();
        let said = cli(&db, &["restore", text(&copy), "--force"]);
        assert!(
            said.contains(&format!("schema {schema}")) && said.contains("migrate"),
            "{said}"
        );
        assert_eq!(refused(&db, &["status"]).0, 75);
        cli(&db, &["migrate"]);
        assert!(!notes(&db).contains(&"newer".to_owned()));
        cli(&db, &["doctor"]);
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "makes a file of another version")]
fn a_copy_of_a_newer_schema_or_with_the_manifest_of_another_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (db, copy) = memory_and_copy(dir.path());
    note(&db, "after the copy");
    let other = dir.path().join("other.db");
    cli(&db, &["backup", text(&other)]);
    let (own, foreign) = (
        beside(&copy, ".manifest.json"),
        beside(&other, ".manifest.json"),
    );
    let description = fs::read(&own).unwrap();
    fs::copy(&foreign, &own).unwrap();
    let (code, said) = refused(&db, &["restore", text(&copy), "--force"]);
    assert!(
        code == 74 && said.contains("is not what its manifest says"),
        "{said}"
    );
    // The counts alone.
    let mut wrong: Value = serde_json::from_slice(&description).unwrap();
    wrong["counts"]["notes"] = json!(2);
    fs::write(&own, wrong.to_string()).unwrap();
    let (code, said) = refused(&db, &["restore", text(&copy), "--force"]);
    assert!(code == 74 && said.contains("manifest"), "{said}");
    fs::remove_file(&own).unwrap();
    rusqlite::Connection::open(&copy)
        .unwrap()
        .pragma_update(None, "user_version", 99)
        .unwrap();
    let (code, said) = refused(&db, &["restore", text(&copy), "--force"]);
    assert_eq!(code, 74, "{said}");
    assert!(
        said.contains("schema 99") && said.contains("newer"),
        "{said}"
    );
    assert_eq!(notes(&db).len(), 2);
    cli(&db, &["doctor"]);
}

#[test]
fn a_copy_never_goes_where_the_memory_is_nor_over_what_is_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let place = |name: &str| dir.path().join(name);
    let db = place("memory.db");
    note(&db, "kept");
    let link = |to: &str, name: &str| std::os::unix::fs::symlink(place(to), place(name)).unwrap();
    link("memory.db", "to-the-memory.db");
    link("nothing.db", "to-nothing.db");
    link("memory.db", "planted.db.part");
    let made = std::process::Command::new("mkfifo")
        .arg(place("pipe"))
        .status();
    assert!(made.unwrap().success());
    for (target, words) in [
        ("to-the-memory.db", "belongs to the memory itself"),
        ("to-nothing.db", "is a link that leads to nothing"),
        ("planted.db", "planted.db.part is a link"),
        ("pipe", "is no file"),
        ("memory.db.consolidation", "belongs to the memory itself"),
        ("memory.db-wal", "belongs to the memory itself"),
    ] {
        let (code, said) = refused(&db, &["backup", text(&place(target)), "--force"]);
        assert_eq!(code, 74, "{target}: {said}");
        assert!(said.contains(words), "{target}: {said}");
    }
    for args in [["restore", "--force"], ["backup", "--check"]] {
        let (code, said) = refused(&db, &[args[0], text(&place("pipe")), args[1]]);
        assert!(code == 74 && said.contains("is no file"), "{said}");
    }
    assert_eq!(notes(&db), ["kept"]);
    // A memory that is called like the part of the copy.
    let odd = place("odd.db.part");
    note(&odd, "odd");
    let (code, said) = refused(&odd, &["backup", text(&place("odd.db"))]);
    assert!(
        code == 74 && said.contains("belongs to the memory itself"),
        "{said}"
    );
    assert_eq!(notes(&odd), ["odd"]);
    // A link to an earlier copy is followed, and stays.
    cli(&db, &["backup", text(&place("copy.db"))]);
    link("copy.db", "newest.db");
    note(&db, "kept too");
    cli(&db, &["backup", text(&place("newest.db")), "--force"]);
    assert!(place("newest.db").is_symlink());
    cli(
        &place("elsewhere.db"),
        &["restore", text(&place("copy.db"))],
    );
    assert_eq!(notes(&place("elsewhere.db")).len(), 2);
    // Somebody is at it.
    let part = fs::File::create(place("copy.db.part")).unwrap();
    part.lock().unwrap();
    let (code, said) = refused(&db, &["backup", text(&place("copy.db")), "--force"]);
    assert!(code == 5 && said.contains("another copy"), "{said}");
    drop(part);
    cli(&db, &["backup", text(&place("copy.db")), "--force"]);
    let left: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| {
            name.contains(".part") && !name.starts_with("odd") && name != "planted.db.part"
        })
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_memory_behind_a_link_is_one_memory_by_either_name() {
    let dir = tempfile::tempdir().unwrap();
    let (file, link) = (
        dir.path().join("disk/memory.db"),
        dir.path().join("memory.db"),
    );
    note(&file, "by its name");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    let mut server = Server::start(&link);
    note(&link, "by the link");
    note(&file, "by its name again");
    assert_eq!(notes(&link).len(), 3);
    let copy = dir.path().join("copy.db");
    cli(&link, &["backup", text(&copy)]);
    cli(&link, &["doctor"]);
    // Both names have one lock.
    for name in [&file, &link] {
        assert_eq!(refused(name, &["restore", text(&copy), "--force"]).0, 75);
    }
    assert!(server.terminate().success());
    cli(&link, &["restore", text(&copy), "--force"]);
    assert!(link.is_symlink());
    assert_eq!(notes(&file).len(), 3);
    assert!(!beside(&link, ".lock").exists());
}

#[test]
fn a_key_that_was_revoked_since_stays_revoked_and_a_closed_door_closed() {
    let dir = tempfile::tempdir().unwrap();
    let (db, open_copy) = memory_and_copy(dir.path());
    let key = cli(&db, &["key", "create", "laptop"]);
    let other = cli(&db, &["key", "create", "desk"]);
    let closed_copy = dir.path().join("closed.db");
    cli(&db, &["backup", text(&closed_copy)]);
    cli(&db, &["key", "revoke", "laptop"]);
    let asks = |server: &Server, key: Option<&str>| {
        let request = client().get(server.url("/api/v1/stats"));
        let request = match key {
            Some(key) => request.header("x-api-key", key.trim()),
            None => request,
        };
        request.call().unwrap().status().as_u16()
    };
    let said = cli(&db, &["restore", text(&closed_copy), "--force"]);
    assert!(said.contains("1 keys that were revoked"), "{said}");
    let mut server = Server::start(&db);
    assert_eq!(asks(&server, Some(&key)), 401);
    assert_eq!(asks(&server, Some(&other)), 200);
    assert_eq!(asks(&server, None), 401);
    assert!(server.terminate().success());
    // From before there was any key: nobody's key is good, and still one is needed.
    cli(&db, &["restore", text(&open_copy), "--force"]);
    let server = Server::start(&db);
    assert_eq!(asks(&server, None), 401);
    assert_eq!(asks(&server, Some(&other)), 401);
}

#[test]
fn copies_by_the_clock_come_at_once_if_there_is_none_and_the_oldest_go() {
    let dir = tempfile::tempdir().unwrap();
    let (db, copies) = (dir.path().join("memory.db"), dir.path().join("backups"));
    note(&db, "kept");
    fs::create_dir(&copies).unwrap();
    for day in 1..=3 {
        fs::write(
            copies.join(format!("memory-2020010{day}T020000Z.db")),
            "old",
        )
        .unwrap();
    }
    // Of one that was killed, as large as a copy.
    let unfinished = copies.join("memory-20200104T020000Z.db.part");
    fs::write(&unfinished, "half").unwrap();
    let names = || -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(&copies)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with(".db"))
            .collect();
        names.sort();
        names
    };
    let mut server = Server::start_with(&db, &["--backup", "31d", "--backup-keep", "2"]);
    let made = wait_for("the copy, and the oldest to go", || {
        let names = names();
        (names.len() == 2 && !names[1].starts_with("memory-2020")).then_some(names)
    });
    assert_eq!(made[0], "memory-20200103T020000Z.db");
    assert!(!unfinished.exists());
    assert_eq!(
        metric(&server, "agent_memory_backups_total{outcome=\"completed\"}"),
        1.0
    );
    assert_eq!(
        metric(&server, "agent_memory_backup_interval_seconds"),
        31.0 * 86_400.0
    );
    assert!(server.terminate().success());
    cli(&db, &["backup", text(&copies.join(&made[1])), "--check"]);
    // The next start makes none, since there is one.
    let mut server = Server::start_with(&db, &["--backup", "31d", "--backup-keep", "2"]);
    std::thread::sleep(std::time::Duration::from_millis(1_600));
    assert_eq!(names(), made);
    assert!(
        metric(
            &server,
            "agent_memory_backup_last_success_timestamp_seconds"
        ) > 1.7e9
    );
    assert!(server.terminate().success());
}

#[test]
fn copies_that_fail_are_counted_and_harm_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let (db, in_the_way) = (dir.path().join("memory.db"), dir.path().join("file"));
    fs::write(&in_the_way, "not a directory").unwrap();
    let flags = ["--backup", "1m", "--backup-dir", text(&in_the_way)];
    let mut server = Server::start_with(&db, &flags);
    wait_for("the failure", || {
        let failed = metric(&server, "agent_memory_backups_total{outcome=\"failed\"}");
        (failed == 1.0).then_some(())
    });
    assert_eq!(
        metric(
            &server,
            "agent_memory_backup_last_success_timestamp_seconds"
        ),
        0.0
    );
    note(&db, "it goes on");
    assert_eq!(server.get("/health").unwrap()["database"], "connected");
    assert!(server.terminate().success());
    for (flag, value) in [
        ("--backup", "sometimes"),
        ("--backup", "25:00"),
        ("--backup-keep", "0"),
        ("--retain-events", "6h"),
        ("--retain-events", "0d"),
    ] {
        let (code, said) = refused(&db, &["config", flag, value]);
        assert!(code != 0 && said.contains(flag), "{said}");
    }
}
