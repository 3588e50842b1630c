//! The history of consolidation: jobs as they begin and end, what ever happened, and who is at work.
//!
//! One process consolidates at a time. It holds the lock of the file `FILE.consolidation` for as long as it works: the
//! system lets go of that at the process's end, however it ends, and never before. A lease in a row would have to expire,
//! under a process that was only stopped for a while too, and then two would be at work. So whoever gets the lock knows
//! that a job which still says *running* was cut off, and says so in the history.
//!
//! What a job changes is in [`apply`], how it is taken back in [`undo`], what plans are made from in [`facts`].
//!
//! **Invariant:** a job's row is ended in the transaction that counts it, so that the totals are the sum of the history.

use std::fs::{File, TryLockError};

use rusqlite::{Connection, Row, named_params};

use crate::domain::consolidation::{CUT_OFF, ConsolidationJob, Ending, Totals, Work};
use crate::domain::page::{List, Page, Paged, Position, Rows};
use crate::domain::{
    AuditAction, ConsolidationType, JobCause, JobId, JobStatus, TenantId, Timestamp,
};
use crate::store::measure::Op;
use crate::store::sqlite::error::damaged;
use crate::store::sqlite::rows::{page_params, paged_sql, take_rows};
use crate::store::sqlite::turn::lock_file;
use crate::store::sqlite::unit::{Unit, find, tenant_no};
use crate::store::{Pending, StoreError, Wait};

mod apply;
mod drawn;
mod facts;
mod undo;
mod upkeep;

pub(super) use apply::forget_changes;
pub(super) use drawn::forget_drawn;

/// Columns of a job; [`read_job`] reads them.
const COLUMNS: &str = "select j.job_no, j.id, j.job_type, j.cause, j.status, j.started_at, j.completed_at, j.items_processed,
         j.items_affected, j.tokens_before, j.tokens_after, j.reason, j.undone_at
     from consolidation_job j";

/// The right to consolidate, until dropped.
#[derive(Debug)]
pub(in crate::store) struct Turn(File);

impl Drop for Turn {
    /// Not by closing alone: a process that is just being started has the file open for a moment as well.
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            tracing::error!(%error, "the turn to consolidate could not be let go of");
        }
    }
}

fn whole(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}

