//! Holds what goes over the wire against the document that describes it.
//!
//! Every answer that the harness gets is checked: its operation and status are described, its type is one of those
//! described, and its body fits the schema, which is closed. The body of every write that was accepted has to fit the
//! schema of the request.
//!
//! **Invariant:** an answer escapes in two cases alone: no operation has this path and method (then it has to be a
//! refusal), or the request never was one (then it has no request id).

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use agent_memory::http::openapi;
use jsonschema::{Registry, Validator};
use serde_json::Value;
use ureq::config::ConfigBuilder;
use ureq::http::{Request, Response};
use ureq::middleware::MiddlewareNext;
use ureq::typestate::AgentScope;
use ureq::{Body, SendBody};

/// The document.
pub(crate) static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(openapi()).unwrap());

/// Where the schemas look for it.
const PLACE: &str = "https://document.test/openapi.json";

static REGISTRY: LazyLock<Registry<'static>> = LazyLock::new(|| {
    let registry = Registry::new().add(PLACE, &*DOCUMENT).unwrap();
    registry.prepare().unwrap()
});

static VALIDATORS: LazyLock<Mutex<HashMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);

/// A request and its answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Exchange<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) sent: Sent<'a>,
    pub(crate) status: u16,
    /// The answer's type, `x-request-id` and body.
    pub(crate) kind: &'a str,
    pub(crate) request_id: &'a str,
    pub(crate) body: &'a [u8],
}

/// What a request brought with it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sent<'a> {
    /// A body of a type.
    Body(&'a str, &'a [u8]),
    /// None.
    Nothing,
    /// It was not looked at.
    Unknown,
}

impl Exchange<'_> {
    /// Insists that it is as described.
    #[track_caller]
    pub(crate) fn check(&self) {
        if let Err(why) = self.judge() {
            let (method, path) = (self.method, self.path.chars().take(200).collect::<String>());
            panic!(
                "{method} {path} was answered {} otherwise than described: {why}",
                self.status
            );
        }
    }

    /// Why it is not as described.
    pub(crate) fn judge(&self) -> Result<(), String> {
        let status = self.status;
        if self.request_id.is_empty() {
            return Err("it has no request id".to_owned());
        }
        if status == 400 && self.is_no_request() {
            return Ok(());
        }
        let path = self.path.split('?').next().unwrap();
        let Some(operation) = operation(self.method, path) else {
            return match status {
                401 | 403..=405 | 429 => Ok(()),
                204 if self.method == "OPTIONS" => Ok(()),
                _ => Err("no operation is described".to_owned()),
            };
        };
        let at = format!("{operation}/responses/{status}");
        let response = DOCUMENT
            .pointer(&at)
            .ok_or_else(|| "the status is not described".to_owned())?;
        let at = match response["$ref"].as_str() {
            Some(place) => place.trim_start_matches('#').to_owned(),
            None => at,
        };
        self.judge_answer(&format!("{at}/content"))?;
        if (200..300).contains(&status) {
            self.judge_request(&format!("{operation}/requestBody/content"))
                .map_err(|why| format!("it was accepted, but {why}"))?;
        }
        Ok(())
    }

    /// Whether it says that what came is no request at all, so none of any operation.
    fn is_no_request(&self) -> bool {
        let problem: Value = serde_json::from_slice(self.body).unwrap_or_default();
        essence(self.kind) == "application/problem+json"
            && problem["errors"][0]["field"] == "request"
    }

    fn judge_answer(&self, content: &str) -> Result<(), String> {
        if self.method == "HEAD" || DOCUMENT.pointer(content).is_none() {
            return match self.body {
                [] => Ok(()),
                _ => Err("it has a body".to_owned()),
            };
        }
        let kind = essence(self.kind);
        fits(content, kind, self.body)
    }

    fn judge_request(&self, content: &str) -> Result<(), String> {
        let (kind, body) = match self.sent {
            _ if DOCUMENT.pointer(content).is_none() => return Ok(()),
            Sent::Unknown => return Ok(()),
            Sent::Nothing => return Err("it has no body".to_owned()),
            Sent::Body(kind, body) => (kind, body),
        };
        // A batch is answered 207 whatever its items are.
        if self.status == 207 {
            let answer: Value = serde_json::from_slice(self.body).unwrap();
            if answer["failed"] != 0 {
                return Ok(());
            }
        }
        let kind = kind.to_ascii_lowercase();
        let kind = match essence(&kind) {
            "application/ndjson" | "application/jsonl" => "application/x-ndjson",
            "" => "application/json",
            kind => kind,
        };
        fits(content, kind, body)
    }
}

