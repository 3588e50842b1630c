//! Every series the server exports: names, labels, buckets, help texts.
//!
//! A scrape reads atomics, `/proc` and the allocator; what is counted about memory comes from the store's published
//! `stat` rows. It runs no SQL and takes no connection, so it answers while the store does not.
//!
//! Label values come from closed sets (the route table, the vocabularies of `domain`), and every series is there from
//! the first scrape on, at zero.
//!
//! **Invariant:** a metric's name stands in this module and nowhere else in the code.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use prometheus::core::Collector;
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts};

use crate::domain::redact::SecretKind;
use crate::domain::{CompressionLevel, DecisionStatus, EventKind, Stat};
use crate::metrics::connections::Connections;
use crate::metrics::encode::{Body, Kind};

mod connections;
mod encode;
pub mod process;

pub use connections::Cut;

/// The content type of the text format.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// The path label of what matched no route.
pub const UNMATCHED: &str = "unmatched";
/// The value that stands for all others of a label.
const OTHER: &str = "OTHER";
/// The methods that a route nobody registered is counted under.
const METHODS: &[&str] = &[
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", OTHER,
];
/// The statuses that are there from the start; others are counted as "other".
const STATUSES: &[u16] = &[
    200, 201, 202, 204, 207, 400, 401, 403, 404, 405, 408, 409, 413, 415, 422, 429, 431, 500, 503,
];
/// Half a millisecond to ten seconds: the client's defaults start at 5 ms, where an embedded store is done.
const BUCKETS: &[f64] = &[
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0,
];

/// A route as metrics know it: what was asked for, and under which path it counts.
#[derive(Debug, Clone, Copy)]
pub struct RouteLabel {
    /// The method.
    pub method: &'static str,
    /// The pattern that the request matched.
    pub pattern: &'static str,
    /// The path it counts under; an alias counts under its canonical path.
    pub path: &'static str,
}

/// What a scrape is told of the moment.
#[derive(Debug, Clone)]
pub struct Moment<'a> {
    /// Whether the store passed its last self-check and nothing in it was found damaged.
    pub up: bool,
    /// The counted facts.
    pub stats: &'a BTreeMap<Stat, i64>,
    /// Connections of the pool: all, free, waited for.
    pub pool: (u32, u32, u32),
    /// Writes waiting, and how many can.
    pub queue: (usize, usize),
    /// Bytes the storage engine has allocated.
    pub engine_bytes: u64,
    /// Octets of the file, and of its log.
    pub file_bytes: (u64, u64),
    /// Pages in the log, and how many of them are in the file as well.
    pub log_frames: (u64, u64),
}

/// The series of one process.
#[derive(Debug)]
pub struct Metrics {
    started: Instant,
    requests: IntCounterVec,
    durations: HistogramVec,
    routes: HashMap<(&'static str, &'static str), Route>,
    unmatched: HashMap<&'static str, Route>,
    in_flight: AtomicI64,
    connections: Connections,
}

#[derive(Debug)]
struct Route {
    by_status: Vec<IntCounter>,
    other: IntCounter,
    duration: Histogram,
}

impl Metrics {
    /// The series of a server with these routes.
    ///
    /// # Errors
    /// A name or label is not valid; a fault of this module.
    pub fn new(routes: &[RouteLabel]) -> prometheus::Result<Self> {
        let requests = IntCounterVec::new(
            Opts::new(
                "agent_memory_http_requests_total",
                "HTTP requests answered, by route pattern, method and status.",
            ),
            &["path", "method", "status"],
        )?;
        let durations = HistogramVec::new(
            HistogramOpts::new(
                "agent_memory_http_request_duration_seconds",
                "Time from the request's head to the answer's, by route pattern and method.",
            )
            .buckets(BUCKETS.to_vec()),
            &["path", "method"],
        )?;
        let route = |path: &str, method: &str| -> prometheus::Result<Route> {
            let by_status = STATUSES.iter().map(|status| {
                requests.get_metric_with_label_values(&[path, method, status.to_string().as_str()])
            });
            Ok(Route {
                by_status: by_status.collect::<Result<_, _>>()?,
                other: requests.get_metric_with_label_values(&[path, method, "other"])?,
                duration: durations.get_metric_with_label_values(&[path, method])?,
            })
        };
        let known = routes.iter().map(|label| {
            Ok((
                (label.pattern, label.method),
                route(label.path, label.method)?,
            ))
        });
        let unmatched = METHODS
            .iter()
            .map(|method| Ok((*method, route(UNMATCHED, method)?)));
        Ok(Self {
            started: Instant::now(),
            routes: known.collect::<prometheus::Result<_>>()?,
            unmatched: unmatched.collect::<prometheus::Result<_>>()?,
            requests,
            durations,
            in_flight: AtomicI64::new(0),
            connections: Connections::default(),
        })
    }

