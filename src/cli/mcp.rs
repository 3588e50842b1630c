//! `agent-memory mcp`.
//!
//! A client starts it and talks to it over a pipe, so the end of its input is the end of the client. But a pipe stays open
//! while anybody holds its other end, and a killed client may leave such a child behind; so the number of the parent is
//! looked at as well. (The kernel's own signal for it tells of the parent's *thread*, and clients start their servers from
//! threads that come and go.)
//!
//! **Invariant:** ends within two seconds of its client, with what was accepted on disk.

use std::io::{self, BufRead, Write};
use std::os::unix::process::parent_id;
use std::time::Duration;

use clap::Args;

use crate::cli::Session;
use crate::config::Global;
use crate::domain::{Caller, Name, Via};
use crate::mcp::stdio::{self, Client};
use crate::service::Services;

/// How often it is looked whether the parent is there: twice within the two seconds.
const LOOK_EVERY: Duration = Duration::from_millis(750);
/// Longest time for one read, as over HTTP.
const READ_TIME: Duration = Duration::from_secs(30);

/// Flags of `mcp`.
#[derive(Debug, Args)]
pub(super) struct McpArgs {
    /// The project of calls that name none
    #[arg(long, env = "AGENT_MEMORY_PROJECT", value_name = "ID")]
    project: Option<String>,
    /// The session of writes that name none [default: one of this process's own]
    #[arg(long, value_name = "ID")]
    session: Option<String>,
}

pub(super) fn run(
    global: &Global,
    args: &McpArgs,
    input: &mut dyn BufRead,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let parent = parent_id();
    let project = Name::parse_opt("--project", args.project.as_deref())?;
    let session = Name::parse_opt("--session", args.session.as_deref())?;
    let open = Session::open_for(global, |options| options.read_time = Some(READ_TIME))?;
    let services = open.services.clone();
    std::thread::Builder::new()
        .name("parent".to_owned())
        .spawn(move || end_with(parent, &services))?;
    let client = Client {
        caller: Caller::local_by(Via::Mcp, open.caller.tenant),
        project: project.map(|name| name.to_string()),
        session: session.map_or_else(
            || format!("mcp-{}", uuid::Uuid::now_v7().simple()),
            |name| name.to_string(),
        ),
    };
    let outcome = stdio::serve(&open.services, client, input, out, &mut io::stderr());
    finish(&open.services);
    Ok(outcome?)
}

/// Ends the process when its parent has.
fn end_with(parent: u32, services: &Services) {
    while parent_id() == parent {
        std::thread::sleep(LOOK_EVERY);
    }
    finish(services);
    std::process::exit(0);
}

/// Writes what is still to be written.
fn finish(services: &Services) {
    if let Err(error) = services.flush_counts() {
        // Nobody may be there to read it.
        drop(writeln!(io::stderr(), "agent-memory: {}", error.chain()));
    }
    services.close();
}
