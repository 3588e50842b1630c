//! `agent-memory rescan`.
//!
//! **Invariant:** prints ids and kinds, never a secret; without `--dry-run` says what is left at the end.

use std::io::{self, IsTerminal as _, Write};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::{Failure, Session, print_json};
use crate::config::Global;
use crate::domain::redact;
use crate::domain::{Caller, TenantId};
use crate::service::{LISTED_FINDINGS, RescanReport};

/// Flags of `rescan`.
#[derive(Debug, Args)]
pub(super) struct RescanArgs {
    /// Say what would be replaced, but replace nothing
    #[arg(long)]
    dry_run: bool,
    /// Look through all tenants of the file
    #[arg(long)]
    all_tenants: bool,
}

pub(super) fn run(global: &Global, args: &RescanArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    if !redact::is_on() {
        let message =
            "redaction is off, so that there is nothing to look for: leave out --redact off"
                .to_owned();
        return Err(Failure { code: 2, message }.into());
    }
    let session = Session::open_existing(global)?;
    let tenants = if args.all_tenants {
        session.services.tenants()?
    } else {
        vec![session.caller.tenant.clone()]
    };
    let mut reports = Vec::new();
    for tenant in tenants {
        let report = one(&session, &tenant, args.dry_run)?;
        if !session.json {
            print(&tenant, &report, out)?;
        }
        reports.push((tenant, report));
    }
    let replaced: u64 = reports.iter().map(|(_, report)| report.replaced).sum();
    // A running server empties the log within a second or two.
    let log_emptied = replaced == 0 || session.services.scrub().is_ok();
    if session.json {
        let tenants: serde_json::Map<_, _> = reports
            .iter()
            .map(|(tenant, report)| Ok((tenant.to_string(), serde_json::to_value(report)?)))
            .collect::<Result<_, serde_json::Error>>()?;
        print_json(
            out,
            &serde_json::json!({"tenants": tenants, "log_emptied": log_emptied}),
        )?;
    } else if !log_emptied {
        writeln!(out, "the log is in use and will be emptied by the server")?;
    } else if replaced > 0 {
        writeln!(
            out,
            "copies made before (backups, exports, FILE.v*.bak) still hold what was replaced here"
        )?;
    }
    let left: u64 = reports.iter().map(|(_, report)| report.left).sum();
    if left > 0 {
        out.flush()?;
        let message =
            format!("{left} rows still hold secrets; forget them, or say what they say without");
        return Err(Failure { code: 1, message }.into());
    }
    Ok(())
}

fn one(session: &Session, tenant: &TenantId, dry_run: bool) -> anyhow::Result<RescanReport> {
    let caller = Caller::local(tenant.clone());
    let mut rescan = session.services.begin_rescan(&caller, dry_run)?;
    let bar = bar(rescan.progress().1);
    loop {
        let more = session.services.rescan_piece(&mut rescan);
        bar.set_position(rescan.progress().0);
        match more {
            Ok(true) => (),
            Ok(false) => break,
            Err(error) => {
                bar.finish_and_clear();
                return Err(error.into());
            }
        }
    }
    bar.finish_and_clear();
    Ok(rescan.report().clone())
}

fn bar(rows: u64) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} rows, {eta} left");
    ProgressBar::new(rows).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn print(tenant: &TenantId, report: &RescanReport, out: &mut dyn Write) -> anyhow::Result<()> {
    for finding in &report.findings {
        let secrets: Vec<_> = finding
            .secrets
            .iter()
            .map(|(kind, count)| format!("{count} {kind}"))
            .collect();
        write!(
            out,
            "{} {}: {}",
            finding.what,
            finding.id,
            secrets.join(", ")
        )?;
        match &finding.left {
            Some(reason) => writeln!(out, "; not replaced: {reason}")?,
            None => writeln!(out)?,
        }
    }
    if report.rows > u64::try_from(LISTED_FINDINGS).unwrap_or(u64::MAX) {
        writeln!(out, "and more, which are counted below")?;
    }
    let all: i64 = report.secrets.values().sum();
    let verb = if report.dry_run {
        "would be replaced"
    } else {
        "replaced"
    };
    let rows = if report.dry_run {
        report.rows
    } else {
        report.replaced
    };
    writeln!(
        out,
        "{tenant}: {} rows looked at, {all} secrets in {} of them, {rows} {verb}",
        report.looked_at.sum(),
        report.rows
    )?;
    Ok(())
}
