//! The context bundle for a task.
//!
//! **Invariant:** reads of one moment, and stores nothing.

use crate::domain::Caller;
use crate::domain::context::{Bundle, ContextDraft, ContextQuery, assemble};
use crate::service::{Error, Services};

impl Services {
    /// What an agent should have before it for a task.
    ///
    /// # Errors
    /// `Invalid`, `Overloaded`, `Unavailable`.
    pub fn context(&self, caller: &Caller, draft: &ContextDraft) -> Result<Bundle, Error> {
        let now = self.clock.now();
        let query = ContextQuery::parse(draft, &caller.tenant, now)?;
        let facts = self.store.context_facts(self.wait, caller, &query)?;
        self.collect_recalled(caller, &facts.hits);
        Ok(assemble(&query, &facts, caller.channel, now))
    }
}
