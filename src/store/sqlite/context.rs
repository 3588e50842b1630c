//! The facts of a context bundle: one search and a few short lists, of one moment.
//!
//! **Invariant:** what costs does not grow with the memory: every list is short and walks an index.

use std::sync::Arc;

use rusqlite::Connection;

use crate::domain::Caller;
use crate::domain::context::{
    ContextFacts, ContextQuery, MOST_RECENT, SESSION_EVENTS, Standing, StandingFacts,
};
use crate::domain::event::{Event, EventFilter};
use crate::domain::page::{Direction, Page};
use crate::store::measure::Op;
use crate::store::memo::{Memo, Weigh};
use crate::store::sqlite::handoff::{self, Selection};
use crate::store::sqlite::unit::tenant_no;
use crate::store::sqlite::{decision, event, note, recall, session};
use crate::store::{StoreError, Wait};

/// Handoffs that are shown whole; older ones come in through the search.
const HANDOFFS: u32 = 3;
/// Room for what stands, in bytes: that of some hundred projects.
const KEPT_BYTES: u64 = 4 * 1024 * 1024;
/// About how many that are.
const KEPT: usize = 200;
/// A key and its place.
const KEY_BYTES: usize = 128;

impl super::Sqlite {
    pub(in crate::store) fn context_facts(
        &self,
        wait: Wait,
        caller: &Caller,
        query: &ContextQuery,
    ) -> Result<ContextFacts, StoreError> {
        self.read(Op::Context, wait, |connection| {
            match tenant_no(connection, &caller.tenant)? {
                None => Ok(ContextFacts::default()),
                Some(tenant_no) => self.facts(connection, tenant_no, caller, query),
            }
        })
    }

    fn facts(
        &self,
        connection: &Connection,
        tenant_no: i64,
        caller: &Caller,
        query: &ContextQuery,
    ) -> Result<ContextFacts, StoreError> {
        let project_no = session::resolve_project(connection, tenant_no, query.project.as_ref())?;
        let standings = &self.engine.standings;
        Ok(ContextFacts {
            standing: standings.of(connection, tenant_no, caller, project_no)?,
            hits: recall::hits(
                connection,
                tenant_no,
                caller,
                &query.search,
                &self.engine.kept,
            )?,
            session: session_events(connection, tenant_no, caller, query)?,
        })
    }
}

/// Tenant, what the reader may know of, project.
type Key = (i64, i64, Option<Option<i64>>);

/// What stands whatever the task, each read at a count of writes: an agent asks for many bundles between two decisions.
#[derive(Debug)]
pub(super) struct Standings(Memo<Key, Arc<Standing>>);

impl Weigh for Arc<Standing> {
    fn bytes(&self) -> usize {
        KEY_BYTES + self.weight()
    }
}

impl Default for Standings {
    fn default() -> Self {
        Self(Memo::new(KEPT_BYTES, KEPT))
    }
}

impl Standings {
    fn of(
        &self,
        connection: &Connection,
        tenant_no: i64,
        caller: &Caller,
        project_no: Option<Option<i64>>,
    ) -> Result<Arc<Standing>, StoreError> {
        let writes = connection
            .prepare_cached("select write_seq from tenant where tenant_no = ?1")?
            .query_row([tenant_no], |row| row.get(0))?;
        let key = (tenant_no, caller.clearance().code(), project_no);
        if let Some(standing) = self.0.get(&key, |then| then == writes) {
            return Ok(standing);
        }
        let facts = standing(connection, tenant_no, caller, project_no)?;
        let standing = Arc::new(Standing::of(&facts));
        self.0.keep(key, writes, Arc::clone(&standing));
        Ok(standing)
    }
}

fn standing(
    connection: &Connection,
    tenant_no: i64,
    caller: &Caller,
    project_no: Option<Option<i64>>,
) -> Result<StandingFacts, StoreError> {
    let tenant = &caller.tenant;
    let newest = |count| Page::first(count, Direction::Descending);
    let pinned = note::select(
        connection,
        tenant_no,
        tenant,
        project_no,
        Some(true),
        &newest(MOST_RECENT),
    )?;
    let decisions = decision::current(
        connection,
        tenant_no,
        tenant,
        project_no,
        &newest(MOST_RECENT),
    )?;
    let selection = Selection {
        project_no,
        ..Selection::default()
    };
    let mut handoffs =
        handoff::select(connection, caller, tenant_no, &selection, &newest(HANDOFFS))?.items;
    handoffs.truncate(usize::try_from(HANDOFFS).unwrap_or(usize::MAX));
    Ok(StandingFacts {
        pinned: pinned.items.into_iter().map(|(_, note)| note).collect(),
        decrees: decision::standing(connection, tenant_no, tenant, MOST_RECENT)?,
        decisions: decisions
            .items
            .into_iter()
            .map(|(_, decision)| decision)
            .collect(),
        handoffs: handoffs.into_iter().map(|(_, handoff)| handoff).collect(),
    })
}

/// The newest events of the session at hand, oldest first.
fn session_events(
    connection: &Connection,
    tenant_no: i64,
    caller: &Caller,
    query: &ContextQuery,
) -> Result<Vec<Event>, StoreError> {
    if query.session.is_none() {
        return Ok(Vec::new());
    }
    let filter = EventFilter {
        session: query.session.clone(),
        ..EventFilter::default()
    };
    let page = Page::first(SESSION_EVENTS, Direction::Descending);
    let rows = event::select(connection, tenant_no, caller, &filter, &page)?;
    let mut events: Vec<Event> = rows.items.into_iter().map(|(_, event)| event).collect();
    events.reverse();
    Ok(events)
}
