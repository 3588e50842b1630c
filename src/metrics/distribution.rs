//! A distribution of values over fixed buckets, and for each bucket a request that fell into it.
//!
//! Ours, because the crate's histogram can be read through its protocol buffers alone, some ten allocations each, and
//! has no exemplars. Here a scrape copies what is there.
//!
//! An observation is two relaxed additions, to the part of its thread. The count is the sum of the buckets, so a scrape
//! never sees a value that is counted and in no bucket; the sum may be one observation ahead or behind.
//!
//! **Invariant:** observing takes no lock, waits for nobody, and allocates nothing.

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};

use crate::metrics::encode::Snapshot;
use crate::metrics::shard::{self, SHARDS};

/// Longest id that an exemplar keeps; the server takes none that is longer.
const ID_BYTES: usize = 64;
const WORDS: usize = ID_BYTES / 8;
/// Numbers on two lines of memory, which processors fetch together.
const LINE_WORDS: usize = 16;
/// How long an exemplar stands before another takes its place, in nanoseconds: scrapes are seldom more frequent, and a
/// busy route would otherwise write one a request.
const STANDS: u64 = 1_000_000_000;

/// Values in buckets. They are whole numbers of a unit, of which `per_one` make one of the unit that is exported.
#[derive(Debug)]
pub(super) struct Distribution {
    bounds: &'static [f64],
    per_one: f64,
    parts: [Part; SHARDS],
}

/// What some threads have observed: how many values each bucket has for itself, the last for the infinite one; their sum;
/// and nothing, as far as the end of a line of memory.
#[derive(Debug)]
struct Part(Box<[AtomicU64]>);

impl Part {
    fn new(bounds: usize) -> Self {
        let words = (bounds + 2).next_multiple_of(LINE_WORDS);
        Self((0..words).map(|_| AtomicU64::new(0)).collect())
    }

    fn add(&self, place: usize, more: u64) {
        if let Some(number) = self.0.get(place) {
            number.fetch_add(more, Ordering::Relaxed);
        }
    }

    fn get(&self, place: usize) -> u64 {
        let number = self.0.get(place);
        number.map_or(0, |number| number.load(Ordering::Relaxed))
    }
}

impl Distribution {
    /// An empty one.
    pub(super) fn new(bounds: &'static [f64], per_one: f64) -> Self {
        Self {
            bounds,
            per_one,
            parts: std::array::from_fn(|_| Part::new(bounds.len())),
        }
    }

    /// Of durations in nanoseconds, exported in seconds.
    pub(super) fn of_nanos(bounds: &'static [f64]) -> Self {
        Self::new(bounds, 1e9)
    }

    /// Takes a value in; answers the bucket that it fell into.
    pub(super) fn observe(&self, value: u64) -> usize {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a bound is no finer than a double"
        )]
        let exported = value as f64 / self.per_one;
        let index = self.bounds.partition_point(|bound| *bound < exported);
        if let Some(part) = self.parts.get(shard::mine()) {
            part.add(index, 1);
            part.add(self.bounds.len() + 1, value);
        }
        index
    }

    /// What there is now.
    pub(super) fn freeze(&self) -> Frozen {
        let all = |place| self.parts.iter().map(|part| part.get(place)).sum::<u64>();
        let mut count = 0;
        let mut cumulative = Vec::with_capacity(self.bounds.len());
        for bucket in 0..self.bounds.len() {
            count += all(bucket);
            cumulative.push(count);
        }
        count += all(self.bounds.len());
        #[expect(
            clippy::cast_precision_loss,
            reason = "exact for a hundred days of nanoseconds"
        )]
        let sum = all(self.bounds.len() + 1) as f64 / self.per_one;
        Frozen {
            bounds: self.bounds,
            cumulative,
            count,
            sum,
        }
    }
}

/// What a distribution was at one moment.
#[derive(Debug)]
pub(super) struct Frozen {
    bounds: &'static [f64],
    cumulative: Vec<u64>,
    pub(super) count: u64,
    sum: f64,
}

impl Frozen {
    pub(super) fn snapshot(&self) -> Snapshot<'_> {
        Snapshot {
            bounds: self.bounds,
            cumulative: &self.cumulative,
            count: self.count,
            sum: self.sum,
        }
    }
}

/// The place of one exemplar. Whoever finds it being written leaves it alone; whoever reads while it is written sees
/// none.
#[derive(Debug, Default)]
pub(super) struct Slot {
    /// Odd while it is being written.
    turn: AtomicU32,
    /// When, in nanoseconds since the start; zero if never.
    at: AtomicU64,
    /// The value, in the distribution's unit.
    value: AtomicU64,
    bytes: AtomicUsize,
    id: [AtomicU64; WORDS],
}

