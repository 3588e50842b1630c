//! From Rust types to the schemas of the document.
//!
//! What is read and what is written may differ for one type (an `Option` that is left out, a default), so there are two
//! generators. A type that comes out the same stands once in the document; otherwise what is read is called `…Input`.
//!
//! **Invariant:** every object of an answer is closed, so that a member nobody described is noticed.

use std::collections::{BTreeMap, BTreeSet};

use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value};

/// Gives the schema of a type.
pub(in crate::http) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

const PLACE: &str = "/components/schemas";

/// The schemas of what is read, and those of what is written.
pub(super) struct Schemas {
    read: SchemaGenerator,
    written: SchemaGenerator,
}

impl Schemas {
    pub(super) fn new() -> Self {
        let settings = SchemaSettings::draft2020_12().with(|settings| {
            settings.meta_schema = None;
            settings.definitions_path = PLACE.into();
        });
        Self {
            read: settings.clone().for_deserialize().into_generator(),
            written: settings.for_serialize().into_generator(),
        }
    }

    /// The schema of something in a request.
    pub(super) fn read(&mut self, schema: SchemaOf) -> Value {
        tidied(schema(&mut self.read).to_value(), false)
    }

    /// The schema of something in an answer.
    pub(super) fn written(&mut self, schema: SchemaOf) -> Value {
        tidied(schema(&mut self.written).to_value(), true)
    }

    /// The schemas that were referred to, by name; and the names under which requests mean something else.
    pub(super) fn finish(mut self) -> (Map<String, Value>, BTreeSet<String>) {
        let take = |generator: &mut SchemaGenerator, close| -> BTreeMap<String, Value> {
            let found = generator.take_definitions(true);
            found
                .into_iter()
                .map(|(name, schema)| (name, tidied(schema, close)))
                .collect()
        };
        let mut read = take(&mut self.read, false);
        let written = take(&mut self.written, true);
        let mut differing: BTreeSet<String> = BTreeSet::new();
        // What refers to something that differs, differs.
        loop {
            let differs = |name: &String, schema: &Value| {
                written.get(name).is_some_and(|other| {
                    other != schema || differing.iter().any(|differing| refers(schema, differing))
                })
            };
            let more: Vec<_> = read
                .iter()
                .filter(|(name, schema)| !differing.contains(*name) && differs(name, schema))
                .map(|(name, _)| name.clone())
                .collect();
            if more.is_empty() {
                break;
            }
            differing.extend(more);
        }
        let mut all = written;
        for (name, schema) in &mut read {
            rename(schema, &differing);
            let name = if differing.contains(name) {
                input(name)
            } else {
                name.clone()
            };
            all.insert(name, schema.take());
        }
        (all.into_iter().collect(), differing)
    }
}

fn input(name: &str) -> String {
    format!("{name}Input")
}

fn refers(schema: &Value, name: &str) -> bool {
    match schema {
        Value::Object(map) => map.iter().any(|(key, value)| {
            (key == "$ref" && *value == *reference(name)) || refers(value, name)
        }),
        Value::Array(items) => items.iter().any(|item| refers(item, name)),
        _ => false,
    }
}

