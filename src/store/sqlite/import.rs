//! Putting exported rows in, a slice of them in one unit of work.
//!
//! A row whose id is free is stored; one that is there as it is stays; what becomes of another one is the mode's choice.
//! A row of a session that is being forgotten is gone for its readers, so it is taken out for good and makes room.
//!
//! **Invariant:** rows come and go by the same functions as any client's, so that counts, chunks and terms follow.

use std::sync::Arc;

use rusqlite::named_params;

use crate::domain::content::NewArtifact;
use crate::domain::event::NewEvent;
use crate::domain::export::{ArtifactRow, EventRow, Kind, ProjectRow, SessionRow};
use crate::domain::import::{Conflict, How, ImportLine, ImportRow, Mode, SliceReport};
use crate::domain::{AuditAction, Name, Sensitivity, TenantId, Timestamp};
use crate::store::measure::Op;
use crate::store::sqlite::session::{self, Delta, Mention};
use crate::store::sqlite::unit::Unit;
use crate::store::sqlite::{event, export, project};
use crate::store::{Pending, StoreError};

mod conclusion;
mod entity;

use conclusion::{one_principle, one_reflection};
use entity::{one_decision, one_handoff, one_note};

const DIFFERS: &str = "another one with this id is stored";
const CHANGED_LATER: &str = "the stored one was changed later, or at the same time";
const STORED: Verdict = Verdict::Stored;

/// What becomes of a row.
enum Verdict {
    Stored,
    Unchanged,
    Conflict(&'static str),
}

/// Where and how rows go in.
struct Place<'a> {
    tenant: &'a TenantId,
    tenant_no: i64,
    how: How,
    now: Timestamp,
}

impl Place<'_> {
    /// What the mode makes of a row whose id is taken by one that is, or is not, the same.
    fn taken(
        &self,
        same: impl FnOnce() -> Result<bool, StoreError>,
    ) -> Result<Verdict, StoreError> {
        if self.how.mode == Mode::Skip || same()? {
            return Ok(Verdict::Unchanged);
        }
        Ok(match self.how.mode {
            Mode::Skip | Mode::Merge => Verdict::Conflict(DIFFERS),
            Mode::Replace => Verdict::Stored,
        })
    }

    /// The same for what may change: what was said last holds. `later` is whether that is the one that comes in.
    fn taken_by_earlier(&self, same: bool, later: bool) -> Result<Verdict, StoreError> {
        Ok(match self.taken(|| Ok(same))? {
            Verdict::Conflict(_) if later => Verdict::Stored,
            Verdict::Conflict(_) => Verdict::Conflict(CHANGED_LATER),
            known => known,
        })
    }
}

impl super::Sqlite {
    pub(in crate::store) fn import_slice(
        &self,
        tenant: &TenantId,
        rows: Arc<Vec<ImportLine>>,
        how: How,
        now: Timestamp,
    ) -> Result<Pending<SliceReport>, StoreError> {
        let tenant = tenant.clone();
        let bytes = rows.iter().map(|line| text_bytes(&line.row)).sum();
        self.write(Op::Import, bytes, move |unit| {
            let tenant_no = if how.dry_run {
                match unit.tenant(&tenant, "tenant") {
                    // No tenant has this number.
                    Err(StoreError::NotFound(_)) => 0,
                    known => known?,
                }
            } else {
                unit.tenant_or_new(&tenant, now)?
            };
            let place = Place {
                tenant: &tenant,
                tenant_no,
                how,
                now,
            };
            let mut report = SliceReport::default();
            for line in rows.iter() {
                import(unit, &place, line, &mut report)?;
            }
            if !how.dry_run {
                let stored = i64::try_from(report.stored.sum()).unwrap_or(i64::MAX);
                unit.audit(&tenant, AuditAction::Import, stored);
            }
            Ok(report)
        })
    }
}

fn text_bytes(row: &ImportRow) -> usize {
    match row {
        ImportRow::Project(_) | ImportRow::Session(_) => 256,
        ImportRow::Event(event) => usize::try_from(event.1.text_bytes()).unwrap_or(usize::MAX),
        ImportRow::Handoff(handoff) => handoff.1.fields.bytes(),
        ImportRow::Decision(decision) => decision.1.statement.searchable().len(),
        ImportRow::Knowledge(note) => note.1.body.bytes(),
        ImportRow::Reflection(reflection) => reflection.1.body.bytes(),
        ImportRow::Principle(principle) => principle.1.body.bytes(),
    }
}

fn kind(row: &ImportRow) -> Kind {
    match row {
        ImportRow::Project(_) => Kind::Project,
        ImportRow::Session(_) => Kind::Session,
        ImportRow::Event(_) => Kind::Event,
        ImportRow::Handoff(_) => Kind::Handoff,
        ImportRow::Decision(_) => Kind::Decision,
        ImportRow::Knowledge(_) => Kind::Knowledge,
        ImportRow::Reflection(_) => Kind::Reflection,
        ImportRow::Principle(_) => Kind::Principle,
    }
}

