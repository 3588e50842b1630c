//! Changes carried out: in slices, each with what it takes to undo it.
//!
//! A plan was made from what was read some time before. So each change looks first whether the row is still as it was
//! planned from; if not, nothing happens, and the next run sees it as it is then. What was forgotten leaves the states
//! that are kept, too ([`forget_changes`]).
//!
//! **Invariant:** a row is changed in the transaction that keeps the state it had.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{Connection, named_params};

use crate::domain::consolidate::Change;
use crate::domain::consolidation::{Applied, Forms, State, target};
use crate::domain::principle::{NewPrinciple, PrincipleBody};
use crate::domain::reflection::{NewReflection, ReflectionBody};
use crate::domain::{
    CompressionLevel, DecisionId, DecisionStatus, EntityType, HandoffId, JobId, NoteId,
    PrincipleId, ReflectionId, Stat, TenantId, Timestamp,
};
use crate::store::measure::Op;
use crate::store::sqlite::consolidation::stored;
use crate::store::sqlite::error::damaged;
use crate::store::sqlite::published::Published;
use crate::store::sqlite::unit::{Unit, find};
use crate::store::sqlite::{export, note, principle, reflection};
use crate::store::{Pending, StoreError};

/// How long a slice may hold the writer while nobody else wants it, and while somebody does. From the contract.
const SLICE: Duration = Duration::from_millis(5);
const BUSY_SLICE: Duration = Duration::from_millis(1);

/// How much longer a slice may go on.
#[derive(Debug)]
pub(super) struct Room {
    begun: Instant,
    published: Option<Arc<Published>>,
}

impl Room {
    /// From now on.
    pub(super) fn new(published: Option<Arc<Published>>) -> Self {
        Self {
            begun: Instant::now(),
            published,
        }
    }

    /// Whether the slice has to end.
    pub(super) fn is_over(&self) -> bool {
        let wanted = self.published.as_ref().is_some_and(|seen| seen.depth() > 0);
        self.begun.elapsed() >= if wanted { BUSY_SLICE } else { SLICE }
    }
}

/// Whose rows a job changes.
pub(super) struct Owner<'a> {
    pub(super) tenant: &'a TenantId,
    pub(super) tenant_no: i64,
    pub(super) job_no: i64,
    /// When the job began: what was changed since is not what it was planned from.
    pub(super) began: i64,
    pub(super) now: Timestamp,
}

impl crate::store::sqlite::Sqlite {
    pub(in crate::store) fn apply_changes(
        &self,
        tenant: &TenantId,
        job: JobId,
        changes: Vec<Change>,
        now: Timestamp,
    ) -> Result<Pending<Applied>, StoreError> {
        let tenant = tenant.clone();
        let published = self.shared();
        self.write(Op::Consolidate, 64 * changes.len(), move |unit| {
            let room = Room::new(published);
            let tenant_no = unit.tenant(&tenant, "tenant")?;
            let sql = "select job_no, started_at from consolidation_job where id = ?1 and tenant_no = ?2 and status = 0";
            let found = unit.find(sql, (job.bytes(), tenant_no), |row| Ok((row.get(0)?, row.get(1)?)))?;
            let (job_no, began) = found.ok_or(StoreError::NotFound("job"))?;
            let owner = Owner {
                tenant: &tenant,
                tenant_no,
                job_no,
                began,
                now,
            };
            let sql = "select coalesce(max(change_no), 0) from consolidation_change where job_no = ?1";
            let mut number: i64 = unit.find(sql, [job_no], |row| row.get(0))?.unwrap_or(0);
            let (mut affected, mut tokens) = (0, (0, 0));
            let mut left = changes.into_iter();
            for change in left.by_ref() {
                if apply(unit, &owner, number + 1, &change)? {
                    number += 1;
                    affected += 1;
                    let (before, after) = change.tokens();
                    tokens = (tokens.0 + before, tokens.1 + after);
                }
                if room.is_over() {
                    break;
                }
            }
            unit.execute(
                "update consolidation_job set items_affected = items_affected + :affected,
                     tokens_before = tokens_before + :before, tokens_after = tokens_after + :after
                 where job_no = :job_no",
                named_params! {
                    ":affected": stored(affected), ":before": stored(tokens.0), ":after": stored(tokens.1),
                    ":job_no": job_no,
                },
            )?;
            Ok(Applied {
                left: left.collect(),
                affected,
            })
        })
    }
}

