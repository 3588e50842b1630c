//! Knowledge notes.
//!
//! **Invariant:** a change of a note is cleaned and validated as its writing was.

use crate::domain::event::check_tenant;
use crate::domain::note::{NewNote, Note, NoteDraft, NoteFilter, NotePatch};
use crate::domain::page::{Page, Paged};
use crate::domain::{Caller, NoteId};
use crate::service::event::idempotency_key;
use crate::service::{Error, Pending, Services};

impl Services {
    /// Stores a note. `key` is the client's `Idempotency-Key`.
    ///
    /// # Errors
    /// `Forbidden`, `Invalid`, `Overloaded`; pending: `Conflict`, `Unavailable`.
    pub fn create_note(
        &self,
        caller: &Caller,
        draft: NoteDraft,
        key: Option<&str>,
    ) -> Result<Pending<Note>, Error> {
        let store = self.writer(caller)?;
        let key = key
            .map(|key| idempotency_key("knowledge", key, &draft))
            .transpose()?;
        let now = self.clock.now();
        let note = NewNote::parse(draft, &caller.tenant, now)?;
        Ok(store.create_note(&caller.tenant, note, key, now)?)
    }

    /// Changes what a patch names.
    ///
    /// # Errors
    /// `Forbidden`, `Invalid`, `Overloaded`; pending: `NotFound`, `Invalid`, `Unavailable`.
    pub fn patch_note(
        &self,
        caller: &Caller,
        id: NoteId,
        patch: NotePatch,
    ) -> Result<Pending<Note>, Error> {
        let store = self.writer(caller)?;
        check_tenant(patch.tenant_id.as_deref(), &caller.tenant)?;
        Ok(store.patch_note(&caller.tenant, id, patch, self.clock.now())?)
    }

    /// A note by its id.
    ///
    /// # Errors
    /// `NotFound`, also for another tenant's; `Overloaded`, `Unavailable`.
    pub fn note(&self, caller: &Caller, id: NoteId) -> Result<Note, Error> {
        self.store
            .note(self.wait, &caller.tenant, id)?
            .ok_or(Error::NotFound("note"))
    }

    /// Notes in order.
    ///
    /// # Errors
    /// `Overloaded`, `Unavailable`.
    pub fn notes(
        &self,
        caller: &Caller,
        filter: &NoteFilter,
        page: &Page,
    ) -> Result<Paged<Note>, Error> {
        Ok(self.store.notes(self.wait, &caller.tenant, filter, page)?)
    }

    /// Forgets a note.
    ///
    /// # Errors
    /// `Forbidden`, `Overloaded`; pending: `NotFound`, `Unavailable`.
    pub fn forget_note(&self, caller: &Caller, id: NoteId) -> Result<Pending<()>, Error> {
        let store = self.writer(caller)?;
        Ok(store.forget_note(&caller.tenant, id)?)
    }
}
