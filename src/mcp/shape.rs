//! What the tools answer: a value for programs and text for models, which say the same.
//!
//! **Invariant:** neither is estimated above the budget it was made for.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::domain::{DecisionStatus, EntityType, Timestamp, token};

/// What a tool answers.
#[derive(Debug)]
pub(super) struct Product {
    pub(super) structured: Value,
    pub(super) text: String,
}

impl Product {
    /// It as the result of a call.
    pub(super) fn into_result(self) -> Value {
        json!({
            "content": [{"type": "text", "text": self.text}],
            "structuredContent": self.structured,
        })
    }

    /// What the larger of the two costs.
    pub(super) fn cost(&self) -> usize {
        token::estimate(&self.structured.to_string()).max(token::estimate(&self.text))
    }
}

/// The result of a call that was refused, in words that the caller can act on.
pub(super) fn refused(why: &str) -> Value {
    json!({"content": [{"type": "text", "text": why}], "isError": true})
}

/// Text to read before a session or a task.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Text {
    /// Markdown.
    pub(super) context: String,
    pub(super) estimated_tokens: usize,
    /// Whether there is no handoff yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) first_session: Option<bool>,
}

/// One memory.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(super) struct Entry {
    pub(super) id: String,
    #[serde(rename = "type")]
    #[schemars(with = "String")]
    pub(super) entity_type: EntityType,
    #[schemars(with = "String")]
    pub(super) ts: Timestamp,
    pub(super) text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) score: Option<f64>,
    /// Of a decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub(super) status: Option<DecisionStatus>,
}

/// Some memories.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Entries {
    pub(super) memories: Vec<Entry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_cursor: Option<String>,
}

/// What was stored, or forgotten.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Done {
    pub(super) id: String,
}

/// How much there is.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(super) struct Status {
    pub(super) events: i64,
    pub(super) handoffs: i64,
    pub(super) decisions: i64,
    pub(super) knowledge: i64,
    pub(super) reflections: i64,
    pub(super) principles: i64,
    pub(super) sessions: i64,
    pub(super) text_bytes: i64,
    pub(super) version: String,
}

/// Any of them as a value.
pub(super) fn structured(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_else(|_| Value::Object(Map::new()))
}

/// What a list costs beside its items: its braces, its name, a cursor of 30 characters, a last line.
const FRAME_TOKENS: usize = 40;
/// What an item may cost beside its parts: the comma or line end, and what rounding took off its estimate.
const JOINT_TOKENS: usize = 3;

/// As many entries as fit into `max_tokens`, from the first on. If not even that one fits, its text is cut.
pub(super) fn fit(entries: Vec<Entry>, max_tokens: usize) -> Vec<Entry> {
    let mut left = max_tokens.saturating_sub(FRAME_TOKENS);
    let mut taken = Vec::new();
    for mut entry in entries {
        let mut cost = entry.cost();
        if cost > left && taken.is_empty() {
            cost = entry.shorten(left);
        }
        if cost > left && !taken.is_empty() {
            break;
        }
        left = left.saturating_sub(cost);
        taken.push(entry);
    }
    taken
}

impl Entry {
    fn cost(&self) -> usize {
        let json = structured(self).to_string();
        token::estimate(&json).max(token::estimate(&self.line())) + JOINT_TOKENS
    }

    /// Cuts the text until the whole fits; answers what it then costs.
    fn shorten(&mut self, most: usize) -> usize {
        let whole = std::mem::take(&mut self.text);
        let mut room = most.saturating_sub(self.cost());
        loop {
            let cut = token::cut(&whole, room).trim_end();
            self.text = if cut.is_empty() {
                String::new()
            } else {
                format!("{cut} …")
            };
            let cost = self.cost();
            if cost <= most || room == 0 {
                return cost;
            }
            // Escapes cost more than what they stand for.
            room = room * 3 / 4;
        }
    }

    /// It as a line of Markdown.
    pub(super) fn line(&self) -> String {
        let text = self.text.split_whitespace().collect::<Vec<_>>().join(" ");
        let superseded = match self.status {
            Some(DecisionStatus::Superseded) => ", superseded",
            Some(DecisionStatus::Active) | None => "",
        };
        format!("- {}{superseded} [{}] {text}", self.ts.day(), self.id)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(text: &str) -> Entry {
        Entry {
            id: "evt_0190f2d4c1a77e1b8f0a2b3c4d5e6f70".to_owned(),
            entity_type: EntityType::Event,
            ts: Timestamp::from_millis(0),
            text: text.to_owned(),
            score: Some(0.5),
            status: None,
        }
    }

    fn list(entries: Vec<Entry>) -> Product {
        let lines: Vec<_> = entries.iter().map(Entry::line).collect();
        Product {
            text: lines.join("\n"),
            structured: structured(&Entries {
                memories: entries,
                next_cursor: None,
            }),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn never_exceeds_its_budget(
            texts in prop::collection::vec("(\\PC|[\"\\\\\n]){0,300}", 1..12),
            budget in 200usize..1_500,
        ) {
            let entries = texts.iter().map(|text| entry(text)).collect();
            prop_assert!(list(fit(entries, budget)).cost() <= budget);
        }
    }

    #[test]
    fn takes_all_that_fit_and_cuts_one_that_does_not() {
        let short: Vec<_> = (0..3).map(|_| entry("a few words")).collect();
        assert_eq!(fit(short.clone(), 2_000).len(), 3);
        let few = fit(short, 150);
        assert!(!few.is_empty() && few.len() < 3, "{few:?}");
        let long = fit(vec![entry(&"many words ".repeat(1_000))], 300);
        assert_eq!(long.len(), 1);
        assert!(long[0].text.len() > 200 && long[0].text.ends_with('…'));
    }
}
