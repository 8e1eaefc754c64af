//! "Did you mean": the names nearest to one that does not exist.

use crate::config::node::{Node, Value};

/// At most three of `names` that look like `wanted`, the most alike first.
pub fn alike<'n>(wanted: &str, names: impl IntoIterator<Item = &'n str>) -> Vec<&'n str> {
    let lower = wanted.to_lowercase();
    let mut scored: Vec<(f64, &str)> = names
        .into_iter()
        .filter(|name| *name != wanted)
        .map(|name| {
            let other = name.to_lowercase();
            let mut score = strsim::jaro_winkler(&lower, &other);
            if !lower.is_empty() && (other.starts_with(&lower) || lower.starts_with(&other)) {
                score = score.max(0.85);
            }
            (score, name)
        })
        .filter(|(score, _)| *score >= 0.78)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    scored.into_iter().map(|(_, name)| name).take(3).collect()
}

/// "`a`, `b` or `c`".
pub fn either(names: &[impl AsRef<str>]) -> String {
    match names {
        [] => String::new(),
        [only] => format!("`{}`", only.as_ref()),
        [all @ .., last] => {
            let all: Vec<String> = all.iter().map(|name| format!("`{}`", name.as_ref())).collect();
            format!("{} or `{}`", all.join(", "), last.as_ref())
        }
    }
}

/// The help for a path that leads nowhere: the nearest keys at the level where it fails, else where the last key
/// does exist, else what there is.
pub fn nearest(root: &Node, steps: &[&str]) -> Option<String> {
    let mut node = root;
    let mut done = Vec::new();
    for step in steps {
        let next = match &node.value {
            Value::Map(map) => map.get(*step),
            Value::List(list) => step.parse::<usize>().ok().and_then(|i| list.get(i)),
            _ => None,
        };
        match next {
            Some(next) => {
                node = next;
                done.push(*step);
            }
            None => return suggest(root, node, &done, step, steps),
        }
    }
    None
}

fn suggest(root: &Node, node: &Node, done: &[&str], step: &str, steps: &[&str]) -> Option<String> {
    let full = |name: &str| [done, &[name]].concat().join(".");
    match &node.value {
        Value::Map(map) => {
            let names: Vec<&str> = map.keys().filter_map(|key| key.as_str()).collect();
            let alike: Vec<String> = alike(step, names.iter().copied()).into_iter().map(full).collect();
            if !alike.is_empty() {
                return Some(format!("did you mean {}?", either(&alike)));
            }
            let last = steps.last()?;
            let mut elsewhere = Vec::new();
            find_key(root, last, &mut Vec::new(), &mut elsewhere);
            if !elsewhere.is_empty() {
                return Some(format!("did you mean {}?", either(&elsewhere)));
            }
            let place = if done.is_empty() { "the config".to_owned() } else { format!("`{}`", done.join(".")) };
            match names.as_slice() {
                [] => Some(format!("{place} has no keys")),
                names if names.len() <= 12 => Some(format!("{place} has {}", names.join(", "))),
                names => Some(format!("{place} has {}, … ({} keys)", names[..12].join(", "), names.len())),
            }
        }
        Value::List(list) => match list.len() {
            0 => Some(format!("`{}` is an empty list", done.join("."))),
            n => Some(format!("`{}` is a list with the indices 0 to {}", done.join("."), n - 1)),
        },
        other if !done.is_empty() => Some(format!("`{}` is {}", done.join("."), other.describe())),
        _ => None,
    }
}

/// Up to three paths that end in `name`.
fn find_key(node: &Node, name: &str, path: &mut Vec<String>, found: &mut Vec<String>) {
    let Value::Map(map) = &node.value else { return };
    for (key, child) in map {
        if found.len() >= 3 || path.len() > 16 {
            return;
        }
        path.push(key.to_string());
        if key.as_str() == Some(name) {
            found.push(path.join("."));
        }
        find_key(child, name, path, found);
        path.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_alike() {
        assert_eq!(alike("optimzer", ["optimizer", "model", "scheduler"]), ["optimizer"]);
        assert_eq!(alike("lr", ["learning_rate", "name"]), Vec::<&str>::new());
        assert_eq!(alike("resnet", ["resnet18", "resnet50", "vit"]), ["resnet18", "resnet50"]);
    }
}
