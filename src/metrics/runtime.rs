//! The threads that answer, what went wrong in them, and the scrape itself.
//!
//! A worker is one thread with one timer of ours: what is late there is late for every connection of that worker, so the
//! lag shows a call that blocks where none may. A worker that has not come back for a second counts as stalled, which the
//! distribution could tell only after it has.
//!
//! Panics and log lines are counted where the process has one hook for all servers in it, so they are the process's.
//!
//! **Invariant:** counting a panic or a line of the log neither allocates nor fails.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError, Weak};
use std::time::{Duration, Instant};

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::metrics::distribution::{Distribution, Frozen};
use crate::metrics::encode::{Body, Kind};

/// How often a worker looks at the time: ten wake-ups a second are a thousandth of a core.
const TICK: Duration = Duration::from_millis(100);
/// A worker that is this late counts as stalled.
const STALLED: Duration = Duration::from_secs(1);
/// The timers of the runtime are fine to a millisecond.
const LAGS: &[f64] = &[
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0,
];

static PANICS: AtomicU64 = AtomicU64::new(0);
static LINES: [AtomicU64; 5] = [const { AtomicU64::new(0) }; 5];
const LEVELS: [(Level, &str); 5] = [
    (Level::ERROR, "error"),
    (Level::WARN, "warn"),
    (Level::INFO, "info"),
    (Level::DEBUG, "debug"),
    (Level::TRACE, "trace"),
];

/// Counts panics from now on, and puts them in the log; what was done about them before goes on being done.
pub fn count_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICS.fetch_add(1, Ordering::Relaxed);
            let place = panic.location().map(ToString::to_string);
            tracing::error!(place, "a thread panicked");
            before(panic);
        }));
    });
}

/// Counts the lines of the log by level: those that are written, if it stands behind the filter.
#[derive(Debug)]
pub struct Lines;

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let level = event.metadata().level();
        let counts = LEVELS.iter().zip(&LINES);
        for (_, count) in counts.filter(|((known, _), _)| known == level) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The series of the threads and of the scrape.
#[derive(Debug)]
pub(super) struct Runtime {
    started: Instant,
    lag: Distribution,
    workers: Mutex<Vec<Weak<Worker>>>,
    encode_nanos: AtomicU64,
    series: AtomicUsize,
}

/// A worker's last sign of life, in nanoseconds since the start.
#[derive(Debug)]
struct Worker(AtomicU64);

impl Runtime {
    pub(super) fn new(started: Instant) -> Self {
        Self {
            started,
            lag: Distribution::of_nanos(LAGS),
            workers: Mutex::default(),
            encode_nanos: AtomicU64::new(0),
            series: AtomicUsize::new(0),
        }
    }

    /// Watches the thread it runs on, until the thread's runtime ends.
    pub(super) async fn watch(&self) {
        let worker = Arc::new(Worker(AtomicU64::new(self.now())));
        self.workers().push(Arc::downgrade(&worker));
        loop {
            let due = tokio::time::Instant::now() + TICK;
            tokio::time::sleep_until(due).await;
            let late = nanos(due.elapsed());
            self.lag.observe(late);
            worker.0.store(self.now(), Ordering::Relaxed);
        }
    }

    /// Notes what a scrape took and came to, for the next one.
    pub(super) fn note_scrape(&self, took: Duration, series: usize) {
        self.encode_nanos.store(nanos(took), Ordering::Relaxed);
        self.series.store(series, Ordering::Relaxed);
    }

    pub(super) fn freeze(&self) -> Threads {
        let now = self.now();
        let mut workers = self.workers();
        workers.retain(|worker| worker.strong_count() > 0);
        let signs = workers
            .iter()
            .filter_map(Weak::upgrade)
            .map(|worker| worker.0.load(Ordering::Relaxed));
        let (stalled, responsive) = signs.fold((0, 0), |(stalled, responsive), sign| {
            if now.saturating_sub(sign) > nanos(TICK + STALLED) {
                (stalled + 1, responsive)
            } else {
                (stalled, responsive + 1)
            }
        });
        Threads {
            lag: self.lag.freeze(),
            responsive,
            stalled,
            panics: PANICS.load(Ordering::Relaxed),
            lines: LINES.each_ref().map(|count| count.load(Ordering::Relaxed)),
            encode: Duration::from_nanos(self.encode_nanos.load(Ordering::Relaxed)),
            series: self.series.load(Ordering::Relaxed),
        }
    }

    fn workers(&self) -> std::sync::MutexGuard<'_, Vec<Weak<Worker>>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        nanos(self.started.elapsed())
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// What the threads were at one moment.
#[derive(Debug)]
pub(super) struct Threads {
    lag: Frozen,
    responsive: u64,
    stalled: u64,
    panics: u64,
    lines: [u64; 5],
    encode: Duration,
    series: usize,
}

impl Threads {
    /// Writes every family; `blocking` is how many calls have a thread of the blocking pool, and how many can.
    pub(super) fn expose(&self, body: &mut Body, blocking: (usize, usize)) {
        body.family(
            "agent_memory_worker_lag_seconds",
            Kind::Histogram,
            "How late a worker is that looks at the time ten times a second; a call that blocks it shows here.",
        );
        body.histogram(&[], self.lag.snapshot());
        body.family(
            "agent_memory_workers",
            Kind::Gauge,
            "Workers: responsive, or stalled for over a second.",
        );
        body.sample(&[("state", "responsive")], self.responsive);
        body.sample(&[("state", "stalled")], self.stalled);
        body.family(
            "agent_memory_blocking_threads",
            Kind::Gauge,
            "Calls admitted to the blocking pool now, and most that are at once.",
        );
        body.sample(&[("state", "busy")], blocking.0);
        body.sample(&[("state", "limit")], blocking.1);
        body.one(
            "agent_memory_panics_total",
            Kind::Counter,
            "Panics in any thread of the process.",
            self.panics,
        );
        body.family(
            "agent_memory_log_messages_total",
            Kind::Counter,
            "Lines written to the log.",
        );
        for ((_, level), count) in LEVELS.iter().zip(self.lines) {
            body.sample(&[("level", level)], count);
        }
        body.one(
            "agent_memory_metrics_encode_seconds",
            Kind::Gauge,
            "Time that the scrape before this one took to be written.",
            self.encode.as_secs_f64(),
        );
        body.one(
            "agent_memory_metrics_series",
            Kind::Gauge,
            "Series that the scrape before this one had.",
            self.series,
        );
    }
}
