//! Writes on their way to the disk.
//!
//! **Invariant:** resolves once, with what the commit came to.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use crate::store::StoreError;

/// A write on its way to the disk. Await it, or [`Pending::wait`] for it; dropping it does not take the write back.
#[derive(Debug)]
pub struct Pending<T>(Progress<T>);

#[derive(Debug)]
enum Progress<T> {
    Done(Option<Result<T, StoreError>>),
    Queued(oneshot::Receiver<Result<T, StoreError>>),
}

impl<T> Pending<T> {
    /// A write that was carried out on the spot.
    pub(crate) fn done(result: Result<T, StoreError>) -> Self {
        Self(Progress::Done(Some(result)))
    }

    /// A write whose result will come.
    pub(crate) fn queued(receiver: oneshot::Receiver<Result<T, StoreError>>) -> Self {
        Self(Progress::Queued(receiver))
    }

    /// Blocks until the write is on disk. Not for async code.
    ///
    /// # Errors
    /// The write was refused or could not be stored; then nothing of it was.
    pub fn wait(self) -> Result<T, StoreError> {
        match self.0 {
            Progress::Done(result) => result.unwrap_or_else(|| Err(gone())),
            Progress::Queued(receiver) => receiver.blocking_recv().unwrap_or_else(|_| Err(gone())),
        }
    }
}

impl<T: Unpin> Future for Pending<T> {
    type Output = Result<T, StoreError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Progress::Done(result) => Poll::Ready(result.take().unwrap_or_else(|| Err(gone()))),
            Progress::Queued(receiver) => Pin::new(receiver)
                .poll(cx)
                .map(|received| received.unwrap_or_else(|_| Err(gone()))),
        }
    }
}

fn gone() -> StoreError {
    StoreError::Unavailable("the writer has stopped".into())
}
