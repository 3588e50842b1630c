//! Hits out of what was ranked: the texts, the reasons, and the same fact only once.
//!
//! **Invariant:** texts that differ in a number, or of which only one denies, are never the same fact.

use std::collections::HashSet;

use crate::domain::recall::rank::{Ranked, Ranking};
use crate::domain::recall::{FeatureShare, Hit, MatchedTerm, RecallQuery, Why};
use crate::domain::{DecisionStatus, EntityType, Timestamp, token};

/// From this share of common words on, two texts say the same.
const SAME: f64 = 0.85;
/// With fewer words than this, only the same words are the same.
const FEW_WORDS: usize = 4;
/// Duplicates that a hit names.
const NAMED_DUPLICATES: usize = 10;
/// Terms that a hit names.
const NAMED_TERMS: usize = 16;
/// How far beyond the limit is looked for hits that are not the same fact.
const MOST_BEYOND: usize = 200;
/// How far beyond the limit duplicates are looked for.
const SPARE: usize = 20;

/// Words that deny. One too many costs no more than a duplicate that is shown.
const DENIALS: [&str; 27] = [
    "not", "no", "never", "none", "nobody", "nothing", "nowhere", "neither", "nor", "cannot",
    "without", "nicht", "nie", "niemals", "ohne", "kein", "keine", "keinen", "keinem", "keiner",
    "keines", "pas", "jamais", "sans", "nunca", "не", "нет",
];
/// Numbers in words.
const NUMBERS: [&str; 31] = [
    "minus",
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
    "twenty",
    "thirty",
    "forty",
    "fifty",
    "sixty",
    "seventy",
    "eighty",
    "ninety",
    "hundred",
    "thousand",
];

/// A ranked passage with its text.
#[derive(Debug, Clone)]
pub struct Found {
    /// The entity it is part of.
    pub id: String,
    /// The entity's type.
    pub entity_type: EntityType,
    /// When the entity happened.
    pub ts: Timestamp,
    /// The passage.
    pub text: String,
    /// The entity's references.
    pub refs: Vec<String>,
    /// Whether it holds, if it is a decision.
    pub status: Option<DecisionStatus>,
    /// What took its place, if that is still known.
    pub superseded_by: Option<String>,
}

/// Takes ranked passages, best first, and makes hits of them.
#[derive(Debug)]
pub struct Presenter<'a> {
    query: &'a RecallQuery,
    /// What each says, if the same is to be shown only once.
    hits: Vec<(Hit, Option<Fact>)>,
}

impl<'a> Presenter<'a> {
    /// For one question.
    pub fn new(query: &'a RecallQuery) -> Self {
        Self {
            query,
            hits: Vec::new(),
        }
    }

    /// Whether a passage of this rank is worth loading: there is room, or it may say the same as a hit.
    pub fn wants(&self, rank: usize) -> bool {
        let spare = if self.query.collapse { SPARE } else { 0 };
        let full = self.hits.len() >= self.query.limit;
        rank < self.query.limit + if full { spare } else { MOST_BEYOND }
    }

    /// Takes the next best of a ranking.
    pub fn offer(&mut self, ranking: &Ranking<'_>, ranked: &Ranked, found: Found) {
        // Comparing costs more than showing.
        let fact = self.query.collapse.then(|| Fact::of(&found));
        let same = |(_, known): &&mut (Hit, Option<Fact>)| match (known, &fact) {
            (Some(known), Some(fact)) => known.is_same_as(fact),
            _ => false,
        };
        if let Some((hit, _)) = self.hits.iter_mut().find(same) {
            hit.duplicate_count += 1;
            if hit.duplicates.len() < NAMED_DUPLICATES {
                hit.duplicates.push(found.id);
            }
        } else if self.hits.len() < self.query.limit {
            let explain = self.query.explain.then(|| why(ranking, ranked));
            let hit = hit(ranked.score, found, explain.unwrap_or_default());
            self.hits.push((hit, fact));
        }
    }

    /// The hits, as many as were asked for and fit into the tokens.
    pub fn finish(self) -> Vec<Hit> {
        let hits = self.hits.into_iter().map(|(hit, _)| hit);
        let Some(most) = self.query.max_tokens else {
            return hits.collect();
        };
        let mut spent = 0;
        hits.filter(|hit| {
            let tokens = token::estimate(&hit.text);
            let fits = spent + tokens <= most;
            spent += if fits { tokens } else { 0 };
            fits
        })
        .collect()
    }
}

