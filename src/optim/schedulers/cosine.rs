//! Cosine annealing (Loshchilov and Hutter, 2017), with and without warm restarts.

use std::f64::consts::PI;
use std::num::NonZeroU64;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::decay::unchanged;
use super::{At, Curve, Curved, Fault, LastEpoch, scheduler};
use crate::error::Result;
use crate::optim::{GroupOptions, Horizon, Optimizer, Scheduler, SchedulerSpec};

/// Lets the rate fall along a cosine to `eta_min` within `T_max` steps; after that it rises again.
///
/// <https://docs.pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.CosineAnnealingLR.html>
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "some arguments are only accepted")]
pub struct CosineAnnealingLr {
    /// Steps down to the smallest rate.
    #[serde(rename = "T_max")]
    pub t_max: NonZeroU64,
    /// The smallest rate.
    #[serde(default)]
    pub eta_min: f64,
    /// Only -1, the start.
    #[serde(default)]
    pub last_epoch: LastEpoch,
}

scheduler!(CosineAnnealingLr, "torch.optim.lr_scheduler.CosineAnnealingLR");

impl CosineAnnealingLr {
    fn validate(&self) -> Result<(), Fault> {
        Ok(())
    }
}

impl SchedulerSpec for CosineAnnealingLr {
    fn make(&self, optimizer: &mut dyn Optimizer, _: Horizon) -> Result<Box<dyn Scheduler>> {
        Ok(Box::new(Curved::new(self.clone(), optimizer)?))
    }
}

impl Curve for CosineAnnealingLr {
    fn rates(&self, at: &At, groups: &mut [GroupOptions]) -> Result<Vec<f64>> {
        if at.initial {
            return Ok(unchanged(groups));
        }
        let (t, period) = (at.last_epoch, self.t_max.get() as f64);
        if (t - 1 - self.t_max.get() as i64).rem_euclid(2 * self.t_max.get() as i64) == 0 {
            // Right after the smallest rate, where the recursion would divide by zero.
            let rise = (1.0 - (PI / period).cos()) / 2.0;
            let pairs = groups.iter().zip(&at.base_lrs);
            return Ok(pairs.map(|(group, base)| group.lr + (base - self.eta_min) * rise).collect());
        }
        let above = |t: f64| 1.0 + (PI * t / period).cos();
        let ratio = above(t as f64) / above((t - 1) as f64);
        Ok(groups.iter().map(|group| ratio * (group.lr - self.eta_min) + self.eta_min).collect())
    }

    fn closed(&self, at: &At) -> Option<Vec<f64>> {
        let share = (1.0 + (PI * at.count() / self.t_max.get() as f64).cos()) / 2.0;
        Some(at.base_lrs.iter().map(|base| self.eta_min + (base - self.eta_min) * share).collect())
    }
}

/// Lets the rate fall along a cosine and starts anew, each time after `T_mult` times as many steps.
///
/// <https://docs.pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.CosineAnnealingWarmRestarts.html>
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "some arguments are only accepted")]
pub struct CosineAnnealingWarmRestarts {
    /// Steps until the first restart.
    #[serde(rename = "T_0")]
    pub t_0: NonZeroU64,
    /// By what the time between restarts grows.
    #[serde(rename = "T_mult", default = "one")]
    pub t_mult: NonZeroU64,
    /// The smallest rate.
    #[serde(default)]
    pub eta_min: f64,
    /// Only -1, the start.
    #[serde(default)]
    pub last_epoch: LastEpoch,
}

fn one() -> NonZeroU64 {
    NonZeroU64::MIN
}

scheduler!(CosineAnnealingWarmRestarts, "torch.optim.lr_scheduler.CosineAnnealingWarmRestarts");

impl CosineAnnealingWarmRestarts {
    fn validate(&self) -> Result<(), Fault> {
        Ok(())
    }
}

impl SchedulerSpec for CosineAnnealingWarmRestarts {
    fn make(&self, optimizer: &mut dyn Optimizer, _: Horizon) -> Result<Box<dyn Scheduler>> {
        let curve = Restarts { args: self.clone(), t_cur: 0, t_i: self.t_0.get() };
        Ok(Box::new(Curved::new(curve, optimizer)?))
    }
}

struct Restarts {
    args: CosineAnnealingWarmRestarts,
    /// Steps since the last restart.
    t_cur: u64,
    /// Steps from the last restart to the next.
    t_i: u64,
}

impl Curve for Restarts {
    fn advance(&mut self, at: &mut At) {
        if at.last_epoch < 0 {
            (self.t_cur, self.t_i) = (0, self.args.t_0.get());
        } else {
            self.t_cur += 1;
            if self.t_cur >= self.t_i {
                self.t_cur %= self.t_i;
                self.t_i = self.t_i.saturating_mul(self.args.t_mult.get());
            }
        }
        at.last_epoch += 1;
    }

    fn rates(&self, at: &At, _: &mut [GroupOptions]) -> Result<Vec<f64>> {
        let share = (1.0 + (PI * self.t_cur as f64 / self.t_i as f64).cos()) / 2.0;
        Ok(at.base_lrs.iter().map(|base| self.args.eta_min + (base - self.args.eta_min) * share).collect())
    }

    fn state(&self) -> Map<String, Value> {
        Map::from_iter([("T_cur".to_owned(), self.t_cur.into()), ("T_i".to_owned(), self.t_i.into())])
    }

    fn restore(&mut self, state: &Value) {
        self.t_cur = state["T_cur"].as_u64().unwrap_or(self.t_cur);
        self.t_i = state["T_i"].as_u64().unwrap_or(self.t_i).max(1);
    }
}
