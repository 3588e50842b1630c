//! The wake-up: what the next session reads first.
//!
//! It comes in layers. *metadata* says how many sessions there were, since when, with whom and about what;
//! *reflection* what was concluded from them; *recent* the last handoffs in full; *progressive* the older ones, each
//! in the form its compression level gives. The arrays together stay under [`MAX_ARRAYS_BYTES`]; `context` is the
//! text to put in the prompt and stays under the asked number of tokens.
//!
//! **Invariant:** assembling a wake-up reads nothing: the same facts give the same wake-up.

use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::decision::Decision;
use crate::domain::handoff::{Fields, Handoff, IdentityStatement};
use crate::domain::note::Note;
use crate::domain::{
    CompressionLevel, DecisionId, DecisionScope, HandoffId, Name, NoteId, Timestamp, token,
};

mod query;
mod text;

pub use query::{Layer, WakeUpQuery};

/// Tokens of `context` when none are asked for.
pub const DEFAULT_MAX_TOKENS: u32 = 2_000;
/// Most tokens that can be asked for.
pub const MAX_MAX_TOKENS: u32 = 100_000;
/// All arrays of the answer together, as JSON. From the contract.
pub const MAX_ARRAYS_BYTES: usize = 8 * 1024;
/// Most identity statements. From the contract.
pub const MAX_IDENTITY: usize = 10;
/// Handoffs in *recent* when no count is asked for.
pub const DEFAULT_RECENT: u32 = 3;
/// Most handoffs in *recent*.
pub const MAX_RECENT: u32 = 20;
/// Most handoffs in *progressive*.
pub const MAX_PROGRESSIVE: u32 = 20;
/// Most decisions, and most notes.
pub const MAX_STANDING: u32 = 10;
/// Shares of the array budget, in this order; *progressive* gets what is left.
const IDENTITY_BYTES: usize = 1_536;
const DECISION_BYTES: usize = 1_280;
const NOTE_BYTES: usize = 1_280;
const RECENT_BYTES: usize = 3_072;
/// How much of an old handoff *progressive* shows when it has no shorter form yet, in bytes (about 60 tokens).
const BRIEF_BYTES: usize = 240;

/// What a wake-up is made of, as the store keeps it.
#[derive(Debug, Clone, Default)]
pub struct WakeUpFacts {
    /// Totals, kept when writing.
    pub summary: Summary,
    /// The people of the last sessions, newest first.
    pub people: Vec<String>,
    /// The last handoffs, newest first.
    pub recent: Vec<Handoff>,
    /// Older ones, newest or most relevant first.
    pub older: Vec<Handoff>,
    /// The newest identity statements, newest first.
    pub identity: Vec<IdentityStatement>,
    /// Active decisions: the standing ones (policy, global) first, then the newest.
    pub decisions: Vec<Decision>,
    /// Notes: pinned ones first, then the newest.
    pub notes: Vec<Note>,
}

/// Totals over a tenant's, project's or person's sessions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Sessions.
    pub sessions: i64,
    /// Handoffs.
    pub handoffs: i64,
    /// The first handoff or session.
    pub first_at: Option<Timestamp>,
    /// The last one.
    pub last_at: Option<Timestamp>,
    /// The most frequent tags of handoffs, most frequent first.
    pub topics: Vec<String>,
}

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

/// The layers of a wake-up; one that was not asked for is absent.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "WakeUpLayers")]
pub struct Layers {
    /// Counts and names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
    /// Conclusions; empty until consolidation draws some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reflection: Option<Vec<serde_json::Value>>,
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
}

