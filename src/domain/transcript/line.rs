//! One line of a session file, of whichever client.
//!
//! **Invariant:** never panics and never guesses: what it does not know is [`Skipped`] with its reason.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::domain::Timestamp;
use crate::domain::transcript::{Client, Entry, Skipped, What};

/// Reads a line. `place` stands in for the id of a line that has none: where in which session it is.
///
/// # Errors
/// Why it says nothing.
pub fn read(client: Client, line: &[u8], place: &str) -> Result<Vec<Entry>, Skipped> {
    let entries = match client {
        Client::ClaudeCode => claude(line, place)?,
        Client::Codex => codex(line, place)?,
        Client::Cursor => cursor(line, place)?,
    };
    if entries.is_empty() {
        return Err(Skipped::Bookkeeping);
    }
    Ok(entries)
}

/// Claude Code: `{type: user|assistant|…, uuid, timestamp, message: {role, content: text | blocks}}`.
#[derive(Deserialize)]
struct ClaudeLine<'a> {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    uuid: Option<String>,
    #[serde(default)]
    timestamp: Option<String>,
    #[serde(rename = "isSidechain", default)]
    sidechain: Option<bool>,
    #[serde(rename = "isMeta", default)]
    meta: Option<bool>,
    // The client's own summary of what stands above it.
    #[serde(rename = "isCompactSummary", default)]
    summary: Option<bool>,
    #[serde(default, borrow)]
    message: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(default, borrow)]
    content: Option<&'a RawValue>,
}

/// A block of a message, of any type; the names of all clients side by side.
#[derive(Deserialize)]
struct Block<'a> {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default, borrow)]
    input: Option<&'a RawValue>,
    #[serde(default)]
    tool_use_id: Option<String>,
    #[serde(default, borrow)]
    content: Option<&'a RawValue>,
    #[serde(default)]
    is_error: Option<bool>,
}

fn claude(line: &[u8], place: &str) -> Result<Vec<Entry>, Skipped> {
    let line: ClaudeLine<'_> = serde_json::from_slice(line).map_err(|_| Skipped::Broken)?;
    let human = match line.kind.as_str() {
        "user" => true,
        "assistant" => false,
        "" => return Err(Skipped::Broken),
        _ => return Err(Skipped::Bookkeeping),
    };
    if line.sidechain == Some(true) {
        return Err(Skipped::Subagent);
    }
    if line.meta == Some(true) || line.summary == Some(true) {
        return Err(Skipped::Bookkeeping);
    }
    let message = line.message.ok_or(Skipped::Broken)?;
    let message: Message<'_> = serde_json::from_str(message.get()).map_err(|_| Skipped::Broken)?;
    let key = line.uuid.as_deref().unwrap_or(place);
    let ts = time(line.timestamp.as_deref());
    said(human, key, ts, message.content.ok_or(Skipped::Broken)?)
}

/// Cursor: `{role: user|assistant, message: {content: blocks}}`, without ids and times.
#[derive(Deserialize)]
struct CursorLine<'a> {
    #[serde(default)]
    role: Option<String>,
    #[serde(default, borrow)]
    message: Option<&'a RawValue>,
}

fn cursor(line: &[u8], place: &str) -> Result<Vec<Entry>, Skipped> {
    let line: CursorLine<'_> = serde_json::from_slice(line).map_err(|_| Skipped::Broken)?;
    let human = match line.role.as_deref() {
        Some("user") => true,
        Some("assistant") => false,
        Some(_) => return Err(Skipped::Bookkeeping),
        None => return Err(Skipped::Broken),
    };
    let message = line.message.ok_or(Skipped::Broken)?;
    let message: Message<'_> = serde_json::from_str(message.get()).map_err(|_| Skipped::Broken)?;
    said(human, place, None, message.content.ok_or(Skipped::Broken)?)
}

/// What a message's content says: a text, or blocks.
fn said(
    human: bool,
    key: &str,
    ts: Option<Timestamp>,
    content: &RawValue,
) -> Result<Vec<Entry>, Skipped> {
    let words = |text: String| {
        let text = if human { spoken(&text) } else { text };
        let text = text.trim().to_owned();
        (!text.is_empty()).then_some(if human {
            What::Human(text)
        } else {
            What::Agent(text)
        })
    };
    let found: Vec<Option<What>> = if content.get().starts_with('"') {
        let text = serde_json::from_str(content.get()).map_err(|_| Skipped::Broken)?;
        vec![words(text)]
    } else {
        let blocks: Vec<Block<'_>> =
            serde_json::from_str(content.get()).map_err(|_| Skipped::Broken)?;
        blocks
            .into_iter()
            .map(|block| match block.kind.as_str() {
                "text" => words(block.text.unwrap_or_default()),
                "tool_use" => Some(What::Call {
                    tool: block.name.unwrap_or_else(|| "tool".to_owned()),
                    input: value(block.input),
                    call: block.id.unwrap_or_default(),
                }),
                "tool_result" => Some(What::Result {
                    call: block.tool_use_id.unwrap_or_default(),
                    text: block.content.map(flat).unwrap_or_default(),
                    failed: block.is_error == Some(true),
                }),
                _ => None,
            })
            .collect()
    };
    Ok(numbered(key, ts, found))
}

