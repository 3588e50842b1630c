//! Reading everything of a tenant, page by page in insertion sequence.
//!
//! A page is one short read: it walks the table from where the last one ended, over a bounded stretch of numbers, so
//! that a tenant with few rows among those of others does not make one read long.
//!
//! **Invariant:** nothing is held between two pages, neither a connection nor a snapshot.

use rusqlite::{Connection, Row};

use crate::domain::export::{
    ArtifactRow, DecisionRow, EventRow, ExportPage, HandoffRow, Line, NoteRow, PAGE_BYTES,
    PAGE_ROWS, PrincipleRow, ProjectRow, ReflectionRow, STAGES, SessionRow, Stage, Walk,
};
use crate::domain::{
    DecisionId, EventId, HandoffId, Name, NoteId, PrincipleId, ReflectionId, Sensitivity, TenantId,
};
use crate::store::measure::Op;
use crate::store::sqlite::unit::tenant_no;
use crate::store::sqlite::{decision, event, handoff, note, principle, reflection};
use crate::store::{StoreError, Wait};

mod row;

use row::{
    artifact, read_decision, read_event, read_handoff, read_note, read_principle, read_project,
    read_reflection, read_session,
};

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
    /// The names of all tenants, oldest first.
    pub(in crate::store) fn tenants(&self, wait: Wait) -> Result<Vec<TenantId>, StoreError> {
        self.read(Op::Export, wait, |connection| {
            let sql = "select name from tenant where forgotten_at is null order by tenant_no";
            let mut statement = connection.prepare_cached(sql)?;
            let names = statement.query_map([], |row| row.get(0).map(TenantId::stored))?;
            Ok(names.collect::<Result<_, _>>()?)
        })
    }

    pub(in crate::store) fn begin_export(
        &self,
        wait: Wait,
        tenant: &TenantId,
    ) -> Result<Walk, StoreError> {
        self.read(Op::Export, wait, |connection| {
            let Some(tenant_no) = tenant_no(connection, tenant)? else {
                return Ok(Walk {
                    tenant_no: 0,
                    marks: [0; STAGES],
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
                    last("reflection", "seq")?,
                    last("principle", "seq")?,
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
        self.read(Op::Export, wait, |connection| {
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
    let [
        projects,
        sessions,
        events,
        handoffs,
        decisions,
        notes,
        reflections,
        principles,
    ] = walk.marks;
    let mark = match stage {
        Stage::Projects => projects,
        Stage::Sessions => sessions,
        Stage::Events => events,
        Stage::Handoffs => handoffs,
        Stage::Decisions => decisions,
        Stage::Notes => notes,
        Stage::Reflections => reflections,
        Stage::Principles => principles,
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
        // What stands for another is among the aliases of that one.
        Stage::Projects => " and p.stands_for is null",
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
        Stage::Reflections => (reflection::COLUMNS, "r", "seq"),
        Stage::Principles => (principle::COLUMNS, "p", "seq"),
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
        Stage::Reflections => {
            let (row, bytes) = read_reflection(row, tenant)?;
            let sensitivity = row.sensitivity;
            (vec![Line::Reflection(row)], bytes, sensitivity)
        }
        Stage::Principles => {
            let (row, bytes) = read_principle(row, tenant)?;
            let sensitivity = row.sensitivity;
            (vec![Line::Principle(row)], bytes, sensitivity)
        }
    };
    Ok(Found {
        seq,
        lines,
        bytes,
        sensitivity,
    })
}

/// The first row of a statement over `stage`'s columns with this condition on ?1, the tenant, and ?2.
fn one<T>(
    connection: &Connection,
    stage: Stage,
    condition: &str,
    params: impl rusqlite::Params,
    read: impl FnOnce(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    let (columns, table, _) = columns(stage);
    let sql = format!("{columns} where {table}.tenant_no = ?1 and {table}.{condition} = ?2");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params)?;
    rows.next()?.map(read).transpose()
}

/// A project as it is exported.
pub(super) fn project_by_id(
    connection: &Connection,
    tenant: &TenantId,
    tenant_no: i64,
    id: &Name,
) -> Result<Option<ProjectRow>, StoreError> {
    let params = (tenant_no, id.as_str());
    one(connection, Stage::Projects, "project_id", params, |row| {
        read_project(row, tenant)
    })
}

/// A session as it is exported.
pub(super) fn session_by_id(
    connection: &Connection,
    tenant: &TenantId,
    tenant_no: i64,
    id: &Name,
) -> Result<Option<SessionRow>, StoreError> {
    let params = (tenant_no, id.as_str());
    let condition = "forgotten_at is null and s.session_id";
    one(connection, Stage::Sessions, condition, params, |row| {
        read_session(row, tenant)
    })
}

/// An event as it is exported, with its artifact.
pub(super) fn event_by_id(
    connection: &Connection,
    tenant: &TenantId,
    tenant_no: i64,
    id: EventId,
) -> Result<Option<(EventRow, Option<ArtifactRow>)>, StoreError> {
    one(
        connection,
        Stage::Events,
        "id",
        (tenant_no, id.bytes()),
        |row| {
            let event = read_event(row, tenant)?;
            let artifact = artifact(connection, tenant_no, &event)?;
            Ok((event, artifact))
        },
    )
}

/// A handoff as it is exported.
pub(super) fn handoff_by_id(
    connection: &Connection,
    tenant: &TenantId,
    tenant_no: i64,
    id: HandoffId,
) -> Result<Option<HandoffRow>, StoreError> {
    one(
        connection,
        Stage::Handoffs,
        "id",
        (tenant_no, id.bytes()),
        |row| read_handoff(row, tenant).map(|(row, _)| row),
    )
}

/// A decision as it is exported.
pub(super) fn decision_by_id(
    connection: &Connection,
    tenant: &TenantId,
    tenant_no: i64,
    id: DecisionId,
) -> Result<Option<DecisionRow>, StoreError> {
    one(
        connection,
        Stage::Decisions,
        "id",
        (tenant_no, id.bytes()),
        |row| read_decision(row, tenant).map(|(row, _)| row),
    )
}

/// A note as it is exported.
pub(super) fn note_by_id(
    connection: &Connection,
    tenant: &TenantId,
    tenant_no: i64,
    id: NoteId,
) -> Result<Option<NoteRow>, StoreError> {
    one(
        connection,
        Stage::Notes,
        "id",
        (tenant_no, id.bytes()),
        |row| read_note(row, tenant).map(|(row, _)| row),
    )
}

/// A reflection as it is exported.
pub(super) fn reflection_by_id(
    connection: &Connection,
    tenant: &TenantId,
    tenant_no: i64,
    id: ReflectionId,
) -> Result<Option<ReflectionRow>, StoreError> {
    let params = (tenant_no, id.bytes());
    one(connection, Stage::Reflections, "id", params, |row| {
        read_reflection(row, tenant).map(|(row, _)| row)
    })
}

/// A principle as it is exported.
pub(super) fn principle_by_id(
    connection: &Connection,
    tenant: &TenantId,
    tenant_no: i64,
    id: PrincipleId,
) -> Result<Option<PrincipleRow>, StoreError> {
    let params = (tenant_no, id.bytes());
    one(connection, Stage::Principles, "id", params, |row| {
        read_principle(row, tenant).map(|(row, _)| row)
    })
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
