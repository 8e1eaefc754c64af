//! Taking mappings apart and putting new ones together.

use std::path::Path;

use crate::config::{Key, KeyPath, Map, Node, Problem, Value};

/// A mapping of the user's, taken apart key by key. What is left goes along as it is.
pub(super) struct Part {
    map: Map,
    path: KeyPath,
}

impl Part {
    /// The mapping under a key of `parent`; empty when there is none.
    pub fn of(parent: &Node, key: &str, path: &KeyPath) -> Self {
        let map = parent.get(key).and_then(Node::as_map).cloned().unwrap_or_default();
        Part { map, path: path.key(key) }
    }

    /// A mapping at hand.
    pub fn new(map: Map, path: KeyPath) -> Self {
        Part { map, path }
    }

    /// Where it stands.
    pub fn path(&self) -> &KeyPath {
        &self.path
    }

    /// Whether a key is there, be its value null.
    pub fn has(&self, key: &str) -> bool {
        self.map.contains_key(key)
    }

    /// Whether a key is there with a mapping of nothing.
    pub fn is_empty(&self, key: &str) -> bool {
        self.map.get(key).and_then(Node::as_map).is_some_and(Map::is_empty)
    }

    /// Takes a value out; null is none.
    pub fn take(&mut self, key: &str) -> Option<Node> {
        self.map.shift_remove(key).filter(|node| !node.is_null())
    }

    /// Takes a mapping out.
    pub fn part(&mut self, key: &str) -> Part {
        let path = self.path.key(key);
        let map = match self.take(key) {
            Some(Node { value: Value::Map(map), .. }) => map,
            Some(other) => {
                self.map.insert(key.into(), other);
                Map::default()
            }
            None => Map::default(),
        };
        Part { map, path }
    }

    /// What is left.
    pub fn rest(self) -> Map {
        self.map
    }

    /// A problem with a key.
    pub fn problem(&self, key: &str, node: &Node, message: impl Into<String>) -> Problem {
        Problem::new(message).at(self.path.key(key)).from(&node.origin)
    }
}

/// A mapping that is being put together.
#[derive(Default)]
pub(super) struct Made(Map);

impl Made {
    /// A component.
    pub fn component(target: &str) -> Self {
        Made::default().with("_target_", target)
    }

    /// With a value of the program's.
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.0.insert(key.into(), Node::program(value));
        self
    }

    /// With another mapping.
    pub fn with_made(mut self, key: &str, made: Made) -> Self {
        self.0.insert(key.into(), made.node());
        self
    }

    /// With a value of the user's, if there is one.
    pub fn moved(mut self, key: &str, node: Option<Node>) -> Self {
        if let Some(node) = node {
            self.0.insert(key.into(), node);
        }
        self
    }

    /// With all entries of a mapping; they replace those of the same name.
    pub fn and(mut self, map: Map) -> Self {
        self.0.extend(map);
        self
    }

    /// The mapping.
    pub fn node(self) -> Node {
        Node::program(self.0)
    }
}

/// A list of words.
pub(super) fn words(words: &[&str]) -> Vec<Node> {
    words.iter().map(|word| Node::program(*word)).collect()
}

/// Puts a value at the top of a config.
pub(super) fn put(config: &mut Node, key: &str, node: Node) {
    if let Some(map) = config.as_map_mut() {
        map.insert(Key::from(key), node);
    }
}

/// Makes the path under `key` one within the run's folder, when it is relative: the other programs work in theirs.
pub(super) fn within(node: &mut Node, key: &str, folder: &Path) {
    let Some(map) = node.as_map_mut() else { return };
    if let Some(path) = map.get_mut(key)
        && let Some(text) = path.as_str().map(str::to_owned)
    {
        path.value = Value::Str(folder.join(text).display().to_string());
    }
}
