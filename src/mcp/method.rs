//! The methods of the protocol.
//!
//! **Invariant:** every result is made of the request alone and of what is in the memory; nothing is kept for a client.

use std::time::Instant;

use serde_json::{Map, Value, json};

use crate::domain::Tool;
use crate::mcp::era::{self, Era, SUPPORTED};
use crate::mcp::message::{Refusal, Request};
use crate::mcp::shape::{Product, refused};
use crate::mcp::{Front, Trouble, list, prompt, read, tool, write};
use crate::metrics::Called;
use crate::service::Error;

/// How long a client may keep a list; they change with the version of the program alone.
const LIST_MS: u64 = 3_600_000;

/// What every client is told once, for its model.
const INSTRUCTIONS: &str = "This is your memory between sessions. Call wake_up before anything else. While you work, recall \
    before you ask the user something again, remember lasting facts, record_decision for choices. When the session ends, \
    create_handoff. Name project_id if you know it, and use the same one every time.";

/// Carries a request out.
pub(super) async fn call(
    front: &Front<'_>,
    request: &Request<'_>,
    era: Era,
) -> Result<Value, Trouble> {
    let params = &request.params;
    let is_modern = era == Era::Modern;
    let result = match (&*request.method, era) {
        ("initialize", _) => return Ok(initialize(params.protocol_version.as_deref())),
        ("ping", Era::Legacy) => return Ok(json!({})),
        ("server/discover", Era::Modern) => cached(discover(), LIST_MS, era),
        ("tools/list", _) => cached(json!({"tools": tool::listing()}), LIST_MS, era),
        ("tools/call", _) => tools_call(front, request).await?,
        ("prompts/list", _) => cached(prompt::prompts(), LIST_MS, era),
        ("prompts/get", _) => prompt::get(front, params).await?,
        ("resources/list", _) => cached(prompt::resources(), LIST_MS, era),
        ("resources/templates/list", _) => cached(prompt::templates(), LIST_MS, era),
        ("resources/read", _) => cached(prompt::read(front, params, is_modern).await?, 0, era),
        (method, _) => return Err(Refusal::no_method(method).into()),
    };
    Ok(complete(result, era))
}

fn capabilities() -> Value {
    json!({"tools": {}, "prompts": {}, "resources": {}})
}

fn server_info() -> Value {
    json!({"name": "agent-memory", "title": "Agent memory", "version": env!("CARGO_PKG_VERSION")})
}

fn initialize(requested: Option<&str>) -> Value {
    json!({
        "protocolVersion": era::negotiated(requested),
        "capabilities": capabilities(),
        "serverInfo": server_info(),
        "instructions": INSTRUCTIONS,
    })
}

fn discover() -> Value {
    json!({
        "supportedVersions": SUPPORTED,
        "capabilities": capabilities(),
        "instructions": INSTRUCTIONS,
    })
}

/// A result that a client may keep for a while, if its era knows of that.
fn cached(mut result: Value, ttl_ms: u64, era: Era) -> Value {
    if let (Era::Modern, Some(members)) = (era, result.as_object_mut()) {
        members.insert("ttlMs".to_owned(), ttl_ms.into());
        members.insert("cacheScope".to_owned(), "private".into());
    }
    result
}

/// A result with what each has in this era.
fn complete(mut result: Value, era: Era) -> Value {
    if let (Era::Modern, Some(members)) = (era, result.as_object_mut()) {
        members.insert("resultType".to_owned(), "complete".into());
        let meta: Map<_, _> = [(
            "io.modelcontextprotocol/serverInfo".to_owned(),
            server_info(),
        )]
        .into_iter()
        .collect();
        members.insert("_meta".to_owned(), meta.into());
    }
    result
}

async fn tools_call(front: &Front<'_>, request: &Request<'_>) -> Result<Value, Trouble> {
    let Some(name) = &request.params.name else {
        return Err(Refusal::invalid_params("`name` is missing").into());
    };
    let Some(tool) = Tool::named(name) else {
        let name: String = name.chars().take(64).collect();
        return Err(Refusal::invalid_params(format!("Unknown tool: {name}")).into());
    };
    let begun = Instant::now();
    let outcome = run(front, tool, request).await;
    let (how, result) = match outcome {
        Ok(product) => (Called::Ok, Ok(product.into_result())),
        Err(error) => match error {
            Error::Timeout
            | Error::RateLimited
            | Error::Overloaded
            | Error::Unavailable(_)
            | Error::Internal(_) => (Called::Failed, Err(Trouble::Failed(error))),
            Error::Invalid(_)
            | Error::Unauthenticated
            | Error::Forbidden(_)
            | Error::NotFound(_)
            | Error::Conflict(_)
            | Error::Depends(_)
            | Error::TooLarge(_)
            | Error::Import(_) => {
                let why = format!("{} did nothing: {error}", tool.as_str());
                (Called::Refused, Ok(refused(&why)))
            }
        },
    };
    if let Some(metrics) = front.metrics {
        metrics.tool_called(tool, how, begun.elapsed());
    }
    result
}

async fn run(front: &Front<'_>, tool: Tool, request: &Request<'_>) -> Result<Product, Error> {
    let arguments = request.params.arguments;
    match tool {
        Tool::WakeUp => read::wake_up(front, arguments).await,
        Tool::Recall => read::recall(front, arguments).await,
        Tool::BuildContext => read::build_context(front, arguments).await,
        Tool::CreateHandoff => write::create_handoff(front, arguments).await,
        Tool::Remember => write::remember(front, arguments).await,
        Tool::RecordDecision => write::record_decision(front, arguments).await,
        Tool::RecordEvent => write::record_event(front, arguments).await,
        Tool::ListMemories => list::list_memories(front, arguments).await,
        Tool::Forget => write::forget(front, arguments).await,
        Tool::MemoryStatus => read::memory_status(front, arguments).await,
    }
}
