//! Events: what happened, append-only.
//!
//! An [`EventDraft`] is the event as a client writes it; [`NewEvent`] is what the store takes: validated, cleaned,
//! split and cut into searchable chunks; [`Event`] is what is read back.
//!
//! **Invariant:** the chunks of an event follow from its stored row alone ([`chunks_of`]), so that forgetting it can
//! take the very same terms out of the index.

use std::fmt;
use std::marker::PhantomData;

use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::domain::content::{self, Cleaner, Content, Fingerprint, NewArtifact, Redactions};
use crate::domain::recall::Voice;
use crate::domain::{
    ActorType, ArtifactId, ArtifactKind, Channel, ChunkField, ChunkId, EventId, EventKind, Invalid,
    Name, NewChunk, Sensitivity, TenantId, Timestamp,
};

/// Who or what made an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Actor {
    /// A person, an agent or a tool.
    #[serde(rename = "type")]
    pub actor_type: ActorType,
    /// Its name.
    #[schemars(with = "crate::domain::Name")]
    pub id: String,
}

/// An event as a client writes it; where its texts exceed 64 KiB, the whole is kept beside it as an artifact.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EventDraft {
    /// The client's own id, which makes the write idempotent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<EventId>")]
    pub event_id: Option<String>,
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
    /// When it happened; now, if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ts: Option<Timestamp>,
    /// Where it was said.
    pub channel: Channel,
    /// Who made it.
    #[serde(deserialize_with = "object")]
    pub actor: Actor,
    /// What kind of thing it is.
    pub kind: EventKind,
    /// How carefully to handle it; `none` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sensitivity: Option<Sensitivity>,
    /// Words to find it by.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = content::MAX_TAGS), inner(length(min = 1), regex(pattern = r"\S")))]
    pub tags: Option<Vec<String>>,
    /// What happened, as the client likes it.
    pub content: Content,
    /// Ids, paths or addresses it refers to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = content::MAX_REFS), inner(length(min = 1), regex(pattern = r"\S")))]
    pub refs: Option<Vec<String>>,
}

/// Reads a value from an object alone; a derived struct would also take an array of its fields.
fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    struct ObjectOnly<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectOnly<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
            T::deserialize(MapAccessDeserializer::new(map))
        }
    }

    deserializer.deserialize_map(ObjectOnly(PhantomData))
}

/// An event ready to be stored.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// Its id, the client's or ours.
    pub id: EventId,
    /// Set when the client made the id: what a repetition has to equal.
    pub fingerprint: Option<Fingerprint>,
    /// The session.
    pub session: Name,
    /// The project.
    pub project: Option<Name>,
    /// When it happened.
    pub ts: Timestamp,
    /// Where it was said.
    pub channel: Channel,
    /// What made it.
    pub actor_type: ActorType,
    /// Its maker's name.
    pub actor: Name,
    /// What kind of thing it is.
    pub kind: EventKind,
    /// How carefully to handle it.
    pub sensitivity: Sensitivity,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// Ids, paths or addresses.
    pub refs: Vec<String>,
    /// The content as JSON, cut.
    pub content: String,
    /// The whole text, when it was cut.
    pub artifact: Option<NewArtifact>,
    /// What is searched.
    pub chunks: Vec<NewChunk>,
    /// What was taken out.
    pub redactions: Redactions,
}

/// What the parsing of a draft needs to know.
#[derive(Debug, Clone, Copy)]
pub struct Intake {
    /// Now.
    pub now: Timestamp,
    /// Largest artifact, in bytes.
    pub max_artifact_bytes: usize,
}

