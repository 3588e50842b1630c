//! Health in its four forms, and metrics.
//!
//! `/health` and `/health/live` read what the writer last noted; `/health/ready` proves a write, at most once a second;
//! `/health/detailed` also reads the file.
//!
//! **Invariant:** none of them carries content, so they answer whatever the Host header says.

use actix_web::HttpResponse;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::{self, Data, ServiceConfig};
use serde_json::{Value, json};

use crate::http::State;
use crate::http::problem::Problem;
use crate::metrics::{self, Moment, process};
use crate::service::Error;

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

fn report(state: &State, usable: bool) -> Value {
    json!({
        "status": if usable { "ok" } else { "unhealthy" },
        "timestamp": state.exec.services().now(),
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_seconds": state.metrics.uptime().as_secs(),
        "database": if usable { "connected" } else { "unavailable" },
    })
}

fn answer(usable: bool, body: &Value) -> HttpResponse {
    let mut response = if usable {
        HttpResponse::Ok()
    } else {
        HttpResponse::ServiceUnavailable()
    };
    response.insert_header((CACHE_CONTROL, "no-store"));
    response.json(body)
}

async fn health(state: Data<State>) -> HttpResponse {
    let usable = state.exec.services().health().usable;
    answer(usable, &report(&state, usable))
}

async fn live() -> HttpResponse {
    answer(true, &json!({"status": "ok"}))
}

async fn ready(state: Data<State>) -> HttpResponse {
    let usable = proved(&state).await.is_ok();
    answer(usable, &report(&state, usable))
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

async fn detailed(state: Data<State>) -> Result<HttpResponse, Problem> {
    let health = state.exec.services().health();
    let facts = state.exec.read(crate::service::Services::file_facts).await;
    let usable = health.usable && facts.is_ok();
    let mut body = report(&state, usable);
    let memory = process::memory();
    let details = json!({
        "store": match facts {
            Ok(facts) => serde_json::to_value(facts).map_err(|error| Error::Internal(Box::new(error)))?,
            Err(_) => Value::Null,
        },
        "checked_at": health.checked_at,
        "readers": {"total": health.readers.total, "idle": health.readers.idle, "waiting": health.readers.waiting},
        "write_queue": {"depth": health.queue_depth, "capacity": health.queue_capacity},
        "memory": {
            "heap_used": memory.heap_used, "heap_total": memory.heap_total, "rss": memory.rss, "rss_anon": memory.rss_anon,
            "external": state.exec.services().engine_bytes(),
        },
    });
    if let (Value::Object(body), Value::Object(details)) = (&mut body, details) {
        body.extend(details);
    }
    Ok(answer(usable, &body))
}

async fn scrape(state: Data<State>) -> HttpResponse {
    let services = state.exec.services();
    let health = services.health();
    let body = state.metrics.render(&Moment {
        up: health.usable,
        stats: &services.stats(),
        pool: (
            health.readers.total,
            health.readers.idle,
            health.readers.waiting,
        ),
        queue: (health.queue_depth, health.queue_capacity),
        engine_bytes: services.engine_bytes(),
    });
    HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .content_type(metrics::CONTENT_TYPE)
        .body(body)
}
