//! The seam's part for consolidation: facts out, changes in, and the history of it.
//!
//! **Invariant:** nothing is changed but by whoever holds the [`ConsolidationTurn`].

use crate::domain::consolidate::Change;
use crate::domain::consolidate::archival::DecisionFacts;
use crate::domain::consolidate::compression::HandoffFacts;
use crate::domain::consolidate::duplicates::NoteFacts;
use crate::domain::consolidate::identity::StatementFacts;
use crate::domain::consolidate::reflection::{ChoiceFacts, Month, SessionFacts};
use crate::domain::consolidation::{Applied, ConsolidationJob, Ending, Totals};
use crate::domain::handoff::Fields;
use crate::domain::page::{Page, Paged, Position};
use crate::domain::principle::Principle;
use crate::domain::reflection::Reflection;
use crate::domain::{
    CompressionLevel, ConsolidationType, DecisionId, JobCause, JobId, ReflectionId, TenantId,
    Timestamp,
};
use crate::store::measure::Distribution;
use crate::store::sqlite::ConsolidationTurn as Turn;
use crate::store::{Pending, Slice, Store, StoreError, Upkeep, Wait};

/// The right to consolidate, until dropped; one process has it at a time.
#[derive(Debug)]
pub struct ConsolidationTurn(Turn);

/// A page of facts, and where the next one begins; none if there is no next one.
pub type FactPage<T> = (Vec<T>, Option<Position>);

/// How the consolidation of this process stands, for metrics.
#[derive(Debug, Clone)]
pub struct ConsolidationView {
    /// What ever happened, by type, in whichever process.
    pub totals: Vec<(ConsolidationType, Totals)>,
    /// The type at work in this process.
    pub running: Option<ConsolidationType>,
    /// When the next round is due.
    pub next: Option<Timestamp>,
    /// How long jobs took in this process, by type.
    pub durations: Vec<(ConsolidationType, Distribution)>,
}

