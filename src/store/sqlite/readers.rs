//! The read-only connections of a server, which never wait for the writer.
//!
//! A read that runs for too long is stopped by SQLite itself: a caller that has given up must not leave a thread and a
//! connection at work behind it.
//!
//! **Invariant:** a read is one transaction, so that what it reads is of one moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use r2d2::{ManageConnection, Pool, PooledConnection};
use r2d2_sqlite::SqliteConnectionManager;
use rusqlite::Connection;
use rusqlite::ffi::SQLITE_INTERRUPT;

use crate::fault;
use crate::store::measure::Op;
use crate::store::sqlite::error::injected;
use crate::store::sqlite::file;
use crate::store::sqlite::measured::{COUNTS_EVERY, Measured};
use crate::store::sqlite::published::Published;
use crate::store::{OpenError, Options, PoolState, StoreError, Wait};

/// Steps of SQLite's machine from one look at the clock to the next: some 0.2 ms, so that looking costs nothing that
/// can be measured and a read ends within a millisecond of its time.
const STEPS_A_LOOK: i32 = 10_000;

/// A connection of the pool, and what measuring it needs.
#[derive(Debug)]
struct Reader {
    connection: Connection,
    /// Its place among all; none of them is ever closed.
    slot: usize,
    cache_held: u64,
    counts_read: Instant,
}

/// Opens the connections of the pool.
#[derive(Debug)]
struct Manager {
    inner: SqliteConnectionManager,
    opened: AtomicUsize,
}

impl ManageConnection for Manager {
    type Connection = Reader;
    type Error = rusqlite::Error;

    fn connect(&self) -> rusqlite::Result<Reader> {
        Ok(Reader {
            connection: self.inner.connect()?,
            slot: self.opened.fetch_add(1, Ordering::Relaxed),
            cache_held: 0,
            counts_read: Instant::now(),
        })
    }

    fn is_valid(&self, reader: &mut Reader) -> rusqlite::Result<()> {
        self.inner.is_valid(&mut reader.connection)
    }

    fn has_broken(&self, reader: &mut Reader) -> bool {
        self.inner.has_broken(&mut reader.connection)
    }
}

/// The pool.
#[derive(Debug)]
pub(super) struct Readers {
    pool: Pool<Manager>,
    published: Arc<Published>,
    waiting: AtomicU32,
    read_time: Option<Duration>,
}

/// A read that is under way, until it is dropped: a panic ends it too.
struct OpenRead<'a> {
    measured: &'a Measured,
    slot: usize,
}

impl<'a> OpenRead<'a> {
    fn new(measured: &'a Measured, slot: usize, begun: Instant) -> Self {
        measured.read_begins(slot, begun);
        Self { measured, slot }
    }
}

impl Drop for OpenRead<'_> {
    fn drop(&mut self) {
        self.measured.read_ends(self.slot);
    }
}

impl Readers {
    /// Opens the connections.
    pub(super) fn open(options: &Options, published: Arc<Published>) -> Result<Self, OpenError> {
        let manager = Manager {
            inner: SqliteConnectionManager::file(&options.path)
                .with_flags(file::read_only_flags())
                .with_init(file::configure_reader),
            opened: AtomicUsize::new(0),
        };
        let pool = Pool::builder()
            .max_size(options.readers)
            .connection_timeout(options.reader_wait)
            // The defaults would close good connections and check them at every use, to no gain for a local file.
            .max_lifetime(None)
            .idle_timeout(None::<Duration>)
            .test_on_check_out(false)
            .build(manager)
            .map_err(|error| OpenError::Unusable {
                path: options.path.clone(),
                reason: "its readers cannot be opened".to_owned(),
                source: Some(Box::new(error)),
            })?;
        Ok(Self {
            pool,
            published,
            waiting: AtomicU32::new(0),
            read_time: options.read_time,
        })
    }

    /// Runs a read in its own transaction, for as long as a read may run.
    pub(super) fn read<T>(
        &self,
        op: Op,
        wait: Wait,
        read: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut reader = self.reader(wait)?;
        let begun = Instant::now();
        let open = OpenRead::new(&self.published.measured, reader.slot, begun);
        let outcome = self.timed(&reader.connection, begun, read);
        drop(open);
        if fault::measures() {
            self.measure(op, &mut reader, begun.elapsed());
        }
        outcome.map_err(|error| {
            if is_interrupted(&error) {
                self.published.note_failure(&error);
                tracing::warn!("a read was stopped: it took too long");
                return StoreError::Timeout;
            }
            error
        })
    }

    /// A free connection, now or after a while.
    fn reader(&self, wait: Wait) -> Result<PooledConnection<Manager>, StoreError> {
        let measured = &self.published.measured;
        if let Some(reader) = self.pool.try_get() {
            // What it took is below what the clock is worth asking for.
            measured.pool_wait.observe(0);
            return Ok(reader);
        }
        if wait == Wait::No {
            return Err(StoreError::Overloaded);
        }
        let asked = Instant::now();
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let reader = self.pool.get();
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        measured.pool_wait.observe_time(asked.elapsed());
        reader.map_err(|_| {
            measured.pool_timeouts.fetch_add(1, Ordering::Relaxed);
            StoreError::Overloaded
        })
    }

