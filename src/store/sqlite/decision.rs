//! Decisions and what took their place.
//!
//! **Invariant:** a superseded decision names an active or a later superseded one, so there are no cycles: a successor
//! has to be active when it takes the place.

use rusqlite::{Connection, Row, named_params};

use crate::domain::decision::{
    Decision, DecisionFilter, NewDecision, Statement, Successor, chunks_of,
};
use crate::domain::page::{List, Page, Paged, Position, Rows};
use crate::domain::{
    AuditAction, DecisionId, DecisionScope, DecisionStatus, EntityType, Name, Sensitivity, Stat,
    TenantId, Timestamp,
};
use crate::store::measure::Op;
use crate::store::sqlite::chunk::EntityText;
use crate::store::sqlite::consolidation::forget_changes;
use crate::store::sqlite::error::damaged;
use crate::store::sqlite::idempotency;
use crate::store::sqlite::passage::{self, Owner, Span};
use crate::store::sqlite::rows::{
    empty, page_params, paged_sql, project_parts, read_list, take_rows, write_list,
};
use crate::store::sqlite::session;
use crate::store::sqlite::unit::{Unit, tenant_no};
use crate::store::{IdempotencyKey, Pending, StoreError, Wait};

mod current;
mod succession;

pub(super) use current::current;
use succession::{may_be_superseded, may_supersede, put_in_place};

pub(super) const COLUMNS: &str = "select d.seq, d.id, p.project_id, d.ts, d.status, d.scope, d.decision, d.rationale, d.constraints,
         d.alternatives, d.consequences, d.refs, d.superseded_by,
         d.fingerprint, d.archived_at, d.last_recalled_at
     from decision d
     left join project p on p.project_no = d.project_no";

pub(super) fn read_decision(
    row: &Row<'_>,
    tenant: &TenantId,
) -> Result<(Position, Decision), StoreError> {
    let ts = Timestamp::from_millis(row.get(3)?);
    let decision = Decision {
        decision_id: DecisionId::from_bytes(row.get(1)?),
        tenant_id: tenant.clone(),
        project_id: row.get::<_, Option<String>>(2)?.map(Name::stored),
        ts,
        status: DecisionStatus::from_code(row.get(4)?).ok_or_else(|| damaged("decision status"))?,
        scope: DecisionScope::from_code(row.get(5)?).ok_or_else(|| damaged("decision scope"))?,
        statement: read_statement(row, 6)?,
        refs: read_list(row, 11)?,
        superseded_by: row
            .get::<_, Option<[u8; 16]>>(12)?
            .map(DecisionId::from_bytes),
        archived_at: row.get::<_, Option<i64>>(14)?.map(Timestamp::from_millis),
    };
    Ok((
        Position {
            ts,
            seq: row.get(0)?,
        },
        decision,
    ))
}

fn read_statement(row: &Row<'_>, first: usize) -> Result<Statement, StoreError> {
    Ok(Statement {
        decision: row.get(first)?,
        rationale: read_list(row, first + 1)?,
        constraints: read_list(row, first + 2)?,
        alternatives: read_list(row, first + 3)?,
        consequences: read_list(row, first + 4)?,
    })
}

fn by_id(
    connection: &Connection,
    tenant_no: i64,
    tenant: &TenantId,
    id: DecisionId,
) -> Result<Option<Decision>, StoreError> {
    let sql = format!("{COLUMNS} where d.tenant_no = ?1 and d.id = ?2");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query((tenant_no, id.bytes()))?;
    rows.next()?
        .map(|row| read_decision(row, tenant).map(|(_, decision)| decision))
        .transpose()
}

/// The text that a decision's passages are ranges of.
pub(super) fn text(connection: &Connection, seq: i64) -> Result<Option<EntityText>, StoreError> {
    let mut statement = connection.prepare_cached(
        "select id, decision, rationale, constraints, alternatives, consequences, refs, chunk_first, status, superseded_by
         from decision where seq = ?1",
    )?;
    let mut rows = statement.query([seq])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    Ok(Some(EntityText {
        id: DecisionId::from_bytes(row.get(0)?).to_string(),
        whole: read_statement(row, 1)?.searchable(),
        tags: Vec::new(),
        refs: read_list(row, 6)?,
        chunk_first: row.get(7)?,
        status: DecisionStatus::from_code(row.get(8)?),
        superseded_by: row
            .get::<_, Option<[u8; 16]>>(9)?
            .map(|id| DecisionId::from_bytes(id).to_string()),
    }))
}

