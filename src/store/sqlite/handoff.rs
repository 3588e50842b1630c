//! Handoffs and the identity thread.
//!
//! **Invariant:** a session has at most one automatic handoff, and none beside one that the agent wrote.

use rusqlite::{Connection, Row, named_params};

use crate::domain::handoff::{
    Fields, Handoff, HandoffFilter, IdentityStatement, IdentityThread, NewHandoff, chunks_of,
};
use crate::domain::page::{List, Page, Paged, Position, Rows};
use crate::domain::{
    Caller, ChunkField, ChunkOwner, CompressionLevel, EntityType, HandoffId, Name, Origin,
    Sensitivity, Stat, TenantId, Timestamp,
};
use crate::store::sqlite::error::damaged;
use crate::store::sqlite::event::{EntityText, handoff_id, read_list, take_rows, write_list};
use crate::store::sqlite::idempotency;
use crate::store::sqlite::passage::{self, Owner, Span};
use crate::store::sqlite::session::{self, Delta, Mention, empty, page_params, paged_sql};
use crate::store::sqlite::unit::{Unit, tenant_no};
use crate::store::{IdempotencyKey, Pending, StoreError, Wait};

/// Columns of a handoff; [`read_handoff`] reads them.
pub(super) const COLUMNS: &str = "select h.seq, h.id, p.project_id, s.session_id, h.with_whom, h.experienced, h.noticed, h.learned, h.story,
         h.becoming, h.remember, h.significance, h.tags, h.sensitivity, h.origin, h.compression_level, h.summary,
         h.quick_ref, h.created_at
     from handoff h
     join session s on s.session_no = h.session_no and s.forgotten_at is null
     left join project p on p.project_no = h.project_no";

