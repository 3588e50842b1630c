//! What the thread of consolidation does each time it looks: rounds that were asked for, and those that are due.
//!
//! When something is due is reckoned from when the last due round was done, which stands in the file. So a server that was
//! not there at the time runs one round when it comes, however many times it missed, and of two servers on one file the
//! second finds it done.
//!
//! **Invariant:** nothing is due while the schedule is off, and the thread looks at nothing then.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::domain::{JobCause, Timestamp};
use crate::service::consolidation::{ROUND, Round, lock};
use crate::service::{Error, Services};

/// How often totals are read, which other processes change as well.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Most that a round begins later than it is due, so that many servers of one machine do not begin at once; and no more
/// than a twentieth of the time between two rounds.
const MOST_JITTER_MS: i64 = 60_000;
const JITTER_PART: i64 = 20;
/// A round that begins so much later than it was due was missed.
const MISSED_MS: i64 = 10 * 60_000;

impl Services {
    /// Ends what an earlier process left in the middle, if nobody is at work. For the start of the job thread.
    ///
    /// # Errors
    /// `Overloaded`, `Unavailable`.
    pub fn recover_consolidation(&self) -> Result<(), Error> {
        drop(self.consolidation_turn()?);
        self.look_at_consolidation()
    }

    /// Does what was asked for and what is due. Blocks for as long as it takes, or until `stop`.
    ///
    /// # Errors
    /// `Overloaded`, `Unavailable`; it is due still.
    pub fn tend_consolidation(&self, stop: &AtomicBool) -> Result<(), Error> {
        if !self.consolidator.settings.schedule.is_on() {
            return Ok(());
        }
        loop {
            let round = lock(&self.consolidator.asked).pop_front();
            let Some(round) = round else { break };
            self.run(&round, stop)?;
            self.look_at_consolidation()?;
        }
        let late = |looked: Instant| looked.elapsed() >= LOOK_EVERY;
        if lock(&self.consolidator.watch).looked_at.is_none_or(late) {
            self.look_at_consolidation()?;
        }
        let next = lock(&self.consolidator.watch).next;
        let now = self.clock.now();
        if next.is_some_and(|next| next <= now) && !stop.load(Ordering::Acquire) {
            let outcome = self.run_due(now, stop);
            self.look_at_consolidation()?;
            outcome?;
        }
        Ok(())
    }

    fn run(&self, round: &Round, stop: &AtomicBool) -> Result<(), Error> {
        for (caller, job) in &round.jobs {
            match self.work_off(caller, job, stop) {
                // The tenant was forgotten meanwhile, and its history with it.
                Ok(_) | Err(Error::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Runs the round that is due, unless another process has done it or is at it.
    fn run_due(&self, now: Timestamp, stop: &AtomicBool) -> Result<(), Error> {
        let Some(turn) = self.consolidation_turn()? else {
            return Ok(());
        };
        let schedule = self.consolidator.settings.schedule;
        let done_until = self.store.consolidated_until(self.wait)?;
        let Some(due) = schedule.next_after(done_until).filter(|due| *due <= now) else {
            return Ok(());
        };
        let cause = if now.millis() - due.millis() > MISSED_MS {
            JobCause::CaughtUp
        } else {
            JobCause::Scheduled
        };
        tracing::info!(due = %due, cause = cause.as_str(), "consolidating");
        let tenants = self.store.tenants(self.wait)?;
        for kind in ROUND {
            let whole_file = kind == crate::domain::ConsolidationType::Maintenance;
            // Once for all of them; whose hands it is in does not matter.
            let most = if whole_file { 1 } else { tenants.len() };
            for tenant in tenants.iter().take(most) {
                if stop.load(Ordering::Acquire) {
                    // It is due still, and the next start goes on.
                    return Ok(());
                }
                let caller = Self::of_job(tenant.clone());
                let job = self.begin(&turn, &caller, kind, cause);
                match job.and_then(|job| self.work_off(&caller, &job, stop)) {
                    // It was forgotten meanwhile, and its history with it.
                    Ok(_) | Err(Error::NotFound(_)) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        if !stop.load(Ordering::Acquire) {
            self.store.note_consolidated(now)?.wait()?;
        }
        Ok(())
    }

    /// Reads what ever happened, and reckons when the next round is due.
    fn look_at_consolidation(&self) -> Result<(), Error> {
        let totals = self.store.consolidation_totals(self.wait)?;
        let schedule = self.consolidator.settings.schedule;
        let done_until = self.store.consolidated_until(self.wait)?;
        let due = schedule.next_after(done_until);
        let period = due
            .and_then(|due| {
                schedule
                    .next_after(due)
                    .map(|after| after.millis() - due.millis())
            })
            .unwrap_or(0);
        let mut watch = lock(&self.consolidator.watch);
        watch.totals = totals;
        watch.looked_at = Some(Instant::now());
        let most = (period / JITTER_PART).min(MOST_JITTER_MS);
        watch.next = due.map(|due| due.plus_millis(jitter(due, most)));
        Ok(())
    }
}

/// Up to so many milliseconds, another in each process, and the same for one time.
fn jitter(due: Timestamp, most_ms: i64) -> i64 {
    let seed = i64::from(std::process::id()).wrapping_mul(0x9e37_79b9);
    (seed ^ (due.millis() / 1_000)).rem_euclid(most_ms.max(0) + 1)
}
