//! Commands that are a function of the config: those of a user's crate, and `runner objective`.

use std::path::Path;
use std::time::Instant;

use indexmap::IndexMap;
use serde_json::json;

use super::run::shown;
use super::sweep;
use super::train::short;
use crate::cli::compose::{Composed, Request};
use crate::config::Node;
use crate::error::Result;
use crate::registry::{CommandCx, OwnCommand, Registry};
use crate::report;
use crate::run::{Events, Manifest, OUTCOME, Results, RunDir, start_logging};
use crate::tensor::guard;
use crate::train::{Signal, StopFlag};

/// The command without libtorch: once, or many times in a sweep with the searches that come with runner.
pub fn without_tensors(request: &Request, own: OwnCommand) -> Result<i32> {
    let mut searches = Registry::new();
    crate::sweep::sweepers::register(&mut searches);
    let work = sweep::Functions { own, registry: &searches, libtorch: None };
    if request.is_multirun()? { sweep::sweep(request, &work) } else { run(&request.compose()?, &work) }
}

/// Looks for what can be known to be wrong with a command whose folder will be `folder`.
pub fn check(config: &Node, folder: &Path, work: &sweep::Functions) -> Result<()> {
    let cx = CommandCx::new(config, folder, seed_of(config).unwrap_or(0), work.registry, &|| false);
    guard(|| work.own.check(&cx))
}

/// Runs a command in a folder of its own; gives the exit code.
pub fn run(composed: &Composed, work: &sweep::Functions) -> Result<i32> {
    let (own, started) = (work.own, Instant::now());
    let wanted = composed.run_dir()?;
    check(&composed.resolve(&wanted)?, &wanted, work)?;
    let dir = RunDir::claim(&wanted)?;
    let config = composed.resolve(dir.path())?;
    let seed = seed_of(&config).unwrap_or_else(|| u64::from(chrono::Local::now().timestamp_subsec_nanos()));
    composed.write_snapshot(&dir)?;
    let mut versions = IndexMap::from([("runner".to_owned(), env!("CARGO_PKG_VERSION").to_owned())]);
    versions.extend(work.libtorch.as_ref().map(|libtorch| ("libtorch".to_owned(), libtorch.version.clone())));
    let manifest = Manifest::now(own.name, seed, "cpu".into(), versions);
    let stop = StopFlag::default();
    let events = if own.is_instant() {
        // Nobody waits for the disk: what is lost when the power fails is computed again in no time, and what a sweep
        // knows of its jobs is in its journal.
        manifest.write_derived(&dir)?;
        None
    } else {
        manifest.write(&dir)?;
        stop.on_signals()?;
        start_logging(Some(&dir.path().join("runner.log")))?;
        let mut events = Events::open(dir.path())?;
        events.record("started", json!({ "command": own.name }));
        Results::new("running").write(&dir)?;
        Some(events)
    };
    let interrupted = || stop.is_interrupted();
    let mut cx = CommandCx::new(&config, dir.path(), seed, work.registry, &interrupted);
    let outcome = guard(|| own.run(&mut cx));
    let mut results = Results::new(match (&outcome, stop.signal()) {
        (_, Some(_)) => "interrupted",
        (Ok(()), None) => "finished",
        (Err(_), None) => "failed",
    });
    results.metrics = cx.metrics().iter().map(|(name, value)| (name.clone(), Results::number(*value))).collect();
    (results.epochs, results.steps) = (cx.rounds(), cx.rounds());
    results.reason = outcome.as_ref().err().map(ToString::to_string);
    results.measure(started);
    match events {
        None => results.write_derived(&dir)?,
        Some(mut events) => {
            results.write(&dir)?;
            events.record(&results.status, json!({ "reason": results.reason }));
            if let Err(error) = &outcome {
                tracing::error!(target: OUTCOME, "{error}");
            }
            if let Err(error) = report::write(dir.path()) {
                tracing::warn!("the run's page cannot be made: {error}");
            }
        }
    }
    for (name, value) in &results.metrics {
        println!("{name}: {}", if own.is_instant() { value.to_string() } else { short(value) });
    }
    if !own.is_instant() {
        println!("{}", shown(dir.path()));
    }
    outcome.map(|()| stop.signal().map_or(0, Signal::exit_code))
}

fn seed_of(config: &Node) -> Option<u64> {
    config.get("seed").and_then(Node::as_int).and_then(|seed| u64::try_from(seed).ok())
}
