//! `agent-memory hook`.
//!
//! **Invariant:** what a coding agent calls exits 0, whatever happens: some agents take another code for a veto.

use std::io::{self, IsTerminal as _, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Subcommand, ValueEnum};

use crate::app;
use crate::cli::{Cli, Command, Session, print_json};
use crate::client::hook::{Hook, Occasion};
use crate::client::spool::Spool;
use crate::client::switch;
use crate::clock::Clock;
use crate::config::{self, Global};
use crate::domain::Invalid;
use crate::domain::transcript::{Capture, Client};
use crate::service::Limits;
use crate::store::Role;

/// Most that is read of standard input; a prompt with what was pasted into it.
const MAX_INPUT_BYTES: u64 = 16 * 1024 * 1024;
/// How long a write of a hook waits for other processes; an agent gives the end of a session a second and a half.
const WRITE_WAIT: Duration = Duration::from_millis(400);
/// The hooks that an agent calls.
const CALLED: [&str; 5] = [
    "session-start",
    "prompt",
    "pre-compact",
    "stop",
    "session-end",
];

/// What a coding agent calls, and switching that off.
#[derive(Debug, Subcommand)]
pub(super) enum HookCommand {
    /// Give the agent what earlier sessions left
    SessionStart(HookArgs),
    /// Give the agent what is known of what was just asked
    Prompt(HookArgs),
    /// Record before the agent shortens what it remembers
    PreCompact(HookArgs),
    /// Record after the agent has answered
    Stop(HookArgs),
    /// Record at the end of a session
    SessionEnd(HookArgs),
    /// Switch hooks off
    Pause {
        /// For how long, such as 30m, 1h or 2d [default: until `hook resume`]
        #[arg(long = "for", value_name = "TIME")]
        time: Option<String>,
    },
    /// Switch hooks on again
    Resume,
    /// Store what waits in the spool now
    Replay,
}

/// Flags of what an agent calls.
#[derive(Debug, Args)]
pub(super) struct HookArgs {
    /// Which agent calls
    #[arg(long, value_name = "NAME", default_value = "claude-code")]
    client: ClientArg,
    /// How much is recorded
    #[arg(
        long,
        env = "AGENT_MEMORY_CAPTURE",
        value_name = "WHAT",
        default_value = "all"
    )]
    capture: CaptureArg,
    /// With whom the agent works
    #[arg(long, env = "USER", value_name = "NAME", default_value = "user")]
    with_whom: String,
    /// Most memories that a prompt brings up; 0 for none
    #[arg(long, env = "AGENT_MEMORY_PROMPT_RECALL", value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(0..=20))]
    recall: u8,
    /// Tokens that the wake-up at a session's start may have
    #[arg(long, env = "AGENT_MEMORY_WAKE_UP_TOKENS", value_name = "N")]
    max_tokens: Option<i64>,
}

/// Which agent calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ClientArg {
    /// Anthropic's Claude Code.
    ClaudeCode,
    /// Codex of `OpenAI`.
    Codex,
    /// Cursor.
    Cursor,
}

impl ClientArg {
    /// The same in the domain's words.
    pub(super) fn client(self) -> Client {
        match self {
            Self::ClaudeCode => Client::ClaudeCode,
            Self::Codex => Client::Codex,
            Self::Cursor => Client::Cursor,
        }
    }
}

/// How much is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum CaptureArg {
    /// Nothing.
    Off,
    /// What the person and the agent say.
    Messages,
    /// Tool calls and their results as well.
    All,
}

impl CaptureArg {
    /// The same in the domain's words.
    pub(super) fn capture(self) -> Capture {
        match self {
            Self::Off => Capture::Off,
            Self::Messages => Capture::Messages,
            Self::All => Capture::All,
        }
    }
}

/// Whether this process was called by an agent.
pub(super) fn is_called() -> bool {
    let mut args = std::env::args_os().skip(1);
    while let Some(arg) = args.next() {
        match arg.to_str() {
            Some("--db" | "--tenant") => drop(args.next()),
            Some("hook") => {
                let next = args.next();
                return next.is_some_and(|next| CALLED.iter().any(|name| next == **name));
            }
            Some(flag) if flag.starts_with("--") => {}
            _ => return false,
        }
    }
    false
}

/// Runs what an agent called. Always succeeds; what goes wrong is said on standard error.
pub(super) fn main() -> ExitCode {
    let outcome = catch_unwind(AssertUnwindSafe(|| -> anyhow::Result<()> {
        let matches = match Cli::command().try_get_matches() {
            Ok(matches) => matches,
            Err(error) => {
                // Help among them.
                return error.print().map_err(Into::into);
            }
        };
        let cli = Cli::from_arg_matches(&matches).context("the arguments cannot be read")?;
        let Some(Command::Hook(command)) = &cli.command else {
            return Ok(());
        };
        let mut out = io::BufWriter::new(io::stdout().lock());
        run(&cli.global, command, &mut io::stdin().lock(), &mut out)?;
        Ok(out.flush()?)
    }));
    if let Ok(Err(error)) = outcome {
        // Nothing can be done if standard error is closed.
        drop(writeln!(io::stderr(), "agent-memory: {error:#}"));
    }
    ExitCode::SUCCESS
}

