//! Counters of the `prometheus` crate, with a handle for each value of their label.
//!
//! The registry refuses a name that is taken and a label that is none.
//!
//! **Invariant:** a counter has the series it was made with, and never another.

use prometheus::core::Collector as _;
use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

use crate::metrics::encode::{Body, Kind};

/// Makes a family that the registry knows.
pub(super) fn family(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> prometheus::Result<IntCounterVec> {
    let family = IntCounterVec::new(Opts::new(name, help), labels)?;
    registry.register(Box::new(family.clone()))?;
    Ok(family)
}

/// Announces a family.
pub(super) fn announce(body: &mut Body, family: &IntCounterVec) {
    if let Some(desc) = family.desc().first() {
        body.family(&desc.fq_name, Kind::Counter, &desc.help);
    }
}

/// A counter for each of a label's values, or one without a label.
#[derive(Debug)]
pub(super) struct Counters {
    family: IntCounterVec,
    label: Option<&'static str>,
    values: Vec<(&'static str, IntCounter)>,
}

impl Counters {
    /// One that is split by a label.
    pub(super) fn split(
        registry: &Registry,
        name: &str,
        help: &str,
        label: &'static str,
        values: &[&'static str],
    ) -> prometheus::Result<Self> {
        let family = family(registry, name, help, &[label])?;
        let values = values.iter().map(|value| {
            let handle = family.get_metric_with_label_values(&[value])?;
            Ok((*value, handle))
        });
        Ok(Self {
            values: values.collect::<prometheus::Result<_>>()?,
            label: Some(label),
            family,
        })
    }

    /// One that is not.
    pub(super) fn one(registry: &Registry, name: &str, help: &str) -> prometheus::Result<Self> {
        let family = family(registry, name, help, &[])?;
        let handle = family.get_metric_with_label_values::<&str>(&[])?;
        Ok(Self {
            values: vec![("", handle)],
            label: None,
            family,
        })
    }

    /// Counts one of this value.
    pub(super) fn inc(&self, value: &str) {
        for (_, handle) in self.values.iter().filter(|(known, _)| *known == value) {
            handle.inc();
        }
    }

    /// The counts now, in the order of the values.
    pub(super) fn freeze(&self) -> Vec<u64> {
        self.values.iter().map(|(_, handle)| handle.get()).collect()
    }

    /// Writes the family with the counts that were frozen.
    pub(super) fn expose(&self, body: &mut Body, counts: &[u64]) {
        announce(body, &self.family);
        for ((value, _), count) in self.values.iter().zip(counts) {
            match self.label {
                Some(label) => body.sample(&[(label, value)], *count),
                None => body.sample(&[], *count),
            }
        }
    }
}
