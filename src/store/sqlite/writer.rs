//! The one writer of a process, and group commit.
//!
//! A server has a writer thread that owns its only read-write connection. Units wait in a bounded queue; the thread
//! takes the write turn among processes, runs what waits (at most [`MAX_GROUP`] units or [`MAX_GROUP_TIME`]), each in
//! a savepoint inside one `BEGIN IMMEDIATE`, commits once, and then answers all. So sixteen clients share an fsync
//! without waiting for each other on purpose. A command process runs the same group with one unit, on its own thread.
//!
//! A unit that fails or panics rolls back to its savepoint and its neighbours never know. But SQLite may roll the
//! *whole* transaction back by itself (disk full, I/O error, interrupt); whatever ran after that would be committed
//! alone. So after each unit the group looks at `is_autocommit()`: if the transaction is gone, nothing more runs in it
//! and all of it is answered `Unavailable`, as it is when the commit fails.
//!
//! Counts are published after the commit, from the rows themselves, so that what other processes wrote is in them too.
//!
//! **Invariant:** nobody is told "stored" before COMMIT has returned.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::domain::{Stat, Timestamp};
use crate::store::sqlite::checkpoint::Checkpointer;
use crate::store::sqlite::turn::Turn;
use crate::store::sqlite::unit::{Effects, Unit, find};
use crate::store::{Pending, StoreError};

/// Most units of one group. From the design: at 16 to 64 clients groups are smaller, so this only bounds a burst.
const MAX_GROUP: usize = 256;
/// Longest a group runs before it commits; the wait that a reader of its own write can feel.
const MAX_GROUP_TIME: Duration = Duration::from_millis(5);
/// Most units that wait. Four groups: at the writer's pace that is some tens of milliseconds.
pub(super) const QUEUE_CAPACITY: usize = 1024;
/// Most bytes of text that wait, so that a queue of large bodies cannot fill the memory.
const QUEUE_BYTES: usize = 64 * 1024 * 1024;
/// How often an idle writer looks around: counts of other processes, checkpoint, self-check.
const IDLE_TICK: Duration = Duration::from_secs(1);
/// How often it takes the write lock to see that it could. It writes nothing to an idle disk.
const SELF_CHECK_EVERY: Duration = Duration::from_secs(5);

/// What the writer tells the rest of the process.
#[derive(Debug)]
pub(super) struct Published {
    stats: Mutex<Arc<BTreeMap<Stat, i64>>>,
    usable: AtomicBool,
    checked_at: AtomicI64,
    depth: AtomicUsize,
    bytes: AtomicUsize,
    recalls: AtomicI64,
    recalls_empty: AtomicI64,
}

impl Published {
    fn new() -> Self {
        let zeros = Stat::all().into_iter().map(|stat| (stat, 0)).collect();
        Self {
            stats: Mutex::new(Arc::new(zeros)),
            usable: AtomicBool::new(true),
            checked_at: AtomicI64::new(0),
            depth: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            recalls: AtomicI64::new(0),
            recalls_empty: AtomicI64::new(0),
        }
    }

    /// The counted facts.
    pub(super) fn stats(&self) -> Arc<BTreeMap<Stat, i64>> {
        Arc::clone(&lock(&self.stats))
    }

    /// Whether the file could be used at the last look, and when that was.
    pub(super) fn usable(&self) -> (bool, Timestamp) {
        (
            self.usable.load(Ordering::Acquire),
            Timestamp::from_millis(self.checked_at.load(Ordering::Acquire)),
        )
    }

    /// Units waiting.
    pub(super) fn depth(&self) -> usize {
        self.depth.load(Ordering::Relaxed)
    }