/// Decisions of a project (and of none), in order, one more than the page asks for.
pub(super) fn select(
    connection: &Connection,
    tenant_no: i64,
    tenant: &TenantId,
    project_no: Option<Option<i64>>,
    filter: &DecisionFilter,
    page: &Page,
) -> Result<Rows<Decision>, StoreError> {
    let mut found = Vec::new();
    for (condition, project) in project_parts(project_no, "d.project_no") {
        let mut params = page_params(tenant_no, page).to_vec();
        params.extend(
            filter
                .status
                .map(|status| (":status", status.code().into())),
        );
        params.extend(filter.scope.map(|scope| (":scope", scope.code().into())));
        params.extend(project.map(|number| (":project_no", number.into())));
        let mut statement = connection.prepare_cached(&list_sql(filter, &condition, page))?;
        let mut rows = statement.query(params.as_slice())?;
        found.push(take(&mut rows, tenant)?);
    }
    Ok(Rows::merge(found, page))
}

fn take(rows: &mut rusqlite::Rows<'_>, tenant: &TenantId) -> Result<Rows<Decision>, StoreError> {
    take_rows(rows, |row| {
        let read = read_decision(row, tenant)?;
        let bytes = read.1.statement.searchable().len();
        Ok((read, bytes))
    })
}

fn list_sql(filter: &DecisionFilter, project: &str, page: &Page) -> String {
    let mut conditions = format!("d.tenant_no = :tenant_no{project}");
    if filter.status.is_some() {
        conditions.push_str(" and d.status = :status");
    }
    if filter.scope.is_some() {
        conditions.push_str(" and d.scope = :scope");
    }
    paged_sql(COLUMNS, &conditions, "d.ts", "d.seq", page)
}

/// Names its index: SQLite prefers the full one by status, and would walk every decision of the tenant.
fn standing_sql() -> String {
    let columns = COLUMNS.replace(
        "from decision d",
        "from decision d indexed by decision_standing",
    );
    format!(
        "{columns} where d.tenant_no = ?1 and d.status = 0 and d.scope >= 3 order by d.ts desc, d.seq desc limit ?2"
    )
}

/// The active decisions of scope policy and global, newest first.
pub(super) fn standing(
    connection: &Connection,
    tenant_no: i64,
    tenant: &TenantId,
    limit: u32,
) -> Result<Vec<Decision>, StoreError> {
    let mut statement = connection.prepare_cached(&standing_sql())?;
    let mut rows = statement.query((tenant_no, limit))?;
    Ok(take(&mut rows, tenant)?
        .items
        .into_iter()
        .map(|(_, decision)| decision)
        .collect())
}

impl super::Sqlite {
    pub(in crate::store) fn create_decision(
        &self,
        tenant: &TenantId,
        new: NewDecision,
        key: Option<IdempotencyKey>,
        now: Timestamp,
    ) -> Result<Pending<Decision>, StoreError> {
        let tenant = tenant.clone();
        self.write(
            Op::DecisionWrite,
            new.statement.searchable().len(),
            move |unit| {
                let tenant_no = unit.tenant_or_new(&tenant, now)?;
                let id = match idempotency::find::<DecisionId>(unit, tenant_no, key.as_ref(), now)?
                {
                    Some(id) => id,
                    None => {
                        create(unit, tenant_no, &new, now)?;
                        idempotency::keep(unit, tenant_no, key.as_ref(), &new.id, now)?;
                        unit.did(&tenant, AuditAction::DecisionCreate, new.id.bytes());
                        new.id
                    }
                };
                by_id(unit.connection, tenant_no, &tenant, id)?.ok_or(StoreError::Conflict(
                    "the decision of this Idempotency-Key was forgotten since",
                ))
            },
        )
    }

