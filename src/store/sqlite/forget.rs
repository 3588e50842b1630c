//! Forgetting a session or a tenant: marked at once, carried out in slices.
//!
//! Marking makes every read answer as if it were gone, and frees the name. The rest is a row in `job`; each slice
//! takes out a few entities within [`SLICE`], so that other writes get their turn, and goes on after a crash because
//! what is left is simply what is still there.
//!
//! **Invariant:** a job's row is closed by the slice that finds nothing left, in the same transaction.

use std::time::{Duration, Instant};

use rusqlite::named_params;

use crate::domain::session::Job;
use crate::domain::{AuditAction, JobId, JobType, Name, Sensitivity, Stat, TenantId, Timestamp};
use crate::store::measure::Op;
use crate::store::sqlite::session::{Delta, session_no, total};
use crate::store::sqlite::unit::Unit;
use crate::store::sqlite::{decision, event, handoff, note, principle, reflection};
use crate::store::{Pending, Slice, StoreError};

/// How long one slice may hold the writer. From the contract.
const SLICE: Duration = Duration::from_millis(5);

/// Takes one entity of a tenant out of every table and the index.
type Forget = fn(&mut Unit<'_>, i64, i64) -> Result<(), StoreError>;

impl super::Sqlite {
    pub(in crate::store) fn forget_session(
        &self,
        tenant: &TenantId,
        session: Name,
        now: Timestamp,
    ) -> Result<Pending<Job>, StoreError> {
        let tenant = tenant.clone();
        self.write(Op::Forget, 64, move |unit| {
            let tenant_no = unit.tenant(&tenant, "session")?;
            let session_no = session_no(unit.connection, tenant_no, &session)?
                .ok_or(StoreError::NotFound("session"))?;
            unit.execute(
                "update session set forgotten_at = ?2 where session_no = ?1",
                (session_no, now.millis()),
            )?;
            unit.effects.tenant(tenant_no, 0, 0);
            let job = open_job(
                unit,
                JobType::ForgetSession,
                tenant_no,
                Some(session_no),
                now,
            )?;
            unit.did(&tenant, AuditAction::SessionForget, job.job_id.bytes());
            Ok(job)
        })
    }

    pub(in crate::store) fn forget_tenant(
        &self,
        tenant: &TenantId,
        now: Timestamp,
    ) -> Result<Pending<Job>, StoreError> {
        let tenant = tenant.clone();
        self.write(Op::Forget, 64, move |unit| {
            let tenant_no = unit.tenant(&tenant, "tenant")?;
            unit.execute(
                "update tenant set forgotten_at = ?2 where tenant_no = ?1",
                (tenant_no, now.millis()),
            )?;
            let job = open_job(unit, JobType::ForgetTenant, tenant_no, None, now)?;
            unit.did(&tenant, AuditAction::TenantForget, job.job_id.bytes());
            Ok(job)
        })
    }

    pub(in crate::store) fn forget_slice(
        &self,
        now: Timestamp,
    ) -> Result<Pending<Slice>, StoreError> {
        self.write(Op::Forget, 64, move |unit| {
            let job = unit.find(
                "select job_no, job_type, tenant_no, session_no from job where completed_at is null order by job_no limit 1",
                [],
                |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?, row.get::<_, Option<i64>>(3)?)),
            )?;
            let Some((job_no, job_type, tenant_no, session)) = job else { return Ok(Slice::Done) };
            let left = match (JobType::from_code(job_type), session) {
                (Some(JobType::ForgetSession), Some(session_no)) => slice_session(unit, tenant_no, session_no, Instant::now())?,
                (Some(JobType::ForgetTenant), _) => slice_tenant(unit, tenant_no, Instant::now())?,
                (Some(JobType::ForgetSession) | None, _) => Slice::Done,
            };
            if left == Slice::Done {
                unit.execute("update job set completed_at = ?2 where job_no = ?1", (job_no, now.millis()))?;
            }
            unit.effects.erased = true;
            // There may be another job.
            Ok(Slice::More)
        })
    }
}

impl super::Sqlite {
    /// Takes out the sessions and projects of these names that hold nothing any more; answers how many are left.
    pub(in crate::store) fn drop_names(
        &self,
        tenant: &TenantId,
        sessions: Vec<Name>,
        projects: Vec<Name>,
    ) -> Result<Pending<u64>, StoreError> {
        let tenant = tenant.clone();
        self.write(Op::Forget, 64, move |unit| {
            let tenant_no = unit.tenant(&tenant, "tenant")?;
            let mut left = 0;
            for name in &sessions {
                let Some(session_no) = session_no(unit.connection, tenant_no, name)? else {
                    continue;
                };
                let full = unit.find(
                    "select 1 where exists (select 1 from event where tenant_no = ?1 and session_no = ?2)
                         or exists (select 1 from handoff where tenant_no = ?1 and session_no = ?2)",
                    (tenant_no, session_no),
                    |_| Ok(()),
                )?;
                match full {
                    Some(()) => left += 1,
                    None => drop(slice_session(unit, tenant_no, session_no, Instant::now())?),
                }
            }
            for name in &projects {
                // Few names are ever dropped, so that a look at each table is no matter.
                let gone = unit.execute(
                    "delete from project where tenant_no = :tenant_no and project_id = :name
                         and not exists (select 1 from event t where t.project_no = project.project_no)
                         and not exists (select 1 from handoff t where t.project_no = project.project_no)
                         and not exists (select 1 from decision t where t.project_no = project.project_no)
                         and not exists (select 1 from note t where t.project_no = project.project_no)
                         and not exists (select 1 from session t where t.project_no = project.project_no)",
                    named_params! { ":tenant_no": tenant_no, ":name": name.as_str() },
                )?;
                left += u64::from(gone == 0);
            }
            unit.effects.tenant(tenant_no, 0, 0);
            unit.effects.erased = true;
            Ok(left)
        })
    }
}