    /// Counts a search; the next group writes it.
    pub(super) fn count_recall(&self, empty: bool) {
        self.recalls.fetch_add(1, Ordering::Relaxed);
        if empty {
            self.recalls_empty.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn take_recalls(&self, effects: &mut Effects) {
        effects.count(Stat::Recalls, self.recalls.swap(0, Ordering::Relaxed));
        effects.count(
            Stat::RecallsEmpty,
            self.recalls_empty.swap(0, Ordering::Relaxed),
        );
    }

    fn recalls_wait(&self) -> bool {
        self.recalls.load(Ordering::Relaxed) > 0
    }

    /// Notes that the file could or could not be used just now.
    pub(super) fn note_usable(&self, usable: bool) {
        if self.usable.swap(usable, Ordering::AcqRel) != usable {
            if usable {
                tracing::info!("the store can be used again");
            } else {
                tracing::error!("the store cannot be used");
            }
        }
        self.checked_at.store(wall_clock(), Ordering::Release);
    }

    fn publish(&self, fresh: &BTreeMap<Stat, i64>) {
        let mut current = lock(&self.stats);
        let next = Stat::all().into_iter().map(|stat| {
            let value = fresh.get(&stat).copied().unwrap_or(0);
            let before = current.get(&stat).copied().unwrap_or(0);
            (
                stat,
                if stat.is_lifetime() {
                    value.max(before)
                } else {
                    value
                },
            )
        });
        *current = Arc::new(next.collect());
    }
}

/// Unix milliseconds for the age of the self-check. Not `Clock`: a fixed one would make health lie.
#[expect(clippy::disallowed_methods, reason = "operational age, not data")]
fn wall_clock() -> i64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |age| i64::try_from(age.as_millis()).unwrap_or(i64::MAX))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How a unit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// What it did is part of the group.
    Keep,
    /// It refused or failed alone; its savepoint goes back.
    Undo,
    /// It met a fault of the file or the machine. SQLite may have rolled back the statement or the transaction,
    /// depending on its journal; the group does not find out which, it ends.
    Abandon,
}

/// A unit in the queue, whatever it answers.
trait Task: Send {
    /// Runs the unit and keeps its answer.
    fn run(&mut self, unit: &mut Unit<'_>) -> Verdict;
    /// Sends the kept answer, or the failure that befell the whole group.
    fn settle(self: Box<Self>, fate: Result<(), StoreError>);
    /// Octets it holds while it waits.
    fn bytes(&self) -> usize;
}

struct Work<T, F> {
    work: Option<F>,
    answer: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
    bytes: usize,
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
            Err(
                StoreError::Overloaded
                | StoreError::NotFound(_)
                | StoreError::Conflict(_)
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
}

fn panicked(panic: &(dyn Any + Send)) -> StoreError {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "unknown".to_owned());
    StoreError::Internal(format!("a unit of work panicked: {text}").into())
}

/// What a group commits on.
#[derive(Debug)]
pub(super) struct Group {
    connection: Connection,
    turn: Turn,
    wait: Duration,
    published: Arc<Published>,
    seen_version: i64,
}

impl Group {
    pub(super) fn new(connection: Connection, turn: Turn, wait: Duration) -> Self {
        Self {
            connection,
            turn,
            wait,
            published: Arc::new(Published::new()),
            seen_version: -1,
        }
    }

