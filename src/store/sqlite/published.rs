//! What the writer tells the rest of the process: counted facts, whether the file can be used, how full the queue is.
//!
//! **Invariant:** reading it never waits for the writer, and what counts what ever happened never falls.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::domain::{Stat, Timestamp};
use crate::store::StoreError;
use crate::store::sqlite::file::PAGE_BYTES;
use crate::store::sqlite::measured::Measured;
use crate::store::sqlite::unit::Effects;

/// What the writer tells the rest of the process.
#[derive(Debug)]
pub(super) struct Published {
    pub(super) measured: Measured,
    stats: Mutex<Arc<BTreeMap<Stat, i64>>>,
    writable: AtomicBool,
    readable: AtomicBool,
    damaged: AtomicBool,
    checked_at: AtomicI64,
    checked: Mutex<Instant>,
    log: AtomicU64,
    log_moved: AtomicU64,
    max_log_frames: u64,
    pub(super) depth: AtomicUsize,
    pub(super) bytes: AtomicUsize,
    recalls: AtomicI64,
    recalls_empty: AtomicI64,
}

impl Published {
    /// Zeros, and usable until something says otherwise; for so many connections that read, and a log of so many octets.
    pub(super) fn new(readers: u32, max_log_bytes: u64) -> Self {
        let zeros = Stat::all().into_iter().map(|stat| (stat, 0)).collect();
        Self {
            measured: Measured::new(readers),
            stats: Mutex::new(Arc::new(zeros)),
            writable: AtomicBool::new(true),
            readable: AtomicBool::new(true),
            damaged: AtomicBool::new(false),
            checked_at: AtomicI64::new(0),
            checked: Mutex::new(Instant::now()),
            log: AtomicU64::new(0),
            log_moved: AtomicU64::new(0),
            max_log_frames: max_log_bytes / PAGE_BYTES.unsigned_abs(),
            depth: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            recalls: AtomicI64::new(0),
            recalls_empty: AtomicI64::new(0),
        }
    }

    /// The counted facts.
    pub(super) fn stats(&self) -> Arc<BTreeMap<Stat, i64>> {
        Arc::clone(&lock(&self.stats))
    }

    /// Whether the file could be used at the last look.
    pub(super) fn usable(&self) -> bool {
        self.writable() && self.readable.load(Ordering::Acquire)
    }

    /// Whether a write could be made at the last look.
    pub(super) fn writable(&self) -> bool {
        self.writable.load(Ordering::Acquire)
    }

    /// Notes whether the file could be read just now, or why not.
    pub(super) fn note_readable(&self, failure: Option<&StoreError>) {
        if let Some(failure) = failure {
            self.note_failure(failure);
        }
        if self.readable.swap(failure.is_none(), Ordering::AcqRel) != failure.is_none() {
            match failure {
                None => tracing::info!("the store can be read again"),
                Some(failure) => tracing::error!(
                    error = failure as &dyn std::error::Error,
                    "the store cannot be read"
                ),
            }
        }
    }

    /// When that look was, by the wall clock, and how long ago it is.
    pub(super) fn checked(&self) -> (Timestamp, Duration) {
        (
            Timestamp::from_millis(self.checked_at.load(Ordering::Acquire)),
            lock(&self.checked).elapsed(),
        )
    }

    /// Whether damage was met.
    pub(super) fn damaged(&self) -> bool {
        self.damaged.load(Ordering::Acquire)
    }

    /// Notes that damage was met.
    pub(super) fn note_damage(&self, fault: &str) {
        if !self.damaged.swap(true, Ordering::AcqRel) {
            tracing::error!(
                fault,
                "the file is damaged: run `agent-memory doctor`, and restore a copy"
            );
        }
    }

    /// Notes that a unit of work failed.
    pub(super) fn note_failure(&self, failure: &StoreError) {
        self.measured.note_failure(failure);
        if let StoreError::Damaged(fault) = failure {
            self.note_damage(&fault.to_string());
        }
    }