fn open_job(
    unit: &Unit<'_>,
    job_type: JobType,
    tenant_no: i64,
    session_no: Option<i64>,
    now: Timestamp,
) -> Result<Job, StoreError> {
    let job_id = JobId::generate(now);
    unit.execute(
        "insert into job (id, job_type, tenant_no, session_no, created_at)
         values (:id, :job_type, :tenant_no, :session_no, :now)",
        named_params! {
            ":id": job_id.bytes(), ":job_type": job_type.code(), ":tenant_no": tenant_no, ":session_no": session_no,
            ":now": now.millis(),
        },
    )?;
    Ok(Job { job_id, job_type })
}

/// Takes a tenant's decisions, notes and conclusions out until the time is up.
fn slice_ledger(unit: &mut Unit<'_>, tenant_no: i64, begun: Instant) -> Result<Slice, StoreError> {
    let kinds: [(&str, Forget); 4] = [
        (
            "select seq from decision where tenant_no = ?1 limit 1",
            decision::forget,
        ),
        (
            "select seq from note where tenant_no = ?1 limit 1",
            note::forget,
        ),
        (
            "select seq from reflection where tenant_no = ?1 limit 1",
            reflection::forget,
        ),
        (
            "select seq from principle where tenant_no = ?1 limit 1",
            principle::forget,
        ),
    ];
    for (next, forget) in kinds {
        while let Some(seq) = unit.find(next, [tenant_no], |row| row.get(0))? {
            forget(unit, tenant_no, seq)?;
            if begun.elapsed() >= SLICE {
                return Ok(Slice::More);
            }
        }
    }
    Ok(Slice::Done)
}

/// Takes entities of a session out until the time is up.
fn slice_session(
    unit: &mut Unit<'_>,
    tenant_no: i64,
    session_no: i64,
    begun: Instant,
) -> Result<Slice, StoreError> {
    let kinds: [(&str, Forget); 2] = [
        (
            "select seq from event where tenant_no = ?1 and session_no = ?2 limit 1",
            event::forget,
        ),
        (
            "select seq from handoff where tenant_no = ?1 and session_no = ?2 limit 1",
            handoff::forget,
        ),
    ];
    for (next, forget) in kinds {
        while let Some(seq) = unit.find(next, (tenant_no, session_no), |row| row.get(0))? {
            forget(unit, tenant_no, seq)?;
            if begun.elapsed() >= SLICE {
                return Ok(Slice::More);
            }
        }
    }
    unit.execute(
        "update transcript set session_no = null, digest = '' where session_no = ?1",
        [session_no],
    )?;
    let gone = unit.find(
        "delete from session where session_no = ?1 returning project_no, with_whom",
        [session_no],
        |row| {
            Ok((
                row.get::<_, Option<i64>>(0)?,
                row.get::<_, Option<String>>(1)?.map(Name::stored),
            ))
        },
    )?;
    if let Some((project_no, with_whom)) = gone {
        total(
            unit,
            tenant_no,
            project_no,
            with_whom.as_ref(),
            Sensitivity::None,
            Delta {
                sessions: -1,
                ..Delta::default()
            },
        );
        unit.effects.count(tenant_no, Stat::Sessions, -1);
    }
    Ok(Slice::Done)
}

/// Takes sessions of a tenant out until the time is up, and in the end the tenant itself.
fn slice_tenant(unit: &mut Unit<'_>, tenant_no: i64, begun: Instant) -> Result<Slice, StoreError> {
    let next = "select session_no from session where tenant_no = ?1 order by started_at limit 1";
    while let Some(session_no) = unit.find(next, [tenant_no], |row| row.get(0))? {
        if slice_session(unit, tenant_no, session_no, begun)? == Slice::More
            || begun.elapsed() >= SLICE
        {
            return Ok(Slice::More);
        }
    }
    if slice_ledger(unit, tenant_no, begun)? == Slice::More {
        return Ok(Slice::More);
    }
    for sql in [
        "delete from idempotency where tenant_no = ?1",
        "delete from summary where tenant_no = ?1",
        "delete from tenant_stat where tenant_no = ?1",
        "delete from project where tenant_no = ?1",
        "delete from transcript where tenant_no = ?1",
        "delete from consolidation_change where tenant_no = ?1",
        "delete from consolidation_job where tenant_no = ?1",
    ] {
        unit.execute(sql, [tenant_no])?;
    }
    unit.execute("delete from tenant where tenant_no = ?1", [tenant_no])?;
    Ok(Slice::Done)
}
