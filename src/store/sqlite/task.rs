//! A unit of work in the queue, whatever it answers.
//!
//! **Invariant:** it is answered once, after the fate of its group is known.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use tokio::sync::oneshot;

use crate::store::StoreError;
use crate::store::measure::Op;
use crate::store::sqlite::unit::Unit;

/// How a unit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// What it did is part of the group.
    Keep,
    /// It refused or failed alone; its savepoint goes back.
    Undo,
    /// It met a fault of the machine. SQLite may have rolled back the statement or the transaction, depending on its
    /// journal; the group does not find out which, it ends.
    Abandon,
    /// It met a damaged page. SQLite refuses other pages too until that transaction is over, so the group ends.
    Damaged,
}

/// A unit in the queue, whatever it answers.
pub(super) trait Task: Send {
    /// Runs the unit and keeps its answer.
    fn run(&mut self, unit: &mut Unit<'_>) -> Verdict;
    /// Sends the kept answer, or the failure that befell the whole group.
    fn settle(self: Box<Self>, fate: Result<(), StoreError>);
    /// Octets it holds while it waits.
    fn bytes(&self) -> usize;
    /// What it is about.
    fn op(&self) -> Op;
    /// When it began to wait.
    fn queued(&self) -> Instant;
    /// Why it failed, once it has run.
    fn failure(&self) -> Option<&StoreError>;
}

pub(super) struct Work<T, F> {
    pub(super) work: Option<F>,
    pub(super) answer: Option<Result<T, StoreError>>,
    pub(super) reply: oneshot::Sender<Result<T, StoreError>>,
    pub(super) bytes: usize,
    pub(super) op: Op,
    pub(super) queued: Instant,
}

impl<T, F> Task for Work<T, F>
where
    T: Send,
    F: FnOnce(&mut Unit<'_>) -> Result<T, StoreError> + Send,
{
    fn run(&mut self, unit: &mut Unit<'_>) -> Verdict {
        let Some(work) = self.work.take() else {
            return Verdict::Undo;
        };
        let answer = catch_unwind(AssertUnwindSafe(|| work(unit)))
            .unwrap_or_else(|panic| Err(panicked(&*panic)));
        let verdict = match &answer {
            Ok(_) => Verdict::Keep,
            Err(StoreError::Unavailable(fault)) => {
                tracing::error!(%fault, "a unit of work met a fault of the store");
                Verdict::Abandon
            }
            Err(StoreError::Damaged(_)) => Verdict::Damaged,
            Err(
                StoreError::Overloaded
                | StoreError::Timeout
                | StoreError::NotFound(_)
                | StoreError::Conflict(_)
                | StoreError::Invalid(_)
                | StoreError::Internal(_),
            ) => Verdict::Undo,
        };
        self.answer = Some(answer);
        verdict
    }

    fn settle(self: Box<Self>, fate: Result<(), StoreError>) {
        let answer = match (fate, self.answer) {
            (Err(failure), _) => Err(failure),
            (Ok(()), Some(answer)) => answer,
            (Ok(()), None) => Err(StoreError::Unavailable("the write did not run".into())),
        };
        // The caller may have gone away; the write stands all the same.
        drop(self.reply.send(answer));
    }

    fn bytes(&self) -> usize {
        self.bytes
    }

    fn op(&self) -> Op {
        self.op
    }

    fn queued(&self) -> Instant {
        self.queued
    }

    fn failure(&self) -> Option<&StoreError> {
        self.answer
            .as_ref()
            .and_then(|answer| answer.as_ref().err())
    }
}

fn panicked(panic: &(dyn Any + Send)) -> StoreError {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "unknown".to_owned());
    StoreError::Internal(format!("a unit of work panicked: {text}").into())
}

impl std::fmt::Debug for dyn Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Task")
    }
}
