//! Copies of the memory that are made by the clock: when one is due, what it is called, which ones go.
//!
//! A copy is called after the file and its time, `memory-20260301T020000Z.db`, so that a listing sorts them by age. What is
//! due is told by the copies that are there: a directory that was emptied gets a new one.
//!
//! **Invariant:** names nothing as ours that this module did not name.

use std::path::PathBuf;

use crate::domain::{Schedule, Timestamp};

/// When to copy the memory, where to, and how many copies to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupPlan {
    /// When.
    pub schedule: Schedule,
    /// Where to.
    pub dir: PathBuf,
    /// How many of them are kept; at least one.
    pub keep: usize,
}

impl BackupPlan {
    /// Whether a copy is due, the newest one being of this time.
    pub fn is_due(&self, newest: Option<Timestamp>, now: Timestamp) -> bool {
        let last = match newest {
            // A clock that went back is no reason to make none until it has caught up.
            Some(newest) if newest <= now => newest,
            Some(_) | None => Timestamp::MIN,
        };
        self.schedule.next_after(last).is_some_and(|due| due <= now)
    }

    /// The longest time between two copies, in milliseconds; 0 if none are made.
    pub fn period_ms(&self) -> i64 {
        let first = self.schedule.next_after(Timestamp::from_millis(0));
        let second = first.and_then(|first| self.schedule.next_after(first));
        match (first, second) {
            (Some(first), Some(second)) => second.millis() - first.millis(),
            _ => 0,
        }
    }
}

/// What the copy of a moment is called; `stem` is the name of the memory's file without its extension.
pub fn copy_name(stem: &str, at: Timestamp) -> String {
    format!("{stem}-{}.db", stamp(at))
}

/// The moment of a copy, by its name; none if it is not the name of one.
pub fn copy_time(stem: &str, name: &str) -> Option<Timestamp> {
    let stamp = name.strip_prefix(stem)?.strip_prefix('-')?;
    let stamp = stamp.strip_suffix(".db")?;
    let (date, time) = stamp.strip_suffix('Z')?.split_once('T')?;
    let is_number =
        |text: &str, length| text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(date, 8) || !is_number(time, 6) {
        return None;
    }
    let part = |text: &str, from: usize, to: usize| text.get(from..to).map(str::to_owned);
    let text = format!(
        "{}-{}-{}T{}:{}:{}Z",
        part(date, 0, 4)?,
        part(date, 4, 6)?,
        part(date, 6, 8)?,
        part(time, 0, 2)?,
        part(time, 2, 4)?,
        part(time, 4, 6)?
    );
    Timestamp::parse("name", &text).ok()
}

/// A moment for a file's name: `20260301T020000Z`.
pub fn stamp(at: Timestamp) -> String {
    let text = at.to_string();
    let whole = text.split('.').next().unwrap_or(&text);
    let digits: String = whole
        .chars()
        .filter(|char| !matches!(char, '-' | ':'))
        .collect();
    format!("{digits}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse("ts", text).unwrap()
    }

    fn plan(schedule: &str) -> BackupPlan {
        BackupPlan {
            schedule: schedule.parse().unwrap(),
            dir: PathBuf::new(),
            keep: 1,
        }
    }

    #[test]
    fn a_name_gives_back_its_second_and_nothing_else_is_one() {
        let name = copy_name("memory", at("2026-03-01T02:00:07.123Z"));
        assert_eq!(name, "memory-20260301T020007Z.db");
        assert_eq!(copy_time("memory", &name), Some(at("2026-03-01T02:00:07Z")));
        for other in [
            "memory.db",
            "memory-20260301T020007Z.db.manifest.json",
            "memory-20260301T020007.db",
            "memory-2026030T0200071Z.db",
            "memory-20261301T020007Z.db",
            "other-20260301T020007Z.db",
            "memory-+0260301T020007Z.db",
            "memory-20260301T020007Z.db.part",
        ] {
            assert_eq!(copy_time("memory", other), None, "{other}");
        }
    }

    #[test]
    fn a_copy_is_due_when_there_is_none_and_once_for_each_time() {
        let daily = plan("02:00");
        let now = at("2026-03-02T09:00:00Z");
        assert!(daily.is_due(None, now));
        assert!(daily.is_due(Some(at("2026-03-01T02:00:01Z")), now));
        assert!(!daily.is_due(Some(at("2026-03-02T02:00:01Z")), now));
        assert!(daily.is_due(Some(at("2027-01-01T00:00:00Z")), now));
        assert!(!plan("off").is_due(None, now));
        assert!(plan("6h").is_due(Some(at("2026-03-02T05:59:00Z")), now));
        assert!(!plan("6h").is_due(Some(at("2026-03-02T06:00:00Z")), now));
    }

    #[test]
    fn the_period_is_what_lies_between_two() {
        assert_eq!(plan("02:00").period_ms(), 86_400_000);
        assert_eq!(plan("6h").period_ms(), 6 * 3_600_000);
        assert_eq!(plan("off").period_ms(), 0);
    }
}
