//! The seam between what the product means and how an engine keeps it.
//!
//! [`Store`] is an enum over engines: the embedded SQLite today, PostgreSQL for those who outgrow one machine. Its
//! methods are whole units of work in domain types. A write returns a [`Pending`], which resolves when the write is
//! on disk (or is not); a read answers at once or says that it would have to wait. How writes are grouped, where a
//! read runs and how counts are kept is the engine's business.
//!
//! **Invariant:** no engine's type is visible here, and no caller hands in a closure over a connection.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::content::Fingerprint;
use crate::domain::context::{ContextFacts, ContextQuery};
use crate::domain::event::{Artifact, Chunk, Event, EventFilter, EventReceipt, NewEvent};
use crate::domain::handoff::{Handoff, HandoffFilter, IdentityThread, NewHandoff};
use crate::domain::page::{Page, Paged};
use crate::domain::recall::{Features, Hit, RecallQuery};
use crate::domain::session::{Job, NewSession, Project, Session};
use crate::domain::wake_up::{WakeUpFacts, WakeUpQuery};
use crate::domain::{
    ArtifactId, Caller, ChunkId, EventId, HandoffId, Name, Sensitivity, Stat, TenantId, Timestamp,
};

mod access;
mod archive;
mod conclusions;
mod consolidation;
mod copies;
mod error;
mod facts;
mod ledger;
pub mod measure;
pub(crate) mod memo;
mod options;
mod pending;
pub mod sqlite;
mod transcript;

pub use access::KeyChoice;
pub use consolidation::{ConsolidationTurn, ConsolidationView, FactPage};
pub use copies::{CopyError, Follow, Manifest, Repaired, Restored};
pub use error::{Cause, OpenError, StoreError};
pub use facts::{Expired, FileFacts, Finding, Health, PoolState, Slice, Upkeep, Version};
pub use options::{Durability, Options, Role, Wait};
pub use pending::Pending;

/// A client's `Idempotency-Key` and what it stands for.
#[derive(Debug, Clone)]
pub struct IdempotencyKey {
    /// The route it was sent to; a key means one thing per tenant and route.
    pub route: &'static str,
    /// Hash of the key.
    pub key: Fingerprint,
    /// Hash of the request.
    pub request: Fingerprint,
}

/// An entity's id and the features of one of its passages.
pub type RankedRow = (String, Features);

/// What became of one event of a batch.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is stored, now or since an earlier write with the same id.
    Stored(EventReceipt),
    /// Its id is taken by another event.
    Conflict,
}

/// A store. Cheap to clone; the last clone's end closes the file.
#[derive(Debug, Clone)]
pub enum Store {
    /// The embedded engine.
    Sqlite(sqlite::Sqlite),
}

impl Store {
    /// Opens the file, creating or (as a server) migrating it as needed.
    ///
    /// # Errors
    /// The file is not ours, too new, too old for a command, on a network file system, or cannot be used.
    pub fn open(options: &Options, now: Timestamp) -> Result<Self, OpenError> {
        Ok(Self::Sqlite(sqlite::Sqlite::open(options, now)?))
    }

    /// The same store in the hands of a caller, under whose name its writes stand in the audit.
    #[must_use]
    pub fn by(&self, caller: &Caller) -> Self {
        let Self::Sqlite(engine) = self;
        Self::Sqlite(engine.by(caller))
    }

