//! What was drawn from a handoff and quotes it, which goes when the handoff is forgotten.
//!
//! A principle has the words of its founder, a reflection has sentences of its month. The next run draws both again from
//! what is left.
//!
//! **Invariant:** takes out what consolidation made, and nothing that was brought in by an import.

use crate::domain::consolidate::reflection::{Month, reflection_id};
use crate::domain::{TenantId, Timestamp};
use crate::store::StoreError;
use crate::store::sqlite::unit::Unit;
use crate::store::sqlite::{principle, reflection};

/// Takes out what quotes a handoff of this time that said this.
pub(in crate::store::sqlite) fn forget_drawn(
    unit: &mut Unit<'_>,
    tenant_no: i64,
    created_at: Timestamp,
    becoming: &str,
) -> Result<(), StoreError> {
    let sql = "select name from tenant where tenant_no = ?1";
    let name: Option<String> = unit.find(sql, [tenant_no], |row| row.get(0))?;
    let Some(tenant) = name.map(TenantId::stored) else {
        return Ok(());
    };
    let month = reflection_id(&tenant, Month::of(created_at));
    let sql = "select seq from reflection where tenant_no = ?1 and id = ?2";
    if let Some(seq) = unit.find(sql, (tenant_no, month.bytes()), |row| row.get(0))? {
        reflection::forget(unit, tenant_no, seq)?;
    }
    if becoming.is_empty() {
        return Ok(());
    }
    let quoting = {
        // They are a few hundred at most, and its own are told by the version of their ids (consolidate::derived).
        let sql = "select seq from principle
             where tenant_no = ?1 and instr(?2, text) > 0 and substr(hex(id), 13, 1) = '8'";
        let mut statement = unit.prepare(sql)?;
        let rows = statement.query_map((tenant_no, becoming), |row| row.get(0))?;
        rows.collect::<rusqlite::Result<Vec<i64>>>()?
    };
    for seq in quoting {
        principle::forget(unit, tenant_no, seq)?;
    }
    Ok(())
}