fn numbered(key: &str, ts: Option<Timestamp>, found: Vec<Option<What>>) -> Vec<Entry> {
    found
        .into_iter()
        .enumerate()
        .filter_map(|(number, what)| {
            what.map(|what| Entry {
                key: format!("{key}#{number}"),
                ts,
                what,
            })
        })
        .collect()
}

/// Codex: `{timestamp, type: response_item, payload: {type: message|function_call|…}}`.
#[derive(Deserialize)]
struct CodexLine<'a> {
    #[serde(default)]
    timestamp: Option<String>,
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default, borrow)]
    payload: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct CodexItem<'a> {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    role: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    call_id: Option<String>,
    #[serde(default, borrow)]
    content: Option<&'a RawValue>,
    #[serde(default, borrow)]
    arguments: Option<&'a RawValue>,
    #[serde(default, borrow)]
    input: Option<&'a RawValue>,
    #[serde(default, borrow)]
    action: Option<&'a RawValue>,
    #[serde(default, borrow)]
    output: Option<&'a RawValue>,
}

fn codex(line: &[u8], place: &str) -> Result<Vec<Entry>, Skipped> {
    let line: CodexLine<'_> = serde_json::from_slice(line).map_err(|_| Skipped::Broken)?;
    match line.kind.as_str() {
        "response_item" => {}
        "" => return Err(Skipped::Broken),
        _ => return Err(Skipped::Bookkeeping),
    }
    let payload = line.payload.ok_or(Skipped::Broken)?;
    let item: CodexItem<'_> = serde_json::from_str(payload.get()).map_err(|_| Skipped::Broken)?;
    let call = item.call_id.unwrap_or_default();
    let what = match item.kind.as_str() {
        "message" => {
            let text = item.content.map(flat).unwrap_or_default();
            match item.role.as_deref() {
                Some("user") => {
                    let text = spoken(&text);
                    // What the client puts before the first prompt.
                    let own = text.starts_with("# AGENTS.md instructions");
                    (!text.is_empty() && !own).then_some(What::Human(text))
                }
                Some("assistant") => (!text.trim().is_empty()).then_some(What::Agent(text)),
                _ => None,
            }
        }
        "function_call" | "custom_tool_call" | "local_shell_call" => Some(What::Call {
            tool: item.name.unwrap_or_else(|| "shell".to_owned()),
            input: arguments(item.arguments.or(item.input).or(item.action)),
            call,
        }),
        "function_call_output" | "custom_tool_call_output" => {
            let text = item.output.map(flat).unwrap_or_default();
            let failed = text.contains("\"exit_code\":") && !text.contains("\"exit_code\":0");
            Some(What::Result { call, text, failed })
        }
        _ => None,
    };
    Ok(numbered(place, time(line.timestamp.as_deref()), vec![what]))
}

/// Arguments are often JSON inside a text.
fn arguments(raw: Option<&RawValue>) -> serde_json::Value {
    match value(raw) {
        serde_json::Value::String(text) => {
            serde_json::from_str(&text).unwrap_or(serde_json::Value::String(text))
        }
        other => other,
    }
}

fn value(raw: Option<&RawValue>) -> serde_json::Value {
    raw.and_then(|raw| serde_json::from_str(raw.get()).ok())
        .unwrap_or_default()
}

fn time(text: Option<&str>) -> Option<Timestamp> {
    Timestamp::parse("timestamp", text?).ok()
}

/// The text in a content: a text, blocks with texts, or an object with one; anything else as JSON.
fn flat(raw: &RawValue) -> String {
    match serde_json::from_str(raw.get()) {
        Ok(serde_json::Value::String(text)) => text,
        Ok(serde_json::Value::Array(items)) => {
            let texts = items.iter().filter_map(|item| item["text"].as_str());
            texts.collect::<Vec<_>>().join("\n")
        }
        Ok(serde_json::Value::Object(map)) => ["output", "content", "text"]
            .iter()
            .find_map(|key| map.get(*key)?.as_str())
            .map_or_else(|| raw.get().to_owned(), str::to_owned),
        _ => String::new(),
    }
}

/// What clients put into a person's message and the person did not say.
const NOT_SPOKEN: [&str; 8] = [
    "system-reminder",
    "local-command-stdout",
    "local-command-stderr",
    "local-command-caveat",
    "command-message",
    "environment_context",
    "user_instructions",
    "task-notification",
];
/// What is left as it stands, without its tags: a slash command and its arguments, a prompt that Cursor wraps.
const WRAPPERS: [&str; 3] = ["command-name", "command-args", "user_query"];

