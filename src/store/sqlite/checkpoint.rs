//! When the write-ahead log goes into the database file. `wal_autocheckpoint` is off; the writer decides.
//!
//! A passive checkpoint when idle or beyond [`PASSIVE_FRAMES`]; a truncating one beyond [`TRUNCATE_BYTES`], and soon
//! after something was forgotten, since its words stand in the log until then.
//!
//! A command has no writer thread, and there may be no server: it looks after each of its own units, so that an import
//! of any size keeps the log bounded, but leaves a short log to whoever comes next.
//!
//! **Invariant:** nobody else checkpoints; a command process never does on closing.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::store::sqlite::file::BUSY_WAIT;

/// Frames in the log (16 MB of pages) beyond which it is worth a pause. From the design.
const PASSIVE_FRAMES: i64 = 4_000;
/// Size of the log file beyond which it is cut back. From the design.
const TRUNCATE_BYTES: u64 = 64 * 1024 * 1024;
/// How long a truncating checkpoint waits for readers; the next tick tries again.
const TRUNCATE_WAIT: Duration = Duration::from_millis(50);
/// How soon after a deletion the log is emptied even if writes never pause.
const ERASE_WITHIN: Duration = Duration::from_secs(1);

/// What a checkpoint found: whether it was kept from finishing, frames in the log, frames moved.
type Outcome = (bool, i64, i64);

/// The owner of checkpoints.
#[derive(Debug)]
pub(super) struct Checkpointer {
    wal: PathBuf,
    erase_since: Option<Instant>,
    retry_truncate_at: Instant,
}

impl Checkpointer {
    /// For the log at `wal`.
    pub(super) fn new(wal: PathBuf) -> Self {
        Self {
            wal,
            erase_since: None,
            retry_truncate_at: Instant::now(),
        }
    }

    /// After each group.
    pub(super) fn after_group(&mut self, connection: &Connection, erased: bool) {
        if erased && self.erase_since.is_none() {
            self.erase_since = Some(Instant::now());
        }
        if self
            .erase_since
            .is_some_and(|since| since.elapsed() >= ERASE_WITHIN)
        {
            self.truncate(connection);
            return;
        }
        let Some((_, log, moved)) = run(connection, "noop") else {
            return;
        };
        if log - moved < PASSIVE_FRAMES {
            return;
        }
        run(connection, "passive");
        if std::fs::metadata(&self.wal).is_ok_and(|file| file.len() > TRUNCATE_BYTES) {
            self.truncate(connection);
        }
    }

    /// When no write has come for a tick.
    pub(super) fn when_idle(&mut self, connection: &Connection) {
        if self.erase_since.is_some() {
            self.truncate(connection);
        } else if run(connection, "noop").is_some_and(|(_, log, moved)| log > moved) {
            run(connection, "passive");
        }
    }

    /// Before the connection closes.
    pub(super) fn at_end(&mut self, connection: &Connection) {
        self.retry_truncate_at = Instant::now();
        self.truncate(connection);
    }

    fn truncate(&mut self, connection: &Connection) {
        if Instant::now() < self.retry_truncate_at {
            return;
        }
        match truncate(connection) {
            true => self.erase_since = None,
            // A reader is in the way. Not at once again: each try waits.
            false => self.retry_truncate_at = Instant::now() + Duration::from_secs(1),
        }
    }
}

/// Moves the whole log into the file and empties it; false when a reader or writer was in the way.
pub(super) fn truncate(connection: &Connection) -> bool {
    set_wait(connection, TRUNCATE_WAIT);
    let outcome = run(connection, "truncate");
    set_wait(connection, BUSY_WAIT);
    outcome.is_some_and(|(busy, _, _)| !busy)
}

fn set_wait(connection: &Connection, wait: Duration) {
    if let Err(error) = connection.busy_timeout(wait) {
        tracing::error!(%error, "the busy timeout could not be set");
    }
}

fn run(connection: &Connection, mode: &'static str) -> Option<Outcome> {
    let sql = match mode {
        "noop" => "pragma wal_checkpoint(noop)",
        "passive" => "pragma wal_checkpoint(passive)",
        _ => "pragma wal_checkpoint(truncate)",
    };
    let outcome = connection.prepare_cached(sql).and_then(|mut statement| {
        statement.query_row([], |row| {
            Ok((row.get::<_, i64>(0)? != 0, row.get(1)?, row.get(2)?))
        })
    });
    outcome
        .inspect_err(|error| tracing::error!(%error, mode, "a checkpoint failed"))
        .ok()
}
