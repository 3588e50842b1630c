//! The order of what was found: LEX2 of the ranking study, as a sum of weighted features.
//!
//! *Words.* BM25 with the tenant's own statistics, over the passage mixed with its neighbours in the session: an answer
//! rarely repeats the words of the question it follows. Each neighbour counts by its place ([`scorer`]) and by how short
//! both are, since a long passage speaks for itself. *The rest* raises or lowers that by what the question asks for
//! ([`Question`]) and what the passage is ([`Feature`]); each weight stands in
//! [`weights`](super::weights). A feature that is absent takes nothing away from another passage.
//!
//! *Relevance* is not the score: a question about something else finds its best passage too. It is the **coverage**, the
//! share of the question's information (inverse document frequencies, with those of words that no passage has) that
//! stands in one passage. If none covers [`MIN_COVERAGE`], the answer is nothing.
//!
//! **Invariant:** a pure function of the pool: the same rows in any order give the same list, and no row of another tenant
//! was ever part of it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use foldhash::fast::FixedState;

use crate::domain::recall::pool::{Pool, Row};
use crate::domain::recall::signature::{Signature, name_hash};
use crate::domain::recall::weights::{Feature, WEIGHTS};
use crate::domain::recall::{Question, RecallQuery};
use crate::domain::{ActorType, EntityType};

mod reading;
mod scorer;
mod succession;

pub use reading::saturated;
use scorer::Scorer;
use succession::put_successors_first;

/// The coverage that the best passage needs in a tenant of [`MANY_PASSAGES`] or more. Measured with each question asked
/// of another's memory: half of those are turned away for one point of rec@10.
const MIN_COVERAGE: f64 = 0.28;
/// In fewer passages than this, document frequencies say little and a wrong passage costs little, so the bar is lower in
/// proportion: on coding projects of 200 passages the full one costs five points.
const MANY_PASSAGES: f64 = 500.0;

/// A hit before its text is loaded.
#[derive(Debug, Clone)]
pub struct Ranked {
    /// Which row.
    pub row: usize,
    /// 0 to 1.
    pub score: f64,
    /// The share of the question's information in it, 0 to 1.
    pub coverage: f64,
    /// The row that it was found by: itself, or a decision whose place it took.
    by: usize,
}

/// Why something is a hit.
#[derive(Debug, Clone, Default)]
pub struct Reasons {
    /// The terms that stand in it, with their share of *words*, best first.
    pub matched: Vec<(String, f64)>,
    /// What made up the score; the shares add up to 1.
    pub features: Vec<(Feature, f64)>,
}

/// What was ranked. The reasons of a hit are told when they are asked for: a pool has hundreds, and ten are shown.
#[derive(Debug)]
pub struct Ranking<'a> {
    scorer: Scorer<'a>,
    /// The best passage of each entity, best first.
    pub hits: Vec<Ranked>,
}

impl Ranking<'_> {
    /// Why this is a hit.
    pub fn reasons(&self, hit: &Ranked) -> Reasons {
        let reasons = self.scorer.reasons(hit.by);
        match hit.by == hit.row {
            true => reasons,
            false => Reasons {
                matched: Vec::new(),
                ..reasons
            },
        }
    }
}

/// The best passage of each entity. Its keys are the store's own numbers: nobody can make them collide.
type Best = HashMap<(EntityType, i64), Ranked, FixedState>;

/// The values of a row's features, in the order of [`WEIGHTS`].
pub type Features = [f64; WEIGHTS.len()];

/// The features of every row that may be a hit: what the weights are learned from.
pub fn features(query: &RecallQuery, pool: &Pool) -> Vec<(usize, Features)> {
    let scorer = Scorer::new(&query.question, pool);
    let shown = pool.rows.iter().enumerate().filter(|(_, row)| row.shown);
    let all = shown.map(|(row, _)| (row, scorer.found(row)));
    all.filter_map(|(row, found)| Some((row, found?))).collect()
}

