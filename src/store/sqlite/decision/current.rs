//! Decisions as a wake-up shows them: the newest that hold, without those that nobody asked for in a long time.
//!
//! **Invariant:** what was archived is passed over by the index, however much of it there is.

use rusqlite::{Connection, named_params};

use crate::domain::decision::Decision;
use crate::domain::page::{Page, Rows};
use crate::domain::{DecisionId, TenantId, Timestamp};
use crate::store::measure::Op;
use crate::store::sqlite::decision::{COLUMNS, take};
use crate::store::sqlite::rows::{page_params, paged_sql, project_parts};
use crate::store::sqlite::unit::tenant_no;
use crate::store::{Pending, StoreError};

/// Active decisions of a project (and of none) that are not archived, in order.
pub(in crate::store::sqlite) fn current(
    connection: &Connection,
    tenant_no: i64,
    tenant: &TenantId,
    project_no: Option<Option<i64>>,
    page: &Page,
) -> Result<Rows<Decision>, StoreError> {
    let mut found = Vec::new();
    for (condition, project) in project_parts(project_no, "d.project_no") {
        let mut params = page_params(tenant_no, page).to_vec();
        params.extend(project.map(|number| (":project_no", number.into())));
        let mut statement = connection.prepare_cached(&current_sql(&condition, page))?;
        let mut rows = statement.query(params.as_slice())?;
        found.push(take(&mut rows, tenant)?);
    }
    Ok(Rows::merge(found, page))
}

/// Names its index, as the one that has these rows alone.
fn current_sql(project: &str, page: &Page) -> String {
    let index = if project.is_empty() {
        "decision_current"
    } else {
        "decision_current_by_project"
    };
    let columns = COLUMNS.replace(
        "from decision d",
        &format!("from decision d indexed by {index}"),
    );
    let conditions =
        format!("d.tenant_no = :tenant_no{project} and d.status = 0 and d.archived_at is null");
    paged_sql(&columns, &conditions, "d.ts", "d.seq", page)
}

impl crate::store::sqlite::Sqlite {
    pub(in crate::store) fn note_recalled(
        &self,
        recalled: Vec<(TenantId, DecisionId, Timestamp)>,
    ) -> Result<Pending<()>, StoreError> {
        self.write(Op::Consolidate, 64 * recalled.len(), move |unit| {
            for (tenant, id, at) in &recalled {
                let Some(tenant_no) = tenant_no(unit.connection, tenant)? else {
                    continue;
                };
                let params = named_params! { ":tenant_no": tenant_no, ":id": id.bytes(), ":at": at.millis() };
                // It counts as a write of the tenant only if it changes what a wake-up shows.
                let back = unit.execute(
                    "update decision set last_recalled_at = :at, archived_at = null
                     where tenant_no = :tenant_no and id = :id and archived_at is not null",
                    params,
                )?;
                if back > 0 {
                    unit.effects.tenant(tenant_no, 0, 0);
                    continue;
                }
                unit.execute(
                    "update decision set last_recalled_at = :at
                     where tenant_no = :tenant_no and id = :id and coalesce(last_recalled_at, 0) < :at",
                    params,
                )?;
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::page::Direction;
    use crate::store::sqlite::testing;

    #[test]
    fn what_holds_walks_an_index_and_sorts_nothing() {
        let (_dir, connection) = testing::connection();
        let page = Page::first(3, Direction::Descending);
        for project in [
            "",
            " and d.project_no is null",
            " and d.project_no = :project_no",
        ] {
            let plan = testing::plan(&connection, &current_sql(project, &page));
            assert!(
                plan.contains("decision_current") && !plan.contains("TEMP B-TREE"),
                "{plan}"
            );
        }
    }
}
