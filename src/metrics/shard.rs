//! Numbers that all threads add to, in a part for each few of them.
//!
//! A line of memory that two processors write in turn goes from one to the other each time. So each thread has one of a few
//! parts, which share no line, and a scrape adds the parts up.
//!
//! **Invariant:** a part is only ever added to by what was counted, so that a sum over parts never misses any, and never
//! falls where nothing is taken off.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

/// Parts of each number: as many threads as that add without waiting for each other.
pub(super) const SHARDS: usize = 4;

/// The part that this thread adds to.
pub(super) fn mine() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static MINE: usize = NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS;
    }
    // A thread that is ending has none any more.
    MINE.try_with(|mine| *mine).unwrap_or(0)
}

/// A number on lines of its own: processors fetch two at a time.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Line(AtomicI64);

/// A number that goes up and down.
#[derive(Debug, Default)]
pub(super) struct Level([Line; SHARDS]);

impl Level {
    /// Adds to it.
    pub(super) fn add(&self, more: i64) {
        if let Some(Line(part)) = self.0.get(mine()) {
            part.fetch_add(more, Ordering::Relaxed);
        }
    }

    /// What it is now.
    pub(super) fn get(&self) -> i64 {
        self.0
            .iter()
            .map(|Line(part)| part.load(Ordering::Relaxed))
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_threads_add_and_take_off_is_all_in_the_sum() {
        let level = Level::default();
        std::thread::scope(|scope| {
            for _ in 0..3 * SHARDS {
                scope.spawn(|| (0..1_000).for_each(|_| level.add(2)));
                scope.spawn(|| (0..1_000).for_each(|_| level.add(-1)));
            }
        });
        assert_eq!(level.get(), 3_000 * i64::try_from(SHARDS).unwrap());
    }
}
