//! Taking out events that are too old, slice by slice.
//!
//! **Invariant:** takes out events alone, and of these none that tells of a decision.

use crate::service::{Error, Services};
use crate::store::{Expired, Slice};

impl Services {
    /// Takes out some of the events that are older than `age_ms`, from where the slice before came to (0 at first).
    /// Blocks; for jobs.
    ///
    /// # Errors
    /// `Overloaded`, `Unavailable`; `Internal` if an event cannot be taken out.
    pub fn expire_slice(&self, age_ms: i64, from: i64) -> Result<Expired, Error> {
        let now = self.clock.now();
        let before = now.plus_millis(age_ms.saturating_neg());
        Ok(self.store.expire_slice(before, from, now)?.wait()?)
    }

    /// Gives some of the room that became free back to the disk. Blocks; for jobs.
    ///
    /// # Errors
    /// `Overloaded`, `Unavailable`.
    pub fn give_back_slice(&self) -> Result<Slice, Error> {
        Ok(self.store.give_back_slice()?.wait()?)
    }
}