    /// Pages in the log, and how many of them are in the file as well.
    pub(super) fn log_frames(&self) -> (u64, u64) {
        (
            self.log.load(Ordering::Relaxed),
            self.log_moved.load(Ordering::Relaxed),
        )
    }

    /// Notes how long the log is.
    pub(super) fn note_log(&self, frames: i64, moved: i64) {
        let whole = |count: i64| u64::try_from(count).unwrap_or(0);
        self.log.store(whole(frames), Ordering::Relaxed);
        self.log_moved.store(whole(moved), Ordering::Relaxed);
    }

    /// Whether the log has come to its bound.
    pub(super) fn log_is_full(&self) -> bool {
        self.log.load(Ordering::Relaxed) >= self.max_log_frames
    }

    /// Octets of the log at which writes are refused.
    pub(super) fn max_log_bytes(&self) -> u64 {
        self.max_log_frames
            .saturating_mul(PAGE_BYTES.unsigned_abs())
    }

    /// Units waiting.
    pub(super) fn depth(&self) -> usize {
        self.depth.load(Ordering::Relaxed)
    }

    /// Counts a search; the next group writes it.
    pub(super) fn count_recall(&self, empty: bool) {
        self.recalls.fetch_add(1, Ordering::Relaxed);
        if empty {
            self.recalls_empty.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Hands the counted searches to the group that will write them; answers how many, and how many found nothing.
    pub(super) fn take_recalls(&self, effects: &mut Effects) -> (i64, i64) {
        let recalls = self.recalls.swap(0, Ordering::Relaxed);
        let empty = self.recalls_empty.swap(0, Ordering::Relaxed);
        effects.count_store(Stat::Recalls, recalls);
        effects.count_store(Stat::RecallsEmpty, empty);
        (recalls, empty)
    }

    /// Takes them back from a group that was not stored.
    pub(super) fn give_back(&self, (recalls, empty): (i64, i64)) {
        self.recalls.fetch_add(recalls, Ordering::Relaxed);
        self.recalls_empty.fetch_add(empty, Ordering::Relaxed);
    }

    /// Whether searches were counted that no group has written.
    pub(super) fn recalls_wait(&self) -> bool {
        self.recalls.load(Ordering::Relaxed) > 0
    }

    /// Notes that the file could or could not be used just now.
    pub(super) fn note_writable(&self, usable: bool) {
        if self.writable.swap(usable, Ordering::AcqRel) != usable {
            if usable {
                tracing::info!("the store can be used again");
            } else {
                tracing::error!("the store cannot be used");
            }
        }
        self.checked_at.store(wall_clock(), Ordering::Release);
        *lock(&self.checked) = Instant::now();
    }

    /// Notes how a group of writes ended. A failure stands until the writer has proved that it has passed: a small
    /// write may still find room where the next one does not.
    pub(super) fn note_group(&self, stored: bool) {
        self.note_writable(stored && self.writable());
    }

    /// Publishes the facts as they stand in the file; what never falls does not.
    pub(super) fn publish(&self, fresh: &BTreeMap<Stat, i64>) {
        let mut current = lock(&self.stats);
        let next = Stat::all().into_iter().map(|stat| {
            let value = fresh.get(&stat).copied().unwrap_or(0);
            let before = current.get(&stat).copied().unwrap_or(0);
            (
                stat,
                if stat.is_lifetime() {
                    value.max(before)
                } else {
                    value
                },
            )
        });
        *current = Arc::new(next.collect());
    }
}

/// Unix milliseconds of a look at the store. Not `Clock`: a fixed one would make health lie.
#[expect(clippy::disallowed_methods, reason = "operational, not data")]
pub(super) fn wall_clock() -> i64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |age| i64::try_from(age.as_millis()).unwrap_or(i64::MAX))
}

/// Locks; a panic elsewhere leaves nothing half done behind these locks.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
