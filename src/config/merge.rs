//! Merging one tree into another as OmegaConf does.
//!
//! Mappings merge key by key, a new key goes to the end, a list replaces a list, a scalar replaces anything and is
//! replaced by anything. `???` never overwrites. A mapping and a list do not go together. A mapping merged onto an
//! interpolation of a container first copies what that refers to.

use std::collections::HashSet;

use super::node::{Key, KeyPath, Map, Node, Origin, Segment, Value};
use super::problem::Problem;

/// How deep a config may nest.
pub const MAX_NESTING: usize = 256;

/// How many interpolations one merge may look up: each starts it again.
const MAX_REFERENCES: usize = 4000;

/// Whether keys may be new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// Files and `+` add keys.
    Open,
    /// A plain override only changes what exists.
    Closed,
}

/// Why a merge stops.
pub(super) enum Stop {
    /// The node at a path is an interpolation, and what it refers to decides how the merge goes on.
    Reference(KeyPath),
    Wrong(Box<Problem>),
}

/// Looks up what an interpolation at a path refers to: the container, if it is one.
pub(super) type Dereference<'d> = dyn Fn(&Node, &KeyPath) -> Option<Node> + 'd;

/// Merges `source` into the node at `package` below `root`; the mappings on the way are made when they are not there.
pub(super) fn into_package(
    root: &mut Node,
    package: &[Key],
    source: &Node,
    dereference: &Dereference,
) -> Result<(), Problem> {
    if package.len() > MAX_NESTING {
        return Err(Problem::new("the package is too deep").from(&source.origin));
    }
    with_references(root, dereference, |root, seen| {
        package_step(root, package, source, &mut Merge::new(Keys::Open, seen))
    })
}

/// Merges `source` into the node at `path` below `root`, which must exist.
pub(super) fn into_node(
    root: &mut Node,
    path: &KeyPath,
    source: &Node,
    keys: Keys,
    dereference: &Dereference,
) -> Result<(), Problem> {
    with_references(root, dereference, |root, seen| {
        let mut merge = Merge::new(keys, seen);
        merge.path.clone_from(path);
        match node_mut(root, path) {
            Some(target) => merge.containers(target, source),
            None => Ok(()),
        }
    })
}

/// Runs a merge; each time that it meets an interpolation, resolves that in the tree as it is by then and starts
/// again. Merging the same source twice changes nothing, so nothing of the first attempt has to be undone.
fn with_references(
    root: &mut Node,
    dereference: &Dereference,
    mut attempt: impl FnMut(&mut Node, &HashSet<KeyPath>) -> Result<(), Stop>,
) -> Result<(), Problem> {
    let mut seen: HashSet<KeyPath> = HashSet::new();
    loop {
        match attempt(root, &seen) {
            Ok(()) => return Ok(()),
            Err(Stop::Wrong(problem)) => return Err(*problem),
            Err(Stop::Reference(path)) => {
                if let Some(copy) = dereference(root, &path)
                    && let Some(target) = node_mut(root, &path)
                {
                    *target = copy;
                }
                if seen.len() >= MAX_REFERENCES {
                    let message = format!("one file is merged onto more than {MAX_REFERENCES} interpolations");
                    return Err(Problem::new(message).at(path));
                }
                seen.insert(path);
            }
        }
    }
}

/// The node at a path, to change it.
pub(super) fn node_mut<'n>(root: &'n mut Node, path: &KeyPath) -> Option<&'n mut Node> {
    path.0.iter().try_fold(root, |node, segment| match (segment, &mut node.value) {
        (Segment::Key(key), Value::Map(map)) => map.get_mut(key),
        (Segment::Index(i), Value::List(list)) => list.get_mut(*i),
        _ => None,
    })
}

struct Merge<'s> {
    keys: Keys,
    /// Interpolations that have been looked up already.
    seen: &'s HashSet<KeyPath>,
    path: KeyPath,
}

