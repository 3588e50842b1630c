//! Handoffs: what an agent writes at the end of a session for its next self.
//!
//! **Invariant:** a handoff's text is never shortened in the store; shorter forms stand beside it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::content::{Cleaner, Fingerprint, MAX_TAGS, Redactions};
use crate::domain::event::check_tenant;
use crate::domain::time::MAX_AHEAD_MS;
use crate::domain::{
    ChunkField, CompressionLevel, HandoffId, Invalid, Name, NewChunk, Origin, Sensitivity,
    TenantId, Timestamp,
};

/// Longest field of a handoff, in bytes. From the data model.
pub const MAX_FIELD_BYTES: usize = 64 * 1024;
/// The significance of a handoff that names none.
pub const DEFAULT_SIGNIFICANCE: f64 = 0.5;

/// The six texts of a handoff.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Fields {
    /// What happened.
    pub experienced: String,
    /// What stood out.
    pub noticed: String,
    /// What was learned.
    pub learned: String,
    /// The session as a story.
    pub story: String,
    /// Who the agent is becoming; these make the identity thread.
    pub becoming: String,
    /// What the next session must not forget.
    pub remember: String,
}

impl Fields {
    /// Each text with the field it is indexed as, in a fixed order.
    pub fn each(&self) -> [(ChunkField, &str); 6] {
        [
            (ChunkField::Experienced, &self.experienced),
            (ChunkField::Noticed, &self.noticed),
            (ChunkField::Learned, &self.learned),
            (ChunkField::Story, &self.story),
            (ChunkField::Becoming, &self.becoming),
            (ChunkField::Remember, &self.remember),
        ]
    }

    /// The text indexed as `field`.
    pub fn get(&self, field: ChunkField) -> &str {
        match field {
            ChunkField::Content
            | ChunkField::Decision
            | ChunkField::Note
            | ChunkField::Reflection
            | ChunkField::Principle => "",
            ChunkField::Experienced => &self.experienced,
            ChunkField::Noticed => &self.noticed,
            ChunkField::Learned => &self.learned,
            ChunkField::Story => &self.story,
            ChunkField::Becoming => &self.becoming,
            ChunkField::Remember => &self.remember,
        }
    }

    /// Octets of text.
    pub fn bytes(&self) -> usize {
        self.each().iter().map(|(_, text)| text.len()).sum()
    }

    fn is_empty(&self) -> bool {
        self.each().iter().all(|(_, text)| text.trim().is_empty())
    }
}

/// A handoff as a client writes it; one of its texts has to say something, and each has 64 KiB at most.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = says_something)]
pub struct HandoffDraft {
    /// The client's own id, which makes the write idempotent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<HandoffId>")]
    pub handoff_id: Option<String>,
    /// The tenant; it has to agree with the caller's.
    #[serde(default, skip_serializing)]
    #[schemars(with = "Option<TenantId>")]
    pub tenant_id: Option<String>,
    /// The project, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<crate::domain::Name>")]
    pub project_id: Option<String>,
    /// The client's name of the session.
    #[schemars(with = "crate::domain::Name")]
    pub session_id: String,
    /// With whom the session was.
    #[schemars(with = "crate::domain::Name")]
    pub with_whom: String,
    /// What happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub experienced: Option<String>,
    /// What stood out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noticed: Option<String>,
    /// What was learned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learned: Option<String>,
    /// The session as a story.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub story: Option<String>,
    /// Who the agent is becoming.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub becoming: Option<String>,
    /// What the next session must not forget.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remember: Option<String>,
    /// 0 to 1; 0.5 if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1))]
    pub significance: Option<f64>,
    /// Words to find it by.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = MAX_TAGS), inner(length(min = 1), regex(pattern = r"\S")))]
    pub tags: Option<Vec<String>>,
    /// How carefully to handle it; `none` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sensitivity: Option<Sensitivity>,
    /// Who wrote it; `agent` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// When the session ended; now, if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
}

/// A handoff ready to be stored.
#[derive(Debug, Clone)]
pub struct NewHandoff {
    /// Its id, the client's or ours.
    pub id: HandoffId,
    /// Set when the client made the id: what a repetition has to equal.
    pub fingerprint: Option<Fingerprint>,
    /// The session.
    pub session: Name,
    /// The project.
    pub project: Option<Name>,
    /// With whom.
    pub with_whom: Name,
    /// The texts.
    pub fields: Fields,
    /// 0 to 1.
    pub significance: f64,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// How carefully to handle it.
    pub sensitivity: Sensitivity,
    /// Who wrote it.
    pub origin: Origin,
    /// When.
    pub created_at: Timestamp,
    /// What is searched.
    pub chunks: Vec<NewChunk>,
    /// What was taken out.
    pub redactions: Redactions,
}

