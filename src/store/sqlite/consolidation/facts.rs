//! What plans are made from, page by page.
//!
//! **Invariant:** nothing that is secret, no page beyond a bound in rows and bytes, and each list walks an index.

use rusqlite::{Connection, Row, named_params};

use crate::domain::consolidate::archival::DecisionFacts;
use crate::domain::consolidate::compression::HandoffFacts;
use crate::domain::consolidate::duplicates::NoteFacts;
use crate::domain::consolidate::identity::StatementFacts;
use crate::domain::consolidate::reflection::{ChoiceFacts, Month, SessionFacts};
use crate::domain::handoff::Fields;
use crate::domain::page::Position;
use crate::domain::principle::Principle;
use crate::domain::reflection::Reflection;
use crate::domain::{
    CompressionLevel, DecisionId, DecisionScope, DecisionStatus, HandoffId, Name, NoteId,
    ReflectionId, Sensitivity, TenantId, Timestamp,
};
use crate::store::measure::Op;
use crate::store::sqlite::error::damaged;
use crate::store::sqlite::handoff::read_fields;
use crate::store::sqlite::rows::take_rows;
use crate::store::sqlite::unit::tenant_no;
use crate::store::sqlite::{principle, reflection};
use crate::store::{FactPage, StoreError, Wait};

/// Rows of a page; its bytes are bounded as well.
const PAGE_ROWS: i64 = 500;

/// Reads a page: rows of `sql` after a position. Parameters: `:tenant_no`, `:ts`, `:seq`, `:limit`, and what `more` adds.
fn page<T>(
    connection: &Connection,
    sql: &str,
    tenant_no: i64,
    after: Option<Position>,
    more: &[(&str, &dyn rusqlite::ToSql)],
    read: impl Fn(&Row<'_>) -> Result<((Position, T), usize), StoreError>,
) -> Result<FactPage<T>, StoreError> {
    let (ts, seq) = after.map_or((i64::MIN, i64::MIN), |at| (at.ts.millis(), at.seq));
    let mut params: Vec<(&str, &dyn rusqlite::ToSql)> = vec![
        (":tenant_no", &tenant_no),
        (":ts", &ts),
        (":seq", &seq),
        (":limit", &PAGE_ROWS),
    ];
    params.extend(more);
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params.as_slice())?;
    let taken = take_rows(&mut rows, read)?;
    let full = taken.cut || i64::try_from(taken.items.len()) == Ok(PAGE_ROWS);
    let last = taken.items.last().map(|(position, _)| *position);
    let items = taken.items.into_iter().map(|(_, item)| item).collect();
    Ok((items, last.filter(|_| full)))
}

fn position(row: &Row<'_>) -> rusqlite::Result<Position> {
    Ok(Position {
        seq: row.get(0)?,
        ts: Timestamp::from_millis(row.get(1)?),
    })
}

fn sensitivity(row: &Row<'_>, column: usize) -> Result<Sensitivity, StoreError> {
    Sensitivity::from_code(row.get(column)?).ok_or_else(|| damaged("sensitivity"))
}

