//! When one decision takes the place of another.
//!
//! **Invariant:** a successor is active when it takes the place, so there are no cycles.

use crate::domain::decision::Decision;
use crate::domain::{DecisionId, DecisionStatus, Stat};
use crate::store::StoreError;
use crate::store::sqlite::unit::Unit;

pub(super) fn may_be_superseded(old: &Decision) -> Result<(), StoreError> {
    match old.status {
        DecisionStatus::Active => Ok(()),
        DecisionStatus::Superseded => Err(StoreError::Conflict(
            "this decision is superseded already; supersede the one that holds",
        )),
    }
}

pub(super) fn may_supersede(new: &Decision, old: DecisionId) -> Result<(), StoreError> {
    if new.decision_id == old {
        return Err(StoreError::Conflict("a decision cannot supersede itself"));
    }
    match new.status {
        DecisionStatus::Active => Ok(()),
        DecisionStatus::Superseded => Err(StoreError::Conflict(
            "the decision that should hold is superseded itself",
        )),
    }
}

pub(super) fn put_in_place(
    unit: &mut Unit<'_>,
    tenant_no: i64,
    old: DecisionId,
    new: DecisionId,
) -> Result<(), StoreError> {
    unit.execute(
        "update decision set status = 1, superseded_by = ?3 where tenant_no = ?1 and id = ?2",
        (tenant_no, old.bytes(), new.bytes()),
    )?;
    unit.effects
        .count(tenant_no, Stat::Decisions(DecisionStatus::Active), -1);
    unit.effects
        .count(tenant_no, Stat::Decisions(DecisionStatus::Superseded), 1);
    unit.effects.tenant(tenant_no, 0, 0);
    Ok(())
}
