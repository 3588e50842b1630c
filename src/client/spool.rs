//! What could not be stored, kept on disk until it can be.
//!
//! A spool is a file of JSON lines beside the memory (`memory.db.spool`), or in the state directory if nothing can be
//! written there. A line holds one stretch of a session file: its events, how far the file was read, the handoff. The
//! next hook, or `agent-memory hook replay`, stores it; since ids follow from the session's lines, twice is once.
//!
//! **Invariant:** owner's eyes only, redacted before it is written, never above [`MAX_BYTES`], and only whoever holds
//! the lock file touches it.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::content::Cleaner;
use crate::domain::event::EventDraft;
use crate::domain::handoff::HandoffDraft;
use crate::domain::transcript::{Mark, PathHash};
use crate::domain::{Caller, TenantId, Timestamp};
use crate::service::{Error, Services, Stretch};

/// Largest spool. Days of work: a session's day has a few hundred kilobytes once tool output is capped.
///
/// Beyond it nothing is lost either, as long as the agent keeps its session file: what was not spooled is read again.
pub const MAX_BYTES: u64 = 32 * 1024 * 1024;
/// How long to wait for another process that uses it.
const LOCK_WAIT: Duration = Duration::from_millis(200);

/// A spool's files.
#[derive(Debug, Clone)]
pub struct Spool {
    places: Vec<PathBuf>,
}

/// What waits in a spool.
#[derive(Debug, Clone, Default, Serialize, PartialEq, Eq)]
pub struct Waiting {
    /// Where.
    pub path: PathBuf,
    /// Stretches.
    pub stretches: u64,
    /// Octets.
    pub bytes: u64,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Why the newest could not be stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        write!(
            f,
            "{} stretches of sessions, {} bytes, wait in {path}",
            self.stretches, self.bytes
        )?;
        if let Some(since) = self.since {
            write!(f, " since {since}")?;
        }
        if let Some(why) = &self.why {
            write!(f, ": {why}")?;
        }
        Ok(())
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Line {
    version: u32,
    at: Timestamp,
    why: String,
    tenant: String,
    session: String,
    path: PathHash,
    mark: Mark,
    events: Vec<EventDraft>,
    #[serde(default)]
    handoff: Option<HandoffDraft>,
}

/// The version of a line.
const VERSION: u32 = 1;

impl Spool {
    /// The spool at these places, the one to write to first.
    pub fn new(places: Vec<PathBuf>) -> Self {
        Self { places }
    }

    /// Whether anything waits. A look at the files' sizes.
    pub fn is_empty(&self) -> bool {
        self.places.iter().all(|place| size(place) == 0)
    }

