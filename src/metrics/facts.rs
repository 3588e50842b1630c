//! What the store holds and has seen: each series is a `stat` row, kept by the transaction that changed what it counts.
//!
//! Three names of the monitoring guide end in `_total` and go down when something is forgotten. They are untyped, and
//! each has a gauge beside it under a name that promises nothing else.
//!
//! **Invariant:** published from `stat` rows alone, so it is the same whichever process wrote.

use std::collections::BTreeMap;

use crate::domain::redact::SecretKind;
use crate::domain::{CompressionLevel, DecisionStatus, EventKind, Stat};
use crate::metrics::encode::{Body, Kind};

/// The monitoring guide selects `compression_level="all"` of it.
const HANDOFFS: &str = "agent_memory_handoffs_total";

/// A family: its name, what its numbers mean, its help, its label, and the fact behind each value of the label.
struct Family {
    name: &'static str,
    kind: Kind,
    help: &'static str,
    label: &'static str,
    facts: Vec<(&'static str, Stat)>,
}

/// Writes every family of facts.
pub(super) fn expose(body: &mut Body, stats: &BTreeMap<Stat, i64>) {
    let of = |stat: &Stat| stats.get(stat).copied().unwrap_or(0);
    for family in split() {
        body.family(family.name, family.kind, family.help);
        for (value, stat) in &family.facts {
            body.sample(&[(family.label, value)], of(stat));
        }
        if family.name == HANDOFFS {
            let all: i64 = family.facts.iter().map(|(_, stat)| of(stat)).sum();
            body.sample(&[(family.label, "all")], all);
        }
    }
    for (name, kind, help, stat) in WHOLE {
        body.one(name, *kind, help, of(stat));
    }
}

const WHOLE: &[(&str, Kind, &str, Stat)] = &[
    (
        "agent_memory_knowledge_notes_total",
        Kind::Untyped,
        "Knowledge notes stored now.",
        Stat::Notes,
    ),
    (
        "agent_memory_knowledge_notes",
        Kind::Gauge,
        "Knowledge notes stored now.",
        Stat::Notes,
    ),
    (
        "agent_memory_handoffs_to_remember",
        Kind::Gauge,
        "Handoffs stored now that say what to remember.",
        Stat::Remembered,
    ),
    (
        "agent_memory_reflections",
        Kind::Gauge,
        "Reflections stored now.",
        Stat::Reflections,
    ),
    (
        "agent_memory_principles",
        Kind::Gauge,
        "Principles stored now.",
        Stat::Principles,
    ),
    (
        "agent_memory_sessions",
        Kind::Gauge,
        "Sessions stored now.",
        Stat::Sessions,
    ),
    (
        "agent_memory_recalls_total",
        Kind::Counter,
        "Searches ever answered.",
        Stat::Recalls,
    ),
    (
        "agent_memory_recalls_empty_total",
        Kind::Counter,
        "Searches ever answered with nothing.",
        Stat::RecallsEmpty,
    ),
    (
        "agent_memory_spool_replayed_total",
        Kind::Counter,
        "Events and handoffs that waited in a spool, since the file could not be written, and were stored.",
        Stat::SpoolReplayed,
    ),
    (
        "agent_memory_spool_dropped_total",
        Kind::Counter,
        "What waited in a spool and could not be read or was refused.",
        Stat::SpoolDropped,
    ),
];

fn split() -> Vec<Family> {
    vec![
        Family {
            name: "agent_memory_events_total",
            kind: Kind::TwinCounter,
            help: "Events ever recorded.",
            label: "kind",
            facts: kinds(Stat::EventsRecorded),
        },
        Family {
            name: "agent_memory_events",
            kind: Kind::Gauge,
            help: "Events stored now.",
            label: "kind",
            facts: kinds(Stat::Events),
        },
        Family {
            name: HANDOFFS,
            kind: Kind::Untyped,
            help: "Handoffs stored now; all is the sum.",
            label: "compression_level",
            facts: levels(),
        },
        Family {
            name: "agent_memory_handoffs",
            kind: Kind::Gauge,
            help: "Handoffs stored now.",
            label: "compression_level",
            facts: levels(),
        },
        Family {
            name: "agent_memory_decisions_total",
            kind: Kind::Untyped,
            help: "Decisions stored now.",
            label: "status",
            facts: statuses(),
        },
        Family {
            name: "agent_memory_decisions",
            kind: Kind::Gauge,
            help: "Decisions stored now.",
            label: "status",
            facts: statuses(),
        },
        Family {
            name: "agent_memory_storage_bytes",
            kind: Kind::Gauge,
            help: "Octets stored.",
            label: "type",
            facts: vec![("text", Stat::TextBytes)],
        },
        Family {
            name: "agent_memory_redactions_total",
            kind: Kind::Counter,
            help: "Secrets ever taken out before storage.",
            label: "kind",
            facts: SecretKind::ALL
                .iter()
                .map(|kind| (kind.as_str(), Stat::Redactions(*kind)))
                .collect(),
        },
    ]
}

fn kinds(stat: fn(EventKind) -> Stat) -> Vec<(&'static str, Stat)> {
    EventKind::ALL
        .iter()
        .map(|kind| (kind.as_str(), stat(*kind)))
        .collect()
}

fn levels() -> Vec<(&'static str, Stat)> {
    CompressionLevel::ALL
        .iter()
        .map(|level| (level.as_str(), Stat::Handoffs(*level)))
        .collect()
}

fn statuses() -> Vec<(&'static str, Stat)> {
    DecisionStatus::ALL
        .iter()
        .map(|status| (status.as_str(), Stat::Decisions(*status)))
        .collect()
}
