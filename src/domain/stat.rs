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
    /// Copies of the store ever tried, by whether they came to be. Never falls.
    Backups(BackupOutcome),
    /// When the last copy was made, Unix milliseconds. Never falls.
    BackupAt,
    /// Octets of that copy.
    BackupBytes,
    /// How long it took, in milliseconds.
    BackupMillis,
    /// Events ever taken out for their age. Never falls.
    EventsExpired,
    /// When all that was too old had last been taken out, Unix milliseconds. Never falls.
    ExpiredAt,
}

/// Whether a copy of the store came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BackupOutcome {
    /// It is there.
    Completed,
    /// It is not.
    Failed,
}

impl BackupOutcome {
    /// Both.
    pub const ALL: &[Self] = &[Self::Completed, Self::Failed];

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }
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
            Self::BackupAt,
            Self::BackupBytes,
            Self::BackupMillis,
            Self::EventsExpired,
            Self::ExpiredAt,
        ];
        all.extend(BackupOutcome::ALL.iter().map(|how| Self::Backups(*how)));
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
            Self::Backups(how) => ("backups", how.as_str()),
            Self::BackupAt => ("backup_at", ""),
            Self::BackupBytes => ("backup_bytes", ""),
            Self::BackupMillis => ("backup_ms", ""),
            Self::EventsExpired => ("events_expired", ""),
            Self::ExpiredAt => ("expired_at", ""),
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
            | Self::SpoolDropped
            | Self::Backups(_)
            | Self::BackupAt
            | Self::EventsExpired
            | Self::ExpiredAt => true,
            Self::Events(_)
            | Self::Handoffs(_)
            | Self::Remembered
            | Self::Decisions(_)
            | Self::Notes
            | Self::Reflections
            | Self::Principles
            | Self::Sessions
            | Self::TextBytes
            | Self::BackupBytes
            | Self::BackupMillis => false,
        }
    }

    /// Whether it counts what is there, so that counting it anew gives the same.
    pub fn is_countable(self) -> bool {
        !self.is_lifetime() && !matches!(self, Self::BackupBytes | Self::BackupMillis)
    }

    /// Whether it is a fact of the store, and of no tenant.
    pub fn is_of_store(self) -> bool {
        matches!(
            self,
            Self::Recalls
                | Self::RecallsEmpty
                | Self::SpoolReplayed
                | Self::SpoolDropped
                | Self::Backups(_)
                | Self::BackupAt
                | Self::BackupBytes
                | Self::BackupMillis
                | Self::EventsExpired
                | Self::ExpiredAt
        )
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
