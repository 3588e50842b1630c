//! Forgetting: an event or a handoff at once; a session or a tenant at once to the eye, and in slices underneath.
//!
//! **Invariant:** after the answer, nothing of it can be read.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::domain::session::Job;
use crate::domain::{Caller, EventId, HandoffId, MemoryId, Name};
use crate::service::{Error, Pending, Services};
use crate::store::Slice;

/// Tells the job thread that there is work. One is enough for many.
#[derive(Debug, Clone)]
pub struct Bell(Arc<(Mutex<bool>, Condvar)>);

impl Default for Bell {
    /// Rung once, so that what a crash left open is gone on with.
    fn default() -> Self {
        Self(Arc::new((Mutex::new(true), Condvar::new())))
    }
}

impl Bell {
    /// There is work.
    pub fn ring(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_all();
    }

    /// Waits until it rings, at most `most`; answers whether it did.
    pub fn wait(&self, most: Duration) -> bool {
        let rung = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.0.1.wait_timeout_while(rung, most, |rung| !*rung);
        let (mut rung, _) = waited.unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *rung)
    }
}

impl Services {
    /// Forgets an event.
    ///
    /// # Errors
    /// `Forbidden`, `Overloaded`; pending: `NotFound`, `Unavailable`.
    pub fn forget_event(&self, caller: &Caller, id: EventId) -> Result<Pending<()>, Error> {
        let store = self.writer(caller)?;
        Ok(store.forget_event(&caller.tenant, id)?)
    }

    /// Forgets a handoff.
    ///
    /// # Errors
    /// `Forbidden`, `Overloaded`; pending: `NotFound`, `Unavailable`.
    pub fn forget_handoff(&self, caller: &Caller, id: HandoffId) -> Result<Pending<()>, Error> {
        let store = self.writer(caller)?;
        Ok(store.forget_handoff(&caller.tenant, id)?)
    }

    /// Forgets one memory, whatever it is.
    ///
    /// # Errors
    /// `Overloaded`; pending: `NotFound`, `Unavailable`.
    pub fn forget_memory(&self, caller: &Caller, id: MemoryId) -> Result<Pending<()>, Error> {
        match id {
            MemoryId::Event(id) => self.forget_event(caller, id),
            MemoryId::Handoff(id) => self.forget_handoff(caller, id),
            MemoryId::Decision(id) => self.forget_decision(caller, id),
            MemoryId::Note(id) => self.forget_note(caller, id),
            MemoryId::Reflection(id) => self.forget_reflection(caller, id),
            MemoryId::Principle(id) => self.forget_principle(caller, id),
        }
    }

    /// Forgets a session with all it holds. Ring the [`Bell`] when the answer is there.
    ///
    /// # Errors
    /// `Forbidden`, `Overloaded`; pending: `NotFound`, `Unavailable`.
    pub fn forget_session(&self, caller: &Caller, session: Name) -> Result<Pending<Job>, Error> {
        let store = self.writer(caller)?;
        Ok(store.forget_session(&caller.tenant, session, self.clock.now())?)
    }

    /// Forgets the caller's tenant with all it holds. Ring the [`Bell`] when the answer is there.
    ///
    /// # Errors
    /// `Forbidden`, `Overloaded`; pending: `NotFound`, `Unavailable`.
    pub fn forget_tenant(&self, caller: &Caller) -> Result<Pending<Job>, Error> {
        let store = self.admin(caller)?;
        Ok(store.forget_tenant(&caller.tenant, self.clock.now())?)
    }

    /// Does the next few milliseconds of what is being forgotten. For jobs and commands; blocks.
    ///
    /// # Errors
    /// `Overloaded`, `Unavailable`.
    pub fn forget_slice(&self) -> Result<Slice, Error> {
        Ok(self.store.forget_slice(self.clock.now())?.wait()?)
    }

    /// Makes what was forgotten leave the log as well. For commands; a server does it by itself.
    ///
    /// # Errors
    /// `Overloaded` when others use the log.
    pub fn scrub(&self) -> Result<(), Error> {
        Ok(self.store.scrub()?)
    }
}
