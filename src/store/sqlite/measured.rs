//! The instruments that the engine's threads keep while they work.
//!
//! They are relaxed atomics: the writer is the only one at most of them, readers share the rest. Each costs some
//! nanoseconds, beside some 20 µs of the cheapest unit of work.
//!
//! **Invariant:** reading them waits for nobody and asks the file nothing but its size.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode as Code};

use crate::domain::Timestamp;
use crate::fault;
use crate::store::StoreError;
use crate::store::measure::{
    ANSWERS, Batch, COMMIT, ConnectionFacts, Counters, Distribution, Ended, ErrorCode, Histogram,
    Label, Loss, Measures, Move, Op, Refusal, SEARCH, Sampled, UNITS, WAIT, WORK,
};
use crate::store::sqlite::busy;
use crate::store::sqlite::examine::with_suffix;
use crate::store::sqlite::pages::{CacheCounts, cache_counts, statement_counts};
use crate::store::sqlite::published::wall_clock;

/// How often what SQLite counts on a connection is read, by whoever has it at hand: it asks each statement and each part
/// of the cache, some 2 µs in all.
pub(super) const COUNTS_EVERY: Duration = Duration::from_millis(100);

/// The instruments.
#[derive(Debug)]
pub(super) struct Measured {
    begun: Instant,
    work: Vec<Histogram>,
    pub(super) pool_wait: Histogram,
    pub(super) pool_timeouts: AtomicU64,
    reads: Vec<AtomicU64>,
    pub(super) queue_wait: Histogram,
    pub(super) batch_units: Histogram,
    batches: Counters,
    refused: Counters,
    dropped: Counters,
    last_write: AtomicI64,
    pub(super) commit: Histogram,
    checkpoints: Vec<Counters>,
    checkpoint_time: Vec<Histogram>,
    last_checkpoint: AtomicI64,
    errors: Counters,
    pub(super) readers: Connections,
    pub(super) writers: Connections,
    dirty_start: AtomicBool,
    sampled: Mutex<Sampled>,
}

impl Measured {
    /// Instruments that have measured nothing, for `readers` connections.
    pub(super) fn new(readers: u32) -> Self {
        Self {
            begun: Instant::now(),
            work: Op::ALL.iter().map(|_| Histogram::new(&WORK)).collect(),
            pool_wait: Histogram::new(&WAIT),
            pool_timeouts: AtomicU64::new(0),
            reads: (0..readers).map(|_| AtomicU64::new(0)).collect(),
            queue_wait: Histogram::new(&WAIT),
            batch_units: Histogram::new(&UNITS),
            batches: Counters::new::<Batch>(),
            refused: Counters::new::<Refusal>(),
            dropped: Counters::new::<Loss>(),
            last_write: AtomicI64::new(0),
            commit: Histogram::new(&COMMIT),
            checkpoints: Move::ALL.iter().map(|_| Counters::new::<Ended>()).collect(),
            checkpoint_time: Move::ALL.iter().map(|_| Histogram::new(&WORK)).collect(),
            last_checkpoint: AtomicI64::new(0),
            errors: Counters::new::<ErrorCode>(),
            readers: Connections::default(),
            writers: Connections::default(),
            dirty_start: AtomicBool::new(false),
            sampled: Mutex::default(),
        }
    }

    /// A unit of work ran on its connection for so long.
    pub(super) fn note_work(&self, op: Op, took: Duration) {
        if let Some(histogram) = self.work.get(op.index()) {
            histogram.observe_time(took);
        }
    }

    /// The read on this connection has begun; [`Measured::read_ends`] when it is over.
    pub(super) fn read_begins(&self, slot: usize, at: Instant) {
        if let Some(read) = self.reads.get(slot)
            && fault::measures()
        {
            // Zero says that there is none.
            let since = at.saturating_duration_since(self.begun).as_nanos();
            read.store(
                u64::try_from(since).unwrap_or(u64::MAX).max(1),
                Ordering::Relaxed,
            );
        }
    }

    /// The read on this connection is over.
    pub(super) fn read_ends(&self, slot: usize) {
        if let Some(read) = self.reads.get(slot) {
            read.store(0, Ordering::Relaxed);
        }
    }

    fn oldest_read(&self) -> Duration {
        let now = u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let begun = self.reads.iter().map(|read| read.load(Ordering::Relaxed));
        let ages = begun
            .filter(|begun| *begun > 0)
            .map(|begun| now.saturating_sub(begun));
        Duration::from_nanos(ages.max().unwrap_or(0))
    }

