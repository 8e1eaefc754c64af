//! The trainer: three loops over one state. `fit` is in [`super::fit`], validation, test and prediction in
//! [`super::evaluate`]; here is what they share.

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::json;
use tch::Device;

use super::{Callback, Cx, Log, Logger, MetricStore, Optimizers, Phase, Progress, Request, Status, StopFlag, Task};
use super::{TrainerArgs, callback::Best, profile::Profiler};
use crate::checkpoint::{Checkpoint, LoadOptions, load_weights};
use crate::config::Node;
use crate::error::{Error, Result};
use crate::tensor::{State, Stateful};

/// Carries out loops; owns everything that lives as long as a run.
pub struct Trainer {
    /// The arguments, as `fast_dev_run` and the like have changed them.
    pub args: TrainerArgs,
    /// Where tensors are.
    pub device: Device,
    /// Where the run leaves its files; `None` when it leaves none.
    pub run_dir: Option<PathBuf>,
    /// Asks the loops to end.
    pub stop: StopFlag,
    /// What is written into every checkpoint beside the state: the resolved config, versions, class names.
    pub checkpoint_info: Vec<(String, String)>,
    /// The newest value of everything logged.
    pub metrics: MetricStore,
    /// Where the fit loop is.
    pub progress: Progress,
    pub(super) callbacks: Vec<Box<dyn Callback>>,
    pub(super) loggers: Vec<Box<dyn Logger>>,
    pub(super) log: Log,
    pub(super) optimizers: Option<Optimizers>,
    /// Over how many batches gradients are summed in this epoch.
    pub(super) accumulate: u64,
    pub(super) batches: usize,
    pub(super) batch: usize,
    pub(super) sanity_checking: bool,
    pub(super) validates: bool,
    pub(super) started: Instant,
    pub(super) profiler: Profiler,
    /// Saves that wait until the loop's state is whole again.
    pub(super) pending: Vec<Request>,
}

/// How a fit ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Finished or interrupted; an error is an error.
    pub status: Status,
    /// Why it ended before its time, when it did.
    pub stopped: Option<String>,
}

/// A reference to the task with the parts of the trainer that a hook may see.
macro_rules! cx {
    ($trainer:ident, $task:ident, $requests:ident, $out:ident) => {{
        let (optimizer, schedule) = match $trainer.optimizers.as_mut() {
            Some(Optimizers { optimizer, schedule }) => (Some(optimizer.as_mut()), Some(schedule)),
            None => (None, None),
        };
        Cx {
            progress: &$trainer.progress,
            metrics: &mut $trainer.metrics,
            task: $task,
            optimizer,
            schedule,
            log: &$trainer.log,
            args: &$trainer.args,
            batches: $trainer.batches,
            batch: $trainer.batch,
            sanity_checking: $trainer.sanity_checking,
            validates: $trainer.validates,
            stop: &$trainer.stop,
            run_dir: $trainer.run_dir.as_deref(),
            requests: &mut $requests,
            to_loggers: &mut $out,
        }
    }};
}

impl Trainer {
    /// A trainer; callbacks are ordered by their phase, then as given.
    pub fn new(
        args: TrainerArgs,
        device: Device,
        mut callbacks: Vec<Box<dyn Callback>>,
        loggers: Vec<Box<dyn Logger>>,
        run_dir: Option<PathBuf>,
        stop: StopFlag,
    ) -> Self {
        callbacks.sort_by_key(|callback| callback.phase());
        let profiler = Profiler::new(args.profiler.is_some());
        let accumulate = args.accumulate_grad_batches;
        Trainer {
            args,
            device,
            run_dir,
            stop,
            checkpoint_info: Vec::new(),
            metrics: MetricStore::new(),
            progress: Progress::default(),
            callbacks,
            loggers,
            log: Log::default(),
            optimizers: None,
            accumulate,
            batches: 0,
            batch: 0,
            sanity_checking: false,
            validates: false,
            started: Instant::now(),
            profiler,
            pending: Vec::new(),
        }
    }

    /// The best checkpoint, as the callback that keeps it says.
    pub fn best(&self) -> Option<Best> {
        self.callbacks.iter().find_map(|callback| callback.best())
    }

    /// Lets every callback hear a hook. What they ask for is kept until [`Trainer::carry_out`].
    pub(super) fn hook(
        &mut self,
        task: &mut dyn Task,
        mut call: impl FnMut(&mut dyn Callback, &mut Cx) -> Result<()>,
    ) -> Result<()> {
        let mut callbacks = std::mem::take(&mut self.callbacks);
        let (mut requests, mut out) = (Vec::new(), Vec::new());
        let mut result = Ok(());
        for callback in &mut callbacks {
            let start = self.profiler.start();
            let mut cx = cx!(self, task, requests, out);
            result = call(callback.as_mut(), &mut cx);
            self.profiler.end_callback(|| callback.name(), start);
            if result.is_err() {
                break;
            }
        }
        self.callbacks = callbacks;
        self.pending.append(&mut requests);
        if !out.is_empty() {
            self.send(&out)?;
        }
        result
    }

