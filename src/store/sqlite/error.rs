//! What SQLite's faults mean to a caller, by extended code and never by message.
//!
//! **Invariant:** a fault that a later try may not meet is `Unavailable`, one that only a sound file can end is
//! `Damaged`, and one that only a change of code can mend is `Internal`.

use rusqlite::ErrorCode;

use crate::store::StoreError;
use crate::store::sqlite::measured::Measured;

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let Some(code) = error.sqlite_error_code() else {
            return Self::Internal(Box::new(error));
        };
        match code {
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::DiskFull
            | ErrorCode::SystemIoFailure
            | ErrorCode::ReadOnly
            | ErrorCode::CannotOpen
            | ErrorCode::PermissionDenied
            | ErrorCode::OutOfMemory
            | ErrorCode::OperationInterrupted
            | ErrorCode::FileLockingProtocolFailed => Self::Unavailable(Box::new(error)),
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Self::Damaged(Box::new(error)),
            _ => Self::Internal(Box::new(error)),
        }
    }
}

/// A failure that befell a whole group, in one line for the log.
#[derive(Debug)]
pub(super) enum GroupFailure {
    /// It may pass.
    Fault(String),
    /// A page of the file is damaged.
    Damaged(String),
}

impl GroupFailure {
    /// It failed at this step.
    pub(super) fn of(step: &str, error: &dyn std::error::Error) -> Self {
        Self::Fault(format!("{step}: {error}"))
    }

    /// It failed at this step, by what SQLite says; which is counted.
    pub(super) fn of_sqlite(measured: &Measured, step: &str, error: &rusqlite::Error) -> Self {
        measured.note_fault(error);
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Damaged(format!("{step}: {error}"))
            }
            _ => Self::of(step, error),
        }
    }
}

impl std::fmt::Display for GroupFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Fault(text) | Self::Damaged(text)) = self;
        f.write_str(text)
    }
}

/// The fault that was asked for, if one was.
pub(super) fn injected(code: Option<i32>) -> rusqlite::Result<()> {
    code.map_or(Ok(()), |code| {
        let fault = rusqlite::ffi::Error::new(code);
        Err(rusqlite::Error::SqliteFailure(fault, None))
    })
}

/// A value in a row that no version of ours writes.
pub(super) fn damaged(what: &'static str) -> StoreError {
    StoreError::Internal(format!("a stored {what} has no meaning").into())
}