/// Puts a wake-up together.
pub fn assemble(query: &WakeUpQuery, facts: &WakeUpFacts) -> WakeUp {
    let mut room = MAX_ARRAYS_BYTES;
    let metadata = query
        .has(Layer::Metadata)
        .then(|| metadata_of(facts, &mut room));
    let mut identity = fill(
        facts.identity.iter().take(MAX_IDENTITY).map(clip_statement),
        IDENTITY_BYTES,
        &mut room,
    );
    identity.reverse();
    let recent_decisions = fill(
        facts.decisions.iter().map(decision_brief),
        DECISION_BYTES,
        &mut room,
    );
    let knowledge = fill(facts.notes.iter().map(note_brief), NOTE_BYTES, &mut room);
    let recent = query.has(Layer::Recent).then(|| {
        fill(
            facts
                .recent
                .iter()
                .map(|handoff| recent_of(handoff, facts.recent.len())),
            RECENT_BYTES,
            &mut room,
        )
    });
    let progressive = query.has(Layer::Progressive).then(|| {
        fill(
            facts.older.iter().map(brief_of),
            MAX_ARRAYS_BYTES,
            &mut room,
        )
    });
    let context = text::context_of(query, facts, &identity);
    WakeUp {
        last_handoff: facts.recent.first().cloned(),
        identity_thread: identity,
        recent_decisions,
        knowledge,
        layers: Layers {
            metadata,
            reflection: query.has(Layer::Reflection).then(Vec::new),
            recent,
            progressive,
        },
        first_session: facts.summary.handoffs == 0,
        estimated_tokens: token::estimate(&context),
        context,
    }
}

/// Takes items while they fit into `share` and into what is left of `room`; skips what does not.
fn fill<T: Serialize>(items: impl Iterator<Item = T>, share: usize, room: &mut usize) -> Vec<T> {
    let mut left = share.min(*room);
    let mut taken = Vec::new();
    for item in items {
        let size = serde_json::to_string(&item).map_or(usize::MAX, |json| json.len() + 1);
        if size <= left {
            left -= size;
            *room -= size;
            taken.push(item);
        }
    }
    taken
}

fn metadata_of(facts: &WakeUpFacts, room: &mut usize) -> Metadata {
    let summary = &facts.summary;
    Metadata {
        sessions: summary.sessions,
        handoffs: summary.handoffs,
        first_at: summary.first_at,
        last_at: summary.last_at,
        with_whom: fill(facts.people.iter().cloned(), 512, room),
        topics: fill(summary.topics.iter().cloned(), 512, room),
    }
}

fn decision_brief(decision: &Decision) -> DecisionBrief {
    DecisionBrief {
        decision_id: decision.decision_id,
        ts: decision.ts,
        scope: decision.scope,
        decision: clip(&decision.statement.decision, BRIEF_BYTES),
    }
}

fn note_brief(note: &Note) -> NoteBrief {
    NoteBrief {
        note_id: note.note_id,
        title: note.body.title.as_deref().map(|title| clip(title, 80)),
        content: clip(&note.body.content, BRIEF_BYTES),
        pinned: note.body.pinned,
    }
}

fn clip_statement(statement: &IdentityStatement) -> IdentityStatement {
    IdentityStatement {
        becoming: clip(&statement.becoming, 600),
        ..statement.clone()
    }
}

fn recent_of(handoff: &Handoff, count: usize) -> Recent {
    // JSON escapes and the fixed members take up to a quarter; six fields share the rest of one handoff's part.
    let part = RECENT_BYTES / count.max(1);
    let truncated = handoff.fields.bytes() > part * 3 / 4;
    let clip = |text: &str| {
        if truncated {
            clip(text, part / 12)
        } else {
            text.to_owned()
        }
    };
    let fields = &handoff.fields;
    Recent {
        handoff_id: handoff.handoff_id,
        session_id: handoff.session_id.clone(),
        with_whom: handoff.with_whom.clone(),
        created_at: handoff.created_at,
        fields: Fields {
            experienced: clip(&fields.experienced),
            noticed: clip(&fields.noticed),
            learned: clip(&fields.learned),
            story: clip(&fields.story),
            becoming: clip(&fields.becoming),
            remember: clip(&fields.remember),
        },
        truncated,
    }
}

fn brief_of(handoff: &Handoff) -> Brief {
    Brief {
        handoff_id: handoff.handoff_id,
        created_at: handoff.created_at,
        form: handoff.compression_level,
        text: brief_text(handoff),
    }
}

