//! The first look: which passages are worth ranking.
//!
//! Candidates come from the rarest of the terms, as many as keep the sum of their rows within the gate's budget. Where a
//! filter is narrow (one session, a stretch of time), all that it lets through is looked at, so that a word that is common
//! elsewhere does not hide what was asked for.
//!
//! **Invariant:** filters apply before the cut to the best; what lies beyond the budget's newest rows is not looked at.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};

use rusqlite::{Connection, params};

use super::gate::{Gate, Looked};
use super::kind::KINDS;
use super::shelf::Look;
use super::{Lists, MOST_ROWS, float};
use crate::domain::recall::{Pool, Question, Sought, favour, idf, named_speaker, saturated};
use crate::domain::terms::MAX_QUERY_TERMS;
use crate::store::StoreError;
use crate::store::sqlite::passage::quoted;

/// Rows whose length is looked at, if enough of them pass the filters. With 300 nothing changes in small memories, and four
/// more points of rec@10 are lost among 100,000 rows.
const LOOKED_AT: usize = 1_000;
/// How far above its rough score a row is still looked for: a short passage that repeats its words has up to 2.6 times as
/// much. With 2 no answer is lost, in small memories and among 100,000 rows; with 1.5 a point of rec@10 among those.
const MOST_ABOVE: f64 = 2.0;
/// Most terms that candidates come from. From the design.
const MOST_TERMS: usize = 32;
/// Passages that are ranked for what they say themselves. From the design; the study's top 100.
const MOST_CANDIDATES: usize = 100;

/// The chunks that score best on the rare terms, best first, filtered, at most [`MOST_CANDIDATES`].
///
/// A chunk is looked at for its length, its speaker and the filters, which costs more than its postings. So they are first
/// put in the order they would have if all were of the same length, and looked at from the best on.
pub(super) fn first_scores(
    look: Look<'_>,
    question: &Question,
    pool: &Pool,
    lists: &Lists,
    gate: &Gate,
) -> Result<Vec<Looked>, StoreError> {
    let scale = Scale::of(pool);
    let (chunks, all) = listed(look.connection, look.tenant_no, gate)?;
    let mut passing = among(look, gate, &scale, &chunks)?;
    if !all {
        let more = from_index(look, pool, lists, gate, &scale)?;
        if passing.is_empty() {
            passing = more;
        } else {
            let known: HashSet<i64> = passing.iter().map(|(_, looked)| looked.seq).collect();
            let new = more
                .into_iter()
                .filter(|(_, looked)| !known.contains(&looked.seq));
            passing.extend(new);
        }
    }
    let speaker = named_speaker(
        question,
        passing.iter().map(|(_, looked)| &looked.signature),
    );
    for (score, looked) in &mut passing {
        *score *= favour(question, speaker, &looked.signature);
    }
    keep_best(&mut passing, MOST_CANDIDATES);
    Ok(passing.into_iter().map(|(_, looked)| looked).collect())
}

/// What the terms are worth in this tenant, and how long its passages are.
struct Scale {
    terms: Sought,
    worth: Vec<f64>,
    average: f64,
}

impl Scale {
    fn of(pool: &Pool) -> Self {
        let passages = float(pool.passages.max(1));
        Self {
            terms: Sought::new(pool.terms.iter().map(|(term, _)| term.term.as_str())),
            worth: pool
                .terms
                .iter()
                .map(|(term, frequency)| term.weight * idf(passages, float(*frequency)))
                .collect(),
            average: (float(pool.words) / passages).max(1.0),
        }
    }
}

/// What a passage is worth for the terms that stand in it.
fn score(looked: &Looked, scale: &Scale) -> f64 {
    let mut counts = [0.0; MAX_QUERY_TERMS];
    for (_, term) in looked.signature.places(&scale.terms) {
        if let Some(count) = counts.get_mut(term) {
            *count += 1.0;
        }
    }
    let words = float(looked.words);
    let held = counts
        .iter()
        .zip(&scale.worth)
        .filter(|(count, _)| **count > 0.0);
    held.map(|(count, worth)| worth * saturated(*count, words, scale.average))
        .sum()
}

