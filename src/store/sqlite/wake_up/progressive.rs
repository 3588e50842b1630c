//! Old handoffs by their age: some that are whole still, some summaries, some lines, some months.
//!
//! Levels follow age, so where the handoffs of a level begin is one look-up, and those before it are a page from there.
//!
//! **Invariant:** a few look-ups and short pages, however many handoffs there are.

use rusqlite::{Connection, named_params};

use crate::domain::consolidate::reflection::Month;
use crate::domain::handoff::Handoff;
use crate::domain::page::{Direction, Page, Position};
use crate::domain::wake_up::{PROGRESSIVE_MONTHS, PROGRESSIVE_PARTS};
use crate::domain::{Caller, CompressionLevel, Name, Timestamp};
use crate::store::StoreError;
use crate::store::sqlite::handoff::{self, Selection};
use crate::store::sqlite::unit::find;

/// Handoffs of a month that are counted at most.
const MOST_COUNTED: i64 = 1_000;

/// What stands for a month: its newest handoff, and how many there are.
pub(super) type Months = Vec<(Handoff, u32)>;

/// Handoffs of each age, newest first, and the months before; `newest` are those that follow the ones shown in full.
pub(super) fn by_age(
    connection: &Connection,
    tenant_no: i64,
    caller: &Caller,
    selection: &Selection,
    newest: Vec<Handoff>,
) -> Result<(Vec<Handoff>, Months), StoreError> {
    let level = |level| begins(connection, tenant_no, level);
    let oldest = newest.last().map(|handoff| handoff.compression_level);
    if oldest.is_none_or(|oldest| oldest == CompressionLevel::Full)
        && level(CompressionLevel::Summary)?.is_none()
        && level(CompressionLevel::QuickRef)?.is_none()
        && level(CompressionLevel::Integrated)?.is_none()
    {
        return Ok((newest, Vec::new()));
    }
    let mut chosen: Vec<Handoff> = Vec::new();
    for (part, count) in PROGRESSIVE_PARTS {
        let most = usize::try_from(count).unwrap_or(usize::MAX);
        let found = match part {
            CompressionLevel::Full => newest.clone(),
            _ => match level(part)? {
                None => continue,
                Some(at) => before(connection, tenant_no, caller, selection, at, count)?,
            },
        };
        // Those that are shown in full already stand before the first of `newest`.
        let fresh = found.into_iter().filter(|handoff| {
            let first = newest.first().map(|first| first.created_at);
            handoff.compression_level == part
                && first.is_some_and(|first| handoff.created_at <= first)
                && chosen
                    .iter()
                    .all(|shown| shown.handoff_id != handoff.handoff_id)
        });
        let fresh: Vec<_> = fresh.take(most).collect();
        chosen.extend(fresh);
    }
    let months = match level(CompressionLevel::Integrated)? {
        None => Vec::new(),
        Some(at) => months(connection, tenant_no, caller, selection, at)?,
    };
    Ok((chosen, months))
}

/// When the newest handoff of a level is of.
fn begins(
    connection: &Connection,
    tenant_no: i64,
    level: CompressionLevel,
) -> Result<Option<Timestamp>, StoreError> {
    let sql = "select created_at from handoff where tenant_no = ?1 and compression_level = ?2
         order by created_at desc limit 1";
    let at = find(connection, sql, (tenant_no, level.code()), |row| row.get(0))?;
    Ok(at.map(Timestamp::from_millis))
}

/// The newest handoffs that are not after a time.
fn before(
    connection: &Connection,
    tenant_no: i64,
    caller: &Caller,
    selection: &Selection,
    at: Timestamp,
    count: u32,
) -> Result<Vec<Handoff>, StoreError> {
    let page = Page {
        limit: count,
        direction: Direction::Descending,
        after: Some(Position {
            ts: at.plus_millis(1),
            seq: 0,
        }),
    };
    let rows = handoff::select(connection, caller, tenant_no, selection, &page)?;
    Ok(rows.items.into_iter().map(|(_, handoff)| handoff).collect())
}

/// The newest months of integrated handoffs.
fn months(
    connection: &Connection,
    tenant_no: i64,
    caller: &Caller,
    selection: &Selection,
    newest: Timestamp,
) -> Result<Months, StoreError> {
    let (mut found, mut at) = (Vec::new(), newest);
    for _ in 0..PROGRESSIVE_MONTHS {
        let mut page = before(connection, tenant_no, caller, selection, at, 1)?.into_iter();
        let Some(first) = page.next() else { break };
        let month = Month::of(first.created_at);
        if first.compression_level == CompressionLevel::Integrated {
            let count = count(connection, tenant_no, caller, selection, month)?;
            found.push((first, count));
        }
        at = month.start().plus_millis(-1);
    }
    Ok(found)
}

/// The integrated handoffs of a month, up to a bound.
fn count(
    connection: &Connection,
    tenant_no: i64,
    caller: &Caller,
    selection: &Selection,
    month: Month,
) -> Result<u32, StoreError> {
    let mut statement = connection.prepare_cached(
        "select count(*) from (
             select 1 from handoff h
             where h.tenant_no = :tenant_no and h.created_at >= :from and h.created_at < :until and h.compression_level = 3
                 and h.sensitivity <= :clearance and (:with_whom is null or h.with_whom = :with_whom)
                 and (:everywhere or h.project_no is null or h.project_no = :project_no)
             limit :most
         )",
    )?;
    let params = named_params! {
        ":tenant_no": tenant_no, ":from": month.start().millis(), ":until": month.end().millis(),
        ":clearance": caller.clearance().code(), ":with_whom": selection.with_whom.as_ref().map(Name::as_str),
        ":everywhere": selection.project_no.is_none(), ":project_no": selection.project_no.flatten(),
        ":most": MOST_COUNTED,
    };
    Ok(statement.query_row(params, |row| row.get(0))?)
}
