//! Consolidation: what is due or asked for, planned and carried out; its history, and its undoing.
//!
//! A *round* is some types of job for some tenants, one after the other, by whoever has the turn: one process at a time, and
//! in it one thread. Each job reads facts in pages, has `domain` plan what becomes of them, and hands the changes to the
//! store in slices. What `--dry-run` shows is that plan, from the same facts.
//!
//! A server runs a round when it is due ([`Schedule`]), once after it was not there at the time, and when somebody asks.
//! With the schedule off nothing runs, whoever asks over the network: what the operator switched off stays off. Whoever has
//! the file may still run one from the command line, by saying so.
//!
//! **Invariant:** a job that ended says how; one that was cut off is ended by the next process that gets the turn.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::domain::consolidate::Thresholds;
use crate::domain::consolidation::{ConsolidationJob, Ending, FAULT, STOPPED, Totals};
use crate::domain::page::{Page, Paged};
use crate::domain::{
    Caller, ConsolidationType, DecisionId, JobCause, JobId, JobStatus, Schedule, TenantId,
    Timestamp, Via,
};
use crate::service::{Error, Services};
use crate::store::measure::{Histogram, JOB};
use crate::store::{ConsolidationTurn, ConsolidationView, Slice};

mod plan;
mod recalled;
mod tend;
mod upkeep;

pub use plan::PlanReport;

/// The types in the order of a round: what handoffs feed is drawn before they are shown in shorter forms.
const ROUND: [ConsolidationType; 6] = [
    ConsolidationType::IdentityConsolidation,
    ConsolidationType::Reflection,
    ConsolidationType::HandoffCompression,
    ConsolidationType::DecisionArchival,
    ConsolidationType::Deduplication,
    ConsolidationType::Maintenance,
];
/// Changes handed to the store at once; a slice takes as many of them as it has time for.
const AT_ONCE: usize = 64;
/// Pause when the store has no room for a write.
const BUSY_PAUSE: Duration = Duration::from_millis(200);
/// How long the turn is waited for while no job runs; a worker that gives way to others on a busy machine needs a part of it.
const BETWEEN_JOBS: Duration = Duration::from_secs(2);
/// Pause before another try.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

const IS_OFF: &str = "consolidation is switched off here (--consolidation off); whoever has the file can run it with \
                      `agent-memory consolidate run`";
const HOLDS_NOTHING: &str = "this tenant holds nothing yet";
const IS_RUNNING: &str = "consolidation is running already";

/// What the operator set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Consolidation {
    /// When rounds are due.
    pub schedule: Schedule,
    /// From when on what is consolidated.
    pub thresholds: Thresholds,
}

/// Rounds of this process: asked for, under way, and how they went.
#[derive(Debug)]
pub(super) struct Consolidator {
    settings: Consolidation,
    asked: Mutex<VecDeque<Round>>,
    running: Mutex<Option<ConsolidationType>>,
    watch: Mutex<Watch>,
    durations: [Histogram; ROUND.len()],
    recalled: Mutex<BTreeMap<(TenantId, DecisionId), Timestamp>>,
}

/// What is known of the file's consolidation, read now and then.
#[derive(Debug, Default)]
struct Watch {
    /// When the next round is due; none if it is off or not known yet.
    next: Option<Timestamp>,
    totals: Vec<(ConsolidationType, Totals)>,
    looked_at: Option<Instant>,
}

/// Jobs that were begun, to be done by the thread that has the time.
#[derive(Debug)]
struct Round {
    #[expect(dead_code, reason = "held, not read")]
    turn: ConsolidationTurn,
    jobs: Vec<(Caller, ConsolidationJob)>,
}

impl Default for Consolidator {
    fn default() -> Self {
        Self::new(Consolidation::default())
    }
}

