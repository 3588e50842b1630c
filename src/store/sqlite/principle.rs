//! Principles.
//!
//! **Invariant:** what is found again updates what was there, in the table and in the index, and keeps its first time.

use rusqlite::{Connection, Row, named_params};

use crate::domain::page::{Direction, List, Page, Paged, Position, Rows};
use crate::domain::principle::{NewPrinciple, Principle, PrincipleBody, chunks_of};
use crate::domain::{
    AuditAction, Caller, EntityType, HandoffId, PrincipleId, Sensitivity, Stat, TenantId, Timestamp,
};
use crate::store::measure::Op;
use crate::store::sqlite::chunk::EntityText;
use crate::store::sqlite::consolidation::forget_changes;
use crate::store::sqlite::error::damaged;
use crate::store::sqlite::passage::{self, Owner, Span};
use crate::store::sqlite::rows::{empty, page_params, paged_sql, read_ids, take_rows, write_ids};
use crate::store::sqlite::unit::{Unit, find, tenant_no};
use crate::store::{Pending, StoreError, Wait};

/// Columns of a principle; [`read_principle`] reads them.
pub(super) const COLUMNS: &str =
    "select p.seq, p.id, p.text, p.source_handoffs, p.count, p.sensitivity, p.created_at, p.updated_at
     from principle p";

fn read_body(row: &Row<'_>) -> Result<PrincipleBody, StoreError> {
    Ok(PrincipleBody {
        text: row.get(2)?,
        source_handoffs: read_ids(row, 3)?,
        count: row.get(4)?,
        sensitivity: Sensitivity::from_code(row.get(5)?).ok_or_else(|| damaged("sensitivity"))?,
    })
}

/// Reads a row of [`COLUMNS`].
pub(super) fn read_principle(
    row: &Row<'_>,
    tenant: &TenantId,
) -> Result<(Position, Principle), StoreError> {
    let created_at = Timestamp::from_millis(row.get(6)?);
    let position = Position {
        ts: created_at,
        seq: row.get(0)?,
    };
    let principle = Principle {
        principle_id: PrincipleId::from_bytes(row.get(1)?),
        tenant_id: tenant.clone(),
        body: read_body(row)?,
        created_at,
        updated_at: Timestamp::from_millis(row.get(7)?),
    };
    Ok((position, principle))
}

fn by_id(
    connection: &Connection,
    tenant_no: i64,
    tenant: &TenantId,
    id: PrincipleId,
) -> Result<Option<(i64, Principle)>, StoreError> {
    let sql = format!("{COLUMNS} where p.tenant_no = ?1 and p.id = ?2");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query((tenant_no, id.bytes()))?;
    let found = rows.next()?.map(|row| read_principle(row, tenant));
    Ok(found
        .transpose()?
        .map(|(position, principle)| (position.seq, principle)))
}

/// The text that a principle's passages are ranges of.
pub(super) fn text(connection: &Connection, seq: i64) -> Result<Option<EntityText>, StoreError> {
    let sql = format!("{COLUMNS} where p.seq = ?1");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([seq])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let body = read_body(row)?;
    Ok(Some(EntityText {
        id: PrincipleId::from_bytes(row.get(1)?).to_string(),
        whole: body.text,
        tags: Vec::new(),
        refs: body
            .source_handoffs
            .iter()
            .map(HandoffId::to_string)
            .collect(),
        chunk_first: span(connection, seq)?.first,
        status: None,
        superseded_by: None,
    }))
}

fn span(connection: &Connection, seq: i64) -> Result<Span, StoreError> {
    find(
        connection,
        "select chunk_first, chunk_count from principle where seq = ?1",
        [seq],
        Span::read,
    )?
    .ok_or(StoreError::NotFound("principle"))
}

/// Principles that a reader may see, in the order of this time, one more than the page asks for.
fn select(
    connection: &Connection,
    caller: &Caller,
    tenant_no: i64,
    order: &str,
    page: &Page,
) -> Result<Rows<Principle>, StoreError> {
    let mut params = page_params(tenant_no, page).to_vec();
    params.push((":clearance", caller.clearance().code().into()));
    let mut statement = connection.prepare_cached(&list_sql(order, page))?;
    let mut rows = statement.query(params.as_slice())?;
    take_rows(&mut rows, |row| {
        let read = read_principle(row, &caller.tenant)?;
        let bytes = read.1.body.bytes();
        Ok((read, bytes))
    })
}

/// The order of the list.
const FOUND_FIRST: &str = "p.created_at";
/// The order of a wake-up.
const FOUND_LAST: &str = "p.updated_at";