    pub(in crate::store) fn supersede(
        &self,
        tenant: &TenantId,
        id: DecisionId,
        successor: Successor,
        key: Option<IdempotencyKey>,
        now: Timestamp,
    ) -> Result<Pending<(Decision, Decision)>, StoreError> {
        let tenant = tenant.clone();
        self.write(Op::DecisionWrite, 256, move |unit| {
            let tenant_no = unit.tenant(&tenant, "decision")?;
            let get = |unit: &Unit<'_>, id| {
                by_id(unit.connection, tenant_no, &tenant, id)?
                    .ok_or(StoreError::NotFound("decision"))
            };
            if let Some(holds) =
                idempotency::find::<DecisionId>(unit, tenant_no, key.as_ref(), now)?
            {
                return Ok((get(unit, id)?, get(unit, holds)?));
            }
            let old = get(unit, id)?;
            let holds = match &successor {
                Successor::New(new) => {
                    // Told from a repetition under the client's own id, which answers as before.
                    if old.superseded_by != Some(new.id) {
                        may_be_superseded(&old)?;
                    }
                    create(unit, tenant_no, new, now)?;
                    new.id
                }
                Successor::Existing(existing) => *existing,
            };
            let new = get(unit, holds)?;
            if old.superseded_by != Some(holds) {
                may_be_superseded(&old)?;
                may_supersede(&new, id)?;
                put_in_place(unit, tenant_no, id, holds)?;
                unit.did(&tenant, AuditAction::DecisionSupersede, id.bytes());
            }
            idempotency::keep(unit, tenant_no, key.as_ref(), &holds, now)?;
            Ok((get(unit, id)?, new))
        })
    }

    pub(in crate::store) fn forget_decision(
        &self,
        tenant: &TenantId,
        id: DecisionId,
    ) -> Result<Pending<()>, StoreError> {
        let tenant = tenant.clone();
        self.write(Op::Forget, 64, move |unit| {
            let tenant_no = unit.tenant(&tenant, "decision")?;
            let sql = "select seq from decision where tenant_no = ?1 and id = ?2";
            let seq = unit.find(sql, (tenant_no, id.bytes()), |row| row.get(0))?;
            let seq = seq.ok_or(StoreError::NotFound("decision"))?;
            forget(unit, tenant_no, seq)?;
            unit.did(&tenant, AuditAction::DecisionForget, id.bytes());
            Ok(())
        })
    }

    pub(in crate::store) fn decision(
        &self,
        wait: Wait,
        tenant: &TenantId,
        id: DecisionId,
    ) -> Result<Option<Decision>, StoreError> {
        self.read(Op::DecisionRead, wait, |connection| {
            let Some(tenant_no) = tenant_no(connection, tenant)? else {
                return Ok(None);
            };
            by_id(connection, tenant_no, tenant, id)
        })
    }

    pub(in crate::store) fn decisions(
        &self,
        wait: Wait,
        tenant: &TenantId,
        filter: &DecisionFilter,
        page: &Page,
    ) -> Result<Paged<Decision>, StoreError> {
        self.read(Op::DecisionRead, wait, |connection| {
            let Some(tenant_no) = tenant_no(connection, tenant)? else {
                return Ok(empty());
            };
            let project_no =
                session::resolve_project(connection, tenant_no, filter.project.as_ref())?;
            let rows = select(connection, tenant_no, tenant, project_no, filter, page)?;
            Ok(Paged::from_rows(List::Decisions, page, rows))
        })
    }
}

/// Stores a decision, unless the same one is there.
pub(super) fn create(
    unit: &mut Unit<'_>,
    tenant_no: i64,
    new: &NewDecision,
    now: Timestamp,
) -> Result<(), StoreError> {
    let stored = "select fingerprint from decision where tenant_no = ?1 and id = ?2";
    let taken = "another decision has this id";
    if idempotency::repeated(
        unit,
        stored,
        tenant_no,
        new.id.bytes(),
        new.fingerprint,
        taken,
    )? {
        return Ok(());
    }
    let project_no = match &new.project {
        Some(project) => Some(session::project_or_new(unit, tenant_no, project, now)?),
        None => None,
    };
    let span = passage::next_span(unit.connection, &new.chunks)?;
    let words = &new.statement;
    unit.execute(
        "insert into decision (tenant_no, id, project_no, ts, scope, decision, rationale, constraints, alternatives,
             consequences, refs, fingerprint, chunk_first, chunk_count)
         values (:tenant_no, :id, :project_no, :ts, :scope, :decision, :rationale, :constraints, :alternatives,
             :consequences, :refs, :fingerprint, :chunk_first, :chunk_count)",
        named_params! {
            ":tenant_no": tenant_no,
            ":id": new.id.bytes(),
            ":project_no": project_no,
            ":ts": new.ts.millis(),
            ":scope": new.scope.code(),
            ":decision": words.decision,
            ":rationale": write_list(&words.rationale),
            ":constraints": write_list(&words.constraints),
            ":alternatives": write_list(&words.alternatives),
            ":consequences": write_list(&words.consequences),
            ":refs": write_list(&new.refs),
            ":fingerprint": new.fingerprint.map(|fingerprint| fingerprint.0),
            ":chunk_first": span.first,
            ":chunk_count": span.count,
        },
    )?;
    let owner = Owner {
        tenant_no,
        entity_type: EntityType::Decision,
        entity_seq: unit.connection.last_insert_rowid(),
        session_no: None,
        project_no,
        ts: new.ts,
        sensitivity: Sensitivity::None,
    };
    passage::insert(unit, &owner, span, &new.chunks)?;
    unit.effects
        .count(tenant_no, Stat::Decisions(DecisionStatus::Active), 1);
    unit.effects
        .count(tenant_no, Stat::TextBytes, text_bytes(words));
    unit.effects.redacted(tenant_no, &new.redactions);
    Ok(())
}

