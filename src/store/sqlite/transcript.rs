//! Stretches of session files, and how far each file was read.
//!
//! **Invariant:** what a file's row says was read is in the same transaction as what was read.

use rusqlite::{Connection, named_params};

use crate::domain::event::NewEvent;
use crate::domain::transcript::{Digest, Mark, Part, PartReport, PathHash};
use crate::domain::{Stat, TenantId, Timestamp};
use crate::store::measure::Op;
use crate::store::sqlite::unit::{Unit, find, tenant_no};
use crate::store::sqlite::{event, handoff, session};
use crate::store::{Pending, StoreError, Wait};

impl super::Sqlite {
    pub(in crate::store) fn record_part(
        &self,
        tenant: &TenantId,
        part: Part,
        now: Timestamp,
    ) -> Result<Pending<PartReport>, StoreError> {
        let tenant = tenant.clone();
        let bytes: i64 = part.events.iter().map(NewEvent::text_bytes).sum();
        self.write(
            Op::EventWrite,
            usize::try_from(bytes).unwrap_or(usize::MAX),
            move |unit| {
                let tenant_no = unit.tenant_or_new(&tenant, now)?;
                store(unit, tenant_no, &part, now)
            },
        )
    }

    pub(in crate::store) fn count_lost_spool(&self) -> Result<Pending<()>, StoreError> {
        self.write(Op::Probe, 0, |unit| {
            unit.effects.count_store(Stat::SpoolDropped, 1);
            Ok(())
        })
    }

    pub(in crate::store) fn mark(
        &self,
        wait: Wait,
        tenant: &TenantId,
        path: &PathHash,
    ) -> Result<Option<Mark>, StoreError> {
        self.read(Op::SessionRead, wait, |connection| {
            match tenant_no(connection, tenant)? {
                None => Ok(None),
                Some(tenant_no) => Ok(read(connection, tenant_no, path)?),
            }
        })
    }
}

fn store(
    unit: &mut Unit<'_>,
    tenant_no: i64,
    part: &Part,
    now: Timestamp,
) -> Result<PartReport, StoreError> {
    let before = events_of(unit, tenant_no, part)?;
    for event in &part.events {
        // An id that is taken is one that another file of the same session, or an older version of this program,
        // recorded.
        event::record(unit, tenant_no, event, now)?;
    }
    let stored = events_of(unit, tenant_no, part)? - before;
    let report = PartReport {
        stored,
        known: i64::try_from(part.events.len()).unwrap_or(i64::MAX) - stored,
    };
    if let Some(spooled) = part.spooled {
        unit.effects
            .count_store(Stat::SpoolReplayed, spooled.replayed);
        unit.effects
            .count_store(Stat::SpoolDropped, spooled.dropped);
    }
    let earlier = read(unit.connection, tenant_no, &part.path)?;
    let same_file = |mark: &Mark| mark.head == part.mark.head;
    let is_older = |mark: &Mark| same_file(mark) && mark.position > part.mark.position;
    if earlier.as_ref().is_some_and(is_older) {
        return Ok(report);
    }
    // What says the same is not written anew, nor what somebody has forgotten since brought back.
    let says_more = earlier.is_none_or(|mark| mark.digest != part.mark.digest);
    if let Some(new) = part.handoff.as_ref().filter(|_| says_more) {
        handoff::create(unit, tenant_no, new, now)?;
    }
    keep(unit, tenant_no, part, now)?;
    unit.effects.tenant(tenant_no, 0, 0);
    Ok(report)
}

fn events_of(unit: &Unit<'_>, tenant_no: i64, part: &Part) -> rusqlite::Result<i64> {
    let sql = "select events from session where tenant_no = ?1 and session_id = ?2 and forgotten_at is null";
    let found = unit.find(sql, (tenant_no, part.session.as_str()), |row| row.get(0))?;
    Ok(found.unwrap_or(0))
}

fn keep(unit: &Unit<'_>, tenant_no: i64, part: &Part, now: Timestamp) -> Result<(), StoreError> {
    let session_no = session::session_no(unit.connection, tenant_no, &part.session)?;
    let digest = serde_json::to_string(&part.mark.digest)
        .map_err(|error| StoreError::Internal(Box::new(error)))?;
    unit.execute(
        "insert into transcript (tenant_no, path_hash, session_no, inode, head_hash, position, digest, updated_at)
         values (:tenant_no, :path, :session_no, :inode, :head, :position, :digest, :now)
         on conflict do update set session_no = excluded.session_no, inode = excluded.inode, head_hash = excluded.head_hash,
             position = excluded.position, digest = excluded.digest, updated_at = excluded.updated_at",
        named_params! {
            ":tenant_no": tenant_no, ":path": part.path, ":session_no": session_no, ":inode": part.mark.inode,
            ":head": part.mark.head, ":position": part.mark.position, ":digest": digest, ":now": now.millis(),
        },
    )?;
    Ok(())
}

/// How far a file was read. A session that is forgotten left no digest.
fn read(
    connection: &Connection,
    tenant_no: i64,
    path: &PathHash,
) -> rusqlite::Result<Option<Mark>> {
    find(
        connection,
        "select t.inode, t.head_hash, t.position, case when s.forgotten_at is null then t.digest else '' end
         from transcript t left join session s on s.session_no = t.session_no
         where t.tenant_no = ?1 and t.path_hash = ?2",
        (tenant_no, path),
        |row| {
            let digest: String = row.get(3)?;
            Ok(Mark {
                inode: row.get(0)?,
                head: row.get(1)?,
                position: row.get(2)?,
                // Of an earlier version, or of nothing: the handoff begins anew.
                digest: serde_json::from_str::<Digest>(&digest).unwrap_or_default(),
            })
        },
    )
}
