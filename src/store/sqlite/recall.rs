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
use crate::store::measure::Op;
use crate::store::sqlite::chunk::{entity_text, load_passage};
use crate::store::sqlite::measured::Searched;
use crate::store::sqlite::passage::{indexed, quoted_whole};
use crate::store::sqlite::unit::tenant_no;
use crate::store::{RankedRow, StoreError, Wait};

mod first;
mod frequency;
mod gate;
mod kind;
mod pool;
mod shelf;
mod spellings;

use frequency::Frequencies;
use gate::Gate;
use shelf::{Look, Shelf};
use spellings::Spellings;

/// What searches leave for the next ones.
#[derive(Debug, Default)]
pub(super) struct Kept {
    frequencies: Frequencies,
    shelf: Shelf,
    spellings: Spellings,
    pub(super) searched: Searched,
}

/// Most rows that a first score looks at. From the ranking study: 1.5 µs a row.
const MOST_ROWS: i64 = 5_000;
/// The same where a filter or the reader's channel leaves out most of them.
const MOST_FILTERED: i64 = 20_000;
/// Passages of a word that are looked at for how many of them the reader may know of: its count would tell of the others.
const SAMPLE: u8 = 16;
/// Words of a question that are mended.
const MOST_MENDED: usize = 8;

impl super::Sqlite {
    pub(in crate::store) fn recall(
        &self,
        wait: Wait,
        caller: &Caller,
        query: &RecallQuery,
    ) -> Result<Vec<Hit>, StoreError> {
        self.read(Op::Recall, wait, |connection| {
            match tenant_no(connection, &caller.tenant)? {
                None => Ok(Vec::new()),
                Some(tenant_no) => hits(connection, tenant_no, caller, query, &self.engine.kept),
            }
        })
    }

