//! Configs in the shape of other programs: what stands in them is put where runner looks for it.
//!
//! moths and malpolon keep trees of configs of their own, in which the same things stand under other keys. Such a
//! tree is known by the keys that only it has. Every value moves with its place in the user's files, so that a problem
//! is shown where it was written; a key that is not known moves along, and the component to which it comes refuses it
//! by name. The keys as the user wrote them stay beside those made, for what refers to them (a tuner, an
//! interpolation).

mod learning;
mod legacy;
mod made;
mod malpolon;
mod moths;

use std::path::Path;

use crate::config::{Node, Problems};

/// The config in runner's shape, for a run in `folder`.
///
/// # Errors
/// What cannot be put into runner's shape, with the place where it was written.
pub fn adopt(config: Node, folder: &Path) -> Result<Node, Problems> {
    if moths::is_written_in(&config) {
        moths::adopt(config, folder)
    } else if malpolon::is_written_in(&config) {
        malpolon::adopt(config, folder)
    } else {
        Ok(config)
    }
}

/// The metric that a sweep over a config in another program's shape optimizes, where the config names none itself.
pub fn objective(config: &Node) -> Option<&'static str> {
    let has_own = config.get("optimized_metric").is_some_and(|node| !node.is_null());
    (!has_own && moths::is_written_in(config)).then_some(moths::OBJECTIVE)
}

/// Whether a config in malpolon's shape asks for predictions rather than for training (`run.predict: true`).
pub fn asks_to_predict(adopted: &Node) -> bool {
    adopted.select("task.task").is_some() && adopted.select("run.predict").and_then(Node::as_bool) == Some(true)
}
