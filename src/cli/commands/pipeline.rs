//! `runner pipeline`: prepare the data, tune, train with the best parameters found, test. A stage whose inputs are
//! what they were and whose output is there is skipped.
//!
//! Each stage is a process of its own. Ctrl-C while tuning ends the search and goes on to training with the best so
//! far; a second one ends the pipeline.

use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use walkdir::WalkDir;

use super::run::shown;
use super::stage::Interrupts;
use super::train::INTERRUPTED;
use super::{checkpoints, sweep};
use crate::cli::args::Args;
use crate::cli::best;
use crate::cli::command::Command;
use crate::cli::compose::Request;
use crate::cli::problem;
use crate::config::{KeyPath, Node, Value, emit};
use crate::data::DataContext;
use crate::error::{Error, Result};
use crate::plan::Plan;
use crate::registry::{Build, Registry, extract};
use crate::run::{Results, write_atomic};
use crate::sweep::{Journal, replay};

/// `pipeline` of the config.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Where the stages' outputs go; the same folder is the same pipeline.
    dir: String,
    /// Prepares the data; null leaves the stage out.
    #[serde(default)]
    prepare: Option<Stage>,
    /// Searches; null leaves the stage out.
    #[serde(default)]
    tune: Option<Stage>,
    /// Trains with the best that the search found.
    #[serde(default)]
    train: Option<Stage>,
    /// Tests the trained model.
    #[serde(default)]
    test: Option<Stage>,
}

/// What a stage changes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stage {
    /// Overrides for this stage alone.
    #[serde(default)]
    overrides: Vec<String>,
}

/// What is remembered of a stage that is done: `<dir>/<stage>.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Done {
    /// A hash of everything that the stage depends on.
    inputs: String,
    /// Its output.
    output: PathBuf,
    /// Whether it is complete; a search that was stopped is not.
    complete: bool,
}

struct Pipeline<'a> {
    request: &'a Request,
    registry: &'a Registry,
    dir: PathBuf,
    interrupts: Interrupts,
}

/// Runs the stages that are needed; gives the exit code.
pub fn pipeline(request: &Request, registry: &Registry) -> Result<i32> {
    let composed = request.compose()?;
    let config = composed.resolve(&composed.run_dir()?)?;
    let path = KeyPath::root().key("pipeline");
    let Some(node) = config.get("pipeline").filter(|node| !node.is_null()) else {
        return Err(Error::request("the config has no `pipeline`")
            .help("runner pipeline takes conf/pipeline.yaml; with --config-name, add `pipeline` to that config"));
    };
    let settings: Settings = extract(node, &path).0?;
    let dir = std::path::absolute(&settings.dir).map_err(|error| Error::io("find", Path::new(&settings.dir), error))?;
    std::fs::create_dir_all(&dir).map_err(|error| Error::io("create", &dir, error))?;
    Pipeline { request, registry, dir, interrupts: Interrupts::listen()? }.run(&settings)
}

/// The config as a stage sees it: what is said of other stages is nothing to it, and its own overrides are in already.
fn of_stage(job: &Node) -> String {
    let mut job = job.clone();
    if let Some(map) = job.as_map_mut() {
        map.retain(|key, _| key.as_str() != Some("pipeline"));
    }
    emit::to_yaml(&job)
}

