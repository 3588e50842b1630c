//! What the store measures of itself: how long, how many, how it ended.
//!
//! The engine keeps the instruments ([`Histogram`], counters) while it works; [`Measures`] is what they say at one
//! moment, in plain numbers. What they are called outside is for `metrics` to say.
//!
//! **Invariant:** measuring takes no lock and allocates nothing, and reading it touches neither the file nor a connection.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::domain::Timestamp;
use crate::fault;

mod label;

pub use label::{Batch, Ended, ErrorCode, Label, Loss, Move, Op, Refusal};

/// Where a histogram's buckets end, in whole units of which `per` make one of what is exposed.
#[derive(Debug, PartialEq)]
pub struct Scale {
    /// Upper bounds, rising. What is above the last is counted too.
    pub bounds: &'static [u64],
    /// Units in one.
    pub per: f64,
}

/// Nanoseconds in a second.
const SECOND: f64 = 1e9;
/// Microseconds and milliseconds, in nanoseconds.
const US: u64 = 1_000;
const MS: u64 = 1_000_000;

/// How long work of the file itself takes: point reads take some 20 µs, an fsync some 0.2 to 20 ms. Few bounds, since
/// there is a histogram for each kind of work.
pub static WORK: Scale = Scale {
    bounds: &[
        50 * US,
        200 * US,
        MS,
        5 * MS,
        20 * MS,
        100 * MS,
        500 * MS,
        2_000 * MS,
    ],
    per: SECOND,
};
/// How long commits take: an alert is at 250 ms, and a quantile is exact at a bound alone.
pub static COMMIT: Scale = Scale {
    bounds: &[
        200 * US,
        MS,
        2 * MS,
        5 * MS,
        10 * MS,
        20 * MS,
        50 * MS,
        100 * MS,
        200 * MS,
        250 * MS,
        500 * MS,
        1_000 * MS,
        2_000 * MS,
    ],
    per: SECOND,
};
/// How long searches take: people notice 200 ms and are lost at a second.
pub static SEARCH: Scale = Scale {
    bounds: &[
        200 * US,
        MS,
        5 * MS,
        20 * MS,
        50 * MS,
        100 * MS,
        200 * MS,
        500 * MS,
        1_000 * MS,
        2_000 * MS,
    ],
    per: SECOND,
};
/// How long something waits for its turn: 2 s is what a reader waits at most, 5 s what a writer does.
pub static WAIT: Scale = Scale {
    bounds: &[
        100 * US,
        500 * US,
        2 * MS,
        5 * MS,
        10 * MS,
        50 * MS,
        200 * MS,
        500 * MS,
        1_000 * MS,
        2_000 * MS,
        5_000 * MS,
    ],
    per: SECOND,
};
/// How long jobs of consolidation take: from nothing to do to a large memory that has never been consolidated.
/// Few bounds, since each is a series for each type.
pub static JOB: Scale = Scale {
    bounds: &[100 * MS, 5_000 * MS, 60_000 * MS, 3_600_000 * MS],
    per: SECOND,
};
/// Units of a group, which has at most 256.
pub static UNITS: Scale = Scale {
    bounds: &[1, 2, 4, 8, 16, 32, 64, 128, 256],
    per: 1.0,
};
/// Answers of a search: none, a few, as many as are usually asked for, all that can be asked for.
pub static ANSWERS: Scale = Scale {
    bounds: &[0, 1, 2, 5, 10, 20, 50, 100],
    per: 1.0,
};

