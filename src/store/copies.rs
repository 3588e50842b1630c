//! The file over its life: copies, putting one back, taking out what is too old.
//!
//! **Invariant:** every refusal says what to do, since it is read by the operator.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::domain::Timestamp;
use crate::store::{Cause, Expired, OpenError, Options, Pending, Slice, Store, StoreError, sqlite};

/// What a copy is, kept beside it as `FILE.manifest.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// `agent-memory backup`.
    pub format: String,
    /// Of this description; 1.
    pub version: u32,
    /// The copy's own name when it was made.
    pub file: String,
    /// The moment that it holds.
    pub created_at: String,
    /// The version that made it.
    pub agent_memory: String,
    /// The schema of the copy.
    pub schema: i64,
    /// Octets of the copy.
    pub bytes: u64,
    /// SHA-256 of the copy, in hexadecimal.
    pub sha256: String,
    /// Rows by what they are.
    pub counts: BTreeMap<String, u64>,
}

/// What came of putting a copy back.
#[derive(Debug, Clone, Serialize)]
pub struct Restored {
    /// The schema of the copy; `serve` or `migrate` bring an older one to this version's.
    pub schema: i64,
    /// Rows by what they are.
    pub counts: BTreeMap<String, u64>,
    /// Whether a manifest lay beside the copy, and the copy is what it says.
    pub manifest: bool,
    /// Where the file lies now that was there before.
    pub kept: Option<PathBuf>,
    /// Keys that had been revoked since the copy was made, and are revoked in it now.
    pub revoked: u64,
    /// What the operator should know, in words.
    pub notes: Vec<String>,
}

/// What came of repairing a store, or of saving what can be read of it.
#[derive(Debug, Clone, Serialize)]
pub struct Repaired {
    /// What was done, in words.
    pub done: Vec<String>,
    /// Where the file lies as it was before.
    pub kept: Option<PathBuf>,
    /// What could not be read, in words.
    pub lost: Vec<String>,
}

/// Why no copy was made, or none put back. Nothing was changed then.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// Something is in the way that is only replaced when told to.
    #[error("{0}")]
    InTheWay(String),
    /// What was given cannot be used.
    #[error("{0}")]
    Refused(String),
    /// There is too little room.
    #[error("{dir} has {free} bytes free, and this takes {needed}: make room, or choose another place", dir = .dir.display())]
    NoRoom {
        /// Where.
        dir: PathBuf,
        /// Bytes that can be written there.
        free: u64,
        /// Bytes that are needed.
        needed: u64,
    },
    /// It was stopped.
    #[error("it was stopped before it was done")]
    Stopped,
    /// The store cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Something failed on the way.
    #[error("{what}")]
    Failed {
        /// What was done.
        what: String,
        /// Why it failed.
        #[source]
        source: Cause,
    },
}

impl CopyError {
    /// Something failed on a file.
    pub(crate) fn of(what: &str, path: &Path, error: impl Into<Cause>) -> Self {
        Self::Failed {
            what: format!("{what} {}", path.display()),
            source: error.into(),
        }
    }

    /// The same of the system.
    pub(crate) fn io<'a>(what: &'a str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + 'a {
        move |error| Self::of(what, path, error)
    }
}

/// How a copy is followed while it is made.
#[derive(Clone, Copy)]
pub struct Follow<'a> {
    /// Whether to stop.
    pub stop: &'a (dyn Fn() -> bool + Sync),
    /// How far it is: pages copied, and pages in all.
    pub told: &'a dyn Fn(u64, u64),
}

impl std::fmt::Debug for Follow<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Follow")
    }
}

impl Store {
    /// Copies the store, as it is at one moment, to `target`, which is there whole or not at all; with a manifest beside
    /// it. Goes on beside reads and writes. Blocks.
    ///
    /// # Errors
    /// `target` is there and `replace` is not said, there is no room, or the copy is not sound.
    pub fn back_up(
        &self,
        target: &Path,
        replace: bool,
        now: Timestamp,
        follow: Follow<'_>,
    ) -> Result<Manifest, CopyError> {
        let Self::Sqlite(engine) = self;
        engine.back_up(target, replace, now, follow)
    }

    /// Counts a copy that could not even be begun.
    pub fn note_failed_backup(&self, now: Timestamp) {
        let Self::Sqlite(engine) = self;
        engine.note_failed_backup(now);
    }

    /// Puts a copy in the place of a store that nobody has open; what was there is kept under another name.
    ///
    /// # Errors
    /// The copy is not sound, the store is in use, or it holds something and `replace` is not said.
    pub fn restore(
        options: &Options,
        copy: &Path,
        replace: bool,
        now: Timestamp,
    ) -> Result<Restored, CopyError> {
        sqlite::restore(options, copy, replace, now)
    }

    /// Makes anew what follows from the texts of a store that nobody has open: passages, index, counts. The file as it was
    /// is kept under another name.
    ///
    /// # Errors
    /// The store is in use, or has damaged pages; then nothing in it was changed.
    pub fn repair(options: &Options, now: Timestamp) -> Result<Repaired, CopyError> {
        sqlite::repair(options, now)
    }

    /// Saves what can be read of a store that nobody has open into a new file.
    ///
    /// # Errors
    /// The store is in use, or nothing of it can be read.
    pub fn salvage(
        options: &Options,
        target: &Path,
        now: Timestamp,
    ) -> Result<Repaired, CopyError> {
        sqlite::salvage(options, target, now)
    }

    /// Looks at a copy without changing it: whether it is sound, and what its manifest says.
    ///
    /// # Errors
    /// It is not.
    pub fn check_copy(copy: &Path) -> Result<Restored, CopyError> {
        sqlite::check_copy(copy)
    }

    /// Removes what is left of a copy that was begun at `target` and never finished, unless somebody is at it; answers whether
    /// it did. The copy itself is left alone.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn remove_unfinished_copy(target: &Path) -> io::Result<bool> {
        sqlite::remove_unfinished(target)
    }

    /// Takes out some events from before `before`, from where the slice before came to (0 at first). Decisions stay.
    ///
    /// # Errors
    /// The queue is full; pending: an event cannot be taken out.
    pub fn expire_slice(
        &self,
        before: Timestamp,
        from: i64,
        now: Timestamp,
    ) -> Result<Pending<Expired>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.expire_slice(before, from, now)
    }

    /// Gives some of the room that became free back to the disk.
    ///
    /// # Errors
    /// The queue is full.
    pub fn give_back_slice(&self) -> Result<Pending<Slice>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.give_back_slice()
    }
}
