//! What every command that computes does first: the checked plan, the built data and task, the claimed folder.

use std::path::{Path, PathBuf};
use std::time::Instant;

use indexmap::IndexMap;
use serde_json::json;
use tch::Device;

use crate::callbacks::{ModelCheckpoint, ModelSummary, ProgressBar};
use crate::cli::compose::Composed;
use crate::config::{KeyPath, Node, emit};
use crate::data::{DataContext, DataModule, Split};
use crate::error::{Error, Result};
use crate::plan::{Plan, Settings, check_monitors};
use crate::prelude::{Build, Component, Registry};
use crate::run::{Events, Manifest, OUTCOME, Results, RunDir, start_logging};
use crate::train::{Best, Callback, Logger, Status, StopFlag, Task, Trainer, TrainerArgs, limited};

/// A run that is ready to compute.
pub struct Run {
    /// What it computes.
    pub task: Box<dyn Task>,
    /// On what.
    pub data: Box<dyn DataModule>,
    /// How.
    pub trainer: Trainer,
    /// Its folder.
    pub dir: RunDir,
    /// Settings of the plan.
    pub settings: Settings,
    /// How it is going so far; written at the end.
    pub results: Results,
    events: Events,
    started: Instant,
    resolved: Node,
}

/// What a command wants of a run.
pub struct Wanted<'a> {
    /// The command's name.
    pub command: &'a str,
    /// The splits it needs.
    pub splits: &'a [Split],
    /// Whether it trains: callbacks and loggers of the config take part.
    pub trains: bool,
    /// Called with task and data before the folder is claimed: loads weights.
    pub prepare: &'a mut dyn FnMut(&mut dyn Task, &Settings) -> Result<()>,
}

/// Everything that can be known to fit before a folder is made.
pub struct Prepared {
    /// The task, its weights drawn.
    pub task: Box<dyn Task>,
    /// The data, set up.
    pub data: Box<dyn DataModule>,
    /// The trainer's arguments, as `fast_dev_run` and the like change them.
    pub args: TrainerArgs,
    settings: Settings,
    device: Device,
    seed: u32,
    folder: PathBuf,
    notes: Vec<(KeyPath, String)>,
}

impl Prepared {
    /// Checks the plan, sets up the data, builds the task and tries it on the data's shapes.
    ///
    /// # Errors
    /// Everything that is wrong with the request; nothing has been created then.
    pub fn new(composed: &Composed, registry: &Registry, trains: bool) -> Result<Self> {
        let folder = composed.run_dir()?;
        let config = composed.resolve(&folder)?;
        let checked = Plan::check(&config, registry)?;
        let settings = checked.plan.settings.clone();
        let mut cx = Build::new(registry);
        let args = cx.build(&checked.plan.trainer)?.effective();
        let device = args.device()?;
        let seed = settings.seed.unwrap_or_else(|| chrono::Local::now().timestamp_subsec_nanos());
        if args.deterministic == Some(crate::train::Deterministic::On) {
            crate::native::compute::set_deterministic_algorithms(true, false)?;
        }
        if let Some(on) = args.benchmark {
            tch::Cuda::cudnn_set_benchmark(on);
        }
        let mut data = cx.build(&checked.plan.data)?;
        data.prepare()?;
        data.setup(&DataContext { seed: u64::from(seed), run_dir: None })?;
        let facts = data.facts();
        tch::manual_seed(i64::from(seed));
        super::infer::provide(&mut cx, &facts, device);
        let mut task = cx.build(&checked.plan.task)?;
        task.setup(&facts)?;
        if trains {
            check_monitors_of(&checked.plan, task.as_ref(), &args, &config)?;
        }
        check_limits(data.as_ref(), &args)?;
        Ok(Prepared { task, data, args, settings, device, seed, folder, notes: checked.notes })
    }
}

