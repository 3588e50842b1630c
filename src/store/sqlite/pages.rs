//! What SQLite itself counts on a connection: its page cache, and what its statements go through.
//!
//! Both are read on the thread that has the connection, between two transactions, and set back to zero.
//!
//! **Invariant:** never called from a scrape: these calls belong to whoever has the connection.

use std::os::raw::c_int;
use std::ptr;

use rusqlite::{Connection, ffi};

/// What a page cache did since it was last asked, and the bytes it holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct CacheCounts {
    pub(super) hits: u64,
    pub(super) misses: u64,
    pub(super) writes: u64,
    pub(super) spills: u64,
    pub(super) bytes: u64,
}

/// What statements went through since they were last asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct StatementCounts {
    /// Rows looked at one after the other for want of an index.
    pub(super) scan_steps: u64,
    /// Sorts for want of one.
    pub(super) sorts: u64,
}

/// What the page cache did. Some 0.4 µs.
pub(super) fn cache_counts(connection: &Connection) -> CacheCounts {
    CacheCounts {
        hits: status(connection, ffi::SQLITE_DBSTATUS_CACHE_HIT),
        misses: status(connection, ffi::SQLITE_DBSTATUS_CACHE_MISS),
        writes: status(connection, ffi::SQLITE_DBSTATUS_CACHE_WRITE),
        spills: status(connection, ffi::SQLITE_DBSTATUS_CACHE_SPILL),
        bytes: status(connection, ffi::SQLITE_DBSTATUS_CACHE_USED),
    }
}

#[expect(unsafe_code, reason = "rusqlite has no safe way to ask")]
fn status(connection: &Connection, what: c_int) -> u64 {
    let (mut now, mut most) = (0, 0);
    // SAFETY: the handle is open for as long as the connection is borrowed, which this thread alone has; both pointers
    // are to integers of ours. An unknown `what` is refused and leaves them.
    unsafe { ffi::sqlite3_db_status(connection.handle(), what, &raw mut now, &raw mut most, 1) };
    u64::try_from(now).unwrap_or(0)
}

/// What all statements of the connection went through, FTS5's own among them. Some 25 ns a statement, which is too much for
/// each unit of work.
#[expect(unsafe_code, reason = "rusqlite has no safe way to ask")]
pub(super) fn statement_counts(connection: &Connection) -> StatementCounts {
    let mut counts = StatementCounts::default();
    // SAFETY: as above; a statement that `sqlite3_next_stmt` gives is alive until it is finalized, which nothing does
    // meanwhile, since this thread has the connection.
    unsafe {
        let handle = connection.handle();
        let mut statement = ffi::sqlite3_next_stmt(handle, ptr::null_mut());
        while !statement.is_null() {
            let steps =
                ffi::sqlite3_stmt_status(statement, ffi::SQLITE_STMTSTATUS_FULLSCAN_STEP, 1);
            let sorts = ffi::sqlite3_stmt_status(statement, ffi::SQLITE_STMTSTATUS_SORT, 1);
            counts.scan_steps += u64::try_from(steps).unwrap_or(0);
            counts.sorts += u64::try_from(sorts).unwrap_or(0);
            statement = ffi::sqlite3_next_stmt(handle, statement);
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::testing;

    #[test]
    fn scans_and_sorts_are_counted_once() {
        let (_dir, connection) = testing::connection();
        statement_counts(&connection);
        let numbers = "with recursive n(i) as (select 1 union all select i + 1 from n limit 100) insert into t select i, i from n";
        connection
            .execute_batch("create temp table t (a, b)")
            .unwrap();
        connection.execute_batch(numbers).unwrap();
        let mut kept = connection
            .prepare_cached("select a from t order by b")
            .unwrap();
        let rows = kept
            .query_map([], |row| row.get::<_, i64>(0))
            .unwrap()
            .count();
        drop(kept);
        assert_eq!(rows, 100);
        let counts = statement_counts(&connection);
        assert!(counts.scan_steps >= 99 && counts.sorts == 1, "{counts:?}");
        assert_eq!(statement_counts(&connection), StatementCounts::default());
    }

    #[test]
    fn a_read_page_is_a_hit_or_a_miss_and_a_written_one_is_counted() {
        let (_dir, connection) = testing::connection();
        cache_counts(&connection);
        connection
            .execute_batch("update store set proved_at = 7")
            .unwrap();
        let counts = cache_counts(&connection);
        assert!(counts.hits + counts.misses > 0, "{counts:?}");
        assert!(counts.writes > 0 && counts.bytes > 0, "{counts:?}");
        assert_eq!(cache_counts(&connection).writes, 0);
    }
}
