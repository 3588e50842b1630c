//! Reading rows: lists kept in one column, and pages of a list.
//!
//! **Invariant:** every list has an order, a limit and a bound in bytes.

use rusqlite::Row;

use crate::domain::HandoffId;
use crate::domain::page::{Direction, MAX_PAGE_BYTES, Page, Paged, Position, Rows};
use crate::store::StoreError;
use crate::store::sqlite::error::damaged;

/// Reads a list of texts that is null when empty.
pub(super) fn read_list(row: &Row<'_>, column: usize) -> Result<Vec<String>, StoreError> {
    match row.get::<_, Option<String>>(column)? {
        None => Ok(Vec::new()),
        Some(json) => serde_json::from_str(&json).map_err(|_| damaged("list")),
    }
}

/// Writes a list of texts that is null when empty.
pub(super) fn write_list(items: &[String]) -> Option<String> {
    (!items.is_empty()).then(|| serde_json::Value::from(items).to_string())
}

/// Reads handoffs' ids as [`write_ids`] wrote them.
pub(super) fn read_ids(row: &Row<'_>, column: usize) -> Result<Vec<HandoffId>, StoreError> {
    let ids = read_list(row, column)?;
    let parse = |id: &String| HandoffId::parse("id", id).map_err(|_| damaged("handoff id"));
    ids.iter().map(parse).collect()
}

/// Writes a list of handoffs' ids that is null when empty.
pub(super) fn write_ids(ids: &[HandoffId]) -> Option<String> {
    write_list(&ids.iter().map(HandoffId::to_string).collect::<Vec<_>>())
}

/// Reads rows until there are none left or they have become too much for a page.
pub(super) fn take_rows<T>(
    rows: &mut rusqlite::Rows<'_>,
    read: impl Fn(&Row<'_>) -> Result<((Position, T), usize), StoreError>,
) -> Result<Rows<T>, StoreError> {
    let mut taken = Rows {
        items: Vec::new(),
        cut: false,
    };
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        let (item, size) = read(row)?;
        taken.items.push(item);
        bytes += size;
        if bytes >= MAX_PAGE_BYTES {
            taken.cut = true;
            break;
        }
    }
    Ok(taken)
}

/// A page without rows.
pub(super) fn empty<T>() -> Paged<T> {
    Paged {
        items: Vec::new(),
        next_cursor: None,
    }
}

/// The parts that a project's list is made of: what is of the project, if it is known here, and what is of none. Without
/// a project it is one part with everything. Each part is a condition to append and the `:project_no` to bind.
pub(super) fn project_parts(
    project_no: Option<Option<i64>>,
    column: &str,
) -> Vec<(String, Option<i64>)> {
    let of_none = || (format!(" and {column} is null"), None);
    match project_no {
        None => vec![(String::new(), None)],
        Some(None) => vec![of_none()],
        Some(Some(number)) => vec![
            (format!(" and {column} = :project_no"), Some(number)),
            of_none(),
        ],
    }
}

/// A list's statement: rows after the cursor, in order, one more than asked for. Parameters: `:tenant_no`, `:ts`,
/// `:seq`, `:limit`.
pub(super) fn paged_sql(select: &str, filter: &str, ts: &str, seq: &str, page: &Page) -> String {
    let (compare, order) = match page.direction {
        Direction::Ascending => (">", "asc"),
        Direction::Descending => ("<", "desc"),
    };
    format!(
        "{select} where {filter} and ({ts}, {seq}) {compare} (:ts, :seq) order by {ts} {order}, {seq} {order} limit :limit"
    )
}

/// The parameters of [`paged_sql`].
pub(super) fn page_params(
    tenant_no: i64,
    page: &Page,
) -> [(&'static str, rusqlite::types::Value); 4] {
    let (ts, seq) = match (page.after, page.direction) {
        (Some(position), _) => (position.ts.millis(), position.seq),
        (None, Direction::Ascending) => (i64::MIN, i64::MIN),
        (None, Direction::Descending) => (i64::MAX, i64::MAX),
    };
    [
        (":tenant_no", tenant_no.into()),
        (":ts", ts.into()),
        (":seq", seq.into()),
        (":limit", (i64::from(page.limit) + 1).into()),
    ]
}
