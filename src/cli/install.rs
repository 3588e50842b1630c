//! `agent-memory install`.
//!
//! **Invariant:** prints each file that it changed, or would change, and asks for `--yes` before it deletes a memory.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::cli::hook::CaptureArg;
use crate::cli::{Failure, print_json, service};
use crate::client::install::{Change, Done, Homes, Invocation, Standing, Target};
use crate::config::{self, Global};
use crate::domain::DEFAULT_TENANT;

/// Flags of `install`.
#[derive(Debug, Args)]
pub(super) struct InstallArgs {
    /// The coding agent
    #[arg(required_unless_present_any = ["list", "purge"], value_name = "CLIENT")]
    client: Option<TargetArg>,
    /// Take out what was installed
    #[arg(long)]
    uninstall: bool,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Say what is installed where
    #[arg(long, conflicts_with_all = ["client", "uninstall", "purge"])]
    list: bool,
    /// With --uninstall: of every agent, with the copies of their settings, the service, and the memory itself
    #[arg(long, requires = "uninstall", conflicts_with = "client")]
    purge: bool,
    /// Delete the memory without asking back
    #[arg(long, requires = "purge")]
    yes: bool,
    /// How much the hooks record: off, messages or all [default: all]
    #[arg(long, value_name = "WHAT", conflicts_with = "uninstall")]
    capture: Option<CaptureArg>,
    #[command(flatten)]
    places: PlaceArgs,
}

/// Where agents were told to keep their settings; their own variables.
#[derive(Debug, Args)]
pub(super) struct PlaceArgs {
    #[arg(long, env = "CLAUDE_CONFIG_DIR", hide = true)]
    claude_config_dir: Option<PathBuf>,
    #[arg(long, env = "CODEX_HOME", hide = true)]
    codex_home: Option<PathBuf>,
    #[arg(long, env = "VSCODE_PORTABLE", hide = true)]
    vscode_portable: Option<PathBuf>,
}

/// A coding agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TargetArg {
    ClaudeCode,
    Codex,
    Cursor,
    #[value(name = "vscode")]
    VsCode,
    ClaudeDesktop,
}

impl TargetArg {
    fn target(self) -> Target {
        match self {
            Self::ClaudeCode => Target::ClaudeCode,
            Self::Codex => Target::Codex,
            Self::Cursor => Target::Cursor,
            Self::VsCode => Target::VsCode,
            Self::ClaudeDesktop => Target::ClaudeDesktop,
        }
    }
}

/// What was done for one agent.
#[derive(Debug, Serialize)]
struct Report {
    client: &'static str,
    dry_run: bool,
    changes: Vec<Change>,
}

pub(super) fn run(global: &Global, args: &InstallArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    let homes = homes(&args.places)?;
    if args.list {
        return list(global, &homes, out);
    }
    let Some(client) = args.client else {
        return purge(global, args, &homes, out);
    };
    let target = client.target();
    if args.uninstall {
        let changes = target.uninstall(&homes, args.dry_run)?;
        return report(global, target, args.dry_run, changes, out);
    }
    let how = invocation(global, args.capture)?;
    let changes = target.install(&homes, &how, args.dry_run)?;
    let is_new = changes.iter().any(|change| change.what.is_change());
    report(global, target, args.dry_run, changes, out)?;
    if is_new && !args.dry_run && !global.json {
        writeln!(out, "{}: {}", target.as_str(), target.next_step())?;
    }
    Ok(())
}

fn homes(places: &PlaceArgs) -> anyhow::Result<Homes> {
    let base = directories::BaseDirs::new().context("this system names no home directory")?;
    let named = |path: &Option<PathBuf>| path.clone().filter(|path| !path.as_os_str().is_empty());
    Ok(Homes {
        home: base.home_dir().to_owned(),
        config: base.config_dir().to_owned(),
        claude: named(&places.claude_config_dir),
        codex: named(&places.codex_home),
        vscode: named(&places.vscode_portable),
    })
}

/// How agents call this binary: by its path, with the file and tenant that were named here.
fn invocation(global: &Global, capture: Option<CaptureArg>) -> anyhow::Result<Invocation> {
    let mut hook_flags = Vec::new();
    if let Some(capture) = capture.and_then(|capture| capture.to_possible_value()) {
        hook_flags = vec!["--capture".to_owned(), capture.get_name().to_owned()];
    }
    Ok(Invocation {
        binary: binary()?,
        flags: flags(global)?,
        hook_flags,
    })
}

/// The path of this binary.
pub(super) fn binary() -> anyhow::Result<String> {
    let path = std::env::current_exe().context("the path of this program is not known")?;
    path.into_os_string().into_string().map_err(|path| {
        anyhow::anyhow!("the path of this program is not UTF-8: {}", path.display())
    })
}

