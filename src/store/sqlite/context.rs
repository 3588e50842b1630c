//! The facts of a context bundle: one search and a few short lists, of one moment.
//!
//! **Invariant:** what costs does not grow with the memory: every list is short and walks an index.

use rusqlite::Connection;

use crate::domain::context::{ContextFacts, ContextQuery, MOST_RECENT, SESSION_EVENTS};
use crate::domain::decision::DecisionFilter;
use crate::domain::event::{Event, EventFilter};
use crate::domain::page::{Direction, Page};
use crate::domain::{Caller, DecisionStatus};
use crate::store::sqlite::handoff::{self, Selection};
use crate::store::sqlite::unit::tenant_no;
use crate::store::sqlite::{decision, event, note, recall, session};
use crate::store::{StoreError, Wait};

/// Handoffs that are shown whole; older ones come in through the search.
const HANDOFFS: u32 = 3;

impl super::Sqlite {
    pub(in crate::store) fn context_facts(
        &self,
        wait: Wait,
        caller: &Caller,
        query: &ContextQuery,
    ) -> Result<ContextFacts, StoreError> {
        self.read(wait, |connection| {
            match tenant_no(connection, &caller.tenant)? {
                None => Ok(ContextFacts::default()),
                Some(tenant_no) => facts(connection, tenant_no, caller, query, &self.kept),
            }
        })
    }
}

fn facts(
    connection: &Connection,
    tenant_no: i64,
    caller: &Caller,
    query: &ContextQuery,
    kept: &recall::Kept,
) -> Result<ContextFacts, StoreError> {
    let tenant = &caller.tenant;
    let project_no = session::resolve_project(connection, tenant_no, query.project.as_ref())?;
    let newest = |count| Page::first(count, Direction::Descending);
    let pinned = note::select(
        connection,
        tenant_no,
        tenant,
        project_no,
        Some(true),
        &newest(MOST_RECENT),
    )?;
    let active = DecisionFilter {
        status: Some(DecisionStatus::Active),
        ..DecisionFilter::default()
    };
    let decisions = decision::select(
        connection,
        tenant_no,
        tenant,
        project_no,
        &active,
        &newest(MOST_RECENT),
    )?;
    let selection = Selection {
        project_no,
        ..Selection::default()
    };
    let mut handoffs =
        handoff::select(connection, caller, tenant_no, &selection, &newest(HANDOFFS))?.items;
    handoffs.truncate(usize::try_from(HANDOFFS).unwrap_or(usize::MAX));
    Ok(ContextFacts {
        hits: recall::hits(connection, tenant_no, caller, &query.search, kept)?,
        pinned: pinned.items.into_iter().map(|(_, note)| note).collect(),
        standing: decision::standing(connection, tenant_no, tenant, MOST_RECENT)?,
        decisions: decisions
            .items
            .into_iter()
            .map(|(_, decision)| decision)
            .collect(),
        handoffs: handoffs.into_iter().map(|(_, handoff)| handoff).collect(),
        session: session_events(connection, tenant_no, caller, query)?,
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
