//! `agent-memory import`.
//!
//! **Invariant:** says what was stored, also when it fails.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::hook::CaptureArg;
use crate::cli::{Session, print_json};
use crate::client::history;
use crate::config::Global;
use crate::domain::Invalid;
use crate::domain::export::Counts;
use crate::domain::import::{How, Mode};
use crate::service::{Error, Import, ImportReport, stopped};

/// Bytes read at once.
const PART_BYTES: usize = 256 * 1024;

/// Flags of `import`.
#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// A file that `export` wrote, `-` for standard input; with --from, session files or directories of them
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Whose history it is
    #[arg(long, value_name = "AGENT", conflicts_with = "mode")]
    from: Option<Agent>,
    /// With --from: how much is recorded
    #[arg(long, value_name = "WHAT", default_value = "all", requires = "from")]
    capture: CaptureArg,
    /// With --from: with whom the sessions were
    #[arg(long, env = "USER", value_name = "NAME", default_value = "user")]
    with_whom: String,
    /// What becomes of a row whose id is taken: merge (report it, unless it is the same), skip or replace
    #[arg(long, value_name = "MODE", default_value = "merge")]
    mode: String,
    /// Check everything and say what would be done, but store nothing
    #[arg(long)]
    dry_run: bool,
}

/// An agent whose session files can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Agent {
    /// Claude Code: ~/.claude/projects
    ClaudeCode,
}

pub(super) fn run(global: &Global, args: &ImportArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    let how = How {
        mode: Mode::parse("--mode", &args.mode)?,
        dry_run: args.dry_run,
    };
    if let Some(Agent::ClaudeCode) = args.from {
        let how = history::How {
            capture: args.capture.capture(),
            with_whom: Some(args.with_whom.trim())
                .filter(|name| !name.is_empty())
                .unwrap_or("user"),
            dry_run: args.dry_run,
        };
        let session = Session::open(global)?;
        return crate::cli::history::run(&session, &args.files, &how, progress, out);
    }
    let [file] = args.files.as_slice() else {
        return Err(Invalid::new("FILE", "is more than one; only --from takes several").into());
    };
    let (mut input, bytes): (Box<dyn Read>, u64) = if file == Path::new("-") {
        (Box::new(io::stdin().lock()), 0)
    } else {
        let cannot = || format!("cannot read {}", file.display());
        let file = File::open(file).with_context(cannot)?;
        let bytes = file.metadata().with_context(cannot)?.len();
        (Box::new(file), bytes)
    };
    let session = Session::open(global)?;
    let bar = progress(bytes);
    let report = read(&session, &mut input, how, &bar);
    bar.finish_and_clear();
    let report = report?;
    if session.json {
        return print_json(out, &report);
    }
    print(&report, out)
}

fn read(
    session: &Session,
    input: &mut dyn Read,
    how: How,
    bar: &ProgressBar,
) -> anyhow::Result<ImportReport> {
    let mut import = session.services.begin_import(&session.caller, how)?;
    let mut part = vec![0; PART_BYTES];
    loop {
        let read = match input.read(&mut part) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                let said = stopped(import.report(), Error::Internal(Box::new(error)));
                return Err(said).context("the export cannot be read");
            }
        };
        import.push(part.get(..read).unwrap_or_default());
        while let Some(block) = import.block() {
            store(session, &mut import, &block)?;
        }
        bar.inc(u64::try_from(read).unwrap_or(0));
    }
    let block = import.last_block();
    store(session, &mut import, &block)?;
    Ok(import.finish())
}

fn store(session: &Session, import: &mut Import, block: &[u8]) -> Result<(), Error> {
    let pending = session.services.import_block(import, block)?;
    let slice = pending
        .wait()
        .map_err(|error| stopped(import.report(), error.into()))?;
    import.note(slice);
    Ok(())
}

fn progress(bytes: u64) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let (bar, template) = if bytes == 0 {
        (
            ProgressBar::new_spinner(),
            "{spinner} {bytes}, {bytes_per_sec}, {elapsed}",
        )
    } else {
        let template = "{bar:40} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left";
        (ProgressBar::new(bytes), template)
    };
    let style = ProgressStyle::with_template(template);
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn print(report: &ImportReport, out: &mut dyn Write) -> anyhow::Result<()> {
    let verb = if report.dry_run {
        "would store"
    } else {
        "stored"
    };
    writeln!(out, "{verb} {}", words(&report.stored))?;
    writeln!(out, "unchanged {}", words(&report.unchanged))?;
    if report.redacted > 0 {
        writeln!(out, "{} secrets taken out", report.redacted)?;
    }
    for conflict in &report.conflicts {
        let (line, id, reason) = (conflict.line, &conflict.id, conflict.reason);
        writeln!(out, "conflict in line {line}: {id}: {reason}")?;
    }
    let listed = u64::try_from(report.conflicts.len()).unwrap_or(0);
    if report.conflict_count > listed {
        writeln!(out, "and {} more conflicts", report.conflict_count - listed)?;
    }
    Ok(())
}

fn words(counts: &Counts) -> String {
    format!(
        "{} projects, {} sessions, {} events, {} artifacts, {} handoffs, {} decisions, {} notes, {} reflections, {} principles",
        counts.projects,
        counts.sessions,
        counts.events,
        counts.artifacts,
        counts.handoffs,
        counts.decisions,
        counts.knowledge,
        counts.reflections,
        counts.principles
    )
}
