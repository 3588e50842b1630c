//! The facts of a wake-up: a few look-ups, whatever the number of sessions.
//!
//! **Invariant:** counts nothing and scans nothing; the totals were kept when writing.

use rusqlite::Connection;

use crate::domain::decision::Decision;
use crate::domain::handoff::Handoff;
use crate::domain::page::{Direction, Page};
use crate::domain::principle::Principle;
use crate::domain::reflection::Reflection;
use crate::domain::wake_up::{self, Layer, WakeUpFacts, WakeUpQuery};
use crate::domain::{Caller, HandoffId, Timestamp};
use crate::store::measure::Op;
use crate::store::sqlite::handoff::{self, Selection};
use crate::store::sqlite::unit::tenant_no;
use crate::store::sqlite::{decision, identity, note, principle, reflection, session};
use crate::store::{StoreError, Wait};

mod progressive;

/// Most people and topics that the totals name.
const MOST_NAMES: usize = 8;

impl super::Sqlite {
    pub(in crate::store) fn wake_up_facts(
        &self,
        wait: Wait,
        caller: &Caller,
        query: &WakeUpQuery,
        relevant: Option<&[HandoffId]>,
    ) -> Result<WakeUpFacts, StoreError> {
        self.read(Op::WakeUp, wait, |connection| {
            let Some(tenant_no) = tenant_no(connection, &caller.tenant)? else {
                return Ok(WakeUpFacts::default());
            };
            facts(connection, tenant_no, caller, query, relevant)
        })
    }
}

fn facts(
    connection: &Connection,
    tenant_no: i64,
    caller: &Caller,
    query: &WakeUpQuery,
    relevant: Option<&[HandoffId]>,
) -> Result<WakeUpFacts, StoreError> {
    let project_no = session::resolve_project(connection, tenant_no, query.project.as_ref())?;
    let selection = Selection {
        with_whom: query.with_whom.clone(),
        project_no,
        session_no: None,
    };
    let older_count = if query.layers.contains(&Layer::Progressive) {
        wake_up::MAX_PROGRESSIVE
    } else {
        0
    };
    let newest = |count| Page::first(count, Direction::Descending);
    let page = newest(query.recent_count + older_count);
    let rows = handoff::select(connection, caller, tenant_no, &selection, &page)?;
    let mut recent: Vec<Handoff> = rows.items.into_iter().map(|(_, handoff)| handoff).collect();
    recent.truncate(usize::try_from(page.limit).unwrap_or(usize::MAX));
    let older = recent.split_off(
        recent
            .len()
            .min(usize::try_from(query.recent_count).unwrap_or(usize::MAX)),
    );
    let (mut summary, _) = session::read_total(
        connection,
        tenant_no,
        project_no,
        query.with_whom.as_ref(),
        caller.clearance(),
    )?;
    summary.last_at = recent.first().map(|handoff| handoff.created_at);
    summary.first_at = first_at(connection, caller, tenant_no, &selection)?;
    let people;
    (summary.topics, people) = names(&recent, &older);
    let (older, months) = match relevant {
        None if query.layers.contains(&Layer::Progressive) => {
            progressive::by_age(connection, tenant_no, caller, &selection, older)?
        }
        None => (older, Vec::new()),
        Some(ids) => (
            by_ids(connection, tenant_no, caller, query, ids, &recent)?,
            Vec::new(),
        ),
    };
    let identity_count = u32::try_from(wake_up::MAX_IDENTITY).unwrap_or(u32::MAX);
    let identity = identity::identity(connection, caller, tenant_no, identity_count)?;
    let decisions = decisions(connection, tenant_no, caller, project_no)?;
    let notes = note::at_hand(
        connection,
        tenant_no,
        &caller.tenant,
        project_no,
        wake_up::MAX_STANDING,
    )?;
    let (principles, reflections) = conclusions(connection, tenant_no, caller, query)?;
    Ok(WakeUpFacts {
        decisions,
        notes,
        principles,
        reflections,
        summary,
        people,
        recent,
        older,
        months,
        identity,
    })
}

/// What the newest handoffs are about, and whom they are with.
fn names(recent: &[Handoff], older: &[Handoff]) -> (Vec<String>, Vec<String>) {
    let all = || recent.iter().chain(older);
    let people: Vec<String> = all()
        .map(|handoff| handoff.with_whom.as_str().to_owned())
        .collect();
    (
        most_frequent(all().flat_map(|handoff| handoff.tags.iter())),
        most_frequent(people.iter()),
    )
}

/// What was concluded, if it is asked for. It is of all projects and people, as the identity thread is.
fn conclusions(
    connection: &Connection,
    tenant_no: i64,
    caller: &Caller,
    query: &WakeUpQuery,
) -> Result<(Vec<Principle>, Vec<Reflection>), StoreError> {
    if !query.layers.contains(&Layer::Reflection) {
        return Ok((Vec::new(), Vec::new()));
    }
    Ok((
        principle::newest(connection, caller, tenant_no, wake_up::MAX_PRINCIPLES)?,
        reflection::newest(connection, caller, tenant_no, wake_up::MAX_REFLECTIONS)?,
    ))
}

/// The active decisions: standing ones first, then the newest of the project.
fn decisions(
    connection: &Connection,
    tenant_no: i64,
    caller: &Caller,
    project_no: Option<Option<i64>>,
) -> Result<Vec<Decision>, StoreError> {
    let mut decisions =
        decision::standing(connection, tenant_no, &caller.tenant, wake_up::MAX_STANDING)?;
    let page = Page::first(wake_up::MAX_STANDING, Direction::Descending);
    let newest = decision::current(connection, tenant_no, &caller.tenant, project_no, &page)?;
    for (_, decision) in newest.items {
        if decisions
            .iter()
            .all(|shown| shown.decision_id != decision.decision_id)
        {
            decisions.push(decision);
        }
    }
    decisions.truncate(usize::try_from(wake_up::MAX_STANDING).unwrap_or(usize::MAX));
    Ok(decisions)
}

fn first_at(
    connection: &Connection,
    caller: &Caller,
    tenant_no: i64,
    selection: &Selection,
) -> Result<Option<Timestamp>, StoreError> {
    let first = handoff::select(
        connection,
        caller,
        tenant_no,
        selection,
        &Page::first(1, Direction::Ascending),
    )?;
    Ok(first.items.first().map(|(position, _)| position.ts))
}

/// The older handoffs with this person that were found relevant, without those already shown as recent.
fn by_ids(
    connection: &Connection,
    tenant_no: i64,
    caller: &Caller,
    query: &WakeUpQuery,
    ids: &[HandoffId],
    recent: &[Handoff],
) -> Result<Vec<Handoff>, StoreError> {
    let mut found = Vec::new();
    for id in ids
        .iter()
        .filter(|id| recent.iter().all(|shown| shown.handoff_id != **id))
    {
        found.extend(handoff::by_id(connection, tenant_no, &caller.tenant, *id)?);
    }
    let person = query.with_whom.as_ref();
    found.retain(|handoff: &Handoff| person.is_none_or(|name| *name == handoff.with_whom));
    Ok(found)
}

/// The words that occur most often, most frequent first, earlier before later among equals.
fn most_frequent<'a>(words: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut counts: Vec<(&String, usize)> = Vec::new();
    for word in words {
        match counts.iter_mut().find(|(known, _)| *known == word) {
            Some((_, count)) => *count += 1,
            None => counts.push((word, 1)),
        }
    }
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts
        .into_iter()
        .take(MOST_NAMES)
        .map(|(word, _)| word.clone())
        .collect()
}
