//! Requests and answers.
//!
//! The handles of every route are made at the start, with the text of their labels, so that counting a request is a
//! look-up in a map that never changes and some relaxed additions, and writing a series formats nothing but its number.
//!
//! **Invariant:** what a client sends decides which series moves, and never how many there are.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use foldhash::fast::FixedState;
use prometheus::{IntCounter, IntCounterVec, Registry};

use crate::fault;
use crate::metrics::counter::{self, Counters};
use crate::metrics::distribution::{Distribution, Frozen, Held, Slot};
use crate::metrics::encode::{Body, Exemplar, Kind, labels};
use crate::metrics::shard::Level;
use crate::metrics::{RouteLabel, UNMATCHED};

/// The value that stands for all other methods.
const OTHER_METHOD: &str = "OTHER";
/// The value that stands for all other statuses.
const OTHER_STATUS: &str = "other";
/// The methods that a route nobody registered is counted under: those of some route, and what a browser asks first.
const METHODS: &[&str] = &[
    "GET",
    "HEAD",
    "POST",
    "PATCH",
    "DELETE",
    "OPTIONS",
    OTHER_METHOD,
];
/// The failures that any request of a route can meet. A wrong method and a head that is too large match no route.
const FAILURES: &[u16] = &[400, 401, 403, 404, 408, 422, 429, 500, 503];
/// Those that a request that changes something can meet as well, and those of one with a body.
const CHANGE_FAILURES: &[u16] = &[409];
const BODY_FAILURES: &[u16] = &[413, 415];
/// Those that a request can meet that matched no route; 204 answers a browser that asks whether a page may ask.
const UNMATCHED_FAILURES: &[u16] = &[204, 400, 401, 403, 404, 405, 408, 413, 429, 431, 500, 503];
/// Half a millisecond to ten seconds: the client's defaults start at 5 ms, where an embedded store is done.
const DURATIONS: &[f64] = &[
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0,
];
/// 256 bytes, which an event has, to the 16 MiB of the largest artifact, by fours.
const SIZES: &[f64] = &[
    256.0,
    1_024.0,
    4_096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
];

/// Why a request was refused, beside what was wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Its head or its body is too large.
    TooLarge,
    /// It, or the answer to it, took too long.
    Timeout,
    /// Its Host, its Origin or its key may not.
    Forbidden,
    /// It showed no key that is good, where one is asked for.
    Unauthenticated,
    /// Its key or its address has asked too often.
    RateLimited,
    /// A queue or a room was full.
    Overloaded,
    /// The store could not be used.
    Unavailable,
}

impl Refusal {
    const ALL: [Self; 7] = [
        Self::TooLarge,
        Self::Timeout,
        Self::Forbidden,
        Self::Overloaded,
        Self::Unavailable,
        Self::Unauthenticated,
        Self::RateLimited,
    ];

    fn label(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Timeout => "timeout",
            Self::Forbidden => "forbidden",
            Self::Unauthenticated => "unauthenticated",
            Self::RateLimited => "rate_limited",
            Self::Overloaded => "overloaded",
            Self::Unavailable => "unavailable",
        }
    }
}

/// A request that was answered.
#[derive(Debug, Clone, Copy)]
pub struct Answered<'a> {
    /// The pattern it matched.
    pub pattern: Option<&'a str>,
    /// Its method.
    pub method: &'a str,
    /// The status of the answer.
    pub status: u16,
    /// From its head to the answer's.
    pub took: Duration,
    /// Its id.
    pub request_id: &'a str,
}

/// The series of requests.
#[derive(Debug)]
pub(super) struct Http {
    started: Instant,
    /// One for each path and method, in the order in which they are written.
    routes: Vec<Route>,
    /// The indices of a path's routes, by method. Looked up once a request, by names that are our own: nobody can make them
    /// collide.
    known: HashMap<&'static str, Vec<(&'static str, usize)>, FixedState>,
    /// The same of what matched no path, by method.
    unmatched: HashMap<&'static str, usize>,
    requests: IntCounterVec,
    in_flight: Level,
    abandoned: Counters,
    refused: Counters,
    overflow: Counters,
    request_bytes: Distribution,
    response_bytes: Distribution,
}

#[derive(Debug)]
struct Route {
    /// The text of its labels.
    labels: String,
    by_status: Vec<Status>,
    other: IntCounter,
    durations: Distribution,
    exemplars: Vec<Slot>,
}

#[derive(Debug)]
struct Status {
    code: u16,
    text: String,
    count: IntCounter,
}