/// A client that holds every answer against the document.
pub(crate) fn watched(config: ConfigBuilder<AgentScope>) -> ConfigBuilder<AgentScope> {
    config.middleware(watch)
}

fn watch(
    request: Request<SendBody<'_>>,
    next: MiddlewareNext<'_>,
) -> Result<Response<Body>, ureq::Error> {
    let (method, url) = (request.method().clone(), request.uri().clone());
    let (head, mut body) = next.handle(request)?.into_parts();
    let body = body.with_config().limit(64 << 20).read_to_vec()?;
    let header = |name: &str| {
        let value = head.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    };
    let exchange = Exchange {
        method: method.as_str(),
        path: url.path(),
        sent: Sent::Unknown,
        status: head.status.as_u16(),
        kind: header("content-type"),
        request_id: header("x-request-id"),
        body: &body,
    };
    exchange.check();
    Ok(Response::from_parts(head, Body::builder().data(body)))
}

/// The type without its parameters.
fn essence(kind: &str) -> &str {
    kind.split(';').next().unwrap().trim()
}

/// Where the operation of a method and path is described; a literal part is taken before a parameter.
fn operation(method: &str, path: &str) -> Option<String> {
    let method = method.to_ascii_lowercase();
    let paths = DOCUMENT["paths"].as_object().unwrap();
    let matching = paths
        .keys()
        .filter(|pattern| is_of(path, pattern))
        .min_by_key(|pattern| pattern.matches('{').count())?;
    let at = format!("/paths/{}/{method}", escaped(matching));
    DOCUMENT.pointer(&at).map(|_| at)
}

fn is_of(path: &str, pattern: &str) -> bool {
    let (mut parts, mut wanted) = (path.split('/'), pattern.split('/'));
    loop {
        match (parts.next(), wanted.next()) {
            (None, None) => return true,
            (Some(part), Some("{id}")) if !part.is_empty() => {}
            (Some(part), Some(wanted)) if part == wanted => {}
            _ => return false,
        }
    }
}

/// A key in a JSON pointer.
fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// Whether a body is of a described type and fits its schema.
fn fits(content: &str, kind: &str, body: &[u8]) -> Result<(), String> {
    let at = format!("{content}/{}", escaped(kind));
    let media = DOCUMENT
        .pointer(&at)
        .ok_or_else(|| format!("{kind:?} is not described"))?;
    if media.get("x-line-schema").is_some() {
        return body
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.trim_ascii().is_empty())
            .try_for_each(|line| fits_schema(&format!("{at}/x-line-schema"), line));
    }
    if kind.ends_with("json") {
        return fits_schema(&format!("{at}/schema"), body);
    }
    std::str::from_utf8(body)
        .map(drop)
        .map_err(|error| error.to_string())
}

fn fits_schema(at: &str, body: &[u8]) -> Result<(), String> {
    let value: Value = serde_json::from_slice(body).map_err(|error| format!("no JSON: {error}"))?;
    let errors: Vec<_> = validator(at)
        .iter_errors(&value)
        .map(|error| format!("{:?}: {error}", error.instance_path().as_str().to_owned()))
        .take(3)
        .collect();
    if errors.is_empty() {
        return Ok(());
    }
    let shown: String = value.to_string().chars().take(1000).collect();
    Err(format!(
        "{} does not hold for {shown}: {}",
        at,
        errors.join("; ")
    ))
}

