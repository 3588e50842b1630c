//! From a tool to a service and back, for both doors.
//!
//! A tool is written once, as an async function over this. In a server it goes through [`Exec`], which admits, hops to
//! the blocking pool and awaits the disk. On stdio there is one client and nothing else to do meanwhile, so a call is
//! made on the spot and its write is waited for; such a function never suspends, and [`at_once`] is all that it needs.
//!
//! **Invariant:** over [`Way::Direct`] nothing is ever pending.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use crate::exec::Exec;
use crate::service::{Error, Pending, Services};

/// The way to the services.
#[derive(Debug, Clone, Copy)]
pub enum Way<'a> {
    /// In a server.
    Exec(&'a Exec),
    /// On the spot.
    Direct(&'a Services),
}

impl Way<'_> {
    /// A read of some microseconds.
    pub(super) async fn point<T: Send + 'static>(
        &self,
        call: impl Fn(&Services) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        match self {
            Self::Exec(exec) => exec.point(call).await,
            Self::Direct(services) => call(services),
        }
    }

    /// Any other read.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Services) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        match self {
            Self::Exec(exec) => exec.read(call).await,
            Self::Direct(services) => call(services),
        }
    }

    /// A write of `bytes`, until it is on disk.
    pub(super) async fn write<T: Send + Unpin + 'static>(
        &self,
        bytes: usize,
        call: impl FnOnce(&Services) -> Result<Pending<T>, Error> + Send + 'static,
    ) -> Result<T, Error> {
        match self {
            Self::Exec(exec) => exec.write(bytes, call).await,
            Self::Direct(services) => Ok(call(services)?.wait()?),
        }
    }

    /// Makes what was forgotten leave the log as well. A server does so by itself within a second; where one is running,
    /// or others use the log, it is theirs.
    pub(super) fn scrub(&self) {
        if let Self::Direct(services) = self {
            drop(services.scrub());
        }
    }
}

/// The result of what never suspends; nothing if it did.
pub(super) fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    match future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(result) => Some(result),
        Poll::Pending => None,
    }
}
