//! `agent-memory consolidate`.
//!
//! **Invariant:** `--dry-run` changes nothing, and `--consolidation off` keeps a run from happening unless it is forced.

use std::io::Write;

use clap::{Args, Subcommand};

use crate::cli::{Failure, Session, one_line, print_json};
use crate::config::{Consolidation, ConsolidationArgs, Global};
use crate::domain::consolidation::ConsolidationJob;
use crate::domain::page::{List, Page};
use crate::domain::{ConsolidationType, JobId};
use crate::service::{self, PlanReport};

/// Flags of `consolidate`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = false)]
pub(super) struct ConsolidateArgs {
    #[command(subcommand)]
    command: Option<ConsolidateCommand>,
    /// Only say what a run would change
    #[arg(long, global = true)]
    dry_run: bool,
    /// Only jobs of this type: `handoff_compression`, `identity_consolidation`, `decision_archival`, `reflection`,
    /// `deduplication` or `maintenance`
    #[arg(long = "type", value_name = "TYPE", global = true)]
    job_type: Option<String>,
    /// Run although consolidation is switched off
    #[arg(long, global = true)]
    force: bool,
    #[command(flatten)]
    settings: ConsolidationArgs,
}

#[derive(Debug, Subcommand)]
enum ConsolidateCommand {
    /// Consolidate the tenant's memory now
    Run,
    /// Say when it runs, and what the last job of each type came to
    Status,
    /// List the jobs that ran, newest first
    Jobs {
        /// Most rows
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: i64,
        /// Where the last page ended
        #[arg(long, value_name = "CURSOR")]
        cursor: Option<String>,
    },
    /// Put back what a job changed
    Undo {
        /// The job (`job_…`)
        id: String,
    },
}

pub(super) fn run(
    global: &Global,
    args: &ConsolidateArgs,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let settings = Consolidation::new(&args.settings)?;
    let job_type = args
        .job_type
        .as_deref()
        .map(|word| ConsolidationType::parse("--type", word))
        .transpose()?;
    let mut session = Session::open_existing(global)?;
    session.services = session.services.consolidating(service::Consolidation {
        schedule: settings.schedule,
        thresholds: settings.thresholds,
    });
    match &args.command {
        _ if args.dry_run => preview(&session, job_type, out),
        Some(ConsolidateCommand::Run) => {
            if !settings.schedule.is_on() && !args.force {
                let message = "consolidation is switched off (--consolidation off or AGENT_MEMORY_CONSOLIDATION=off); \
                               add --force to run it all the same";
                return Err(Failure {
                    code: 5,
                    message: message.to_owned(),
                }
                .into());
            }
            let jobs = session.services.consolidate(&session.caller, job_type)?;
            print_jobs(&session, &jobs, out)
        }
        Some(ConsolidateCommand::Status) => status(&session, out),
        Some(ConsolidateCommand::Jobs { limit, cursor }) => {
            let page = Page::parse(List::Jobs, Some(*limit), Some("desc"), cursor.as_deref())?;
            let jobs = session
                .services
                .consolidation_jobs(&session.caller, &page)?;
            if session.json {
                let json = serde_json::json!({"jobs": jobs.items, "next_cursor": jobs.next_cursor});
                return print_json(out, &json);
            }
            print_jobs(&session, &jobs.items, out)
        }
        Some(ConsolidateCommand::Undo { id }) => {
            let id = JobId::parse("ID", id)?;
            let job = session.services.undo_consolidation(&session.caller, id)?;
            // What was put back leaves the log with what it replaced.
            drop(session.services.scrub());
            print_jobs(&session, &[job], out)
        }
        None => {
            let message = "say what: consolidate --dry-run, run, status, jobs or undo ID";
            Err(Failure {
                code: 2,
                message: message.to_owned(),
            }
            .into())
        }
    }
}

fn preview(
    session: &Session,
    job_type: Option<ConsolidationType>,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let plans = session
        .services
        .preview_consolidation(&session.caller, job_type)?;
    if session.json {
        return print_json(out, &serde_json::json!({"dry_run": true, "plans": plans}));
    }
    for plan in &plans {
        print_plan(plan, out)?;
    }
    Ok(())
}

fn print_plan(plan: &PlanReport, out: &mut dyn Write) -> anyhow::Result<()> {
    if !plan.changes.is_empty() {
        let (id, from, to, tokens) = ("id", "from", "to", "tokens");
        writeln!(
            out,
            "{id:38}  {from:12}  {to:20}  {tokens:>6} {:9}  why",
            ""
        )?;
    }
    for line in &plan.changes {
        writeln!(
            out,
            "{:38}  {:12}  {:20}  {:>6} to {:<6}  {}",
            line.id, line.from, line.to, line.tokens_before, line.tokens_after, line.why
        )?;
    }
    let listed = u64::try_from(plan.changes.len()).unwrap_or(u64::MAX);
    if plan.items_affected > listed {
        writeln!(out, "and {} more", plan.items_affected - listed)?;
    }
    write!(
        out,
        "{}: {} of {} would change, {} tokens to {}",
        plan.job_type.as_str(),
        plan.items_affected,
        plan.items_processed,
        plan.tokens_before,
        plan.tokens_after
    )?;
    if let Some(why) = &plan.skipped {
        write!(out, " (skipped: {why})")?;
    }
    Ok(writeln!(out)?)
}

fn status(session: &Session, out: &mut dyn Write) -> anyhow::Result<()> {
    let status = session.services.consolidation_status(&session.caller)?;
    if session.json {
        return print_json(out, &status);
    }
    // A running server has settings of its own, which this command cannot see.
    writeln!(
        out,
        "schedule  {} (by this command's settings)",
        status.schedule
    )?;
    if let Some(next) = status.next_run {
        writeln!(out, "next run  {next}")?;
    }
    let days = &status.thresholds;
    writeln!(
        out,
        "handoffs  summary after {} days, one line after {}, integrated after {}",
        days.summary_days, days.quick_ref_days, days.integrated_days
    )?;
    writeln!(
        out,
        "decisions archived after {} days; principles from {} statements",
        days.archive_days, days.statements
    )?;
    writeln!(
        out,
        "copies    have a clock of their own (serve --backup), and are no part of maintenance"
    )?;
    print_jobs(session, &status.last, out)
}

fn print_jobs(
    session: &Session,
    jobs: &[ConsolidationJob],
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    if session.json {
        return print_json(out, &serde_json::json!({"jobs": jobs}));
    }
    for job in jobs {
        let work = &job.work;
        write!(
            out,
            "{}  {}  {:22}  {:9}  {} of {} changed, {} tokens to {}",
            job.job_id,
            job.started_at,
            job.job_type.as_str(),
            job.status.as_str(),
            work.items_affected,
            work.items_processed,
            work.tokens_before,
            work.tokens_after
        )?;
        if let Some(error) = &job.error {
            write!(out, "; {}", one_line(error, 120))?;
        }
        if let Some(at) = job.undone_at {
            write!(out, "; undone {at}")?;
        }
        writeln!(out)?;
    }
    Ok(())
}
