//! Knowledge notes: facts and lessons kept on their own, which may be pinned.
//!
//! **Invariant:** a note is the one entity whose text its writer may change; the index follows in the same transaction.

use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

use crate::domain::content::{Cleaner, Fingerprint, MAX_TAGS, Redactions};
use crate::domain::event::check_tenant;
use crate::domain::{ChunkField, HandoffId, Invalid, Name, NewChunk, NoteId, TenantId, Timestamp};

/// Longest title, in bytes.
pub const MAX_TITLE_BYTES: usize = 512;
/// Longest content, in bytes; as an event's text.
pub const MAX_NOTE_BYTES: usize = 64 * 1024;
/// Most handoffs that a note names as its sources.
pub const MAX_SOURCES: usize = 64;
/// The confidence of a note that names none.
pub const DEFAULT_CONFIDENCE: f64 = 0.7;

/// A note as a client writes it: a title of 512 bytes at most, a content of 64 KiB.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = also_as_text)]
pub struct NoteDraft {
    /// The client's own id, which makes the write idempotent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<NoteId>")]
    pub note_id: Option<String>,
    /// The tenant; it has to agree with the caller's.
    #[serde(default, skip_serializing)]
    #[schemars(with = "Option<TenantId>")]
    pub tenant_id: Option<String>,
    /// The project, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<crate::domain::Name>")]
    pub project_id: Option<String>,
    /// A heading.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What is known.
    #[serde(alias = "text")]
    #[schemars(length(min = 1), regex(pattern = r"\S"))]
    pub content: String,
    /// With whom it was learned.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<crate::domain::Name>")]
    pub with_whom: Option<String>,
    /// The handoffs it comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<HandoffId>>", length(max = MAX_SOURCES))]
    pub source_handoffs: Option<Vec<String>>,
    /// Words to find it by.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = MAX_TAGS), inner(length(min = 1), regex(pattern = r"\S")))]
    pub tags: Option<Vec<String>>,
    /// How sure it is, 0 to 1; 0.7 if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1))]
    pub confidence: Option<f64>,
    /// Whether it is always shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pinned: Option<bool>,
}

/// What a client wants changed: what is absent stays, `null` takes a title or person away.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = also_as_text)]
pub struct NotePatch {
    /// The tenant; it has to agree with the caller's.
    #[serde(default)]
    #[schemars(with = "Option<TenantId>")]
    pub tenant_id: Option<String>,
    /// A heading.
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "Option<String>")]
    pub title: Option<Option<String>>,
    /// What is known.
    #[serde(default, alias = "text", deserialize_with = "not_null")]
    #[schemars(with = "String", length(min = 1), regex(pattern = r"\S"))]
    pub content: Option<String>,
    /// With whom it was learned.
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "Option<crate::domain::Name>")]
    pub with_whom: Option<Option<String>>,
    /// The handoffs it comes from.
    #[serde(default, deserialize_with = "not_null")]
    #[schemars(with = "Vec<HandoffId>", length(max = MAX_SOURCES))]
    pub source_handoffs: Option<Vec<String>>,
    /// Words to find it by.
    #[serde(default, deserialize_with = "not_null")]
    #[schemars(with = "Vec<String>", length(max = MAX_TAGS))]
    pub tags: Option<Vec<String>>,
    /// How sure it is.
    #[serde(default, deserialize_with = "not_null")]
    #[schemars(with = "f64", range(min = 0, max = 1))]
    pub confidence: Option<f64>,
    /// Whether it is always shown.
    #[serde(default, deserialize_with = "not_null")]
    #[schemars(with = "bool")]
    pub pinned: Option<bool>,
}

/// Says that `content` may also be called `text`, but not both.
fn also_as_text(schema: &mut Schema) {
    let Some(Value::Object(properties)) = schema.get_mut("properties") else {
        return;
    };
    let Some(text) = properties.get("content").cloned() else {
        return;
    };
    properties.insert("text".to_owned(), text);
    let required = schema.get_mut("required").and_then(Value::as_array_mut);
    let needed = required.is_some_and(|names| {
        let before = names.len();
        names.retain(|name| name != "content");
        names.len() < before
    });
    if needed {
        let either = [
            json!({"required": ["content"]}),
            json!({"required": ["text"]}),
        ];
        schema.insert("oneOf".to_owned(), either.into());
    } else {
        schema.insert("not".to_owned(), json!({"required": ["content", "text"]}));
    }
}