impl NewHandoff {
    /// Validates, cleans and indexes a draft.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub fn parse(draft: HandoffDraft, tenant: &TenantId, now: Timestamp) -> Result<Self, Invalid> {
        check_tenant(draft.tenant_id.as_deref(), tenant)?;
        let mut cleaner = Cleaner::default();
        let clean = clean_draft(draft, &mut cleaner)?;
        let client_id = clean
            .handoff_id
            .as_deref()
            .map(|text| HandoffId::parse("handoff_id", text))
            .transpose()?;
        let fingerprint = client_id.map(|_| Fingerprint::of_request(&clean));
        let significance = clean.significance.unwrap_or(DEFAULT_SIGNIFICANCE);
        let created_at = clean.created_at.unwrap_or(now);
        let tags = clean.tags.unwrap_or_default();
        let (session, project) = (clean.session_id, clean.project_id);
        let fields = Fields {
            experienced: said(clean.experienced),
            noticed: said(clean.noticed),
            learned: said(clean.learned),
            story: said(clean.story),
            becoming: said(clean.becoming),
            remember: said(clean.remember),
        };
        check(&fields, significance, created_at, now)?;
        Ok(Self {
            id: client_id.unwrap_or_else(|| HandoffId::generate(now)),
            fingerprint,
            session: Name::parse("session_id", &session)?,
            project: Name::parse_opt("project_id", project.as_deref())?,
            with_whom: Name::parse("with_whom", &clean.with_whom)?,
            chunks: chunks_of(&fields, created_at, &tags),
            fields,
            significance,
            tags,
            sensitivity: clean.sensitivity.unwrap_or(Sensitivity::None),
            origin: clean.origin.unwrap_or(Origin::Agent),
            created_at,
            redactions: cleaner.into_redactions(),
        })
    }
}

/// A text of white space says nothing.
fn said(text: Option<String>) -> String {
    text.filter(|text| !text.trim().is_empty())
        .unwrap_or_default()
}

fn clean_draft(draft: HandoffDraft, cleaner: &mut Cleaner) -> Result<HandoffDraft, Invalid> {
    Ok(HandoffDraft {
        session_id: cleaner.text(&draft.session_id),
        project_id: cleaner.text_opt(draft.project_id.as_deref()),
        with_whom: cleaner.text(&draft.with_whom),
        experienced: cleaner.text_opt(draft.experienced.as_deref()),
        noticed: cleaner.text_opt(draft.noticed.as_deref()),
        learned: cleaner.text_opt(draft.learned.as_deref()),
        story: cleaner.text_opt(draft.story.as_deref()),
        becoming: cleaner.text_opt(draft.becoming.as_deref()),
        remember: cleaner.text_opt(draft.remember.as_deref()),
        tags: draft.tags.map(|tags| cleaner.tags(&tags)).transpose()?,
        ..draft
    })
}

/// Refuses what no handoff may be.
pub(in crate::domain) fn check(
    fields: &Fields,
    significance: f64,
    created_at: Timestamp,
    now: Timestamp,
) -> Result<(), Invalid> {
    if !(0.0..=1.0).contains(&significance) {
        return Err(Invalid::new("significance", "is not between 0 and 1"));
    }
    if created_at > now.plus_millis(MAX_AHEAD_MS) {
        return Err(Invalid::new(
            "created_at",
            "is more than a day ahead of the server's clock",
        ));
    }
    if fields.is_empty() {
        return Err(Invalid::new(
            "experienced",
            "is empty, and so are noticed, learned, story, becoming and remember; one of them has to say something",
        ));
    }
    for (field, text) in fields.each() {
        if text.len() > MAX_FIELD_BYTES {
            return Err(Invalid::new(field.as_str(), "is longer than 64 KiB"));
        }
    }
    Ok(())
}

/// The chunks of a handoff with these texts, time and tags.
pub fn chunks_of(fields: &Fields, created_at: Timestamp, tags: &[String]) -> Vec<NewChunk> {
    fields
        .each()
        .into_iter()
        .filter(|(_, text)| !text.trim().is_empty())
        .flat_map(|(field, text)| NewChunk::cut(field, text, created_at, tags))
        .collect()
}

