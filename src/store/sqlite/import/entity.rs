//! Handoffs, decisions and notes of an import.
//!
//! **Invariant:** what holds among rows is kept: one automatic handoff a session, no circle of decisions, the later note.

use rusqlite::named_params;

use crate::domain::decision::NewDecision;
use crate::domain::export::{DecisionRow, HandoffRow, NoteRow};
use crate::domain::handoff::NewHandoff;
use crate::domain::import::Mode;
use crate::domain::note::NewNote;
use crate::domain::{CompressionLevel, DecisionId, DecisionStatus, Origin, Stat, Timestamp};
use crate::store::StoreError;
use crate::store::sqlite::import::{Place, STORED, Verdict, taken};
use crate::store::sqlite::unit::Unit;
use crate::store::sqlite::{decision, export, handoff, note, session};

/// How many successors of a decision are looked at for a circle. Longer chains are not made by people.
const MOST_SUCCESSORS: usize = 1000;

pub(super) fn one_handoff(
    unit: &mut Unit<'_>,
    place: &Place<'_>,
    row: &HandoffRow,
    new: &NewHandoff,
) -> Result<Verdict, StoreError> {
    let known = taken(unit, place, "handoff", new.id.bytes())?;
    if let Some((_, false)) = known {
        let verdict = place.taken(|| {
            let stored =
                export::handoff_by_id(unit.connection, place.tenant, place.tenant_no, new.id)?;
            Ok(stored.is_some_and(|stored| same_handoff(place, stored, row)))
        })?;
        if !matches!(verdict, Verdict::Stored) {
            return Ok(verdict);
        }
    }
    if new.origin == Origin::Automatic
        && let Some(reason) = stands_beside(unit, place, new)?
    {
        return Ok(Verdict::Conflict(reason));
    }
    if place.how.dry_run {
        return Ok(STORED);
    }
    if let Some((seq, _)) = known {
        handoff::forget(unit, place.tenant_no, seq)?;
    }
    handoff::create(unit, place.tenant_no, new, place.now)?;
    if row.compression_level != CompressionLevel::Full
        || row.summary.is_some()
        || row.quick_ref.is_some()
    {
        give_forms(unit, place, row)?;
    }
    Ok(STORED)
}

/// Whether a handoff is the same. In which form it is shown is consolidation's, here and where it came from: so an export
/// from before a run meets no conflicts after it. Whoever wants those forms replaces.
fn same_handoff(place: &Place<'_>, stored: HandoffRow, row: &HandoffRow) -> bool {
    if place.how.mode == Mode::Replace {
        return stored == *row;
    }
    let forms = (row.summary.clone(), row.quick_ref.clone());
    *row == HandoffRow {
        compression_level: row.compression_level,
        summary: forms.0,
        quick_ref: forms.1,
        ..stored
    }
}

/// The same for a decision: whether it is in the wake-up, and when it was last found.
fn same_decision(place: &Place<'_>, stored: DecisionRow, row: &DecisionRow) -> bool {
    if place.how.mode == Mode::Replace {
        return stored == *row;
    }
    *row == DecisionRow {
        archived_at: row.archived_at,
        last_recalled_at: row.last_recalled_at,
        ..stored
    }
}

/// What keeps an automatic handoff out: one that the agent wrote, or, unless rows are replaced, another automatic one.
fn stands_beside(
    unit: &Unit<'_>,
    place: &Place<'_>,
    new: &NewHandoff,
) -> Result<Option<&'static str>, StoreError> {
    let Some(session_no) = session::session_no(unit.connection, place.tenant_no, &new.session)?
    else {
        return Ok(None);
    };
    let other = |origin: Origin| {
        unit.find(
            "select 1 from handoff where tenant_no = ?1 and session_no = ?2 and origin = ?3 and id <> ?4 limit 1",
            (place.tenant_no, session_no, origin.code(), new.id.bytes()),
            |_| Ok(()),
        )
    };
    if other(Origin::Agent)?.is_some() {
        return Ok(Some("the session has a handoff that its agent wrote"));
    }
    if place.how.mode != Mode::Replace && other(Origin::Automatic)?.is_some() {
        return Ok(Some("the session has another automatic handoff"));
    }
    Ok(None)
}

fn give_forms(unit: &mut Unit<'_>, place: &Place<'_>, row: &HandoffRow) -> Result<(), StoreError> {
    unit.execute(
        "update handoff set compression_level = :level, summary = :summary, quick_ref = :quick_ref
         where tenant_no = :tenant_no and id = :id",
        named_params! {
            ":level": row.compression_level.code(), ":summary": row.summary, ":quick_ref": row.quick_ref,
            ":tenant_no": place.tenant_no, ":id": row.handoff_id.bytes(),
        },
    )?;
    let forms = [&row.summary, &row.quick_ref];
    let bytes: usize = forms.into_iter().flatten().map(String::len).sum();
    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
    let count = &mut unit.effects;
    count.count(place.tenant_no, Stat::Handoffs(CompressionLevel::Full), -1);
    count.count(place.tenant_no, Stat::Handoffs(row.compression_level), 1);
    count.count(place.tenant_no, Stat::TextBytes, bytes);
    Ok(())
}

