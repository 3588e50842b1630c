//! Whose turn it is to write, among all processes on one file.
//!
//! SQLite alone does not share fairly: while one process commits groups flat out, another that sleeps in its busy
//! handler starves. So every group takes the file lock `FILE.gate`, then `FILE.turn`, and lets go of the gate: whoever
//! waits for the turn holds the gate, and the one that has just written has to queue behind it.
//!
//! `std::fs::File::lock` blocks without a deadline, and polling would not be fair. So the locks are first tried, which
//! costs nothing when nobody else writes; where that fails, a thread of its own blocks on them, and the writer waits
//! for that thread, up to a deadline. A thread that gets the turn after its writer has given up lets it go again.
//!
//! **Invariant:** the turn is held only from before `BEGIN IMMEDIATE` to after `COMMIT`, never while idle.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The two locks of one process.
#[derive(Debug)]
pub(super) struct Turn {
    locks: Arc<Locks>,
}

#[derive(Debug)]
struct Locks {
    gate: File,
    turn: File,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nobody of this process wants the turn.
    Idle,
    /// A helper blocks on the locks; `wanted` tells whether its writer still waits.
    Waiting { wanted: bool },
    /// The turn is ours.
    Held,
    /// The helper's locks failed.
    Failed,
}

/// The turn, until dropped.
#[derive(Debug)]
pub(super) struct Held<'a>(&'a Locks);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        set(&self.0.state, State::Idle);
        if let Err(error) = self.0.turn.unlock() {
            tracing::error!(%error, "the write turn could not be let go");
        }
    }
}

impl Turn {
    /// Opens (and creates) the lock files beside `path`.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self {
            locks: Arc::new(Locks {
                gate: lock_file(path, "gate")?,
                turn: lock_file(path, "turn")?,
                state: Mutex::new(State::Idle),
                changed: Condvar::new(),
            }),
        })
    }

    /// Waits for the turn until `deadline`.
    pub(super) fn take(&self, deadline: Instant) -> io::Result<Held<'_>> {
        let locks = &*self.locks;
        let mut state = locked(&locks.state);
        if *state == State::Idle && locks.try_both()? {
            *state = State::Held;
            return Ok(Held(locks));
        }
        match *state {
            State::Waiting { .. } => *state = State::Waiting { wanted: true },
            State::Idle | State::Failed | State::Held => {
                *state = State::Waiting { wanted: true };
                let locks = Arc::clone(&self.locks);
                thread::Builder::new()
                    .name("turn".into())
                    .spawn(move || locks.block())?;
            }
        }
        loop {
            match *state {
                State::Held => return Ok(Held(locks)),
                State::Failed | State::Idle => {
                    *state = State::Idle;
                    return Err(io::Error::other(
                        "the lock files of the store cannot be locked",
                    ));
                }
                State::Waiting { .. } => {}
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                *state = State::Waiting { wanted: false };
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "another process kept the write turn",
                ));
            }
            state = locks
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

impl Locks {
    /// Both locks without waiting. Not asking the gate first would be to push in front.
    fn try_both(&self) -> io::Result<bool> {
        if !try_lock(&self.gate)? {
            return Ok(false);
        }
        let taken = try_lock(&self.turn);
        self.gate.unlock()?;
        taken
    }

    fn block(&self) {
        let taken = self.gate.lock().and_then(|()| {
            let taken = self.turn.lock();
            self.gate.unlock().and(taken)
        });
        let mut state = locked(&self.state);
        *state = match (*state, taken) {
            (_, Err(error)) => {
                tracing::error!(%error, "waiting for the write turn failed");
                State::Failed
            }
            (State::Waiting { wanted: true }, Ok(())) => State::Held,
            (_, Ok(())) => {
                if let Err(error) = self.turn.unlock() {
                    tracing::error!(%error, "the write turn could not be let go");
                }
                State::Idle
            }
        };
        drop(state);
        self.changed.notify_all();
    }
}

fn set(state: &Mutex<State>, to: State) {
    *locked(state) = to;
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn try_lock(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(std::fs::TryLockError::WouldBlock) => Ok(false),
        Err(std::fs::TryLockError::Error(error)) => Err(error),
    }
}

/// `FILE.suffix`, readable by its owner alone.
pub(super) fn lock_file(path: &Path, suffix: &str) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(beside(path, suffix))
}

/// The path of a file that stands beside the store's.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

/// Blocks on a lock by trying it until `deadline`; for locks where fairness does not matter.
pub(super) fn lock_until(
    deadline: Instant,
    mut attempt: impl FnMut() -> io::Result<bool>,
) -> io::Result<bool> {
    loop {
        if attempt()? {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
        thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(50)
    }

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    #[test]
    fn one_turn_at_a_time_and_a_deadline_for_the_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.db");
        let (one, two) = (Turn::open(&path).unwrap(), Turn::open(&path).unwrap());
        let held = one.take(later()).unwrap();
        assert_eq!(
            two.take(soon()).unwrap_err().kind(),
            io::ErrorKind::TimedOut
        );
        drop(held);
        drop(two.take(later()).unwrap());
        drop(one.take(later()).unwrap());
    }

    #[test]
    fn a_turn_that_came_too_late_is_let_go() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.db");
        let (one, two) = (Turn::open(&path).unwrap(), Turn::open(&path).unwrap());
        let held = one.take(later()).unwrap();
        assert!(two.take(soon()).is_err());
        drop(held);
        // The helper of `two` gets the turn now and nobody wants it; `one` must not wait for ever.
        for _ in 0..20 {
            drop(one.take(later()).unwrap());
        }
    }

    #[test]
    fn whoever_waits_is_next() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.db");
        let (greedy, modest) = (Turn::open(&path).unwrap(), Turn::open(&path).unwrap());
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            while !flag.load(std::sync::atomic::Ordering::Relaxed) {
                let held = greedy.take(later()).unwrap();
                thread::sleep(Duration::from_millis(1));
                drop(held);
            }
        });
        for _ in 0..50 {
            let start = Instant::now();
            drop(modest.take(later()).unwrap());
            assert!(start.elapsed() < Duration::from_millis(500), "starved");
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        thread.join().unwrap();
    }
}
