//! The order of what was found: LEX2 of the ranking study, as a sum of weighted features.
//!
//! *Words.* BM25 with the tenant's own statistics, over the passage mixed with its neighbours in the session: an answer
//! rarely repeats the words of the question it follows. Each neighbour counts by its place ([`KERNEL`]) and by how short
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

use crate::domain::recall::pool::{Pool, Row};
use crate::domain::recall::signature::{Signature, name_hash, term_hash};
use crate::domain::recall::weights::{Feature, WEIGHTS};
use crate::domain::recall::{Question, RecallQuery};
use crate::domain::terms::{self, QueryTerm};
use crate::domain::{ActorType, EntityType};

mod reading;
mod succession;

use reading::Reading;
pub use reading::saturated;
use succession::put_successors_first;

/// What the passages around count, by their place: two before, one before, one after, two after; LEX2.
const KERNEL: [(i32, f64); 4] = [(-2, 0.5), (-1, 0.5), (1, 0.2), (2, 0.25)];
/// Passages of a session that say what it is about.
const SESSION_PASSAGES: usize = 3;
/// What a name weighs as a word once it is understood as the speaker; LEX2.
const NAME_WEIGHT: f64 = 0.5;
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
    /// The terms that stand in it, with their share of *words*, best first.
    pub matched: Vec<(String, f64)>,
    /// What made up the score; the shares add up to 1.
    pub features: Vec<(Feature, f64)>,
}

/// The values of a row's features, in the order of [`WEIGHTS`].
pub type Features = [f64; WEIGHTS.len()];

/// The features of every row that may be a hit: what the weights are learned from.
pub fn features(query: &RecallQuery, pool: &Pool) -> Vec<(usize, Features)> {
    let scorer = Scorer::new(&query.question, pool);
    let shown = pool.rows.iter().enumerate().filter(|(_, row)| row.shown);
    shown
        .filter_map(|(row, facts)| {
            let words: f64 = scorer.matched(row).iter().map(|(_, share)| share).sum();
            let found = words > 0.0 || scorer.fit(facts) > 0.0;
            found.then(|| (row, scorer.features(row, facts, scorer.reading(row), words)))
        })
        .collect()
}

/// The best passage of each entity, best first.
pub fn rank(query: &RecallQuery, pool: &Pool) -> Vec<Ranked> {
    let scorer = Scorer::new(&query.question, pool);
    let mut best: HashMap<(EntityType, i64), Ranked> = HashMap::new();
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
    let mut ranked: Vec<Ranked> = best.into_values().collect();
    if !is_relevant(query, pool, &ranked) {
        return Vec::new();
    }
    ranked.retain(|hit| hit.score >= query.min_score.unwrap_or(0.0));
    // Newer before older at the same score; type and sequence make the order total.
    let key = |hit: &Ranked| pool.rows.get(hit.row).map(|row| (row.ts, row.entity));
    ranked.sort_by(|a, b| {
        b.score
            .total_cmp(&a.score)
            .then_with(|| key(b).cmp(&key(a)))
    });
    ranked
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
fn find_successors(best: &mut HashMap<(EntityType, i64), Ranked>, rows: &[Row]) {
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
                matched: Vec::new(),
                ..found
            };
            open.push(vacant.insert(successor).clone());
        }
    }
}

struct Scorer<'a> {
    pool: &'a Pool,
    question: &'a Question,
    terms: Vec<&'a QueryTerm>,
    /// What each term is worth: its weight times its inverse document frequency.
    worth: Vec<f64>,
    /// All of them together.
    total: f64,
    /// The average length of a passage mixed with its neighbours.
    mixed_average: f64,
    readings: Vec<Reading>,
    sessions: HashMap<i64, f64>,
    /// The one person that the question names.
    speaker: Option<u32>,
    /// Each row's place in time among the rows, 0 the first and 1 the last.
    moments: Vec<f64>,
    /// Whether there are both what people said and what agents and tools did.
    mixed_voices: bool,
}

