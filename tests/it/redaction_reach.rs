//! Redaction on every way in, and what a rescan makes of a file that was written without it.
//!
//! The ways in are taken from the description of the interface: every operation that writes, and every string in its
//! request, gets a secret of its own. The same requests go to a server that was told not to redact, which shows that
//! each of these secrets would be stored.
//!
//! **Invariant:** a string that is not planted is one that the description binds to a form (an id, a time, one of a few
//! words) or that names a tenant.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::contract::DOCUMENT;
use crate::harness::made_id;
use crate::import::sealed;
use crate::process::{Server, client, command};

/// Writes that are planted by hand: they read a file of rows, or they only ask. A key's name is refused with a secret in it,
/// as a tool's text goes the way of the other writes.
const NOT_BY_SCHEMA: &[&str] = &[
    "/api/v1/keys",
    "/mcp",
    "/api/v1/import",
    "/api/v1/recall",
    "/api/v1/context",
    "/api/v1/acb/build",
];

/// What was planted where.
#[derive(Default)]
struct Garden {
    traces: Vec<(String, String)>,
    ids: u32,
}

impl Garden {
    /// A secret that is found again by its trace. Put together here, so that no scanner takes this file for a leak.
    fn secret(&mut self, place: &str) -> String {
        let number = self.traces.len();
        let trace = format!("Zq7Xw9Lk2Mv4Trace{number:03}");
        self.traces.push((place.to_owned(), trace.clone()));
        // Numbered, so that two names are still two without their secrets.
        format!("say {number} sk_{}_{trace}", "live")
    }

    /// A value that fits a schema, with a secret in every string that may be any.
    fn grow(&mut self, place: &str, schema: &Value) -> Value {
        if let Some(at) = schema["$ref"].as_str() {
            let name = at.rsplit('/').next().unwrap();
            return match name {
                "TenantId" => json!("default"),
                "Timestamp" => json!("2026-03-01T09:30:00.000Z"),
                _ => self.grow(place, DOCUMENT.pointer(at.trim_start_matches('#')).unwrap()),
            };
        }
        if let Some(one) = schema.get("const").or_else(|| schema["enum"].get(0)) {
            return one.clone();
        }
        if let Some(first) = schema["anyOf"].get(0).or_else(|| schema["oneOf"].get(0))
            && schema.get("properties").is_none()
        {
            return self.grow(place, first);
        }
        if let Some(prefix) = schema["pattern"].as_str().and_then(|p| p.strip_prefix('^')) {
            self.ids += 1;
            return json!(made_id(prefix.split('_').next().unwrap(), self.ids));
        }
        let kind = match &schema["type"] {
            Value::Array(kinds) => kinds[0].as_str().unwrap_or_default(),
            kind => kind.as_str().unwrap_or_default(),
        };
        match kind {
            "string" => json!(self.secret(place)),
            "array" => json!([self.grow(&format!("{place}[]"), &schema["items"])]),
            "integer" => json!(1),
            "number" => json!(0.5),
            "boolean" => json!(false),
            "object" if schema.get("properties").is_none() => {
                let key = self.secret(&format!("{place}.key"));
                json!({"text": self.secret(place), "deep": [{key: self.secret(&format!("{place}.deep"))}],
                    "json": json!({"inner": self.secret(&format!("{place}.json"))}).to_string()})
            }
            "object" => self.object(place, schema),
            _ => panic!("{place}: {schema}"),
        }
    }

    fn object(&mut self, place: &str, schema: &Value) -> Value {
        let mut object = Map::new();
        for (name, schema) in schema["properties"].as_object().unwrap() {
            // An alias of another field, what a client gives only to repeat itself, and what has to agree with other rows.
            let left_out = ["fingerprint", "superseded_by", "artifact_id"].contains(&name.as_str());
            if left_out || name == "text" && object.contains_key("content") {
                continue;
            }
            let value = match name.as_str() {
                "tenant_id" => json!("default"),
                _ => self.grow(&format!("{place}.{name}"), schema),
            };
            object.insert(name.clone(), value);
        }
        Value::Object(object)
    }
}