/// The best passage of each entity, best first.
pub fn rank<'a>(query: &'a RecallQuery, pool: &'a Pool) -> Ranking<'a> {
    let scorer = Scorer::new(&query.question, pool);
    let mut best = Best::default();
    for (row, facts) in pool.rows.iter().enumerate().filter(|(_, row)| row.shown) {
        let Some(ranked) = scorer.score(row) else {
            continue;
        };
        let better = |known: &Ranked| {
            let chunk = |at: usize| pool.rows.get(at).map(|row| std::cmp::Reverse(row.chunk));
            (ranked.score, chunk(row)) > (known.score, chunk(known.row))
        };
        if best.get(&facts.entity).is_none_or(better) {
            best.insert(facts.entity, ranked);
        }
    }
    find_successors(&mut best, &pool.rows);
    put_successors_first(&mut best, &pool.rows);
    let mut hits: Vec<Ranked> = best.into_values().collect();
    if is_relevant(query, pool, &hits) {
        hits.retain(|hit| hit.score >= query.min_score.unwrap_or(0.0));
    } else {
        hits.clear();
    }
    // Newer before older at the same score; type and sequence make the order total.
    let key = |hit: &Ranked| pool.rows.get(hit.row).map(|row| (row.ts, row.entity));
    hits.sort_by(|a, b| {
        b.score
            .total_cmp(&a.score)
            .then_with(|| key(b).cmp(&key(a)))
    });
    Ranking { scorer, hits }
}

/// Whether anything found is about the question at all. A caller that names a score has its own bar.
fn is_relevant(query: &RecallQuery, pool: &Pool, ranked: &[Ranked]) -> bool {
    let coverage = ranked.iter().map(|hit| hit.coverage).fold(0.0, f64::max);
    let bar = MIN_COVERAGE * (float(pool.passages) / MANY_PASSAGES).min(1.0);
    // "What did we do yesterday" is about yesterday, whatever its words.
    let of_its_time = query.question.time.as_ref().is_some_and(|time| {
        !time.spent.is_empty()
            && pool
                .rows
                .iter()
                .any(|row| row.shown && time.fit(row.ts) >= 1.0)
    });
    query.min_score.is_some() || of_its_time || coverage >= bar
}

/// What took the place of a decision that was found is found with it, and for the same reasons if it shares no word with
/// the question.
fn find_successors(best: &mut Best, rows: &[Row]) {
    let mut open: Vec<Ranked> = best.values().cloned().collect();
    // Of several that it follows, it is found by the best.
    let key = |hit: &Ranked| (hit.score, rows.get(hit.row).map(|row| row.entity));
    open.sort_by(|a, b| {
        let ((a, of_a), (b, of_b)) = (key(a), key(b));
        a.total_cmp(&b).then(of_a.cmp(&of_b))
    });
    while let Some(found) = open.pop() {
        let Some(seq) = rows.get(found.row).and_then(|row| row.successor) else {
            continue;
        };
        let entity = (EntityType::Decision, seq);
        let is_it = |(_, row): &(usize, &Row)| row.entity == entity && row.shown;
        let its_rows = rows.iter().enumerate().filter(is_it);
        let Some((row, _)) = its_rows.min_by_key(|(_, row)| row.chunk) else {
            continue;
        };
        if let Entry::Vacant(vacant) = best.entry(entity) {
            let successor = Ranked {
                row,
                coverage: 0.0,
                ..found
            };
            open.push(vacant.insert(successor).clone());
        }
    }
}

/// BM25's inverse document frequency. A term that no passage has is worth most: it is what the answer lacks.
pub fn idf(passages: f64, frequency: f64) -> f64 {
    let frequency = frequency.min(passages);
    (1.0 + (passages - frequency + 0.5) / (frequency + 0.5)).ln()
}

/// The hash of the only speaker of these passages whose name the question holds; none if there are several.
pub fn named_speaker<'a>(
    question: &Question,
    passages: impl Iterator<Item = &'a Signature>,
) -> Option<u32> {
    let words: Vec<u32> = question
        .words
        .iter()
        .filter_map(|word| name_hash(word))
        .collect();
    let mut named = passages
        .filter_map(Signature::speaker)
        .filter(|name| words.contains(name));
    let first = named.next()?;
    named.all(|name| name == first).then_some(first)
}

/// By how much more a passage is worth for who said it: what is known before its surroundings are.
pub fn favour(question: &Question, speaker: Option<u32>, passage: &Signature) -> f64 {
    let voice = passage.voice();
    let counts = |feature: Feature| match feature {
        Feature::Speaker => speaker.is_some() && passage.speaker() == speaker,
        Feature::Asker => question.first_person && voice == Some(ActorType::Human),
        Feature::Agent => question.of_agent && voice == Some(ActorType::Agent),
        _ => false,
    };
    let weights = WEIGHTS.iter().filter(|(feature, _)| counts(*feature));
    1.0 + weights.map(|(_, weight)| weight).sum::<f64>()
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
fn float(count: i64) -> f64 {
    count as f64
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
fn count(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests;
