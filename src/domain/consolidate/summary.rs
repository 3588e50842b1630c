//! The shorter forms of a handoff: a few of its own sentences, whole and in their order.
//!
//! No model. A sentence is worth the terms that it brings: each counts by how rare it is in the tenant, more if the handoff
//! says it often, if it is a name, a number or an identifier, or if `remember` has it too, and once however many of the
//! chosen sentences say it. Where the sentence stands and what it says of findings and choices raises that, being a
//! question lowers it. Sentences are taken by worth for their length until no other fits; then they are put in the order
//! in which they were written. README, "Consolidation", has what of a session such a summary still answers.
//!
//! **Invariant:** every sentence of a form stands in the handoff as it is; only white space and the session's date are
//! added. Where not one sentence fits, the best is cut after a word and ends with `…`.

use std::collections::{HashMap, HashSet};

use crate::domain::consolidate::Rarity;
use crate::domain::handoff::Fields;
use crate::domain::terms::index_terms;
use crate::domain::transcript::sentence;
use crate::domain::{ChunkField, Timestamp, token};

/// Tokens that a summary has at most.
pub const SUMMARY_TOKENS: usize = 125;
/// Tokens that a line has at most beside its date, which is 8.
pub const QUICK_REF_TOKENS: usize = 25;
/// Sentences that are weighed: those of some 100 KB of prose. What a handoff says beyond is in its full text.
const MAX_SENTENCES: usize = 1_000;
/// What marks a text that was cut, in tokens.
const MARK_TOKENS: usize = 1;

// The weights below were climbed on half of the published conversations that README, "Consolidation", names, but for
// REMEMBERED and KEPT: conversations have no such fields.

/// The power of a term's rarity. A term in one of 1,000 handoffs counts two and a half times what one in every third does.
const RARITY: f64 = 0.5;
/// The power of how often the handoff says it.
const AGAIN: f64 = 0.45;
/// What being a name or an identifier adds to a term.
const NAME: f64 = 1.4;
/// What being a number adds to a term.
const NUMBER: f64 = 0.6;
/// What standing in `remember` adds to a term.
const REMEMBERED: f64 = 0.5;
/// What each word of findings, choices or wishes adds to a sentence, up to three.
const CUE: f64 = 0.1;
/// What being the first of its text adds to a sentence.
const FIRST: f64 = 0.5;
/// What standing near the beginning of its text adds to a sentence.
const EARLY: f64 = 0.4;
/// What standing in `learned` or `remember` adds to a sentence.
const KEPT: f64 = 0.2;
/// What is left of a sentence that asks.
const QUESTION: f64 = 0.3;
/// A sentence's worth is divided by this power of its tokens and [`LENGTH_BASE`].
const LENGTH: f64 = 0.7;
const LENGTH_BASE: f64 = 5.0;

/// The sentences of a handoff, read once for all its forms.
pub struct Forms<'t> {
    fields: &'t Fields,
    sentences: Vec<Sentence<'t>>,
    /// What each term is worth.
    worth: Vec<f64>,
}

/// A sentence with what its worth is made of.
struct Sentence<'t> {
    text: &'t str,
    tokens: usize,
    /// Its distinct terms, by their places in the table.
    terms: Vec<usize>,
    /// What where it stands, what it says and how long it is make of their sum.
    factor: f64,
}

/// A term of the handoff.
struct Term {
    times: f64,
    name: bool,
    remembered: bool,
}

/// The terms of a handoff with their places.
type Table = HashMap<String, (usize, Term)>;

impl<'t> Forms<'t> {
    /// Reads a handoff.
    pub fn of(fields: &'t Fields, rarity: &impl Rarity) -> Self {
        let (mut table, mut seen) = (Table::new(), HashSet::new());
        let mut sentences = Vec::new();
        for (field, text) in fields.each() {
            let texts = sentence::split(text);
            let last = texts.len().saturating_sub(1).max(1) as f64;
            for (place, text) in texts.into_iter().enumerate() {
                if sentences.len() < MAX_SENTENCES && seen.insert(text) {
                    let terms = read(&mut table, field, text);
                    let early = 1.0 - place as f64 / last;
                    sentences.extend(Sentence::new(field, text, terms, place == 0, early));
                }
            }
        }
        let mut worth = vec![0.0; table.len()];
        for (text, (place, term)) in &table {
            if let Some(worth) = worth.get_mut(*place) {
                *worth = term.worth(text, rarity);
            }
        }
        Self {
            fields,
            sentences,
            worth,
        }
    }

    /// A few sentences, within [`SUMMARY_TOKENS`].
    pub fn summary(&self) -> String {
        self.within(SUMMARY_TOKENS)
    }

    /// One line with the session's date, within [`QUICK_REF_TOKENS`] beside it.
    pub fn quick_ref(&self, created_at: Timestamp) -> String {
        let words = self.within(QUICK_REF_TOKENS);
        format!("{}: {words}", created_at.day())
    }

