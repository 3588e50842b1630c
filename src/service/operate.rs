//! What an operator asks: is it well, what is in it, is the file sound.
//!
//! **Invariant:** liveness and metrics touch neither the file nor a connection.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::domain::{Stat, Timestamp};
use crate::service::{Error, Pending, Services};
use crate::store::measure::Measures;
use crate::store::{FileFacts, Finding, Health};

/// A proof of writing is good for this long; from the contract ("at most once a second").
const PROOF_MS: i64 = 1_000;
/// A self-check older than this says that the writer hangs: it looks at least every 6 s when idle.
const STALE: Duration = Duration::from_secs(10);

/// When a write was last proved.
#[derive(Debug)]
pub struct Readiness(AtomicI64);

impl Default for Readiness {
    fn default() -> Self {
        Self(AtomicI64::new(i64::MIN))
    }
}

impl Services {
    /// How the store feels, without touching it.
    pub fn health(&self) -> Health {
        let mut health = self.store.health();
        health.usable &= health.age < STALE;
        health
    }

    /// What the store has measured of itself, without touching it.
    pub fn measures(&self) -> Measures {
        self.store.measures()
    }

    /// The counted facts, without touching the store.
    pub fn stats(&self) -> Arc<BTreeMap<Stat, i64>> {
        self.store.stats()
    }

    /// The counted facts, read from the file; for commands.
    ///
    /// # Errors
    /// `Unavailable`.
    pub fn fresh_stats(&self) -> Result<BTreeMap<Stat, i64>, Error> {
        Ok(self.store.fresh_stats(self.wait)?)
    }

    /// Bytes the engine has allocated outside of our allocator.
    pub fn engine_bytes(&self) -> u64 {
        self.store.engine_bytes()
    }

    /// Makes a write, unless one was proved within the last second: then there is nothing to wait for, nor to note.
    ///
    /// # Errors
    /// `Overloaded`; pending: `Unavailable`.
    pub fn prove_write(&self) -> Result<Option<Pending<()>>, Error> {
        let now = self.clock.now();
        let last = self.readiness.0.load(Ordering::Acquire);
        // A proof from the future is one from before the clock went back.
        if (last..last.saturating_add(PROOF_MS)).contains(&now.millis()) {
            return Ok(None);
        }
        Ok(Some(self.store.prove_write(now)?))
    }

    /// Notes that a write was proved just now.
    pub fn note_proof(&self) {
        self.readiness
            .0
            .store(self.clock.now().millis(), Ordering::Release);
    }

    /// Sizes and settings of the file.
    ///
    /// # Errors
    /// `Overloaded`, `Unavailable`.
    pub fn file_facts(&self) -> Result<FileFacts, Error> {
        Ok(self.store.file_facts(self.wait)?)
    }

    /// Looks the file over; takes long on a large one.
    ///
    /// # Errors
    /// `Unavailable`.
    pub fn examine(&self) -> Result<Vec<Finding>, Error> {
        Ok(self.store.examine()?)
    }

    /// Writes the counted searches now; for commands.
    ///
    /// # Errors
    /// `Unavailable`.
    pub fn flush_counts(&self) -> Result<(), Error> {
        self.write_recalled()?;
        Ok(self.store.flush_counts()?)
    }

    /// Finishes what was accepted and closes the file.
    pub fn close(&self) {
        self.store.close();
    }

    /// Now, as the rest of the process knows it.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::Clock;
    use crate::service::Limits;
    use crate::store::{Durability, Options, Role, Store};

    #[test]
    fn a_write_is_proved_at_most_once_a_second_and_again_after_it() {
        let dir = tempfile::tempdir().unwrap();
        let options = Options {
            path: dir.path().join("m.db"),
            role: Role::Command,
            readers: 1,
            reader_wait: Duration::from_secs(1),
            read_time: None,
            durability: Durability::Full,
            max_log_bytes: u64::MAX,
            write_wait: Duration::from_secs(1),
        };
        let clock = Clock::fixed(Timestamp::from_millis(0));
        let store = Store::open(&options, clock.now()).unwrap();
        let services = Services::new(
            store,
            clock.clone(),
            Limits {
                max_artifact_bytes: 0,
            },
        );
        let mut proved = Vec::new();
        for _ in 0..6 {
            let pending = services.prove_write().unwrap();
            proved.push(pending.is_some());
            if let Some(pending) = pending {
                pending.wait().unwrap();
                services.note_proof();
            }
            clock.advance_millis(600);
        }
        assert_eq!(proved, [true, false, true, false, true, false]);
    }
}
