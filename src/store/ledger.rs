//! The seam's part for decisions and notes.
//!
//! **Invariant:** whole units of work, as all of [`Store`].

use crate::domain::decision::{Decision, DecisionFilter, NewDecision, Successor};
use crate::domain::note::{NewNote, Note, NoteFilter, NotePatch};
use crate::domain::page::{Page, Paged};
use crate::domain::{DecisionId, NoteId, TenantId, Timestamp};
use crate::store::{IdempotencyKey, Pending, Store, StoreError, Wait};

impl Store {
    /// Stores a decision.
    ///
    /// # Errors
    /// As [`Store::create_handoff`].
    pub fn create_decision(
        &self,
        tenant: &TenantId,
        decision: NewDecision,
        key: Option<IdempotencyKey>,
        now: Timestamp,
    ) -> Result<Pending<Decision>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.create_decision(tenant, decision, key, now)
    }

    /// Puts another decision in the place of one that is active; answers the old one and the one that holds.
    ///
    /// # Errors
    /// The queue is full; pending: `NotFound`, `Conflict` when either is superseded already or they are the same.
    pub fn supersede(
        &self,
        tenant: &TenantId,
        id: DecisionId,
        successor: Successor,
        key: Option<IdempotencyKey>,
        now: Timestamp,
    ) -> Result<Pending<(Decision, Decision)>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.supersede(tenant, id, successor, key, now)
    }

    /// Forgets a decision. Those that it had superseded stay superseded, by what superseded it.
    ///
    /// # Errors
    /// The queue is full; pending: `NotFound`.
    pub fn forget_decision(
        &self,
        tenant: &TenantId,
        id: DecisionId,
    ) -> Result<Pending<()>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.forget_decision(tenant, id)
    }

    /// A decision.
    ///
    /// # Errors
    /// As [`Store::event`].
    pub fn decision(
        &self,
        wait: Wait,
        tenant: &TenantId,
        id: DecisionId,
    ) -> Result<Option<Decision>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.decision(wait, tenant, id)
    }

    /// Decisions in order.
    ///
    /// # Errors
    /// As [`Store::event`].
    pub fn decisions(
        &self,
        wait: Wait,
        tenant: &TenantId,
        filter: &DecisionFilter,
        page: &Page,
    ) -> Result<Paged<Decision>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.decisions(wait, tenant, filter, page)
    }

    /// Stores a note.
    ///
    /// # Errors
    /// As [`Store::create_handoff`].
    pub fn create_note(
        &self,
        tenant: &TenantId,
        note: NewNote,
        key: Option<IdempotencyKey>,
        now: Timestamp,
    ) -> Result<Pending<Note>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.create_note(tenant, note, key, now)
    }

    /// Changes a note and its place in the index.
    ///
    /// # Errors
    /// The queue is full; pending: `NotFound`, `Invalid` when the changed note would not be one.
    pub fn patch_note(
        &self,
        tenant: &TenantId,
        id: NoteId,
        patch: NotePatch,
        now: Timestamp,
    ) -> Result<Pending<Note>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.patch_note(tenant, id, patch, now)
    }

    /// Forgets a note.
    ///
    /// # Errors
    /// The queue is full; pending: `NotFound`.
    pub fn forget_note(&self, tenant: &TenantId, id: NoteId) -> Result<Pending<()>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.forget_note(tenant, id)
    }

    /// A note.
    ///
    /// # Errors
    /// As [`Store::event`].
    pub fn note(
        &self,
        wait: Wait,
        tenant: &TenantId,
        id: NoteId,
    ) -> Result<Option<Note>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.note(wait, tenant, id)
    }

    /// Notes in order.
    ///
    /// # Errors
    /// As [`Store::event`].
    pub fn notes(
        &self,
        wait: Wait,
        tenant: &TenantId,
        filter: &NoteFilter,
        page: &Page,
    ) -> Result<Paged<Note>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.notes(wait, tenant, filter, page)
    }
}
