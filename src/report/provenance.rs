//! Where each value of a config was written: `provenance.json` of a run folder.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::config::{Node, SourceKind, Value, text::py_str};

/// The file in the run folder.
pub const FILE: &str = "provenance.json";

/// A line of a config with its origin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The last part of its key; `-` for an item of a list.
    pub key: String,
    /// How deep it stands.
    pub depth: usize,
    /// Its value, resolved; `None` for a mapping or list with entries, which follow.
    pub value: Option<String>,
    /// What was written, when that is an interpolation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// `conf/trainer/default.yaml:12`, or the override as typed.
    pub from: String,
    /// Whether the command line set it.
    #[serde(default)]
    pub typed: bool,
    /// The whole key.
    pub path: String,
}

/// The lines of a config: `written` says what stands where, `resolved` what it means.
pub fn entries(written: &Node, resolved: &Node) -> Vec<Entry> {
    let mut entries = Vec::new();
    walk(Some(written), resolved, Place { path: "", depth: 0 }, &mut entries);
    entries
}

#[derive(Clone, Copy)]
struct Place<'a> {
    path: &'a str,
    depth: usize,
}

fn walk(written: Option<&Node>, resolved: &Node, at: Place, entries: &mut Vec<Entry>) {
    let children: Vec<(String, &Node, Option<&Node>)> = match &resolved.value {
        Value::Map(map) => map
            .iter()
            .map(|(key, node)| {
                let below = written.and_then(|node| node.as_map()?.get(key));
                (key.to_string(), node, below)
            })
            .collect(),
        Value::List(list) => {
            let below = |i: usize| match written.map(|node| &node.value) {
                Some(Value::List(list)) => list.get(i),
                _ => None,
            };
            list.iter().enumerate().map(|(i, node)| (i.to_string(), node, below(i))).collect()
        }
        _ => return,
    };
    let is_list = matches!(resolved.value, Value::List(_));
    for (key, node, source) in children {
        let path = if at.path.is_empty() { key.clone() } else { format!("{}.{key}", at.path) };
        let holds_more = match &node.value {
            Value::Map(map) => !map.is_empty(),
            Value::List(list) => list.iter().any(|item| matches!(item.value, Value::Map(_) | Value::List(_))),
            _ => false,
        };
        let shown = source.or(written).unwrap_or(node);
        let (from, typed) = origin(shown);
        let text = source.and_then(|node| node.as_str().filter(|text| text.contains("${"))).map(str::to_owned);
        entries.push(Entry {
            key: if is_list { "-".into() } else { key },
            depth: at.depth,
            value: (!holds_more).then(|| value(node)),
            text,
            from: if holds_more { String::new() } else { from },
            typed: typed && !holds_more,
            path: path.clone(),
        });
        if holds_more {
            walk(source, node, Place { path: &path, depth: at.depth + 1 }, entries);
        }
    }
}

fn value(node: &Node) -> String {
    match &node.value {
        Value::Null => "null".into(),
        Value::Bool(true) => "true".into(),
        Value::Bool(false) => "false".into(),
        Value::Str(text) if text.is_empty() => "\"\"".into(),
        Value::Map(_) => "{}".into(),
        Value::List(items) => format!("[{}]", items.iter().map(value).collect::<Vec<_>>().join(", ")),
        _ => py_str(node),
    }
}

fn origin(node: &Node) -> (String, bool) {
    let line = node.origin.line;
    match &node.origin.source.kind {
        SourceKind::Argument(n) => {
            let typed = node.origin.source.text.clone();
            (if typed.is_empty() { format!("argument {n}") } else { typed }, true)
        }
        SourceKind::Program => ("runner itself".into(), false),
        SourceKind::File(path) => (format!("{}:{line}", relative(path)), false),
        SourceKind::Embedded(path) => (format!("built-in conf/{path}:{line}"), false),
    }
}

fn relative(path: &Path) -> String {
    let cwd = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(&cwd).unwrap_or(path).display().to_string()
}

/// The entries that a run folder holds; empty when it holds none.
pub fn read(run: &Path) -> Vec<Entry> {
    let text = std::fs::read_to_string(run.join(FILE)).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}
