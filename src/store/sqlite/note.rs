//! Knowledge notes.
//!
//! **Invariant:** a changed note is taken out of the index with the words it had and put in with the words it has.

use rusqlite::{Connection, Row, named_params};

use crate::domain::note::{NewNote, Note, NoteBody, NoteFilter, NotePatch, chunks_of};
use crate::domain::page::{List, Page, Paged, Position, Rows};
use crate::domain::{
    AuditAction, EntityType, HandoffId, Name, NewChunk, NoteId, Sensitivity, Stat, TenantId,
    Timestamp,
};
use crate::store::measure::Op;
use crate::store::sqlite::chunk::EntityText;
use crate::store::sqlite::consolidation::forget_changes;
use crate::store::sqlite::idempotency;
use crate::store::sqlite::passage::{self, Owner, Span};
use crate::store::sqlite::rows::{
    empty, page_params, paged_sql, project_parts, read_ids, read_list, take_rows, write_ids,
    write_list,
};
use crate::store::sqlite::session;
use crate::store::sqlite::unit::{Unit, tenant_no};
use crate::store::{IdempotencyKey, Pending, StoreError, Wait};

mod showing;

use showing::stand_alone;
pub(super) use showing::{at_hand, show_by};

pub(super) const COLUMNS: &str =
    "select n.seq, n.id, p.project_id, n.title, n.content, n.with_whom, n.source_handoffs, n.tags,
         n.confidence, n.pinned, n.created_at, n.updated_at, n.fingerprint, n.duplicates, n.duplicate_of
     from note n
     left join project p on p.project_no = n.project_no";

pub(super) fn read_note(row: &Row<'_>, tenant: &TenantId) -> Result<(Position, Note), StoreError> {
    let created_at = Timestamp::from_millis(row.get(10)?);
    let note = Note {
        note_id: NoteId::from_bytes(row.get(1)?),
        tenant_id: tenant.clone(),
        project_id: row.get::<_, Option<String>>(2)?.map(Name::stored),
        body: read_body(row, 3)?,
        created_at,
        updated_at: Timestamp::from_millis(row.get(11)?),
        duplicates: row.get(13)?,
        duplicate_of: row.get::<_, Option<[u8; 16]>>(14)?.map(NoteId::from_bytes),
    };
    Ok((
        Position {
            ts: created_at,
            seq: row.get(0)?,
        },
        note,
    ))
}

fn read_body(row: &Row<'_>, first: usize) -> Result<NoteBody, StoreError> {
    Ok(NoteBody {
        title: row.get(first)?,
        content: row.get(first + 1)?,
        with_whom: row.get::<_, Option<String>>(first + 2)?.map(Name::stored),
        source_handoffs: read_ids(row, first + 3)?,
        tags: read_list(row, first + 4)?,
        confidence: row.get(first + 5)?,
        pinned: row.get(first + 6)?,
    })
}

fn by_id(
    connection: &Connection,
    tenant_no: i64,
    tenant: &TenantId,
    id: NoteId,
) -> Result<Option<(i64, Note)>, StoreError> {
    let sql = format!("{COLUMNS} where n.tenant_no = ?1 and n.id = ?2");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query((tenant_no, id.bytes()))?;
    rows.next()?
        .map(|row| read_note(row, tenant).map(|(position, note)| (position.seq, note)))
        .transpose()
}

/// The text that a note's passages are ranges of. A migration reads it too, of a file that has the columns of the first
/// schema alone.
pub(super) fn text(connection: &Connection, seq: i64) -> Result<Option<EntityText>, StoreError> {
    let mut statement = connection.prepare_cached(
        "select id, title, content, with_whom, source_handoffs, tags, confidence, pinned from note where seq = ?1",
    )?;
    let mut rows = statement.query([seq])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let body = read_body(row, 1)?;
    let id = NoteId::from_bytes(row.get(0)?).to_string();
    let refs = body
        .source_handoffs
        .iter()
        .map(HandoffId::to_string)
        .collect();
    let chunk_first = span(connection, seq)?.first;
    Ok(Some(EntityText {
        id,
        whole: body.searchable(),
        tags: body.tags,
        refs,
        chunk_first,
        status: None,
        superseded_by: None,
    }))
}