impl Http {
    /// The series of a server with these routes.
    pub(super) fn new(
        routes: &[RouteLabel],
        started: Instant,
        registry: &Registry,
    ) -> prometheus::Result<Self> {
        let mut http = Self {
            started,
            routes: Vec::new(),
            known: HashMap::default(),
            unmatched: HashMap::new(),
            requests: counter::family(
                registry,
                "agent_memory_http_requests_total",
                "HTTP requests answered, by route pattern, method and status.",
                &["method", "path", "status"],
            )?,
            in_flight: Level::default(),
            abandoned: Counters::one(
                registry,
                "agent_memory_http_requests_abandoned_total",
                "HTTP requests whose client went away before they were answered.",
            )?,
            refused: Counters::split(
                registry,
                "agent_memory_http_rejected_total",
                "HTTP requests refused for what they would cost or who sent them: too_large, timeout, forbidden, \
                    unauthenticated (no key that is good), rate_limited, overloaded (a queue or a room was full), \
                    unavailable (the store).",
                "reason",
                &Refusal::ALL.map(Refusal::label),
            )?,
            overflow: Counters::split(
                registry,
                "agent_memory_label_overflow_total",
                "How often a value was none of a label's and was counted under the one that stands for all others.",
                "label",
                &["method", "path", "status"],
            )?,
            request_bytes: Distribution::new(SIZES, 1.0),
            response_bytes: Distribution::new(SIZES, 1.0),
        };
        let mut by_path = HashMap::new();
        for label in routes {
            let index = match by_path.get(&(label.path, label.method)) {
                Some(index) => *index,
                None => {
                    let statuses = statuses(label.method);
                    let route = Route::new(&http.requests, label.path, label.method, statuses)?;
                    by_path.insert((label.path, label.method), http.routes.len());
                    http.routes.push(route);
                    http.routes.len() - 1
                }
            };
            let methods = http.known.entry(label.pattern).or_default();
            methods.push((label.method, index));
        }
        for method in METHODS {
            http.unmatched.insert(method, http.routes.len());
            let route = Route::new(&http.requests, UNMATCHED, method, UNMATCHED_FAILURES)?;
            http.routes.push(route);
        }
        Ok(http)
    }

    pub(super) fn begins(&self) {
        if !fault::measures() {
            return;
        }
        self.in_flight.add(1);
    }

    pub(super) fn ends(&self, answered: &Answered<'_>) {
        if !fault::measures() {
            return;
        }
        self.in_flight.add(-1);
        let Some(route) = self.routes.get(self.route(answered)) else {
            return;
        };
        let known = route
            .by_status
            .iter()
            .find(|status| status.code == answered.status);
        match known {
            Some(status) => status.count.inc(),
            None => {
                route.other.inc();
                self.overflow.inc("status");
            }
        }
        let nanos = u64::try_from(answered.took.as_nanos()).unwrap_or(u64::MAX);
        let bucket = route.durations.observe(nanos);
        if let Some(slot) = route.exemplars.get(bucket) {
            let now = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
            slot.offer(answered.request_id, nanos, now);
        }
    }

    fn route(&self, answered: &Answered<'_>) -> usize {
        let methods = answered.pattern.and_then(|pattern| self.known.get(pattern));
        let known = methods.and_then(|methods| {
            methods
                .iter()
                .find(|(method, _)| *method == answered.method)
        });
        if let Some((_, index)) = known {
            return *index;
        }
        self.overflow.inc("path");
        self.unmatched
            .get(answered.method)
            .or_else(|| {
                self.overflow.inc("method");
                self.unmatched.get(OTHER_METHOD)
            })
            .copied()
            .unwrap_or(usize::MAX)
    }

    pub(super) fn abandoned(&self) {
        if !fault::measures() {
            return;
        }
        self.in_flight.add(-1);
        self.abandoned.inc("");
    }

    pub(super) fn refused(&self, why: Refusal) {
        if !fault::measures() {
            return;
        }
        self.refused.inc(why.label());
    }

    pub(super) fn took(&self, request_bytes: u64) {
        if !fault::measures() {
            return;
        }
        self.request_bytes.observe(request_bytes);
    }

    pub(super) fn gave(&self, response_bytes: u64) {
        if !fault::measures() {
            return;
        }
        self.response_bytes.observe(response_bytes);
    }

    /// What there is now.
    pub(super) fn freeze(&self) -> Requests<'_> {
        let now = self.started.elapsed();
        Requests {
            http: self,
            now,
            counts: self
                .routes
                .iter()
                .map(|route| {
                    let statuses = route.by_status.iter().map(|status| status.count.get());
                    statuses.chain([route.other.get()]).collect()
                })
                .collect(),
            durations: self
                .routes
                .iter()
                .map(|route| route.durations.freeze())
                .collect(),
            exemplars: self
                .routes
                .iter()
                .map(|route| route.exemplars.iter().map(Slot::read).collect())
                .collect(),
            in_flight: self.in_flight.get(),
            abandoned: self.abandoned.freeze(),
            refused: self.refused.freeze(),
            overflow: self.overflow.freeze(),
            sizes: [self.request_bytes.freeze(), self.response_bytes.freeze()],
        }
    }
}

