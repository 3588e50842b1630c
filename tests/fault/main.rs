//! What the real binary does when the machine fails it: power, kill, disk, file, clock, other processes.
//!
//! [`machine`] makes the machine fail: a shim in C between the server and libc (`shim.c`), mounts, `chattr`. [`talk`] is
//! what is said to a server and what has to hold of its file afterwards. One module a kind of fault.
//!
//! A test that needs root or a tool that is missing prints `SKIPPED` with the reason; another one that needs neither
//! meets the same fault in another way. In the gate (`AGENT_MEMORY_ALL`) a missing tool is a failure.
//!
//! **Invariant:** every test can fail: what detects a loss is also shown to detect one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]
#![allow(
    clippy::too_many_lines,
    reason = "a fault, what it does and what ends it read best in one piece"
)]

// On Linux alone: what needs a shim, strace or a mount.
#[cfg(target_os = "linux")]
mod clock;
#[cfg(target_os = "linux")]
mod copies;
mod damage;
#[cfg(target_os = "linux")]
mod disk;
#[cfg(target_os = "linux")]
mod durable;
#[cfg(target_os = "linux")]
mod hook;
mod kill;
mod lifetime;
#[cfg(target_os = "linux")]
mod machine;
mod place;
#[path = "../it/process.rs"]
#[allow(
    dead_code,
    reason = "shared with the other crates, which use more of it"
)]
mod process;
mod several;
mod talk;

use ureq::config::ConfigBuilder;
use ureq::typestate::AgentScope;

/// Answers are held against the description of the interface elsewhere.
fn watched(config: ConfigBuilder<AgentScope>) -> ConfigBuilder<AgentScope> {
    config
}
