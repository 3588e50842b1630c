//! Whether what consolidation left behind still fits: which note is shown for which, jobs, and what is kept to undo them.
//!
//! A job that says it runs while nobody consolidates was cut off. That is no fault: the next server says so in the history
//! before it does anything else, and so does a repair.
//!
//! What is kept to undo a job quotes the rows that the job changed, so it must not outlive them: what was forgotten is gone.
//!
//! **Invariant:** [`look`] reads alone; [`mend_consolidated`] changes no text of a memory.

use rusqlite::Connection;

use crate::domain::consolidation::CUT_OFF;
use crate::domain::{EntityType, Timestamp};
use crate::store::{Finding, StoreError};

/// Notes that are shown by one that is not there, or that is itself shown by another.
const NOTES_ASTRAY: &str = "duplicate_of is not null and not exists (select 1 from note n
    where n.tenant_no = note.tenant_no and n.id = note.duplicate_of and n.duplicate_of is null)";
/// Notes that count other than the notes they are shown for.
const NOTES_MISCOUNTED: &str = "duplicates <> (select count(*) from note n
    where n.tenant_no = note.tenant_no and n.duplicate_of = note.id)";
/// Jobs of a tenant that is not there.
const JOBS_ASTRAY: &str =
    "tenant_no is not null and tenant_no not in (select tenant_no from tenant)";

/// What is kept of a job that is not there, or of a memory that is not there any more.
fn changes_astray() -> String {
    let mut sql =
        "job_no not in (select job_no from consolidation_job) or tenant_no not in (select tenant_no from tenant)".to_owned();
    // Reflections and principles come and go by consolidation itself.
    for (entity, table) in [
        (EntityType::Handoff, "handoff"),
        (EntityType::Decision, "decision"),
        (EntityType::Knowledge, "note"),
    ] {
        sql.push_str(&format!(
            " or (entity_type = {} and not exists (select 1 from {table} e
                 where e.tenant_no = consolidation_change.tenant_no and e.id = consolidation_change.entity_id))",
            entity.code()
        ));
    }
    sql
}

pub(super) fn look(connection: &Connection) -> Result<Finding, StoreError> {
    let count = |table: &str, which: &str| {
        let sql = format!("select count(*) from {table} where {which}");
        connection.query_row(&sql, [], |row| row.get::<_, i64>(0))
    };
    let wrong: Vec<String> = [
        (
            count("note", NOTES_ASTRAY)?,
            "notes are hidden behind one that is not shown",
        ),
        (
            count("note", NOTES_MISCOUNTED)?,
            "notes count other than the notes they are shown for",
        ),
        (
            count("consolidation_job", JOBS_ASTRAY)?,
            "jobs are of no tenant",
        ),
        (
            count("consolidation_change", &changes_astray())?,
            "states are kept, to undo a job, of what is not there any more",
        ),
    ]
    .iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!("{count} {what}"))
    .collect();
    let running = count("consolidation_job", "status = 0")?;
    let mut detail = if wrong.is_empty() {
        "what consolidation did fits what is there".to_owned()
    } else {
        format!(
            "{}: `agent-memory doctor --repair` mends it",
            wrong.join("; ")
        )
    };
    if running > 0 {
        detail.push_str(&format!(
            "; {running} jobs are running, or were cut off: then the next run says so"
        ));
    }
    Ok(Finding {
        check: "consolidated",
        ok: wrong.is_empty(),
        detail,
    })
}

/// Mends what [`look`] finds, with nobody else on the file; answers how many rows were not as they should be.
pub(in crate::store::sqlite) fn mend_consolidated(
    connection: &Connection,
    now: Timestamp,
) -> Result<usize, StoreError> {
    let mut mended = 0;
    for sql in [
        format!("delete from consolidation_job where {JOBS_ASTRAY}"),
        format!("delete from consolidation_change where {}", changes_astray()),
        format!("update note set duplicate_of = null where {NOTES_ASTRAY}"),
        format!(
            "update note set duplicates = (select count(*) from note n
                 where n.tenant_no = note.tenant_no and n.duplicate_of = note.id) where {NOTES_MISCOUNTED}"
        ),
    ] {
        mended += connection.execute(&sql, [])?;
    }
    // As a server does it that finds them.
    connection.execute(
        "update consolidation_total set failed = failed + cut.jobs, items = items + cut.affected,
             tokens_saved = tokens_saved + cut.saved, last_run_at = max(last_run_at, ?1)
         from (select job_type, count(*) as jobs, sum(items_affected) as affected,
                   sum(max(tokens_before - tokens_after, 0)) as saved
               from consolidation_job where status = 0 group by job_type) cut
         where cut.job_type = consolidation_total.job_type",
        [now.millis()],
    )?;
    mended += connection.execute(
        "update consolidation_job set status = 2, completed_at = ?1, reason = ?2 where status = 0",
        (now.millis(), CUT_OFF),
    )?;
    Ok(mended)
}
