//! Reflections.
//!
//! **Invariant:** what is written about a period again takes the place of what was there, in the table and in the index.

use rusqlite::{Connection, Row, named_params};

use crate::domain::page::{Direction, List, Page, Paged, Position, Rows};
use crate::domain::reflection::{NewReflection, Reflection, ReflectionBody, chunks_of};
use crate::domain::{
    AuditAction, Caller, EntityType, ReflectionId, Sensitivity, Stat, TenantId, Timestamp,
};
use crate::store::measure::Op;
use crate::store::sqlite::chunk::EntityText;
use crate::store::sqlite::consolidation::forget_changes;
use crate::store::sqlite::error::damaged;
use crate::store::sqlite::passage::{self, Owner, Span};
use crate::store::sqlite::rows::{empty, page_params, paged_sql, read_list, take_rows, write_list};
use crate::store::sqlite::unit::{Unit, find, tenant_no};
use crate::store::{Pending, StoreError, Wait};

/// Columns of a reflection; [`read_reflection`] reads them.
pub(super) const COLUMNS: &str =
    "select r.seq, r.id, r.period_start, r.period_end, r.session_count, r.summary, r.insights, r.themes, r.sensitivity,
         r.created_at
     from reflection r";

fn read_body(row: &Row<'_>) -> Result<ReflectionBody, StoreError> {
    Ok(ReflectionBody {
        period_start: Timestamp::from_millis(row.get(2)?),
        period_end: Timestamp::from_millis(row.get(3)?),
        session_count: row.get(4)?,
        summary: row.get(5)?,
        insights: read_list(row, 6)?,
        themes: read_list(row, 7)?,
        sensitivity: Sensitivity::from_code(row.get(8)?).ok_or_else(|| damaged("sensitivity"))?,
    })
}

/// Reads a row of [`COLUMNS`].
pub(super) fn read_reflection(
    row: &Row<'_>,
    tenant: &TenantId,
) -> Result<(Position, Reflection), StoreError> {
    let body = read_body(row)?;
    let position = Position {
        ts: body.period_end,
        seq: row.get(0)?,
    };
    let reflection = Reflection {
        reflection_id: ReflectionId::from_bytes(row.get(1)?),
        tenant_id: tenant.clone(),
        body,
        created_at: Timestamp::from_millis(row.get(9)?),
    };
    Ok((position, reflection))
}

/// A reflection with its number.
pub(super) fn by_id(
    connection: &Connection,
    tenant_no: i64,
    tenant: &TenantId,
    id: ReflectionId,
) -> Result<Option<(i64, Reflection)>, StoreError> {
    let sql = format!("{COLUMNS} where r.tenant_no = ?1 and r.id = ?2");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query((tenant_no, id.bytes()))?;
    let found = rows.next()?.map(|row| read_reflection(row, tenant));
    Ok(found
        .transpose()?
        .map(|(position, reflection)| (position.seq, reflection)))
}

/// The text that a reflection's passages are ranges of.
pub(super) fn text(connection: &Connection, seq: i64) -> Result<Option<EntityText>, StoreError> {
    let sql = format!("{COLUMNS} where r.seq = ?1");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([seq])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let body = read_body(row)?;
    Ok(Some(EntityText {
        id: ReflectionId::from_bytes(row.get(1)?).to_string(),
        whole: body.searchable(),
        tags: body.themes,
        refs: Vec::new(),
        chunk_first: span(connection, seq)?.first,
        status: None,
        superseded_by: None,
    }))
}

fn span(connection: &Connection, seq: i64) -> Result<Span, StoreError> {
    find(
        connection,
        "select chunk_first, chunk_count from reflection where seq = ?1",
        [seq],
        Span::read,
    )?
    .ok_or(StoreError::NotFound("reflection"))
}

/// Reflections that a reader may see, in order, one more than the page asks for.
pub(super) fn select(
    connection: &Connection,
    caller: &Caller,
    tenant_no: i64,
    page: &Page,
) -> Result<Rows<Reflection>, StoreError> {
    let mut params = page_params(tenant_no, page).to_vec();
    params.push((":clearance", caller.clearance().code().into()));
    let mut statement = connection.prepare_cached(&list_sql(page))?;
    let mut rows = statement.query(params.as_slice())?;
    take_rows(&mut rows, |row| {
        let read = read_reflection(row, &caller.tenant)?;
        let bytes = read.1.body.bytes();
        Ok((read, bytes))
    })
}

