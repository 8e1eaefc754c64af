//! The trainer: three loops over one state. `fit` is in [`super::fit`], validation, test and prediction in
//! [`super::evaluate`]; here is what they share.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tch::Device;

use super::{At, Callback, Cx, HyperParameters, Log, Logger, Loggers, MetricStore, Optimizers, Phase};
use super::{Layout, Precision, TrainerArgs, callback::Best, profile::Profiler};
use super::{Progress, Request, Saved, Status, StopFlag, Task};
use crate::checkpoint::Writer;
use crate::data::Batch;
use crate::error::Result;
use crate::optim::GradScaler;

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
    /// Where values go.
    pub loggers: Loggers,
    /// Whether the run goes on in the folder where it began: its loggers go on in their files then. Another run that
    /// begins with a checkpoint has files of its own.
    pub in_own_folder: bool,
    pub(super) log: Log,
    pub(super) optimizers: Option<Optimizers>,
    /// Over how many batches gradients are summed in this epoch.
    pub(super) accumulate: u64,
    /// Whether steps keep their loss, for the tuner.
    pub(super) keeps_loss: bool,
    pub(super) last_loss: Option<tch::Tensor>,
    pub(super) batches: usize,
    pub(super) batch: usize,
    pub(super) sanity_checking: bool,
    /// Whether a batch or an epoch is about to begin: what is logged then belongs to the step to come.
    pub(super) starting: bool,
    pub(super) averaged: bool,
    pub(super) validates: bool,
    /// The numbers that the network computes in.
    pub precision: Precision,
    pub(super) layout: Layout,
    pub(super) scaler: Option<GradScaler>,
    pub(super) writer: Writer,
    pub(super) started: Instant,
    /// How long the run had trained when its checkpoint was saved.
    pub(super) elapsed_before: Duration,
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
            averaged: $trainer.averaged,
            validates: $trainer.validates,
            stop: &$trainer.stop,
            run_dir: $trainer.run_dir.as_deref(),
            requests: &mut $requests,
            to_loggers: &mut $out,
            loggers: &$trainer.loggers,
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
        let profiler = Profiler::new(args.profiling.clone());
        let precision = args.precision.unwrap_or_default().on(device);
        let accumulate = args.accumulate_grad_batches;
        Trainer {
            args,
            device,
            stop,
            checkpoint_info: Vec::new(),
            metrics: MetricStore::new(),
            progress: Progress::default(),
            callbacks,
            loggers: Loggers::start(loggers, run_dir.as_deref()),
            run_dir,
            in_own_folder: false,
            log: Log::default(),
            optimizers: None,
            accumulate,
            keeps_loss: false,
            last_loss: None,
            batches: 0,
            batch: 0,
            sanity_checking: false,
            starting: false,
            averaged: false,
            validates: false,
            precision,
            layout: Layout::default(),
            scaler: None,
            writer: Writer::default(),
            started: Instant::now(),
            elapsed_before: Duration::ZERO,
            profiler,
            pending: Vec::new(),
        }
    }

    /// Gives the network the numbers and the memory layout that it computes in.
    pub(super) fn shape_network(&mut self, task: &dyn Task) -> Result<()> {
        self.precision.cast(task.params())?;
        self.layout = Layout::choose(self.args.channels_last, task.params(), self.device, self.precision);
        self.layout.arrange(task.params())
    }

    /// A batch on the device, in the numbers and the layout that the network computes in.
    pub(super) fn place(&self, batch: Batch) -> Result<Batch> {
        self.layout.convert(self.precision.convert(batch.to_device(self.device)?)?)
    }

    /// How long the fit has taken, together with the time before a resume.
    pub(super) fn elapsed(&self) -> Duration {
        self.elapsed_before + self.started.elapsed()
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

    /// Sends values to all loggers, at the step just taken.
    pub(super) fn send(&mut self, values: &[(String, f64)]) -> Result<()> {
        let start = self.profiler.start();
        if !self.loggers.is_empty() {
            self.loggers.metrics(self.at(), values.to_vec());
        }
        self.profiler.end("logging", start);
        Ok(())
    }

    /// The step just taken, or the one about to begin, now.
    pub fn at(&self) -> At {
        if self.starting { At::now(self.progress.epoch, self.progress.global_step) } else { self.progress.now() }
    }

    /// As [`Trainer::hook`], for what is heard before a batch or an epoch.
    pub(super) fn start_hook(
        &mut self,
        task: &mut dyn Task,
        call: impl FnMut(&mut dyn Callback, &mut Cx) -> Result<()>,
    ) -> Result<()> {
        self.starting = true;
        let result = self.hook(task, call);
        self.starting = false;
        result
    }

    /// Tells the loggers what the run was started with.
    pub fn log_params(&mut self, params: HyperParameters) {
        self.loggers.params(params);
    }

    /// Waits for checkpoints and closes the loggers.
    pub fn finish(&mut self, status: Status) {
        if let Err(error) = self.settle_checkpoints() {
            tracing::error!("{error}");
        }
        if let Some(best) = self.best() {
            self.loggers.checkpoint(self.at(), best.path, Saved::Best);
        }
        self.loggers.finish(status);
    }

    /// The callbacks' order of phases, for tests of the order.
    pub fn phases(&self) -> Vec<Phase> {
        self.callbacks.iter().map(|callback| callback.phase()).collect()
    }
}
