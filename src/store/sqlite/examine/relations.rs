//! Whether what rows say of each other is so: whom they belong to, and the totals that are kept of them.
//!
//! The schema has no foreign keys, since each write would look up what it has just made; here they are looked at.
//!
//! **Invariant:** reads alone.

use rusqlite::Connection;

use crate::store::{Finding, StoreError};

/// What a row may point at that is not there, and how many do.
const DANGLING: [(&str, &str); 18] = [
    (
        "events without their session",
        "select count(*) from event e where not exists (select 1 from session s where s.session_no = e.session_no and s.tenant_no = e.tenant_no)",
    ),
    (
        "events without their tenant",
        "select count(*) from event e where not exists (select 1 from tenant t where t.tenant_no = e.tenant_no)",
    ),
    (
        "events without their project",
        "select count(*) from event e where project_no is not null and not exists (select 1 from project p where p.project_no = e.project_no)",
    ),
    (
        "events without their artifact",
        "select count(*) from event e where artifact_seq is not null and not exists (select 1 from artifact a where a.seq = e.artifact_seq)",
    ),
    (
        "artifacts without their event",
        "select count(*) from artifact a where not exists (select 1 from event e where e.seq = a.event_seq)",
    ),
    (
        "handoffs without their session",
        "select count(*) from handoff h where not exists (select 1 from session s where s.session_no = h.session_no and s.tenant_no = h.tenant_no)",
    ),
    (
        "handoffs without their project",
        "select count(*) from handoff h where project_no is not null and not exists (select 1 from project p where p.project_no = h.project_no)",
    ),
    (
        "decisions without their tenant",
        "select count(*) from decision d where not exists (select 1 from tenant t where t.tenant_no = d.tenant_no)",
    ),
    (
        "decisions without their project",
        "select count(*) from decision d where project_no is not null and not exists (select 1 from project p where p.project_no = d.project_no)",
    ),
    (
        "notes without their tenant",
        "select count(*) from note n where not exists (select 1 from tenant t where t.tenant_no = n.tenant_no)",
    ),
    (
        "notes without their project",
        "select count(*) from note n where project_no is not null and not exists (select 1 from project p where p.project_no = n.project_no)",
    ),
    (
        "reflections without their tenant",
        "select count(*) from reflection r where not exists (select 1 from tenant t where t.tenant_no = r.tenant_no)",
    ),
    (
        "principles without their tenant",
        "select count(*) from principle r where not exists (select 1 from tenant t where t.tenant_no = r.tenant_no)",
    ),
    (
        "projects without their tenant",
        "select count(*) from project p where not exists (select 1 from tenant t where t.tenant_no = p.tenant_no)",
    ),
    (
        "projects that stand for one that is not there",
        "select count(*) from project p where stands_for is not null and not exists (select 1 from project o where o.project_no = p.stands_for)",
    ),
    (
        "lines of the audit without who did it",
        "select count(*) from audit a where not exists (select 1 from audit_who w where w.who_no = a.who_no)",
    ),
    (
        "sessions without their tenant",
        "select count(*) from session s where not exists (select 1 from tenant t where t.tenant_no = s.tenant_no)",
    ),
    (
        "sessions without their project",
        "select count(*) from session s where project_no is not null and not exists (select 1 from project p where p.project_no = s.project_no)",
    ),
];

/// The totals that wake-ups read, counted anew. As [`session::total`](crate::store::sqlite::session::total) keeps them.
pub(in crate::store::sqlite) const TOTALS: &str = "
    select tenant_no, project_no, with_whom, sensitivity, sum(sessions) as sessions, sum(handoffs) as handoffs,
        sum(statements) as statements
    from (
        select m.tenant_no, iif(everywhere.x, 0, m.project_no) as project_no, iif(everybody.x, '', m.with_whom) as with_whom,
            m.sensitivity, m.sessions, m.handoffs, m.statements
        from (
            select tenant_no, coalesce(project_no, -1) as project_no, with_whom, 0 as sensitivity, 1 as sessions, 0 as handoffs,
                0 as statements from session
            union all
            select tenant_no, coalesce(project_no, -1), with_whom, sensitivity, 0, 1, becoming <> '' from handoff
        ) m
        cross join (select 0 as x union all select 1) everywhere
        cross join (select 0 as x union all select 1) everybody
        where everybody.x or m.with_whom is not null
    )
    group by 1, 2, 3, 4";

pub(super) fn references(connection: &Connection) -> Result<Finding, StoreError> {
    let mut wrong = Vec::new();
    for (what, sql) in DANGLING {
        let count: i64 = connection.query_row(sql, [], |row| row.get(0))?;
        if count > 0 {
            wrong.push(format!("{count} {what}"));
        }
    }
    Ok(Finding {
        check: "references",
        ok: wrong.is_empty(),
        detail: if wrong.is_empty() {
            "each row has what it belongs to".to_owned()
        } else {
            format!(
                "{}: `agent-memory doctor --salvage NEWFILE` gives each of them another, or restore a copy",
                wrong.join("; ")
            )
        },
    })
}

pub(super) fn totals(connection: &Connection) -> Result<Finding, StoreError> {
    const KEPT: &str = "select tenant_no, project_no, with_whom, sensitivity, sessions, handoffs, statements from summary";
    let one = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let missing = one(&format!("select count(*) from ({TOTALS} except {KEPT})"))?;
    let surplus = one(&format!("select count(*) from ({KEPT} except {TOTALS})"))?;
    let sessions = one(
        "select count(*) from session s where s.events <> (select count(*) from event e
             where e.tenant_no = s.tenant_no and e.session_no = s.session_no)
         or s.handoffs <> (select count(*) from handoff h where h.tenant_no = s.tenant_no and h.session_no = s.session_no)",
    )?;
    let wrong = missing.max(surplus);
    Ok(Finding {
        check: "totals",
        ok: wrong == 0 && sessions == 0,
        detail: format!(
            "{wrong} totals of projects and people and {sessions} of sessions are not what is there{}",
            if wrong + sessions > 0 {
                ": `agent-memory doctor --repair` counts them anew"
            } else {
                ""
            }
        ),
    })
}
