//! Where the open files are: whether they still have their names.
//!
//! SQLite keeps writing to a file that was removed, moved or swapped while it is open, and says nothing. Such a write
//! is lost, so every group of writes looks at the names first.
//!
//! **Invariant:** looks by name alone: opening and closing a database file would let go of SQLite's own locks on it.

use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};

use crate::store::sqlite::examine::with_suffix;

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

    /// The store's file.
    pub(super) fn path(&self) -> &Path {
        self.0.first().map_or(Path::new(""), |(path, _)| path)
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
