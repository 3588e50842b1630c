//! Reading the audit, and letting go of what is old in it.
//!
//! **Invariant:** over the network a caller reads the rows of its own tenant alone.

use crate::domain::audit::{AuditFilter, AuditRow};
use crate::domain::page::{Page, Paged};
use crate::domain::time::DAY_MS;
use crate::domain::{Caller, Timestamp};
use crate::service::{Error, Services};

impl Services {
    /// Rows of the audit, in the order they were written in. Whoever has the file may ask for those of all tenants.
    ///
    /// # Errors
    /// `Forbidden`, `Overloaded`, `Unavailable`.
    pub fn audit(
        &self,
        caller: &Caller,
        filter: &AuditFilter,
        page: &Page,
    ) -> Result<Paged<AuditRow>, Error> {
        let store = self.admin(caller)?;
        let tenant = if caller.is_local() {
            filter.tenant.clone()
        } else {
            Some(caller.tenant.clone())
        };
        let filter = AuditFilter {
            tenant,
            ..filter.clone()
        };
        Ok(store.audit(self.wait, &filter, page)?)
    }

    /// Takes out of the audit what is older than `days`, some thousands of rows at once; answers whether there may be
    /// more. Blocks; for the job thread.
    ///
    /// # Errors
    /// `Overloaded`, `Unavailable`.
    pub fn trim_audit(&self, days: u32) -> Result<bool, Error> {
        let cut = self.clock.now().millis() - i64::from(days) * DAY_MS;
        Ok(self.store.trim_audit(Timestamp::from_millis(cut))?.wait()?)
    }
}
