//! Files of released schemas under this version: refused by commands, upgraded by `serve` and `migrate`, never lost.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use agent_memory::store::sqlite::schema_version;
use rusqlite::Connection;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::export::{cli, rows};
use crate::harness::made_id;
use crate::process::{Server, client, command};

const TENANTS: [&str; 2] = ["default", "team-b"];
/// The schemas of which there is a file.
const RELEASED: [i64; 6] = [1, 3, 4, 7, 8, 9];

/// Rounds of killing a migration: each schema, early to late. `scripts/test --full backup` sets a number of its own.
fn kills() -> u32 {
    let asked = std::env::var_os("CRASH_ROUNDS");
    asked.map_or(5, |rounds| rounds.to_str().unwrap().parse().unwrap())
}

/// Those of them that are upgraded.
fn older() -> impl Iterator<Item = i64> + Clone {
    RELEASED
        .into_iter()
        .filter(|schema| *schema < schema_version())
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

/// A copy of the first released file, in a directory of its own.
fn old_file() -> (TempDir, PathBuf) {
    file_of(1)
}

fn file_of(schema: i64) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("memory.db");
    fs::copy(fixture(&format!("schema-{schema}.db")), &db).unwrap();
    // As that version made it; the working copy of a repository does not keep it.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(&db, fs::Permissions::from_mode(0o600)).unwrap();
    }
    (dir, db)
}

#[expect(clippy::disallowed_methods, reason = "looks at a file from outside")]
fn open(db: &Path) -> Connection {
    Connection::open(db).unwrap()
}

fn schema(db: &Path) -> i64 {
    let connection = open(db);
    let read = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    assert_eq!(read("application_id").unwrap(), 0x4147_4d4d);
    read("user_version").unwrap()
}

/// The rows that the old version exported, by tenant.
fn exported(schema: i64) -> Vec<Vec<Value>> {
    let text = fs::read_to_string(fixture(&format!("schema-{schema}.jsonl"))).unwrap();
    let of = |tenant: &str| {
        let all = text.lines().map(|line| serde_json::from_str(line).unwrap());
        all.filter(|row: &Value| {
            row["tenant_id"] == tenant && row["type"] != "header" && row["type"] != "trailer"
        })
        .collect::<Vec<Value>>()
    };
    let found = TENANTS.map(of).to_vec();
    assert!(found[0].len() > 15 && found[1].len() == 3);
    found
}

/// Every row is as the old version exported it, and the file is sound.
#[track_caller]
fn is_whole(db: &Path) {
    is_as_exported(db, 1);
}

#[track_caller]
fn is_as_exported(db: &Path, schema: i64) {
    for (tenant, old) in TENANTS.iter().zip(exported(schema)) {
        let export = cli(db, &["export", "--tenant", tenant]);
        assert_eq!(rows(&export), old, "{tenant}");
    }
    cli(db, &["doctor"]);
}

fn run(db: &Path, args: &[&str]) -> Output {
    let mut command: Command = command(db);
    command.args(args).stdin(Stdio::null()).output().unwrap()
}

fn copy_of(db: &Path) -> PathBuf {
    db.with_extension("db.v1.bak")
}

