//! Cyclical learning rates.

use std::num::NonZeroU64;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{At, Curve, Curved, Fault, LastEpoch, for_groups, needs_momentum, scheduler};
use crate::error::Result;
use crate::optim::{GroupOptions, Horizon, Optimizer, Scheduler, SchedulerSpec};
use crate::registry::{Ignored, OneOrMany};

/// Lets the rate rise and fall between two bounds (Smith, 2017), the momentum the other way. One step is one batch.
///
/// <https://docs.pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.CyclicLR.html>
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "some arguments are only accepted")]
pub struct CyclicLr {
    /// The lowest rate, for all groups or one for each.
    pub base_lr: OneOrMany<f64>,
    /// The highest rate, for all groups or one for each.
    pub max_lr: OneOrMany<f64>,
    /// Steps up.
    #[serde(default = "two_thousand")]
    pub step_size_up: NonZeroU64,
    /// Steps down; as many as up when not given.
    #[serde(default)]
    pub step_size_down: Option<NonZeroU64>,
    /// How the height changes: not at all, halved every cycle, or by `gamma` every step.
    #[serde(default)]
    pub mode: Mode,
    /// The factor of `exp_range`.
    #[serde(default = "one")]
    pub gamma: f64,
    /// A Python function; not here (see `runner.schedulers.Expression`).
    #[serde(default)]
    pub scale_fn: Option<String>,
    /// Belongs to `scale_fn`.
    #[serde(default)]
    pub scale_mode: Ignored,
    /// Whether the momentum (Adam's beta1) goes the other way.
    #[serde(default = "yes")]
    pub cycle_momentum: bool,
    /// The lowest momentum, for all groups or one for each.
    #[serde(default = "base_momentum")]
    pub base_momentum: OneOrMany<f64>,
    /// The highest momentum, for all groups or one for each.
    #[serde(default = "max_momentum")]
    pub max_momentum: OneOrMany<f64>,
    /// Only -1, the start.
    #[serde(default)]
    pub last_epoch: LastEpoch,
}

/// How the height of the cycles changes.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Not at all.
    #[default]
    Triangular,
    /// Halved every cycle.
    Triangular2,
    /// Multiplied by `gamma` every step.
    ExpRange,
}

fn two_thousand() -> NonZeroU64 {
    NonZeroU64::MIN.saturating_add(1999)
}

fn one() -> f64 {
    1.0
}

fn yes() -> bool {
    true
}

fn base_momentum() -> OneOrMany<f64> {
    OneOrMany::One(0.8)
}

fn max_momentum() -> OneOrMany<f64> {
    OneOrMany::One(0.9)
}

scheduler!(CyclicLr, "torch.optim.lr_scheduler.CyclicLR");

impl CyclicLr {
    fn validate(&self) -> Result<(), Fault> {
        match self.scale_fn {
            Some(_) => {
                Err(("scale_fn", "a function cannot be given; runner.schedulers.Expression takes a formula".into()))
            }
            None => Ok(()),
        }
    }
}

impl SchedulerSpec for CyclicLr {
    fn make(&self, optimizer: &mut dyn Optimizer, _: Horizon) -> Result<Box<dyn Scheduler>> {
        let groups = optimizer.groups().len();
        let base_lrs = for_groups("base_lr", &self.base_lr, groups)?;
        let max_lrs = for_groups("max_lr", &self.max_lr, groups)?;
        let momenta = if self.cycle_momentum {
            needs_momentum(optimizer)?;
            let base = for_groups("base_momentum", &self.base_momentum, groups)?;
            let max = for_groups("max_momentum", &self.max_momentum, groups)?;
            Some((base, max))
        } else {
            None
        };
        for (i, group) in optimizer.groups_mut().iter_mut().enumerate() {
            group.lr = base_lrs[i];
            if let Some((_, max)) = &momenta {
                group.momentum = Some(max[i]);
            }
        }
        let up = self.step_size_up.get() as f64;
        let total = up + self.step_size_down.map_or(up, |down| down.get() as f64);
        let curve = Waves { total, up: up / total, mode: self.mode, gamma: self.gamma, max_lrs, momenta };
        let mut made = Curved::new(curve, optimizer)?;
        made.at_mut().base_lrs = base_lrs;
        Ok(Box::new(made))
    }
}

struct Waves {
    /// Steps of a cycle.
    total: f64,
    /// The share of it that goes up.
    up: f64,
    mode: Mode,
    gamma: f64,
    max_lrs: Vec<f64>,
    /// Lowest and highest, when they are cycled.
    momenta: Option<(Vec<f64>, Vec<f64>)>,
}

impl Curve for Waves {
    fn rates(&self, at: &At, groups: &mut [GroupOptions]) -> Result<Vec<f64>> {
        let cycle = (1.0 + at.count() / self.total).floor();
        let way = 1.0 + at.count() / self.total - cycle;
        let height = if way <= self.up { way / self.up } else { (way - 1.0) / (self.up - 1.0) };
        let scale = match self.mode {
            Mode::Triangular => 1.0,
            Mode::Triangular2 => 1.0 / 2f64.powf(cycle - 1.0),
            Mode::ExpRange => self.gamma.powf(at.count()),
        };
        if let Some((base, max)) = &self.momenta {
            for (i, group) in groups.iter_mut().enumerate().take(base.len()) {
                group.momentum = Some(max[i] - (max[i] - base[i]) * height * scale);
            }
        }
        let bounds = at.base_lrs.iter().zip(&self.max_lrs);
        Ok(bounds.map(|(base, max)| base + (max - base) * height * scale).collect())
    }
}
