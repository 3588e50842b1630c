//! Reading everything of a tenant, page by page in insertion sequence.
//!
//! A page is one short read: it walks the table from where the last one ended, over a bounded stretch of numbers, so
//! that a tenant with few rows among those of others does not make one read long.
//!
//! **Invariant:** nothing is held between two pages, neither a connection nor a snapshot.

use rusqlite::{Connection, Row};

use crate::domain::decision::Decision;
use crate::domain::event::Event;
use crate::domain::export::{
    ArtifactRow, DecisionRow, EventRow, ExportPage, HandoffRow, Line, NoteRow, PAGE_BYTES,
    PAGE_ROWS, ProjectRow, SessionRow, Stage, Walk, write_fingerprint,
};
use crate::domain::handoff::Handoff;
use crate::domain::note::Note;
use crate::domain::{ArtifactId, ArtifactKind, Name, Sensitivity, TenantId, Timestamp};
use crate::store::sqlite::error::damaged;
use crate::store::sqlite::unit::{find, tenant_no};
use crate::store::sqlite::{decision, event, handoff, note};
use crate::store::{StoreError, Wait};

/// Rows of all tenants that a page looks at, at most: some milliseconds.
const STRETCH: i64 = 20_000;

/// Columns of a project; [`read_project`] reads them.
const PROJECTS: &str =
    "select p.project_no, p.project_id, p.name, p.aliases, p.created_at from project p";
/// Columns of a session; [`read_session`] reads them.
const SESSIONS: &str =
    "select s.session_no, s.session_id, p.project_id, s.with_whom, s.started_at, s.last_seen_at
     from session s left join project p on p.project_no = s.project_no";

/// A row as it is exported: its number, its lines, the octets they hold, its sensitivity.
struct Found {
    seq: i64,
    lines: Vec<Line>,
    bytes: usize,
    sensitivity: Sensitivity,
}

impl super::Sqlite {
    pub(in crate::store) fn begin_export(
        &self,
        wait: Wait,
        tenant: &TenantId,
    ) -> Result<Walk, StoreError> {
        self.read(wait, |connection| {
            let Some(tenant_no) = tenant_no(connection, tenant)? else {
                return Ok(Walk {
                    tenant_no: 0,
                    marks: [0; 6],
                    stage: None,
                    after: 0,
                });
            };
            let last = |table: &str, key: &str| -> rusqlite::Result<i64> {
                let sql = format!("select coalesce(max({key}), 0) from {table}");
                connection.query_row(&sql, [], |row| row.get(0))
            };
            Ok(Walk {
                tenant_no,
                marks: [
                    last("project", "project_no")?,
                    last("session", "session_no")?,
                    last("event", "seq")?,
                    last("handoff", "seq")?,
                    last("decision", "seq")?,
                    last("note", "seq")?,
                ],
                stage: Some(Stage::FIRST),
                after: 0,
            })
        })
    }

    pub(in crate::store) fn export_page(
        &self,
        wait: Wait,
        tenant: &TenantId,
        most: Sensitivity,
        walk: &mut Walk,
    ) -> Result<ExportPage, StoreError> {
        self.read(wait, |connection| {
            if tenant_no(connection, tenant)? != Some(walk.tenant_no) {
                // Forgotten meanwhile.
                walk.stage = None;
            }
            let mut page = ExportPage::default();
            let mut bytes = 0;
            while let Some(stage) = walk.stage {
                let full = stretch(connection, tenant, most, stage, walk, &mut page, &mut bytes)?;
                if full {
                    break;
                }
            }
            Ok(page)
        })
    }
}

/// Adds the rows of the next stretch, and moves on. Answers whether the page has become full.
fn stretch(
    connection: &Connection,
    tenant: &TenantId,
    most: Sensitivity,
    stage: Stage,
    walk: &mut Walk,
    page: &mut ExportPage,
    bytes: &mut usize,
) -> Result<bool, StoreError> {
    let [projects, sessions, events, handoffs, decisions, notes] = walk.marks;
    let mark = match stage {
        Stage::Projects => projects,
        Stage::Sessions => sessions,
        Stage::Events => events,
        Stage::Handoffs => handoffs,
        Stage::Decisions => decisions,
        Stage::Notes => notes,
    };
    let upto = mark.min(walk.after.saturating_add(STRETCH));
    let mut statement = connection.prepare_cached(&walk_sql(stage))?;
    let mut rows = statement.query((walk.tenant_no, walk.after, upto))?;
    while let Some(row) = rows.next()? {
        let found = read(connection, tenant, walk.tenant_no, stage, row)?;
        walk.after = found.seq;
        if found.sensitivity <= most {
            *bytes += found.bytes;
            page.lines.extend(found.lines);
        } else if found.sensitivity == Sensitivity::Secret {
            page.secret += 1;
        }
        if *bytes >= PAGE_BYTES || page.lines.len() >= PAGE_ROWS {
            return Ok(true);
        }
    }
    walk.after = upto;
    let stretched = upto < mark;
    if !stretched {
        walk.stage = stage.next();
        walk.after = 0;
    }
    Ok(stretched)
}