/// What forwards to the engine, each with the same name and arguments.
macro_rules! reads {
    ($($(#[$doc:meta])* $name:ident($($argument:ident: $kind:ty),*) -> $answer:ty;)*) => {
        impl Store {$(
            $(#[$doc])*
            ///
            /// # Errors
            /// As [`Store::event`].
            pub fn $name(&self, wait: Wait, tenant: &TenantId $(, $argument: $kind)*) -> Result<$answer, StoreError> {
                let Self::Sqlite(engine) = self;
                engine.$name(wait, tenant $(, $argument)*)
            }
        )*}
    };
}

reads! {
    /// Handoffs at a level that are as old as `until`, oldest first.
    handoff_facts(level: CompressionLevel, until: Timestamp, after: Option<Position>) -> FactPage<HandoffFacts>;
    /// Handoffs of a time, oldest first.
    session_facts(time: (Timestamp, Timestamp), after: Option<Position>) -> FactPage<SessionFacts>;
    /// Identity statements, oldest first.
    statement_facts(after: Option<Position>) -> FactPage<StatementFacts>;
    /// Active decisions in the wake-up that are as old as `until`, oldest first.
    decision_facts(until: Timestamp, after: Option<Position>) -> FactPage<DecisionFacts>;
    /// Decisions of a time, oldest first.
    choice_facts(time: (Timestamp, Timestamp), after: Option<Position>) -> FactPage<ChoiceFacts>;
    /// Notes, the pinned ones or the others, oldest first.
    note_facts(pinned: bool, after: Option<Position>) -> FactPage<NoteFacts>;
    /// Texts of every so-manieth handoff: what a tenant usually talks about.
    sampled_texts(stride: u32, after: Option<Position>) -> FactPage<Fields>;
    /// Every principle, up to a bound.
    all_principles() -> Vec<Principle>;
    /// The reflections of these ids that are there.
    reflections_by_id(ids: &[ReflectionId]) -> Vec<Reflection>;
    /// The months that have handoffs, and whether some came since the last reflection.
    months_of_handoffs() -> Vec<(Month, bool)>;
    /// The history of a tenant, and of the whole file.
    consolidation_jobs(page: &Page) -> Paged<ConsolidationJob>;
    /// The last job of each type.
    last_jobs() -> Vec<ConsolidationJob>;
    /// A job of a tenant, or of the whole file.
    consolidation_job(id: JobId) -> Option<ConsolidationJob>;
    /// What an undo of a job would have to touch though it was changed since, in words.
    undo_dependents(id: JobId) -> Vec<String>;
}

impl Store {
    /// The right to consolidate; none while another process or thread has it.
    ///
    /// # Errors
    /// The lock cannot be used.
    pub fn consolidation_turn(&self) -> Result<Option<ConsolidationTurn>, StoreError> {
        let Self::Sqlite(engine) = self;
        Ok(engine.consolidation_turn()?.map(ConsolidationTurn))
    }

    /// Whether a job of any tenant says that it runs; whether somebody is at it, the turn tells.
    ///
    /// # Errors
    /// As [`Store::event`].
    pub fn is_consolidating(&self, wait: Wait) -> Result<bool, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.is_consolidating(wait)
    }

    /// Ends the jobs that still say that they run, since whoever ran them is gone; answers how many.
    ///
    /// # Errors
    /// The queue is full.
    pub fn fail_cut_off(
        &self,
        turn: &ConsolidationTurn,
        now: Timestamp,
    ) -> Result<Pending<u64>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.fail_cut_off(&turn.0, now)
    }

    /// Begins a job of a tenant, or of the whole file.
    ///
    /// # Errors
    /// The queue is full; pending: the tenant is unknown.
    pub fn begin_job(
        &self,
        turn: &ConsolidationTurn,
        tenant: Option<&TenantId>,
        job_type: ConsolidationType,
        cause: JobCause,
        now: Timestamp,
    ) -> Result<Pending<ConsolidationJob>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.begin_job(&turn.0, tenant, job_type, cause, now)
    }

    /// Carries out some milliseconds of a job's changes, and keeps what it takes to undo them.
    ///
    /// # Errors
    /// The queue is full; pending: the job does not run.
    pub fn apply_changes(
        &self,
        tenant: &TenantId,
        job: JobId,
        changes: Vec<Change>,
        now: Timestamp,
    ) -> Result<Pending<Applied>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.apply_changes(tenant, job, changes, now)
    }

    /// Ends a job.
    ///
    /// # Errors
    /// The queue is full; pending: the job is unknown.
    pub fn end_job(
        &self,
        tenant: Option<&TenantId>,
        id: JobId,
        ending: Ending,
        now: Timestamp,
    ) -> Result<Pending<ConsolidationJob>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.end_job(tenant, id, ending, now)
    }

    /// Takes back some milliseconds of what a job changed, newest first.
    ///
    /// # Errors
    /// The queue is full; pending: the job is unknown, runs, is of no kind to undo, or is undone.
    pub fn undo_slice(
        &self,
        turn: &ConsolidationTurn,
        tenant: &TenantId,
        id: JobId,
        now: Timestamp,
    ) -> Result<Pending<Slice>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.undo_slice(&turn.0, tenant, id, now)
    }

    /// What ever happened, by type.
    ///
    /// # Errors
    /// As [`Store::event`].
    pub fn consolidation_totals(
        &self,
        wait: Wait,
    ) -> Result<Vec<(ConsolidationType, Totals)>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.consolidation_totals(wait)
    }

    /// Until which time what was due has been done.
    ///
    /// # Errors
    /// As [`Store::event`].
    pub fn consolidated_until(&self, wait: Wait) -> Result<Timestamp, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.consolidated_until(wait)
    }

    /// Says that what was due until then has been done.
    ///
    /// # Errors
    /// The queue is full.
    pub fn note_consolidated(&self, until: Timestamp) -> Result<Pending<()>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.note_consolidated(until)
    }

    /// Notes that searches gave these decisions out; one that had left the wake-up comes back.
    ///
    /// # Errors
    /// The queue is full.
    pub fn note_recalled(
        &self,
        recalled: Vec<(TenantId, DecisionId, Timestamp)>,
    ) -> Result<Pending<()>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.note_recalled(recalled)
    }

    /// Does some milliseconds of a step of the file's maintenance.
    ///
    /// # Errors
    /// The queue is full.
    pub fn upkeep_slice(
        &self,
        step: Upkeep,
        history_before: Timestamp,
    ) -> Result<Pending<Slice>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.upkeep_slice(step, history_before)
    }

    /// What a quick look over all of the file finds wrong, if anything.
    ///
    /// # Errors
    /// As [`Store::event`].
    pub fn quick_check(&self) -> Result<Option<String>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.quick_check()
    }

    /// Counts anew what writes keep counts of, and corrects what is wrong; answers it in words.
    ///
    /// # Errors
    /// As [`Store::event`].
    pub fn correct_counts(&self) -> Result<Vec<String>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.correct_counts()
    }
}
