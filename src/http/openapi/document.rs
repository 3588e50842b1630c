//! The document, put together from the operations.
//!
//! **Invariant:** whatever is said of more than one operation stands once, under `components`.

use serde_json::{Map, Value, json};

use crate::domain::{TenantId, page};
use crate::http::openapi::operation::{Answer, Form, Media, Operation, Tag};
use crate::http::openapi::schema::{Schemas, rename};
use crate::http::openapi::{Query, SchemaOf};
use crate::http::problem::{self, FAILURES, Failure};
use crate::http::request::COMMON;
use crate::service::event::MAX_KEY_BYTES;

const ABOUT: &str = "The memory that AI agents keep between sessions, over one SQLite file. Every answer is JSON unless \
    something else is said, every refusal an RFC 9457 problem. An unknown parameter or member is refused. A read shows \
    what its `channel` may hear: `private` (the default) and `team` more than `public` and `agent`. A body that names no \
    type is taken for what the route takes first; `application/ndjson` and `application/jsonl` are \
    `application/x-ndjson` as well.";

/// The document as JSON.
pub(super) fn render(operations: &[Operation]) -> Box<str> {
    let mut schemas = Schemas::new();
    let mut paths = Map::new();
    for operation in operations {
        let path = paths
            .entry(operation.path)
            .or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(path) = path {
            path.insert(
                operation.method.to_ascii_lowercase(),
                describe(operation, &mut schemas),
            );
        }
    }
    let parameters = parameters(&mut schemas);
    let responses: Map<String, Value> = FAILURES
        .iter()
        .map(|failure| (failure.name.to_owned(), refusal(failure, &mut schemas)))
        .collect();
    let (schemas, differing) = schemas.finish();
    let mut paths = Value::Object(paths);
    let mut parameters = Value::Object(parameters);
    for_requests(&mut paths, &mut |part| rename(part, &differing));
    rename(&mut parameters, &differing);
    let tags: Vec<_> = Tag::ALL
        .iter()
        .map(|tag| tag.words())
        .map(|(name, description)| json!({"name": name, "description": description}))
        .collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "agent-memory",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": {"name": env!("CARGO_PKG_LICENSE"), "identifier": env!("CARGO_PKG_LICENSE")},
        },
        "servers": [{"url": "/"}],
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": schemas,
            "parameters": parameters,
            "headers": headers(),
            "responses": responses,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "A key of the server."},
                "header": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same key."},
            },
        },
        // None is needed until the first key was made.
        "security": [{}, {"bearer": []}, {"header": []}],
    })
    .to_string()
    .into_boxed_str()
}

/// The parts of the operations that describe what is read.
fn for_requests(paths: &mut Value, change: &mut impl FnMut(&mut Value)) {
    let operations = paths
        .as_object_mut()
        .into_iter()
        .flat_map(Map::values_mut)
        .filter_map(Value::as_object_mut)
        .flat_map(Map::values_mut);
    for operation in operations {
        for part in ["parameters", "requestBody"] {
            if let Some(part) = operation.get_mut(part) {
                change(part);
            }
        }
    }
}

fn describe(operation: &Operation, schemas: &mut Schemas) -> Value {
    let mut parameters = Vec::new();
    if let Some(id) = operation.path_id {
        let schema = schemas.read(id);
        parameters.push(json!({"name": "id", "in": "path", "required": true, "schema": schema}));
    }
    parameters.extend(
        operation
            .query
            .iter()
            .map(|query| parameter(query, schemas)),
    );
    if operation.scoped {
        let names = COMMON.iter().map(|query| query.name);
        parameters.extend(names.chain(["X-Tenant-Id"]).map(common));
    }
    if operation.idempotent {
        parameters.push(common("Idempotency-Key"));
    }
    let mut responses = Map::new();
    for answer in &operation.answers {
        responses.insert(answer.status.to_string(), response(answer, schemas));
    }
    for status in &operation.failures {
        if let Some(failure) = FAILURES.iter().find(|failure| failure.status == *status) {
            let place = format!("#/components/responses/{}", failure.name);
            responses
                .entry(status.to_string())
                .or_insert_with(|| json!({"$ref": place}));
        }
    }
    let mut described = Map::new();
    let (tag, _) = operation.tag.words();
    described.insert("operationId".to_owned(), operation.id.into());
    described.insert("summary".to_owned(), operation.summary.into());
    described.insert("tags".to_owned(), json!([tag]));
    if !parameters.is_empty() {
        described.insert("parameters".to_owned(), parameters.into());
    }
    if !operation.body.is_empty() {
        let content = content(&operation.body, &mut |schema| schemas.read(schema));
        described.insert(
            "requestBody".to_owned(),
            json!({"required": true, "content": content}),
        );
    }
    described.insert("responses".to_owned(), responses.into());
    described.into()
}

