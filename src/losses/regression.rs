//! Losses of values against values.

use schemars::JsonSchema;
use serde::Deserialize;
use tch::Tensor;

use super::{Loss, Reduction, losses, same_rank};
use crate::registry::{NonNegative, Positive};

fn one() -> NonNegative {
    NonNegative(1.0)
}
fn delta() -> Positive {
    Positive(1.0)
}

/// Squared error.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MSELoss {
    /// Deprecated in PyTorch: use `reduction`.
    #[serde(default)]
    size_average: Option<bool>,
    /// Deprecated in PyTorch: use `reduction`.
    #[serde(default)]
    reduce: Option<bool>,
    /// none, mean or sum.
    #[serde(default)]
    reduction: Reduction,
}

/// Absolute error.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct L1Loss {
    /// Deprecated in PyTorch: use `reduction`.
    #[serde(default)]
    size_average: Option<bool>,
    /// Deprecated in PyTorch: use `reduction`.
    #[serde(default)]
    reduce: Option<bool>,
    /// none, mean or sum.
    #[serde(default)]
    reduction: Reduction,
}

/// Squared error below `beta`, absolute error above: `0.5 d^2 / beta` or `|d| - 0.5 beta`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SmoothL1Loss {
    /// Deprecated in PyTorch: use `reduction`.
    #[serde(default)]
    size_average: Option<bool>,
    /// Deprecated in PyTorch: use `reduction`.
    #[serde(default)]
    reduce: Option<bool>,
    /// none, mean or sum.
    #[serde(default)]
    reduction: Reduction,
    /// Where the two meet, 0 or above; 0 is the absolute error.
    #[serde(default = "one")]
    beta: NonNegative,
}

/// Huber's loss: `0.5 d^2` below `delta`, `delta (|d| - 0.5 delta)` above.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HuberLoss {
    /// none, mean or sum.
    #[serde(default)]
    reduction: Reduction,
    /// Where the two meet, above 0.
    #[serde(default = "delta")]
    delta: Positive,
}

losses! {
    MSELoss: "torch.nn.MSELoss",
    L1Loss: "torch.nn.L1Loss",
    SmoothL1Loss: "torch.nn.SmoothL1Loss",
    HuberLoss: "torch.nn.HuberLoss",
}

impl Loss for MSELoss {
    fn forward(&self, input: &Tensor, target: &Tensor) -> Tensor {
        same_rank(input, target);
        input.mse_loss(target, self.reduction.legacy(self.size_average, self.reduce).tch())
    }
}

impl Loss for L1Loss {
    fn forward(&self, input: &Tensor, target: &Tensor) -> Tensor {
        same_rank(input, target);
        input.l1_loss(target, self.reduction.legacy(self.size_average, self.reduce).tch())
    }
}

impl Loss for SmoothL1Loss {
    fn forward(&self, input: &Tensor, target: &Tensor) -> Tensor {
        same_rank(input, target);
        let reduction = self.reduction.legacy(self.size_average, self.reduce).tch();
        // With beta 0 the quadratic part would divide by it.
        if self.beta.0 == 0.0 {
            return input.l1_loss(target, reduction);
        }
        input.smooth_l1_loss(target, reduction, self.beta.0)
    }
}

impl Loss for HuberLoss {
    fn forward(&self, input: &Tensor, target: &Tensor) -> Tensor {
        same_rank(input, target);
        input.huber_loss(target, self.reduction.tch(), self.delta.0)
    }
}
