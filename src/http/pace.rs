//! How slow the other side of a connection may be.
//!
//! **Invariant:** counts the time that we wait for the other side and no other.

use std::time::Duration;

use tokio::time::Instant;

/// Bytes that have to move for each patience of waiting: some 2 KB/s at the default of 30 s, below the slowest line.
const LEAST_BYTES: usize = 64 * 1024;

/// How it goes: who makes us wait for a whole patience has to have moved [`LEAST_BYTES`] meanwhile.
#[derive(Debug)]
pub(super) struct Pace {
    patience: Duration,
    waited: Duration,
    moved: usize,
    waiting_since: Option<Instant>,
}

impl Pace {
    pub(super) fn new(patience: Duration) -> Self {
        Self {
            patience,
            waited: Duration::ZERO,
            moved: 0,
            waiting_since: None,
        }
    }

    /// We wait, if we did not already; answers when it will have been too long.
    pub(super) fn waits(&mut self) -> Instant {
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        since + self.patience.saturating_sub(self.waited)
    }

    /// So many bytes have moved.
    pub(super) fn moves(&mut self, bytes: usize) {
        if let Some(since) = self.waiting_since.take() {
            self.waited += since.elapsed();
        }
        self.moved = self.moved.saturating_add(bytes);
        if self.moved >= LEAST_BYTES {
            self.begin_anew();
        }
    }

    /// All that was to move has; what comes next has its own time.
    pub(super) fn begin_anew(&mut self) {
        *self = Self::new(self.patience);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trickle_does_not_buy_time_and_a_stream_does() {
        let patience = Duration::from_secs(30);
        let mut pace = Pace::new(patience);
        let begun = Instant::now();
        let first = pace.waits();
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(pace.waits(), first);
        pace.moves(1);
        // What was waited is spent, whatever the time between.
        let second = pace.waits();
        assert!(second <= Instant::now() + patience - Duration::from_millis(20));
        pace.moves(LEAST_BYTES);
        assert!(pace.waits() >= begun + Duration::from_millis(20) + patience);
    }
}