fn span(connection: &Connection, seq: i64) -> rusqlite::Result<Span> {
    connection
        .prepare_cached("select chunk_first, chunk_count from note where seq = ?1")?
        .query_row([seq], Span::read)
}

/// Notes of a project (and of none), in order, one more than the page asks for.
pub(super) fn select(
    connection: &Connection,
    tenant_no: i64,
    tenant: &TenantId,
    project_no: Option<Option<i64>>,
    pinned: Option<bool>,
    page: &Page,
) -> Result<Rows<Note>, StoreError> {
    let mut found = Vec::new();
    for (condition, project) in project_parts(project_no, "n.project_no") {
        let mut params = page_params(tenant_no, page).to_vec();
        params.extend(pinned.map(|pinned| (":pinned", i64::from(pinned).into())));
        params.extend(project.map(|number| (":project_no", number.into())));
        let mut statement = connection.prepare_cached(&list_sql(pinned, &condition, page))?;
        let mut rows = statement.query(params.as_slice())?;
        found.push(take_rows(&mut rows, |row| {
            let read = read_note(row, tenant)?;
            let bytes = read.1.body.bytes();
            Ok((read, bytes))
        })?);
    }
    Ok(Rows::merge(found, page))
}

fn list_sql(pinned: Option<bool>, project: &str, page: &Page) -> String {
    let pinned = if pinned.is_some() {
        " and n.pinned = :pinned"
    } else {
        ""
    };
    let conditions = format!("n.tenant_no = :tenant_no{project}{pinned}");
    paged_sql(COLUMNS, &conditions, "n.created_at", "n.seq", page)
}

impl super::Sqlite {
    pub(in crate::store) fn create_note(
        &self,
        tenant: &TenantId,
        new: NewNote,
        key: Option<IdempotencyKey>,
        now: Timestamp,
    ) -> Result<Pending<Note>, StoreError> {
        let tenant = tenant.clone();
        self.write(Op::NoteWrite, new.body.bytes(), move |unit| {
            let tenant_no = unit.tenant_or_new(&tenant, now)?;
            let id = match idempotency::find::<NoteId>(unit, tenant_no, key.as_ref(), now)? {
                Some(id) => id,
                None => {
                    create(unit, tenant_no, &new)?;
                    idempotency::keep(unit, tenant_no, key.as_ref(), &new.id, now)?;
                    unit.did(&tenant, AuditAction::NoteCreate, new.id.bytes());
                    new.id
                }
            };
            let note = by_id(unit.connection, tenant_no, &tenant, id)?;
            note.map(|(_, note)| note).ok_or(StoreError::Conflict(
                "the note of this Idempotency-Key was forgotten since",
            ))
        })
    }

    pub(in crate::store) fn patch_note(
        &self,
        tenant: &TenantId,
        id: NoteId,
        patch: NotePatch,
        now: Timestamp,
    ) -> Result<Pending<Note>, StoreError> {
        let tenant = tenant.clone();
        let bytes = patch.content.as_ref().map_or(0, String::len);
        self.write(Op::NoteWrite, bytes, move |unit| {
            let tenant_no = unit.tenant(&tenant, "note")?;
            let found = by_id(unit.connection, tenant_no, &tenant, id)?;
            let (seq, note) = found.ok_or(StoreError::NotFound("note"))?;
            let (body, redactions) = note.body.patched(&patch).map_err(StoreError::Invalid)?;
            change(unit, tenant_no, seq, &note, &body, now)?;
            unit.effects.redacted(tenant_no, &redactions);
            unit.did(&tenant, AuditAction::NoteChange, id.bytes());
            let changed = by_id(unit.connection, tenant_no, &tenant, id)?;
            changed
                .map(|(_, note)| note)
                .ok_or(StoreError::NotFound("note"))
        })
    }

