//! The description of the interface.

use std::collections::BTreeSet;

use agent_memory::http::ROUTES;
use serde_json::{Value, json};

use crate::contract::DOCUMENT;
use crate::harness::{TestApp, made_id};

/// The OpenAPI Initiative's schema of documents.
const OFFICIAL: &str = include_str!("../data/openapi-3.1-schema-2022-10-07.json");

#[test]
fn is_served_as_it_is() {
    let app = TestApp::start();
    let answer = app.get("/openapi.json");
    assert_eq!(answer.header("content-type"), "application/json");
    let document = answer.ok();
    assert_eq!(document, *DOCUMENT);
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn is_openapi_3_1() {
    let official: Value = serde_json::from_str(OFFICIAL).unwrap();
    let official = jsonschema::validator_for(&official).unwrap();
    let errors: Vec<_> = official
        .iter_errors(&DOCUMENT)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{errors:#?}");
    for (name, schema) in DOCUMENT["components"]["schemas"].as_object().unwrap() {
        let verdict = jsonschema::draft202012::meta::validate(schema);
        assert!(verdict.is_ok(), "{name}: {}", verdict.unwrap_err());
    }
}

/// Every value in the document, with its key.
fn each<'a>(key: &str, value: &'a Value, look: &mut impl FnMut(&str, &'a Value)) {
    look(key, value);
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| each(key, value, look)),
        Value::Array(items) => items.iter().for_each(|value| each("", value, look)),
        _ => {}
    }
}

#[test]
fn refers_to_everything_it_has_and_to_nothing_else() {
    let mut meant = BTreeSet::new();
    each("", &DOCUMENT, &mut |key, value| {
        if let ("$ref", Some(place)) = (key, value.as_str()) {
            let place = place.trim_start_matches('#');
            assert!(DOCUMENT.pointer(place).is_some(), "{place}");
            meant.insert(place.to_owned());
        }
    });
    // By name, as a requirement does.
    for scheme in DOCUMENT["security"].as_array().unwrap() {
        for name in scheme.as_object().unwrap().keys() {
            meant.insert(format!("/components/securitySchemes/{name}"));
        }
    }
    for (kind, items) in DOCUMENT["components"].as_object().unwrap() {
        for name in items.as_object().unwrap().keys() {
            let place = format!("/components/{kind}/{name}");
            assert!(meant.contains(&place), "nothing refers to {place}");
        }
    }
}

#[test]
fn speaks_to_clients() {
    each("", &DOCUMENT, &mut |key, value| {
        if let ("description" | "summary", Some(text)) = (key, value.as_str()) {
            assert!(!text.contains("[`") && !text.contains('\n'), "{text}");
        }
    });
}

/// What the document says of one route.
pub(crate) struct Operation {
    pub(crate) method: String,
    pub(crate) pattern: &'static str,
    said: &'static Value,
}

impl Operation {
    pub(crate) fn all() -> Vec<Self> {
        let paths = DOCUMENT["paths"].as_object().unwrap();
        let mut all = Vec::new();
        for (pattern, methods) in paths {
            for (method, said) in methods.as_object().unwrap() {
                all.push(Self {
                    method: method.to_uppercase(),
                    pattern,
                    said,
                });
            }
        }
        assert_eq!(all.len(), ROUTES.len());
        all
    }

    fn parameters(&self, place: &str) -> impl Iterator<Item = &'static Value> {
        let all = self.said["parameters"].as_array();
        let all = all.into_iter().flatten().map(followed);
        all.filter(move |parameter| parameter["in"] == place)
    }

    /// Whether it takes this parameter.
    pub(crate) fn takes_query(&self, name: &str) -> bool {
        self.query().contains(name)
    }

    fn query(&self) -> BTreeSet<&'static str> {
        let query = self.parameters("query");
        query.map(|one| one["name"].as_str().unwrap()).collect()
    }

    /// Its path, with an id of the right kind that nothing has.
    fn path(&self) -> String {
        let made = self.parameters("path").next().map(|id| {
            let pattern = followed(&id["schema"])["pattern"].as_str();
            let prefix = pattern.and_then(|pattern| pattern[1..].split_once("_["));
            prefix.map_or("nobody".to_owned(), |(prefix, _)| made_id(prefix, 1))
        });
        self.pattern.replace("{id}", &made.unwrap_or_default())
    }

    fn answers(&self, status: u16) -> bool {
        self.said["responses"].get(status.to_string()).is_some()
    }

    fn takes(&self, kind: &str) -> bool {
        self.said["requestBody"]["content"].get(kind).is_some()
    }
}

