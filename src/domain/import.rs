//! Rows of an export on their way in: validated and cleaned like what a client writes.
//!
//! Nothing is filled in and nothing is trimmed, since a row that was stored once has to come back as it was: cleaning a
//! clean row changes nothing.
//!
//! **Invariant:** every rule of size and shape that holds for a client's write holds here.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::domain::content::{
    self, Cleaner, Content, MAX_CONTENT_BYTES, MAX_REF_BYTES, MAX_REFS, MAX_TAG_BYTES, MAX_TAGS,
    NewArtifact, Redactions,
};
use crate::domain::decision::{
    self, MAX_DECISION_BYTES, MAX_ITEM_BYTES, MAX_ITEMS, NewDecision, Statement,
};
use crate::domain::event::{self, Actor, Intake, NewEvent};
use crate::domain::export::{
    ArtifactRow, Counts, DecisionRow, EventRow, HandoffRow, NoteRow, PrincipleRow, ProjectRow,
    ReflectionRow, SessionRow, read_fingerprint,
};
use crate::domain::handoff::{self, Fields, MAX_FIELD_BYTES, NewHandoff};
use crate::domain::note::{self, MAX_SOURCES, NewNote, NoteBody};
use crate::domain::principle::NewPrinciple;
use crate::domain::reflection::NewReflection;
use crate::domain::{DecisionStatus, Invalid, Name, TenantId};

mod conclusion;

/// Most other ids of a project.
const MAX_ALIASES: usize = 64;

/// What becomes of a row whose id is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "ImportMode")]
pub enum Mode {
    /// The same is fine; another is reported, and the stored one stays. Of notes and principles the later changed wins.
    Merge,
    /// It is not looked at.
    Skip,
    /// It takes the stored one's place.
    Replace,
}

impl Mode {
    /// Reads the word; `field` names it in the refusal.
    ///
    /// # Errors
    /// It is none of them.
    pub fn parse(field: &str, word: &str) -> Result<Self, Invalid> {
        match word {
            "merge" => Ok(Self::Merge),
            "skip" => Ok(Self::Skip),
            "replace" => Ok(Self::Replace),
            _ => Err(Invalid::new(field, "is not one of merge skip replace")),
        }
    }
}

/// How rows are imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct How {
    /// What becomes of a row whose id is taken.
    pub mode: Mode,
    /// Whether to say only what would be done.
    pub dry_run: bool,
}

/// A row ready to be stored, as it will be exported and as the store takes it.
#[derive(Debug)]
pub enum ImportRow {
    /// A project.
    Project(ProjectRow),
    /// A session.
    Session(SessionRow),
    /// An event with its artifact.
    Event(Box<(EventRow, NewEvent)>),
    /// A handoff.
    Handoff(Box<(HandoffRow, NewHandoff)>),
    /// A decision.
    Decision(Box<(DecisionRow, NewDecision)>),
    /// A knowledge note.
    Knowledge(Box<(NoteRow, NewNote)>),
    /// A reflection.
    Reflection(Box<(ReflectionRow, NewReflection)>),
    /// A principle.
    Principle(Box<(PrincipleRow, NewPrinciple)>),
}

/// A row and where it stands.
#[derive(Debug)]
pub struct ImportLine {
    /// The line, from 1.
    pub line: u64,
    /// The row.
    pub row: ImportRow,
    /// What was taken out of it.
    pub redactions: Redactions,
}

/// A row that was not stored because of what is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "ImportConflict")]
pub struct Conflict {
    /// The line, from 1.
    pub line: u64,
    /// The row's id.
    pub id: String,
    /// Why.
    pub reason: &'static str,
}

/// What became of some rows.
#[derive(Debug, Default)]
pub struct SliceReport {
    /// Stored now.
    pub stored: Counts,
    /// There already.
    pub unchanged: Counts,
    /// Not stored.
    pub conflicts: Vec<Conflict>,
}

/// Cleans one row.
#[derive(Debug)]
pub struct Intaker<'a> {
    /// The tenant it will be of.
    pub tenant: &'a TenantId,
    /// Now, and the largest artifact.
    pub intake: Intake,
    /// Takes secrets out.
    pub cleaner: Cleaner,
}