    pub(in crate::store) fn forget_note(
        &self,
        tenant: &TenantId,
        id: NoteId,
    ) -> Result<Pending<()>, StoreError> {
        let tenant = tenant.clone();
        self.write(Op::Forget, 64, move |unit| {
            let tenant_no = unit.tenant(&tenant, "note")?;
            let sql = "select seq from note where tenant_no = ?1 and id = ?2";
            let seq = unit.find(sql, (tenant_no, id.bytes()), |row| row.get(0))?;
            forget(unit, tenant_no, seq.ok_or(StoreError::NotFound("note"))?)?;
            unit.did(&tenant, AuditAction::NoteForget, id.bytes());
            Ok(())
        })
    }

    pub(in crate::store) fn note(
        &self,
        wait: Wait,
        tenant: &TenantId,
        id: NoteId,
    ) -> Result<Option<Note>, StoreError> {
        self.read(Op::NoteRead, wait, |connection| {
            let Some(tenant_no) = tenant_no(connection, tenant)? else {
                return Ok(None);
            };
            Ok(by_id(connection, tenant_no, tenant, id)?.map(|(_, note)| note))
        })
    }

    pub(in crate::store) fn notes(
        &self,
        wait: Wait,
        tenant: &TenantId,
        filter: &NoteFilter,
        page: &Page,
    ) -> Result<Paged<Note>, StoreError> {
        self.read(Op::NoteRead, wait, |connection| {
            let Some(tenant_no) = tenant_no(connection, tenant)? else {
                return Ok(empty());
            };
            let project_no =
                session::resolve_project(connection, tenant_no, filter.project.as_ref())?;
            let rows = select(
                connection,
                tenant_no,
                tenant,
                project_no,
                filter.pinned,
                page,
            )?;
            Ok(Paged::from_rows(List::Notes, page, rows))
        })
    }
}

/// Stores a note, unless the same one is there.
pub(super) fn create(unit: &mut Unit<'_>, tenant_no: i64, new: &NewNote) -> Result<(), StoreError> {
    let stored = "select fingerprint from note where tenant_no = ?1 and id = ?2";
    let taken = "another note has this id";
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
        Some(project) => Some(session::project_or_new(
            unit,
            tenant_no,
            project,
            new.created_at,
        )?),
        None => None,
    };
    let span = passage::next_span(unit.connection, &new.chunks)?;
    let body = &new.body;
    unit.execute(
        "insert into note (tenant_no, id, project_no, title, content, with_whom, source_handoffs, tags, confidence, pinned,
             created_at, updated_at, fingerprint, chunk_first, chunk_count)
         values (:tenant_no, :id, :project_no, :title, :content, :with_whom, :source_handoffs, :tags, :confidence, :pinned,
             :now, :now, :fingerprint, :chunk_first, :chunk_count)",
        named_params! {
            ":tenant_no": tenant_no,
            ":id": new.id.bytes(),
            ":project_no": project_no,
            ":title": body.title,
            ":content": body.content,
            ":with_whom": body.with_whom.as_ref().map(Name::as_str),
            ":source_handoffs": write_ids(&body.source_handoffs),
            ":tags": write_list(&body.tags),
            ":confidence": body.confidence,
            ":pinned": body.pinned,
            ":now": new.created_at.millis(),
            ":fingerprint": new.fingerprint.map(|fingerprint| fingerprint.0),
            ":chunk_first": span.first,
            ":chunk_count": span.count,
        },
    )?;
    let seq = unit.connection.last_insert_rowid();
    passage::insert(
        unit,
        &owner(tenant_no, seq, project_no, new.created_at),
        span,
        &new.chunks,
    )?;
    unit.effects.count(tenant_no, Stat::Notes, 1);
    unit.effects
        .count(tenant_no, Stat::TextBytes, text_bytes(body));
    unit.effects.redacted(tenant_no, &new.redactions);
    Ok(())
}

fn owner(tenant_no: i64, seq: i64, project_no: Option<i64>, ts: Timestamp) -> Owner {
    Owner {
        tenant_no,
        entity_type: EntityType::Knowledge,
        entity_seq: seq,
        session_no: None,
        project_no,
        ts,
        sensitivity: Sensitivity::None,
    }
}