/// The unary plus keeps SQLite from an index by tenant, whose rows it would have to sort.
fn walk_sql(stage: Stage) -> String {
    let (columns, table, key) = columns(stage);
    let visible = match stage {
        Stage::Sessions => " and s.forgotten_at is null",
        _ => "",
    };
    format!(
        "{columns} where +{table}.tenant_no = ?1 and {table}.{key} > ?2 and {table}.{key} <= ?3{visible} order by {table}.{key}"
    )
}

fn columns(stage: Stage) -> (&'static str, &'static str, &'static str) {
    match stage {
        Stage::Projects => (PROJECTS, "p", "project_no"),
        Stage::Sessions => (SESSIONS, "s", "session_no"),
        Stage::Events => (event::COLUMNS, "e", "seq"),
        Stage::Handoffs => (handoff::COLUMNS, "h", "seq"),
        Stage::Decisions => (decision::COLUMNS, "d", "seq"),
        Stage::Notes => (note::COLUMNS, "n", "seq"),
    }
}

fn read(
    connection: &Connection,
    tenant: &TenantId,
    tenant_no: i64,
    stage: Stage,
    row: &Row<'_>,
) -> Result<Found, StoreError> {
    let seq = row.get(0)?;
    let (lines, bytes, sensitivity) = match stage {
        Stage::Projects => (
            vec![Line::Project(read_project(row, tenant)?)],
            256,
            Sensitivity::None,
        ),
        Stage::Sessions => (
            vec![Line::Session(read_session(row, tenant)?)],
            256,
            Sensitivity::None,
        ),
        Stage::Events => {
            let event = read_event(row, tenant)?;
            let sensitivity = event.sensitivity;
            let mut bytes = row.get_ref(12)?.as_bytes().map_or(0, <[u8]>::len);
            let artifact = artifact(connection, tenant_no, &event)?;
            bytes += artifact.as_ref().map_or(0, |artifact| artifact.text.len());
            let artifact = artifact.map(Line::Artifact);
            let lines = std::iter::once(Line::Event(event))
                .chain(artifact)
                .collect();
            (lines, bytes, sensitivity)
        }
        Stage::Handoffs => {
            let (row, bytes) = read_handoff(row, tenant)?;
            let sensitivity = row.sensitivity;
            (vec![Line::Handoff(row)], bytes, sensitivity)
        }
        Stage::Decisions => {
            let (row, bytes) = read_decision(row, tenant)?;
            (vec![Line::Decision(row)], bytes, Sensitivity::None)
        }
        Stage::Notes => {
            let (row, bytes) = read_note(row, tenant)?;
            (vec![Line::Knowledge(row)], bytes, Sensitivity::None)
        }
    };
    Ok(Found {
        seq,
        lines,
        bytes,
        sensitivity,
    })
}

fn name(name: &Name) -> String {
    name.as_str().to_owned()
}

fn fingerprint(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<String>> {
    Ok(row
        .get::<_, Option<[u8; 16]>>(column)?
        .map(write_fingerprint))
}

fn read_project(row: &Row<'_>, tenant: &TenantId) -> Result<ProjectRow, StoreError> {
    Ok(ProjectRow {
        project_id: row.get(1)?,
        tenant_id: tenant.to_string(),
        name: row.get(2)?,
        aliases: serde_json::from_str(&row.get::<_, String>(3)?)
            .map_err(|_| damaged("project alias"))?,
        created_at: Timestamp::from_millis(row.get(4)?),
    })
}

fn read_session(row: &Row<'_>, tenant: &TenantId) -> Result<SessionRow, StoreError> {
    Ok(SessionRow {
        session_id: row.get(1)?,
        tenant_id: tenant.to_string(),
        project_id: row.get(2)?,
        with_whom: row.get(3)?,
        started_at: Timestamp::from_millis(row.get(4)?),
        last_seen_at: Timestamp::from_millis(row.get(5)?),
    })
}

fn read_event(row: &Row<'_>, tenant: &TenantId) -> Result<EventRow, StoreError> {
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
fn artifact(
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

fn read_handoff(row: &Row<'_>, tenant: &TenantId) -> Result<(HandoffRow, usize), StoreError> {
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

fn read_decision(row: &Row<'_>, tenant: &TenantId) -> Result<(DecisionRow, usize), StoreError> {
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
    } = decision;
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
        fingerprint,
    };
    Ok((row, bytes))
}

fn read_note(row: &Row<'_>, tenant: &TenantId) -> Result<(NoteRow, usize), StoreError> {
    let (_, note) = note::read_note(row, tenant)?;
    let fingerprint = fingerprint(row, 12)?;
    let Note {
        note_id,
        tenant_id,
        project_id,
        body,
        created_at,
        updated_at,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::testing;

    #[test]
    fn a_page_walks_the_table_and_sorts_nothing() {
        let (_dir, connection) = testing::connection();
        let mut stage = Some(Stage::FIRST);
        while let Some(walked) = stage {
            let (_, table, _) = columns(walked);
            let plan = testing::plan(&connection, &walk_sql(walked));
            let first = plan.lines().next().unwrap();
            let walks = format!("SEARCH {table} USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)");
            assert_eq!(first, walks, "{plan}");
            assert!(!plan.contains("TEMP B-TREE"), "{plan}");
            stage = walked.next();
        }
    }
}
