//! The one writer of a server: a thread that owns its only read-write connection, and a bounded queue before it.
//!
//! The thread takes what waits and commits it as a group ([`crate::store::sqlite::group`]), so that sixteen clients share
//! an fsync without waiting for each other on purpose. When nothing comes it looks around: counts of other processes,
//! checkpoints, a self-check.
//!
//! **Invariant:** the queue is bounded in units and in bytes, and a full one says so at once.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::store::measure::{Op, Refusal};
use crate::store::sqlite::checkpoint::Checkpointer;
use crate::store::sqlite::group::Group;
use crate::store::sqlite::mover::Mover;
use crate::store::sqlite::published::{Published, lock};
use crate::store::sqlite::settle::{GAP, Settler};
use crate::store::sqlite::task::{Task, Work};
use crate::store::sqlite::unit::Unit;
use crate::store::{Pending, StoreError};

/// Most units that wait. Four groups: at the writer's pace that is some tens of milliseconds.
pub(super) const QUEUE_CAPACITY: usize = 1024;
/// Most bytes of text that wait, so that a queue of large bodies cannot fill the memory.
const QUEUE_BYTES: usize = 64 * 1024 * 1024;
/// How often an idle writer looks around: counts of other processes, checkpoint, self-check.
const IDLE_TICK: Duration = Duration::from_secs(1);
/// How often it takes the write lock to see that it could. It writes nothing to an idle disk, unless a write failed:
/// then a write proves each second whether that has passed.
const SELF_CHECK_EVERY: Duration = Duration::from_secs(5);

/// The writer thread and its queue.
#[derive(Debug)]
pub(super) struct Writer {
    queue: Mutex<Option<SyncSender<Box<dyn Task>>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    published: Arc<Published>,
}

impl Writer {
    /// Starts the thread, and `mover` beside it.
    pub(super) fn start(
        mut group: Group,
        wal: PathBuf,
        mover: Option<Mover>,
    ) -> std::io::Result<Self> {
        let published = group.published();
        published.note_writable(true);
        if let Err(error) = group.refresh() {
            tracing::error!(%error, "the counts could not be read");
        }
        let (queue, tasks) = sync_channel(QUEUE_CAPACITY);
        let thread = thread::Builder::new()
            .name("writer".into())
            .spawn(move || {
                let checkpointer = Checkpointer::new(wal, group.published(), mover);
                serve(group, &tasks, checkpointer);
            })?;
        Ok(Self {
            queue: Mutex::new(Some(queue)),
            thread: Mutex::new(Some(thread)),
            published,
        })
    }

    /// Queues a unit that holds about `bytes` of text.
    ///
    /// # Errors
    /// The queue or the log is full, or the writer has stopped.
    pub(super) fn submit<T: Send + 'static>(
        &self,
        op: Op,
        bytes: usize,
        work: impl FnOnce(&mut Unit<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<Pending<T>, StoreError> {
        let published = &self.published;
        let queue = lock(&self.queue)
            .clone()
            .ok_or_else(|| self.refuse(Refusal::Stopped))?;
        if published.log_is_full() {
            return Err(self.refuse(Refusal::LogFull));
        }
        if published.bytes.fetch_add(bytes, Ordering::AcqRel) > QUEUE_BYTES {
            published.bytes.fetch_sub(bytes, Ordering::AcqRel);
            return Err(self.refuse(Refusal::BytesFull));
        }
        published.depth.fetch_add(1, Ordering::Relaxed);
        let (reply, receiver) = oneshot::channel();
        let task = Box::new(Work {
            work: Some(work),
            answer: None,
            reply,
            bytes,
            op,
            queued: Instant::now(),
        });
        queue
            .try_send(task)
            .map(|()| Pending::queued(receiver))
            .map_err(|error| {
                published.bytes.fetch_sub(bytes, Ordering::AcqRel);
                published.depth.fetch_sub(1, Ordering::Relaxed);
                self.refuse(match error {
                    TrySendError::Full(_) => Refusal::QueueFull,
                    TrySendError::Disconnected(_) => Refusal::Stopped,
                })
            })
    }

    /// Counts a write that is not taken in, and says why.
    fn refuse(&self, why: Refusal) -> StoreError {
        self.published.measured.note_refusal(why);
        match why {
            Refusal::QueueFull | Refusal::BytesFull | Refusal::LogFull => StoreError::Overloaded,
            Refusal::Stopped => StoreError::Unavailable("the writer has stopped".into()),
        }
    }

    /// What the thread tells.
    pub(super) fn published(&self) -> &Published {
        &self.published
    }

    /// The same for units that outlive a call.
    pub(super) fn shared(&self) -> Arc<Published> {
        Arc::clone(&self.published)
    }

    /// Lets the thread finish what waits, and ends it.
    pub(super) fn stop(&self) {
        drop(lock(&self.queue).take());
        let thread = lock(&self.thread).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the writer thread panicked");
        }
    }
}

