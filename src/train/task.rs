//! What is trained: a network with its loss, metrics and optimizer.

use crate::data::{Batch, DataFacts, Split};
use crate::error::Result;
use crate::nn::Params;
use crate::optim::{Horizon, Optimizer, Scheduler, SchedulerConfig};
use crate::registry::Kind;
use crate::tensor::Stateful;
use crate::train::Log;

/// A task: the LightningModule of this house. Its state (see [`Stateful`]) is what metrics have accumulated; its
/// weights are in [`Task::params`].
///
/// Steps may panic as tch's operations do; the loops call them through [`crate::tensor::guard`].
pub trait Task: Stateful {
    /// The network's parameters and buffers, by state-dict name.
    fn params(&self) -> &Params;

    /// Learns what the data knows, after the data is set up and before the first batch.
    ///
    /// # Errors
    /// When the network does not fit the data: a wrong number of classes, a wrong input shape.
    fn setup(&mut self, _: &DataFacts) -> Result<()> {
        Ok(())
    }

    /// The sanity check is over and training begins: what was learned while trying is forgotten.
    fn on_train_start(&mut self) {}

    /// The loss of a training batch, a scalar with gradient.
    fn train_step(&mut self, batch: &Batch, log: &mut Log) -> Result<tch::Tensor>;

    /// One batch of validation or test, without gradient.
    fn eval_step(&mut self, split: Split, batch: &Batch, log: &mut Log) -> Result<()>;

    /// A pass over a split begins: accumulated metrics start anew.
    fn on_epoch_start(&mut self, _: Split) {}

    /// A pass over a split is over: logs what metrics have accumulated.
    fn on_epoch_end(&mut self, _: Split, _: &mut Log) -> Result<()> {
        Ok(())
    }

    /// A row for every sample of a batch, without gradient.
    fn predict_step(&mut self, batch: &Batch) -> Result<Rows>;

    /// The optimizer of the parameters, with its schedule.
    fn configure_optimizers(&self, horizon: Horizon) -> Result<Optimizers>;

    /// What every layer does with one sample, when that is known: name, kind, shapes, parameters, operations.
    fn layers(&self) -> &[crate::nn::trace::Record] {
        &[]
    }

    /// The names of what a pass over `split` logs at its end: what can be monitored.
    fn metric_names(&self, split: Split) -> Vec<String>;
}

/// The kind of tasks.
pub struct TaskKind;

impl Kind for TaskKind {
    type Built = Box<dyn Task>;
    const NAME: &'static str = "model";
}

/// What [`Task::configure_optimizers`] gives.
pub struct Optimizers {
    /// The optimizer.
    pub optimizer: Box<dyn Optimizer>,
    /// Its learning-rate schedule.
    pub schedule: Option<Schedule>,
}

/// When a scheduler moves on: Lightning's `lr_scheduler` dict.
pub struct Schedule {
    /// The scheduler.
    pub scheduler: Box<dyn Scheduler>,
    /// Whether it moves on by optimizer steps rather than by epochs.
    pub each_step: bool,
    /// Every how many of them.
    pub frequency: u64,
    /// The metric that it follows, if it follows one.
    pub monitor: Option<String>,
    /// Whether a monitored metric that is not there is an error rather than a warning.
    pub strict: bool,
    /// Under which name LearningRateMonitor logs the rate.
    pub name: Option<String>,
}

impl Schedule {
    /// A schedule as configured.
    pub fn of(scheduler: Box<dyn Scheduler>, config: &SchedulerConfig) -> Self {
        Schedule {
            scheduler,
            each_step: config.each_step(),
            frequency: config.frequency,
            monitor: config.monitor.clone(),
            strict: config.strict,
            name: config.name.clone(),
        }
    }

    /// A schedule that moves on after every epoch.
    pub fn each_epoch(scheduler: Box<dyn Scheduler>) -> Self {
        Schedule { scheduler, each_step: false, frequency: 1, monitor: None, strict: true, name: None }
    }
}

/// Predictions of a batch: columns and one row a sample.
#[derive(Debug, Default)]
pub struct Rows {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// One row a sample.
    pub rows: Vec<Vec<String>>,
    /// What is only written on request, as NumPy arrays: names, and tensors whose first dimension is the samples
    /// (`logits`, `features`, `target`).
    pub arrays: Vec<(String, tch::Tensor)>,
}
