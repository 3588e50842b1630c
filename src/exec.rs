//! From an async worker to a service and back.
//!
//! A point read of some microseconds runs on the worker itself, if a connection is free; otherwise, and for anything
//! longer, the call hops to the blocking pool. Admission bounds how many calls may be on their way there. Others queue
//! before it, first come, first served, and hold nothing but their request meanwhile; whoever does not get in for
//! [`PATIENCE`] is told that the server is busy. So a burst takes longer and does not fail, and waiting is bounded and
//! visible. A write is parsed here or there by its size, queued, and awaited without holding a thread.
//!
//! **Invariant:** the only caller of `web::block`, and nothing unbounded runs on a worker.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use actix_web::web;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::fault;
use crate::service::{Error, Pending, Services};
use crate::store::measure::{Distribution, Histogram, WAIT};

/// Admission permits for each reader connection. From the design.
const PERMITS_PER_READER: usize = 4;
/// How long a call may queue to be admitted. It makes a burst of some hundred searches wait rather than fail, and lets
/// the server be itself again within five seconds of a greater one: what queues is worked off even if nobody waits for
/// it any more.
const PATIENCE: Duration = Duration::from_secs(3);
/// Most calls that queue to be admitted. There is one a connection, so this bounds no server with the default number of
/// them.
const MOST_WAITING: usize = 4096;
/// A request body up to this many bytes is parsed on the worker: at 20 MB/s for terms that is under a millisecond.
const INLINE_BYTES: usize = 16 * 1024;
/// Most answers and bodies at once that go on for as long as the client likes: exports and imports. Each holds some
/// megabytes.
const STREAMS: usize = 8;

/// The way to the services for async front ends. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Exec {
    waiting: Services,
    now: Services,
    permits: Arc<Semaphore>,
    most: usize,
    queue: Arc<Queue>,
    streams: Arc<Semaphore>,
    deadline: Duration,
}

impl Exec {
    /// A way to `services` with `readers` connections behind them; a call that takes longer than `deadline` is
    /// `Timeout`.
    pub fn new(services: Services, readers: u32, deadline: Duration) -> Self {
        let permits = usize::try_from(readers).unwrap_or(1).max(1) * PERMITS_PER_READER;
        Self {
            now: services.without_waiting(),
            waiting: services,
            permits: Arc::new(Semaphore::new(permits)),
            most: permits,
            queue: Arc::default(),
            streams: Arc::new(Semaphore::new(STREAMS)),
            deadline,
        }
    }

    /// The services, for calls that touch neither the file nor a connection.
    pub fn services(&self) -> &Services {
        &self.now
    }

    /// How many calls queue to be admitted.
    pub fn queued(&self) -> usize {
        self.queue.waiting.load(Ordering::Relaxed)
    }

    /// How long calls queued, those that gave up among them, and how many were never admitted.
    pub fn queueing(&self) -> (Distribution, u64) {
        (
            self.queue.waits.read(),
            self.queue.turned_away.load(Ordering::Relaxed),
        )
    }

    /// How many calls are admitted to the blocking pool, and how many can be at once.
    pub fn admitted(&self) -> (usize, usize) {
        let busy = self.most.saturating_sub(self.permits.available_permits());
        (busy, self.most)
    }

    /// A read of some microseconds.
    ///
    /// # Errors
    /// The call's, or `Overloaded`.
    pub async fn point<T: Send + 'static>(
        &self,
        call: impl Fn(&Services) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        fault::of_request();
        match call(&self.now) {
            Err(Error::Overloaded) => self.read(call).await,
            answer => answer,
        }
    }

    /// Any other read.
    ///
    /// # Errors
    /// The call's, or `Overloaded`.
    pub async fn read<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Services) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let permit = self.admit(PATIENCE, Error::Overloaded).await?;
        self.block(permit, call).await
    }

    /// The right to work on something long, step by step, for as long as the answer is kept.
    ///
    /// # Errors
    /// `Overloaded`.
    pub fn stream(&self) -> Result<OwnedSemaphorePermit, Error> {
        Arc::clone(&self.streams)
            .try_acquire_owned()
            .map_err(|_| Error::Overloaded)
    }

    /// One step of something long. It waits for its turn, since giving up would lose the steps before it.
    ///
    /// # Errors
    /// The call's, or `Timeout`.
    pub async fn step<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Services) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let permit = self.admit(self.deadline, Error::Timeout).await?;
        self.block(permit, call).await
    }

    /// A write of `bytes`, until it is on disk.
    ///
    /// # Errors
    /// The call's, or what the commit met.
    pub async fn write<T: Send + Unpin + 'static>(
        &self,
        bytes: usize,
        call: impl FnOnce(&Services) -> Result<Pending<T>, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let pending = self.submit(bytes, call).await?;
        self.settle(pending).await
    }

    /// The same for a call that answers more than the write.
    ///
    /// # Errors
    /// The call's.
    pub async fn submit<T: Send + 'static>(
        &self,
        bytes: usize,
        call: impl FnOnce(&Services) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        fault::of_request();
        if bytes <= INLINE_BYTES {
            return call(&self.waiting);
        }
        let permit = self.admit(PATIENCE, Error::Overloaded).await?;
        self.block(permit, call).await
    }

    /// Awaits a write. One that is not on disk in time may still get there.
    ///
    /// # Errors
    /// What the commit met, or `Timeout`.
    pub async fn settle<T: Unpin>(&self, pending: Pending<T>) -> Result<T, Error> {
        Ok(timeout(self.deadline, pending)
            .await
            .map_err(|_| Error::Timeout)??)
    }

    /// A permit, at once or after a while in the queue; `late` if there is none for so long.
    async fn admit(&self, patience: Duration, late: Error) -> Result<OwnedSemaphorePermit, Error> {
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Ok(permit);
        }
        let Some(place) = self.queue.enter() else {
            return Err(Error::Overloaded);
        };
        let permit = timeout(patience, Arc::clone(&self.permits).acquire_owned()).await;
        if permit.is_err() {
            self.queue.turned_away.fetch_add(1, Ordering::Relaxed);
        }
        drop(place);
        permit.map_err(|_| late)?.map_err(|_| Error::Overloaded)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the one hop to the blocking pool"
    )]
    async fn block<T: Send + 'static>(
        &self,
        permit: OwnedSemaphorePermit,
        call: impl FnOnce(&Services) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let services = self.waiting.clone();
        let work = web::block(move || {
            // The permit is the thread's: a caller that gives up does not end the call.
            let _permit = permit;
            fault::of_blocking();
            call(&services)
        });
        timeout(self.deadline, work)
            .await
            .map_err(|_| Error::Timeout)?
            .map_err(|error| Error::Internal(Box::new(error)))?
    }
}

/// The queue of calls that are to be admitted. Who is admitted at once never sees it.
#[derive(Debug)]
struct Queue {
    waiting: AtomicUsize,
    waits: Histogram,
    turned_away: AtomicU64,
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            waiting: AtomicUsize::new(0),
            waits: Histogram::new(&WAIT),
            turned_away: AtomicU64::new(0),
        }
    }
}

impl Queue {
    /// A place in it, unless it is full.
    fn enter(&self) -> Option<Place<'_>> {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= MOST_WAITING {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            self.turned_away.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(Place {
            queue: self,
            since: Instant::now(),
        })
    }
}

/// A place in the queue, given up when its call is admitted, is turned away or is dropped.
struct Place<'a> {
    queue: &'a Queue,
    since: Instant,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.queue.waits.observe_time(self.since.elapsed());
        self.queue.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}