/// Counts how often values fell between its bounds, and sums them up.
#[derive(Debug)]
pub struct Histogram {
    scale: &'static Scale,
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Histogram {
    /// An empty one.
    pub fn new(scale: &'static Scale) -> Self {
        Self {
            scale,
            counts: (0..=scale.bounds.len())
                .map(|_| AtomicU64::new(0))
                .collect(),
            sum: AtomicU64::new(0),
        }
    }

    /// Counts a value.
    pub fn observe(&self, value: u64) {
        if !fault::measures() {
            return;
        }
        let place = self.scale.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get(place) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// Counts a time, in nanoseconds.
    pub fn observe_time(&self, time: Duration) {
        self.observe(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// What it says now.
    pub fn read(&self) -> Distribution {
        Distribution {
            scale: self.scale,
            counts: self.counts.iter().map(get).collect(),
            sum: get(&self.sum),
        }
    }
}

/// What a histogram says at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Distribution {
    /// Where its buckets end.
    pub scale: &'static Scale,
    /// How many values fell into each bucket, and the last into none.
    pub counts: Vec<u64>,
    /// Their sum, in units of the scale.
    pub sum: u64,
}

impl Distribution {
    /// How many values there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Adds another one of the same scale.
    pub fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.sum += other.sum;
    }
}

/// One number for each value of a label.
#[derive(Debug)]
pub struct Counters(Box<[AtomicU64]>);

impl Counters {
    /// Zeros, for as many values as the label has.
    pub fn new<L: Label>() -> Self {
        Self(L::ALL.iter().map(|_| AtomicU64::new(0)).collect())
    }

    /// Adds to the number of `label`.
    pub fn add<L: Label>(&self, label: L, by: u64) {
        if by > 0
            && fault::measures()
            && let Some(count) = self.0.get(label.index())
        {
            count.fetch_add(by, Ordering::Relaxed);
        }
    }

    /// The numbers now.
    pub fn read<L: Label>(&self) -> Vec<(L, u64)> {
        L::ALL.iter().copied().zip(self.0.iter().map(get)).collect()
    }
}

fn get(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

/// What the engine counted on the connections of one role: the pages they keep in memory, and their statements.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConnectionFacts {
    /// Pages that were there when they were needed.
    pub hits: u64,
    /// Pages that were not.
    pub misses: u64,
    /// Pages written to the log.
    pub writes: u64,
    /// Pages written before their transaction was over, to make room.
    pub spills: u64,
    /// Bytes they are kept in.
    pub bytes: u64,
    /// Rows looked at one after the other for want of an index.
    pub scan_steps: u64,
    /// Sorts for want of one.
    pub sorts: u64,
}

/// What the sampler saw last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sampled {
    /// When it last looked, Unix milliseconds; zero before that.
    pub at: Timestamp,
    /// Pages of the file, those of them that are free, and bytes a page.
    pub pages: u64,
    /// Pages that are free for reuse.
    pub free_pages: u64,
    /// Bytes a page.
    pub page_bytes: u64,
    /// Bytes of the file system, and those that can still be written.
    pub disk_bytes: u64,
    /// Bytes that can still be written.
    pub disk_free_bytes: u64,
    /// When the whole file was last found sound, Unix milliseconds; zero before that.
    pub sound_at: Timestamp,
    /// When the kept counts were last counted anew, Unix milliseconds; zero before that.
    pub recounted_at: Timestamp,
    /// How many of them were wrong.
    pub drifted: u64,
}

/// What the store has measured since it was opened.
#[derive(Debug, Clone)]
pub struct Measures {
    /// Units of work: how long each ran on its connection.
    pub work: Vec<(Op, Distribution)>,
    /// How long reads waited for a connection.
    pub pool_wait: Distribution,
    /// Reads that got none in time.
    pub pool_timeouts: u64,
    /// How long the oldest read that goes on has gone on.
    pub oldest_read: Duration,
    /// Most connections for reading.
    pub pool_max: u32,
    /// How long writes waited for the writer.
    pub queue_wait: Distribution,
    /// Writes a group.
    pub batch_units: Distribution,
    /// Groups by how they ended.
    pub batches: Vec<(Batch, u64)>,
    /// Writes that were not taken in.
    pub refused: Vec<(Refusal, u64)>,
    /// Writes that were taken in and not stored.
    pub dropped: Vec<(Loss, u64)>,
    /// When a write that changes the memory was last committed, Unix milliseconds; zero before that.
    pub last_write: Timestamp,
    /// How long commits took, until the log was on the disk.
    pub commit: Distribution,
    /// Checkpoints by kind and end.
    pub checkpoints: Vec<(Move, Vec<(Ended, u64)>)>,
    /// How long they took.
    pub checkpoint_time: Vec<(Move, Distribution)>,
    /// When all of the log was last in the file, Unix milliseconds; zero before that.
    pub last_checkpoint: Timestamp,
    /// Pages in the log, and how many of them are in the file as well.
    pub log_frames: (u64, u64),
    /// Octets of the file, its log and the log's index.
    pub file_bytes: [(&'static str, u64); 3],
    /// Faults that the engine reported.
    pub errors: Vec<(ErrorCode, u64)>,
    /// How often the engine found the file locked and tried again, and how long it slept for that.
    pub busy: (u64, Duration),
    /// What the engine counted on its connections, by their role.
    pub connections: Vec<(&'static str, ConnectionFacts)>,
    /// Whether the log of a process that did not end in order was found at the start.
    pub dirty_start: bool,
    /// How long searches took, those of context bundles among them.
    pub search_time: Distribution,
    /// How many answers searches had.
    pub search_answers: Distribution,
    /// What the sampler saw last.
    pub sampled: Sampled,
}

impl Default for Measures {
    /// What a store has measured that has done nothing.
    fn default() -> Self {
        let none = |scale| Histogram::new(scale).read();
        Self {
            work: Op::ALL.iter().map(|op| (*op, none(&WORK))).collect(),
            pool_wait: none(&WAIT),
            pool_timeouts: 0,
            oldest_read: Duration::ZERO,
            pool_max: 0,
            queue_wait: none(&WAIT),
            batch_units: none(&UNITS),
            batches: Counters::new::<Batch>().read(),
            refused: Counters::new::<Refusal>().read(),
            dropped: Counters::new::<Loss>().read(),
            last_write: Timestamp::default(),
            commit: none(&COMMIT),
            checkpoints: Move::ALL
                .iter()
                .map(|kind| (*kind, Counters::new::<Ended>().read()))
                .collect(),
            checkpoint_time: Move::ALL.iter().map(|kind| (*kind, none(&WORK))).collect(),
            last_checkpoint: Timestamp::default(),
            log_frames: (0, 0),
            file_bytes: [("db", 0), ("wal", 0), ("shm", 0)],
            errors: Counters::new::<ErrorCode>().read(),
            busy: (0, Duration::ZERO),
            connections: ["reader", "writer"]
                .map(|role| (role, ConnectionFacts::default()))
                .to_vec(),
            dirty_start: false,
            search_time: none(&SEARCH),
            search_answers: none(&ANSWERS),
            sampled: Sampled::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_on_a_bound_is_below_it_and_one_above_all_is_counted() {
        let histogram = Histogram::new(&UNITS);
        for value in [1, 2, 3, 256, 257] {
            histogram.observe(value);
        }
        let read = histogram.read();
        assert_eq!(read.counts, [1, 1, 1, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!((read.count(), read.sum), (5, 519));
    }

    #[test]
    fn bounds_rise() {
        for scale in [&WORK, &COMMIT, &SEARCH, &WAIT, &UNITS, &ANSWERS] {
            assert!(scale.bounds.is_sorted_by(|one, next| one < next));
        }
    }

    #[test]
    fn each_label_has_its_own_number_and_its_own_word() {
        fn check<L: Label + PartialEq + std::fmt::Debug>() {
            let counters = Counters::new::<L>();
            for (index, label) in L::ALL.iter().enumerate() {
                assert_eq!(label.index(), index);
                counters.add(*label, 1 + u64::try_from(index).unwrap());
            }
            let mut words: Vec<_> = L::ALL.iter().map(|label| label.as_str()).collect();
            words.sort_unstable();
            words.dedup();
            assert_eq!(words.len(), L::ALL.len());
            for (index, (label, count)) in counters.read::<L>().into_iter().enumerate() {
                assert_eq!(
                    (label.index(), count),
                    (index, 1 + u64::try_from(index).unwrap())
                );
            }
        }
        check::<Op>();
        check::<Batch>();
        check::<Refusal>();
        check::<Loss>();
        check::<Move>();
        check::<Ended>();
        check::<ErrorCode>();
    }
}