impl<'a> Scorer<'a> {
    fn new(question: &'a Question, pool: &'a Pool) -> Self {
        let passages = float(pool.passages.max(1));
        let speaker = named_speaker(question, pool.rows.iter().map(|row| &row.signature));
        let is_name = |word: &&String| speaker.is_some() && name_hash(word) == speaker;
        let name = question.words.iter().find(is_name);
        let name = name
            .map(|name| terms::index_terms(name))
            .unwrap_or_default();
        let terms: Vec<&QueryTerm> = pool.terms.iter().map(|(term, _)| term).collect();
        let worth: Vec<f64> = pool
            .terms
            .iter()
            .map(|(term, frequency)| {
                let named = name.contains(&term.term);
                let weight = term.weight * if named { NAME_WEIGHT } else { 1.0 };
                weight * idf(passages, float(*frequency))
            })
            .collect();
        let average = (float(pool.words) / passages).max(1.0);
        let hashes: Vec<u32> = terms.iter().map(|term| term_hash(&term.term)).collect();
        let readings: Vec<Reading> = pool
            .rows
            .iter()
            .map(|row| Reading::of(&row.signature, &hashes, &worth, average))
            .collect();
        let mut scorer = Self {
            pool,
            question,
            // Of a question that only names a time: nothing to divide, and nothing is.
            total: worth.iter().sum::<f64>().max(f64::MIN_POSITIVE),
            terms,
            worth,
            mixed_average: average,
            sessions: sessions(&pool.rows, &readings),
            speaker,
            moments: moments(&pool.rows),
            mixed_voices: pool
                .rows
                .iter()
                .any(|row| row.signature.voice() == Some(ActorType::Human))
                && pool.rows.iter().any(|row| {
                    row.signature
                        .voice()
                        .is_some_and(|voice| voice != ActorType::Human)
                }),
            readings,
        };
        let rows = 0..pool.rows.len();
        let mixed: f64 = rows
            .clone()
            .map(|row| scorer.mix(row, |reading| reading.words))
            .sum();
        let alone: f64 = rows.map(|row| scorer.reading(row).words).sum();
        scorer.mixed_average = average * if alone > 0.0 { mixed / alone } else { 1.0 };
        scorer
    }

    fn reading(&self, row: usize) -> &Reading {
        // Every index comes from `rows`, which has as many.
        static NONE: Reading = Reading {
            counts: Vec::new(),
            near: 0.0,
            own: 0.0,
            words: 0.0,
            openness: 0.0,
        };
        self.readings.get(row).unwrap_or(&NONE)
    }

    fn neighbour(&self, row: usize, place: i32) -> Option<usize> {
        let step = |row: usize| {
            let row = self.pool.rows.get(row)?;
            if place < 0 { row.before } else { row.after }
        };
        (0..place.abs()).try_fold(row, |row, _| step(row))
    }

    /// A quantity of a row and of those around it, as far as it is open to them.
    fn mix(&self, row: usize, of: impl Fn(&Reading) -> f64) -> f64 {
        let own = self.reading(row);
        let around: f64 = KERNEL
            .iter()
            .filter_map(|(place, weight)| {
                let near = self.reading(self.neighbour(row, *place)?);
                Some(weight * near.openness * of(near))
            })
            .sum();
        of(own) + own.openness * around
    }

    fn score(&self, row: usize) -> Option<Ranked> {
        let facts = self.pool.rows.get(row)?;
        let own = self.reading(row);
        let mut matched = self.matched(row);
        let words: f64 = matched.iter().map(|(_, share)| share).sum();
        if words <= 0.0 && self.fit(facts) <= 0.0 {
            return None;
        }
        let weighted = self
            .features(row, facts, own, words)
            .into_iter()
            .zip(WEIGHTS)
            .map(|(value, (feature, weight))| (feature, weight * value))
            .filter(|(_, value)| *value != 0.0);
        let features: Vec<(Feature, f64)> = weighted.collect();
        let score: f64 = features.iter().map(|(_, value)| value).sum();
        if score <= 0.0 {
            return None;
        }
        matched.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let held = own
            .counts
            .iter()
            .zip(&self.worth)
            .filter(|(count, _)| **count > 0.0);
        let coverage = held.map(|(_, worth)| worth).sum::<f64>() / self.total;
        Some(Ranked {
            row,
            // What a score is made of has no bound above; shown it is easier to set a bar between 0 and 1.
            score: score / (1.0 + score),
            coverage: if self.worth.is_empty() {
                self.fit(facts)
            } else {
                coverage
            },
            matched: matched
                .into_iter()
                .filter_map(|(term, share)| {
                    Some((self.terms.get(term)?.term.clone(), share / words))
                })
                .collect(),
            features: features
                .into_iter()
                .map(|(feature, value)| (feature, value / score))
                .collect(),
        })
    }

