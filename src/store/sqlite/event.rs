//! Events, their chunks and their artifacts.
//!
//! **Invariant:** an event is never changed; it is recorded once and at most forgotten once.

use rusqlite::{Connection, Row, named_params};
use serde_json::value::RawValue;

use crate::domain::content::Content;
use crate::domain::event::{Actor, Event, EventFilter, EventReceipt, NewEvent, chunks_of};
use crate::domain::page::{List, Page, Paged, Position, Rows};
use crate::domain::{
    ActorType, ArtifactId, AuditAction, Caller, Channel, ChunkId, EntityType, EventId, EventKind,
    Name, Sensitivity, Stat, TenantId, Timestamp,
};
use crate::store::measure::Op;
use crate::store::sqlite::error::damaged;
use crate::store::sqlite::passage::{self, Owner, Span};
use crate::store::sqlite::rows::{empty, page_params, paged_sql, read_list, take_rows, write_list};
use crate::store::sqlite::session::{self, Mention};
use crate::store::sqlite::unit::{Unit, tenant_no};
use crate::store::sqlite::{artifact, idempotency};
use crate::store::{IdempotencyKey, Outcome, Pending, StoreError, Wait};

pub(super) const COLUMNS: &str = "select e.seq, e.id, p.project_id, s.session_id, e.ts, e.channel, e.actor_type, e.actor, e.kind,
         e.sensitivity, e.tags, e.refs, e.content, a.id,
         e.fingerprint
     from event e
     join session s on s.session_no = e.session_no and s.forgotten_at is null
     left join project p on p.project_no = e.project_no
     left join artifact a on a.seq = e.artifact_seq";

/// Reads a row of [`COLUMNS`].
pub(super) fn read_event(
    row: &Row<'_>,
    tenant: &TenantId,
) -> Result<(Position, Event), StoreError> {
    let ts = Timestamp::from_millis(row.get(4)?);
    let artifact_id = row
        .get::<_, Option<[u8; 16]>>(13)?
        .map(ArtifactId::from_bytes);
    let content: String = row.get(12)?;
    let event = Event {
        event_id: EventId::from_bytes(row.get(1)?),
        tenant_id: tenant.clone(),
        project_id: row.get::<_, Option<String>>(2)?.map(Name::stored),
        session_id: Name::stored(row.get(3)?),
        ts,
        channel: Channel::from_code(row.get(5)?).ok_or_else(|| damaged("channel"))?,
        actor: Actor {
            actor_type: ActorType::from_code(row.get(6)?).ok_or_else(|| damaged("actor type"))?,
            id: row.get(7)?,
        },
        kind: EventKind::from_code(row.get(8)?).ok_or_else(|| damaged("event kind"))?,
        sensitivity: Sensitivity::from_code(row.get(9)?).ok_or_else(|| damaged("sensitivity"))?,
        tags: read_list(row, 10)?,
        refs: read_list(row, 11)?,
        content: RawValue::from_string(content).map_err(|_| damaged("event content"))?,
        truncated: artifact_id.is_some(),
        artifact_id,
    };
    Ok((
        Position {
            ts,
            seq: row.get(0)?,
        },
        event,
    ))
}

/// The chunks of a stored event, made anew.
pub(super) fn stored_chunks(
    content: &str,
    ts: Timestamp,
    tags: &[String],
) -> Result<Vec<crate::domain::NewChunk>, StoreError> {
    let content: Content = serde_json::from_str(content).map_err(|_| damaged("event content"))?;
    // Who said it is no part of the terms, which are what a deletion needs.
    Ok(chunks_of(&content, ts, tags, None))
}

impl super::Sqlite {
    pub(in crate::store) fn record_events(
        &self,
        tenant: &TenantId,
        events: Vec<NewEvent>,
        key: Option<IdempotencyKey>,
        now: Timestamp,
    ) -> Result<Pending<Vec<Outcome>>, StoreError> {
        let tenant = tenant.clone();
        let bytes = events.iter().map(NewEvent::text_bytes).sum::<i64>();
        self.write(
            Op::EventWrite,
            usize::try_from(bytes).unwrap_or(usize::MAX),
            move |unit| {
                let tenant_no = unit.tenant_or_new(&tenant, now)?;
                if let Some(receipt) =
                    idempotency::find::<Vec<Outcome>>(unit, tenant_no, key.as_ref(), now)?
                {
                    still_there(unit, tenant_no, &receipt)?;
                    return Ok(receipt);
                }
                let mut outcomes = Vec::with_capacity(events.len());
                for event in &events {
                    outcomes.push(record(unit, tenant_no, event, now)?);
                }
                idempotency::keep(unit, tenant_no, key.as_ref(), &outcomes, now)?;
                unit.audit_events(&tenant, &events, &outcomes);
                Ok(outcomes)
            },
        )
    }

