//! Principles: what recurs in the identity statements of many sessions, said once.
//!
//! Consolidation writes them; each later run that finds the same again updates the one that is there.
//!
//! **Invariant:** a principle names handoffs that it was drawn from, and says how many statements those were in all.

use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::content::{Cleaner, Redactions};
use crate::domain::reflection::not_ahead;
use crate::domain::{
    ChunkField, HandoffId, Invalid, NewChunk, PrincipleId, Sensitivity, TenantId, Timestamp,
};

/// Longest text, in bytes; as the statements that it stands for.
pub const MAX_PRINCIPLE_BYTES: usize = 64 * 1024;
/// Most handoffs that a principle names; `count` goes on counting.
pub const MAX_SOURCES: usize = 256;

/// What a principle says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PrincipleBody {
    /// What recurs.
    pub text: String,
    /// Handoffs that say so.
    pub source_handoffs: Vec<HandoffId>,
    /// How many said so in all.
    pub count: u32,
    /// The highest sensitivity of what it was drawn from.
    pub sensitivity: Sensitivity,
}

impl PrincipleBody {
    /// Octets of text.
    pub fn bytes(&self) -> usize {
        self.text.len()
    }

    /// Cleaned and validated; nothing is trimmed.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub fn cleaned(self, cleaner: &mut Cleaner) -> Result<Self, Invalid> {
        let body = Self {
            text: cleaner.text(&self.text),
            ..self
        };
        if body.text.trim().is_empty() || body.text.len() > MAX_PRINCIPLE_BYTES {
            return Err(Invalid::new("text", "is not 1 byte to 64 KiB of text"));
        }
        if body.source_handoffs.len() > MAX_SOURCES {
            return Err(Invalid::new(
                "source_handoffs",
                format!("holds more than {MAX_SOURCES} items"),
            ));
        }
        let named = u32::try_from(body.source_handoffs.len()).unwrap_or(u32::MAX);
        if body.count < named.max(1) {
            return Err(Invalid::new(
                "count",
                "is not 1 or more, and not less than the source_handoffs",
            ));
        }
        Ok(body)
    }
}

/// A principle ready to be stored.
#[derive(Debug, Clone)]
pub struct NewPrinciple {
    /// Its id. Whoever finds the same again uses the same.
    pub id: PrincipleId,
    /// What it says.
    pub body: PrincipleBody,
    /// When it was found first.
    pub created_at: Timestamp,
    /// When it was last found again or said otherwise.
    pub updated_at: Timestamp,
    /// What is searched.
    pub chunks: Vec<NewChunk>,
    /// What was taken out.
    pub redactions: Redactions,
}

impl NewPrinciple {
    /// Validates, cleans and indexes.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub fn new(
        id: PrincipleId,
        body: PrincipleBody,
        created_at: Timestamp,
        updated_at: Timestamp,
        now: Timestamp,
    ) -> Result<Self, Invalid> {
        let mut cleaner = Cleaner::default();
        let body = body.cleaned(&mut cleaner)?;
        not_ahead("updated_at", updated_at, now)?;
        if updated_at < created_at {
            return Err(Invalid::new("updated_at", "is before created_at"));
        }
        Ok(Self {
            id,
            chunks: chunks_of(&body, created_at),
            body,
            created_at,
            updated_at,
            redactions: cleaner.into_redactions(),
        })
    }
}

/// The chunks of a principle that says this and was found then.
pub fn chunks_of(body: &PrincipleBody, created_at: Timestamp) -> Vec<NewChunk> {
    NewChunk::cut(ChunkField::Principle, &body.text, created_at, &[])
}

/// A principle as it is read back.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Principle {
    /// Its id.
    pub principle_id: PrincipleId,
    /// Its tenant.
    pub tenant_id: TenantId,
    /// What it says.
    #[serde(flatten)]
    pub body: PrincipleBody,
    /// When it was found first.
    pub created_at: Timestamp,
    /// When it was last found again or said otherwise.
    pub updated_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body() -> PrincipleBody {
        PrincipleBody {
            text: "Measure first.".to_owned(),
            source_handoffs: vec![
                HandoffId::from_bytes([1; 16]),
                HandoffId::from_bytes([2; 16]),
            ],
            count: 2,
            sensitivity: Sensitivity::None,
        }
    }

    fn new(body: PrincipleBody, created: i64, updated: i64) -> Result<NewPrinciple, Invalid> {
        let at = Timestamp::from_millis;
        let id = PrincipleId::from_bytes([1; 16]);
        NewPrinciple::new(id, body, at(created), at(updated), at(10))
    }

    #[test]
    fn refuses_what_is_out_of_bounds() {
        let over = |change: fn(&mut PrincipleBody)| {
            let mut body = body();
            change(&mut body);
            new(body, 0, 0).unwrap_err().field
        };
        assert_eq!(over(|body| body.text = "\n".to_owned()), "text");
        assert_eq!(
            over(|body| body.text = "x".repeat(MAX_PRINCIPLE_BYTES + 1)),
            "text"
        );
        assert_eq!(over(|body| body.count = 1), "count");
        assert_eq!(
            over(|body| (body.count, body.source_handoffs) = (0, vec![])),
            "count"
        );
        assert_eq!(
            over(|body| {
                body.source_handoffs = vec![HandoffId::from_bytes([1; 16]); MAX_SOURCES + 1];
                body.count = 1_000;
            }),
            "source_handoffs"
        );
        assert_eq!(new(body(), 5, 4).unwrap_err().field, "updated_at");
        assert_eq!(
            new(body(), 0, i64::MAX / 4).unwrap_err().field,
            "updated_at"
        );
    }

    #[test]
    fn is_found_by_its_words() {
        let made = new(body(), 0, 0).unwrap();
        assert!(made.chunks[0].terms.contains(&"measur".to_owned()));
        assert_eq!(made.chunks[0].field, ChunkField::Principle);
    }
}
