//! The identity thread: the `becoming` of every handoff, in time.
//!
//! **Invariant:** reads the partial index of handoffs that say something, and no other.

use rusqlite::Connection;

use crate::domain::handoff::{IdentityStatement, IdentityThread};
use crate::domain::{Caller, HandoffId, Timestamp};
use crate::store::measure::Op;
use crate::store::sqlite::session;
use crate::store::sqlite::unit::tenant_no;
use crate::store::{StoreError, Wait};

impl super::Sqlite {
    pub(in crate::store) fn identity_thread(
        &self,
        wait: Wait,
        caller: &Caller,
        limit: u32,
    ) -> Result<IdentityThread, StoreError> {
        self.read(Op::HandoffRead, wait, |connection| {
            let mut thread = IdentityThread {
                tenant_id: caller.tenant.clone(),
                total_statements: 0,
                identity_thread: Vec::new(),
            };
            let Some(tenant_no) = tenant_no(connection, &caller.tenant)? else {
                return Ok(thread);
            };
            (_, thread.total_statements) =
                session::read_total(connection, tenant_no, None, None, caller.clearance())?;
            thread.identity_thread = identity(connection, caller, tenant_no, limit)?;
            thread.identity_thread.reverse();
            Ok(thread)
        })
    }
}

/// The newest identity statements, newest first.
pub(super) fn identity(
    connection: &Connection,
    caller: &Caller,
    tenant_no: i64,
    limit: u32,
) -> rusqlite::Result<Vec<IdentityStatement>> {
    let mut statement = connection.prepare_cached(IDENTITY_SQL)?;
    let rows = statement.query_map((tenant_no, caller.clearance().code(), limit), |row| {
        Ok(IdentityStatement {
            handoff_id: HandoffId::from_bytes(row.get(0)?),
            becoming: row.get(1)?,
            significance: row.get(2)?,
            created_at: Timestamp::from_millis(row.get(3)?),
        })
    })?;
    rows.collect()
}

const IDENTITY_SQL: &str = "select h.id, h.becoming, h.significance, h.created_at from handoff h
     join session s on s.session_no = h.session_no and s.forgotten_at is null
     where h.tenant_no = ?1 and h.becoming <> '' and h.sensitivity <= ?2
     order by h.created_at desc, h.seq desc limit ?3";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::testing;

    #[test]
    fn the_thread_walks_its_index() {
        let (_dir, connection) = testing::connection();
        let plan = testing::plan(&connection, IDENTITY_SQL);
        assert!(
            plan.contains("handoff_by_becoming") && !plan.contains("TEMP B-TREE"),
            "{plan}"
        );
    }
}
