//! One job of a sweep, in a process of its own: begun, or gone on with where an earlier attempt was.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use super::super::{resume, train};
use super::definition::{Definition, OWN};
use crate::cli::command::Command;
use crate::cli::compose::Request;
use crate::cli::problem;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::registry::Registry;
use crate::run::{Manifest, Results, RunDir};
use crate::sweep::launchers::Job;

/// Runs a job; gives the exit code. A job that fails leaves a folder that says why.
pub fn run(request: &Request, parent: &Config, job: &Job, registry: &Registry) -> i32 {
    if let Some(threads) = job.share.threads.and_then(|threads| i32::try_from(threads).ok()) {
        tch::set_num_threads(threads);
    }
    let outcome = catch_unwind(AssertUnwindSafe(|| attempt(request, parent, job, registry)));
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

fn attempt(request: &Request, parent: &Config, job: &Job, registry: &Registry) -> Result<i32> {
    let results = Results::read(&job.folder);
    if results.as_ref().is_ok_and(|results| results.status == "finished") {
        return Ok(0);
    }
    let own = request.job(parent, &job.overrides, job.number, &job.folder);
    // What an earlier attempt had recorded: a run that drew its own seed goes on with it.
    if let Some(manifest) = Manifest::read(&job.folder).ok().filter(|manifest| manifest.command == "train") {
        let composed = own.compose()?.in_folder(&job.folder).with_recorded_seed(u32::try_from(manifest.seed).ok());
        let composed = composed.pausing_after(job.pause_after);
        return train::go_on(&composed, registry, resume::reopen(&job.folder, None)?);
    }
    if job.folder.exists() {
        // An attempt that had not come as far as that has nothing to go on from.
        std::fs::remove_dir_all(&job.folder).map_err(|error| Error::io("remove", &job.folder, error))?;
    }
    if own.command == Command::Train {
        return train::train(&own.compose()?.pausing_after(job.pause_after), registry);
    }
    crate::cli::compute(&own, registry)
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
    let request = Definition::read(sweep)?.request(sweep, registry.resolvers())?;
    let parent = request.parent()?;
    Ok(run(&request, &parent, &job, registry))
}
