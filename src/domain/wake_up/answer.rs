//! The answer to a wake-up, as a client reads it.
//!
//! **Invariant:** what is cut short names the id under which the whole is.

use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::handoff::{Fields, Handoff, IdentityStatement};
use crate::domain::wake_up::{
    MAX_ARRAYS_BYTES, MAX_IDENTITY, MAX_PROGRESSIVE, MAX_RECENT, MAX_STANDING,
};
use crate::domain::{
    CompressionLevel, DecisionId, DecisionScope, HandoffId, Name, NoteId, PrincipleId,
    ReflectionId, Timestamp,
};

/// A wake-up.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct WakeUp {
    /// The last handoff, whole.
    pub last_handoff: Option<Handoff>,
    /// The newest identity statements, oldest first.
    #[schemars(length(max = MAX_IDENTITY))]
    pub identity_thread: Vec<IdentityStatement>,
    /// Decisions that hold.
    #[schemars(length(max = MAX_STANDING))]
    pub recent_decisions: Vec<DecisionBrief>,
    /// Notes worth having at hand.
    #[schemars(length(max = MAX_STANDING))]
    pub knowledge: Vec<NoteBrief>,
    /// The layers that were asked for.
    pub layers: Layers,
    /// Whether there is no handoff yet to wake up to.
    pub first_session: bool,
    /// Tokens of `context`.
    pub estimated_tokens: usize,
    /// The text to put in the prompt (Markdown).
    pub context: String,
}

impl WakeUp {
    /// About the memory it takes, in bytes.
    pub fn weight(&self) -> usize {
        let last = self
            .last_handoff
            .as_ref()
            .map_or(0, |handoff| handoff.fields.bytes());
        size_of::<Self>() + MAX_ARRAYS_BYTES + self.context.len() + last
    }
}

/// The layers of a wake-up; one that was not asked for is absent.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "WakeUpLayers")]
pub struct Layers {
    /// Counts and names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
    /// Conclusions; empty until consolidation draws some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reflection: Option<Conclusions>,
    /// The last handoffs, newest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = MAX_RECENT))]
    pub recent: Option<Vec<Recent>>,
    /// Older handoffs in a shorter form.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = MAX_PROGRESSIVE))]
    pub progressive: Option<Vec<Brief>>,
}

/// The *metadata* layer.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "WakeUpMetadata")]
pub struct Metadata {
    /// How many sessions.
    pub sessions: i64,
    /// How many handoffs.
    pub handoffs: i64,
    /// Since when.
    pub first_at: Option<Timestamp>,
    /// Until when.
    pub last_at: Option<Timestamp>,
    /// With whom lately.
    pub with_whom: Vec<String>,
    /// About what, by tag.
    pub topics: Vec<String>,
}

/// The *reflection* layer. Two lists, since a client shows them in two places: what always holds, and what was.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Conclusions {
    /// What recurs, last found again first.
    pub principles: Vec<PrincipleBrief>,
    /// What periods came to, newest first.
    pub reflections: Vec<ReflectionBrief>,
}

/// A principle of a wake-up; `GET /principles/{id}` has the whole and its handoffs.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct PrincipleBrief {
    /// The principle.
    pub principle_id: PrincipleId,
    /// What recurs.
    pub text: String,
    /// How many handoffs said so.
    pub count: u32,
    /// When it was last found again.
    pub updated_at: Timestamp,
}

/// A reflection of a wake-up; `GET /reflections/{id}` has the whole and its insights.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ReflectionBrief {
    /// The reflection.
    pub reflection_id: ReflectionId,
    /// The first moment of its period.
    pub period_start: Timestamp,
    /// The moment after its last.
    pub period_end: Timestamp,
    /// How many sessions it had.
    pub session_count: u32,
    /// What they came to.
    pub summary: String,
}

/// A handoff of the *recent* layer.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "RecentHandoff")]
pub struct Recent {
    /// The handoff.
    pub handoff_id: HandoffId,
    /// Its session.
    pub session_id: Name,
    /// With whom.
    pub with_whom: Name,
    /// When.
    pub created_at: Timestamp,
    /// Its texts, cut only if they would not fit; `GET /handoffs/{id}` has the whole.
    #[serde(flatten)]
    pub fields: Fields,
    /// Whether the texts were cut.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
}

/// A handoff of the *progressive* layer.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "HandoffBrief")]
pub struct Brief {
    /// The handoff.
    pub handoff_id: HandoffId,
    /// When.
    pub created_at: Timestamp,
    /// In which form it is shown.
    pub form: CompressionLevel,
    /// The form.
    pub text: String,
}

/// A decision of a wake-up; `GET /decisions/{id}` has its reasons.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct DecisionBrief {
    /// The decision.
    pub decision_id: DecisionId,
    /// When it was made.
    pub ts: Timestamp,
    /// How far it reaches.
    pub scope: DecisionScope,
    /// What was decided.
    pub decision: String,
}

/// A note of a wake-up; `GET /knowledge/{id}` has the whole.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct NoteBrief {
    /// The note.
    pub note_id: NoteId,
    /// Its heading.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What it says.
    pub content: String,
    /// Whether it is always shown.
    pub pinned: bool,
    /// How often it was noted; absent for once.
    #[serde(skip_serializing_if = "is_once")]
    pub count: u32,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands a reference in"
)]
fn is_once(count: &u32) -> bool {
    *count == 1
}
