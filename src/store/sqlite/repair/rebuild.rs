//! Making anew what follows from the texts: passages, the index, counts and totals.
//!
//! **Invariant:** no text, id or time of a memory is changed; all of it is one transaction, of whoever calls.

use std::collections::BTreeMap;

use rusqlite::{Connection, named_params};

use crate::domain::recall::Voice;
use crate::domain::{ActorType, ChunkField, EntityType, EventKind, NewChunk, Timestamp, terms};
use crate::store::StoreError;
use crate::store::sqlite::chunk::{EntityText, event_text};
use crate::store::sqlite::examine::{Counted, TOTALS, counted, mend_consolidated};
use crate::store::sqlite::passage::fill_index;
use crate::store::sqlite::{decision, handoff, note, principle, reflection};

/// What was made anew.
#[derive(Debug, Default)]
pub(super) struct Rebuilt {
    /// Entities whose passages were not those of their text.
    pub(super) entities: usize,
    /// Passages that belonged to nothing.
    pub(super) orphans: usize,
    /// Rows that consolidation left behind and that were not as they should be.
    pub(super) consolidated: usize,
}

/// What the passages of an entity repeat of it. In order: number, tenant, session, project, time, sensitivity, first
/// passage, how many, and of an event who said it.
pub(in crate::store::sqlite) const ENTITIES: [(EntityType, &str, &str); 6] = [
    (
        EntityType::Event,
        "event",
        "select seq, tenant_no, session_no, project_no, ts, sensitivity, chunk_first, chunk_count, actor_type, actor, kind from event",
    ),
    (
        EntityType::Handoff,
        "handoff",
        "select seq, tenant_no, session_no, project_no, created_at as ts, sensitivity, chunk_first, chunk_count, null, null, null
         from handoff",
    ),
    (
        EntityType::Decision,
        "decision",
        "select seq, tenant_no, null as session_no, project_no, ts, 0 as sensitivity, chunk_first, chunk_count, null, null, null
         from decision",
    ),
    (
        EntityType::Knowledge,
        "note",
        "select seq, tenant_no, null as session_no, project_no, created_at as ts, 0 as sensitivity, chunk_first, chunk_count,
             null, null, null from note",
    ),
    (
        EntityType::Reflection,
        "reflection",
        "select seq, tenant_no, null as session_no, null as project_no, period_end - 1 as ts, sensitivity, chunk_first,
             chunk_count, null, null, null from reflection",
    ),
    (
        EntityType::Principle,
        "principle",
        "select seq, tenant_no, null as session_no, null as project_no, created_at as ts, sensitivity, chunk_first, chunk_count,
             null, null, null from principle",
    ),
];
/// The fields of a handoff, in the order of their passages.
const HANDOFF_FIELDS: [ChunkField; 6] = [
    ChunkField::Experienced,
    ChunkField::Noticed,
    ChunkField::Learned,
    ChunkField::Story,
    ChunkField::Becoming,
    ChunkField::Remember,
];

/// An entity, as its passages repeat it.
struct Entity {
    seq: i64,
    tenant_no: i64,
    session_no: Option<i64>,
    project_no: Option<i64>,
    ts: i64,
    sensitivity: i64,
    first: i64,
    count: i64,
    said: Option<(ActorType, String, bool)>,
}

/// Makes all of it anew.
pub(super) fn rebuild(connection: &Connection, now: Timestamp) -> Result<Rebuilt, StoreError> {
    let mut rebuilt = Rebuilt {
        consolidated: mend_consolidated(connection, now)?,
        ..Rebuilt::default()
    };
    connection.execute_batch("create temp table owned (seq integer primary key)")?;
    for (entity_type, table, sql) in ENTITIES {
        passages(connection, entity_type, table, sql, &mut rebuilt)?;
    }
    rebuilt.orphans = connection.execute(
        "delete from chunk where seq not in (select seq from temp.owned)",
        [],
    )?;
    connection.execute_batch(
        "drop table temp.owned;
         insert into term_index (term_index) values ('delete-all');",
    )?;
    fill_index(connection)?;
    connection.execute(
        "update store set terms_version = ?1",
        [terms::TERMS_VERSION],
    )?;
    counts(connection)?;
    Ok(rebuilt)
}