/// Takes a value and refuses `null`, which would look like taking away what cannot be.
fn not_null<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Tells `null` from absent.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::<String>::deserialize(deserializer).map(Some)
}

/// What a note says.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct NoteBody {
    /// A heading.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What is known.
    pub content: String,
    /// With whom it was learned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub with_whom: Option<Name>,
    /// The handoffs it comes from.
    pub source_handoffs: Vec<HandoffId>,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// How sure it is, 0 to 1.
    #[schemars(range(min = 0, max = 1))]
    pub confidence: f64,
    /// Whether it is always shown.
    pub pinned: bool,
}

impl NoteBody {
    /// The text it is searched by.
    pub fn searchable(&self) -> String {
        match &self.title {
            Some(title) => format!("{title}\n{}", self.content),
            None => self.content.clone(),
        }
    }

    /// Octets of text.
    pub fn bytes(&self) -> usize {
        self.content.len() + self.title.as_ref().map_or(0, String::len)
    }

    pub(in crate::domain) fn check(&self) -> Result<(), Invalid> {
        if self.content.trim().is_empty() || self.content.len() > MAX_NOTE_BYTES {
            return Err(Invalid::new("content", "is not 1 byte to 64 KiB of text"));
        }
        if self
            .title
            .as_ref()
            .is_some_and(|title| title.len() > MAX_TITLE_BYTES)
        {
            return Err(Invalid::new("title", "is longer than 512 bytes"));
        }
        if !(0.0..=1.0).contains(&self.confidence) {
            return Err(Invalid::new("confidence", "is not between 0 and 1"));
        }
        Ok(())
    }

    /// This body with a patch applied, cleaned and validated, and what was taken out of the patch.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub fn patched(&self, patch: &NotePatch) -> Result<(Self, Redactions), Invalid> {
        let mut cleaner = Cleaner::default();
        let title = match &patch.title {
            Some(title) => title_of(&mut cleaner, title.as_deref()),
            None => self.title.clone(),
        };
        let with_whom = match &patch.with_whom {
            Some(name) => {
                Name::parse_opt("with_whom", cleaner.text_opt(name.as_deref()).as_deref())?
            }
            None => self.with_whom.clone(),
        };
        let content = patch
            .content
            .as_deref()
            .map_or_else(|| self.content.clone(), |text| cleaner.text(text.trim()));
        let tags = patch
            .tags
            .as_ref()
            .map_or(Ok(self.tags.clone()), |tags| cleaner.tags(tags))?;
        let sources = patch.source_handoffs.as_deref();
        let body = Self {
            title,
            content,
            with_whom,
            source_handoffs: sources
                .map_or_else(|| Ok(self.source_handoffs.clone()), parse_sources)?,
            tags,
            confidence: patch.confidence.unwrap_or(self.confidence),
            pinned: patch.pinned.unwrap_or(self.pinned),
        };
        body.check()?;
        Ok((body, cleaner.into_redactions()))
    }
}

/// A note ready to be stored.
#[derive(Debug, Clone)]
pub struct NewNote {
    /// Its id, the client's or ours.
    pub id: NoteId,
    /// Set when the client made the id: what a repetition has to equal.
    pub fingerprint: Option<Fingerprint>,
    /// The project.
    pub project: Option<Name>,
    /// What it says.
    pub body: NoteBody,
    /// When it was written.
    pub created_at: Timestamp,
    /// What is searched.
    pub chunks: Vec<NewChunk>,
    /// What was taken out.
    pub redactions: Redactions,
}

impl NewNote {
    /// Validates, cleans and indexes a draft.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub fn parse(draft: NoteDraft, tenant: &TenantId, now: Timestamp) -> Result<Self, Invalid> {
        check_tenant(draft.tenant_id.as_deref(), tenant)?;
        let mut cleaner = Cleaner::default();
        let clean = NoteDraft {
            project_id: cleaner.text_opt(draft.project_id.as_deref()),
            title: title_of(&mut cleaner, draft.title.as_deref()),
            content: cleaner.text(draft.content.trim()),
            with_whom: cleaner.text_opt(draft.with_whom.as_deref()),
            tags: draft.tags.map(|tags| cleaner.tags(&tags)).transpose()?,
            ..draft
        };
        let client_id = clean
            .note_id
            .as_deref()
            .map(|text| NoteId::parse("note_id", text))
            .transpose()?;
        let fingerprint = client_id.map(|_| Fingerprint::of_request(&clean));
        let body = NoteBody {
            title: clean.title,
            content: clean.content,
            with_whom: Name::parse_opt("with_whom", clean.with_whom.as_deref())?,
            source_handoffs: parse_sources(clean.source_handoffs.as_deref().unwrap_or_default())?,
            tags: clean.tags.unwrap_or_default(),
            confidence: clean.confidence.unwrap_or(DEFAULT_CONFIDENCE),
            pinned: clean.pinned.unwrap_or(false),
        };
        body.check()?;
        Ok(Self {
            id: client_id.unwrap_or_else(|| NoteId::generate(now)),
            fingerprint,
            project: Name::parse_opt("project_id", clean.project_id.as_deref())?,
            chunks: chunks_of(&body, now),
            body,
            created_at: now,
            redactions: cleaner.into_redactions(),
        })
    }
}

