//! Rates that fall by a factor: StepLR, MultiStepLR, ExponentialLR.

use std::num::NonZeroU64;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{At, Curve, Curved, Fault, LastEpoch, scheduler};
use crate::error::Result;
use crate::optim::{GroupOptions, Horizon, Optimizer, Scheduler, SchedulerSpec};

fn tenth() -> f64 {
    0.1
}

/// Multiplies the rate by `gamma` every `step_size` steps.
///
/// <https://docs.pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.StepLR.html>
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "some arguments are only accepted")]
pub struct StepLr {
    /// Steps between two reductions.
    pub step_size: NonZeroU64,
    /// The factor.
    #[serde(default = "tenth")]
    pub gamma: f64,
    /// Only -1, the start.
    #[serde(default)]
    pub last_epoch: LastEpoch,
}

/// Multiplies the rate by `gamma` at each milestone; a milestone that is named twice counts twice.
///
/// <https://docs.pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.MultiStepLR.html>
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "some arguments are only accepted")]
pub struct MultiStepLr {
    /// The steps at which the rate falls.
    pub milestones: Vec<u64>,
    /// The factor.
    #[serde(default = "tenth")]
    pub gamma: f64,
    /// Only -1, the start.
    #[serde(default)]
    pub last_epoch: LastEpoch,
}

/// Multiplies the rate by `gamma` every step.
///
/// <https://docs.pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.ExponentialLR.html>
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "some arguments are only accepted")]
pub struct ExponentialLr {
    /// The factor.
    pub gamma: f64,
    /// Only -1, the start.
    #[serde(default)]
    pub last_epoch: LastEpoch,
}

scheduler!(StepLr, "torch.optim.lr_scheduler.StepLR");
scheduler!(MultiStepLr, "torch.optim.lr_scheduler.MultiStepLR");
scheduler!(ExponentialLr, "torch.optim.lr_scheduler.ExponentialLR");

macro_rules! spec {
    ($($args:ty),*) => {
        $(
            impl $args {
                fn validate(&self) -> Result<(), Fault> {
                    Ok(())
                }
            }

            impl SchedulerSpec for $args {
                fn make(&self, optimizer: &mut dyn Optimizer, _: Horizon) -> Result<Box<dyn Scheduler>> {
                    Ok(Box::new(Curved::new(self.clone(), optimizer)?))
                }
            }
        )*
    };
}
spec!(StepLr, MultiStepLr, ExponentialLr);

/// The rates as they are, times `factor`.
pub(super) fn times(groups: &[GroupOptions], factor: f64) -> Vec<f64> {
    groups.iter().map(|group| group.lr * factor).collect()
}

/// The rates as they are.
pub(super) fn unchanged(groups: &[GroupOptions]) -> Vec<f64> {
    groups.iter().map(|group| group.lr).collect()
}

impl Curve for StepLr {
    fn rates(&self, at: &At, groups: &mut [GroupOptions]) -> Result<Vec<f64>> {
        if at.last_epoch == 0 || at.last_epoch % self.step_size.get() as i64 != 0 {
            return Ok(unchanged(groups));
        }
        Ok(times(groups, self.gamma))
    }

    fn closed(&self, at: &At) -> Option<Vec<f64>> {
        let reductions = at.last_epoch / self.step_size.get() as i64;
        Some(at.base_lrs.iter().map(|base| base * self.gamma.powf(reductions as f64)).collect())
    }
}

impl Curve for MultiStepLr {
    fn rates(&self, at: &At, groups: &mut [GroupOptions]) -> Result<Vec<f64>> {
        let now = self.milestones.iter().filter(|milestone| **milestone as i64 == at.last_epoch).count();
        Ok(if now == 0 { unchanged(groups) } else { times(groups, self.gamma.powf(now as f64)) })
    }

    fn closed(&self, at: &At) -> Option<Vec<f64>> {
        let past = self.milestones.iter().filter(|milestone| **milestone as i64 <= at.last_epoch).count();
        Some(at.base_lrs.iter().map(|base| base * self.gamma.powf(past as f64)).collect())
    }
}

impl Curve for ExponentialLr {
    fn rates(&self, at: &At, groups: &mut [GroupOptions]) -> Result<Vec<f64>> {
        Ok(if at.initial { unchanged(groups) } else { times(groups, self.gamma) })
    }

    fn closed(&self, at: &At) -> Option<Vec<f64>> {
        Some(at.base_lrs.iter().map(|base| base * self.gamma.powf(at.count())).collect())
    }
}
