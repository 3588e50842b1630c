//! The exported form of a tenant: JSON lines with a header, one row an entity, and a trailer.
//!
//! Each row holds its entity whole, so that an import gives back what was exported: ids, times, client fingerprints,
//! shorter forms, and what took a decision's place. What follows from other rows (chunks, terms, totals) is left out.
//!
//! **Invariant:** a row is written and read by the same type, so that nothing is exported that an import does not know.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::content::{Content, Fingerprint};
use crate::domain::event::Actor;
use crate::domain::{
    ArtifactId, ArtifactKind, Channel, CompressionLevel, DecisionId, DecisionScope, DecisionStatus,
    EventId, EventKind, HandoffId, Invalid, NoteId, Origin, Sensitivity, Timestamp,
};

/// The name of the format in the header.
pub const FORMAT: &str = "agent-memory";
/// The version that this one writes, and the newest it reads.
pub const VERSION: u32 = 1;
/// Most rows of a page. From the contract.
pub const PAGE_ROWS: usize = 1000;
/// Octets of text after which a page ends early: two pages wait for a client at most.
pub const PAGE_BYTES: usize = 2 * 1024 * 1024;
/// Longest text in one artifact line; a longer one goes on in the next. JSON makes at most six octets of one, so that
/// the line stays below the importer's bound.
pub const ARTIFACT_PART_BYTES: usize = 4 * 1024 * 1024;

/// The kinds of things in an export, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Projects.
    Project,
    /// Sessions.
    Session,
    /// Events.
    Event,
    /// Artifacts, each after its event.
    Artifact,
    /// Handoffs.
    Handoff,
    /// Decisions.
    Decision,
    /// Knowledge notes.
    Knowledge,
}

/// How many of each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ExportCounts")]
pub struct Counts {
    /// Projects.
    pub projects: u64,
    /// Sessions.
    pub sessions: u64,
    /// Events.
    pub events: u64,
    /// Artifacts; one in several lines counts once.
    pub artifacts: u64,
    /// Handoffs.
    pub handoffs: u64,
    /// Decisions.
    pub decisions: u64,
    /// Knowledge notes.
    pub knowledge: u64,
}

impl Counts {
    /// Counts one more.
    pub fn add(&mut self, kind: Kind) {
        *match kind {
            Kind::Project => &mut self.projects,
            Kind::Session => &mut self.sessions,
            Kind::Event => &mut self.events,
            Kind::Artifact => &mut self.artifacts,
            Kind::Handoff => &mut self.handoffs,
            Kind::Decision => &mut self.decisions,
            Kind::Knowledge => &mut self.knowledge,
        } += 1;
    }

    /// Counts those of another as well.
    pub fn merge(&mut self, other: &Self) {
        self.projects += other.projects;
        self.sessions += other.sessions;
        self.events += other.events;
        self.artifacts += other.artifacts;
        self.handoffs += other.handoffs;
        self.decisions += other.decisions;
        self.knowledge += other.knowledge;
    }

    /// All of them together.
    pub fn sum(&self) -> u64 {
        self.projects
            + self.sessions
            + self.events
            + self.artifacts
            + self.handoffs
            + self.decisions
            + self.knowledge
    }
}

/// One line of an export.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[schemars(rename = "ExportLine")]
pub enum Line {
    /// The first.
    Header(Header),
    /// A project.
    Project(ProjectRow),
    /// A session.
    Session(SessionRow),
    /// An event.
    Event(EventRow),
    /// The text of the event before it, or a part of that.
    Artifact(ArtifactRow),
    /// A handoff.
    Handoff(HandoffRow),
    /// A decision.
    Decision(DecisionRow),
    /// A knowledge note.
    Knowledge(NoteRow),
    /// The last.
    Trailer(Trailer),
}

/// What the lines are.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct Header {
    /// The name of the format.
    #[schemars(extend("const" = FORMAT))]
    pub format: String,
    /// The version that the writer writes.
    pub version: u32,
    /// The tenant that was exported.
    pub tenant_id: String,
    /// When.
    pub created_at: Timestamp,
    /// The writer's schema; for people.
    pub schema: i64,
    /// What is handled with more care than this was left out.
    pub up_to: Sensitivity,
}

