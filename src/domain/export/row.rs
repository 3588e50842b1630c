//! The rows of an export, one type a kind.
//!
//! **Invariant:** a row refuses a member that it does not know.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::content::Content;
use crate::domain::event::Actor;
use crate::domain::export::ARTIFACT_PART_BYTES;
use crate::domain::{
    ArtifactId, ArtifactKind, Channel, CompressionLevel, DecisionId, DecisionScope, DecisionStatus,
    EventId, EventKind, HandoffId, NoteId, Origin, PrincipleId, ReflectionId, Sensitivity,
    Timestamp,
};

/// A project.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "as in domain::session")]
pub struct ProjectRow {
    pub project_id: String,
    pub tenant_id: String,
    pub name: String,
    pub aliases: Vec<String>,
    pub created_at: Timestamp,
}

/// A session, without its counts, which follow from the rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "as in domain::session")]
pub struct SessionRow {
    pub session_id: String,
    pub tenant_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub with_whom: Option<String>,
    pub started_at: Timestamp,
    pub last_seen_at: Timestamp,
}

/// An event; with an `artifact_id` its content is cut, and the next line has the whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "as in domain::event")]
pub struct EventRow {
    pub event_id: EventId,
    pub tenant_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
    pub session_id: String,
    pub ts: Timestamp,
    pub channel: Channel,
    pub actor: Actor,
    pub kind: EventKind,
    pub sensitivity: Sensitivity,
    pub tags: Vec<String>,
    pub content: Content,
    pub refs: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_id: Option<ArtifactId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
}

/// A long text of the event before it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ArtifactRow {
    /// Its id.
    pub artifact_id: ArtifactId,
    /// Its tenant.
    pub tenant_id: String,
    /// The event.
    pub event_id: EventId,
    /// What it is.
    pub kind: ArtifactKind,
    /// Octets of the whole.
    pub bytes: usize,
    /// Which part of the event's content it is.
    pub meta: Value,
    /// Where in the whole this part begins.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub offset: usize,
    /// The whole, or this part of it.
    pub text: String,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands a reference in"
)]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// A handoff.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "as in domain::handoff")]
pub struct HandoffRow {
    pub handoff_id: HandoffId,
    pub tenant_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
    pub session_id: String,
    pub with_whom: String,
    pub experienced: String,
    pub noticed: String,
    pub learned: String,
    pub story: String,
    pub becoming: String,
    pub remember: String,
    pub significance: f64,
    pub tags: Vec<String>,
    pub sensitivity: Sensitivity,
    pub origin: Origin,
    pub compression_level: CompressionLevel,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quick_ref: Option<String>,
    pub created_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
}

/// A decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "as in domain::decision")]
pub struct DecisionRow {
    pub decision_id: DecisionId,
    pub tenant_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
    pub ts: Timestamp,
    pub status: DecisionStatus,
    pub scope: DecisionScope,
    pub decision: String,
    pub rationale: Vec<String>,
    pub constraints: Vec<String>,
    pub alternatives: Vec<String>,
    pub consequences: Vec<String>,
    pub refs: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_by: Option<DecisionId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archived_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_recalled_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
}

/// A knowledge note.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "as in domain::note")]
pub struct NoteRow {
    pub note_id: NoteId,
    pub tenant_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    pub content: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub with_whom: Option<String>,
    pub source_handoffs: Vec<HandoffId>,
    pub tags: Vec<String>,
    pub confidence: f64,
    pub pinned: bool,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
}

/// A reflection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "as in domain::reflection")]
pub struct ReflectionRow {
    pub reflection_id: ReflectionId,
    pub tenant_id: String,
    pub period_start: Timestamp,
    pub period_end: Timestamp,
    pub session_count: u32,
    pub summary: String,
    pub insights: Vec<String>,
    pub themes: Vec<String>,
    pub sensitivity: Sensitivity,
    pub created_at: Timestamp,
}

/// A principle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "as in domain::principle")]
pub struct PrincipleRow {
    pub principle_id: PrincipleId,
    pub tenant_id: String,
    pub text: String,
    pub source_handoffs: Vec<HandoffId>,
    pub count: u32,
    pub sensitivity: Sensitivity,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl ArtifactRow {
    /// This artifact in lines of bounded length.
    pub fn parts(self) -> Vec<Self> {
        if self.text.len() <= ARTIFACT_PART_BYTES {
            return vec![self];
        }
        let mut parts = Vec::new();
        let mut rest = self.text.as_str();
        while !rest.is_empty() {
            let cut = rest.floor_char_boundary(ARTIFACT_PART_BYTES);
            let (text, left) = rest.split_at(cut);
            parts.push(Self {
                meta: self.meta.clone(),
                tenant_id: self.tenant_id.clone(),
                offset: self.text.len() - rest.len(),
                text: text.to_owned(),
                ..self
            });
            rest = left;
        }
        parts
    }
}
