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

/// The operations, each with its method, path and parameters in the query.
fn operations() -> Vec<(String, &'static str, BTreeSet<&'static str>)> {
    let paths = DOCUMENT["paths"].as_object().unwrap();
    let mut all = Vec::new();
    for (path, methods) in paths {
        for (method, operation) in methods.as_object().unwrap() {
            let parameters = operation["parameters"].as_array();
            let queries = parameters.into_iter().flatten().filter_map(|parameter| {
                let parameter = match parameter["$ref"].as_str() {
                    Some(place) => DOCUMENT.pointer(&place[1..]).unwrap(),
                    None => parameter,
                };
                (parameter["in"] == "query").then(|| parameter["name"].as_str().unwrap())
            });
            all.push((method.to_uppercase(), path.as_str(), queries.collect()));
        }
    }
    assert_eq!(all.len(), ROUTES.len());
    all
}

#[test]
fn names_the_parameters_that_are_let_through_and_no_other() {
    let app = TestApp::start();
    let all = operations();
    let every: BTreeSet<_> = all
        .iter()
        .flat_map(|(_, _, names)| names)
        .copied()
        .collect();
    for (method, pattern, names) in &all {
        // What takes no tenant takes no parameter, and looks at none.
        if !names.contains("tenant_id") {
            assert!(names.is_empty(), "{method} {pattern}");
            continue;
        }
        let path = pattern.replace("{id}", &made_id("none", 1));
        let body = matches!(method.as_str(), "POST" | "PATCH").then_some(b"{}".as_slice());
        for name in every.iter().chain(&["zzz"]) {
            let answer = app.send(method, &format!("{path}?{name}=%20"), &[], body);
            let refused = answer.status == 422
                && answer.json()["errors"][0]
                    == json!({"field": name, "reason": "is not a parameter of this route"});
            assert_eq!(
                refused,
                !names.contains(name),
                "{method} {pattern}?{name}=: {} {}",
                answer.status,
                answer.text()
            );
        }
    }
}
