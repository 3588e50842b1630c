//! The embedded engine: one SQLite file, one writer thread, a pool of readers.
//!
//! *Writing.* A write is a closure over a [`unit::Unit`], queued to the writer, which runs many in one transaction and
//! commits once ([`writer`], [`group`]). Among processes, whoever waits is next ([`turn`]). What is counted is counted by the
//! same transaction ([`unit::Effects`]) and published after its commit; the log goes into the file when the writer
//! says ([`checkpoint`]), and the index becomes one segment in the gaps between writes ([`settle`]).
//!
//! *Reading.* A read is a closure over a read-only connection, in a transaction of its own ([`readers`]). It sees the
//! last commit and never waits for the writer. What reads keep for the next ones (what is known of passages, what stands
//! in every bundle) is kept with the tenant's counts of writes or of erasures, which every transaction keeps, so that it
//! is never older than the snapshot.
//!
//! *Rows.* Text stands once, in `event`, `handoff` or `artifact`; a `chunk` is a byte range of it; `term_index` holds
//! the terms of each chunk under the chunk's number, each with its tenant's number in front ([`passage`]). Recall
//! takes candidates from there ([`recall`]). A tenant or session that is being forgotten is marked, invisible at
//! once, and taken out in slices ([`forget`]).
//!
//! *A command* opens one connection for both, runs a group of one, and starts nothing in the background.
//!
//! **Invariant:** SQL and rusqlite's types stand under this module alone.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;

use crate::domain::{Actor, Caller, Stat, TenantId, Timestamp, Via};
use crate::store::measure::{Measures, Op};
use crate::store::sqlite::checkpoint::Checkpointer;
use crate::store::sqlite::group::Group;
use crate::store::sqlite::key::Watch;
use crate::store::sqlite::mover::Mover;
use crate::store::sqlite::place::Place;
use crate::store::sqlite::published::Published;
use crate::store::sqlite::readers::{Readers, within_transaction};
use crate::store::sqlite::sampler::Sampler;
use crate::store::sqlite::turn::Turn;
use crate::store::sqlite::unit::Unit;
use crate::store::sqlite::writer::{QUEUE_CAPACITY, Writer};
use crate::store::{
    Health, OpenError, Options, Pending, PoolState, Role, StoreError, Version, Wait,
};

mod artifact;
mod audit;
mod backup;
mod busy;
mod checkpoint;
mod chunk;
mod consolidation;
mod context;
mod copy;
mod decision;
mod error;
mod event;
mod examine;
mod export;
mod file;
mod forget;
mod group;
mod handoff;
mod idempotency;
mod identity;
mod import;
mod key;
mod log;
mod measured;
mod mount;
mod mover;
mod note;
mod pages;
mod passage;
mod place;
mod principle;
mod project;
mod published;
mod readers;
mod recall;
mod reflection;
mod repair;
mod restore;
mod retention;
mod rows;
mod sampler;
mod schema;
mod session;
mod settle;
mod stat;
mod task;
#[cfg(test)]
mod testing;
mod traced;
mod transcript;
mod turn;
mod unit;
mod wake_up;
mod writer;

pub(in crate::store) use consolidation::Turn as ConsolidationTurn;
pub(in crate::store) use copy::remove_unfinished;
pub(in crate::store) use repair::{repair, salvage};
pub(in crate::store) use restore::{check_copy, restore};

/// The schema that this version reads and writes.
pub fn schema_version() -> i64 {
    schema::schema_version()
}

/// The version of the engine's library.
pub fn engine_version() -> &'static str {
    rusqlite::version()
}

/// An open file, in the hands of somebody. Cheap to clone; the last clone's end closes the file.
#[derive(Debug, Clone)]
pub struct Sqlite {
    engine: Arc<Engine>,
    /// Whose writes these are, for the audit.
    actor: Actor,
}

#[derive(Debug)]
struct Engine {
    mode: Mode,
    path: PathBuf,
    kept: recall::Kept,
    standings: context::Standings,
    /// A server's keys.
    watch: Option<Watch>,
    // Tells other processes that the file is in use, until it is dropped.
    _presence: File,
}

#[derive(Debug)]
enum Mode {
    Server {
        writer: Writer,
        readers: Readers,
        sampler: Sampler,
    },
    Command {
        group: Box<Mutex<(Group, Checkpointer)>>,
        published: Arc<Published>,
    },
}

