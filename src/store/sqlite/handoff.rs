//! Handoffs and the identity thread.
//!
//! **Invariant:** a session has at most one automatic handoff, and none beside one that the agent wrote.

use rusqlite::named_params;

use crate::domain::handoff::{Fields, Handoff, HandoffFilter, NewHandoff, chunks_of};
use crate::domain::page::{List, Page, Paged};
use crate::domain::{
    AuditAction, Caller, CompressionLevel, EntityType, HandoffId, Name, Origin, Sensitivity, Stat,
    TenantId, Timestamp,
};
use crate::store::measure::Op;
use crate::store::sqlite::consolidation::{forget_changes, forget_drawn};
use crate::store::sqlite::error::damaged;
use crate::store::sqlite::idempotency;
use crate::store::sqlite::passage::{self, Owner, Span};
use crate::store::sqlite::rows::{empty, read_list, write_list};
use crate::store::sqlite::session::{self, Delta, Mention};
use crate::store::sqlite::unit::{Unit, tenant_no};
use crate::store::{IdempotencyKey, Pending, StoreError, Wait};

mod read;

pub(super) use read::read_fields;
use read::resolve;
pub(super) use read::{COLUMNS, Selection, by_id, field_text, read_handoff, select};

impl super::Sqlite {
    pub(in crate::store) fn create_handoff(
        &self,
        tenant: &TenantId,
        new: NewHandoff,
        key: Option<IdempotencyKey>,
        now: Timestamp,
    ) -> Result<Pending<Handoff>, StoreError> {
        let tenant = tenant.clone();
        self.write(Op::HandoffWrite, new.fields.bytes(), move |unit| {
            let tenant_no = unit.tenant_or_new(&tenant, now)?;
            let id = match idempotency::find::<HandoffId>(unit, tenant_no, key.as_ref(), now)? {
                Some(id) => id,
                None => {
                    let id = create(unit, tenant_no, &new, now)?;
                    idempotency::keep(unit, tenant_no, key.as_ref(), &id, now)?;
                    unit.did(&tenant, AuditAction::HandoffCreate, id.bytes());
                    id
                }
            };
            by_id(unit.connection, tenant_no, &tenant, id)?.ok_or(StoreError::Conflict(
                "the handoff of this Idempotency-Key was forgotten since",
            ))
        })
    }

    pub(in crate::store) fn forget_handoff(
        &self,
        tenant: &TenantId,
        id: HandoffId,
    ) -> Result<Pending<()>, StoreError> {
        let tenant = tenant.clone();
        self.write(Op::Forget, 64, move |unit| {
            let tenant_no = unit.tenant(&tenant, "handoff")?;
            let seq = unit
                .find(
                    "select h.seq from handoff h join session s on s.session_no = h.session_no and s.forgotten_at is null
                     where h.tenant_no = ?1 and h.id = ?2",
                    (tenant_no, id.bytes()),
                    |row| row.get(0),
                )?
                .ok_or(StoreError::NotFound("handoff"))?;
            forget(unit, tenant_no, seq)?;
            unit.did(&tenant, AuditAction::HandoffForget, id.bytes());
            Ok(())
        })
    }

    pub(in crate::store) fn handoff(
        &self,
        wait: Wait,
        tenant: &TenantId,
        id: HandoffId,
    ) -> Result<Option<Handoff>, StoreError> {
        self.read(Op::HandoffRead, wait, |connection| {
            let Some(tenant_no) = tenant_no(connection, tenant)? else {
                return Ok(None);
            };
            by_id(connection, tenant_no, tenant, id)
        })
    }

    pub(in crate::store) fn handoffs(
        &self,
        wait: Wait,
        caller: &Caller,
        filter: &HandoffFilter,
        page: &Page,
    ) -> Result<Paged<Handoff>, StoreError> {
        self.read(Op::HandoffRead, wait, |connection| {
            let Some(tenant_no) = tenant_no(connection, &caller.tenant)? else {
                return Ok(empty());
            };
            let Some(selection) = resolve(connection, tenant_no, filter)? else {
                return Ok(empty());
            };
            let rows = select(connection, caller, tenant_no, &selection, page)?;
            Ok(Paged::from_rows(List::Handoffs, page, rows))
        })
    }
}

