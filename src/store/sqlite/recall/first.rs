//! The first look: which passages are worth ranking.
//!
//! Candidates come from the rarest of the terms, as many as keep the sum of their rows within [`MOST_ROWS`]. Where a filter
//! is narrow (one session, a stretch of time), all that it lets through is looked at instead, so that a word that is
//! common elsewhere does not hide what was asked for.
//!
//! **Invariant:** filters apply before anything is cut off, as far as [`MOST_ROWS`] reach.

use std::collections::HashMap;

use rusqlite::{Connection, params};

use super::gate::{Gate, Looked};
use super::{MOST_ROWS, float};
use crate::domain::recall::{Pool, Question, favour, hashes, named_speaker};
use crate::store::StoreError;
use crate::store::sqlite::passage::{indexed, quoted};

/// Rows whose length is looked at, if enough of them pass the filters.
const LOOKED_AT: usize = 1_000;
/// Most terms that candidates come from. From the design.
const MOST_TERMS: usize = 32;
/// Passages that are ranked for what they say themselves. From the design; the study's top 100.
const MOST_CANDIDATES: usize = 100;
/// BM25's constants for the first score, as the final one's.
const K1: f64 = 1.6;
const B: f64 = 0.7;
/// Rows of a common word that are looked at for a filter which no index helps with: a project, a type.
const MOST_FILTERED: i64 = 20_000;

/// The chunks that score best on the rare terms, best first, filtered, at most [`MOST_CANDIDATES`].
///
/// A chunk is looked at for its length, its speaker and the filters, which costs more than its postings. So they are first
/// put in the order they would have if all were of the same length, and looked at from the best on.
pub(super) fn first_scores(
    connection: &Connection,
    tenant_no: i64,
    question: &Question,
    pool: &Pool,
    gate: &Gate,
) -> Result<Vec<Looked>, StoreError> {
    let scale = Scale::of(pool);
    let mut passing = match listed(connection, tenant_no, gate)? {
        Some(chunks) => among(connection, pool, gate, &scale, &chunks)?,
        None => from_index(connection, tenant_no, pool, gate, &scale)?,
    };
    let speaker = named_speaker(
        question,
        passing.iter().map(|(_, looked)| &looked.signature),
    );
    for (score, looked) in &mut passing {
        *score *= favour(question, speaker, &looked.signature);
    }
    passing.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.seq.cmp(&a.1.seq)));
    passing.truncate(MOST_CANDIDATES);
    Ok(passing.into_iter().map(|(_, looked)| looked).collect())
}

/// What the terms are worth in this tenant, and how long its passages are.
struct Scale {
    worth: Vec<f64>,
    average: f64,
}

impl Scale {
    fn of(pool: &Pool) -> Self {
        let passages = float(pool.passages.max(1));
        let worth = |frequency: i64| {
            let df = float(frequency).min(passages);
            (1.0 + (passages - df + 0.5) / (df + 0.5)).ln()
        };
        Self {
            worth: pool
                .terms
                .iter()
                .map(|(term, frequency)| term.weight * worth(*frequency))
                .collect(),
            average: (float(pool.words) / passages).max(1.0),
        }
    }

    fn norm(&self, words: i64) -> f64 {
        K1 * (1.0 - B + B * float(words) / self.average)
    }
}

/// The best of the rows that the index names for the rare terms.
fn from_index(
    connection: &Connection,
    tenant_no: i64,
    pool: &Pool,
    gate: &Gate,
    scale: &Scale,
) -> Result<Vec<(f64, Looked)>, StoreError> {
    let mut passing: Vec<(f64, Looked)> = Vec::new();
    let rough = roughly(connection, tenant_no, pool, gate, scale)?;
    for (at, (_, seq, matches)) in rough.into_iter().enumerate() {
        if at >= LOOKED_AT && passing.len() >= MOST_CANDIDATES {
            break;
        }
        let Some(looked) = Looked::at(connection, seq)? else {
            // A search is not the place to fail for it.
            tracing::error!(
                seq,
                "the index names a passage that is not there; run doctor"
            );
            continue;
        };
        if gate.passes(&looked) && gate.tagged(connection, seq)? {
            let norm = scale.norm(looked.words);
            let score = matches.iter().map(|found| found.score(norm)).sum();
            passing.push((score, looked));
        }
    }
    Ok(passing)
}

/// Those of the chunks that hold a term and may be shown, with their scores.
fn among(
    connection: &Connection,
    pool: &Pool,
    gate: &Gate,
    scale: &Scale,
    chunks: &[i64],
) -> Result<Vec<(f64, Looked)>, StoreError> {
    let terms = hashes(pool.terms.iter().map(|(term, _)| term));
    let mut passing = Vec::new();
    for seq in chunks {
        let Some(looked) = Looked::at(connection, *seq)? else {
            continue;
        };
        let norm = scale.norm(looked.words);
        let counts = looked.signature.counts(&terms);
        let score: f64 = counts
            .iter()
            .zip(&scale.worth)
            .map(|(count, worth)| {
                Match {
                    worth: *worth,
                    count: *count,
                }
                .score(norm)
            })
            .sum();
        if score > 0.0 && gate.passes(&looked) && gate.tagged(connection, *seq)? {
            passing.push((score, looked));
        }
    }
    Ok(passing)
}

