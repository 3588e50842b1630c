//! The table of tools: what a model reads of them.
//!
//! The schemas follow from the types that are read and written, stripped of what a model does not need: titles, formats,
//! `null` where a member may be left out.
//!
//! **Invariant:** all of it together stays under 8 KB.

use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform as _};
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

use crate::domain::Tool;
use crate::mcp::{argument, shape};

/// Most bytes that the descriptions of all tools may take; from the contract. Other memories take 2.7 to 43 KB.
#[cfg(test)]
const MOST_BYTES: usize = 8 * 1024;

static LISTING: LazyLock<Vec<Value>> = LazyLock::new(|| Tool::ALL.map(describe).to_vec());

/// Every tool as `tools/list` answers it.
pub fn listing() -> &'static [Value] {
    &LISTING
}

/// What a tool does to the memory.
struct Hints {
    destructive: bool,
    idempotent: bool,
}

fn describe(tool: Tool) -> Value {
    let (input, output) = match tool {
        Tool::WakeUp => (taken::<argument::WakeUp>(), answer::<shape::Text>()),
        Tool::Recall => (taken::<argument::Recall>(), answer::<shape::Entries>()),
        Tool::BuildContext => (taken::<argument::BuildContext>(), answer::<shape::Text>()),
        Tool::CreateHandoff => (taken::<argument::CreateHandoff>(), answer::<shape::Done>()),
        Tool::Remember => (taken::<argument::Remember>(), answer::<shape::Done>()),
        Tool::RecordDecision => (taken::<argument::RecordDecision>(), answer::<shape::Done>()),
        Tool::RecordEvent => (taken::<argument::RecordEvent>(), answer::<shape::Done>()),
        Tool::ListMemories => (
            taken::<argument::ListMemories>(),
            answer::<shape::Entries>(),
        ),
        Tool::Forget => (taken::<argument::Forget>(), answer::<shape::Done>()),
        Tool::MemoryStatus => (taken::<argument::MemoryStatus>(), answer::<shape::Status>()),
    };
    let hints = hints(tool);
    json!({
        "name": tool.as_str(),
        "description": when(tool),
        "inputSchema": input,
        "outputSchema": output,
        "annotations": {
            "readOnlyHint": !tool.writes(),
            "destructiveHint": hints.destructive,
            "idempotentHint": hints.idempotent,
            "openWorldHint": false,
        },
    })
}

fn hints(tool: Tool) -> Hints {
    let (destructive, idempotent) = match tool {
        Tool::WakeUp
        | Tool::Recall
        | Tool::BuildContext
        | Tool::ListMemories
        | Tool::MemoryStatus => (false, true),
        Tool::CreateHandoff | Tool::Remember | Tool::RecordDecision | Tool::RecordEvent => {
            (false, false)
        }
        Tool::Forget => (true, true),
    };
    Hints {
        destructive,
        idempotent,
    }
}

/// What a tool does, and when to call it.
fn when(tool: Tool) -> &'static str {
    match tool {
        Tool::WakeUp => {
            "Call first in every session, before answering: what earlier sessions handed over, decisions that hold, \
             pinned notes."
        }
        Tool::Recall => {
            "Search all memory. Call before asking the user what they may have told you before, and whenever the past \
             could matter: names, preferences, why something is so, earlier errors."
        }
        Tool::BuildContext => {
            "Call when starting a task: everything remembered that bears on it, packed into max_tokens."
        }
        Tool::CreateHandoff => {
            "Call when a session ends or its context is about to be lost: a letter to your next self. At least one text. \
             The next wake_up begins with it."
        }
        Tool::Remember => {
            "Keep a fact, preference or lesson that will be true later. Call as soon as you learn it; one per call. No \
             secrets."
        }
        Tool::RecordDecision => {
            "Call when a choice is made that later sessions must follow: what, why, what was rejected. Holds until \
             superseded."
        }
        Tool::RecordEvent => {
            "Log something that happened and may be looked for later, word for word. Not for facts (remember) or \
             summaries (create_handoff)."
        }
        Tool::ListMemories => {
            "Browse memories of one type, newest first, or read one in full by id. To find something, use recall."
        }
        Tool::Forget => {
            "Erase one memory for good. Only when the user asks for it, or it is wrong; get its id from recall."
        }
        Tool::MemoryStatus => "Count what is remembered. Call when asked about the memory itself.",
    }
}

/// The schema of what is answered: the names and types, since a model sees the answer itself.
fn answer<T: JsonSchema>() -> Value {
    let mut schema = generated::<T>();
    RecursiveTransform(|schema: &mut Schema| {
        schema.remove("description");
        schema.remove("required");
    })
    .transform(&mut schema);
    schema.to_value()
}

/// The schema of what is taken.
fn taken<T: JsonSchema>() -> Value {
    generated::<T>().to_value()
}

fn generated<T: JsonSchema>() -> Schema {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.meta_schema = None;
        settings.inline_subschemas = true;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    RecursiveTransform(strip).transform(&mut schema);
    if let Some(root) = schema.as_object_mut() {
        // What it says of the type is for those who read the code.
        root.remove("description");
    }
    schema
}

fn strip(schema: &mut Schema) {
    let Some(object) = schema.as_object_mut() else {
        return;
    };
    let is_enum = object.contains_key("enum");
    for key in ["title", "format", "default", "examples"] {
        object.remove(key);
    }
    if is_enum {
        object.remove("description");
    }
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|word| word != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            object.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(words)) = object.get_mut("enum") {
        words.retain(|word| !word.is_null());
    }
    let any = object.get("anyOf").and_then(Value::as_array).cloned();
    if let Some(any) = any
        && let [Value::Object(one), null] = any.as_slice()
        && null["type"] == "null"
    {
        object.remove("anyOf");
        let said = object.remove("description");
        let mut one: Map<_, _> = one.clone();
        one.remove("description");
        object.extend(one);
        if let Some(said) = said {
            object.insert("description".to_owned(), said);
        }
    }
    if object.get("minimum") == Some(&json!(0)) && object.get("type") == Some(&json!("integer")) {
        object.remove("minimum");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_it_is_under_eight_kilobytes() {
        let text = serde_json::to_string(listing()).unwrap();
        assert!(text.len() < MOST_BYTES, "{} bytes:\n{text}", text.len());
    }

    #[test]
    fn every_tool_says_when_and_what_it_does_to_the_memory() {
        assert_eq!(listing().len(), Tool::ALL.len());
        for (tool, described) in Tool::ALL.iter().zip(listing()) {
            assert_eq!(described["name"], tool.as_str());
            assert!(
                described["description"]
                    .as_str()
                    .unwrap()
                    .contains(['.', ':'])
            );
            for hint in ["readOnlyHint", "destructiveHint", "idempotentHint"] {
                assert!(described["annotations"][hint].is_boolean(), "{described}");
            }
            for schema in ["inputSchema", "outputSchema"] {
                assert_eq!(described[schema]["type"], "object", "{described}");
            }
            assert_eq!(described["inputSchema"]["additionalProperties"], false);
            let text = described.to_string();
            for word in ["\"null\"", "$ref", "$defs", "\"title\":\""] {
                assert!(!text.contains(word), "{word} in {text}");
            }
        }
    }
}
