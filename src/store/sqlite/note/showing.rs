//! Which notes are shown where there is little room: a fact that was noted again and again once, with a count.
//!
//! **Invariant:** a note that is shown by another names one that is shown itself, and that one counts it.

use rusqlite::Connection;

use crate::domain::note::Note;
use crate::domain::page::{Direction, Page, Rows};
use crate::domain::{NoteId, TenantId};
use crate::store::StoreError;
use crate::store::sqlite::note::{COLUMNS, read_note, select};
use crate::store::sqlite::rows::{page_params, paged_sql, project_parts, take_rows};
use crate::store::sqlite::unit::Unit;

/// The notes worth having at hand: pinned ones, then the newest others, `limit` in all.
pub(in crate::store::sqlite) fn at_hand(
    connection: &Connection,
    tenant_no: i64,
    tenant: &TenantId,
    project_no: Option<Option<i64>>,
    limit: u32,
) -> Result<Vec<Note>, StoreError> {
    let page = Page::first(limit, Direction::Descending);
    // What is pinned is always shown by itself.
    let pinned = select(connection, tenant_no, tenant, project_no, Some(true), &page)?;
    let others = shown(connection, tenant_no, tenant, project_no, &page)?;
    let notes = pinned.items.into_iter().chain(others.items);
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    Ok(notes.map(|(_, note)| note).take(most).collect())
}

/// Notes that are not pinned and not shown by another one.
fn shown(
    connection: &Connection,
    tenant_no: i64,
    tenant: &TenantId,
    project_no: Option<Option<i64>>,
    page: &Page,
) -> Result<Rows<Note>, StoreError> {
    let mut found = Vec::new();
    for (condition, project) in project_parts(project_no, "n.project_no") {
        let mut params = page_params(tenant_no, page).to_vec();
        params.extend(project.map(|number| (":project_no", number.into())));
        let mut statement = connection.prepare_cached(&shown_sql(&condition, page))?;
        let mut rows = statement.query(params.as_slice())?;
        found.push(take_rows(&mut rows, |row| {
            let read = read_note(row, tenant)?;
            let bytes = read.1.body.bytes();
            Ok((read, bytes))
        })?);
    }
    Ok(Rows::merge(found, page))
}

/// Names its index, as the one that has these rows alone.
fn shown_sql(project: &str, page: &Page) -> String {
    let index = if project.is_empty() {
        "note_shown"
    } else {
        "note_shown_by_project"
    };
    let columns = COLUMNS.replace("from note n", &format!("from note n indexed by {index}"));
    let conditions =
        format!("n.tenant_no = :tenant_no{project} and n.pinned = 0 and n.duplicate_of is null");
    paged_sql(&columns, &conditions, "n.created_at", "n.seq", page)
}

/// Shows a note by another one that says the same, or by itself; that one counts it. One that is gone or is itself shown by
/// another shows nothing.
pub(in crate::store::sqlite) fn show_by(
    unit: &Unit<'_>,
    tenant_no: i64,
    id: NoteId,
    into: Option<NoteId>,
) -> Result<(), StoreError> {
    let sql = "select duplicate_of from note where tenant_no = ?1 and id = ?2";
    let was: Option<Option<[u8; 16]>> =
        unit.find(sql, (tenant_no, id.bytes()), |row| row.get(0))?;
    let Some(was) = was else { return Ok(()) };
    let shows = "select 1 from note where tenant_no = ?1 and id = ?2 and duplicate_of is null";
    let into = match into {
        Some(into) => unit
            .find(shows, (tenant_no, into.bytes()), |_| Ok(()))?
            .map(|()| *into.bytes()),
        None => None,
    };
    if was == into {
        return Ok(());
    }
    if into.is_some() {
        release(unit, tenant_no, id)?;
    }
    let sql = "update note set duplicate_of = ?3 where tenant_no = ?1 and id = ?2";
    unit.execute(sql, (tenant_no, id.bytes(), into))?;
    for (other, by) in [(was, -1), (into, 1)] {
        let sql =
            "update note set duplicates = max(duplicates + ?3, 0) where tenant_no = ?1 and id = ?2";
        unit.execute(sql, (tenant_no, other, by))?;
    }
    Ok(())
}

/// Shows a note, and those that it was shown for, each by itself: it says something else now, or is gone.
pub(super) fn stand_alone(unit: &Unit<'_>, tenant_no: i64, id: NoteId) -> Result<(), StoreError> {
    show_by(unit, tenant_no, id, None)?;
    release(unit, tenant_no, id)
}

/// Shows those that a note was shown for each by itself.
fn release(unit: &Unit<'_>, tenant_no: i64, id: NoteId) -> Result<(), StoreError> {
    let sql = "update note set duplicate_of = null where tenant_no = ?1 and duplicate_of = ?2";
    if unit.execute(sql, (tenant_no, id.bytes()))? > 0 {
        let sql = "update note set duplicates = 0 where tenant_no = ?1 and id = ?2";
        unit.execute(sql, (tenant_no, id.bytes()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::testing;

    #[test]
    fn what_is_shown_walks_an_index_and_sorts_nothing() {
        let (_dir, connection) = testing::connection();
        let page = Page::first(3, Direction::Descending);
        for project in [
            "",
            " and n.project_no is null",
            " and n.project_no = :project_no",
        ] {
            let plan = testing::plan(&connection, &shown_sql(project, &page));
            assert!(
                plan.contains("note_shown") && !plan.contains("TEMP B-TREE"),
                "{plan}"
            );
        }
    }
}
