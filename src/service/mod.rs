//! Use cases: the one door for HTTP, the command line and jobs.
//!
//! A method takes the [`Caller`], checks what the caller may do, applies the rules of `domain`, and asks the store for
//! one unit of work. Reads answer at once; writes answer a [`Pending`], which is awaited by async front ends and
//! waited for by the others.
//!
//! **Invariant:** no status code, no SQL, and no call without a caller.

use std::sync::Arc;

use crate::clock::Clock;
use crate::domain::event::Intake;
use crate::domain::{Caller, Channel, Invalid, Scope, Sensitivity};
use crate::service::wake_up::WakeUps;
use crate::store::{Cause, Store, StoreError, Wait};

pub use crate::domain::BackupPlan;
pub use crate::store::Pending;

mod access;
mod audit;
mod backup;
mod consolidation;
mod context;
mod decision;
pub(crate) mod event;
mod export;
mod forget;
mod handoff;
mod import;
mod note;
mod operate;
mod recall;
mod reflection;
mod rescan;
mod retention;
mod session;
mod transcript;
mod wake_up;

pub use access::{Access, Admission, MadeKey};
pub use consolidation::{Consolidation, ConsolidationStatus, PlanReport};
pub use decision::SuccessorDraft;
pub use event::BatchItem;
pub use export::Export;
pub use forget::Bell;
pub use import::{Import, ImportCause, ImportFailure, ImportReport, stopped};
pub use operate::Readiness;
pub use rescan::{Finding, LISTED_FINDINGS, Rescan, RescanReport};
pub use transcript::{Recording, Stretch};

/// Why a call was not answered, in the words every front end translates.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A field of the request is wrong.
    #[error("{0}")]
    Invalid(Invalid),
    /// The caller did not say who it is.
    #[error("a valid API key is needed: Authorization: Bearer KEY, or X-API-Key: KEY")]
    Unauthenticated,
    /// The caller may not do this.
    #[error("{0}")]
    Forbidden(&'static str),
    /// There is no such thing, or it is another tenant's.
    #[error("{0} not found")]
    NotFound(&'static str),
    /// More calls than it may make.
    #[error("too many requests")]
    RateLimited,
    /// It contradicts what is stored.
    #[error("{0}")]
    Conflict(&'static str),
    /// It contradicts what is stored, namely this.
    #[error("{0}")]
    Depends(String),
    /// More than is accepted at once.
    #[error("{0}")]
    TooLarge(String),
    /// An import stopped.
    #[error(transparent)]
    Import(Box<ImportFailure>),
    /// The caller took too long to say it, or the answer to be made.
    #[error("the request took too long")]
    Timeout,
    /// No room now; worth another try soon.
    #[error("the server is busy")]
    Overloaded,
    /// The store cannot be used; nothing was stored.
    #[error("the store cannot be used right now")]
    Unavailable(#[source] Cause),
    /// A fault of ours.
    #[error("internal error")]
    Internal(#[source] Cause),
}

impl From<Invalid> for Error {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(invalid)
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Overloaded => Self::Overloaded,
            StoreError::Timeout => Self::Timeout,
            StoreError::NotFound(what) => Self::NotFound(what),
            StoreError::Conflict(what) => Self::Conflict(what),
            StoreError::Invalid(invalid) => Self::Invalid(invalid),
            StoreError::Unavailable(cause) | StoreError::Damaged(cause) => Self::Unavailable(cause),
            StoreError::Internal(cause) => Self::Internal(cause),
        }
    }
}

impl Error {
    /// What is wrong and what lies below it, in one line; for the operator alone.
    pub fn chain(&self) -> String {
        chain(self)
    }
}

/// An error and what lies below it, in one line.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(cause) = below {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        below = cause.source();
    }
    text
}

/// Limits that the operator sets.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Largest artifact, in bytes.
    pub max_artifact_bytes: usize,
}

/// The use cases over a store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Services {
    store: Store,
    clock: Clock,
    limits: Limits,
    wait: Wait,
    bell: Bell,
    readiness: Arc<Readiness>,
    wake_ups: WakeUps,
    access: Arc<Access>,
    consolidator: Arc<consolidation::Consolidator>,
}

impl Services {
    /// The use cases over `store`.
    pub fn new(store: Store, clock: Clock, limits: Limits) -> Self {
        Self {
            store,
            clock,
            limits,
            wait: Wait::Yes,
            bell: Bell::default(),
            readiness: Arc::default(),
            wake_ups: WakeUps::default(),
            access: Arc::default(),
            consolidator: Arc::default(),
        }
    }

    /// The same, but a read that would have to wait for a connection is [`Error::Overloaded`] at once.
    #[must_use]
    pub fn without_waiting(&self) -> Self {
        Self {
            wait: Wait::No,
            ..self.clone()
        }
    }

    /// What tells the job thread that there is work.
    pub fn bell(&self) -> &Bell {
        &self.bell
    }

    fn intake(&self) -> Intake {
        Intake {
            now: self.clock.now(),
            max_artifact_bytes: self.limits.max_artifact_bytes,
        }
    }
}

/// Whether a caller may read something by its id. What is secret is read this way alone, by whoever may also write,
/// and not where others listen.
fn may_read(caller: &Caller, sensitivity: Sensitivity) -> bool {
    sensitivity <= caller.clearance()
        || (sensitivity == Sensitivity::Secret
            && caller.channel == Channel::Private
            && caller.scope >= Scope::Write)
}

/// Something that was found, unless it is missing or not for this caller; those two look the same.
fn found<T>(
    caller: &Caller,
    what: &'static str,
    row: Option<(T, Sensitivity)>,
) -> Result<T, Error> {
    row.filter(|(_, sensitivity)| may_read(caller, *sensitivity))
        .map(|(row, _)| row)
        .ok_or(Error::NotFound(what))
}
