//! Prompts and resources, for clients whose user picks what a model reads.
//!
//! **Invariant:** they show what the tools show, and nothing else.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::domain::MemoryId;
use crate::mcp::message::{Params, Refusal};
use crate::mcp::{Front, Trouble, argument, list, read};
use crate::service::Error;

/// The wake-up as a resource.
const WAKE_UP: &str = "memory://wake-up";
/// What a memory's address begins with.
const MEMORY: &str = "memory://";
/// What a model is asked to do at the end of a session.
const HAND_OVER: &str = "This session ends. Write a handoff to your next self with create_handoff: in `remember` what must \
    not be forgotten and what is still open, in `learned` what you would have liked to know at the start, in `experienced` \
    what was done. Then call remember for each lasting fact and record_decision for each choice that is not in memory yet.";

pub(super) fn prompts() -> Value {
    json!({"prompts": [
        {
            "name": "wake_up",
            "title": "Wake up",
            "description": "What earlier sessions handed over, to begin a session with.",
            "arguments": [
                {"name": "topic", "description": "What the session will be about", "required": false},
                {"name": "with_whom", "description": "Who is there", "required": false},
                {"name": "project_id", "description": "The project", "required": false},
            ],
        },
        {
            "name": "hand_over",
            "title": "Hand over",
            "description": "Have the agent write its handoff, to end a session with.",
        },
    ]})
}

/// What the prompt `wake_up` takes.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    topic: Option<String>,
    with_whom: Option<String>,
    project_id: Option<String>,
}

pub(super) async fn get(front: &Front<'_>, params: &Params<'_>) -> Result<Value, Trouble> {
    let (description, text) = match params.name.as_deref() {
        Some("wake_up") => {
            let asked: Asked = argument::read(params.arguments)
                .map_err(|invalid| Refusal::invalid_params(invalid.to_string()))?;
            let arguments = json!({
                "topic": asked.topic, "with_whom": asked.with_whom, "project_id": asked.project_id,
            });
            let context = wake_up(front, &arguments).await?;
            let text = format!("This is what you know from earlier sessions:\n\n{context}");
            ("What earlier sessions handed over.", text)
        }
        Some("hand_over") => ("End the session with a handoff.", HAND_OVER.to_owned()),
        Some(name) => {
            let name: String = name.chars().take(64).collect();
            return Err(Refusal::invalid_params(format!("Unknown prompt: {name}")).into());
        }
        None => return Err(Refusal::invalid_params("`name` is missing").into()),
    };
    Ok(json!({
        "description": description,
        "messages": [{"role": "user", "content": {"type": "text", "text": text}}],
    }))
}

pub(super) fn resources() -> Value {
    json!({"resources": [{
        "uri": WAKE_UP,
        "name": "wake-up",
        "title": "Wake-up",
        "description": "What earlier sessions handed over.",
        "mimeType": "text/markdown",
    }]})
}

pub(super) fn templates() -> Value {
    json!({"resourceTemplates": [{
        "uriTemplate": "memory://{id}",
        "name": "memory",
        "title": "One memory",
        "description": "A handoff (sh_), decision (dec_), note (kn_), event (evt_), reflection (refl_) or principle (prin_) \
            in full.",
        "mimeType": "text/markdown",
    }]})
}

pub(super) async fn read(
    front: &Front<'_>,
    params: &Params<'_>,
    is_modern: bool,
) -> Result<Value, Trouble> {
    let Some(uri) = params.uri.as_deref() else {
        return Err(Refusal::invalid_params("`uri` is missing").into());
    };
    let text = if uri == WAKE_UP {
        wake_up(front, &json!({})).await?
    } else {
        let unknown = || Refusal::no_resource(uri, is_modern);
        let id = uri.strip_prefix(MEMORY).ok_or_else(unknown)?;
        let id = MemoryId::parse("uri", id).map_err(|_| unknown())?;
        match list::one(front, id).await {
            Ok(entry) => entry.text,
            Err(Error::NotFound(_)) => return Err(unknown().into()),
            Err(error) => return Err(trouble(error)),
        }
    };
    Ok(json!({"contents": [{"uri": uri, "mimeType": "text/markdown", "text": text}]}))
}

async fn wake_up(front: &Front<'_>, arguments: &Value) -> Result<String, Trouble> {
    let arguments = serde_json::value::to_raw_value(arguments)
        .map_err(|error| Trouble::Failed(Error::Internal(Box::new(error))))?;
    let product = read::wake_up(front, Some(&arguments))
        .await
        .map_err(trouble)?;
    Ok(product.text)
}

fn trouble(error: Error) -> Trouble {
    match error {
        Error::Timeout
        | Error::RateLimited
        | Error::Overloaded
        | Error::Unavailable(_)
        | Error::Internal(_) => Trouble::Failed(error),
        Error::Invalid(_)
        | Error::Unauthenticated
        | Error::Forbidden(_)
        | Error::NotFound(_)
        | Error::Conflict(_)
        | Error::Depends(_)
        | Error::TooLarge(_)
        | Error::Import(_) => Trouble::Refused(Refusal::invalid_params(error.to_string())),
    }
}
