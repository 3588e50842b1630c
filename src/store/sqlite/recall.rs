//! Recall out of the term index: from a question to the passages that are worth ranking, and back to their texts.
//!
//! Ranking costs a look-up a row, so candidates come from the query's rarest terms: as many, from the rarest on, as
//! keep the sum of their document frequencies within [`MOST_ROWS`]; the others count in the ranking alone. How often a
//! term stands in a passage comes from FTS5's vocabulary, so that a first score needs no text; filters apply to it
//! before the cut to [`MOST_CANDIDATES`]. [`pool`] puts what is around them beside them, `domain` ranks, and only what
//! will be shown loads its text. A term that nobody has is mended first.
//!
//! **Invariant:** another tenant's rows are never looked at: every term carries the tenant's number.

use std::collections::HashMap;

use rusqlite::{Connection, params};

use crate::domain::Caller;
use crate::domain::recall::{
    Found, Hit, Pool, Presenter, Question, RecallFilter, RecallQuery, Signature, favour, features,
    named_speaker, rank, spelling,
};
use crate::domain::terms::QueryTerm;
use crate::store::sqlite::chunk::load_passage;
use crate::store::sqlite::error::damaged;
use crate::store::sqlite::passage::{indexed, quoted};
use crate::store::sqlite::session::{self, session_no};
use crate::store::sqlite::unit::{find, tenant_no};
use crate::store::{RankedRow, StoreError, Wait};

mod frequency;
mod pool;

pub(super) use frequency::Frequencies;

/// Most rows that a first score looks at. From the ranking study: 1.5 µs a row.
const MOST_ROWS: i64 = 5_000;
/// Rows whose length is looked at, if enough of them pass the filters.
const LOOKED_AT: usize = 1_000;
/// Most terms that candidates come from. From the design.
const MOST_TERMS: usize = 32;
/// Passages that are ranked for what they say themselves. From the design; the study's top 100.
const MOST_CANDIDATES: usize = 100;
/// Words of the index that a mended one is chosen from, for each beginning.
const MOST_SPELLINGS: i64 = 4_000;
/// BM25's constants for the first score, as the final one's.
const K1: f64 = 1.6;
const B: f64 = 0.7;

impl super::Sqlite {
    pub(in crate::store) fn recall(
        &self,
        wait: Wait,
        caller: &Caller,
        query: &RecallQuery,
    ) -> Result<Vec<Hit>, StoreError> {
        self.read(wait, |connection| {
            match tenant_no(connection, &caller.tenant)? {
                None => Ok(Vec::new()),
                Some(tenant_no) => hits(connection, tenant_no, caller, query, &self.frequencies),
            }
        })
    }

    pub(in crate::store) fn recall_pool(
        &self,
        wait: Wait,
        caller: &Caller,
        query: &RecallQuery,
    ) -> Result<Vec<RankedRow>, StoreError> {
        self.read(wait, |connection| {
            let Some(tenant_no) = tenant_no(connection, &caller.tenant)? else {
                return Ok(Vec::new());
            };
            let pool = pool(connection, tenant_no, caller, query, &self.frequencies)?;
            let mut rows = Vec::new();
            for (row, values) in features(query, &pool) {
                let passage = pool
                    .rows
                    .get(row)
                    .map(|row| load_passage(connection, row.chunk))
                    .transpose()?;
                rows.extend(passage.flatten().map(|passage| (passage.entity_id, values)));
            }
            Ok(rows)
        })
    }
}

/// The rows that a query is ranked over.
fn pool(
    connection: &Connection,
    tenant_no: i64,
    caller: &Caller,
    query: &RecallQuery,
    known: &Frequencies,
) -> Result<Pool, StoreError> {
    let Some(gate) = Gate::resolve(connection, tenant_no, caller, &query.filter)? else {
        return Ok(Pool::default());
    };
    let mut pool = statistics(connection, tenant_no, query, known)?;
    let candidates = first_scores(connection, tenant_no, &query.question, &pool, &gate)?;
    let of_time = match &query.question.time {
        Some(time) => pool::of_time(connection, tenant_no, time, &gate)?,
        None => Vec::new(),
    };
    pool.rows = pool::rows(connection, tenant_no, &gate, candidates, &of_time)?;
    Ok(pool)
}