impl Intaker<'_> {
    fn name(&mut self, field: &str, text: &str) -> Result<String, Invalid> {
        Name::parse(field, &self.cleaner.text(text)).map(|name| name.as_str().to_owned())
    }

    fn name_opt(&mut self, field: &str, text: Option<&str>) -> Result<Option<String>, Invalid> {
        text.map(|text| self.name(field, text)).transpose()
    }

    /// A project.
    ///
    /// # Errors
    /// The first field that is wrong; so for the others.
    pub fn project(mut self, row: &ProjectRow, line: u64) -> Result<ImportLine, Invalid> {
        let row = ProjectRow {
            project_id: self.name("project_id", &row.project_id)?,
            tenant_id: self.tenant.to_string(),
            name: self.name("name", &row.name)?,
            aliases: self
                .cleaner
                .texts("aliases", &row.aliases, MAX_ALIASES, MAX_TAG_BYTES)?,
            created_at: row.created_at,
        };
        Ok(self.line(line, ImportRow::Project(row)))
    }

    /// A session.
    ///
    /// # Errors
    /// As above.
    pub fn session(mut self, row: &SessionRow, line: u64) -> Result<ImportLine, Invalid> {
        let row = SessionRow {
            session_id: self.name("session_id", &row.session_id)?,
            tenant_id: self.tenant.to_string(),
            project_id: self.name_opt("project_id", row.project_id.as_deref())?,
            with_whom: self.name_opt("with_whom", row.with_whom.as_deref())?,
            ..*row
        };
        if row.last_seen_at < row.started_at {
            return Err(Invalid::new("last_seen_at", "is before started_at"));
        }
        Ok(self.line(line, ImportRow::Session(row)))
    }

    /// An event with its artifact.
    ///
    /// # Errors
    /// As above.
    pub fn event(
        mut self,
        row: EventRow,
        artifact: Option<ArtifactRow>,
        line: u64,
    ) -> Result<ImportLine, Invalid> {
        let content = self.content(row.content)?;
        let row = EventRow {
            tenant_id: self.tenant.to_string(),
            project_id: self.name_opt("project_id", row.project_id.as_deref())?,
            session_id: self.name("session_id", &row.session_id)?,
            actor: Actor {
                actor_type: row.actor.actor_type,
                id: self.name("actor.id", &row.actor.id)?,
            },
            tags: self
                .cleaner
                .texts("tags", &row.tags, MAX_TAGS, MAX_TAG_BYTES)?,
            refs: self
                .cleaner
                .texts("refs", &row.refs, MAX_REFS, MAX_REF_BYTES)?,
            content,
            ..row
        };
        let json = Value::Object(row.content.clone()).to_string();
        if json.len() > MAX_CONTENT_BYTES {
            return Err(Invalid::new("content", "is larger than 256 KiB"));
        }
        let artifact = artifact.map(|row| self.artifact(row)).transpose()?;
        let new = NewEvent {
            id: row.event_id,
            fingerprint: row
                .fingerprint
                .as_deref()
                .map(read_fingerprint)
                .transpose()?,
            session: Name::stored(row.session_id.clone()),
            project: row.project_id.clone().map(Name::stored),
            ts: row.ts,
            channel: row.channel,
            actor_type: row.actor.actor_type,
            actor: Name::stored(row.actor.id.clone()),
            kind: row.kind,
            sensitivity: row.sensitivity,
            tags: row.tags.clone(),
            refs: row.refs.clone(),
            content: json,
            artifact,
            chunks: event::chunks_of(
                &row.content,
                row.ts,
                &row.tags,
                Some((&row.actor, row.kind)),
            ),
            redactions: Redactions::new(),
        };
        Ok(self.line(line, ImportRow::Event(Box::new((row, new)))))
    }

    fn content(&mut self, content: Content) -> Result<Content, Invalid> {
        let (kept, cut) = content::split(
            content,
            crate::domain::ArtifactKind::Blob,
            usize::MAX,
            self.intake.now,
        )?;
        if cut.is_some() {
            return Err(Invalid::new(
                "content",
                "holds more than 64 KiB of text; the whole belongs into its artifact",
            ));
        }
        Ok(self.cleaner.content(kept))
    }

    fn artifact(&mut self, row: ArtifactRow) -> Result<NewArtifact, Invalid> {
        let most = self.intake.max_artifact_bytes;
        if row.text.len() > most {
            return Err(Invalid::new("text", format!("is larger than {most} bytes")));
        }
        let body = match row.meta.get("format").and_then(Value::as_str) {
            Some("text") => self.cleaner.text(&row.text),
            // The whole content: its texts are cleaned one by one, as they were when it came.
            Some("json") => {
                let whole: Content = serde_json::from_str(&row.text)
                    .map_err(|_| Invalid::new("text", "is not the JSON object that meta says"))?;
                let clean = self.cleaner.content(whole.clone());
                if clean == whole {
                    row.text
                } else {
                    Value::Object(clean).to_string()
                }
            }
            Some(_) | None => return Err(Invalid::new("meta.format", "is not one of text json")),
        };
        if row.meta.to_string().len() > MAX_CONTENT_BYTES {
            return Err(Invalid::new("meta", "is larger than 256 KiB"));
        }
        Ok(NewArtifact {
            id: row.artifact_id,
            kind: row.kind,
            meta: self.cleaner.value(row.meta),
            body,
        })
    }

    /// A handoff.
    ///
    /// # Errors
    /// As above.
    pub fn handoff(mut self, row: HandoffRow, line: u64) -> Result<ImportLine, Invalid> {
        let fields = Fields {
            experienced: self.cleaner.text(&row.experienced),
            noticed: self.cleaner.text(&row.noticed),
            learned: self.cleaner.text(&row.learned),
            story: self.cleaner.text(&row.story),
            becoming: self.cleaner.text(&row.becoming),
            remember: self.cleaner.text(&row.remember),
        };
        handoff::check(&fields, row.significance, row.created_at, self.intake.now)?;
        let row = HandoffRow {
            tenant_id: self.tenant.to_string(),
            project_id: self.name_opt("project_id", row.project_id.as_deref())?,
            session_id: self.name("session_id", &row.session_id)?,
            with_whom: self.name("with_whom", &row.with_whom)?,
            experienced: fields.experienced.clone(),
            noticed: fields.noticed.clone(),
            learned: fields.learned.clone(),
            story: fields.story.clone(),
            becoming: fields.becoming.clone(),
            remember: fields.remember.clone(),
            tags: self
                .cleaner
                .texts("tags", &row.tags, MAX_TAGS, MAX_TAG_BYTES)?,
            summary: self.cleaner.text_opt(row.summary.as_deref()),
            quick_ref: self.cleaner.text_opt(row.quick_ref.as_deref()),
            ..row
        };
        for (field, form) in [("summary", &row.summary), ("quick_ref", &row.quick_ref)] {
            if form
                .as_ref()
                .is_some_and(|form| form.len() > MAX_FIELD_BYTES)
            {
                return Err(Invalid::new(field, "is longer than 64 KiB"));
            }
        }
        let new = NewHandoff {
            id: row.handoff_id,
            fingerprint: row
                .fingerprint
                .as_deref()
                .map(read_fingerprint)
                .transpose()?,
            session: Name::stored(row.session_id.clone()),
            project: row.project_id.clone().map(Name::stored),
            with_whom: Name::stored(row.with_whom.clone()),
            chunks: handoff::chunks_of(&fields, row.created_at, &row.tags),
            fields,
            significance: row.significance,
            tags: row.tags.clone(),
            sensitivity: row.sensitivity,
            origin: row.origin,
            created_at: row.created_at,
            redactions: Redactions::new(),
        };
        Ok(self.line(line, ImportRow::Handoff(Box::new((row, new)))))
    }

    /// A decision.
    ///
    /// # Errors
    /// As above.
    pub fn decision(mut self, row: DecisionRow, line: u64) -> Result<ImportLine, Invalid> {
        if row.superseded_by.is_some() && row.status == DecisionStatus::Active {
            return Err(Invalid::new(
                "superseded_by",
                "is set, but the status is active",
            ));
        }
        if row.superseded_by == Some(row.decision_id) {
            return Err(Invalid::new("superseded_by", "is the decision itself"));
        }
        let words = Statement {
            decision: self.cleaner.text(&row.decision),
            rationale: self.cleaner.texts(
                "rationale",
                &row.rationale,
                MAX_ITEMS,
                MAX_ITEM_BYTES,
            )?,
            constraints: self.cleaner.texts(
                "constraints",
                &row.constraints,
                MAX_ITEMS,
                MAX_ITEM_BYTES,
            )?,
            alternatives: self.cleaner.texts(
                "alternatives",
                &row.alternatives,
                MAX_ITEMS,
                MAX_ITEM_BYTES,
            )?,
            consequences: self.cleaner.texts(
                "consequences",
                &row.consequences,
                MAX_ITEMS,
                MAX_ITEM_BYTES,
            )?,
        };
        if words.decision.trim().is_empty() || words.decision.len() > MAX_DECISION_BYTES {
            return Err(Invalid::new("decision", "is not 1 byte to 16 KiB of text"));
        }
        let row = DecisionRow {
            tenant_id: self.tenant.to_string(),
            project_id: self.name_opt("project_id", row.project_id.as_deref())?,
            decision: words.decision.clone(),
            rationale: words.rationale.clone(),
            constraints: words.constraints.clone(),
            alternatives: words.alternatives.clone(),
            consequences: words.consequences.clone(),
            refs: self
                .cleaner
                .texts("refs", &row.refs, MAX_REFS, MAX_REF_BYTES)?,
            ..row
        };
        let new = NewDecision {
            id: row.decision_id,
            fingerprint: row
                .fingerprint
                .as_deref()
                .map(read_fingerprint)
                .transpose()?,
            project: row.project_id.clone().map(Name::stored),
            ts: row.ts,
            scope: row.scope,
            chunks: decision::chunks_of(&words, row.ts),
            statement: words,
            refs: row.refs.clone(),
            redactions: Redactions::new(),
        };
        Ok(self.line(line, ImportRow::Decision(Box::new((row, new)))))
    }

    /// A knowledge note.
    ///
    /// # Errors
    /// As above.
    pub fn knowledge(mut self, row: NoteRow, line: u64) -> Result<ImportLine, Invalid> {
        if row.source_handoffs.len() > MAX_SOURCES {
            let reason = format!("holds more than {MAX_SOURCES} items");
            return Err(Invalid::new("source_handoffs", reason));
        }
        let row = NoteRow {
            tenant_id: self.tenant.to_string(),
            project_id: self.name_opt("project_id", row.project_id.as_deref())?,
            title: self.cleaner.text_opt(row.title.as_deref()),
            content: self.cleaner.text(&row.content),
            with_whom: self.name_opt("with_whom", row.with_whom.as_deref())?,
            tags: self
                .cleaner
                .texts("tags", &row.tags, MAX_TAGS, MAX_TAG_BYTES)?,
            ..row
        };
        let body = NoteBody {
            title: row.title.clone(),
            content: row.content.clone(),
            with_whom: row.with_whom.clone().map(Name::stored),
            source_handoffs: row.source_handoffs.clone(),
            tags: row.tags.clone(),
            confidence: row.confidence,
            pinned: row.pinned,
        };
        body.check()?;
        let new = NewNote {
            id: row.note_id,
            fingerprint: row
                .fingerprint
                .as_deref()
                .map(read_fingerprint)
                .transpose()?,
            project: row.project_id.clone().map(Name::stored),
            chunks: note::chunks_of(&body, row.created_at),
            body,
            created_at: row.created_at,
            redactions: Redactions::new(),
        };
        Ok(self.line(line, ImportRow::Knowledge(Box::new((row, new)))))
    }

    fn line(self, line: u64, row: ImportRow) -> ImportLine {
        ImportLine {
            line,
            row,
            redactions: self.cleaner.into_redactions(),
        }
    }
}
