//! The read-only connections of a server, which never wait for the writer.
//!
//! **Invariant:** a read is one transaction, so that what it reads is of one moment.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use r2d2::Pool;
use r2d2_sqlite::SqliteConnectionManager;
use rusqlite::Connection;

use crate::store::sqlite::file;
use crate::store::{OpenError, Options, PoolState, StoreError, Wait};

/// The pool.
#[derive(Debug)]
pub(super) struct Readers {
    pool: Pool<SqliteConnectionManager>,
    waiting: AtomicU32,
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
        })
    }

    /// Runs a read in its own transaction.
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
        within_transaction(&connection, read)
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
