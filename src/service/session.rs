//! Sessions and projects.
//!
//! **Invariant:** announcing a session twice is announcing it once.

use std::collections::BTreeMap;

use crate::domain::page::{Page, Paged};
use crate::domain::session::{NewSession, Project, Session, SessionDraft};
use crate::domain::{Caller, Stat};
use crate::service::{Error, Pending, Services};

impl Services {
    /// Notes that a session has started.
    ///
    /// # Errors
    /// `Forbidden`, `Invalid`, `Overloaded`; pending: `Unavailable`.
    pub fn start_session(
        &self,
        caller: &Caller,
        draft: &SessionDraft,
    ) -> Result<Pending<Session>, Error> {
        let store = self.writer(caller)?;
        let now = self.clock.now();
        let session = NewSession::parse(draft, &caller.tenant, now)?;
        Ok(store.start_session(&caller.tenant, session, now)?)
    }

    /// Sessions in order of their start.
    ///
    /// # Errors
    /// `Overloaded`, `Unavailable`.
    pub fn sessions(&self, caller: &Caller, page: &Page) -> Result<Paged<Session>, Error> {
        Ok(self.store.sessions(self.wait, &caller.tenant, page)?)
    }

    /// Projects in order of their first write.
    ///
    /// # Errors
    /// `Overloaded`, `Unavailable`.
    pub fn projects(&self, caller: &Caller, page: &Page) -> Result<Paged<Project>, Error> {
        Ok(self.store.projects(self.wait, &caller.tenant, page)?)
    }

    /// The counted facts of the caller's tenant; zeros for an unknown one.
    ///
    /// # Errors
    /// `Overloaded`, `Unavailable`.
    pub fn tenant_stats(&self, caller: &Caller) -> Result<BTreeMap<Stat, i64>, Error> {
        Ok(self.store.tenant_stats(self.wait, &caller.tenant)?)
    }
}
