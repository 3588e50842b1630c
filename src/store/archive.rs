//! The part of [`Store`] that takes a whole tenant out and in.
//!
//! **Invariant:** page by page and slice by slice; nothing here is one unit of work for all of it.

use std::sync::Arc;

use crate::domain::export::{ExportPage, Walk};
use crate::domain::import::{How, ImportLine, SliceReport};
use crate::domain::{Name, Sensitivity, TenantId, Timestamp};
use crate::store::{Pending, Store, StoreError, Wait};

impl Store {
    /// The names of all tenants.
    ///
    /// # Errors
    /// As [`Store::event`].
    pub fn tenants(&self, wait: Wait) -> Result<Vec<TenantId>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.tenants(wait)
    }

    /// Takes out the sessions and projects of these names that hold nothing any more; answers how many are left.
    ///
    /// # Errors
    /// The queue is full; pending: the tenant is unknown.
    pub fn drop_names(
        &self,
        tenant: &TenantId,
        sessions: Vec<Name>,
        projects: Vec<Name>,
    ) -> Result<Pending<u64>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.drop_names(tenant, sessions, projects)
    }

    /// Where an export of a tenant begins and ends: at what is there now.
    ///
    /// # Errors
    /// As [`Store::event`].
    pub fn begin_export(&self, wait: Wait, tenant: &TenantId) -> Result<Walk, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.begin_export(wait, tenant)
    }

    /// The next rows of an export, up to a sensitivity. May answer none before the end.
    ///
    /// # Errors
    /// As [`Store::event`].
    pub fn export_page(
        &self,
        wait: Wait,
        tenant: &TenantId,
        most: Sensitivity,
        walk: &mut Walk,
    ) -> Result<ExportPage, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.export_page(wait, tenant, most, walk)
    }

    /// Stores rows of an export, all of them or none; those that contradict what is there are reported instead.
    ///
    /// # Errors
    /// The queue is full; then the rows are still the caller's.
    pub fn import_slice(
        &self,
        tenant: &TenantId,
        rows: Arc<Vec<ImportLine>>,
        how: How,
        now: Timestamp,
    ) -> Result<Pending<SliceReport>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.import_slice(tenant, rows, how, now)
    }
}
