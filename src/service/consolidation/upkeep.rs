//! The maintenance of the file: steps one after the other, each in slices or of its own.
//!
//! **Invariant:** a step that fails ends the job, and is named.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::domain::JobStatus;
use crate::domain::consolidation::Ending;
use crate::domain::time::DAY_MS;
use crate::service::consolidation::{BUSY_PAUSE, Stop};
use crate::service::{Error, Services};
use crate::store::{Slice, Upkeep};

/// How long a job stays in the history, and can be undone: a year and a month.
const HISTORY_DAYS: i64 = 400;

/// What a step found; a fault ends the job.
type Found = Result<Option<String>, Stop>;
/// A step: its name, and what it does.
type Step = (&'static str, fn(&Services, &AtomicBool) -> Found);

/// The steps in order. What else is to be done to the file once a day has its place here.
const STEPS: [Step; 7] = [
    ("quick check", Services::check_quickly),
    ("recount", Services::recount),
    ("history", |services, stop| {
        services.slices(Upkeep::History, stop)
    }),
    ("index", |services, stop| {
        services.slices(Upkeep::Merge, stop)
    }),
    ("statistics", |services, stop| {
        services.slices(Upkeep::Optimize, stop)
    }),
    ("free pages", |services, stop| {
        services.slices(Upkeep::Vacuum, stop)
    }),
    ("log", |services, stop| {
        services.slices(Upkeep::Truncate, stop)
    }),
];

impl Services {
    /// Does every step.
    pub(super) fn maintain(&self, stop: &AtomicBool) -> Result<Ending, Stop> {
        let mut processed = 0;
        for (name, step) in STEPS {
            if stop.load(Ordering::Acquire) {
                return Err(Stop::Asked);
            }
            if let Some(wrong) = step(self, stop)? {
                return Ok(Ending {
                    status: JobStatus::Failed,
                    reason: Some(format!("{name}: {wrong}")),
                    processed,
                });
            }
            processed += 1;
        }
        Ok(Ending {
            status: JobStatus::Completed,
            reason: None,
            processed,
        })
    }

    fn check_quickly(&self, _: &AtomicBool) -> Found {
        let found = self.store.quick_check()?;
        Ok(found.map(|wrong| {
            tracing::error!(wrong, "the file is damaged");
            "the file is damaged; run `agent-memory doctor`, and restore a copy".to_owned()
        }))
    }

    fn recount(&self, _: &AtomicBool) -> Found {
        for wrong in self.store.correct_counts()? {
            tracing::error!(wrong, "a kept count was wrong and is corrected");
        }
        Ok(None)
    }

    fn slices(&self, step: Upkeep, stop: &AtomicBool) -> Found {
        let before = self.clock.now().plus_millis(-HISTORY_DAYS * DAY_MS);
        loop {
            if stop.load(Ordering::Acquire) {
                return Err(Stop::Asked);
            }
            let slice = self
                .store
                .upkeep_slice(step, before)
                .and_then(crate::store::Pending::wait);
            match slice.map_err(Error::from) {
                Ok(Slice::More) => {}
                Ok(Slice::Done) => return Ok(None),
                Err(Error::Overloaded) => std::thread::sleep(BUSY_PAUSE),
                Err(error) => return Err(error.into()),
            }
        }
    }
}
