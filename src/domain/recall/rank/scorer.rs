//! The value of each row for one question.
//!
//! Everything that rows are compared with (averages, sessions, moments) is computed once, and so is what surrounds a row.
//!
//! **Invariant:** the pool is read, never changed; what a row is worth does not depend on which row is asked for first.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::reading::{Reading, saturated};
use super::{Features, Ranked, Reasons, count, float, idf, named_speaker};
use crate::domain::recall::Question;
use crate::domain::recall::pool::{Pool, Row};
use crate::domain::recall::signature::{Sought, name_hash};
use crate::domain::recall::weights::{Feature, WEIGHTS};
use crate::domain::terms;
use crate::domain::{ActorType, EntityType};

/// What the passages around count, by their place: two before, one before, one after, two after; LEX2.
const KERNEL: [(i32, f64); 4] = [(-2, 0.5), (-1, 0.5), (1, 0.2), (2, 0.25)];
/// Passages of a session that say what it is about.
const SESSION_PASSAGES: usize = 3;
/// What a name weighs as a word once it is understood as the speaker; LEX2.
const NAME_WEIGHT: f64 = 0.5;

/// Rows around one and what they count in it, in the order of [`KERNEL`].
type Around = [Option<(usize, f64)>; KERNEL.len()];

#[derive(Debug)]
pub(super) struct Scorer<'a> {
    pool: &'a Pool,
    question: &'a Question,
    /// What each term is worth: its weight times its inverse document frequency.
    worth: Vec<f64>,
    /// All of them together.
    total: f64,
    /// The average length of a passage mixed with its neighbours.
    mixed_average: f64,
    /// Of each row.
    readings: Vec<Reading>,
    /// Of each row.
    around: Vec<Around>,
    sessions: Sessions,
    /// The one person that the question names.
    speaker: Option<u32>,
    /// Each row's place in time among the rows, 0 the first and 1 the last.
    moments: Vec<f64>,
    /// Whether there are both what people said and what agents and tools did.
    mixed_voices: bool,
}

impl<'a> Scorer<'a> {
    pub(super) fn new(question: &'a Question, pool: &'a Pool) -> Self {
        let passages = float(pool.passages.max(1));
        let speaker = named_speaker(question, pool.rows.iter().map(|row| &row.signature));
        let is_name = |word: &&String| speaker.is_some() && name_hash(word) == speaker;
        let name = question.words.iter().find(is_name);
        let name = name
            .map(|name| terms::index_terms(name))
            .unwrap_or_default();
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
        let sought = Sought::new(pool.terms.iter().map(|(term, _)| term.term.as_str()));
        let readings: Vec<Reading> = pool
            .rows
            .iter()
            .map(|row| Reading::of(&row.signature, &sought, &worth, average))
            .collect();
        let voices = || pool.rows.iter().filter_map(|row| row.signature.voice());
        let mut scorer = Self {
            pool,
            question,
            // Of a question that only names a time: nothing to divide, and nothing is.
            total: worth.iter().sum::<f64>().max(f64::MIN_POSITIVE),
            worth,
            mixed_average: average,
            sessions: sessions(&pool.rows, &readings),
            speaker,
            moments: moments(&pool.rows),
            mixed_voices: voices().any(|voice| voice == ActorType::Human)
                && voices().any(|voice| voice != ActorType::Human),
            around: Vec::new(),
            readings,
        };
        scorer.around = (0..pool.rows.len()).map(|row| scorer.find(row)).collect();
        let rows = 0..pool.rows.len();
        let mixed: f64 = rows.clone().map(|row| scorer.length(row)).sum();
        let alone: f64 = rows.map(|row| scorer.reading(row).words).sum();
        scorer.mixed_average = average * if alone > 0.0 { mixed / alone } else { 1.0 };
        scorer
    }

    fn reading(&self, row: usize) -> &Reading {
        // Every index comes from `rows`, which has as many.
        static NONE: Reading = Reading::none();
        self.readings.get(row).unwrap_or(&NONE)
    }

    /// The row this many places on in its session.
    fn step(&self, row: usize, places: i32) -> Option<usize> {
        let one = |row: usize| {
            let row = self.pool.rows.get(row)?;
            if places < 0 { row.before } else { row.after }
        };
        (0..places.abs()).try_fold(row, |row, _| one(row))
    }