    /// A group of writes has ended.
    ///
    /// The store's own upkeep is none of the units, and makes no group by itself.
    pub(super) fn note_batch(&self, units: usize, ended: Batch) {
        if units == 0 {
            return;
        }
        let units = u64::try_from(units).unwrap_or(u64::MAX);
        self.batch_units.observe(units);
        self.batches.add(ended, 1);
        match ended {
            Batch::Committed => {}
            Batch::Failed => self.dropped.add(Loss::Failed, units),
            Batch::Damaged => self.dropped.add(Loss::Damaged, units),
        }
    }

    /// A unit waited for its turn.
    pub(super) fn note_wait(&self, op: Op, waited: Duration) {
        if !op.is_upkeep() {
            self.queue_wait.observe_time(waited);
        }
    }

    /// A group that changes the memory is on the disk.
    pub(super) fn note_written(&self) {
        self.last_write.store(wall_clock(), Ordering::Relaxed);
    }

    /// When that was last, Unix milliseconds; zero if not since the start.
    pub(super) fn last_write(&self) -> i64 {
        self.last_write.load(Ordering::Relaxed)
    }

    /// A write was not taken in.
    pub(super) fn note_refusal(&self, why: Refusal) {
        self.refused.add(why, 1);
    }

    /// A checkpoint has ended.
    pub(super) fn note_checkpoint(&self, kind: Move, ended: Ended, took: Duration) {
        if let Some(counters) = self.checkpoints.get(kind.index()) {
            counters.add(ended, 1);
        }
        if let Some(histogram) = self.checkpoint_time.get(kind.index()) {
            histogram.observe_time(took);
        }
        if ended == Ended::Complete {
            self.last_checkpoint.store(wall_clock(), Ordering::Relaxed);
        }
    }

    /// The log of a process that did not end in order was found.
    pub(super) fn note_dirty_start(&self, dirty: bool) {
        self.dirty_start.store(dirty, Ordering::Relaxed);
    }

    /// The engine reported a fault.
    pub(super) fn note_fault(&self, fault: &rusqlite::Error) {
        if let Some(code) = fault.sqlite_error_code() {
            self.errors.add(code_of(code), 1);
        }
    }

    /// A unit of work failed; counts what the engine reported, if it was the engine.
    pub(super) fn note_failure(&self, failure: &StoreError) {
        if let StoreError::Unavailable(cause)
        | StoreError::Damaged(cause)
        | StoreError::Internal(cause) = failure
            && let Some(fault) = cause.downcast_ref::<rusqlite::Error>()
        {
            self.note_fault(fault);
        }
    }

