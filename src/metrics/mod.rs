//! Every series the server exports: names, labels, buckets, help texts.
//!
//! A scrape has three steps. The caller gathers a [`Moment`]: what the store last published and the pool, the queue and
//! the file say without being asked anything. [`Metrics::render`] freezes what this process counts and what the kernel
//! and the allocator say. From then on nothing is read any more: the families are written from what was frozen, group by
//! group, in the format that was asked for, so that a format decides how a number is written and never which.
//!
//! | group | module | fed by |
//! |---|---|---|
//! | requests and answers | `http` | the middleware |
//! | connections | `connections` | the door and the wire |
//! | tools that agents call | `mcp` | the answers to `/mcp` |
//! | what is remembered | `facts` | `stat` rows |
//! | copies, what was too old | `upkeep` | `stat` rows, and what was asked for |
//! | consolidation, unless it is off | `consolidation` | totals in the file, read by its thread |
//! | pool, writer, file | `store` | what the store published |
//! | memory, processor, files | `process`, `limit` | `/proc`, control groups, jemalloc |
//! | workers, panics, log, scrapes | `runtime` | timers, hooks, the scrape before |
//!
//! Counters are those of the `prometheus` crate, with a handle for each series (`counter`); its registry refuses a name
//! that is taken. Distributions and the encoder are ours, for the reasons that `distribution` and `encode` give.
//!
//! A scrape runs no SQL, takes no connection and waits for no lock that a request holds, so it answers while the store
//! does not. Label values come from closed sets (the route table, the vocabularies of `domain`), and every series is
//! there from the first scrape on, at zero.
//!
//! **Invariant:** a metric's name stands in this module and nowhere else in the code.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus::Registry;

use crate::domain::{Stat, Timestamp, Tool, redact};
use crate::fault;
use crate::metrics::connections::Connections;
use crate::metrics::encode::{Body, Kind};
use crate::metrics::http::{Http, Requests};
use crate::metrics::mcp::Mcp;
use crate::metrics::process::{Process, Reading};
use crate::metrics::runtime::{Runtime, Threads};
use crate::store::ConsolidationView;
use crate::store::measure::{Distribution, Measures};

mod connections;
mod consolidation;
mod counter;
mod distribution;
mod encode;
pub mod explain;
mod facts;
mod http;
mod limit;
mod mcp;
pub mod process;
mod runtime;
mod shard;
mod store;
mod upkeep;

pub use connections::Cut;
pub use encode::Format;
pub use http::{Answered, Refusal};
pub use mcp::Called;
pub use runtime::{Lines, count_panics};
pub use upkeep::Asked;

/// The path label of what matched no route.
pub const UNMATCHED: &str = "unmatched";

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

/// When something began, for the instruments alone.
#[derive(Debug, Clone, Copy)]
pub struct Begun(Option<Instant>);

impl Begun {
    /// Now.
    pub fn now() -> Self {
        Self(fault::measures().then(Instant::now))
    }

    /// How long ago that was; nothing where nothing is measured.
    pub fn elapsed(&self) -> Duration {
        self.0.map_or(Duration::ZERO, |begun| begun.elapsed())
    }
}

/// What a scrape is told of the moment.
#[derive(Debug, Clone)]
pub struct Moment<'a> {
    /// Now.
    pub now: Timestamp,
    /// Whether the store passed its last self-check and nothing in it was found damaged.
    pub up: bool,
    /// The counted facts.
    pub stats: &'a BTreeMap<Stat, i64>,
    /// Connections of the pool: all, free, waited for.
    pub pool: (u32, u32, u32),
    /// How long calls queued before the pool, and how many gave up there.
    pub queueing: &'a (Distribution, u64),
    /// Writes waiting, and how many can.
    pub queue: (usize, usize),
    /// Bytes the storage engine has allocated.
    pub engine_bytes: u64,
    /// What the store has measured of itself.
    pub measures: &'a Measures,
    /// Calls admitted to the blocking pool, and most that are at once.
    pub blocking: (usize, usize),
    /// How consolidation stands; none while it is off.
    pub consolidation: Option<&'a ConsolidationView>,
}

/// The series of one process.
#[derive(Debug)]
pub struct Metrics {
    started: Instant,
    engine: &'static str,
    spools: Vec<PathBuf>,
    asked: Asked,
    http: Http,
    connections: Connections,
    mcp: Mcp,
    process: Process,
    runtime: Runtime,
}

impl Metrics {
    /// The series of a server with these routes over this version of the storage engine.
    ///
    /// # Errors
    /// A name or label is not valid or is there twice; a fault of this module.
    pub fn new(routes: &[RouteLabel], engine: &'static str) -> prometheus::Result<Self> {
        let registry = Registry::new();
        let started = Instant::now();
        Ok(Self {
            started,
            engine,
            spools: Vec::new(),
            asked: Asked::default(),
            http: Http::new(routes, started, &registry)?,
            connections: Connections::default(),
            mcp: Mcp::new(&registry)?,
            process: Process::find(),
            runtime: Runtime::new(started),
        })
    }

