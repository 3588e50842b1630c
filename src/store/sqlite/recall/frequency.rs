//! In how many passages a term stands.
//!
//! FTS5 counts a term's list anew at each question: a microsecond for a rare word, milliseconds for one that is in a
//! tenth of a million passages. What is common stays common, so the counts of common words are kept for a while.
//!
//! **Invariant:** a count that is kept is at most [`MOST_GROWN`] of the tenant's passages old, and only ever one of a
//! word so common that this moves its weight by less than a thousandth of what a rare word weighs.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use rusqlite::Connection;

/// Rarer words are counted each time.
const COMMON: i64 = 1_000;
/// By how many hundredths a tenant may have grown or shrunk before its words are counted again.
const MOST_GROWN: i64 = 1;
/// Words kept, of all tenants; a page of text each thousand, about 1 MB.
const MOST_KEPT: usize = 10_000;

/// The counts of common words.
#[derive(Debug, Default)]
pub(in crate::store::sqlite) struct Frequencies {
    /// By the term as indexed, tenant and all: its count, and how many passages the tenant had.
    kept: Mutex<HashMap<String, (i64, i64)>>,
}

impl Frequencies {
    /// The passages that hold a term as indexed, in a tenant of so many.
    pub(super) fn of(
        &self,
        connection: &Connection,
        indexed: String,
        passages: i64,
    ) -> rusqlite::Result<i64> {
        let kept = self
            .kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&indexed)
            .copied();
        if let Some((count, then)) = kept
            && (passages - then).abs() * 100 <= MOST_GROWN * then
        {
            return Ok(count);
        }
        let mut statement =
            connection.prepare_cached("select doc from term_row where term = ?1")?;
        let mut rows = statement.query([&indexed])?;
        let count = rows.next()?.map_or(Ok(0), |row| row.get(0))?;
        if count >= COMMON {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() >= MOST_KEPT {
                kept.clear();
            }
            kept.insert(indexed, (count, passages));
        }
        Ok(count)
    }
}
