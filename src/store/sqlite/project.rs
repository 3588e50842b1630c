//! Projects and the other ids that mean them.
//!
//! An alias is a row of `project` that stands for another one, so that finding a project by an id is the same look-up
//! with and without aliases. What was stored under the alias before moves: first the id, in one unit, so that whoever
//! writes meanwhile writes to the right place; then the totals; then the rows, in slices by their number. A move that
//! was interrupted goes on when the alias is asked for again.
//!
//! **Invariant:** an alias stands for a project that is none, so that one step leads to it.

use rusqlite::{Connection, named_params};

use crate::domain::page::{List, Page, Paged, Position, Rows};
use crate::domain::session::Project;
use crate::domain::{Name, TenantId, Timestamp};
use crate::store::measure::Op;
use crate::store::sqlite::rows::{empty, page_params, paged_sql};
use crate::store::sqlite::session::project_or_new;
use crate::store::sqlite::unit::{Unit, find, tenant_no};
use crate::store::{StoreError, Wait};

/// Rows that one slice of a move looks at: some milliseconds.
const STRETCH: i64 = 2_000;
/// What belongs to a project, with the column that it is walked by.
const MOVED: [(&str, &str); 6] = [
    ("session", "session_no"),
    ("handoff", "seq"),
    ("decision", "seq"),
    ("note", "seq"),
    ("event", "seq"),
    ("chunk", "seq"),
];

/// Whether an id stands for another project.
pub(super) fn is_alias(
    connection: &Connection,
    tenant_no: i64,
    id: &Name,
) -> rusqlite::Result<bool> {
    let sql = "select stands_for is not null from project where tenant_no = ?1 and project_id = ?2";
    Ok(find(connection, sql, (tenant_no, id.as_str()), |row| row.get(0))?.unwrap_or(false))
}

/// Makes an id that is not known yet stand for a project; one that is known stays what it is.
pub(super) fn claim(
    unit: &Unit<'_>,
    tenant_no: i64,
    project_no: i64,
    alias: &Name,
    now: Timestamp,
) -> rusqlite::Result<()> {
    unit.execute(
        "insert into project (tenant_no, project_id, name, created_at, stands_for)
         values (:tenant_no, :alias, :alias, :now, :project_no) on conflict do nothing",
        named_params! {
            ":tenant_no": tenant_no, ":alias": alias.as_str(), ":now": now.millis(), ":project_no": project_no,
        },
    )?;
    Ok(())
}

impl super::Sqlite {
    pub(in crate::store) fn projects(
        &self,
        wait: Wait,
        tenant: &TenantId,
        page: &Page,
    ) -> Result<Paged<Project>, StoreError> {
        self.read(Op::SessionRead, wait, |connection| {
            let Some(tenant_no) = tenant_no(connection, tenant)? else {
                return Ok(empty());
            };
            let sql = paged_sql(
                "select project_no, project_id, name, aliases, created_at from project",
                "tenant_no = :tenant_no and stands_for is null",
                "created_at",
                "project_no",
                page,
            );
            let rows = connection
                .prepare_cached(&sql)?
                .query_map(page_params(tenant_no, page).as_slice(), |row| {
                    let position = Position {
                        ts: Timestamp::from_millis(row.get(4)?),
                        seq: row.get(0)?,
                    };
                    Ok((position, read(row, 1, tenant)?))
                })?
                .collect::<Result<_, _>>()?;
            Ok(Paged::from_rows(
                List::Projects,
                page,
                Rows {
                    items: rows,
                    cut: false,
                },
            ))
        })
    }

    pub(in crate::store) fn alias_project(
        &self,
        tenant: &TenantId,
        project: &Name,
        alias: &Name,
        now: Timestamp,
    ) -> Result<Project, StoreError> {
        let (of, target, other) = (tenant.clone(), project.clone(), alias.clone());
        let (tenant_no, to, from) = self
            .write(Op::SessionWrite, 256, move |unit| {
                point(unit, &of, &target, &other, now)
            })?
            .wait()?;
        for (table, key) in MOVED {
            let mut after = 0;
            while let Some(next) = self
                .write(Op::SessionWrite, 256, move |unit| {
                    slide(unit, (table, key), tenant_no, (from, to), after)
                })?
                .wait()?
            {
                after = next;
            }
        }
        let of = tenant.clone();
        self.read(Op::SessionRead, Wait::Yes, |connection| {
            let sql = "select project_id, name, aliases from project where project_no = ?1";
            find(connection, sql, [to], |row| read(row, 0, &of))?
                .ok_or(StoreError::NotFound("project"))
        })
    }
}

