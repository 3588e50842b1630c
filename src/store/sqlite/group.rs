//! Group commit: many units of work, one transaction, one fsync.
//!
//! A group takes the write turn among processes, runs its units, each in a savepoint inside one `BEGIN IMMEDIATE`,
//! commits once, and then answers all. A unit that fails or panics rolls back to its savepoint and its neighbours never
//! know. But SQLite may roll the *whole* transaction back by itself (disk full, I/O error, interrupt); whatever ran
//! after that would be committed alone. So after each unit the group looks at `is_autocommit()`: if the transaction is
//! gone, nothing more runs in it and all of it is answered `Unavailable`, as it is when the commit fails.
//! Counts are published after the commit, from the rows themselves, so that what other processes wrote is in them too.
//!
//! **Invariant:** nobody is told "stored" before COMMIT has returned.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::domain::Stat;
use crate::fault;
use crate::store::measure::{Batch, Op};
use crate::store::sqlite::error::{GroupFailure, injected};
use crate::store::sqlite::measured::{COUNTS_EVERY, Measured};
use crate::store::sqlite::place::Place;
use crate::store::sqlite::published::{Published, wall_clock};
use crate::store::sqlite::stat::stored_stats;
use crate::store::sqlite::task::{Task, Verdict, Work};
use crate::store::sqlite::turn::Turn;
use crate::store::sqlite::unit::{Effects, Unit, find};
use crate::store::{Pending, StoreError};

/// Most units of one group. From the design: at 16 to 64 clients groups are smaller, so this only bounds a burst.
pub(super) const MAX_GROUP: usize = 256;
/// Longest a group runs before it commits; the wait that a reader of its own write can feel.
const MAX_GROUP_TIME: Duration = Duration::from_millis(5);

/// What a group commits on.
#[derive(Debug)]
pub(super) struct Group {
    connection: Connection,
    turn: Turn,
    place: Place,
    wait: Duration,
    published: Arc<Published>,
    seen_version: i64,
    cache_held: u64,
    counts_read: Instant,
}