    pub(in crate::store) fn recall_pool(
        &self,
        wait: Wait,
        caller: &Caller,
        query: &RecallQuery,
    ) -> Result<Vec<RankedRow>, StoreError> {
        self.read(Op::Recall, wait, |connection| {
            let Some(tenant_no) = tenant_no(connection, &caller.tenant)? else {
                return Ok(Vec::new());
            };
            let pool = pool(connection, tenant_no, caller, query, &self.engine.kept)?;
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
    kept: &Kept,
) -> Result<Pool, StoreError> {
    let Some(gate) = Gate::resolve(connection, tenant_no, caller, &query.filter)? else {
        return Ok(Pool::default());
    };
    let look = Look::new(connection, tenant_no, &kept.shelf)?;
    let (mut pool, lists) = statistics(look, query, kept, &gate)?;
    let candidates = first::first_scores(look, &query.question, &pool, &lists, &gate)?;
    let of_time = match &query.question.time {
        Some(time) => pool::of_time(look, time, &gate)?,
        None => Vec::new(),
    };
    pool.rows = pool::rows(look, &gate, candidates, &of_time)?;
    Ok(pool)
}

/// The best memories for a query.
pub(super) fn hits(
    connection: &Connection,
    tenant_no: i64,
    caller: &Caller,
    query: &RecallQuery,
    kept: &Kept,
) -> Result<Vec<Hit>, StoreError> {
    let begun = std::time::Instant::now();
    let pool = pool(connection, tenant_no, caller, query, kept)?;
    let mut presenter = Presenter::new(query);
    let ranking = rank(query, &pool);
    for (place, ranked) in ranking.hits.iter().enumerate() {
        if !presenter.wants(place) {
            break;
        }
        let Some(row) = pool.rows.get(ranked.row) else {
            continue;
        };
        let Some(of) = entity_text(connection, row.entity, row.extent.field)? else {
            continue;
        };
        let found = Found {
            entity_type: row.entity.0,
            ts: row.ts,
            text: of.part(row.extent)?.to_owned(),
            id: of.id,
            refs: of.refs,
            status: of.status,
            superseded_by: of.superseded_by,
        };
        presenter.offer(&ranking, ranked, found);
    }
    let hits = presenter.finish();
    kept.searched.note(begun.elapsed(), hits.len());
    Ok(hits)
}

/// The passages of each term that is rare enough to have them at hand, the newest first.
type Lists = Vec<Option<Vec<i64>>>;

/// The tenant's size, the terms to look for, and how many of its passages hold each.
fn statistics(
    look: Look<'_>,
    query: &RecallQuery,
    kept: &Kept,
    gate: &Gate,
) -> Result<(Pool, Lists), StoreError> {
    let (connection, tenant_no) = (look.connection, look.tenant_no);
    let (passages, words, writes) = connection
        .prepare_cached("select passages, words, write_seq from tenant where tenant_no = ?1")?
        .query_row([tenant_no], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?;
    let mut found = Vec::with_capacity(query.terms.len());
    let mut lists = Vec::with_capacity(query.terms.len());
    for term in &query.terms {
        let indexed = indexed(tenant_no, &term.term);
        let (count, list) = occurrences(look, &indexed, writes, kept, gate)?;
        found.push((term.clone(), count));
        lists.push(list);
    }
    let unknown = found
        .iter_mut()
        .zip(&mut lists)
        .filter(|((_, frequency), _)| *frequency == 0);
    for ((term, frequency), list) in unknown.take(MOST_MENDED) {
        if let Some((mended, count)) =
            meant(look, &term.term, gate, &kept.spellings, (passages, writes))?
        {
            *term = QueryTerm {
                term: mended,
                weight: term.weight * spelling::MENDED_WEIGHT,
            };
            *frequency = count;
            *list = None;
        }
    }
    let pool = Pool {
        passages,
        words,
        terms: found,
        rows: Vec::new(),
    };
    Ok((pool, lists))
}

/// How many passages with a term the reader may know of; and all that hold it, if they are few.
fn occurrences(
    look: Look<'_>,
    indexed: &str,
    writes: i64,
    kept: &Kept,
    gate: &Gate,
) -> Result<(i64, Option<Vec<i64>>), StoreError> {
    if let Some(common) = kept.frequencies.kept(indexed, writes) {
        // What is being forgotten is soon gone; its share is not worth keeping.
        let settled = gate.forgotten.is_empty();
        if let Some(count) = common.cleared(gate.clearance).filter(|_| settled) {
            return Ok((count, None));
        }
        let count = seen(look, indexed, common.count, gate)?;
        if settled {
            kept.frequencies
                .keep_cleared(indexed, gate.clearance, count);
        }
        return Ok((count, None));
    }
    let newest = newest(look.connection, indexed, frequency::COMMON + 1)?;
    let count = i64::try_from(newest.len()).unwrap_or(i64::MAX);
    if count <= frequency::COMMON {
        return Ok((cleared(look, &newest, count, gate)?, Some(newest)));
    }
    let all = kept
        .frequencies
        .count(look.connection, indexed, &newest, writes)?;
    Ok((cleared(look, &newest, all, gate)?, None))
}

/// The word of the index that was meant by one that is not in it.
fn meant(
    look: Look<'_>,
    typed: &str,
    gate: &Gate,
    spellings: &Spellings,
    size: (i64, i64),
) -> Result<Option<(String, i64)>, StoreError> {
    let lists = spelling::beginnings(typed)
        .iter()
        .map(|beginning| spellings.of(look, beginning, size))
        .collect::<Result<Vec<_>, _>>()?;
    let known = lists.iter().flat_map(|words| words.iter());
    // A word that only stands where the reader may not look is not known to exist.
    for (word, count) in spelling::closest(typed, known) {
        let count = seen(look, &indexed(look.tenant_no, &word), count, gate)?;
        if count > 0 {
            return Ok(Some((word, count)));
        }
    }
    Ok(None)
}

/// How many of the passages with a term the reader may know of.
fn seen(look: Look<'_>, indexed: &str, all: i64, gate: &Gate) -> Result<i64, StoreError> {
    if all == 0 {
        return Ok(0);
    }
    cleared(
        look,
        &newest(look.connection, indexed, SAMPLE.into())?,
        all,
        gate,
    )
}

/// The newest passages with a term.
fn newest(connection: &Connection, indexed: &str, most: i64) -> rusqlite::Result<Vec<i64>> {
    let mut statement = connection.prepare_cached(
        "select rowid from term_index where term_index match ?1 order by rowid desc limit ?2",
    )?;
    statement
        .query_map(params![quoted_whole(indexed), most], |row| row.get(0))?
        .collect()
}

/// How many of so many passages the reader may know of, judged by the newest: exactly, if there are no more, or if nothing
/// is kept from this reader.
fn cleared(look: Look<'_>, newest: &[i64], all: i64, gate: &Gate) -> Result<i64, StoreError> {
    if gate.knows_all(look.most_sensitive) {
        return Ok(all);
    }
    let (mut sampled, mut seen) = (0, 0);
    for seq in newest.iter().take(SAMPLE.into()) {
        if let Some(looked) = look.at(*seq)? {
            sampled += 1;
            seen += i64::from(gate.clears(&looked));
        }
    }
    Ok(if sampled == 0 {
        0
    } else {
        all * seen / sampled
    })
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
fn float(count: i64) -> f64 {
    count as f64
}
