//! What the store says of itself: its connections, its queue, its writer, its file, its searches.
//!
//! **Invariant:** writes what the moment holds, and reads nothing.

use std::time::Duration;

use crate::domain::Timestamp;
use crate::metrics::Moment;
use crate::metrics::encode::{Body, Kind, Snapshot};
use crate::store::measure::{Distribution, Label, Measures};

mod engine;

/// Connections that read are the only ones in a pool; the one that writes is the writer's.
const READER: (&str, &str) = ("role", "reader");
/// How a search looks for words; the index of terms is the only way there is.
const BY_TERMS: (&str, &str) = ("mode", "fts");

/// Writes every family that the store feeds.
pub(super) fn expose(body: &mut Body, moment: &Moment<'_>) {
    pool(body, moment);
    write_path(body, moment);
    engine::expose(body, moment.measures);
    searches(body, moment.measures);
}

fn pool(body: &mut Body, moment: &Moment<'_>) {
    let measures = moment.measures;
    body.family(
        "agent_memory_db_pool_connections",
        Kind::Gauge,
        "Reader connections in all, free ones, and calls waiting for one.",
    );
    let (total, idle, waiting) = moment.pool;
    for (state, count) in [("total", total), ("idle", idle), ("waiting", waiting)] {
        body.sample(&[("state", state)], count);
    }
    body.family(
        "agent_memory_db_pool_max_connections",
        Kind::Gauge,
        "Connections that the pool may have.",
    );
    body.sample(&[READER], measures.pool_max);
    body.family(
        "agent_memory_db_pool_wait_seconds",
        Kind::Histogram,
        "How long reads waited for a connection, those that got none among them.",
    );
    histogram(body, &[READER], &measures.pool_wait);
    body.family(
        "agent_memory_db_pool_hold_seconds",
        Kind::Histogram,
        "How long reads kept their connection.",
    );
    if let Some(held) = held(measures) {
        histogram(body, &[READER], &held);
    }
    body.family(
        "agent_memory_db_pool_timeouts_total",
        Kind::Counter,
        "Reads that got no connection in time, those that gave up in the queue before the pool among them.",
    );
    let (queued, turned_away) = moment.queueing;
    body.sample(&[READER], measures.pool_timeouts + turned_away);
    body.family(
        "agent_memory_read_queue_wait_seconds",
        Kind::Histogram,
        "How long calls queued before the pool, those that gave up among them; who need not queue is not counted.",
    );
    histogram(body, &[], queued);
}

/// A connection is kept for as long as its unit of work takes.
fn held(measures: &Measures) -> Option<Distribution> {
    let mut reads = measures.work.iter().filter(|(op, _)| op.reads());
    let mut all = reads.next()?.1.clone();
    for (_, work) in reads {
        all.add(work);
    }
    Some(all)
}

fn write_path(body: &mut Body, moment: &Moment<'_>) {
    let measures = moment.measures;
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
        "agent_memory_write_queue_wait_seconds",
        Kind::Histogram,
        "How long writes waited until the writer began with them.",
    );
    histogram(body, &[], &measures.queue_wait);
    body.family(
        "agent_memory_write_batch_size",
        Kind::Histogram,
        "Writes that were committed together.",
    );
    histogram(body, &[], &measures.batch_units);
    counters(
        body,
        "agent_memory_write_batches_total",
        "Groups of writes by how they ended.",
        "outcome",
        &measures.batches,
    );
    counters(
        body,
        "agent_memory_writes_rejected_total",
        "Writes that were not taken in, by why not.",
        "reason",
        &measures.refused,
    );
    counters(
        body,
        "agent_memory_writes_dropped_total",
        "Writes that were taken in and not stored, since their group met a fault.",
        "reason",
        &measures.dropped,
    );
    body.one(
        "agent_memory_last_write_timestamp_seconds",
        Kind::Gauge,
        "When this process last committed a change of the memory; 0 if not since its start.",
        seconds(measures.last_write),
    );
}

fn searches(body: &mut Body, measures: &Measures) {
    body.family(
        "agent_memory_search_duration_seconds",
        Kind::Histogram,
        "How long searches took, those of context bundles among them.",
    );
    histogram(body, &[BY_TERMS], &measures.search_time);
    body.family(
        "agent_memory_search_results",
        Kind::Histogram,
        "How many memories searches found.",
    );
    histogram(body, &[BY_TERMS], &measures.search_answers);
}

/// Writes a distribution of the family that was begun.
pub(super) fn histogram(body: &mut Body, labels: &[(&str, &str)], values: &Distribution) {
    let scale = values.scale;
    let bounds: Vec<f64> = scale
        .bounds
        .iter()
        .map(|bound| number(*bound) / scale.per)
        .collect();
    let mut count = 0;
    let mut cumulative = Vec::with_capacity(values.counts.len());
    for bucket in &values.counts {
        count += bucket;
        cumulative.push(count);
    }
    cumulative.pop();
    let snapshot = Snapshot {
        bounds: &bounds,
        cumulative: &cumulative,
        count,
        sum: number(values.sum) / scale.per,
    };
    body.histogram(labels, snapshot);
}

/// A counter for each value of a label.
fn counters<L: Label>(body: &mut Body, name: &str, help: &str, label: &str, counts: &[(L, u64)]) {
    body.family(name, Kind::Counter, help);
    for (value, count) in counts {
        body.sample(&[(label, value.as_str())], *count);
    }
}

/// A moment in Unix seconds.
pub(super) fn seconds(moment: Timestamp) -> f64 {
    Duration::from_millis(u64::try_from(moment.millis()).unwrap_or(0)).as_secs_f64()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "exact for a hundred days of nanoseconds"
)]
fn number(whole: u64) -> f64 {
    whole as f64
}
