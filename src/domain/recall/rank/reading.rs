//! One passage read for one question: how often each term stands in it, and which stand together.
//!
//! **Invariant:** one pass over a signature; nothing of other passages is known here.

use crate::domain::recall::rank::count;
use crate::domain::recall::{Signature, Sought};
use crate::domain::terms::MAX_QUERY_TERMS;

/// BM25's saturation of repeats; LEX2. 1.2 and 2.2 lose half a point.
const K1: f64 = 1.6;
/// BM25's share of length; LEX2. 0.5 and 0.85 lose a point.
const B: f64 = 0.7;
/// Up to this many terms a passage mixes with its neighbours in full, then by the square of the ratio; LEX2.
const SHORT: f64 = 60.0;
/// Query terms this close to each other stand together.
const NEAR: usize = 3;

/// A row as far as the question goes.
#[derive(Debug)]
pub(super) struct Reading {
    /// How often each of the terms stands in it.
    pub(super) counts: Vec<f64>,
    /// What the pairs of neighbouring terms that stand together are worth.
    pub(super) near: f64,
    /// BM25 of the passage alone.
    pub(super) own: f64,
    pub(super) words: f64,
    /// How far it mixes with its neighbours, 0 to 1.
    pub(super) openness: f64,
}

impl Reading {
    /// Of nothing.
    pub(super) const fn none() -> Self {
        Self {
            counts: Vec::new(),
            near: 0.0,
            own: 0.0,
            words: 0.0,
            openness: 0.0,
        }
    }

    /// How often a term stands in it.
    pub(super) fn count(&self, term: usize) -> f64 {
        self.counts.get(term).copied().unwrap_or_default()
    }

    pub(super) fn of(signature: &Signature, sought: &Sought, worth: &[f64], average: f64) -> Self {
        let mut counts = vec![0.0; sought.len()];
        let mut last: [Option<usize>; MAX_QUERY_TERMS] = [None; MAX_QUERY_TERMS];
        let mut distance = [usize::MAX; MAX_QUERY_TERMS];
        for (place, term) in signature.places(sought) {
            if let Some(count) = counts.get_mut(term) {
                *count += 1.0;
            }
            // The pair with the term before it in the question, and with the one after.
            let mut meet = |pair: usize, other: usize| {
                if let (Some(at), Some(known)) =
                    (last.get(other).copied().flatten(), distance.get_mut(pair))
                {
                    *known = (*known).min(place - at);
                }
            };
            if let Some(before) = term.checked_sub(1) {
                meet(before, before);
            }
            meet(term, term + 1);
            if let Some(slot) = last.get_mut(term) {
                *slot = Some(place);
            }
        }
        let words = count(signature.words());
        let own = counts
            .iter()
            .zip(worth)
            .filter(|(count, _)| **count > 0.0)
            .map(|(count, worth)| worth * saturated(*count, words, average))
            .sum();
        let near = distance
            .iter()
            .zip(worth.iter().zip(worth.iter().skip(1)))
            .filter(|(distance, _)| **distance <= NEAR)
            .map(|(distance, (a, b))| a.min(*b) / count(*distance))
            .sum();
        Self {
            counts,
            near,
            own,
            words,
            openness: (SHORT / words.max(1.0)).min(1.0).powi(2),
        }
    }
}

/// BM25's share of a term that occurs this often in a passage this long.
pub fn saturated(count: f64, length: f64, average: f64) -> f64 {
    count * (K1 + 1.0) / (count + K1 * (1.0 - B + B * length / average))
}
