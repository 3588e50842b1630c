//! Events out of what happened in a session.
//!
//! **Invariant:** the same line always makes the same id, and a text is redacted before it is cut.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use crate::domain::event::{Actor, EventDraft};
use crate::domain::redact::redact;
use crate::domain::transcript::{Capture, Client, Entry, What, hash};
use crate::domain::{ActorType, Channel, EventId, EventKind, Timestamp};

/// What is kept of a tool's output, in bytes: its first three quarters of that, and its last. A page of a terminal;
/// what a tool printed is at hand where it ran, and half of all transcripts is it.
pub const OUTPUT_BYTES: usize = 4 * 1024;
/// What is kept of each text that a tool is given, in bytes: commands and paths whole, not the files it writes.
const INPUT_BYTES: usize = 512;
/// Items of a list that a tool is given.
const INPUT_ITEMS: usize = 16;
/// How deep the input of a tool is kept.
const INPUT_DEPTH: usize = 4;

/// Whose session it is, and where it belongs.
#[derive(Debug, Clone, Copy)]
pub struct Way<'a> {
    /// Who keeps the file.
    pub client: Client,
    /// The session.
    pub session: &'a str,
    /// The project.
    pub project: Option<&'a str>,
    /// With whom.
    pub with_whom: &'a str,
}

/// The tools that calls were made to, so that a result says whose it is.
#[derive(Debug, Default)]
pub struct Calls(HashMap<String, String>);

/// Calls that are remembered until their results come.
const MOST_CALLS: usize = 4_096;

/// The event of an entry, if it is to be recorded.
pub fn event(
    entry: &Entry,
    way: &Way<'_>,
    capture: Capture,
    calls: &mut Calls,
    now: Timestamp,
) -> Option<EventDraft> {
    let all = capture == Capture::All;
    let (kind, actor_type, actor, content) = match &entry.what {
        _ if capture == Capture::Off => return None,
        What::Human(text) => (
            EventKind::Message,
            ActorType::Human,
            way.with_whom.to_owned(),
            text_of(text.clone()),
        ),
        What::Agent(text) => {
            let agent = way.client.as_str().to_owned();
            (
                EventKind::Message,
                ActorType::Agent,
                agent,
                text_of(text.clone()),
            )
        }
        What::Call { tool, input, call } => {
            if calls.0.len() < MOST_CALLS {
                calls.0.insert(call.clone(), tool.clone());
            }
            if !all {
                return None;
            }
            let mut content = Map::new();
            content.insert("tool".to_owned(), json!(tool));
            content.insert("input".to_owned(), trimmed(input, INPUT_DEPTH));
            (
                EventKind::ToolCall,
                ActorType::Agent,
                way.client.as_str().to_owned(),
                content,
            )
        }
        What::Result { call, text, failed } => {
            let tool = calls.0.remove(call).unwrap_or_else(|| "tool".to_owned());
            if !all || text.trim().is_empty() {
                return None;
            }
            let mut content = text_of(capped(text, OUTPUT_BYTES));
            if *failed {
                content.insert("failed".to_owned(), Value::Bool(true));
            }
            (EventKind::ToolResult, ActorType::Tool, tool, content)
        }
    };
    let actor = Actor {
        actor_type,
        id: actor,
    };
    Some(EventDraft {
        event_id: Some(id(way.client, &entry.key).to_string()),
        tenant_id: None,
        project_id: way.project.map(str::to_owned),
        session_id: way.session.to_owned(),
        // A repetition has to be the same, so what has no time of its own has the time at which it was read first.
        ts: Some(entry.ts.unwrap_or(now)),
        channel: Channel::Private,
        actor,
        kind,
        sensitivity: None,
        tags: None,
        content,
        refs: None,
    })
}

/// The id of the event that an entry makes. It follows from the line alone: a session that goes on in another file
/// repeats lines of the first one.
pub fn id(client: Client, key: &str) -> EventId {
    EventId::from_bytes(hash(&[
        b"transcript",
        client.as_str().as_bytes(),
        key.as_bytes(),
    ]))
}

fn text_of(text: String) -> Map<String, Value> {
    let mut content = Map::new();
    content.insert("text".to_owned(), Value::String(text));
    content
}

/// A text without its secrets and, if it is longer, without its middle.
fn capped(text: &str, most: usize) -> String {
    let text = redact(text).text;
    if text.len() <= most {
        return text.into_owned();
    }
    let head = text
        .get(..text.floor_char_boundary(most / 4 * 3))
        .unwrap_or_default();
    let tail_at = text.ceil_char_boundary(text.len() - most / 4);
    let tail = text.get(tail_at..).unwrap_or_default();
    let left_out = tail_at - head.len();
    format!("{head}\n[… {left_out} bytes left out …]\n{tail}")
}

fn trimmed(value: &Value, depth: usize) -> Value {
    match value {
        Value::String(text) => Value::String(capped(text, INPUT_BYTES)),
        Value::Array(_) | Value::Object(_) if depth == 0 => Value::String("…".to_owned()),
        Value::Array(items) => items
            .iter()
            .take(INPUT_ITEMS)
            .map(|item| trimmed(item, depth - 1))
            .collect(),
        Value::Object(map) => map
            .iter()
            .take(INPUT_ITEMS)
            .map(|(key, value)| (key.clone(), trimmed(value, depth - 1)))
            .collect::<Map<_, _>>()
            .into(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAY: Way<'_> = Way {
        client: Client::ClaudeCode,
        session: "s",
        project: None,
        with_whom: "ada",
    };

    fn make(what: What, capture: Capture) -> Option<EventDraft> {
        let entry = Entry {
            key: "u1#0".to_owned(),
            ts: None,
            what,
        };
        event(
            &entry,
            &WAY,
            capture,
            &mut Calls::default(),
            Timestamp::from_millis(5),
        )
    }

    #[test]
    fn ids_follow_from_the_line() {
        let said = || make(What::Human("hi".to_owned()), Capture::Messages).unwrap();
        assert_eq!(said().event_id, said().event_id);
        assert_ne!(
            id(Client::ClaudeCode, "u1#0"),
            id(Client::ClaudeCode, "u1#1")
        );
    }

    #[test]
    fn an_output_is_cut_in_its_middle_and_after_redaction() {
        // The cut would go through the key.
        let key = format!("ghp_{}", "a1B2c3D4e5F6".repeat(3));
        let text = format!(
            "{} {key} {}",
            "x".repeat(OUTPUT_BYTES / 4 * 3 - 10),
            "y".repeat(9_000)
        );
        let result = What::Result {
            call: String::new(),
            text,
            failed: false,
        };
        let draft = make(result, Capture::All).unwrap();
        let kept = draft.content["text"].as_str().unwrap();
        assert!(
            kept.len() < OUTPUT_BYTES + 60 && kept.contains("bytes left out"),
            "{}",
            kept.len()
        );
        assert!(!kept.contains("ghp_") && !kept.contains("D4e5F6"), "{kept}");
    }

    #[test]
    fn capture_says_what_is_recorded() {
        let call = || What::Call {
            tool: "Write".to_owned(),
            input: json!({"file_path": "a.rs", "content": "z".repeat(9_000)}),
            call: "c".to_owned(),
        };
        assert!(make(call(), Capture::Messages).is_none());
        let kept = make(call(), Capture::All).unwrap();
        assert!(kept.content["input"]["content"].as_str().unwrap().len() < 600);
        assert!(make(What::Human("hi".to_owned()), Capture::Off).is_none());
    }
}
