//! The command line. Every command works on the file, with or without a running server.
//!
//! **Invariant:** prints to the writer it is given, and says each failure once, on standard error, with an exit code
//! that a script can go by.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use serde::Serialize;

use crate::app;
use crate::clock::Clock;
use crate::config::{self, Global, ServeArgs};
use crate::domain::{Caller, Invalid, redact};
use crate::service::{Error, ImportCause, Limits, Services};
use crate::store::{CopyError, OpenError, Options, Role};

mod audit;
mod backup;
mod config_command;
mod consolidate;
mod context;
mod decide;
mod doctor;
mod export;
mod fetch;
mod forget;
mod handoff;
mod history;
mod hook;
mod import;
mod install;
mod key;
mod list;
mod mcp;
mod migrate;
mod note;
mod project;
mod recall;
mod record;
mod rescan;
mod serve;
mod service;
mod show;
mod status;
mod wake_up;

/// The memory AI agents keep between sessions
#[derive(Debug, Parser)]
#[command(name = "agent-memory", version = version(), max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server; what a bare `agent-memory` does
    Serve(Box<ServeArgs>),
    /// Record an event, or many from standard input
    Record(record::RecordArgs),
    /// Write a handoff for the next session
    Handoff(Box<handoff::HandoffArgs>),
    /// Record a decision, or put it in the place of another
    Decide(Box<decide::DecideArgs>),
    /// Keep a fact or a lesson
    Note(note::NoteArgs),
    /// Read what the next session should know
    WakeUp(wake_up::WakeUpArgs),
    /// Search everything remembered
    Recall(recall::RecallArgs),
    /// Pack what is relevant for a task into a budget of tokens
    Context(context::ContextArgs),
    /// List events, handoffs, decisions, knowledge, reflections, principles, sessions or projects
    List(list::ListArgs),
    /// Show one thing by its id
    Show(show::ShowArgs),
    /// Forget one thing by its id, a session or a whole tenant, for good
    Forget(forget::ForgetArgs),
    /// Make old memory cheaper to load without losing any of it: preview, run, status, undo
    Consolidate(Box<consolidate::ConsolidateArgs>),
    /// Write everything of the tenant as JSON lines
    Export(export::ExportArgs),
    /// Store what an export wrote; the same again changes nothing
    Import(import::ImportArgs),
    /// Copy the memory to a file, beside whoever uses it
    Backup(backup::BackupArgs),
    /// Put a copy in the place of the memory; what was there is kept
    Restore(backup::RestoreArgs),
    /// Speak the Model Context Protocol on standard input and output, as clients start it
    Mcp(mcp::McpArgs),
    /// Look through what is stored for secrets that today's rules know, and replace them
    Rescan(rescan::RescanArgs),
    /// Say what the file holds
    Status,
    /// Check the file, or explain the metrics of a running server
    Doctor(doctor::DoctorArgs),
    /// Make, list and revoke the keys of the API
    Key(key::KeyArgs),
    /// Show who did what
    Audit(audit::AuditArgs),
    /// Bring the file to this version's schema, after a copy
    Migrate,
    /// What a coding agent calls at the turns of its sessions, and switching that off
    #[command(subcommand)]
    Hook(hook::HookCommand),
    /// Put hooks and MCP server into a coding agent's settings, or take them out
    Install(Box<install::InstallArgs>),
    /// Keep a server running, with systemd or launchd
    #[command(subcommand)]
    Service(service::ServiceCommand),
    /// The project of a directory, all projects, and other names for one
    #[command(subcommand)]
    Project(project::ProjectCommand),
    /// Print the effective settings of the server and where each comes from
    Config(Box<ServeArgs>),
}

fn version() -> String {
    format!(
        "{} (schema {})",
        env!("CARGO_PKG_VERSION"),
        crate::store::sqlite::schema_version()
    )
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    if hook::is_called() {
        return hook::main();
    }
    let mut out = io::BufWriter::new(io::stdout().lock());
    let outcome = run(&mut out).and_then(|()| out.flush().map_err(Into::into));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            drop(out);
            let code = exit_code(&error);
            // Nothing can be done if standard error is closed.
            drop(writeln!(io::stderr(), "agent-memory: {error:#}"));
            ExitCode::from(code)
        }
    }
}