    /// Changes what the sampler saw.
    pub(super) fn sample(&self, change: impl FnOnce(&mut Sampled)) {
        change(&mut self.sampled.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// What the instruments say; `log_frames` and `searched` are kept elsewhere.
    pub(super) fn read(
        &self,
        path: &Path,
        log_frames: (u64, u64),
        searched: &Searched,
    ) -> Measures {
        let work = |histograms: &[Histogram]| -> Vec<Distribution> {
            histograms.iter().map(Histogram::read).collect()
        };
        let size =
            |suffix| std::fs::metadata(with_suffix(path, suffix)).map_or(0, |file| file.len());
        let time = |millis: &AtomicI64| Timestamp::from_millis(millis.load(Ordering::Relaxed));
        let ends = self.checkpoints.iter().map(Counters::read);
        Measures {
            work: Op::ALL.iter().copied().zip(work(&self.work)).collect(),
            pool_wait: self.pool_wait.read(),
            pool_timeouts: self.pool_timeouts.load(Ordering::Relaxed),
            oldest_read: self.oldest_read(),
            pool_max: u32::try_from(self.reads.len()).unwrap_or(u32::MAX),
            queue_wait: self.queue_wait.read(),
            batch_units: self.batch_units.read(),
            batches: self.batches.read(),
            refused: self.refused.read(),
            dropped: self.dropped.read(),
            last_write: time(&self.last_write),
            commit: self.commit.read(),
            checkpoints: Move::ALL.iter().copied().zip(ends).collect(),
            checkpoint_time: Move::ALL
                .iter()
                .copied()
                .zip(work(&self.checkpoint_time))
                .collect(),
            last_checkpoint: time(&self.last_checkpoint),
            log_frames,
            file_bytes: [
                ("db", size("")),
                ("wal", size("-wal")),
                ("shm", size("-shm")),
            ],
            errors: self.errors.read(),
            busy: busy::counted(),
            connections: vec![
                ("reader", self.readers.read()),
                ("writer", self.writers.read()),
            ],
            dirty_start: self.dirty_start.load(Ordering::Relaxed),
            search_time: searched.time.read(),
            search_answers: searched.answers.read(),
            sampled: *self.sampled.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }
}

/// What searches took and found, wherever they were made.
#[derive(Debug)]
pub(super) struct Searched {
    time: Histogram,
    answers: Histogram,
}

impl Default for Searched {
    fn default() -> Self {
        Self {
            time: Histogram::new(&SEARCH),
            answers: Histogram::new(&ANSWERS),
        }
    }
}

impl Searched {
    /// A search took so long and had so many answers.
    pub(super) fn note(&self, took: Duration, answers: usize) {
        self.time.observe_time(took);
        self.answers
            .observe(u64::try_from(answers).unwrap_or(u64::MAX));
    }
}

fn code_of(code: Code) -> ErrorCode {
    match code {
        Code::DatabaseBusy => ErrorCode::Busy,
        Code::DatabaseLocked => ErrorCode::Locked,
        Code::OutOfMemory => ErrorCode::NoMemory,
        Code::ReadOnly => ErrorCode::ReadOnly,
        Code::OperationInterrupted => ErrorCode::Interrupt,
        Code::SystemIoFailure => ErrorCode::Io,
        Code::DatabaseCorrupt => ErrorCode::Corrupt,
        Code::DiskFull => ErrorCode::Full,
        Code::CannotOpen => ErrorCode::CannotOpen,
        Code::FileLockingProtocolFailed => ErrorCode::Protocol,
        Code::ConstraintViolation => ErrorCode::Constraint,
        Code::NotADatabase => ErrorCode::NotADatabase,
        _ => ErrorCode::Other,
    }
}

/// What SQLite counted on all connections of one role.
#[derive(Debug, Default)]
pub(super) struct Connections {
    hits: AtomicU64,
    misses: AtomicU64,
    writes: AtomicU64,
    spills: AtomicU64,
    bytes: AtomicU64,
    scan_steps: AtomicU64,
    sorts: AtomicU64,
}

impl Connections {
    /// Adds what one counted since the last time. `held` is what its cache held then, and then what it holds now.
    pub(super) fn note(&self, connection: &Connection, held: &mut u64) {
        let statements = statement_counts(connection);
        self.scan_steps
            .fetch_add(statements.scan_steps, Ordering::Relaxed);
        self.sorts.fetch_add(statements.sorts, Ordering::Relaxed);
        self.note_cache(cache_counts(connection), held);
    }

    fn note_cache(&self, counts: CacheCounts, held: &mut u64) {
        self.hits.fetch_add(counts.hits, Ordering::Relaxed);
        self.misses.fetch_add(counts.misses, Ordering::Relaxed);
        self.writes.fetch_add(counts.writes, Ordering::Relaxed);
        self.spills.fetch_add(counts.spills, Ordering::Relaxed);
        // Wraps where it shrank, and wraps back in the sum.
        self.bytes
            .fetch_add(counts.bytes.wrapping_sub(*held), Ordering::Relaxed);
        *held = counts.bytes;
    }

    fn read(&self) -> ConnectionFacts {
        ConnectionFacts {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            writes: self.writes.load(Ordering::Relaxed),
            spills: self.spills.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            scan_steps: self.scan_steps.load(Ordering::Relaxed),
            sorts: self.sorts.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_a_role_are_the_sum_of_what_its_connections_hold_now() {
        let cache = Connections::default();
        let (mut one, mut two) = (0, 0);
        let holding = |bytes| CacheCounts {
            bytes,
            ..CacheCounts::default()
        };
        cache.note_cache(holding(100), &mut one);
        cache.note_cache(holding(50), &mut two);
        cache.note_cache(holding(30), &mut one);
        assert_eq!(cache.read().bytes, 80);
    }

    #[test]
    fn the_oldest_read_is_the_one_that_began_first_and_is_not_over() {
        let measured = Measured::new(3);
        assert_eq!(measured.oldest_read(), Duration::ZERO);
        let now = measured.begun + Duration::from_secs(1);
        measured.read_begins(0, measured.begun);
        measured.read_begins(2, now);
        std::thread::sleep(Duration::from_millis(5));
        assert!(measured.oldest_read() >= Duration::from_millis(5));
        measured.read_ends(0);
        // The other one is still to come.
        assert_eq!(measured.oldest_read(), Duration::ZERO);
    }

    #[test]
    fn a_fault_is_counted_under_its_code_and_what_is_no_fault_is_not() {
        let measured = Measured::new(1);
        let fault = |code| rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
        measured.note_failure(&fault(rusqlite::ffi::SQLITE_IOERR_FSYNC).into());
        measured.note_failure(&fault(rusqlite::ffi::SQLITE_CORRUPT).into());
        measured.note_failure(&fault(rusqlite::ffi::SQLITE_TOOBIG).into());
        measured.note_failure(&StoreError::Overloaded);
        let counted: Vec<_> = measured
            .errors
            .read::<ErrorCode>()
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .collect();
        let expected = [
            (ErrorCode::Io, 1),
            (ErrorCode::Corrupt, 1),
            (ErrorCode::Other, 1),
        ];
        assert_eq!(counted, expected);
    }
}
