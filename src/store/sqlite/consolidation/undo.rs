//! Taking back what a job did: first a look at all of it, then slices, newest change first.
//!
//! A row that is not as the job left it was changed since; it is left as it is, and named. A row that is as it was before
//! the job is done already, as after an undo that was cut off. A row that was forgotten has left the history with what was
//! kept of it.
//!
//! **Invariant:** nothing is touched while anything depends on it.

use rusqlite::{Connection, Row};

use crate::domain::consolidation::{ConsolidationJob, MOST_NAMED, State, wire_id};
use crate::domain::{
    AuditAction, ConsolidationType, EntityType, JobId, JobStatus, TenantId, Timestamp,
};
use crate::store::measure::Op;
use crate::store::sqlite::consolidation::apply::{Owner, Room, read, restore};
use crate::store::sqlite::consolidation::{Turn, job_by_id};
use crate::store::sqlite::error::damaged;
use crate::store::sqlite::unit::{find, tenant_no};
use crate::store::{Pending, Slice, StoreError, Wait};

/// One change that is kept.
struct Kept {
    number: i64,
    entity: EntityType,
    id: [u8; 16],
    before: Option<State>,
    after: Option<[u8; 16]>,
    taken_seq: Option<i64>,
}

const KEPT: &str = "select change_no, entity_type, entity_id, before, after_hash, taken_seq from consolidation_change where job_no = ?1";

/// Later runs found nothing to do because this one had done it: what they saw is as new again as it was to this one.
const FORGET_SEEN: &str = "update consolidation_job set last_handoff = min(last_handoff, coalesce((
         select before.last_handoff from consolidation_job before
         where before.tenant_no = ?1 and before.job_type = ?2 and before.status = 1 and before.undone_at is null
             and before.job_no < ?3
         order by before.job_no desc limit 1
     ), 0))
     where tenant_no = ?1 and job_type = ?2 and job_no > ?3";

fn read_kept(row: &Row<'_>) -> Result<Kept, StoreError> {
    let before: Option<String> = row.get(3)?;
    let before = before.map(|json| serde_json::from_str(&json).map_err(|_| damaged("state")));
    Ok(Kept {
        number: row.get(0)?,
        entity: EntityType::from_code(row.get(1)?).ok_or_else(|| damaged("entity type"))?,
        id: row.get(2)?,
        before: before.transpose()?,
        after: row.get(4)?,
        taken_seq: row.get(5)?,
    })
}

/// How a row stands to what a job did with it.
#[derive(PartialEq, Eq)]
enum Standing {
    /// As the job left it.
    Left,
    /// As it was before, or without anything to restore.
    Settled,
    /// Changed since.
    Changed,
}

fn standing(kept: &Kept, now_is: Option<&State>) -> Standing {
    if now_is.map(State::fingerprint) == kept.after {
        Standing::Left
    } else if now_is == kept.before.as_ref() {
        Standing::Settled
    } else {
        match kept.entity {
            // Found by a search since, or changed by its writer, it is shown again by itself: what the job did is gone.
            EntityType::Decision => Standing::Settled,
            EntityType::Knowledge if now_is == Some(&State::Note(None)) => Standing::Settled,
            _ => Standing::Changed,
        }
    }
}

/// What keeps a change from being taken back, in words.
fn dependent(
    connection: &Connection,
    owner: &Owner<'_>,
    kept: &Kept,
) -> Result<Option<String>, StoreError> {
    let now_is = read(connection, owner, kept.entity, kept.id)?;
    if standing(kept, now_is.as_ref()) != Standing::Changed {
        return Ok(None);
    }
    let later = find(
        connection,
        "select j.id from consolidation_change c join consolidation_job j on j.job_no = c.job_no
         where c.tenant_no = ?1 and c.entity_type = ?2 and c.entity_id = ?3 and c.job_no > ?4 order by c.job_no desc limit 1",
        (owner.tenant_no, kept.entity.code(), kept.id, owner.job_no),
        |row| row.get(0).map(JobId::from_bytes),
    )?;
    let id = wire_id(kept.entity, kept.id);
    Ok(Some(match later {
        Some(job) => format!("{id}, which {job} changed"),
        None => format!("{id}, which was changed or replaced"),
    }))
}