fn list_sql(order: &str, page: &Page) -> String {
    let conditions = "p.tenant_no = :tenant_no and p.sensitivity <= :clearance";
    paged_sql(COLUMNS, conditions, order, "p.seq", page)
}

/// The principles that were found again last, of those that a reader may see.
pub(super) fn newest(
    connection: &Connection,
    caller: &Caller,
    tenant_no: i64,
    limit: u32,
) -> Result<Vec<Principle>, StoreError> {
    let page = Page::first(limit, Direction::Descending);
    let rows = select(connection, caller, tenant_no, FOUND_LAST, &page)?;
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let found = rows.items.into_iter().take(most);
    Ok(found.map(|(_, principle)| principle).collect())
}

/// Most principles of a tenant that consolidation looks at; a planner makes fewer.
const MOST: u32 = 10_000;

/// The principles of a tenant, whatever their sensitivity, in the order of their first finding.
pub(super) fn all(
    connection: &Connection,
    tenant_no: i64,
    tenant: &TenantId,
) -> Result<Vec<Principle>, StoreError> {
    let sql = format!("{COLUMNS} where p.tenant_no = ?1 order by p.created_at, p.seq limit ?2");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query((tenant_no, MOST))?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        all.push(read_principle(row, tenant)?.1);
    }
    Ok(all)
}

impl super::Sqlite {
    pub(in crate::store) fn write_principle(
        &self,
        tenant: &TenantId,
        new: NewPrinciple,
        now: Timestamp,
    ) -> Result<Pending<Principle>, StoreError> {
        let tenant = tenant.clone();
        self.write(Op::ReflectionWrite, new.body.bytes(), move |unit| {
            let tenant_no = unit.tenant_or_new(&tenant, now)?;
            write(unit, tenant_no, &tenant, &new)?;
            unit.did(&tenant, AuditAction::PrincipleWrite, new.id.bytes());
            let written = by_id(unit.connection, tenant_no, &tenant, new.id)?;
            written
                .map(|(_, principle)| principle)
                .ok_or_else(|| damaged("principle"))
        })
    }

    pub(in crate::store) fn forget_principle(
        &self,
        tenant: &TenantId,
        id: PrincipleId,
    ) -> Result<Pending<()>, StoreError> {
        let tenant = tenant.clone();
        self.write(Op::Forget, 64, move |unit| {
            let tenant_no = unit.tenant(&tenant, "principle")?;
            let sql = "select seq from principle where tenant_no = ?1 and id = ?2";
            let seq = unit.find(sql, (tenant_no, id.bytes()), |row| row.get(0))?;
            forget(
                unit,
                tenant_no,
                seq.ok_or(StoreError::NotFound("principle"))?,
            )?;
            unit.did(&tenant, AuditAction::PrincipleForget, id.bytes());
            Ok(())
        })
    }

    pub(in crate::store) fn principle(
        &self,
        wait: Wait,
        tenant: &TenantId,
        id: PrincipleId,
    ) -> Result<Option<Principle>, StoreError> {
        self.read(Op::ReflectionRead, wait, |connection| {
            let Some(tenant_no) = tenant_no(connection, tenant)? else {
                return Ok(None);
            };
            let found = by_id(connection, tenant_no, tenant, id)?;
            Ok(found.map(|(_, principle)| principle))
        })
    }

    pub(in crate::store) fn principles(
        &self,
        wait: Wait,
        caller: &Caller,
        page: &Page,
    ) -> Result<Paged<Principle>, StoreError> {
        self.read(Op::ReflectionRead, wait, |connection| {
            let Some(tenant_no) = tenant_no(connection, &caller.tenant)? else {
                return Ok(empty());
            };
            let rows = select(connection, caller, tenant_no, FOUND_FIRST, page)?;
            Ok(Paged::from_rows(List::Principles, page, rows))
        })
    }
}

/// Stores a principle, or gives the one of this id what this one says; the same again changes nothing.
pub(super) fn write(
    unit: &mut Unit<'_>,
    tenant_no: i64,
    tenant: &TenantId,
    new: &NewPrinciple,
) -> Result<(), StoreError> {
    write_at(unit, tenant_no, tenant, new, None)
}

