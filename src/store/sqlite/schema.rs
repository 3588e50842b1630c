//! The schema: its versions, how a file gets from one to the next, and the copy that is made before.
//!
//! **Invariant:** a file that could not be migrated is as it was, however it ended, and the copy of an older file is one that
//! the older version opens.

use std::fs::File;
use std::io;
use std::path::Path;

use rusqlite::{Connection, Transaction, TransactionBehavior};
use rusqlite_migration::{HookError, M, Migrations};

use crate::domain::{Timestamp, terms};
use crate::store::sqlite::examine::with_suffix;
use crate::store::sqlite::file::{connect, create_file, keep_log, refuse, sqlite_refusal};
use crate::store::sqlite::passage;
use crate::store::sqlite::turn::beside;
use crate::store::{OpenError, Options};

/// The way of a file to this version, one step for each schema. The files of a released one are out there, so a step
/// that was released is never edited: whatever changes is a step of its own. Schemas 1, 3, 4, 7, 8 and 9 were released,
/// and `tests/fixtures` keeps a file of each.
///
/// What a new file says about itself belongs to the step that makes the table for it: all steps are one transaction, and a
/// file without it is not whole.
fn steps(now: Timestamp) -> Vec<M<'static>> {
    vec![
        M::up_with_hook(
            include_str!("migrations/0001_init.sql"),
            move |transaction: &Transaction<'_>| Ok(introduce(transaction, now)?),
        ),
        M::up(include_str!("migrations/0002_reflections.sql")),
        M::up_with_hook(
            include_str!("migrations/0003_signature.sql"),
            |transaction: &Transaction<'_>| {
                passage::fill_signatures(transaction)
                    .map_err(|error| HookError::Hook(error.to_string()))
            },
        ),
        M::up_with_hook(
            include_str!("migrations/0004_upkeep.sql"),
            |transaction: &Transaction<'_>| {
                passage::fill_index(transaction).map_err(|error| HookError::Hook(error.to_string()))
            },
        ),
        M::up(include_str!("migrations/0005_passage.sql")),
        M::up(include_str!("migrations/0006_access.sql")),
        M::up(include_str!("migrations/0007_projects.sql")),
        M::up(include_str!("migrations/0008_pace.sql")),
        M::up_with_hook(
            include_str!("migrations/0009_consolidation.sql"),
            move |transaction: &Transaction<'_>| {
                passage::fill_index(transaction)
                    .map_err(|error| HookError::Hook(error.to_string()))?;
                Ok(expect_rounds(transaction, now)?)
            },
        ),
    ]
}

/// How many steps there are.
const SCHEMA_VERSION: i64 = 9;

/// The schema of this version.
pub(super) fn schema_version() -> i64 {
    SCHEMA_VERSION
}

/// Brings a file to this version's schema in one transaction.
pub(super) fn migrate(
    connection: &mut Connection,
    now: Timestamp,
) -> rusqlite_migration::Result<()> {
    Migrations::new(steps(now)).to_latest(connection)
}

/// Gives a file of this schema what it should have been made with. Earlier versions made it in three transactions, so that
/// a kill between them left a file that no later start could read.
pub(super) fn complete(connection: &mut Connection, now: Timestamp) -> rusqlite::Result<()> {
    let whole = "select exists (select 1 from store) and exists (select 1 from consolidation_due)";
    if connection.query_row(whole, [], |row| row.get(0))? {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    introduce(&transaction, now)?;
    expect_rounds(&transaction, now)?;
    transaction.commit()
}

/// Writes what the file knows about itself beyond its header, unless it is there.
fn introduce(connection: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    let sql = "insert into store (only_row, created_at, terms_version, proved_at) values (1, ?1, ?2, ?1) on conflict do nothing";
    connection.execute(sql, (now.millis(), terms::TERMS_VERSION))?;
    Ok(())
}

/// Neither a new file nor one that has just been upgraded has missed a round of consolidation.
fn expect_rounds(connection: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    let sql = "insert into consolidation_due (only_row, done_until) values (1, ?1) on conflict do nothing";
    connection.execute(sql, [now.millis()])?;
    Ok(())
}

/// A copy of the file as it is, `FILE.v1.bak` for schema 1, in place of an earlier one. It gets its name when it is
/// whole and on the disk.
pub(super) fn back_up(
    connection: &Connection,
    options: &Options,
    schema: i64,
) -> Result<(), OpenError> {
    let path = &options.path;
    let copy = beside(path, &format!("v{schema}.bak"));
    let part = beside(path, &format!("v{schema}.bak.part"));
    let failed = |error: io::Error| {
        let reason = format!("it was not migrated, since no copy could be made before: {error}");
        refuse(path, reason)
    };
    for left in [
        part.clone(),
        with_suffix(&part, "-wal"),
        with_suffix(&part, "-shm"),
    ] {
        match std::fs::remove_file(left) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            Ok(()) | Err(_) => {}
        }
    }
    // SQLite fills a file that is there and empty; one that it makes itself could be read by others.
    create_file(&part).map_err(failed)?;
    if let Err(error) = connection.execute("vacuum into ?1", [part.to_string_lossy()]) {
        // The room that it took, too.
        drop(std::fs::remove_file(&part));
        return Err(failed(io::Error::other(error)));
    }
    // The copy has no log, and a file without one is refused.
    keep_log(&connect(&part, options)?).map_err(|error| sqlite_refusal(&part, &error))?;
    sync(&part)
        .and_then(|()| std::fs::rename(&part, &copy))
        .and_then(|()| path.parent().map_or(Ok(()), sync_dir))
        .map_err(failed)?;
    tracing::info!(backup = %copy.display(), "kept a copy before the migration");
    Ok(())
}

fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    let dir = if dir.as_os_str().is_empty() {
        Path::new(".")
    } else {
        dir
    };
    sync(dir)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Role;
    use crate::store::sqlite::file::{self, pragma};
    use crate::store::sqlite::testing;
    use crate::store::sqlite::turn::lock_file;

    fn now() -> Timestamp {
        Timestamp::from_millis(0)
    }

    #[test]
    fn migrations_are_valid() {
        let steps = steps(now());
        assert_eq!(i64::try_from(steps.len()), Ok(schema_version()));
        Migrations::new(steps).validate().unwrap();
    }

    /// The transactions in a file's log: a frame that ends one says how large the file is then.
    fn commits(options: &Options) -> usize {
        let log = std::fs::read(with_suffix(&options.path, "-wal")).unwrap();
        let frames = log[32..].chunks(24 + usize::try_from(file::PAGE_BYTES).unwrap());
        frames.filter(|frame| frame[4..8] != [0; 4]).count()
    }

    #[test]
    fn a_file_is_made_in_one_transaction() {
        let dir = tempfile::tempdir().unwrap();
        let options = testing::options(&dir, Role::Server);
        let mut file = file::open(&options, now()).unwrap();
        assert_eq!(commits(&options), 1);
        complete(&mut file.connection, now()).unwrap();
        assert_eq!(commits(&options), 1, "it is not whole");
    }

    #[test]
    fn a_file_without_what_it_knows_about_itself_is_given_it() {
        let dir = tempfile::tempdir().unwrap();
        let options = testing::options(&dir, Role::Server);
        let file = file::open(&options, now()).unwrap();
        let sql = "delete from store; delete from consolidation_due;";
        file.connection.execute_batch(sql).unwrap();
        drop(file);
        let mut group = testing::group(&dir);
        group.self_check().unwrap();
        let sql = "select count(*) from store join consolidation_due using (only_row)";
        let rows: i64 = group
            .connection()
            .query_row(sql, [], |row| row.get(0))
            .unwrap();
        assert_eq!(rows, 1);
    }

    #[test]
    fn a_step_that_fails_changes_nothing_and_the_copy_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let options = testing::options(&dir, Role::Server);
        let mut file = file::open(&options, now()).unwrap();
        let other = lock_file(&options.path, "lock").unwrap();
        assert!(
            other.try_lock().is_err(),
            "the open file is not marked as in use"
        );
        back_up(&file.connection, &options, schema_version()).unwrap();
        let step =
            "alter table store add column extra text; insert into store (nonsense) values (1);";
        let mut next = steps(now());
        next.push(M::up(step));
        Migrations::new(next)
            .to_latest(&mut file.connection)
            .unwrap_err();
        let version: i64 = pragma(&file.connection, "user_version").unwrap();
        assert_eq!(version, schema_version());
        file.connection
            .execute("select extra from store", [])
            .unwrap_err();
        // An earlier copy is replaced, and opens like any file.
        back_up(&file.connection, &options, schema_version()).unwrap();
        let copy = Options {
            path: beside(&options.path, &format!("v{}.bak", schema_version())),
            ..options
        };
        drop(file::open(&copy, now()).unwrap());
        let mut names: Vec<_> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.contains("bak"))
            .collect();
        names.sort();
        let bak = copy.path.file_name().unwrap().to_str().unwrap();
        assert_eq!(names, [bak, &format!("{bak}.lock")]);
    }
}