/// Reads a row of [`COLUMNS`].
pub(super) fn read_handoff(
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

fn read_fields(row: &Row<'_>, first: usize) -> rusqlite::Result<Fields> {
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
pub(super) fn read_all(
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
pub(super) fn by_id(
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
pub(super) fn field_text(
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
        id: handoff_id(row.get(0)?),
        whole: read_fields(row, 1)?.get(field).to_owned(),
        tags: read_list(row, 7)?,
        refs: Vec::new(),
        chunk_first: row.get(8)?,
    }))
}

/// Handoffs of a reader's choice, in order, one more than the page asks for.
///
/// A project's list also shows what has no project. Each part walks its own index and gives at most `limit` rows, so
/// that a project with few handoffs among many does not make SQLite search for them.
pub(super) fn select(
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
    let parts: Vec<(&str, Option<i64>)> = match filter.project_no {
        None => vec![("", None)],
        Some(None) => vec![(NO_PROJECT, None)],
        Some(Some(number)) => vec![(OF_PROJECT, Some(number)), (NO_PROJECT, None)],
    };
    let mut found = Vec::with_capacity(parts.len());
    for (condition, project) in parts {
        let mut params = params.clone();
        params.extend(project.map(|number| (":project_no", number.into())));
        found.push(read_all(
            connection,
            &list_sql(filter, condition, page),
            params.as_slice(),
            &caller.tenant,
        )?);
    }
    Ok(Rows::merge(found, page))
}

const OF_PROJECT: &str = " and h.project_no = :project_no";
const NO_PROJECT: &str = " and h.project_no is null";

/// Which handoffs [`select`] gives, in the store's numbers.
#[derive(Debug, Default)]
pub(super) struct Selection {
    pub(super) with_whom: Option<Name>,
    /// `Some(None)`: of a project that is not known here, so only what has none.
    pub(super) project_no: Option<Option<i64>>,
    pub(super) session_no: Option<i64>,
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

/// The newest identity statements, newest first.
pub(super) fn identity(
    connection: &Connection,
    caller: &Caller,
    tenant_no: i64,
    limit: u32,
) -> rusqlite::Result<Vec<IdentityStatement>> {
    let mut statement = connection.prepare_cached(IDENTITY_SQL)?;
    let rows = statement.query_map((tenant_no, caller.clearance().code(), limit), |row| {
        Ok(IdentityStatement {
            handoff_id: HandoffId::from_bytes(row.get(0)?),
            becoming: row.get(1)?,
            significance: row.get(2)?,
            created_at: Timestamp::from_millis(row.get(3)?),
        })
    })?;
    rows.collect()
}

const IDENTITY_SQL: &str = "select h.id, h.becoming, h.significance, h.created_at from handoff h
     join session s on s.session_no = h.session_no and s.forgotten_at is null
     where h.tenant_no = ?1 and h.becoming <> '' and h.sensitivity <= ?2
     order by h.created_at desc, h.seq desc limit ?3";

impl super::Sqlite {
    pub(in crate::store) fn create_handoff(
        &self,
        tenant: &TenantId,
        new: NewHandoff,
        key: Option<IdempotencyKey>,
        now: Timestamp,
    ) -> Result<Pending<Handoff>, StoreError> {
        let tenant = tenant.clone();
        self.write(new.fields.bytes(), move |unit| {
            let tenant_no = unit.tenant_or_new(&tenant, now)?;
            let id = match idempotency::find::<HandoffId>(unit, tenant_no, key.as_ref(), now)? {
                Some(id) => id,
                None => {
                    let id = create(unit, tenant_no, &new, now)?;
                    idempotency::keep(unit, tenant_no, key.as_ref(), &id, now)?;
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
        self.write(64, move |unit| {
            let tenant_no = unit.tenant(&tenant)?;
            let seq = unit
                .find(
                    "select h.seq from handoff h join session s on s.session_no = h.session_no and s.forgotten_at is null
                     where h.tenant_no = ?1 and h.id = ?2",
                    (tenant_no, id.bytes()),
                    |row| row.get(0),
                )?
                .ok_or(StoreError::NotFound("handoff"))?;
            forget(unit, tenant_no, seq)
        })
    }

    pub(in crate::store) fn handoff(
        &self,
        wait: Wait,
        tenant: &TenantId,
        id: HandoffId,
    ) -> Result<Option<Handoff>, StoreError> {
        self.read(wait, |connection| {
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
        self.read(wait, |connection| {
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

    pub(in crate::store) fn identity_thread(
        &self,
        wait: Wait,
        caller: &Caller,
        limit: u32,
    ) -> Result<IdentityThread, StoreError> {
        self.read(wait, |connection| {
            let mut thread = IdentityThread {
                tenant_id: caller.tenant.clone(),
                total_statements: 0,
                identity_thread: Vec::new(),
            };
            let Some(tenant_no) = tenant_no(connection, &caller.tenant)? else {
                return Ok(thread);
            };
            (_, thread.total_statements) = session::read_total(connection, tenant_no, None, None)?;
            thread.identity_thread = identity(connection, caller, tenant_no, limit)?;
            thread.identity_thread.reverse();
            Ok(thread)
        })
    }
}

/// A filter in the store's numbers; none if it names a session that is not there.
fn resolve(
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
    let project_no = match &filter.project {
        None => None,
        Some(project) => Some(session::project_no(connection, tenant_no, project)?),
    };
    Ok(Some(Selection {
        with_whom: filter.with_whom.clone(),
        project_no,
        session_no,
    }))
}

/// Stores a handoff and answers the id that stands for it: its own, the one that was there, or the agent's.
fn create(
    unit: &mut Unit<'_>,
    tenant_no: i64,
    new: &NewHandoff,
    now: Timestamp,
) -> Result<HandoffId, StoreError> {
    if let Some(fingerprint) = new.fingerprint {
        let stored = unit.find(
            "select fingerprint from handoff where tenant_no = ?1 and id = ?2",
            (tenant_no, new.id.bytes()),
            |row| row.get::<_, Option<[u8; 16]>>(0),
        )?;
        match stored {
            Some(Some(stored)) if stored == fingerprint.0 => return Ok(new.id),
            Some(_) => return Err(StoreError::Conflict("another handoff has this id")),
            None => {}
        }
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
        id: ChunkOwner::Handoff(new.id),
        entity_type: EntityType::Handoff,
        entity_seq: unit.connection.last_insert_rowid(),
        session_no,
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
        handoff_delta(1, &new.fields.becoming),
    )?;
    unit.effects
        .count(Stat::Handoffs(CompressionLevel::Full), 1);
    unit.effects.count(Stat::TextBytes, text_bytes(&new.fields));
    for (kind, count) in &new.redactions {
        unit.effects.count(Stat::Redactions(*kind), *count);
    }
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
             compression_level, chunk_first, chunk_count, length(cast(summary as blob)), length(cast(quick_ref as blob))
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
    drop(rows);
    drop(statement);
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
        handoff_delta(-1, &fields.becoming),
    )?;
    unit.effects.count(Stat::Handoffs(level), -1);
    unit.effects
        .count(Stat::TextBytes, -(text_bytes(&fields) + forms));
    Ok(())
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
        let plan = testing::plan(&connection, IDENTITY_SQL);
        assert!(
            plan.contains("handoff_by_becoming") && !plan.contains("TEMP B-TREE"),
            "{plan}"
        );
    }
}