    pub(in crate::store) fn forget_event(
        &self,
        tenant: &TenantId,
        id: EventId,
    ) -> Result<Pending<()>, StoreError> {
        let tenant = tenant.clone();
        self.write(Op::Forget, 64, move |unit| {
            let tenant_no = unit.tenant(&tenant, "event")?;
            let seq = unit
                .find(
                    "select e.seq from event e join session s on s.session_no = e.session_no and s.forgotten_at is null
                     where e.tenant_no = ?1 and e.id = ?2",
                    (tenant_no, id.bytes()),
                    |row| row.get(0),
                )?
                .ok_or(StoreError::NotFound("event"))?;
            forget(unit, tenant_no, seq)?;
            unit.did(&tenant, AuditAction::EventForget, id.bytes());
            Ok(())
        })
    }

    pub(in crate::store) fn event(
        &self,
        wait: Wait,
        tenant: &TenantId,
        id: EventId,
    ) -> Result<Option<Event>, StoreError> {
        self.read(Op::EventRead, wait, |connection| {
            let Some(tenant_no) = tenant_no(connection, tenant)? else {
                return Ok(None);
            };
            let sql = format!("{COLUMNS} where e.tenant_no = ?1 and e.id = ?2");
            let mut statement = connection.prepare_cached(&sql)?;
            let mut rows = statement.query((tenant_no, id.bytes()))?;
            rows.next()?
                .map(|row| read_event(row, tenant).map(|(_, event)| event))
                .transpose()
        })
    }

    pub(in crate::store) fn events(
        &self,
        wait: Wait,
        caller: &Caller,
        filter: &EventFilter,
        page: &Page,
    ) -> Result<Paged<Event>, StoreError> {
        self.read(Op::EventRead, wait, |connection| {
            match tenant_no(connection, &caller.tenant)? {
                None => Ok(empty()),
                Some(tenant_no) => {
                    let rows = select(connection, tenant_no, caller, filter, page)?;
                    Ok(Paged::from_rows(List::Events, page, rows))
                }
            }
        })
    }
}

/// Events of a reader's choice, in order, one more than the page asks for.
pub(super) fn select(
    connection: &Connection,
    tenant_no: i64,
    caller: &Caller,
    filter: &EventFilter,
    page: &Page,
) -> Result<Rows<Event>, StoreError> {
    let session_no = match &filter.session {
        None => None,
        Some(session) => match session::session_no(connection, tenant_no, session)? {
            None => {
                return Ok(Rows {
                    items: Vec::new(),
                    cut: false,
                });
            }
            known => known,
        },
    };
    let mut statement = connection.prepare_cached(&list_sql(session_no.is_some(), filter, page))?;
    let mut params = page_params(tenant_no, page).to_vec();
    params.push((":clearance", caller.clearance().code().into()));
    params.extend(session_no.map(|number| (":session_no", number.into())));
    params.extend(filter.kind.map(|kind| (":kind", kind.code().into())));
    params.extend(filter.since.map(|since| (":since", since.millis().into())));
    params.extend(filter.until.map(|until| (":until", until.millis().into())));
    let mut rows = statement.query(params.as_slice())?;
    take_rows(&mut rows, |row| {
        let read = read_event(row, &caller.tenant)?;
        let bytes = read.1.content.get().len();
        Ok((read, bytes))
    })
}

/// A list's statement. Filters that are absent are left out, so that SQLite picks the index that fits.
fn list_sql(by_session: bool, filter: &EventFilter, page: &Page) -> String {
    let mut conditions = String::from("e.tenant_no = :tenant_no");
    for (present, condition) in [
        (by_session, " and e.session_no = :session_no"),
        // In a session the session's index is the narrow one.
        (filter.kind.is_some() && by_session, " and +e.kind = :kind"),
        (filter.kind.is_some() && !by_session, " and e.kind = :kind"),
        (filter.since.is_some(), " and e.ts >= :since"),
        (filter.until.is_some(), " and e.ts < :until"),
    ] {
        if present {
            conditions.push_str(condition);
        }
    }
    conditions.push_str(" and e.sensitivity <= :clearance");
    paged_sql(COLUMNS, &conditions, "e.ts", "e.seq", page)
}