/// The job, if it can be undone at all.
fn undoable(
    connection: &Connection,
    tenant_no: i64,
    id: JobId,
) -> Result<(i64, ConsolidationJob), StoreError> {
    let found = job_by_id(connection, Some(tenant_no), id)?;
    let (job_no, job) = found.ok_or(StoreError::NotFound("job"))?;
    let refuse = |why| Err(StoreError::Conflict(why));
    if job.status == JobStatus::Running {
        return refuse("this job is still running");
    }
    if job.job_type == ConsolidationType::Maintenance {
        return refuse("maintenance changes nothing that is shown, so there is nothing to undo");
    }
    if job.undone_at.is_some() {
        return refuse("this job is undone already");
    }
    let sql = "select undo_lost from consolidation_job where job_no = ?1";
    if find(connection, sql, [job_no], |row| row.get(0))? == Some(true) {
        return refuse("what it takes to undo this job was lost when the file was damaged");
    }
    Ok((job_no, job))
}

impl crate::store::sqlite::Sqlite {
    pub(in crate::store) fn undo_dependents(
        &self,
        wait: Wait,
        tenant: &TenantId,
        id: JobId,
    ) -> Result<Vec<String>, StoreError> {
        self.read(Op::Look, wait, |connection| {
            let tenant_no = tenant_no(connection, tenant)?.ok_or(StoreError::NotFound("job"))?;
            let (job_no, job) = undoable(connection, tenant_no, id)?;
            let owner = Owner {
                tenant,
                tenant_no,
                job_no,
                began: job.started_at.millis(),
                now: job.started_at,
            };
            let mut statement = connection.prepare_cached(KEPT)?;
            let mut rows = statement.query([job_no])?;
            let mut named = Vec::new();
            while let Some(row) = rows.next()? {
                named.extend(dependent(connection, &owner, &read_kept(row)?)?);
                if named.len() >= MOST_NAMED {
                    break;
                }
            }
            Ok(named)
        })
    }

    pub(in crate::store) fn undo_slice(
        &self,
        _turn: &Turn,
        tenant: &TenantId,
        id: JobId,
        now: Timestamp,
    ) -> Result<Pending<Slice>, StoreError> {
        let tenant = tenant.clone();
        let published = self.shared();
        self.write(Op::Consolidate, 64, move |unit| {
            let room = Room::new(published);
            let tenant_no = unit.tenant(&tenant, "job")?;
            let (job_no, job) = undoable(unit.connection, tenant_no, id)?;
            let owner = Owner {
                tenant: &tenant,
                tenant_no,
                job_no,
                began: job.started_at.millis(),
                now,
            };
            let newest = format!("{KEPT} order by change_no desc limit 1");
            loop {
                let kept = {
                    let mut statement = unit.prepare(&newest)?;
                    let mut rows = statement.query([job_no])?;
                    rows.next()?.map(read_kept).transpose()?
                };
                let Some(kept) = kept else { break };
                let now_is = read(unit.connection, &owner, kept.entity, kept.id)?;
                if standing(&kept, now_is.as_ref()) == Standing::Left {
                    restore(
                        unit,
                        &owner,
                        (kept.entity, kept.id),
                        now_is.as_ref(),
                        (kept.before, kept.taken_seq),
                    )?;
                }
                let sql = "delete from consolidation_change where job_no = ?1 and change_no = ?2";
                unit.execute(sql, (job_no, kept.number))?;
                if room.is_over() {
                    return Ok(Slice::More);
                }
            }
            let sql = "update consolidation_job set undone_at = ?2 where job_no = ?1";
            unit.execute(sql, (job_no, now.millis()))?;
            unit.execute(FORGET_SEEN, (tenant_no, job.job_type.code(), job_no))?;
            unit.did(&tenant, AuditAction::ConsolidationUndo, id.bytes());
            Ok(Slice::Done)
        })
    }

    pub(in crate::store) fn consolidation_job(
        &self,
        wait: Wait,
        tenant: &TenantId,
        id: JobId,
    ) -> Result<Option<ConsolidationJob>, StoreError> {
        self.read(Op::Look, wait, |connection| {
            let number = tenant_no(connection, tenant)?;
            Ok(job_by_id(connection, number, id)?.map(|(_, job)| job))
        })
    }
}
