//! `agent-memory service`.
//!
//! **Invariant:** what the platform's own tool did not do is said, with the command that does it.

use std::io::{self, Write};
use std::process::{Command, Stdio};

use anyhow::Context as _;
use clap::{Args, Subcommand};

use crate::cli::Failure;
use crate::cli::install::{binary, flags};
use crate::client::install::Homes;
use crate::client::unit::{self, Platform};
use crate::config::Global;

/// What to do with the service.
#[derive(Debug, Subcommand)]
pub(super) enum ServiceCommand {
    /// Keep a server running for this user, from now on and at each login
    Install(ServiceArgs),
    /// Stop it and take the service out
    Uninstall,
    /// Say whether there is one and whether it runs
    Status,
}

/// Flags of `service install`.
#[derive(Debug, Args)]
pub(super) struct ServiceArgs {
    /// Write the file and start nothing
    #[arg(long)]
    no_start: bool,
    /// Print the file and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Flags for `serve`, after `--`
    #[arg(last = true, value_name = "FLAGS")]
    serve: Vec<String>,
}

pub(super) fn run(
    global: &Global,
    command: &ServiceCommand,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let base = directories::BaseDirs::new().context("this system names no home directory")?;
    let platform = Platform::here();
    let file = platform.file(base.home_dir(), base.config_dir());
    let commands = platform.commands(&file);
    match command {
        ServiceCommand::Install(args) => {
            let mut words = flags(global)?;
            words.push("serve".to_owned());
            words.extend(args.serve.iter().cloned());
            let text = platform.text(&binary()?, &words);
            if args.dry_run {
                return Ok(write!(out, "{text}")?);
            }
            let is_new = unit::write(&file, &text)
                .with_context(|| format!("cannot write {}", file.display()))?;
            let what = if is_new { "wrote" } else { "as it should be:" };
            writeln!(out, "{what} {}", file.display())?;
            if args.no_start {
                return Ok(());
            }
            drive(&commands.start, out)?;
            Ok(writeln!(out, "the server runs, now and at each login")?)
        }
        ServiceCommand::Uninstall => {
            if !file.exists() {
                return Ok(writeln!(out, "there is no service at {}", file.display())?);
            }
            // It may not run, or not be known; the file goes in any case.
            let stopped = drive(&commands.stop, out);
            std::fs::remove_file(&file)
                .with_context(|| format!("cannot delete {}", file.display()))?;
            writeln!(out, "deleted {}", file.display())?;
            stopped
        }
        ServiceCommand::Status => {
            if !file.exists() {
                let message = format!("there is no service at {}", file.display());
                return Err(Failure { code: 4, message }.into());
            }
            writeln!(out, "installed at {}", file.display())?;
            if succeeds(&commands.ask)? {
                return Ok(writeln!(out, "it runs")?);
            }
            let message = "it does not run".to_owned();
            Err(Failure { code: 1, message }.into())
        }
    }
}

/// Takes the service out as part of taking everything out.
pub(super) fn remove(homes: &Homes, dry_run: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    let platform = Platform::here();
    let file = platform.file(&homes.home, &homes.config);
    if !file.exists() {
        return Ok(());
    }
    if dry_run {
        return Ok(writeln!(
            out,
            "would stop the service and delete {}",
            file.display()
        )?);
    }
    // Without the platform's tool there is nothing that could run it.
    let _stopped = drive(&platform.commands(&file).stop, out);
    std::fs::remove_file(&file).with_context(|| format!("cannot delete {}", file.display()))?;
    Ok(writeln!(out, "deleted {}", file.display())?)
}

/// Runs commands one after the other, up to the first that fails.
fn drive(commands: &[Vec<String>], out: &mut dyn Write) -> anyhow::Result<()> {
    out.flush()?;
    for (at, command) in commands.iter().enumerate() {
        if succeeds(command)? {
            continue;
        }
        let left: Vec<String> = commands
            .iter()
            .skip(at)
            .map(|words| words.join(" "))
            .collect();
        let message = format!(
            "`{}` did not work; when it can, run: {}",
            command.join(" "),
            left.join(" && ")
        );
        return Err(Failure { code: 1, message }.into());
    }
    Ok(())
}

fn succeeds(words: &[String]) -> anyhow::Result<bool> {
    let Some((program, args)) = words.split_first() else {
        return Ok(false);
    };
    let mut command = Command::new(program);
    command
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    match command.status() {
        Ok(status) => Ok(status.success()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("{program} cannot be run")),
    }
}
