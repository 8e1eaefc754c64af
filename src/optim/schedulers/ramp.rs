//! Rates on their way to the initial one or away from it: LinearLR, PolynomialLR, ConstantLR.

use schemars::JsonSchema;
use serde::Deserialize;

use super::decay::{times, unchanged};
use super::{At, Curve, Curved, Fault, LastEpoch, scheduler};
use crate::error::Result;
use crate::optim::{GroupOptions, Horizon, Optimizer, Scheduler, SchedulerSpec};
use crate::registry::Fraction;

fn third() -> Fraction {
    Fraction(1.0 / 3.0)
}

fn one() -> Fraction {
    Fraction(1.0)
}

fn five() -> u64 {
    5
}

/// Changes the rate's factor from `start_factor` to `end_factor` in `total_iters` equal steps.
///
/// <https://docs.pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.LinearLR.html>
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "some arguments are only accepted")]
pub struct LinearLr {
    /// The first factor, above 0.
    #[serde(default = "third")]
    pub start_factor: Fraction,
    /// The last factor.
    #[serde(default = "one")]
    pub end_factor: Fraction,
    /// Steps from the first to the last.
    #[serde(default = "five")]
    pub total_iters: u64,
    /// Only -1, the start.
    #[serde(default)]
    pub last_epoch: LastEpoch,
}

/// Lets the rate fall to 0 in `total_iters` steps, along a power of the time left.
///
/// <https://docs.pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.PolynomialLR.html>
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "some arguments are only accepted")]
pub struct PolynomialLr {
    /// Steps down to 0.
    #[serde(default = "five")]
    pub total_iters: u64,
    /// The power.
    #[serde(default = "power")]
    pub power: f64,
    /// Only -1, the start.
    #[serde(default)]
    pub last_epoch: LastEpoch,
}

fn power() -> f64 {
    1.0
}

/// Multiplies the rate by `factor` for the first `total_iters` steps.
///
/// <https://docs.pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.ConstantLR.html>
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "some arguments are only accepted")]
pub struct ConstantLr {
    /// The factor.
    #[serde(default = "third")]
    pub factor: Fraction,
    /// How many steps.
    #[serde(default = "five")]
    pub total_iters: u64,
    /// Only -1, the start.
    #[serde(default)]
    pub last_epoch: LastEpoch,
}

scheduler!(LinearLr, "torch.optim.lr_scheduler.LinearLR");
scheduler!(PolynomialLr, "torch.optim.lr_scheduler.PolynomialLR");
scheduler!(ConstantLr, "torch.optim.lr_scheduler.ConstantLR");

macro_rules! spec {
    ($($args:ty),*) => {
        $(impl SchedulerSpec for $args {
            fn make(&self, optimizer: &mut dyn Optimizer, _: Horizon) -> Result<Box<dyn Scheduler>> {
                Ok(Box::new(Curved::new(self.clone(), optimizer)?))
            }
        })*
    };
}
spec!(LinearLr, PolynomialLr, ConstantLr);

impl LinearLr {
    fn validate(&self) -> Result<(), Fault> {
        if self.start_factor.0 == 0.0 {
            return Err(("start_factor", "the first factor must be above 0: the rate grows by multiplication".into()));
        }
        Ok(())
    }
}

impl Curve for LinearLr {
    fn rates(&self, at: &At, groups: &mut [GroupOptions]) -> Result<Vec<f64>> {
        let (start, end, total) = (self.start_factor.0, self.end_factor.0, self.total_iters as f64);
        if at.last_epoch == 0 {
            return Ok(times(groups, start));
        }
        if at.initial || at.last_epoch > self.total_iters as i64 {
            return Ok(unchanged(groups));
        }
        Ok(times(groups, 1.0 + (end - start) / (total * start + (at.count() - 1.0) * (end - start))))
    }

    fn closed(&self, at: &At) -> Option<Vec<f64>> {
        let (start, end, total) = (self.start_factor.0, self.end_factor.0, self.total_iters as f64);
        let way = if self.total_iters == 0 { 1.0 } else { total.min(at.count()) / total };
        Some(at.base_lrs.iter().map(|base| base * (start + (end - start) * way)).collect())
    }
}

impl PolynomialLr {
    fn validate(&self) -> Result<(), Fault> {
        Ok(())
    }
}

impl Curve for PolynomialLr {
    fn rates(&self, at: &At, groups: &mut [GroupOptions]) -> Result<Vec<f64>> {
        if at.initial || at.last_epoch > self.total_iters as i64 {
            return Ok(unchanged(groups));
        }
        let left = |t: f64| 1.0 - t / self.total_iters as f64;
        Ok(times(groups, (left(at.count()) / left(at.count() - 1.0)).powf(self.power)))
    }

    fn closed(&self, at: &At) -> Option<Vec<f64>> {
        let total = self.total_iters as f64;
        let left = if self.total_iters == 0 { 0.0 } else { 1.0 - total.min(at.count()) / total };
        Some(at.base_lrs.iter().map(|base| base * left.powf(self.power)).collect())
    }
}

impl ConstantLr {
    fn validate(&self) -> Result<(), Fault> {
        if self.factor.0 == 0.0 {
            return Err(("factor", "the factor must be above 0: the rate comes back by a division".into()));
        }
        Ok(())
    }
}

impl Curve for ConstantLr {
    fn rates(&self, at: &At, groups: &mut [GroupOptions]) -> Result<Vec<f64>> {
        if at.last_epoch == 0 {
            return Ok(times(groups, self.factor.0));
        }
        if at.last_epoch != self.total_iters as i64 {
            return Ok(unchanged(groups));
        }
        Ok(times(groups, 1.0 / self.factor.0))
    }

    fn closed(&self, at: &At) -> Option<Vec<f64>> {
        let past = at.last_epoch >= self.total_iters as i64;
        let factor = self.factor.0 + f64::from(u8::from(past)) * (1.0 - self.factor.0);
        Some(at.base_lrs.iter().map(|base| base * factor).collect())
    }
}
