//! What the operator can set of the file over its life: copies by the clock, and how long events are kept.
//!
//! **Invariant:** nothing is taken out, and nothing copied, unless it was asked for.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::domain::time::DAY_MS;
use crate::domain::{BackupPlan, Invalid, Schedule};

/// Flags of `serve` about the file over its life.
#[derive(Debug, Clone, Args)]
pub struct UpkeepArgs {
    /// When the memory is copied: each day at a time (UTC), at an interval such as 6h, or `off`
    #[arg(
        long,
        env = "AGENT_MEMORY_BACKUP",
        value_name = "HH:MM|INTERVAL|off",
        default_value = "off"
    )]
    pub backup: String,
    /// Where such copies go [default: `backups` beside the file]
    #[arg(long, env = "AGENT_MEMORY_BACKUP_DIR", value_name = "DIR")]
    pub backup_dir: Option<PathBuf>,
    /// How many of them are kept; the oldest go
    #[arg(long, env = "AGENT_MEMORY_BACKUP_KEEP", value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub backup_keep: u16,
    /// Days for which events are kept, such as `180d`; older ones are forgotten, except those of decisions. Or `off`
    #[arg(
        long,
        env = "AGENT_MEMORY_RETAIN_EVENTS",
        value_name = "DAYS|off",
        default_value = "off"
    )]
    pub retain_events: String,
}

/// The file over its life; validated.
#[derive(Debug, Clone)]
pub struct Upkeep {
    /// Copies by the clock.
    pub backup: BackupPlan,
    /// For how many milliseconds events are kept; for ever, if none.
    pub retain_events_ms: Option<i64>,
}

impl Default for Upkeep {
    /// Nothing is done.
    fn default() -> Self {
        Self {
            backup: BackupPlan {
                schedule: Schedule::Off,
                dir: PathBuf::new(),
                keep: 1,
            },
            retain_events_ms: None,
        }
    }
}

impl Upkeep {
    /// Validates the flags, for the file at `db`.
    pub(super) fn new(args: &UpkeepArgs, db: &Path) -> anyhow::Result<Self> {
        let beside = || db.with_file_name("backups");
        Ok(Self {
            backup: BackupPlan {
                schedule: Schedule::parse("--backup", &args.backup)?,
                dir: args.backup_dir.clone().unwrap_or_else(beside),
                keep: usize::from(args.backup_keep),
            },
            retain_events_ms: retention(&args.retain_events)?,
        })
    }
}

/// A number of days, or off.
fn retention(text: &str) -> Result<Option<i64>, Invalid> {
    if text.eq_ignore_ascii_case("off") {
        return Ok(None);
    }
    let days = text
        .strip_suffix('d')
        .filter(|days| days.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|days| days.parse::<i64>().ok());
    match days {
        Some(days @ 1..=36_500) => Ok(Some(days * DAY_MS)),
        _ => Err(Invalid::new(
            "--retain-events",
            "has to be between 1d and 36500d, or off",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_in_days_or_off() {
        assert_eq!(retention("180d").unwrap(), Some(180 * DAY_MS));
        assert_eq!(retention("OFF").unwrap(), None);
        for wrong in ["0d", "180", "6h", "-1d", "36501d", "", "d", "1.5d", "+1d"] {
            assert!(retention(wrong).is_err(), "{wrong}");
        }
    }
}