fn serve(mut group: Group, tasks: &Receiver<Box<dyn Task>>, mut checkpointer: Checkpointer) {
    let published = group.published();
    let leave = |task: Box<dyn Task>| {
        published.depth.fetch_sub(1, Ordering::Relaxed);
        published.bytes.fetch_sub(task.bytes(), Ordering::AcqRel);
        task
    };
    let (mut checked, mut looked) = (Instant::now(), Instant::now());
    let mut settler = Settler::default();
    loop {
        let patience = if settler.is_due(&group) {
            GAP
        } else {
            IDLE_TICK
        };
        match tasks.recv_timeout(patience) {
            Ok(first) => {
                let erased = group.run(leave(first), || tasks.try_recv().ok().map(leave));
                checkpointer.after_group(group.connection(), erased);
                if !published.writable() && checked.elapsed() >= IDLE_TICK {
                    look_whether_it_passed(&mut group, &mut checkpointer, &mut checked);
                }
            }
            Err(RecvTimeoutError::Timeout) => {
                if looked.elapsed() >= IDLE_TICK {
                    looked = Instant::now();
                    idle(&mut group, &mut checkpointer, &mut checked);
                }
                settler.in_a_gap(&mut group, &mut checkpointer);
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    if published.recalls_wait() {
        group.run_one(Op::Probe, |_| Ok(()));
    }
    checkpointer.at_end(group.connection());
}

fn idle(group: &mut Group, checkpointer: &mut Checkpointer, checked: &mut Instant) {
    if group.published().recalls_wait() {
        // An empty group writes the counts that wait.
        group.run_one(Op::Probe, |_| Ok(()));
    } else if let Err(error) = group.refresh() {
        tracing::error!(%error, "the counts could not be read");
    }
    if !group.published().writable() {
        look_whether_it_passed(group, checkpointer, checked);
    } else if checked.elapsed() >= SELF_CHECK_EVERY {
        *checked = Instant::now();
        let check = group.self_check();
        if let Err(failure) = &check {
            tracing::error!(%failure, "the self-check of the store failed");
        }
        group.published().note_writable(check.is_ok());
    }
    checkpointer.when_idle(group.connection());
}

/// After a failure: whether the log and the file can both be written again. A disk without room may have some left in
/// the log and none for the file.
fn look_whether_it_passed(
    group: &mut Group,
    checkpointer: &mut Checkpointer,
    checked: &mut Instant,
) {
    *checked = Instant::now();
    let passed = group.prove() && checkpointer.pass_on(group.connection());
    group.published().note_writable(passed);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::group::MAX_GROUP;
    use crate::store::sqlite::measured::Searched;
    use crate::store::sqlite::testing;

    #[test]
    fn a_full_queue_says_so_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let writer =
            Writer::start(testing::group(&dir), dir.path().join("m.db-wal"), None).unwrap();
        let (release, blocked) = std::sync::mpsc::channel::<()>();
        let first = writer
            .submit(Op::Probe, 0, move |_| {
                blocked.recv().unwrap();
                Ok(())
            })
            .unwrap();
        let mut accepted = Vec::new();
        let refused = loop {
            match writer.submit(Op::Probe, 0, |_| Ok(())) {
                Ok(pending) => accepted.push(pending),
                Err(error) => break error,
            }
            assert!(accepted.len() <= QUEUE_CAPACITY + MAX_GROUP);
        };
        assert!(matches!(refused, StoreError::Overloaded));
        release.send(()).unwrap();
        first.wait().unwrap();
        accepted
            .into_iter()
            .for_each(|pending| pending.wait().unwrap());
        assert_eq!(writer.published().depth(), 0);
        let refused = writer
            .published()
            .measured
            .read(dir.path(), (0, 0), &Searched::default());
        assert_eq!(refused.refused.first(), Some(&(Refusal::QueueFull, 1)));
        writer.stop();
        assert!(writer.submit(Op::Probe, 0, |_| Ok(())).is_err());
    }
}
