//! What every command that computes does first: the checked plan, the built data and task, the claimed folder.

use std::path::{Path, PathBuf};
use std::time::Instant;

use indexmap::IndexMap;
use serde_json::json;
use tch::Device;

use super::checkpoints;
use crate::callbacks::{ModelCheckpoint, ModelSummary, ProgressBar, Reports, Timeline};
use crate::checkpoint::Checkpoint;
use crate::cli::compose::Composed;
use crate::cli::evaluation::Pass;
use crate::config::{KeyPath, Node, emit};
use crate::data::{DataContext, DataModule, Split};
use crate::error::{Error, Result};
use crate::loggers::JsonLines;
use crate::plan::{Plan, Settings, check_monitors};
use crate::prelude::{Build, Component, Registry};
use crate::report::{self, provenance};
use crate::run::{Events, Manifest, OUTCOME, Results, RunDir, start_logging};
use crate::train::{
    Best, Callback, Deterministic, HyperParameters, Logger, Status, StopFlag, Task, Trainer, TrainerArgs, limited,
};

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
    /// The seed that it was given, or has drawn.
    pub seed: u32,
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
    /// The run that goes on in its own folder, if one does.
    pub go_on: Option<GoOn>,
    /// Called with task and data before the folder is claimed: loads weights.
    pub prepare: &'a mut dyn FnMut(&mut dyn Task, &Settings) -> Result<()>,
}

/// A run that goes on.
pub struct GoOn {
    /// Its folder.
    pub dir: RunDir,
    /// Its record, which keeps other processes out of the folder.
    pub events: Events,
    /// From where; `None` begins again.
    pub checkpoint: Option<PathBuf>,
    /// What the user should hear once.
    pub warnings: Vec<String>,
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
        start_logging(None)?;
        let folder = composed.run_dir()?;
        let config = composed.resolve(&folder)?;
        let checked = Plan::check(&config, registry)?;
        let settings = checked.plan.settings.clone();
        let mut cx = Build::new(registry);
        let args = cx.build(&checked.plan.trainer)?.effective();
        let device = args.device()?;
        let seed = seed_of(composed, &settings, trains, &folder)?;
        set_determinism(&args, device)?;
        let mut data = cx.build(&checked.plan.data)?;
        data.prepare()?;
        data.setup(&DataContext { seed: u64::from(seed), run_dir: None })?;
        let facts = data.facts();
        tch::manual_seed(i64::from(seed));
        super::infer::provide(&mut cx, &facts, device);
        let mut task = cx.build(&checked.plan.task)?;
        task.setup(&facts)?;
        args.precision.unwrap_or_default().cast(task.params())?;
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
        stop.on_signals()?;
        let mut prepared = Prepared::new(composed, registry, wanted.trains)?;
        for split in wanted.splits {
            if prepared.data.loader(*split)?.is_none() {
                return Err(Error::request(format!("the data has no {} split", split.name())));
            }
        }
        (wanted.prepare)(prepared.task.as_mut(), &prepared.settings)?;