impl Sqlite {
    pub(in crate::store) fn open(options: &Options, now: Timestamp) -> Result<Self, OpenError> {
        let opened = file::open(options, now)?;
        let path = options.path.clone();
        let io = |error: std::io::Error| OpenError::Unusable {
            path: path.clone(),
            reason: format!("its lock files cannot be used: {error}"),
            source: None,
        };
        let group = Group::new(
            opened.connection,
            Turn::open(&path).map_err(io)?,
            Place::of(&path).map_err(io)?,
            options.write_wait,
            Published::new(options.readers, options.max_log_bytes),
        );
        group.published().measured.note_dirty_start(opened.dirty);
        let wal = examine::with_suffix(&path, "-wal");
        let watch = match options.role {
            Role::Server => Some(Watch::open(&path).map_err(|error| OpenError::Unusable {
                path: path.clone(),
                reason: "its keys cannot be read".to_owned(),
                source: Some(Box::new(error)),
            })?),
            Role::Command => None,
        };
        let mode = match options.role {
            Role::Server => Mode::Server {
                sampler: Sampler::start(&path, &group.published()).map_err(io)?,
                readers: Readers::open(options, group.published())?,
                writer: {
                    let connection = file::connect(&path, options)?;
                    let mover = Mover::start(connection, group.published()).map_err(io)?;
                    Writer::start(group, wal, Some(mover)).map_err(io)?
                },
            },
            Role::Command => Mode::Command {
                published: group.published(),
                group: {
                    let checkpointer = Checkpointer::new(wal, group.published(), None);
                    Box::new(Mutex::new((group, checkpointer)))
                },
            },
        };
        let engine = Engine {
            mode,
            path,
            kept: recall::Kept::default(),
            standings: context::Standings::default(),
            watch,
            _presence: opened.presence,
        };
        Ok(Self {
            engine: Arc::new(engine),
            actor: Actor {
                via: Via::Job,
                key: None,
                address: None,
            },
        })
    }

    /// The same file in the hands of a caller.
    pub(in crate::store) fn by(&self, caller: &Caller) -> Self {
        Self {
            engine: Arc::clone(&self.engine),
            actor: caller.actor.clone(),
        }
    }

    /// Queues a unit that holds about `bytes` of text; a command runs it now.
    fn write<T: Send + 'static>(
        &self,
        op: Op,
        bytes: usize,
        work: impl FnOnce(&mut Unit<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<Pending<T>, StoreError> {
        let actor = self.actor.clone();
        let work = move |unit: &mut Unit<'_>| {
            unit.actor = actor;
            work(unit)
        };
        match &self.engine.mode {
            Mode::Server { writer, .. } => writer.submit(op, bytes, work),
            Mode::Command { group, .. } => {
                let mut held = group.lock().unwrap_or_else(PoisonError::into_inner);
                let (group, checkpointer) = &mut *held;
                let answer = group.run_one(op, work).wait();
                // What was erased leaves the log by `scrub`, once for all of the command.
                checkpointer.after_group(group.connection(), false);
                Ok(Pending::done(answer))
            }
        }
    }

    /// Runs a read in a transaction of its own.
    fn read<T>(
        &self,
        op: Op,
        wait: Wait,
        read: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let outcome = match &self.engine.mode {
            Mode::Server { readers, .. } => readers.read(op, wait, read),
            Mode::Command { group, .. } => {
                let held = group.lock().unwrap_or_else(PoisonError::into_inner);
                within_transaction(held.0.connection(), read)
            }
        };
        if let Err(failure) = &outcome {
            self.published().note_failure(failure);
        }
        outcome
    }

    fn published(&self) -> &Published {
        match &self.engine.mode {
            Mode::Server { writer, .. } => writer.published(),
            Mode::Command { published, .. } => published,
        }
    }

    /// What the writer tells, for its own units; a command has no queue to look at.
    fn shared(&self) -> Option<Arc<Published>> {
        match &self.engine.mode {
            Mode::Server { writer, .. } => Some(writer.shared()),
            Mode::Command { .. } => None,
        }
    }

    fn path(&self) -> &Path {
        &self.engine.path
    }

    fn wal_path(&self) -> PathBuf {
        examine::with_suffix(self.path(), "-wal")
    }

    pub(in crate::store) fn prove_write(&self, now: Timestamp) -> Result<Pending<()>, StoreError> {
        self.write(Op::Probe, 0, move |unit| {
            unit.execute("update store set proved_at = ?1", [now.millis()])?;
            Ok(())
        })
    }

