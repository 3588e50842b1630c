//! `agent-memory backup` and `agent-memory restore`.
//!
//! **Invariant:** what is under the name that was given is whole, whatever ends the command.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Write};
use std::path::PathBuf;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::{Session, print_json};
use crate::clock::Clock;
use crate::config::{self, Global};
use crate::store::{Follow, Role, Store};

/// Flags of `backup`.
#[derive(Debug, Args)]
pub(super) struct BackupArgs {
    /// Where to copy the memory to; its manifest goes beside it, as FILE.manifest.json
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Replace a copy that is there
    #[arg(long)]
    force: bool,
    /// Make no copy, but look at the one that is there: whether it is sound, and what its manifest says
    #[arg(long, conflicts_with = "force")]
    check: bool,
}

/// Flags of `restore`.
#[derive(Debug, Args)]
pub(super) struct RestoreArgs {
    /// The copy to put in the memory's place
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Even if there is a memory that holds something; it is kept beside it
    #[arg(long)]
    force: bool,
}

pub(super) fn back_up(
    global: &Global,
    args: &BackupArgs,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    if args.check {
        let found = Store::check_copy(&args.file)?;
        if global.json {
            return print_json(out, &found);
        }
        writeln!(
            out,
            "{} is sound: schema {}, {}; {}",
            args.file.display(),
            found.schema,
            listed(&found.counts),
            if found.manifest {
                "it is what its manifest says"
            } else {
                "it has no manifest"
            }
        )?;
        return Ok(());
    }
    let session = Session::open_existing(global)?;
    let bar = progress();
    let follow = Follow {
        stop: &|| false,
        told: &|done, all| {
            bar.set_length(all);
            bar.set_position(done);
        },
    };
    let made = session.services.back_up(&args.file, args.force, follow);
    bar.finish_and_clear();
    let manifest = made?;
    if global.json {
        return print_json(out, &manifest);
    }
    Ok(writeln!(
        out,
        "{}: {} bytes, schema {}, {}; checked, SHA-256 {}",
        args.file.display(),
        manifest.bytes,
        manifest.schema,
        listed(&manifest.counts),
        manifest.sha256
    )?)
}

pub(super) fn restore(
    global: &Global,
    args: &RestoreArgs,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let options = config::store_options(global, Role::Command)?;
    let restored = Store::restore(&options, &args.file, args.force, Clock::System.now())?;
    if global.json {
        return print_json(out, &restored);
    }
    writeln!(
        out,
        "{} is {} now: schema {}, {}{}",
        options.path.display(),
        args.file.display(),
        restored.schema,
        listed(&restored.counts),
        if restored.manifest {
            "; it is what its manifest says"
        } else {
            "; it had no manifest, and was checked by itself"
        }
    )?;
    if let Some(kept) = &restored.kept {
        writeln!(
            out,
            "what was there is {}: remove it when it is not needed any more",
            kept.display()
        )?;
    }
    if restored.revoked > 0 {
        writeln!(
            out,
            "{} keys that were revoked since the copy was made are revoked in it too",
            restored.revoked
        )?;
    }
    for note in &restored.notes {
        writeln!(out, "{note}")?;
    }
    Ok(())
}

/// What there is, in words.
fn listed(counts: &BTreeMap<String, u64>) -> String {
    let held: Vec<_> = counts
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(name, count)| format!("{count} {name}"))
        .collect();
    if held.is_empty() {
        "empty".to_owned()
    } else {
        held.join(", ")
    }
}

/// A bar on standard error, if that is a terminal.
fn progress() -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {percent}% of {len} pages, {elapsed}");
    let bar = ProgressBar::new(0);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}
