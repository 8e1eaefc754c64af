//! Components that a task takes when its config names none.

use indexmap::IndexMap;

use super::metric::{MetricSlot, Reads};
use crate::config::{KeyPath, Map, Node};
use crate::error::Result;
use crate::losses::{Loss, LossKind};
use crate::registry::{Build, Slot};

fn component(target: &str) -> Node {
    Node::program([("_target_".into(), Node::program(target))].into_iter().collect::<Map>())
}

/// A loss with its defaults.
pub(super) fn loss(target: &str, cx: &mut Build) -> Result<Box<dyn Loss>> {
    cx.build(&Slot::<LossKind>::new(component(target), KeyPath::root()))
}

/// Metrics with their defaults, by name.
pub(super) fn metrics<R: Reads>(targets: &[(&str, &str)]) -> IndexMap<String, MetricSlot<R>> {
    let slot =
        |(name, target): &(&str, &str)| ((*name).to_owned(), MetricSlot::new(component(target), KeyPath::root()));
    targets.iter().map(slot).collect()
}
