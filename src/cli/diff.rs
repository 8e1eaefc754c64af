//! `runner diff RUN RUN`: what differs between the configs of two runs.

use std::path::Path;
use std::sync::Arc;

use crate::config::text::py_repr;
use crate::config::{KeyPath, Node, Source, SourceKind, Value, yaml};
use crate::error::{Error, Result};

/// One line for every key that differs: `- key: value` of the first run, `+ key: value` of the second.
pub fn diff(runs: &[String]) -> Result<String> {
    let trees = runs.iter().map(|run| config_of(Path::new(run))).collect::<Result<Vec<_>>>()?;
    let mut lines = vec![format!("--- {}", runs[0]), format!("+++ {}", runs[1])];
    compare(&KeyPath::root(), Some(&trees[0]), Some(&trees[1]), &mut lines);
    if lines.len() == 2 {
        lines = vec!["the configs are the same".into()];
    }
    Ok(lines.join("\n"))
}

/// The config that a run folder (or its `.hydra`) records.
pub fn config_of(run: &Path) -> Result<Node> {
    let places = [run.join(".hydra/config.yaml"), run.join("config.yaml")];
    let Some(path) = places.iter().find(|path| path.is_file()) else {
        return Err(Error::request(format!("{} is not a run folder: it has no .hydra/config.yaml", run.display())));
    };
    let text = std::fs::read_to_string(path).map_err(|error| Error::io("read", path, error))?;
    Ok(yaml::parse(Arc::new(Source { kind: SourceKind::File(path.clone()), text }))?)
}

fn compare(path: &KeyPath, a: Option<&Node>, b: Option<&Node>, lines: &mut Vec<String>) {
    match (a.map(|node| &node.value), b.map(|node| &node.value)) {
        (Some(Value::Map(a)), Some(Value::Map(b))) => {
            for (key, node) in a {
                compare(&path.key(key.clone()), Some(node), b.get(key), lines);
            }
            for (key, node) in b.iter().filter(|(key, _)| !a.contains_key(*key)) {
                compare(&path.key(key.clone()), None, Some(node), lines);
            }
        }
        (Some(Value::List(a)), Some(Value::List(b))) => {
            for i in 0..a.len().max(b.len()) {
                compare(&path.index(i), a.get(i), b.get(i), lines);
            }
        }
        _ if a == b => {}
        _ => {
            lines.extend(a.map(|node| format!("- {path}: {}", py_repr(node))));
            lines.extend(b.map(|node| format!("+ {path}: {}", py_repr(node))));
        }
    }
}
