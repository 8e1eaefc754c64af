//! A place for containers that resolvers make, so that references into them live as long as the tree's own nodes.

use std::cell::OnceCell;

use crate::config::node::Node;

/// Nodes per chunk.
const CHUNK: usize = 32;
/// Chunks per arena; chunks are nested, so this also bounds how deep dropping one goes.
const MAX_CHUNKS: usize = 512;

/// Keeps nodes until it is dropped.
#[derive(Debug, Default)]
pub struct Arena {
    nodes: [OnceCell<Node>; CHUNK],
    more: OnceCell<Box<Arena>>,
}

impl Arena {
    /// Keeps a node; `None` when there are too many.
    pub fn keep(&self, node: Node) -> Option<&Node> {
        let mut arena = self;
        for _ in 0..MAX_CHUNKS {
            if let Some(free) = arena.nodes.iter().find(|slot| slot.get().is_none()) {
                return Some(free.get_or_init(|| node));
            }
            arena = arena.more.get_or_init(Box::default);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounded() {
        let arena = Arena::default();
        let mut kept = 0;
        while let Some(node) = arena.keep(Node::program(i64::from(kept))) {
            assert_eq!(node.as_int(), Some(i64::from(kept)));
            kept += 1;
        }
        assert_eq!(kept as usize, CHUNK * MAX_CHUNKS);
    }
}
