//! The seam's part for what consolidation concludes: reflections and principles.
//!
//! **Invariant:** whole units of work, as all of [`Store`].

use crate::domain::page::{Page, Paged};
use crate::domain::principle::{NewPrinciple, Principle};
use crate::domain::reflection::{NewReflection, Reflection};
use crate::domain::{Caller, PrincipleId, ReflectionId, TenantId, Timestamp};
use crate::store::{Pending, Store, StoreError, Wait};

impl Store {
    /// Stores a reflection, or gives the one of its id what it says now. The same again changes nothing.
    ///
    /// # Errors
    /// The queue is full.
    pub fn write_reflection(
        &self,
        tenant: &TenantId,
        reflection: NewReflection,
        now: Timestamp,
    ) -> Result<Pending<Reflection>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.write_reflection(tenant, reflection, now)
    }

    /// Forgets a reflection.
    ///
    /// # Errors
    /// The queue is full; pending: `NotFound`.
    pub fn forget_reflection(
        &self,
        tenant: &TenantId,
        id: ReflectionId,
    ) -> Result<Pending<()>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.forget_reflection(tenant, id)
    }

    /// A reflection, whatever its sensitivity.
    ///
    /// # Errors
    /// As [`Store::event`].
    pub fn reflection(
        &self,
        wait: Wait,
        tenant: &TenantId,
        id: ReflectionId,
    ) -> Result<Option<Reflection>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.reflection(wait, tenant, id)
    }

    /// Reflections in the order of their periods' ends, up to a sensitivity.
    ///
    /// # Errors
    /// As [`Store::event`].
    pub fn reflections(
        &self,
        wait: Wait,
        caller: &Caller,
        page: &Page,
    ) -> Result<Paged<Reflection>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.reflections(wait, caller, page)
    }

    /// Stores a principle, or gives the one of its id what it says now. The same again changes nothing.
    ///
    /// # Errors
    /// The queue is full.
    pub fn write_principle(
        &self,
        tenant: &TenantId,
        principle: NewPrinciple,
        now: Timestamp,
    ) -> Result<Pending<Principle>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.write_principle(tenant, principle, now)
    }

    /// Forgets a principle.
    ///
    /// # Errors
    /// The queue is full; pending: `NotFound`.
    pub fn forget_principle(
        &self,
        tenant: &TenantId,
        id: PrincipleId,
    ) -> Result<Pending<()>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.forget_principle(tenant, id)
    }

    /// A principle, whatever its sensitivity.
    ///
    /// # Errors
    /// As [`Store::event`].
    pub fn principle(
        &self,
        wait: Wait,
        tenant: &TenantId,
        id: PrincipleId,
    ) -> Result<Option<Principle>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.principle(wait, tenant, id)
    }

    /// Principles in the order in which they were found first, up to a sensitivity.
    ///
    /// # Errors
    /// As [`Store::event`].
    pub fn principles(
        &self,
        wait: Wait,
        caller: &Caller,
        page: &Page,
    ) -> Result<Paged<Principle>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.principles(wait, caller, page)
    }
}
