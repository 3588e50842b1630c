//! Artifacts: the whole of a text that was too long for its event.
//!
//! **Invariant:** an artifact comes and goes with its event.

use rusqlite::named_params;
use serde_json::value::RawValue;

use crate::domain::event::{Artifact, NewEvent};
use crate::domain::{ArtifactId, ArtifactKind, EventId, Sensitivity, TenantId, Timestamp};
use crate::store::measure::Op;
use crate::store::sqlite::error::damaged;
use crate::store::sqlite::unit::{Unit, tenant_no};
use crate::store::{StoreError, Wait};

impl super::Sqlite {
    pub(in crate::store) fn artifact(
        &self,
        wait: Wait,
        tenant: &TenantId,
        id: ArtifactId,
    ) -> Result<Option<(Artifact, Sensitivity)>, StoreError> {
        self.read(Op::EventRead, wait, |connection| {
            let Some(tenant_no) = tenant_no(connection, tenant)? else {
                return Ok(None);
            };
            let mut statement = connection.prepare_cached(
                "select e.id, e.ts, a.kind, a.bytes, a.meta, a.body, e.sensitivity from artifact a
                 join event e on e.seq = a.event_seq
                 join session s on s.session_no = e.session_no and s.forgotten_at is null
                 where a.tenant_no = ?1 and a.id = ?2",
            )?;
            let mut rows = statement.query((tenant_no, id.bytes()))?;
            let Some(row) = rows.next()? else {
                return Ok(None);
            };
            let artifact = Artifact {
                artifact_id: id,
                tenant_id: tenant.clone(),
                event_id: EventId::from_bytes(row.get(0)?),
                ts: Timestamp::from_millis(row.get(1)?),
                kind: ArtifactKind::from_code(row.get(2)?)
                    .ok_or_else(|| damaged("artifact kind"))?,
                bytes: row.get(3)?,
                meta: RawValue::from_string(row.get(4)?).map_err(|_| damaged("artifact meta"))?,
                text: row.get(5)?,
            };
            let sensitivity =
                Sensitivity::from_code(row.get(6)?).ok_or_else(|| damaged("sensitivity"))?;
            Ok(Some((artifact, sensitivity)))
        })
    }
}

/// Stores the artifact of an event, if it has one.
pub(super) fn insert(
    unit: &Unit<'_>,
    tenant_no: i64,
    event_seq: i64,
    event: &NewEvent,
) -> rusqlite::Result<()> {
    let Some(artifact) = &event.artifact else {
        return Ok(());
    };
    unit.execute(
        "insert into artifact (tenant_no, id, event_seq, kind, bytes, meta, body)
         values (:tenant_no, :id, :event_seq, :kind, :bytes, :meta, :body)",
        named_params! {
            ":tenant_no": tenant_no,
            ":id": artifact.id.bytes(),
            ":event_seq": event_seq,
            ":kind": artifact.kind.code(),
            ":bytes": i64::try_from(artifact.body.len()).unwrap_or(i64::MAX),
            ":meta": artifact.meta.to_string(),
            ":body": artifact.body,
        },
    )?;
    let artifact_seq = unit.connection.last_insert_rowid();
    unit.execute(
        "update event set artifact_seq = ?2 where seq = ?1",
        (event_seq, artifact_seq),
    )?;
    Ok(())
}