/// Takes a decision out of every table and the index. What it had superseded is now superseded by its own successor,
/// or by something that is not known any more.
pub(super) fn forget(unit: &mut Unit<'_>, tenant_no: i64, seq: i64) -> Result<(), StoreError> {
    let mut statement = unit.prepare(
        "select id, decision, rationale, constraints, alternatives, consequences, ts, status, superseded_by,
             chunk_first, chunk_count
         from decision where seq = ?1",
    )?;
    let mut rows = statement.query([seq])?;
    let row = rows.next()?.ok_or(StoreError::NotFound("decision"))?;
    let id: [u8; 16] = row.get(0)?;
    let words = read_statement(row, 1)?;
    let ts = Timestamp::from_millis(row.get(6)?);
    let status =
        DecisionStatus::from_code(row.get(7)?).ok_or_else(|| damaged("decision status"))?;
    let successor: Option<[u8; 16]> = row.get(8)?;
    let span = Span {
        first: row.get(9)?,
        count: row.get(10)?,
    };
    drop(rows);
    drop(statement);
    forget_changes(unit, tenant_no, EntityType::Decision, &id)?;
    passage::delete(unit, tenant_no, span, &chunks_of(&words, ts))?;
    unit.execute("delete from decision where seq = ?1", [seq])?;
    unit.execute(
        "update decision set superseded_by = ?3 where tenant_no = ?1 and superseded_by = ?2",
        (tenant_no, id, successor),
    )?;
    unit.effects.count(tenant_no, Stat::Decisions(status), -1);
    unit.effects
        .count(tenant_no, Stat::TextBytes, -text_bytes(&words));
    Ok(())
}

fn text_bytes(words: &Statement) -> i64 {
    let lists = [
        &words.rationale,
        &words.constraints,
        &words.alternatives,
        &words.consequences,
    ];
    let items: usize = lists.into_iter().flatten().map(String::len).sum();
    i64::try_from(words.decision.len() + items).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::page::Direction;
    use crate::store::sqlite::testing;

    #[test]
    fn lists_walk_an_index_and_sort_nothing() {
        let (_dir, connection) = testing::connection();
        let page = Page::first(3, Direction::Descending);
        let active = || DecisionFilter {
            status: Some(DecisionStatus::Active),
            ..DecisionFilter::default()
        };
        for (filter, project, index) in [
            (DecisionFilter::default(), "", "decision_by_time"),
            (active(), "", "decision_by_status"),
            (
                DecisionFilter::default(),
                " and d.project_no = :project_no",
                "decision_by_project",
            ),
            (
                active(),
                " and d.project_no is null",
                "decision_by_project_status",
            ),
        ] {
            let plan = testing::plan(&connection, &list_sql(&filter, project, &page));
            assert!(plan.contains(index), "{index}: {plan}");
            assert!(
                !plan.contains("SCAN d") && !plan.contains("TEMP B-TREE"),
                "{plan}"
            );
        }
        let plan = testing::plan(&connection, &standing_sql());
        assert!(
            plan.contains("decision_standing") && !plan.contains("TEMP B-TREE"),
            "{plan}"
        );
    }
}
