//! Forgetting in slices, and once a minute what is known of who was there: when keys were used, what was refused, and what
//! of the audit is too old.
//!
//! **Invariant:** each slice is one write among others, so requests get their turn in between.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::jobs::LOOK_EVERY;
use crate::service::{Error, Services};
use crate::store::Slice;

/// How often it is written who was there.
const WRITE_EVERY: Duration = Duration::from_secs(60);
/// How often old rows of the audit are looked for.
const TRIM_EVERY: Duration = Duration::from_secs(3_600);
/// Pause before another try after a failure.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

pub(super) fn run(services: &Services, audit_days: Option<u32>, stop: &AtomicBool) {
    forget(services, audit_days, stop);
    // What has come since the last minute.
    write_access(services);
}

fn write_access(services: &Services) {
    if let Err(error) = services.write_access() {
        tracing::warn!(%error, "who was there could not be written down");
    }
}

/// Lets go of what is too old in the audit.
fn trim(services: &Services, days: u32, stop: &AtomicBool) {
    while !stop.load(Ordering::Acquire) {
        match services.trim_audit(days) {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                tracing::warn!(%error, "the audit could not be trimmed");
                return;
            }
        }
    }
}

fn forget(services: &Services, audit_days: Option<u32>, stop: &AtomicBool) {
    let (mut minute, mut hour) = (Instant::now(), Instant::now());
    while !stop.load(Ordering::Acquire) {
        if minute.elapsed() >= WRITE_EVERY {
            minute = Instant::now();
            write_access(services);
        }
        if let Some(days) = audit_days
            && hour.elapsed() >= TRIM_EVERY
        {
            hour = Instant::now();
            trim(services, days, stop);
        }
        if !services.bell().wait(LOOK_EVERY) {
            continue;
        }
        loop {
            if stop.load(Ordering::Acquire) {
                return;
            }
            match services.forget_slice() {
                Ok(Slice::More) => {}
                Ok(Slice::Done) => break,
                Err(Error::Overloaded) => thread::sleep(LOOK_EVERY),
                Err(error) => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "forgetting could not go on"
                    );
                    thread::sleep(AFTER_FAILURE);
                    services.bell().ring();
                    break;
                }
            }
        }
    }
}
