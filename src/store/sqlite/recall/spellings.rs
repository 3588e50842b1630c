//! The words of the index by how they begin, for mending.
//!
//! FTS5 has to walk all of them with their lists, which takes milliseconds; so the lists are kept for a while. What is
//! taken from a list is looked up again before it is used.
//!
//! **Invariant:** since a list was kept, the tenant has written at most a hundredth of its passages.

use std::sync::Arc;

use rusqlite::params;

use super::shelf::Look;
use crate::store::StoreError;
use crate::store::memo::{Memo, Weigh};
use crate::store::sqlite::passage::indexed;

/// Words that a mended one is chosen from, for each beginning, and how many passages these may have together.
const MOST_SPELLINGS: i64 = 4_000;
const MOST_SPELLED: i64 = 200_000;
/// Room for the lists, in bytes: a few dozen of the longest.
const KEPT_BYTES: u64 = 4 * 1024 * 1024;
/// About how many lists that are.
const KEPT: usize = 400;
/// A word of a list, and the place of a list.
const WORD_BYTES: usize = 40;
/// How many passages a write may not outnumber.
const PASSAGES_A_WRITE: i64 = 100;

/// Words, each with the number of passages that hold it.
pub(super) type Words = Arc<[(String, i64)]>;

/// The lists of words asked for last, by tenant and beginning, each read at a count of writes.
#[derive(Debug)]
pub(super) struct Spellings(Memo<(i64, String), Words>);

impl Weigh for Words {
    fn bytes(&self) -> usize {
        (self.len() + 2) * WORD_BYTES
    }
}

impl Default for Spellings {
    fn default() -> Self {
        Self(Memo::new(KEPT_BYTES, KEPT))
    }
}

impl Spellings {
    /// The words of letters alone that begin so.
    pub(super) fn of(
        &self,
        look: Look<'_>,
        beginning: &str,
        (passages, writes): (i64, i64),
    ) -> Result<Words, StoreError> {
        let key = (look.tenant_no, beginning.to_owned());
        let holds = |then| (writes - then) * PASSAGES_A_WRITE <= passages;
        if let Some(words) = self.0.get(&key, holds) {
            return Ok(words);
        }
        let words: Words = read(look, beginning)?.into();
        self.0.keep(key, writes, Arc::clone(&words));
        Ok(words)
    }
}

fn read(look: Look<'_>, beginning: &str) -> Result<Vec<(String, i64)>, StoreError> {
    let from = indexed(look.tenant_no, beginning);
    let mut statement = look
        .connection
        .prepare_cached("select term, doc from term_row where term >= ?1 and term < ?2 limit ?3")?;
    // After the last letter comes the brace; identifiers with digits or joints in this place stand before the first.
    let range = params![format!("{from}a"), format!("{from}{{"), MOST_SPELLINGS];
    let mut rows = statement.query(range)?;
    let mut words = Vec::new();
    let mut passages = 0;
    while let Some(row) = rows.next()?
        && passages < MOST_SPELLED
    {
        let (term, count): (String, i64) = (row.get(0)?, row.get(1)?);
        passages += count;
        let word = term.split_once(':').map_or("", |(_, word)| word);
        words.push((word.to_owned(), count));
    }
    Ok(words)
}
