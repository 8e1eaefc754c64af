//! Tasks: a network with its loss, metrics and optimizer.
//!
//! Single-label, multi-label, binary and hierarchical classification are one task ([`supervised`]) whose outputs are
//! read in different ways ([`metric::Reading`]) at one or several levels ([`levels`]); a file each holds their
//! arguments.

mod args;
mod classification;
mod core;
mod defaults;
mod hierarchical;
mod levels;
mod meters;
mod metric;
mod multilabel;
mod names;
mod outcomes;
mod rows;
mod supervised;
mod views;

use crate::registry::Registry;

/// The tasks, one line each.
pub fn register(registry: &mut Registry) {
    registry.add::<classification::ClassificationArgs>();
    registry.add::<hierarchical::HierarchicalArgs>();
    registry.add::<multilabel::MultiLabelArgs>();
    registry.add::<multilabel::BinaryArgs>();
}
