//! `agent-memory doctor`: of the file, or with `--metrics` of a running server.
//!
//! **Invariant:** changes nothing unless it was told to repair; exits 1 if something is wrong.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use crate::cli::{Failure, Session, fetch, print_json};
use crate::client::spool::Spool;
use crate::clock::Clock;
use crate::config::{self, Global};
use crate::metrics::explain;
use crate::store::{Repaired, Role, Store};

/// Where a server listens unless it is told otherwise.
const URL: &str = "http://127.0.0.1:3456";

/// Flags of `doctor`.
#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// Explain the metrics of a running server instead of checking the file
    #[arg(long)]
    metrics: bool,
    /// Make anew what follows from the texts: indexes, passages, counts; with nobody else on the file, and after a copy of it
    #[arg(long, conflicts_with = "metrics")]
    repair: bool,
    /// Save what can be read of a damaged file into a new one
    #[arg(long, value_name = "NEWFILE", conflicts_with_all = ["metrics", "repair"])]
    salvage: Option<PathBuf>,
    /// Where that server is
    #[arg(long, requires = "metrics", value_name = "URL", default_value = URL)]
    url: String,
}

pub(super) fn run(global: &Global, args: &DoctorArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    if args.metrics {
        let text = fetch::get(&args.url, "/metrics/prometheus")?;
        let findings = explain::explain(&text)?;
        let words = |finding: &explain::Finding| (finding.ok, finding.about, finding.says.clone());
        return report(global, &findings, words, out);
    }
    if let Some(target) = &args.salvage {
        let options = config::store_options(global, Role::Command)?;
        let saved = Store::salvage(&options, target, Clock::System.now())?;
        return tell_saved(global, &saved, target, out);
    }
    if args.repair {
        let options = config::store_options(global, Role::Command)?;
        let repaired = Store::repair(&options, Clock::System.now())?;
        if !global.json {
            for done in &repaired.done {
                writeln!(out, "{done}")?;
            }
            if let Some(kept) = &repaired.kept {
                writeln!(
                    out,
                    "the file as it was is {}: remove it in time",
                    kept.display()
                )?;
            }
        }
    }
    let session = Session::open_existing(global)?;
    let mut findings = session.services.examine()?;
    let spool = Spool::new(config::spool_places(&config::database(global)?)).waiting();
    let waits: Vec<String> = spool.iter().map(ToString::to_string).collect();
    findings.push(crate::store::Finding {
        check: "spool",
        ok: waits.is_empty(),
        detail: match waits.as_slice() {
            [] => "nothing waits to be stored".to_owned(),
            waits => format!(
                "{}; the next hook stores it, or `agent-memory hook replay`",
                waits.join("; ")
            ),
        },
    });
    let words =
        |finding: &crate::store::Finding| (finding.ok, finding.check, finding.detail.clone());
    report(global, &findings, words, out)
}

/// Says what could be read of a damaged file, and fails if something could not.
fn tell_saved(
    global: &Global,
    saved: &Repaired,
    target: &Path,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    if global.json {
        print_json(out, saved)?;
    } else {
        for done in &saved.done {
            writeln!(out, "saved {done}")?;
        }
        for lost in &saved.lost {
            writeln!(out, "LOST  {lost}")?;
        }
        writeln!(
            out,
            "{} holds what could be read: look at it, and put it in place with `agent-memory restore {} --force`",
            target.display(),
            target.display()
        )?;
    }
    if saved.lost.is_empty() {
        return Ok(());
    }
    out.flush()?;
    Err(Failure {
        code: 1,
        message: "not all of it could be read".to_owned(),
    }
    .into())
}

/// Prints what was found, and fails if some of it is wrong.
fn report<T: Serialize>(
    global: &Global,
    findings: &[T],
    words: impl Fn(&T) -> (bool, &'static str, String),
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    if global.json {
        print_json(out, &findings)?;
    }
    let mut wrong = 0;
    for (ok, about, says) in findings.iter().map(words) {
        wrong += usize::from(!ok);
        if !global.json {
            writeln!(
                out,
                "{:5} {about:12} {says}",
                if ok { "ok" } else { "WRONG" }
            )?;
        }
    }
    if wrong == 0 {
        return Ok(());
    }
    Err(Failure {
        code: 1,
        message: format!("{wrong} of {} checks found something wrong", findings.len()),
    }
    .into())
}