#[test]
fn a_server_upgrades_an_older_file_and_keeps_a_copy() {
    let (dir, db) = old_file();
    let mut server = Server::start(&db);
    assert_eq!(
        server.get("/health/detailed").unwrap()["store"]["schema_version"],
        schema_version()
    );
    let found = |query: &str, tenant: &str| {
        let path = format!("/api/v1/search?q={query}&tenant_id={tenant}");
        server.get(&path).unwrap()["hits"].clone()
    };
    assert_eq!(found("modbus", "default")[0]["id"], made_id("evt", 5));
    assert_eq!(found("lighthouse", "default")[0]["id"], made_id("kn", 2));
    assert_eq!(found("quay", "team-b")[0]["id"], made_id("evt", 1));
    assert_eq!(found("xylographer", "default"), json!([]));
    let wake_up = server.get("/api/v1/wake-up").unwrap();
    assert_eq!(wake_up["layers"]["metadata"]["handoffs"], 3);
    assert!(
        wake_up["context"]
            .as_str()
            .unwrap()
            .contains("the port is 3456")
    );
    assert_eq!(
        server.get("/api/v1/reflections").unwrap(),
        json!({"reflections": []})
    );
    // It can be written to, and what is old can be forgotten.
    let answer = client()
        .delete(server.url(&format!("/api/v1/events/{}", made_id("evt", 5))))
        .call()
        .unwrap();
    assert_eq!(answer.status(), 204);
    assert_eq!(found("modbus", "default"), json!([]));
    assert!(server.terminate().success());
    cli(&db, &["doctor"]);
    // The copy is the old file, of its owner alone, and is upgraded like it.
    let copy = copy_of(&db);
    assert_eq!(schema(&copy), 1);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(&copy).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    // In the very state that a file of that version has: with a log, which its header says.
    assert_eq!(
        fs::read(&copy).unwrap()[18..20],
        fs::read(fixture("schema-1.db")).unwrap()[18..20]
    );
    let restored = dir.path().join("restored.db");
    fs::rename(&copy, &restored).unwrap();
    cli(&restored, &["migrate"]);
    is_whole(&restored);
    assert!(
        fs::read_dir(dir.path()).unwrap().all(|entry| !entry
            .unwrap()
            .path()
            .to_string_lossy()
            .contains(".part"))
    );
}

#[test]
fn the_file_of_every_released_schema_is_upgraded() {
    for released in RELEASED {
        let (_dir, db) = file_of(released);
        assert_eq!(schema(&db), released);
        let before = dump(&db);
        cli(&db, &["migrate"]);
        assert_eq!(schema(&db), schema_version());
        is_as_exported(&db, released);
        if released == schema_version() {
            continue;
        }
        // The copy that was made before is the file as it was.
        let copy = db.with_extension(format!("db.v{released}.bak"));
        assert_eq!(schema(&copy), released);
        assert_eq!(dump(&copy), before);
    }
}

/// All there is in a file, table by table and row by row, its schema too: what the version that made it finds there.
fn dump(db: &Path) -> Vec<String> {
    let connection = open(db);
    let names = "select name from sqlite_schema where type = 'table' and sql not like 'create virtual%' order by name";
    let mut statement = connection.prepare(names).unwrap();
    let names = statement.query_map([], |row| row.get(0)).unwrap();
    let names: Vec<String> = names.map(Result::unwrap).collect();
    let mut found = Vec::new();
    for name in ["sqlite_schema".to_owned()].iter().chain(&names) {
        // Where a table begins is the file's business.
        let columns = if name == "sqlite_schema" {
            "type, name, sql"
        } else {
            "*"
        };
        let mut statement = connection
            .prepare(&format!("select {columns} from {name}"))
            .unwrap();
        let width = statement.column_count();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let values: Vec<String> = (0..width)
                .map(|column| format!("{:?}", row.get_ref(column).unwrap()))
                .collect();
            found.push(format!("{name} {}", values.join(" ")));
        }
    }
    assert!(found.len() > 100);
    found.sort();
    found
}

#[test]
fn an_upgrade_that_fails_at_its_last_step_leaves_each_file_as_it_was() {
    for released in older() {
        let (_dir, db) = file_of(released);
        open(&db)
            .execute_batch("create table consolidation_due (x)")
            .unwrap();
        let before = dump(&db);
        let output = run(&db, &["migrate"]);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(74), "{errors}");
        assert!(errors.contains("changed nothing"), "{errors}");
        assert_eq!(schema(&db), released);
        assert_eq!(dump(&db), before);
    }
}

