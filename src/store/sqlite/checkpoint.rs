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

use crate::store::measure::{Ended, Move};
use crate::store::sqlite::busy::{Patience, wait_for_locks};
use crate::store::sqlite::mover::Mover;
use crate::store::sqlite::published::Published;

/// Frames in the log (16 MB of pages) beyond which it is worth a pause. From the design.
const PASSIVE_FRAMES: i64 = 4_000;
/// Frames that wait to be moved beyond which the mover is woken. Fewer would move the same pages again and again.
const EARLY_FRAMES: i64 = 1_000;
/// Size of the log file beyond which it is cut back. From the design.
const TRUNCATE_BYTES: u64 = 64 * 1024 * 1024;
/// How long a truncating checkpoint waits for readers; the next tick tries again.
pub(super) const TRUNCATE_WAIT: Duration = Duration::from_millis(50);
/// How soon after a deletion the log is emptied even if writes never pause.
const ERASE_WITHIN: Duration = Duration::from_secs(1);

/// What a checkpoint found: whether it was kept from finishing, frames in the log, frames moved.
pub(super) type Outcome = (bool, i64, i64);

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
                let begun = Instant::now();
                let outcome = run(connection, "passive");
                drop(paused);
                self.note(Move::Passive, &outcome, begun);
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
        let begun = Instant::now();
        let outcome = truncate(connection);
        drop(paused);
        self.note(Move::Truncate, &outcome, begun);
        let emptied = is_complete(&outcome);
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
        let begun = Instant::now();
        let outcome = run(connection, mode);
        if mode == "passive" {
            self.note(Move::Passive, &outcome, begun);
        }
        self.told(outcome, mode)
    }

    fn note(&self, kind: Move, outcome: &rusqlite::Result<Outcome>, begun: Instant) {
        let measured = &self.published.measured;
        measured.note_checkpoint(kind, ended(outcome), begun.elapsed());
        if let Err(fault) = outcome {
            measured.note_fault(fault);
        }
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
                if mode == "noop" {
                    self.published.measured.note_fault(&error);
                }
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!(%error, mode, "a checkpoint failed");
                }
                None
            }
        }
    }
}

/// Moves the whole log into the file and empties it.
fn truncate(connection: &Connection) -> rusqlite::Result<Outcome> {
    set_wait(connection, Patience::Short);
    let outcome = run(connection, "truncate");
    set_wait(connection, Patience::Long);
    if let Err(error) = &outcome {
        tracing::error!(%error, "the log could not be emptied");
    }
    outcome
}

/// The same; false when a reader or writer was in the way.
pub(super) fn empty(connection: &Connection) -> bool {
    is_complete(&truncate(connection))
}

fn is_complete(outcome: &rusqlite::Result<Outcome>) -> bool {
    matches!(outcome, Ok((false, _, _)))
}

/// How a checkpoint ended.
pub(super) fn ended(outcome: &rusqlite::Result<Outcome>) -> Ended {
    match outcome {
        Err(_) => Ended::Error,
        Ok((true, _, _)) => Ended::Busy,
        Ok((false, log, moved)) if moved < log => Ended::Partial,
        Ok((false, _, _)) => Ended::Complete,
    }
}

fn set_wait(connection: &Connection, patience: Patience) {
    if let Err(error) = wait_for_locks(connection, patience) {
        tracing::error!(%error, "the busy timeout could not be set");
    }
}

/// Runs a checkpoint.
pub(super) fn run(connection: &Connection, mode: &'static str) -> rusqlite::Result<Outcome> {
    let sql = match mode {
        "noop" => "pragma wal_checkpoint(noop)",
        "passive" => "pragma wal_checkpoint(passive)",
        _ => "pragma wal_checkpoint(truncate)",
    };
    connection.prepare_cached(sql)?.query_row([], |row| {
        Ok((row.get::<_, i64>(0)? != 0, row.get(1)?, row.get(2)?))
    })
}
