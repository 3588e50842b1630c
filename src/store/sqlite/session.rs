//! Sessions, projects and the totals that wake-ups read.
//!
//! A total stands four times: for all of a tenant, for a project, for a person, and for a person in a project. Each
//! write changes the rows it is part of, so that reading one is a look-up.
//!
//! **Invariant:** `summary` changes only here.

use std::collections::BTreeMap;

use rusqlite::{Connection, Row, named_params};

use crate::domain::page::{List, Page, Paged, Position, Rows};
use crate::domain::session::{NewSession, Session, SessionCounts};
use crate::domain::wake_up::Summary;
use crate::domain::{AuditAction, Name, Sensitivity, Stat, TenantId, Timestamp};
use crate::store::measure::Op;
use crate::store::sqlite::rows::{empty, page_params, paged_sql};
use crate::store::sqlite::stat::read_stats;
use crate::store::sqlite::unit::{Unit, find, tenant_no};
use crate::store::{Pending, StoreError, Wait};

/// `summary.project_no` of the totals over all projects.
const ALL_PROJECTS: i64 = 0;
/// `summary.project_no` of the totals over what has no project.
const NO_PROJECT: i64 = -1;
/// `summary.with_whom` of the totals over all people; a name is never empty.
const ALL_PEOPLE: &str = "";

/// What a write says about its session.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mention<'a> {
    pub(super) tenant_no: i64,
    pub(super) session: &'a Name,
    pub(super) project_no: Option<i64>,
    pub(super) with_whom: Option<&'a Name>,
    pub(super) at: Timestamp,
}

/// What changes in the totals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Delta {
    pub(super) sessions: i64,
    pub(super) handoffs: i64,
    pub(super) statements: i64,
}

/// The number of a project, which is made if need be.
pub(super) fn project_or_new(
    unit: &Unit<'_>,
    tenant_no: i64,
    project: &Name,
    now: Timestamp,
) -> Result<i64, StoreError> {
    if let Some(project_no) = project_no(unit.connection, tenant_no, project)? {
        return Ok(project_no);
    }
    unit.execute(
        "insert into project (tenant_no, project_id, name, created_at) values (:tenant_no, :project, :project, :now)",
        named_params! {":tenant_no": tenant_no, ":project": project.as_str(), ":now": now.millis()},
    )?;
    Ok(unit.connection.last_insert_rowid())
}

/// The number of the project that an id means.
pub(super) fn project_no(
    connection: &Connection,
    tenant_no: i64,
    project: &Name,
) -> rusqlite::Result<Option<i64>> {
    find(
        connection,
        "select coalesce(stands_for, project_no) from project where tenant_no = ?1 and project_id = ?2",
        (tenant_no, project.as_str()),
        |row| row.get(0),
    )
}

/// The number of the project that a reader names: none named, or `Some(None)` for one that is not known here.
pub(super) fn resolve_project(
    connection: &Connection,
    tenant_no: i64,
    project: Option<&Name>,
) -> rusqlite::Result<Option<Option<i64>>> {
    project
        .map(|project| project_no(connection, tenant_no, project))
        .transpose()
}

/// The number of a session that is there and not forgotten.
pub(super) fn session_no(
    connection: &Connection,
    tenant_no: i64,
    session: &Name,
) -> rusqlite::Result<Option<i64>> {
    find(
        connection,
        "select session_no from session where tenant_no = ?1 and session_id = ?2 and forgotten_at is null",
        (tenant_no, session.as_str()),
        |row| row.get(0),
    )
}

/// The number of the session that is mentioned. It is made if need be, stretched to the mentioned time, and given the
/// project and the person if it had none.
pub(super) fn touch(unit: &mut Unit<'_>, mention: Mention<'_>) -> Result<i64, StoreError> {
    let known = unit.find(
        "select session_no, project_no, with_whom, started_at, last_seen_at from session
         where tenant_no = ?1 and session_id = ?2 and forgotten_at is null",
        (mention.tenant_no, mention.session.as_str()),
        |row| {
            Ok(Known {
                session_no: row.get(0)?,
                project_no: row.get(1)?,
                with_whom: row.get::<_, Option<String>>(2)?.map(Name::stored),
                first: row.get(3)?,
                last: row.get(4)?,
            })
        },
    )?;
    match known {
        Some(known) => stretch(unit, &known, mention),
        None => begin(unit, mention),
    }
}

