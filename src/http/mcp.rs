//! `POST /mcp`: one message of the Model Context Protocol. GET and DELETE are 405: there is no stream and no session.
//!
//! **Invariant:** what is wrong with the memory is the same problem here as on every other route, so that what watches
//! the server sees it.

use actix_web::http::StatusCode;
use actix_web::http::header::HeaderMap;
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use schemars::JsonSchema;

use crate::domain::Name;
use crate::http::State;
use crate::http::openapi::{Operation, PROJECT_ID, Query, Tag, json, post, problem, tree};
use crate::http::problem::Problem;
use crate::http::request::{Ask, Media, Raw};
use crate::mcp::{self, Front, Headers, Standing, Way};

pub(super) fn routes(config: &mut ServiceConfig) {
    config.service(web::resource("/mcp").route(web::post().to(answer)));
}

const TAKES: &[Query] = &[PROJECT_ID];

/// A message of JSON-RPC 2.0, for the description; it is read in `mcp`.
#[derive(JsonSchema)]
#[schemars(rename = "McpMessage", untagged)]
#[expect(dead_code, reason = "only its schema is used")]
enum Message {
    /// A request or a notification.
    Call(Call),
    /// The answer to a question that was never put; it is taken and left at that.
    Result {
        jsonrpc: Version,
        result: serde_json::Value,
    },
    /// Likewise.
    Error {
        jsonrpc: Version,
        error: serde_json::Value,
    },
}

#[derive(JsonSchema)]
#[schemars(rename = "McpCall")]
#[expect(dead_code, reason = "only its schema is used")]
struct Call {
    /// The version of JSON-RPC.
    jsonrpc: Version,
    /// What tells the answer from others; a message without it is not answered.
    #[schemars(default, with = "Id")]
    id: Option<Id>,
    /// What is asked for, `tools/call` for example.
    method: String,
    /// What the method takes; what does not fit is answered with an error of the protocol.
    #[schemars(default)]
    params: serde_json::Value,
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
enum Version {
    #[schemars(rename = "2.0")]
    Two,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
enum Id {
    /// Any number, as in JSON-RPC; it comes back digit by digit.
    Number(serde_json::Number),
    Text(String),
}

pub(super) fn operations() -> Vec<Operation> {
    vec![
        post(
            "/mcp",
            "speakMcp",
            "Answers one message of the Model Context Protocol, stateless and in JSON. `project_id` is for calls that \
             name none.",
        )
        .tagged(Tag::Agents)
        .query(TAKES)
        .takes(vec![json::<Message>()])
        .answers(200, "The answer: a JSON-RPC response.", vec![tree()])
        .answers(202, "There is nothing to answer.", vec![])
        .answers(
            400,
            "It is no message, contradicts its headers, or is of a version that is not spoken: a JSON-RPC error.",
            vec![tree(), problem()],
        )
        .answers(
            404,
            "There is no such method: a JSON-RPC error, from 2026-07-28 on.",
            vec![tree()],
        ),
    ]
}

async fn answer(
    state: Data<State>,
    ask: Ask,
    request: HttpRequest,
    body: Raw,
) -> Result<HttpResponse, Problem> {
    ask.only(TAKES)?;
    if body.media != Media::Json {
        return Err(Problem::Media("application/json"));
    }
    let project = Name::parse_opt("project_id", ask.text("project_id"))?;
    let front = Front {
        way: Way::Exec(&state.exec),
        caller: ask.caller()?,
        project: project.map(|name| name.to_string()),
        session: format!("mcp-{}", state.exec.services().now().day()),
        metrics: Some(&state.metrics),
    };
    let headers = headers(request.headers());
    let reply = mcp::answer(&front, &body.bytes, Some(&headers))
        .await
        .map_err(|failure| Problem::Service(failure.error))?;
    let Some(body) = reply.body else {
        return Ok(HttpResponse::Accepted().finish());
    };
    let status = match reply.standing {
        Standing::Answer => StatusCode::OK,
        Standing::Malformed => StatusCode::BAD_REQUEST,
        Standing::NoMethod => StatusCode::NOT_FOUND,
    };
    Ok(HttpResponse::build(status)
        .content_type("application/json")
        .body(body))
}

fn headers(headers: &HeaderMap) -> Headers<'_> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    Headers {
        version: text("mcp-protocol-version"),
        method: text("mcp-method"),
        name: text("mcp-name"),
    }
}
