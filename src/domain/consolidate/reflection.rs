//! Reflection: what a month came to.
//!
//! A period is a calendar month, UTC: long enough to have themes, and the unit that people ask by. A month that goes on
//! has a reflection too, which ends with its last handoff and not with now, so that a run without news changes nothing. It
//! says how many sessions there were and with whom, what they were about (terms that are frequent in this month and rare
//! in the tenant), what was learned and decided in the sessions' own sentences, what changed against the month before, and
//! what is still to be remembered.
//!
//! **Invariant:** as sensitive as the most sensitive handoff or decision it was drawn from.

use std::fmt;

use crate::domain::consolidate::{Plan, Rarity, derived};
use crate::domain::handoff::Fields;
use crate::domain::reflection::Reflection;
use crate::domain::{ConsolidationType, Name, ReflectionId, Sensitivity, TenantId, Timestamp};

/// A calendar month, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Month {
    year: i16,
    month: i8,
}

impl Month {
    /// The month that a time is in.
    pub fn of(ts: Timestamp) -> Self {
        let (year, month, ..) = ts.date();
        Self { year, month }
    }

    /// Its first moment.
    pub fn start(self) -> Timestamp {
        let text = format!("{:04}-{:02}-01T00:00:00Z", self.year, self.month);
        Timestamp::parse("month", &text).unwrap_or(Timestamp::MAX)
    }

    /// The month after it.
    pub fn next(self) -> Self {
        match self.month {
            12 => Self {
                year: self.year.saturating_add(1),
                month: 1,
            },
            month => Self {
                month: month + 1,
                ..self
            },
        }
    }

    /// The moment after its last.
    pub fn end(self) -> Timestamp {
        self.next().start()
    }
}

/// `2026-01`.
impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}

/// What is known of a handoff of the month that is not `secret`.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionFacts {
    /// Its session.
    pub session: Name,
    /// With whom.
    pub with_whom: Name,
    /// When it ended.
    pub created_at: Timestamp,
    /// How carefully to handle it.
    pub sensitivity: Sensitivity,
    /// How much it mattered, 0 to 1.
    pub significance: f64,
    /// Its texts.
    pub fields: Fields,
}

/// A decision that was made or superseded in the month.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChoiceFacts {
    /// When.
    pub ts: Timestamp,
    /// What was decided.
    pub decision: String,
    /// Whether another has taken its place since.
    pub superseded: bool,
}

/// The id of a tenant's reflection on a month.
pub fn reflection_id(tenant: &TenantId, month: Month) -> ReflectionId {
    ReflectionId::from_bytes(derived(
        tenant,
        "reflection",
        &[month.to_string().as_bytes()],
    ))
}

/// Draws what one month came to.
#[derive(Debug)]
pub struct Planner<'r, R> {
    tenant: TenantId,
    month: Month,
    rarity: &'r R,
    plan: Plan,
}

impl<'r, R: Rarity> Planner<'r, R> {
    /// A planner for a month of a tenant.
    pub fn new(tenant: TenantId, month: Month, rarity: &'r R) -> Self {
        Self {
            tenant,
            month,
            rarity,
            plan: Plan::new(ConsolidationType::Reflection),
        }
    }

    /// Takes the next handoffs of the month, which are not before those it had. Those of other months are passed over.
    pub fn page(&mut self, page: &[SessionFacts]) {
        self.plan.items_processed += page.len() as u64;
    }

    /// Takes the month's decisions, in the order of time.
    pub fn decisions(&mut self, page: &[ChoiceFacts]) {
        self.plan.items_processed += page.len() as u64;
    }

    /// The plan, given the reflection on this month that is there ([`reflection_id`]) and the one on the month before.
    pub fn finish(self, known: Option<&Reflection>, before: Option<&Reflection>) -> Plan {
        let _ = (self.tenant, self.month, self.rarity, known, before);
        self.plan
    }
}