/// Sends every kind of write, and answers what was planted.
fn write_everything(server: &Server) -> Garden {
    let mut garden = Garden::default();
    let mut sent = 0;
    for (path, operations) in DOCUMENT["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let Some(schema) = operation.pointer("/requestBody/content/application~1json/schema")
            else {
                continue;
            };
            if NOT_BY_SCHEMA.contains(&path.as_str()) {
                continue;
            }
            let place = format!("{method} {path}");
            let (mut schema, mut path) = (schema, path.clone());
            if path.contains("{id}") {
                let list = path.split('/').nth(3).unwrap();
                let made = post(
                    server,
                    "POST",
                    &format!("/api/v1/{list}"),
                    &json!({"decision": "x", "content": "x"}),
                    list,
                );
                let key = if list == "decisions" {
                    "decision_id"
                } else {
                    "note_id"
                };
                path = path.replace("{id}", made[key].as_str().unwrap());
            }
            if path.ends_with("/supersede") {
                schema = DOCUMENT
                    .pointer("/components/schemas/DecisionDraft")
                    .unwrap();
            }
            let body = garden.grow(&place, schema);
            post(server, &method.to_uppercase(), &path, &body, "");
            sent += 1;
        }
    }
    assert!(sent >= 8, "only {sent} operations write");
    let long = format!("{} {}", "long ".repeat(20_000), garden.secret("artifact"));
    let event = json!({"session_id": "long", "channel": "private", "actor": {"type": "human", "id": "ada"},
        "kind": "tool_result", "content": {"output": long}});
    post(server, "POST", "/api/v1/events", &event, "");
    let mut rows = Vec::new();
    for line in DOCUMENT["components"]["schemas"]["ExportLineInput"]["oneOf"]
        .as_array()
        .unwrap()
    {
        let kind = line["properties"]["type"]["const"].as_str().unwrap();
        if !["header", "artifact", "trailer"].contains(&kind) {
            rows.push(garden.grow(&format!("import {kind}"), line));
        }
    }
    for row in &mut rows {
        if row["type"] == "reflection" {
            row["period_end"] = json!("2026-03-02T09:30:00.000Z");
        }
    }
    let answer = client()
        .post(server.url("/api/v1/import"))
        .content_type("application/x-ndjson")
        .send(sealed(&rows))
        .unwrap()
        .body_mut()
        .read_to_string()
        .unwrap();
    let report: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(report["conflict_count"], 0, "{answer}");
    garden
}

/// What a list takes of a body for all.
#[track_caller]
fn post(server: &Server, method: &str, path: &str, body: &Value, only: &str) -> Value {
    let mut body = body.clone();
    if let Some(object) = body.as_object_mut().filter(|_| !only.is_empty()) {
        object.retain(|key, _| {
            key == if only == "decisions" {
                "decision"
            } else {
                "content"
            }
        });
    }
    let client = client();
    let request = if method == "PATCH" {
        client.patch(server.url(path))
    } else {
        client.post(server.url(path))
    };
    let mut answer = request.send_json(&body).unwrap();
    let text = answer.body_mut().read_to_string().unwrap();
    assert!(
        answer.status().is_success(),
        "{method} {path} {body}: {text}"
    );
    serde_json::from_str(&text).unwrap()
}

/// The places whose secret stands in a file of the memory.
fn stored<'a>(dir: &TempDir, garden: &'a Garden) -> Vec<&'a str> {
    let mut bytes = Vec::new();
    for entry in fs::read_dir(dir.path()).unwrap() {
        bytes.extend(fs::read(entry.unwrap().path()).unwrap());
    }
    bytes.make_ascii_lowercase();
    let text = String::from_utf8_lossy(&bytes);
    let there = |trace: &str| text.contains(&trace.to_ascii_lowercase());
    let places = garden.traces.iter().filter(|(_, trace)| there(trace));
    places.map(|(place, _)| place.as_str()).collect()
}