fn passages(
    connection: &Connection,
    entity_type: EntityType,
    table: &str,
    sql: &str,
    rebuilt: &mut Rebuilt,
) -> Result<(), StoreError> {
    let mut entities = Vec::new();
    let mut statement = connection.prepare(&format!("{sql} order by seq"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let actor = row.get::<_, Option<i64>>(8)?.and_then(ActorType::from_code);
        let name: Option<String> = row.get(9)?;
        let decides = row.get::<_, Option<i64>>(10)? == Some(EventKind::Decision.code());
        entities.push(Entity {
            seq: row.get(0)?,
            tenant_no: row.get(1)?,
            session_no: row.get(2)?,
            project_no: row.get(3)?,
            ts: row.get(4)?,
            sensitivity: row.get(5)?,
            first: row.get(6)?,
            count: row.get(7)?,
            said: actor.zip(name).map(|(actor, name)| (actor, name, decides)),
        });
    }
    drop(rows);
    let mut own = connection.prepare("insert or ignore into temp.owned (seq) values (?1)")?;
    for entity in entities {
        let chunks = cut(connection, entity_type, &entity)?;
        let (mut first, count) = (
            entity.first,
            i64::try_from(chunks.len()).unwrap_or(i64::MAX),
        );
        if !are_stored(connection, entity_type, &entity, &chunks)? {
            rebuilt.entities += 1;
            first = store(connection, entity_type, &entity, &chunks)?;
            let sql =
                format!("update {table} set chunk_first = ?2, chunk_count = ?3 where seq = ?1");
            connection
                .prepare_cached(&sql)?
                .execute((entity.seq, first, count))?;
        }
        for seq in first..first.saturating_add(count) {
            own.execute([seq])?;
        }
    }
    Ok(())
}

/// The passages of an entity, cut from its text.
fn cut(
    connection: &Connection,
    entity_type: EntityType,
    entity: &Entity,
) -> Result<Vec<NewChunk>, StoreError> {
    let seq = entity.seq;
    let parts: Vec<(ChunkField, Option<EntityText>)> = match entity_type {
        EntityType::Event => vec![(ChunkField::Content, event_text(connection, seq)?)],
        EntityType::Handoff => HANDOFF_FIELDS
            .iter()
            .map(|field| Ok((*field, handoff::field_text(connection, seq, *field)?)))
            .collect::<Result<_, StoreError>>()?,
        EntityType::Decision => vec![(ChunkField::Decision, decision::text(connection, seq)?)],
        EntityType::Knowledge => vec![(ChunkField::Note, note::text(connection, seq)?)],
        EntityType::Reflection => {
            vec![(ChunkField::Reflection, reflection::text(connection, seq)?)]
        }
        EntityType::Principle => vec![(ChunkField::Principle, principle::text(connection, seq)?)],
    };
    let ts = Timestamp::from_millis(entity.ts);
    let mut chunks = Vec::new();
    for (field, text) in parts {
        let Some(text) = text else { continue };
        if entity_type == EntityType::Handoff && text.whole.trim().is_empty() {
            continue;
        }
        let voice = entity.said.as_ref().map(|(actor, name, decides)| Voice {
            actor: *actor,
            name,
            decides: *decides,
        });
        chunks.extend(NewChunk::spoken(field, &text.whole, ts, &text.tags, voice));
    }
    Ok(chunks)
}

/// Whether these are the passages that stand where the entity says.
fn are_stored(
    connection: &Connection,
    entity_type: EntityType,
    entity: &Entity,
    chunks: &[NewChunk],
) -> Result<bool, StoreError> {
    if i64::try_from(chunks.len()) != Ok(entity.count) {
        return Ok(false);
    }
    let mut statement = connection.prepare_cached(
        "select field, byte_start, byte_end, words, signature, tenant_no, session_no, project_no, ts, sensitivity from chunk
         where seq >= ?1 and seq < ?1 + ?2 and entity_type = ?3 and entity_seq = ?4 order by seq",
    )?;
    let mut rows = statement.query((entity.first, entity.count, entity_type.code(), entity.seq))?;
    for chunk in chunks {
        let Some(row) = rows.next()? else {
            return Ok(false);
        };
        let place: (i64, i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
        let owner: (i64, Option<i64>, Option<i64>, i64, i64) = (
            row.get(5)?,
            row.get(6)?,
            row.get(7)?,
            row.get(8)?,
            row.get(9)?,
        );
        let wanted = (
            chunk.field.code(),
            length(chunk.start),
            length(chunk.end),
            length(chunk.words),
        );
        let of = (
            entity.tenant_no,
            entity.session_no,
            entity.project_no,
            entity.ts,
            entity.sensitivity,
        );
        if place != wanted || owner != of || row.get::<_, Vec<u8>>(4)? != chunk.signature.bytes() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Stores an entity's passages behind all others; answers where.
fn store(
    connection: &Connection,
    entity_type: EntityType,
    entity: &Entity,
    chunks: &[NewChunk],
) -> Result<i64, StoreError> {
    let first: i64 = connection
        .prepare_cached("select coalesce(max(seq), 0) + 1 from chunk")?
        .query_row([], |row| row.get(0))?;
    let mut insert = connection.prepare_cached(
        "insert into chunk (seq, tenant_no, entity_type, entity_seq, session_no, project_no, ts, sensitivity, field,
             byte_start, byte_end, words, signature)
         values (:seq, :tenant_no, :entity_type, :entity_seq, :session_no, :project_no, :ts, :sensitivity, :field,
             :byte_start, :byte_end, :words, :signature)",
    )?;
    for (seq, chunk) in (first..).zip(chunks) {
        insert.execute(named_params! {
            ":seq": seq, ":tenant_no": entity.tenant_no, ":entity_type": entity_type.code(), ":entity_seq": entity.seq,
            ":session_no": entity.session_no, ":project_no": entity.project_no, ":ts": entity.ts,
            ":sensitivity": entity.sensitivity, ":field": chunk.field.code(), ":byte_start": length(chunk.start),
            ":byte_end": length(chunk.end), ":words": length(chunk.words), ":signature": chunk.signature.bytes(),
        })?;
    }
    Ok(first)
}

/// Counts anew what is kept counts of.
fn counts(connection: &Connection) -> Result<(), StoreError> {
    let Counted { tenants } = counted(connection)?;
    let mut store: BTreeMap<(String, &'static str), i64> = BTreeMap::new();
    for name in Counted::NAMES {
        for table in ["stat", "tenant_stat"] {
            connection.execute(&format!("delete from {table} where name = ?1"), [name])?;
        }
    }
    let mut of_tenant = connection.prepare(
        "insert into tenant_stat (tenant_no, name, label, value)
         select ?1, ?2, ?3, ?4 from tenant where tenant_no = ?1",
    )?;
    for ((tenant_no, name, label), count) in &tenants {
        of_tenant.execute((tenant_no, name, label, count))?;
        *store.entry((name.clone(), label)).or_default() += count;
    }
    let mut of_store =
        connection.prepare("insert into stat (name, label, value) values (?1, ?2, ?3)")?;
    for ((name, label), count) in &store {
        of_store.execute((name, label, count))?;
    }
    connection.execute_batch(&format!(
        "delete from summary;
         insert into summary (tenant_no, project_no, with_whom, sensitivity, sessions, handoffs, statements) {TOTALS};
         update note set duplicate_of = null where duplicate_of is not null and not exists (
             select 1 from note shown where shown.tenant_no = note.tenant_no and shown.id = note.duplicate_of
                 and shown.duplicate_of is null);
         update note set duplicates = (select count(*) from note folded
             where folded.tenant_no = note.tenant_no and folded.duplicate_of = note.id);
         update session set
             events = (select count(*) from event e where e.tenant_no = session.tenant_no and e.session_no = session.session_no),
             handoffs = (select count(*) from handoff h where h.tenant_no = session.tenant_no and h.session_no = session.session_no);
         update tenant set (passages, words, write_seq, erasures) =
             (select count(*), coalesce(sum(words), 0), tenant.write_seq + 1, tenant.erasures + 1 from chunk c
              where c.tenant_no = tenant.tenant_no);
         update tenant set most_sensitive = coalesce(
             (select max(sensitivity) from chunk c where c.tenant_no = tenant.tenant_no), 0);
         insert into stat (name, label, value) select 'events_recorded', label, value from stat where name = 'events'
             on conflict do update set value = max(value, excluded.value);"
    ))?;
    Ok(())
}

fn length(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
