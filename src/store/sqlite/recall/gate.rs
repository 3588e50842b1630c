//! What may be shown of the index, and what is known of a chunk without its text.
//!
//! **Invariant:** a filter that is given is kept by everything that is shown.

use rusqlite::{Connection, Row, params};

use super::{MOST_FILTERED, MOST_ROWS};
use crate::domain::recall::{Extent, RecallFilter, Signature, Sought};
use crate::domain::{Caller, ChunkField, EntityType, Sensitivity};
use crate::store::StoreError;
use crate::store::sqlite::passage::quoted;
use crate::store::sqlite::session::{self, session_no};
use crate::store::sqlite::unit::find;

/// What a row has to be like to be shown, in the store's numbers.
pub(super) struct Gate {
    pub(super) clearance: i64,
    pub(super) types: Vec<i64>,
    /// `Some(None)`: of a project that is not known here.
    pub(super) project_no: Option<Option<i64>>,
    pub(super) session_no: Option<i64>,
    /// As FTS5 strings, and as signatures have them.
    pub(super) tags: Vec<String>,
    sought_tags: Sought,
    /// Sessions that are being forgotten: nothing of them is there any more.
    pub(super) forgotten: Vec<i64>,
    pub(super) since: i64,
    pub(super) until: i64,
}

impl Gate {
    /// None if nothing can pass.
    pub(super) fn resolve(
        connection: &Connection,
        tenant_no: i64,
        caller: &Caller,
        filter: &RecallFilter,
    ) -> rusqlite::Result<Option<Self>> {
        let session_no = match &filter.session {
            None => None,
            Some(session) => match session_no(connection, tenant_no, session)? {
                None => return Ok(None),
                known => known,
            },
        };
        let project_no = session::resolve_project(connection, tenant_no, filter.project.as_ref())?;
        Ok(Some(Self {
            clearance: caller.clearance().code(),
            types: filter.types.iter().map(|entity| entity.code()).collect(),
            project_no,
            session_no,
            tags: filter
                .tags
                .iter()
                .map(|tag| quoted(tenant_no, tag))
                .collect(),
            sought_tags: Sought::new(filter.tags.iter().map(String::as_str)),
            forgotten: being_forgotten(connection, tenant_no)?,
            since: filter
                .since
                .map_or(i64::MIN, crate::domain::Timestamp::millis),
            until: filter
                .until
                .map_or(i64::MAX, crate::domain::Timestamp::millis),
        }))
    }

    /// Whether the reader may know of it at all.
    pub(super) fn clears(&self, chunk: &Looked) -> bool {
        self.knows(chunk.sensitivity, chunk.session_no)
    }

    /// The same of a chunk of which only this is known.
    pub(super) fn knows(&self, sensitivity: i64, session_no: Option<i64>) -> bool {
        sensitivity <= self.clearance
            && !session_no.is_some_and(|session| self.forgotten.contains(&session))
    }

    /// Whether the reader may know of every passage of a tenant that has none more sensitive than this.
    pub(super) fn knows_all(&self, most_sensitive: i64) -> bool {
        most_sensitive <= self.clearance && self.forgotten.is_empty()
    }

    /// How many rows may be looked at: more where most of them will not pass.
    pub(super) fn budget(&self) -> i64 {
        let narrowed = self.project_no.is_some()
            || self.session_no.is_some()
            || !self.types.is_empty()
            || self.is_timed()
            || self.clearance < Sensitivity::High.code();
        if narrowed { MOST_FILTERED } else { MOST_ROWS }
    }

    /// Whether only a stretch of time may be shown.
    pub(super) fn is_timed(&self) -> bool {
        self.since > i64::MIN || self.until < i64::MAX
    }

    /// Whether a type may be shown at all.
    pub(super) fn admits(&self, entity: EntityType) -> bool {
        self.types.is_empty() || self.types.contains(&entity.code())
    }

    pub(super) fn passes(&self, chunk: &Looked) -> bool {
        self.clears(chunk)
            && (self.types.is_empty() || self.types.contains(&chunk.entity_type))
            && self
                .project_no
                .is_none_or(|project| chunk.project_no.is_none() || chunk.project_no == project)
            && self
                .session_no
                .is_none_or(|session| chunk.session_no == Some(session))
            && (self.since..self.until).contains(&chunk.ts)
    }

    /// Whether a passage has all the tags: most that have not are told by their signatures, the index says it of the others.
    pub(super) fn tagged(&self, connection: &Connection, chunk: &Looked) -> rusqlite::Result<bool> {
        if self.tags.is_empty() {
            return Ok(true);
        }
        if !chunk.signature.may_hold(&self.sought_tags) {
            return Ok(false);
        }
        let sql = "select 1 from term_index where term_index match ?1 and rowid = ?2";
        find(
            connection,
            sql,
            params![self.tags.join(" AND "), chunk.seq],
            |_| Ok(()),
        )
        .map(|row| row.is_some())
    }
}

/// The sessions of a tenant whose forgetting goes on.
fn being_forgotten(connection: &Connection, tenant_no: i64) -> rusqlite::Result<Vec<i64>> {
    let mut statement = connection.prepare_cached(
        "select session_no from job where completed_at is null and tenant_no = ?1 and session_no is not null",
    )?;
    statement
        .query_map([tenant_no], |row| row.get(0))?
        .collect()
}

/// What is known of a chunk without its text.
#[derive(Debug, Clone)]
pub(super) struct Looked {
    pub(super) seq: i64,
    pub(super) entity_type: i64,
    pub(super) entity_seq: i64,
    pub(super) session_no: Option<i64>,
    pub(super) project_no: Option<i64>,
    pub(super) ts: i64,
    pub(super) sensitivity: i64,
    pub(super) words: i64,
    pub(super) extent: Extent,
    pub(super) signature: Signature,
}

impl Looked {
    pub(super) fn at(connection: &Connection, seq: i64) -> Result<Option<Self>, StoreError> {
        let mut statement = connection.prepare_cached(
            "select entity_type, entity_seq, session_no, project_no, ts, sensitivity, words, field, byte_start, byte_end, signature
             from chunk where seq = ?1",
        )?;
        let mut rows = statement.query([seq])?;
        let Some(row) = rows.next()? else {
            return Ok(None);
        };
        // A damaged one is as good as none; a search is not the place to fail for it.
        let signature = Signature::stored(row.get_ref(10)?.as_blob().unwrap_or_default());
        let (Some(signature), Some(extent)) = (signature, extent(row)) else {
            return Ok(None);
        };
        Ok(Some(Self {
            seq,
            entity_type: row.get(0)?,
            entity_seq: row.get(1)?,
            session_no: row.get(2)?,
            project_no: row.get(3)?,
            ts: row.get(4)?,
            sensitivity: row.get(5)?,
            words: row.get(6)?,
            extent,
            signature,
        }))
    }
}

/// The extent in a row of [`Looked::at`].
fn extent(row: &Row<'_>) -> Option<Extent> {
    Some(Extent {
        field: ChunkField::from_code(row.get(7).ok()?)?,
        start: row.get(8).ok()?,
        end: row.get(9).ok()?,
    })
}