#[derive(Debug, Clone, PartialEq)]
struct Known {
    session_no: i64,
    project_no: Option<i64>,
    with_whom: Option<Name>,
    first: i64,
    last: i64,
}

const ONE_SESSION: Delta = Delta {
    sessions: 1,
    handoffs: 0,
    statements: 0,
};
const ONE_LESS: Delta = Delta {
    sessions: -1,
    handoffs: 0,
    statements: 0,
};

fn begin(unit: &mut Unit<'_>, mention: Mention<'_>) -> Result<i64, StoreError> {
    let Mention {
        tenant_no,
        session,
        project_no,
        with_whom,
        at,
    } = mention;
    unit.execute(
        "insert into session (tenant_no, session_id, project_no, with_whom, started_at, last_seen_at)
         values (:tenant_no, :session, :project_no, :with_whom, :at, :at)",
        named_params! {
            ":tenant_no": tenant_no, ":session": session.as_str(), ":project_no": project_no,
            ":with_whom": with_whom.map(Name::as_str), ":at": at.millis(),
        },
    )?;
    let session_no = unit.connection.last_insert_rowid();
    unit.effects.count(tenant_no, Stat::Sessions, 1);
    total(
        unit,
        tenant_no,
        project_no,
        with_whom,
        Sensitivity::None,
        ONE_SESSION,
    );
    Ok(session_no)
}

fn stretch(unit: &mut Unit<'_>, known: &Known, mention: Mention<'_>) -> Result<i64, StoreError> {
    let next = Known {
        session_no: known.session_no,
        project_no: known.project_no.or(mention.project_no),
        with_whom: known.with_whom.as_ref().or(mention.with_whom).cloned(),
        first: known.first.min(mention.at.millis()),
        last: known.last.max(mention.at.millis()),
    };
    if next == *known {
        return Ok(known.session_no);
    }
    if (next.project_no, &next.with_whom) != (known.project_no, &known.with_whom) {
        total(
            unit,
            mention.tenant_no,
            known.project_no,
            known.with_whom.as_ref(),
            Sensitivity::None,
            ONE_LESS,
        );
        total(
            unit,
            mention.tenant_no,
            next.project_no,
            next.with_whom.as_ref(),
            Sensitivity::None,
            ONE_SESSION,
        );
    }
    unit.execute(
        "update session set project_no = :project_no, with_whom = :with_whom, started_at = :first, last_seen_at = :last
         where session_no = :session_no",
        named_params! {
            ":project_no": next.project_no, ":with_whom": next.with_whom.as_ref().map(Name::as_str),
            ":first": next.first, ":last": next.last, ":session_no": next.session_no,
        },
    )?;
    Ok(known.session_no)
}

/// Changes what a session holds.
pub(super) fn count(
    unit: &Unit<'_>,
    session_no: i64,
    events: i64,
    handoffs: i64,
) -> rusqlite::Result<()> {
    unit.execute(
        "update session set events = events + ?2, handoffs = handoffs + ?3 where session_no = ?1",
        (session_no, events, handoffs),
    )?;
    Ok(())
}

/// Changes the totals that something of this project, person and sensitivity is part of, with the group's other counts.
pub(super) fn total(
    unit: &mut Unit<'_>,
    tenant_no: i64,
    project_no: Option<i64>,
    with_whom: Option<&Name>,
    sensitivity: Sensitivity,
    delta: Delta,
) {
    let part = Part {
        tenant_no,
        project_no: project_no.unwrap_or(NO_PROJECT),
        with_whom: with_whom.map(|name| name.as_str().to_owned()),
        sensitivity: sensitivity.code(),
    };
    unit.effects.totals.add(part, delta);
}

