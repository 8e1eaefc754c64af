//! Optimizers and learning-rate schedulers with PyTorch's names, defaults, numbers and state.
//!
//! An optimizer is one file: its arguments and its formula ([`rule`] says how the two meet). What all of them share,
//! parameter groups, gradients, state and its layout, is in [`engine`]. Schedulers are in [`schedulers`].

mod adadelta;
mod adagrad;
mod adam;
mod adamax;
mod asgd;
mod clip;
mod config;
mod engine;
mod groups;
mod nadam;
mod radam;
mod rmsprop;
mod rprop;
mod rule;
mod scaler;
pub mod schedulers;
mod several;
mod sgd;

use std::collections::HashSet;

use serde_json::Value;
use tch::Tensor;

pub use clip::{clip_grad_norm, clip_grad_norm_of, clip_grad_value};
pub use config::{Interval, SchedulerConfig};
pub use groups::{ParamRule, Parts, matching, param_groups};
pub use rule::Decay;
pub use scaler::{GradScaler, ScalerArgs};

use crate::error::Result;
use crate::registry::{Kind, Registry};
use crate::tensor::Stateful;

/// Parameters that share their options.
pub struct ParamGroup {
    /// State-dict names and tensors.
    pub params: Vec<(String, Tensor)>,
    /// Options that differ from the optimizer's own, by the names of its arguments: `lr`, `weight_decay`, `betas`, …,
    /// and `lr_scale`, by which the optimizer's own rate is multiplied.
    pub options: Vec<(String, Value)>,
}

/// The options of a group that change while training: what schedulers write and monitors read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GroupOptions {
    /// The learning rate of the next step.
    pub lr: f64,
    /// The rate from which schedulers count. The first scheduler sets it, as PyTorch's do.
    pub initial_lr: Option<f64>,
    /// Momentum, or Adam's beta1, when the optimizer has one.
    pub momentum: Option<f64>,
    /// Decoupled or L2 weight decay.
    pub weight_decay: f64,
}

/// What a gradient scaler hands to a step: one-element float tensors on the parameters' device.
#[derive(Clone, Copy)]
pub struct GradScale<'a> {
    /// The scale by which gradients are still multiplied; `None` when they have been divided by it already.
    pub scale: Option<&'a Tensor>,
    /// 1 when a gradient is infinite or NaN: the step is skipped.
    pub found_inf: &'a Tensor,
}

/// An optimizer: changes parameters by their gradients.
pub trait Optimizer: Stateful + Send {
    /// The class's name: `Adam`.
    fn name(&self) -> &'static str;

    /// One step. Parameters without a gradient are left alone, as PyTorch does: no decay, and their step count stays.
    fn step(&mut self, scale: Option<&GradScale>) -> Result<()>;

    /// Drops all gradients (`set_to_none=True`).
    fn zero_grad(&mut self);

    /// The groups' options.
    fn groups(&self) -> &[GroupOptions];

    /// The groups' options, to be changed by a scheduler.
    fn groups_mut(&mut self) -> &mut [GroupOptions];

    /// The parameters of every group, for clipping: names and tensors.
    fn params(&self) -> Vec<&[(String, Tensor)]>;

    /// Adds a group of parameters: what was frozen and is trained from now on. Schedulers made before leave its rate
    /// to whoever added it, or multiply it like the others', as PyTorch's do.
    ///
    /// # Errors
    /// As in [`OptimizerSpec::make`].
    fn add_group(&mut self, group: ParamGroup) -> Result<()>;

    /// Takes parameters out, with their state: they are not trained, or added later in a group of their own.
    fn withdraw(&mut self, names: &HashSet<&str>);

    /// Whether `momentum` in [`GroupOptions`] is Adam's beta1 (schedulers that cycle momentum name it so).
    fn momentum_is_beta1(&self) -> bool {
        false
    }
}

/// An optimizer as its config describes it; the task gives it the parameters.
pub trait OptimizerSpec: Send {
    /// Makes the optimizer.
    ///
    /// # Errors
    /// When a group's option is none of the optimizer's arguments, or a parameter is in two groups.
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

    /// Takes back the count of the step that making the scheduler took; the rates stay. SequentialLR does this to
    /// all its schedulers.
    fn rewind(&mut self) {}

    /// Takes that first step again: the scheduler's turn begins with training.
    fn start(&mut self, optimizer: &mut dyn Optimizer) -> Result<()> {
        self.step(optimizer, None)
    }

    /// Begins at count 0 from the initial rates: the scheduler's turn begins at a milestone.
    fn restart(&mut self, optimizer: &mut dyn Optimizer) -> Result<()> {
        self.step(optimizer, None)
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
pub trait SchedulerSpec: Send {
    /// Makes the scheduler; like PyTorch's constructors it may set the optimizer's rates at once.
    ///
    /// # Errors
    /// When the arguments do not fit the optimizer: lists of another length than its groups, no momentum to cycle.
    fn make(&self, optimizer: &mut dyn Optimizer, horizon: Horizon) -> Result<Box<dyn Scheduler>>;
}

/// The kind of schedulers.
pub struct SchedulerKind;

impl Kind for SchedulerKind {
    type Built = Box<dyn SchedulerSpec>;
    const NAME: &'static str = "scheduler";
    const PARTIAL: bool = true;
}

/// Adds the optimizers and schedulers.
pub fn register(registry: &mut Registry) {
    registry.add::<sgd::Sgd>();
    registry.add::<adam::Adam>();
    registry.add::<adam::AdamW>();
    registry.add::<nadam::NAdam>();
    registry.add::<radam::RAdam>();
    registry.add::<rmsprop::RmsProp>();
    registry.add::<adagrad::Adagrad>();
    registry.add::<adadelta::Adadelta>();
    registry.add::<adamax::Adamax>();
    registry.add::<asgd::Asgd>();
    registry.add::<rprop::Rprop>();
    registry.add::<several::SeveralArgs>();
    registry.add::<several::SeveralSchedules>();
    schedulers::register(registry);
}

#[cfg(test)]
mod tests;
