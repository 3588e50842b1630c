//! Reflections and principles of an import.
//!
//! **Invariant:** of two principles with one id the later changed one holds, as of two notes.

use crate::domain::export::{PrincipleRow, ReflectionRow};
use crate::domain::principle::NewPrinciple;
use crate::domain::reflection::NewReflection;
use crate::store::StoreError;
use crate::store::sqlite::import::{Place, STORED, Verdict, taken};
use crate::store::sqlite::unit::Unit;
use crate::store::sqlite::{export, principle, reflection};

pub(super) fn one_reflection(
    unit: &mut Unit<'_>,
    place: &Place<'_>,
    row: &ReflectionRow,
    new: &NewReflection,
) -> Result<Verdict, StoreError> {
    let known = taken(unit, place, "reflection", new.id.bytes())?;
    if known.is_some() {
        let verdict = place.taken(|| {
            let stored =
                export::reflection_by_id(unit.connection, place.tenant, place.tenant_no, new.id)?;
            Ok(stored.as_ref() == Some(row))
        })?;
        if !matches!(verdict, Verdict::Stored) {
            return Ok(verdict);
        }
    }
    if place.how.dry_run {
        return Ok(STORED);
    }
    // Out and in, so that its times are those of the row.
    if let Some((seq, _)) = known {
        reflection::forget(unit, place.tenant_no, seq)?;
    }
    reflection::write(unit, place.tenant_no, place.tenant, new)?;
    Ok(STORED)
}

pub(super) fn one_principle(
    unit: &mut Unit<'_>,
    place: &Place<'_>,
    row: &PrincipleRow,
    new: &NewPrinciple,
) -> Result<Verdict, StoreError> {
    let known = taken(unit, place, "principle", new.id.bytes())?;
    if let Some((seq, _)) = known {
        let stored =
            export::principle_by_id(unit.connection, place.tenant, place.tenant_no, new.id)?;
        let same = stored.as_ref() == Some(row);
        let later = stored.is_some_and(|stored| stored.updated_at < row.updated_at);
        let verdict = place.taken_by_earlier(same, later)?;
        if !matches!(verdict, Verdict::Stored) || place.how.dry_run {
            return Ok(verdict);
        }
        principle::forget(unit, place.tenant_no, seq)?;
    }
    if !place.how.dry_run {
        principle::write(unit, place.tenant_no, place.tenant, new)?;
    }
    Ok(STORED)
}
