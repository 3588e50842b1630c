//! Takes out events that are too old, once an hour, where that was asked for.
//!
//! **Invariant:** each slice is one write among others, and a run that was cut off is gone on with by the next.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::jobs::LOOK_EVERY;
use crate::service::{Error, Services};
use crate::store::Slice;

/// From one run to the next.
const RUN_EVERY: Duration = Duration::from_secs(3_600);
/// After a failure: what was in the way, a full queue of another process or a full disk, may be gone soon.
const AFTER_FAILURE: Duration = Duration::from_secs(60);
/// After the start, so that a server is up before it cleans up.
const FIRST_RUN: Duration = Duration::from_secs(1);
/// Between two slices: the writer is others' for most of the time.
const PAUSE: Duration = Duration::from_millis(5);

pub(super) fn run(services: &Services, age_ms: i64, stop: &AtomicBool) {
    let mut next = Instant::now() + FIRST_RUN;
    while !stop.load(Ordering::Acquire) {
        thread::sleep(LOOK_EVERY);
        if Instant::now() < next {
            continue;
        }
        let outcome = once(services, age_ms, stop);
        let pause = match outcome {
            Ok(_) => RUN_EVERY,
            Err(_) => AFTER_FAILURE,
        };
        next = Instant::now() + pause;
        match outcome {
            Ok(0) => {}
            Ok(events) => tracing::info!(events, "took out events that were too old"),
            Err(error) => tracing::error!(
                error = &error as &dyn std::error::Error,
                "what is too old could not be taken out; the next try is in a minute"
            ),
        }
    }
}

/// Takes out all that is too old, and gives the room back; answers how many events.
fn once(services: &Services, age_ms: i64, stop: &AtomicBool) -> Result<i64, Error> {
    let stopped = || stop.load(Ordering::Acquire);
    let (mut events, mut next) = (0, Some(0));
    while let Some(from) = next {
        if stopped() {
            return Ok(events);
        }
        let expired = patiently(stop, || services.expire_slice(age_ms, from))?;
        events += expired.events;
        next = expired.next;
    }
    // Also after a run that took out nothing: the one before may have been cut off in between.
    while !stopped() {
        if patiently(stop, || services.give_back_slice())? == Slice::Done {
            break;
        }
    }
    Ok(events)
}

/// Does a slice, and again while there is too much else to do.
fn patiently<T>(
    stop: &AtomicBool,
    mut slice: impl FnMut() -> Result<T, Error>,
) -> Result<T, Error> {
    loop {
        match slice() {
            Err(Error::Overloaded) if !stop.load(Ordering::Acquire) => thread::sleep(LOOK_EVERY),
            outcome => {
                thread::sleep(PAUSE);
                return outcome;
            }
        }
    }
}