/// What a change of the totals is of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Part {
    tenant_no: i64,
    project_no: i64,
    with_whom: Option<String>,
    sensitivity: i64,
}

/// Changes of the totals that were not written yet. The units of a group are of few projects and people, and each change
/// is four rows.
#[derive(Debug, Default)]
pub(super) struct Totals(BTreeMap<Part, Delta>);

impl Totals {
    fn add(&mut self, part: Part, delta: Delta) {
        let sum = self.0.entry(part).or_default();
        sum.sessions += delta.sessions;
        sum.handoffs += delta.handoffs;
        sum.statements += delta.statements;
    }

    /// Adds what another unit changed.
    pub(super) fn merge(&mut self, other: Self) {
        for (part, delta) in other.0 {
            self.add(part, delta);
        }
    }

    /// Writes them. A project that a unit of the group made stand for another counts for that one, and a tenant that one
    /// has taken out gets no rows back. A total that comes to nothing is taken away, since its row holds a name.
    pub(super) fn flush(&self, connection: &Connection) -> rusqlite::Result<()> {
        let mut change = connection.prepare_cached(
            "insert into summary (tenant_no, project_no, with_whom, sensitivity, sessions, handoffs, statements)
             select :tenant_no, coalesce((select stands_for from project where project_no = :project_no), :project_no),
                 :with_whom, :sensitivity, :sessions, :handoffs, :statements
             from tenant where tenant_no = :tenant_no
             on conflict do update set sessions = sessions + excluded.sessions, handoffs = handoffs + excluded.handoffs,
                 statements = statements + excluded.statements",
        )?;
        let mut tidy = connection.prepare_cached(
            "delete from summary
             where tenant_no = :tenant_no and with_whom = :with_whom and sensitivity = :sensitivity
                 and project_no = coalesce((select stands_for from project where project_no = :project_no), :project_no)
                 and sessions = 0 and handoffs = 0 and statements = 0",
        )?;
        for (part, delta) in self
            .0
            .iter()
            .filter(|(_, delta)| **delta != Delta::default())
        {
            let shrinks = delta.sessions < 0 || delta.handoffs < 0 || delta.statements < 0;
            let people = std::iter::once(ALL_PEOPLE).chain(part.with_whom.as_deref());
            for person in people {
                for project in [ALL_PROJECTS, part.project_no] {
                    change.execute(named_params! {
                        ":tenant_no": part.tenant_no, ":project_no": project, ":with_whom": person,
                        ":sensitivity": part.sensitivity, ":sessions": delta.sessions, ":handoffs": delta.handoffs,
                        ":statements": delta.statements,
                    })?;
                    if shrinks {
                        tidy.execute(named_params! {
                            ":tenant_no": part.tenant_no, ":project_no": project, ":with_whom": person,
                            ":sensitivity": part.sensitivity,
                        })?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// The totals that a reader asks for, up to a sensitivity: of all projects, or of one and of what has none.
pub(super) fn read_total(
    connection: &Connection,
    tenant_no: i64,
    project_no: Option<Option<i64>>,
    with_whom: Option<&Name>,
    clearance: Sensitivity,
) -> rusqlite::Result<(Summary, i64)> {
    let projects: Vec<i64> = match project_no {
        None => vec![ALL_PROJECTS],
        Some(known) => known.into_iter().chain([NO_PROJECT]).collect(),
    };
    let (mut summary, mut statements) = (Summary::default(), 0);
    let mut statement = connection.prepare_cached(
        "select coalesce(sum(sessions), 0), coalesce(sum(handoffs), 0), coalesce(sum(statements), 0) from summary
         where tenant_no = ?1 and project_no = ?2 and with_whom = ?3 and sensitivity <= ?4",
    )?;
    for project in projects {
        let person = with_whom.map_or(ALL_PEOPLE, Name::as_str);
        let row = statement.query_row((tenant_no, project, person, clearance.code()), |row| {
            Ok((
                row.get::<_, i64>(0)?,
                row.get::<_, i64>(1)?,
                row.get::<_, i64>(2)?,
            ))
        })?;
        summary.sessions += row.0;
        summary.handoffs += row.1;
        statements += row.2;
    }
    Ok((summary, statements))
}

const SESSION_COLUMNS: &str = "select s.session_no, s.session_id, p.project_id, s.with_whom, s.started_at, s.last_seen_at, s.events, s.handoffs
     from session s left join project p on p.project_no = s.project_no";

fn read_session(row: &Row<'_>, tenant: &TenantId) -> rusqlite::Result<(Position, Session)> {
    let started_at = Timestamp::from_millis(row.get(4)?);
    let session = Session {
        session_id: Name::stored(row.get(1)?),
        tenant_id: tenant.clone(),
        project_id: row.get::<_, Option<String>>(2)?.map(Name::stored),
        with_whom: row.get::<_, Option<String>>(3)?.map(Name::stored),
        started_at,
        last_seen_at: Timestamp::from_millis(row.get(5)?),
        counts: SessionCounts {
            events: row.get(6)?,
            handoffs: row.get(7)?,
        },
    };
    Ok((
        Position {
            ts: started_at,
            seq: row.get(0)?,
        },
        session,
    ))
}

impl super::Sqlite {
    pub(in crate::store) fn start_session(
        &self,
        tenant: &TenantId,
        new: NewSession,
        now: Timestamp,
    ) -> Result<Pending<Session>, StoreError> {
        let tenant = tenant.clone();
        self.write(Op::SessionWrite, 256, move |unit| {
            let tenant_no = unit.tenant_or_new(&tenant, now)?;
            let project_no = match &new.project {
                Some(project) => Some(project_or_new(unit, tenant_no, project, now)?),
                None => None,
            };
            let with_whom = new.with_whom.as_ref();
            let at = new.started_at;
            let session_no = touch(
                unit,
                Mention {
                    tenant_no,
                    session: &new.session,
                    project_no,
                    with_whom,
                    at,
                },
            )?;
            unit.effects.tenant(tenant_no, 0, 0);
            unit.effects.redacted(tenant_no, &new.redactions);
            unit.audit(&tenant, AuditAction::SessionStart, 1);
            let sql = format!("{SESSION_COLUMNS} where s.session_no = ?1");
            unit.find(&sql, [session_no], |row| read_session(row, &tenant))?
                .map(|(_, session)| session)
                .ok_or(StoreError::NotFound("session"))
        })
    }

    pub(in crate::store) fn sessions(
        &self,
        wait: Wait,
        tenant: &TenantId,
        page: &Page,
    ) -> Result<Paged<Session>, StoreError> {
        self.read(Op::SessionRead, wait, |connection| {
            let Some(tenant_no) = tenant_no(connection, tenant)? else {
                return Ok(empty());
            };
            let sql = paged_sql(
                SESSION_COLUMNS,
                "s.tenant_no = :tenant_no and s.forgotten_at is null",
                "s.started_at",
                "s.session_no",
                page,
            );
            let rows = connection
                .prepare_cached(&sql)?
                .query_map(page_params(tenant_no, page).as_slice(), |row| {
                    read_session(row, tenant)
                })?
                .collect::<Result<_, _>>()?;
            Ok(Paged::from_rows(
                List::Sessions,
                page,
                Rows {
                    items: rows,
                    cut: false,
                },
            ))
        })
    }

    pub(in crate::store) fn tenant_stats(
        &self,
        wait: Wait,
        tenant: &TenantId,
    ) -> Result<BTreeMap<Stat, i64>, StoreError> {
        self.read(Op::SessionRead, wait, |connection| {
            let tenant_no = tenant_no(connection, tenant)?.unwrap_or(0);
            let mut statement = connection.prepare_cached(
                "select name, label, value from tenant_stat where tenant_no = ?1",
            )?;
            let mut rows = statement.query([tenant_no])?;
            Ok(read_stats(&mut rows)?)
        })
    }
}