    /// What is around a row.
    fn find(&self, row: usize) -> Around {
        KERNEL.map(|(place, weight)| {
            let near = self.step(row, place)?;
            Some((near, weight * self.reading(near).openness))
        })
    }

    /// Of a row, with what it mixes with.
    fn around(&self, row: usize) -> impl Iterator<Item = (&Reading, f64)> {
        let around = self.around.get(row).into_iter().flatten().flatten();
        around.map(|(near, weight)| (self.reading(*near), *weight))
    }

    /// The length of a row mixed with those around it, as far as it is open to them.
    fn length(&self, row: usize) -> f64 {
        let own = self.reading(row);
        let around: f64 = self.around(row).map(|(near, part)| part * near.words).sum();
        own.words + own.openness * around
    }

    /// BM25 of each term in a row and around it, as a share of what the question is worth.
    fn shares(&self, row: usize) -> impl Iterator<Item = (usize, f64)> {
        let own = self.reading(row);
        let length = self.length(row);
        let terms = self.worth.iter().enumerate();
        terms.filter_map(move |(term, worth)| {
            let around: f64 = self
                .around(row)
                .map(|(near, part)| part * near.count(term))
                .sum();
            let count = own.count(term) + own.openness * around;
            let share = worth * saturated(count, length, self.mixed_average) / self.total;
            (count > 0.0).then_some((term, share))
        })
    }

    /// The features of a row; none if neither its words nor its time are asked for.
    pub(super) fn found(&self, row: usize) -> Option<Features> {
        let facts = self.pool.rows.get(row)?;
        let words: f64 = self.shares(row).map(|(_, share)| share).sum();
        let found = words > 0.0 || self.fit(facts) > 0.0;
        found.then(|| self.features(row, facts, self.reading(row), words))
    }

    pub(super) fn score(&self, row: usize) -> Option<Ranked> {
        let score: f64 = weighted(&self.found(row)?).map(|(_, value)| value).sum();
        // What a score is made of has no bound above; shown it is easier to set a bar between 0 and 1.
        (score > 0.0).then(|| Ranked {
            row,
            score: score / (1.0 + score),
            coverage: self.coverage(row),
            by: row,
        })
    }

    fn coverage(&self, row: usize) -> f64 {
        if self.worth.is_empty() {
            return self.pool.rows.get(row).map_or(0.0, |row| self.fit(row));
        }
        let counts = self.reading(row).counts.iter().zip(&self.worth);
        let held = counts.filter(|(count, _)| **count > 0.0);
        held.map(|(_, worth)| worth).sum::<f64>() / self.total
    }

    pub(super) fn reasons(&self, row: usize) -> Reasons {
        let mut matched: Vec<(&str, f64)> = Vec::new();
        for (term, share) in self.shares(row) {
            let term = self.pool.terms.get(term);
            matched.extend(term.map(|(term, _)| (term.term.as_str(), share)));
        }
        let words: f64 = matched.iter().map(|(_, share)| share).sum();
        // Stable: those of one share stay in the order of the question.
        matched.sort_by(|a, b| b.1.total_cmp(&a.1));
        let values = self.found(row).unwrap_or_default();
        let score: f64 = weighted(&values).map(|(_, value)| value).sum();
        Reasons {
            matched: matched
                .into_iter()
                .map(|(term, share)| (term.to_owned(), share / words))
                .collect(),
            features: weighted(&values)
                .filter(|(_, value)| *value != 0.0)
                .map(|(feature, value)| (feature, value / score))
                .collect(),
        }
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
            Feature::Opening => when(self.mixed_voices && person && facts.is_opening()),
            Feature::Agent => when(question.of_agent && voice == Some(ActorType::Agent)),
            Feature::When => when(question.asks_when && facts.signature.names_a_time()),
            Feature::Answer => self.step(row, -1).map_or(0.0, |before| {
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

/// The features with what they add to a score.
fn weighted(values: &Features) -> impl Iterator<Item = (Feature, f64)> {
    let weights = WEIGHTS.iter().zip(values);
    weights.map(|((feature, weight), value)| (*feature, weight * value))
}

/// For each session, the mean of its best passages. Its keys are the store's own numbers.
type Sessions = HashMap<i64, f64, FixedState>;

fn sessions(rows: &[Row], readings: &[Reading]) -> Sessions {
    let mut of: HashMap<i64, Vec<f64>, FixedState> = HashMap::default();
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