fn common(name: &str) -> Value {
    json!({"$ref": format!("#/components/parameters/{name}")})
}

fn parameter(query: &Query, schemas: &mut Schemas) -> Value {
    let schema = schemas.read(query.schema);
    let mut parameter =
        json!({"name": query.name, "in": "query", "description": query.says, "schema": schema});
    if let (true, Value::Object(map)) = (query.required, &mut parameter) {
        map.insert("required".to_owned(), true.into());
    }
    // A list is written with commas.
    if let (Some("array"), Value::Object(map)) =
        (schema.get("type").and_then(Value::as_str), &mut parameter)
    {
        map.insert("style".to_owned(), "form".into());
        map.insert("explode".to_owned(), false.into());
    }
    parameter
}

fn parameters(schemas: &mut Schemas) -> Map<String, Value> {
    let mut all: Map<String, Value> = COMMON
        .iter()
        .map(|query| (query.name.to_owned(), parameter(query, schemas)))
        .collect();
    let tenant = schemas.read(|schemas| schemas.subschema_for::<TenantId>());
    all.insert(
        "X-Tenant-Id".to_owned(),
        json!({
            "name": "X-Tenant-Id", "in": "header", "schema": tenant,
            "description": "The tenant, as `tenant_id`; two that differ are refused.",
        }),
    );
    all.insert(
        "Idempotency-Key".to_owned(),
        json!({
            "name": "Idempotency-Key", "in": "header",
            "description": "Makes a write repeatable for 24 hours: the same key and body is answered like the first time, \
                another body with it is 409.",
            "schema": {"type": "string", "pattern": format!("^[!-~]{{1,{MAX_KEY_BYTES}}}$")},
        }),
    );
    all
}

fn headers() -> Value {
    json!({
        "X-Request-Id": {
            "description": "The request's own `X-Request-Id`, if that is 1 to 64 letters, digits or any of `- _ .`, else a new one.",
            "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
        },
        "WWW-Authenticate": {
            "description": "How a key is shown.",
            "schema": {"type": "string", "const": "Bearer"},
        },
        "Retry-After": {
            "description": "Seconds after which another try is worth it.",
            "schema": {"type": "integer", "minimum": 0},
        },
    })
}

fn header(name: &str) -> Value {
    json!({"$ref": format!("#/components/headers/{name}")})
}

fn response(answer: &Answer, schemas: &mut Schemas) -> Value {
    let mut response = json!({
        "description": answer.says,
        "headers": {"X-Request-Id": header("X-Request-Id")},
    });
    if let (false, Value::Object(map)) = (answer.media.is_empty(), &mut response) {
        let content = content(&answer.media, &mut |schema| schemas.written(schema));
        map.insert("content".to_owned(), content);
    }
    response
}

fn refusal(failure: &Failure, schemas: &mut Schemas) -> Value {
    let problem = schemas.written(problem::schema);
    let mut headers = json!({"X-Request-Id": header("X-Request-Id")});
    let more = match failure.status {
        401 => Some("WWW-Authenticate"),
        429 | 503 => Some("Retry-After"),
        _ => None,
    };
    if let (Some(name), Value::Object(map)) = (more, &mut headers) {
        map.insert(name.to_owned(), header(name));
    }
    let narrowed = json!({"properties": {
        "status": {"const": failure.status},
        "code": {"enum": failure.codes},
    }});
    json!({
        "description": failure.says,
        "headers": headers,
        "content": {"application/problem+json": {"schema": {"allOf": [problem, narrowed]}}},
    })
}

fn content(media: &[Media], schema: &mut impl FnMut(SchemaOf) -> Value) -> Value {
    media
        .iter()
        .map(|media| (media.kind.to_owned(), body(media.form, schema)))
        .collect::<Map<_, _>>()
        .into()
}

fn body(form: Form, schema: &mut impl FnMut(SchemaOf) -> Value) -> Value {
    match form {
        Form::Value(of) => json!({"schema": schema(of)}),
        Form::Page(name, of) => {
            let items = schema(of);
            json!({"schema": {
                "type": "object",
                "properties": {
                    name: {"type": "array", "items": items, "maxItems": page::MAX_LIMIT},
                    "next_cursor": {"type": "string", "description": "The `cursor` of the next page; absent on the last."},
                },
                "required": [name],
                "additionalProperties": false,
            }})
        }
        // OpenAPI 3.1 has no word for the items of a stream.
        Form::Lines(of) => json!({
            "schema": {"type": "string", "description": "A JSON value a line, as in `x-line-schema`."},
            "x-line-schema": schema(of),
        }),
        Form::Text => json!({"schema": {"type": "string"}}),
    }
}