/// What a reference means.
fn followed(value: &'static Value) -> &'static Value {
    match value["$ref"].as_str() {
        Some(place) => DOCUMENT.pointer(&place[1..]).unwrap(),
        None => value,
    }
}

#[test]
fn names_the_parameters_that_are_let_through_and_no_other() {
    let app = TestApp::start();
    let all = Operation::all();
    let every: BTreeSet<_> = all.iter().flat_map(Operation::query).collect();
    for operation in &all {
        let names = operation.query();
        // What takes no tenant takes no parameter, and looks at none.
        if !names.contains("tenant_id") {
            assert!(names.is_empty(), "{}", operation.pattern);
            continue;
        }
        let (method, path) = (operation.method.as_str(), operation.path());
        let body = ["POST", "PATCH"].contains(&method).then_some(&b"{}"[..]);
        for name in every.iter().chain(&["zzz"]) {
            let answer = app.send(method, &format!("{path}?{name}=%20"), &[], body);
            let refused = answer.status == 422
                && answer.json()["errors"][0]
                    == json!({"field": name, "reason": "is not a parameter of this route"});
            assert_eq!(
                refused,
                !names.contains(name),
                "{method} {path}?{name}=: {}",
                answer.text()
            );
        }
    }
}

#[test]
fn names_the_refusals_that_happen() {
    let mut app = TestApp::start_with(|config| config.max_body_bytes = 1000);
    app.use_key(&app.key("default", "admin"));
    let long = "x".repeat(2000);
    for operation in Operation::all() {
        let (method, path) = (operation.method.as_str(), operation.path());
        let refused = |headers: &[(&str, &str)], body: Option<&str>, status: u16| {
            let answer = app.send(method, &path, headers, body.map(str::as_bytes));
            assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
            assert!(operation.answers(status), "{method} {path}");
        };
        let has_body = operation.said.get("requestBody").is_some();
        let body = has_body.then_some("{}");
        refused(&[("origin", "http://evil.example")], body, 403);
        if has_body {
            refused(&[("content-type", "text/html")], Some("{}"), 415);
            refused(&[], Some("{"), 400);
            for kind in ["application/json", "application/x-ndjson"] {
                if !operation.takes(kind) {
                    refused(&[("content-type", kind)], Some("{}"), 415);
                }
            }
        }
        if operation.answers(413) {
            refused(&[], Some(&long), 413);
        }
        if operation.pattern.contains("{id}") {
            // What is no text names nothing, or nothing that could be.
            let path = operation.pattern.replace("{id}", "%FF");
            let answer = app.send(method, &path, &[], body.map(str::as_bytes));
            assert!([404, 422].contains(&answer.status), "{}", answer.text());
        }
        // There it is a method that there is not; tests/it/mcp.rs has it.
        if operation.answers(404) && operation.pattern != "/mcp" {
            let body = has_body.then_some(r#"{"decision": "gone"}"#);
            let body = if method == "PATCH" { Some("{}") } else { body };
            // A key opens one tenant, and tells of another not even that it is not there.
            let tenant = operation.pattern == "/api/v1/tenants/{id}";
            refused(&[], body, if tenant { 403 } else { 404 });
        }
        if operation.answers(422) {
            let answer = app.send(
                method,
                &format!("{path}?zzz=1"),
                &[],
                body.map(str::as_bytes),
            );
            answer.blames(422, "zzz");
        }
    }
}