    pub(super) fn published(&self) -> Arc<Published> {
        Arc::clone(&self.published)
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Runs one unit as a group of its own; for commands.
    pub(super) fn run_one<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Unit<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Pending<T> {
        let (reply, receiver) = oneshot::channel();
        let task: Box<dyn Task> = Box::new(Work {
            work: Some(work),
            answer: None,
            reply,
            bytes: 0,
        });
        self.run(task, || None);
        Pending::queued(receiver)
    }

    /// Runs `first` and what `next` gives, commits, answers all. Answers whether something was erased.
    fn run(&mut self, first: Box<dyn Task>, next: impl FnMut() -> Option<Box<dyn Task>>) -> bool {
        let mut ran = Vec::new();
        let fate = self.transact(first, next, &mut ran);
        self.published.note_usable(fate.is_ok());
        let erased = matches!(fate, Ok(true));
        let failure = fate.err().map(|error| error.to_string());
        if let Some(failure) = &failure {
            tracing::error!(
                failure,
                units = ran.len(),
                "a group of writes was not stored"
            );
        }
        for task in ran {
            task.settle(match &failure {
                None => Ok(()),
                Some(failure) => Err(StoreError::Unavailable(failure.clone().into())),
            });
        }
        erased
    }

    fn transact(
        &mut self,
        first: Box<dyn Task>,
        mut next: impl FnMut() -> Option<Box<dyn Task>>,
        ran: &mut Vec<Box<dyn Task>>,
    ) -> Result<bool, GroupFailure> {
        ran.push(first);
        let held = self
            .turn
            .take(Instant::now() + self.wait)
            .map_err(|error| GroupFailure::of("taking the write turn", &error))?;
        let begun = Instant::now();
        self.connection
            .execute_batch("begin immediate")
            .map_err(|error| GroupFailure::of("begin", &error))?;
        let mut effects = Effects::default();
        let outcome = loop {
            if let Some(task) = ran.last_mut()
                && let Err(failure) = run_unit(&self.connection, task.as_mut(), &mut effects)
            {
                // What waits meets the same fault; it is answered with the group instead of one by one.
                ran.extend(std::iter::from_fn(&mut next).take(MAX_GROUP - ran.len()));
                break Err(failure);
            }
            if ran.len() >= MAX_GROUP || begun.elapsed() >= MAX_GROUP_TIME {
                break Ok(());
            }
            match next() {
                Some(task) => ran.push(task),
                None => break Ok(()),
            }
        };
        let outcome = outcome.and_then(|()| {
            self.published.take_recalls(&mut effects);
            let finish = || -> rusqlite::Result<BTreeMap<Stat, i64>> {
                effects.flush(&self.connection)?;
                let stats = read_stats(&self.connection)?;
                self.connection.execute_batch("commit")?;
                Ok(stats)
            };
            finish().map_err(|error| GroupFailure::of("commit", &error))
        });
        if outcome.is_err() && !self.connection.is_autocommit() {
            // A failed rollback leaves the transaction open; the next BEGIN will fail and say so.
            if let Err(error) = self.connection.execute_batch("rollback") {
                tracing::error!(%error, "a failed group could not be rolled back");
            }
        }
        drop(held);
        self.published.publish(&outcome?);
        Ok(effects.erased)
    }

    /// Publishes what other processes counted, if anything changed.
    fn refresh(&mut self) -> rusqlite::Result<()> {
        let version = self
            .connection
            .pragma_query_value(None, "data_version", |row| row.get(0))?;
        if version != self.seen_version {
            self.seen_version = version;
            let stats = read_stats(&self.connection)?;
            self.published.publish(&stats);
        }
        Ok(())
    }

    /// Reads the file and takes its write lock, without writing.
    fn self_check(&mut self) -> Result<(), GroupFailure> {
        let _held = self
            .turn
            .take(Instant::now() + self.wait)
            .map_err(|error| GroupFailure::of("taking the write turn", &error))?;
        let check = || -> rusqlite::Result<()> {
            self.connection.execute_batch("begin immediate")?;
            let read = find(&self.connection, "select only_row from store", [], |_| {
                Ok(())
            });
            self.connection.execute_batch("rollback")?;
            read.map(|_| ())
        };
        check().map_err(|error| GroupFailure::of("self-check", &error))
    }
}

/// A failure that befell a whole group, in one line for the log.
#[derive(Debug)]
struct GroupFailure(String);

impl GroupFailure {
    fn of(step: &str, error: &dyn std::error::Error) -> Self {
        Self(format!("{step}: {error}"))
    }
}

impl std::fmt::Display for GroupFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Runs one unit in its savepoint. An error means that the group's transaction is gone.
fn run_unit(
    connection: &Connection,
    task: &mut dyn Task,
    effects: &mut Effects,
) -> Result<(), GroupFailure> {
    let step = |sql: &str| -> Result<(), GroupFailure> {
        connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute([]))
            .map(|_| ())
            .map_err(|error| GroupFailure::of(sql, &error))
    };
    step("savepoint unit")?;
    let mut unit = Unit::new(connection);
    let verdict = task.run(&mut unit);
    let changed = unit.effects;
    if connection.is_autocommit() {
        return Err(GroupFailure(
            "SQLite rolled the whole transaction back".to_owned(),
        ));
    }
    match verdict {
        Verdict::Keep => effects.merge(changed),
        Verdict::Undo => step("rollback to unit")?,
        Verdict::Abandon => {
            return Err(GroupFailure(
                "a unit of the group met a fault of the store".to_owned(),
            ));
        }
    }
    step("release unit")
}

/// The counted facts as they stand in the file.
pub(super) fn read_stats(connection: &Connection) -> rusqlite::Result<BTreeMap<Stat, i64>> {
    let mut statement = connection.prepare_cached("select name, label, value from stat")?;
    let mut rows = statement.query([])?;
    let mut by_key = std::collections::HashMap::new();
    while let Some(row) = rows.next()? {
        by_key.insert(
            (row.get::<_, String>(0)?, row.get::<_, String>(1)?),
            row.get::<_, i64>(2)?,
        );
    }
    let value = |stat: Stat| {
        let (name, label) = stat.key();
        by_key
            .get(&(name.to_owned(), label.to_owned()))
            .copied()
            .unwrap_or(0)
    };
    Ok(Stat::all()
        .into_iter()
        .map(|stat| (stat, value(stat)))
        .collect())
}

/// The writer thread and its queue.
#[derive(Debug)]
pub(super) struct Writer {
    queue: Mutex<Option<SyncSender<Box<dyn Task>>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    published: Arc<Published>,
}

impl std::fmt::Debug for dyn Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Task")
    }
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(mut group: Group, wal: PathBuf) -> std::io::Result<Self> {
        let published = group.published();
        published.note_usable(true);
        if let Err(error) = group.refresh() {
            tracing::error!(%error, "the counts could not be read");
        }
        let (queue, tasks) = sync_channel(QUEUE_CAPACITY);
        let thread = thread::Builder::new()
            .name("writer".into())
            .spawn(move || serve(group, &tasks, Checkpointer::new(wal)))?;
        Ok(Self {
            queue: Mutex::new(Some(queue)),
            thread: Mutex::new(Some(thread)),
            published,
        })
    }

    /// Queues a unit that holds about `bytes` of text.
    ///
    /// # Errors
    /// The queue is full, or the writer has stopped.
    pub(super) fn submit<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce(&mut Unit<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<Pending<T>, StoreError> {
        let queue = lock(&self.queue)
            .clone()
            .ok_or_else(|| StoreError::Unavailable("the writer has stopped".into()))?;
        let published = &self.published;
        if published.bytes.fetch_add(bytes, Ordering::AcqRel) > QUEUE_BYTES {
            published.bytes.fetch_sub(bytes, Ordering::AcqRel);
            return Err(StoreError::Overloaded);
        }
        published.depth.fetch_add(1, Ordering::Relaxed);
        let (reply, receiver) = oneshot::channel();
        let task = Box::new(Work {
            work: Some(work),
            answer: None,
            reply,
            bytes,
        });
        queue
            .try_send(task)
            .map(|()| Pending::queued(receiver))
            .map_err(|error| {
                published.bytes.fetch_sub(bytes, Ordering::AcqRel);
                published.depth.fetch_sub(1, Ordering::Relaxed);
                match error {
                    TrySendError::Full(_) => StoreError::Overloaded,
                    TrySendError::Disconnected(_) => {
                        StoreError::Unavailable("the writer has stopped".into())
                    }
                }
            })
    }

    /// What the thread tells.
    pub(super) fn published(&self) -> &Published {
        &self.published
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
    let mut checked = Instant::now();
    loop {
        match tasks.recv_timeout(IDLE_TICK) {
            Ok(first) => {
                let erased = group.run(leave(first), || tasks.try_recv().ok().map(leave));
                checkpointer.after_group(&group.connection, erased);
            }
            Err(RecvTimeoutError::Timeout) => idle(&mut group, &mut checkpointer, &mut checked),
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    if published.recalls_wait() {
        group.run_one(|_| Ok(()));
    }
    checkpointer.at_end(&group.connection);
}

fn idle(group: &mut Group, checkpointer: &mut Checkpointer, checked: &mut Instant) {
    if group.published.recalls_wait() {
        // An empty group writes the counts that wait.
        group.run_one(|_| Ok(()));
    } else if let Err(error) = group.refresh() {
        tracing::error!(%error, "the counts could not be read");
    }
    if checked.elapsed() >= SELF_CHECK_EVERY {
        *checked = Instant::now();
        let check = group.self_check();
        if let Err(failure) = &check {
            tracing::error!(%failure, "the self-check of the store failed");
        }
        group.published.note_usable(check.is_ok());
    }
    checkpointer.when_idle(&group.connection);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Timestamp;
    use crate::store::sqlite::file;
    use crate::store::{Durability, Options, Role};

    fn options(dir: &tempfile::TempDir) -> Options {
        Options {
            path: dir.path().join("m.db"),
            role: Role::Server,
            readers: 1,
            reader_wait: Duration::from_secs(1),
            durability: Durability::Full,
            write_wait: Duration::from_secs(5),
        }
    }

    fn group(dir: &tempfile::TempDir) -> Group {
        let options = options(dir);
        let file = file::open(&options, Timestamp::from_millis(0)).unwrap();
        file.connection
            .execute_batch("create table if not exists t (x text unique)")
            .unwrap();
        Group::new(
            file.connection,
            Turn::open(&options.path).unwrap(),
            options.write_wait,
        )
    }

    type Reply<T> = oneshot::Receiver<Result<T, StoreError>>;

    fn task<T: Send + 'static>(
        work: impl FnOnce(&mut Unit<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> (Box<dyn Task>, Reply<T>) {
        let (reply, receiver) = oneshot::channel();
        (
            Box::new(Work {
                work: Some(work),
                answer: None,
                reply,
                bytes: 0,
            }),
            receiver,
        )
    }

    fn insert(x: &'static str) -> (Box<dyn Task>, Reply<()>) {
        task(move |unit| {
            unit.execute("insert into t values (?1)", [x])?;
            unit.effects.count(Stat::Notes, 1);
            Ok(())
        })
    }

    fn rows(group: &Group) -> Vec<String> {
        let mut statement = group
            .connection
            .prepare("select x from t order by x")
            .unwrap();
        statement
            .query_map([], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect()
    }

    fn run(group: &mut Group, tasks: Vec<Box<dyn Task>>) {
        let mut tasks = tasks.into_iter();
        let first = tasks.next().unwrap();
        group.run(first, || tasks.next());
    }

    #[test]
    fn a_failed_or_panicking_unit_leaves_its_neighbours_whole() {
        let dir = tempfile::tempdir().unwrap();
        let mut group = group(&dir);
        let (one, r1) = insert("one");
        let (fails, r2) = task::<()>(|unit| {
            unit.execute("insert into t values ('half')", [])?;
            unit.effects.count(Stat::Notes, 100);
            unit.execute("insert into t values ('one')", [])?;
            Ok(())
        });
        let (panics, r3) = task::<()>(|unit| {
            unit.execute("insert into t values ('other half')", [])?;
            panic!("on purpose")
        });
        let (two, r4) = insert("two");
        run(&mut group, vec![one, fails, panics, two]);
        assert!(r1.blocking_recv().unwrap().is_ok());
        assert!(r2.blocking_recv().unwrap().is_err());
        assert!(matches!(
            r3.blocking_recv().unwrap(),
            Err(StoreError::Internal(_))
        ));
        assert!(r4.blocking_recv().unwrap().is_ok());
        assert_eq!(rows(&group), ["one", "two"]);
        assert_eq!(group.published.stats()[&Stat::Notes], 2);
    }

    #[test]
    fn a_full_disk_in_the_second_unit_stores_none_of_three() {
        let dir = tempfile::tempdir().unwrap();
        let mut group = group(&dir);
        let pages: i64 = group
            .connection
            .pragma_query_value(None, "page_count", |row| row.get(0))
            .unwrap();
        group
            .connection
            .pragma_update(None, "max_page_count", pages + 20)
            .unwrap();
        let (one, r1) = insert("one");
        let (big, r2) = task::<()>(|unit| {
            // As a statement that swallows its error would do: the transaction may be gone all the same.
            unit.execute("insert into t values (?1)", ["x".repeat(400_000)])?;
            Ok(())
        });
        let (three, r3) = insert("three");
        run(&mut group, vec![one, big, three]);
        let answers = [
            r1.blocking_recv().unwrap(),
            r2.blocking_recv().unwrap(),
            r3.blocking_recv().unwrap(),
        ];
        for answer in answers {
            assert!(
                matches!(answer, Err(StoreError::Unavailable(_))),
                "{answer:?}"
            );
        }
        assert!(rows(&group).is_empty());
        assert!(!group.published.usable().0);
        group
            .connection
            .pragma_update(None, "max_page_count", pages + 2000)
            .unwrap();
        let (again, reply) = insert("again");
        run(&mut group, vec![again]);
        assert!(reply.blocking_recv().unwrap().is_ok());
        assert!(group.published.usable().0);
    }

    #[test]
    fn a_transaction_that_is_gone_ends_the_group() {
        let dir = tempfile::tempdir().unwrap();
        let mut group = group(&dir);
        let (one, r1) = insert("one");
        let (gone, r2) = task::<()>(|unit| {
            unit.connection.execute_batch("rollback")?;
            Ok(())
        });
        let (three, r3) = insert("three");
        run(&mut group, vec![one, gone, three]);
        assert!(r1.blocking_recv().unwrap().is_err());
        assert!(r2.blocking_recv().unwrap().is_err());
        assert!(r3.blocking_recv().unwrap().is_err());
        assert!(rows(&group).is_empty());
    }

    #[test]
    fn a_full_queue_says_so_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let writer = Writer::start(group(&dir), dir.path().join("m.db-wal")).unwrap();
        let (release, blocked) = std::sync::mpsc::channel::<()>();
        let first = writer
            .submit(0, move |_| {
                blocked.recv().unwrap();
                Ok(())
            })
            .unwrap();
        let mut accepted = Vec::new();
        let refused = loop {
            match writer.submit(0, |_| Ok(())) {
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
        writer.stop();
        assert!(writer.submit(0, |_| Ok(())).is_err());
    }
}