impl NewEvent {
    /// Validates, cleans, splits and indexes a draft.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub fn parse(draft: EventDraft, tenant: &TenantId, intake: Intake) -> Result<Self, Invalid> {
        check_tenant(draft.tenant_id.as_deref(), tenant)?;
        let mut cleaner = Cleaner::default();
        let clean = clean_draft(draft, &mut cleaner)?;
        let client_id = clean
            .event_id
            .as_deref()
            .map(|text| EventId::parse("event_id", text))
            .transpose()?;
        let fingerprint = client_id.map(|_| Fingerprint::of_request(&clean));
        let ts = clean.ts.unwrap_or(intake.now);
        let tags = clean.tags.unwrap_or_default();
        let kind = match clean.kind {
            EventKind::ToolResult => ArtifactKind::ToolOutput,
            EventKind::Message
            | EventKind::ToolCall
            | EventKind::Decision
            | EventKind::TaskUpdate
            | EventKind::Artifact => ArtifactKind::Blob,
        };
        let (content, artifact) =
            content::split(clean.content, kind, intake.max_artifact_bytes, intake.now)?;
        let json = serde_json::Value::Object(content.clone()).to_string();
        if json.len() > content::MAX_CONTENT_BYTES {
            return Err(Invalid::new(
                "content",
                "holds more structure than 256 KiB; put it into one text",
            ));
        }
        Ok(Self {
            id: client_id.unwrap_or_else(|| EventId::generate(intake.now)),
            fingerprint,
            session: Name::parse("session_id", &clean.session_id)?,
            project: Name::parse_opt("project_id", clean.project_id.as_deref())?,
            ts,
            channel: clean.channel,
            actor_type: clean.actor.actor_type,
            actor: Name::parse("actor.id", &clean.actor.id)?,
            kind: clean.kind,
            sensitivity: clean.sensitivity.unwrap_or(Sensitivity::None),
            chunks: chunks_of(&content, ts, &tags, Some((&clean.actor, clean.kind))),
            tags,
            refs: clean.refs.unwrap_or_default(),
            content: json,
            artifact,
            redactions: cleaner.into_redactions(),
        })
    }

    /// Octets of text this event adds to the store.
    pub fn text_bytes(&self) -> i64 {
        let artifact = self
            .artifact
            .as_ref()
            .map_or(0, |artifact| artifact.body.len());
        i64::try_from(self.content.len() + artifact).unwrap_or(i64::MAX)
    }
}

/// Refuses a tenant in a body that is not the one the call acts in.
///
/// # Errors
/// They differ.
pub fn check_tenant(named: Option<&str>, tenant: &TenantId) -> Result<(), Invalid> {
    match named {
        Some(named) if named != tenant.as_str() => Err(Invalid::new(
            "tenant_id",
            "differs from the tenant of the request",
        )),
        Some(_) | None => Ok(()),
    }
}

fn clean_draft(draft: EventDraft, cleaner: &mut Cleaner) -> Result<EventDraft, Invalid> {
    Ok(EventDraft {
        session_id: cleaner.text(&draft.session_id),
        project_id: cleaner.text_opt(draft.project_id.as_deref()),
        actor: Actor {
            actor_type: draft.actor.actor_type,
            id: cleaner.text(&draft.actor.id),
        },
        tags: draft.tags.map(|tags| cleaner.tags(&tags)).transpose()?,
        refs: draft.refs.map(|refs| cleaner.refs(&refs)).transpose()?,
        content: cleaner.content(draft.content),
        ..draft
    })
}

/// The chunks of an event with this content, time and tags.
pub fn chunks_of(
    content: &Content,
    ts: Timestamp,
    tags: &[String],
    said: Option<(&Actor, EventKind)>,
) -> Vec<NewChunk> {
    let voice = said.map(|(actor, kind)| Voice {
        actor: actor.actor_type,
        name: &actor.id,
        decides: kind == EventKind::Decision,
    });
    NewChunk::spoken(
        ChunkField::Content,
        &content::searchable(content),
        ts,
        tags,
        voice,
    )
}

/// An event as it is read back.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Event {
    /// Its id.
    pub event_id: EventId,
    /// Its tenant.
    pub tenant_id: TenantId,
    /// Its project.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project_id: Option<Name>,
    /// Its session.
    pub session_id: Name,
    /// When it happened.
    pub ts: Timestamp,
    /// Where it was said.
    pub channel: Channel,
    /// Who made it.
    pub actor: Actor,
    /// What kind of thing it is.
    pub kind: EventKind,
    /// How carefully to handle it.
    pub sensitivity: Sensitivity,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// What happened.
    #[schemars(with = "Content")]
    pub content: Box<RawValue>,
    /// Ids, paths or addresses.
    pub refs: Vec<String>,
    /// Whether the content was cut; the whole is the artifact.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
    /// Where the whole text is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_id: Option<ArtifactId>,
}