impl Pipeline<'_> {
    fn run(&self, settings: &Settings) -> Result<i32> {
        let mut found = Vec::new();
        let mut upstream = String::new();
        if let Some(stage) = &settings.prepare {
            let request = self.request_of(Command::Train, &stage.overrides, &[], false)?;
            let inputs = self.inputs("prepare", &request, &upstream)?;
            if !self.is_done("prepare", &inputs) {
                let code = self.stage("prepare", || prepare(&request, self.registry))?;
                if code != 0 {
                    return Ok(code);
                }
                self.remember("prepare", &inputs, &self.dir, true)?;
            }
            upstream = inputs;
        }
        if let Some(stage) = &settings.tune {
            match self.tune(stage, &upstream)? {
                Ok((overrides, inputs)) => (found, upstream) = (overrides, inputs),
                Err(code) => return Ok(code),
            }
        }
        let mut model = None;
        if let Some(stage) = &settings.train {
            let request = self.request_of(Command::Train, &stage.overrides, &found, false)?;
            let inputs = self.inputs("train", &request, &upstream)?;
            match self.leaf("train", &request, &inputs)? {
                Ok(output) => model = Some(output),
                Err(code) => return Ok(code),
            }
            upstream = inputs;
        }
        if let Some(stage) = &settings.test {
            let model = model.ok_or_else(|| Error::request("pipeline.test needs pipeline.train before it"))?;
            let given = format!("ckpt_path='{}'", checkpoints::find(&model.display().to_string())?.display());
            let overrides: Vec<String> = std::iter::once(given).chain(stage.overrides.iter().cloned()).collect();
            let args = Args { free: free(Command::Test, &overrides), config_name: None, ..self.request.args.clone() };
            let request = Request::new(args, self.registry.additions())?;
            let inputs = digest(&[&upstream, &overrides.join("\n")]);
            if let Err(code) = self.leaf("test", &request, &inputs)? {
                return Ok(code);
            }
        }
        println!("{}", shown(&self.dir));
        Ok(0)
    }

    /// Searches, or goes on searching; gives the winner's overrides and what they depend on, or an exit code.
    fn tune(&self, stage: &Stage, upstream: &str) -> Result<Result<(Vec<String>, String), i32>> {
        let request = self.request_of(Command::Train, &stage.overrides, &[], true)?;
        let parent = request.parent()?;
        let mut jobs = parent.sweep_arguments()?;
        // As in the config: the other stages are none of its business.
        jobs.retain(|text| !text.trim_start_matches('+').starts_with("pipeline."));
        let sweeper = parent.value("hydra.sweeper")?.map(|node| emit::to_yaml(&node)).unwrap_or_default();
        let config = of_stage(&parent.job);
        let inputs =
            digest(&["tune", upstream, &config, &sweeper, &jobs.join("\n"), &data_state(parent.value("data")?)]);
        let before =
            self.done("tune").filter(|done| done.inputs == inputs && done.output.join(Journal::NAME).is_file());
        let output = match &before {
            Some(done) => done.output.clone(),
            None => free_name(&self.dir.join("tune")),
        };
        let mut code = 0;
        if before.as_ref().is_some_and(|done| done.complete) {
            println!("tune: done already");
        } else {
            self.remember("tune", &inputs, &output, false)?;
            code = self.stage("tune", || match before {
                Some(_) => sweep::go_on(&output, false, self.registry),
                None => {
                    let place = vec![format!("hydra.sweep.dir='{}'", output.display())];
                    let overrides: Vec<String> = stage.overrides.iter().chain(&place).cloned().collect();
                    let request = self.request_of(Command::Train, &overrides, &[], true)?;
                    sweep::sweep(&request, &sweep::Commands(self.registry))
                }
            })?;
        }
        if self.interrupts.count() > 1 {
            return Ok(Err(INTERRUPTED));
        }
        if !output.join(Journal::NAME).is_file() {
            return Ok(Err(code));
        }
        let records = replay(&Journal::read(&output)?)?;
        if records.iter().all(|record| record.state.is_settled()) {
            self.remember("tune", &inputs, &output, true)?;
        }
        match best::find(&output) {
            Ok(best) => {
                println!("tune: the best so far is #{}, {} {}", best.record.number, best.aim.metric, best.value);
                let overrides = best.record.overrides;
                let inputs = digest(&[&inputs, &overrides.join("\n")]);
                Ok(Ok((overrides, inputs)))
            }
            Err(Error::Failed(_)) if code == INTERRUPTED => {
                println!("tune: no job has finished; training takes the config's own values");
                Ok(Ok((Vec::new(), inputs)))
            }
            Err(error) => Err(error),
        }
    }

    /// A stage that is one run; gives its folder, or an exit code.
    fn leaf(&self, name: &str, request: &Request, inputs: &str) -> Result<Result<PathBuf, i32>> {
        if self.is_done(name, inputs)
            && let Some(done) = self.done(name)
        {
            return Ok(Ok(done.output));
        }
        let output = free_name(&self.dir.join(name));
        let args = Args { run_dir: Some(output.clone()), ..request.args.clone() };
        let request = Request::new(args, self.registry.additions())?;
        let code = self.stage(name, || crate::cli::compute(&request, self.registry))?;
        // A run that Ctrl-C has ended in order is a result, but not one to keep for ever.
        let ended = Results::read(&output).map_or(String::new(), |results| results.status);
        if ended != "finished" {
            return Ok(Err(if code == 0 { 1 } else { code }));
        }
        self.remember(name, inputs, &output, true)?;
        Ok(Ok(output))
    }

    /// The request of a stage: the pipeline's own, with the stage's overrides and what the search found.
    fn request_of(&self, command: Command, stage: &[String], found: &[String], multirun: bool) -> Result<Request> {
        // What a search found has the typed overrides in it: a stage's own come after both.
        let overrides: Vec<String> = self.request.overrides.iter().chain(found).chain(stage).cloned().collect();
        let config_name = Some(self.request.config_name().to_owned());
        let args = Args {
            free: free(command, &overrides),
            config_name,
            multirun,
            run: !multirun,
            ..self.request.args.clone()
        };
        Request::new(args, self.registry.additions())
    }

    /// Everything that a run depends on: its config without the time, the data's files, what came before.
    fn inputs(&self, stage: &str, request: &Request, upstream: &str) -> Result<String> {
        let composed = request.compose()?;
        let config = of_stage(composed.job());
        Ok(digest(&[stage, upstream, &config, &data_state(composed.config().value("data")?)]))
    }

    fn done(&self, stage: &str) -> Option<Done> {
        serde_json::from_slice(&std::fs::read(self.dir.join(format!("{stage}.json"))).ok()?).ok()
    }

    /// Whether a stage is complete with these inputs and its output is there; says so.
    fn is_done(&self, stage: &str, inputs: &str) -> bool {
        let done = self.done(stage).is_some_and(|done| done.complete && done.inputs == inputs && done.output.is_dir());
        if done {
            println!("{stage}: done already");
        }
        done
    }

    fn remember(&self, stage: &str, inputs: &str, output: &Path, complete: bool) -> Result<()> {
        let done = Done { inputs: inputs.to_owned(), output: output.to_owned(), complete };
        let path = self.dir.join(format!("{stage}.json"));
        let text = serde_json::to_vec_pretty(&done).map_err(|error| Error::io("write", &path, error))?;
        write_atomic(&path, &text)
    }

    /// Runs a stage in a process of its own; gives its exit code.
    fn stage(&self, name: &str, work: impl FnOnce() -> Result<i32>) -> Result<i32> {
        println!("{name}");
        self.interrupts
            .watch(|| work().unwrap_or_else(|error| problem::report(&error)))
            .map_err(|error| Error::failed(format!("cannot run the stage {name}: {error}")))
    }
}

