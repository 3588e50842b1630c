//! The nouns of agent memory and their rules: validation, redaction, terms, ranking, packing. Pure functions and data.
//!
//! **Invariant:** nothing here knows of SQLite, HTTP, the command line or Prometheus, and nothing reads the clock.

pub mod audit;
pub mod backup;
pub mod caller;
pub mod chunk;
pub mod consolidate;
pub mod consolidation;
pub mod content;
pub mod context;
pub mod decision;
pub mod event;
pub mod export;
pub mod handoff;
pub mod id;
pub mod import;
pub mod invalid;
pub mod key;
pub mod name;
pub mod note;
pub mod pack;
pub mod page;
pub mod passage;
pub mod principle;
pub mod project;
pub mod recall;
pub mod redact;
pub mod reflection;
pub mod schedule;
pub mod session;
pub mod stat;
pub mod terms;
pub mod thread;
pub mod time;
pub mod token;
pub mod tool;
pub mod transcript;
pub mod vocabulary;
pub mod wake_up;

pub use backup::BackupPlan;
pub use caller::{Actor, Caller};
pub use id::{
    ArtifactId, BundleId, ChunkId, DecisionId, EventId, HandoffId, JobId, KeyId, MemoryId, NoteId,
    PrincipleId, ReflectionId,
};
pub use invalid::Invalid;
pub use name::{DEFAULT_TENANT, Name, TenantId};
pub use passage::NewChunk;
pub use schedule::Schedule;
pub use stat::{BackupOutcome, Stat};
pub use time::Timestamp;
pub use tool::Tool;
pub use vocabulary::{
    ActorType, ArtifactKind, AuditAction, Channel, ChunkField, CompressionLevel, ConsolidationType,
    DecisionScope, DecisionStatus, EntityType, EventKind, JobCause, JobStatus, JobType, Origin,
    Scope, Sensitivity, Via,
};