/// The best memories for a query.
pub(super) fn hits(
    connection: &Connection,
    tenant_no: i64,
    caller: &Caller,
    query: &RecallQuery,
    known: &Frequencies,
) -> Result<Vec<Hit>, StoreError> {
    let pool = pool(connection, tenant_no, caller, query, known)?;
    let mut presenter = Presenter::new(query);
    for (place, ranked) in rank(query, &pool).iter().enumerate() {
        if !presenter.wants(place) {
            break;
        }
        let Some(row) = pool.rows.get(ranked.row) else {
            continue;
        };
        let Some(passage) = load_passage(connection, row.chunk)? else {
            continue;
        };
        let found = Found {
            id: passage.entity_id,
            entity_type: passage.entity_type,
            ts: passage.ts,
            text: passage.text,
            refs: passage.refs,
            status: passage.status,
            superseded_by: passage.superseded_by,
        };
        presenter.offer(ranked, found);
    }
    Ok(presenter.finish())
}

/// The tenant's size, the terms to look for, and how many of its passages hold each.
fn statistics(
    connection: &Connection,
    tenant_no: i64,
    query: &RecallQuery,
    known: &Frequencies,
) -> rusqlite::Result<Pool> {
    let (passages, words) = connection
        .prepare_cached("select passages, words from tenant where tenant_no = ?1")?
        .query_row([tenant_no], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut found = Vec::with_capacity(query.terms.len());
    for term in &query.terms {
        let indexed = indexed(tenant_no, &term.term);
        found.push((term.clone(), known.of(connection, indexed, passages)?));
    }
    for (term, frequency) in found.iter_mut().filter(|(_, frequency)| *frequency == 0) {
        if let Some((mended, count)) = meant(connection, tenant_no, &term.term)? {
            *term = QueryTerm {
                term: mended,
                weight: term.weight * spelling::MENDED_WEIGHT,
            };
            *frequency = count;
        }
    }
    Ok(Pool {
        passages,
        words,
        terms: found,
        rows: Vec::new(),
    })
}

/// The word of the index that was meant by one that is not in it.
fn meant(
    connection: &Connection,
    tenant_no: i64,
    typed: &str,
) -> rusqlite::Result<Option<(String, i64)>> {
    let mut known: Vec<(String, i64)> = Vec::new();
    let mut statement = connection
        .prepare_cached("select term, doc from term_row where term >= ?1 and term < ?2 limit ?3")?;
    for beginning in spelling::beginnings(typed) {
        let from = indexed(tenant_no, &beginning);
        // Terms of ASCII letters alone are wanted, which all sort before a DEL.
        let mut rows = statement.query(params![from, format!("{from}\u{7f}"), MOST_SPELLINGS])?;
        while let Some(row) = rows.next()? {
            let term: String = row.get(0)?;
            let word = term.split_once(':').map_or("", |(_, word)| word);
            known.push((word.to_owned(), row.get(1)?));
        }
    }
    Ok(spelling::closest(typed, known.into_iter()))
}

/// What a row has to be like to be shown, in the store's numbers.
struct Gate {
    clearance: i64,
    types: Vec<i64>,
    /// `Some(None)`: of a project that is not known here.
    project_no: Option<Option<i64>>,
    session_no: Option<i64>,
    tags: Vec<String>,
    since: i64,
    until: i64,
}

impl Gate {
    /// None if nothing can pass.
    fn resolve(
        connection: &Connection,
        tenant_no: i64,
        caller: &Caller,
        filter: &RecallFilter,
    ) -> rusqlite::Result<Option<Self>> {
        let session_no = match &filter.session {
            None => None,
            Some(session) => match session_no(connection, tenant_no, session)? {
                None => return Ok(None),
                known => known,
            },
        };
        let project_no = session::resolve_project(connection, tenant_no, filter.project.as_ref())?;
        Ok(Some(Self {
            clearance: caller.clearance().code(),
            types: filter.types.iter().map(|entity| entity.code()).collect(),
            project_no,
            session_no,
            tags: filter
                .tags
                .iter()
                .map(|tag| quoted(tenant_no, tag))
                .collect(),
            since: filter
                .since
                .map_or(i64::MIN, crate::domain::Timestamp::millis),
            until: filter
                .until
                .map_or(i64::MAX, crate::domain::Timestamp::millis),
        }))
    }

    /// Whether the reader may know of it at all.
    fn clears(&self, chunk: &Looked) -> bool {
        chunk.sensitivity <= self.clearance
    }

    fn passes(&self, chunk: &Looked) -> bool {
        self.clears(chunk)
            && (self.types.is_empty() || self.types.contains(&chunk.entity_type))
            && self
                .project_no
                .is_none_or(|project| chunk.project_no.is_none() || chunk.project_no == project)
            && self
                .session_no
                .is_none_or(|session| chunk.session_no == Some(session))
            && (self.since..self.until).contains(&chunk.ts)
    }

    /// Whether a passage has all the tags: the index answers for one row at a time.
    fn tagged(&self, connection: &Connection, seq: i64) -> rusqlite::Result<bool> {
        if self.tags.is_empty() {
            return Ok(true);
        }
        let sql = "select 1 from term_index where term_index match ?1 and rowid = ?2";
        find(
            connection,
            sql,
            params![self.tags.join(" AND "), seq],
            |_| Ok(()),
        )
        .map(|row| row.is_some())
    }
}

/// What is known of a chunk without its text.
#[derive(Clone)]
struct Looked {
    seq: i64,
    entity_type: i64,
    entity_seq: i64,
    session_no: Option<i64>,
    project_no: Option<i64>,
    ts: i64,
    sensitivity: i64,
    words: i64,
    /// Whether its entity begins with it.
    opening: bool,
    signature: Signature,
}

impl Looked {
    fn at(connection: &Connection, seq: i64) -> Result<Option<Self>, StoreError> {
        // The first chunk of an event has no id of its own.
        let mut statement = connection.prepare_cached(
            "select c.entity_type, c.entity_seq, c.session_no, c.project_no, c.ts, c.sensitivity, c.words, c.id is null, s.terms
             from chunk c join signature s on s.seq = c.seq where c.seq = ?1",
        )?;
        let mut rows = statement.query([seq])?;
        let Some(row) = rows.next()? else {
            return Ok(None);
        };
        Ok(Some(Self {
            seq,
            entity_type: row.get(0)?,
            entity_seq: row.get(1)?,
            session_no: row.get(2)?,
            project_no: row.get(3)?,
            ts: row.get(4)?,
            sensitivity: row.get(5)?,
            words: row.get(6)?,
            opening: row.get(7)?,
            signature: Signature::stored(row.get(8)?).ok_or_else(|| damaged("signature"))?,
        }))
    }
}

/// The chunks that score best on the rare terms, best first, filtered, at most [`MOST_CANDIDATES`].
///
/// A chunk is looked at for its length, its speaker and the filters, which costs more than its postings. So they are first
/// put in the order they would have if all were of the same length, and looked at from the best on.
fn first_scores(
    connection: &Connection,
    tenant_no: i64,
    question: &Question,
    pool: &Pool,
    gate: &Gate,
) -> Result<Vec<Looked>, StoreError> {
    let average = (float(pool.words) / float(pool.passages.max(1))).max(1.0);
    let mut passing: Vec<(f64, Looked)> = Vec::new();
    let rough = roughly(connection, tenant_no, pool)?;
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
            let norm = K1 * (1.0 - B + B * float(looked.words) / average);
            passing.push((matches.iter().map(|found| found.score(norm)).sum(), looked));
        }
    }
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
) -> Result<Vec<(f64, i64, Vec<Match>)>, StoreError> {
    let passages = float(pool.passages.max(1));
    let frequencies: Vec<i64> = pool.terms.iter().map(|(_, frequency)| *frequency).collect();
    let mut rows: HashMap<i64, Vec<Match>> = HashMap::new();
    for (index, frequency) in chosen(&frequencies) {
        let Some((term, _)) = pool.terms.get(index) else {
            continue;
        };
        let df = float(frequency).min(passages);
        let worth = term.weight * (1.0 + (passages - df + 0.5) / (df + 0.5)).ln();
        for (seq, count) in postings(connection, tenant_no, &term.term, frequency)? {
            rows.entry(seq).or_default().push(Match {
                worth,
                count: float(count),
            });
        }
    }
    let mut rough: Vec<(f64, i64, Vec<Match>)> = rows
        .into_iter()
        .map(|(seq, matches)| {
            (
                matches.iter().map(|found| found.score(K1)).sum(),
                seq,
                matches,
            )
        })
        .collect();
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
) -> rusqlite::Result<Vec<(i64, i64)>> {
    if frequency > MOST_ROWS {
        let mut statement = connection.prepare_cached(
            "select rowid from term_index where term_index match ?1 order by rowid desc limit ?2",
        )?;
        let rows = statement.query_map(params![quoted(tenant_no, term), MOST_ROWS], |row| {
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

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
fn float(count: i64) -> f64 {
    count as f64
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
