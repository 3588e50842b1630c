//! The facts about memory that are counted when writing.
//!
//! Each is one row of the store's `stat` table, changed by the transaction that changes what it counts, whoever makes
//! it. The metrics of the same meaning are published from these rows alone.
//!
//! **Invariant:** the set is closed: a fact has a fixed name and, where it is split, a closed set of labels.

use crate::domain::redact::SecretKind;
use crate::domain::{CompressionLevel, DecisionStatus, EventKind};

/// One counted fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stat {
    /// Events ever recorded. Never falls.
    EventsRecorded(EventKind),
    /// Events stored now.
    Events(EventKind),
    /// Handoffs stored now.
    Handoffs(CompressionLevel),
    /// Handoffs stored now that say what to remember.
    Remembered,
    /// Decisions stored now.
    Decisions(DecisionStatus),
    /// Knowledge notes stored now.
    Notes,
    /// Reflections stored now.
    Reflections,
    /// Principles stored now.
    Principles,
    /// Sessions stored now.
    Sessions,
    /// Octets of text stored now.
    TextBytes,
    /// Secrets ever taken out on the way in. Never falls.
    Redactions(SecretKind),
    /// Searches ever answered. Never falls.
    Recalls,
    /// Searches ever answered with nothing. Never falls.
    RecallsEmpty,
    /// Events and handoffs that waited in a spool and were stored. Never falls.
    SpoolReplayed,
    /// What waited in a spool and could not be read or was refused. Never falls.
    SpoolDropped,
}

impl Stat {
    /// Every fact.
    pub fn all() -> Vec<Self> {
        let mut all = vec![
            Self::Remembered,
            Self::Notes,
            Self::Reflections,
            Self::Principles,
            Self::Sessions,
            Self::TextBytes,
            Self::Recalls,
            Self::RecallsEmpty,
            Self::SpoolReplayed,
            Self::SpoolDropped,
        ];
        for kind in EventKind::ALL {
            all.extend([Self::EventsRecorded(*kind), Self::Events(*kind)]);
        }
        all.extend(
            CompressionLevel::ALL
                .iter()
                .map(|level| Self::Handoffs(*level)),
        );
        all.extend(
            DecisionStatus::ALL
                .iter()
                .map(|status| Self::Decisions(*status)),
        );
        all.extend(SecretKind::ALL.iter().map(|kind| Self::Redactions(*kind)));
        all
    }

    /// The name and label of its row; the label is empty where the fact is not split.
    pub fn key(self) -> (&'static str, &'static str) {
        match self {
            Self::EventsRecorded(kind) => ("events_recorded", kind.as_str()),
            Self::Events(kind) => ("events", kind.as_str()),
            Self::Handoffs(level) => ("handoffs", level.as_str()),
            Self::Remembered => ("handoffs_to_remember", ""),
            Self::Decisions(status) => ("decisions", status.as_str()),
            Self::Notes => ("notes", ""),
            Self::Reflections => ("reflections", ""),
            Self::Principles => ("principles", ""),
            Self::Sessions => ("sessions", ""),
            Self::TextBytes => ("text_bytes", ""),
            Self::Redactions(kind) => ("redactions", kind.as_str()),
            Self::Recalls => ("recalls", ""),
            Self::RecallsEmpty => ("recalls_empty", ""),
            Self::SpoolReplayed => ("spool_replayed", ""),
            Self::SpoolDropped => ("spool_dropped", ""),
        }
    }

    /// Whether it counts what ever happened, and so never falls.
    pub fn is_lifetime(self) -> bool {
        match self {
            Self::EventsRecorded(_)
            | Self::Redactions(_)
            | Self::Recalls
            | Self::RecallsEmpty
            | Self::SpoolReplayed
            | Self::SpoolDropped => true,
            Self::Events(_)
            | Self::Handoffs(_)
            | Self::Remembered
            | Self::Decisions(_)
            | Self::Notes
            | Self::Reflections
            | Self::Principles
            | Self::Sessions
            | Self::TextBytes => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn keys_are_unique() {
        let all = Stat::all();
        let keys: BTreeSet<_> = all.iter().map(|stat| stat.key()).collect();
        assert_eq!(keys.len(), all.len());
    }
}
