//! Tasks: a network with its loss, metrics and optimizer.

mod classification;
mod meters;

use crate::registry::Registry;

/// The tasks, one line each.
pub fn register(registry: &mut Registry) {
    registry.add::<classification::ClassificationArgs>();
}
