//! In how many passages a term stands.
//!
//! FTS5 counts a term's list anew at each question: a microsecond for a rare word, milliseconds for one that is in a
//! tenth of a million passages. A word that is common, and as common among the newest passages as among the oldest and those at
//! each quarter between, is taken to be so throughout, and counted by that. What is common stays common, so the counts of
//! common words are kept for a while.
//!
//! A reader that may not know of everything is told of as many as a sample says; that is kept with the count, for each
//! of the few clearances there are.
//!
//! **Invariant:** since a count was kept, the tenant has written at most a hundredth of it, so that it is off by no more
//! than that; up to [`COUNTED`] passages are counted one by one, and so are those of a word that comes and goes.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use rusqlite::{Connection, params};

use crate::store::sqlite::passage::quoted_whole;

/// Rarer words are counted each time.
pub(super) const COMMON: i64 = 1_000;
/// So many are counted one by one.
const COUNTED: i64 = 20_000;
/// Passages of a stretch.
const STRETCH: i64 = 500;
/// By what part the stretches of an even word may differ: by chance, 500 passages in a row are 4.5 % more or less apart.
const EVEN: i64 = 4;
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

    /// How many passages hold a term as indexed, of which these are the newest, more than [`COMMON`].
    pub(super) fn count(
        &self,
        connection: &Connection,
        indexed: &str,
        newest: &[i64],
        writes: i64,
    ) -> rusqlite::Result<i64> {
        let count = match if_even(connection, indexed, newest)? {
            Some(count) => count,
            None => exactly(connection, indexed)?,
        };
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
        Ok(count)
    }
}

/// The passages that hold a term, one by one.
fn exactly(connection: &Connection, indexed: &str) -> rusqlite::Result<i64> {
    let mut statement = connection.prepare_cached("select doc from term_row where term = ?1")?;
    let mut rows = statement.query([indexed])?;
    rows.next()?.map_or(Ok(0), |row| row.get(0))
}

/// The same, by how near to each other its newest passages are, and those from the beginning and from each quarter on;
/// nothing where these differ, or where all are soon counted.
fn if_even(
    connection: &Connection,
    indexed: &str,
    newest: &[i64],
) -> rusqlite::Result<Option<i64>> {
    let sql = "select rowid from term_index where term_index match ?1 and rowid >= ?2 order by rowid limit ?3";
    let mut statement = connection.prepare_cached(sql)?;
    // How many there were in all, if all lay as near to each other as those.
    let like = |passages: &[i64], from: i64, all: i64| {
        let farthest = passages.last().map_or(1, |last| (last - from).abs() + 1);
        all * i64::try_from(passages.len()).unwrap_or(i64::MAX) / farthest
    };
    let mut from = |from: i64| -> rusqlite::Result<Vec<i64>> {
        let at = params![quoted_whole(indexed), from, STRETCH];
        statement.query_map(at, |row| row.get(0))?.collect()
    };
    let oldest = from(0)?;
    let (Some(first), Some(last)) = (oldest.first().copied(), newest.first().copied()) else {
        return Ok(None);
    };
    let all = last - first + 1;
    let mut counts = vec![like(newest, last, all), like(&oldest, first, all)];
    for quarter in 1..4 {
        if !is_even(&counts) {
            return Ok(None);
        }
        let place = first + all / 4 * quarter;
        counts.push(like(&from(place)?, place, all));
    }
    counts.sort_unstable();
    let median = counts.get(counts.len() / 2).copied();
    Ok(median.filter(|_| is_even(&counts)))
}

/// Whether the counts are many and alike.
fn is_even(counts: &[i64]) -> bool {
    match (counts.iter().min(), counts.iter().max()) {
        (Some(least), Some(most)) => *least >= COUNTED && *most <= least + least / EVEN,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::recall::newest;
    use crate::store::sqlite::testing;

    #[test]
    fn an_even_word_is_counted_by_stretches_and_one_that_comes_and_goes_one_by_one() {
        let (_dir, connection) = testing::connection();
        connection.execute_batch("begin").unwrap();
        let mut dice: u64 = 1;
        let mut even = 0;
        for seq in 1..=80_000_i64 {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let mut terms = "1:every".to_owned();
            if dice >> 62 < 2 {
                terms.push_str(" 1:even");
                even += 1;
            }
            if !(30_000..=70_000).contains(&seq) {
                terms.push_str(" 1:back");
            }
            if seq % 8 == 0 {
                terms.push_str(" 1:soon");
            }
            connection
                .prepare_cached("insert into term_index (rowid, terms) values (?1, ?2)")
                .unwrap()
                .execute((seq, terms))
                .unwrap();
        }
        connection.execute_batch("commit").unwrap();
        let frequencies = Frequencies::default();
        let count = |term: &str| {
            let newest = newest(&connection, term, COMMON + 1).unwrap();
            frequencies.count(&connection, term, &newest, 0).unwrap()
        };
        assert_eq!(exactly(&connection, "1:even"), Ok(even));
        assert!(
            (count("1:even") - even).abs() * 20 < even,
            "{}",
            count("1:even")
        );
        assert_eq!(count("1:every"), 80_000);
        assert_eq!(count("1:back"), 39_999);
        assert_eq!(count("1:soon"), 10_000);
    }
}
