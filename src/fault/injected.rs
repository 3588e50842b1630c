//! Faults that lines on a Unix socket ask for.
//!
//! Each line is answered `ok`, with a number where one was asked for, or what is wrong with it:
//!
//! | line | what happens |
//! |---|---|
//! | `reads CODE N`, `writes CODE N` | the next N reads, or groups of writes, fail: busy, full, ioerr, readonly, corrupt, … |
//! | `slow-reads MS N`, `slow-writes MS N` | they keep their connection, or the write turn, for so long first |
//! | `panic N`, `panic-blocking N` | the next N requests panic on their worker, or in the blocking pool |
//! | `block MS N` | the next N requests keep their worker from all others for so long |
//! | `sampler off`, `sampler on` | it stops looking, and goes on |
//! | `look` | the whole file is looked over, as it is once a day |
//! | `instruments off`, `instruments on` | requests and the store are not measured, and are again: what measuring costs |
//! | `statements` | answered `ok N`: how many SQL statements were begun since the start, on any connection |
//! | `allocate BYTES`, `free` | the heap grows by so much, and shrinks by all of it |
//!
//! **Invariant:** what is asked for happens so many times and is over then.

#![allow(clippy::panic, reason = "a panic is what was asked for")]

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// Options of this build.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Take faults from this Unix socket
    #[arg(long, value_name = "PATH")]
    pub fault_socket: Option<PathBuf>,
}

/// Something that is to happen some more times.
struct Charge {
    left: AtomicU64,
    value: AtomicU64,
}

impl Charge {
    const fn none() -> Self {
        Self {
            left: AtomicU64::new(0),
            value: AtomicU64::new(0),
        }
    }

    fn set(&self, value: u64, times: u64) {
        self.left.store(0, Ordering::SeqCst);
        self.value.store(value, Ordering::SeqCst);
        self.left.store(times, Ordering::SeqCst);
    }

    fn take(&self) -> Option<u64> {
        let spent = |left: u64| left.checked_sub(1);
        self.left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, spent)
            .is_ok()
            .then(|| self.value.load(Ordering::SeqCst))
    }

    fn sleep(&self) {
        if let Some(millis) = self.take() {
            thread::sleep(Duration::from_millis(millis));
        }
    }
}

static READS: Charge = Charge::none();
static WRITES: Charge = Charge::none();
static SLOW_READS: Charge = Charge::none();
static SLOW_WRITES: Charge = Charge::none();
static PANICS: Charge = Charge::none();
static BLOCKING_PANICS: Charge = Charge::none();
static BLOCKS: Charge = Charge::none();
static LOOKS: Charge = Charge::none();
static SAMPLER_OFF: AtomicBool = AtomicBool::new(false);
static INSTRUMENTS_OFF: AtomicBool = AtomicBool::new(false);
static STATEMENTS: AtomicU64 = AtomicU64::new(0);
static HEAP: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// Listens on the socket, if one is named.
///
/// # Errors
/// It cannot be made.
pub fn listen(args: &Args) -> io::Result<()> {
    let Some(path) = &args.fault_socket else {
        return Ok(());
    };
    let listener = UnixListener::bind(path)?;
    thread::Builder::new().name("fault".into()).spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            // Whoever asked has gone; the next one may ask.
            let _gone = answer(&stream);
        }
    })?;
    Ok(())
}

fn answer(stream: &UnixStream) -> io::Result<()> {
    let mut replies = stream;
    for line in BufReader::new(stream).lines() {
        match obey(&line?) {
            Ok(None) => replies.write_all(b"ok\n")?,
            Ok(Some(number)) => writeln!(replies, "ok {number}")?,
            Err(wrong) => writeln!(replies, "{wrong}")?,
        }
    }
    Ok(())
}

