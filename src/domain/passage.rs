//! Passages: the pieces of an entity that the index holds.
//!
//! **Invariant:** a passage is a byte range of a text that is stored elsewhere, never a copy of it.

use crate::domain::{ChunkField, Timestamp, chunk, terms};

/// A piece of an entity's text, with the terms it is found by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewChunk {
    /// Which part of the entity.
    pub field: ChunkField,
    /// First byte of the part's text.
    pub start: usize,
    /// Byte after the last.
    pub end: usize,
    /// How many terms the text itself has; the length that ranking goes by.
    pub words: usize,
    /// What it is found by: the text's terms with repeats, then the written-out date and the tags.
    pub terms: Vec<String>,
}

impl NewChunk {
    /// Cuts one part of an entity into passages.
    pub fn cut(field: ChunkField, text: &str, ts: Timestamp, tags: &[String]) -> Vec<Self> {
        let (year, month, day, weekday) = ts.date();
        let mut common = terms::date_terms(year, month, day, weekday);
        for tag in tags {
            common.push(terms::tag_term(tag));
            common.extend(terms::index_terms(tag));
        }
        chunk::chunks(text)
            .into_iter()
            .map(|range| {
                let mut terms = terms::index_terms(text.get(range.clone()).unwrap_or_default());
                let words = terms.len();
                terms.extend(common.iter().cloned());
                Self {
                    field,
                    start: range.start,
                    end: range.end,
                    words,
                    terms,
                }
            })
            .collect()
    }
}
