//! Optimizers and learning-rate schedulers with PyTorch's names, defaults, numbers and state.

use tch::Tensor;

use crate::error::Result;
use crate::registry::Kind;
use crate::tensor::Stateful;

/// Parameters that share their options.
pub struct ParamGroup {
    /// State-dict names and tensors.
    pub params: Vec<(String, Tensor)>,
    /// Options that differ from the optimizer's own: `lr`, `weight_decay`, …
    pub options: Vec<(String, f64)>,
}

/// The options of a group that change while training: what schedulers write and monitors read.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupOptions {
    /// The learning rate of the next step.
    pub lr: f64,
    /// The rate with which the group started; schedulers count from it.
    pub initial_lr: f64,
    /// Momentum, or Adam's beta1, when the optimizer has one.
    pub momentum: Option<f64>,
    /// Decoupled or L2 weight decay.
    pub weight_decay: f64,
}

/// What a gradient scaler hands to a step: multiply-inverse scale and whether a non-finite gradient was seen, both
/// one-element float tensors on the parameters' device.
pub struct GradScale<'a> {
    /// The scale by which gradients were multiplied.
    pub scale: &'a Tensor,
    /// 1 when a gradient is infinite or NaN: the step is skipped.
    pub found_inf: &'a Tensor,
}

/// An optimizer: changes parameters by their gradients.
pub trait Optimizer: Stateful + Send {
    /// One step. Parameters without a gradient are left alone, as PyTorch does.
    fn step(&mut self, scale: Option<&GradScale>) -> Result<()>;

    /// Drops all gradients (`set_to_none=True`).
    fn zero_grad(&mut self);

    /// The groups' options.
    fn groups(&self) -> &[GroupOptions];

    /// The groups' options, to be changed by a scheduler.
    fn groups_mut(&mut self) -> &mut [GroupOptions];

    /// The parameters of every group, for clipping: names and tensors.
    fn params(&self) -> Vec<&[(String, Tensor)]>;

    /// Whether `momentum` in [`GroupOptions`] is Adam's beta1 (schedulers that cycle momentum name it so).
    fn momentum_is_beta1(&self) -> bool {
        false
    }
}

/// An optimizer as its config describes it; the task gives it the parameters.
pub trait OptimizerSpec {
    /// Makes the optimizer.
    fn make(&self, groups: Vec<ParamGroup>) -> Result<Box<dyn Optimizer>>;
}

/// The kind of optimizers.
pub struct OptimizerKind;

impl Kind for OptimizerKind {
    type Built = Box<dyn OptimizerSpec>;
    const NAME: &'static str = "optimizer";
    const PARTIAL: bool = true;
}

/// A learning-rate scheduler.
pub trait Scheduler: Stateful + Send {
    /// Moves on by one epoch or step and writes the new rates. `metric` is the monitored value, for schedulers that
    /// follow one (ReduceLROnPlateau).
    fn step(&mut self, optimizer: &mut dyn Optimizer, metric: Option<f64>) -> Result<()>;

    /// Whether [`Scheduler::step`] needs a metric.
    fn needs_metric(&self) -> bool {
        false
    }
}

/// What a schedule may depend on beyond its arguments.
#[derive(Clone, Copy, Debug, Default)]
pub struct Horizon {
    /// Optimizer steps in the whole run (Lightning's `estimated_stepping_batches`), when known.
    pub total_steps: Option<u64>,
    /// Epochs in the whole run, when known.
    pub epochs: Option<u64>,
}

/// A scheduler as its config describes it.
pub trait SchedulerSpec {
    /// Makes the scheduler; like PyTorch's constructors it may set the optimizer's rates at once.
    fn make(&self, optimizer: &mut dyn Optimizer, horizon: Horizon) -> Result<Box<dyn Scheduler>>;
}

/// The kind of schedulers.
pub struct SchedulerKind;

impl Kind for SchedulerKind {
    type Built = Box<dyn SchedulerSpec>;
    const NAME: &'static str = "scheduler";
    const PARTIAL: bool = true;
}
