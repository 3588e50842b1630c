//! Passages read back: a chunk's row, and the text it is a range of.
//!
//! **Invariant:** what is being forgotten has no passages.

use rusqlite::Connection;

use crate::domain::content::{self, Content};
use crate::domain::event::Chunk;
use crate::domain::recall::Extent;
use crate::domain::{
    ChunkField, ChunkId, DecisionStatus, EntityType, EventId, Sensitivity, TenantId, Timestamp,
};
use crate::store::measure::Op;
use crate::store::sqlite::error::damaged;
use crate::store::sqlite::rows::read_list;
use crate::store::sqlite::unit::{find, tenant_no};
use crate::store::sqlite::{decision, handoff, note, principle, reflection};
use crate::store::{StoreError, Wait};

impl super::Sqlite {
    pub(in crate::store) fn chunk(
        &self,
        wait: Wait,
        tenant: &TenantId,
        id: ChunkId,
    ) -> Result<Option<(Chunk, Sensitivity)>, StoreError> {
        self.read(Op::EventRead, wait, |connection| {
            let Some(tenant_no) = tenant_no(connection, tenant)? else {
                return Ok(None);
            };
            let seq = chunk_seq(connection, tenant_no, id)?;
            let Some(passage) = seq
                .map(|seq| load_passage(connection, seq))
                .transpose()?
                .flatten()
            else {
                return Ok(None);
            };
            let chunk = Chunk {
                chunk_id: id,
                entity_id: passage.entity_id,
                entity_type: passage.entity_type,
                field: passage.field,
                ordinal: passage.ordinal,
                ts: passage.ts,
                text: passage.text,
            };
            Ok(Some((chunk, passage.sensitivity)))
        })
    }
}

/// Where a chunk stands.
fn chunk_seq(
    connection: &Connection,
    tenant_no: i64,
    id: ChunkId,
) -> rusqlite::Result<Option<i64>> {
    for (event, ordinal) in id.owners() {
        let found = find(
            connection,
            "select chunk_first + ?3 from event where tenant_no = ?1 and id = ?2 and chunk_count > ?3",
            (tenant_no, event.bytes(), ordinal),
            |row| row.get(0),
        )?;
        if found.is_some() {
            return Ok(found);
        }
    }
    // Files of before chunk ids were derived from their event hold them.
    find(
        connection,
        "select seq from chunk where tenant_no = ?1 and id = ?2 and id is not null",
        (tenant_no, id.bytes()),
        |row| row.get(0),
    )
}

/// A passage with the text it is a range of.
#[derive(Debug)]
pub(super) struct Passage {
    pub(super) entity_id: String,
    pub(super) entity_type: EntityType,
    pub(super) field: ChunkField,
    pub(super) ordinal: u32,
    pub(super) ts: Timestamp,
    pub(super) text: String,
    pub(super) tags: Vec<String>,
    pub(super) sensitivity: Sensitivity,
}

/// Loads a passage; none if its entity is gone or being forgotten.
pub(super) fn load_passage(
    connection: &Connection,
    seq: i64,
) -> Result<Option<Passage>, StoreError> {
    let row = find(
        connection,
        "select c.entity_type, c.entity_seq, c.field, c.byte_start, c.byte_end, c.ts, c.sensitivity from chunk c
         left join session s on s.session_no = c.session_no where c.seq = ?1 and s.forgotten_at is null",
        [seq],
        |row| {
            Ok((
                (row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?),
                (row.get::<_, u32>(3)?, row.get::<_, u32>(4)?),
                (row.get::<_, i64>(5)?, row.get::<_, i64>(6)?),
            ))
        },
    )?;
    let Some(((entity_type, entity_seq, field), (start, end), (ts, sensitivity))) = row else {
        return Ok(None);
    };
    let entity_type = EntityType::from_code(entity_type).ok_or_else(|| damaged("entity type"))?;
    let field = ChunkField::from_code(field).ok_or_else(|| damaged("chunk field"))?;
    let sensitivity = Sensitivity::from_code(sensitivity).ok_or_else(|| damaged("sensitivity"))?;
    let Some(of) = entity_text(connection, (entity_type, entity_seq), field)? else {
        return Ok(None);
    };
    Ok(Some(Passage {
        entity_type,
        field,
        ordinal: u32::try_from(seq - of.chunk_first).unwrap_or(0),
        ts: Timestamp::from_millis(ts),
        text: of.part(Extent { field, start, end })?.to_owned(),
        sensitivity,
        entity_id: of.id,
        tags: of.tags,
    }))
}

/// The text that passages of an entity's field are ranges of.
pub(super) fn entity_text(
    connection: &Connection,
    (entity_type, seq): (EntityType, i64),
    field: ChunkField,
) -> Result<Option<EntityText>, StoreError> {
    match entity_type {
        EntityType::Event => event_text(connection, seq),
        EntityType::Handoff => handoff::field_text(connection, seq, field),
        EntityType::Decision => decision::text(connection, seq),
        EntityType::Knowledge => note::text(connection, seq),
        EntityType::Reflection => reflection::text(connection, seq),
        EntityType::Principle => principle::text(connection, seq),
    }
}

/// An entity's text that passages are ranges of.
#[derive(Debug)]
pub(super) struct EntityText {
    pub(super) id: String,
    pub(super) whole: String,
    pub(super) tags: Vec<String>,
    pub(super) refs: Vec<String>,
    pub(super) chunk_first: i64,
    /// Whether it holds, if it is a decision.
    pub(super) status: Option<DecisionStatus>,
    /// What took its place, if that is still known.
    pub(super) superseded_by: Option<String>,
}

impl EntityText {
    /// The text of one of its passages.
    pub(super) fn part(&self, Extent { start, end, .. }: Extent) -> Result<&str, StoreError> {
        let range = usize::try_from(start).unwrap_or(0)..usize::try_from(end).unwrap_or(0);
        self.whole.get(range).ok_or_else(|| damaged("byte range"))
    }
}

/// The text of an event, for its passages.
pub(super) fn event_text(
    connection: &Connection,
    seq: i64,
) -> Result<Option<EntityText>, StoreError> {
    let mut statement = connection
        .prepare_cached("select id, content, tags, refs, chunk_first from event where seq = ?1")?;
    let mut rows = statement.query([seq])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let content = row.get_ref(1)?.as_str().unwrap_or_default();
    let content: Content = serde_json::from_str(content).map_err(|_| damaged("event content"))?;
    Ok(Some(EntityText {
        id: EventId::from_bytes(row.get(0)?).to_string(),
        whole: content::searchable(&content),
        tags: read_list(row, 2)?,
        refs: read_list(row, 3)?,
        chunk_first: row.get(4)?,
        status: None,
        superseded_by: None,
    }))
}
