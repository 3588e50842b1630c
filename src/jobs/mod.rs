//! What goes on after an answer, and by the clock, on threads of its own.
//!
//! | thread | does |
//! |---|---|
//! | `jobs` ([`tidy`]) | forgets in slices, writes down who was there |
//! | `consolidation` ([`consolidation`]) | rounds of consolidation, which may take minutes |
//! | `backup` ([`backup`]) | copies, each of which takes as long as the file is large; only where they are asked for |
//! | `retention` ([`retention`]) | takes out events that are too old; only where that is asked for |
//!
//! **Invariant:** a job may be cut off anywhere and goes on at the next start.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::service::{BackupPlan, Services};

mod backup;
mod consolidation;
mod retention;
mod tidy;

/// How often an idle job thread looks whether it should stop, and whether there is work.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What is done by the clock.
#[derive(Debug, Clone)]
pub struct Plan {
    /// For how many days the audit is kept; for ever if absent.
    pub audit_days: Option<u32>,
    /// When copies are made, and where.
    pub backup: BackupPlan,
    /// The name of the memory's file without its extension, which those of copies begin with.
    pub stem: String,
    /// For how many milliseconds events are kept; for ever if absent.
    pub retain_events_ms: Option<i64>,
}

/// The job threads.
#[derive(Debug)]
pub struct Jobs {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Jobs {
    /// Starts the threads that the plan needs.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(services: &Services, plan: &Plan) -> io::Result<Self> {
        let mut jobs = Self {
            stop: Arc::new(AtomicBool::new(false)),
            threads: Vec::new(),
        };
        let audit_days = plan.audit_days;
        jobs.spawn("jobs", services, move |services, stop| {
            tidy::run(services, audit_days, stop);
        })?;
        jobs.spawn("consolidation", services, consolidation::run)?;
        if plan.backup.schedule.is_on() {
            let (backup, stem) = (plan.backup.clone(), plan.stem.clone());
            jobs.spawn("backup", services, move |services, stop| {
                backup::run(services, &backup, &stem, stop);
            })?;
        }
        if let Some(age_ms) = plan.retain_events_ms {
            jobs.spawn("retention", services, move |services, stop| {
                retention::run(services, age_ms, stop);
            })?;
        }
        Ok(jobs)
    }

    fn spawn(
        &mut self,
        name: &str,
        services: &Services,
        run: impl FnOnce(&Services, &AtomicBool) + Send + 'static,
    ) -> io::Result<()> {
        let (services, stop) = (services.clone(), Arc::clone(&self.stop));
        let thread = thread::Builder::new().name(name.to_owned());
        self.threads
            .push(thread.spawn(move || run(&services, &stop))?);
        Ok(())
    }

    /// Stops: each after the slice at hand, and a copy that is being made is thrown away.
    pub fn stop(&mut self) {
        self.stop.store(true, Ordering::Release);
        for thread in self.threads.drain(..) {
            let name = thread.thread().name().unwrap_or_default().to_owned();
            if thread.join().is_err() {
                tracing::error!(name, "a job thread panicked");
            }
        }
    }
}

impl Drop for Jobs {
    fn drop(&mut self) {
        self.stop();
    }
}
