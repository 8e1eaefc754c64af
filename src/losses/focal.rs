//! Focal loss (Lin et al., 2017, arXiv:1708.02002).

use schemars::JsonSchema;
use serde::Deserialize;
use tch::Tensor;

use super::{Loss, Reduction, losses, same_rank};

fn quarter() -> f64 {
    0.25
}
fn two() -> f64 {
    2.0
}
fn none() -> Reduction {
    Reduction::None
}

/// Binary cross entropy of logits weighted by `(1 - p_t)^gamma` and by `alpha` for positives, `1 - alpha` for
/// negatives; targets are 0 and 1, of the same shape.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SigmoidFocalLoss {
    /// The weight of positives, from 0 to 1; below 0: no such weight.
    #[serde(default = "quarter")]
    alpha: f64,
    /// How much less the easy examples count, 0 or above.
    #[serde(default = "two")]
    gamma: f64,
    /// none, mean or sum.
    #[serde(default = "none")]
    reduction: Reduction,
}

losses! { SigmoidFocalLoss: "torchvision.ops.sigmoid_focal_loss" }

/// The focal loss as a function, one value per element.
pub fn sigmoid_focal_loss(input: &Tensor, target: &Tensor, alpha: f64, gamma: f64) -> Tensor {
    same_rank(input, target);
    let target = target.to_kind(input.kind());
    let negative = target.ones_like() - &target;
    let p = input.sigmoid();
    let entropy =
        input.binary_cross_entropy_with_logits(&target, None::<&Tensor>, None::<&Tensor>, tch::Reduction::None);
    let p_true = &p * &target + (p.ones_like() - &p) * &negative;
    let loss = entropy * (p_true.ones_like() - p_true).pow_tensor_scalar(gamma);
    if alpha < 0.0 { loss } else { loss * (target * alpha + negative * (1.0 - alpha)) }
}

impl Loss for SigmoidFocalLoss {
    fn forward(&self, input: &Tensor, target: &Tensor) -> Tensor {
        self.reduction.apply(&sigmoid_focal_loss(input, target, self.alpha, self.gamma))
    }
}
