//! What nobody comes by in passing: how large the file is, how much room there is, whether all of it is sound.
//!
//! Two threads with connections of their own, so that a scrape reads what they left, and pool and writer know nothing of
//! them. The *sampler* looks at little things every ten seconds, which is also how reading is proved to work. The
//! *examiner* reads the whole file once a day while nobody writes: it looks for damage, and counts anew what writes keep
//! counts of.
//!
//! **Invariant:** stopping waits for neither: whatever they are at is interrupted.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rusqlite::Connection;

use crate::domain::Timestamp;
use crate::fault;
use crate::store::StoreError;
use crate::store::sqlite::error::injected;
use crate::store::sqlite::examine::drift;
use crate::store::sqlite::file::{open_reader, pragma};
use crate::store::sqlite::published::{Published, wall_clock};
use crate::store::sqlite::readers::within_transaction;

/// From the study: Prometheus scrapes each 10 to 15 s.
const SAMPLE_EVERY: Duration = Duration::from_secs(10);
/// How often the examiner looks whether it is time.
const TICK: Duration = Duration::from_secs(1);
/// From one examination to the next; how long after the start the first one is; and how long nobody must have written.
/// If somebody always does, it comes after two days all the same: it takes a core for a second a gigabyte and keeps the
/// log from beginning anew meanwhile, no more.
const EXAMINE_EVERY_MS: i64 = 24 * 3600 * 1000;
const EXAMINE_FIRST_MS: i64 = 10 * 60 * 1000;
const IDLE_MS: i64 = 60 * 1000;
/// Steps of SQLite's machine between two looks at whether to stop.
const STEPS_A_LOOK: i32 = 10_000;

/// Both threads, until dropped.
#[derive(Debug)]
pub(super) struct Sampler {
    bell: Arc<Bell>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// Says that it is time to stop, and wakes whoever sleeps.
#[derive(Debug, Default)]
struct Bell {
    stopped: Mutex<bool>,
    rung: Condvar,
}

impl Bell {
    fn state(&self) -> MutexGuard<'_, bool> {
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stopped(&self) -> bool {
        *self.state()
    }

    /// Sleeps for so long, or until it is time to stop; then true.
    fn sleep(&self, time: Duration) -> bool {
        let slept = self
            .rung
            .wait_timeout_while(self.state(), time, |stopped| !*stopped);
        *slept.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Sampler {
    /// Looks once, and starts the threads.
    pub(super) fn start(path: &Path, published: &Arc<Published>) -> std::io::Result<Self> {
        let bell = Arc::new(Bell::default());
        let mut look = Look::new(path, published, &bell);
        look.sample();
        let (sampling, name) = (
            Arc::clone(&bell),
            thread::Builder::new().name("sampler".into()),
        );
        let sampler = name.spawn(move || {
            while !sampling.sleep(SAMPLE_EVERY) {
                if !fault::stops_sampler() {
                    look.sample();
                }
            }
        })?;
        let look = Look::new(path, published, &bell);
        let (examining, name) = (
            Arc::clone(&bell),
            thread::Builder::new().name("examiner".into()),
        );
        let examiner = name.spawn(move || {
            let mut last = wall_clock() + EXAMINE_FIRST_MS - EXAMINE_EVERY_MS;
            while !examining.sleep(TICK) {
                let now = wall_clock();
                if fault::wants_look() || is_due(now, last, look.published.measured.last_write()) {
                    last = now;
                    look.examine();
                }
            }
        })?;
        Ok(Self {
            bell,
            threads: Mutex::new(vec![sampler, examiner]),
        })
    }

    /// Ends the threads.
    pub(super) fn stop(&self) {
        *self.bell.state() = true;
        self.bell.rung.notify_all();
        let threads =
            std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a thread that looks at the file panicked");
            }
        }
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.stop();
    }
}

fn is_due(now: i64, last: i64, written: i64) -> bool {
    let since = now - last;
    since >= 2 * EXAMINE_EVERY_MS || (since >= EXAMINE_EVERY_MS && now - written >= IDLE_MS)
}

/// What one of the threads looks with.
struct Look {
    path: PathBuf,
    published: Arc<Published>,
    bell: Arc<Bell>,
    connection: Option<Connection>,
}

impl Look {
    fn new(path: &Path, published: &Arc<Published>, bell: &Arc<Bell>) -> Self {
        Self {
            path: path.to_owned(),
            published: Arc::clone(published),
            bell: Arc::clone(bell),
            connection: None,
        }
    }

    /// A connection that ends what it is at when it is time to stop.
    fn connect(&self) -> rusqlite::Result<Connection> {
        let connection = open_reader(&self.path)?;
        let bell = Arc::clone(&self.bell);
        connection.progress_handler(STEPS_A_LOOK, Some(move || bell.stopped()))?;
        Ok(connection)
    }