/// What a slot held.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Held {
    pub(super) request_id: String,
    pub(super) value: u64,
    pub(super) at: u64,
}

impl Slot {
    /// Puts a request here, unless one stands here that is new enough. `at` is nanoseconds since the start.
    pub(super) fn offer(&self, request_id: &str, value: u64, at: u64) {
        let last = self.at.load(Ordering::Relaxed);
        if request_id.len() > ID_BYTES || (last != 0 && at < last.saturating_add(STANDS)) {
            return;
        }
        let turn = self.turn.load(Ordering::Relaxed);
        let mine = turn.is_multiple_of(2)
            && self
                .turn
                .compare_exchange(
                    turn,
                    turn.wrapping_add(1),
                    Ordering::Acquire,
                    Ordering::Relaxed,
                )
                .is_ok();
        if !mine {
            return;
        }
        fence(Ordering::Release);
        self.at.store(at.max(1), Ordering::Relaxed);
        self.value.store(value, Ordering::Relaxed);
        self.bytes.store(request_id.len(), Ordering::Relaxed);
        for (place, chunk) in self.id.iter().zip(request_id.as_bytes().chunks(8)) {
            let mut word = [0; 8];
            for (to, from) in word.iter_mut().zip(chunk) {
                *to = *from;
            }
            place.store(u64::from_le_bytes(word), Ordering::Relaxed);
        }
        self.turn.store(turn.wrapping_add(2), Ordering::Release);
    }

    /// What stands here, if it is whole.
    pub(super) fn read(&self) -> Option<Held> {
        if self.at.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let turn = self.turn.load(Ordering::Acquire);
        let at = self.at.load(Ordering::Relaxed);
        let value = self.value.load(Ordering::Relaxed);
        let bytes = self.bytes.load(Ordering::Relaxed);
        let mut id = Vec::with_capacity(ID_BYTES);
        for word in &self.id {
            id.extend_from_slice(&word.load(Ordering::Relaxed).to_le_bytes());
        }
        fence(Ordering::Acquire);
        if !turn.is_multiple_of(2) || self.turn.load(Ordering::Relaxed) != turn {
            return None;
        }
        id.truncate(bytes);
        let request_id = String::from_utf8(id).ok()?;
        Some(Held {
            request_id,
            value,
            at,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    #[test]
    fn a_value_on_a_bound_is_within_it_and_the_count_is_all_of_them() {
        let distribution = Distribution::of_nanos(&[0.001, 0.002]);
        for nanos in [1_000_000, 1_000_001, 2_000_000, 2_000_001] {
            distribution.observe(nanos);
        }
        let frozen = distribution.freeze();
        assert_eq!(frozen.cumulative, [1, 3]);
        assert_eq!(frozen.count, 4);
        assert!((frozen.sum - 0.006_000_002).abs() < 1e-12);
    }

    #[test]
    fn a_slot_keeps_one_for_a_second() {
        let slot = Slot::default();
        assert_eq!(slot.read(), None);
        slot.offer("first", 5, 10);
        slot.offer("second", 6, 10 + STANDS - 1);
        assert_eq!(slot.read().unwrap().request_id, "first");
        slot.offer(&"x".repeat(ID_BYTES), 7, 10 + STANDS);
        assert_eq!(
            slot.read(),
            Some(Held {
                request_id: "x".repeat(ID_BYTES),
                value: 7,
                at: 10 + STANDS
            })
        );
        slot.offer(&"y".repeat(ID_BYTES + 1), 8, 10 + 5 * STANDS);
        assert_eq!(slot.read().unwrap().value, 7);
    }

    #[test]
    fn a_reader_never_sees_half_of_one_and_half_of_another() {
        let slot = Slot::default();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for writer in 0..2_u64 {
                let (slot, done) = (&slot, &done);
                scope.spawn(move || {
                    let letter = if writer == 0 { "a" } else { "b" };
                    for round in 1..20_000_u64 {
                        slot.offer(&letter.repeat(ID_BYTES), writer, round * STANDS);
                    }
                    done.store(true, Ordering::Relaxed);
                });
            }
            while !done.load(Ordering::Relaxed) {
                if let Some(held) = slot.read() {
                    let letter = if held.value == 0 { "a" } else { "b" };
                    assert_eq!(held.request_id, letter.repeat(ID_BYTES));
                }
            }
        });
    }
}
