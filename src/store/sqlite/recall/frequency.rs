//! In how many passages a term stands.
//!
//! FTS5 counts a term's list anew at each question: a microsecond for a rare word, milliseconds for one that is in a
//! tenth of a million passages. What is common stays common, so the counts of common words are kept for a while.
//!
//! **Invariant:** since a count was kept, the tenant has written at most a hundredth of it, so that it is off by no more
//! than that.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use rusqlite::Connection;

/// Rarer words are counted each time.
const COMMON: i64 = 1_000;
/// Of so many passages with a word, one may have come or gone unnoticed.
const PASSAGES_A_WRITE: i64 = 100;
/// Words kept, of all tenants; a page of text each thousand, about 1 MB.
const MOST_KEPT: usize = 10_000;

/// The counts of common words.
#[derive(Debug, Default)]
pub(in crate::store::sqlite) struct Frequencies {
    /// By the term as indexed, tenant and all: its count, and how often the tenant had written.
    kept: Mutex<HashMap<String, (i64, i64)>>,
}

impl Frequencies {
    /// The passages that hold a term as indexed, in a tenant that has written so often.
    pub(super) fn of(
        &self,
        connection: &Connection,
        indexed: &str,
        writes: i64,
    ) -> rusqlite::Result<i64> {
        let kept = self
            .kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(indexed)
            .copied();
        if let Some((count, then)) = kept
            && (writes - then) * PASSAGES_A_WRITE <= count
        {
            return Ok(count);
        }
        let mut statement =
            connection.prepare_cached("select doc from term_row where term = ?1")?;
        let mut rows = statement.query([indexed])?;
        let count = rows.next()?.map_or(Ok(0), |row| row.get(0))?;
        if count >= COMMON {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() >= MOST_KEPT {
                kept.clear();
            }
            kept.insert(indexed.to_owned(), (count, writes));
        }
        Ok(count)
    }
}
