//! Arguments of Lightning's Trainer before version 2, in the words of today.

use super::made::{Made, Part};
use crate::config::{Map, Node, Value};

/// Arguments that are gone, and what they were when nobody had set them: then they say nothing.
const GONE: [(&str, &[&str]); 8] = [
    ("num_processes", &["1"]),
    ("log_gpu_memory", &["false"]),
    ("auto_lr_find", &["false"]),
    ("auto_scale_batch_size", &["false"]),
    ("auto_select_gpus", &["false"]),
    ("weights_summary", &["top", "full"]),
    ("terminate_on_nan", &["false"]),
    ("progress_bar_refresh_rate", &["1"]),
];

/// The trainer's arguments as they are written today: `gpus` becomes `accelerator` and `devices`.
pub(super) fn trainer(mut part: Part) -> Map {
    for (name, unset) in GONE {
        if let Some(node) = part.take(name)
            && !unset.contains(&plain(&node).as_str())
        {
            // It meant something: the trainer says that it does not know it.
            return Made::default()
                .and(part.rest())
                .moved(name, Some(node))
                .node()
                .as_map()
                .cloned()
                .unwrap_or_default();
        }
    }
    let had_gpus = part.has("gpus");
    let gpus = part.take("gpus");
    let mut map = part.rest();
    if had_gpus && !map.contains_key("accelerator") {
        let none = gpus.as_ref().is_none_or(|node| {
            node.as_int() == Some(0) || node.as_bool() == Some(false) || node.as_list().is_some_and(<[Node]>::is_empty)
        });
        // A machine without a GPU trains on its CPU rather than not at all.
        map.insert("accelerator".into(), Node::program(if none { "cpu" } else { "auto" }));
        if let Some(gpus) = gpus.filter(|_| !none) {
            map.insert("devices".into(), gpus);
        }
    }
    map
}

/// A plain value as text.
fn plain(node: &Node) -> String {
    match &node.value {
        Value::Str(text) => text.clone(),
        Value::Int(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        _ => String::new(),
    }
}
