//! The wake-up of the next session.
//!
//! **Invariant:** an unknown tenant wakes up to an empty memory, not to an error.

use crate::domain::Caller;
use crate::domain::wake_up::{WakeUp, WakeUpQuery, assemble};
use crate::service::{Error, Services};

impl Services {
    /// What the next session reads first.
    ///
    /// # Errors
    /// `Overloaded`, `Unavailable`.
    pub fn wake_up(&self, caller: &Caller, query: &WakeUpQuery) -> Result<WakeUp, Error> {
        let relevant = match &query.topic {
            None => None,
            Some(topic) => {
                let project = query.project.as_ref().map(crate::domain::Name::as_str);
                Some(self.handoffs_about(caller, topic, project)?)
            }
        };
        let facts = self
            .store
            .wake_up_facts(self.wait, caller, query, relevant.as_deref())?;
        Ok(assemble(query, &facts))
    }
}