fn name(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Name>> {
    Ok(row.get::<_, Option<String>>(column)?.map(Name::stored))
}

const HANDOFFS: &str = "select h.seq, h.created_at, h.id, h.compression_level, h.summary, h.quick_ref, h.experienced, h.noticed,
         h.learned, h.story, h.becoming, h.remember
     from handoff h indexed by handoff_by_level
     join session s on s.session_no = h.session_no and s.forgotten_at is null
     where h.tenant_no = :tenant_no and h.compression_level = :level
         and h.created_at <= :until and h.sensitivity < 3 and (h.created_at, h.seq) > (:ts, :seq)
     order by h.created_at, h.seq limit :limit";

const SESSIONS: &str = "select h.seq, h.created_at, s.session_id, h.with_whom, h.sensitivity, h.significance, h.experienced, h.noticed,
         h.learned, h.story, h.becoming, h.remember
     from handoff h
     join session s on s.session_no = h.session_no and s.forgotten_at is null
     where h.tenant_no = :tenant_no and h.created_at >= :from and h.created_at < :until and h.sensitivity < 3
         and (h.created_at, h.seq) > (:ts, :seq)
     order by h.created_at, h.seq limit :limit";

const SAMPLE: &str = "select h.seq, h.created_at, h.experienced, h.noticed, h.learned, h.story, h.becoming, h.remember
     from handoff h
     where h.tenant_no = :tenant_no and h.sensitivity < 3 and h.seq % :stride = 0 and (h.created_at, h.seq) > (:ts, :seq)
     order by h.created_at, h.seq limit :limit";

const STATEMENTS: &str = "select h.seq, h.created_at, h.id, s.session_id, h.sensitivity, h.becoming
     from handoff h
     join session s on s.session_no = h.session_no and s.forgotten_at is null
     where h.tenant_no = :tenant_no and h.becoming <> '' and h.sensitivity < 3 and (h.created_at, h.seq) > (:ts, :seq)
     order by h.created_at, h.seq limit :limit";

const DECISIONS: &str = "select d.seq, d.ts, d.id, d.scope, d.last_recalled_at, d.decision
     from decision d indexed by decision_current
     where d.tenant_no = :tenant_no and d.status = 0 and d.archived_at is null and d.ts <= :until
         and (d.ts, d.seq) > (:ts, :seq)
     order by d.ts, d.seq limit :limit";

const CHOICES: &str = "select d.seq, d.ts, d.status, d.decision
     from decision d
     where d.tenant_no = :tenant_no and d.ts >= :from and d.ts < :until and (d.ts, d.seq) > (:ts, :seq)
     order by d.ts, d.seq limit :limit";

const NOTES: &str = "select n.seq, n.created_at, n.id, p.project_id, n.with_whom, n.title, n.content, n.duplicate_of
     from note n indexed by note_by_pin
     left join project p on p.project_no = n.project_no
     where n.tenant_no = :tenant_no and n.pinned = :pinned and (n.created_at, n.seq) > (:ts, :seq)
     order by n.created_at, n.seq limit :limit";

impl crate::store::sqlite::Sqlite {
    /// A read of facts; a tenant that is not there any more has none.
    fn of_tenant<T: Default>(
        &self,
        wait: Wait,
        tenant: &TenantId,
        read: impl FnOnce(&Connection, i64) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.read(Op::Look, wait, |connection| {
            match tenant_no(connection, tenant)? {
                Some(tenant_no) => read(connection, tenant_no),
                None => Ok(T::default()),
            }
        })
    }

    pub(in crate::store) fn handoff_facts(
        &self,
        wait: Wait,
        tenant: &TenantId,
        level: CompressionLevel,
        until: Timestamp,
        after: Option<Position>,
    ) -> Result<FactPage<HandoffFacts>, StoreError> {
        self.of_tenant(wait, tenant, |connection, tenant_no| {
            let (code, until) = (level.code(), until.millis());
            let more = named_params! { ":level": code, ":until": until };
            page(connection, HANDOFFS, tenant_no, after, more, |row| {
                let position = position(row)?;
                let facts = HandoffFacts {
                    handoff_id: HandoffId::from_bytes(row.get(2)?),
                    created_at: position.ts,
                    level,
                    summary: row.get(4)?,
                    quick_ref: row.get(5)?,
                    fields: read_fields(row, 6)?,
                };
                let bytes = facts.fields.bytes();
                Ok(((position, facts), bytes))
            })
        })
    }

    pub(in crate::store) fn session_facts(
        &self,
        wait: Wait,
        tenant: &TenantId,
        (from, until): (Timestamp, Timestamp),
        after: Option<Position>,
    ) -> Result<FactPage<SessionFacts>, StoreError> {
        self.of_tenant(wait, tenant, |connection, tenant_no| {
            let (from, until) = (from.millis(), until.millis());
            let more = named_params! { ":from": from, ":until": until };
            page(connection, SESSIONS, tenant_no, after, more, |row| {
                let position = position(row)?;
                let facts = SessionFacts {
                    session: Name::stored(row.get(2)?),
                    with_whom: Name::stored(row.get(3)?),
                    created_at: position.ts,
                    sensitivity: sensitivity(row, 4)?,
                    significance: row.get(5)?,
                    fields: read_fields(row, 6)?,
                };
                let bytes = facts.fields.bytes();
                Ok(((position, facts), bytes))
            })
        })
    }

    pub(in crate::store) fn sampled_texts(
        &self,
        wait: Wait,
        tenant: &TenantId,
        stride: u32,
        after: Option<Position>,
    ) -> Result<FactPage<Fields>, StoreError> {
        self.of_tenant(wait, tenant, |connection, tenant_no| {
            let more = named_params! { ":stride": stride.max(1) };
            page(connection, SAMPLE, tenant_no, after, more, |row| {
                let position = position(row)?;
                let fields = read_fields(row, 2)?;
                let bytes = fields.bytes();
                Ok(((position, fields), bytes))
            })
        })
    }

    pub(in crate::store) fn statement_facts(
        &self,
        wait: Wait,
        tenant: &TenantId,
        after: Option<Position>,
    ) -> Result<FactPage<StatementFacts>, StoreError> {
        self.of_tenant(wait, tenant, |connection, tenant_no| {
            page(connection, STATEMENTS, tenant_no, after, &[], |row| {
                let position = position(row)?;
                let facts = StatementFacts {
                    handoff_id: HandoffId::from_bytes(row.get(2)?),
                    session: Name::stored(row.get(3)?),
                    created_at: position.ts,
                    sensitivity: sensitivity(row, 4)?,
                    becoming: row.get(5)?,
                };
                let bytes = facts.becoming.len();
                Ok(((position, facts), bytes))
            })
        })
    }

    pub(in crate::store) fn decision_facts(
        &self,
        wait: Wait,
        tenant: &TenantId,
        until: Timestamp,
        after: Option<Position>,
    ) -> Result<FactPage<DecisionFacts>, StoreError> {
        self.of_tenant(wait, tenant, |connection, tenant_no| {
            let until = until.millis();
            let more = named_params! { ":until": until };
            page(connection, DECISIONS, tenant_no, after, more, |row| {
                let position = position(row)?;
                let scope = DecisionScope::from_code(row.get(3)?);
                let facts = DecisionFacts {
                    decision_id: DecisionId::from_bytes(row.get(2)?),
                    ts: position.ts,
                    status: DecisionStatus::Active,
                    scope: scope.ok_or_else(|| damaged("decision scope"))?,
                    last_recalled: row.get::<_, Option<i64>>(4)?.map(Timestamp::from_millis),
                    // Decisions have no pin; what always holds has a scope that says so.
                    pinned: false,
                    archived: false,
                    decision: row.get(5)?,
                };
                let bytes = facts.decision.len();
                Ok(((position, facts), bytes))
            })
        })
    }

    pub(in crate::store) fn choice_facts(
        &self,
        wait: Wait,
        tenant: &TenantId,
        (from, until): (Timestamp, Timestamp),
        after: Option<Position>,
    ) -> Result<FactPage<ChoiceFacts>, StoreError> {
        self.of_tenant(wait, tenant, |connection, tenant_no| {
            let (from, until) = (from.millis(), until.millis());
            let more = named_params! { ":from": from, ":until": until };
            page(connection, CHOICES, tenant_no, after, more, |row| {
                let position = position(row)?;
                let status = DecisionStatus::from_code(row.get(2)?);
                let facts = ChoiceFacts {
                    ts: position.ts,
                    superseded: status == Some(DecisionStatus::Superseded),
                    decision: row.get(3)?,
                };
                let bytes = facts.decision.len();
                Ok(((position, facts), bytes))
            })
        })
    }

    pub(in crate::store) fn note_facts(
        &self,
        wait: Wait,
        tenant: &TenantId,
        pinned: bool,
        after: Option<Position>,
    ) -> Result<FactPage<NoteFacts>, StoreError> {
        self.of_tenant(wait, tenant, |connection, tenant_no| {
            let more = named_params! { ":pinned": pinned };
            page(connection, NOTES, tenant_no, after, more, |row| {
                let position = position(row)?;
                let folded: Option<[u8; 16]> = row.get(7)?;
                let facts = NoteFacts {
                    note_id: NoteId::from_bytes(row.get(2)?),
                    project: name(row, 3)?,
                    with_whom: name(row, 4)?,
                    created_at: position.ts,
                    pinned,
                    title: row.get(5)?,
                    content: row.get(6)?,
                    folded_into: folded.map(NoteId::from_bytes),
                };
                let bytes = facts.content.len();
                Ok(((position, facts), bytes))
            })
        })
    }

    pub(in crate::store) fn all_principles(
        &self,
        wait: Wait,
        tenant: &TenantId,
    ) -> Result<Vec<Principle>, StoreError> {
        self.of_tenant(wait, tenant, |connection, tenant_no| {
            principle::all(connection, tenant_no, tenant)
        })
    }

    pub(in crate::store) fn reflections_by_id(
        &self,
        wait: Wait,
        tenant: &TenantId,
        ids: &[ReflectionId],
    ) -> Result<Vec<Reflection>, StoreError> {
        self.of_tenant(wait, tenant, |connection, tenant_no| {
            let mut found = Vec::new();
            for id in ids {
                let known = reflection::by_id(connection, tenant_no, tenant, *id)?;
                found.extend(known.map(|(_, reflection)| reflection));
            }
            Ok(found)
        })
    }

    pub(in crate::store) fn months_of_handoffs(
        &self,
        wait: Wait,
        tenant: &TenantId,
    ) -> Result<Vec<(Month, bool)>, StoreError> {
        self.of_tenant(wait, tenant, |connection, tenant_no| {
            let fresh = fresh_months(connection, tenant_no)?;
            let sql = "select created_at from handoff where tenant_no = ?1 and created_at >= ?2 order by created_at limit 1";
            let mut statement = connection.prepare_cached(sql)?;
            let (mut months, mut from) = (Vec::new(), i64::MIN);
            loop {
                let mut rows = statement.query((tenant_no, from))?;
                let Some(row) = rows.next()? else { break };
                let month = Month::of(Timestamp::from_millis(row.get(0)?));
                from = month.end().millis();
                months.push((month, fresh.contains(&month)));
            }
            Ok(months)
        })
    }
}

/// The months of the handoffs that came since the last reflection began.
fn fresh_months(connection: &Connection, tenant_no: i64) -> Result<Vec<Month>, StoreError> {
    let mut statement = connection.prepare_cached(
        "select h.created_at from handoff h
         where +h.tenant_no = ?1 and h.seq > coalesce((
             select j.last_handoff from consolidation_job j
             where j.tenant_no = ?1 and j.job_type = 3 and j.status = 1 and j.undone_at is null
             order by j.started_at desc, j.job_no desc limit 1
         ), 0)",
    )?;
    let mut rows = statement.query([tenant_no])?;
    let mut months = Vec::new();
    while let Some(row) = rows.next()? {
        let month = Month::of(Timestamp::from_millis(row.get(0)?));
        if !months.contains(&month) {
            months.push(month);
        }
    }
    Ok(months)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::testing;

    #[test]
    fn facts_walk_an_index_and_sort_nothing() {
        let (_dir, connection) = testing::connection();
        for (sql, index) in [
            (HANDOFFS, "handoff_by_level"),
            (SESSIONS, "handoff_by_time"),
            (SAMPLE, "handoff_by_time"),
            (STATEMENTS, "handoff_by_becoming"),
            (DECISIONS, "decision_current"),
            (CHOICES, "decision_by_time"),
            (NOTES, "note_by_pin"),
        ] {
            let plan = testing::plan(&connection, sql);
            assert!(plan.contains(index), "{index}: {plan}");
            assert!(!plan.contains("TEMP B-TREE"), "{plan}");
        }
    }
}
