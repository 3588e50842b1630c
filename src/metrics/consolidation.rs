//! Consolidation: how often it ran and how that ended, what came of it, when it runs next.
//!
//! Counters and times are those of the file: a job counts in the transaction that ends it, whichever process ran it, and
//! the thread of consolidation reads them after each round and every ten seconds. Durations, and what is at work, are this
//! process's own.
//!
//! **Invariant:** there are no such series while consolidation is off, so that no alert waits for what will not come.

use crate::domain::consolidation::Totals;
use crate::domain::{JobStatus, Timestamp};
use crate::metrics::encode::{Body, Kind};
use crate::metrics::store::{histogram, seconds};
use crate::store::ConsolidationView;

/// How a job can end.
const OUTCOMES: [JobStatus; 3] = [JobStatus::Completed, JobStatus::Failed, JobStatus::Skipped];

/// A number of a type's totals.
type Number = fn(&Totals) -> u64;
/// A time of them.
type Time = fn(&Totals) -> Timestamp;

/// Writes every family.
pub(super) fn expose(body: &mut Body, view: &ConsolidationView) {
    body.family(
        "agent_memory_consolidation_runs_total",
        Kind::Counter,
        "Jobs of consolidation that ever ended, by how: completed, failed, or skipped for want of material.",
    );
    for (kind, totals) in &view.totals {
        for outcome in OUTCOMES {
            let labels = [("job_type", kind.as_str()), ("outcome", outcome.as_str())];
            body.sample(&labels, totals.runs(outcome));
        }
    }
    let counted: [(&str, &str, Number); 3] = [
        (
            "agent_memory_consolidation_jobs_total",
            "Jobs of consolidation that ever ended.",
            |totals| OUTCOMES.iter().map(|outcome| totals.runs(*outcome)).sum(),
        ),
        (
            "agent_memory_consolidation_items_total",
            "What consolidation ever changed the showing of: handoffs, decisions, notes, principles, reflections.",
            |totals| totals.items,
        ),
        (
            "agent_memory_consolidation_tokens_saved_total",
            "Tokens that what was changed takes less where it is shown, as measured when it was changed.",
            |totals| totals.tokens_saved,
        ),
    ];
    for (name, help, number) in counted {
        body.family(name, Kind::Counter, help);
        for (kind, totals) in &view.totals {
            body.sample(&[("job_type", kind.as_str())], number(totals));
        }
    }
    body.family(
        "agent_memory_consolidation_duration_seconds",
        Kind::Histogram,
        "How long jobs of consolidation took in this process.",
    );
    for (kind, durations) in &view.durations {
        histogram(body, &[("job_type", kind.as_str())], durations);
    }
    moments(body, view);
}

fn moments(body: &mut Body, view: &ConsolidationView) {
    let times: [(&str, &str, Time); 2] = [
        (
            "agent_memory_consolidation_last_run_timestamp_seconds",
            "When a job last ended, however; 0 if none ever did.",
            |totals| totals.last_run,
        ),
        (
            "agent_memory_consolidation_last_success_timestamp_seconds",
            "When a job last completed; 0 if none ever did.",
            |totals| totals.last_success,
        ),
    ];
    for (name, help, time) in times {
        body.family(name, Kind::Gauge, help);
        for (kind, totals) in &view.totals {
            body.sample(&[("job_type", kind.as_str())], seconds(time(totals)));
        }
    }
    body.family(
        "agent_memory_consolidation_in_progress",
        Kind::Gauge,
        "1 while this process is at it.",
    );
    for (kind, _) in &view.totals {
        body.sample(&[("job_type", kind.as_str())], view.running == Some(*kind));
    }
    body.family(
        "agent_memory_consolidation_next_run_timestamp_seconds",
        Kind::Gauge,
        "When it is due next; 0 while that is not known.",
    );
    let next = view.next.map_or(0.0, seconds);
    for (kind, _) in &view.totals {
        body.sample(&[("job_type", kind.as_str())], next);
    }
}
