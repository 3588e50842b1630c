//! The thread of consolidation.
//!
//! It sleeps most of the time, and when there is work it gives way: on Linux it has a lower priority than the threads that
//! answer, since plans take processor time; what it writes goes in slices among other writes.
//!
//! **Invariant:** decides nothing; what is due and how it is done is the service's.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::jobs::LOOK_EVERY;
use crate::service::Services;

/// How often it is written which decisions searches gave out. From the contract.
const WRITE_EVERY: Duration = Duration::from_secs(30);
/// Pause before another try after a failure.
const AFTER_FAILURE: Duration = Duration::from_secs(5);

pub(super) fn run(services: &Services, stop: &AtomicBool) {
    give_way();
    if let Err(error) = services.recover_consolidation() {
        tell(
            &error,
            "the history of consolidation could not be looked at",
        );
    }
    let (mut written, mut failed) = (Instant::now(), None::<Instant>);
    while !stop.load(Ordering::Acquire) {
        thread::sleep(LOOK_EVERY);
        if written.elapsed() >= WRITE_EVERY {
            written = Instant::now();
            write_recalled(services);
        }
        if failed.is_none_or(|at| at.elapsed() >= AFTER_FAILURE) {
            failed = None;
            if let Err(error) = services.tend_consolidation(stop) {
                tell(&error, "consolidation could not go on");
                failed = Some(Instant::now());
            }
        }
    }
    write_recalled(services);
}

fn write_recalled(services: &Services) {
    if let Err(error) = services.write_recalled() {
        tell(
            &error,
            "which decisions were recalled could not be written down",
        );
    }
}

fn tell(error: &(dyn std::error::Error + 'static), what: &str) {
    tracing::warn!(error, "{what}");
}

/// Lowers the priority of this thread; a nice value is a thread's own on Linux alone.
fn give_way() {
    #[cfg(target_os = "linux")]
    {
        /// Half of the way down.
        const NICE: i32 = 10;
        if let Err(error) = rustix::process::setpriority_process(None, NICE) {
            tracing::debug!(%error, "the priority could not be lowered");
        }
    }
}
