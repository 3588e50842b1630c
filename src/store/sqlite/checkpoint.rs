//! When the write-ahead log goes into the database file. `wal_autocheckpoint` is off; the writer decides.
//!
//! In a server the [`Mover`] moves what is committed from [`EARLY_FRAMES`] on, beside the writer; beyond
//! [`PASSIVE_FRAMES`] the writer moves the little that is left, so that the log begins anew. It moves all of it when idle
//! or where there is no mover; it cuts the log back beyond [`TRUNCATE_BYTES`], and soon after something was forgotten,
//! since its words stand in the log until then.
//!
//! A command has no writer thread, and there may be no server: it looks after each of its own units, so that an import
//! of any size keeps the log bounded, but leaves a short log to whoever comes next.
//!
//! SQLite itself empties the log when the last connection of all processes closes in order.
//!
//! **Invariant:** while a server has the file open, its writer and its mover alone move the log.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::store::sqlite::file::BUSY_WAIT;
use crate::store::sqlite::mover::Mover;
use crate::store::sqlite::published::Published;

/// Frames in the log (16 MB of pages) beyond which it is worth a pause. From the design.
const PASSIVE_FRAMES: i64 = 4_000;
/// Frames that wait to be moved beyond which the mover is woken. Fewer would move the same pages again and again.
const EARLY_FRAMES: i64 = 1_000;
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
    published: Arc<Published>,
    mover: Option<Mover>,
    /// How long the log was when the writer last tried to finish it.
    tried_at: i64,
    erase_since: Option<Instant>,
    retry_truncate_at: Instant,
    held_back: bool,
    failing: bool,
}

impl Checkpointer {
    /// For the log at `wal`; tells how long it is.
    pub(super) fn new(wal: PathBuf, published: Arc<Published>, mover: Option<Mover>) -> Self {
        Self {
            wal,
            published,
            mover,
            tried_at: 0,
            erase_since: None,
            retry_truncate_at: Instant::now(),
            held_back: false,
            failing: false,
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
        let Some((_, log, moved)) = self.run(connection, "noop") else {
            return;
        };
        if self.is_due(log, moved) {
            self.tried_at = log;
            self.run(connection, "passive");
            if self.is_long() {
                self.truncate(connection);
            }
        }
    }

    /// Whether the writer has to move; the mover is woken if that is enough.
    fn is_due(&mut self, log: i64, moved: i64) -> bool {
        let left = log - moved;
        let Some(mover) = &self.mover else {
            return left >= PASSIVE_FRAMES;
        };
        if left >= EARLY_FRAMES {
            mover.wake();
        }
        if log < self.tried_at {
            // It began anew.
            self.tried_at = 0;
        }
        // Where a reader keeps the log from beginning anew, each try would move a few pages and sync the file for them.
        log >= PASSIVE_FRAMES && log - self.tried_at >= EARLY_FRAMES && left < EARLY_FRAMES
            || left >= 4 * PASSIVE_FRAMES
    }

    fn is_long(&self) -> bool {
        std::fs::metadata(&self.wal).is_ok_and(|file| file.len() > TRUNCATE_BYTES)
    }

    /// When no write has come for a tick.
    pub(super) fn when_idle(&mut self, connection: &Connection) {
        if self.erase_since.is_some() || self.is_long() {
            self.truncate(connection);
        } else {
            self.pass_on(connection);
        }
    }

    /// Moves what the log holds into the file, as far as readers let it; false if that failed.
    pub(super) fn pass_on(&mut self, connection: &Connection) -> bool {
        match self.run(connection, "noop") {
            Some((_, log, moved)) if log > moved => {
                let paused = self.mover.as_ref().map(Mover::pause);
                let outcome = run(connection, "passive");
                drop(paused);
                self.told(outcome, "passive").is_some()
            }
            outcome => outcome.is_some(),
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
        let paused = self.mover.as_ref().map(Mover::pause);
        let emptied = truncate(connection);
        drop(paused);
        if emptied {
            self.erase_since = None;
            self.held_back = false;
        } else {
            // A reader is in the way. Not at once again: each try waits.
            self.retry_truncate_at = Instant::now() + Duration::from_secs(1);
            if !self.held_back && self.is_long() {
                self.held_back = true;
                tracing::warn!(
                    "a reader of another process keeps the log from being emptied; it grows until that reader is done"
                );
            }
        }
        self.run(connection, "noop");
    }

    /// Runs a checkpoint that waits for nobody, and tells how long the log is.
    fn run(&mut self, connection: &Connection, mode: &'static str) -> Option<Outcome> {
        let outcome = run(connection, mode);
        self.told(outcome, mode)
    }

    fn told(&mut self, outcome: rusqlite::Result<Outcome>, mode: &'static str) -> Option<Outcome> {
        match outcome {
            // The mover is at it.
            Ok((_, log, _)) if log < 0 => None,
            Ok((busy, log, moved)) => {
                self.published.note_log(log, moved);
                self.failing &= mode == "noop";
                Some((busy, log, moved))
            }
            Err(error) => {
                // It is tried each second; once is enough for the log.
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!(%error, mode, "a checkpoint failed");
                }
                None
            }
        }
    }
}

/// Moves the whole log into the file and empties it; false when a reader or writer was in the way.
pub(super) fn truncate(connection: &Connection) -> bool {
    set_wait(connection, TRUNCATE_WAIT);
    let outcome = run(connection, "truncate");
    set_wait(connection, BUSY_WAIT);
    match outcome {
        Ok((busy, _, _)) => !busy,
        Err(error) => {
            tracing::error!(%error, "the log could not be emptied");
            false
        }
    }
}

fn set_wait(connection: &Connection, wait: Duration) {
    if let Err(error) = connection.busy_timeout(wait) {
        tracing::error!(%error, "the busy timeout could not be set");
    }
}

fn run(connection: &Connection, mode: &'static str) -> rusqlite::Result<Outcome> {
    let sql = match mode {
        "noop" => "pragma wal_checkpoint(noop)",
        "passive" => "pragma wal_checkpoint(passive)",
        _ => "pragma wal_checkpoint(truncate)",
    };
    connection.prepare_cached(sql)?.query_row([], |row| {
        Ok((row.get::<_, i64>(0)? != 0, row.get(1)?, row.get(2)?))
    })
}