fn id(row: &ImportRow) -> String {
    match row {
        ImportRow::Project(row) => row.project_id.clone(),
        ImportRow::Session(row) => row.session_id.clone(),
        ImportRow::Event(pair) => pair.1.id.to_string(),
        ImportRow::Handoff(pair) => pair.1.id.to_string(),
        ImportRow::Decision(pair) => pair.1.id.to_string(),
        ImportRow::Knowledge(pair) => pair.1.id.to_string(),
        ImportRow::Reflection(pair) => pair.1.id.to_string(),
        ImportRow::Principle(pair) => pair.1.id.to_string(),
    }
}

fn import(
    unit: &mut Unit<'_>,
    place: &Place<'_>,
    line: &ImportLine,
    report: &mut SliceReport,
) -> Result<(), StoreError> {
    let kind = kind(&line.row);
    let verdict = match &line.row {
        ImportRow::Project(row) => one_project(unit, place, row)?,
        ImportRow::Session(row) => one_session(unit, place, row)?,
        ImportRow::Event(pair) => one_event(unit, place, &pair.0, &pair.1)?,
        ImportRow::Handoff(pair) => one_handoff(unit, place, &pair.0, &pair.1)?,
        ImportRow::Decision(pair) => one_decision(unit, place, &pair.0, &pair.1)?,
        ImportRow::Knowledge(pair) => one_note(unit, place, &pair.0, &pair.1)?,
        ImportRow::Reflection(pair) => one_reflection(unit, place, &pair.0, &pair.1)?,
        ImportRow::Principle(pair) => one_principle(unit, place, &pair.0, &pair.1)?,
    };
    let counts = match verdict {
        Verdict::Stored => &mut report.stored,
        Verdict::Unchanged => &mut report.unchanged,
        Verdict::Conflict(reason) => {
            let (line, id) = (line.line, id(&line.row));
            report.conflicts.push(Conflict { line, id, reason });
            return Ok(());
        }
    };
    counts.add(kind);
    if let ImportRow::Event(pair) = &line.row
        && pair.1.artifact.is_some()
    {
        counts.add(Kind::Artifact);
    }
    if matches!(verdict, Verdict::Stored) && !place.how.dry_run {
        unit.effects.redacted(place.tenant_no, &line.redactions);
    }
    Ok(())
}

fn one_project(
    unit: &mut Unit<'_>,
    place: &Place<'_>,
    row: &ProjectRow,
) -> Result<Verdict, StoreError> {
    let name = Name::stored(row.project_id.clone());
    if project::is_alias(unit.connection, place.tenant_no, &name)? {
        // Here it means another project, and so do the rows that name it.
        return Ok(Verdict::Unchanged);
    }
    if session::project_no(unit.connection, place.tenant_no, &name)?.is_some() {
        let stored =
            || export::project_by_id(unit.connection, place.tenant, place.tenant_no, &name);
        let verdict = place.taken(|| Ok(stored()?.as_ref() == Some(row)))?;
        if !matches!(verdict, Verdict::Stored) {
            return Ok(verdict);
        }
    }
    if place.how.dry_run {
        return Ok(STORED);
    }
    let project_no = session::project_or_new(unit, place.tenant_no, &name, place.now)?;
    unit.execute(
        "update project set name = :name, aliases = :aliases, created_at = :created_at where project_no = :project_no",
        named_params! {
            ":name": row.name, ":aliases": serde_json::Value::from(row.aliases.as_slice()).to_string(),
            ":created_at": row.created_at.millis(), ":project_no": project_no,
        },
    )?;
    for alias in &row.aliases {
        let alias = Name::stored(alias.clone());
        project::claim(unit, place.tenant_no, project_no, &alias, place.now)?;
    }
    unit.effects.tenant(place.tenant_no, 0, 0);
    Ok(STORED)
}