fn run(db: &Path, args: &[&str]) -> Output {
    command(db).args(args).output().unwrap()
}

fn json_of(output: &Output) -> Value {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn no_field_of_any_write_stores_a_secret() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start(&dir.path().join("memory.db"));
    let garden = write_everything(&server);
    assert!(garden.traces.len() > 60, "{}", garden.traces.len());
    assert!(server.terminate().success());
    assert_eq!(stored(&dir, &garden), [""; 0]);
}

#[test]
fn a_rescan_replaces_what_was_stored_without_redaction() {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("memory.db");
    let mut server = Server::start_with(&db, &["--redact", "off"]);
    let garden = write_everything(&server);
    let scrape = client()
        .get(server.url("/metrics"))
        .call()
        .unwrap()
        .body_mut()
        .read_to_string()
        .unwrap();
    assert!(scrape.contains("\nagent_memory_redaction_enabled 0\n"));
    assert!(server.terminate().success());
    // Each of them would be stored, if it were not for redaction; a second write of the same artifact or name aside.
    let all: Vec<&str> = garden
        .traces
        .iter()
        .map(|(place, _)| place.as_str())
        .collect();
    assert_eq!(stored(&dir, &garden), all);
    let before = json_of(&run(&db, &["status", "--json"]));
    assert_eq!(before["redaction"], "on");

    let seen = run(&db, &["rescan", "--dry-run", "--json"]);
    let report = json_of(&seen)["tenants"]["default"].clone();
    assert_eq!(
        report["secrets"]["stripe_key"],
        report["secrets"]
            .as_object()
            .unwrap()
            .values()
            .map(|n| n.as_i64().unwrap())
            .sum::<i64>()
    );
    assert_eq!(
        (&report["replaced"], &report["left"]),
        (&json!(0), &json!(0))
    );
    assert_eq!(stored(&dir, &garden), all, "a dry run changes nothing");

    let done = run(&db, &["rescan"]);
    let said =
        String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
    assert!(
        !said.contains("Trace") && said.contains("1 stripe_key") && said.contains("knowledge kn_"),
        "{said}"
    );
    assert_eq!(stored(&dir, &garden), [""; 0], "{said}");

    let again =
        json_of(&run(&db, &["rescan", "--json", "--all-tenants"]))["tenants"]["default"].clone();
    assert_eq!(
        (&again["rows"], &again["replaced"]),
        (&json!(0), &json!(0)),
        "{again}"
    );
    // Nothing but the secrets is gone: as many of everything as before, the index agrees, and what was said is found.
    let after = json_of(&run(&db, &["status", "--json"]));
    for stat in [
        "events.message",
        "notes",
        "decisions.active",
        "handoffs.full",
        "reflections",
        "principles",
        "sessions",
    ] {
        assert_eq!(before["stats"][stat], after["stats"][stat], "{stat}");
    }
    assert!(run(&db, &["doctor"]).status.success());
    let found = json_of(&run(
        &db,
        &["recall", "--json", "say", "redacted", "stripe"],
    ));
    assert!(!found["hits"].as_array().unwrap().is_empty(), "{found}");
}

#[test]
fn a_rescan_says_what_it_cannot_do() {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("memory.db");
    let missing = run(&db, &["rescan"]);
    assert_eq!(missing.status.code(), Some(4));
    let off = run(&db, &["rescan", "--redact", "off"]);
    assert_eq!(off.status.code(), Some(2));
    // A note of nothing but what is private cannot be kept without it.
    let note = run(
        &db,
        &[
            "--redact",
            "off",
            "note",
            "<private>the safe is behind the painting</private>",
        ],
    );
    assert!(note.status.success());
    let done = run(&db, &["rescan"]);
    let said =
        String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(1), "{said}");
    assert!(
        said.contains("1 private_passage; not replaced") && !said.contains("painting"),
        "{said}"
    );
}
