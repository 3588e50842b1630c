//! The `agent-memory` binary: parse, dispatch, report, exit.
//!
//! **Invariant:** no logic; `cli` has it.

use std::process::ExitCode;

// With background threads (a feature of the crate), so that freed memory goes back to the system when idle.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    agent_memory::cli::main()
}
