//! `runner check`: everything that a run checks before it starts, and nothing else.

use super::run::Prepared;
use crate::cli::compose::Composed;
use crate::data::Split;
use crate::error::Result;
use crate::plan::Plan;
use crate::registry::Registry;
use crate::train::limited;

/// `--info plan`: what would be built, from which place of the config.
pub fn plan(composed: &Composed, registry: &Registry) -> Result<i32> {
    let config = composed.resolve(&composed.run_dir()?)?;
    let plan = Plan::check(&config, registry)?.plan;
    let mut lines =
        vec![("model", plan.task.target()), ("data", plan.data.target()), ("trainer", plan.trainer.target())];
    let callbacks = plan.callbacks.iter().map(|(name, slot)| (name.as_str(), slot.target()));
    let loggers = plan.loggers.iter().map(|(name, slot)| (name.as_str(), slot.target()));
    lines.extend(callbacks.chain(loggers));
    for (name, target) in lines {
        println!("{name:24} {}", target.unwrap_or("?"));
    }
    println!("{:24} {}", "folder", composed.run_dir()?.display());
    Ok(0)
}

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