/// Refuses to repeat the receipt of a single event that was forgotten since. A batch's receipt is a report of its time.
fn still_there(unit: &Unit<'_>, tenant_no: i64, receipt: &[Outcome]) -> Result<(), StoreError> {
    let [Outcome::Stored(receipt)] = receipt else {
        return Ok(());
    };
    let sql = "select 1 from event where tenant_no = ?1 and id = ?2";
    match unit.find(sql, (tenant_no, receipt.event_id.bytes()), |_| Ok(()))? {
        Some(()) => Ok(()),
        None => Err(StoreError::Conflict(
            "the event of this Idempotency-Key was forgotten since",
        )),
    }
}

/// Stores one event, unless its id is taken.
pub(super) fn record(
    unit: &mut Unit<'_>,
    tenant_no: i64,
    event: &NewEvent,
    now: Timestamp,
) -> Result<Outcome, StoreError> {
    if let Some(taken) = earlier(unit, tenant_no, event)? {
        return Ok(taken);
    }
    let project_no = match &event.project {
        Some(project) => Some(session::project_or_new(unit, tenant_no, project, now)?),
        None => None,
    };
    let mention = Mention {
        tenant_no,
        session: &event.session,
        project_no,
        with_whom: None,
        at: event.ts,
    };
    let session_no = session::touch(unit, mention)?;
    let span = passage::next_span(unit.connection, &event.chunks)?;
    unit.execute(
        "insert into event (tenant_no, id, session_no, project_no, ts, channel, actor_type, actor, kind, sensitivity, tags,
             refs, content, fingerprint, chunk_first, chunk_count)
         values (:tenant_no, :id, :session_no, :project_no, :ts, :channel, :actor_type, :actor, :kind, :sensitivity, :tags,
             :refs, :content, :fingerprint, :chunk_first, :chunk_count)",
        named_params! {
            ":tenant_no": tenant_no,
            ":id": event.id.bytes(),
            ":session_no": session_no,
            ":project_no": project_no,
            ":ts": event.ts.millis(),
            ":channel": event.channel.code(),
            ":actor_type": event.actor_type.code(),
            ":actor": event.actor.as_str(),
            ":kind": event.kind.code(),
            ":sensitivity": event.sensitivity.code(),
            ":tags": write_list(&event.tags),
            ":refs": write_list(&event.refs),
            ":content": event.content,
            ":fingerprint": event.fingerprint.map(|fingerprint| fingerprint.0),
            ":chunk_first": span.first,
            ":chunk_count": span.count,
        },
    )?;
    let seq = unit.connection.last_insert_rowid();
    artifact::insert(unit, tenant_no, seq, event)?;
    let owner = Owner {
        tenant_no,
        entity_type: EntityType::Event,
        entity_seq: seq,
        session_no: Some(session_no),
        project_no,
        ts: event.ts,
        sensitivity: event.sensitivity,
    };
    passage::insert(unit, &owner, span, &event.chunks)?;
    session::count(unit, session_no, 1, 0)?;
    unit.effects
        .count(tenant_no, Stat::EventsRecorded(event.kind), 1);
    unit.effects.count(tenant_no, Stat::Events(event.kind), 1);
    unit.effects
        .count(tenant_no, Stat::TextBytes, event.text_bytes());
    unit.effects.redacted(tenant_no, &event.redactions);
    let artifact_id = event.artifact.as_ref().map(|artifact| artifact.id);
    Ok(Outcome::Stored(receipt(event.id, span, artifact_id)))
}

