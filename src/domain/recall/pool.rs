//! What a store offers for a question: passages without their texts, as the ranking reads them.
//!
//! **Invariant:** a row that the reader may not know of is not in it.

use crate::domain::recall::Signature;
use crate::domain::terms::QueryTerm;
use crate::domain::{ChunkField, EntityType, Timestamp};

/// What a store offers for a question: passages, how they follow each other, and the statistics to weigh them by.
#[derive(Debug, Clone, Default)]
pub struct Pool {
    /// How many passages the tenant has.
    pub passages: i64,
    /// How many terms they have together.
    pub words: i64,
    /// The terms looked for, typing errors mended, and in how many of the tenant's passages each stands.
    pub terms: Vec<(QueryTerm, i64)>,
    /// The passages.
    pub rows: Vec<Row>,
}

/// A part of an entity's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// The field that it is of.
    pub field: ChunkField,
    /// The first of its bytes there.
    pub start: u32,
    /// The first byte behind it.
    pub end: u32,
}

/// A passage, without its text.
#[derive(Debug, Clone)]
pub struct Row {
    /// The store's number of it.
    pub chunk: i64,
    /// The entity's type and the store's number of it, which grows with insertion.
    pub entity: (EntityType, i64),
    /// Which part of the entity's text it is.
    pub extent: Extent,
    /// Its session.
    pub session: Option<i64>,
    /// When the entity happened.
    pub ts: Timestamp,
    /// Its terms, and who said it.
    pub signature: Signature,
    /// The passage before it in its session, in `rows`.
    pub before: Option<usize>,
    /// The one after it.
    pub after: Option<usize>,
    /// Whether it may be a hit, or is only here for its neighbours.
    pub shown: bool,
    /// The decision that took its place.
    pub successor: Option<i64>,
}

impl Row {
    /// Whether an event begins with it.
    pub fn is_opening(&self) -> bool {
        self.entity.0 == EntityType::Event && self.extent.start == 0
    }
}