/// Carries one change out and keeps the state before; false if nothing changed.
fn apply(
    unit: &mut Unit<'_>,
    owner: &Owner<'_>,
    number: i64,
    change: &Change,
) -> Result<bool, StoreError> {
    let (entity, id) = target(change);
    let before = read(unit.connection, owner, entity, id)?;
    let stood = place_of(unit, owner, entity, id)?;
    carry_out(unit, owner, change, before.as_ref())?;
    let after = read(unit.connection, owner, entity, id)?;
    if before == after {
        return Ok(false);
    }
    let write = |state: &State| serde_json::to_string(state).map_err(|_| damaged("state"));
    unit.execute(
        "insert into consolidation_change (job_no, change_no, tenant_no, entity_type, entity_id, before, after_hash, taken_seq)
         values (:job_no, :number, :tenant_no, :entity, :id, :before, :after, :taken_seq)",
        named_params! {
            ":job_no": owner.job_no, ":number": number, ":tenant_no": owner.tenant_no, ":entity": entity.code(),
            ":id": id, ":before": before.as_ref().map(write).transpose()?,
            ":after": after.as_ref().map(State::fingerprint), ":taken_seq": stood.filter(|_| after.is_none()),
        },
    )?;
    unit.effects.tenant(owner.tenant_no, 0, 0);
    Ok(true)
}

/// The number of a conclusion that is there: its place in an export.
fn place_of(
    unit: &Unit<'_>,
    owner: &Owner<'_>,
    entity: EntityType,
    id: [u8; 16],
) -> Result<Option<i64>, StoreError> {
    let sql = match entity {
        EntityType::Reflection => "select seq from reflection where tenant_no = ?1 and id = ?2",
        EntityType::Principle => "select seq from principle where tenant_no = ?1 and id = ?2",
        EntityType::Event | EntityType::Handoff | EntityType::Decision | EntityType::Knowledge => {
            return Ok(None);
        }
    };
    Ok(unit.find(sql, (owner.tenant_no, id), |row| row.get(0))?)
}

fn carry_out(
    unit: &mut Unit<'_>,
    owner: &Owner<'_>,
    change: &Change,
    before: Option<&State>,
) -> Result<(), StoreError> {
    match (change, before) {
        (Change::Compress(it), Some(State::Handoff(forms))) if forms.level == it.from => {
            let to = Forms {
                level: it.to,
                summary: forms.summary.clone().or_else(|| it.summary.clone()),
                quick_ref: forms.quick_ref.clone().or_else(|| it.quick_ref.clone()),
            };
            put_forms(unit, owner, it.handoff_id, forms, &to)
        }
        (Change::Archive(it), Some(State::Decision(None))) => archive(unit, owner, it.decision_id),
        (Change::Fold(it), Some(State::Note(shown))) if *shown == it.from => {
            let says_so = |id: NoteId| -> Result<bool, StoreError> {
                let sql = "select 1 from note where tenant_no = ?1 and id = ?2 and updated_at <= ?3 and duplicate_of is null";
                let found =
                    unit.find(sql, (owner.tenant_no, id.bytes(), owner.began), |_| Ok(()))?;
                Ok(found.is_some())
            };
            let unchanged =
                "select 1 from note where tenant_no = ?1 and id = ?2 and updated_at <= ?3";
            let params = (owner.tenant_no, it.note_id.bytes(), owner.began);
            let itself = unit.find(unchanged, params, |_| Ok(()))?.is_some();
            let other = it.into.map_or(Ok(true), says_so)?;
            if itself && other {
                put_note(unit, owner, it.note_id, it.into)?;
            }
            Ok(())
        }
        (Change::WritePrinciple(it), _) => write_principle(unit, owner, it.principle_id, &it.body),
        (Change::RetirePrinciple(it), Some(_)) => drop_principle(unit, owner, it.principle_id),
        (Change::WriteReflection(it), _) => {
            let new = NewReflection::new(it.reflection_id, it.body.clone(), owner.now, owner.now);
            put_reflection(unit, owner, &new.map_err(StoreError::Invalid)?)
        }
        (Change::RetireReflection(it), Some(_)) => drop_reflection(unit, owner, it.reflection_id),
        // It was forgotten or changed since.
        (
            Change::Compress(_)
            | Change::Archive(_)
            | Change::Fold(_)
            | Change::RetirePrinciple(_)
            | Change::RetireReflection(_),
            _,
        ) => Ok(()),
    }
}