fn run(out: &mut dyn Write) -> anyhow::Result<()> {
    let matches = Cli::command().get_matches();
    let cli = Cli::from_arg_matches(&matches).context("the arguments cannot be read")?;
    let global = &cli.global;
    redact::switch(global.redact == config::RedactArg::On);
    match cli.command {
        None => serve::run(global, &cli.serve),
        Some(Command::Serve(args)) => serve::run(global, &args),
        Some(Command::Record(args)) => record::run(global, &args, &mut io::stdin().lock(), out),
        Some(Command::Handoff(args)) => handoff::run(global, &args, &mut io::stdin().lock(), out),
        Some(Command::Decide(args)) => decide::run(global, &args, out),
        Some(Command::Note(args)) => note::run(global, &args, out),
        Some(Command::WakeUp(args)) => wake_up::run(global, &args, out),
        Some(Command::Recall(args)) => recall::run(global, &args, out),
        Some(Command::Context(args)) => context::run(global, &args, out),
        Some(Command::Hook(command)) => hook::run(global, &command, &mut io::stdin().lock(), out),
        Some(Command::Install(args)) => install::run(global, &args, out),
        Some(Command::Service(command)) => service::run(global, &command, out),
        Some(Command::Project(command)) => project::run(global, &command, out),
        Some(Command::List(args)) => list::run(global, &args, out),
        Some(Command::Show(args)) => show::run(global, &args, out),
        Some(Command::Forget(args)) => forget::run(global, &args, out),
        Some(Command::Consolidate(args)) => consolidate::run(global, &args, out),
        Some(Command::Export(args)) => export::run(global, &args, out),
        Some(Command::Import(args)) => import::run(global, &args, out),
        Some(Command::Backup(args)) => backup::back_up(global, &args, out),
        Some(Command::Restore(args)) => backup::restore(global, &args, out),
        Some(Command::Mcp(args)) => mcp::run(global, &args, &mut io::stdin().lock(), out),
        Some(Command::Rescan(args)) => rescan::run(global, &args, out),
        Some(Command::Status) => status::run(global, out),
        Some(Command::Doctor(args)) => doctor::run(global, &args, out),
        Some(Command::Key(args)) => key::run(global, &args, out),
        Some(Command::Audit(args)) => audit::run(global, &args, out),
        Some(Command::Migrate) => migrate::run(global, out),
        Some(Command::Config(args)) => {
            let matches = matches.subcommand_matches("config").unwrap_or(&matches);
            config_command::run(global, &args, matches, out)
        }
    }
}

/// A failure that has its own exit code and message.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
struct Failure {
    code: u8,
    message: String,
}

fn exit_code(error: &anyhow::Error) -> u8 {
    for cause in error.chain() {
        if let Some(error) = cause.downcast_ref::<Error>() {
            return service_exit_code(error);
        }
        if cause.is::<Invalid>() {
            return 2;
        }
        if let Some(error) = cause.downcast_ref::<OpenError>() {
            return open_exit_code(error);
        }
        if let Some(error) = cause.downcast_ref::<CopyError>() {
            return match error {
                CopyError::InTheWay(_) => 5,
                CopyError::Open(error) => open_exit_code(error),
                CopyError::Stopped => 75,
                CopyError::Refused(_) | CopyError::NoRoom { .. } | CopyError::Failed { .. } => 74,
            };
        }
        if let Some(failure) = cause.downcast_ref::<Failure>() {
            return failure.code;
        }
    }
    1
}

fn open_exit_code(error: &OpenError) -> u8 {
    match error {
        OpenError::NeedsMigration { .. } | OpenError::Busy { .. } => 75,
        OpenError::Unusable { .. } => 74,
    }
}

/// Exit codes of the service's errors; 74 and 75 are those of sysexits.h for I/O and "try again".
fn service_exit_code(error: &Error) -> u8 {
    match error {
        Error::Invalid(_) | Error::TooLarge(_) => 2,
        Error::Unauthenticated | Error::Forbidden(_) => 3,
        Error::NotFound(_) => 4,
        Error::Conflict(_) | Error::Depends(_) => 5,
        Error::RateLimited | Error::Timeout | Error::Overloaded | Error::Unavailable(_) => 75,
        Error::Import(failure) => match &failure.cause {
            ImportCause::Unparsable(_) | ImportCause::Wrong(_) => 2,
            ImportCause::Failed(error) => service_exit_code(error),
        },
        Error::Internal(_) => 1,
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    })
}

/// A command's way to the memory.
struct Session {
    services: Services,
    caller: Caller,
    json: bool,
}

impl Session {
    /// Opens the file for a command, creating it if it is missing.
    fn open(global: &Global) -> anyhow::Result<Self> {
        Self::open_for(global, |_| {})
    }

    /// The same with settings of the command's own.
    fn open_for(global: &Global, set: impl FnOnce(&mut Options)) -> anyhow::Result<Self> {
        let mut options = config::store_options(global, Role::Command)?;
        set(&mut options);
        let limits = Limits {
            max_artifact_bytes: 16 * 1024 * 1024,
        };
        let services = app::open(&options, Clock::System, limits)?;
        Ok(Self {
            services,
            caller: Caller::local(config::tenant(global)?),
            json: global.json,
        })
    }

    /// Opens the file only if it is there.
    fn open_existing(global: &Global) -> anyhow::Result<Self> {
        let path = config::database(global)?;
        if !path.exists() {
            let message = format!(
                "there is no memory at {}; the first write or `agent-memory serve` creates it",
                path.display()
            );
            return Err(Failure { code: 4, message }.into());
        }
        Self::open(global)
    }
}

/// Prints a value as indented JSON.
fn print_json(out: &mut dyn Write, value: &impl Serialize) -> anyhow::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value).map_err(io::Error::from)?;
    Ok(writeln!(out)?)
}

/// At most `most` characters of a text, on one line.
fn one_line(text: &str, most: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    // What a terminal would obey is not printed.
    let line: String = line.chars().filter(|char| !char.is_control()).collect();
    match line.char_indices().nth(most) {
        Some((cut, _)) => format!("{}…", line.get(..cut).unwrap_or_default()),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verify_cli() {
        Cli::command().debug_assert();
    }

    #[test]
    fn one_line_is_one_line() {
        assert_eq!(one_line("a\nb\u{1b}[31m  c", 80), "a b[31m c");
        assert_eq!(one_line("äöü", 2), "äö…");
    }
}
