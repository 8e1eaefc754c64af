//! The one-cycle policy.

use std::f64::consts::PI;
use std::num::NonZeroU64;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{At, Curve, Curved, Fault, LastEpoch, for_groups, needs_momentum, scheduler};
use crate::error::{Error, Result};
use crate::optim::{GroupOptions, Horizon, Optimizer, Scheduler, SchedulerSpec};
use crate::registry::{Fraction, OneOrMany, Positive};

/// Raises the rate to `max_lr` and lets it fall far below its start, the momentum the other way (Smith and Topin,
/// 2018). One step is one batch.
///
/// The optimizer's own rate is overwritten: it starts at `max_lr / div_factor` and ends at
/// `max_lr / div_factor / final_div_factor`. Without `total_steps`, `epochs` and `steps_per_epoch` the cycle is as
/// long as the run.
/// <https://docs.pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.OneCycleLR.html>
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "some arguments are only accepted")]
pub struct OneCycleLr {
    /// The highest rate, for all groups or one for each.
    pub max_lr: OneOrMany<f64>,
    /// Steps of the whole cycle.
    #[serde(default)]
    pub total_steps: Option<NonZeroU64>,
    /// Epochs of the cycle, with `steps_per_epoch`.
    #[serde(default)]
    pub epochs: Option<NonZeroU64>,
    /// Steps of an epoch, with `epochs`.
    #[serde(default)]
    pub steps_per_epoch: Option<NonZeroU64>,
    /// The share of the cycle in which the rate rises.
    #[serde(default = "pct_start")]
    pub pct_start: Fraction,
    /// Along a cosine or a line.
    #[serde(default)]
    pub anneal_strategy: Anneal,
    /// Whether the momentum (Adam's beta1) goes the other way.
    #[serde(default = "yes")]
    pub cycle_momentum: bool,
    /// The lowest momentum, for all groups or one for each.
    #[serde(default = "base_momentum")]
    pub base_momentum: OneOrMany<f64>,
    /// The highest momentum, for all groups or one for each.
    #[serde(default = "max_momentum")]
    pub max_momentum: OneOrMany<f64>,
    /// The highest rate over the first.
    #[serde(default = "div_factor")]
    pub div_factor: Positive,
    /// The first rate over the last.
    #[serde(default = "final_div_factor")]
    pub final_div_factor: Positive,
    /// A third phase: down to the first rate as slowly as up, then to the last.
    #[serde(default)]
    pub three_phase: bool,
    /// Only -1, the start.
    #[serde(default)]
    pub last_epoch: LastEpoch,
}

/// How values go from one to another.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Anneal {
    /// Along half a cosine.
    #[default]
    Cos,
    /// Along a line.
    Linear,
}

impl Anneal {
    fn at(self, start: f64, end: f64, way: f64) -> f64 {
        match self {
            Anneal::Cos => end + (start - end) / 2.0 * ((PI * way).cos() + 1.0),
            Anneal::Linear => (end - start) * way + start,
        }
    }
}

fn pct_start() -> Fraction {
    Fraction(0.3)
}

fn yes() -> bool {
    true
}

fn base_momentum() -> OneOrMany<f64> {
    OneOrMany::One(0.85)
}

fn max_momentum() -> OneOrMany<f64> {
    OneOrMany::One(0.95)
}

fn div_factor() -> Positive {
    Positive(25.0)
}

fn final_div_factor() -> Positive {
    Positive(1e4)
}

scheduler!(OneCycleLr, "torch.optim.lr_scheduler.OneCycleLR");

impl OneCycleLr {
    fn validate(&self) -> Result<(), Fault> {
        if self.total_steps.is_none() && self.epochs.is_some() != self.steps_per_epoch.is_some() {
            return Err(("epochs", "`epochs` and `steps_per_epoch` go together".into()));
        }
        Ok(())
    }

    fn steps(&self, horizon: Horizon) -> Result<u64> {
        let product = self.epochs.zip(self.steps_per_epoch).map(|(a, b)| a.get().saturating_mul(b.get()));
        let given = self.total_steps.map(NonZeroU64::get).or(product).or(horizon.total_steps);
        given.filter(|steps| *steps > 0).ok_or_else(|| {
            Error::request("OneCycleLR needs `total_steps`: the length of the run is not known")
                .help("give total_steps, or end the run by max_epochs or max_steps")
        })
    }
}