/// The same; one that is new gets this number, if that is free.
pub(super) fn write_at(
    unit: &mut Unit<'_>,
    tenant_no: i64,
    tenant: &TenantId,
    new: &NewPrinciple,
    seq: Option<i64>,
) -> Result<(), StoreError> {
    let body = &new.body;
    let mut created_at = new.created_at;
    match by_id(unit.connection, tenant_no, tenant, new.id)? {
        Some((_, stored)) if stored.body == *body => return Ok(()),
        Some((seq, stored)) => {
            created_at = stored.created_at;
            let span = span(unit.connection, seq)?;
            passage::delete(unit, tenant_no, span, &chunks_of(&stored.body, created_at))?;
            unit.effects
                .count(tenant_no, Stat::TextBytes, -text_bytes(&stored.body));
        }
        None => unit.effects.count(tenant_no, Stat::Principles, 1),
    }
    unit.effects
        .count(tenant_no, Stat::TextBytes, text_bytes(body));
    unit.effects.redacted(tenant_no, &new.redactions);
    // By the stored time, since a deletion makes the terms again from what is stored.
    let chunks = chunks_of(body, created_at);
    let span = passage::next_span(unit.connection, &chunks)?;
    let owner = Owner {
        tenant_no,
        entity_type: EntityType::Principle,
        entity_seq: put(unit, tenant_no, (span, seq), new)?,
        session_no: None,
        project_no: None,
        ts: created_at,
        sensitivity: body.sensitivity,
    };
    passage::insert(unit, &owner, span, &chunks)
}

/// The row's number; one that is there keeps it, and the time when it was found first.
fn put(
    unit: &Unit<'_>,
    tenant_no: i64,
    (span, seq): (Span, Option<i64>),
    new: &NewPrinciple,
) -> Result<i64, StoreError> {
    let body = &new.body;
    let mut statement = unit.prepare(
        "insert into principle (seq, tenant_no, id, text, source_handoffs, count, sensitivity, created_at, updated_at,
             chunk_first, chunk_count)
         values ((select :seq where not exists (select 1 from principle where seq = :seq)),
             :tenant_no, :id, :text, :source_handoffs, :count, :sensitivity, :created_at, :updated_at,
             :chunk_first, :chunk_count)
         on conflict (tenant_no, id) do update set text = excluded.text, source_handoffs = excluded.source_handoffs,
             count = excluded.count, sensitivity = excluded.sensitivity, updated_at = excluded.updated_at,
             chunk_first = excluded.chunk_first, chunk_count = excluded.chunk_count
         returning seq",
    )?;
    let params = named_params! {
        ":seq": seq,
        ":tenant_no": tenant_no,
        ":id": new.id.bytes(),
        ":text": body.text,
        ":source_handoffs": write_ids(&body.source_handoffs),
        ":count": body.count,
        ":sensitivity": body.sensitivity.code(),
        ":created_at": new.created_at.millis(),
        ":updated_at": new.updated_at.millis(),
        ":chunk_first": span.first,
        ":chunk_count": span.count,
    };
    Ok(statement.query_row(params, |row| row.get(0))?)
}

/// Takes a principle out for good: out of every table and the index, and of what consolidation keeps of it.
pub(super) fn forget(unit: &mut Unit<'_>, tenant_no: i64, seq: i64) -> Result<(), StoreError> {
    let id: Option<[u8; 16]> =
        unit.find("select id from principle where seq = ?1", [seq], |row| {
            row.get(0)
        })?;
    take_out(unit, tenant_no, seq)?;
    id.map_or(Ok(()), |id| {
        forget_changes(unit, tenant_no, EntityType::Principle, &id)
    })
}

/// Takes a principle out of its table and the index.
pub(super) fn take_out(unit: &mut Unit<'_>, tenant_no: i64, seq: i64) -> Result<(), StoreError> {
    let sql = format!("{COLUMNS} where p.seq = ?1");
    let mut statement = unit.prepare(&sql)?;
    let mut rows = statement.query([seq])?;
    let row = rows.next()?.ok_or(StoreError::NotFound("principle"))?;
    let body = read_body(row)?;
    let created_at = Timestamp::from_millis(row.get(6)?);
    drop(rows);
    drop(statement);
    let span = span(unit.connection, seq)?;
    passage::delete(unit, tenant_no, span, &chunks_of(&body, created_at))?;
    unit.execute("delete from principle where seq = ?1", [seq])?;
    unit.effects.count(tenant_no, Stat::Principles, -1);
    unit.effects
        .count(tenant_no, Stat::TextBytes, -text_bytes(&body));
    Ok(())
}

fn text_bytes(body: &PrincipleBody) -> i64 {
    i64::try_from(body.bytes()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::testing;

    #[test]
    fn lists_walk_an_index_and_sort_nothing() {
        let (_dir, connection) = testing::connection();
        let page = Page::first(3, Direction::Descending);
        for (order, index) in [
            (FOUND_FIRST, "principle_by_time"),
            (FOUND_LAST, "principle_by_update"),
        ] {
            let plan = testing::plan(&connection, &list_sql(order, &page));
            assert!(plan.contains(index), "{plan}");
            assert!(
                !plan.contains("SCAN p") && !plan.contains("TEMP B-TREE"),
                "{plan}"
            );
        }
    }
}