        let Prepared { task, data, args, mut settings, device, seed, folder, notes } = prepared;
        let is_new = wanted.go_on.is_none();
        let begins_again = wanted.go_on.as_ref().is_some_and(|go_on| go_on.checkpoint.is_none());
        let dir = match &wanted.go_on {
            Some(go_on) => go_on.dir.clone(),
            None => RunDir::claim(&folder)?,
        };
        let claimed = Claimed { composed, command: wanted.command, trains: wanted.trains, dir: &dir, seed, device };
        match claimed.open(registry, &notes, wanted.go_on) {
            Err(error) => {
                if is_new {
                    let _ = std::fs::remove_dir_all(dir.path());
                }
                Err(error)
            }
            Ok((resolved, callbacks, loggers, events)) => {
                // Another run may have had the folder that was wanted, and what lies there is its own.
                let copy = resolved.get("best_checkpoint_copy").and_then(Node::as_str);
                settings.best_checkpoint_copy = copy.map(PathBuf::from);
                let run_dir = (!args.is_fast_dev_run()).then(|| dir.path().to_owned());
                if run_dir.is_some() {
                    data.record(dir.path())?;
                }
                let mut trainer = Trainer::new(args, device, callbacks, loggers, run_dir, stop);
                trainer.in_own_folder = !is_new;
                if begins_again {
                    trainer.loggers.begin_again(dir.path());
                }
                trainer.checkpoint_info = vec![
                    ("config".into(), emit::to_yaml(composed.job())),
                    ("classes".into(), json!(data.facts().classes).to_string()),
                    ("seed".into(), seed.to_string()),
                    ("libtorch_version".into(), crate::native::compute::libtorch_version()),
                    ("facts".into(), json!(data.facts()).to_string()),
                    ("runner_version".into(), env!("CARGO_PKG_VERSION").into()),
                ];
                let results = Results::new("running");
                Ok(Run { task, data, trainer, dir, settings, results, seed, events, started, resolved })
            }
        }
    }

    /// Tells the loggers what the run was started with.
    pub fn log_params(&mut self) {
        let mut total = 0;
        let mut trainable = 0;
        for (_, tensor) in self.task.params().parameters() {
            total += tensor.numel();
            trainable += if tensor.requires_grad() { tensor.numel() } else { 0 };
        }
        // The names that the lightning-hydra-template gives them.
        let facts = [("total", total), ("trainable", trainable), ("non_trainable", total - trainable)];
        let facts = facts.map(|(name, count)| (format!("model/params/{name}"), json!(count)));
        self.trainer.log_params(HyperParameters { config: self.resolved.clone(), facts: facts.to_vec() });
    }

    /// Goes on with another config in the same folder: its network and data are made anew, from the seed.
    ///
    /// # Errors
    /// Everything that is wrong with the config.
    pub fn adopt(&mut self, composed: &Composed, registry: &Registry) -> Result<()> {
        let prepared = Prepared::new(composed, registry, false)?;
        (self.task, self.data) = (prepared.task, prepared.data);
        self.resolved = composed.resolve(self.dir.path())?;
        for (name, value) in &mut self.trainer.checkpoint_info {
            if name == "config" {
                *value = emit::to_yaml(composed.job());
            }
        }
        composed.write_snapshot(&self.dir)
    }

    /// A pass over a split; gives its metrics. What its samples were taken for is left in the run's folder for its page
    /// and shown to loggers, unless the run leaves nothing (`fast_dev_run`).
    ///
    /// # Errors
    /// When the data has no such split, or a step fails.
    pub fn evaluate(&mut self, split: Split) -> Result<Vec<(String, f64)>> {
        if self.trainer.run_dir.is_none() {
            return self.trainer.evaluate(self.task.as_mut(), self.data.as_ref(), split);
        }
        let (values, outcomes) = self.trainer.evaluate_outcomes(self.task.as_mut(), self.data.as_ref(), split)?;
        if let (Some(outcomes), Some(loader)) = (outcomes, self.data.loader(split)?) {
            let pass = Pass {
                run: self.dir.path(),
                split,
                dataset: loader.dataset.as_ref(),
                seed: u64::from(self.seed),
                loggers: &self.trainer.loggers,
                at: self.trainer.at(),
            };
            if let Err(error) = pass.write(&outcomes) {
                tracing::warn!("what the {} samples were taken for cannot be kept: {error}", split.name());
            }
        }
        Ok(values)
    }

    /// The resolved config.
    pub fn config(&self) -> &Node {
        &self.resolved
    }

    /// Records an event.
    pub fn event(&mut self, name: &str, details: serde_json::Value) {
        self.events.record(name, details);
    }

    /// Writes `results.json`, closes loggers; gives `outcome` back.
    pub fn finish<T>(mut self, outcome: Result<T>) -> Result<(T, Results, RunDir)> {
        let status = match (&outcome, self.trainer.stop.signal().is_some()) {
            (_, true) => Status::Interrupted,
            (Ok(_), _) => Status::Finished,
            (Err(_), _) => Status::Failed,
        };
        self.trainer.finish(status);
        let name = status.name();
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
        self.results.measure(self.started);
        self.results.write(&self.dir)?;
        self.events.record(name, json!({ "reason": self.results.reason }));
        if !self.trainer.args.is_fast_dev_run()
            && let Err(error) = report::write(self.dir.path())
        {
            tracing::warn!("the run's page cannot be made: {error}");
        }
        outcome.map(|value| (value, self.results, self.dir))
    }
}

/// The seed: the config's, else the one with which the run or the checkpoint that goes on was begun, else a new one.
fn seed_of(composed: &Composed, settings: &Settings, trains: bool, folder: &Path) -> Result<u32> {
    if let Some(seed) = settings.seed.or(composed.recorded_seed()) {
        return Ok(seed);
    }
    if let Some(given) = settings.ckpt_path.as_deref().filter(|_| trains) {
        let info = Checkpoint::read_info(&checkpoints::to_go_on(given, folder)?)?;
        if let Some(seed) = info.get("seed").and_then(|seed| seed.parse().ok()) {
            return Ok(seed);
        }
    }
    Ok(chrono::Local::now().timestamp_subsec_nanos())
}

