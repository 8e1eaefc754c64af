//! Hydra's keys of a component beside its arguments: `_target_`, `_args_`, `_partial_`, `_recursive_`, `_convert_`.

use super::slot::KindInfo;
use crate::config::{KeyPath, Node, Problem, Problems, Value};

const KEYS: [&str; 5] = ["_target_", "_args_", "_partial_", "_recursive_", "_convert_"];

/// The arguments without the special keys, and the positional ones.
pub(super) fn split(node: &Node) -> (Node, Vec<Node>) {
    let mut args = node.clone();
    let mut positional = Vec::new();
    if let Value::Map(map) = &mut args.value {
        for key in KEYS {
            if let Some(Node { value: Value::List(list), .. }) = map.shift_remove(key).filter(|_| key == "_args_") {
                positional = list;
            }
        }
    }
    (args, positional)
}

/// Checks the special keys: accepted where they say what is true here, refused with the reason where not.
pub(super) fn check(node: &Node, path: &KeyPath, kind: &KindInfo, problems: &mut Problems) {
    let mut refuse = |key: &str, message: String, help: &str| {
        if let Some(found) = node.get(key) {
            problems.push(Problem::new(message).at(path.key(key)).from(&found.origin).help(help));
        }
    };
    match node.get("_partial_").map(|n| &n.value) {
        Some(Value::Bool(true)) if !kind.partial => refuse(
            "_partial_",
            format!("`_partial_: true` has no meaning for {}", kind.with_article()),
            "remove it: only optimizers, schedulers, metrics and models are finished later, by their owner",
        ),
        Some(Value::Bool(_)) | None => {}
        Some(other) => refuse("_partial_", format!("`_partial_` is true or false, not {}", other.describe()), ""),
    }
    if let Some(value) = node.get("_recursive_")
        && value.as_bool().is_none()
    {
        refuse(
            "_recursive_",
            "`_recursive_` is true or false".into(),
            "nested components are always built by their owner",
        );
    }
    if let Some(value) = node.get("_convert_")
        && !matches!(value.as_str(), Some("none" | "partial" | "object" | "all"))
    {
        refuse("_convert_", "`_convert_` is none, partial, object or all".into(), "it changes nothing here");
    }
    if let Some(value) = node.get("_args_")
        && value.as_list().is_none()
    {
        refuse("_args_", "`_args_` is a list of positional arguments".into(), "write it as a list");
    }
}