fn hit(score: f64, found: Found, why: Why) -> Hit {
    Hit {
        id: found.id,
        entity_type: found.entity_type,
        text: found.text,
        score: round(score),
        ts: found.ts,
        refs: found.refs,
        status: found.status,
        superseded_by: found.superseded_by,
        duplicates: Vec::new(),
        duplicate_count: 0,
        why,
    }
}

fn why(ranking: &Ranking<'_>, ranked: &Ranked) -> Why {
    let reasons = ranking.reasons(ranked);
    let matched = reasons.matched.into_iter().take(NAMED_TERMS);
    let mut features = reasons.features;
    features.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    Why {
        coverage: round(ranked.coverage),
        matched: matched
            .map(|(term, share)| MatchedTerm {
                term,
                share: round(share),
            })
            .collect(),
        features: features
            .into_iter()
            .map(|(feature, share)| FeatureShare {
                feature: feature.as_str(),
                share: round(share),
            })
            .collect(),
    }
}

/// Four decimals: enough to tell hits apart, short on the wire. Never `-0.0`, which is what a sum of nothing comes to.
fn round(score: f64) -> f64 {
    (score * 10_000.0).round() / 10_000.0 + 0.0
}

/// A text in lower case, with one kind of apostrophe, and the sign of a number as a word.
fn spelled(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut last = ' ';
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '’' => out.push('\''),
            '-' | '−'
                if !last.is_alphanumeric() && rest.peek().is_some_and(char::is_ascii_digit) =>
            {
                out.push_str("minus ");
            }
            _ => out.extend(c.to_lowercase()),
        }
        last = c;
    }
    out
}

/// What a text says, as far as that can be told from its words.
#[derive(Debug)]
struct Fact {
    words: HashSet<String>,
    /// In their order.
    numbers: Vec<String>,
    denies: bool,
    status: Option<DecisionStatus>,
}

impl Fact {
    fn of(found: &Found) -> Self {
        let lower = spelled(&found.text);
        let words: HashSet<String> = lower
            .split(|c: char| !c.is_alphanumeric() && c != '\'')
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect();
        let numbers = lower
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| word.bytes().any(|b| b.is_ascii_digit()) || NUMBERS.contains(word))
            .map(str::to_owned)
            .collect();
        let denies = |word: &String| word.ends_with("n't") || DENIALS.contains(&word.as_str());
        Self {
            denies: words.iter().any(denies),
            numbers,
            words,
            status: found.status,
        }
    }

    fn is_same_as(&self, other: &Self) -> bool {
        let (few, many) = if self.words.len() < other.words.len() {
            (self, other)
        } else {
            (other, self)
        };
        if (few.denies, few.status, &few.numbers) != (many.denies, many.status, &many.numbers)
            || few.words.is_empty()
        {
            return false;
        }
        let common = few.words.intersection(&many.words).count();
        if few.words.len() < FEW_WORDS {
            return common == many.words.len();
        }
        let all = few.words.len() + many.words.len() - common;
        #[expect(
            clippy::cast_precision_loss,
            reason = "a passage has some hundred words"
        )]
        let share = common as f64 / all as f64;
        share >= SAME
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fact(text: &str) -> Fact {
        Fact::of(&Found {
            id: String::new(),
            entity_type: EntityType::Event,
            ts: Timestamp::from_millis(0),
            text: text.to_owned(),
            refs: vec![],
            status: None,
            superseded_by: None,
        })
    }

    #[test]
    fn the_same_fact_is_told_in_nearly_the_same_words() {
        let told = fact("The staging database listens on port 5433 of the build host.");
        for same in [
            "the staging database listens on port 5433 of the build host",
            "Again: the staging database listens on port 5433 of the build host!",
        ] {
            assert!(told.is_same_as(&fact(same)), "{same}");
        }
        for other in [
            "The staging database listens on port 5434 of the build host.",
            "The staging database never listens on port 5433 of the build host.",
            "The staging database cannot listen on port 5433 of the build host.",
            "The staging database listens on port -5433 of the build host.",
            "The build host has 5433 files.",
            "",
        ] {
            assert!(!told.is_same_as(&fact(other)), "{other}");
        }
        assert!(fact("ok then").is_same_as(&fact("OK, then")));
        assert!(!fact("ok").is_same_as(&fact("ok then")));
    }
}