    /// BM25 of each term in a row and around it, as a share of what the question is worth.
    fn matched(&self, row: usize) -> Vec<(usize, f64)> {
        let length = self.mix(row, |reading| reading.words);
        let of = |(term, worth): (usize, &f64)| {
            let count = self.mix(row, |reading| {
                reading.counts.get(term).copied().unwrap_or_default()
            });
            (count > 0.0).then(|| {
                (
                    term,
                    worth * saturated(count, length, self.mixed_average) / self.total,
                )
            })
        };
        self.worth.iter().enumerate().filter_map(of).collect()
    }

    fn fit(&self, row: &Row) -> f64 {
        self.question
            .time
            .as_ref()
            .map_or(0.0, |time| time.fit(row.ts))
    }

    /// The features of a row, in the order of the table, not yet weighted.
    fn features(&self, row: usize, facts: &Row, own: &Reading, words: f64) -> Features {
        /// What a passage is worth for having happened at the time asked about, if it has none of the words.
        const MOMENT: f64 = 0.1;
        let (question, total) = (self.question, self.total);
        let when = |is: bool| if is { words } else { 0.0 };
        let voice = facts.signature.voice();
        let person = voice == Some(ActorType::Human);
        let moment = self.moments.get(row).copied().unwrap_or_default();
        let value = |feature: Feature| match feature {
            Feature::Words => words,
            Feature::Session => facts
                .session
                .and_then(|session| self.sessions.get(&session))
                .map_or(0.0, |own| own / total),
            Feature::Near => own.near / total,
            Feature::Speaker => {
                when(self.speaker.is_some() && facts.signature.speaker() == self.speaker)
            }
            Feature::Asker => when(question.first_person && person),
            Feature::Opening => when(self.mixed_voices && person && facts.opening),
            Feature::Agent => when(question.of_agent && voice == Some(ActorType::Agent)),
            Feature::When => when(question.asks_when && facts.signature.names_a_time()),
            Feature::Answer => self.neighbour(row, -1).map_or(0.0, |before| {
                let asks = self
                    .pool
                    .rows
                    .get(before)
                    .is_some_and(|row| row.signature.ends_as_question());
                if asks {
                    self.reading(before).own / total
                } else {
                    0.0
                }
            }),
            Feature::Asking => {
                when(facts.signature.ends_as_question() && !(self.mixed_voices && person))
            }
            Feature::Never => when(question.asks_ever && facts.signature.negates()),
            Feature::Early => when(question.asks_initial) * (1.0 - moment),
            Feature::Late => when(question.asks_latest) * moment,
            Feature::Time => self.fit(facts) * (words + MOMENT),
            Feature::Decision => {
                when(facts.signature.decides() || facts.entity.0 == EntityType::Decision)
            }
            Feature::Kind => when(
                question.asks_place && facts.signature.names_a_place()
                    || question.asks_version && facts.signature.names_a_version()
                    || question.asks_number && facts.signature.names_a_number(),
            ),
        };
        WEIGHTS.map(|(feature, _)| value(feature))
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

/// For each session, the mean of its best passages.
fn sessions(rows: &[Row], readings: &[Reading]) -> HashMap<i64, f64> {
    let mut of: HashMap<i64, Vec<f64>> = HashMap::new();
    for (row, reading) in rows.iter().zip(readings) {
        if let Some(session) = row.session {
            of.entry(session).or_default().push(reading.own);
        }
    }
    of.into_iter()
        .map(|(session, mut scores)| {
            scores.sort_by(|a, b| b.total_cmp(a));
            let best: f64 = scores.iter().take(SESSION_PASSAGES).sum();
            (session, best / count(SESSION_PASSAGES))
        })
        .collect()
}

/// Each row's place in time among the rows, from 0 to 1.
fn moments(rows: &[Row]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|row| rows.get(*row).map(|row| (row.ts, row.entity.1, row.chunk)));
    let mut moments = vec![0.0; rows.len()];
    for (place, row) in order.iter().enumerate() {
        if let Some(moment) = moments.get_mut(*row) {
            *moment = count(place) / count(rows.len().saturating_sub(1).max(1));
        }
    }
    moments
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
