//! In how many passages a term stands.
//!
//! FTS5 counts a term's list anew at each question: a microsecond for a rare word, milliseconds for one that is in a
//! tenth of a million passages. What is common stays common, so the counts of common words are kept for a while.
//!
//! A reader that may not know of everything is told of as many as a sample says; that is kept with the count, for each
//! of the few clearances there are.
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
    /// By the term as indexed, tenant and all.
    kept: Mutex<HashMap<String, Common>>,
}

/// A common word.
#[derive(Debug, Clone, Default)]
pub(super) struct Common {
    /// The passages that hold it.
    pub(super) count: i64,
    /// How often the tenant had written.
    writes: i64,
    /// Clearances, and how many of the passages are known under each.
    cleared: Vec<(i64, i64)>,
}

impl Common {
    /// How many are known of under a clearance, if that was found out.
    pub(super) fn cleared(&self, clearance: i64) -> Option<i64> {
        let mut all = self.cleared.iter();
        all.find(|(known, _)| *known == clearance)
            .map(|(_, count)| *count)
    }
}

impl Frequencies {
    /// What is known of a term as indexed, in a tenant that has written so often, if it is known to be common.
    pub(super) fn kept(&self, indexed: &str, writes: i64) -> Option<Common> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let common = kept.get(indexed)?;
        ((writes - common.writes) * PASSAGES_A_WRITE <= common.count).then(|| common.clone())
    }

    /// Keeps how many of its passages are known of under a clearance.
    pub(super) fn keep_cleared(&self, indexed: &str, clearance: i64, count: i64) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(common) = kept.get_mut(indexed)
            && common.cleared(clearance).is_none()
        {
            common.cleared.push((clearance, count));
        }
    }

    /// The passages that hold a term as indexed, counted anew.
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
            let common = Common {
                count,
                writes,
                cleared: Vec::new(),
            };
            kept.insert(indexed.to_owned(), common);
        }
        Ok(count)
    }
}