/// Stores a handoff and answers the id that stands for it: its own, the one that was there, or the agent's.
pub(super) fn create(
    unit: &mut Unit<'_>,
    tenant_no: i64,
    new: &NewHandoff,
    now: Timestamp,
) -> Result<HandoffId, StoreError> {
    let stored = "select fingerprint from handoff where tenant_no = ?1 and id = ?2";
    let taken = "another handoff has this id";
    if idempotency::repeated(
        unit,
        stored,
        tenant_no,
        new.id.bytes(),
        new.fingerprint,
        taken,
    )? {
        return Ok(new.id);
    }
    let project_no = match &new.project {
        Some(project) => Some(session::project_or_new(unit, tenant_no, project, now)?),
        None => None,
    };
    let with_whom = Some(&new.with_whom);
    let mention = Mention {
        tenant_no,
        session: &new.session,
        project_no,
        with_whom,
        at: new.created_at,
    };
    let session_no = session::touch(unit, mention)?;
    if let Some(standing) = settle_automatic(unit, tenant_no, session_no, new.origin)? {
        return Ok(standing);
    }
    let span = passage::next_span(unit.connection, &new.chunks)?;
    insert(unit, tenant_no, session_no, project_no, span, new)?;
    let owner = Owner {
        tenant_no,
        entity_type: EntityType::Handoff,
        entity_seq: unit.connection.last_insert_rowid(),
        session_no: Some(session_no),
        project_no,
        ts: new.created_at,
        sensitivity: new.sensitivity,
    };
    passage::insert(unit, &owner, span, &new.chunks)?;
    session::count(unit, session_no, 0, 1)?;
    session::total(
        unit,
        tenant_no,
        project_no,
        with_whom,
        new.sensitivity,
        handoff_delta(1, &new.fields.becoming),
    );
    count(unit, tenant_no, CompressionLevel::Full, &new.fields, 1);
    unit.effects
        .count(tenant_no, Stat::TextBytes, text_bytes(&new.fields));
    unit.effects.redacted(tenant_no, &new.redactions);
    Ok(new.id)
}

fn insert(
    unit: &Unit<'_>,
    tenant_no: i64,
    session_no: i64,
    project_no: Option<i64>,
    span: Span,
    new: &NewHandoff,
) -> rusqlite::Result<()> {
    unit.execute(
        "insert into handoff (tenant_no, id, session_no, project_no, with_whom, experienced, noticed, learned, story, becoming,
             remember, significance, tags, sensitivity, origin, created_at, fingerprint, chunk_first, chunk_count)
         values (:tenant_no, :id, :session_no, :project_no, :with_whom, :experienced, :noticed, :learned, :story, :becoming,
             :remember, :significance, :tags, :sensitivity, :origin, :created_at, :fingerprint, :chunk_first, :chunk_count)",
        named_params! {
            ":tenant_no": tenant_no,
            ":id": new.id.bytes(),
            ":session_no": session_no,
            ":project_no": project_no,
            ":with_whom": new.with_whom.as_str(),
            ":experienced": new.fields.experienced,
            ":noticed": new.fields.noticed,
            ":learned": new.fields.learned,
            ":story": new.fields.story,
            ":becoming": new.fields.becoming,
            ":remember": new.fields.remember,
            ":significance": new.significance,
            ":tags": write_list(&new.tags),
            ":sensitivity": new.sensitivity.code(),
            ":origin": new.origin.code(),
            ":created_at": new.created_at.millis(),
            ":fingerprint": new.fingerprint.map(|fingerprint| fingerprint.0),
            ":chunk_first": span.first,
            ":chunk_count": span.count,
        },
    )?;
    Ok(())
}