fn package_step(target: &mut Node, package: &[Key], source: &Node, merge: &mut Merge) -> Result<(), Stop> {
    let Some((key, rest)) = package.split_first() else {
        return merge.containers(target, source);
    };
    merge.path.0.push(Segment::Key(key.clone()));
    let result = match &mut target.value {
        Value::Map(map) => match map.get_mut(key) {
            None => {
                let mut made = wrap(rest, source);
                made.origin = source.origin.clone();
                map.insert(key.clone(), made);
                Ok(())
            }
            Some(child) if rest.is_empty() => merge.child(child, source),
            Some(child) => {
                // What is on the way is a mapping with one key.
                merge.prepare(child, &source.origin, true).and_then(|()| package_step(child, rest, source, merge))
            }
        },
        _ => Err(merge.mismatch(target, source)),
    };
    merge.path.0.pop();
    result
}

/// `source` inside one mapping for each key.
fn wrap(keys: &[Key], source: &Node) -> Node {
    keys.iter().rev().fold(source.clone(), |inner, key| {
        let origin = inner.origin.clone();
        Node::new(Map::from_iter([(key.clone(), inner)]), origin)
    })
}

impl<'s> Merge<'s> {
    fn new(keys: Keys, seen: &'s HashSet<KeyPath>) -> Self {
        Merge { keys, seen, path: KeyPath::root() }
    }

    /// Makes a node ready to have a mapping or list merged into it: an interpolation is looked up, a scalar gives
    /// way to an empty mapping.
    fn prepare(&self, target: &mut Node, origin: &Origin, as_map: bool) -> Result<(), Stop> {
        match &target.value {
            Value::Map(_) | Value::List(_) => Ok(()),
            Value::Str(text) if text.contains("${") && !self.seen.contains(&self.path) => {
                Err(Stop::Reference(self.path.clone()))
            }
            _ => {
                if as_map {
                    *target = Node::new(Map::new(), origin.clone());
                }
                Ok(())
            }
        }
    }

    /// One existing node and what is merged onto it.
    fn child(&mut self, target: &mut Node, source: &Node) -> Result<(), Stop> {
        match &source.value {
            Value::Map(_) | Value::List(_) => {
                self.prepare(target, &source.origin, false)?;
                match target.value {
                    Value::Map(_) | Value::List(_) => self.containers(target, source),
                    _ => {
                        *target = source.clone();
                        Ok(())
                    }
                }
            }
            // A missing value keeps what is there, but an interpolation of a container becomes a copy.
            Value::Str(text) if text == "???" => self.prepare(target, &source.origin, false),
            _ => {
                *target = source.clone();
                Ok(())
            }
        }
    }

    /// Two containers.
    fn containers(&mut self, target: &mut Node, source: &Node) -> Result<(), Stop> {
        if self.path.0.len() > MAX_NESTING {
            let problem = Problem::new("the config nests too deeply").at(self.path.clone()).from(&source.origin);
            return Err(Stop::Wrong(Box::new(problem)));
        }
        match (&mut target.value, &source.value) {
            (Value::Map(map), Value::Map(from)) => {
                for (key, node) in from {
                    match map.get_mut(key) {
                        Some(child) => {
                            self.path.0.push(Segment::Key(key.clone()));
                            let result = self.child(child, node);
                            self.path.0.pop();
                            result?;
                        }
                        None if self.keys == Keys::Open => {
                            map.insert(key.clone(), node.clone());
                        }
                        None => return Err(self.unknown(key, node, map)),
                    }
                }
                Ok(())
            }
            (Value::List(list), Value::List(from)) => {
                list.clone_from(from);
                target.origin.clone_from(&source.origin);
                Ok(())
            }
            _ => Err(self.mismatch(target, source)),
        }
    }

    fn mismatch(&self, target: &Node, source: &Node) -> Stop {
        let what = if self.path.is_root() { "the config".to_owned() } else { format!("`{}`", self.path) };
        let problem = Problem::new(format!(
            "{what} is {} and cannot be merged with {}; it was set at {}",
            target.value.describe(),
            source.value.describe(),
            target.origin
        ))
        .at(self.path.clone())
        .from(&source.origin)
        .help("a mapping takes a mapping, a list takes a list; to replace one by the other set it to null in between");
        Stop::Wrong(Box::new(problem))
    }

