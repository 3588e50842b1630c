//! A temp file with the schema: the test double of this engine is this engine.
//!
//! **Invariant:** for unit tests alone.

use std::time::Duration;

use rusqlite::Connection;

use crate::domain::Timestamp;
use crate::store::sqlite::file;
use crate::store::sqlite::group::Group;
use crate::store::sqlite::place::Place;
use crate::store::sqlite::published::Published;
use crate::store::sqlite::turn::Turn;
use crate::store::{Durability, Options, Role};

pub(super) fn options(dir: &tempfile::TempDir, role: Role) -> Options {
    Options {
        path: dir.path().join("m.db"),
        role,
        readers: 2,
        reader_wait: Duration::from_secs(1),
        read_time: None,
        durability: Durability::Full,
        max_log_bytes: u64::MAX,
        write_wait: Duration::from_secs(5),
    }
}

pub(super) fn connection() -> (tempfile::TempDir, Connection) {
    let dir = tempfile::tempdir().unwrap();
    let opened = file::open(&options(&dir, Role::Server), Timestamp::from_millis(0)).unwrap();
    (dir, opened.connection)
}

/// A group on a new file.
pub(super) fn group(dir: &tempfile::TempDir) -> Group {
    let options = options(dir, Role::Server);
    let opened = file::open(&options, Timestamp::from_millis(0)).unwrap();
    Group::new(
        opened.connection,
        Turn::open(&options.path).unwrap(),
        Place::of(&options.path).unwrap(),
        options.write_wait,
        Published::new(options.readers, options.max_log_bytes),
    )
}

/// Whether any file of the store holds these bytes.
pub(super) fn files_hold(dir: &tempfile::TempDir, word: &str) -> bool {
    std::fs::read_dir(dir.path()).unwrap().any(|file| {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        bytes
            .windows(word.len())
            .any(|window| window.eq_ignore_ascii_case(word.as_bytes()))
    })
}

/// SQLite's plan of a statement, one step a line.
pub(super) fn plan(connection: &Connection, sql: &str) -> String {
    let mut statement = connection
        .prepare(&format!("explain query plan {sql}"))
        .unwrap();
    let mut rows = statement.raw_query();
    let mut steps = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        steps.push(row.get::<_, String>(3).unwrap());
    }
    steps.join("\n")
}
