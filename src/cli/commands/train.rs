//! `runner train`: fit, then test with the best checkpoint.

use serde_json::json;

use super::run::{GoOn, Run, Wanted, shown};
use super::{checkpoints, test_table, tune};
use crate::checkpoint::Checkpoint;
use crate::cli::compose::Composed;
use crate::config::{Node, Value};
use crate::data::Split;
use crate::error::{Error, Result};
use crate::plan::layout;
use crate::registry::Registry;
use crate::run::{Results, start_logging};
use crate::train::{Signal, Status};

/// Exit code of a run that the user interrupted, as shells know it: 128 + SIGINT.
pub const INTERRUPTED: i32 = 130;

/// Runs the command; gives the exit code.
pub fn train(composed: &Composed, registry: &Registry) -> Result<i32> {
    // What is said of a config while it is put into its shape is heard.
    start_logging(None)?;
    if layout::asks_to_predict(&composed.resolve(&composed.run_dir()?)?) {
        return test_table::predict(composed, registry);
    }
    carry_out(composed, registry, None)
}

/// Goes on with a run in its own folder; gives the exit code.
pub fn go_on(composed: &Composed, registry: &Registry, go_on: GoOn) -> Result<i32> {
    carry_out(composed, registry, Some(go_on))
}

fn carry_out(composed: &Composed, registry: &Registry, go_on: Option<GoOn>) -> Result<i32> {
    let mut resume = None;
    // A run that goes on says itself from where, whatever its config said when it began.
    let from = go_on.as_ref().map(|go_on| go_on.checkpoint.clone());
    let folder = composed.run_dir()?;
    let mut run = Run::start(
        composed,
        registry,
        Wanted {
            command: "train",
            splits: &[],
            trains: true,
            go_on,
            prepare: &mut |task, settings| {
                let path = match (&from, &settings.ckpt_path) {
                    (Some(from), _) => from.clone(),
                    (None, Some(given)) => Some(checkpoints::to_go_on(given, &folder)?),
                    (None, None) => None,
                };
                if let Some(path) = path {
                    // A checkpoint of another architecture is refused before anything is started.
                    checkpoints::load_into(task.params(), &path)?;
                    resume = Some(Checkpoint::read(&path)?);
                }
                Ok(())
            },
        },
    )?;
    let outcome = tune::before_training(&mut run, composed, registry).and_then(|()| {
        if run.trainer.args.enable_autolog_hparams != Some(false) {
            run.log_params();
        }
        fit_and_test(&mut run, resume.as_ref())
    });
    let stop = run.trainer.stop.clone();
    let (status, results, dir) = run.finish(outcome)?;
    println!("{}", summary(&results, dir.path()));
    Ok(match (status, stop.signal()) {
        (Status::Interrupted, Some(signal)) => signal.exit_code(),
        _ => 0,
    })
}

fn fit_and_test(run: &mut Run, resume: Option<&Checkpoint>) -> Result<Status> {
    let mut status = Status::Finished;
    if run.settings.train {
        run.event("fit", json!({}));
        describe(run)?;
        let outcome = run.trainer.fit(run.task.as_mut(), run.data.as_ref(), resume);
        keep_best(run)?;
        let outcome = outcome?;
        if let Some(why) = outcome.stopped {
            run.results.reason = Some(why);
        }
        status = outcome.status;
    }
    if run.settings.validate && status == Status::Finished && run.settings.train {
        run.event("validate", json!({}));
        if let Some(best) = run.trainer.best() {
            checkpoints::load_into(run.task.params(), &best.path)?;
        }
        run.trainer.evaluate(run.task.as_mut(), run.data.as_ref(), Split::Val)?;
    }
    if run.settings.test && (status == Status::Finished || shows_what_there_is(run)) {
        run.event("test", json!({}));
        if run.data.loader(Split::Test)?.is_none() {
            tracing::warn!("the data has no test split: nothing is tested");
            return Ok(status);
        }
        match run.trainer.best() {
            Some(best) => checkpoints::load_into(run.task.params(), &best.path)?,
            None if run.settings.train => tracing::info!("no checkpoint was kept: testing the weights as they are"),
            None => {}
        }
        run.evaluate(Split::Test)?;
        if run.trainer.stop.is_interrupted() {
            status = Status::Interrupted;
        }
    }
    if !run.settings.train && !run.settings.test {
        return Err(Error::request("train=false and test=false leave nothing to do"));
    }
    Ok(status)
}

