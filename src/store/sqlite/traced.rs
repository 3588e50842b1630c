//! Tells of each statement, in the build that has faults on purpose: so a test can see that something runs none.
//!
//! **Invariant:** in the build that is shipped there is nothing here.

use rusqlite::Connection;

/// Tells [`crate::fault`] of each statement that this connection begins, from now on.
#[cfg(feature = "fault")]
pub(super) fn trace(connection: &Connection) {
    use rusqlite::trace::TraceEventCodes;
    let tell = |_: rusqlite::trace::TraceEvent<'_>| crate::fault::note_statement();
    connection.trace_v2(TraceEventCodes::SQLITE_TRACE_STMT, Some(tell));
}

/// Does nothing.
#[cfg(not(feature = "fault"))]
#[inline]
pub(super) fn trace(_: &Connection) {}
