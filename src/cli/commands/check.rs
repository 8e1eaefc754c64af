//! `runner check`: everything that a run checks before it starts, and nothing else.

use super::run::Prepared;
use crate::cli::compose::Composed;
use crate::data::Split;
use crate::error::Result;
use crate::registry::Registry;
use crate::train::limited;

/// Checks config, components, data and shapes; nothing is created.
pub fn check(composed: &Composed, registry: &Registry) -> Result<i32> {
    let prepared = Prepared::new(composed, registry, true)?;
    let facts = prepared.data.facts();
    for split in [Split::Train, Split::Val, Split::Test] {
        if let Some(loader) = prepared.data.loader(split)? {
            let (limit, name) = prepared.args.limit(split);
            let batches = limited(loader.batches(), limit, name)?;
            println!("{:6} {:>8} samples  {batches:>6} batches", split.name(), loader.dataset.len());
        }
    }
    if !facts.classes.is_empty() {
        println!("{} classes", facts.classes.len());
    }
    for layer in prepared.task.layers().iter().filter(|layer| layer.leaf) {
        println!("{:32} {:18} {:?} -> {:?}", layer.name, layer.kind, layer.input, layer.output);
    }
    println!("everything fits: nothing was started");
    Ok(0)
}