impl Route {
    fn new<'a>(
        requests: &IntCounterVec,
        path: &str,
        method: &str,
        statuses: impl IntoIterator<Item = &'a u16>,
    ) -> prometheus::Result<Self> {
        let handle = |status: &str| requests.get_metric_with_label_values(&[method, path, status]);
        let by_status = statuses.into_iter().map(|code| {
            let text = code.to_string();
            Ok(Status {
                code: *code,
                count: handle(&text)?,
                text,
            })
        });
        Ok(Self {
            labels: labels(&[("method", method), ("path", path)]),
            by_status: by_status.collect::<prometheus::Result<_>>()?,
            other: handle(OTHER_STATUS)?,
            durations: Distribution::of_nanos(DURATIONS),
            exemplars: if is_looked_up(path) {
                (0..=DURATIONS.len()).map(|_| Slot::default()).collect()
            } else {
                Vec::new()
            },
        })
    }
}

/// Whether somebody may want to find a request of this path in the log: not those that come every few seconds and say
/// nothing. Their exemplars would be a twentieth of a scrape.
fn is_looked_up(path: &str) -> bool {
    !path.starts_with("/health") && !path.starts_with("/metrics")
}

/// The statuses that are there from the start for a method of any route; others are counted as "other".
fn statuses(method: &str) -> impl Iterator<Item = &'static u16> {
    let (successes, changes, has_body): (&[u16], _, _) = match method {
        "DELETE" => (&[202, 204], true, false),
        "POST" => (&[200, 201, 202, 207], true, true),
        "PATCH" => (&[200], true, true),
        _ => (&[200], false, false),
    };
    let failures = [
        (FAILURES, true),
        (CHANGE_FAILURES, changes),
        (BODY_FAILURES, has_body),
    ];
    let failures = failures.into_iter().filter(|(_, can)| *can);
    successes
        .iter()
        .chain(failures.flat_map(|(failures, _)| failures))
}

/// What requests have come to at one moment.
#[derive(Debug)]
pub(super) struct Requests<'a> {
    http: &'a Http,
    now: Duration,
    counts: Vec<Vec<u64>>,
    durations: Vec<Frozen>,
    exemplars: Vec<Vec<Option<Held>>>,
    in_flight: i64,
    abandoned: Vec<u64>,
    refused: Vec<u64>,
    overflow: Vec<u64>,
    sizes: [Frozen; 2],
}

impl Requests<'_> {
    /// Writes every family; `wall` is now in Unix seconds.
    pub(super) fn expose(&self, body: &mut Body, wall: f64) {
        self.requests(body);
        self.durations(body, wall);
        body.one(
            "agent_memory_http_requests_in_flight",
            Kind::Gauge,
            "HTTP requests being answered.",
            self.in_flight,
        );
        self.http.abandoned.expose(body, &self.abandoned);
        self.http.refused.expose(body, &self.refused);
        self.http.overflow.expose(body, &self.overflow);
        for (sizes, (name, help)) in self.sizes.iter().zip([
            (
                "agent_memory_http_request_bytes",
                "Octets of the bodies of requests that were answered.",
            ),
            (
                "agent_memory_http_response_bytes",
                "Octets of the bodies of answers, as far as they were handed over.",
            ),
        ]) {
            body.family(name, Kind::Histogram, help);
            body.histogram(&[], sizes.snapshot());
        }
    }

    fn requests(&self, body: &mut Body) {
        counter::announce(body, &self.http.requests);
        for (route, counts) in self.http.routes.iter().zip(&self.counts) {
            let statuses = route.by_status.iter().map(|status| status.text.as_str());
            for (status, count) in statuses.chain([OTHER_STATUS]).zip(counts) {
                body.sample_with(&route.labels, ("status", status), *count);
            }
        }
    }

    fn durations(&self, body: &mut Body, wall: f64) {
        body.family(
            "agent_memory_http_request_duration_seconds",
            Kind::Histogram,
            "Time from the request's head to the answer's, by route pattern and method.",
        );
        for ((route, frozen), held) in self
            .http
            .routes
            .iter()
            .zip(&self.durations)
            .zip(&self.exemplars)
        {
            body.histogram_with(&route.labels, frozen.snapshot(), |bucket| {
                let held = held.get(bucket)?.as_ref()?;
                let age = self.now.saturating_sub(Duration::from_nanos(held.at));
                Some(Exemplar {
                    request_id: held.request_id.clone(),
                    value: Duration::from_nanos(held.value).as_secs_f64(),
                    at: wall - age.as_secs_f64(),
                })
            });
        }
    }
}
