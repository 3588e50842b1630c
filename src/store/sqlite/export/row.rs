//! Rows as they are exported, out of the rows as they are stored.
//!
//! **Invariant:** every column that an import cannot make anew is here.

use rusqlite::{Connection, Row};

use crate::domain::decision::Decision;
use crate::domain::event::Event;
use crate::domain::export::{
    ArtifactRow, DecisionRow, EventRow, HandoffRow, NoteRow, PrincipleRow, ProjectRow,
    ReflectionRow, SessionRow, write_fingerprint,
};
use crate::domain::handoff::Handoff;
use crate::domain::note::Note;
use crate::domain::principle::Principle;
use crate::domain::reflection::Reflection;
use crate::domain::{ArtifactId, ArtifactKind, Name, TenantId, Timestamp};
use crate::store::StoreError;
use crate::store::sqlite::error::damaged;
use crate::store::sqlite::unit::find;
use crate::store::sqlite::{decision, event, handoff, note, principle, reflection};

fn name(name: &Name) -> String {
    name.as_str().to_owned()
}

fn fingerprint(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<String>> {
    Ok(row
        .get::<_, Option<[u8; 16]>>(column)?
        .map(write_fingerprint))
}

pub(super) fn read_project(row: &Row<'_>, tenant: &TenantId) -> Result<ProjectRow, StoreError> {
    Ok(ProjectRow {
        project_id: row.get(1)?,
        tenant_id: tenant.to_string(),
        name: row.get(2)?,
        aliases: serde_json::from_str(&row.get::<_, String>(3)?)
            .map_err(|_| damaged("project alias"))?,
        created_at: Timestamp::from_millis(row.get(4)?),
    })
}

pub(super) fn read_session(row: &Row<'_>, tenant: &TenantId) -> Result<SessionRow, StoreError> {
    Ok(SessionRow {
        session_id: row.get(1)?,
        tenant_id: tenant.to_string(),
        project_id: row.get(2)?,
        with_whom: row.get(3)?,
        started_at: Timestamp::from_millis(row.get(4)?),
        last_seen_at: Timestamp::from_millis(row.get(5)?),
    })
}

pub(super) fn read_event(row: &Row<'_>, tenant: &TenantId) -> Result<EventRow, StoreError> {
    let (_, event) = event::read_event(row, tenant)?;
    let fingerprint = fingerprint(row, 14)?;
    let Event {
        event_id,
        tenant_id,
        project_id,
        session_id,
        ts,
        channel,
        actor,
        kind,
        sensitivity,
        tags,
        content,
        refs,
        truncated: _,
        artifact_id,
    } = event;
    Ok(EventRow {
        event_id,
        tenant_id: tenant_id.to_string(),
        project_id: project_id.as_ref().map(name),
        session_id: name(&session_id),
        ts,
        channel,
        actor,
        kind,
        sensitivity,
        tags,
        content: serde_json::from_str(content.get()).map_err(|_| damaged("event content"))?,
        refs,
        artifact_id,
        fingerprint,
    })
}

/// The artifact of an event, whole.
pub(super) fn artifact(
    connection: &Connection,
    tenant_no: i64,
    event: &EventRow,
) -> Result<Option<ArtifactRow>, StoreError> {
    let Some(artifact_id) = event.artifact_id else {
        return Ok(None);
    };
    let found = find(
        connection,
        "select kind, meta, body from artifact where tenant_no = ?1 and id = ?2",
        (tenant_no, ArtifactId::bytes(&artifact_id)),
        |row| {
            let kind: i64 = row.get(0)?;
            Ok((kind, row.get::<_, String>(1)?, row.get::<_, String>(2)?))
        },
    )?;
    let (kind, meta, text) = found.ok_or_else(|| damaged("artifact of an event"))?;
    Ok(Some(ArtifactRow {
        artifact_id,
        tenant_id: event.tenant_id.clone(),
        event_id: event.event_id,
        kind: ArtifactKind::from_code(kind).ok_or_else(|| damaged("artifact kind"))?,
        bytes: text.len(),
        meta: serde_json::from_str(&meta).map_err(|_| damaged("artifact meta"))?,
        offset: 0,
        text,
    }))
}

pub(super) fn read_handoff(
    row: &Row<'_>,
    tenant: &TenantId,
) -> Result<(HandoffRow, usize), StoreError> {
    let (_, handoff) = handoff::read_handoff(row, tenant)?;
    let fingerprint = fingerprint(row, 19)?;
    let Handoff {
        handoff_id,
        tenant_id,
        project_id,
        session_id,
        with_whom,
        fields,
        significance,
        tags,
        sensitivity,
        origin,
        compression_level,
        summary,
        quick_ref,
        created_at,
    } = handoff;
    let bytes = fields.bytes();
    let row = HandoffRow {
        handoff_id,
        tenant_id: tenant_id.to_string(),
        project_id: project_id.as_ref().map(name),
        session_id: name(&session_id),
        with_whom: name(&with_whom),
        experienced: fields.experienced,
        noticed: fields.noticed,
        learned: fields.learned,
        story: fields.story,
        becoming: fields.becoming,
        remember: fields.remember,
        significance,
        tags,
        sensitivity,
        origin,
        compression_level,
        summary,
        quick_ref,
        created_at,
        fingerprint,
    };
    Ok((row, bytes))
}

pub(super) fn read_decision(
    row: &Row<'_>,
    tenant: &TenantId,
) -> Result<(DecisionRow, usize), StoreError> {
    let (_, decision) = decision::read_decision(row, tenant)?;
    let fingerprint = fingerprint(row, 13)?;
    let Decision {
        decision_id,
        tenant_id,
        project_id,
        ts,
        status,
        scope,
        statement,
        refs,
        superseded_by,
        archived_at,
    } = decision;
    let last_recalled_at: Option<i64> = row.get(15)?;
    let bytes = statement.searchable().len();
    let row = DecisionRow {
        decision_id,
        tenant_id: tenant_id.to_string(),
        project_id: project_id.as_ref().map(name),
        ts,
        status,
        scope,
        decision: statement.decision,
        rationale: statement.rationale,
        constraints: statement.constraints,
        alternatives: statement.alternatives,
        consequences: statement.consequences,
        refs,
        superseded_by,
        archived_at,
        last_recalled_at: last_recalled_at.map(Timestamp::from_millis),
        fingerprint,
    };
    Ok((row, bytes))
}

pub(super) fn read_note(row: &Row<'_>, tenant: &TenantId) -> Result<(NoteRow, usize), StoreError> {
    let (_, note) = note::read_note(row, tenant)?;
    let fingerprint = fingerprint(row, 12)?;
    let Note {
        note_id,
        tenant_id,
        project_id,
        body,
        created_at,
        updated_at,
        // Found again by consolidation.
        duplicates: _,
        duplicate_of: _,
    } = note;
    let bytes = body.bytes();
    let row = NoteRow {
        note_id,
        tenant_id: tenant_id.to_string(),
        project_id: project_id.as_ref().map(name),
        title: body.title,
        content: body.content,
        with_whom: body.with_whom.as_ref().map(name),
        source_handoffs: body.source_handoffs,
        tags: body.tags,
        confidence: body.confidence,
        pinned: body.pinned,
        created_at,
        updated_at,
        fingerprint,
    };
    Ok((row, bytes))
}

pub(super) fn read_reflection(
    row: &Row<'_>,
    tenant: &TenantId,
) -> Result<(ReflectionRow, usize), StoreError> {
    let (_, reflection) = reflection::read_reflection(row, tenant)?;
    let Reflection {
        reflection_id,
        tenant_id,
        body,
        created_at,
    } = reflection;
    let bytes = body.bytes();
    let row = ReflectionRow {
        reflection_id,
        tenant_id: tenant_id.to_string(),
        period_start: body.period_start,
        period_end: body.period_end,
        session_count: body.session_count,
        summary: body.summary,
        insights: body.insights,
        themes: body.themes,
        sensitivity: body.sensitivity,
        created_at,
    };
    Ok((row, bytes))
}

pub(super) fn read_principle(
    row: &Row<'_>,
    tenant: &TenantId,
) -> Result<(PrincipleRow, usize), StoreError> {
    let (_, principle) = principle::read_principle(row, tenant)?;
    let Principle {
        principle_id,
        tenant_id,
        body,
        created_at,
        updated_at,
    } = principle;
    let bytes = body.bytes();
    let row = PrincipleRow {
        principle_id,
        tenant_id: tenant_id.to_string(),
        text: body.text,
        source_handoffs: body.source_handoffs,
        count: body.count,
        sensitivity: body.sensitivity,
        created_at,
        updated_at,
    };
    Ok((row, bytes))
}