/// The best of the rows that the index names for the rare terms.
fn from_index(
    look: Look<'_>,
    pool: &Pool,
    lists: &Lists,
    gate: &Gate,
    scale: &Scale,
) -> Result<Vec<(f64, Looked)>, StoreError> {
    let mut passing: Vec<(f64, Looked)> = Vec::with_capacity(LOOKED_AT);
    let mut best = Best::default();
    let mut missing = 0;
    let rough = roughly(look, pool, lists, gate, scale)?;
    for (at, (worth, seq)) in rough.enumerate() {
        let enough = at >= LOOKED_AT && passing.len() >= MOST_CANDIDATES;
        if enough || best.is_beyond(worth * MOST_ABOVE) {
            break;
        }
        let Some(looked) = look.at(seq)? else {
            missing += 1;
            continue;
        };
        if gate.passes(&looked) && gate.tagged(look.connection, &looked)? {
            let score = score(&looked, scale);
            best.offer(score);
            passing.push((score, looked));
        }
    }
    if missing > 0 {
        // A search is not the place to fail for it.
        tracing::error!(
            missing,
            "the index names passages that are not there; run doctor"
        );
    }
    Ok(passing)
}

/// Those of the chunks that hold a term and may be shown, with their scores.
fn among(
    look: Look<'_>,
    gate: &Gate,
    scale: &Scale,
    chunks: &[i64],
) -> Result<Vec<(f64, Looked)>, StoreError> {
    let mut passing = Vec::new();
    for seq in chunks {
        let Some(looked) = look.at(*seq)? else {
            continue;
        };
        let score = score(&looked, scale);
        if score > 0.0 && gate.passes(&looked) && gate.tagged(look.connection, &looked)? {
            passing.push((score, looked));
        }
        if passing.len() >= 2 * LOOKED_AT {
            // Memory: a passage takes up to 12 kB here.
            keep_best(&mut passing, LOOKED_AT);
        }
    }
    Ok(passing)
}

/// The best first, the newest of equals, at most so many.
fn keep_best(passing: &mut Vec<(f64, Looked)>, most: usize) {
    let best_first =
        |a: &(f64, Looked), b: &(f64, Looked)| b.0.total_cmp(&a.0).then(b.1.seq.cmp(&a.1.seq));
    if passing.len() > most {
        passing.select_nth_unstable_by(most, best_first);
        passing.truncate(most);
    }
    passing.sort_unstable_by(best_first);
}

/// The newest chunks of the session or of the stretch of time that the filter names, and whether these are all that may
/// pass.
fn listed(
    connection: &Connection,
    tenant_no: i64,
    gate: &Gate,
) -> Result<(Vec<i64>, bool), StoreError> {
    if gate.session_no.is_none() && !gate.is_timed() {
        return Ok((Vec::new(), false));
    }
    let most = usize::try_from(MOST_ROWS).unwrap_or(usize::MAX);
    let mut chunks = Vec::new();
    for kind in KINDS {
        kind.each(
            connection,
            tenant_no,
            gate,
            (gate.since, gate.until),
            |first, count| {
                chunks.extend(first..first + count);
                Ok(chunks.len() < most)
            },
        )?;
    }
    let all = chunks.len() < most;
    chunks.truncate(most);
    Ok((chunks, all))
}

/// The rows that hold the rare terms, in the order of their scores if each term stood there once and all were of the
/// average length.
fn roughly(
    look: Look<'_>,
    pool: &Pool,
    lists: &Lists,
    gate: &Gate,
    scale: &Scale,
) -> Result<BestFirst, StoreError> {
    let frequencies: Vec<i64> = pool.terms.iter().map(|(_, frequency)| *frequency).collect();
    let mut rows: Vec<(f64, i64)> = Vec::new();
    for index in chosen(&frequencies, gate.budget()) {
        let (Some((term, _)), Some(worth)) = (pool.terms.get(index), scale.worth.get(index)) else {
            continue;
        };
        match lists.get(index) {
            // With a tag the index gives fewer.
            Some(Some(list)) if gate.tags.is_empty() => {
                rows.extend(list.iter().map(|seq| (*worth, *seq)));
            }
            _ => {
                let list = postings(look, &term.term, gate)?;
                rows.extend(list.into_iter().map(|seq| (*worth, seq)));
            }
        }
    }
    // The lists are sorted each by itself, so this only merges them.
    rows.sort_by_key(|(_, seq)| Reverse(*seq));
    rows.dedup_by(|(worth, seq), (sum, same)| {
        let again = seq == same;
        *sum += if again { *worth } else { 0.0 };
        again
    });
    Ok(BestFirst {
        rest: rows,
        block: Vec::new(),
        next: LOOKED_AT,
    })
}

