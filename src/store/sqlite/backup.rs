//! Copies of a store that is open, and what is kept of them: how often, when, how large, how long.
//!
//! **Invariant:** what came of a copy is written down, whether it was asked for by hand or made by the clock.

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::named_params;

use crate::domain::{BackupOutcome, Stat, Timestamp};
use crate::store::measure::Op;
use crate::store::sqlite::copy;
use crate::store::sqlite::unit::Unit;
use crate::store::{CopyError, Follow, Manifest, StoreError};

impl super::Sqlite {
    pub(in crate::store) fn back_up(
        &self,
        target: &Path,
        replace: bool,
        now: Timestamp,
        follow: Follow<'_>,
    ) -> Result<Manifest, CopyError> {
        let begun = Instant::now();
        let (log, most) = (self.wal_path(), self.published().max_log_bytes());
        // Writes come first: at the bound they would be refused for the sake of a copy.
        let log_is_long = || std::fs::metadata(&log).is_ok_and(|log| log.len() / 3 >= most / 4);
        let made = copy::make(self.path(), target, replace, now, follow, log_is_long);
        let bytes = match &made {
            Ok(manifest) => Some(manifest.bytes),
            // Nothing was tried.
            Err(CopyError::InTheWay(_) | CopyError::Stopped) => return made,
            Err(_) => None,
        };
        if let Err(error) = self.note_backup(bytes, now, begun.elapsed()) {
            // The copy is there, or is not, all the same.
            tracing::warn!(%error, "what came of a copy could not be written down");
        }
        made
    }

    /// Writes down that a copy could not even be begun.
    pub(in crate::store) fn note_failed_backup(&self, now: Timestamp) {
        if let Err(error) = self.note_backup(None, now, Duration::ZERO) {
            tracing::warn!(%error, "a copy that failed could not be counted");
        }
    }

    /// Writes down that a copy of so many octets was made, or failed.
    fn note_backup(
        &self,
        bytes: Option<u64>,
        now: Timestamp,
        took: Duration,
    ) -> Result<(), StoreError> {
        let took = i64::try_from(took.as_millis()).unwrap_or(i64::MAX);
        let write = self.write(Op::Probe, 64, move |unit| {
            let outcome = match bytes {
                Some(_) => BackupOutcome::Completed,
                None => BackupOutcome::Failed,
            };
            unit.effects.count_store(Stat::Backups(outcome), 1);
            if let Some(bytes) = bytes {
                set(unit, Stat::BackupAt, now.millis())?;
                set(
                    unit,
                    Stat::BackupBytes,
                    i64::try_from(bytes).unwrap_or(i64::MAX),
                )?;
                set(unit, Stat::BackupMillis, took)?;
            }
            Ok(())
        });
        write?.wait()
    }
}

/// Sets a fact that is no count.
pub(super) fn set(unit: &Unit<'_>, stat: Stat, value: i64) -> Result<(), StoreError> {
    let (name, label) = stat.key();
    unit.execute(
        "insert into stat (name, label, value) values (:name, :label, :value)
         on conflict do update set value = excluded.value",
        named_params! {":name": name, ":label": label, ":value": value},
    )?;
    Ok(())
}
