//! What a store says about itself.
//!
//! **Invariant:** plain numbers and words; nothing here reads anything.

use std::time::Duration;

use crate::domain::Timestamp;

/// How a store feels, without touching it.
#[derive(Debug, Clone)]
pub struct Health {
    /// Whether the last self-check passed.
    pub usable: bool,
    /// Whether a read or write met a damaged page since the start. That does not pass.
    pub damaged: bool,
    /// Unix milliseconds of the last check.
    pub checked_at: Timestamp,
    /// How long ago that was, whatever the wall clock says.
    pub age: Duration,
    /// Writes waiting.
    pub queue_depth: usize,
    /// Most writes that can wait.
    pub queue_capacity: usize,
    /// Reader connections in all, free, and callers waiting for one.
    pub readers: PoolState,
    /// Pages in the log, and how many of them are in the file as well.
    pub log_frames: (u64, u64),
}

/// The reader pool at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub struct PoolState {
    /// Connections.
    pub total: u32,
    /// Free ones.
    pub idle: u32,
    /// Callers waiting.
    pub waiting: u32,
}

/// Sizes and settings of the file, read for `status` and `/health/detailed`.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct FileFacts {
    /// Schema of the file.
    pub schema_version: i64,
    /// SQLite's own version.
    pub sqlite_version: String,
    /// Bytes of the database file.
    pub database_bytes: u64,
    /// Bytes of its write-ahead log.
    pub wal_bytes: u64,
    /// Pages in all.
    pub pages: i64,
    /// Pages free for reuse.
    pub free_pages: i64,
    /// Bytes a page.
    pub page_bytes: i64,
    /// Jobs not finished yet.
    pub open_jobs: i64,
}

/// Which state a tenant is in: two that are equal read the same, whichever process wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Version {
    /// The tenant, which a later one of the same name is not.
    pub tenant_no: i64,
    /// How often it has written.
    pub writes: i64,
}

/// One thing that `doctor` looked at.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Finding {
    /// What was looked at.
    pub check: &'static str,
    /// Whether it is as it should be.
    pub ok: bool,
    /// What was seen, in words.
    pub detail: String,
}

/// A step of the file's maintenance that is done in slices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upkeep {
    /// Segments of the index that have become many become fewer.
    Merge,
    /// Free pages go back to the file system.
    Vacuum,
    /// The oldest jobs leave the history.
    History,
    /// The engine looks how its tables have grown.
    Optimize,
    /// The log is emptied into the file.
    Truncate,
}

/// How far a sliced job has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slice {
    /// There is more to do.
    More,
    /// All jobs are done.
    Done,
}

/// What one slice of taking out what is too old came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expired {
    /// Events that it took out.
    pub events: i64,
    /// Where the next slice goes on; none if nothing is left.
    pub next: Option<i64>,
}
