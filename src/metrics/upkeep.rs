//! The file over its life: copies, and what was taken out for its age. What came of both stands in `stat` rows, so that a
//! restart forgets none of it; what was asked for is this process's own.
//!
//! **Invariant:** a time that something happened at is 0 if it never did.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::domain::{BackupOutcome, Stat};
use crate::metrics::encode::{Body, Kind};

/// What was asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asked {
    /// Longest time between two copies, in milliseconds; 0 if none are made by the clock.
    pub backup_period_ms: i64,
    /// For how many milliseconds events are kept; 0 if for ever.
    pub retain_events_ms: i64,
}

/// Writes the families.
pub(super) fn expose(body: &mut Body, stats: &BTreeMap<Stat, i64>, asked: Asked) {
    let of = |stat: Stat| stats.get(&stat).copied().unwrap_or(0);
    body.family(
        "agent_memory_backups_total",
        Kind::Counter,
        "Copies of the memory ever tried, by whether they came to be.",
    );
    for how in BackupOutcome::ALL {
        body.sample(&[("outcome", how.as_str())], of(Stat::Backups(*how)));
    }
    body.one(
        "agent_memory_backup_last_success_timestamp_seconds",
        Kind::Gauge,
        "When the last copy of the memory was made, by hand or by the clock; 0 if never.",
        seconds(of(Stat::BackupAt)),
    );
    body.one(
        "agent_memory_backup_last_size_bytes",
        Kind::Gauge,
        "Octets of that copy.",
        of(Stat::BackupBytes),
    );
    body.one(
        "agent_memory_backup_last_duration_seconds",
        Kind::Gauge,
        "How long it took, its check among it.",
        seconds(of(Stat::BackupMillis)),
    );
    body.one(
        "agent_memory_backup_interval_seconds",
        Kind::Gauge,
        "Longest time between two copies by the clock, as this process was told; 0 if none are made.",
        seconds(asked.backup_period_ms),
    );
    body.one(
        "agent_memory_retention_age_seconds",
        Kind::Gauge,
        "For how long events are kept, as this process was told; 0 if for ever.",
        seconds(asked.retain_events_ms),
    );
    body.one(
        "agent_memory_retention_last_success_timestamp_seconds",
        Kind::Gauge,
        "When all events that were too old had last been taken out; 0 if never.",
        seconds(of(Stat::ExpiredAt)),
    );
    body.one(
        "agent_memory_retention_events_total",
        Kind::Counter,
        "Events ever taken out for their age.",
        of(Stat::EventsExpired),
    );
}

fn seconds(millis: i64) -> f64 {
    Duration::from_millis(u64::try_from(millis).unwrap_or(0)).as_secs_f64()
}
