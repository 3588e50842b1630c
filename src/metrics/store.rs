//! What the store says of itself: its connections, its queue, its file.
//!
//! **Invariant:** writes what the moment holds, and reads nothing.

use crate::metrics::Moment;
use crate::metrics::encode::{Body, Kind};

/// Writes every family that the store feeds.
pub(super) fn expose(body: &mut Body, moment: &Moment<'_>) {
    body.family(
        "agent_memory_db_pool_connections",
        Kind::Gauge,
        "Reader connections in all, free ones, and calls waiting for one.",
    );
    let (total, idle, waiting) = moment.pool;
    for (state, count) in [("total", total), ("idle", idle), ("waiting", waiting)] {
        body.sample(&[("state", state)], count);
    }
    body.one(
        "agent_memory_write_queue_depth",
        Kind::Gauge,
        "Writes waiting for the writer.",
        moment.queue.0,
    );
    body.one(
        "agent_memory_write_queue_capacity",
        Kind::Gauge,
        "Writes that can wait.",
        moment.queue.1,
    );
    body.family(
        "agent_memory_sqlite_file_bytes",
        Kind::Gauge,
        "Octets of the database file and of its log.",
    );
    body.sample(&[("file", "db")], moment.file_bytes.0);
    body.sample(&[("file", "wal")], moment.file_bytes.1);
    body.family(
        "agent_memory_sqlite_wal_frames",
        Kind::Gauge,
        "Pages in the log, and those of them that are in the file as well. A difference that grows says that somebody \
         reads without an end.",
    );
    body.sample(&[("state", "log")], moment.log_frames.0);
    body.sample(&[("state", "checkpointed")], moment.log_frames.1);
}