fn obey(line: &str) -> Result<Option<u64>, String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match *words.as_slice() {
        ["reads", code, times] => READS.set(code_of(code)?, number(times)?),
        ["writes", code, times] => WRITES.set(code_of(code)?, number(times)?),
        ["slow-reads", millis, times] => SLOW_READS.set(number(millis)?, number(times)?),
        ["slow-writes", millis, times] => SLOW_WRITES.set(number(millis)?, number(times)?),
        ["panic", times] => PANICS.set(0, number(times)?),
        ["panic-blocking", times] => BLOCKING_PANICS.set(0, number(times)?),
        ["block", millis, times] => BLOCKS.set(number(millis)?, number(times)?),
        ["sampler", "off"] => SAMPLER_OFF.store(true, Ordering::SeqCst),
        ["sampler", "on"] => SAMPLER_OFF.store(false, Ordering::SeqCst),
        ["look"] => LOOKS.set(0, 1),
        ["instruments", "off"] => INSTRUMENTS_OFF.store(true, Ordering::SeqCst),
        ["instruments", "on"] => INSTRUMENTS_OFF.store(false, Ordering::SeqCst),
        ["statements"] => return Ok(Some(STATEMENTS.load(Ordering::SeqCst))),
        ["allocate", bytes] => {
            let bytes = usize::try_from(number(bytes)?).map_err(|error| error.to_string())?;
            // Not zeros, which the system would give without giving memory.
            heap().push(vec![1; bytes]);
        }
        ["free"] => heap().clear(),
        _ => return Err(format!("unknown: {line}")),
    }
    Ok(None)
}

fn heap() -> std::sync::MutexGuard<'static, Vec<Vec<u8>>> {
    HEAP.lock().unwrap_or_else(PoisonError::into_inner)
}

fn number(word: &str) -> Result<u64, String> {
    word.parse().map_err(|_| format!("no number: {word}"))
}

/// SQLite's primary codes, from its documentation.
fn code_of(word: &str) -> Result<u64, String> {
    let known = [
        ("busy", 5),
        ("locked", 6),
        ("nomem", 7),
        ("readonly", 8),
        ("interrupt", 9),
        ("ioerr", 10),
        ("corrupt", 11),
        ("full", 13),
        ("cantopen", 14),
        ("protocol", 15),
        ("toobig", 18),
        ("constraint", 19),
        ("notadb", 26),
    ];
    let found = known.iter().find(|(name, _)| *name == word);
    found
        .map(|(_, code)| *code)
        .ok_or_else(|| format!("unknown code: {word}"))
}

/// The engine's code that a read is to fail with.
pub fn of_read() -> Option<i32> {
    SLOW_READS.sleep();
    READS.take().and_then(|code| i32::try_from(code).ok())
}

/// The engine's code that a group of writes is to fail with.
pub fn of_write() -> Option<i32> {
    SLOW_WRITES.sleep();
    WRITES.take().and_then(|code| i32::try_from(code).ok())
}

/// What befalls a request on its worker.
pub fn of_request() {
    BLOCKS.sleep();
    if PANICS.take().is_some() {
        panic!("a fault on purpose");
    }
}

/// What befalls a call on the blocking pool.
pub fn of_blocking() {
    if BLOCKING_PANICS.take().is_some() {
        panic!("a fault on purpose");
    }
}

/// Whether the sampler is to do nothing.
pub fn stops_sampler() -> bool {
    SAMPLER_OFF.load(Ordering::SeqCst)
}

/// Whether the file is to be looked over now.
pub fn wants_look() -> bool {
    LOOKS.take().is_some()
}

/// Whether requests and the store are measured.
pub fn measures() -> bool {
    !INSTRUMENTS_OFF.load(Ordering::Relaxed)
}

/// A statement was begun.
pub fn note_statement() {
    STATEMENTS.fetch_add(1, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_happens_as_often_as_was_asked_and_not_again() {
        obey("reads ioerr 2").unwrap();
        assert_eq!(
            [of_read(), of_read(), of_read()],
            [Some(10), Some(10), None]
        );
        assert_eq!(of_write(), None);
    }

    #[test]
    fn a_line_that_means_nothing_is_answered_so() {
        for line in [
            "",
            "reads",
            "reads ioerr",
            "reads nothing 1",
            "reads ioerr x",
            "sampler maybe",
            "instruments",
        ] {
            assert!(obey(line).is_err(), "{line}");
        }
    }
}
