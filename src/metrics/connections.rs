//! Connections: how many are open, and how many were ended by the server before their time.
//!
//! **Invariant:** counts, and decides nothing.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crate::metrics::encode::{Body, Kind};

/// Why a connection was ended before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// There were as many as there may be.
    Full,
    /// The head of a request did not come.
    SlowHead,
    /// The client did not read its answer.
    SlowReader,
}

impl Cut {
    const ALL: [Self; 3] = [Self::Full, Self::SlowHead, Self::SlowReader];

    fn label(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::SlowHead => "slow_head",
            Self::SlowReader => "slow_reader",
        }
    }
}

/// The counts.
#[derive(Debug, Default)]
pub(super) struct Connections {
    open: AtomicI64,
    full: AtomicU64,
    slow_head: AtomicU64,
    slow_reader: AtomicU64,
}

impl Connections {
    pub(super) fn opens(&self) {
        self.open.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn closes(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn cut(&self, why: Cut) {
        self.of(why).fetch_add(1, Ordering::Relaxed);
    }

    fn of(&self, why: Cut) -> &AtomicU64 {
        match why {
            Cut::Full => &self.full,
            Cut::SlowHead => &self.slow_head,
            Cut::SlowReader => &self.slow_reader,
        }
    }

    pub(super) fn expose(&self, body: &mut Body) {
        body.one(
            "agent_memory_http_connections",
            Kind::Gauge,
            "Connections open now.",
            self.open.load(Ordering::Relaxed),
        );
        body.family(
            "agent_memory_http_connections_cut_total",
            Kind::Counter,
            "Connections that the server ended: turned away because there were too many, the head of a request came too \
             slowly, or the answer was not read.",
        );
        for why in Cut::ALL {
            let count = self.of(why).load(Ordering::Relaxed);
            body.sample(&[("reason", why.label())], count);
        }
    }
}