fn one_session(
    unit: &mut Unit<'_>,
    place: &Place<'_>,
    row: &SessionRow,
) -> Result<Verdict, StoreError> {
    let name = Name::stored(row.session_id.clone());
    let with_whom = row.with_whom.clone().map(Name::stored);
    let known = session::session_no(unit.connection, place.tenant_no, &name)?;
    let stored = match known {
        None => None,
        Some(_) => export::session_by_id(unit.connection, place.tenant, place.tenant_no, &name)?,
    };
    if known.is_some() {
        let verdict = place.taken(|| Ok(stored.as_ref() == Some(row)))?;
        if !matches!(verdict, Verdict::Stored) {
            return Ok(verdict);
        }
    }
    if place.how.dry_run {
        return Ok(STORED);
    }
    let project_no = project_no(unit, place, row.project_id.as_deref())?;
    if let (Some(session_no), Some(stored)) = (known, &stored) {
        let old_project = project_no_of(unit, place, stored.project_id.as_deref())?;
        let old_person = stored.with_whom.clone().map(Name::stored);
        let one = |by| Delta {
            sessions: by,
            ..Delta::default()
        };
        let tenant_no = place.tenant_no;
        let none = Sensitivity::None;
        session::total(
            unit,
            tenant_no,
            old_project,
            old_person.as_ref(),
            none,
            one(-1),
        );
        session::total(
            unit,
            tenant_no,
            project_no,
            with_whom.as_ref(),
            none,
            one(1),
        );
        unit.execute(
            "update session set project_no = :project_no, with_whom = :with_whom, started_at = :first, last_seen_at = :last
             where session_no = :session_no",
            named_params! {
                ":project_no": project_no, ":with_whom": row.with_whom, ":first": row.started_at.millis(),
                ":last": row.last_seen_at.millis(), ":session_no": session_no,
            },
        )?;
    } else {
        for at in [row.started_at, row.last_seen_at] {
            let mention = Mention {
                tenant_no: place.tenant_no,
                session: &name,
                project_no,
                with_whom: with_whom.as_ref(),
                at,
            };
            session::touch(unit, mention)?;
        }
    }
    unit.effects.tenant(place.tenant_no, 0, 0);
    Ok(STORED)
}

fn project_no(
    unit: &Unit<'_>,
    place: &Place<'_>,
    project: Option<&str>,
) -> Result<Option<i64>, StoreError> {
    let name = project.map(|name| Name::stored(name.to_owned()));
    name.map(|name| session::project_or_new(unit, place.tenant_no, &name, place.now))
        .transpose()
}

/// The number of a project that is there.
fn project_no_of(
    unit: &Unit<'_>,
    place: &Place<'_>,
    project: Option<&str>,
) -> Result<Option<i64>, StoreError> {
    let Some(project) = project else {
        return Ok(None);
    };
    let name = Name::stored(project.to_owned());
    Ok(session::project_no(
        unit.connection,
        place.tenant_no,
        &name,
    )?)
}

/// A row with an id: its number, and whether its session is being forgotten.
fn taken(
    unit: &Unit<'_>,
    place: &Place<'_>,
    table: &str,
    id: &[u8; 16],
) -> Result<Option<(i64, bool)>, StoreError> {
    let sql = match table {
        "event" | "handoff" => format!(
            "select t.seq, s.forgotten_at is not null from {table} t join session s on s.session_no = t.session_no
             where t.tenant_no = ?1 and t.id = ?2"
        ),
        _ => format!("select t.seq, 0 from {table} t where t.tenant_no = ?1 and t.id = ?2"),
    };
    Ok(unit.find(&sql, (place.tenant_no, id), |row| {
        Ok((row.get(0)?, row.get(1)?))
    })?)
}

fn one_event(
    unit: &mut Unit<'_>,
    place: &Place<'_>,
    row: &EventRow,
    new: &NewEvent,
) -> Result<Verdict, StoreError> {
    let known = taken(unit, place, "event", new.id.bytes())?;
    if let Some((_, false)) = known {
        let verdict = place.taken(|| {
            let stored =
                export::event_by_id(unit.connection, place.tenant, place.tenant_no, new.id)?;
            Ok(stored.is_some_and(|(event, artifact)| {
                event == *row && same_artifact(artifact.as_ref(), new.artifact.as_ref())
            }))
        })?;
        if !matches!(verdict, Verdict::Stored) {
            return Ok(verdict);
        }
    }
    if let Some(artifact) = &new.artifact {
        let sql = "select event_seq from artifact where tenant_no = ?1 and id = ?2";
        let owner = unit.find(sql, (place.tenant_no, artifact.id.bytes()), |row| {
            row.get(0)
        })?;
        if owner.is_some_and(|owner: i64| known.is_none_or(|(seq, _)| seq != owner)) {
            return Ok(Verdict::Conflict("another event has its artifact's id"));
        }
    }
    if !place.how.dry_run {
        if let Some((seq, _)) = known {
            event::forget(unit, place.tenant_no, seq)?;
        }
        event::record(unit, place.tenant_no, new, place.now)?;
    }
    Ok(STORED)
}

fn same_artifact(stored: Option<&ArtifactRow>, new: Option<&NewArtifact>) -> bool {
    match (stored, new) {
        (None, None) => true,
        (Some(stored), Some(new)) => {
            (stored.artifact_id, stored.kind) == (new.id, new.kind)
                && stored.meta == new.meta
                && stored.text == new.body
        }
        (Some(_), None) | (None, Some(_)) => false,
    }
}