/// Lets a part of a request refer to what is read, where that differs.
pub(super) fn rename(schema: &mut Value, differing: &BTreeSet<String>) {
    match schema {
        Value::Object(map) => {
            for (key, value) in map {
                let name = value.as_str().and_then(|text| text.rsplit('/').next());
                match name.filter(|name| key == "$ref" && differing.contains(*name)) {
                    Some(name) => *value = reference(&input(name)).into(),
                    None => rename(value, differing),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, differing)),
        _ => {}
    }
}

/// Where a schema stands.
fn reference(name: &str) -> String {
    format!("#{PLACE}/{name}")
}

/// Without what says nothing, and closed if that is asked for.
fn tidied(mut schema: Value, close: bool) -> Value {
    tidy(&mut schema, close);
    schema
}

fn tidy(schema: &mut Value, close: bool) {
    let Value::Object(map) = schema else { return };
    // An absent member is not `null` to a client, `uint` is no format that others know, and which way a member goes
    // shows where it stands.
    map.retain(|key, value| match key.as_str() {
        "default" => !value.is_null(),
        "format" => *value != "uint",
        "required" => *value != Value::Array(Vec::new()),
        "writeOnly" | "readOnly" => false,
        _ => true,
    });
    if close {
        never_null(map);
    }
    for (key, value) in map.iter_mut() {
        match (key.as_str(), value) {
            ("enum" | "const" | "default" | "examples" | "required", _) => {}
            ("properties" | "patternProperties", Value::Object(members)) => {
                members.values_mut().for_each(|member| tidy(member, close));
            }
            (_, Value::Array(items)) => items.iter_mut().for_each(|item| tidy(item, close)),
            (_, value) => tidy(value, close),
        }
    }
    if close
        && map.contains_key("properties")
        && !map.contains_key("additionalProperties")
        && !map.contains_key("unevaluatedProperties")
    {
        let composed = ["$ref", "allOf", "anyOf", "oneOf"];
        let closing = if composed.iter().any(|key| map.contains_key(*key)) {
            "unevaluatedProperties"
        } else {
            "additionalProperties"
        };
        map.insert(closing.to_owned(), false.into());
    }
}

/// What may be left out of an answer is left out, not `null`.
fn never_null(object: &mut Map<String, Value>) {
    let required = object.get("required").cloned().unwrap_or_default();
    let required: Vec<_> = required.as_array().into_iter().flatten().collect();
    let Some(Value::Object(members)) = object.get_mut("properties") else {
        return;
    };
    let optional = members
        .iter_mut()
        .filter(|(name, _)| !required.iter().any(|known| *known == name.as_str()));
    for member in optional.filter_map(|(_, member)| member.as_object_mut()) {
        if let Some(Value::Array(types)) = member.get_mut("type") {
            types.retain(|one| one != "null");
            if let [one] = types.as_slice() {
                let one = one.clone();
                member.insert("type".to_owned(), one);
            }
        }
        if let Some(Value::Array(forms)) = member.get_mut("anyOf") {
            forms.retain(|form| form.get("type").is_none_or(|kind| kind != "null"));
            if let [Value::Object(form)] = forms.as_slice() {
                let form = form.clone();
                member.remove("anyOf");
                member.extend(form);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};
    use serde_json::json;

    use super::*;

    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Same {
        name: String,
    }

    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Other {
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        same: Option<Same>,
    }

    #[derive(Serialize, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        other: Other,
    }

    fn of<T: JsonSchema>() -> SchemaOf {
        |schemas| schemas.subschema_for::<T>()
    }

    #[test]
    fn what_is_read_otherwise_than_written_stands_twice_and_so_does_what_holds_it() {
        let mut schemas = Schemas::new();
        let mut asked = schemas.read(of::<Outer>());
        schemas.written(of::<Outer>());
        let (all, differing) = schemas.finish();
        rename(&mut asked, &differing);
        assert_eq!(asked, json!({"$ref": "#/components/schemas/OuterInput"}));
        let names: Vec<_> = all.keys().map(String::as_str).collect();
        let twice = [
            "Other",
            "OtherInput",
            "Outer",
            "OuterInput",
            "Same",
            "SameInput",
        ];
        assert_eq!(names, twice);
        let other = &all["OuterInput"]["properties"]["other"];
        assert_eq!(other["$ref"], "#/components/schemas/OtherInput");
    }

    #[test]
    fn what_is_written_is_closed_and_null_only_where_it_is_there() {
        let mut schemas = Schemas::new();
        schemas.written(of::<Other>());
        let (all, _) = schemas.finish();
        assert_eq!(
            all["Other"],
            json!({
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "same": {"anyOf": [{"$ref": "#/components/schemas/Same"}, {"type": "null"}]},
                },
                "required": ["same"],
                "additionalProperties": false,
            })
        );
        assert_eq!(all["Same"]["additionalProperties"], false);
    }

    #[test]
    fn what_is_read_alone_keeps_its_name() {
        let mut schemas = Schemas::new();
        schemas.read(of::<Same>());
        let (all, differing) = schemas.finish();
        assert!(differing.is_empty() && all.contains_key("Same"));
    }
}
