//! Recall out of the term index: from a question to the passages that are worth ranking, and back to their texts.
//!
//! [`first`] chooses candidates by the rarest terms, [`mod@pool`] puts what is around them beside them, `domain` ranks, and
//! only what will be shown loads its text. What may be shown is for [`gate`] to say. A term that nobody has is mended
//! first.
//!
//! **Invariant:** another tenant's rows are never looked at: every term carries the tenant's number.

use rusqlite::{Connection, params};

use crate::domain::Caller;
use crate::domain::recall::{Found, Hit, Pool, Presenter, RecallQuery, features, rank, spelling};
use crate::domain::terms::QueryTerm;
use crate::store::sqlite::chunk::load_passage;
use crate::store::sqlite::passage::indexed;
use crate::store::sqlite::unit::tenant_no;
use crate::store::{RankedRow, StoreError, Wait};

mod first;
mod frequency;
mod gate;
mod pool;

use gate::{Gate, Looked};

pub(super) use frequency::Frequencies;

/// Most rows that a first score looks at. From the ranking study: 1.5 µs a row.
const MOST_ROWS: i64 = 5_000;
/// Passages of a word that are looked at for one that the reader may see.
const MOST_SEEN: i64 = 64;
/// Words of the index that a mended one is chosen from, for each beginning.
const MOST_SPELLINGS: i64 = 4_000;

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
    let mut pool = statistics(connection, tenant_no, query, known, &gate)?;
    let candidates = first::first_scores(connection, tenant_no, &query.question, &pool, &gate)?;
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
    gate: &Gate,
) -> Result<Pool, StoreError> {
    let (passages, words) = connection
        .prepare_cached("select passages, words from tenant where tenant_no = ?1")?
        .query_row([tenant_no], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut found = Vec::with_capacity(query.terms.len());
    for term in &query.terms {
        let indexed = indexed(tenant_no, &term.term);
        found.push((term.clone(), known.of(connection, indexed, passages)?));
    }
    for (term, frequency) in found.iter_mut().filter(|(_, frequency)| *frequency == 0) {
        if let Some((mended, count)) = meant(connection, tenant_no, &term.term, gate)? {
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
    gate: &Gate,
) -> Result<Option<(String, i64)>, StoreError> {
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
    // A word that only stands where the reader may not look is not known to exist.
    for (word, count) in spelling::closest(typed, known) {
        if is_seen(connection, &indexed(tenant_no, &word), gate)? {
            return Ok(Some((word, count)));
        }
    }
    Ok(None)
}

/// Whether one of the newest passages with a term may be known of.
fn is_seen(connection: &Connection, indexed: &str, gate: &Gate) -> Result<bool, StoreError> {
    let mut statement =
        connection.prepare_cached("select doc from term_instance where term = ?1 limit ?2")?;
    let mut rows = statement.query(params![indexed, MOST_SEEN])?;
    while let Some(row) = rows.next()? {
        if Looked::at(connection, row.get(0)?)?.is_some_and(|looked| gate.clears(&looked)) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
fn float(count: i64) -> f64 {
    count as f64
}