/// All chunks of the session or of the stretch of time that the filter names, newest first; none if it names neither, or
/// if there are more than can be looked at.
fn listed(
    connection: &Connection,
    tenant_no: i64,
    gate: &Gate,
) -> Result<Option<Vec<i64>>, StoreError> {
    let timed = gate.since > i64::MIN || gate.until < i64::MAX;
    if gate.session_no.is_none() && !timed {
        return Ok(None);
    }
    let mut chunks = Vec::new();
    for (table, time, has_session) in [
        ("event", "ts", true),
        ("handoff", "created_at", true),
        ("decision", "ts", false),
        ("note", "created_at", false),
        ("reflection", "period_end", false),
        ("principle", "created_at", false),
    ] {
        if gate.session_no.is_some() && !has_session {
            continue;
        }
        let session = if gate.session_no.is_some() {
            "session_no = ?2"
        } else {
            "?2 is null"
        };
        // The gate looks at the time itself; a period counts by its last moment.
        let sql = format!(
            "select chunk_first, chunk_count from {table} where tenant_no = ?1 and {session} and {time} >= ?3 and {time} <= ?4
             order by {time} desc limit ?5"
        );
        let mut statement = connection.prepare_cached(&sql)?;
        let mut rows = statement.query(params![
            tenant_no,
            gate.session_no,
            gate.since,
            gate.until,
            MOST_ROWS + 1
        ])?;
        while let Some(row) = rows.next()? {
            let (first, count): (i64, i64) = (row.get(0)?, row.get(1)?);
            chunks.extend(first..first + count);
            if chunks.len() > usize::try_from(MOST_ROWS).unwrap_or(usize::MAX) {
                return Ok(None);
            }
        }
    }
    Ok(Some(chunks))
}

/// A term in a row: what it is worth, and how often it stands there.
#[derive(Debug, Clone, Copy)]
struct Match {
    worth: f64,
    count: f64,
}

impl Match {
    fn score(self, norm: f64) -> f64 {
        self.worth * self.count * (K1 + 1.0) / (self.count + norm)
    }
}

/// The rows that hold the rare terms, with those terms, in the order of their scores at the average length.
fn roughly(
    connection: &Connection,
    tenant_no: i64,
    pool: &Pool,
    gate: &Gate,
    scale: &Scale,
) -> Result<Vec<(f64, i64, Vec<Match>)>, StoreError> {
    let frequencies: Vec<i64> = pool.terms.iter().map(|(_, frequency)| *frequency).collect();
    let mut rows: HashMap<i64, Vec<Match>> = HashMap::new();
    for (index, frequency) in chosen(&frequencies) {
        let (Some((term, _)), Some(worth)) = (pool.terms.get(index), scale.worth.get(index)) else {
            continue;
        };
        for (seq, count) in postings(connection, tenant_no, &term.term, frequency, gate)? {
            rows.entry(seq).or_default().push(Match {
                worth: *worth,
                count: float(count),
            });
        }
    }
    let rough = |(seq, matches): (i64, Vec<Match>)| {
        let score = matches.iter().map(|found| found.score(K1)).sum();
        (score, seq, matches)
    };
    let mut rough: Vec<(f64, i64, Vec<Match>)> = rows.into_iter().map(rough).collect();
    rough.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.cmp(&a.1)));
    Ok(rough)
}

/// Which terms candidates come from: the rarest that occur, while their rows sum up to [`MOST_ROWS`]; the rarest
/// always.
fn chosen(frequencies: &[i64]) -> Vec<(usize, i64)> {
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
        if rows > MOST_ROWS && !chosen.is_empty() {
            break;
        }
        chosen.push((index, frequency));
    }
    chosen
}

/// The chunks that hold a term, and how often each does. Of a term with more rows than can be looked at, the newest.
fn postings(
    connection: &Connection,
    tenant_no: i64,
    term: &str,
    frequency: i64,
    gate: &Gate,
) -> rusqlite::Result<Vec<(i64, i64)>> {
    if frequency > MOST_ROWS {
        let narrowed = gate.project_no.is_some()
            || !gate.types.is_empty()
            || gate.since > i64::MIN
            || gate.until < i64::MAX;
        let most = if narrowed { MOST_FILTERED } else { MOST_ROWS };
        // The index itself finds what has the tags as well.
        let mut sought = vec![quoted(tenant_no, term)];
        sought.extend(gate.tags.iter().cloned());
        let mut statement = connection.prepare_cached(
            "select rowid from term_index where term_index match ?1 order by rowid desc limit ?2",
        )?;
        let rows = statement.query_map(params![sought.join(" AND "), most], |row| {
            Ok((row.get(0)?, 1))
        })?;
        return rows.collect();
    }
    let mut statement =
        connection.prepare_cached("select doc from term_instance where term = ?1")?;
    let mut rows = statement.query([indexed(tenant_no, term)])?;
    let mut found: Vec<(i64, i64)> = Vec::new();
    while let Some(row) = rows.next()? {
        let seq = row.get(0)?;
        // One row an occurrence, by document.
        match found.last_mut() {
            Some((last, count)) if *last == seq => *count += 1,
            _ => found.push((seq, 1)),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rare_terms_come_first_and_rows_are_bounded() {
        assert_eq!(chosen(&[0, 4_000, 10, 2_000]), [(2, 10), (3, 2_000)]);
        assert_eq!(chosen(&[90_000]), [(0, 90_000)]);
        assert_eq!(chosen(&[0, 0]), []);
        assert_eq!(chosen(&vec![1; 100]).len(), MOST_TERMS);
    }
}