/// Says in the log what is trained with what on what.
fn describe(run: &Run) -> Result<()> {
    for part in ["model.net", "model.loss", "model.optimizer", "model.scheduler"] {
        let Some(node) = run.config().select(part).filter(|node| !node.is_null()) else { continue };
        tracing::info!("{}: {}", part.trim_start_matches("model."), called(node));
    }
    for split in [Split::Train, Split::Val, Split::Test] {
        if let Some(loader) = run.data.loader(split)? {
            let (samples, batches) = (loader.samples(), loader.batches());
            tracing::info!("{} data: {samples} samples, {batches} batches of {}", split.name(), loader.batch_size);
        }
    }
    Ok(())
}

/// A component as Python would write it: `SGD(lr=0.01, momentum=0.9)`.
fn called(node: &Node) -> String {
    match (&node.value, node.get("_target_").and_then(Node::as_str)) {
        (Value::Map(map), target) => {
            let args = map
                .iter()
                .filter(|(key, node)| !matches!(key.as_str(), Some("_target_" | "_partial_")) && !node.is_null());
            let args = args.map(|(key, node)| format!("{key}={}", called(node))).collect::<Vec<_>>().join(", ");
            format!("{}({args})", target.and_then(|target| target.rsplit('.').next()).unwrap_or("dict"))
        }
        (Value::List(list), _) => format!("[{}]", list.iter().map(called).collect::<Vec<_>>().join(", ")),
        _ => crate::config::text::py_str(node),
    }
}

/// Leaves the best checkpoint under a second name, where the config asks for it, however the fit has ended.
fn keep_best(run: &mut Run) -> Result<()> {
    let (Some(copy), Some(best)) = (run.settings.best_checkpoint_copy.clone(), run.trainer.best()) else {
        return Ok(());
    };
    run.trainer.settle_checkpoints()?;
    if best.path.is_file() {
        std::fs::copy(&best.path, &copy).map_err(|error| Error::io("write", &copy, error))?;
        tracing::info!("the best checkpoint is also {}", shown(&copy));
    }
    Ok(())
}

/// After Ctrl-C in the fit the best weights so far are tested, if there are any; a second Ctrl-C ends at once. When
/// the machine is taken away there is no time for it.
fn shows_what_there_is(run: &mut Run) -> bool {
    if run.trainer.stop.signal() != Some(Signal::Interrupt) {
        return false;
    }
    match run.trainer.best() {
        Some(best) if best.path.is_file() => {
            tracing::info!("interrupted: testing the best weights so far; Ctrl-C again ends at once");
            run.trainer.stop.heed_interrupt();
            true
        }
        _ => {
            tracing::info!("interrupted before a checkpoint was kept: nothing is tested");
            false
        }
    }
}

/// The closing lines: where things are, and how good it got.
fn summary(results: &Results, dir: &std::path::Path) -> String {
    let mut lines = vec![format!("{} in {:.1} s: {}", results.status, results.duration_s, shown(dir))];
    if results.status == "interrupted" {
        lines.push(format!("to go on: runner resume {}", shown(dir)));
    }
    if let Some(path) = &results.best_checkpoint {
        lines.push(format!("best checkpoint: {}", shown(&dir.join(path))));
    }
    if let (Some(monitor), Some(best)) = (&results.monitor, &results.best) {
        lines.push(format!("best {monitor}: {}", short(best)));
    }
    let tests = results.metrics.iter().filter(|(name, _)| name.starts_with("test/"));
    let tests: Vec<String> = tests.map(|(name, value)| format!("{name}: {}", short(value))).collect();
    if !tests.is_empty() {
        lines.push(tests.join("  "));
    }
    lines.join("\n")
}

/// A metric in few digits.
pub fn short(value: &serde_json::Value) -> String {
    value.as_f64().map_or_else(|| value.as_str().unwrap_or("?").to_owned(), |v| format!("{v:.4}"))
}
