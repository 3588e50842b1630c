//! Moves the log into the file beside the writer.
//!
//! Moving four thousand pages takes some twenty milliseconds, and whoever writes meanwhile waits for it. SQLite lets
//! another connection move what is committed while the writer goes on; only to begin the log anew, somebody has to move
//! the last pages between two commits, and that is the writer's ([`crate::store::sqlite::checkpoint`]).
//!
//! **Invariant:** it only moves what is committed; it decides nothing and writes no row.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use rusqlite::Connection;

use crate::store::measure::Move;
use crate::store::sqlite::checkpoint::{ended, run};
use crate::store::sqlite::published::Published;

/// The thread that moves, until it is dropped.
#[derive(Debug)]
pub(super) struct Mover {
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    working: Arc<Mutex<()>>,
}

impl Mover {
    /// Starts it on a connection of its own.
    pub(super) fn start(
        connection: Connection,
        published: Arc<Published>,
    ) -> std::io::Result<Self> {
        // One call that waits is enough: it moves all there is by then.
        let (wake, calls) = sync_channel(1);
        let working = Arc::new(Mutex::new(()));
        let held = Arc::clone(&working);
        let thread = thread::Builder::new().name("mover".into()).spawn(move || {
            while calls.recv().is_ok() {
                let _held = hold(&held);
                // Who is in the way is done soon, and a fault meets the writer too, who tells of it.
                let begun = Instant::now();
                let moved = run(&connection, "passive");
                published
                    .measured
                    .note_checkpoint(Move::Passive, ended(&moved), begun.elapsed());
                if let Err(error) = moved {
                    published.measured.note_fault(&error);
                    tracing::debug!(%error, "the log could not be moved");
                }
            }
        })?;
        Ok(Self {
            wake: Some(wake),
            thread: Some(thread),
            working,
        })
    }

    /// Asks it to move what is there, and does not wait.
    pub(super) fn wake(&self) {
        // It has been asked already, or is gone.
        let _asked = self.wake.as_ref().map(|wake| wake.try_send(()));
    }

    /// Keeps it from moving, after what it is at.
    pub(super) fn pause(&self) -> MutexGuard<'_, ()> {
        hold(&self.working)
    }
}

impl Drop for Mover {
    fn drop(&mut self) {
        drop(self.wake.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that moves the log panicked");
        }
    }
}

fn hold(working: &Mutex<()>) -> MutexGuard<'_, ()> {
    working.lock().unwrap_or_else(PoisonError::into_inner)
}