/// `deterministic` and `benchmark`, as Lightning sets them.
fn set_determinism(args: &TrainerArgs, device: Device) -> Result<()> {
    use crate::native::compute;
    let mode = args.deterministic.unwrap_or(Deterministic::Off);
    if mode != Deterministic::Off {
        if device != Device::Cpu {
            compute::set_deterministic_cublas();
        }
        compute::set_deterministic_algorithms(true, mode == Deterministic::Warn)?;
    }
    if args.benchmark == Some(true) && mode == Deterministic::On {
        tracing::warn!("trainer.benchmark lets cuDNN choose by timing, which trainer.deterministic undoes");
    }
    compute::set_benchmark_cudnn(args.benchmark.unwrap_or(false))?;
    Ok(())
}

/// Limits that leave nothing of a split are refused before anything starts.
fn check_limits(data: &dyn DataModule, args: &TrainerArgs) -> Result<()> {
    for split in [Split::Train, Split::Val, Split::Test, Split::Predict] {
        if let Some(loader) = data.loader(split)? {
            let (limit, name) = args.limit(split);
            let batches = limited(loader.batches(), limit, name)?;
            if split == Split::Train {
                args.check_val_interval(batches as u64)?;
            }
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
    fn open(&self, registry: &Registry, notes: &[(KeyPath, String)], go_on: Option<GoOn>) -> Result<Opened> {
        let resolved = self.composed.resolve(self.dir.path())?;
        start_logging(Some(&self.dir.path().join("runner.log")))?;
        let events = match go_on {
            Some(go_on) => self.reopen(go_on)?,
            None => self.describe()?,
        };
        Results::new("running").write(self.dir)?;
        let entries = provenance::entries(self.composed.job(), &resolved);
        self.dir.write(provenance::FILE, &serde_json::to_string(&entries).unwrap_or_default())?;
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
            if !args.is_fast_dev_run() && !args.barebones && args.logger != crate::registry::Given::Off {
                loggers = cx.build_all(plan.loggers.values())?;
                // Those whose values the run's page cannot read have a companion that it can.
                let is_readable = loggers.iter().any(|logger| matches!(logger.name(), "CSVLogger" | "JsonLines"));
                if !loggers.is_empty() && !is_readable {
                    loggers.push(Box::new(JsonLines::new(self.dir.path().join("metrics.jsonl"))));
                }
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

    /// Describes a new run.
    fn describe(&self) -> Result<Events> {
        self.composed.write_snapshot(self.dir)?;
        let mut events = Events::open(self.dir.path())?;
        let versions = IndexMap::from([
            ("runner".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
            ("libtorch".to_owned(), crate::native::compute::libtorch_version()),
        ]);
        let device = format!("{:?}", self.device).to_lowercase();
        Manifest::now(self.command, u64::from(self.seed), device, versions).write(self.dir)?;
        events.record("started", json!({ "command": self.command }));
        Ok(events)
    }

    /// Records that a run goes on; `run.json` keeps telling how it began.
    fn reopen(&self, go_on: GoOn) -> Result<Events> {
        let GoOn { dir, mut events, checkpoint, warnings } = go_on;
        self.composed.update_snapshot(&dir)?;
        warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        let from = checkpoint.as_deref().map(|path| path.strip_prefix(dir.path()).unwrap_or(path));
        match from {
            Some(path) => tracing::info!("going on from {}", path.display()),
            None => tracing::warn!("the run has no checkpoint yet: it begins again"),
        }
        let overrides = &self.composed.config().overrides;
        events.record("resumed", json!({ "checkpoint": from, "overrides": overrides }));
        Ok(events)
    }

    /// What Lightning adds by itself: checkpoints, a progress bar, a summary; and what the switches take away.
    fn add_defaults(&self, args: &TrainerArgs, callbacks: &mut Vec<Box<dyn Callback>>, cx: &mut Build) -> Result<()> {
        let has = |callbacks: &[Box<dyn Callback>], name: &str| callbacks.iter().any(|c| c.name().starts_with(name));
        if self.trains && !args.is_fast_dev_run() {
            callbacks.push(Box::new(Reports::until(self.composed.pause_after())));
            callbacks.push(Box::<Timeline>::default());
        }
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
