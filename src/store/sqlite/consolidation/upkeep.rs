//! Maintenance of the file, in slices.
//!
//! **Invariant:** changes nothing that a reader sees.

use std::collections::BTreeMap;

use rusqlite::Connection;

use crate::domain::{CompressionLevel, DecisionStatus, EventKind, Timestamp};
use crate::store::facts::Upkeep;
use crate::store::measure::Op;
use crate::store::sqlite::consolidation::apply::Room;
use crate::store::sqlite::examine::COUNTS;
use crate::store::sqlite::file::pragma;
use crate::store::sqlite::stat::stored_stats;
use crate::store::sqlite::unit::Unit;
use crate::store::{Pending, Slice, StoreError, Wait};

/// Pages of the index that one statement merges; less than a millisecond.
const MERGE_PAGES: i64 = 16;
/// Pages of the file that one statement gives back.
const VACUUM_PAGES: i64 = 16;
/// Free pages that stay for the next writes: a megabyte.
const KEPT_PAGES: i64 = 256;
/// Rows that a look at a table's statistics reads of each index, so that it takes milliseconds on any file.
const ANALYSIS_ROWS: i64 = 400;
/// Rows of the history that one statement takes out.
const HISTORY_ROWS: i64 = 100;

impl crate::store::sqlite::Sqlite {
    pub(in crate::store) fn upkeep_slice(
        &self,
        step: Upkeep,
        history_before: Timestamp,
    ) -> Result<Pending<Slice>, StoreError> {
        let published = self.shared();
        self.write(Op::Settle, 0, move |unit| {
            let room = Room::new(published);
            loop {
                let more = match step {
                    Upkeep::Merge => merge(unit)?,
                    Upkeep::Vacuum => vacuum(unit)?,
                    Upkeep::History => trim(unit, history_before)?,
                    Upkeep::Optimize => optimize(unit)?,
                    Upkeep::Truncate => {
                        // The writer empties the log after the group.
                        unit.effects.erased = true;
                        false
                    }
                };
                if !more {
                    return Ok(Slice::Done);
                }
                if room.is_over() {
                    return Ok(Slice::More);
                }
            }
        })
    }

    pub(in crate::store) fn quick_check(&self) -> Result<Option<String>, StoreError> {
        self.read_long(|connection| {
            let found: String =
                connection.query_row("pragma quick_check(1)", [], |row| row.get(0))?;
            Ok((found != "ok").then_some(found))
        })
    }

    pub(in crate::store) fn correct_counts(&self) -> Result<Vec<String>, StoreError> {
        let wrong = self.read_long(differences)?;
        if wrong.is_empty() {
            return Ok(Vec::new());
        }
        let words = wrong
            .iter()
            .map(|((name, label), by)| format!("{name} {label} was off by {}", -by));
        let words = words.collect();
        // What is written meanwhile counts itself, so adding the difference is right whenever it is added.
        let corrected = self.write(Op::Settle, 0, move |unit| {
            for ((name, label), by) in &wrong {
                unit.execute(
                    "insert into stat (name, label, value) values (?1, ?2, ?3)
                     on conflict do update set value = value + excluded.value",
                    (name, label, by),
                )?;
            }
            Ok(())
        })?;
        corrected.wait()?;
        Ok(words)
    }

    /// A read that may take as long as it takes, since it reads all of the file.
    fn read_long<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.read(Op::Look, Wait::Yes, read)
    }
}

/// By how much kept counts are less than what is there.
fn differences(connection: &Connection) -> Result<BTreeMap<(String, String), i64>, StoreError> {
    let kept = stored_stats(connection)?;
    let mut counted: BTreeMap<(String, String), i64> = BTreeMap::new();
    let mut statement = connection.prepare(COUNTS)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (name, code): (String, Option<i64>) = (row.get(0)?, row.get(1)?);
        let label = code.map_or(Some(""), |code| match name.as_str() {
            "events" => EventKind::from_code(code).map(EventKind::as_str),
            "handoffs" => CompressionLevel::from_code(code).map(CompressionLevel::as_str),
            _ => DecisionStatus::from_code(code).map(DecisionStatus::as_str),
        });
        counted.insert((name, label.unwrap_or("?").to_owned()), row.get(2)?);
    }
    let mut wrong = BTreeMap::new();
    for (stat, value) in kept.iter().filter(|(stat, _)| !stat.is_lifetime()) {
        let (name, label) = stat.key();
        let key = (name.to_owned(), label.to_owned());
        let by = counted.get(&key).copied().unwrap_or(0) - value;
        if by != 0 {
            wrong.insert(key, by);
        }
    }
    Ok(wrong)
}

/// Merges segments of the index that have become many; false if there was nothing to merge.
fn merge(unit: &Unit<'_>) -> Result<bool, StoreError> {
    let before = unit.connection.total_changes();
    let sql = "insert into term_index (term_index, rank) values ('merge', ?1)";
    unit.execute(sql, [MERGE_PAGES])?;
    // From FTS5's documentation: the command itself counts as one.
    Ok(unit.connection.total_changes() - before >= 2)
}

/// Gives free pages back to the file system.
fn vacuum(unit: &Unit<'_>) -> Result<bool, StoreError> {
    let free = |unit: &Unit<'_>| pragma::<i64>(unit.connection, "freelist_count");
    let before = free(unit)?;
    if before <= KEPT_PAGES {
        return Ok(false);
    }
    let sql = format!("pragma incremental_vacuum({VACUUM_PAGES})");
    unit.connection.execute_batch(&sql)?;
    let after = free(unit)?;
    Ok(after < before && after > KEPT_PAGES)
}

/// What the planner knows of tables that have grown.
fn optimize(unit: &Unit<'_>) -> Result<bool, StoreError> {
    let sql = format!("pragma analysis_limit = {ANALYSIS_ROWS}; pragma optimize");
    unit.connection.execute_batch(&sql)?;
    Ok(false)
}

/// Takes the oldest jobs out of the history, with what it would take to undo them.
fn trim(unit: &Unit<'_>, before: Timestamp) -> Result<bool, StoreError> {
    let oldest = "select job_no from consolidation_job where job_no = (select min(job_no) from consolidation_job)
        and started_at < ?1 and status <> 0";
    let Some(job_no) = unit.find(oldest, [before.millis()], |row| row.get::<_, i64>(0))? else {
        return Ok(false);
    };
    let changes = unit.execute(
        "delete from consolidation_change where job_no = ?1
             and change_no <= (select min(change_no) from consolidation_change where job_no = ?1) + ?2",
        (job_no, HISTORY_ROWS),
    )?;
    if changes == 0 {
        unit.execute("delete from consolidation_job where job_no = ?1", [job_no])?;
    }
    Ok(true)
}
