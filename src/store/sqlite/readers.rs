//! The read-only connections of a server, which never wait for the writer.
//!
//! A read that runs for too long is stopped by SQLite itself: a caller that has given up must not leave a thread and a
//! connection at work behind it.
//!
//! **Invariant:** a read is one transaction, so that what it reads is of one moment.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use r2d2::Pool;
use r2d2_sqlite::SqliteConnectionManager;
use rusqlite::Connection;
use rusqlite::ffi::SQLITE_INTERRUPT;

use crate::store::sqlite::file;
use crate::store::{OpenError, Options, PoolState, StoreError, Wait};

/// Steps of SQLite's machine from one look at the clock to the next: some 0.2 ms, so that looking costs nothing that
/// can be measured and a read ends within a millisecond of its time.
const STEPS_A_LOOK: i32 = 10_000;

/// The pool.
#[derive(Debug)]
pub(super) struct Readers {
    pool: Pool<SqliteConnectionManager>,
    waiting: AtomicU32,
    read_time: Option<Duration>,
}

impl Readers {
    /// Opens the connections.
    pub(super) fn open(options: &Options) -> Result<Self, OpenError> {
        let manager = SqliteConnectionManager::file(&options.path)
            .with_flags(file::read_only_flags())
            .with_init(file::configure_reader);
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
            waiting: AtomicU32::new(0),
            read_time: options.read_time,
        })
    }

    /// Runs a read in its own transaction, for as long as a read may run.
    pub(super) fn read<T>(
        &self,
        wait: Wait,
        read: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let connection = match self.pool.try_get() {
            Some(connection) => connection,
            None if wait == Wait::No => return Err(StoreError::Overloaded),
            None => {
                self.waiting.fetch_add(1, Ordering::Relaxed);
                let connection = self.pool.get();
                self.waiting.fetch_sub(1, Ordering::Relaxed);
                connection.map_err(|_| StoreError::Overloaded)?
            }
        };
        if let Some(time) = self.read_time {
            let end = Instant::now() + time;
            // It stays until the next read on this connection puts its own in the place.
            connection.progress_handler(STEPS_A_LOOK, Some(move || Instant::now() >= end))?;
        }
        within_transaction(&connection, read).map_err(|error| {
            if is_interrupted(&error) {
                tracing::warn!("a read was stopped: it took too long");
                return StoreError::Timeout;
            }
            error
        })
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
    use crate::store::sqlite::testing;

    /// Counts for ever, if it is let.
    const ENDLESS: &str =
        "with recursive n(i) as (select 1 union all select i + 1 from n) select max(i) from n";

    fn readers(dir: &tempfile::TempDir, read_time: Option<Duration>) -> Readers {
        drop(testing::group(dir));
        Readers::open(&Options {
            readers: 1,
            read_time,
            ..testing::options(dir, Role::Server)
        })
        .unwrap()
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
            let stopped = readers.read(Wait::No, |connection| one(connection, ENDLESS));
            assert!(matches!(stopped, Err(StoreError::Timeout)), "{stopped:?}");
            assert!(begun.elapsed() >= time);
            assert_eq!(readers.state().idle, 1);
            let seven = readers.read(Wait::No, |connection| one(connection, "select 7"));
            assert_eq!(seven.unwrap(), 7);
        }
    }

    #[test]
    fn each_read_has_the_whole_time() {
        let dir = tempfile::tempdir().unwrap();
        let readers = readers(&dir, Some(Duration::from_secs(3600)));
        let stopped = Instant::now() - Duration::from_secs(1);
        // What the read before has left behind would stop this one at once.
        let connection = readers.pool.get().unwrap();
        connection
            .progress_handler(1, Some(move || Instant::now() >= stopped))
            .unwrap();
        drop(connection);
        let counted = "with recursive n(i) as (select 1 union all select i + 1 from n limit 100000)
                       select max(i) from n";
        let counted = readers.read(Wait::No, |connection| one(connection, counted));
        assert_eq!(counted.unwrap(), 100_000);
    }
}