impl Group {
    pub(super) fn new(
        connection: Connection,
        turn: Turn,
        place: Place,
        wait: Duration,
        published: Published,
    ) -> Self {
        Self {
            connection,
            turn,
            place,
            wait,
            published: Arc::new(published),
            seen_version: -1,
            cache_held: 0,
            counts_read: Instant::now(),
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
        op: Op,
        work: impl FnOnce(&mut Unit<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Pending<T> {
        let (reply, receiver) = oneshot::channel();
        let task: Box<dyn Task> = Box::new(Work {
            work: Some(work),
            answer: None,
            reply,
            bytes: 0,
            op,
            queued: Instant::now(),
        });
        self.run(task, || None);
        Pending::queued(receiver)
    }

    /// Runs `first` and what `next` gives, commits, answers all. Answers whether something was erased.
    pub(super) fn run(
        &mut self,
        first: Box<dyn Task>,
        next: impl FnMut() -> Option<Box<dyn Task>>,
    ) -> bool {
        let mut ran = Vec::new();
        let fate = self.transact(first, next, &mut ran);
        let known = !self.published.writable();
        match &fate {
            Err(GroupFailure::Damaged(fault)) => self.published.note_damage(fault),
            fate => self.published.note_group(fate.is_ok()),
        }
        self.measure(&ran, &fate);
        let erased = matches!(fate, Ok(true));
        let failure = fate.err().map(|error| error.to_string());
        // Each request that it befalls is logged where it is answered; this once for all of them.
        if let (Some(failure), false) = (&failure, known) {
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

    /// Notes how a group ended.
    fn measure(&mut self, ran: &[Box<dyn Task>], fate: &Result<bool, GroupFailure>) {
        let measured = &self.published.measured;
        let ended = match fate {
            Ok(_) => Batch::Committed,
            Err(GroupFailure::Fault(_)) => Batch::Failed,
            Err(GroupFailure::Damaged(_)) => Batch::Damaged,
        };
        let upkeep = ran.iter().filter(|task| task.op().is_upkeep()).count();
        measured.note_batch(ran.len() - upkeep, ended);
        if self.counts_read.elapsed() >= COUNTS_EVERY {
            self.counts_read = Instant::now();
            let writers = &measured.writers;
            writers.note(&self.connection, &mut self.cache_held);
        }
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
        self.place
            .check()
            .map_err(|error| GroupFailure::of("looking for the file", &error))?;
        let measured = &self.published.measured;
        let begun = Instant::now();
        self.connection
            .execute_batch("begin immediate")
            .map_err(|error| GroupFailure::of_sqlite(measured, "begin", &error))?;
        let (mut effects, mut reached) = (Effects::default(), begun);
        let outcome = loop {
            if let Some(task) = ran.last_mut()
                && let Err(failure) = self.run_unit(task.as_mut(), &mut effects, &mut reached)
            {
                // What waits meets the same fault; it is answered with the group instead of one by one.
                ran.extend(std::iter::from_fn(&mut next).take(MAX_GROUP - ran.len()));
                break Err(failure);
            }
            if ran.len() >= MAX_GROUP || reached - begun >= MAX_GROUP_TIME {
                break Ok(());
            }
            match next() {
                Some(task) => ran.push(task),
                None => break Ok(()),
            }
        };
        let changed = effects.changes_memory();
        let outcome = outcome.and_then(|()| {
            let recalls = self.published.take_recalls(&mut effects);
            let mut finish = || -> rusqlite::Result<BTreeMap<Stat, i64>> {
                injected(fault::of_write())?;
                effects.flush(&self.connection)?;
                let stats = stored_stats(&self.connection)?;
                let flushed = Instant::now();
                measured.note_work(Op::Flush, flushed - reached);
                self.connection.execute_batch("commit")?;
                measured.commit.observe_time(flushed.elapsed());
                Ok(stats)
            };
            finish().map_err(|error| {
                self.published.give_back(recalls);
                GroupFailure::of_sqlite(measured, "commit", &error)
            })
        });
        if outcome.is_err() && !self.connection.is_autocommit() {
            // The next BEGIN will fail and say so.
            if let Err(error) = self.connection.execute_batch("rollback") {
                tracing::error!(%error, "a failed group could not be rolled back");
            }
        }
        drop(held);
        self.published.publish(&outcome?);
        effects.tell(self.place.path());
        if changed {
            self.published.measured.note_written();
        }
        Ok(effects.erased)
    }

    /// Publishes what other processes counted, if anything changed.
    pub(super) fn refresh(&mut self) -> rusqlite::Result<()> {
        let version = self
            .connection
            .pragma_query_value(None, "data_version", |row| row.get(0))?;
        if version != self.seen_version {
            self.seen_version = version;
            let stats = stored_stats(&self.connection)?;
            self.published.publish(&stats);
        }
        Ok(())
    }

    /// Whether a write reaches the disk, by making one.
    pub(super) fn prove(&mut self) -> bool {
        let proof = self.run_one(Op::Probe, |unit| {
            unit.execute("update store set proved_at = ?1", [wall_clock()])?;
            Ok(())
        });
        proof.wait().is_ok()
    }

    /// Reads the file and takes its write lock, without writing.
    pub(super) fn self_check(&mut self) -> Result<(), GroupFailure> {
        let _held = self
            .turn
            .take(Instant::now() + self.wait)
            .map_err(|error| GroupFailure::of("taking the write turn", &error))?;
        self.place
            .check()
            .map_err(|error| GroupFailure::of("looking for the file", &error))?;
        let check = || -> rusqlite::Result<()> {
            self.connection.execute_batch("begin immediate")?;
            let read = find(&self.connection, "select only_row from store", [], |_| {
                Ok(())
            });
            self.connection.execute_batch("rollback")?;
            read.map(|_| ())
        };
        check().map_err(|error| {
            GroupFailure::of_sqlite(&self.published.measured, "self-check", &error)
        })
    }

    /// Runs one unit and measures it; `reached` is when the one before it ended, and then when it ended.
    fn run_unit(
        &self,
        task: &mut dyn Task,
        effects: &mut Effects,
        reached: &mut Instant,
    ) -> Result<(), GroupFailure> {
        let measured = &self.published.measured;
        measured.note_wait(task.op(), reached.saturating_duration_since(task.queued()));
        let outcome = run_unit(&self.connection, measured, task, effects).and_then(|()| {
            let relieved = effects.relieve(&self.connection);
            relieved.map_err(|error| GroupFailure::of_sqlite(measured, "the terms", &error))
        });
        let ended = Instant::now();
        measured.note_work(task.op(), ended - *reached);
        *reached = ended;
        if let Some(failure) = task.failure() {
            measured.note_failure(failure);
        }
        outcome
    }
}

/// Runs one unit in its savepoint. An error means that the group's transaction is gone.
fn run_unit(
    connection: &Connection,
    measured: &Measured,
    task: &mut dyn Task,
    effects: &mut Effects,
) -> Result<(), GroupFailure> {
    let step = |sql: &str| -> Result<(), GroupFailure> {
        connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute([]))
            .map(|_| ())
            .map_err(|error| GroupFailure::of_sqlite(measured, sql, &error))
    };
    step("savepoint unit")?;
    let mut unit = Unit::new(connection);
    let verdict = task.run(&mut unit);
    let changed = unit.effects;
    if connection.is_autocommit() {
        return Err(GroupFailure::Fault(
            "SQLite rolled the whole transaction back".to_owned(),
        ));
    }
    match verdict {
        Verdict::Keep => effects.merge(changed),
        Verdict::Undo => step("rollback to unit")?,
        Verdict::Abandon => {
            return Err(GroupFailure::Fault(
                "a unit of the group met a fault of the store".to_owned(),
            ));
        }
        Verdict::Damaged => {
            return Err(GroupFailure::Damaged(
                "a unit of the group met a damaged page".to_owned(),
            ));
        }
    }
    step("release unit")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::testing;

    fn group(dir: &tempfile::TempDir) -> Group {
        let group = testing::group(dir);
        group
            .connection
            .execute_batch("create table t (x text unique)")
            .unwrap();
        group
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
                op: Op::NoteWrite,
                queued: Instant::now(),
            }),
            receiver,
        )
    }

    fn insert(x: &'static str) -> (Box<dyn Task>, Reply<()>) {
        task(move |unit| {
            unit.execute("insert into t values (?1)", [x])?;
            unit.effects.count(1, Stat::Notes, 1);
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
        // On a slow machine they may need more than one group.
        while let Some(first) = tasks.next() {
            group.run(first, || tasks.next());
        }
    }

    #[test]
    fn a_failed_or_panicking_unit_leaves_its_neighbours_whole() {
        let dir = tempfile::tempdir().unwrap();
        let mut group = group(&dir);
        let (one, r1) = insert("one");
        let (fails, r2) = task::<()>(|unit| {
            unit.execute("insert into t values ('half')", [])?;
            unit.effects.count(1, Stat::Notes, 100);
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
        assert!(!group.published.writable());
        group
            .connection
            .pragma_update(None, "max_page_count", pages + 2000)
            .unwrap();
        let (again, reply) = insert("again");
        run(&mut group, vec![again]);
        assert!(reply.blocking_recv().unwrap().is_ok());
        // That it has passed is for the writer to say.
        assert!(!group.published.writable());
    }

    #[test]
    fn a_search_that_a_failed_group_should_have_counted_is_counted_by_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let mut group = group(&dir);
        group.published.count_recall(true);
        // A deferred rule fails the commit, and nothing before it.
        let (breaks, r1) = task(|unit| {
            unit.connection.execute_batch(
                "create table parent (x primary key);
                 create table child (x references parent deferrable initially deferred);
                 insert into child values (7)",
            )?;
            Ok(())
        });
        group
            .connection
            .execute_batch("pragma foreign_keys = on")
            .unwrap();
        run(&mut group, vec![breaks]);
        assert!(r1.blocking_recv().unwrap().is_err());
        assert_eq!(group.published.stats()[&Stat::RecallsEmpty], 0);
        let (one, r2) = insert("one");
        run(&mut group, vec![one]);
        assert!(r2.blocking_recv().unwrap().is_ok());
        let stats = group.published.stats();
        assert_eq!((stats[&Stat::Recalls], stats[&Stat::RecallsEmpty]), (1, 1));
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
}