/// A heading, unless nothing of it may be kept.
fn title_of(cleaner: &mut Cleaner, title: Option<&str>) -> Option<String> {
    let title = cleaner.text_opt(title)?;
    let title = title.trim();
    (!title.is_empty()).then(|| title.to_owned())
}

fn parse_sources(ids: &[String]) -> Result<Vec<HandoffId>, Invalid> {
    if ids.len() > MAX_SOURCES {
        return Err(Invalid::new(
            "source_handoffs",
            format!("holds more than {MAX_SOURCES} items"),
        ));
    }
    let parse =
        |(index, id): (usize, &String)| HandoffId::parse(&format!("source_handoffs[{index}]"), id);
    ids.iter().enumerate().map(parse).collect()
}

/// The chunks of a note that says this and was written then.
pub fn chunks_of(body: &NoteBody, created_at: Timestamp) -> Vec<NewChunk> {
    NewChunk::cut(ChunkField::Note, &body.searchable(), created_at, &body.tags)
}

/// A note as it is read back.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Note {
    /// Its id.
    pub note_id: NoteId,
    /// Its tenant.
    pub tenant_id: TenantId,
    /// Its project.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project_id: Option<Name>,
    /// What it says.
    #[serde(flatten)]
    pub body: NoteBody,
    /// When it was written.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// How many other notes say the same and are shown by this one.
    #[serde(skip_serializing_if = "is_zero")]
    pub duplicates: u32,
    /// The note that says the same and is shown for this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duplicate_of: Option<NoteId>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands a reference in"
)]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Which notes a list shows.
#[derive(Debug, Clone, Default)]
pub struct NoteFilter {
    /// Only pinned ones, or only those that are not.
    pub pinned: Option<bool>,
    /// Of this project, and those of none.
    pub project: Option<Name>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(extra: &Value) -> Result<NewNote, Invalid> {
        let mut draft = json!({"content": "the port is 3456"});
        draft
            .as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        let draft = serde_json::from_value(draft).unwrap();
        NewNote::parse(
            draft,
            &TenantId::default_tenant(),
            Timestamp::from_millis(0),
        )
    }

    #[test]
    fn text_is_another_name_of_content() {
        let draft: NoteDraft = serde_json::from_value(json!({"text": "x"})).unwrap();
        assert_eq!(draft.content, "x");
        assert!(serde_json::from_value::<NoteDraft>(json!({"text": "x", "content": "y"})).is_err());
    }

    #[test]
    fn refuses_what_is_out_of_bounds() {
        for (field, extra) in [
            ("content", json!({"content": " "})),
            ("confidence", json!({"confidence": 2})),
            ("title", json!({"title": "x".repeat(MAX_TITLE_BYTES + 1)})),
            (
                "source_handoffs[1]",
                json!({"source_handoffs": [format!("sh_{}", "0".repeat(32)), "sh_1"]}),
            ),
        ] {
            assert_eq!(parse(&extra).unwrap_err().field, field);
        }
    }

    #[test]
    fn a_patch_changes_what_it_names_alone() {
        let body = parse(&json!({"title": "Port", "with_whom": "Ada", "tags": ["net"]}))
            .unwrap()
            .body;
        let patch: NotePatch =
            serde_json::from_value(json!({"title": null, "pinned": true})).unwrap();
        let (patched, _) = body.patched(&patch).unwrap();
        assert_eq!(
            patched,
            NoteBody {
                title: None,
                pinned: true,
                ..body.clone()
            }
        );
        let bad: NotePatch = serde_json::from_value(json!({"content": ""})).unwrap();
        assert_eq!(body.patched(&bad).unwrap_err().field, "content");
    }
}
