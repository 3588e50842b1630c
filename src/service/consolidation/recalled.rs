//! Which decisions searches gave out: one that is asked for stays in the wake-up.
//!
//! They are collected in memory, and written at most every thirty seconds and at the end; a search writes nothing.
//!
//! **Invariant:** what is collected is bounded; beyond it, what was recalled first is written first.

use std::collections::BTreeMap;

use crate::domain::recall::Hit;
use crate::domain::{Caller, DecisionId, EntityType};
use crate::service::consolidation::lock;
use crate::service::{Error, Services};

/// Most decisions that are collected between two times of writing.
const MOST_COLLECTED: usize = 10_000;

impl Services {
    /// Notes the decisions among what a search found.
    pub(in crate::service) fn collect_recalled(&self, caller: &Caller, hits: &[Hit]) {
        let decisions = hits
            .iter()
            .filter(|hit| hit.entity_type == EntityType::Decision);
        let mut ids = decisions
            .filter_map(|hit| DecisionId::parse("id", &hit.id).ok())
            .peekable();
        if ids.peek().is_none() {
            return;
        }
        let now = self.clock.now();
        let mut recalled = lock(&self.consolidator.recalled);
        for id in ids {
            if recalled.len() < MOST_COLLECTED {
                recalled.insert((caller.tenant.clone(), id), now);
            }
        }
    }

    /// Writes what was collected, if anything. Blocks.
    ///
    /// # Errors
    /// `Overloaded`, `Unavailable`; what was collected is then kept for the next time.
    pub fn write_recalled(&self) -> Result<(), Error> {
        let collected: BTreeMap<_, _> = std::mem::take(&mut *lock(&self.consolidator.recalled));
        if collected.is_empty() {
            return Ok(());
        }
        let rows = collected
            .iter()
            .map(|((tenant, id), at)| (tenant.clone(), *id, *at));
        let written = self
            .store
            .note_recalled(rows.collect())
            .and_then(crate::store::Pending::wait);
        if written.is_err() {
            let mut recalled = lock(&self.consolidator.recalled);
            for (key, at) in collected {
                recalled.entry(key).or_insert(at);
            }
        }
        Ok(written?)
    }
}