fn free(command: Command, overrides: &[String]) -> Vec<String> {
    std::iter::once(command.name().to_owned()).chain(overrides.iter().cloned()).collect()
}

/// The name, or the first free one after it: what an earlier pipeline made stays.
fn free_name(wanted: &Path) -> PathBuf {
    let named = |n: u32| PathBuf::from(format!("{}_{n}", wanted.display()));
    let mut names = std::iter::once(wanted.to_owned()).chain((1..).map(named));
    names.find(|path| !path.exists()).unwrap_or_else(|| wanted.to_owned())
}

/// Prepares and sets up the data of a config.
fn prepare(request: &Request, registry: &Registry) -> Result<i32> {
    crate::cli::commands::stage::die_of_interrupts()?;
    let composed = request.compose()?;
    let config = composed.resolve(&composed.run_dir()?)?;
    let checked = Plan::check(&config, registry)?;
    let mut data = Build::new(registry).build(&checked.plan.data)?;
    data.prepare()?;
    let seed = u64::from(checked.plan.settings.seed.unwrap_or(0));
    data.setup(&DataContext { seed, run_dir: None })?;
    Ok(0)
}

fn digest(parts: &[&str]) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

/// Names, sizes and times of the files that the data's config names.
fn data_state(data: Option<Node>) -> String {
    /// More files than this are told apart by their folders' times alone.
    const MOST: usize = 200_000;
    let mut paths = Vec::new();
    if let Some(data) = data {
        texts(&data, &mut paths);
    }
    let mut lines = Vec::new();
    for path in paths.iter().map(Path::new).filter(|path| path.exists()) {
        for entry in WalkDir::new(path).sort_by_file_name().into_iter().flatten().take(MOST) {
            let Ok(metadata) = entry.metadata() else { continue };
            let time = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
            if metadata.is_file() {
                lines.push(format!("{} {} {:?}", entry.path().display(), metadata.len(), time));
            }
        }
    }
    lines.join("\n")
}

fn texts(node: &Node, found: &mut Vec<String>) {
    match &node.value {
        Value::Str(text) if !text.is_empty() && !text.contains("${") => found.push(text.clone()),
        Value::List(list) => list.iter().for_each(|node| texts(node, found)),
        Value::Map(map) => map.values().for_each(|node| texts(node, found)),
        _ => {}
    }
}
