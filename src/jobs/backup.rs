//! Copies by the clock, on a thread of their own, since one takes as long as the file is large.
//!
//! **Invariant:** what goes wrong here is logged and counted, and harms nobody's request.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::jobs::LOOK_EVERY;
use crate::service::{BackupPlan, Services};
use crate::store::CopyError;

/// How often it looks whether a copy is due. The shortest schedule is a minute.
const DUE_EVERY: Duration = Duration::from_secs(1);
/// Pause before another try after a failure: most last, and each try reads the whole file.
const AFTER_FAILURE: Duration = Duration::from_secs(15 * 60);

pub(super) fn run(services: &Services, plan: &BackupPlan, stem: &str, stop: &AtomicBool) {
    let mut next = Instant::now() + DUE_EVERY;
    while !stop.load(Ordering::Acquire) {
        thread::sleep(LOOK_EVERY);
        if Instant::now() < next {
            continue;
        }
        next = Instant::now()
            + match look(services, plan, stem, stop) {
                Ok(()) | Err(CopyError::Stopped) => DUE_EVERY,
                Err(error) => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "no copy of the memory could be made; the next try is in a quarter of an hour"
                    );
                    AFTER_FAILURE
                }
            };
    }
}

/// Makes a copy if one is due.
fn look(
    services: &Services,
    plan: &BackupPlan,
    stem: &str,
    stop: &AtomicBool,
) -> Result<(), CopyError> {
    // A directory that cannot be read is told by the copy that cannot be made.
    if !services.backup_is_due(plan, stem).unwrap_or(true) {
        return Ok(());
    }
    let begun = Instant::now();
    let (copy, manifest) =
        services.back_up_by_plan(plan, stem, &|| stop.load(Ordering::Acquire))?;
    tracing::info!(
        copy = %copy.display(),
        bytes = manifest.bytes,
        duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        "copied the memory"
    );
    Ok(())
}