fn list_sql(page: &Page) -> String {
    let conditions = "r.tenant_no = :tenant_no and r.sensitivity <= :clearance";
    paged_sql(COLUMNS, conditions, "r.period_end", "r.seq", page)
}

/// The newest reflections that a reader may see.
pub(super) fn newest(
    connection: &Connection,
    caller: &Caller,
    tenant_no: i64,
    limit: u32,
) -> Result<Vec<Reflection>, StoreError> {
    let page = Page::first(limit, Direction::Descending);
    let rows = select(connection, caller, tenant_no, &page)?;
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let found = rows.items.into_iter().take(most);
    Ok(found.map(|(_, reflection)| reflection).collect())
}

impl super::Sqlite {
    pub(in crate::store) fn write_reflection(
        &self,
        tenant: &TenantId,
        new: NewReflection,
        now: Timestamp,
    ) -> Result<Pending<Reflection>, StoreError> {
        let tenant = tenant.clone();
        self.write(Op::ReflectionWrite, new.body.bytes(), move |unit| {
            let tenant_no = unit.tenant_or_new(&tenant, now)?;
            write(unit, tenant_no, &tenant, &new)?;
            unit.did(&tenant, AuditAction::ReflectionWrite, new.id.bytes());
            let written = by_id(unit.connection, tenant_no, &tenant, new.id)?;
            written
                .map(|(_, reflection)| reflection)
                .ok_or_else(|| damaged("reflection"))
        })
    }

    pub(in crate::store) fn forget_reflection(
        &self,
        tenant: &TenantId,
        id: ReflectionId,
    ) -> Result<Pending<()>, StoreError> {
        let tenant = tenant.clone();
        self.write(Op::Forget, 64, move |unit| {
            let tenant_no = unit.tenant(&tenant, "reflection")?;
            let sql = "select seq from reflection where tenant_no = ?1 and id = ?2";
            let seq = unit.find(sql, (tenant_no, id.bytes()), |row| row.get(0))?;
            forget(
                unit,
                tenant_no,
                seq.ok_or(StoreError::NotFound("reflection"))?,
            )?;
            unit.did(&tenant, AuditAction::ReflectionForget, id.bytes());
            Ok(())
        })
    }

    pub(in crate::store) fn reflection(
        &self,
        wait: Wait,
        tenant: &TenantId,
        id: ReflectionId,
    ) -> Result<Option<Reflection>, StoreError> {
        self.read(Op::ReflectionRead, wait, |connection| {
            let Some(tenant_no) = tenant_no(connection, tenant)? else {
                return Ok(None);
            };
            let found = by_id(connection, tenant_no, tenant, id)?;
            Ok(found.map(|(_, reflection)| reflection))
        })
    }

    pub(in crate::store) fn reflections(
        &self,
        wait: Wait,
        caller: &Caller,
        page: &Page,
    ) -> Result<Paged<Reflection>, StoreError> {
        self.read(Op::ReflectionRead, wait, |connection| {
            let Some(tenant_no) = tenant_no(connection, &caller.tenant)? else {
                return Ok(empty());
            };
            let rows = select(connection, caller, tenant_no, page)?;
            Ok(Paged::from_rows(List::Reflections, page, rows))
        })
    }
}

/// Stores a reflection, or gives the one of this id what this one says; the same again changes nothing.
pub(super) fn write(
    unit: &mut Unit<'_>,
    tenant_no: i64,
    tenant: &TenantId,
    new: &NewReflection,
) -> Result<(), StoreError> {
    write_at(unit, tenant_no, tenant, new, None)
}

/// The same; one that is new gets this number, if that is free.
pub(super) fn write_at(
    unit: &mut Unit<'_>,
    tenant_no: i64,
    tenant: &TenantId,
    new: &NewReflection,
    seq: Option<i64>,
) -> Result<(), StoreError> {
    let body = &new.body;
    match by_id(unit.connection, tenant_no, tenant, new.id)? {
        Some((_, stored)) if stored.body == *body => return Ok(()),
        Some((seq, stored)) => {
            let span = span(unit.connection, seq)?;
            passage::delete(unit, tenant_no, span, &chunks_of(&stored.body))?;
            unit.effects
                .count(tenant_no, Stat::TextBytes, -text_bytes(&stored.body));
        }
        None => unit.effects.count(tenant_no, Stat::Reflections, 1),
    }
    unit.effects
        .count(tenant_no, Stat::TextBytes, text_bytes(body));
    unit.effects.redacted(tenant_no, &new.redactions);
    let span = passage::next_span(unit.connection, &new.chunks)?;
    let owner = Owner {
        tenant_no,
        entity_type: EntityType::Reflection,
        entity_seq: put(unit, tenant_no, (span, seq), new)?,
        session_no: None,
        project_no: None,
        ts: body.ts(),
        sensitivity: body.sensitivity,
    };
    passage::insert(unit, &owner, span, &new.chunks)
}