    fn unknown(&self, key: &Key, node: &Node, map: &Map) -> Stop {
        let mut path = self.path.clone();
        path.0.push(Segment::Key(key.clone()));
        let names: Vec<&str> = map.keys().filter_map(|key| key.as_str()).collect();
        let near = super::interpolate::nearest::alike(&key.to_string(), names.iter().copied());
        let problem = Problem::new(format!("`{path}` does not exist")).at(path).from(&node.origin.of_key());
        let problem = match near.as_slice() {
            [] => problem.help("put a `+` before the argument to add new keys"),
            near => problem.help(format!(
                "did you mean {}? To add a new key put a `+` before the argument",
                super::interpolate::nearest::either(near)
            )),
        };
        Stop::Wrong(Box::new(problem))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::node::{Source, SourceKind};
    use crate::config::{json, yaml};

    fn tree(text: &str) -> Node {
        let source = Source { kind: SourceKind::Program, text: text.to_owned() };
        yaml::parse(Arc::new(source)).unwrap_or_else(|problems| panic!("{problems}"))
    }

    fn merged(a: &str, b: &str) -> Result<String, Problem> {
        let mut root = tree(a);
        let look = |root: &Node, path: &KeyPath| match root.at(path).and_then(Node::as_str) {
            Some("${d}") => root.get("d").cloned(),
            _ => None,
        };
        into_package(&mut root, &[], &tree(b), &look)?;
        Ok(json::compact(&root).replace(' ', ""))
    }

    #[test]
    fn as_omegaconf() {
        for (a, b, want) in [
            ("{a: 1, b: 2}", "{c: 3, a: 4}", r#"{"a":4,"b":2,"c":3}"#),
            ("{a: {x: 1}}", "{a: {y: 2}}", r#"{"a":{"x":1,"y":2}}"#),
            ("{a: {x: 1}}", "{a: {}}", r#"{"a":{"x":1}}"#),
            ("{a: [1, 2]}", "{a: []}", r#"{"a":[]}"#),
            ("{a: {x: 1}}", "{a: null}", r#"{"a":null}"#),
            ("{a: null}", "{a: {x: 1}}", r#"{"a":{"x":1}}"#),
            ("{a: 1}", "{a: '???'}", r#"{"a":1}"#),
            ("{a: {x: 1}}", "{a: '???'}", r#"{"a":{"x":1}}"#),
            ("{a: '???'}", "{a: 1}", r#"{"a":1}"#),
            ("{}", "{a: '???'}", r#"{"a":"???"}"#),
            ("{d: {x: 1}, a: '${d}'}", "{a: {y: 2}}", r#"{"d":{"x":1},"a":{"x":1,"y":2}}"#),
            ("{d: {x: 1}, a: '${d}'}", "{a: 5}", r#"{"d":{"x":1},"a":5}"#),
            ("{d: {x: 1}, a: '${d}'}", "{a: '???'}", r#"{"d":{"x":1},"a":{"x":1}}"#),
            ("{d: 1, a: '${e}'}", "{a: {y: 2}}", r#"{"d":1,"a":{"y":2}}"#),
        ] {
            assert_eq!(merged(a, b).as_deref().ok(), Some(want), "{a} with {b}");
        }
        for (a, b) in [("{a: [1]}", "{a: {x: 1}}"), ("{a: {x: 1}}", "{a: [1]}"), ("{d: [1], a: '${d}'}", "{a: {x: 1}}")]
        {
            assert!(merged(a, b).is_err(), "{a} with {b}");
        }
    }

    #[test]
    fn packages() {
        let mut root = tree("{a: 1}");
        let keys: Vec<Key> = vec!["a".into(), "b".into()];
        let none = |_: &Node, _: &KeyPath| None;
        into_package(&mut root, &keys, &tree("{x: 1}"), &none).unwrap_or_else(|p| panic!("{p}"));
        into_package(&mut root, &keys, &tree("{y: 2}"), &none).unwrap_or_else(|p| panic!("{p}"));
        assert_eq!(json::compact(&root).replace(' ', ""), r#"{"a":{"b":{"x":1,"y":2}}}"#);
    }
}
