//! Passages: the pieces of an entity that the index holds.
//!
//! **Invariant:** a passage is a byte range of a text that is stored elsewhere, never a copy of it.

use std::ops::Range;

use crate::domain::recall::{Signature, Voice};
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
    /// What ranking reads instead of the text.
    pub signature: Signature,
}

impl NewChunk {
    /// Cuts one part of an entity into passages.
    pub fn cut(field: ChunkField, text: &str, ts: Timestamp, tags: &[String]) -> Vec<Self> {
        Self::spoken(field, text, ts, tags, None)
    }

    /// Cuts what somebody said into passages.
    pub fn spoken(
        field: ChunkField,
        text: &str,
        ts: Timestamp,
        tags: &[String],
        voice: Option<Voice<'_>>,
    ) -> Vec<Self> {
        let common = common_terms(ts, tags);
        chunk::chunks(text)
            .into_iter()
            .map(|range| Self::of(field, text, range, &common, voice))
            .collect()
    }
    /// A text as one passage, however long: what [`NewChunk::cut`] made of a part before.
    pub fn whole(
        field: ChunkField,
        text: &str,
        ts: Timestamp,
        tags: &[String],
        voice: Option<Voice<'_>>,
    ) -> Self {
        Self::of(field, text, 0..text.len(), &common_terms(ts, tags), voice)
    }

    fn of(
        field: ChunkField,
        text: &str,
        range: Range<usize>,
        common: &[String],
        voice: Option<Voice<'_>>,
    ) -> Self {
        let part = text.get(range.clone()).unwrap_or_default();
        let mut terms = terms::index_terms(part);
        let words = terms.len();
        terms.extend(common.iter().cloned());
        Self {
            signature: Signature::of(part, &terms, words, voice),
            field,
            start: range.start,
            end: range.end,
            words,
            terms,
        }
    }
}

/// What all passages of an entity are found by: its written-out date and its tags.
fn common_terms(ts: Timestamp, tags: &[String]) -> Vec<String> {
    let (year, month, day, weekday) = ts.date();
    let mut common = terms::date_terms(year, month, day, weekday);
    for tag in tags {
        common.push(terms::tag_term(tag));
        common.extend(terms::index_terms(tag));
    }
    common
}