    pub(in crate::store) fn version(
        &self,
        wait: Wait,
        tenant: &TenantId,
    ) -> Result<Option<Version>, StoreError> {
        self.read(Op::Version, wait, |connection| {
            let sql =
                "select tenant_no, write_seq from tenant where name = ?1 and forgotten_at is null";
            Ok(unit::find(connection, sql, [tenant.as_str()], |row| {
                Ok(Version {
                    tenant_no: row.get(0)?,
                    writes: row.get(1)?,
                })
            })?)
        })
    }

    pub(in crate::store) fn count_recall(&self, empty: bool) {
        self.published().count_recall(empty);
    }

    pub(in crate::store) fn flush_counts(&self) -> Result<(), StoreError> {
        match &self.engine.mode {
            Mode::Command { .. } if self.published().recalls_wait() => {
                self.write(Op::Probe, 0, |_| Ok(()))?.wait()
            }
            Mode::Command { .. } | Mode::Server { .. } => Ok(()),
        }
    }

    pub(in crate::store) fn scrub(&self) -> Result<(), StoreError> {
        match &self.engine.mode {
            // The writer does it by itself.
            Mode::Server { .. } => Ok(()),
            Mode::Command { group, .. } => {
                let held = group.lock().unwrap_or_else(PoisonError::into_inner);
                if checkpoint::empty(held.0.connection()) {
                    Ok(())
                } else {
                    Err(StoreError::Overloaded)
                }
            }
        }
    }

    pub(in crate::store) fn stats(&self) -> Arc<BTreeMap<Stat, i64>> {
        self.published().stats()
    }

    pub(in crate::store) fn fresh_stats(
        &self,
        wait: Wait,
    ) -> Result<BTreeMap<Stat, i64>, StoreError> {
        self.read(Op::Look, wait, |connection| {
            Ok(stat::stored_stats(connection)?)
        })
    }

    pub(in crate::store) fn health(&self) -> Health {
        let (checked_at, age) = self.published().checked();
        let readers = match &self.engine.mode {
            Mode::Server { readers, .. } => readers.state(),
            Mode::Command { .. } => PoolState {
                total: 1,
                idle: 1,
                waiting: 0,
            },
        };
        Health {
            usable: self.published().usable(),
            damaged: self.published().damaged(),
            checked_at,
            age,
            queue_depth: self.published().depth(),
            queue_capacity: QUEUE_CAPACITY,
            readers,
            log_frames: self.published().log_frames(),
        }
    }

    pub(in crate::store) fn measures(&self) -> Measures {
        let published = self.published();
        published.measured.read(
            self.path(),
            published.log_frames(),
            &self.engine.kept.searched,
        )
    }

    #[expect(
        clippy::unused_self,
        unsafe_code,
        reason = "SQLite keeps one sum for the process; reading it has no precondition"
    )]
    pub(in crate::store) fn engine_bytes(&self) -> u64 {
        // SAFETY: takes no argument, and locks or uses atomics by itself.
        u64::try_from(unsafe { rusqlite::ffi::sqlite3_memory_used() }).unwrap_or(0)
    }

    pub(in crate::store) fn close(&self) {
        self.engine.close();
    }
}

impl Engine {
    fn close(&self) {
        if let Mode::Server {
            writer, sampler, ..
        } = &self.mode
        {
            sampler.stop();
            writer.stop();
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_writes_much_keeps_the_log_short() {
        let dir = tempfile::tempdir().unwrap();
        let options = testing::options(&dir, Role::Command);
        let store = Sqlite::open(&options, Timestamp::from_millis(0)).unwrap();
        let mut longest = 0;
        for round in 0..64_u32 {
            let write = store.write(Op::Probe, 0, move |unit| {
                let sql = "insert into artifact (tenant_no, id, event_seq, kind, bytes, meta, body)
                     values (1, ?1, 1, 0, 0, '{}', hex(zeroblob(500000)))";
                unit.execute(sql, [round.to_be_bytes()])?;
                Ok(())
            });
            write.unwrap().wait().unwrap();
            longest = longest.max(std::fs::metadata(store.wal_path()).unwrap().len());
        }
        // 64 MB were written; the bound is 16 MB and a unit.
        assert!(longest < 20_000_000, "{longest}");
    }
}
