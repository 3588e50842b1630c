//! The tables of what is remembered, as far as session and time go.
//!
//! **Invariant:** each list walks an index by time, newest first.

use rusqlite::{Connection, params};

use super::MOST_ROWS;
use super::gate::Gate;
use crate::domain::EntityType;
use crate::store::StoreError;

/// A table of entities.
pub(super) struct Kind {
    pub(super) entity: EntityType,
    table: &'static str,
    time: &'static str,
    has_session: bool,
}

const fn kind(
    entity: EntityType,
    table: &'static str,
    time: &'static str,
    has_session: bool,
) -> Kind {
    Kind {
        entity,
        table,
        time,
        has_session,
    }
}

/// Events first.
pub(super) const KINDS: &[Kind] = &[
    kind(EntityType::Event, "event", "ts", true),
    kind(EntityType::Handoff, "handoff", "created_at", true),
    kind(EntityType::Decision, "decision", "ts", false),
    kind(EntityType::Knowledge, "note", "created_at", false),
    kind(EntityType::Reflection, "reflection", "period_end", false),
    kind(EntityType::Principle, "principle", "created_at", false),
];

impl Kind {
    /// Hands over the chunks of each entity of a time and of the gate's session, newest first, while `take` wants more;
    /// at most [`MOST_ROWS`] entities. A period ends with the moment before its end, so the end itself is taken in; whether
    /// an entity passes is for the gate to say.
    pub(super) fn each(
        &self,
        connection: &Connection,
        tenant_no: i64,
        gate: &Gate,
        (from, until): (i64, i64),
        mut take: impl FnMut(i64, i64) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        if !gate.admits(self.entity) || gate.session_no.is_some() && !self.has_session {
            return Ok(());
        }
        let (table, time) = (self.table, self.time);
        let session = if gate.session_no.is_some() {
            "session_no = ?2"
        } else {
            "?2 is null"
        };
        let mut statement = connection.prepare_cached(&format!(
            "select chunk_first, chunk_count from {table} where tenant_no = ?1 and {session} and {time} >= ?3 and {time} <= ?4
             order by {time} desc limit ?5"
        ))?;
        let bounds = params![tenant_no, gate.session_no, from, until, MOST_ROWS];
        let mut rows = statement.query(bounds)?;
        while let Some(row) = rows.next()? {
            if !take(row.get(0)?, row.get(1)?)? {
                break;
            }
        }
        Ok(())
    }
}
