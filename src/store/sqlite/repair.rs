//! Repairing the file, with nobody else on it: what follows from the texts is made anew, what does not is saved.
//!
//! *Repair* works in place, after a copy of the file as it is (`FILE.before-repair-TIME`). SQLite's own indexes are made
//! anew; then passages, the index of terms, counts and totals, from the texts, in one transaction; what is open to others
//! is closed, what was left behind removed, and free pages are given back.
//!
//! A damaged *page* cannot be made anew in place: SQLite goes through the pages of a table to let go of them. What can still
//! be read is *salvaged*: row by row into a new file, with the index made anew there, which is then put in place by
//! `restore`. Rows on a damaged page are lost, and it is said how many were found.
//!
//! **Invariant:** what cannot be mended is left as it was, and named.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::domain::Timestamp;
use crate::domain::backup::stamp;
use crate::store::sqlite::copy::{check_room, parent, remove, sync};
use crate::store::sqlite::examine::{close_files, integrity, parts, with_suffix};
use crate::store::sqlite::file::{
    Found, connect, create_file, lock_exclusive, look, pragma, sqlite_refusal,
};
use crate::store::sqlite::retention::give_all_back;
use crate::store::sqlite::schema::schema_version;
use crate::store::sqlite::turn::{beside, lock_file};
use crate::store::{CopyError, OpenError, Options, Repaired};

mod rebuild;
mod salvage;

pub(in crate::store::sqlite) use rebuild::ENTITIES;
pub(in crate::store) use salvage::salvage;

/// Repairs the file in place.
pub(in crate::store) fn repair(options: &Options, now: Timestamp) -> Result<Repaired, CopyError> {
    let path = &options.path;
    let presence = alone(path)?;
    let mut done = Vec::new();
    for file in close_files(path).map_err(CopyError::io("cannot change the mode of", path))? {
        done.push(format!("{} is the owner's alone now", file.display()));
    }
    for part in parts(path) {
        remove(&part).map_err(CopyError::io("cannot remove", &part))?;
        done.push(format!("removed {}", part.display()));
    }
    let connection = connect(path, options)?;
    let schema: i64 = pragma(&connection, "user_version")
        .map_err(|error| CopyError::Open(sqlite_refusal(path, &error)))?;
    if schema != schema_version() {
        return Err(CopyError::Open(OpenError::NeedsMigration {
            path: path.clone(),
            found: schema,
            wanted: schema_version(),
        }));
    }
    let kept = keep(path, &connection, now)?;
    match mend(&connection, now) {
        Ok(mended) => done.extend(mended),
        Err(why) => {
            drop(connection);
            return Err(CopyError::Refused(format!(
                "{} cannot be repaired in place: {why}. Nothing in it was changed. `agent-memory doctor --salvage NEWFILE` saves what \
                 can be read, and `agent-memory restore` puts a copy back",
                path.display()
            )));
        }
    }
    let failed = |error: rusqlite::Error| CopyError::of("cannot finish", path, error);
    connection
        .query_row("pragma wal_checkpoint(truncate)", [], |_| Ok(()))
        .map_err(failed)?;
    connection.close().map_err(|(_, error)| failed(error))?;
    drop(presence);
    Ok(Repaired {
        done,
        kept: Some(kept),
        lost: Vec::new(),
    })
}

/// Sees to it that nobody else has the file, until the answer is dropped.
fn alone(path: &Path) -> Result<std::fs::File, CopyError> {
    match look(path)? {
        Found::Ours => {}
        Found::Copy => {
            let said = format!("{} is a copy: repair what it was made of", path.display());
            return Err(CopyError::Refused(said));
        }
        Found::Nothing => {
            return Err(CopyError::Refused(format!("{} is empty", path.display())));
        }
    }
    let presence =
        lock_file(path, "lock").map_err(CopyError::io("cannot open the lock file of", path))?;
    lock_exclusive(path, &presence)?;
    Ok(presence)
}

/// Keeps the file as it is under another name.
fn keep(path: &Path, connection: &Connection, now: Timestamp) -> Result<PathBuf, CopyError> {
    // What cannot be moved into the file is kept beside it.
    let _moved = connection.query_row("pragma wal_checkpoint(truncate)", [], |_| Ok(()));
    let kept = beside(path, &format!("before-repair-{}", stamp(now)));
    for suffix in ["", "-wal"] {
        let (from, to) = (with_suffix(path, suffix), with_suffix(&kept, suffix));
        let length = std::fs::metadata(&from).map_or(0, |file| file.len());
        if length == 0 {
            continue;
        }
        check_room(path, length)?;
        let part = with_suffix(&to, ".part");
        // This opens and closes the database itself, which lets go of SQLite's locks on it; nobody else has the file.
        create_file(&part).map_err(CopyError::io("cannot write", &part))?;
        let copied = std::fs::copy(&from, &part)
            .and_then(|_| sync(&part))
            .and_then(|()| std::fs::rename(&part, &to));
        if let Err(error) = copied {
            drop(remove(&part));
            return Err(CopyError::of("cannot copy", &from, error));
        }
    }
    sync(parent(path)).map_err(CopyError::io("cannot sync", parent(path)))?;
    Ok(kept)
}

/// Mends what can be mended, or changes nothing and says what cannot.
fn mend(connection: &Connection, now: Timestamp) -> Result<Vec<String>, String> {
    let words = |error: &dyn std::fmt::Display| error.to_string();
    let mut done = Vec::new();
    connection
        .execute_batch("begin immediate")
        .map_err(|error| words(&error))?;
    let before = integrity(connection);
    let outcome = (|| {
        if !before.ok {
            connection
                .execute_batch("reindex")
                .map_err(|_| before.detail.clone())?;
            done.push("made SQLite's indexes anew".to_owned());
        }
        let rebuilt = rebuild::rebuild(connection, now).map_err(|error| {
            if before.ok {
                chain(&error)
            } else {
                before.detail.clone()
            }
        })?;
        done.push(format!(
            "cut the passages of {} memories anew, removed {} that belonged to nothing, and made the index of terms, counts and \
             totals anew",
            rebuilt.entities, rebuilt.orphans
        ));
        if rebuilt.consolidated > 0 {
            done.push(format!(
                "mended {} rows of what consolidation did: notes shown for others, jobs, what is kept to undo them",
                rebuilt.consolidated
            ));
        }
        let after = integrity(connection);
        if after.ok { Ok(()) } else { Err(after.detail) }
    })();
    match outcome {
        Ok(()) => connection
            .execute_batch("commit")
            .map_err(|error| words(&error))?,
        Err(why) => {
            if let Err(error) = connection.execute_batch("rollback") {
                tracing::error!(%error, "a repair could not be taken back");
            }
            return Err(why);
        }
    }
    let free: i64 = pragma(connection, "freelist_count").map_err(|error| words(&error))?;
    if free > 0 {
        give_all_back(connection).map_err(|error| words(&error))?;
        done.push(format!("gave {free} free pages back to the disk"));
    }
    Ok(done)
}

/// An error and what lies below it, in one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(cause) = below {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        below = cause.source();
    }
    text
}
