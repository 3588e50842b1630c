//! Consolidation: what a run would change, and why. Facts in, a plan out.
//!
//! Each type of job has a planner of its own, which the store feeds with facts page by page and which answers with a
//! [`Plan`]: a list of [`Change`]s, each with what it was, what it becomes, why in words, and what it costs to load before
//! and after. What `--dry-run` shows and what a run applies is the same plan.
//!
//! - [`compression`] needs each handoff alone: any page is a plan.
//! - [`archival`] needs each decision alone: any page is a plan.
//! - [`reflection`] needs a month: its handoffs in the order of time, in pages; one plan a month.
//! - [`identity`] needs a tenant's statements in the order of time, in pages, then its principles; one plan.
//! - [`duplicates`] needs a tenant's notes, pinned ones first and then in the order of time, in pages; one plan.
//!
//! What a planner says is where things *ought* to be, less where they are: a plan that was applied leaves nothing for the
//! next, a plan that was applied by half leaves the rest, and what a person forgot meanwhile drops out of what was drawn
//! from it. Ids of what is written follow from what it was drawn from ([`derived`]), so the same is found again and
//! updated. In the order of time means by `(created_at, insertion sequence)`, as everywhere; the functions that take a
//! whole list order it themselves.
//!
//! A planner is of one tenant, and no fact names its tenant: two tenants cannot meet. What is `secret` is never handed to
//! a planner, since nothing may be drawn from it; what is drawn from the rest is as sensitive as the most sensitive of it.
//!
//! **Invariant:** no clock, no store, nothing drawn by lot; nothing that a person wrote is changed or removed by any
//! change, only in which form and place it is shown.

use schemars::JsonSchema;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::domain::principle::PrincipleBody;
use crate::domain::reflection::ReflectionBody;
use crate::domain::time::DAY_MS;
use crate::domain::{
    CompressionLevel, ConsolidationType, DecisionId, HandoffId, Invalid, NoteId, PrincipleId,
    ReflectionId, TenantId, Timestamp,
};

pub mod archival;
pub mod compression;
pub mod duplicates;
pub mod identity;
mod open;
pub mod rarity;
pub mod reflection;
pub mod summary;
mod table;

pub use table::{Line, MAX_TABLE_ROWS};

/// The longest age that can be asked for, in days: a hundred years.
pub const MAX_DAYS: u32 = 36_500;
/// The most statements that can be asked for.
pub const MAX_STATEMENTS: u32 = 100_000;

/// From when on what is consolidated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Thresholds {
    /// Days after which a handoff is shown as its summary.
    pub summary_days: u32,
    /// Days after which it is shown as one line.
    pub quick_ref_days: u32,
    /// Days after which it is shown as part of what it fed.
    pub integrated_days: u32,
    /// Days after which a decision that was never recalled leaves the wake-up.
    pub archive_days: u32,
    /// How many identity statements a tenant has to have before new principles are drawn from them.
    pub statements: u32,
}

impl Default for Thresholds {
    /// Those of the documentation: 30, 90, 180 and 60 days, 10 statements.
    fn default() -> Self {
        Self {
            summary_days: 30,
            quick_ref_days: 90,
            integrated_days: 180,
            archive_days: 60,
            statements: 10,
        }
    }
}

impl Thresholds {
    /// Itself, if it can be meant.
    ///
    /// # Errors
    /// The first that is 0, too large, or not beyond the one before it.
    pub fn checked(self) -> Result<Self, Invalid> {
        for (field, days) in [
            ("summary_days", self.summary_days),
            ("quick_ref_days", self.quick_ref_days),
            ("integrated_days", self.integrated_days),
            ("archive_days", self.archive_days),
        ] {
            if !(1..=MAX_DAYS).contains(&days) {
                let reason = format!("is {days}, which is not between 1 and {MAX_DAYS} days");
                return Err(Invalid::new(field, reason));
            }
        }
        for (field, days, before, of) in [
            (
                "quick_ref_days",
                self.quick_ref_days,
                self.summary_days,
                "summary_days",
            ),
            (
                "integrated_days",
                self.integrated_days,
                self.quick_ref_days,
                "quick_ref_days",
            ),
        ] {
            if days <= before {
                let reason = format!("is {days}, which is not more than {of} ({before})");
                return Err(Invalid::new(field, reason));
            }
        }
        if !(1..=MAX_STATEMENTS).contains(&self.statements) {
            let reason = format!(
                "is {}, which is not between 1 and {MAX_STATEMENTS}",
                self.statements
            );
            return Err(Invalid::new("statements", reason));
        }
        Ok(self)
    }
}

/// Whole days between two times; 0 if the first is not before the second.
pub fn days_between(then: Timestamp, now: Timestamp) -> u32 {
    let days = now.millis().saturating_sub(then.millis()) / DAY_MS;
    u32::try_from(days.max(0)).unwrap_or(u32::MAX)
}

/// How rare a term is in a tenant. Asked for a few hundred terms a handoff, so it has to answer from memory.
pub trait Rarity {
    /// The inverse document frequency of a term as [`crate::domain::terms`] makes it: 0 or more, and more for rarer ones.
    fn of(&self, term: &str) -> f64;
}

/// What a run would change of one tenant, or of one page of it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Plan {
    /// The type of the job.
    pub job_type: ConsolidationType,
    /// How many facts were looked at.
    pub items_processed: u64,
    /// How many of them were more than a planner holds, and left as they are.
    pub items_left_out: u64,
    /// What would change, in the order of the facts.
    pub changes: Vec<Change>,
}