/// A person's message as the person said it.
fn spoken(text: &str) -> String {
    let mut text = text.to_owned();
    for tag in NOT_SPOKEN {
        let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
        while let Some(start) = text.find(&open) {
            let end = text
                .get(start..)
                .and_then(|rest| rest.find(&close))
                .map_or(text.len(), |at| start + at + close.len());
            text.replace_range(start..end, " ");
        }
    }
    for tag in WRAPPERS {
        text = text
            .replace(&format!("<{tag}>"), " ")
            .replace(&format!("</{tag}>"), " ");
    }
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(client: Client, line: &str) -> Result<Vec<What>, Skipped> {
        let entries = read(client, line.as_bytes(), "s@0")?;
        Ok(entries.into_iter().map(|entry| entry.what).collect())
    }

    #[test]
    fn reads_what_claude_code_writes() {
        let user = r#"{"parentUuid":null,"isSidechain":false,"userType":"external","cwd":"/w","sessionId":"s","version":"2.1.0","type":"user","message":{"role":"user","content":"use tabs <system-reminder>x</system-reminder>"},"uuid":"u1","timestamp":"2026-11-01T10:00:00.000Z"}"#;
        let entries = read(Client::ClaudeCode, user.as_bytes(), "s@0").unwrap();
        assert_eq!(entries[0].key, "u1#0");
        assert_eq!(
            entries[0].ts.unwrap().to_string(),
            "2026-11-01T10:00:00.000Z"
        );
        assert_eq!(entries[0].what, What::Human("use tabs".to_owned()));
        let agent = r#"{"type":"assistant","uuid":"u2","message":{"role":"assistant","content":[{"type":"thinking","thinking":"hm"},{"type":"text","text":"Done."},{"type":"tool_use","id":"t1","name":"Bash","input":{"command":"ls"}}]}}"#;
        let found = read(Client::ClaudeCode, agent.as_bytes(), "s@0").unwrap();
        assert_eq!(found[0].key, "u2#1");
        assert_eq!(found[0].what, What::Agent("Done.".to_owned()));
        assert!(matches!(&found[1].what, What::Call { tool, .. } if tool == "Bash"));
        let result = r#"{"type":"user","uuid":"u3","message":{"content":[{"type":"tool_result","tool_use_id":"t1","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}],"is_error":true}]},"toolUseResult":{"stdout":"a"}}"#;
        assert_eq!(
            one(Client::ClaudeCode, result).unwrap(),
            [What::Result {
                call: "t1".to_owned(),
                text: "a\nb".to_owned(),
                failed: true
            }]
        );
    }

    #[test]
    fn says_why_a_line_is_skipped() {
        for (line, why) in [
            ("{\"type\":\"user\",", Skipped::Broken),
            ("[]", Skipped::Broken),
            ("{\"type\":\"user\",\"message\":7}", Skipped::Broken),
            ("{\"type\":\"file-history-snapshot\"}", Skipped::Bookkeeping),
            (
                r#"{"type":"user","isSidechain":true,"message":{"content":"x"}}"#,
                Skipped::Subagent,
            ),
            (
                r#"{"type":"user","isMeta":true,"message":{"content":"x"}}"#,
                Skipped::Bookkeeping,
            ),
        ] {
            assert_eq!(one(Client::ClaudeCode, line), Err(why), "{line}");
        }
    }

    #[test]
    fn reads_what_codex_and_cursor_write() {
        let shell = r#"{"timestamp":"2026-11-01T10:00:00.000Z","type":"response_item","payload":{"type":"function_call","name":"shell","arguments":"{\"command\":[\"ls\"]}","call_id":"c1"}}"#;
        let found = one(Client::Codex, shell).unwrap();
        assert!(matches!(&found[0], What::Call { input, .. } if input["command"][0] == "ls"));
        let said = r#"{"type":"response_item","payload":{"type":"message","role":"assistant","content":[{"type":"output_text","text":"Hello."}]}}"#;
        assert_eq!(
            one(Client::Codex, said).unwrap(),
            [What::Agent("Hello.".to_owned())]
        );
        let own = r#"{"type":"response_item","payload":{"type":"message","role":"user","content":[{"type":"input_text","text":"<environment_context>cwd</environment_context>"}]}}"#;
        assert_eq!(one(Client::Codex, own), Err(Skipped::Bookkeeping));
        let prompt = r#"{"role":"user","message":{"content":[{"type":"text","text":"<user_query>\nfix it\n</user_query>"}]}}"#;
        assert_eq!(
            one(Client::Cursor, prompt).unwrap(),
            [What::Human("fix it".to_owned())]
        );
    }

    #[test]
    fn a_slash_command_reads_as_it_was_typed() {
        let text = "<command-message>review</command-message>\n<command-name>/review</command-name>\n<command-args>all</command-args>";
        let words: Vec<_> = spoken(text).split_whitespace().map(str::to_owned).collect();
        assert_eq!(words, ["/review", "all"]);
    }
}
