//! `agent-memory handoff`.
//!
//! **Invariant:** prints the id of a handoff that is on disk.

use std::io::{BufRead, Read as _, Write};

use clap::Args;

use crate::cli::{Session, print_json};
use crate::config::Global;
use crate::domain::Invalid;
use crate::domain::handoff::HandoffDraft;
use crate::service::Error;

/// Longest JSON on standard input: six fields of 64 KiB, escaped.
const MAX_INPUT_BYTES: u64 = 4 * 1024 * 1024;

/// Flags of `handoff`.
#[derive(Debug, Args)]
pub(super) struct HandoffArgs {
    /// Read the handoff from standard input, as POST /api/v1/handoff takes it
    #[arg(long = "from-json")]
    from_json: bool,
    /// The session that ends
    #[arg(long, default_value = "cli", value_name = "ID")]
    session: String,
    /// The project it belongs to
    #[arg(long, value_name = "ID")]
    project: Option<String>,
    /// With whom the session was
    #[arg(long, default_value = "user", value_name = "NAME")]
    with_whom: String,
    /// What happened
    #[arg(long, value_name = "TEXT")]
    experienced: Option<String>,
    /// What stood out
    #[arg(long, value_name = "TEXT")]
    noticed: Option<String>,
    /// What was learned
    #[arg(long, value_name = "TEXT")]
    learned: Option<String>,
    /// The session as a story
    #[arg(long, value_name = "TEXT")]
    story: Option<String>,
    /// Who the agent is becoming
    #[arg(long, value_name = "TEXT")]
    becoming: Option<String>,
    /// What the next session must not forget
    #[arg(long, value_name = "TEXT")]
    remember: Option<String>,
    /// How much it matters, 0 to 1
    #[arg(long, value_name = "NUMBER")]
    significance: Option<f64>,
    /// A word to find it by; may be repeated
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
}

pub(super) fn run(
    global: &Global,
    args: &HandoffArgs,
    input: &mut dyn BufRead,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let draft = if args.from_json {
        read(input)?
    } else {
        from_flags(args)
    };
    let session = Session::open(global)?;
    let pending = session
        .services
        .create_handoff(&session.caller, draft, None)?;
    let handoff = pending.wait().map_err(Error::from)?;
    if session.json {
        return print_json(out, &handoff);
    }
    Ok(writeln!(out, "{}", handoff.handoff_id)?)
}

fn read(input: &mut dyn BufRead) -> anyhow::Result<HandoffDraft> {
    let mut text = String::new();
    input.take(MAX_INPUT_BYTES).read_to_string(&mut text)?;
    Ok(serde_json::from_str(&text)
        .map_err(|error| Invalid::new("standard input", error.to_string()))?)
}

fn from_flags(args: &HandoffArgs) -> HandoffDraft {
    HandoffDraft {
        handoff_id: None,
        tenant_id: None,
        project_id: args.project.clone(),
        session_id: args.session.clone(),
        with_whom: args.with_whom.clone(),
        experienced: args.experienced.clone(),
        noticed: args.noticed.clone(),
        learned: args.learned.clone(),
        story: args.story.clone(),
        becoming: args.becoming.clone(),
        remember: args.remember.clone(),
        significance: args.significance,
        tags: Some(args.tags.clone()),
        sensitivity: None,
        origin: None,
        created_at: None,
    }
}
