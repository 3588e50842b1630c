//! Taking out events that are too old, when that was asked for, and giving the freed pages back to the disk.
//!
//! It is the forgetting of each event, in slices of a few milliseconds among other writes, tenant after tenant. Decisions
//! stay, and that includes events that tell of one; handoffs, notes and what was drawn from them are no events. What goes
//! leaves the index, the passages, its artifact and the pages of the file, and the audit says how many went.
//!
//! Pages that became free are given back in slices as well: the last pages of the file move into them, and the file is cut
//! when the log goes into it.
//!
//! **Invariant:** a slice holds the writer for some milliseconds, and what it took out it has counted.

use std::time::{Duration, Instant};

use crate::domain::{AuditAction, EventKind, Stat, TenantId, Timestamp};
use crate::store::measure::Op;
use crate::store::sqlite::backup::set;
use crate::store::sqlite::error::damaged;
use crate::store::sqlite::event;
use crate::store::sqlite::file::pragma;
use crate::store::sqlite::unit::Unit;
use crate::store::{Expired, Pending, Slice, StoreError};

/// How long one slice may hold the writer. As of all that is forgotten.
const SLICE: Duration = Duration::from_millis(5);
/// Tenants that one slice looks at: some 20 µs each where nothing is too old.
const MOST_TENANTS: usize = 64;
/// Pages that one slice gives back; each is read, written elsewhere and has its pointers set: some 20 µs.
const SLICE_PAGES: i64 = 64;
/// Free pages that the file keeps, for what is written next.
pub(super) const KEPT_PAGES: i64 = 64;

impl super::Sqlite {
    /// Takes out some events from before `before`, from the tenant with this number on.
    pub(in crate::store) fn expire_slice(
        &self,
        before: Timestamp,
        from: i64,
        now: Timestamp,
    ) -> Result<Pending<Expired>, StoreError> {
        self.write(Op::Expire, 64, move |unit| {
            let tenants = tenants(unit, from)?;
            let begun = Instant::now();
            let more = tenants.len() == MOST_TENANTS;
            let (mut events, mut reached) = (0, from);
            for (tenant_no, tenant) in tenants {
                let (count, done) = expire(unit, tenant_no, &tenant, before, begun)?;
                events += count;
                reached = tenant_no + i64::from(done);
                if !done || begun.elapsed() >= SLICE {
                    return Ok(Expired {
                        events,
                        next: Some(reached),
                    });
                }
            }
            if !more {
                set(unit, Stat::ExpiredAt, now.millis())?;
            }
            Ok(Expired {
                events,
                next: more.then_some(reached),
            })
        })
    }

    /// Gives some free pages back to the disk.
    pub(in crate::store) fn give_back_slice(&self) -> Result<Pending<Slice>, StoreError> {
        self.write(Op::Expire, 64, |unit| {
            Ok(if give_back(unit, SLICE_PAGES)? > KEPT_PAGES {
                Slice::More
            } else {
                Slice::Done
            })
        })
    }
}

/// The next tenants that are there.
fn tenants(unit: &Unit<'_>, from: i64) -> Result<Vec<(i64, TenantId)>, StoreError> {
    let mut statement = unit.prepare(
        "select tenant_no, name from tenant where tenant_no >= ?1 and forgotten_at is null order by tenant_no limit ?2",
    )?;
    let mut rows = statement.query((from, i64::try_from(MOST_TENANTS).unwrap_or(i64::MAX)))?;
    let mut tenants = Vec::new();
    while let Some(row) = rows.next()? {
        let name: String = row.get(1)?;
        let tenant = TenantId::parse("tenant", &name).map_err(|_| damaged("tenant"))?;
        tenants.push((row.get(0)?, tenant));
    }
    Ok(tenants)
}

/// Takes out events of a tenant until the time is up; answers how many, and whether none is left.
fn expire(
    unit: &mut Unit<'_>,
    tenant_no: i64,
    tenant: &TenantId,
    before: Timestamp,
    begun: Instant,
) -> Result<(i64, bool), StoreError> {
    let (mut count, mut first, mut last) = (0, None, None);
    let mut done = true;
    // By kind, so that decisions that stay are not passed by each time.
    'kinds: for kind in EventKind::ALL {
        if *kind == EventKind::Decision {
            continue;
        }
        while let Some((seq, id)) =
            unit.find(NEXT, (tenant_no, kind.code(), before.millis()), |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, [u8; 16]>(1)?))
            })?
        {
            if begun.elapsed() >= SLICE && count > 0 {
                done = false;
                break 'kinds;
            }
            event::forget(unit, tenant_no, seq)?;
            count += 1;
            first = first.or(Some(id));
            last = Some(id);
        }
    }
    let last = last.filter(|_| count > 1);
    unit.audit_all(tenant, AuditAction::EventForget, (first, last), count);
    unit.effects.count_store(Stat::EventsExpired, count);
    Ok((count, done))
}

/// The oldest event of a kind that is too old.
const NEXT: &str =
    "select seq, id from event where tenant_no = ?1 and kind = ?2 and ts < ?3 order by ts limit 1";

/// Gives up to `most` free pages back, and answers how many there still are.
pub(super) fn give_back(unit: &mut Unit<'_>, most: i64) -> Result<i64, StoreError> {
    let free: i64 = pragma(unit.connection, "freelist_count")?;
    let pages = (free - KEPT_PAGES).min(most);
    if pages <= 0 {
        return Ok(free);
    }
    // A step a page.
    let mut statement = unit
        .connection
        .prepare(&format!("pragma incremental_vacuum({pages})"))?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    // The file is cut when the log goes into it, which is then soon.
    unit.effects.erased = true;
    Ok(pragma(unit.connection, "freelist_count")?)
}

/// The same outside of a server, for a file that nobody else has.
pub(super) fn give_all_back(connection: &rusqlite::Connection) -> rusqlite::Result<()> {
    let mut statement = connection.prepare("pragma incremental_vacuum")?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::testing;

    #[test]
    fn the_oldest_is_found_by_an_index() {
        let (_dir, connection) = testing::connection();
        let plan = testing::plan(&connection, NEXT);
        assert!(
            plan.contains("event_by_kind") && !plan.contains("TEMP B-TREE"),
            "{plan}"
        );
    }
}
