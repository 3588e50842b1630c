//! How rare terms are in a tenant, from counts that were made once for a run.
//!
//! **Invariant:** bounded: what is not held is as rare as what one document has.

use std::collections::HashMap;

use crate::domain::consolidate::Rarity;
use crate::domain::terms::index_terms;

/// Terms that are held, at some 100 bytes each. The commonest are worth holding: a term that is not there is taken for one
/// that a single document has.
pub const MAX_TERMS: usize = 50_000;

/// In how many of a tenant's documents each term is.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    documents: u64,
    terms: HashMap<String, u32>,
}

impl Counts {
    /// Counts that the store has: how many documents there are, and its commonest terms with the documents that have each.
    /// What is beyond [`MAX_TERMS`] is not taken.
    pub fn new(documents: u64, terms: impl IntoIterator<Item = (String, u32)>) -> Self {
        Self {
            documents,
            terms: terms.into_iter().take(MAX_TERMS).collect(),
        }
    }

    /// Counts a document's texts, for whoever has no counts yet. When there is no room, all terms that only one document
    /// has are dropped.
    pub fn add<'t>(&mut self, texts: impl IntoIterator<Item = &'t str>) {
        let mut terms: Vec<String> = texts.into_iter().flat_map(index_terms).collect();
        terms.sort_unstable();
        terms.dedup();
        self.documents += 1;
        for term in terms {
            let full = self.terms.len() >= MAX_TERMS;
            match self.terms.get_mut(&term) {
                Some(count) => *count = count.saturating_add(1),
                None if full => {}
                None => {
                    self.terms.insert(term, 1);
                }
            }
        }
        if self.terms.len() >= MAX_TERMS {
            self.terms.retain(|_, count| *count > 1);
        }
    }
}

/// As the ranking of recall has it: ln(1 + (N − df + ½) / (df + ½)).
impl Rarity for Counts {
    fn of(&self, term: &str) -> f64 {
        let found = f64::from(self.terms.get(term).copied().unwrap_or(1).max(1));
        // Exact up to 2^53 documents.
        let all = (self.documents as f64).max(found);
        (1.0 + (all - found + 0.5) / (found + 0.5)).ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_few_documents_have_is_rare() {
        let mut counts = Counts::default();
        for number in 0..100 {
            let text = if number % 10 == 0 {
                "gauge battery"
            } else {
                "gauge"
            };
            counts.add([text, "gauge"]);
        }
        let (common, rare, unknown) = (counts.of("gaug"), counts.of("batteri"), counts.of("tide"));
        assert!(
            0.0 < common && common < rare && rare < unknown,
            "{common} {rare} {unknown}"
        );
        let given = Counts::new(100, [("gaug".to_owned(), 100), ("batteri".to_owned(), 10)]);
        assert_eq!(given.of("batteri").to_bits(), rare.to_bits());
    }

    #[test]
    fn holds_so_many_terms_and_no_more() {
        let mut counts = Counts::default();
        for document in 0..60 {
            let words: String = (0..1_000)
                .map(|word| format!("w{document}x{word} "))
                .collect();
            counts.add([words.as_str(), "gauge"]);
        }
        assert!(counts.terms.len() <= MAX_TERMS);
        assert_eq!(counts.terms.get("gaug"), Some(&60));
        let many = (0..60_000).map(|number| (number.to_string(), 1));
        assert_eq!(Counts::new(1, many).terms.len(), MAX_TERMS);
    }

    #[test]
    fn an_empty_tenant_has_no_common_terms() {
        assert!(Counts::default().of("gaug") > 0.0);
    }
}
