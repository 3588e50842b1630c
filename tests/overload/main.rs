//! What the real binary does with more than it can do, and with clients that are slow on purpose.
//!
//! A crate of its own, since Cargo runs test crates one after the other: what is timed here wants the machine for itself.
//!
//! **Invariant:** what the server promises is asserted as it is promised; where a bound is on time, it is wide enough for
//! a machine that others use as well, and far below what the fault it looks for would take.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

#[path = "../it/process.rs"]
#[allow(
    dead_code,
    reason = "shared with the other crate, which uses more of it"
)]
mod process;

mod crowd;
mod queue;
mod read;
mod slow;
mod wire;

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use ureq::config::ConfigBuilder;
use ureq::typestate::AgentScope;

/// What is sent here is described and checked elsewhere.
fn watched(config: ConfigBuilder<AgentScope>) -> ConfigBuilder<AgentScope> {
    config
}

static MACHINE: RwLock<()> = RwLock::new(());

/// Held by a test that measures latency.
fn alone() -> RwLockWriteGuard<'static, ()> {
    MACHINE.write().unwrap_or_else(PoisonError::into_inner)
}

/// Held by the others, whose bounds are seconds.
fn among_others() -> RwLockReadGuard<'static, ()> {
    MACHINE.read().unwrap_or_else(PoisonError::into_inner)
}