/// What an earlier write made of this id.
fn earlier(
    unit: &Unit<'_>,
    tenant_no: i64,
    event: &NewEvent,
) -> Result<Option<Outcome>, StoreError> {
    let Some(fingerprint) = event.fingerprint else {
        return Ok(None);
    };
    let found = unit.find(
        "select e.fingerprint, e.chunk_first, e.chunk_count, a.id, s.forgotten_at from event e
         join session s on s.session_no = e.session_no
         left join artifact a on a.seq = e.artifact_seq where e.tenant_no = ?1 and e.id = ?2",
        (tenant_no, event.id.bytes()),
        |row| {
            let span = Span {
                first: row.get(1)?,
                count: row.get(2)?,
            };
            let artifact = row
                .get::<_, Option<[u8; 16]>>(3)?
                .map(ArtifactId::from_bytes);
            Ok((
                row.get::<_, Option<[u8; 16]>>(0)?,
                span,
                artifact,
                row.get::<_, Option<i64>>(4)?,
            ))
        },
    )?;
    Ok(
        found.map(|(stored, span, artifact, forgotten)| match stored {
            // A row that is being forgotten blocks its id until it is gone, but does not answer for it.
            Some(stored) if stored == fingerprint.0 && forgotten.is_none() => {
                Outcome::Stored(receipt(event.id, span, artifact))
            }
            _ => Outcome::Conflict,
        }),
    )
}

fn receipt(event_id: EventId, span: Span, artifact_id: Option<ArtifactId>) -> EventReceipt {
    let count = u32::try_from(span.count).unwrap_or(0);
    let chunk_ids = (0..count)
        .map(|ordinal| ChunkId::derive(event_id, ordinal))
        .collect();
    EventReceipt {
        event_id,
        chunk_ids,
        artifact_id,
    }
}

/// Takes an event out of every table and the index.
pub(super) fn forget(unit: &mut Unit<'_>, tenant_no: i64, seq: i64) -> Result<(), StoreError> {
    let mut statement = unit.prepare(
        "select content, ts, tags, kind, session_no, chunk_first, chunk_count, artifact_seq from event where seq = ?1",
    )?;
    let mut rows = statement.query([seq])?;
    let row = rows.next()?.ok_or(StoreError::NotFound("event"))?;
    let content: String = row.get(0)?;
    let ts = Timestamp::from_millis(row.get(1)?);
    let tags = read_list(row, 2)?;
    let kind = EventKind::from_code(row.get(3)?).ok_or_else(|| damaged("event kind"))?;
    let session_no = row.get(4)?;
    let span = Span {
        first: row.get(5)?,
        count: row.get(6)?,
    };
    let artifact_seq: Option<i64> = row.get(7)?;
    drop(rows);
    drop(statement);
    passage::delete(unit, tenant_no, span, &stored_chunks(&content, ts, &tags)?)?;
    let mut bytes = i64::try_from(content.len()).unwrap_or(i64::MAX);
    if let Some(artifact_seq) = artifact_seq {
        let size = "select bytes from artifact where seq = ?1";
        bytes += unit
            .find(size, [artifact_seq], |row| row.get::<_, i64>(0))?
            .unwrap_or(0);
        unit.execute("delete from artifact where seq = ?1", [artifact_seq])?;
    }
    unit.execute("delete from event where seq = ?1", [seq])?;
    session::count(unit, session_no, -1, 0)?;
    unit.effects.count(tenant_no, Stat::Events(kind), -1);
    unit.effects.count(tenant_no, Stat::TextBytes, -bytes);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::page::Direction;
    use crate::store::sqlite::testing;

    #[test]
    fn lists_walk_an_index_and_sort_nothing() {
        let (_dir, connection) = testing::connection();
        let filters = [
            (false, EventFilter::default(), "event_by_time"),
            (true, EventFilter::default(), "event_by_session"),
            (
                false,
                EventFilter {
                    kind: Some(EventKind::Decision),
                    ..EventFilter::default()
                },
                "event_by_kind",
            ),
            (
                true,
                EventFilter {
                    kind: Some(EventKind::Decision),
                    ..EventFilter::default()
                },
                "event_by_session",
            ),
            (
                false,
                EventFilter {
                    since: Some(Timestamp::from_millis(5)),
                    ..EventFilter::default()
                },
                "event_by_time",
            ),
        ];
        for direction in [Direction::Ascending, Direction::Descending] {
            for (by_session, filter, index) in &filters {
                let plan = testing::plan(
                    &connection,
                    &list_sql(*by_session, filter, &Page::first(10, direction)),
                );
                assert!(plan.contains(index), "{plan}");
                assert!(
                    !plan.contains("SCAN e") && !plan.contains("TEMP B-TREE"),
                    "{plan}"
                );
            }
        }
    }

    #[test]
    fn point_reads_are_look_ups() {
        let (_dir, connection) = testing::connection();
        let sql = format!("{COLUMNS} where e.tenant_no = ?1 and e.id = ?2");
        assert!(testing::plan(&connection, &sql).contains("event_by_id"));
    }
}
