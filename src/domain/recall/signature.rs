//! A passage as ranking reads it: who said it, what kind of sentence it is, and its terms as hashes in their order.
//!
//! Scoring needs to know which of a question's terms stand where in some hundred passages and in those around them.
//! Reading that out of the texts means cutting them into terms again, which was most of a search's time; so it is kept
//! beside each passage when it is written: four bytes a term.
//!
//! **Invariant:** a signature is made of the same terms as the index, by the same function; it holds no text.

use std::sync::Arc;

use crate::domain::recall::question::{hints, names_a_place, names_a_version};
use crate::domain::{ActorType, terms};

/// The text names a day, a month or "last week": it may answer "when".
const NAMES_A_TIME: u8 = 1;
/// The text ends with a question mark: it asks rather than tells.
const ENDS_AS_QUESTION: u8 = 2;
/// The text says that something was never so.
const NEGATES: u8 = 4;
/// It records a decision.
const DECIDES: u8 = 8;
/// The text names a file or a place on the net.
const NAMES_A_PLACE: u8 = 16;
/// The text holds something like `1.14`.
const NAMES_A_VERSION: u8 = 32;
/// The text holds a number.
const NAMES_A_NUMBER: u8 = 64;
/// The flags; the voice; how many terms at the end are not the text's own but its date and tags; the speaker.
const HEAD: usize = 8;

/// Who said something.
#[derive(Debug, Clone, Copy)]
pub struct Voice<'a> {
    /// A person, an agent or a tool.
    pub actor: ActorType,
    /// Its name.
    pub name: &'a str,
    /// Whether it is a decision that is recorded.
    pub decides: bool,
}

/// The bytes kept beside a passage. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature(Arc<[u8]>);

impl Default for Signature {
    /// Of no text.
    fn default() -> Self {
        Self(Arc::new([0; HEAD]))
    }
}

impl Signature {
    /// Of a passage with this text: `words` terms of its own, then those of its date and tags.
    pub fn of(text: &str, terms: &[String], words: usize, voice: Option<Voice<'_>>) -> Self {
        let mut bytes = Vec::with_capacity(HEAD + 4 * terms.len());
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        let hints = hints(text);
        bytes.push(
            flag(hints.time, NAMES_A_TIME)
                | flag(text.trim_end().ends_with(['?', '？']), ENDS_AS_QUESTION)
                | flag(hints.negation, NEGATES)
                | flag(voice.is_some_and(|voice| voice.decides), DECIDES)
                | flag(names_a_place(text), NAMES_A_PLACE)
                | flag(names_a_version(text), NAMES_A_VERSION)
                | flag(text.bytes().any(|b| b.is_ascii_digit()), NAMES_A_NUMBER),
        );
        // 0 is nobody.
        bytes.push(voice.map_or(0, |voice| u8::try_from(voice.actor.code() + 1).unwrap_or(0)));
        let common = terms.len().saturating_sub(words);
        bytes.extend(u16::try_from(common).unwrap_or(u16::MAX).to_le_bytes());
        let speaker = voice.and_then(|voice| name_hash(voice.name)).unwrap_or(0);
        bytes.extend(speaker.to_le_bytes());
        for term in terms {
            bytes.extend(term_hash(term).to_le_bytes());
        }
        Self(bytes.into())
    }