/// Rows in the order of their scores, the newest of equals first. Of thousands the first hundreds are asked for, so they
/// are sorted block by block, each twice as long as the one before.
struct BestFirst {
    rest: Vec<(f64, i64)>,
    /// The worst first.
    block: Vec<(f64, i64)>,
    next: usize,
}

impl Iterator for BestFirst {
    type Item = (f64, i64);

    fn next(&mut self) -> Option<(f64, i64)> {
        let best_last = |a: &(f64, i64), b: &(f64, i64)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
        if self.block.is_empty() {
            let left = self.rest.len().saturating_sub(self.next);
            if left > 0 {
                self.rest.select_nth_unstable_by(left, best_last);
            }
            self.block = self.rest.split_off(left);
            self.block.sort_unstable_by(best_last);
            self.next *= 2;
        }
        self.block.pop()
    }
}

/// The scores of the best so far, as many as there may be candidates.
#[derive(Default)]
struct Best(BinaryHeap<Reverse<u64>>);

impl Best {
    /// Takes a score, which is never negative: then bits go as numbers do.
    fn offer(&mut self, score: f64) {
        self.0.push(Reverse(score.to_bits()));
        if self.0.len() > MOST_CANDIDATES {
            self.0.pop();
        }
    }

    /// Whether there are enough that score more.
    fn is_beyond(&self, score: f64) -> bool {
        let worst = self.0.peek().filter(|_| self.0.len() >= MOST_CANDIDATES);
        worst.is_some_and(|Reverse(bits)| f64::from_bits(*bits) > score)
    }
}

/// Which terms candidates come from: the rarest that occur, while their rows stay within the budget; the rarest always.
fn chosen(frequencies: &[i64], budget: i64) -> Vec<usize> {
    let mut terms: Vec<_> = frequencies
        .iter()
        .copied()
        .enumerate()
        .filter(|(_, frequency)| *frequency > 0)
        .collect();
    terms.sort_by_key(|(index, frequency)| (*frequency, *index));
    let mut rows = 0;
    let mut chosen = Vec::new();
    for (index, frequency) in terms.into_iter().take(MOST_TERMS) {
        rows += frequency;
        if rows > budget && !chosen.is_empty() {
            break;
        }
        chosen.push(index);
    }
    chosen
}

/// The newest chunks that hold a term, and all the tags that are asked for.
fn postings(look: Look<'_>, term: &str, gate: &Gate) -> rusqlite::Result<Vec<i64>> {
    let mut sought = vec![quoted(look.tenant_no, term)];
    sought.extend(gate.tags.iter().cloned());
    let mut statement = look.connection.prepare_cached(
        "select rowid from term_index where term_index match ?1 order by rowid desc limit ?2",
    )?;
    statement
        .query_map(params![sought.join(" AND "), gate.budget()], |row| {
            row.get(0)
        })?
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_come_first_however_many_are_asked_for() {
        let rows: Vec<(f64, i64)> = (0..2_000_u16)
            .map(|row| (f64::from(row * 7 % 13), i64::from(row)))
            .collect();
        let best = BestFirst {
            rest: rows.clone(),
            block: Vec::new(),
            next: 10,
        };
        let mut sorted = rows;
        sorted.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.cmp(&a.1)));
        assert!(best.eq(sorted));
    }

    #[test]
    fn rare_terms_come_first_and_rows_are_bounded() {
        assert_eq!(chosen(&[0, 4_000, 10, 2_000], 5_000), [2, 3]);
        assert_eq!(chosen(&[90_000], 5_000), [0]);
        assert_eq!(chosen(&[0, 0], 5_000), [0_usize; 0]);
        assert_eq!(chosen(&vec![1; 100], 5_000).len(), MOST_TERMS);
    }
}
