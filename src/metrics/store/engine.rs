//! What the storage engine does: its file, its log, its work, its faults.
//!
//! **Invariant:** writes what was measured, and reads nothing.

use crate::metrics::encode::{Body, Kind};
use crate::metrics::store::{counters, histogram, seconds};
use crate::store::measure::{ConnectionFacts, Label as _, Measures, Sampled};

pub(super) fn expose(body: &mut Body, measures: &Measures) {
    file(body, measures);
    sampled(body, &measures.sampled);
    checkpoints(body, measures);
    work(body, measures);
    connections(body, measures);
    counters(
        body,
        "agent_memory_sqlite_errors_total",
        "Faults that SQLite reported, by its primary code.",
        "code",
        &measures.errors,
    );
    let (retries, waited) = measures.busy;
    body.one(
        "agent_memory_sqlite_busy_retries_total",
        Kind::Counter,
        "How often a lock of the file was held by somebody else and tried again.",
        retries,
    );
    body.one(
        "agent_memory_sqlite_busy_wait_seconds_total",
        Kind::Counter,
        "How long was slept before a lock of the file was tried again.",
        waited.as_secs_f64(),
    );
}

fn file(body: &mut Body, measures: &Measures) {
    body.family(
        "agent_memory_sqlite_file_bytes",
        Kind::Gauge,
        "Octets of the database file, of its log, and of the log's index.",
    );
    for (file, bytes) in measures.file_bytes {
        body.sample(&[("file", file)], bytes);
    }
    body.family(
        "agent_memory_sqlite_wal_frames",
        Kind::Gauge,
        "Pages in the log, and those of them that are in the file as well. A difference that grows says that somebody \
         reads without an end.",
    );
    let (log, moved) = measures.log_frames;
    body.sample(&[("state", "log")], log);
    body.sample(&[("state", "checkpointed")], moved);
    body.one(
        "agent_memory_sqlite_oldest_reader_seconds",
        Kind::Gauge,
        "How long the oldest read of this process that goes on has gone on; it keeps the log from beginning anew.",
        measures.oldest_read.as_secs_f64(),
    );
    body.one(
        "agent_memory_sqlite_dirty_startup",
        Kind::Gauge,
        "1 if the start found the log of a process that did not end in order, which was read back.",
        measures.dirty_start,
    );
}

fn sampled(body: &mut Body, sampled: &Sampled) {
    for (name, help, value) in [
        (
            "agent_memory_sqlite_pages",
            "Pages of the database file.",
            sampled.pages,
        ),
        (
            "agent_memory_sqlite_freelist_pages",
            "Pages of the database file that are free for reuse.",
            sampled.free_pages,
        ),
        (
            "agent_memory_sqlite_page_size_bytes",
            "Octets of a page.",
            sampled.page_bytes,
        ),
        (
            "agent_memory_filesystem_size_bytes",
            "Octets of the file system that the database file is on.",
            sampled.disk_bytes,
        ),
        (
            "agent_memory_filesystem_avail_bytes",
            "Octets of the file system with the database file that this process can still write.",
            sampled.disk_free_bytes,
        ),
        (
            "agent_memory_stat_drift_rows",
            "Kept counts that are not what is there, at the last recount; anything but 0 is a fault of ours.",
            sampled.drifted,
        ),
    ] {
        body.one(name, Kind::Gauge, help, value);
    }
    for (name, help, moment) in [
        (
            "agent_memory_sampler_last_run_timestamp_seconds",
            "When pages and file system were last looked at.",
            sampled.at,
        ),
        (
            "agent_memory_sqlite_integrity_last_success_timestamp_seconds",
            "When this process last found the whole file sound, which it looks for once a day; 0 if not yet.",
            sampled.sound_at,
        ),
        (
            "agent_memory_stat_last_recount_timestamp_seconds",
            "When this process last counted anew what is kept counts of, once a day; 0 if not yet.",
            sampled.recounted_at,
        ),
    ] {
        body.one(name, Kind::Gauge, help, seconds(moment));
    }
}

fn checkpoints(body: &mut Body, measures: &Measures) {
    body.family(
        "agent_memory_sqlite_checkpoints_total",
        Kind::Counter,
        "Moves of the log into the file, by how they are done and how they ended.",
    );
    for (mode, ends) in &measures.checkpoints {
        for (outcome, count) in ends {
            let labels = [("mode", mode.as_str()), ("outcome", outcome.as_str())];
            body.sample(&labels, *count);
        }
    }
    body.family(
        "agent_memory_sqlite_checkpoint_duration_seconds",
        Kind::Histogram,
        "How long moves of the log into the file took.",
    );
    for (mode, time) in &measures.checkpoint_time {
        histogram(body, &[("mode", mode.as_str())], time);
    }
    body.one(
        "agent_memory_sqlite_last_checkpoint_timestamp_seconds",
        Kind::Gauge,
        "When all of the log was last moved; 0 if not since the start.",
        seconds(measures.last_checkpoint),
    );
}

fn work(body: &mut Body, measures: &Measures) {
    body.family(
        "agent_memory_sqlite_statement_duration_seconds",
        Kind::Histogram,
        "How long units of work took on their connection, by what they are about. A commit is apart, since writes share it.",
    );
    for (op, time) in &measures.work {
        histogram(body, &[("op", op.as_str())], time);
    }
    body.family(
        "agent_memory_sqlite_commit_duration_seconds",
        Kind::Histogram,
        "How long commits took, the sync of the log among it.",
    );
    histogram(body, &[], &measures.commit);
}

/// A number of a role's connections.
type Number = fn(&ConnectionFacts) -> u64;

fn connections(body: &mut Body, measures: &Measures) {
    let both: [(&str, Kind, &str, Number); 5] = [
        (
            "agent_memory_sqlite_fullscan_steps_total",
            Kind::Counter,
            "Rows that statements looked at one after the other for want of an index.",
            |facts| facts.scan_steps,
        ),
        (
            "agent_memory_sqlite_sorts_total",
            Kind::Counter,
            "Sorts of statements for want of an index.",
            |facts| facts.sorts,
        ),
        (
            "agent_memory_sqlite_cache_hits_total",
            Kind::Counter,
            "Pages that were in a connection's cache when it needed them. What a reader reads past its cache, out of mapped \
             memory, is neither a hit nor a miss.",
            |facts| facts.hits,
        ),
        (
            "agent_memory_sqlite_cache_misses_total",
            Kind::Counter,
            "Pages that were not in a connection's cache when it needed them.",
            |facts| facts.misses,
        ),
        (
            "agent_memory_sqlite_cache_bytes",
            Kind::Gauge,
            "Octets of the connections' caches.",
            |facts| facts.bytes,
        ),
    ];
    for (name, kind, help, number) in both {
        body.family(name, kind, help);
        for (role, facts) in &measures.connections {
            body.sample(&[("role", role)], number(facts));
        }
    }
    // Readers write nothing.
    let written: [(&str, &str, Number); 2] = [
        (
            "agent_memory_sqlite_cache_writes_total",
            "Pages that the writer wrote to the log.",
            |facts| facts.writes,
        ),
        (
            "agent_memory_sqlite_cache_spills_total",
            "Pages that the writer wrote to the log before their commit, to make room in its cache.",
            |facts| facts.spills,
        ),
    ];
    for (name, help, number) in written {
        body.family(name, Kind::Counter, help);
        for (role, facts) in measures
            .connections
            .iter()
            .filter(|(role, _)| *role == "writer")
        {
            body.sample(&[("role", role)], number(facts));
        }
    }
}
