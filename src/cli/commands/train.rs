//! `runner train`: fit, then test with the best checkpoint.

use serde_json::json;

use super::{checkpoints, tune};
use super::run::{Run, Wanted, shown};
use crate::checkpoint::Checkpoint;
use crate::cli::compose::Composed;
use crate::data::Split;
use crate::error::{Error, Result};
use crate::registry::Registry;
use crate::run::Results;
use crate::train::Status;

/// Exit code of a run that the user interrupted, as shells know it: 128 + SIGINT.
pub const INTERRUPTED: i32 = 130;

/// Runs the command; gives the exit code.
pub fn train(composed: &Composed, registry: &Registry) -> Result<i32> {
    let mut resume = None;
    let mut run = Run::start(
        composed,
        registry,
        Wanted {
            command: "train",
            splits: &[],
            trains: true,
            prepare: &mut |task, settings| {
                if let Some(path) = &settings.ckpt_path {
                    // A checkpoint of another architecture is refused before anything is started.
                    let path = checkpoints::find(path)?;
                    checkpoints::load_into(task.params(), &path)?;
                    resume = Some(Checkpoint::read(&path)?);
                }
                Ok(())
            },
        },
    )?;
    let outcome = tune::before_training(&mut run, composed, registry).and_then(|()| {
        run.log_params()?;
        fit_and_test(&mut run, resume.as_ref())
    });
    let (status, results, dir) = run.finish(outcome)?;
    println!("{}", summary(&results, dir.path()));
    Ok(if status == Status::Interrupted { INTERRUPTED } else { 0 })
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
    if run.settings.test && status == Status::Finished {
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
        run.trainer.evaluate(run.task.as_mut(), run.data.as_ref(), Split::Test)?;
        if run.trainer.stop.is_interrupted() {
            status = Status::Interrupted;
        }
    }
    if !run.settings.train && !run.settings.test {
        return Err(Error::request("train=false and test=false leave nothing to do"));
    }
    Ok(status)
}

/// The closing lines: where things are, and how good it got.
fn summary(results: &Results, dir: &std::path::Path) -> String {
    let mut lines = vec![format!("{} in {:.1} s: {}", results.status, results.duration_s, shown(dir))];
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
