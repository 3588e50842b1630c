//! The audit: who did what, written in the transaction that did it.
//!
//! A unit says what it did ([`Unit::audit`]); a group writes one row for each caller and action, with their number and
//! the ids of the first and the last, and for what takes away or changes rights a row each. Who did it stands once in
//! `audit_who`, so that a row is some forty octets: 42 were measured for an event that was committed alone, 13 an event
//! with sixteen writers at once.
//!
//! **Invariant:** a row is never changed (a trigger of the schema refuses it), and goes by age or number alone.

use std::collections::BTreeMap;

use rusqlite::{Connection, Row, named_params};

use crate::domain::audit::{AuditFilter, AuditRow, Denial};
use crate::domain::event::NewEvent;
use crate::domain::page::{Direction, List, Page, Paged, Position, Rows};
use crate::domain::{Actor, AuditAction, KeyId, TenantId, Timestamp, Via};
use crate::store::measure::Op;
use crate::store::sqlite::error::damaged;
use crate::store::sqlite::published::wall_clock;
use crate::store::sqlite::unit::{Unit, find};
use crate::store::{Outcome, Pending, StoreError, Wait};

/// Rows that are kept at most, forty megabytes of them.
const MOST_ROWS: i64 = 1_000_000;
/// Rows that are taken out at once: some milliseconds.
const SLICE_ROWS: i64 = 2_000;

/// What a unit did, or a group.
#[derive(Debug, Default)]
pub(super) struct Deeds {
    summed: BTreeMap<(TenantId, Actor, AuditAction), Deed>,
    single: Vec<(Option<TenantId>, Actor, AuditAction, Deed)>,
}

#[derive(Debug, Clone, Copy)]
struct Deed {
    count: i64,
    first: Option<[u8; 16]>,
    last: Option<[u8; 16]>,
}

impl Deeds {
    fn add(&mut self, tenant: &TenantId, actor: &Actor, action: AuditAction, deed: Deed) {
        if !action.is_summed() {
            let tenant = Some(tenant.clone());
            self.single.push((tenant, actor.clone(), action, deed));
            return;
        }
        self.summed
            .entry((tenant.clone(), actor.clone(), action))
            .and_modify(|sum| sum.merge(deed))
            .or_insert(deed);
    }

    /// Adds what another unit did.
    pub(super) fn merge(&mut self, other: Self) {
        for (who, deed) in other.summed {
            self.summed
                .entry(who)
                .and_modify(|sum| sum.merge(deed))
                .or_insert(deed);
        }
        self.single.extend(other.single);
    }

    /// Writes the rows; part of the group's transaction.
    pub(super) fn flush(&self, connection: &Connection) -> rusqlite::Result<()> {
        if self.summed.is_empty() && self.single.is_empty() {
            return Ok(());
        }
        let now = wall_clock();
        for ((tenant, actor, action), deed) in &self.summed {
            write(connection, now, Some(tenant), actor, *action, *deed)?;
        }
        for (tenant, actor, action, deed) in &self.single {
            write(connection, now, tenant.as_ref(), actor, *action, *deed)?;
        }
        Ok(())
    }
}

impl Deed {
    fn merge(&mut self, other: Self) {
        self.count += other.count;
        self.first = self.first.or(other.first);
        self.last = other.last.or(self.last);
    }
}

impl Unit<'_> {
    /// Says that its actor did something to what has this id.
    pub(super) fn did(&mut self, tenant: &TenantId, action: AuditAction, id: &[u8; 16]) {
        self.audit_all(tenant, action, (Some(*id), None), 1);
    }

    /// Says that it did something to so many things without ids.
    pub(super) fn audit(&mut self, tenant: &TenantId, action: AuditAction, count: i64) {
        self.audit_all(tenant, action, (None, None), count);
    }

    /// Says that it did something to so many things, with the ids of the first and the last.
    pub(super) fn audit_all(
        &mut self,
        tenant: &TenantId,
        action: AuditAction,
        (first, last): (Option<[u8; 16]>, Option<[u8; 16]>),
        count: i64,
    ) {
        if count > 0 {
            let deed = Deed { count, first, last };
            self.effects.deeds.add(tenant, &self.actor, action, deed);
        }
    }
}

impl Unit<'_> {
    /// Says that its actor recorded those of `events` that are stored.
    pub(super) fn audit_events(
        &mut self,
        tenant: &TenantId,
        events: &[NewEvent],
        outcomes: &[Outcome],
    ) {
        let all = events.iter().zip(outcomes);
        let mut stored = all
            .filter(|(_, outcome)| matches!(outcome, Outcome::Stored(_)))
            .map(|(event, _)| *event.id.bytes());
        let Some(first) = stored.next() else { return };
        let (mut last, mut count) = (first, 1);
        for id in stored {
            (last, count) = (id, count + 1);
        }
        let ends = (Some(first), Some(last));
        self.audit_all(tenant, AuditAction::EventRecord, ends, count);
    }
}

fn write(
    connection: &Connection,
    now: i64,
    tenant: Option<&TenantId>,
    actor: &Actor,
    action: AuditAction,
    deed: Deed,
) -> rusqlite::Result<()> {
    let who = who(connection, tenant.map_or("", TenantId::as_str), actor)?;
    connection
        .prepare_cached(
            "insert into audit (ts, action, who_no, count, first_id, last_id) values (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute((
            now,
            action.code(),
            who,
            deed.count,
            deed.first,
            deed.last.filter(|_| deed.last != deed.first),
        ))
        .map(|_| ())
}

