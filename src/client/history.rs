//! The session files that Claude Code keeps, as the history of a new memory.
//!
//! Each file is read by the same reader as a hook's, from where it was left, so a session that hooks have recorded adds
//! nothing, and an import that was interrupted goes on. A session gets its events and one automatic handoff.
//!
//! **Invariant:** a file that cannot be read, or is not to be, is reported with its reason and keeps no other from being
//! read.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::client::place;
use crate::client::session_file::{SessionFile, path_hash};
use crate::domain::Caller;
use crate::domain::transcript::draft::Way;
use crate::domain::transcript::{Capture, Client, Skipped};
use crate::service::{Error, Services, Stretch};

/// How deep directories are looked into; `projects/<project>/<session>.jsonl` is two.
const MOST_DEPTH: usize = 8;
/// Most files of one import.
pub const MOST_FILES: usize = 100_000;
/// How much of a file's beginning may pass before it says which session it is.
const HEAD_BYTES: u64 = 1024 * 1024;
/// Files that the report names, at most; the others are counted.
const MOST_NAMED: usize = 100;

/// How to import.
#[derive(Debug, Clone, Copy)]
pub struct How<'a> {
    /// How much is recorded.
    pub capture: Capture,
    /// With whom the sessions were.
    pub with_whom: &'a str,
    /// Read everything and store nothing.
    pub dry_run: bool,
}

/// What an import came to.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Whether nothing was stored.
    pub dry_run: bool,
    /// Files that had something new.
    pub files: u64,
    /// Files that had nothing new.
    pub files_known: u64,
    /// Events that were stored; in a dry run, that would be offered.
    pub events: i64,
    /// Events that were there already.
    pub events_known: i64,
    /// Automatic handoffs, one a session that had something new.
    pub handoffs: u64,
    /// Lines that said nothing, by reason.
    pub lines_skipped: BTreeMap<Skipped, u64>,
    /// Files that were not read, and why; the first hundred.
    pub files_skipped: Vec<FileSkipped>,
    /// How many those are.
    pub files_skipped_count: u64,
}

/// A file that was not read.
#[derive(Debug, Serialize)]
pub struct FileSkipped {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub why: String,
}

impl Report {
    /// Notes that a file was not read.
    pub fn skip(&mut self, path: &Path, why: impl Into<String>) {
        self.files_skipped_count += 1;
        if self.files_skipped.len() < MOST_NAMED {
            self.files_skipped.push(FileSkipped {
                path: path.to_owned(),
                why: why.into(),
            });
        }
    }
}

/// The session files at a path: itself, or all below, with their sizes, in order.
///
/// # Errors
/// The path is not there, or there are too many.
pub fn find(path: &Path, report: &mut Report) -> io::Result<Vec<(PathBuf, u64)>> {
    let about = fs::metadata(path)?;
    if about.is_file() {
        return Ok(vec![(path.to_owned(), about.len())]);
    }
    let mut files = Vec::new();
    let mut open = vec![(path.to_owned(), 0)];
    while let Some((directory, depth)) = open.pop() {
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) => {
                report.skip(&directory, error.to_string());
                continue;
            }
        };
        for entry in entries {
            let entry = entry?;
            // Not through links, which may lead in a circle.
            let kind = entry.file_type()?;
            let path = entry.path();
            if kind.is_dir() && depth < MOST_DEPTH {
                open.push((path, depth + 1));
            } else if kind.is_file() && path.extension().is_some_and(|kind| kind == "jsonl") {
                files.push((path, entry.metadata()?.len()));
            }
            if files.len() > MOST_FILES {
                return Err(io::Error::other(
                    "there are more than 100,000 session files",
                ));
            }
        }
    }
    files.sort();
    Ok(files)
}

/// What a file says of itself.
#[derive(Debug, Default)]
struct About {
    session: Option<String>,
    directory: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "sessionId", default)]
    session: Option<String>,
    #[serde(default)]
    cwd: Option<PathBuf>,
}