/// What consolidation may change of a row, as it is; none if the row is not there.
pub(super) fn read(
    connection: &Connection,
    owner: &Owner<'_>,
    entity: EntityType,
    id: [u8; 16],
) -> Result<Option<State>, StoreError> {
    let (tenant, tenant_no) = (owner.tenant, owner.tenant_no);
    Ok(match entity {
        EntityType::Event => None,
        EntityType::Handoff => {
            let sql = "select compression_level, summary, quick_ref from handoff where tenant_no = ?1 and id = ?2";
            let found = find(connection, sql, (tenant_no, id), |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?;
            let forms = found.map(|(level, summary, quick_ref)| {
                let level = CompressionLevel::from_code(level);
                Ok::<_, StoreError>(Forms {
                    level: level.ok_or_else(|| damaged("compression level"))?,
                    summary,
                    quick_ref,
                })
            });
            forms.transpose()?.map(State::Handoff)
        }
        EntityType::Decision => {
            let sql = "select archived_at from decision where tenant_no = ?1 and id = ?2";
            let found = find(connection, sql, (tenant_no, id), |row| {
                row.get::<_, Option<i64>>(0)
            })?;
            found.map(|at| State::Decision(at.map(Timestamp::from_millis)))
        }
        EntityType::Knowledge => {
            let sql = "select duplicate_of from note where tenant_no = ?1 and id = ?2";
            let found = find(connection, sql, (tenant_no, id), |row| {
                row.get::<_, Option<[u8; 16]>>(0)
            })?;
            found.map(|shown| State::Note(shown.map(NoteId::from_bytes)))
        }
        EntityType::Reflection => {
            let id = ReflectionId::from_bytes(id);
            let row = export::reflection_by_id(connection, tenant, tenant_no, id)?;
            row.map(|row| State::Reflection(Box::new(row)))
        }
        EntityType::Principle => {
            let id = PrincipleId::from_bytes(id);
            let row = export::principle_by_id(connection, tenant, tenant_no, id)?;
            row.map(|row| State::Principle(Box::new(row)))
        }
    })
}

/// Puts a row back to a state that it had; none takes it out. One that was taken out gets its number again.
pub(super) fn restore(
    unit: &mut Unit<'_>,
    owner: &Owner<'_>,
    (entity, id): (EntityType, [u8; 16]),
    now_is: Option<&State>,
    (was, taken_seq): (Option<State>, Option<i64>),
) -> Result<(), StoreError> {
    unit.effects.tenant(owner.tenant_no, 0, 0);
    // The forms that are taken back leave the log, too.
    unit.effects.erased = true;
    match (entity, was) {
        (EntityType::Handoff, Some(State::Handoff(to))) => {
            let Some(State::Handoff(forms)) = now_is else {
                return Ok(());
            };
            put_forms(unit, owner, HandoffId::from_bytes(id), forms, &to)
        }
        (EntityType::Decision, Some(State::Decision(at))) => {
            let sql = "update decision set archived_at = ?3 where tenant_no = ?1 and id = ?2";
            unit.execute(sql, (owner.tenant_no, id, at.map(Timestamp::millis)))?;
            Ok(())
        }
        (EntityType::Knowledge, Some(State::Note(shown))) => {
            put_note(unit, owner, NoteId::from_bytes(id), shown)
        }
        (EntityType::Reflection, was) => {
            let id = ReflectionId::from_bytes(id);
            let Some(State::Reflection(row)) = was else {
                return drop_reflection(unit, owner, id);
            };
            let row = *row;
            let body = ReflectionBody {
                period_start: row.period_start,
                period_end: row.period_end,
                session_count: row.session_count,
                summary: row.summary,
                insights: row.insights,
                themes: row.themes,
                sensitivity: row.sensitivity,
            };
            let new = NewReflection::new(id, body, row.created_at, Timestamp::MAX);
            let new = new.map_err(StoreError::Invalid)?;
            reflection::write_at(unit, owner.tenant_no, owner.tenant, &new, taken_seq)
        }
        (EntityType::Principle, was) => {
            let id = PrincipleId::from_bytes(id);
            let Some(State::Principle(row)) = was else {
                return drop_principle(unit, owner, id);
            };
            let row = *row;
            let body = PrincipleBody {
                text: row.text,
                source_handoffs: row.source_handoffs,
                count: row.count,
                sensitivity: row.sensitivity,
            };
            let new = NewPrinciple::new(id, body, row.created_at, row.updated_at, Timestamp::MAX);
            let new = new.map_err(StoreError::Invalid)?;
            principle::write_at(unit, owner.tenant_no, owner.tenant, &new, taken_seq)
        }
        // A row of a person's own is never taken out.
        _ => Err(damaged("state")),
    }
}

fn put_forms(
    unit: &mut Unit<'_>,
    owner: &Owner<'_>,
    id: HandoffId,
    from: &Forms,
    to: &Forms,
) -> Result<(), StoreError> {
    unit.execute(
        "update handoff set compression_level = :level, summary = :summary, quick_ref = :quick_ref
         where tenant_no = :tenant_no and id = :id",
        named_params! {
            ":level": to.level.code(), ":summary": to.summary, ":quick_ref": to.quick_ref,
            ":tenant_no": owner.tenant_no, ":id": id.bytes(),
        },
    )?;
    let octets = |forms: &Forms| i64::try_from(forms.bytes()).unwrap_or(i64::MAX);
    let (tenant_no, counts) = (owner.tenant_no, &mut unit.effects);
    counts.count(tenant_no, Stat::Handoffs(from.level), -1);
    counts.count(tenant_no, Stat::Handoffs(to.level), 1);
    counts.count(tenant_no, Stat::TextBytes, octets(to) - octets(from));
    Ok(())
}

fn archive(unit: &Unit<'_>, owner: &Owner<'_>, id: DecisionId) -> Result<(), StoreError> {
    unit.execute(
        "update decision set archived_at = :now
         where tenant_no = :tenant_no and id = :id and status = :active and scope < 3 and last_recalled_at is null",
        named_params! {
            ":now": owner.now.millis(), ":tenant_no": owner.tenant_no, ":id": id.bytes(),
            ":active": DecisionStatus::Active.code(),
        },
    )?;
    Ok(())
}

fn put_note(
    unit: &Unit<'_>,
    owner: &Owner<'_>,
    id: NoteId,
    into: Option<NoteId>,
) -> Result<(), StoreError> {
    note::show_by(unit, owner.tenant_no, id, into)
}

fn write_principle(
    unit: &mut Unit<'_>,
    owner: &Owner<'_>,
    id: PrincipleId,
    body: &PrincipleBody,
) -> Result<(), StoreError> {
    let new = NewPrinciple::new(id, body.clone(), owner.now, owner.now, owner.now);
    let new = new.map_err(StoreError::Invalid)?;
    principle::write(unit, owner.tenant_no, owner.tenant, &new)
}

fn drop_principle(
    unit: &mut Unit<'_>,
    owner: &Owner<'_>,
    id: PrincipleId,
) -> Result<(), StoreError> {
    let sql = "select seq from principle where tenant_no = ?1 and id = ?2";
    match unit.find(sql, (owner.tenant_no, id.bytes()), |row| row.get(0))? {
        Some(seq) => principle::take_out(unit, owner.tenant_no, seq),
        None => Ok(()),
    }
}

fn put_reflection(
    unit: &mut Unit<'_>,
    owner: &Owner<'_>,
    new: &NewReflection,
) -> Result<(), StoreError> {
    reflection::write(unit, owner.tenant_no, owner.tenant, new)
}

fn drop_reflection(
    unit: &mut Unit<'_>,
    owner: &Owner<'_>,
    id: ReflectionId,
) -> Result<(), StoreError> {
    let sql = "select seq from reflection where tenant_no = ?1 and id = ?2";
    match unit.find(sql, (owner.tenant_no, id.bytes()), |row| row.get(0))? {
        Some(seq) => reflection::take_out(unit, owner.tenant_no, seq),
        None => Ok(()),
    }
}

/// Takes what is kept of a row out of the history, since the row is being forgotten.
pub(in crate::store::sqlite) fn forget_changes(
    unit: &Unit<'_>,
    tenant_no: i64,
    entity: EntityType,
    id: &[u8; 16],
) -> Result<(), StoreError> {
    unit.execute(
        "delete from consolidation_change where tenant_no = ?1 and entity_type = ?2 and entity_id = ?3",
        (tenant_no, entity.code(), id),
    )?;
    Ok(())
}