/// A handoff as it is read back.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Handoff {
    /// Its id.
    pub handoff_id: HandoffId,
    /// Its tenant.
    pub tenant_id: TenantId,
    /// Its project.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project_id: Option<Name>,
    /// Its session.
    pub session_id: Name,
    /// With whom.
    pub with_whom: Name,
    /// The texts.
    #[serde(flatten)]
    pub fields: Fields,
    /// 0 to 1.
    #[schemars(range(min = 0, max = 1))]
    pub significance: f64,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// How carefully to handle it.
    pub sensitivity: Sensitivity,
    /// Who wrote it.
    pub origin: Origin,
    /// In which form a later session sees it.
    pub compression_level: CompressionLevel,
    /// A few sentences of it, once it was consolidated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// One dated line of it, once it was consolidated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quick_ref: Option<String>,
    /// When.
    pub created_at: Timestamp,
}

/// The shorter form that a handoff's level asks for; none if it is shown whole, or has none.
pub fn form_of(handoff: &Handoff) -> Option<&str> {
    let form = match handoff.compression_level {
        CompressionLevel::Full => None,
        CompressionLevel::Summary => handoff.summary.as_deref(),
        CompressionLevel::QuickRef | CompressionLevel::Integrated => handoff.quick_ref.as_deref(),
    };
    form.filter(|form| !form.trim().is_empty())
}

/// Which handoffs a list shows.
#[derive(Debug, Clone, Default)]
pub struct HandoffFilter {
    /// With this person alone.
    pub with_whom: Option<Name>,
    /// Of this project, and those of none.
    pub project: Option<Name>,
    /// Of this session alone.
    pub session: Option<Name>,
}

/// One `becoming`, in its place in time.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct IdentityStatement {
    /// The handoff that says so.
    pub handoff_id: HandoffId,
    /// What it says.
    pub becoming: String,
    /// How much it mattered.
    #[schemars(range(min = 0, max = 1))]
    pub significance: f64,
    /// When.
    pub created_at: Timestamp,
}

/// The identity thread: the newest statements, oldest first, and how many there are.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct IdentityThread {
    /// The tenant.
    pub tenant_id: TenantId,
    /// How many statements there are in all.
    pub total_statements: i64,
    /// The newest of them, oldest first.
    pub identity_thread: Vec<IdentityStatement>,
}

/// Says in the description that one of the texts is there.
fn says_something(schema: &mut schemars::Schema) {
    let texts = [
        "experienced",
        "noticed",
        "learned",
        "story",
        "becoming",
        "remember",
    ];
    let one = |name: &&str| serde_json::json!({"required": [name], "properties": {*name: {"type": "string", "pattern": r"\S"}}});
    let any: Vec<_> = texts.iter().map(one).collect();
    schema.insert("anyOf".to_owned(), any.into());
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(extra: &serde_json::Value) -> Result<NewHandoff, Invalid> {
        let mut draft = json!({"session_id": "s", "with_whom": "Ada", "learned": "WAL first"});
        draft
            .as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        NewHandoff::parse(
            serde_json::from_value(draft).unwrap(),
            &TenantId::default_tenant(),
            Timestamp::from_millis(1_772_000_000_000),
        )
    }

    #[test]
    fn one_text_is_enough_and_makes_one_chunk() {
        let handoff = parse(&json!({})).unwrap();
        assert_eq!(handoff.chunks.len(), 1);
        assert_eq!(handoff.chunks[0].field, ChunkField::Learned);
        assert_eq!(
            handoff.significance.to_bits(),
            DEFAULT_SIGNIFICANCE.to_bits()
        );
    }

    #[test]
    fn refuses_what_is_out_of_bounds() {
        for (field, extra) in [
            ("experienced", json!({"learned": "  "})),
            ("significance", json!({"significance": 1.1})),
            ("significance", json!({"significance": -0.1})),
            ("story", json!({"story": "x".repeat(MAX_FIELD_BYTES + 1)})),
            ("with_whom", json!({"with_whom": ""})),
            ("created_at", json!({"created_at": "2030-01-01T00:00:00Z"})),
        ] {
            assert_eq!(parse(&extra).unwrap_err().field, field);
        }
    }
}
