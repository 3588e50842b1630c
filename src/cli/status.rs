//! `agent-memory status`.
//!
//! **Invariant:** creates nothing.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use serde::Serialize;

use crate::cli::{Session, print_json};
use crate::client::spool::{Spool, Waiting};
use crate::client::switch;
use crate::clock::Clock;
use crate::config::{self, Global};
use crate::domain::{Stat, redact};
use crate::store::FileFacts;

pub(super) fn run(global: &Global, out: &mut dyn Write) -> anyhow::Result<()> {
    let path = config::database(global)?;
    let hooks = Hooks::look(&path);
    let session = match Session::open_existing(global) {
        Ok(session) => session,
        Err(error) => {
            // What waits for the file is worth knowing most when it cannot be opened.
            hooks.print(out)?;
            out.flush()?;
            return Err(error);
        }
    };
    let facts = session.services.file_facts()?;
    let stats = session.services.fresh_stats()?;
    if session.json {
        let stats: serde_json::Map<_, _> = stats
            .iter()
            .map(|(stat, value)| {
                let (name, label) = stat.key();
                let key = if label.is_empty() {
                    name.to_owned()
                } else {
                    format!("{name}.{label}")
                };
                (key, (*value).into())
            })
            .collect();
        return print_json(
            out,
            &serde_json::json!({ "path": path, "file": facts, "stats": stats, "hooks": hooks, "redaction": redaction() }),
        );
    }
    print_text(&path, &facts, &stats, out)?;
    hooks.print(out)
}

/// What hooks left beside the file.
#[derive(Debug, Serialize)]
struct Hooks {
    /// Until when they are off; `null` while they are on.
    off_until: Option<String>,
    /// What they could not store.
    spool: Vec<Waiting>,
}

impl Hooks {
    fn look(path: &Path) -> Self {
        let off = switch::paused(path, Clock::System.now());
        Self {
            off_until: off.map(|until| {
                until.map_or_else(|| "`hook resume`".to_owned(), |until| until.to_string())
            }),
            spool: Spool::new(config::spool_places(path)).waiting(),
        }
    }

    fn print(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        if let Some(until) = &self.off_until {
            writeln!(out, "hooks     off until {until}")?;
        }
        for waiting in &self.spool {
            writeln!(out, "spool     {waiting}")?;
        }
        Ok(())
    }
}

/// Of this command; a running server has its own setting, which its metrics say.
fn redaction() -> &'static str {
    if redact::is_on() { "on" } else { "off" }
}

fn print_text(
    path: &Path,
    facts: &FileFacts,
    stats: &BTreeMap<Stat, i64>,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let sum = |of: fn(&Stat) -> bool| {
        stats
            .iter()
            .filter(|(stat, _)| of(stat))
            .map(|(_, value)| value)
            .sum::<i64>()
    };
    writeln!(out, "file      {}", path.display())?;
    writeln!(
        out,
        "schema    {} (SQLite {})",
        facts.schema_version, facts.sqlite_version
    )?;
    writeln!(
        out,
        "size      {} bytes, log {} bytes, {} of {} pages free",
        facts.database_bytes, facts.wal_bytes, facts.free_pages, facts.pages
    )?;
    writeln!(
        out,
        "events    {}",
        sum(|stat| matches!(stat, Stat::Events(_)))
    )?;
    writeln!(
        out,
        "handoffs  {}",
        sum(|stat| matches!(stat, Stat::Handoffs(_)))
    )?;
    writeln!(
        out,
        "decisions {}",
        sum(|stat| matches!(stat, Stat::Decisions(_)))
    )?;
    writeln!(out, "knowledge {}", sum(|stat| matches!(stat, Stat::Notes)))?;
    writeln!(
        out,
        "concluded {} reflections, {} principles",
        sum(|stat| matches!(stat, Stat::Reflections)),
        sum(|stat| matches!(stat, Stat::Principles))
    )?;
    writeln!(
        out,
        "sessions  {}",
        sum(|stat| matches!(stat, Stat::Sessions))
    )?;
    writeln!(
        out,
        "text      {} bytes",
        sum(|stat| matches!(stat, Stat::TextBytes))
    )?;
    writeln!(
        out,
        "redacted  {} secrets; redaction is {}",
        sum(|stat| matches!(stat, Stat::Redactions(_))),
        redaction()
    )?;
    if facts.open_jobs > 0 {
        writeln!(
            out,
            "jobs      {} still to be finished by a server",
            facts.open_jobs
        )?;
    }
    Ok(())
}
