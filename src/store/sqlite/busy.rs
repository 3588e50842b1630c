//! Waiting for a lock that another connection holds, counted.
//!
//! SQLite would wait by itself and tell nobody. The steps are its own; a handler is a bare function, so its counts are
//! the process's, as the sum of SQLite's memory is.
//!
//! **Invariant:** waits no longer than it is told, and counts whatever it waited.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rusqlite::Connection;

use crate::store::sqlite::checkpoint::TRUNCATE_WAIT;
use crate::store::sqlite::file::BUSY_WAIT;

/// How long to sleep before each try, in milliseconds; the last one goes on. From SQLite's own handler.
const STEPS_MS: [u64; 12] = [1, 2, 5, 10, 15, 20, 25, 25, 25, 50, 50, 100];

static RETRIES: AtomicU64 = AtomicU64::new(0);
static WAITED_MS: AtomicU64 = AtomicU64::new(0);

/// How patient a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// [`BUSY_WAIT`]: the net below the write turn.
    Long,
    /// [`TRUNCATE_WAIT`]: whoever does it tries again soon.
    Short,
    /// [`BRIEF_WAIT`]: whoever waits is waited for by a person.
    Brief,
}

/// For a hook of a coding agent, whose shortest budget is a second and a half.
const BRIEF_WAIT: Duration = Duration::from_millis(400);

impl Patience {
    /// Of a connection whose writes may wait so long.
    pub(super) fn of(write_wait: Duration) -> Self {
        if write_wait <= BRIEF_WAIT {
            Self::Brief
        } else {
            Self::Long
        }
    }
}

/// Makes the connection wait for locks.
pub(super) fn wait_for_locks(connection: &Connection, patience: Patience) -> rusqlite::Result<()> {
    connection.busy_handler(Some(match patience {
        Patience::Long => long,
        Patience::Short => short,
        Patience::Brief => brief,
    }))
}

/// How often a lock was tried again, and how long was slept for that, by all connections of this process.
pub(super) fn counted() -> (u64, Duration) {
    let waited = Duration::from_millis(WAITED_MS.load(Ordering::Relaxed));
    (RETRIES.load(Ordering::Relaxed), waited)
}

fn long(tries: i32) -> bool {
    sleep(tries, BUSY_WAIT)
}

fn short(tries: i32) -> bool {
    sleep(tries, TRUNCATE_WAIT)
}

fn brief(tries: i32) -> bool {
    sleep(tries, BRIEF_WAIT)
}

/// Sleeps before the next try; false if the time is up.
fn sleep(tries: i32, most: Duration) -> bool {
    let Some(step) = step(u64::try_from(tries).unwrap_or(0), most) else {
        return false;
    };
    thread::sleep(step);
    RETRIES.fetch_add(1, Ordering::Relaxed);
    WAITED_MS.fetch_add(
        u64::try_from(step.as_millis()).unwrap_or(0),
        Ordering::Relaxed,
    );
    true
}

/// How long to sleep after so many tries, none if the time is up.
fn step(tries: u64, most: Duration) -> Option<Duration> {
    let at = |index: u64| {
        let last = STEPS_MS.last().copied().unwrap_or(0);
        usize::try_from(index)
            .ok()
            .and_then(|index| STEPS_MS.get(index).copied())
            .unwrap_or(last)
    };
    let known = u64::try_from(STEPS_MS.len()).unwrap_or(0);
    let slept: u64 =
        (0..tries.min(known)).map(at).sum::<u64>() + tries.saturating_sub(known) * at(known);
    let left = most.checked_sub(Duration::from_millis(slept))?;
    Some(left.min(Duration::from_millis(at(tries)))).filter(|step| !step.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steps_add_up_to_the_whole_time_and_no_more() {
        for most in [
            TRUNCATE_WAIT,
            BUSY_WAIT,
            BRIEF_WAIT,
            Duration::from_millis(3),
        ] {
            let steps: Vec<_> = (0..1_000).map_while(|tries| step(tries, most)).collect();
            assert_eq!(steps.iter().sum::<Duration>(), most);
            assert!(step(1_000, most).is_none());
        }
    }
}
