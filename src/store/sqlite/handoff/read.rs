//! Handoffs read back, by id and in lists.
//!
//! **Invariant:** every list walks an index in its order.

use rusqlite::{Connection, Row};

use crate::domain::handoff::{Fields, Handoff, HandoffFilter};
use crate::domain::page::{Page, Position, Rows};
use crate::domain::{
    Caller, ChunkField, CompressionLevel, HandoffId, Name, Origin, Sensitivity, TenantId, Timestamp,
};
use crate::store::StoreError;
use crate::store::sqlite::chunk::EntityText;
use crate::store::sqlite::error::damaged;
use crate::store::sqlite::rows::{page_params, paged_sql, project_parts, read_list, take_rows};
use crate::store::sqlite::session;

/// Columns of a handoff; [`read_handoff`] reads them.
pub(in crate::store::sqlite) const COLUMNS: &str = "select h.seq, h.id, p.project_id, s.session_id, h.with_whom, h.experienced, h.noticed, h.learned, h.story,
         h.becoming, h.remember, h.significance, h.tags, h.sensitivity, h.origin, h.compression_level, h.summary,
         h.quick_ref, h.created_at, h.fingerprint
     from handoff h
     join session s on s.session_no = h.session_no and s.forgotten_at is null
     left join project p on p.project_no = h.project_no";

/// Reads a row of [`COLUMNS`].
pub(in crate::store::sqlite) fn read_handoff(
    row: &Row<'_>,
    tenant: &TenantId,
) -> Result<(Position, Handoff), StoreError> {
    let created_at = Timestamp::from_millis(row.get(18)?);
    let handoff = Handoff {
        handoff_id: HandoffId::from_bytes(row.get(1)?),
        tenant_id: tenant.clone(),
        project_id: row.get::<_, Option<String>>(2)?.map(Name::stored),
        session_id: Name::stored(row.get(3)?),
        with_whom: Name::stored(row.get(4)?),
        fields: read_fields(row, 5)?,
        significance: row.get(11)?,
        tags: read_list(row, 12)?,
        sensitivity: Sensitivity::from_code(row.get(13)?).ok_or_else(|| damaged("sensitivity"))?,
        origin: Origin::from_code(row.get(14)?).ok_or_else(|| damaged("origin"))?,
        compression_level: CompressionLevel::from_code(row.get(15)?)
            .ok_or_else(|| damaged("compression level"))?,
        summary: row.get(16)?,
        quick_ref: row.get(17)?,
        created_at,
    };
    Ok((
        Position {
            ts: created_at,
            seq: row.get(0)?,
        },
        handoff,
    ))
}

/// Reads the six texts from column `first` on.
pub(in crate::store::sqlite) fn read_fields(
    row: &Row<'_>,
    first: usize,
) -> rusqlite::Result<Fields> {
    Ok(Fields {
        experienced: row.get(first)?,
        noticed: row.get(first + 1)?,
        learned: row.get(first + 2)?,
        story: row.get(first + 3)?,
        becoming: row.get(first + 4)?,
        remember: row.get(first + 5)?,
    })
}

/// The rows of a statement over [`COLUMNS`].
pub(in crate::store::sqlite) fn read_all(
    connection: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
    tenant: &TenantId,
) -> Result<Rows<Handoff>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    take_rows(&mut rows, |row| {
        let read = read_handoff(row, tenant)?;
        let bytes = read.1.fields.bytes();
        Ok((read, bytes))
    })
}

/// A handoff by its id.
pub(in crate::store::sqlite) fn by_id(
    connection: &Connection,
    tenant_no: i64,
    tenant: &TenantId,
    id: HandoffId,
) -> Result<Option<Handoff>, StoreError> {
    let sql = format!("{COLUMNS} where h.tenant_no = ?1 and h.id = ?2");
    let found = read_all(connection, &sql, (tenant_no, id.bytes()), tenant)?;
    Ok(found.items.into_iter().next().map(|(_, handoff)| handoff))
}

/// The text of one field, for its passages.
pub(in crate::store::sqlite) fn field_text(
    connection: &Connection,
    seq: i64,
    field: ChunkField,
) -> Result<Option<EntityText>, StoreError> {
    let mut statement = connection.prepare_cached(
        "select id, experienced, noticed, learned, story, becoming, remember, tags, chunk_first from handoff where seq = ?1",
    )?;
    let mut rows = statement.query([seq])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    Ok(Some(EntityText {
        id: HandoffId::from_bytes(row.get(0)?).to_string(),
        whole: read_fields(row, 1)?.get(field).to_owned(),
        tags: read_list(row, 7)?,
        refs: Vec::new(),
        chunk_first: row.get(8)?,
        status: None,
        superseded_by: None,
    }))
}

