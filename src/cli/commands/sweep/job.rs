//! One job of a sweep, in a process of its own: begun, or gone on with where an earlier attempt was.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use super::definition::{Definition, OWN};
use super::work::{self, Work};
use crate::cli::compose::Request;
use crate::cli::problem;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::registry::Registry;
use crate::run::{Results, RunDir};
use crate::sweep::launchers::Job;

/// Runs a job, whose name in its scheduler is `id`; gives the exit code. A job that fails leaves a folder that says why.
pub fn run(request: &Request, parent: &Arc<Config>, job: &Job, id: Option<String>, work: &dyn Work) -> i32 {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        if Results::read(&job.folder).is_ok_and(|results| results.status == "finished") {
            return Ok(0);
        }
        let own = request.job(parent, &job.overrides, job.number, id, Some(&job.folder));
        work.run(&own, job)
    }));
    let error = match outcome {
        Ok(Ok(code)) => return code,
        Ok(Err(error)) => error,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            Error::failed(text.unwrap_or("a panic without a message").lines().next().unwrap_or_default())
        }
    };
    leave_word(&job.folder, &error);
    problem::report(&error)
}

/// Makes sure that the job's folder says why it failed.
fn leave_word(folder: &Path, error: &Error) {
    let says = Results::read(folder).is_ok_and(|results| results.status == "failed" && results.reason.is_some());
    if !says && std::fs::create_dir_all(folder).is_ok() {
        let mut results = Results::read(folder).unwrap_or_else(|_| Results::new("failed"));
        results.status = "failed".into();
        results.reason = Some(error.to_string());
        let _ = results.write(&RunDir::reopen(folder));
    }
}

/// `--sweep-job=FILE`: the job that a launcher has written down.
pub fn from_file(path: &Path, registry: &Registry) -> Result<i32> {
    let text = std::fs::read(path).map_err(|error| Error::io("read", path, error))?;
    let job: Job = serde_json::from_slice(&text).map_err(|error| Error::io("read", path, error))?;
    let sweep = job.folder.ancestors().find(|folder| folder.join(OWN).is_dir());
    let sweep = sweep.ok_or_else(|| Error::failed(format!("{} is in no sweep's folder", job.folder.display())))?;
    let request = Definition::read(sweep)?.request(sweep, registry.additions())?;
    let parent = request.parent()?;
    let work = work::of(request.command, registry);
    Ok(run(&request, &parent, &job, slurm_id(), work.as_ref()))
}

/// The name that Slurm gave this process's job, as submitit has it in `hydra.job.id`.
fn slurm_id() -> Option<String> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    match (variable("SLURM_ARRAY_JOB_ID"), variable("SLURM_ARRAY_TASK_ID")) {
        (Some(array), Some(task)) => Some(format!("{array}_{task}")),
        _ => variable("SLURM_JOB_ID"),
    }
}