impl Run {
    /// Checks and builds everything, then claims the folder.
    ///
    /// # Errors
    /// Everything that is wrong with the request; nothing has been created then.
    pub fn start(composed: &Composed, registry: &Registry, wanted: Wanted) -> Result<Self> {
        let started = Instant::now();
        let stop = StopFlag::default();
        stop.on_ctrl_c()?;
        let mut prepared = Prepared::new(composed, registry, wanted.trains)?;
        for split in wanted.splits {
            if prepared.data.loader(*split)?.is_none() {
                return Err(Error::request(format!("the data has no {} split", split.name())));
            }
        }
        (wanted.prepare)(prepared.task.as_mut(), &prepared.settings)?;

        let Prepared { task, data, args, settings, device, seed, folder, notes } = prepared;
        let dir = RunDir::claim(&folder)?;
        let claimed = Claimed { composed, command: wanted.command, trains: wanted.trains, dir: &dir, seed, device };
        match claimed.open(registry, &notes) {
            Err(error) => {
                let _ = std::fs::remove_dir_all(dir.path());
                Err(error)
            }
            Ok((resolved, callbacks, loggers, events)) => {
                let run_dir = (!args.is_fast_dev_run()).then(|| dir.path().to_owned());
                if run_dir.is_some() {
                    data.record(dir.path())?;
                }
                let mut trainer = Trainer::new(args, device, callbacks, loggers, run_dir, stop);
                trainer.checkpoint_info = vec![
                    ("config".into(), emit::to_yaml(composed.job())),
                    ("classes".into(), json!(data.facts().classes).to_string()),
                    ("facts".into(), json!(data.facts()).to_string()),
                    ("runner_version".into(), env!("CARGO_PKG_VERSION").into()),
                ];
                let results = Results::new("running");
                Ok(Run { task, data, trainer, dir, settings, results, events, started, resolved })
            }
        }
    }

    /// Tells the loggers about the config.
    pub fn log_params(&mut self) -> Result<()> {
        self.trainer.log_params(&self.resolved)
    }

    /// Records an event.
    pub fn event(&mut self, name: &str, details: serde_json::Value) {
        self.events.record(name, details);
    }

    /// Writes `results.json`, closes loggers; gives `outcome` back.
    pub fn finish<T>(mut self, outcome: Result<T>) -> Result<(T, Results, RunDir)> {
        let status = match (&outcome, self.trainer.stop.is_interrupted()) {
            (_, true) => Status::Interrupted,
            (Ok(_), _) => Status::Finished,
            (Err(_), _) => Status::Failed,
        };
        self.trainer.finish(status);
        let name = match status {
            Status::Interrupted => "interrupted",
            Status::Failed => "failed",
            Status::Finished | Status::Running => "finished",
        };
        self.results.status = name.into();
        if let Err(error) = &outcome {
            self.results.reason = Some(error.to_string());
            tracing::error!(target: OUTCOME, "{error}");
        }
        let numbers = self.trainer.metrics.iter().map(|(name, value)| (name.clone(), Results::number(*value)));
        self.results.metrics = numbers.collect();
        if let Some(Best { path, score }) = self.trainer.best() {
            let path = path.strip_prefix(self.dir.path()).unwrap_or(&path).display().to_string();
            self.results.best_checkpoint = Some(path);
            if let Some((monitor, value)) = score {
                self.results.monitor = Some(monitor);
                self.results.best = Some(Results::number(value));
            }
        }
        self.results.epochs = self.trainer.progress.epoch;
        self.results.steps = self.trainer.progress.global_step;
        self.results.duration_s = self.started.elapsed().as_secs_f64();
        self.results.write(&self.dir)?;
        self.events.record(name, json!({ "reason": self.results.reason }));
        outcome.map(|value| (value, self.results, self.dir))
    }
}

/// Limits that leave nothing of a split are refused before anything starts.
fn check_limits(data: &dyn DataModule, args: &TrainerArgs) -> Result<()> {
    for split in [Split::Train, Split::Val, Split::Test, Split::Predict] {
        if let Some(loader) = data.loader(split)? {
            let (limit, name) = args.limit(split);
            limited(loader.batches(), limit, name)?;
        }
    }
    Ok(())
}

/// Every `monitor` of a callback names a metric that will be logged.
fn check_monitors_of(plan: &Plan, task: &dyn Task, args: &TrainerArgs, config: &Node) -> Result<()> {
    if args.is_fast_dev_run() {
        return Ok(());
    }
    let mut logged = task.metric_names(Split::Train);
    logged.extend(task.metric_names(Split::Val));
    let mut monitors = Vec::new();
    let mut add = |path: KeyPath, node: &Node| {
        if let Some(name) = node.as_str() {
            monitors.push((path, node.clone(), name.to_owned()));
        }
    };
    for slot in plan.callbacks.values() {
        let strict = slot.node.get("strict").and_then(Node::as_bool).unwrap_or(true);
        if let Some(node) = slot.node.get("monitor").filter(|_| strict) {
            add(slot.path.key("monitor"), node);
        }
    }
    if let Some(node) = config.select("model.scheduler.monitor") {
        add(KeyPath::root().key("model").key("scheduler").key("monitor"), node);
    }
    let monitors: Vec<_> = monitors.iter().map(|(path, node, name)| (path.clone(), node, name.clone())).collect();
    let problems = check_monitors(&monitors, &logged);
    if problems.is_empty() { Ok(()) } else { Err(problems.into()) }
}

