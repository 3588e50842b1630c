//! How a store is opened and read.
//!
//! **Invariant:** values alone; `config.rs` says where they come from.

use std::path::PathBuf;
use std::time::Duration;

/// How a store is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// The file.
    pub path: PathBuf,
    /// What the process is.
    pub role: Role,
    /// Read-only connections of a server.
    pub readers: u32,
    /// How long a read waits for one of them before it is [`StoreError::Overloaded`](crate::store::StoreError::Overloaded).
    pub reader_wait: Duration,
    /// How long a read may run before it is stopped and [`StoreError::Timeout`](crate::store::StoreError::Timeout); no
    /// bound if absent.
    pub read_time: Option<Duration>,
    /// Whether an acknowledged write survives a power failure.
    pub durability: Durability,
    /// Octets of the log that a reader may keep from going into the file before writes are
    /// [`StoreError::Overloaded`](crate::store::StoreError::Overloaded); a server's.
    pub max_log_bytes: u64,
    /// How long a write waits for other processes before it is [`StoreError::Unavailable`](crate::store::StoreError::Unavailable).
    pub write_wait: Duration,
}

/// What opens a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The server: a writer thread, a pool of readers, migrations, checkpoints.
    Server,
    /// A command: one connection, nothing in the background; creates a missing file, never migrates an old one.
    Command,
}

/// When a write counts as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// After an fsync.
    Full,
    /// After the operating system has it: survives a crash of the process, not of the machine.
    Normal,
}

/// Whether a read may wait for a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Wait up to [`Options::reader_wait`].
    Yes,
    /// Answer [`StoreError::Overloaded`](crate::store::StoreError::Overloaded) at once, as an async worker has to.
    No,
}