    /// The little things.
    fn sample(&mut self) {
        let outcome = self.read_pages();
        if self.bell.stopped() {
            return;
        }
        self.published.note_readable(outcome.as_ref().err());
        let room = rustix::fs::statvfs(&self.path);
        if let (Ok([pages, free_pages, page_bytes]), Ok(room)) = (&outcome, room) {
            self.published.measured.sample(|sampled| {
                sampled.at = Timestamp::from_millis(wall_clock());
                (sampled.pages, sampled.free_pages, sampled.page_bytes) =
                    (*pages, *free_pages, *page_bytes);
                sampled.disk_bytes = room.f_blocks.saturating_mul(room.f_frsize);
                sampled.disk_free_bytes = room.f_bavail.saturating_mul(room.f_frsize);
            });
        }
    }

    /// Proves that the file can be read, by reading it.
    fn read_pages(&mut self) -> Result<[u64; 3], StoreError> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect()?,
        };
        let pages = within_transaction(&connection, |connection| {
            injected(fault::of_read())?;
            let _row: i64 =
                connection.query_row("select only_row from store", [], |row| row.get(0))?;
            let one = |name| {
                pragma::<i64>(connection, name).map(|count| u64::try_from(count).unwrap_or(0))
            };
            Ok([
                one("page_count")?,
                one("freelist_count")?,
                one("page_size")?,
            ])
        })?;
        // One that failed is not used again.
        self.connection = Some(connection);
        Ok(pages)
    }

    /// All of the file.
    fn examine(&self) {
        match self.look_over() {
            Ok(()) => {}
            Err(_) if self.bell.stopped() => {}
            Err(error) => {
                self.published.note_failure(&error);
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the file could not be looked over"
                );
            }
        }
    }

    fn look_over(&self) -> Result<(), StoreError> {
        let connection = self.connect()?;
        within_transaction(&connection, |connection| {
            injected(fault::of_read())?;
            let found: String =
                connection.query_row("pragma quick_check(1)", [], |row| row.get(0))?;
            if found == "ok" {
                let now = Timestamp::from_millis(wall_clock());
                self.published
                    .measured
                    .sample(|sampled| sampled.sound_at = now);
            } else {
                self.published.note_damage(&found);
            }
            let drifted = drift(connection)?;
            for wrong in &drifted {
                tracing::error!(wrong, "a kept count is wrong");
            }
            let (now, drifted) = (
                wall_clock(),
                u64::try_from(drifted.len()).unwrap_or(u64::MAX),
            );
            self.published.measured.sample(|sampled| {
                sampled.recounted_at = Timestamp::from_millis(now);
                sampled.drifted = drifted;
            });
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::measure::Sampled;
    use crate::store::sqlite::measured::Searched;
    use crate::store::sqlite::testing;

    fn look(dir: &tempfile::TempDir) -> Look {
        let published = Arc::new(Published::new(1, u64::MAX));
        Look::new(
            &dir.path().join("m.db"),
            &published,
            &Arc::new(Bell::default()),
        )
    }

    fn sampled(look: &Look) -> Sampled {
        look.published
            .measured
            .read(&look.path, (0, 0), &Searched::default())
            .sampled
    }

    #[test]
    fn it_is_due_once_a_day_when_nobody_writes_and_after_two_whoever_does() {
        let day = EXAMINE_EVERY_MS;
        assert!(!is_due(day - 1, 0, 0));
        assert!(is_due(day, 0, day - IDLE_MS));
        assert!(!is_due(day, 0, day - IDLE_MS + 1));
        assert!(is_due(2 * day, 0, 2 * day));
    }

    #[test]
    fn a_count_that_is_wrong_in_the_file_is_found_and_so_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let group = testing::group(&dir);
        let look = look(&dir);
        look.examine();
        let found = sampled(&look);
        assert!(found.sound_at.millis() > 0 && found.recounted_at.millis() > 0);
        assert_eq!(found.drifted, 0);
        let edit = "insert into stat values ('notes', '', 3), ('sessions', '', 1)
             on conflict do update set value = excluded.value";
        group.connection().execute_batch(edit).unwrap();
        look.examine();
        assert_eq!(sampled(&look).drifted, 2);
        assert!(!look.published.damaged());
    }

    #[test]
    fn a_file_that_cannot_be_read_is_not_up_until_it_can() {
        let dir = tempfile::tempdir().unwrap();
        drop(testing::group(&dir));
        let mut look = look(&dir);
        look.sample();
        let first = sampled(&look);
        assert!(
            first.pages > 0 && first.page_bytes == 4096 && first.disk_free_bytes > 0,
            "{first:?}"
        );
        assert!(first.disk_free_bytes <= first.disk_bytes, "{first:?}");
        let (path, away) = (dir.path().join("m.db"), dir.path().join("away.db"));
        look.connection = None;
        std::fs::rename(&path, &away).unwrap();
        look.sample();
        assert!(!look.published.usable());
        assert_eq!(sampled(&look), first);
        std::fs::rename(&away, &path).unwrap();
        look.sample();
        assert!(look.published.usable());
    }

    #[test]
    fn stopping_interrupts_an_examination() {
        let dir = tempfile::tempdir().unwrap();
        drop(testing::group(&dir));
        let look = look(&dir);
        *look.bell.state() = true;
        let connection = look.connect().unwrap();
        let endless =
            "with recursive n(i) as (select 1 union all select i + 1 from n) select max(i) from n";
        let read: rusqlite::Result<i64> = connection.query_row(endless, [], |row| row.get(0));
        assert!(read.is_err());
    }
}