/// Handoffs of a reader's choice, in order, one more than the page asks for.
///
/// A project's list also shows what has no project. Each part walks its own index and gives at most `limit` rows, so
/// that a project with few handoffs among many does not make SQLite search for them.
pub(in crate::store::sqlite) fn select(
    connection: &Connection,
    caller: &Caller,
    tenant_no: i64,
    filter: &Selection,
    page: &Page,
) -> Result<Rows<Handoff>, StoreError> {
    let mut params = page_params(tenant_no, page).to_vec();
    params.push((":clearance", caller.clearance().code().into()));
    params.extend(
        filter
            .with_whom
            .iter()
            .map(|person| (":with_whom", person.as_str().to_owned().into())),
    );
    params.extend(
        filter
            .session_no
            .map(|number| (":session_no", number.into())),
    );
    let parts = project_parts(filter.project_no, "h.project_no");
    let mut found = Vec::with_capacity(parts.len());
    for (condition, project) in parts {
        let mut params = params.clone();
        params.extend(project.map(|number| (":project_no", number.into())));
        found.push(read_all(
            connection,
            &list_sql(filter, &condition, page),
            params.as_slice(),
            &caller.tenant,
        )?);
    }
    Ok(Rows::merge(found, page))
}

/// Which handoffs [`select`] gives, in the store's numbers.
#[derive(Debug, Default)]
pub(in crate::store::sqlite) struct Selection {
    pub(in crate::store::sqlite) with_whom: Option<Name>,
    /// `Some(None)`: of a project that is not known here, so only what has none.
    pub(in crate::store::sqlite) project_no: Option<Option<i64>>,
    pub(in crate::store::sqlite) session_no: Option<i64>,
}

fn list_sql(filter: &Selection, project: &str, page: &Page) -> String {
    let mut conditions = String::from("h.tenant_no = :tenant_no");
    if filter.session_no.is_some() {
        conditions.push_str(" and h.session_no = :session_no");
    }
    if filter.with_whom.is_some() {
        conditions.push_str(if filter.session_no.is_some() {
            " and +h.with_whom = :with_whom"
        } else {
            " and h.with_whom = :with_whom"
        });
    }
    conditions.push_str(project);
    conditions.push_str(" and h.sensitivity <= :clearance");
    paged_sql(COLUMNS, &conditions, "h.created_at", "h.seq", page)
}

/// A filter in the store's numbers; none if it names a session that is not there.
pub(in crate::store::sqlite) fn resolve(
    connection: &Connection,
    tenant_no: i64,
    filter: &HandoffFilter,
) -> rusqlite::Result<Option<Selection>> {
    let session_no = match &filter.session {
        None => None,
        Some(session) => match session::session_no(connection, tenant_no, session)? {
            None => return Ok(None),
            known => known,
        },
    };
    let project_no = session::resolve_project(connection, tenant_no, filter.project.as_ref())?;
    Ok(Some(Selection {
        with_whom: filter.with_whom.clone(),
        project_no,
        session_no,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::page::Direction;
    use crate::store::sqlite::testing;

    #[test]
    fn lists_walk_an_index_and_sort_nothing() {
        let (_dir, connection) = testing::connection();
        let person = || Some(Name::stored("Ada".to_owned()));
        let page = Page::first(3, Direction::Descending);
        for (selection, project, index) in [
            (Selection::default(), "", "handoff_by_time"),
            (
                Selection::default(),
                " and h.project_no = :project_no",
                "handoff_by_project",
            ),
            (
                Selection::default(),
                " and h.project_no is null",
                "handoff_by_project",
            ),
            (
                Selection {
                    with_whom: person(),
                    ..Selection::default()
                },
                "",
                "handoff_by_person",
            ),
            (
                Selection {
                    with_whom: person(),
                    ..Selection::default()
                },
                " and h.project_no is null",
                "handoff_by_person_project",
            ),
            (
                Selection {
                    session_no: Some(1),
                    ..Selection::default()
                },
                "",
                "handoff_by_session",
            ),
        ] {
            let plan = testing::plan(&connection, &list_sql(&selection, project, &page));
            assert!(plan.contains(index), "{index}: {plan}");
            assert!(
                !plan.contains("SCAN h") && !plan.contains("TEMP B-TREE"),
                "{plan}"
            );
        }
    }
}
