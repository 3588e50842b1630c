//! `agent-memory wake-up`.
//!
//! **Invariant:** an empty memory prints nothing and is no failure.

use std::io::Write;

use clap::Args;

use crate::cli::{Session, print_json};
use crate::config::Global;
use crate::domain::wake_up::WakeUpQuery;

/// Flags of `wake-up`.
#[derive(Debug, Args)]
pub(super) struct WakeUpArgs {
    /// Only sessions with this person
    #[arg(long, value_name = "NAME")]
    with_whom: Option<String>,
    /// Only this project, and what has none
    #[arg(long, value_name = "ID")]
    project: Option<String>,
    /// Comma list of metadata, reflection, recent, progressive
    #[arg(long, value_name = "LAYERS")]
    layers: Option<String>,
    /// How many of the last handoffs to show in full
    #[arg(long, value_name = "N")]
    recent_count: Option<i64>,
    /// What older handoffs should be about
    #[arg(long, value_name = "WORDS")]
    topic: Option<String>,
    /// Most tokens of the text
    #[arg(long, value_name = "N")]
    max_tokens: Option<i64>,
}

pub(super) fn run(global: &Global, args: &WakeUpArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    let session = Session::open(global)?;
    let query = WakeUpQuery::parse(
        args.with_whom.as_deref(),
        args.project.as_deref(),
        args.layers.as_deref(),
        args.recent_count,
        args.topic.clone(),
        args.max_tokens,
    )?;
    let wake_up = session.services.wake_up(&session.caller, &query)?;
    if session.json {
        return print_json(out, &*wake_up);
    }
    Ok(write!(out, "{}", wake_up.context)?)
}
