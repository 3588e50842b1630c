//! The wake-up: what the next session reads first.
//!
//! It comes in layers. *metadata* says how many sessions there were, since when, with whom and about what;
//! *reflection* what was concluded from them; *recent* the last handoffs in full; *progressive* the older ones, each
//! in the form its compression level gives. The arrays together stay under [`MAX_ARRAYS_BYTES`]; `context` is the
//! text to put in the prompt and stays under the asked number of tokens.
//!
//! **Invariant:** assembling a wake-up reads nothing: the same facts give the same wake-up.

use serde::Serialize;

use crate::domain::consolidate::compression::integrated;
use crate::domain::consolidate::reflection::Month;
use crate::domain::decision::Decision;
use crate::domain::handoff::{Fields, Handoff, IdentityStatement, form_of};
use crate::domain::note::Note;
use crate::domain::principle::Principle;
use crate::domain::reflection::Reflection;
use crate::domain::{CompressionLevel, Timestamp, token};

mod answer;
mod query;
mod text;

pub use answer::{
    Brief, Conclusions, DecisionBrief, Layers, Metadata, NoteBrief, PrincipleBrief, Recent,
    ReflectionBrief, WakeUp,
};
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
/// Most handoffs in *progressive*. While all are young they are the newest; once some are old, each age has its part, so
/// that a year of daily sessions is more than its last week.
pub const MAX_PROGRESSIVE: u32 = 20;
/// The part of those that are whole still, of summaries, and of dated lines.
pub const PROGRESSIVE_PARTS: [(CompressionLevel, u32); 3] = [
    (CompressionLevel::Full, 7),
    (CompressionLevel::Summary, 5),
    (CompressionLevel::QuickRef, 5),
];
/// And of months that are integrated.
pub const PROGRESSIVE_MONTHS: u32 = 3;
/// Most decisions, and most notes.
pub const MAX_STANDING: u32 = 10;
/// Most principles; a few lines that always hold.
pub const MAX_PRINCIPLES: u32 = 10;
/// Most reflections; the older ones are there by recall.
pub const MAX_REFLECTIONS: u32 = 3;
/// Shares of the array budget, in this order; *recent* gets what is left of its share, *progressive* what is left.
const IDENTITY_BYTES: usize = 1_536;
const DECISION_BYTES: usize = 1_280;
const NOTE_BYTES: usize = 1_280;
const PRINCIPLE_BYTES: usize = 640;
const REFLECTION_BYTES: usize = 640;
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
    /// Of months whose handoffs are integrated, newest first: the newest of them, and how many there are.
    pub months: Vec<(Handoff, u32)>,
    /// The newest identity statements, newest first.
    pub identity: Vec<IdentityStatement>,
    /// Active decisions: the standing ones (policy, global) first, then the newest.
    pub decisions: Vec<Decision>,
    /// Notes: pinned ones first, then the newest.
    pub notes: Vec<Note>,
    /// Principles, last found again first.
    pub principles: Vec<Principle>,
    /// Reflections, newest first.
    pub reflections: Vec<Reflection>,
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
    let reflection = query
        .has(Layer::Reflection)
        .then(|| conclusions_of(facts, &mut room));
    let recent = query.has(Layer::Recent).then(|| {
        let share = RECENT_BYTES.min(room);
        let part = share / facts.recent.len().max(1);
        let handoffs = facts.recent.iter().map(|handoff| recent_of(handoff, part));
        fill(handoffs, share, &mut room)
    });
    let progressive = query.has(Layer::Progressive).then(|| {
        fill(
            facts
                .older
                .iter()
                .map(brief_of)
                .chain(facts.months.iter().map(month_brief)),
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
            reflection,
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

fn conclusions_of(facts: &WakeUpFacts, room: &mut usize) -> Conclusions {
    let principles = facts.principles.iter().map(|principle| PrincipleBrief {
        principle_id: principle.principle_id,
        text: clip(&principle.body.text, BRIEF_BYTES),
        count: principle.body.count,
        updated_at: principle.updated_at,
    });
    let reflections = facts.reflections.iter().map(|reflection| ReflectionBrief {
        reflection_id: reflection.reflection_id,
        period_start: reflection.body.period_start,
        period_end: reflection.body.period_end,
        session_count: reflection.body.session_count,
        summary: clip(&reflection.body.summary, BRIEF_BYTES),
    });
    Conclusions {
        principles: fill(principles, PRINCIPLE_BYTES, room),
        reflections: fill(reflections, REFLECTION_BYTES, room),
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
        count: note.duplicates + 1,
    }
}

fn clip_statement(statement: &IdentityStatement) -> IdentityStatement {
    IdentityStatement {
        becoming: clip(&statement.becoming, 600),
        ..statement.clone()
    }
}

/// A handoff in `part` octets. JSON escapes and the fixed members take up to a quarter; six fields share the rest.
fn recent_of(handoff: &Handoff, part: usize) -> Recent {
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

/// The line that stands for the integrated handoffs of a month.
fn month_text((newest, count): &(Handoff, u32)) -> String {
    integrated(Month::of(newest.created_at), *count)
}

fn month_brief(month: &(Handoff, u32)) -> Brief {
    Brief {
        handoff_id: month.0.handoff_id,
        created_at: month.0.created_at,
        form: CompressionLevel::Integrated,
        text: month_text(month),
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
    form_of(handoff).map(str::to_owned).unwrap_or_else(|| {
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
mod tests;