/// Gives a note another body, in the table and in the index.
fn change(
    unit: &mut Unit<'_>,
    tenant_no: i64,
    seq: i64,
    note: &Note,
    body: &NoteBody,
    now: Timestamp,
) -> Result<(), StoreError> {
    if note.body != *body {
        stand_alone(unit, tenant_no, note.note_id)?;
    }
    let old: Vec<NewChunk> = chunks_of(&note.body, note.created_at);
    let new = chunks_of(body, note.created_at);
    if old != new {
        passage::delete(unit, tenant_no, span(unit.connection, seq)?, &old)?;
        let fresh = passage::next_span(unit.connection, &new)?;
        let project_no = unit
            .find("select project_no from note where seq = ?1", [seq], |row| {
                row.get(0)
            })?
            .flatten();
        passage::insert(
            unit,
            &owner(tenant_no, seq, project_no, note.created_at),
            fresh,
            &new,
        )?;
        unit.execute(
            "update note set chunk_first = ?2, chunk_count = ?3 where seq = ?1",
            (seq, fresh.first, fresh.count),
        )?;
    }
    unit.execute(
        "update note set title = :title, content = :content, with_whom = :with_whom, source_handoffs = :source_handoffs,
             tags = :tags, confidence = :confidence, pinned = :pinned, updated_at = :now
         where seq = :seq",
        named_params! {
            ":seq": seq,
            ":title": body.title,
            ":content": body.content,
            ":with_whom": body.with_whom.as_ref().map(Name::as_str),
            ":source_handoffs": write_ids(&body.source_handoffs),
            ":tags": write_list(&body.tags),
            ":confidence": body.confidence,
            ":pinned": body.pinned,
            ":now": now.millis(),
        },
    )?;
    unit.effects.count(
        tenant_no,
        Stat::TextBytes,
        text_bytes(body) - text_bytes(&note.body),
    );
    unit.effects.tenant(tenant_no, 0, 0);
    // What was said before leaves the log, too, even where the index did not change.
    unit.effects.erased = true;
    Ok(())
}

/// Takes a note out of every table and the index.
pub(super) fn forget(unit: &mut Unit<'_>, tenant_no: i64, seq: i64) -> Result<(), StoreError> {
    let mut statement = unit.prepare(
        "select title, content, with_whom, source_handoffs, tags, confidence, pinned, created_at, id from note where seq = ?1",
    )?;
    let mut rows = statement.query([seq])?;
    let row = rows.next()?.ok_or(StoreError::NotFound("note"))?;
    let body = read_body(row, 0)?;
    let created_at = Timestamp::from_millis(row.get(7)?);
    let id: [u8; 16] = row.get(8)?;
    drop(rows);
    drop(statement);
    stand_alone(unit, tenant_no, NoteId::from_bytes(id))?;
    forget_changes(unit, tenant_no, EntityType::Knowledge, &id)?;
    let span = span(unit.connection, seq)?;
    passage::delete(unit, tenant_no, span, &chunks_of(&body, created_at))?;
    unit.execute("delete from note where seq = ?1", [seq])?;
    unit.effects.count(tenant_no, Stat::Notes, -1);
    unit.effects
        .count(tenant_no, Stat::TextBytes, -text_bytes(&body));
    Ok(())
}

fn text_bytes(body: &NoteBody) -> i64 {
    i64::try_from(body.bytes()).unwrap_or(i64::MAX)
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
        for (pinned, project, index) in [
            (None, "", "note_by_time"),
            (Some(true), "", "note_by_pin"),
            (None, " and n.project_no is null", "note_by_project"),
            (
                Some(true),
                " and n.project_no = :project_no",
                "note_by_project_pin",
            ),
        ] {
            let plan = testing::plan(&connection, &list_sql(pinned, project, &page));
            assert!(plan.contains(index), "{index}: {plan}");
            assert!(
                !plan.contains("SCAN n") && !plan.contains("TEMP B-TREE"),
                "{plan}"
            );
        }
    }
}
