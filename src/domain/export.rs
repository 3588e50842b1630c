//! The exported form of a tenant: JSON lines with a header, one row an entity, and a trailer.
//!
//! Each row holds its entity whole, so that an import gives back what was exported: ids, times, client fingerprints,
//! shorter forms, and what took a decision's place. What follows from other rows (chunks, terms, totals) is left out.
//!
//! **Invariant:** a row is written and read by the same type, so that nothing is exported that an import does not know.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::content::Fingerprint;
use crate::domain::{EventId, Invalid, Sensitivity, Timestamp};

mod row;

pub use row::{
    ArtifactRow, DecisionRow, EventRow, HandoffRow, NoteRow, PrincipleRow, ProjectRow,
    ReflectionRow, SessionRow,
};

/// The name of the format in the header.
pub const FORMAT: &str = "agent-memory";
/// The version that this one writes, and the newest it reads.
///
/// It rises whenever there is something new that an older reader would refuse in the middle, having stored what stands
/// above: 2 brought reflections and principles.
pub const VERSION: u32 = 2;
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
    /// Reflections.
    Reflection,
    /// Principles.
    Principle,
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
    /// Reflections; none before version 2.
    #[serde(default)]
    pub reflections: u64,
    /// Principles; none before version 2.
    #[serde(default)]
    pub principles: u64,
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
            Kind::Reflection => &mut self.reflections,
            Kind::Principle => &mut self.principles,
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
        self.reflections += other.reflections;
        self.principles += other.principles;
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
            + self.reflections
            + self.principles
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
    /// A reflection.
    Reflection(ReflectionRow),
    /// A principle.
    Principle(PrincipleRow),
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
    /// Reflections.
    Reflections,
    /// Principles.
    Principles,
}

/// How many stages there are.
pub const STAGES: usize = 8;

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
            Self::Notes => Some(Self::Reflections),
            Self::Reflections => Some(Self::Principles),
            Self::Principles => None,
        }
    }
}

/// How far an export goes, and how far it has come. Numbers are the store's own.
#[derive(Debug, Clone)]
pub struct Walk {
    /// The tenant's number, so that a tenant forgotten meanwhile is not taken for a new one of its name.
    pub tenant_no: i64,
    /// The last row of each stage, taken at the start.
    pub marks: [i64; STAGES],
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

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::domain::{ArtifactId, ArtifactKind};

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