    /// Records events in one transaction, in order. An event whose id is taken by another one is reported in its
    /// place and stores nothing; the others are stored.
    ///
    /// # Errors
    /// The queue is full, or the key stands for another request; the pending part adds what a commit can meet.
    pub fn record_events(
        &self,
        tenant: &TenantId,
        events: Vec<NewEvent>,
        key: Option<IdempotencyKey>,
        now: Timestamp,
    ) -> Result<Pending<Vec<Outcome>>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.record_events(tenant, events, key, now)
    }

    /// Stores a handoff and answers it as it is read back. An automatic one replaces the session's earlier automatic
    /// one and gives way to one that the agent wrote.
    ///
    /// # Errors
    /// As [`Store::record_events`]; a taken id is `Conflict`.
    pub fn create_handoff(
        &self,
        tenant: &TenantId,
        handoff: NewHandoff,
        key: Option<IdempotencyKey>,
        now: Timestamp,
    ) -> Result<Pending<Handoff>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.create_handoff(tenant, handoff, key, now)
    }

    /// Notes that a session has started, or what more is known of it.
    ///
    /// # Errors
    /// The queue is full.
    pub fn start_session(
        &self,
        tenant: &TenantId,
        session: NewSession,
        now: Timestamp,
    ) -> Result<Pending<Session>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.start_session(tenant, session, now)
    }

    /// Forgets an event with its chunks, terms and artifact.
    ///
    /// # Errors
    /// The queue is full; pending: `NotFound`.
    pub fn forget_event(&self, tenant: &TenantId, id: EventId) -> Result<Pending<()>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.forget_event(tenant, id)
    }

    /// Forgets a handoff with its chunks and terms.
    ///
    /// # Errors
    /// The queue is full; pending: `NotFound`.
    pub fn forget_handoff(
        &self,
        tenant: &TenantId,
        id: HandoffId,
    ) -> Result<Pending<()>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.forget_handoff(tenant, id)
    }

    /// Marks a session as forgotten; [`Store::forget_slice`] does the rest.
    ///
    /// # Errors
    /// The queue is full; pending: `NotFound`.
    pub fn forget_session(
        &self,
        tenant: &TenantId,
        session: Name,
        now: Timestamp,
    ) -> Result<Pending<Job>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.forget_session(tenant, session, now)
    }

    /// Marks a tenant as forgotten; [`Store::forget_slice`] does the rest.
    ///
    /// # Errors
    /// The queue is full; pending: `NotFound`.
    pub fn forget_tenant(
        &self,
        tenant: &TenantId,
        now: Timestamp,
    ) -> Result<Pending<Job>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.forget_tenant(tenant, now)
    }

    /// Does the next few milliseconds of the oldest open job.
    ///
    /// # Errors
    /// The queue is full.
    pub fn forget_slice(&self, now: Timestamp) -> Result<Pending<Slice>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.forget_slice(now)
    }

    /// Makes what was forgotten leave the files too, where the engine keeps a log. Blocks; for commands, which have no
    /// writer thread that would get to it.
    ///
    /// # Errors
    /// The log is in use; a running server will do it.
    pub fn scrub(&self) -> Result<(), StoreError> {
        let Self::Sqlite(engine) = self;
        engine.scrub()
    }

    /// Proves that a write reaches the disk, by making one.
    ///
    /// # Errors
    /// It does not.
    pub fn prove_write(&self, now: Timestamp) -> Result<Pending<()>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.prove_write(now)
    }

    /// Counts a search; written with the next group.
    pub fn count_recall(&self, empty: bool) {
        let Self::Sqlite(engine) = self;
        engine.count_recall(empty);
    }

    /// Writes the counted searches now; for commands, which end before a next group. A server does it by itself.
    ///
    /// # Errors
    /// The file's.
    pub fn flush_counts(&self) -> Result<(), StoreError> {
        let Self::Sqlite(engine) = self;
        engine.flush_counts()
    }

    /// An event, whatever its sensitivity.
    ///
    /// # Errors
    /// No connection came free, or the file cannot be read.
    pub fn event(
        &self,
        wait: Wait,
        tenant: &TenantId,
        id: EventId,
    ) -> Result<Option<Event>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.event(wait, tenant, id)
    }

    /// Events in order, up to a sensitivity.
    ///
    /// # Errors
    /// As [`Store::event`].
    pub fn events(
        &self,
        wait: Wait,
        caller: &Caller,
        filter: &EventFilter,
        page: &Page,
    ) -> Result<Paged<Event>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.events(wait, caller, filter, page)
    }

    /// A chunk with its text, and the sensitivity of its entity.
    ///
    /// # Errors
    /// As [`Store::event`].
    pub fn chunk(
        &self,
        wait: Wait,
        tenant: &TenantId,
        id: ChunkId,
    ) -> Result<Option<(Chunk, Sensitivity)>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.chunk(wait, tenant, id)
    }

    /// An artifact with its text, and the sensitivity of its event.
    ///
    /// # Errors
    /// As [`Store::event`].
    pub fn artifact(
        &self,
        wait: Wait,
        tenant: &TenantId,
        id: ArtifactId,
    ) -> Result<Option<(Artifact, Sensitivity)>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.artifact(wait, tenant, id)
    }

    /// A handoff, whatever its sensitivity.
    ///
    /// # Errors
    /// As [`Store::event`].
    pub fn handoff(
        &self,
        wait: Wait,
        tenant: &TenantId,
        id: HandoffId,
    ) -> Result<Option<Handoff>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.handoff(wait, tenant, id)
    }

    /// Handoffs in order, up to a sensitivity.
    ///
    /// # Errors
    /// As [`Store::event`].
    pub fn handoffs(
        &self,
        wait: Wait,
        caller: &Caller,
        filter: &HandoffFilter,
        page: &Page,
    ) -> Result<Paged<Handoff>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.handoffs(wait, caller, filter, page)
    }

    /// The newest identity statements.
    ///
    /// # Errors
    /// As [`Store::event`].
    pub fn identity_thread(
        &self,
        wait: Wait,
        caller: &Caller,
        limit: u32,
    ) -> Result<IdentityThread, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.identity_thread(wait, caller, limit)
    }

    /// Sessions in order of their start.
    ///
    /// # Errors
    /// As [`Store::event`].
    pub fn sessions(
        &self,
        wait: Wait,
        tenant: &TenantId,
        page: &Page,
    ) -> Result<Paged<Session>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.sessions(wait, tenant, page)
    }

    /// Projects in order of their first write.
    ///
    /// # Errors
    /// As [`Store::event`].
    pub fn projects(
        &self,
        wait: Wait,
        tenant: &TenantId,
        page: &Page,
    ) -> Result<Paged<Project>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.projects(wait, tenant, page)
    }

    /// The counted facts of one tenant; zeros for an unknown one.
    ///
    /// # Errors
    /// As [`Store::event`].
    pub fn tenant_stats(
        &self,
        wait: Wait,
        tenant: &TenantId,
    ) -> Result<BTreeMap<Stat, i64>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.tenant_stats(wait, tenant)
    }

    /// What a wake-up is made of. `relevant` names the older handoffs to show instead of the newest.
    ///
    /// # Errors
    /// As [`Store::event`].
    pub fn wake_up_facts(
        &self,
        wait: Wait,
        caller: &Caller,
        query: &WakeUpQuery,
        relevant: Option<&[HandoffId]>,
    ) -> Result<WakeUpFacts, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.wake_up_facts(wait, caller, query, relevant)
    }

    /// Which state a tenant is in, if it is there. What was read after this is at least as new.
    ///
    /// # Errors
    /// As [`Store::event`].
    pub fn version(&self, wait: Wait, tenant: &TenantId) -> Result<Option<Version>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.version(wait, tenant)
    }

    /// What a context bundle is made of, of one moment.
    ///
    /// # Errors
    /// As [`Store::event`].
    pub fn context_facts(
        &self,
        wait: Wait,
        caller: &Caller,
        query: &ContextQuery,
    ) -> Result<ContextFacts, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.context_facts(wait, caller, query)
    }

    /// The best memories for a query, best first.
    ///
    /// # Errors
    /// As [`Store::event`].
    pub fn recall(
        &self,
        wait: Wait,
        caller: &Caller,
        query: &RecallQuery,
    ) -> Result<Vec<Hit>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.recall(wait, caller, query)
    }

    /// Every passage that would be ranked for a query, by its entity's id, with the features it is ranked by: what the
    /// weights are learned from.
    ///
    /// # Errors
    /// As [`Store::event`].
    pub fn recall_pool(
        &self,
        wait: Wait,
        caller: &Caller,
        query: &RecallQuery,
    ) -> Result<Vec<RankedRow>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.recall_pool(wait, caller, query)
    }

    /// The counted facts, as of the last commit that the writer saw. Touches nothing.
    pub fn stats(&self) -> Arc<BTreeMap<Stat, i64>> {
        let Self::Sqlite(engine) = self;
        engine.stats()
    }

    /// The counted facts, read from the file.
    ///
    /// # Errors
    /// As [`Store::event`].
    pub fn fresh_stats(&self, wait: Wait) -> Result<BTreeMap<Stat, i64>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.fresh_stats(wait)
    }

    /// How the store feels. Touches nothing.
    pub fn health(&self) -> Health {
        let Self::Sqlite(engine) = self;
        engine.health()
    }

    /// What the store has measured of itself. Touches nothing but the sizes of its files.
    pub fn measures(&self) -> measure::Measures {
        let Self::Sqlite(engine) = self;
        engine.measures()
    }

    /// Bytes that the engine has allocated outside of our allocator.
    pub fn engine_bytes(&self) -> u64 {
        let Self::Sqlite(engine) = self;
        engine.engine_bytes()
    }

    /// Sizes and settings of the file.
    ///
    /// # Errors
    /// As [`Store::event`].
    pub fn file_facts(&self, wait: Wait) -> Result<FileFacts, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.file_facts(wait)
    }

    /// Looks the file over. Takes long on a large one.
    ///
    /// # Errors
    /// As [`Store::event`].
    pub fn examine(&self) -> Result<Vec<Finding>, StoreError> {
        let Self::Sqlite(engine) = self;
        engine.examine()
    }

    /// Finishes what was accepted, empties the log into the file and closes it. Later writes are refused.
    pub fn close(&self) {
        let Self::Sqlite(engine) = self;
        engine.close();
    }
}
