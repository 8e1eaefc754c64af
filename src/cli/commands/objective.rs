//! `runner objective`: computes the config's `objective` and trains nothing. It shows in seconds what a search does
//! with a function, and what a job costs that has nothing to do.

use std::time::Instant;

use indexmap::IndexMap;

use super::sweep;
use crate::cli::compose::{Composed, Request};
use crate::config::{Node, Problem, Value};
use crate::error::Result;
use crate::registry::Registry;
use crate::run::{Manifest, Results, RunDir};

/// The key, and the name of the metric that it becomes.
pub const OBJECTIVE: &str = "objective";

/// The command without libtorch: once, or many times in a sweep with the searches that come with runner.
pub fn without_tensors(request: &Request) -> Result<i32> {
    if !request.is_multirun()? {
        return objective(&request.compose()?);
    }
    let mut searches = Registry::new();
    crate::sweep::sweepers::register(&mut searches);
    sweep::sweep(request, &sweep::Objectives(&searches))
}

/// Computes the objective and leaves a run folder with it.
pub fn objective(composed: &Composed) -> Result<i32> {
    let started = Instant::now();
    let config = composed.resolve(&composed.run_dir()?)?;
    let value = value(&config)?;
    let dir = RunDir::claim(&composed.run_dir()?)?;
    composed.write_snapshot(&dir)?;
    let versions = IndexMap::from([("runner".to_owned(), env!("CARGO_PKG_VERSION").to_owned())]);
    let seed = config.get("seed").and_then(Node::as_int).and_then(|seed| u64::try_from(seed).ok()).unwrap_or(0);
    // Nobody waits for the disk: what is lost when the power fails is computed again in no time, and what a sweep knows
    // of its jobs is in its journal.
    Manifest::now(OBJECTIVE, seed, "cpu".into(), versions).write_derived(&dir)?;
    let mut results = Results::new("finished");
    results.metrics.insert(OBJECTIVE.into(), Results::number(value));
    results.measure(started);
    results.write_derived(&dir)?;
    println!("{OBJECTIVE}: {value}");
    Ok(0)
}

/// The number under `objective` of a resolved config.
///
/// # Errors
/// When there is none.
pub fn value(config: &Node) -> Result<f64> {
    let found = config.get(OBJECTIVE);
    match found.map(|node| &node.value) {
        Some(Value::Int(value)) => Ok(*value as f64),
        Some(Value::Float(value)) => Ok(*value),
        _ => {
            let problem = Problem::new("the config has no number under `objective`")
                .help("add one: +objective='${eval:\"${model.optimizer.lr} * ${seed}\"}'");
            let problem = found.map_or(problem.clone(), |node| problem.from(&node.origin));
            Err(problem.into())
        }
    }
}