fn read(row: &rusqlite::Row<'_>, first: usize, tenant: &TenantId) -> rusqlite::Result<Project> {
    Ok(Project {
        project_id: Name::stored(row.get(first)?),
        tenant_id: tenant.clone(),
        name: row.get(first + 1)?,
        aliases: serde_json::from_str(&row.get::<_, String>(first + 2)?).unwrap_or_default(),
    })
}

/// Makes an id, and what stands for it, mean a project. Answers the tenant, the project and the one that the id was.
fn point(
    unit: &mut Unit<'_>,
    tenant: &TenantId,
    project: &Name,
    alias: &Name,
    now: Timestamp,
) -> Result<(i64, i64, i64), StoreError> {
    let tenant_no = unit.tenant_or_new(tenant, now)?;
    let to = project_or_new(unit, tenant_no, project, now)?;
    claim(unit, tenant_no, to, alias, now)?;
    let own = "select project_no, stands_for from project where tenant_no = ?1 and project_id = ?2";
    let (from, meant): (i64, Option<i64>) = unit
        .find(own, (tenant_no, alias.as_str()), |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .ok_or(StoreError::NotFound("project"))?;
    if from == to {
        return Err(StoreError::Conflict(
            "the project is known by that id already; an alias is another one",
        ));
    }
    if meant.is_some_and(|meant| meant != to) {
        return Err(StoreError::Conflict(
            "that id stands for another project already",
        ));
    }
    unit.execute(
        "update project set stands_for = ?2 where project_no = ?1 or stands_for = ?1",
        (from, to),
    )?;
    unit.execute(
        "update project set aliases = (
             select json_group_array(project_id) from (select project_id from project where tenant_no = ?1 and stands_for = ?2 order by project_no))
         where project_no = ?2",
        (tenant_no, to),
    )?;
    unit.execute(
        "update project set aliases = '[]' where project_no = ?1",
        [from],
    )?;
    unit.execute(
        "insert into summary (tenant_no, project_no, with_whom, sensitivity, sessions, handoffs, statements)
         select tenant_no, ?3, with_whom, sensitivity, sessions, handoffs, statements from summary
         where tenant_no = ?1 and project_no = ?2
         on conflict do update set sessions = sessions + excluded.sessions, handoffs = handoffs + excluded.handoffs,
             statements = statements + excluded.statements",
        (tenant_no, from, to),
    )?;
    unit.execute(
        "delete from summary where tenant_no = ?1 and project_no = ?2",
        (tenant_no, from),
    )?;
    unit.effects.tenant(tenant_no, 0, 0);
    Ok((tenant_no, to, from))
}

/// Moves the rows of a stretch of a table from one project to another. Answers where to go on, if there is more.
fn slide(
    unit: &mut Unit<'_>,
    (table, key): (&str, &str),
    tenant_no: i64,
    (from, to): (i64, i64),
    after: i64,
) -> Result<Option<i64>, StoreError> {
    let last: i64 = unit
        .find(
            &format!("select coalesce(max({key}), 0) from {table}"),
            [],
            |row| row.get(0),
        )?
        .unwrap_or(0);
    let upto = last.min(after.saturating_add(STRETCH));
    let sql = format!(
        "update {table} set project_no = :to
         where {key} > :after and {key} <= :upto and +tenant_no = :tenant_no and +project_no = :from"
    );
    let moved = unit.execute(
        &sql,
        named_params! {":to": to, ":after": after, ":upto": upto, ":tenant_no": tenant_no, ":from": from},
    )?;
    if moved > 0 {
        unit.effects.tenant(tenant_no, 0, 0);
        // What reads keep of passages says which project they are of.
        unit.effects.erase(tenant_no);
    }
    Ok((upto < last).then_some(upto))
}