    /// Sends values to all loggers, at the step just taken. A logger that fails is reported and left behind: a
    /// tracker never stops training.
    pub(super) fn send(&mut self, values: &[(String, f64)]) -> Result<()> {
        let (epoch, step) = (self.progress.epoch, self.progress.global_step.saturating_sub(1));
        let start = self.profiler.start();
        self.loggers.retain_mut(|logger| match logger.metrics(epoch, step, values) {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!("a logger failed and is left behind: {error}");
                false
            }
        });
        self.profiler.end("logging", start);
        Ok(())
    }

    /// Tells the loggers the resolved config.
    pub fn log_params(&mut self, config: &Node) -> Result<()> {
        self.loggers.iter_mut().try_for_each(|logger| logger.params(config))
    }

    /// Closes the loggers.
    pub fn finish(&mut self, status: Status) {
        for logger in &mut self.loggers {
            if let Err(error) = logger.finish(status) {
                tracing::warn!("a logger could not be closed: {error}");
            }
        }
    }

    /// Carries out what callbacks have asked for. Called where the loop's state is whole, so that a checkpoint says
    /// exactly what comes next.
    pub(super) fn carry_out(&mut self, task: &dyn Task) -> Result<()> {
        for request in std::mem::take(&mut self.pending) {
            let start = self.profiler.start();
            match request {
                Request::Save { path, weights_only } => self.save(task, &path, weights_only)?,
                Request::Remove(path) => match std::fs::remove_file(&path) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        tracing::warn!("cannot remove {}: {error}", path.display());
                    }
                    _ => {}
                },
                Request::Link { path, target } => {
                    if crate::run::link_atomic(&target, &path).is_err() {
                        self.save(task, &path, false)?;
                    }
                }
            }
            self.profiler.end("checkpoint", start);
        }
        Ok(())
    }

    /// Writes a checkpoint of everything as it is now.
    pub fn save(&self, task: &dyn Task, path: &Path, weights_only: bool) -> Result<()> {
        let state = if weights_only { State::default() } else { self.state(task) };
        let mut checkpoint = Checkpoint {
            weights: task.params().state_dict(),
            state,
            info: self.checkpoint_info.iter().cloned().collect(),
        };
        self.callbacks.iter().try_for_each(|callback| callback.on_save_checkpoint(&mut checkpoint))?;
        checkpoint.write(path)
    }

    fn state(&self, task: &dyn Task) -> State {
        let mut state = State::of(json!({ "progress": self.progress, "metrics": bits(&self.metrics) }));
        state.nest("log", self.log.state());
        state.nest("task", task.state());
        if let Some(optimizers) = &self.optimizers {
            state.nest("optimizer", optimizers.optimizer.state());
            if let Some(schedule) = &optimizers.schedule {
                state.nest("scheduler", schedule.scheduler.state());
            }
        }
        let mut callbacks = State::of(json!({}));
        for callback in &self.callbacks {
            callbacks.nest(&callback.name(), callback.state());
        }
        state.nest("callbacks", callbacks);
        if let Ok(rng) = crate::native::generator::default_state(Device::Cpu) {
            state.tensors.insert("rng.cpu".into(), rng);
        }
        state
    }

    /// Puts a checkpoint's weights and state back; the fit goes on where it was.
    ///
    /// # Errors
    /// When the checkpoint holds only weights, or belongs to another network or optimizer.
    pub(super) fn restore(&mut self, task: &mut dyn Task, checkpoint: &Checkpoint) -> Result<()> {
        load_weights(&task.params().state_dict(), &checkpoint.weights, &LoadOptions::default())?;
        let state = &checkpoint.state;
        let Some(progress) = state.value.get("progress") else {
            return Err(Error::request("this checkpoint holds weights only: training cannot go on from it")
                .help("give a checkpoint saved with save_weights_only=false, such as last"));
        };
        let unreadable = |error: serde_json::Error| {
            Error::failed(format!("the checkpoint's position in training cannot be read: {error}"))
        };
        self.progress = serde_json::from_value(progress.clone()).map_err(unreadable)?;
        let metrics: Vec<(String, u64)> = serde_json::from_value(state.value["metrics"].clone()).map_err(unreadable)?;
        self.metrics = metrics.into_iter().map(|(name, bits)| (name, f64::from_bits(bits))).collect();
        self.log.restore(&state.nested("log"))?;
        task.restore(&state.nested("task"))?;
        let callbacks = state.nested("callbacks");
        for callback in &mut self.callbacks {
            let name = callback.name();
            if callbacks.value.get(&name).is_some() {
                callback.restore(&callbacks.nested(&name))?;
            }
        }
        // Before the optimizer's state comes back: a callback may have added groups to it, or changed the schedule.
        self.hook(task, |callback, cx| callback.on_load_checkpoint(checkpoint, cx))?;
        if let Some(optimizers) = &mut self.optimizers {
            optimizers.optimizer.restore(&state.nested("optimizer"))?;
            if let Some(schedule) = &mut optimizers.schedule {
                schedule.scheduler.restore(&state.nested("scheduler"))?;
            }
        }
        if let Some(rng) = state.tensors.get("rng.cpu") {
            crate::native::generator::restore_default(Device::Cpu, rng)?;
        }
        Ok(())
    }

    /// The callbacks' order of phases, for tests of the order.
    pub fn phases(&self) -> Vec<Phase> {
        self.callbacks.iter().map(|callback| callback.phase()).collect()
    }
}

/// Metric values as bits: infinities and NaN have no spelling in JSON.
fn bits(metrics: &MetricStore) -> Vec<(String, u64)> {
    metrics.iter().map(|(name, value)| (name.clone(), value.to_bits())).collect()
}