    /// As the store kept it; none if it is cut off.
    pub fn stored(bytes: &[u8]) -> Option<Self> {
        (bytes.len() >= HEAD && (bytes.len() - HEAD).is_multiple_of(4)).then(|| Self(bytes.into()))
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

    /// Where terms that are looked for stand: the place of each, and which it is.
    pub fn places(&self, sought: &Sought) -> impl Iterator<Item = (usize, usize)> {
        let terms = self.terms().enumerate();
        terms.filter_map(|(place, hash)| Some((place, sought.which(hash)?)))
    }

    /// Whether each of the terms may stand in it; if not, it does not.
    pub fn may_hold(&self, sought: &Sought) -> bool {
        let mut hashes = sought.hashes.iter();
        hashes.all(|hash| self.terms().any(|term| term == *hash))
    }

    /// How many terms the text itself has.
    pub fn words(&self) -> usize {
        let common = match self.0.get(2..4) {
            Some(&[low, high]) => usize::from(u16::from_le_bytes([low, high])),
            _ => 0,
        };
        ((self.0.len().saturating_sub(HEAD)) / 4).saturating_sub(common)
    }

    /// What kind of actor said it, if any did.
    pub fn voice(&self) -> Option<ActorType> {
        let code = i64::from(*self.0.get(1)?);
        ActorType::from_code(code - 1)
    }

    /// The hash of the speaker's name, as [`name_hash`] makes it.
    pub(super) fn speaker(&self) -> Option<u32> {
        match self.0.get(4..HEAD) {
            Some(&[a, b, c, d]) => Some(u32::from_le_bytes([a, b, c, d])).filter(|hash| *hash != 0),
            _ => None,
        }
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

    /// Whether it is an event that records a decision.
    pub fn decides(&self) -> bool {
        self.has(DECIDES)
    }

    /// Whether the text names a file or a place on the net.
    pub fn names_a_place(&self) -> bool {
        self.has(NAMES_A_PLACE)
    }

    /// Whether the text names a version.
    pub fn names_a_version(&self) -> bool {
        self.has(NAMES_A_VERSION)
    }

    /// Whether the text holds a number.
    pub fn names_a_number(&self) -> bool {
        self.has(NAMES_A_NUMBER)
    }

    fn has(&self, flag: u8) -> bool {
        self.0.first().is_some_and(|flags| flags & flag != 0)
    }
}

/// The hash of the first word of a name in lower case: who is `ada.lovelace` is asked for as Ada.
pub(super) fn name_hash(name: &str) -> Option<u32> {
    let mut words = name.split(|c: char| !c.is_alphanumeric());
    let word = words.find(|word| !word.is_empty())?;
    Some(term_hash(&word.to_lowercase()))
}

/// The terms of a question, as signatures have them.
#[derive(Debug, Clone, Default)]
pub struct Sought {
    hashes: Vec<u32>,
    /// The last six bits of each: of the terms of a passage nearly all are told by it not to be looked for.
    last_bits: u64,
}

impl Sought {
    /// What is told apart in a signature.
    pub fn new<'a>(terms: impl Iterator<Item = &'a str>) -> Self {
        let hashes: Vec<u32> = terms.map(term_hash).collect();
        Self {
            last_bits: hashes.iter().fold(0, |bits, hash| bits | last_bits(*hash)),
            hashes,
        }
    }

    /// How many terms these are.
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Whether nothing is looked for.
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// Which of the terms has this hash.
    fn which(&self, hash: u32) -> Option<usize> {
        if self.last_bits & last_bits(hash) == 0 {
            return None;
        }
        self.hashes.iter().position(|known| *known == hash)
    }
}

fn last_bits(hash: u32) -> u64 {
    1 << (hash % u64::BITS)
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
        let signature = Signature::stored(chunk.signature.bytes()).unwrap();
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
        assert_eq!(Signature::stored(&[0, 0]), None);
        assert_eq!(Signature::stored(&[0; 10]), None);
        assert!(Signature::stored(&[0; 12]).is_some());
    }

    #[test]
    fn knows_who_said_it() {
        let said = |name| {
            let voice = Voice {
                actor: ActorType::Tool,
                name,
                decides: false,
            };
            Signature::of("x", &["x".to_owned()], 1, Some(voice))
        };
        assert_eq!(said("Ada.Lovelace").speaker(), name_hash("ada"));
        assert_eq!(said("Ada").voice(), Some(ActorType::Tool));
        assert_eq!(said("?!").speaker(), None);
        assert_eq!(
            (Signature::default().voice(), Signature::default().speaker()),
            (None, None)
        );
    }
}
