//! An agent's session file, read on from where it was left.
//!
//! A file is known by its first line, which names its session; so one that was replaced under the same name is read
//! from its start, and so is one that became shorter. A last line without an end is left for the next time, unless it
//! is whole already.
//!
//! **Invariant:** reads a bounded stretch at a time, and holds no more than a line and a stretch in memory.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::time::Instant;

use crate::domain::Timestamp;
use crate::domain::handoff::HandoffDraft;
use crate::domain::transcript::draft::{self, Calls, Way};
use crate::domain::transcript::{Capture, Mark, PathHash, Skipped, hash, line};
use crate::service::Stretch;

/// Longest line; an image that was pasted has some megabytes.
pub const MAX_LINE_BYTES: u64 = 32 * 1024 * 1024;
/// Events of one stretch, which is one transaction: a hook looks at the time between two.
const MOST_EVENTS: usize = 64;
/// Octets of lines of one stretch.
const STRETCH_BYTES: u64 = 4 * 1024 * 1024;
/// As much of the first line as a file is known by.
const HEAD_BYTES: u64 = 4096;
/// Octets read at once.
const BUFFER_BYTES: usize = 256 * 1024;

/// A session file that is being read.
#[derive(Debug)]
pub struct SessionFile {
    reader: BufReader<File>,
    path: PathHash,
    mark: Mark,
    calls: Calls,
    size: i64,
    ended: bool,
    /// Lines that said nothing, by reason.
    pub skipped: BTreeMap<Skipped, u64>,
}

/// What a file is known by in the store: the hash of its whole path.
pub fn path_hash(path: &Path) -> PathHash {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    hash(&[path.as_os_str().as_encoded_bytes()])
}

impl SessionFile {
    /// Opens a file where it was left.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn open(path: &Path, known: Option<Mark>) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let about = file.metadata()?;
        if !about.is_file() {
            return Err(io::Error::other("it is not a file"));
        }
        let size = i64::try_from(about.len()).unwrap_or(i64::MAX);
        let head = head(&mut file)?;
        let mut mark = match known {
            Some(known) if known.head == head && follows_a_line(&mut file, &known, size)? => known,
            _ => Mark {
                head,
                ..Mark::default()
            },
        };
        mark.inode = inode(&about);
        file.seek(SeekFrom::Start(u64::try_from(mark.position).unwrap_or(0)))?;
        Ok(Self {
            reader: BufReader::with_capacity(BUFFER_BYTES, file),
            path: path_hash(path),
            mark,
            calls: Calls::default(),
            size,
            ended: false,
            skipped: BTreeMap::new(),
        })
    }

    /// Octets read, and octets there were at the start.
    pub fn progress(&self) -> (u64, u64) {
        let unsigned = |bytes| u64::try_from(bytes).unwrap_or(0);
        (unsigned(self.mark.position), unsigned(self.size))
    }

    /// Whether all of it was read.
    pub fn is_done(&self) -> bool {
        self.ended
    }

    /// The next stretch, if there is something new in it. The handoff comes with the last one, or with the one at which
    /// the time is up.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn next(
        &mut self,
        way: &Way<'_>,
        capture: Capture,
        now: Timestamp,
        until: Option<Instant>,
    ) -> io::Result<Option<Stretch>> {
        let begun = self.mark.position;
        let limit = begun.saturating_add(i64::try_from(STRETCH_BYTES).unwrap_or(i64::MAX));
        let is_late = || until.is_some_and(|until| Instant::now() >= until);
        let mut events = Vec::new();
        let mut line = Vec::new();
        while events.len() < MOST_EVENTS && self.mark.position < limit {
            if !self.read_line(&mut line, way)? {
                self.ended = true;
                break;
            }
            let place = format!("{}@{}", way.session, self.mark.position);
            self.mark.position += i64::try_from(line.len()).unwrap_or(0);
            match line::read(way.client, line.trim_ascii(), &place) {
                Ok(entries) => {
                    for entry in &entries {
                        self.mark.digest.add(entry);
                        events.extend(draft::event(entry, way, capture, &mut self.calls, now));
                    }
                }
                Err(_) if line.trim_ascii().is_empty() => {}
                Err(why) => *self.skipped.entry(why).or_default() += 1,
            }
            if events.len() % 16 == 0 && is_late() {
                break;
            }
        }
        if self.mark.position == begun {
            return Ok(None);
        }
        let handoff = (self.ended || is_late())
            .then(|| self.mark.digest.handoff(way))
            .flatten()
            .map(|draft| HandoffDraft {
                created_at: Some(draft.created_at.unwrap_or(now).min(now)),
                ..draft
            });
        Ok(Some(Stretch {
            session: way.session.to_owned(),
            path: self.path,
            mark: self.mark.clone(),
            events,
            handoff,
            spooled: None,
        }))
    }

    /// Reads a line that is worth looking at; what is too long is passed over. False at the end.
    fn read_line(&mut self, line: &mut Vec<u8>, way: &Way<'_>) -> io::Result<bool> {
        loop {
            line.clear();
            let read = self
                .reader
                .by_ref()
                .take(MAX_LINE_BYTES)
                .read_until(b'\n', line)?;
            if read == 0 {
                return Ok(false);
            }
            if line.ends_with(b"\n") {
                return Ok(true);
            }
            if u64::try_from(read).unwrap_or(0) < MAX_LINE_BYTES {
                // The end, perhaps in the middle of being written.
                return Ok(line::read(way.client, line, "") != Err(Skipped::Broken));
            }
            *self.skipped.entry(Skipped::TooLong).or_default() += 1;
            let rest = self.reader.skip_until(b'\n')?;
            self.mark.position += i64::try_from(read + rest).unwrap_or(0);
        }
    }
}

fn head(file: &mut File) -> io::Result<[u8; 16]> {
    let mut head = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.take(HEAD_BYTES).read_to_end(&mut head)?;
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    Ok(hash(&[line]))
}

/// Whether a mark can be one of this file: not beyond its end, and at the end of a line.
fn follows_a_line(file: &mut File, mark: &Mark, size: i64) -> io::Result<bool> {
    let Some(before) = mark
        .position
        .checked_sub(1)
        .and_then(|at| u64::try_from(at).ok())
    else {
        return Ok(true);
    };
    if mark.position > size {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::Start(before))?;
    file.read_exact(&mut last)?;
    // A last line that was whole without an end gets one later.
    let mut next = [b'\n'];
    let _at_the_end = file.read(&mut next)?;
    Ok(last == *b"\n" || next == *b"\n")
}

#[cfg(unix)]
fn inode(about: &Metadata) -> i64 {
    use std::os::unix::fs::MetadataExt as _;
    i64::try_from(about.ino()).unwrap_or(i64::MAX)
}

#[cfg(not(unix))]
fn inode(_about: &Metadata) -> i64 {
    0
}
