//! agent-memory: the memory AI agents keep between sessions, one binary over one SQLite file.
//!
//! The layers, each of which uses only those below it:
//!
//! ```text
//! main → cli → app → {http → mcp, jobs} → exec → service → store → domain        metrics, clock, config, fault: leaves
//!        cli → client → service
//! ```
//!
//! Reading order: [`domain`] says what there is and which rules hold; [`store`] keeps it, as whole units of work
//! ([`store::sqlite`] is the engine and the heart); [`service`] is the one door for every front end; [`exec`] takes a
//! request from an async worker to a service and back; [`mcp`] is what agents call by themselves; [`http`] speaks the wire;
//! [`jobs`] does what goes on after an answer; [`app`] puts it together; [`client`] is what stands at a coding agent's side;
//! [`cli`] is the command line.
//!
//! **Invariant:** a module names only those that `tests/it/tidy.rs` lets it use.

pub mod app;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod domain;
pub mod exec;
pub mod fault;
pub mod http;
pub mod jobs;
pub mod mcp;
pub mod metrics;
pub mod service;
pub mod store;
