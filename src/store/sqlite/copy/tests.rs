//! Copies beside writes, and what ends one.
//!
//! **Invariant:** each test looks at what is left in the directory.

use super::*;
use crate::store::sqlite::testing;

const ALONE: Follow<'static> = Follow {
    stop: &|| false,
    told: &|_, _| {},
};

fn now() -> Timestamp {
    Timestamp::from_millis(0)
}

/// Names in a directory that are not the memory's own.
fn others(dir: &tempfile::TempDir) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with("m.db"))
        .collect();
    names.sort();
    names
}

#[test]
fn writes_between_two_steps_neither_disturb_a_copy_nor_come_into_it() {
    let (dir, writer) = testing::connection();
    writer
        .execute_batch(
            "create table t (x);
             with recursive n(i) as (select 1 union all select i + 1 from n limit 9000)
             insert into t select randomblob(1000) from n;",
        )
        .unwrap();
    let (path, target) = (dir.path().join("m.db"), dir.path().join("copy.db"));
    let steps = std::sync::atomic::AtomicU64::new(0);
    let told = |_, _| {
        steps.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        writer
            .execute_batch("insert into t values ('late'); delete from t where rowid < 100;")
            .unwrap();
    };
    let follow = Follow {
        told: &told,
        ..ALONE
    };
    let made = make(&path, &target, false, now(), follow, || false).unwrap();
    // Told after each step but the last, so there were writes between two steps, twice.
    assert_eq!(steps.into_inner(), 2);
    let copy = open_reader(&target).unwrap();
    let rows = |sql: &str| -> i64 { copy.query_row(sql, [], |row| row.get(0)).unwrap() };
    assert_eq!(rows("select count(*) from t"), 9000);
    assert_eq!(rows("select count(*) from t where x = 'late'"), 0);
    assert_eq!(made.bytes, std::fs::metadata(&target).unwrap().len());
    assert_eq!(others(&dir), ["copy.db", "copy.db.manifest.json"]);
}

#[test]
fn what_stops_a_copy_leaves_nothing_of_it() {
    let (dir, _writer) = testing::connection();
    let (path, target) = (dir.path().join("m.db"), dir.path().join("copy.db"));
    let stopped = Follow {
        stop: &|| true,
        ..ALONE
    };
    assert!(matches!(
        make(&path, &target, false, now(), stopped, || false),
        Err(CopyError::Stopped)
    ));
    let said = make(&path, &target, false, now(), ALONE, || true).unwrap_err();
    assert!(said.to_string().contains("--max-log"), "{said}");
    assert!(others(&dir).is_empty(), "{:?}", others(&dir));
    assert!(matches!(
        check_room(&target, u64::MAX / 2),
        Err(CopyError::NoRoom { .. })
    ));
}

#[test]
fn two_copies_to_one_name_do_not_mix_and_what_one_left_is_taken() {
    let (dir, _writer) = testing::connection();
    let (path, target) = (dir.path().join("m.db"), dir.path().join("copy.db"));
    std::fs::write(
        dir.path().join("copy.db.part"),
        "left by one that was killed",
    )
    .unwrap();
    let other = Part::begin(&target).unwrap();
    let refused = make(&path, &target, false, now(), ALONE, || false).unwrap_err();
    assert!(matches!(refused, CopyError::InTheWay(_)), "{refused}");
    drop(other);
    make(&path, &target, false, now(), ALONE, || false).unwrap();
    let before = std::fs::read(&target).unwrap();
    let refused = make(&path, &target, false, now(), ALONE, || false).unwrap_err();
    assert!(refused.to_string().contains("--force"), "{refused}");
    assert_eq!(std::fs::read(&target).unwrap(), before);
    make(&path, &target, true, now(), ALONE, || false).unwrap();
}

#[test]
fn what_belongs_to_the_memory_is_no_place_for_a_copy() {
    let (dir, _writer) = testing::connection();
    let path = dir.path().join("m.db");
    for suffix in ["", "-wal", "-shm", ".lock", ".keys", ".spool"] {
        let target = with_suffix(&path, suffix);
        let refused = make(&path, &target, true, now(), ALONE, || false).unwrap_err();
        assert!(refused.to_string().contains("belongs to"), "{refused}");
    }
}
