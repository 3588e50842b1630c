//! Saving what can still be read of a damaged file, into a new one.
//!
//! Tables are read by their numbers; where a page cannot be read, the next number that can be is looked for by doubling
//! steps and then by halving them, so that little more than the rows of that page is lost. Passages, index, counts and
//! totals are made anew from what was saved. What belonged to a session or tenant that is lost belongs to one that is called
//! `recovered-N` now.
//!
//! **Invariant:** the damaged file is only read.

use std::path::Path;

use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, params_from_iter};

use crate::domain::Timestamp;
use crate::store::sqlite::copy::remove;
use crate::store::sqlite::examine::{FILES, with_suffix};
use crate::store::sqlite::file;
use crate::store::sqlite::repair::{alone, rebuild};
use crate::store::{CopyError, Options, Repaired, Role};

/// What is saved, and by which number it is read; tables without numbers are read from their start.
const TABLES: [(&str, Option<&str>); 21] = [
    ("tenant", Some("tenant_no")),
    ("project", Some("project_no")),
    ("session", Some("session_no")),
    ("event", Some("seq")),
    ("artifact", Some("seq")),
    ("handoff", Some("seq")),
    ("decision", Some("seq")),
    ("note", Some("seq")),
    ("reflection", Some("seq")),
    ("principle", Some("seq")),
    ("job", Some("job_no")),
    ("consolidation_job", Some("job_no")),
    ("consolidation_change", None),
    ("consolidation_total", Some("job_type")),
    ("consolidation_due", None),
    ("api_key", Some("key_no")),
    ("audit_who", Some("who_no")),
    ("audit", Some("seq")),
    ("transcript", None),
    ("stat", None),
    ("tenant_stat", None),
];
/// The longest step over what cannot be read: more rows than any file of ours has.
const LONGEST_STEP: i64 = 1 << 40;

/// Saves what can be read into a new file.
pub(in crate::store) fn salvage(
    options: &Options,
    target: &Path,
    now: Timestamp,
) -> Result<Repaired, CopyError> {
    if target.exists() {
        let said = format!("{} is there already: choose another name", target.display());
        return Err(CopyError::InTheWay(said));
    }
    let outcome = save_all(options, target, now);
    if outcome.is_err() {
        // Half of it is nothing, and its name is wanted for the next try.
        for suffix in FILES {
            drop(remove(&with_suffix(target, suffix)));
        }
    }
    outcome
}

fn save_all(options: &Options, target: &Path, now: Timestamp) -> Result<Repaired, CopyError> {
    let path = &options.path;
    let _presence = alone(path)?;
    let from = read_only(path).map_err(|error| CopyError::of("cannot read", path, error))?;
    let opened = file::open(
        &Options {
            path: target.to_owned(),
            role: Role::Server,
            ..options.clone()
        },
        now,
    )?;
    let to = &opened.connection;
    let failed = |error: rusqlite::Error| CopyError::of("cannot write", target, error);
    let (mut done, mut lost) = (Vec::new(), Vec::new());
    let known = tables(&from);
    // A new file begins with rows of nothing there.
    to.execute_batch(
        "begin immediate; delete from consolidation_total; delete from consolidation_due",
    )
    .map_err(failed)?;
    for (table, key) in TABLES {
        // An older schema has fewer. Where the schema itself cannot be read, each table is tried.
        if known
            .as_ref()
            .is_some_and(|known| !known.iter().any(|name| name == table))
        {
            continue;
        }
        let saved = save(&from, to, table, key).map_err(failed)?;
        if saved.rows > 0 {
            done.push(format!("{} rows of {table}", saved.rows));
        }
        if saved.gaps > 0 {
            lost.push(format!("{table}: {} places could not be read", saved.gaps));
            if table == "consolidation_change" {
                to.execute_batch(GIVE_UP_UNDO).map_err(failed)?;
            }
        }
    }
    to.execute_batch(ADOPT).map_err(failed)?;
    to.execute(
        "insert or ignore into consolidation_due (only_row, done_until) values (1, ?1)",
        [now.millis()],
    )
    .map_err(failed)?;
    // A door that was closed stays so, whether or not that can still be read.
    to.execute_batch("update access set asked = iif(exists (select 1 from api_key), 1, asked), generation = generation + 1")
        .map_err(failed)?;
    rebuild::rebuild(to, now)
        .map_err(|error| CopyError::of("cannot make the index of", target, error))?;
    to.execute_batch("commit").map_err(failed)?;
    to.query_row("pragma wal_checkpoint(truncate)", [], |_| Ok(()))
        .map_err(failed)?;
    Ok(Repaired {
        done,
        kept: None,
        lost,
    })
}

