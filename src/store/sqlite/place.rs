//! Where the open files are: whether they still have their names, and whether the log beside them is theirs.
//!
//! SQLite keeps writing to a file that was removed, moved or swapped while it is open, and says nothing. Such a write
//! is lost, so every group of writes looks at the names first ([`Place::check`]).
//!
//! A log that a crashed process left is read back into the file by whoever opens it next. SQLite cannot know whose it
//! is; what can be told is told here ([`refuse_foreign_log`]). The log of *another memory* looks like ours.
//!
//! **Invariant:** looks by name alone: opening and closing a database file would let go of SQLite's own locks on it.

use std::fs::{File, Metadata};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use crate::store::OpenError;
use crate::store::sqlite::examine::with_suffix;
use crate::store::sqlite::file::{APPLICATION_ID, refuse};

/// The files of an open store, as they were when it was opened.
#[derive(Debug)]
pub(super) struct Place(Vec<(PathBuf, Identity)>);

impl Place {
    /// Notes which files these are. The connection has been read from, so the log and its index are there.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        ["", "-wal", "-shm"]
            .into_iter()
            .map(|suffix| {
                let file = with_suffix(path, suffix);
                let found = identity(&std::fs::metadata(&file)?);
                Ok((file, found))
            })
            .collect::<io::Result<_>>()
            .map(Self)
    }

    /// Whether each name still leads to the file that is open.
    pub(super) fn check(&self) -> io::Result<()> {
        for (file, known) in &self.0 {
            let found = std::fs::metadata(file).map_err(|error| lost(file, &error.to_string()))?;
            if identity(&found) != *known {
                return Err(lost(file, "another file is there"));
            }
        }
        Ok(())
    }
}

fn lost(file: &Path, why: &str) -> io::Error {
    io::Error::other(format!(
        "{} is no longer the open file ({why}): put it back, or restart",
        file.display()
    ))
}

/// Device and number of a file.
#[cfg(unix)]
type Identity = (u64, u64);
#[cfg(not(unix))]
type Identity = ();

#[cfg(unix)]
fn identity(file: &Metadata) -> Identity {
    use std::os::unix::fs::MetadataExt as _;
    (file.dev(), file.ino())
}

#[cfg(not(unix))]
fn identity(_file: &Metadata) -> Identity {}

/// Bytes of the log's header, and of each page's. From SQLite's file format.
const LOG_HEADER: usize = 32;
const FRAME_HEADER: usize = 24;

/// Refuses a log whose page size is not ours or whose first page says that it is another program's. Nobody else may
/// have the file open.
pub(super) fn refuse_foreign_log(path: &Path, page_bytes: usize) -> Result<(), OpenError> {
    let log = with_suffix(path, "-wal");
    let whose = match File::open(&log) {
        Ok(file) => look(file, page_bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => Err(error),
    };
    match whose {
        Ok(Whose::OursOrNobodys) => Ok(()),
        Ok(Whose::Anothers) => Err(refuse(
            path,
            format!(
                "{} is the log of another program's file; move it away",
                log.display()
            ),
        )),
        Err(error) => Err(refuse(
            path,
            format!("its log {} cannot be read: {error}", log.display()),
        )),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Whose {
    OursOrNobodys,
    Anothers,
}

fn look(mut log: File, page_bytes: usize) -> io::Result<Whose> {
    let mut header = [0; LOG_HEADER];
    if !fill(&mut log, &mut header)? || !matches!(word(&header, 0), 0x377f_0682 | 0x377f_0683) {
        // SQLite ignores what has no whole header.
        return Ok(Whose::OursOrNobodys);
    }
    if usize::try_from(word(&header, 8)).ok() != Some(page_bytes) {
        return Ok(Whose::Anothers);
    }
    let mut frame = [0; FRAME_HEADER];
    while fill(&mut log, &mut frame)? && frame.get(8..16) == header.get(16..24) {
        let mut rest = i64::try_from(page_bytes).unwrap_or(i64::MAX);
        if word(&frame, 0) == 1 {
            let mut page = [0; 72];
            if !fill(&mut log, &mut page)? {
                break;
            }
            if word(&page, 68) != APPLICATION_ID.cast_unsigned() {
                return Ok(Whose::Anothers);
            }
            rest -= 72;
        }
        log.seek(SeekFrom::Current(rest))?;
    }
    Ok(Whose::OursOrNobodys)
}

/// Whether there were enough bytes.
fn fill(log: &mut File, bytes: &mut [u8]) -> io::Result<bool> {
    match log.read_exact(bytes) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// A big-endian number.
fn word(bytes: &[u8], at: usize) -> u32 {
    let bytes = bytes
        .get(at..at + 4)
        .and_then(|bytes| bytes.try_into().ok());
    u32::from_be_bytes(bytes.unwrap_or_default())
}