fn stored(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn read_job(row: &Row<'_>) -> Result<(Position, ConsolidationJob), StoreError> {
    let started_at = Timestamp::from_millis(row.get(5)?);
    let time = |column| -> rusqlite::Result<Option<Timestamp>> {
        Ok(row
            .get::<_, Option<i64>>(column)?
            .map(Timestamp::from_millis))
    };
    let count = |column| row.get(column).map(whole);
    let job = ConsolidationJob {
        job_id: JobId::from_bytes(row.get(1)?),
        job_type: ConsolidationType::from_code(row.get(2)?).ok_or_else(|| damaged("job type"))?,
        cause: JobCause::from_code(row.get(3)?).ok_or_else(|| damaged("job cause"))?,
        status: JobStatus::from_code(row.get(4)?).ok_or_else(|| damaged("job status"))?,
        started_at,
        completed_at: time(6)?,
        work: Work {
            items_processed: count(7)?,
            items_affected: count(8)?,
            tokens_before: count(9)?,
            tokens_after: count(10)?,
        },
        error: row.get(11)?,
        undone_at: time(12)?,
    };
    let position = Position {
        ts: started_at,
        seq: row.get(0)?,
    };
    Ok((position, job))
}

/// A job of a tenant, or of the whole file, with its number.
fn job_by_id(
    connection: &Connection,
    tenant_no: Option<i64>,
    id: JobId,
) -> Result<Option<(i64, ConsolidationJob)>, StoreError> {
    let sql = format!("{COLUMNS} where j.id = ?1 and (j.tenant_no is null or j.tenant_no = ?2)");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query((id.bytes(), tenant_no))?;
    let found = rows.next()?.map(read_job).transpose()?;
    Ok(found.map(|(position, job)| (position.seq, job)))
}

impl super::Sqlite {
    pub(in crate::store) fn consolidation_turn(&self) -> Result<Option<Turn>, StoreError> {
        let fault = |error: std::io::Error| {
            StoreError::Unavailable(format!("the lock of consolidation: {error}").into())
        };
        let file = lock_file(self.path(), "consolidation").map_err(fault)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Turn(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(fault(error)),
        }
    }

    pub(in crate::store) fn is_consolidating(&self, wait: Wait) -> Result<bool, StoreError> {
        self.read(Op::Look, wait, |connection| {
            let sql = "select exists (select 1 from consolidation_job where status = 0)";
            Ok(connection.query_row(sql, [], |row| row.get(0))?)
        })
    }

    pub(in crate::store) fn fail_cut_off(
        &self,
        _turn: &Turn,
        now: Timestamp,
    ) -> Result<Pending<u64>, StoreError> {
        self.write(Op::Consolidate, 64, move |unit| {
            let mut statement =
                unit.prepare("select job_no from consolidation_job where status = 0")?;
            let rows = statement.query_map([], |row| row.get(0))?;
            let cut_off = rows.collect::<rusqlite::Result<Vec<i64>>>()?;
            for job_no in &cut_off {
                let ending = Ending {
                    status: JobStatus::Failed,
                    reason: Some(CUT_OFF.to_owned()),
                    processed: 0,
                };
                end(unit, *job_no, &ending, now)?;
            }
            Ok(cut_off.len() as u64)
        })
    }

    pub(in crate::store) fn begin_job(
        &self,
        _turn: &Turn,
        tenant: Option<&TenantId>,
        job_type: ConsolidationType,
        cause: JobCause,
        now: Timestamp,
    ) -> Result<Pending<ConsolidationJob>, StoreError> {
        let tenant = tenant.cloned();
        self.write(Op::Consolidate, 64, move |unit| {
            let number = match &tenant {
                None => None,
                Some(tenant) => Some(
                    tenant_no(unit.connection, tenant)?.ok_or(StoreError::NotFound("tenant"))?,
                ),
            };
            let id = JobId::generate(now);
            unit.execute(
                "insert into consolidation_job (id, job_type, tenant_no, cause, started_at, last_handoff)
                 values (:id, :job_type, :tenant_no, :cause, :now, (select coalesce(max(seq), 0) from handoff))",
                named_params! {
                    ":id": id.bytes(), ":job_type": job_type.code(), ":tenant_no": number, ":cause": cause.code(),
                    ":now": now.millis(),
                },
            )?;
            let job = job_by_id(unit.connection, number, id)?;
            job.map(|(_, job)| job).ok_or_else(|| damaged("job"))
        })
    }

    pub(in crate::store) fn end_job(
        &self,
        tenant: Option<&TenantId>,
        id: JobId,
        ending: Ending,
        now: Timestamp,
    ) -> Result<Pending<ConsolidationJob>, StoreError> {
        let tenant = tenant.cloned();
        self.write(Op::Consolidate, 64, move |unit| {
            let sql = "select job_no from consolidation_job where id = ?1";
            let job_no = unit.find(sql, [id.bytes()], |row| row.get(0))?;
            let job_no = job_no.ok_or(StoreError::NotFound("job"))?;
            end(unit, job_no, &ending, now)?;
            let sql = format!("{COLUMNS} where j.job_no = ?1");
            let mut statement = unit.prepare(&sql)?;
            let mut rows = statement.query([job_no])?;
            let row = rows.next()?.ok_or_else(|| damaged("job"))?;
            let (_, job) = read_job(row)?;
            if let Some(tenant) = &tenant
                && job.work.items_affected > 0
            {
                unit.did(tenant, AuditAction::Consolidate, id.bytes());
            }
            Ok(job)
        })
    }

    pub(in crate::store) fn consolidation_jobs(
        &self,
        wait: Wait,
        tenant: &TenantId,
        page: &Page,
    ) -> Result<Paged<ConsolidationJob>, StoreError> {
        self.read(Op::Look, wait, |connection| {
            let number = tenant_no(connection, tenant)?.unwrap_or(-1);
            let mut parts = Vec::new();
            for whose in OF_TENANT {
                let sql = paged_sql(COLUMNS, whose, "j.started_at", "j.job_no", page);
                let params = page_params(number, page);
                let mut statement = connection.prepare_cached(&sql)?;
                let mut rows = statement.query(params.as_slice())?;
                parts.push(take_rows(&mut rows, |row| Ok((read_job(row)?, 256)))?);
            }
            Ok(Paged::from_rows(List::Jobs, page, Rows::merge(parts, page)))
        })
    }

    pub(in crate::store) fn last_jobs(
        &self,
        wait: Wait,
        tenant: &TenantId,
    ) -> Result<Vec<ConsolidationJob>, StoreError> {
        self.read(Op::Look, wait, |connection| {
            let number = tenant_no(connection, tenant)?;
            let sql = format!(
                "{COLUMNS} where j.tenant_no is ?1 and j.job_type = ?2 order by j.started_at desc, j.job_no desc limit 1"
            );
            let mut statement = connection.prepare_cached(&sql)?;
            let mut last = Vec::new();
            for job_type in ConsolidationType::ALL {
                let whose = match job_type {
                    ConsolidationType::Maintenance => None,
                    _ if number.is_none() => continue,
                    _ => number,
                };
                let mut rows = statement.query((whose, job_type.code()))?;
                if let Some(row) = rows.next()? {
                    last.push(read_job(row)?.1);
                }
            }
            Ok(last)
        })
    }

    pub(in crate::store) fn consolidation_totals(
        &self,
        wait: Wait,
    ) -> Result<Vec<(ConsolidationType, Totals)>, StoreError> {
        self.read(Op::Look, wait, |connection| {
            let mut statement = connection.prepare_cached(
                "select job_type, completed, failed, skipped, items, tokens_saved, last_run_at, last_success_at
                 from consolidation_total order by job_type",
            )?;
            let mut rows = statement.query([])?;
            let mut all = Vec::new();
            while let Some(row) = rows.next()? {
                let job_type = ConsolidationType::from_code(row.get(0)?);
                let count = |column| row.get(column).map(whole);
                let totals = Totals {
                    completed: count(1)?,
                    failed: count(2)?,
                    skipped: count(3)?,
                    items: count(4)?,
                    tokens_saved: count(5)?,
                    last_run: Timestamp::from_millis(row.get(6)?),
                    last_success: Timestamp::from_millis(row.get(7)?),
                };
                all.push((job_type.ok_or_else(|| damaged("job type"))?, totals));
            }
            Ok(all)
        })
    }

    pub(in crate::store) fn consolidated_until(&self, wait: Wait) -> Result<Timestamp, StoreError> {
        self.read(Op::Look, wait, |connection| {
            let sql = "select done_until from consolidation_due";
            let until = find(connection, sql, [], |row| row.get(0))?;
            Ok(Timestamp::from_millis(until.unwrap_or(0)))
        })
    }

    pub(in crate::store) fn note_consolidated(
        &self,
        until: Timestamp,
    ) -> Result<Pending<()>, StoreError> {
        self.write(Op::Consolidate, 64, move |unit| {
            unit.execute(
                "insert into consolidation_due (only_row, done_until) values (1, ?1)
                 on conflict do update set done_until = max(done_until, excluded.done_until)",
                [until.millis()],
            )?;
            Ok(())
        })
    }
}

/// The jobs that a tenant sees: its own, and those of the whole file.
const OF_TENANT: [&str; 2] = [
    "j.tenant_no = :tenant_no",
    "j.tenant_no is null and :tenant_no is not null",
];

/// Ends a job and counts it.
fn end(unit: &Unit<'_>, job_no: i64, ending: &Ending, now: Timestamp) -> Result<(), StoreError> {
    unit.execute(
        "update consolidation_job set status = :status, reason = :reason, completed_at = :now,
             items_processed = items_processed + :processed
         where job_no = :job_no",
        named_params! {
            ":status": ending.status.code(), ":reason": ending.reason, ":now": now.millis(),
            ":processed": stored(ending.processed), ":job_no": job_no,
        },
    )?;
    unit.execute(
        "update consolidation_total set
             completed = completed + (:status = 1), failed = failed + (:status = 2), skipped = skipped + (:status = 3),
             items = items + j.items_affected, tokens_saved = tokens_saved + max(j.tokens_before - j.tokens_after, 0),
             last_run_at = max(last_run_at, :now),
             last_success_at = case when :status = 1 then max(last_success_at, :now) else last_success_at end
         from consolidation_job j
         where j.job_no = :job_no and consolidation_total.job_type = j.job_type",
        named_params! { ":status": ending.status.code(), ":now": now.millis(), ":job_no": job_no },
    )?;
    Ok(())
}
