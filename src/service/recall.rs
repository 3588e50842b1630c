//! Recall: search over everything a caller may see.
//!
//! **Invariant:** a question is never an error; what matches nothing is answered with nothing.

use crate::domain::recall::{Hit, RecallDraft, RecallQuery};
use crate::domain::{Caller, EntityType, HandoffId};
use crate::service::{Error, Services};

/// Older handoffs that a wake-up's topic may bring up.
const TOPIC_HITS: usize = 20;

impl Services {
    /// The best memories for a query, best first.
    ///
    /// # Errors
    /// `Invalid`, `Overloaded`, `Unavailable`.
    pub fn recall(&self, caller: &Caller, draft: &RecallDraft) -> Result<Vec<Hit>, Error> {
        let query = RecallQuery::parse(draft, &caller.tenant, self.clock.now())?;
        let hits = self.search(caller, &query)?;
        self.store.count_recall(hits.is_empty());
        self.collect_recalled(caller, &hits);
        Ok(hits)
    }

    /// The handoffs that a topic is about, best first.
    pub(crate) fn handoffs_about(
        &self,
        caller: &Caller,
        topic: &str,
        project: Option<&str>,
    ) -> Result<Vec<HandoffId>, Error> {
        let draft = RecallDraft {
            query: topic.to_owned(),
            types: Some(vec![EntityType::Handoff]),
            project_id: project.map(str::to_owned),
            // A topic is a wish and not a question: the nearest is better than nothing.
            min_score: Some(0.0),
            ..RecallDraft::default()
        };
        let mut query = RecallQuery::parse(&draft, &caller.tenant, self.clock.now())?;
        query.limit = TOPIC_HITS;
        let hits = self.search(caller, &query)?;
        hits.iter()
            .map(|hit| Ok(HandoffId::parse("id", &hit.id)?))
            .collect()
    }

    fn search(&self, caller: &Caller, query: &RecallQuery) -> Result<Vec<Hit>, Error> {
        if query.is_empty() {
            return Ok(Vec::new());
        }
        Ok(self.store.recall(self.wait, caller, query)?)
    }
}