/// Keeps to one automatic handoff a session. Answers the agent's own when an automatic one would stand beside it.
fn settle_automatic(
    unit: &mut Unit<'_>,
    tenant_no: i64,
    session_no: i64,
    origin: Origin,
) -> Result<Option<HandoffId>, StoreError> {
    if origin == Origin::Automatic {
        let own = unit.find(
            "select id from handoff where tenant_no = ?1 and session_no = ?2 and origin = 0 order by created_at desc limit 1",
            (tenant_no, session_no),
            |row| row.get(0).map(HandoffId::from_bytes),
        )?;
        if own.is_some() {
            return Ok(own);
        }
    }
    let automatic = unit.find(
        "select seq from handoff where tenant_no = ?1 and session_no = ?2 and origin = 1",
        (tenant_no, session_no),
        |row| row.get(0),
    )?;
    if let Some(seq) = automatic {
        forget(unit, tenant_no, seq)?;
    }
    Ok(None)
}

/// Takes a handoff out of every table and the index.
pub(super) fn forget(unit: &mut Unit<'_>, tenant_no: i64, seq: i64) -> Result<(), StoreError> {
    let mut statement = unit.prepare(
        "select experienced, noticed, learned, story, becoming, remember, tags, created_at, session_no, project_no, with_whom,
             compression_level, chunk_first, chunk_count, octet_length(summary), octet_length(quick_ref), sensitivity, id
         from handoff where seq = ?1",
    )?;
    let mut rows = statement.query([seq])?;
    let row = rows.next()?.ok_or(StoreError::NotFound("handoff"))?;
    let fields = read_fields(row, 0)?;
    let tags = read_list(row, 6)?;
    let created_at = Timestamp::from_millis(row.get(7)?);
    let (session_no, project_no): (i64, Option<i64>) = (row.get(8)?, row.get(9)?);
    let with_whom = Name::stored(row.get(10)?);
    let level =
        CompressionLevel::from_code(row.get(11)?).ok_or_else(|| damaged("compression level"))?;
    let span = Span {
        first: row.get(12)?,
        count: row.get(13)?,
    };
    let forms =
        row.get::<_, Option<i64>>(14)?.unwrap_or(0) + row.get::<_, Option<i64>>(15)?.unwrap_or(0);
    let sensitivity = Sensitivity::from_code(row.get(16)?).ok_or_else(|| damaged("sensitivity"))?;
    let id: [u8; 16] = row.get(17)?;
    drop(rows);
    drop(statement);
    forget_changes(unit, tenant_no, EntityType::Handoff, &id)?;
    forget_drawn(unit, tenant_no, created_at, &fields.becoming)?;
    passage::delete(
        unit,
        tenant_no,
        span,
        &chunks_of(&fields, created_at, &tags),
    )?;
    unit.execute("delete from handoff where seq = ?1", [seq])?;
    session::count(unit, session_no, 0, -1)?;
    session::total(
        unit,
        tenant_no,
        project_no,
        Some(&with_whom),
        sensitivity,
        handoff_delta(-1, &fields.becoming),
    );
    count(unit, tenant_no, level, &fields, -1);
    unit.effects
        .count(tenant_no, Stat::TextBytes, -(text_bytes(&fields) + forms));
    Ok(())
}

/// Counts a handoff, and whether there is something to remember.
fn count(unit: &mut Unit<'_>, tenant_no: i64, level: CompressionLevel, fields: &Fields, by: i64) {
    unit.effects.count(tenant_no, Stat::Handoffs(level), by);
    if !fields.remember.is_empty() {
        unit.effects.count(tenant_no, Stat::Remembered, by);
    }
}

fn handoff_delta(by: i64, becoming: &str) -> Delta {
    Delta {
        sessions: 0,
        handoffs: by,
        statements: if becoming.is_empty() { 0 } else { by },
    }
}

fn text_bytes(fields: &Fields) -> i64 {
    i64::try_from(fields.bytes()).unwrap_or(i64::MAX)
}
