//! A passage as ranking reads it: its terms as hashes in their order, and what kind of sentence it is.
//!
//! Scoring needs to know which of a question's terms stand where in some hundred passages and in those around them.
//! Reading that out of the texts means cutting them into terms again, which was most of a search's time; so it is kept
//! beside each passage when it is written: four bytes a term.
//!
//! **Invariant:** a signature is made of the same terms as the index, by the same function; it holds no text.

use crate::domain::recall::question::{has_negation, names_a_time};
use crate::domain::terms;

/// The text names a day, a month or "last week": it may answer "when".
const NAMES_A_TIME: u8 = 1;
/// The text ends with a question mark: it asks rather than tells.
const ENDS_AS_QUESTION: u8 = 2;
/// The text says that something was never so.
const NEGATES: u8 = 4;
/// The flags, and how many terms at the end are not the text's own but its date and tags.
const HEAD: usize = 3;

/// The bytes kept beside a passage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature(Vec<u8>);

impl Default for Signature {
    /// Of no text.
    fn default() -> Self {
        Self(vec![0; HEAD])
    }
}

impl Signature {
    /// Of a passage with this text: `words` terms of its own, then those of its date and tags.
    pub fn of(text: &str, terms: &[String], words: usize) -> Self {
        let mut bytes = Vec::with_capacity(HEAD + 4 * terms.len());
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        bytes.push(
            flag(names_a_time(text), NAMES_A_TIME)
                | flag(text.trim_end().ends_with(['?', '？']), ENDS_AS_QUESTION)
                | flag(has_negation(text), NEGATES),
        );
        let common = terms.len().saturating_sub(words);
        bytes.extend(u16::try_from(common).unwrap_or(u16::MAX).to_le_bytes());
        for term in terms {
            bytes.extend(term_hash(term).to_le_bytes());
        }
        Self(bytes)
    }

    /// As the store kept it; none if it is cut off.
    pub fn stored(bytes: Vec<u8>) -> Option<Self> {
        (bytes.len() >= HEAD && (bytes.len() - HEAD).is_multiple_of(4)).then_some(Self(bytes))
    }

    /// As the store keeps it.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The hashes of the terms in their order, date and tags last.
    pub fn terms(&self) -> impl Iterator<Item = u32> {
        let (terms, _) = self.0.get(HEAD..).unwrap_or_default().as_chunks();
        terms.iter().map(|bytes| u32::from_le_bytes(*bytes))
    }

    /// How many terms the text itself has.
    pub fn words(&self) -> usize {
        let common = match self.0.get(1..HEAD) {
            Some(&[low, high]) => usize::from(u16::from_le_bytes([low, high])),
            _ => 0,
        };
        ((self.0.len().saturating_sub(HEAD)) / 4).saturating_sub(common)
    }

    /// Whether the text names a day, a month or such.
    pub fn names_a_time(&self) -> bool {
        self.has(NAMES_A_TIME)
    }

    /// Whether the text ends with a question mark.
    pub fn ends_as_question(&self) -> bool {
        self.has(ENDS_AS_QUESTION)
    }

    /// Whether the text says that something was never so.
    pub fn negates(&self) -> bool {
        self.has(NEGATES)
    }

    fn has(&self, flag: u8) -> bool {
        self.0.first().is_some_and(|flags| flags & flag != 0)
    }
}

/// A term's place in a signature: FNV-1a, its halves folded together. Of 64 terms asked and 20,000 looked at, two are
/// taken for one another once in 3,000 searches, and then a passage scores a word too high.
pub(super) fn term_hash(term: &str) -> u32 {
    let hash = terms::fnv1a(term);
    // The cut is the point.
    u32::try_from((hash ^ (hash >> 32)) & u64::from(u32::MAX)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ChunkField, NewChunk, Timestamp};

    #[test]
    fn holds_what_was_put_in() {
        let text = "Have we never moved the deadline to Friday?";
        let chunk = NewChunk::cut(
            ChunkField::Content,
            text,
            Timestamp::from_millis(0),
            &["x y".to_owned()],
        )
        .remove(0);
        let signature = Signature::stored(chunk.signature.bytes().to_vec()).unwrap();
        assert_eq!(signature, chunk.signature);
        assert_eq!(signature.words(), chunk.words);
        let hashes: Vec<u32> = chunk.terms.iter().map(|term| term_hash(term)).collect();
        assert_eq!(signature.terms().collect::<Vec<_>>(), hashes);
        assert!(signature.names_a_time() && signature.ends_as_question() && signature.negates());
        let plain = NewChunk::cut(
            ChunkField::Content,
            "It moved.",
            Timestamp::from_millis(0),
            &[],
        )
        .remove(0);
        let plain = &plain.signature;
        assert!(!plain.names_a_time() && !plain.ends_as_question() && !plain.negates());
    }

    #[test]
    fn refuses_what_is_cut_off() {
        assert_eq!(Signature::stored(vec![0, 0]), None);
        assert_eq!(Signature::stored(vec![0; 6]), None);
        assert!(Signature::stored(vec![0; 7]).is_some());
    }
}
