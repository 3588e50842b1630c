//! `agent-memory context`.
//!
//! **Invariant:** prints what would go into a prompt, and nothing else.

use std::io::Write;

use clap::Args;

use crate::cli::{Session, print_json};
use crate::config::Global;
use crate::domain::context::ContextDraft;

/// Flags of `context`.
#[derive(Debug, Args)]
pub(super) struct ContextArgs {
    /// What the task is about
    #[arg(required = true)]
    query: Vec<String>,
    /// The kind of task: task, exploration, debugging, learning, general, or a sentence
    #[arg(long, value_name = "WORDS")]
    intent: Option<String>,
    /// The session at hand
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// Only this project, and what has none
    #[arg(long, value_name = "ID")]
    project: Option<String>,
    /// Most tokens
    #[arg(long, value_name = "N")]
    max_tokens: Option<i64>,
}

pub(super) fn run(global: &Global, args: &ContextArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    let session = Session::open(global)?;
    let draft = ContextDraft {
        query_text: args.query.join(" "),
        intent: args.intent.clone(),
        session_id: args.session.clone(),
        project_id: args.project.clone(),
        max_tokens: args.max_tokens,
        ..ContextDraft::default()
    };
    let bundle = session.services.context(&session.caller, &draft)?;
    if session.json {
        return print_json(out, &bundle);
    }
    Ok(write!(out, "{}", bundle.markdown())?)
}