fn about(path: &Path) -> io::Result<About> {
    let mut about = About::default();
    let mut reader = BufReader::new(File::open(path)?.take(HEAD_BYTES));
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        if let Ok(found) = serde_json::from_slice::<Line>(&line) {
            about.session = about.session.or(found.session);
            about.directory = about.directory.or(found.cwd);
        }
        if about.session.is_some() && about.directory.is_some() {
            break;
        }
        line.clear();
    }
    Ok(about)
}

/// A session file that is to be read.
struct Opened {
    file: SessionFile,
    session: String,
    project: String,
}

/// Opens a file where it was left, or says why it is not read.
fn open(
    services: &Services,
    caller: &Caller,
    path: &Path,
) -> Result<Result<Opened, String>, Error> {
    let said = match about(path) {
        Ok(said) => said,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let name = path
        .file_stem()
        .map(|name| name.to_string_lossy().into_owned());
    if name
        .as_deref()
        .is_some_and(|name| name.starts_with("agent-"))
    {
        return Ok(Err(Skipped::Subagent.as_str().to_owned()));
    }
    let (Some(session), Some(directory)) = (said.session.or(name), said.directory) else {
        return Ok(Err("no line of it says where the session was".to_owned()));
    };
    let place = place::find(&directory);
    if let Some(mark) = place.ignored {
        return Ok(Err(format!(
            "its project is left out by {}",
            mark.display()
        )));
    }
    let known = services.mark(caller, &path_hash(path))?;
    Ok(SessionFile::open(path, known)
        .map(|file| Opened {
            file,
            session,
            project: place.project,
        })
        .map_err(|error| error.to_string()))
}

/// Reads a file and stores what is new in it. `progress` is told how many octets were read since it was told last.
///
/// # Errors
/// The memory cannot be written; what was stored before stays.
pub fn import(
    services: &Services,
    caller: &Caller,
    path: &Path,
    how: &How<'_>,
    report: &mut Report,
    mut progress: impl FnMut(u64),
) -> Result<(), Error> {
    let mut opened = match open(services, caller, path)? {
        Ok(opened) => opened,
        Err(why) => {
            report.skip(path, why);
            return Ok(());
        }
    };
    let way = Way {
        client: Client::ClaudeCode,
        session: &opened.session,
        project: Some(&opened.project),
        with_whom: how.with_whom,
    };
    let (mut is_new, mut told) = (false, opened.file.progress().0);
    loop {
        let stretch = match opened.file.next(&way, how.capture, services.now(), None) {
            Ok(Some(stretch)) => stretch,
            Ok(None) => break,
            Err(error) => {
                report.skip(path, error.to_string());
                break;
            }
        };
        is_new = true;
        match store(services, caller, stretch, how, report) {
            Err(Error::Invalid(invalid)) => {
                report.skip(path, invalid.to_string());
                break;
            }
            outcome => outcome?,
        }
        let (read, _) = opened.file.progress();
        progress(read.saturating_sub(told));
        told = read;
    }
    for (why, count) in &opened.file.skipped {
        *report.lines_skipped.entry(*why).or_default() += count;
    }
    *(if is_new {
        &mut report.files
    } else {
        &mut report.files_known
    }) += 1;
    Ok(())
}

fn store(
    services: &Services,
    caller: &Caller,
    stretch: Stretch,
    how: &How<'_>,
    report: &mut Report,
) -> Result<(), Error> {
    report.handoffs += u64::from(stretch.handoff.is_some());
    if how.dry_run {
        report.events += i64::try_from(stretch.events.len()).unwrap_or(i64::MAX);
        return Ok(());
    }
    let (pending, refused) = services.record_stretch(caller, stretch)?;
    let stored = pending.wait()?;
    report.events += stored.stored;
    report.events_known += stored.known;
    if refused > 0 {
        *report.lines_skipped.entry(Skipped::Refused).or_default() += refused;
    }
    Ok(())
}
