//! The seam's part for what coding agents bring: stretches of their session files, and projects by other names.
//!
//! **Invariant:** whole units of work, as all of [`Store`]; moving a project is many, and says so.

use crate::domain::session::Project;
use crate::domain::transcript::{Mark, Part, PartReport, PathHash};
use crate::domain::{Name, TenantId, Timestamp};
use crate::store::{Pending, Store, StoreError, Wait};

impl Store {
    /// Stores a stretch of a session file: its events, how far it was read, and the session's automatic handoff, in one
    /// transaction. A stretch that lies before what was read already adds its events and leaves the rest.
    ///
    /// # Errors
    /// As [`Store::record_events`].
    pub fn record_part(
        &self,
        tenant: &TenantId,
        part: Part,
        now: Timestamp,
    ) -> Result<Pending<PartReport>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.record_part(tenant, part, now)
    }

    /// How far a session file was read.
    ///
    /// # Errors
    /// As [`Store::event`].
    pub fn mark(
        &self,
        wait: Wait,
        tenant: &TenantId,
        path: &PathHash,
    ) -> Result<Option<Mark>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.mark(wait, tenant, path)
    }

    /// Counts a line of a spool that cannot be read.
    ///
    /// # Errors
    /// As [`Store::record_events`].
    pub fn count_lost_spool(&self) -> Result<Pending<()>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.count_lost_spool()
    }

    /// Makes another id mean a project, and moves what was stored under it. Blocks, for as long as there is something to
    /// move; what was interrupted goes on when asked for again.
    ///
    /// # Errors
    /// `Conflict` when the id is the project's own or another's already; as [`Store::record_events`].
    pub fn alias_project(
        &self,
        tenant: &TenantId,
        project: &Name,
        alias: &Name,
        now: Timestamp,
    ) -> Result<Project, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.alias_project(tenant, project, alias, now)
    }
}
