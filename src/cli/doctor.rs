//! `agent-memory doctor`: of the file, or with `--metrics` of a running server.
//!
//! **Invariant:** changes nothing; exits 1 if something is wrong.

use std::io::Write;

use clap::Args;
use serde::Serialize;

use crate::cli::{Failure, Session, fetch, print_json};
use crate::client::spool::Spool;
use crate::config::{self, Global};
use crate::metrics::explain;

/// Where a server listens unless it is told otherwise.
const URL: &str = "http://127.0.0.1:3456";

/// Flags of `doctor`.
#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// Explain the metrics of a running server instead of checking the file
    #[arg(long)]
    metrics: bool,
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