#[test]
fn what_a_file_of_every_released_schema_holds_can_be_saved() {
    for released in RELEASED {
        let (dir, db) = file_of(released);
        let before = fs::read(&db).unwrap();
        let new = dir.path().join("new.db");
        let output = run(&db, &["doctor", "--salvage", new.to_str().unwrap()]);
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "schema {released}: {said}");
        is_as_exported(&new, released);
        assert_eq!(fs::read(&db).unwrap(), before);
    }
}

/// They were given to clients, which may have kept them as references.
#[test]
fn ids_that_an_older_version_gave_to_chunks_still_lead_to_them() {
    let (_dir, db) = file_of(3);
    let sql = "select lower(hex(c.id)), lower(hex(e.id)) from chunk c join event e on e.seq = c.entity_seq
         where c.entity_type = 0 and c.id is not null";
    let old: Vec<(String, String)> = {
        let connection = open(&db);
        let mut statement = connection.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
        rows.unwrap().map(Result::unwrap).collect()
    };
    assert!(old.len() > 3);
    let server = Server::start(&db);
    for (chunk, event) in old {
        let found = server.get(&format!("/api/v1/chunks/chk_{chunk}")).unwrap();
        assert_eq!(found["entity_id"], format!("evt_{event}"));
        assert_eq!(found["chunk_id"], format!("chk_{chunk}"));
    }
}

#[test]
fn a_command_does_not_upgrade_and_says_what_does() {
    let (_dir, db) = old_file();
    let before = fs::read(&db).unwrap();
    for args in [
        ["status"].as_slice(),
        &["list", "events"],
        &["recall", "port"],
        &["note", "a new note"],
        &["export"],
        &["import", "-"],
        &["doctor"],
        &["forget", &made_id("kn", 1)],
    ] {
        let output = run(&db, args);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(75), "{args:?}: {errors}");
        assert!(errors.contains("run `agent-memory migrate`"), "{errors}");
    }
    assert!(!copy_of(&db).exists());
    assert_eq!(fs::read(&db).unwrap(), before);
    let said = cli(&db, &["migrate"]);
    assert_eq!(
        said,
        format!("{} has schema {}\n", db.display(), schema_version())
    );
    assert_eq!(schema(&copy_of(&db)), 1);
    is_whole(&db);
    // Once more changes nothing, the copy least of all.
    cli(&db, &["migrate"]);
    assert_eq!(schema(&copy_of(&db)), 1);
}

#[test]
fn a_file_in_use_by_another_process_is_not_upgraded() {
    let (_dir, db) = old_file();
    // As an older version holds it. The refused command leaves the lock file.
    run(&db, &["status"]);
    let lock = fs::OpenOptions::new()
        .append(true)
        .open(db.with_extension("db.lock"))
        .unwrap();
    lock.lock_shared().unwrap();
    let output = run(&db, &["migrate"]);
    assert_eq!(output.status.code(), Some(75));
    assert!(String::from_utf8_lossy(&output.stderr).contains("other processes use it"));
    assert_eq!(schema(&db), 1);
    drop(lock);
    cli(&db, &["migrate"]);
    is_whole(&db);
}

#[test]
fn a_migration_that_fails_leaves_the_file_usable() {
    let (_dir, db) = old_file();
    // What the step wants to make is there already.
    open(&db)
        .execute_batch("create table principle (x)")
        .unwrap();
    for args in [["migrate"], ["serve"]] {
        let output = run(&db, &args);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(74), "{args:?}: {errors}");
        assert!(
            errors.contains("its migration failed and changed nothing"),
            "{errors}"
        );
        assert_eq!((schema(&db), schema(&copy_of(&db))), (1, 1));
    }
    let connection = open(&db);
    let left = "select count(*) from sqlite_schema where name like 'reflection%'";
    let left: i64 = connection.query_row(left, [], |row| row.get(0)).unwrap();
    assert_eq!(left, 0);
    connection.execute_batch("drop table principle").unwrap();
    drop(connection);
    cli(&db, &["migrate"]);
    is_whole(&db);
}

