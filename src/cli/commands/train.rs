//! `runner train`: fit, then test with the best checkpoint.

use serde_json::json;

use super::run::{GoOn, Run, Wanted, shown};
use super::{checkpoints, tune};
use crate::checkpoint::Checkpoint;
use crate::cli::compose::Composed;
use crate::data::Split;
use crate::error::{Error, Result};
use crate::registry::Registry;
use crate::run::Results;
use crate::train::{Signal, Status};

/// Exit code of a run that the user interrupted, as shells know it: 128 + SIGINT.
pub const INTERRUPTED: i32 = 130;

/// Runs the command; gives the exit code.
pub fn train(composed: &Composed, registry: &Registry) -> Result<i32> {
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
        let outcome = run.trainer.fit(run.task.as_mut(), run.data.as_ref(), resume)?;
        if let Some(why) = outcome.stopped {
            run.results.reason = Some(why);
        }
        status = outcome.status;
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