/// What the lines came to.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Trailer {
    /// Rows above.
    pub counts: Counts,
    /// Events and handoffs that were left out, if the reader may know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out: Option<LeftOut>,
    /// SHA-256 of all octets above, in hex.
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    pub sha256: String,
}

/// Rows that were left out, by their sensitivity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LeftOut {
    /// What leaves by its id alone.
    pub secret: u64,
}

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

/// What is exported one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Projects.
    Projects,
    /// Sessions.
    Sessions,
    /// Events with their artifacts.
    Events,
    /// Handoffs.
    Handoffs,
    /// Decisions.
    Decisions,
    /// Knowledge notes.
    Notes,
}

impl Stage {
    /// The first.
    pub const FIRST: Self = Self::Projects;

    /// The one after this.
    pub fn next(self) -> Option<Self> {
        match self {
            Self::Projects => Some(Self::Sessions),
            Self::Sessions => Some(Self::Events),
            Self::Events => Some(Self::Handoffs),
            Self::Handoffs => Some(Self::Decisions),
            Self::Decisions => Some(Self::Notes),
            Self::Notes => None,
        }
    }
}

/// How far an export goes, and how far it has come. Numbers are the store's own.
#[derive(Debug, Clone)]
pub struct Walk {
    /// The tenant's number, so that a tenant forgotten meanwhile is not taken for a new one of its name.
    pub tenant_no: i64,
    /// The last row of each stage, taken at the start.
    pub marks: [i64; 6],
    /// What is being read; none at the end.
    pub stage: Option<Stage>,
    /// The last row that was read of it.
    pub after: i64,
}

/// Some rows of an export.
#[derive(Debug, Default)]
pub struct ExportPage {
    /// The rows, artifacts whole.
    pub lines: Vec<Line>,
    /// Rows that were left out as secret.
    pub secret: u64,
}

/// A fingerprint as the export writes it.
pub fn write_fingerprint(fingerprint: [u8; 16]) -> String {
    EventId::from_bytes(fingerprint)
        .to_string()
        .trim_start_matches(EventId::PREFIX)
        .to_owned()
}

/// Reads what [`write_fingerprint`] wrote.
///
/// # Errors
/// It is something else.
pub fn read_fingerprint(text: &str) -> Result<Fingerprint, Invalid> {
    EventId::parse("fingerprint", &format!("{}{text}", EventId::PREFIX))
        .map(|id| Fingerprint(*id.bytes()))
        .map_err(|_| Invalid::new("fingerprint", "is not 32 lower-case hex digits"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_artifact_comes_in_parts_that_make_the_whole() {
        let text = "ä".repeat(ARTIFACT_PART_BYTES);
        let now = Timestamp::from_millis(0);
        let row = ArtifactRow {
            artifact_id: ArtifactId::generate(now),
            tenant_id: "default".to_owned(),
            event_id: EventId::generate(now),
            kind: ArtifactKind::Blob,
            bytes: text.len(),
            meta: Value::Null,
            offset: 0,
            text: text.clone(),
        };
        let parts = row.parts();
        assert_eq!(parts.len(), 2);
        let mut whole = String::new();
        for part in &parts {
            assert_eq!(part.offset, whole.len());
            whole.push_str(&part.text);
        }
        assert_eq!(whole, text);
    }

    #[test]
    fn a_line_reads_as_it_was_written() {
        let line = r#"{"type":"knowledge","note_id":"kn_00000000000000000000000000000001","tenant_id":"t","content":"x","source_handoffs":[],"tags":[],"confidence":0.30000000000000004,"pinned":false,"created_at":"2026-03-01T09:30:00.000Z","updated_at":"2026-03-01T09:30:00.000Z"}"#;
        let read: Line = serde_json::from_str(line).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), line);
        let unknown = line.replace("\"tags\"", "\"tag\"");
        assert!(serde_json::from_str::<Line>(&unknown).is_err());
    }

    #[test]
    fn fingerprints_round_trip() {
        let text = write_fingerprint([7; 16]);
        assert_eq!(read_fingerprint(&text).unwrap(), Fingerprint([7; 16]));
        assert!(read_fingerprint("no").is_err());
    }
}