/// The number of who did it, made if need be.
fn who(connection: &Connection, tenant: &str, actor: &Actor) -> rusqlite::Result<i64> {
    let key = actor.key.as_deref();
    let key_id = key.map(|(id, _)| id.bytes());
    let address = actor.address.map(|address| address.to_string());
    let known = find(
        connection,
        "select who_no from audit_who where tenant = ?1 and via = ?2 and ifnull(key_id, x'') = ifnull(?3, x'')
             and ifnull(address, '') = ifnull(?4, '')",
        (tenant, actor.via.code(), key_id, &address),
        |row| row.get(0),
    )?;
    if let Some(who_no) = known {
        return Ok(who_no);
    }
    connection
        .prepare_cached(
            "insert into audit_who (tenant, via, key_id, key_name, address) values (?1, ?2, ?3, ?4, ?5)",
        )?
        .insert((
            tenant,
            actor.via.code(),
            key_id,
            key.map(|(_, name)| name.as_str()),
            address,
        ))
}

impl super::Sqlite {
    /// Writes down that an export was begun.
    pub(in crate::store) fn note_export(
        &self,
        tenant: &TenantId,
    ) -> Result<Pending<()>, StoreError> {
        let tenant = tenant.clone();
        self.write(Op::AuditWrite, 0, move |unit| {
            unit.audit(&tenant, AuditAction::Export, 1);
            Ok(())
        })
    }

    /// Writes refusals down.
    pub(in crate::store) fn note_denials(
        &self,
        denials: Vec<(Denial, i64)>,
    ) -> Result<Pending<()>, StoreError> {
        self.write(Op::AuditWrite, 0, move |unit| {
            let deeds = denials.into_iter().map(|(denial, count)| {
                let deed = Deed {
                    count,
                    first: None,
                    last: None,
                };
                (denial.tenant, denial.actor, denial.action, deed)
            });
            unit.effects.deeds.single.extend(deeds);
            Ok(())
        })
    }

    /// Takes out rows from before `cut`, and those beyond the most there may be: so many at once, oldest first. Answers
    /// whether there are more.
    pub(in crate::store) fn trim_audit(&self, cut: Timestamp) -> Result<Pending<bool>, StoreError> {
        self.write(Op::AuditWrite, 0, move |unit| {
            let ends = "select ifnull(min(seq), 0), ifnull(max(seq), 0) from audit";
            let read = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?));
            let (first, last) = unit.find(ends, [], read)?.unwrap_or((0, 0));
            let gone = unit.execute(
                "delete from audit where seq < ?1 and (ts < ?2 or seq <= ?3)",
                (first + SLICE_ROWS, cut.millis(), last - MOST_ROWS),
            )?;
            if gone > 0 {
                unit.execute(
                    "delete from audit_who where who_no not in (select who_no from audit)",
                    [],
                )?;
            }
            Ok(i64::try_from(gone).unwrap_or(0) == SLICE_ROWS)
        })
    }

    pub(in crate::store) fn audit(
        &self,
        wait: Wait,
        filter: &AuditFilter,
        page: &Page,
    ) -> Result<Paged<AuditRow>, StoreError> {
        self.read(Op::AuditRead, wait, |connection| {
            let rows = select(connection, filter, page)?;
            Ok(Paged::from_rows(List::Audit, page, rows))
        })
    }
}

fn select(
    connection: &Connection,
    filter: &AuditFilter,
    page: &Page,
) -> Result<Rows<AuditRow>, StoreError> {
    let (compare, order) = match page.direction {
        Direction::Ascending => (">", "asc"),
        Direction::Descending => ("<", "desc"),
    };
    let beyond = match page.direction {
        Direction::Ascending => i64::MIN,
        Direction::Descending => i64::MAX,
    };
    let sql = format!(
        "select a.seq, a.ts, a.action, w.tenant, w.via, w.key_id, w.key_name, w.address, a.count, a.first_id, a.last_id
         from audit a join audit_who w on w.who_no = a.who_no
         where a.seq {compare} :after and (:tenant is null or w.tenant = :tenant) and (:action is null or a.action = :action)
             and (:key is null or w.key_id = :key) and a.ts >= :since and a.ts < :until
         order by a.seq {order} limit :limit"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(named_params! {
        ":after": page.after.map_or(beyond, |position| position.seq),
        ":tenant": filter.tenant.as_ref().map(TenantId::as_str),
        ":action": filter.action.map(AuditAction::code),
        ":key": filter.key.as_ref().map(KeyId::bytes),
        ":since": filter.since.map_or(i64::MIN, Timestamp::millis),
        ":until": filter.until.map_or(i64::MAX, Timestamp::millis),
        ":limit": i64::from(page.limit) + 1,
    })?;
    let mut items = Vec::new();
    while let Some(row) = rows.next()? {
        items.push(read(row)?);
    }
    Ok(Rows { items, cut: false })
}

fn read(row: &Row<'_>) -> Result<(Position, AuditRow), StoreError> {
    let ts = Timestamp::from_millis(row.get(1)?);
    let action = AuditAction::from_code(row.get(2)?).ok_or_else(|| damaged("action"))?;
    let id = |column| -> rusqlite::Result<Option<String>> {
        Ok(row
            .get::<_, Option<[u8; 16]>>(column)?
            .map(|id| action.id(id)))
    };
    let found = AuditRow {
        ts,
        action,
        tenant_id: Some(row.get::<_, String>(3)?).filter(|tenant| !tenant.is_empty()),
        via: Via::from_code(row.get(4)?).ok_or_else(|| damaged("door"))?,
        key_id: row.get::<_, Option<[u8; 16]>>(5)?.map(KeyId::from_bytes),
        key_name: row.get(6)?,
        address: row.get(7)?,
        count: row.get(8)?,
        first_id: id(9)?,
        last_id: id(10)?,
    };
    let seq = row.get(0)?;
    Ok((Position { ts, seq }, found))
}
