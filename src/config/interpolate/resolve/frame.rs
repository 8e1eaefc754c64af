//! Where a node sits: the containers around it.

use std::rc::Rc;

use crate::config::node::{Key, KeyPath, Node, Segment};

/// A container of the tree and where it sits.
#[derive(Debug)]
pub struct Frame<'a> {
    /// The mapping or list.
    pub node: &'a Node,
    pub(super) key: Place<'a>,
    pub(super) parent: Option<Rc<Frame<'a>>>,
}

/// A node's name in its parent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place<'a> {
    /// The root that a job sees: `hydra` is no part of it.
    JobRoot,
    /// The root that the `hydra` node sees: `hydra` is a key of it.
    FullRoot,
    /// The `hydra` node.
    Hydra,
    /// A container that a resolver made: it has a parent, but no name in it.
    Made,
    Key(&'a Key),
    Index(usize),
}

impl<'a> Frame<'a> {
    /// The path from the root.
    pub fn path(&self) -> KeyPath {
        let mut path = self.parent.as_ref().map_or_else(KeyPath::root, |parent| parent.path());
        path.0.extend(self.key.segment());
        path
    }

    /// The path by which the node is reached in the tree; `None` for what a resolver made.
    pub(crate) fn place_in_tree(&self) -> Option<KeyPath> {
        let mut frame = Some(self);
        while let Some(this) = frame {
            if matches!(this.key, Place::Made) {
                return None;
            }
            frame = this.parent.as_deref();
        }
        Some(self.path())
    }

    pub(super) fn child_path(&self, key: Place) -> KeyPath {
        let mut path = self.path();
        path.0.extend(key.segment());
        path
    }

    pub(super) fn root(self: &Rc<Self>) -> Rc<Self> {
        let mut frame = self;
        while let Some(parent) = &frame.parent {
            frame = parent;
        }
        frame.clone()
    }
}

impl Place<'_> {
    pub(super) fn segment(&self) -> Option<Segment> {
        match self {
            Place::JobRoot | Place::FullRoot | Place::Made => None,
            Place::Hydra => Some(Segment::Key("hydra".into())),
            Place::Key(key) => Some(Segment::Key((*key).clone())),
            Place::Index(index) => Some(Segment::Index(*index)),
        }
    }
}

pub(super) fn climb<'a>(container: &Rc<Frame<'a>>, dots: usize) -> Option<Rc<Frame<'a>>> {
    let mut frame = container.clone();
    for _ in 1..dots {
        frame = frame.parent.clone()?;
    }
    Some(frame)
}

/// The steps of `a.b[c].d`.
pub(crate) fn split_path(path: &str) -> Vec<&str> {
    let mut steps = Vec::new();
    let mut rest = path;
    let mut first = true;
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('[') {
            let end = inner.find(']').unwrap_or(inner.len());
            steps.push(&inner[..end]);
            rest = inner.get(end + 1..).unwrap_or("");
        } else {
            let body = if first { rest } else { rest.strip_prefix('.').unwrap_or(rest) };
            let end = body.find(['.', '[']).unwrap_or(body.len());
            steps.push(&body[..end]);
            rest = &body[end..];
        }
        first = false;
    }
    steps
}

/// A list index as Python's `int()` reads it.
pub(crate) fn python_index(text: &str) -> Option<i64> {
    let text = text.trim();
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let single = !digits.starts_with('_') && !digits.ends_with('_') && !digits.contains("__");
    if digits.is_empty() || !single || !digits.bytes().all(|b| b.is_ascii_digit() || b == b'_') {
        return None;
    }
    // A number beyond 64 bits is an index that no list has.
    Some(text.replace('_', "").parse().unwrap_or(-1))
}