impl Consolidator {
    pub(super) fn new(settings: Consolidation) -> Self {
        Self {
            settings,
            asked: Mutex::default(),
            running: Mutex::default(),
            watch: Mutex::default(),
            durations: std::array::from_fn(|_| Histogram::new(&JOB)),
            recalled: Mutex::default(),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How consolidation stands, for people.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct ConsolidationStatus {
    /// When rounds are due: `02:00`, `6h`, or `off`.
    pub schedule: String,
    /// From when on what is consolidated.
    pub thresholds: Thresholds,
    /// When the next round is due.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_run: Option<Timestamp>,
    /// What is at work now in this process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running: Option<ConsolidationType>,
    /// The last job of each type that ever ran.
    pub last: Vec<ConsolidationJob>,
}

/// Why a job ended early.
enum Stop {
    /// It was told to.
    Asked,
    /// Something failed.
    Failed(Error),
}

impl<E: Into<Error>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Services {
    /// The same, consolidating as the operator set.
    #[must_use]
    pub fn consolidating(self, settings: Consolidation) -> Self {
        Self {
            consolidator: Arc::new(Consolidator::new(settings)),
            ..self
        }
    }

    /// Begins the jobs of a type, or of all, for the caller's tenant; the job thread does them.
    ///
    /// # Errors
    /// `Forbidden`, `Conflict` while it is off or running, or of a tenant that holds nothing, `Overloaded`, `Unavailable`.
    pub fn start_consolidation(
        &self,
        caller: &Caller,
        job_type: Option<ConsolidationType>,
    ) -> Result<Vec<ConsolidationJob>, Error> {
        self.admin(caller)?;
        if !self.consolidator.settings.schedule.is_on() {
            return Err(Error::Conflict(IS_OFF));
        }
        let turn = self.turn_if_at_rest()?;
        let mut jobs = Vec::new();
        for kind in ROUND {
            if job_type.is_none_or(|only| only == kind) {
                let job = self.begin(&turn, caller, kind, JobCause::Asked);
                jobs.push((caller.clone(), job.map_err(of_nobody)?));
            }
        }
        let begun = jobs.iter().map(|(_, job)| job.clone()).collect();
        lock(&self.consolidator.asked).push_back(Round { turn, jobs });
        self.bell.ring();
        Ok(begun)
    }

    /// Runs the jobs of a type, or of all, for the caller's tenant, here and now. For commands; blocks.
    ///
    /// # Errors
    /// `Forbidden`, `Conflict` while somebody else is at it, or of a tenant that holds nothing, `Overloaded`, `Unavailable`.
    pub fn consolidate(
        &self,
        caller: &Caller,
        job_type: Option<ConsolidationType>,
    ) -> Result<Vec<ConsolidationJob>, Error> {
        self.admin(caller)?;
        let turn = self.turn_if_at_rest()?;
        let mut done = Vec::new();
        for kind in ROUND {
            if job_type.is_none_or(|only| only == kind) {
                let job = self.begin(&turn, caller, kind, JobCause::Asked);
                let job = job.map_err(of_nobody)?;
                done.push(self.work_off(caller, &job, &AtomicBool::new(false))?);
            }
        }
        Ok(done)
    }

    /// The turn, if nobody has it; what a process left that ended in the middle is ended.
    fn consolidation_turn(&self) -> Result<Option<ConsolidationTurn>, Error> {
        let Some(turn) = self.store.consolidation_turn()? else {
            return Ok(None);
        };
        let cut_off = self.store.fail_cut_off(&turn, self.clock.now())?.wait()?;
        if cut_off > 0 {
            tracing::warn!(
                cut_off,
                "jobs of consolidation had been cut off; this run goes on"
            );
        }
        Ok(Some(turn))
    }

    /// The turn for somebody who asked. A job is told as ended before its worker lets go of the turn, and a worker that
    /// looks for what was cut off has it for a moment; whoever asks in between waits, and is not told of a job that is not
    /// there.
    fn turn_if_at_rest(&self) -> Result<ConsolidationTurn, Error> {
        let until = Instant::now() + BETWEEN_JOBS;
        loop {
            if let Some(turn) = self.consolidation_turn()? {
                return Ok(turn);
            }
            if self.store.is_consolidating(self.wait)? || Instant::now() >= until {
                return Err(Error::Conflict(IS_RUNNING));
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    fn begin(
        &self,
        turn: &ConsolidationTurn,
        caller: &Caller,
        kind: ConsolidationType,
        cause: JobCause,
    ) -> Result<ConsolidationJob, Error> {
        let tenant = (kind != ConsolidationType::Maintenance).then_some(&caller.tenant);
        let now = self.clock.now();
        Ok(self
            .store
            .begin_job(turn, tenant, kind, cause, now)?
            .wait()?)
    }

    /// Does a job that was begun, and ends it.
    fn work_off(
        &self,
        caller: &Caller,
        job: &ConsolidationJob,
        stop: &AtomicBool,
    ) -> Result<ConsolidationJob, Error> {
        let begun = Instant::now();
        *lock(&self.consolidator.running) = Some(job.job_type);
        let outcome = self.work(caller, job, stop);
        *lock(&self.consolidator.running) = None;
        let failed = |reason: &str| Ending {
            status: JobStatus::Failed,
            reason: Some(reason.to_owned()),
            processed: 0,
        };
        let ending = match outcome {
            Ok(ending) => ending,
            Err(Stop::Asked) => failed(STOPPED),
            Err(Stop::Failed(error)) => {
                let chain = error.chain();
                let (job_id, kind) = (job.job_id.to_string(), job.job_type.as_str());
                tracing::error!(job_id, kind, chain, "a job of consolidation failed");
                failed(FAULT)
            }
        };
        let tenant = (job.job_type != ConsolidationType::Maintenance).then_some(&caller.tenant);
        let store = self.store.by(caller);
        let ended = store.end_job(tenant, job.job_id, ending, self.clock.now())?;
        let ended = ended.wait()?;
        if let Some(durations) = self.consolidator.durations.get(place(job.job_type)) {
            durations.observe_time(begun.elapsed());
        }
        Ok(ended)
    }

    fn work(
        &self,
        caller: &Caller,
        job: &ConsolidationJob,
        stop: &AtomicBool,
    ) -> Result<Ending, Stop> {
        if job.job_type == ConsolidationType::Maintenance {
            return self.maintain(stop);
        }
        let mut processed = 0;
        let skipped = self.plans(caller, job.job_type, &mut |plan| {
            processed += plan.items_processed;
            let mut changes = plan.changes.into_iter().peekable();
            while changes.peek().is_some() {
                let mut part: Vec<_> = changes.by_ref().take(AT_ONCE).collect();
                while !part.is_empty() {
                    if stop.load(Ordering::Acquire) {
                        return Err(Stop::Asked);
                    }
                    let now = self.clock.now();
                    let sent = self
                        .store
                        .apply_changes(&caller.tenant, job.job_id, part.clone(), now)
                        .and_then(crate::store::Pending::wait);
                    match sent.map_err(Error::from) {
                        Ok(applied) => part = applied.left,
                        Err(Error::Overloaded) => std::thread::sleep(BUSY_PAUSE),
                        Err(error) => return Err(error.into()),
                    }
                }
            }
            Ok(())
        })?;
        Ok(Ending {
            status: match skipped {
                None => JobStatus::Completed,
                Some(_) => JobStatus::Skipped,
            },
            reason: skipped,
            processed,
        })
    }

    /// Undoes a job of the caller's tenant. Blocks.
    ///
    /// # Errors
    /// `Forbidden`; `NotFound`; `Conflict` if it runs, is undone, or cannot be; [`Error::Depends`] with what was changed since;
    /// `Overloaded`, `Unavailable`.
    pub fn undo_consolidation(
        &self,
        caller: &Caller,
        id: JobId,
    ) -> Result<ConsolidationJob, Error> {
        let store = self.admin(caller)?;
        let find = || {
            let job = store.consolidation_job(self.wait, &caller.tenant, id)?;
            job.ok_or(Error::NotFound("job"))
        };
        find()?;
        // Whoever gets the turn ends what was cut off; so a job that runs then does so in somebody's hands.
        let turn = self.turn_if_at_rest();
        let named = store.undo_dependents(self.wait, &caller.tenant, id)?;
        let turn = turn?;
        if !named.is_empty() {
            let reason = format!(
                "cannot be undone, since later work depends on {}",
                named.join("; ")
            );
            return Err(Error::Depends(reason));
        }
        let slice = || {
            let slice = store.undo_slice(&turn, &caller.tenant, id, self.clock.now())?;
            Ok::<_, Error>(slice.wait()?)
        };
        while slice()? == Slice::More {}
        find()
    }

    /// The history of the caller's tenant.
    ///
    /// # Errors
    /// `Overloaded`, `Unavailable`.
    pub fn consolidation_jobs(
        &self,
        caller: &Caller,
        page: &Page,
    ) -> Result<Paged<ConsolidationJob>, Error> {
        Ok(self
            .store
            .consolidation_jobs(self.wait, &caller.tenant, page)?)
    }

    /// How consolidation stands for the caller's tenant.
    ///
    /// # Errors
    /// `Overloaded`, `Unavailable`.
    pub fn consolidation_status(&self, caller: &Caller) -> Result<ConsolidationStatus, Error> {
        let settings = self.consolidator.settings;
        let next_run = match lock(&self.consolidator.watch).next {
            // A command has no thread that would know.
            None if settings.schedule.is_on() => settings
                .schedule
                .next_after(self.store.consolidated_until(self.wait)?),
            next => next,
        };
        Ok(ConsolidationStatus {
            schedule: settings.schedule.to_string(),
            thresholds: settings.thresholds,
            next_run: next_run.filter(|_| settings.schedule.is_on()),
            running: *lock(&self.consolidator.running),
            last: self.store.last_jobs(self.wait, &caller.tenant)?,
        })
    }

    /// How consolidation stands, for metrics; none while it is off. Touches neither the file nor a connection.
    pub fn consolidation_view(&self) -> Option<ConsolidationView> {
        let consolidator = &self.consolidator;
        if !consolidator.settings.schedule.is_on() {
            return None;
        }
        let watch = lock(&consolidator.watch);
        let zeros = || ROUND.map(|kind| (kind, Totals::default())).to_vec();
        Some(ConsolidationView {
            totals: if watch.totals.is_empty() {
                zeros()
            } else {
                watch.totals.clone()
            },
            running: *lock(&consolidator.running),
            next: watch.next,
            durations: ConsolidationType::ALL
                .iter()
                .filter_map(|kind| {
                    let durations = consolidator.durations.get(place(*kind))?;
                    Some((*kind, durations.read()))
                })
                .collect(),
        })
    }

    /// The hands of a job of the process itself in a tenant.
    fn of_job(tenant: TenantId) -> Caller {
        Caller::local_by(Via::Job, tenant)
    }
}

/// What is wrong with a run for a tenant that is not there.
fn of_nobody(error: Error) -> Error {
    match error {
        Error::NotFound(_) => Error::Conflict(HOLDS_NOTHING),
        error => error,
    }
}

/// The place of a type among all.
fn place(kind: ConsolidationType) -> usize {
    usize::try_from(kind.code()).unwrap_or(0)
}