pub(super) fn one_decision(
    unit: &mut Unit<'_>,
    place: &Place<'_>,
    row: &DecisionRow,
    new: &NewDecision,
) -> Result<Verdict, StoreError> {
    let known = taken(unit, place, "decision", new.id.bytes())?;
    if known.is_some() {
        let verdict = place.taken(|| {
            let stored =
                export::decision_by_id(unit.connection, place.tenant, place.tenant_no, new.id)?;
            Ok(stored.is_some_and(|stored| same_decision(place, stored, row)))
        })?;
        if !matches!(verdict, Verdict::Stored) {
            return Ok(verdict);
        }
    }
    if leads_back(unit, place, row)? {
        return Ok(Verdict::Conflict("its successors lead back to itself"));
    }
    if place.how.dry_run {
        return Ok(STORED);
    }
    let mut pointing = Vec::new();
    if let Some((seq, _)) = known {
        // Forgetting it would hand what it superseded on to its successor.
        let mut statement =
            unit.prepare("select seq from decision where tenant_no = ?1 and superseded_by = ?2")?;
        let rows = statement.query_map((place.tenant_no, new.id.bytes()), |row| row.get(0))?;
        pointing = rows.collect::<rusqlite::Result<Vec<i64>>>()?;
        decision::forget(unit, place.tenant_no, seq)?;
    }
    decision::create(unit, place.tenant_no, new, place.now)?;
    for seq in pointing {
        let sql = "update decision set superseded_by = ?2 where seq = ?1";
        unit.execute(sql, (seq, new.id.bytes()))?;
    }
    if row.status == DecisionStatus::Superseded {
        unit.execute(
            "update decision set status = 1, superseded_by = ?3 where tenant_no = ?1 and id = ?2",
            (
                place.tenant_no,
                new.id.bytes(),
                row.superseded_by.as_ref().map(DecisionId::bytes),
            ),
        )?;
        let count = &mut unit.effects;
        count.count(place.tenant_no, Stat::Decisions(DecisionStatus::Active), -1);
        count.count(
            place.tenant_no,
            Stat::Decisions(DecisionStatus::Superseded),
            1,
        );
    }
    let used = [row.archived_at, row.last_recalled_at];
    if used.iter().any(Option::is_some) {
        let [archived, recalled] = used.map(|time| time.map(Timestamp::millis));
        unit.execute(
            "update decision set archived_at = ?3, last_recalled_at = ?4 where tenant_no = ?1 and id = ?2",
            (place.tenant_no, new.id.bytes(), archived, recalled),
        )?;
    }
    Ok(STORED)
}

/// Whether the decisions that took this one's place, as far as they are there, come to this one again.
fn leads_back(unit: &Unit<'_>, place: &Place<'_>, row: &DecisionRow) -> Result<bool, StoreError> {
    let mut next = row.superseded_by.map(|id| *id.bytes());
    for _ in 0..MOST_SUCCESSORS {
        let Some(id) = next else { return Ok(false) };
        if &id == row.decision_id.bytes() {
            return Ok(true);
        }
        let sql = "select superseded_by from decision where tenant_no = ?1 and id = ?2";
        next = unit
            .find(sql, (place.tenant_no, id), |row| row.get(0))?
            .flatten();
    }
    Ok(false)
}

pub(super) fn one_note(
    unit: &mut Unit<'_>,
    place: &Place<'_>,
    row: &NoteRow,
    new: &NewNote,
) -> Result<Verdict, StoreError> {
    let known = taken(unit, place, "note", new.id.bytes())?;
    if known.is_some() {
        let stored = export::note_by_id(unit.connection, place.tenant, place.tenant_no, new.id)?;
        let same = stored.as_ref() == Some(row);
        let later = stored.is_some_and(|stored| stored.updated_at < row.updated_at);
        let verdict = place.taken_by_earlier(same, later)?;
        if !matches!(verdict, Verdict::Stored) {
            return Ok(verdict);
        }
    }
    if place.how.dry_run {
        return Ok(STORED);
    }
    if let Some((seq, _)) = known {
        note::forget(unit, place.tenant_no, seq)?;
    }
    note::create(unit, place.tenant_no, new)?;
    unit.execute(
        "update note set updated_at = ?3 where tenant_no = ?1 and id = ?2",
        (place.tenant_no, new.id.bytes(), row.updated_at.millis()),
    )?;
    Ok(STORED)
}