/// What the writer of an event gets back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EventReceipt {
    /// The event.
    pub event_id: EventId,
    /// The chunks it is found by, in order.
    pub chunk_ids: Vec<ChunkId>,
    /// Where its whole text is, if it was cut.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_id: Option<ArtifactId>,
}

/// Which events a list shows.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    /// Of this session alone.
    pub session: Option<Name>,
    /// Of this kind alone.
    pub kind: Option<EventKind>,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Before (exclusive).
    pub until: Option<Timestamp>,
}

/// A chunk with its text.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Chunk {
    /// Its id.
    pub chunk_id: ChunkId,
    /// The entity it is part of.
    pub entity_id: String,
    /// The entity's type.
    #[serde(rename = "type")]
    pub entity_type: crate::domain::EntityType,
    /// Which part of it.
    pub field: ChunkField,
    /// Its place among the entity's chunks, from 0.
    pub ordinal: u32,
    /// When the entity happened.
    pub ts: Timestamp,
    /// The passage.
    pub text: String,
}

/// A long text kept beside its event.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Artifact {
    /// Its id.
    pub artifact_id: ArtifactId,
    /// Its tenant.
    pub tenant_id: TenantId,
    /// The event it belongs to.
    pub event_id: EventId,
    /// When that happened.
    pub ts: Timestamp,
    /// What it is.
    pub kind: ArtifactKind,
    /// Its length in bytes.
    pub bytes: i64,
    /// Which part of the event's content it is.
    #[schemars(with = "serde_json::Value")]
    pub meta: Box<RawValue>,
    /// The whole text.
    pub text: String,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn intake() -> Intake {
        Intake {
            now: Timestamp::from_millis(1_772_000_000_000),
            max_artifact_bytes: 1 << 24,
        }
    }

    fn draft(extra: &serde_json::Value) -> EventDraft {
        let mut draft = json!({"session_id": "s", "channel": "private", "actor": {"type": "human", "id": "u"},
            "kind": "message", "content": {"text": "hello"}});
        draft
            .as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        serde_json::from_value(draft).unwrap()
    }

    fn parse(extra: &serde_json::Value) -> Result<NewEvent, Invalid> {
        NewEvent::parse(draft(extra), &TenantId::default_tenant(), intake())
    }

    #[test]
    fn fills_in_what_the_client_left_out() {
        let event = parse(&json!({})).unwrap();
        assert_eq!(event.ts, intake().now);
        assert_eq!(event.sensitivity, Sensitivity::None);
        assert!(event.fingerprint.is_none());
        assert_eq!(event.chunks.len(), 1);
    }

    #[test]
    fn a_server_default_does_not_change_the_fingerprint() {
        let id = json!({"event_id": format!("evt_{}", "0".repeat(32))});
        let one = parse(&id).unwrap();
        let later = Intake {
            now: Timestamp::from_millis(5),
            ..intake()
        };
        let two = NewEvent::parse(draft(&id), &TenantId::default_tenant(), later).unwrap();
        assert_eq!(one.fingerprint, two.fingerprint);
    }

    #[test]
    fn refuses_what_is_out_of_bounds() {
        for (field, extra) in [
            ("session_id", json!({"session_id": ""})),
            ("event_id", json!({"event_id": "evt_1"})),
            ("tenant_id", json!({"tenant_id": "other"})),
            ("tags", json!({"tags": vec!["t"; content::MAX_TAGS + 1]})),
            ("tags[0]", json!({"tags": [""]})),
            (
                "actor.id",
                json!({"actor": {"type": "human", "id": "\n\n"}}),
            ),
            ("content", json!({"content": {"n": vec![1; 200_000]}})),
        ] {
            assert_eq!(parse(&extra).unwrap_err().field, field);
        }
    }
}
