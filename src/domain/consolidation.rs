//! Runs of consolidation: what a job changes, its place in the history, and how it is undone.
//!
//! What is to be changed is planned by [`crate::domain::consolidate`], from facts alone. The store carries the changes out
//! in slices and keeps, for each, the state before ([`State`]) and a hash of the state after. So an undo restores what was
//! there, and sees what was changed since: that it refuses to touch.
//!
//! **Invariant:** a state holds what consolidation may change and no more: the six texts of a handoff, the words of a
//! decision and the content of a note are in none.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::consolidate::Change;
use crate::domain::content::Fingerprint;
use crate::domain::export::{PrincipleRow, ReflectionRow};
use crate::domain::{
    CompressionLevel, ConsolidationType, DecisionId, EntityType, EventId, HandoffId, JobCause,
    JobId, JobStatus, NoteId, PrincipleId, ReflectionId, Timestamp,
};

/// Most things that a refused undo names.
pub const MOST_NAMED: usize = 20;
/// Reason of a job whose process ended in the middle of it.
pub const CUT_OFF: &str = "the process ended before it was done";
/// Reason of a job that was told to stop.
pub const STOPPED: &str = "the server stopped before it was done";
/// Reason of a job that met a fault; the log says which.
pub const FAULT: &str = "the store could not be used; the log of the process says more";

/// What a slice of changes came to.
#[derive(Debug, Clone)]
pub struct Applied {
    /// Changes that the slice had no time for, in order.
    pub left: Vec<Change>,
    /// Rows that are shown otherwise now.
    pub affected: u64,
}

/// What a change is about, in the store's words.
pub fn target(change: &Change) -> (EntityType, [u8; 16]) {
    match change {
        Change::Compress(it) => (EntityType::Handoff, *it.handoff_id.bytes()),
        Change::Archive(it) => (EntityType::Decision, *it.decision_id.bytes()),
        Change::Fold(it) => (EntityType::Knowledge, *it.note_id.bytes()),
        Change::WritePrinciple(it) => (EntityType::Principle, *it.principle_id.bytes()),
        Change::RetirePrinciple(it) => (EntityType::Principle, *it.principle_id.bytes()),
        Change::WriteReflection(it) => (EntityType::Reflection, *it.reflection_id.bytes()),
        Change::RetireReflection(it) => (EntityType::Reflection, *it.reflection_id.bytes()),
    }
}

/// The wire form of what is of this type under this id.
pub fn wire_id(entity: EntityType, id: [u8; 16]) -> String {
    match entity {
        EntityType::Event => EventId::from_bytes(id).to_string(),
        EntityType::Handoff => HandoffId::from_bytes(id).to_string(),
        EntityType::Decision => DecisionId::from_bytes(id).to_string(),
        EntityType::Knowledge => NoteId::from_bytes(id).to_string(),
        EntityType::Reflection => ReflectionId::from_bytes(id).to_string(),
        EntityType::Principle => PrincipleId::from_bytes(id).to_string(),
    }
}

/// In which form a handoff is shown, and the shorter forms it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forms {
    /// The form that is shown.
    pub level: CompressionLevel,
    /// A few sentences.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// One dated line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quick_ref: Option<String>,
}

impl Forms {
    /// Octets of the shorter forms.
    pub fn bytes(&self) -> usize {
        [&self.summary, &self.quick_ref]
            .into_iter()
            .flatten()
            .map(String::len)
            .sum()
    }
}

/// What a job may change of a row, as it was before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Of a handoff.
    Handoff(Forms),
    /// Of a decision: since when it is out of the wake-up.
    Decision(Option<Timestamp>),
    /// Of a note: the one that is shown for it.
    Note(Option<NoteId>),
    /// A reflection, whole.
    Reflection(Box<ReflectionRow>),
    /// A principle, whole.
    Principle(Box<PrincipleRow>),
}

impl State {
    /// A hash by which two states are told apart.
    pub fn fingerprint(&self) -> [u8; 16] {
        Fingerprint::of_request(self).0
    }
}

/// A job of consolidation, as the history has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "ConsolidationJob")]
pub struct ConsolidationJob {
    /// Its id.
    pub job_id: JobId,
    /// What it did.
    pub job_type: ConsolidationType,
    /// Why it ran.
    pub cause: JobCause,
    /// How it stands.
    pub status: JobStatus,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
    #[expect(missing_docs, reason = "flattened")]
    #[serde(flatten)]
    pub work: Work,
    /// Why it failed or was skipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When it was undone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undone_at: Option<Timestamp>,
}

/// What a job came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "ConsolidationWork")]
pub struct Work {
    /// Rows that were looked at.
    pub items_processed: u64,
    /// Rows that are shown otherwise.
    pub items_affected: u64,
    /// What those took where they are shown, in tokens.
    pub tokens_before: u64,
    /// What they take.
    pub tokens_after: u64,
}

impl Work {
    /// Tokens saved; none if it takes more than before.
    pub fn saved(&self) -> u64 {
        self.tokens_before.saturating_sub(self.tokens_after)
    }
}

/// How a job ended.
#[derive(Debug, Clone)]
pub struct Ending {
    /// How it stands from here on.
    pub status: JobStatus,
    /// Why, if it failed or was skipped.
    pub reason: Option<String>,
    /// Rows that were looked at. What was changed is counted by the slices that change it.
    pub processed: u64,
}

/// What ever happened to jobs of a type; the metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Jobs that completed.
    pub completed: u64,
    /// Jobs that failed.
    pub failed: u64,
    /// Jobs that were skipped.
    pub skipped: u64,
    /// Rows that are shown otherwise.
    pub items: u64,
    /// Tokens saved.
    pub tokens_saved: u64,
    /// When the last one ended, however; 1970 if none.
    pub last_run: Timestamp,
    /// When the last one completed; 1970 if none.
    pub last_success: Timestamp,
}

impl Totals {
    /// How many jobs have ended so.
    pub fn runs(&self, outcome: JobStatus) -> u64 {
        match outcome {
            JobStatus::Running => 0,
            JobStatus::Completed => self.completed,
            JobStatus::Failed => self.failed,
            JobStatus::Skipped => self.skipped,
        }
    }
}

/// What an undo came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undo {
    /// Everything is as before the job.
    Done(Box<ConsolidationJob>),
    /// Nothing was touched: these were changed since.
    Depends(Vec<String>),
}