    /// What says most in at most so many tokens, on one line; empty only if the handoff is.
    pub fn within(&self, tokens: usize) -> String {
        let chosen = self.sentences(tokens);
        if !chosen.is_empty() {
            return chosen.join(" ");
        }
        // One sentence that is too long, or no prose at all.
        let best = self.best(usize::MAX, &self.worth, &vec![false; self.sentences.len()]);
        let text = match best.and_then(|at| self.sentences.get(at)) {
            Some(sentence) => sentence.text,
            None => {
                let texts = self.fields.each().map(|(_, text)| text.trim());
                texts
                    .into_iter()
                    .find(|text| !text.is_empty())
                    .unwrap_or_default()
            }
        };
        let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let cut = token::cut(&line, tokens.saturating_sub(MARK_TOKENS));
        if cut.len() == line.len() {
            line
        } else {
            format!("{}…", cut.trim_end())
        }
    }

    /// The sentences that say most in at most so many tokens, in the order in which they were written.
    pub fn sentences(&self, tokens: usize) -> Vec<&'t str> {
        // Rounded one by one, sentences may come out a little shorter than they are together.
        let mut sizes = (1..=tokens).rev().map(|tokens| self.picked(tokens));
        let fits = |chosen: &Vec<&str>| token::estimate(&chosen.join(" ")) <= tokens;
        sizes.find(fits).unwrap_or_default()
    }

    fn picked(&self, tokens: usize) -> Vec<&'t str> {
        let mut worth = self.worth.clone();
        let mut taken = vec![false; self.sentences.len()];
        // The last sentence has no space after it.
        let mut left = tokens + 1;
        while let Some(at) = self.best(left, &worth, &taken) {
            if let (Some(sentence), Some(taken)) = (self.sentences.get(at), taken.get_mut(at)) {
                *taken = true;
                left = left.saturating_sub(sentence.tokens);
                for term in &sentence.terms {
                    if let Some(worth) = worth.get_mut(*term) {
                        *worth = 0.0;
                    }
                }
            }
        }
        let chosen = self.sentences.iter().zip(taken);
        chosen
            .filter(|(_, taken)| *taken)
            .map(|(sentence, _)| sentence.text)
            .collect()
    }

    /// The sentence that brings most for its length and fits; the first of those that bring the same.
    fn best(&self, left: usize, worth: &[f64], taken: &[bool]) -> Option<usize> {
        let mut best: Option<(f64, usize)> = None;
        for (at, (sentence, taken)) in self.sentences.iter().zip(taken).enumerate() {
            if !taken && sentence.tokens <= left {
                let terms = sentence.terms.iter().filter_map(|term| worth.get(*term));
                let gain = terms.sum::<f64>() * sentence.factor;
                if gain > best.map_or(0.0, |(most, _)| most) {
                    best = Some((gain, at));
                }
            }
        }
        best.map(|(_, at)| at)
    }
}

/// The distinct terms of a sentence, which are counted in the table.
fn read(table: &mut Table, field: ChunkField, text: &str) -> Vec<usize> {
    let names = names(text);
    let mut terms = Vec::new();
    for term in index_terms(text) {
        let name = names.contains(&term) || is_identifier(&term);
        let next = table.len();
        let (place, known) = table.entry(term).or_insert((
            next,
            Term {
                times: 0.0,
                name: false,
                remembered: false,
            },
        ));
        known.times += 1.0;
        known.name |= name;
        known.remembered |= field == ChunkField::Remember;
        terms.push(*place);
    }
    terms.sort_unstable();
    terms.dedup();
    terms
}

/// The terms of the words that are written with a capital and do not begin the sentence.
fn names(text: &str) -> Vec<String> {
    let words = text.split_whitespace().skip(1);
    words
        .filter(|word| word.chars().next().is_some_and(char::is_uppercase))
        .flat_map(index_terms)
        .collect()
}

/// What has a joint inside is an identifier, unless it is a number.
fn is_identifier(term: &str) -> bool {
    !is_number(term) && term.bytes().any(|byte| b"_-./:@#+".contains(&byte))
}

fn is_number(term: &str) -> bool {
    term.bytes().any(|byte| byte.is_ascii_digit())
}

impl Term {
    fn worth(&self, text: &str, rarity: &impl Rarity) -> f64 {
        let mut factor = 1.0;
        if is_number(text) {
            factor += NUMBER;
        }
        if self.name {
            factor += NAME;
        }
        if self.remembered {
            factor += REMEMBERED;
        }
        // What is in every handoff still says something where there is nothing else.
        rarity.of(text).max(f64::EPSILON).powf(RARITY) * self.times.powf(AGAIN) * factor
    }
}

impl<'t> Sentence<'t> {
    /// `None` if it has no terms.
    fn new(
        field: ChunkField,
        text: &'t str,
        terms: Vec<usize>,
        first: bool,
        early: f64,
    ) -> Option<Self> {
        let cues = sentence::finding(text) + sentence::wish(text);
        let mut factor = 1.0 + CUE * cues.min(3) as f64 + EARLY * early;
        if first {
            factor += FIRST;
        }
        if matches!(field, ChunkField::Learned | ChunkField::Remember) {
            factor += KEPT;
        }
        if text.ends_with(['?', '？', '؟']) {
            factor *= QUESTION;
        }
        // A space goes before the next.
        let tokens = token::estimate(text) + 1;
        (!terms.is_empty()).then(|| Self {
            text,
            tokens,
            terms,
            factor: factor / (tokens as f64 + LENGTH_BASE).powf(LENGTH),
        })
    }
}

#[cfg(test)]
pub(in crate::domain::consolidate) mod tests;
