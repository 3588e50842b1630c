//! Maintenance of the file, in slices.
//!
//! **Invariant:** changes nothing that a reader sees.

use std::collections::BTreeMap;

use rusqlite::Connection;

use crate::domain::Timestamp;
use crate::store::facts::Upkeep;
use crate::store::measure::Op;
use crate::store::sqlite::consolidation::apply::Room;
use crate::store::sqlite::examine::{Counted, counted};
use crate::store::sqlite::file::{open_reader, pragma};
use crate::store::sqlite::retention::{KEPT_PAGES, give_back};
use crate::store::sqlite::unit::Unit;
use crate::store::{Pending, Slice, StoreError, Wait};

/// Pages of the index that one statement merges; less than a millisecond.
const MERGE_PAGES: i64 = 16;
/// Pages of the file that one statement gives back.
const VACUUM_PAGES: i64 = 16;
/// Rows that a look at a table's statistics reads of each index, so that it takes milliseconds on any file.
const ANALYSIS_ROWS: i64 = 400;
/// Rows of the history that one statement takes out.
const HISTORY_ROWS: i64 = 100;

/// A count: the tenant or the whole store, name and label.
type Of = (Option<i64>, String, String);

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
        // On a connection of its own: FTS5 checks the index against what the connection remembers of it, and on one that has
        // searched before others wrote it calls a sound index corrupt.
        let connection = open_reader(self.path())?;
        let found: String = connection.query_row("pragma quick_check(1)", [], |row| row.get(0))?;
        Ok((found != "ok").then_some(found))
    }

    pub(in crate::store) fn correct_counts(&self) -> Result<Vec<String>, StoreError> {
        let wrong = self.read_long(differences)?;
        if wrong.is_empty() {
            return Ok(Vec::new());
        }
        let words = wrong
            .iter()
            .filter(|((tenant, ..), _)| tenant.is_none())
            .map(|((_, name, label), by)| format!("{name} {label} was off by {}", -by));
        let mut words: Vec<String> = words.collect();
        if words.is_empty() {
            words.push("counts of tenants did not add up to the store's".to_owned());
        }
        let corrected = self.write(Op::Settle, 0, move |unit| {
            for ((tenant_no, name, label), by) in &wrong {
                if let Some(tenant_no) = tenant_no {
                    // One that was forgotten meanwhile stays so.
                    unit.execute(
                        "insert into tenant_stat (tenant_no, name, label, value)
                         select ?1, ?2, ?3, ?4 from tenant where tenant_no = ?1
                         on conflict do update set value = value + excluded.value",
                        (tenant_no, name, label, by),
                    )?;
                } else {
                    unit.execute(
                        "insert into stat (name, label, value) values (?1, ?2, ?3)
                         on conflict do update set value = value + excluded.value",
                        (name, label, by),
                    )?;
                }
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

/// By how much kept counts are less than what is there: of the store where there is no tenant, and of each tenant.
fn differences(connection: &Connection) -> Result<BTreeMap<Of, i64>, StoreError> {
    let mut wrong: BTreeMap<Of, i64> = BTreeMap::new();
    for ((tenant_no, name, label), count) in counted(connection)?.tenants {
        let label = label.to_owned();
        *wrong
            .entry((None, name.clone(), label.clone()))
            .or_default() += count;
        wrong.insert((Some(tenant_no), name, label), count);
    }
    let kept = "select null, name, label, value from stat union all select tenant_no, name, label, value from tenant_stat";
    let mut statement = connection.prepare(kept)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let of: Of = (row.get(0)?, row.get(1)?, row.get(2)?);
        if Counted::NAMES.contains(&of.1.as_str()) {
            *wrong.entry(of).or_default() -= row.get::<_, i64>(3)?;
        }
    }
    wrong.retain(|_, by| *by != 0);
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

/// Gives free pages back to the file system; false if there is nothing more to give.
fn vacuum(unit: &mut Unit<'_>) -> Result<bool, StoreError> {
    let before: i64 = pragma(unit.connection, "freelist_count")?;
    let after = give_back(unit, VACUUM_PAGES)?;
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
