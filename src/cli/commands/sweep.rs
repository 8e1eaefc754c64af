//! `runner -m COMMAND key=a,b`: every combination, one after the other, each in a process of its own.

use std::path::Path;
use std::process::Command;

use super::run::shown;
use super::train::INTERRUPTED;
use crate::cli::compose::{self, Request};
use crate::config::{Problems, emit};
use crate::error::{Error, Result};
use crate::plan::Plan;
use crate::registry::Registry;
use crate::run::{Results, RunDir};
use crate::sweep::{Entry, Journal, State, Table};
use crate::train::StopFlag;

/// Runs a sweep; gives the exit code: 0 when every job finished, 1 when one failed.
///
/// # Errors
/// When any job's config is wrong: nothing has been started then.
pub fn sweep(request: &Request, registry: &Registry) -> Result<i32> {
    let (parent, jobs) = request.jobs()?;
    if jobs.is_empty() {
        return Err(Error::request("the sweep has no jobs: one of its ranges is empty"));
    }
    let wanted = compose::sweep_dir(&parent)?;
    let mut objective = None;
    for (number, overrides) in jobs.iter().enumerate() {
        let check = || -> Result<Option<String>> {
            let composed = request.compose_job(&parent, overrides, number)?;
            let config = composed.resolve(&wanted.join(compose::sweep_subdir(composed.config())?))?;
            Ok(Plan::check(&config, registry)?.plan.settings.optimized_metric)
        };
        objective = check().map_err(|error| of_job(error, number, overrides))?.or(objective);
    }

    let stop = StopFlag::default();
    stop.on_ctrl_c()?;
    let dir = RunDir::claim(&wanted)?;
    dir.write("multirun.yaml", &emit::to_yaml(&parent.all()))?;
    let mut journal = Journal::open(dir.path())?;
    for (number, overrides) in jobs.iter().enumerate() {
        journal.record(&Entry { overrides: overrides.clone(), ..Entry::now(number, State::Asked) })?;
    }
    println!("{} jobs: {}", jobs.len(), shown(dir.path()));

    let mut table = Table::new(objective);
    let mut failed = 0;
    for (number, overrides) in jobs.iter().enumerate() {
        if stop.is_interrupted() {
            break;
        }
        println!("\n[{}/{}] {}", number + 1, jobs.len(), overrides.join(" "));
        let composed = request.compose_job(&parent, overrides, number)?;
        let folder = dir.path().join(compose::sweep_subdir(composed.config())?);
        journal.record(&Entry::now(number, State::Started))?;
        let (state, results) = run_job(request.job_arguments(&parent, overrides, number, &folder), &folder)?;
        let entry =
            Entry { metrics: results.metrics.clone(), reason: results.reason.clone(), ..Entry::now(number, state) };
        journal.record(&entry)?;
        table.add(number, overrides, &results);
        table.write_csv(&dir.path().join("results.csv"))?;
        match state {
            State::Failed => failed += 1,
            State::Interrupted => break,
            _ => {}
        }
    }
    println!("\n{}", table.text());
    if failed > 0 {
        println!("{failed} of {} jobs failed", jobs.len());
    }
    println!("{}", shown(dir.path()));
    Ok(if stop.is_interrupted() { INTERRUPTED } else { i32::from(failed > 0) })
}

/// Says which job a problem is about.
fn of_job(error: Error, number: usize, overrides: &[String]) -> Error {
    match error {
        Error::Request(problems) => {
            let about = format!("job {number} ({})", overrides.join(" "));
            let named = problems.0.into_iter().map(|mut problem| {
                problem.message = format!("{about}: {}", problem.message);
                problem
            });
            Error::Request(Problems(named.collect()))
        }
        other => other.context(format!("job {number}")),
    }
}

/// Runs one job as a process of its own, so that whatever happens to it stays in it.
fn run_job(arguments: Vec<String>, folder: &Path) -> Result<(State, Results)> {
    let program =
        std::env::current_exe().map_err(|error| Error::failed(format!("cannot find the program: {error}")))?;
    let mut command = Command::new(program);
    command.args(arguments);
    let status = command.status().map_err(|error| Error::failed(format!("cannot start a job: {error}")))?;
    let mut results = Results::read(folder).unwrap_or_else(|_| Results::new("failed"));
    let state = match (status.code(), results.status.as_str()) {
        (Some(0), "finished") => State::Finished,
        (_, "interrupted") => State::Interrupted,
        _ => State::Failed,
    };
    if state == State::Failed && results.status != "failed" {
        // Killed before it could say so itself.
        results.status = "failed".into();
        results.reason.get_or_insert_with(|| format!("the process ended with {status}"));
    }
    Ok((state, results))
}