/// The validator of a schema in the document, made once.
fn validator(at: &str) -> Arc<Validator> {
    let mut validators = VALIDATORS.lock().unwrap_or_else(PoisonError::into_inner);
    let made = validators.entry(at.to_owned()).or_insert_with(|| {
        let fragment = at.replace('{', "%7B").replace('}', "%7D");
        let schema = serde_json::json!({"$ref": format!("{PLACE}#{fragment}")});
        // A time has to be one in an answer; in a request the server takes more than RFC 3339 has.
        let validator = jsonschema::options()
            .with_registry(&REGISTRY)
            .should_validate_formats(!at.contains("requestBody"))
            .build(&schema);
        Arc::new(validator.unwrap_or_else(|error| panic!("{at}: {error}")))
    });
    Arc::clone(made)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What is said of an answer to the reading of an event.
    fn judged(path: &str, status: u16, kind: &str, body: &Value) -> String {
        let body = body.to_string();
        let exchange = Exchange {
            method: "GET",
            path,
            sent: Sent::Nothing,
            status,
            kind,
            request_id: "r",
            body: body.as_bytes(),
        };
        exchange.judge().err().unwrap_or_default()
    }

    fn session() -> Value {
        json!({
            "session_id": "s", "tenant_id": "t", "started_at": "2026-03-01T09:30:00.000Z",
            "last_seen_at": "2026-03-01T09:30:00.000Z", "counts": {"events": 1, "handoffs": 0},
        })
    }

    #[test]
    fn an_answer_that_is_not_as_described_is_noticed() {
        let list = "/api/v1/sessions?limit=1";
        let said = |session: &Value| {
            judged(
                list,
                200,
                "application/json",
                &json!({"sessions": [session]}),
            )
        };
        assert_eq!(said(&session()), "");
        let with = |key: &str, value: Value| {
            let mut session = session();
            session[key] = value;
            session
        };
        for (session, why) in [
            (with("extra", json!(1)), "extra"),
            (with("session_id", json!(1)), "/sessions/0/session_id"),
            (with("started_at", json!("yesterday")), "date-time"),
            (with("project_id", json!(null)), "/sessions/0/project_id"),
            (with("counts", json!({"events": 1})), "handoffs"),
            (json!({}), "required"),
        ] {
            assert!(said(&session).contains(why), "{why}: {}", said(&session));
        }
        let problem = json!({"status": 418});
        for (status, kind, body, why) in [
            (
                200,
                "text/html",
                json!({}),
                "\"text/html\" is not described",
            ),
            (200, "application/json", json!([]), "not of type"),
            (
                201,
                "application/json",
                json!({}),
                "status is not described",
            ),
            (422, "application/json", json!({}), "is not described"),
            (422, "application/problem+json", problem, "does not hold"),
        ] {
            let said = judged(list, status, kind, &body);
            assert!(said.contains(why), "{why}: {said}");
        }
    }

    #[test]
    fn a_path_is_that_of_one_operation() {
        let path = "/api/v1/handoffs/last";
        assert!(operation("GET", path).unwrap().ends_with("last/get"));
        let path = "/api/v1/handoffs/sh_1";
        assert!(operation("GET", path).unwrap().ends_with("{id}/get"));
        for path in ["/api/v1/handoffs/", "/api/v1/handoffs/a/b", "/api/v1"] {
            assert_eq!(operation("GET", path), None, "{path}");
        }
    }

    #[test]
    fn only_a_refusal_may_come_from_where_nothing_is_described() {
        for (status, ok) in [
            (404, true),
            (405, true),
            (403, true),
            (200, false),
            (500, false),
        ] {
            let said = judged("/api/v2/events", status, "application/json", &json!({}));
            assert_eq!(said.is_empty(), ok, "{status}: {said}");
        }
    }

    #[test]
    fn a_body_that_was_accepted_though_it_is_not_described_is_noticed() {
        let receipt = json!({"event_id": format!("evt_{}", "0".repeat(32)), "chunk_ids": []});
        let receipt = receipt.to_string();
        let said = |body: &Value| {
            let body = body.to_string();
            let exchange = Exchange {
                method: "POST",
                path: "/api/v1/events",
                sent: Sent::Body("application/json", body.as_bytes()),
                status: 201,
                kind: "application/json",
                request_id: "r",
                body: receipt.as_bytes(),
            };
            exchange.judge().err().unwrap_or_default()
        };
        let event = crate::harness::event(&json!({}));
        assert_eq!(said(&event), "");
        assert!(said(&json!({})).contains("it was accepted, but"));
        assert!(said(&json!({"extra": 1})).contains("it was accepted, but"));
    }
}
