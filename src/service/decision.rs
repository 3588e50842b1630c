//! The ledger of decisions.
//!
//! **Invariant:** a decision stops to hold only by another one that does.

use serde::Serialize;

use crate::domain::decision::{Decision, DecisionDraft, DecisionFilter, NewDecision, Successor};
use crate::domain::page::{Page, Paged};
use crate::domain::{Caller, DecisionId};
use crate::service::event::idempotency_key;
use crate::service::{Error, Pending, Services};

/// How a client says what takes a decision's place.
#[derive(Debug, Serialize)]
pub enum SuccessorDraft {
    /// A new decision.
    New(Box<DecisionDraft>),
    /// One that is there.
    Existing(DecisionId),
}

impl Services {
    /// Stores a decision. `key` is the client's `Idempotency-Key`.
    ///
    /// # Errors
    /// `Forbidden`, `Invalid`, `Overloaded`; pending: `Conflict`, `Unavailable`.
    pub fn create_decision(
        &self,
        caller: &Caller,
        draft: DecisionDraft,
        key: Option<&str>,
    ) -> Result<Pending<Decision>, Error> {
        let store = self.writer(caller)?;
        let key = key
            .map(|key| idempotency_key("decisions", key, &draft))
            .transpose()?;
        let now = self.clock.now();
        let decision = NewDecision::parse(draft, &caller.tenant, now)?;
        Ok(store.create_decision(&caller.tenant, decision, key, now)?)
    }

    /// Puts another decision in the place of one that holds; answers the old and the new one.
    ///
    /// # Errors
    /// `Forbidden`, `Invalid`, `Overloaded`; pending: `NotFound`, `Conflict`, `Unavailable`.
    pub fn supersede(
        &self,
        caller: &Caller,
        id: DecisionId,
        successor: SuccessorDraft,
        key: Option<&str>,
    ) -> Result<Pending<(Decision, Decision)>, Error> {
        let store = self.writer(caller)?;
        let key = key
            .map(|key| idempotency_key("decisions/supersede", key, &(id, &successor)))
            .transpose()?;
        let now = self.clock.now();
        let successor = match successor {
            SuccessorDraft::New(draft) => {
                Successor::New(Box::new(NewDecision::parse(*draft, &caller.tenant, now)?))
            }
            SuccessorDraft::Existing(id) => Successor::Existing(id),
        };
        Ok(store.supersede(&caller.tenant, id, successor, key, now)?)
    }

    /// A decision by its id.
    ///
    /// # Errors
    /// `NotFound`, also for another tenant's; `Overloaded`, `Unavailable`.
    pub fn decision(&self, caller: &Caller, id: DecisionId) -> Result<Decision, Error> {
        self.store
            .decision(self.wait, &caller.tenant, id)?
            .ok_or(Error::NotFound("decision"))
    }

    /// Decisions in order.
    ///
    /// # Errors
    /// `Overloaded`, `Unavailable`.
    pub fn decisions(
        &self,
        caller: &Caller,
        filter: &DecisionFilter,
        page: &Page,
    ) -> Result<Paged<Decision>, Error> {
        Ok(self
            .store
            .decisions(self.wait, &caller.tenant, filter, page)?)
    }

    /// Forgets a decision.
    ///
    /// # Errors
    /// `Forbidden`, `Overloaded`; pending: `NotFound`, `Unavailable`.
    pub fn forget_decision(&self, caller: &Caller, id: DecisionId) -> Result<Pending<()>, Error> {
        let store = self.writer(caller)?;
        Ok(store.forget_decision(&caller.tenant, id)?)
    }
}
