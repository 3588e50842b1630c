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
pub(super) const COMMON: i64 = 1_000;
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
    /// The passages that hold a term as indexed, in a tenant that has written so often, if the term is known to be common.
    pub(super) fn kept(&self, indexed: &str, writes: i64) -> Option<i64> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, then) = *kept.get(indexed)?;
        ((writes - then) * PASSAGES_A_WRITE <= count).then_some(count)
    }

    /// The same, counted anew.
    pub(super) fn count(
        &self,
        connection: &Connection,
        indexed: &str,
        writes: i64,
    ) -> rusqlite::Result<i64> {
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