/// Gives what lost its session, tenant, project or artifact another, or none.
const ADOPT: &str = "
    insert into tenant (tenant_no, name, created_at)
        select distinct tenant_no, 'recovered-' || tenant_no, 0 from (
            select tenant_no from event union select tenant_no from handoff union select tenant_no from decision
            union select tenant_no from note union select tenant_no from reflection union select tenant_no from principle
            union select tenant_no from session
        ) where tenant_no not in (select tenant_no from tenant);
    insert into session (session_no, tenant_no, session_id, started_at, last_seen_at)
        select session_no, max(tenant_no), 'recovered-' || session_no, min(at), max(at) from (
            select session_no, tenant_no, ts as at from event union all select session_no, tenant_no, created_at from handoff
        ) where session_no not in (select session_no from session) group by session_no;
    update event set project_no = null where project_no not in (select project_no from project);
    update handoff set project_no = null where project_no not in (select project_no from project);
    update decision set project_no = null where project_no not in (select project_no from project);
    update note set project_no = null where project_no not in (select project_no from project);
    update session set project_no = null where project_no not in (select project_no from project);
    update event set artifact_seq = null where artifact_seq not in (select seq from artifact);
    delete from artifact where event_seq not in (select seq from event);
    update project set stands_for = null where stands_for not in (select project_no from project);
    update transcript set session_no = null where session_no not in (select session_no from session);
    delete from tenant_stat where tenant_no not in (select tenant_no from tenant);
    delete from consolidation_change where after_hash is not null and entity_id not in (
        select id from handoff union all select id from decision union all select id from note
        union all select id from reflection union all select id from principle
    );
    insert into audit_who (who_no, tenant, via)
        select distinct who_no, 'recovered-' || who_no, 0 from audit where who_no not in (select who_no from audit_who);
    insert or ignore into consolidation_total (job_type) values (0), (1), (2), (3), (4), (5);";

/// A job of which a part cannot be taken back is not taken back at all.
const GIVE_UP_UNDO: &str = "
    delete from consolidation_change;
    update consolidation_job set undo_lost = 1 where items_affected > 0 and undone_at is null;";

/// The damaged file's log is read too, if there is one.
#[expect(clippy::disallowed_methods, reason = "read-only, and once")]
fn read_only(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(path, flags)
}

/// What became of a table.
#[derive(Debug, Default)]
struct Saved {
    rows: u64,
    gaps: u64,
}

/// Copies the rows of a table that can be read. An error is the new file's.
fn save(
    from: &Connection,
    to: &Connection,
    table: &str,
    key: Option<&str>,
) -> rusqlite::Result<Saved> {
    let mut columns = columns(to, table)?;
    // What an older schema does not have yet has what the schema says that a row has then.
    if let Ok(there) = self::columns(from, table)
        && !there.is_empty()
    {
        columns.retain(|column| there.contains(column));
    }
    let listed = columns.join(", ");
    let places = vec!["?"; columns.len()].join(", ");
    let mut insert = to.prepare(&format!(
        "insert or ignore into {table} ({listed}) values ({places})"
    ))?;
    let mut saved = Saved::default();
    let mut start = 0;
    loop {
        let sql = match key {
            Some(key) => {
                format!("select {key}, {listed} from {table} where {key} >= ?1 order by {key}")
            }
            None => format!("select ?1, {listed} from {table}"),
        };
        let begun = start;
        let whole = scan(from, &sql, columns.len(), &mut start, |values| {
            match insert.execute(params_from_iter(values)) {
                Ok(count) => saved.rows += u64::try_from(count).unwrap_or(0),
                Err(error) if is_full(&error) => return Err(error),
                // A row that breaks a rule of the schema is none of ours.
                Err(_) => saved.gaps += 1,
            }
            Ok(())
        })?;
        if whole {
            return Ok(saved);
        }
        saved.gaps += 1;
        let Some(next) = key.and_then(|key| next_readable(from, table, key, start - 1)) else {
            return Ok(saved);
        };
        // One that is read alone and not among others is passed by.
        start = if next > begun { next } else { begun + 1 };
    }
}

