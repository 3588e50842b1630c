//! `agent-memory export`.
//!
//! **Invariant:** the file named by `--out` is there whole or not at all, and nobody else may read it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::Session;
use crate::config::Global;

/// How often a progress bar is drawn when nothing else draws it.
const TICK: Duration = Duration::from_millis(200);

/// Flags of `export`.
#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// Where to write it; `-` is standard output
    #[arg(long, value_name = "FILE", default_value = "-")]
    out: PathBuf,
}

pub(super) fn run(global: &Global, args: &ExportArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    let session = Session::open_existing(global)?;
    if args.out == Path::new("-") {
        write(&session, out, &progress(false))?;
        return Ok(());
    }
    let mut part = args.out.clone().into_os_string();
    part.push(".part");
    let part = PathBuf::from(part);
    let cannot = || format!("cannot write {}", args.out.display());
    let outcome = into_file(&session, &part)
        .and_then(|rows| {
            fs::rename(&part, &args.out)?;
            Ok(rows)
        })
        .with_context(cannot);
    match outcome {
        Ok(rows) => Ok(writeln!(out, "{rows} rows in {}", args.out.display())?),
        Err(error) => {
            // What is half written helps nobody; if it cannot be removed, the error above says where it is.
            drop(fs::remove_file(&part));
            Err(error)
        }
    }
}

fn into_file(session: &Session, part: &Path) -> anyhow::Result<u64> {
    // A part that was left behind may be open to others; the new one is not.
    if part.exists() {
        fs::remove_file(part)?;
    }
    let mut file = BufWriter::new(create(part)?);
    let bar = progress(true);
    let rows = write(session, &mut file, &bar)?;
    bar.finish_and_clear();
    file.into_inner()
        .map_err(io::IntoInnerError::into_error)?
        .sync_all()?;
    Ok(rows)
}

fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn write(session: &Session, out: &mut dyn Write, bar: &ProgressBar) -> anyhow::Result<u64> {
    let mut export = session.services.begin_export(&session.caller)?;
    while let Some(piece) = session.services.export_piece(&mut export)? {
        out.write_all(&piece)?;
        bar.set_position(export.rows());
    }
    Ok(export.rows())
}

/// A bar on standard error, if that is a terminal and the rows do not go there as well.
fn progress(wanted: bool) -> ProgressBar {
    if !wanted || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} {human_pos} rows, {per_sec}, {elapsed}");
    let bar = ProgressBar::new_spinner();
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar.enable_steady_tick(TICK);
    bar
}
