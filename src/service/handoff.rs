//! Writing and reading handoffs, and the identity thread that they make.
//!
//! **Invariant:** a handoff answers as it is read back, redactions included.

use crate::domain::handoff::{Handoff, HandoffDraft, HandoffFilter, IdentityThread, NewHandoff};
use crate::domain::page::{Direction, MAX_LIMIT, Page, Paged};
use crate::domain::thread::Thread;
use crate::domain::{Caller, HandoffId};
use crate::service::event::idempotency_key;
use crate::service::{Error, Pending, Services, found};

impl Services {
    /// Stores a handoff. `key` is the client's `Idempotency-Key`.
    ///
    /// # Errors
    /// `Forbidden`, `Invalid`, `Overloaded`; pending: `Conflict`, `Unavailable`.
    pub fn create_handoff(
        &self,
        caller: &Caller,
        draft: HandoffDraft,
        key: Option<&str>,
    ) -> Result<Pending<Handoff>, Error> {
        let store = self.writer(caller)?;
        let key = key
            .map(|key| idempotency_key("handoff", key, &draft))
            .transpose()?;
        let now = self.clock.now();
        let handoff = NewHandoff::parse(draft, &caller.tenant, now)?;
        Ok(store.create_handoff(&caller.tenant, handoff, key, now)?)
    }

    /// A handoff by its id.
    ///
    /// # Errors
    /// `NotFound`, also for another tenant's; `Overloaded`, `Unavailable`.
    pub fn handoff(&self, caller: &Caller, id: HandoffId) -> Result<Handoff, Error> {
        let row = self.store.handoff(self.wait, &caller.tenant, id)?;
        let row = row.map(|handoff| {
            let sensitivity = handoff.sensitivity;
            (handoff, sensitivity)
        });
        found(caller, "handoff", row)
    }

    /// Handoffs in order.
    ///
    /// # Errors
    /// `Overloaded`, `Unavailable`.
    pub fn handoffs(
        &self,
        caller: &Caller,
        filter: &HandoffFilter,
        page: &Page,
    ) -> Result<Paged<Handoff>, Error> {
        Ok(self.store.handoffs(self.wait, caller, filter, page)?)
    }

    /// The newest handoff.
    ///
    /// # Errors
    /// `NotFound` when there is none; `Overloaded`, `Unavailable`.
    pub fn last_handoff(&self, caller: &Caller, filter: &HandoffFilter) -> Result<Handoff, Error> {
        let page = Page::first(1, Direction::Descending);
        let last = self.store.handoffs(self.wait, caller, filter, &page)?;
        last.items
            .into_iter()
            .next()
            .ok_or(Error::NotFound("handoff"))
    }

    /// The newest handoffs, at most a page of them, as one document.
    ///
    /// # Errors
    /// `Overloaded`, `Unavailable`.
    pub fn thread(&self, caller: &Caller, filter: &HandoffFilter) -> Result<Thread, Error> {
        self.note_export(caller);
        let page = Page::first(MAX_LIMIT, Direction::Descending);
        let newest = self.store.handoffs(self.wait, caller, filter, &page)?;
        Ok(Thread::new(caller.tenant.clone(), newest))
    }

    /// The newest identity statements, oldest first.
    ///
    /// # Errors
    /// `Overloaded`, `Unavailable`.
    pub fn identity_thread(&self, caller: &Caller, limit: u32) -> Result<IdentityThread, Error> {
        Ok(self.store.identity_thread(self.wait, caller, limit)?)
    }
}