/// The form of a handoff that its compression level asks for; the start of its weightiest text while there is none.
fn brief_text(handoff: &Handoff) -> String {
    let form = match handoff.compression_level {
        CompressionLevel::Full => None,
        CompressionLevel::Summary => handoff.summary.clone(),
        CompressionLevel::QuickRef | CompressionLevel::Integrated => handoff.quick_ref.clone(),
    };
    form.unwrap_or_else(|| {
        let fields = &handoff.fields;
        let weighty = [
            &fields.remember,
            &fields.learned,
            &fields.story,
            &fields.experienced,
            &fields.noticed,
            &fields.becoming,
        ];
        let text = weighty.into_iter().find(|text| !text.trim().is_empty());
        clip(text.map_or("", |text| text.trim()), BRIEF_BYTES)
    })
}

/// At most `bytes` of `text`, on one line, with an ellipsis where it was cut.
fn clip(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    let cut = text
        .get(..text.floor_char_boundary(bytes))
        .unwrap_or_default();
    let cut = cut
        .rsplit_once(char::is_whitespace)
        .map_or(cut, |(head, _)| head);
    format!("{}…", cut.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Origin, Sensitivity, TenantId};

    fn handoff(day: i64, text: &str) -> Handoff {
        Handoff {
            handoff_id: HandoffId::from_bytes([1; 16]),
            tenant_id: TenantId::default_tenant(),
            project_id: None,
            session_id: Name::stored("s".to_owned()),
            with_whom: Name::stored("Ada".to_owned()),
            fields: Fields {
                learned: text.to_owned(),
                remember: text.to_owned(),
                ..Fields::default()
            },
            significance: 0.5,
            tags: vec![],
            sensitivity: Sensitivity::None,
            origin: Origin::Agent,
            compression_level: CompressionLevel::Full,
            summary: None,
            quick_ref: None,
            created_at: Timestamp::from_millis(day * crate::domain::time::DAY_MS),
        }
    }

    fn query(max_tokens: i64) -> WakeUpQuery {
        WakeUpQuery::parse(None, None, None, None, None, Some(max_tokens)).unwrap()
    }

    fn statement(text: &str) -> IdentityStatement {
        IdentityStatement {
            handoff_id: HandoffId::from_bytes([1; 16]),
            becoming: text.to_owned(),
            significance: 0.5,
            created_at: Timestamp::from_millis(0),
        }
    }

    #[test]
    fn nothing_remembered_is_an_empty_wake_up() {
        let wake_up = assemble(&query(2000), &WakeUpFacts::default());
        assert!(wake_up.first_session);
        assert_eq!(
            (wake_up.context.as_str(), wake_up.estimated_tokens),
            ("", 0)
        );
    }

    #[test]
    fn stays_under_its_bounds_whatever_is_remembered() {
        for size in [0, 10, 1_000, 60_000] {
            let text = "naïve \"quoted\" 漢字 ".repeat(size / 20);
            let facts = WakeUpFacts {
                summary: Summary {
                    sessions: 9,
                    handoffs: 9,
                    ..Summary::default()
                },
                people: vec!["Ada".repeat(100); 10],
                recent: (0..20).map(|day| handoff(day, &text)).collect(),
                older: (0..20).map(|day| handoff(day, &text)).collect(),
                identity: (0..30).map(|_| statement(&text)).collect(),
                ..WakeUpFacts::default()
            };
            for max_tokens in [1, 50, 100, 2_000] {
                let wake_up = assemble(&query(max_tokens), &facts);
                assert!(wake_up.estimated_tokens <= usize::try_from(max_tokens).unwrap());
                let value = serde_json::to_value(&wake_up).unwrap();
                let arrays = ["identity_thread", "recent_decisions", "knowledge"]
                    .map(|key| value[key].to_string().len());
                let layers = value["layers"].to_string().len();
                assert!(
                    arrays.iter().sum::<usize>() + layers <= MAX_ARRAYS_BYTES + 400,
                    "{size}"
                );
                assert!(wake_up.identity_thread.len() <= MAX_IDENTITY);
            }
        }
    }

    #[test]
    fn the_smallest_useful_budget_says_what_to_remember() {
        let facts = WakeUpFacts {
            summary: Summary {
                sessions: 1,
                handoffs: 1,
                ..Summary::default()
            },
            recent: vec![handoff(0, "the port is 3456")],
            ..WakeUpFacts::default()
        };
        assert!(
            assemble(&query(60), &facts)
                .context
                .contains("the port is 3456")
        );
    }
}
