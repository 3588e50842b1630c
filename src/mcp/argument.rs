//! What the tools take. The doc comments are what a model reads, so they are short.
//!
//! **Invariant:** an unknown argument is refused with those that are known: a mistyped filter would find too much.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::domain::page::parse_limit;
use crate::domain::redact::redact;
use crate::domain::{ActorType, DecisionScope, EntityType, EventKind, Invalid, Timestamp};

/// Least tokens that an answer can be held to: one memory in a list, with its id, its members and a cursor, is 150
/// before it says anything.
pub(super) const MIN_TOKENS: u32 = 200;
/// Most tokens that can be asked for; as for a wake-up over HTTP.
pub(super) const MAX_TOKENS: u32 = 100_000;
/// Tokens of an answer when none are asked for: as many as a wake-up has.
pub(super) const DEFAULT_TOKENS: u32 = 2_000;
/// Tokens of a context bundle when none are asked for. A bundle over HTTP has 65,000, which would be a third of what a
/// model holds.
pub(super) const DEFAULT_BUNDLE_TOKENS: u32 = 4_000;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WakeUp {
    /// Person you work with
    pub(super) with_whom: Option<String>,
    pub(super) project_id: Option<String>,
    /// What the session will be about
    pub(super) topic: Option<String>,
    #[schemars(range(min = MIN_TOKENS))]
    pub(super) max_tokens: Option<i64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Recall {
    /// Question or words
    pub(super) query: String,
    pub(super) types: Option<Vec<EntityType>>,
    pub(super) project_id: Option<String>,
    pub(super) session_id: Option<String>,
    pub(super) tags: Option<Vec<String>>,
    /// RFC 3339
    pub(super) since: Option<Timestamp>,
    /// Exclusive
    pub(super) until: Option<Timestamp>,
    #[schemars(range(min = 1, max = 100))]
    pub(super) limit: Option<i64>,
    #[schemars(range(min = MIN_TOKENS))]
    pub(super) max_tokens: Option<i64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BuildContext {
    /// The task, in a sentence or two
    pub(super) task: String,
    pub(super) project_id: Option<String>,
    pub(super) session_id: Option<String>,
    #[schemars(range(min = MIN_TOKENS))]
    pub(super) max_tokens: Option<i64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateHandoff {
    /// What must not be forgotten; open ends
    pub(super) remember: Option<String>,
    /// What was learned
    pub(super) learned: Option<String>,
    /// What was done
    pub(super) experienced: Option<String>,
    /// What stood out
    pub(super) noticed: Option<String>,
    /// The session as a story
    pub(super) story: Option<String>,
    /// Who you are becoming
    pub(super) becoming: Option<String>,
    pub(super) with_whom: Option<String>,
    pub(super) project_id: Option<String>,
    pub(super) session_id: Option<String>,
    #[schemars(range(min = 0, max = 1))]
    pub(super) significance: Option<f64>,
    pub(super) tags: Option<Vec<String>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Remember {
    /// The fact or lesson, complete in itself
    pub(super) content: String,
    pub(super) title: Option<String>,
    pub(super) project_id: Option<String>,
    pub(super) with_whom: Option<String>,
    pub(super) tags: Option<Vec<String>>,
    /// Show it in every wake-up
    pub(super) pinned: Option<bool>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RecordDecision {
    pub(super) decision: String,
    /// Reasons
    pub(super) rationale: Option<Vec<String>>,
    /// What was rejected, and why
    pub(super) alternatives: Option<Vec<String>>,
    pub(super) constraints: Option<Vec<String>>,
    pub(super) consequences: Option<Vec<String>>,
    pub(super) scope: Option<DecisionScope>,
    /// dec_ id of the decision it replaces
    pub(super) supersedes: Option<String>,
    pub(super) project_id: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RecordEvent {
    pub(super) text: String,
    /// Default: message
    pub(super) kind: Option<EventKind>,
    /// Whose it is. Default: agent
    pub(super) actor: Option<ActorType>,
    pub(super) session_id: Option<String>,
    pub(super) project_id: Option<String>,
    pub(super) tags: Option<Vec<String>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListMemories {
    /// Read this one in full instead
    pub(super) id: Option<String>,
    /// Default: handoff
    #[serde(rename = "type")]
    pub(super) entity_type: Option<EntityType>,
    pub(super) project_id: Option<String>,
    /// Events and handoffs only
    pub(super) session_id: Option<String>,
    #[schemars(range(min = 1, max = 100))]
    pub(super) limit: Option<i64>,
    /// Where the page before ended
    pub(super) cursor: Option<String>,
    #[schemars(range(min = MIN_TOKENS))]
    pub(super) max_tokens: Option<i64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Forget {
    pub(super) id: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MemoryStatus {}

/// Reads the arguments of a call; none at all are an empty object.
pub(super) fn read<T: DeserializeOwned>(arguments: Option<&RawValue>) -> Result<T, Invalid> {
    let text = arguments.map_or("{}", RawValue::get);
    // Without this, serde would take an array for an object.
    if !text.starts_with('{') {
        return Err(Invalid::new("arguments", "is not an object"));
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path: String = error.path().to_string().chars().take(64).collect();
        let field = if path == "." {
            "arguments".to_owned()
        } else {
            path
        };
        Invalid::new(field, reason(error.inner()))
    })
}

/// What serde says, without the position it adds. It quotes the value, so secrets are taken out.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text
        .rsplit_once(" at line ")
        .map_or(text.as_str(), |(text, _)| text);
    redact(text).text.chars().take(300).collect()
}

/// The budget of an answer.
pub(super) fn budget(asked: Option<i64>, default: u32) -> Result<usize, Invalid> {
    let tokens = parse_limit("max_tokens", asked, default, MAX_TOKENS)?;
    if tokens < MIN_TOKENS {
        return Err(Invalid::new(
            "max_tokens",
            format!("is not between {MIN_TOKENS} and {MAX_TOKENS}"),
        ));
    }
    Ok(usize::try_from(tokens).unwrap_or(usize::MAX))
}
