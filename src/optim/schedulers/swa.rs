//! The rate of stochastic weight averaging.

use std::f64::consts::PI;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{At, Curve, Curved, Fault, LastEpoch, for_groups, scheduler};
use crate::error::Result;
use crate::optim::{GroupOptions, Horizon, Optimizer, Scheduler, SchedulerSpec};
use crate::registry::OneOrMany;

/// Moves the rate from where it is to `swa_lr` in `anneal_epochs` steps and keeps it there.
///
/// <https://docs.pytorch.org/docs/stable/generated/torch.optim.swa_utils.SWALR.html>
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "some arguments are only accepted")]
pub struct SwaLr {
    /// The rate to end at, for all groups or one for each.
    pub swa_lr: OneOrMany<f64>,
    /// In how many steps; 0 is at once.
    #[serde(default = "ten")]
    pub anneal_epochs: u64,
    /// Along a cosine or a line.
    #[serde(default)]
    pub anneal_strategy: Annealing,
    /// Only -1, the start.
    #[serde(default)]
    pub last_epoch: LastEpoch,
}

/// The way from one rate to the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Annealing {
    /// Half a cosine.
    #[default]
    Cos,
    /// A straight line.
    Linear,
}

fn ten() -> u64 {
    10
}

scheduler!(SwaLr, "torch.optim.swa_utils.SWALR");

impl SwaLr {
    fn validate(&self) -> Result<(), Fault> {
        Ok(())
    }
}

impl SchedulerSpec for SwaLr {
    fn make(&self, optimizer: &mut dyn Optimizer, _: Horizon) -> Result<Box<dyn Scheduler>> {
        let rates = for_groups("swa_lr", &self.swa_lr, optimizer.groups().len())?;
        let curve = Anneal { rates, epochs: self.anneal_epochs, strategy: self.anneal_strategy };
        Ok(Box::new(Curved::new(curve, optimizer)?))
    }
}

struct Anneal {
    rates: Vec<f64>,
    epochs: u64,
    strategy: Annealing,
}

impl Anneal {
    /// How far the rate is on its way after `step` steps, from 0 to 1.
    fn way(&self, step: f64) -> f64 {
        let share = (step / self.epochs.max(1) as f64).clamp(0.0, 1.0);
        match self.strategy {
            Annealing::Cos => (1.0 - (PI * share).cos()) / 2.0,
            Annealing::Linear => share,
        }
    }
}

impl Curve for Anneal {
    fn rates(&self, at: &At, groups: &mut [GroupOptions]) -> Result<Vec<f64>> {
        let steps = at.step_count.saturating_sub(1);
        let steps = if self.epochs == 0 { steps.max(1) } else { steps } as f64;
        let (before, now) = (self.way(steps - 1.0), self.way(steps));
        let rate = |(group, end): (&GroupOptions, &f64)| {
            let start = if before == 1.0 { *end } else { (group.lr - before * end) / (1.0 - before) };
            end * now + start * (1.0 - now)
        };
        Ok(groups.iter().zip(&self.rates).map(rate).collect())
    }

    fn state(&self) -> Map<String, Value> {
        Map::from_iter([("swa_lrs".to_owned(), json!(self.rates))])
    }

    fn restore(&mut self, state: &Value) {
        let saved = state["swa_lrs"].as_array().map(|rates| rates.iter().filter_map(Value::as_f64).collect());
        self.rates = saved.unwrap_or_else(|| self.rates.clone());
    }

    /// It begins within a run, and groups may have joined before or after it did: which, the saved state knows.
    fn takes_saved_groups(&self) -> bool {
        true
    }
}
