//! Why a store did not do what it was asked, or cannot be opened.
//!
//! **Invariant:** what a caller may see and what lies below are apart: the cause is a source, never part of the text.

use std::error::Error as StdError;
use std::path::PathBuf;

use crate::domain::Invalid;

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No room: the write queue is full or no reader came free.
    #[error("the store is overloaded")]
    Overloaded,
    /// The read took longer than it may.
    #[error("the read took too long")]
    Timeout,
    /// There is no such thing in this tenant.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// It contradicts what is stored.
    #[error("{0}")]
    Conflict(&'static str),
    /// The file cannot be used now; nothing was stored.
    #[error("the store cannot be used")]
    Unavailable(#[source] Cause),
    /// The part of the file that it needs is damaged; nothing was stored, and another try will not help.
    #[error("the store is damaged")]
    Damaged(#[source] Cause),
    /// What it asks for cannot be, given what is stored.
    #[error("{0}")]
    Invalid(Invalid),
    /// A fault of ours; nothing was stored.
    #[error("the store failed")]
    Internal(#[source] Cause),
}

/// What lies below a failure, for the log.
pub type Cause = Box<dyn StdError + Send + Sync>;

/// Why a store cannot be opened, in words for the operator.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file or its directory cannot be used.
    #[error("{path}: {reason}", path = .path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
        /// The fault below, if any.
        #[source]
        source: Option<Cause>,
    },
    /// Another process is creating or migrating the file, or keeps this one from doing it.
    #[error("{path}: {reason}", path = .path.display())]
    Busy {
        /// The file.
        path: PathBuf,
        /// What to wait for or stop.
        reason: &'static str,
    },
    /// The schema is older and this process may not migrate it.
    #[error("{path} has schema {found}, this version needs {wanted}: run `agent-memory migrate`", path = .path.display())]
    NeedsMigration {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// Ours.
        wanted: i64,
    },
}