/// What is known once the folder is claimed.
struct Claimed<'a> {
    composed: &'a Composed,
    command: &'a str,
    trains: bool,
    dir: &'a RunDir,
    seed: u32,
    device: Device,
}

type Opened = (Node, Vec<Box<dyn Callback>>, Vec<Box<dyn Logger>>, Events);

impl Claimed<'_> {
    /// Describes the run in its folder, and builds what writes there.
    fn open(&self, registry: &Registry, notes: &[(KeyPath, String)]) -> Result<Opened> {
        let resolved = self.composed.resolve(self.dir.path())?;
        self.composed.write_snapshot(self.dir)?;
        start_logging(Some(&self.dir.path().join("runner.log")))?;
        let mut events = Events::open(self.dir.path())?;
        let versions = IndexMap::from([
            ("runner".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
            ("libtorch".to_owned(), crate::native::compute::libtorch_version()),
        ]);
        let device = format!("{:?}", self.device).to_lowercase();
        Manifest::now(self.command, u64::from(self.seed), device, versions).write(self.dir)?;
        Results::new("running").write(self.dir)?;
        events.record("started", json!({ "command": self.command }));
        for (path, reason) in notes {
            tracing::info!("{path} {reason}");
        }
        if resolved.select("extras.print_config").and_then(Node::as_bool) == Some(true) {
            println!("{}", emit::to_yaml(&resolved));
        }
        // The folder may differ from the tentative one: the paths of callbacks and loggers are those of this config.
        let plan = Plan::check(&resolved, registry)?.plan;
        let mut cx = Build::new(registry);
        let args = cx.build(&plan.trainer)?.effective();
        let mut callbacks = Vec::new();
        let mut loggers = Vec::new();
        if self.trains {
            callbacks = cx.build_all(plan.callbacks.values())?;
            if !args.is_fast_dev_run() && !args.barebones && args.logger != Some(false) {
                loggers = cx.build_all(plan.loggers.values())?;
            }
        } else if args.is_fast_dev_run() {
            callbacks.clear();
        }
        if args.is_fast_dev_run() {
            callbacks.retain(|callback| !callback.skipped_in_fast_dev_run());
        }
        self.add_defaults(&args, &mut callbacks, &mut cx)?;
        Ok((resolved, callbacks, loggers, events))
    }

    /// What Lightning adds by itself: checkpoints, a progress bar, a summary; and what the switches take away.
    fn add_defaults(&self, args: &TrainerArgs, callbacks: &mut Vec<Box<dyn Callback>>, cx: &mut Build) -> Result<()> {
        let has = |callbacks: &[Box<dyn Callback>], name: &str| callbacks.iter().any(|c| c.name().starts_with(name));
        if args.enable_checkpointing == Some(false) {
            callbacks.retain(|callback| !callback.name().starts_with("ModelCheckpoint"));
        } else if self.trains && !has(callbacks, "ModelCheckpoint") {
            callbacks.push(ModelCheckpoint::unconfigured().build(cx)?);
        }
        if args.enable_progress_bar == Some(false) {
            callbacks.retain(|callback| callback.name() != "ProgressBar");
        } else if !has(callbacks, "ProgressBar") {
            callbacks.push(ProgressBar::default().callback());
        }
        if args.enable_model_summary == Some(false) {
            callbacks.retain(|callback| callback.name() != "ModelSummary");
        } else if self.trains && !has(callbacks, "ModelSummary") {
            callbacks.push(Box::new(ModelSummary::default()));
        }
        Ok(())
    }
}

/// A path as it is shown: relative to the working folder where it lies below it.
pub fn shown(path: &Path) -> String {
    let cwd = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(&cwd).unwrap_or(path).display().to_string()
}
