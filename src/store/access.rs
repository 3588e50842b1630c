//! The seam's part for who may talk and who did what: keys and the audit.
//!
//! **Invariant:** a key's own bits are never handed to the store, only their hash.

use std::sync::Arc;

use crate::domain::audit::{AuditFilter, AuditRow, Denial};
use crate::domain::key::{ApiKey, KeyRing, NewKey};
use crate::domain::page::{Page, Paged};
use crate::domain::{KeyId, Name, TenantId, Timestamp};
use crate::store::{Pending, Store, StoreError, Wait};

/// Which key is meant.
#[derive(Debug, Clone)]
pub enum KeyChoice {
    /// The one of this id.
    Id(KeyId),
    /// The good one of this name, in the tenant that is named beside it.
    Name(Name),
}

impl Store {
    /// Stores a key. The first one makes the server ask for keys.
    ///
    /// # Errors
    /// The queue is full; pending: `Conflict` when a good key of the tenant has its name, or there is no room.
    pub fn create_key(&self, new: &NewKey) -> Result<Pending<ApiKey>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.create_key(new)
    }

    /// Revokes a key, of a tenant or of any; one that is revoked stays as it is.
    ///
    /// # Errors
    /// The queue is full; pending: `NotFound`.
    pub fn revoke_key(
        &self,
        tenant: Option<&TenantId>,
        choice: KeyChoice,
        now: Timestamp,
    ) -> Result<Pending<ApiKey>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.revoke_key(tenant, choice, now)
    }

    /// Says whether requests have to show a key.
    ///
    /// # Errors
    /// The queue is full.
    pub fn ask_for_keys(&self, ask: bool) -> Result<Pending<()>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.ask_for_keys(ask)
    }

    /// Notes when keys were last used.
    ///
    /// # Errors
    /// The queue is full.
    pub fn note_key_uses(&self, uses: Vec<(KeyId, Timestamp)>) -> Result<Pending<()>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.note_key_uses(uses)
    }

    /// The keys of a tenant, or all, in the order they were made in.
    ///
    /// # Errors
    /// As [`Store::event`].
    pub fn keys(&self, wait: Wait, tenant: Option<&TenantId>) -> Result<Vec<ApiKey>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.keys(wait, tenant)
    }

    /// The keys that may be shown now, whichever process changed them last. For each request: it takes no connection
    /// unless they changed.
    ///
    /// # Errors
    /// They changed, and the file cannot be read.
    pub fn key_ring(&self) -> Result<Arc<KeyRing>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.key_ring()
    }

    /// Writes down that an export was begun.
    ///
    /// # Errors
    /// The queue is full.
    pub fn note_export(&self, tenant: &TenantId) -> Result<Pending<()>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.note_export(tenant)
    }

    /// Writes refusals down.
    ///
    /// # Errors
    /// The queue is full.
    pub fn note_denials(&self, denials: Vec<(Denial, i64)>) -> Result<Pending<()>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.note_denials(denials)
    }

    /// Takes rows from before `cut` out of the audit, some at once; answers whether there may be more.
    ///
    /// # Errors
    /// The queue is full.
    pub fn trim_audit(&self, cut: Timestamp) -> Result<Pending<bool>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.trim_audit(cut)
    }

    /// Rows of the audit, in the order they were written in.
    ///
    /// # Errors
    /// As [`Store::event`].
    pub fn audit(
        &self,
        wait: Wait,
        filter: &AuditFilter,
        page: &Page,
    ) -> Result<Paged<AuditRow>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.audit(wait, filter, page)
    }
}