    /// Time since the start.
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Counts a request that has come in.
    pub fn request_begins(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a request that was answered.
    pub fn request_ends(&self, pattern: Option<&str>, method: &str, status: u16, took: Duration) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        let route = pattern
            .and_then(|pattern| self.routes.get(&(pattern, method)))
            .or_else(|| self.unmatched.get(method))
            .or_else(|| self.unmatched.get(OTHER));
        let Some(route) = route else { return };
        let known = STATUSES.iter().position(|known| *known == status);
        known
            .and_then(|index| route.by_status.get(index))
            .unwrap_or(&route.other)
            .inc();
        route.duration.observe(took.as_secs_f64());
    }

    /// Counts a request whose client went away before the answer.
    pub fn request_abandoned(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts a connection that was let in.
    pub fn connection_opens(&self) {
        self.connections.opens();
    }

    /// Counts one of them out.
    pub fn connection_closes(&self) {
        self.connections.closes();
    }

    /// Counts a connection that the server ended.
    pub fn connection_cut(&self, why: Cut) {
        self.connections.cut(why);
    }

    /// The exposition in text format 0.0.4.
    pub fn render(&self, moment: &Moment<'_>) -> String {
        let mut body = Body::new();
        self.system(&mut body, moment);
        memory_facts(&mut body, moment.stats);
        body.collected(&self.requests.collect());
        body.collected(&self.durations.collect());
        body.one(
            "agent_memory_http_requests_in_flight",
            Kind::Gauge,
            "HTTP requests being answered.",
            self.in_flight.load(Ordering::Relaxed),
        );
        self.connections.expose(&mut body);
        body.into_text()
    }

    fn system(&self, body: &mut Body, moment: &Moment<'_>) {
        body.one(
            "agent_memory_up",
            Kind::Gauge,
            "1 if the store passed its last self-check, 0 if it cannot be used or is damaged.",
            i64::from(moment.up),
        );
        body.float(
            "agent_memory_uptime_seconds",
            Kind::Gauge,
            "Time since the start.",
            self.started.elapsed().as_secs_f64(),
        );
        body.family(
            "agent_memory_memory_bytes",
            Kind::Gauge,
            "Memory by what it is: heap_used and heap_total as the allocator says, external as the storage engine says, \
             rss and rss_anon as the kernel says. They overlap; do not add them up.",
        );
        let memory = process::memory();
        for (label, bytes) in [
            ("heap_used", memory.heap_used),
            ("heap_total", memory.heap_total),
            ("rss", memory.rss),
            ("rss_anon", memory.rss_anon),
            ("external", moment.engine_bytes),
        ] {
            body.sample("agent_memory_memory_bytes", &[("type", label)], bytes);
        }
        body.family(
            "agent_memory_db_pool_connections",
            Kind::Gauge,
            "Reader connections in all, free ones, and calls waiting for one.",
        );
        let (total, idle, waiting) = moment.pool;
        for (state, count) in [("total", total), ("idle", idle), ("waiting", waiting)] {
            body.sample(
                "agent_memory_db_pool_connections",
                &[("state", state)],
                count,
            );
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
        log_facts(body, moment);
        body.family(
            "agent_memory_build_info",
            Kind::Gauge,
            "1, with the version as a label.",
        );
        body.sample(
            "agent_memory_build_info",
            &[("version", env!("CARGO_PKG_VERSION"))],
            1,
        );
        process::expose(body);
    }
}

/// How large the file and its log are, and how much of the log is not in the file yet.
fn log_facts(body: &mut Body, moment: &Moment<'_>) {
    let bytes = "agent_memory_sqlite_file_bytes";
    body.family(
        bytes,
        Kind::Gauge,
        "Octets of the database file and of its log.",
    );
    body.sample(bytes, &[("file", "db")], moment.file_bytes.0);
    body.sample(bytes, &[("file", "wal")], moment.file_bytes.1);
    let frames = "agent_memory_sqlite_wal_frames";
    body.family(
        frames,
        Kind::Gauge,
        "Pages in the log, and those of them that are in the file as well. A difference that grows says that somebody \
         reads without an end.",
    );
    body.sample(frames, &[("state", "log")], moment.log_frames.0);
    body.sample(frames, &[("state", "checkpointed")], moment.log_frames.1);
}

/// A family of facts: its name, its help, its label, and the fact behind each value of the label.
type Facts = (
    &'static str,
    Kind,
    &'static str,
    &'static str,
    Vec<(&'static str, Stat)>,
);

/// The series that say what the store holds and has seen; each is a `stat` row.
fn memory_facts(body: &mut Body, stats: &BTreeMap<Stat, i64>) {
    let of = |stat: &Stat| stats.get(stat).copied().unwrap_or(0);
    for (name, kind, help, label, facts) in split_facts() {
        body.family(name, kind, help);
        for (value, stat) in &facts {
            body.sample(name, &[(label, value)], of(stat));
        }
        if name == HANDOFFS {
            let all: i64 = facts.iter().map(|(_, stat)| of(stat)).sum();
            body.sample(name, &[(label, "all")], all);
        }
    }
    for (name, kind, help, stat) in [
        (
            "agent_memory_knowledge_notes_total",
            Kind::Untyped,
            "Knowledge notes stored now.",
            Stat::Notes,
        ),
        (
            "agent_memory_reflections",
            Kind::Gauge,
            "Reflections stored now.",
            Stat::Reflections,
        ),
        (
            "agent_memory_principles",
            Kind::Gauge,
            "Principles stored now.",
            Stat::Principles,
        ),
        (
            "agent_memory_sessions",
            Kind::Gauge,
            "Sessions stored now.",
            Stat::Sessions,
        ),
        (
            "agent_memory_recalls_total",
            Kind::Counter,
            "Searches ever answered.",
            Stat::Recalls,
        ),
        (
            "agent_memory_recalls_empty_total",
            Kind::Counter,
            "Searches ever answered with nothing.",
            Stat::RecallsEmpty,
        ),
    ] {
        body.one(name, kind, help, of(&stat));
    }
}

/// The monitoring guide selects `compression_level="all"` of it.
const HANDOFFS: &str = "agent_memory_handoffs_total";

fn split_facts() -> Vec<Facts> {
    let kinds = |stat: fn(EventKind) -> Stat| {
        EventKind::ALL
            .iter()
            .map(|kind| (kind.as_str(), stat(*kind)))
            .collect()
    };
    let levels = CompressionLevel::ALL
        .iter()
        .map(|level| (level.as_str(), Stat::Handoffs(*level)))
        .collect();
    let statuses = DecisionStatus::ALL
        .iter()
        .map(|status| (status.as_str(), Stat::Decisions(*status)))
        .collect();
    let secrets = SecretKind::ALL
        .iter()
        .map(|kind| (kind.as_str(), Stat::Redactions(*kind)))
        .collect();
    let text = vec![("text", Stat::TextBytes)];
    // Untyped: those names promise a counter, and the numbers go down when something is forgotten.
    vec![
        (
            "agent_memory_events_total",
            Kind::Counter,
            "Events ever recorded.",
            "kind",
            kinds(Stat::EventsRecorded),
        ),
        (
            "agent_memory_events",
            Kind::Gauge,
            "Events stored now.",
            "kind",
            kinds(Stat::Events),
        ),
        (
            HANDOFFS,
            Kind::Untyped,
            "Handoffs stored now; all is the sum.",
            "compression_level",
            levels,
        ),
        (
            "agent_memory_decisions_total",
            Kind::Untyped,
            "Decisions stored now.",
            "status",
            statuses,
        ),
        (
            "agent_memory_storage_bytes",
            Kind::Gauge,
            "Octets stored.",
            "type",
            text,
        ),
        (
            "agent_memory_redactions_total",
            Kind::Counter,
            "Secrets ever taken out before storage.",
            "kind",
            secrets,
        ),
    ]
}

#[cfg(test)]
mod tests;
