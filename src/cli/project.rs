//! `agent-memory project`.
//!
//! **Invariant:** `current` needs no memory and changes nothing.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;

use crate::cli::{Session, print_json};
use crate::client::place;
use crate::config::Global;
use crate::domain::Name;
use crate::domain::page::{Direction, MAX_LIMIT, Page};

/// What to do with projects.
#[derive(Debug, Subcommand)]
pub(super) enum ProjectCommand {
    /// List the projects, the newest first
    List,
    /// Say which project a directory belongs to
    Current {
        /// The directory [default: this one]
        path: Option<PathBuf>,
    },
    /// Let another id mean a project too; what was stored under it moves there
    Alias {
        /// The project
        project: String,
        /// The other id
        alias: String,
    },
}

pub(super) fn run(
    global: &Global,
    command: &ProjectCommand,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    match command {
        ProjectCommand::List => list(global, out),
        ProjectCommand::Current { path } => {
            let path = match path {
                Some(path) => path.clone(),
                None => std::env::current_dir().context("there is no current directory")?,
            };
            let place = place::find(&path);
            if global.json {
                let json = serde_json::json!({
                    "project_id": place.project, "directory": place.root, "ignored_by": place.ignored,
                });
                return print_json(out, &json);
            }
            writeln!(out, "{}", place.project)?;
            if let Some(mark) = place.ignored {
                writeln!(out, "hooks leave it out: {}", mark.display())?;
            }
            Ok(())
        }
        ProjectCommand::Alias { project, alias } => {
            let session = Session::open_existing(global)?;
            let project = Name::parse("PROJECT", project)?;
            let alias = Name::parse("ALIAS", alias)?;
            let project = session
                .services
                .alias_project(&session.caller, &project, &alias)?;
            if global.json {
                return print_json(out, &project);
            }
            let names = project.aliases.join(", ");
            Ok(writeln!(out, "{} is also {names}", project.project_id)?)
        }
    }
}

fn list(global: &Global, out: &mut dyn Write) -> anyhow::Result<()> {
    let session = Session::open_existing(global)?;
    let page = Page::first(MAX_LIMIT, Direction::Descending);
    let projects = session.services.projects(&session.caller, &page)?;
    if global.json {
        return print_json(out, &serde_json::json!({ "projects": projects.items }));
    }
    for project in projects.items {
        write!(out, "{}", project.project_id)?;
        if !project.aliases.is_empty() {
            write!(out, "  (also {})", project.aliases.join(", "))?;
        }
        writeln!(out)?;
    }
    Ok(())
}
