//! The product from outside: its HTTP interface and its command line, over a file of its own for each test.
//!
//! [`harness`] starts a server in this process, on a free port and a clock that stands still; [`process`] runs the real
//! binary; [`contract`] holds every answer that either gets against the description of the interface. One module a subject. All of it is one crate, so that there is one link.
//!
//! **Invariant:** no sleeping for luck, no shared file, no network: what takes time is waited for, with a deadline.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]
#![allow(
    clippy::too_many_lines,
    reason = "an inline snapshot is part of its test"
)]

mod contract;
mod harness;
#[allow(
    dead_code,
    reason = "shared with the other crates, which use more of it"
)]
mod process;

use contract::watched;

// The interface.
mod access;
mod any_input;
mod audit;
mod backup;
mod bad_input;
mod batch;
mod browser;
mod cli;
mod consolidation;
mod consolidation_trust;
mod consolidation_year;
mod context;
mod decision;
mod doctor;
mod event;
mod export;
mod exposed;
mod forget;
mod gating;
mod guard;
mod handoff;
mod health;
mod history;
mod hook;
mod hostile;
mod idempotency;
mod import;
mod install;
mod isolation;
mod key;
mod mcp;
mod mcp_input;
mod mcp_stdio;
mod metrics;
mod metrics_fault;
mod metrics_list;
mod metrics_process;
mod metrics_wire;
mod note;
mod openapi;
mod project;
mod recall;
mod recall_anything;
mod recall_filter;
mod recall_once;
mod recall_query;
mod recall_rank;
mod recall_reach;
mod recall_time;
mod redaction;
mod redaction_reach;
mod redaction_set;
mod reflection;
mod series;
mod session;
mod stats;
mod wake_up;

// What lies beneath it: older files, the rules of the house.
mod tidy;
mod upgrade;
