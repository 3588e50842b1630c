//! The wake-up of the next session.
//!
//! An agent's sessions start with the same question, and the answer costs a few dozen rows; so the last answers are
//! kept, each with the state of the tenant that it was read from. Asking for that state is one look-up, and sees what
//! other processes wrote.
//!
//! **Invariant:** an unknown tenant wakes up to an empty memory, not to an error; a kept answer is one that reading anew
//! would give.

use std::sync::Arc;

use crate::domain::wake_up::{WakeUp, WakeUpQuery, assemble};
use crate::domain::{Caller, Channel};
use crate::service::{Error, Services};
use crate::store::memo::{Memo, Weigh};

/// Room for the answers that are kept, in bytes: some hundred of 20 KB.
const KEPT_BYTES: u64 = 4 * 1024 * 1024;
/// About how many that are.
const KEPT: usize = 200;
/// About the size of a key: a few names.
const KEY_BYTES: usize = 256;

/// Who asks what: the number of the tenant, what the channel lets through, the question.
type Key = (i64, Channel, WakeUpQuery);

/// The last answers, each read at a count of writes. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct WakeUps(Arc<Memo<Key, Arc<WakeUp>>>);

impl Weigh for Arc<WakeUp> {
    fn bytes(&self) -> usize {
        KEY_BYTES + self.weight()
    }
}

impl Default for WakeUps {
    fn default() -> Self {
        Self(Arc::new(Memo::new(KEPT_BYTES, KEPT)))
    }
}

impl Services {
    /// What the next session reads first.
    ///
    /// # Errors
    /// `Overloaded`, `Unavailable`.
    pub fn wake_up(&self, caller: &Caller, query: &WakeUpQuery) -> Result<Arc<WakeUp>, Error> {
        // A topic is searched for as of now, so the same question has another answer tomorrow.
        let version = match query.topic {
            Some(_) => None,
            None => self.store.version(self.wait, &caller.tenant)?,
        };
        let Some(version) = version else {
            return self.read_wake_up(caller, query).map(Arc::new);
        };
        let key = (version.tenant_no, caller.channel, query.clone());
        let holds = |then| then == version.writes;
        if let Some(kept) = self.wake_ups.0.get(&key, holds) {
            return Ok(kept);
        }
        let wake_up = Arc::new(self.read_wake_up(caller, query)?);
        let answer = Arc::clone(&wake_up);
        self.wake_ups.0.keep(key, version.writes, answer);
        Ok(wake_up)
    }

    fn read_wake_up(&self, caller: &Caller, query: &WakeUpQuery) -> Result<WakeUp, Error> {
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