#[test]
fn a_copy_that_cannot_be_made_stops_the_upgrade() {
    let (_dir, db) = old_file();
    // Nothing can be put in the place of a directory that is not empty.
    fs::create_dir_all(copy_of(&db).join("in the way")).unwrap();
    let output = run(&db, &["migrate"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(74), "{errors}");
    assert!(errors.contains("no copy could be made"), "{errors}");
    assert_eq!(schema(&db), 1);
    fs::remove_dir_all(copy_of(&db)).unwrap();
    cli(&db, &["migrate"]);
    is_whole(&db);
}

/// How far a migration had come when it was killed, told by what it left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Killed {
    BeforeItBegan,
    InTheCopy,
    InTheStep,
    AfterTheEnd,
}

/// Begins to migrate, and kills that after so long.
fn kill_after(db: &Path, released: i64, time: Duration) -> Killed {
    let mut child = command(db)
        .arg("migrate")
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(time);
    // It may be done already.
    let _killed = child.kill();
    let ended = child.wait().unwrap();
    let left = |suffix: &str| {
        db.with_extension(format!("db.v{released}.bak{suffix}"))
            .exists()
    };
    // The copy gets its name when it is whole, and the step begins after that.
    match (ended.code(), left(".part"), left("")) {
        (Some(0), _, true) => Killed::AfterTheEnd,
        (None, true, false) => Killed::InTheCopy,
        (None, false, true) if schema(db) == released => Killed::InTheStep,
        (None, false, true) => Killed::AfterTheEnd,
        (None, false, false) => Killed::BeforeItBegan,
        odd => panic!("{odd:?} of schema {released}"),
    }
}

#[test]
fn a_killed_migration_is_repeated() {
    // Each by its own time: they are not alike.
    let timed = older().map(|released| {
        let (_dir, db) = file_of(released);
        let begun = Instant::now();
        cli(&db, &["migrate"]);
        (released, begun.elapsed())
    });
    let whole: Vec<(i64, Duration)> = timed.collect();
    let rounds = kills();
    let mut seen = Vec::new();
    for (round, (released, takes)) in (0..rounds).zip(whole.iter().cycle()) {
        let mut time = *takes * (round + 1) / (rounds + 1);
        // Too late, if the machine had slowed the run that was timed: once more, sooner.
        for _ in 0..3 {
            let killed = kill_and_repeat(*released, time);
            seen.push(killed);
            if killed != Killed::AfterTheEnd {
                break;
            }
            time /= 2;
        }
    }
    eprintln!("migrations that take {whole:?} were killed: {seen:?}");
    let in_the_middle = seen
        .iter()
        .filter(|killed| matches!(killed, Killed::InTheCopy | Killed::InTheStep))
        .count();
    // Or else nothing was seen: too soon there is nothing to take back, too late nothing to kill.
    let enough = usize::try_from(rounds).unwrap().div_ceil(2);
    assert!(in_the_middle >= enough, "{seen:?} of {whole:?}");
}

/// Kills a migration after so long, looks at what is left, and migrates that.
fn kill_and_repeat(released: i64, time: Duration) -> Killed {
    let (_dir, db) = file_of(released);
    let before = dump(&db);
    let killed = kill_after(&db, released, time);
    if killed == Killed::AfterTheEnd {
        assert_eq!(schema(&db), schema_version());
    } else {
        assert_eq!(schema(&db), released, "{killed:?}");
        assert_eq!(dump(&db), before, "{killed:?}");
    }
    cli(&db, &["migrate"]);
    is_as_exported(&db, released);
    let copy = db.with_extension(format!("db.v{released}.bak"));
    assert_eq!(schema(&copy), released, "{killed:?}");
    assert_eq!(dump(&copy), before, "{killed:?}");
    assert!(!copy.with_extension("bak.part").exists(), "{killed:?}");
    killed
}