/// Reads rows from `start` on until one cannot be read, and then leaves `start` behind the last one that could; answers
/// whether all could. An error is that of `take`.
fn scan(
    from: &Connection,
    sql: &str,
    width: usize,
    start: &mut i64,
    mut take: impl FnMut(Vec<Value>) -> rusqlite::Result<()>,
) -> rusqlite::Result<bool> {
    let Ok(mut statement) = from.prepare(sql) else {
        return Ok(false);
    };
    let Ok(mut rows) = statement.query([*start]) else {
        return Ok(false);
    };
    loop {
        let row = match rows.next() {
            Ok(None) => return Ok(true),
            Ok(Some(row)) => row,
            Err(_) => return Ok(false),
        };
        let values: rusqlite::Result<Vec<Value>> =
            (1..=width).map(|column| row.get(column)).collect();
        let (Ok(at), Ok(values)) = (row.get::<_, i64>(0), values) else {
            return Ok(false);
        };
        *start = at.saturating_add(1);
        take(values)?;
    }
}

fn is_full(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            rusqlite::ErrorCode::DiskFull
                | rusqlite::ErrorCode::SystemIoFailure
                | rusqlite::ErrorCode::OutOfMemory
        )
    )
}

/// The first number behind `last` whose row can be read, to within one of what can.
fn next_readable(from: &Connection, table: &str, key: &str, last: i64) -> Option<i64> {
    let sql = format!("select * from {table} where {key} >= ?1 order by {key} limit 1");
    let read = |at: i64| -> rusqlite::Result<Option<i64>> {
        let mut statement = from.prepare(&sql)?;
        let mut rows = statement.query([at])?;
        match rows.next()? {
            // The last column is read too, since a row goes on in other pages.
            Some(row) => {
                let width = row.as_ref().column_count();
                (0..width).try_for_each(|column| row.get::<_, Value>(column).map(drop))?;
                row.get(key).map(Some)
            }
            None => Ok(None),
        }
    };
    let (mut unread, mut step) = (last, 1);
    let mut found = loop {
        match read(last.saturating_add(step)) {
            Ok(found) => break found?,
            Err(_) if step < LONGEST_STEP => {
                unread = last.saturating_add(step);
                step *= 2;
            }
            Err(_) => return None,
        }
    };
    // Between what could not be read and what could.
    let mut high = last.saturating_add(step);
    while high - unread > 1 {
        let middle = unread + (high - unread) / 2;
        match read(middle) {
            Ok(Some(at)) => (found, high) = (at, middle),
            Ok(None) => high = middle,
            Err(_) => unread = middle,
        }
    }
    Some(found)
}

/// The tables of a damaged file, if that can be told.
fn tables(connection: &Connection) -> Option<Vec<String>> {
    let mut statement = connection
        .prepare("select name from sqlite_schema where type = 'table'")
        .ok()?;
    let names = statement.query_map([], |row| row.get(0)).ok()?;
    names.collect::<rusqlite::Result<_>>().ok()
}

/// The columns of a table.
fn columns(connection: &Connection, table: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare("select name from pragma_table_info(?1)")?;
    statement.query_map([table], |row| row.get(0))?.collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::store::sqlite::testing;

    /// What is made anew, or means nothing in another file.
    const NOT_SAVED: [&str; 7] = [
        "access",
        "chunk",
        "idempotency",
        "sqlite_sequence",
        "sqlite_stat1",
        "store",
        "summary",
    ];

    #[test]
    fn every_table_is_saved_or_made_anew() {
        let (_dir, connection) = testing::connection();
        let known: BTreeSet<&str> = TABLES
            .iter()
            .map(|(table, _)| *table)
            .chain(NOT_SAVED)
            .collect();
        let forgotten: Vec<String> = tables(&connection)
            .unwrap()
            .into_iter()
            .filter(|table| !known.contains(table.as_str()) && !table.starts_with("term_"))
            .collect();
        assert!(forgotten.is_empty(), "{forgotten:?}");
    }
}
