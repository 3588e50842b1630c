//! `agent-memory import --from`.
//!
//! **Invariant:** says what was stored and what was skipped, each with its reason.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context as _;
use indicatif::ProgressBar;

use crate::cli::{Failure, Session, print_json};
use crate::client::history::{self, How, Report};

/// Reads session files, and all below directories.
pub(super) fn run(
    session: &Session,
    paths: &[PathBuf],
    how: &How<'_>,
    bar: impl FnOnce(u64) -> ProgressBar,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let mut report = Report {
        dry_run: how.dry_run,
        ..Report::default()
    };
    let mut files = Vec::new();
    for path in paths {
        let found = history::find(path, &mut report);
        files.extend(found.with_context(|| format!("cannot read {}", path.display()))?);
    }
    let bar = bar(files.iter().map(|(_, bytes)| bytes).sum());
    let mut outcome = Ok(());
    for (path, bytes) in &files {
        let mut told = 0;
        outcome = history::import(
            &session.services,
            &session.caller,
            path,
            how,
            &mut report,
            |read| {
                told += read;
                bar.inc(read);
            },
        );
        // What was known or skipped has been passed as well.
        bar.inc(bytes.saturating_sub(told));
        if outcome.is_err() {
            break;
        }
    }
    bar.finish_and_clear();
    if session.json {
        print_json(out, &report)?;
    } else {
        print(&report, out)?;
    }
    outcome?;
    if files.is_empty() {
        let message = "there is no session file (*.jsonl) there".to_owned();
        return Err(Failure { code: 4, message }.into());
    }
    Ok(())
}

fn print(report: &Report, out: &mut dyn Write) -> anyhow::Result<()> {
    let verb = if report.dry_run {
        "would store"
    } else {
        "stored"
    };
    writeln!(
        out,
        "{verb} {} events and {} handoffs of {} sessions",
        report.events, report.handoffs, report.files
    )?;
    writeln!(
        out,
        "unchanged {} events, and {} sessions with nothing new",
        report.events_known, report.files_known
    )?;
    for (why, count) in &report.lines_skipped {
        writeln!(out, "skipped {count} lines: {}", why.as_str())?;
    }
    for file in &report.files_skipped {
        writeln!(out, "skipped {}: {}", file.path.display(), file.why)?;
    }
    let named = u64::try_from(report.files_skipped.len()).unwrap_or(0);
    if report.files_skipped_count > named {
        writeln!(
            out,
            "skipped {} more files",
            report.files_skipped_count - named
        )?;
    }
    Ok(())
}
