//! `runner components [NAME]`: every component, described from the types themselves.

use serde_json::Value;

use crate::cli::compose::Request;
use crate::error::{Error, Result};
use crate::registry::{Entry, Registry};

/// Lists all components by kind, or describes one.
pub fn components(request: &Request, registry: &Registry) -> Result<i32> {
    match request.words.first() {
        None => print!("{}", list(registry)),
        Some(name) => {
            let entry = registry.get(name).or_else(|| of_class(registry, name)).ok_or_else(|| {
                let error = Error::request(format!("there is no component `{name}`"));
                match registry.nearest(name, None) {
                    Some(near) => error.help(format!("did you mean `{near}`?")),
                    None => error.help("`runner components` lists them all"),
                }
            })?;
            print!("{}", describe(entry));
        }
    }
    Ok(0)
}

/// A component by its class name alone, when only one has it.
fn of_class<'r>(registry: &'r Registry, name: &str) -> Option<&'r std::sync::Arc<Entry>> {
    let is_it =
        |entry: &&Entry| entry.target().rsplit('.').next().is_some_and(|class| class.eq_ignore_ascii_case(name));
    let mut found = registry.entries().filter(is_it);
    let first = found.next()?;
    if found.next().is_some() { None } else { registry.get(first.target()) }
}

fn list(registry: &Registry) -> String {
    let mut kinds: Vec<&str> = Vec::new();
    for entry in registry.entries() {
        if !kinds.contains(&entry.kind.name) {
            kinds.push(entry.kind.name);
        }
    }
    let mut out = String::new();
    for kind in kinds {
        let of_kind: Vec<&Entry> = registry.entries().filter(|entry| entry.kind.name == kind).collect();
        let width = of_kind.iter().map(|entry| entry.target().len()).max().unwrap_or(0);
        out += &format!("{kind} ({})\n", of_kind.len());
        for entry in of_kind {
            let schema = (entry.schema)();
            let doc = schema.get("description").and_then(Value::as_str).unwrap_or_default();
            let first = doc.split("\n\n").next().unwrap_or_default().replace('\n', " ");
            out += &format!("  {:width$}  {first}\n", entry.target());
        }
        out.push('\n');
    }
    out
}

/// Documentation, arguments with types and defaults, an example.
pub fn describe(entry: &Entry) -> String {
    let schema = (entry.schema)();
    let mut out = format!("{} ({})\n", entry.target(), entry.kind.name);
    if entry.targets.len() > 1 {
        out += &format!("also {}\n", entry.targets[1..].join(", "));
    }
    if let Some(doc) = schema.get("description").and_then(Value::as_str) {
        out += &format!("\n{doc}\n");
    }
    let required: Vec<&str> =
        schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let empty = serde_json::Map::new();
    let fields = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    if !fields.is_empty() {
        out += "\narguments\n";
    }
    for (name, field) in fields {
        let default = match field.get("default") {
            _ if required.contains(&name.as_str()) => "required".to_owned(),
            Some(value) => format!("default {value}"),
            None if field.get("x-ignored").is_some() => "no effect here".to_owned(),
            None => "optional".to_owned(),
        };
        out += &format!("  {name}: {}, {default}\n", type_of(field));
        if let Some(doc) = field.get("description").and_then(Value::as_str) {
            out += &format!("      {}\n", doc.replace('\n', "\n      "));
        }
    }
    out += &format!("\nexample\n  _target_: {}\n", entry.target());
    for name in required {
        out += &format!("  {name}: …\n");
    }
    out
}

/// A schema's type in words: `number above 0`, `optimizer`, `list of transforms`.
fn type_of(schema: &Value) -> String {
    if let Some(kind) = schema.get("x-kind").and_then(Value::as_str) {
        return kind.to_owned();
    }
    if let Some(choices) = schema.get("enum").and_then(Value::as_array) {
        return choices.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | ");
    }
    if let Some(value) = schema.get("const") {
        return value.to_string();
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(choices) = schema.get(key).and_then(Value::as_array) {
            return choices.iter().map(type_of).collect::<Vec<_>>().join(" | ");
        }
    }
    let word = |name: &str| match name {
        "integer" => "whole number".to_owned(),
        "array" => format!("list of {}", schema.get("items").map_or_else(|| "anything".into(), type_of)),
        "object" => match schema.get("additionalProperties") {
            Some(values) if values.is_object() => format!("mapping of {}", type_of(values)),
            _ => "mapping".to_owned(),
        },
        other => other.to_owned(),
    };
    let mut text = match schema.get("type") {
        Some(Value::String(name)) => word(name),
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).map(word).collect::<Vec<_>>().join(" | "),
        _ => "anything".to_owned(),
    };
    let bound = |key: &str| schema.get(key).filter(|value| value.is_number());
    for (key, words) in
        [("exclusiveMinimum", "above"), ("minimum", "from"), ("exclusiveMaximum", "below"), ("maximum", "to")]
    {
        if let Some(value) = bound(key) {
            text += &format!(" {words} {value}");
        }
    }
    text
}