    fn timed<T>(
        &self,
        connection: &Connection,
        begun: Instant,
        read: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if let Some(time) = self.read_time {
            let end = begun + time;
            // It stays until the next read on this connection puts its own in the place.
            connection.progress_handler(STEPS_A_LOOK, Some(move || Instant::now() >= end))?;
        }
        within_transaction(connection, |connection| {
            injected(fault::of_read())?;
            read(connection)
        })
    }

    fn measure(&self, op: Op, reader: &mut Reader, took: Duration) {
        let measured = &self.published.measured;
        measured.note_work(op, took);
        if reader.counts_read.elapsed() >= COUNTS_EVERY {
            reader.counts_read = Instant::now();
            measured
                .readers
                .note(&reader.connection, &mut reader.cache_held);
        }
    }

    /// How the pool stands.
    pub(super) fn state(&self) -> PoolState {
        let state = self.pool.state();
        PoolState {
            total: state.connections,
            idle: state.idle_connections,
            waiting: self.waiting.load(Ordering::Relaxed),
        }
    }
}

/// Runs a read in a transaction of its own; it ends in a rollback, there being nothing to commit.
pub(super) fn within_transaction<T>(
    connection: &Connection,
    read: impl FnOnce(&Connection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let transaction = connection.unchecked_transaction()?;
    read(&transaction)
}

/// Whether the clock stopped it; nothing else interrupts a reader.
fn is_interrupted(error: &StoreError) -> bool {
    let StoreError::Unavailable(cause) = error else {
        return false;
    };
    let code = cause
        .downcast_ref::<rusqlite::Error>()
        .and_then(rusqlite::Error::sqlite_error)
        .map(|error| error.extended_code);
    code == Some(SQLITE_INTERRUPT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Role;
    use crate::store::sqlite::measured::Searched;
    use crate::store::sqlite::testing;

    /// Counts for ever, if it is let.
    const ENDLESS: &str =
        "with recursive n(i) as (select 1 union all select i + 1 from n) select max(i) from n";

    fn readers(dir: &tempfile::TempDir, read_time: Option<Duration>) -> Readers {
        drop(testing::group(dir));
        let options = Options {
            readers: 1,
            read_time,
            ..testing::options(dir, Role::Server)
        };
        Readers::open(&options, Arc::new(Published::new(1, u64::MAX))).unwrap()
    }

    fn one(connection: &Connection, sql: &str) -> Result<i64, StoreError> {
        Ok(connection.query_row(sql, [], |row| row.get(0))?)
    }

    #[test]
    fn a_read_that_takes_too_long_is_stopped_and_its_connection_is_good_again() {
        let dir = tempfile::tempdir().unwrap();
        let time = Duration::from_millis(100);
        let readers = readers(&dir, Some(time));
        for _ in 0..3 {
            let begun = Instant::now();
            let stopped = readers.read(Op::Look, Wait::No, |connection| one(connection, ENDLESS));
            assert!(matches!(stopped, Err(StoreError::Timeout)), "{stopped:?}");
            assert!(begun.elapsed() >= time);
            assert_eq!(readers.state().idle, 1);
            let seven = readers.read(Op::Look, Wait::No, |connection| one(connection, "select 7"));
            assert_eq!(seven.unwrap(), 7);
        }
    }

    #[test]
    fn each_read_has_the_whole_time() {
        let dir = tempfile::tempdir().unwrap();
        let readers = readers(&dir, Some(Duration::from_secs(3600)));
        let stopped = Instant::now() - Duration::from_secs(1);
        // What the read before has left behind would stop this one at once.
        let reader = readers.pool.get().unwrap();
        reader
            .connection
            .progress_handler(1, Some(move || Instant::now() >= stopped))
            .unwrap();
        drop(reader);
        let counted = "with recursive n(i) as (select 1 union all select i + 1 from n limit 100000)
                       select max(i) from n";
        let counted = readers.read(Op::Look, Wait::No, |connection| one(connection, counted));
        assert_eq!(counted.unwrap(), 100_000);
    }

    #[test]
    fn a_read_that_waits_is_timed_and_one_that_waits_in_vain_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let readers = readers(&dir, None);
        let measured = || {
            let searched = Searched::default();
            readers
                .published
                .measured
                .read(dir.path(), (0, 0), &searched)
        };
        let held = readers.pool.get().unwrap();
        assert!(readers.read(Op::Look, Wait::No, |_| Ok(())).is_err());
        assert_eq!(measured().pool_timeouts, 0);
        let (begun, most) = (Instant::now(), Duration::from_secs(1));
        assert!(readers.read(Op::Look, Wait::Yes, |_| Ok(())).is_err());
        assert!(begun.elapsed() >= most);
        drop(held);
        readers
            .read(Op::Look, Wait::Yes, |_| {
                std::thread::sleep(Duration::from_millis(3));
                assert!(measured().oldest_read >= Duration::from_millis(3));
                Ok(())
            })
            .unwrap();
        let measures = measured();
        assert_eq!(measures.pool_timeouts, 1);
        assert_eq!(measures.pool_wait.count(), 2);
        assert!(Duration::from_nanos(measures.pool_wait.sum) >= most);
        assert_eq!(measures.oldest_read, Duration::ZERO);
        let looks = measures
            .work
            .iter()
            .find(|(op, _)| *op == Op::Look)
            .unwrap();
        assert_eq!(looks.1.count(), 1);
        assert!(Duration::from_nanos(looks.1.sum) >= Duration::from_millis(3));
    }
}
