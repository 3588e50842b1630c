//! `agent-memory note`.
//!
//! **Invariant:** prints the id of a note that is on disk.

use std::io::Write;

use clap::Args;

use crate::cli::{Session, print_json};
use crate::config::Global;
use crate::domain::note::NoteDraft;
use crate::service::Error;

/// Flags of `note`.
#[derive(Debug, Args)]
pub(super) struct NoteArgs {
    /// What is known
    content: String,
    /// A heading
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
    /// The project it belongs to
    #[arg(long, value_name = "ID")]
    project: Option<String>,
    /// A word to find it by; may be repeated
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// How sure it is, 0 to 1
    #[arg(long, value_name = "NUMBER")]
    confidence: Option<f64>,
    /// Always show it
    #[arg(long)]
    pin: bool,
}

pub(super) fn run(global: &Global, args: &NoteArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    let session = Session::open(global)?;
    let draft = NoteDraft {
        note_id: None,
        tenant_id: None,
        project_id: args.project.clone(),
        title: args.title.clone(),
        content: args.content.clone(),
        with_whom: None,
        source_handoffs: None,
        tags: Some(args.tags.clone()),
        confidence: args.confidence,
        pinned: Some(args.pin),
    };
    let note = session
        .services
        .create_note(&session.caller, draft, None)?
        .wait()
        .map_err(Error::from)?;
    if session.json {
        return print_json(out, &note);
    }
    Ok(writeln!(out, "{}", note.note_id)?)
}