pub(super) fn run(
    global: &Global,
    command: &HookCommand,
    input: &mut dyn Read,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let (occasion, args) = match command {
        HookCommand::SessionStart(args) => (Occasion::SessionStart, args),
        HookCommand::Prompt(args) => (Occasion::Prompt, args),
        HookCommand::PreCompact(args) => (Occasion::PreCompact, args),
        HookCommand::Stop(args) => (Occasion::Stop, args),
        HookCommand::SessionEnd(args) => (Occasion::SessionEnd, args),
        HookCommand::Pause { time } => return pause(global, time.as_deref(), out),
        HookCommand::Resume => {
            let was_off = switch::resume(&config::database(global)?)?;
            let said = if was_off {
                "hooks are on again"
            } else {
                "hooks were on"
            };
            return Ok(writeln!(out, "{said}")?);
        }
        HookCommand::Replay => return replay(global, out),
    };
    let hook = hook(global, args)?;
    let mut bytes = Vec::new();
    if !io::stdin().is_terminal() {
        input.take(MAX_INPUT_BYTES).read_to_end(&mut bytes)?;
    }
    let mut options = config::store_options(global, Role::Command)?;
    options.write_wait = WRITE_WAIT;
    let open = || app::open(&options, Clock::System, LIMITS);
    let answer = hook.run(occasion, &bytes, Clock::System.now(), open);
    if let Some(output) = answer.output {
        serde_json::to_writer(&mut *out, &output).map_err(io::Error::from)?;
        writeln!(out)?;
    }
    out.flush()?;
    for problem in answer.problems {
        drop(writeln!(io::stderr(), "agent-memory: {problem}"));
    }
    Ok(())
}

/// What was cut out of a session already needs no artifact.
const LIMITS: Limits = Limits {
    max_artifact_bytes: 16 * 1024 * 1024,
};

fn hook(global: &Global, args: &HookArgs) -> anyhow::Result<Hook> {
    let db = config::database(global)?;
    let with_whom = args.with_whom.trim();
    Ok(Hook {
        spool: Spool::new(config::spool_places(&db)),
        db,
        tenant: config::tenant(global)?,
        client: args.client.client(),
        capture: args.capture.capture(),
        with_whom: if with_whom.is_empty() {
            "user"
        } else {
            with_whom
        }
        .to_owned(),
        recall: args.recall,
        max_tokens: args.max_tokens,
        directory: std::env::current_dir().unwrap_or_default(),
    })
}

fn pause(global: &Global, time: Option<&str>, out: &mut dyn Write) -> anyhow::Result<()> {
    let db = config::database(global)?;
    let until = time
        .map(|time| Ok::<_, Invalid>(Clock::System.now().plus_millis(millis(time)?)))
        .transpose()?;
    switch::pause(&db, until)
        .with_context(|| format!("hooks on {} cannot be paused", db.display()))?;
    match until {
        Some(until) => writeln!(out, "hooks are off until {until}")?,
        None => writeln!(out, "hooks are off until `agent-memory hook resume`")?,
    }
    Ok(())
}

/// Milliseconds of `30m`, `1h`, `2d` or `45s`.
fn millis(time: &str) -> Result<i64, Invalid> {
    let wrong = || Invalid::new("--for", "is not a time such as 30m, 1h or 2d");
    let unit = match time.chars().last() {
        Some('s') => 1_000,
        Some('m') => 60_000,
        Some('h') => 3_600_000,
        Some('d') => 86_400_000,
        _ => return Err(wrong()),
    };
    let number: i64 = time
        .get(..time.len() - 1)
        .and_then(|number| number.parse().ok())
        .filter(|number| *number > 0)
        .ok_or_else(wrong)?;
    number.checked_mul(unit).ok_or_else(wrong)
}

fn replay(global: &Global, out: &mut dyn Write) -> anyhow::Result<()> {
    let spool = Spool::new(config::spool_places(&config::database(global)?));
    let session = Session::open(global)?;
    let stored = spool.replay(&session.services, None)?;
    let left = spool.waiting();
    if global.json {
        return print_json(out, &serde_json::json!({"stored": stored, "waiting": left}));
    }
    writeln!(
        out,
        "stored {stored} stretches, {} places still wait",
        left.len()
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_number_and_a_unit() {
        assert_eq!(millis("90m"), Ok(5_400_000));
        assert_eq!(millis("2d"), Ok(172_800_000));
        for wrong in ["", "h", "1", "-1h", "1w", "1.5h", "é", "99999999999999999d"] {
            assert!(millis(wrong).is_err(), "{wrong}");
        }
    }
}
