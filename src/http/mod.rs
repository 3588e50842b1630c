//! The wire: routes, what a request may look like, what an answer does.
//!
//! A handler parses, makes one call through [`Exec`], and renders. Whatever fails becomes a [`problem::Problem`], and
//! whatever actix itself refuses is turned into one by the middleware, so that every error has the same shape.
//!
//! **Invariant:** knows no store and no rule; what it decides is how things are said in HTTP.

use std::sync::Arc;
use std::time::Duration;

use actix_web::web::{self, Data, PayloadConfig, ServiceConfig};

use crate::exec::Exec;
use crate::metrics::{Metrics, RouteLabel};

mod access;
mod answer;
mod auth;
mod connection;
mod consolidation;
mod context;
mod cors;
mod decision;
mod event;
mod export;
mod forget;
mod handoff;
mod import;
mod mcp;
mod middleware;
mod note;
mod openapi;
mod operate;
mod pace;
mod problem;
mod rate;
mod recall;
mod reflection;
mod request;
mod room;
mod scrape;
mod session;
mod socket;
mod wake_up;

pub use auth::{Gate, Hosts};
pub use connection::{Bounds, Door, Wire};
pub use cors::Origins;
pub use middleware::observe;
pub use openapi::openapi;
pub use rate::Rate;
pub use room::Room;
pub use socket::Tls;

/// What the handlers share.
#[derive(Debug)]
pub struct State {
    /// The way to the services.
    pub exec: Exec,
    /// The series.
    pub metrics: Arc<Metrics>,
    /// What the operator set.
    pub options: Options,
    /// Memory for long bodies.
    pub room: Room,
}

/// What the operator set for the wire.
#[derive(Debug)]
pub struct Options {
    /// Who may ask.
    pub gate: Gate,
    /// Largest request body, in bytes.
    pub max_body_bytes: usize,
    /// Longest time for a request's body to arrive.
    pub body_timeout: Duration,
}

macro_rules! routes {
    ($($method:ident $pattern:literal $(as $path:literal)?;)*) => {
        &[$(RouteLabel { method: stringify!($method), pattern: $pattern, path: routes!(@path $pattern $($path)?) }),*]
    };
    (@path $pattern:literal) => { $pattern };
    (@path $pattern:literal $path:literal) => { $path };
}

/// Every route there is, with the path it counts under. Aliases count under the path they stand for.
pub const ROUTES: &[RouteLabel] = routes! {
    GET "/health";
    HEAD "/health";
    GET "/health/live";
    HEAD "/health/live";
    GET "/health/ready";
    HEAD "/health/ready";
    GET "/health/detailed";
    GET "/metrics/prometheus";
    HEAD "/metrics/prometheus";
    GET "/metrics" as "/metrics/prometheus";
    HEAD "/metrics" as "/metrics/prometheus";
    POST "/api/v1/events";
    GET "/api/v1/events";
    POST "/api/v1/events/batch";
    GET "/api/v1/events/{id}";
    DELETE "/api/v1/events/{id}";
    GET "/api/v1/chunks/{id}";
    GET "/api/v1/artifacts/{id}";
    POST "/api/v1/handoff";
    POST "/api/v1/handoffs" as "/api/v1/handoff";
    GET "/api/v1/handoffs";
    GET "/api/v1/handoffs/last";
    GET "/api/v1/handoffs/{id}";
    DELETE "/api/v1/handoffs/{id}";
    GET "/api/v1/identity-thread";
    GET "/api/v1/wake-up";
    POST "/api/v1/session/start";
    GET "/api/v1/sessions";
    DELETE "/api/v1/sessions/{id}";
    GET "/api/v1/projects";
    POST "/api/v1/decisions";
    GET "/api/v1/decisions";
    GET "/api/v1/decisions/{id}";
    DELETE "/api/v1/decisions/{id}";
    POST "/api/v1/decisions/{id}/supersede";
    POST "/api/v1/knowledge";
    GET "/api/v1/knowledge";
    GET "/api/v1/knowledge/{id}";
    PATCH "/api/v1/knowledge/{id}";
    DELETE "/api/v1/knowledge/{id}";
    GET "/api/v1/reflections";
    GET "/api/v1/reflections/{id}";
    DELETE "/api/v1/reflections/{id}";
    GET "/api/v1/principles";
    GET "/api/v1/principles/{id}";
    DELETE "/api/v1/principles/{id}";
    GET "/api/v1/stats";
    GET "/api/v1/export/all";
    GET "/api/v1/export/thread";
    POST "/api/v1/import";
    POST "/api/v1/recall";
    GET "/api/v1/search" as "/api/v1/recall";
    POST "/api/v1/context";
    POST "/api/v1/acb/build" as "/api/v1/context";
    DELETE "/api/v1/tenants/{id}";
    POST "/api/v1/consolidation/run";
    GET "/api/v1/consolidation/status";
    GET "/api/v1/consolidation/jobs";
    POST "/api/v1/consolidation/jobs/{id}/undo";
    POST "/api/v1/keys";
    GET "/api/v1/keys";
    DELETE "/api/v1/keys/{id}";
    GET "/api/v1/audit";
    GET "/openapi.json";
    POST "/mcp";
};

/// Registers the routes that carry no content alone: health and metrics.
pub fn open_routes(config: &mut ServiceConfig, state: &Data<State>) {
    config
        .app_data(state.clone())
        .configure(operate::routes)
        .default_service(web::to(problem::no_such_route));
}

/// Registers every route; the same for the server and its tests.
pub fn routes(config: &mut ServiceConfig, state: &Data<State>) {
    config
        .app_data(state.clone())
        .app_data(PayloadConfig::new(state.options.max_body_bytes))
        .configure(operate::routes)
        .configure(event::routes)
        .configure(handoff::routes)
        .configure(decision::routes)
        .configure(note::routes)
        .configure(reflection::routes)
        .configure(wake_up::routes)
        .configure(session::routes)
        .configure(recall::routes)
        .configure(context::routes)
        .configure(forget::routes)
        .configure(consolidation::routes)
        .configure(export::routes)
        .configure(import::routes)
        .configure(access::routes)
        .configure(openapi::routes)
        .configure(mcp::routes)
        .default_service(web::to(problem::no_such_route));
}