impl Plan {
    /// A plan that changes nothing yet.
    pub fn new(job_type: ConsolidationType) -> Self {
        Self {
            job_type,
            items_processed: 0,
            items_left_out: 0,
            changes: Vec::new(),
        }
    }

    /// How many things would change.
    pub fn items_affected(&self) -> u64 {
        u64::try_from(self.changes.len()).unwrap_or(u64::MAX)
    }

    /// Tokens to load of what would change, as it is.
    pub fn tokens_before(&self) -> u64 {
        self.changes.iter().map(|change| change.tokens().0).sum()
    }

    /// Tokens to load of what would change, as it would be.
    pub fn tokens_after(&self) -> u64 {
        self.changes.iter().map(|change| change.tokens().1).sum()
    }

    /// Adds the plan of another page.
    pub fn extend(&mut self, page: Self) {
        self.items_processed += page.items_processed;
        self.items_left_out += page.items_left_out;
        self.changes.extend(page.changes);
    }
}

/// One change. What is drawn from handoffs costs tokens where there were none; that it saves more is the matter of the
/// forms it lets handoffs take.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// A handoff moves on to a shorter form.
    Compress(Compress),
    /// A decision leaves the wake-up.
    Archive(Archive),
    /// A note is shown with another, or on its own again.
    Fold(Fold),
    /// A principle is written, or says something else.
    WritePrinciple(WritePrinciple),
    /// A principle is taken back, since what it was drawn from no longer gives it.
    RetirePrinciple(RetirePrinciple),
    /// A reflection is written, or says something else.
    WriteReflection(WriteReflection),
    /// A reflection is taken back, since its month has no handoffs left.
    RetireReflection(RetireReflection),
}

/// A handoff moves on to a shorter form. Its six texts stay.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Compress {
    /// Which.
    pub handoff_id: HandoffId,
    /// The level it has.
    pub from: CompressionLevel,
    /// The level its age asks for.
    pub to: CompressionLevel,
    /// To be kept beside the texts; `None` if it is there already.
    pub summary: Option<String>,
    /// To be kept beside the texts; `None` if it is there already or not asked for yet.
    pub quick_ref: Option<String>,
    /// How old it is, in days.
    pub age_days: u32,
    /// Tokens of the form that `from` shows.
    pub tokens_before: u64,
    /// Tokens of the form that `to` shows.
    pub tokens_after: u64,
}

/// A decision leaves the wake-up. Lists and recall show it as before, and its status stays.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Archive {
    /// Which.
    pub decision_id: DecisionId,
    /// How old it is, in days.
    pub age_days: u32,
    /// Its tokens in a wake-up, which are saved.
    pub tokens_before: u64,
}

/// A note is shown with another, or on its own again. Lists and recall show it as before.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Fold {
    /// Which.
    pub note_id: NoteId,
    /// What it was shown with; `None` if on its own.
    pub from: Option<NoteId>,
    /// What it is to be shown with; `None` if on its own.
    pub into: Option<NoteId>,
    /// Whether it says the same word for word.
    pub exact: bool,
    /// Its tokens in a wake-up now.
    pub tokens_before: u64,
    /// Its tokens in a wake-up then.
    pub tokens_after: u64,
}

/// A principle is written, or says something else.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct WritePrinciple {
    /// Which.
    pub principle_id: PrincipleId,
    /// Whether it is there already.
    pub known: bool,
    /// What it says from now on.
    pub body: PrincipleBody,
    /// Tokens of what it said before; 0 if it is new.
    pub tokens_before: u64,
    /// Tokens of what it says from now on.
    pub tokens_after: u64,
}

/// A principle is taken back.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct RetirePrinciple {
    /// Which.
    pub principle_id: PrincipleId,
    /// Tokens of what it said.
    pub tokens_before: u64,
}

/// A reflection is written, or says something else.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct WriteReflection {
    /// Which.
    pub reflection_id: ReflectionId,
    /// Whether it is there already.
    pub known: bool,
    /// What it says from now on.
    pub body: ReflectionBody,
    /// Tokens of what it said before; 0 if it is new.
    pub tokens_before: u64,
    /// Tokens of what it says from now on.
    pub tokens_after: u64,
}

/// A reflection is taken back.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct RetireReflection {
    /// Which.
    pub reflection_id: ReflectionId,
    /// Tokens of what it said.
    pub tokens_before: u64,
}

impl Change {
    /// Tokens before and after.
    pub fn tokens(&self) -> (u64, u64) {
        match self {
            Self::Compress(it) => (it.tokens_before, it.tokens_after),
            Self::Archive(it) => (it.tokens_before, 0),
            Self::Fold(it) => (it.tokens_before, it.tokens_after),
            Self::WritePrinciple(it) => (it.tokens_before, it.tokens_after),
            Self::RetirePrinciple(it) => (it.tokens_before, 0),
            Self::WriteReflection(it) => (it.tokens_before, it.tokens_after),
            Self::RetireReflection(it) => (it.tokens_before, 0),
        }
    }
}

/// The id of what was drawn from `parts` in a tenant: the same for the same. Its UUID version is 8, so that none equals
/// an id that the clock gave.
pub(in crate::domain) fn derived(tenant: &TenantId, kind: &str, parts: &[&[u8]]) -> [u8; 16] {
    let mut hash = Sha256::new();
    for part in [tenant.as_str().as_bytes(), kind.as_bytes()]
        .iter()
        .chain(parts)
    {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    let mut bytes = [0; 16];
    bytes
        .iter_mut()
        .zip(hash.finalize())
        .for_each(|(to, from)| *to = from);
    uuid::Builder::from_custom_bytes(bytes)
        .into_uuid()
        .into_bytes()
}

fn counted(count: u32, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests;