    /// Keeps a stretch.
    ///
    /// # Errors
    /// It can be written nowhere, or is full.
    pub fn keep(
        &self,
        tenant: &TenantId,
        stretch: &Stretch,
        why: &str,
        now: Timestamp,
    ) -> io::Result<()> {
        let line = Line {
            version: VERSION,
            at: now,
            why: why.to_owned(),
            tenant: tenant.as_str().to_owned(),
            session: stretch.session.clone(),
            path: stretch.path,
            mark: stretch.mark.clone(),
            events: stretch.events.clone(),
            handoff: stretch.handoff.clone(),
        };
        let clean = Cleaner::default().value(serde_json::to_value(&line)?);
        let mut text = clean.to_string();
        text.push('\n');
        let mut failure = io::Error::other("there is no place for a spool");
        for place in &self.places {
            match append(place, text.as_bytes()) {
                Ok(()) => return Ok(()),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// How far a session file was read by what waits here.
    pub fn mark(&self, tenant: &TenantId, path: &PathHash) -> Option<Mark> {
        let mut found: Option<Mark> = None;
        for place in self.places.iter().filter(|place| size(place) > 0) {
            let Ok(file) = File::open(place) else {
                continue;
            };
            for text in BufReader::new(file.take(MAX_BYTES))
                .lines()
                .map_while(Result::ok)
            {
                let Ok(line) = serde_json::from_str::<Line>(&text) else {
                    continue;
                };
                let newer = found.as_ref().is_none_or(|found| {
                    found.head != line.mark.head || found.position < line.mark.position
                });
                if line.path == *path && line.tenant == tenant.as_str() && newer {
                    found = Some(line.mark);
                }
            }
        }
        found
    }

    /// What waits.
    pub fn waiting(&self) -> Vec<Waiting> {
        let places = self.places.iter().filter(|place| size(place) > 0);
        places.map(|place| look(place)).collect()
    }

    /// Stores what waits, oldest first, until the time is up. What was stored leaves the spool. Answers how many
    /// stretches were stored; none if another process is at it.
    ///
    /// # Errors
    /// The store refuses writes, or the spool cannot be read; what is left stays.
    pub fn replay(&self, services: &Services, until: Option<Instant>) -> Result<u64, ReplayError> {
        let mut stored = 0;
        for place in self.places.iter().filter(|place| size(place) > 0) {
            let Some(_lock) = lock(place)? else { continue };
            let text = std::fs::read(place)?;
            let mut done = 0;
            let mut failure = None;
            for line in text.split_inclusive(|byte| *byte == b'\n') {
                if until.is_some_and(|until| Instant::now() >= until) {
                    break;
                }
                if let Err(error) = store(services, line) {
                    failure = Some(error);
                    break;
                }
                done += line.len();
                stored += 1;
            }
            shorten(place, text.get(done..).unwrap_or_default())?;
            if let Some(failure) = failure {
                return Err(failure.into());
            }
        }
        Ok(stored)
    }
}

/// Why a spool was not emptied.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The store.
    #[error("what waits in the spool could not be stored")]
    Store(#[from] Error),
    /// The spool itself.
    #[error("the spool cannot be used: {0}")]
    Spool(#[from] io::Error),
}

/// Stores one line. One that cannot be read, or that the rules refuse, is counted and gone: it would never be stored.
fn store(services: &Services, line: &[u8]) -> Result<(), Error> {
    let read = serde_json::from_slice::<Line>(line)
        .ok()
        .filter(|line| line.version == VERSION);
    let tenant = read
        .as_ref()
        .and_then(|line| TenantId::parse("tenant", &line.tenant).ok());
    let (Some(line), Some(tenant)) = (read, tenant) else {
        return lost(services);
    };
    let stretch = Stretch {
        session: line.session,
        path: line.path,
        mark: line.mark,
        events: line.events,
        handoff: line.handoff,
        spooled: Some(0),
    };
    match services.record_stretch(&Caller::local(tenant), stretch) {
        Ok((pending, _)) => {
            pending.wait()?;
            Ok(())
        }
        Err(Error::Invalid(_)) => lost(services),
        Err(error) => Err(error),
    }
}

/// Counts a line that is lost.
fn lost(services: &Services) -> Result<(), Error> {
    tracing::warn!("a line of the spool cannot be read");
    Ok(services.count_lost_spool()?.wait()?)
}

fn size(place: &Path) -> u64 {
    std::fs::metadata(place).map_or(0, |about| about.len())
}

fn with_suffix(place: &Path, suffix: &str) -> PathBuf {
    let mut name = place.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn owners(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

/// The lock of a spool, unless another process keeps it.
fn lock(place: &Path) -> io::Result<Option<File>> {
    let file = owners(OpenOptions::new().create(true).truncate(false).write(true))
        .open(with_suffix(place, ".lock"))?;
    let end = Instant::now() + LOCK_WAIT;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::WouldBlock) if Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(2));
            }
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

fn append(place: &Path, line: &[u8]) -> io::Result<()> {
    if let Some(parent) = place.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let _lock = lock(place)?.ok_or_else(|| io::Error::other("another process uses the spool"))?;
    let mut file = owners(OpenOptions::new().create(true).append(true)).open(place)?;
    let before = file.metadata()?.len();
    let adds = u64::try_from(line.len()).unwrap_or(u64::MAX);
    if before.saturating_add(adds) > MAX_BYTES {
        return Err(io::Error::other(format!(
            "the spool is full ({before} bytes)"
        )));
    }
    let written = file.write_all(line).and_then(|()| file.sync_data());
    if written.is_err() {
        // Half a line would take the next one with it.
        file.set_len(before)?;
    }
    written
}

/// Leaves `rest` in the spool, in one step.
fn shorten(place: &Path, rest: &[u8]) -> io::Result<()> {
    if rest.is_empty() {
        return std::fs::remove_file(place);
    }
    let part = with_suffix(place, ".part");
    let mut file =
        owners(OpenOptions::new().create(true).truncate(true).write(true)).open(&part)?;
    file.write_all(rest)?;
    file.sync_data()?;
    std::fs::rename(&part, place)
}

fn look(place: &Path) -> Waiting {
    let mut waiting = Waiting {
        path: place.to_owned(),
        bytes: size(place),
        ..Waiting::default()
    };
    let Ok(file) = File::open(place) else {
        return waiting;
    };
    for text in BufReader::new(file.take(MAX_BYTES))
        .lines()
        .map_while(Result::ok)
    {
        waiting.stretches += 1;
        if let Ok(line) = serde_json::from_str::<Value>(&text) {
            let at = line
                .get("at")
                .and_then(Value::as_str)
                .and_then(|at| Timestamp::parse("at", at).ok());
            waiting.since = waiting.since.or(at);
            waiting.why = line
                .get("why")
                .and_then(Value::as_str)
                .map(str::to_owned)
                .or(waiting.why);
        }
    }
    waiting
}