    /// The same, with the files in which what could not be stored waits: their sizes are looked at by each scrape.
    #[must_use]
    pub fn with_spools(self, spools: Vec<PathBuf>) -> Self {
        Self { spools, ..self }
    }

    /// The same, of a server that was asked for copies or for events to be taken out.
    #[must_use]
    pub fn with_upkeep(self, asked: Asked) -> Self {
        Self { asked, ..self }
    }

    /// Time since the start.
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Counts a request that has come in.
    pub fn request_begins(&self) {
        self.http.begins();
    }

    /// Counts a request that was answered.
    pub fn request_ends(&self, answered: &Answered<'_>) {
        self.http.ends(answered);
    }

    /// Counts a request whose client went away before the answer.
    pub fn request_abandoned(&self) {
        self.http.abandoned();
    }

    /// Counts a request that was refused for what it would cost or where it comes from.
    pub fn request_refused(&self, why: Refusal) {
        self.http.refused(why);
    }

    /// Counts the octets of a request's body.
    pub fn request_had(&self, bytes: u64) {
        self.http.took(bytes);
    }

    /// Counts the octets of an answer's body.
    pub fn response_had(&self, bytes: u64) {
        self.http.gave(bytes);
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

    /// Counts a message that came in over `/mcp`, by its method.
    pub fn mcp_message(&self, method: &str) {
        self.mcp.message(method);
    }

    /// Counts a call of a tool.
    pub fn tool_called(&self, tool: Tool, how: Called, took: Duration) {
        self.mcp.called(tool, how, took);
    }

    /// Watches the worker it runs on, until that ends.
    pub async fn watch_worker(self: Arc<Self>) {
        self.runtime.watch().await;
    }

    /// The exposition.
    pub fn render(&self, moment: &Moment<'_>, format: Format) -> String {
        let begun = Instant::now();
        let (text, series) = self.freeze(moment).write(format);
        self.runtime.note_scrape(begun.elapsed(), series);
        text
    }

    fn freeze<'a>(&'a self, moment: &'a Moment<'a>) -> Frozen<'a> {
        Frozen {
            moment,
            uptime: self.started.elapsed(),
            engine: self.engine,
            asked: self.asked,
            spool_bytes: self.spools.iter().map(bytes_of).sum(),
            requests: self.http.freeze(),
            connections: &self.connections,
            mcp: &self.mcp,
            process: self.process.read(),
            threads: self.runtime.freeze(),
        }
    }
}

/// All there is to be said at one moment.
#[derive(Debug)]
struct Frozen<'a> {
    moment: &'a Moment<'a>,
    uptime: Duration,
    engine: &'static str,
    asked: Asked,
    spool_bytes: u64,
    requests: Requests<'a>,
    connections: &'a Connections,
    mcp: &'a Mcp,
    process: Reading,
    threads: Threads,
}

impl Frozen<'_> {
    /// The exposition, and how many series there are in it.
    fn write(&self, format: Format) -> (String, usize) {
        let moment = self.moment;
        let mut body = Body::new(format);
        self.head(&mut body);
        self.process.expose_memory(&mut body, moment.engine_bytes);
        store::expose(&mut body, moment);
        facts::expose(&mut body, moment.stats);
        if let Some(view) = moment.consolidation {
            consolidation::expose(&mut body, view);
        }
        upkeep::expose(&mut body, moment.stats, self.asked);
        body.one(
            "agent_memory_spool_bytes",
            Kind::Gauge,
            "Octets that hooks could not store and that wait to be; 0 if all is stored.",
            self.spool_bytes,
        );
        let wall = Duration::from_millis(u64::try_from(moment.now.millis()).unwrap_or(0));
        self.requests.expose(&mut body, wall.as_secs_f64());
        self.connections.expose(&mut body);
        self.mcp.expose(&mut body);
        self.threads.expose(&mut body, moment.blocking);
        self.process.expose(&mut body);
        body.finish()
    }

    fn head(&self, body: &mut Body) {
        body.one(
            "agent_memory_up",
            Kind::Gauge,
            "1 if the store passed its last self-check, 0 if it cannot be used or is damaged.",
            self.moment.up,
        );
        body.one(
            "agent_memory_uptime_seconds",
            Kind::Gauge,
            "Time since the start.",
            self.uptime.as_secs_f64(),
        );
        body.one(
            "agent_memory_redaction_enabled",
            Kind::Gauge,
            "1 if this process takes secrets out of what it stores, 0 if it was told not to.",
            redact::is_on(),
        );
        body.family(
            "agent_memory_build_info",
            Kind::Gauge,
            "1; the labels say what this was built from.",
        );
        body.sample(
            &[
                ("version", env!("CARGO_PKG_VERSION")),
                ("revision", env!("AGENT_MEMORY_REVISION")),
                ("rustc", env!("AGENT_MEMORY_RUSTC")),
                ("sqlite", self.engine),
            ],
            true,
        );
    }
}

fn bytes_of(file: &PathBuf) -> u64 {
    std::fs::metadata(file).map_or(0, |about| about.len())
}

#[cfg(test)]
mod tests;
