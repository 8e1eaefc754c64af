//! `runner schema`: JSON Schemas of the config groups, for editors.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::metrics::MetricKind;
use crate::registry::{Kind, Registry};
use crate::run::write_atomic;

/// Where schemas go, below the working folder; what the modeline of a shipped config points at.
const FOLDER: &str = ".runner/schema";

/// Config groups and the kind of component that a file of the group is, or holds by name.
const GROUPS: [(&str, &str, bool); 6] = [
    ("data", "data module", false),
    ("model", "model", false),
    ("trainer", "trainer", false),
    ("tuner", "tuner", false),
    ("callbacks", "callback", true),
    ("logger", "logger", true),
];

/// Writes one schema a group.
pub fn schema(registry: &Registry) -> Result<i32> {
    let folder = Path::new(FOLDER);
    std::fs::create_dir_all(folder).map_err(|error| Error::io("create", folder, error))?;
    for (group, kind, by_name) in GROUPS {
        let path = folder.join(format!("{group}.json"));
        let text = serde_json::to_string_pretty(&of_group(registry, kind, by_name)).unwrap_or_default();
        write_atomic(&path, text.as_bytes())?;
        println!("{}", path.display());
    }
    Ok(0)
}

/// The schema of a group's files. A file may hold part of a component (the rest comes from another file), so
/// nothing is required; what is there is checked.
pub fn of_group(registry: &Registry, kind: &str, by_name: bool) -> Value {
    let mut definitions = Map::new();
    for entry in registry.entries() {
        let mut schema = (entry.schema)().to_value();
        open_up(&mut schema);
        if !schema["properties"].is_object() {
            schema["properties"] = json!({});
        }
        schema["properties"]["_target_"] = json!({ "enum": entry.targets });
        if entry.kind.name == MetricKind::NAME {
            // A task of labels takes it before the metric does.
            schema["properties"]["ignore_labels"] = json!({});
        }
        for key in ["_partial_", "_recursive_", "_convert_", "_args_"] {
            schema["properties"][key] = json!({});
        }
        definitions.insert(entry.target().to_owned(), schema);
    }
    for of in registry.entries().map(|entry| entry.kind.name) {
        let choices = registry.entries().filter(|entry| entry.kind.name == of).map(|entry| {
            // Which component it is is told by its `_target_`: only then are its arguments compared.
            json!({
                "if": { "properties": { "_target_": { "enum": entry.targets } }, "required": ["_target_"] },
                "then": { "$ref": format!("#/$defs/{}", entry.target()) }
            })
        });
        let names: Vec<&str> =
            registry.entries().filter(|entry| entry.kind.name == of).flat_map(|entry| entry.targets).copied().collect();
        let all: Vec<Value> = choices.collect();
        definitions.insert(
            definition(of),
            json!({ "type": "object", "properties": { "_target_": { "examples": names } }, "allOf": all }),
        );
    }
    let component = json!({ "$ref": format!("#/$defs/{}", definition(kind)) });
    let mut root = if by_name {
        json!({ "type": ["object", "null"], "additionalProperties": { "anyOf": [component, { "type": ["null", "array"] }] } })
    } else {
        json!({ "type": "object", "allOf": [component], "properties": { "defaults": { "type": "array" } } })
    };
    root["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    root["$defs"] = Value::Object(definitions);
    root
}

/// The name of the definition of a kind; a reference holds no blanks.
fn definition(kind: &str) -> String {
    format!("any_{}", kind.replace(' ', "_"))
}

/// Makes a component's schema one of a config file: any value may be an interpolation or still missing, no argument
/// is required, a slot refers to its kind.
fn open_up(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else { return };
    object.remove("required");
    object.remove("$schema");
    object.remove("title");
    if let Some(Value::Object(fields)) = object.get_mut("properties") {
        fields.insert("defaults".into(), json!({ "type": "array" }));
        for field in fields.values_mut() {
            slots(field);
            let doc = field.get("description").cloned();
            let text = json!({ "type": "string", "pattern": r"\$\{|^\?\?\?$" });
            let mut either = json!({ "anyOf": [field.take(), text] });
            if let Some(doc) = doc {
                either["description"] = doc;
            }
            *field = either;
        }
    }
}

/// Replaces slots, however deep, by references to their kind.
fn slots(schema: &mut Value) {
    if let Some(kind) = schema.get("x-kind").and_then(Value::as_str) {
        let component = json!({ "$ref": format!("#/$defs/{}", definition(kind)) });
        let or_nothing = schema["type"].as_array().is_some_and(|types| types.contains(&json!("null")));
        *schema = if or_nothing { json!({ "anyOf": [component, { "type": "null" }] }) } else { component };
        return;
    }
    match schema {
        Value::Object(object) => object.values_mut().for_each(slots),
        Value::Array(list) => list.iter_mut().for_each(slots),
        _ => {}
    }
}
