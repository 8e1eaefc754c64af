//! A file that is listed twice, merged as Hydra merges it.
//!
//! Hydra reads a file once, and a mapping or list that is new to the config is put into it as it is, not copied. A
//! file merged in between changes that very object; listed again, the first file then brings what the other has made
//! of it. Files are shared with the config only at the root: into a package a copy is merged.

use std::collections::HashMap;

use super::defaults::Layer;
use super::document::Document;
use super::merge;
use super::node::{KeyPath, Map, Node, Segment, Value};

/// The files that are listed more than once at the root.
#[derive(Debug, Default)]
pub(super) struct Reused {
    files: HashMap<String, File>,
}

#[derive(Debug)]
struct File {
    /// What the file has become; `None` before it is merged first.
    body: Option<Node>,
    /// Which containers of it are in the config.
    shared: Vec<KeyPath>,
}

impl Reused {
    /// Finds the files that are listed more than once, and at the root at least once.
    pub fn new(layers: &[Layer]) -> Self {
        let mut counts: HashMap<&str, (usize, bool)> = HashMap::new();
        for layer in layers {
            let (count, at_root) = counts.entry(&layer.config).or_default();
            *count += 1;
            *at_root |= layer.package.is_empty();
        }
        let repeated = counts.into_iter().filter(|(_, (count, at_root))| *count > 1 && *at_root);
        let files = repeated.map(|(config, _)| (config.to_owned(), File { body: None, shared: Vec::new() })).collect();
        Reused { files }
    }

    /// What a layer brings now, before it is merged into `root`; `None` for what its document says.
    pub fn body(&mut self, layer: &Layer, document: &Document, root: &Node) -> Option<Node> {
        let file = self.files.get_mut(&layer.config)?;
        let body = file.body.get_or_insert_with(|| document.body.clone()).clone();
        if !layer.package.is_empty() {
            return Some(body);
        }
        let mut shared = Vec::new();
        new_containers(root, &body, &mut KeyPath::root(), &mut shared);
        for path in shared {
            if !file.shared.contains(&path) {
                file.shared.push(path);
            }
        }
        Some(body)
    }

    /// After a layer has been merged: what it replaced is no longer shared, what it changed has changed in its file.
    pub fn merged(&mut self, package: &[super::node::Key], source: &Node, root: &Node) {
        for file in self.files.values_mut() {
            let Some(body) = &mut file.body else { continue };
            file.shared.retain(|path| !replaces(package, source, path));
            for path in &file.shared {
                if let (Some(now), Some(own)) = (root.at(path), merge::node_mut(body, path)) {
                    own.clone_from(now);
                }
            }
        }
    }
}

/// The containers of `body` that merging would put into `root` as they are.
fn new_containers(root: &Node, body: &Node, path: &mut KeyPath, found: &mut Vec<KeyPath>) {
    let (Value::Map(target), Value::Map(from)) = (&root.value, &body.value) else { return };
    for (key, node) in from.iter().filter(|(_, node)| matches!(node.value, Value::Map(_) | Value::List(_))) {
        path.0.push(Segment::Key(key.clone()));
        match target.get(key).map(|node| &node.value) {
            Some(Value::Map(_) | Value::List(_)) => {
                if let Some(inner) = target.get(key) {
                    new_containers(inner, node, path, found);
                }
            }
            _ => found.push(path.clone()),
        }
        path.0.pop();
    }
}

/// Whether merging `source` at `package` puts another value at a path or above it.
fn replaces(package: &[super::node::Key], source: &Node, path: &KeyPath) -> bool {
    let mut keys = path.0.iter().filter_map(|segment| match segment {
        Segment::Key(key) => Some(key),
        Segment::Index(_) => None,
    });
    for part in package {
        match keys.next() {
            Some(key) if key == part => {}
            _ => return false,
        }
    }
    let mut node = source;
    for key in keys {
        match node.as_map().and_then(|map: &Map| map.get(key)) {
            Some(next) => node = next,
            None => return false,
        }
        if !matches!(node.value, Value::Map(_) | Value::List(_)) {
            return !node.is_missing();
        }
    }
    false
}