impl SchedulerSpec for OneCycleLr {
    fn make(&self, optimizer: &mut dyn Optimizer, horizon: Horizon) -> Result<Box<dyn Scheduler>> {
        let steps = self.steps(horizon)?;
        let groups = optimizer.groups().len();
        let (total, rise) = (steps as f64, self.pct_start.0 * steps as f64 - 1.0);
        // Where each phase ends, and which corners of a group it connects.
        let phases = if self.three_phase {
            vec![
                Phase { end: rise, from: Corner::Initial, to: Corner::Max },
                Phase { end: 2.0 * self.pct_start.0 * total - 2.0, from: Corner::Max, to: Corner::Initial },
                Phase { end: total - 1.0, from: Corner::Initial, to: Corner::Min },
            ]
        } else {
            vec![
                Phase { end: rise, from: Corner::Initial, to: Corner::Max },
                Phase { end: total - 1.0, from: Corner::Max, to: Corner::Min },
            ]
        };
        let max_lrs = for_groups("max_lr", &self.max_lr, groups)?;
        let initial: Vec<f64> = max_lrs.iter().map(|max| max / self.div_factor.0).collect();
        let min = initial.iter().map(|initial| initial / self.final_div_factor.0).collect();
        let momenta = if self.cycle_momentum {
            needs_momentum(optimizer)?;
            let base = for_groups("base_momentum", &self.base_momentum, groups)?;
            let max = for_groups("max_momentum", &self.max_momentum, groups)?;
            for (group, max) in optimizer.groups_mut().iter_mut().zip(&max) {
                group.momentum = Some(*max);
            }
            Some((base, max))
        } else {
            None
        };
        for (group, initial) in optimizer.groups_mut().iter_mut().zip(&initial) {
            group.initial_lr = Some(*initial);
        }
        let curve = Cycle { steps, phases, anneal: self.anneal_strategy, initial, max: max_lrs, min, momenta };
        Ok(Box::new(Curved::new(curve, optimizer)?))
    }
}

#[derive(Clone, Copy)]
enum Corner {
    Initial,
    Max,
    Min,
}

struct Phase {
    end: f64,
    from: Corner,
    to: Corner,
}

struct Cycle {
    steps: u64,
    phases: Vec<Phase>,
    anneal: Anneal,
    initial: Vec<f64>,
    max: Vec<f64>,
    min: Vec<f64>,
    /// Lowest and highest, when they are cycled.
    momenta: Option<(Vec<f64>, Vec<f64>)>,
}

impl Cycle {
    fn rate(&self, corner: Corner, group: usize) -> f64 {
        match corner {
            Corner::Initial => self.initial[group],
            Corner::Max => self.max[group],
            Corner::Min => self.min[group],
        }
    }
}

impl Curve for Cycle {
    fn rates(&self, at: &At, groups: &mut [GroupOptions]) -> Result<Vec<f64>> {
        let step = at.count();
        // One past the end is accepted, as PyTorch does.
        if at.last_epoch > self.steps as i64 {
            return Err(Error::failed(format!(
                "OneCycleLR was made for {} steps and is asked for step {}",
                self.steps, at.last_epoch
            ))
            .help("give total_steps as many as the run has, or leave it out; with interval: epoch it counts epochs"));
        }
        let mut start = 0.0;
        let mut now = &self.phases[0];
        for (i, phase) in self.phases.iter().enumerate() {
            now = phase;
            if step <= phase.end || i + 1 == self.phases.len() {
                break;
            }
            start = phase.end;
        }
        // A rise that takes the whole cycle leaves a fall of no length.
        let way = if now.end == start { 1.0 } else { (step - start) / (now.end - start) };
        let rates = (0..self.max.len()).map(|i| self.anneal.at(self.rate(now.from, i), self.rate(now.to, i), way));
        let rates = rates.collect();
        if let Some((base, max)) = &self.momenta {
            for (i, group) in groups.iter_mut().enumerate().take(base.len()) {
                // The momentum is lowest where the rate is highest.
                let corner = |corner| if matches!(corner, Corner::Max) { base[i] } else { max[i] };
                group.momentum = Some(self.anneal.at(corner(now.from), corner(now.to), way));
            }
        }
        Ok(rates)
    }
}
