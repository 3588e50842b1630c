//! Health in its four forms; where the metrics are is said here, and what they are in [`crate::http::scrape`].
//!
//! `/health` and `/health/live` read what the writer last noted; `/health/ready` proves a write, at most once a second;
//! `/health/detailed` also reads the file.
//!
//! **Invariant:** none of them carries content, so they answer whatever the Host header says.

use actix_web::HttpResponse;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::{self, Data, ServiceConfig};
use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::Timestamp;
use crate::http::State;
use crate::http::openapi::{Operation, Tag, get, json, open_metrics, text};
use crate::http::scrape::scrape;
use crate::metrics::process;
use crate::service::Error;
use crate::store::FileFacts;

pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .service(
            web::resource("/health")
                .route(web::get().to(health))
                .route(web::head().to(health)),
        )
        .service(
            web::resource("/health/live")
                .route(web::get().to(live))
                .route(web::head().to(live)),
        )
        .service(
            web::resource("/health/ready")
                .route(web::get().to(ready))
                .route(web::head().to(ready)),
        )
        .service(web::resource("/health/detailed").route(web::get().to(detailed)));
    for path in ["/metrics/prometheus", "/metrics"] {
        config.service(
            web::resource(path)
                .route(web::get().to(scrape))
                .route(web::head().to(scrape)),
        );
    }
}

pub(super) fn operations() -> Vec<Operation> {
    let asked = |path, id, summary| get(path, id, summary).tagged(Tag::Operate).open();
    let health = asked("/health", "getHealth", "Whether the store can be used.")
        .answers(200, "It can.", vec![json::<Report>()])
        .answers(503, "It cannot.", vec![json::<Report>()]);
    let live = asked(
        "/health/live",
        "getLiveness",
        "Whether the process answers.",
    )
    .answers(200, "It does.", vec![json::<Alive>()]);
    let ready = asked(
        "/health/ready",
        "getReadiness",
        "Whether a write reaches the disk, proved at most once a second.",
    )
    .answers(200, "It does.", vec![json::<Report>()])
    .answers(503, "It does not.", vec![json::<Report>()]);
    let metrics = asked(
        "/metrics/prometheus",
        "getMetrics",
        "The metrics for Prometheus.",
    )
    .answers(
        200,
        "Text format 0.0.4, or `OpenMetrics` 1.0.0 for who asks for it; compressed for who can read it.",
        vec![text(), open_metrics()],
    );
    let alias = metrics.alias("/metrics", "getMetricsShort");
    vec![
        health.head("headHealth"),
        live.head("headLiveness"),
        ready.head("headReadiness"),
        metrics.head("headMetrics"),
        alias.head("headMetricsShort"),
        health,
        live,
        ready,
        metrics,
        alias,
        asked("/health/detailed", "getHealthDetails", "Sizes and queues.")
            .answers(200, "The store can be used.", vec![json::<Details>()])
            .answers(503, "It cannot.", vec![json::<Details>()]),
    ]
}

/// That the process answers.
#[derive(Serialize, JsonSchema)]
struct Alive {
    /// Always `ok`.
    #[schemars(extend("const" = "ok"))]
    status: &'static str,
}

/// How the server feels.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Health")]
struct Report {
    /// `ok` or `unhealthy`.
    #[schemars(extend("enum" = ["ok", "unhealthy"]))]
    status: &'static str,
    /// Now.
    timestamp: Timestamp,
    /// The server's version.
    version: &'static str,
    /// Since the start.
    uptime_seconds: u64,
    /// `connected`; `unavailable`, which may pass; `damaged`, which does not.
    #[schemars(extend("enum" = ["connected", "unavailable", "damaged"]))]
    database: &'static str,
}

/// How the server feels, and why.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "HealthDetails")]
struct Details {
    #[serde(flatten)]
    report: Report,
    /// The file; null if it cannot be read.
    store: Option<FileFacts>,
    /// When the store was last looked at.
    checked_at: Timestamp,
    /// Connections for reading.
    readers: Readers,
    /// Writes that wait.
    write_queue: WriteQueue,
    /// Bytes of memory.
    memory: MemoryBytes,
}

/// Connections for reading.
#[derive(Serialize, JsonSchema)]
struct Readers {
    /// All.
    total: u32,
    /// Free ones.
    idle: u32,
    /// Callers waiting for one.
    waiting: u32,
}

/// Writes that wait.
#[derive(Serialize, JsonSchema)]
struct WriteQueue {
    /// How many wait.
    depth: usize,
    /// How many can.
    capacity: usize,
}

/// Bytes of memory.
#[derive(Serialize, JsonSchema)]
struct MemoryBytes {
    /// In use, of the heap.
    heap_used: u64,
    /// The heap's.
    heap_total: u64,
    /// Resident.
    rss: u64,
    /// Resident, without files.
    rss_anon: u64,
    /// SQLite's.
    external: u64,
}

fn report(state: &State, usable: bool, damaged: bool) -> Report {
    let database = match (usable, damaged) {
        (false, _) => "unavailable",
        (true, true) => "damaged",
        (true, false) => "connected",
    };
    Report {
        status: if usable && !damaged {
            "ok"
        } else {
            "unhealthy"
        },
        timestamp: state.exec.services().now(),
        version: env!("CARGO_PKG_VERSION"),
        uptime_seconds: state.metrics.uptime().as_secs(),
        database,
    }
}

fn answer(usable: bool, body: &impl Serialize) -> HttpResponse {
    let mut response = if usable {
        HttpResponse::Ok()
    } else {
        HttpResponse::ServiceUnavailable()
    };
    response.insert_header((CACHE_CONTROL, "no-store"));
    response.json(body)
}

async fn health(state: Data<State>) -> HttpResponse {
    let health = state.exec.services().health();
    answer(
        health.usable && !health.damaged,
        &report(&state, health.usable, health.damaged),
    )
}

async fn live() -> HttpResponse {
    answer(true, &Alive { status: "ok" })
}

async fn ready(state: Data<State>) -> HttpResponse {
    // What is not damaged can be used, so damage alone does not take a server out of service.
    let usable = proved(&state).await.is_ok();
    answer(usable, &report(&state, usable, false))
}

/// Whether a write reached the disk within the last second.
async fn proved(state: &State) -> Result<(), Error> {
    let services = state.exec.services();
    if let Some(pending) = services.prove_write()? {
        state.exec.settle(pending).await?;
        services.note_proof();
    }
    Ok(())
}

async fn detailed(state: Data<State>) -> HttpResponse {
    let health = state.exec.services().health();
    let facts = state.exec.read(crate::service::Services::file_facts).await;
    let usable = health.usable && facts.is_ok();
    let memory = process::memory();
    let details = Details {
        report: report(&state, usable, health.damaged),
        store: facts.ok(),
        checked_at: health.checked_at,
        readers: Readers {
            total: health.readers.total,
            idle: health.readers.idle,
            waiting: waiting(&state, health.readers.waiting),
        },
        write_queue: WriteQueue {
            depth: health.queue_depth,
            capacity: health.queue_capacity,
        },
        memory: MemoryBytes {
            heap_used: memory.heap_used,
            heap_total: memory.heap_total,
            rss: memory.rss,
            rss_anon: memory.rss_anon,
            external: state.exec.services().engine_bytes(),
        },
    };
    answer(usable && !health.damaged, &details)
}

/// Calls that wait for a connection: those that hold a thread meanwhile, and those before them.
pub(super) fn waiting(state: &State, holding: u32) -> u32 {
    u32::try_from(state.exec.queued()).map_or(u32::MAX, |queued| queued.saturating_add(holding))
}
