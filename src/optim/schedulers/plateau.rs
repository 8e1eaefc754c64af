//! Reducing the rate when a metric stops improving.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::{Fault, for_groups, from_json, misfit, scheduler, to_json};
use crate::error::{Error, Result};
use crate::optim::{Horizon, Optimizer, Scheduler, SchedulerSpec};
use crate::registry::{Ignored, OneOrMany};
use crate::tensor::{State, Stateful};

/// Multiplies the rate by `factor` when the monitored metric has not improved for more than `patience` steps.
///
/// An equal value is no improvement, nor is NaN.
/// <https://docs.pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.ReduceLROnPlateau.html>
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "some arguments are only accepted")]
pub struct ReduceLrOnPlateau {
    /// Whether less or more is better.
    #[serde(default)]
    pub mode: Mode,
    /// The factor, below 1.
    #[serde(default = "tenth")]
    pub factor: f64,
    /// Steps without improvement that are accepted.
    #[serde(default = "ten")]
    pub patience: u64,
    /// How much better counts as better.
    #[serde(default = "threshold")]
    pub threshold: f64,
    /// Whether `threshold` is a share of the best value or a difference.
    #[serde(default)]
    pub threshold_mode: ThresholdMode,
    /// Steps after a reduction in which nothing is counted.
    #[serde(default)]
    pub cooldown: u64,
    /// The smallest rate, for all groups or one for each.
    #[serde(default = "zero")]
    pub min_lr: OneOrMany<f64>,
    /// A reduction of no more than this is not made.
    #[serde(default = "eps")]
    pub eps: f64,
    /// Of older versions of PyTorch; rates are logged by LearningRateMonitor.
    #[serde(default)]
    pub verbose: Ignored,
}

/// Which values are better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Smaller ones.
    #[default]
    Min,
    /// Larger ones.
    Max,
}

/// What a threshold is.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ThresholdMode {
    /// A share of the best value.
    #[default]
    Rel,
    /// A difference.
    Abs,
}

fn tenth() -> f64 {
    0.1
}

fn ten() -> u64 {
    10
}

fn threshold() -> f64 {
    1e-4
}

fn zero() -> OneOrMany<f64> {
    OneOrMany::One(0.0)
}

fn eps() -> f64 {
    1e-8
}

scheduler!(ReduceLrOnPlateau, "torch.optim.lr_scheduler.ReduceLROnPlateau");

impl ReduceLrOnPlateau {
    fn validate(&self) -> Result<(), Fault> {
        if self.factor >= 1.0 || self.factor.is_nan() || self.factor < 0.0 {
            return Err(("factor", format!("the factor lies from 0 to below 1, not at {}", self.factor)));
        }
        Ok(())
    }
}

impl SchedulerSpec for ReduceLrOnPlateau {
    fn make(&self, optimizer: &mut dyn Optimizer, _: Horizon) -> Result<Box<dyn Scheduler>> {
        let min_lrs = for_groups("min_lr", &self.min_lr, optimizer.groups().len())?;
        let best = if self.mode == Mode::Min { f64::INFINITY } else { f64::NEG_INFINITY };
        Ok(Box::new(Plateau { args: self.clone(), min_lrs, best, bad: 0, cooldown: 0, last_epoch: 0 }))
    }
}

struct Plateau {
    args: ReduceLrOnPlateau,
    min_lrs: Vec<f64>,
    best: f64,
    bad: u64,
    cooldown: u64,
    last_epoch: u64,
}

impl Plateau {
    fn is_better(&self, value: f64) -> bool {
        let (best, threshold) = (self.best, self.args.threshold);
        match (self.args.mode, self.args.threshold_mode) {
            (Mode::Min, ThresholdMode::Rel) => value < best * (1.0 - threshold),
            (Mode::Min, ThresholdMode::Abs) => value < best - threshold,
            (Mode::Max, ThresholdMode::Rel) => value > best * (threshold + 1.0),
            (Mode::Max, ThresholdMode::Abs) => value > best + threshold,
        }
    }
}

impl Scheduler for Plateau {
    fn step(&mut self, optimizer: &mut dyn Optimizer, metric: Option<f64>) -> Result<()> {
        let value = metric.ok_or_else(|| {
            Error::failed("ReduceLROnPlateau needs a metric to follow").help("name it: scheduler.monitor=val/loss")
        })?;
        self.last_epoch += 1;
        if self.is_better(value) {
            self.best = value;
            self.bad = 0;
        } else {
            self.bad += 1;
        }
        if self.cooldown > 0 {
            self.cooldown -= 1;
            self.bad = 0;
        }
        if self.bad > self.args.patience {
            for (group, min) in optimizer.groups_mut().iter_mut().zip(&self.min_lrs) {
                let reduced = (group.lr * self.args.factor).max(*min);
                if group.lr - reduced > self.args.eps {
                    group.lr = reduced;
                }
            }
            self.cooldown = self.args.cooldown;
            self.bad = 0;
        }
        Ok(())
    }

    fn needs_metric(&self) -> bool {
        true
    }
}

/// PyTorch's names: `best`, `num_bad_epochs`, `cooldown_counter`, `last_epoch`.
impl Stateful for Plateau {
    fn state(&self) -> State {
        State::of(json!({
            "best": to_json(self.best),
            "num_bad_epochs": self.bad,
            "cooldown_counter": self.cooldown,
            "last_epoch": self.last_epoch,
        }))
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        let value = &state.value;
        let count = |name: &str| value[name].as_u64().ok_or_else(misfit);
        self.best = from_json(&value["best"]).ok_or_else(misfit)?;
        (self.bad, self.cooldown) = (count("num_bad_epochs")?, count("cooldown_counter")?);
        self.last_epoch = count("last_epoch")?;
        Ok(())
    }
}