/// The row's number; one that is there keeps it, and the time when it was written first.
fn put(
    unit: &Unit<'_>,
    tenant_no: i64,
    (span, seq): (Span, Option<i64>),
    new: &NewReflection,
) -> Result<i64, StoreError> {
    let body = &new.body;
    let mut statement = unit.prepare(
        "insert into reflection (seq, tenant_no, id, period_start, period_end, session_count, summary, insights, themes,
             sensitivity, created_at, chunk_first, chunk_count)
         values ((select :seq where not exists (select 1 from reflection where seq = :seq)),
             :tenant_no, :id, :period_start, :period_end, :session_count, :summary, :insights, :themes,
             :sensitivity, :created_at, :chunk_first, :chunk_count)
         on conflict (tenant_no, id) do update set period_start = excluded.period_start, period_end = excluded.period_end,
             session_count = excluded.session_count, summary = excluded.summary, insights = excluded.insights,
             themes = excluded.themes, sensitivity = excluded.sensitivity, chunk_first = excluded.chunk_first,
             chunk_count = excluded.chunk_count
         returning seq",
    )?;
    let params = named_params! {
        ":seq": seq,
        ":tenant_no": tenant_no,
        ":id": new.id.bytes(),
        ":period_start": body.period_start.millis(),
        ":period_end": body.period_end.millis(),
        ":session_count": body.session_count,
        ":summary": body.summary,
        ":insights": write_list(&body.insights),
        ":themes": write_list(&body.themes),
        ":sensitivity": body.sensitivity.code(),
        ":created_at": new.created_at.millis(),
        ":chunk_first": span.first,
        ":chunk_count": span.count,
    };
    Ok(statement.query_row(params, |row| row.get(0))?)
}

/// Takes a reflection out for good: out of every table and the index, and of what consolidation keeps of it.
pub(super) fn forget(unit: &mut Unit<'_>, tenant_no: i64, seq: i64) -> Result<(), StoreError> {
    let id: Option<[u8; 16]> =
        unit.find("select id from reflection where seq = ?1", [seq], |row| {
            row.get(0)
        })?;
    take_out(unit, tenant_no, seq)?;
    id.map_or(Ok(()), |id| {
        forget_changes(unit, tenant_no, EntityType::Reflection, &id)
    })
}

/// Takes a reflection out of its table and the index.
pub(super) fn take_out(unit: &mut Unit<'_>, tenant_no: i64, seq: i64) -> Result<(), StoreError> {
    let sql = format!("{COLUMNS} where r.seq = ?1");
    let mut statement = unit.prepare(&sql)?;
    let mut rows = statement.query([seq])?;
    let row = rows.next()?.ok_or(StoreError::NotFound("reflection"))?;
    let body = read_body(row)?;
    drop(rows);
    drop(statement);
    let span = span(unit.connection, seq)?;
    passage::delete(unit, tenant_no, span, &chunks_of(&body))?;
    unit.execute("delete from reflection where seq = ?1", [seq])?;
    unit.effects.count(tenant_no, Stat::Reflections, -1);
    unit.effects
        .count(tenant_no, Stat::TextBytes, -text_bytes(&body));
    Ok(())
}

fn text_bytes(body: &ReflectionBody) -> i64 {
    i64::try_from(body.bytes()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::testing;

    #[test]
    fn lists_walk_an_index_and_sort_nothing() {
        let (_dir, connection) = testing::connection();
        for direction in [Direction::Ascending, Direction::Descending] {
            let sql = list_sql(&Page::first(3, direction));
            let plan = testing::plan(&connection, &sql);
            assert!(plan.contains("reflection_by_time"), "{plan}");
            assert!(
                !plan.contains("SCAN r") && !plan.contains("TEMP B-TREE"),
                "{plan}"
            );
        }
    }
}