/// The flags that say which memory it is, where they were given.
pub(super) fn flags(global: &Global) -> anyhow::Result<Vec<String>> {
    let mut flags = Vec::new();
    if let Some(db) = &global.db {
        // An agent runs it elsewhere.
        let db = std::path::absolute(db).context("--db cannot be made absolute")?;
        let db = db.into_os_string().into_string();
        let db = db.map_err(|db| anyhow::anyhow!("--db is not UTF-8: {}", db.display()))?;
        flags.extend(["--db".to_owned(), db]);
    }
    if global.tenant != DEFAULT_TENANT {
        flags.extend(["--tenant".to_owned(), global.tenant.clone()]);
    }
    Ok(flags)
}

fn report(
    global: &Global,
    target: Target,
    dry_run: bool,
    changes: Vec<Change>,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let client = target.as_str();
    if global.json {
        let report = Report {
            client,
            dry_run,
            changes,
        };
        return print_json(out, &report);
    }
    if changes.is_empty() {
        writeln!(
            out,
            "{client}: there is nothing of agent-memory in its settings"
        )?;
    }
    for change in changes {
        let (entry, file) = (change.entry, change.file.display());
        let what = match (change.what, dry_run) {
            (Done::Added, false) => "added",
            (Done::Added, true) => "would add",
            (Done::Updated, false) => "changed",
            (Done::Updated, true) => "would change",
            (Done::Removed, false) => "removed",
            (Done::Removed, true) => "would remove",
            (Done::Unchanged, _) => "as it should be:",
            (Done::Absent, _) => "not there:",
        };
        writeln!(out, "{client}: {what} {entry} in {file}")?;
    }
    Ok(())
}

fn list(global: &Global, homes: &Homes, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut standings: Vec<Standing> = Vec::new();
    for target in Target::ALL {
        match target.standing(homes) {
            Ok(standing) => standings.push(standing),
            // The others are worth knowing all the same.
            Err(error) if !global.json => writeln!(out, "{:15} {error}", target.as_str())?,
            Err(error) => return Err(error.into()),
        }
    }
    if global.json {
        return print_json(out, &serde_json::json!({ "clients": standings }));
    }
    for standing in standings {
        let hooks = match standing.hooks {
            (_, 0) => "takes no hooks".to_owned(),
            (there, all) => format!("{there} of {all} hooks"),
        };
        let mcp = if standing.mcp {
            "MCP server"
        } else {
            "no MCP server"
        };
        let files: Vec<String> = standing
            .files
            .iter()
            .map(|file| file.display().to_string())
            .collect();
        writeln!(
            out,
            "{:15} {hooks}, {mcp}  ({})",
            standing.client,
            files.join(", ")
        )?;
    }
    Ok(())
}

/// Everything, everywhere. The memory goes only with `--yes`.
fn purge(
    global: &Global,
    args: &InstallArgs,
    homes: &Homes,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let db = config::database(global)?;
    let memory = files_of(&db);
    if !args.dry_run && !args.yes && !memory.is_empty() {
        let message = format!(
            "this deletes the memory at {} for good; export it first if it may be needed, then say --yes",
            db.display()
        );
        return Err(Failure { code: 2, message }.into());
    }
    for target in Target::ALL {
        let changes = target.uninstall(homes, args.dry_run)?;
        report(global, target, args.dry_run, changes, out)?;
    }
    service::remove(homes, args.dry_run, out)?;
    if !args.dry_run {
        refuse_if_used(&db)?;
    }
    let copies = Target::ALL.iter().flat_map(|target| target.backups(homes));
    for file in copies.chain(memory) {
        if args.dry_run {
            writeln!(out, "would delete {}", file.display())?;
            continue;
        }
        fs::remove_file(&file).with_context(|| format!("cannot delete {}", file.display()))?;
        writeln!(out, "deleted {}", file.display())?;
    }
    Ok(())
}

/// The files of a memory: itself, what stands beside it, its spools.
fn files_of(db: &Path) -> Vec<PathBuf> {
    let (Some(parent), Some(name)) = (db.parent(), db.file_name().and_then(|name| name.to_str()))
    else {
        return Vec::new();
    };
    let is_ours = |file: &str| {
        let Some(rest) = file.strip_prefix(name) else {
            return false;
        };
        let backup = rest.starts_with(".v") && rest.contains(".bak");
        let known = [
            "",
            "-wal",
            "-shm",
            ".lock",
            ".gate",
            ".turn",
            ".keys",
            ".spool",
            ".spool.lock",
            ".spool.part",
            ".paused",
        ];
        backup || known.contains(&rest)
    };
    let mut files: Vec<PathBuf> = fs::read_dir(parent)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_file())
        .filter(|path| {
            path.file_name()
                .and_then(|name| name.to_str())
                .is_some_and(is_ours)
        })
        .collect();
    files.sort();
    let elsewhere = config::spool_places(db).into_iter().skip(1);
    files.extend(elsewhere.filter(|path| path.exists()));
    files
}

fn refuse_if_used(db: &Path) -> anyhow::Result<()> {
    let lock = crate::client::settings::with_suffix(db, ".lock");
    let Ok(file) = File::open(&lock) else {
        return Ok(());
    };
    if file.try_lock().is_err() {
        let message = format!("{} is in use; stop what uses it first", db.display());
        return Err(Failure { code: 75, message }.into());
    }
    Ok(())
}
