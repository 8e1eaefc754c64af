//! Asymmetric losses (Ben-Baruch et al., 2020, arXiv:2009.14119), as timm has them.

use schemars::JsonSchema;
use serde::Deserialize;
use tch::{Kind, Tensor};

use super::{BatchReduction, Loss, Reduction, Weights, labels, losses, same_rank};
use crate::registry::{Fraction, NonNegative};

fn four() -> NonNegative {
    NonNegative(4.0)
}
fn one() -> NonNegative {
    NonNegative(1.0)
}
fn margin() -> Option<NonNegative> {
    Some(NonNegative(0.05))
}
fn eps() -> NonNegative {
    NonNegative(1e-8)
}
fn tenth() -> Fraction {
    Fraction(0.1)
}
fn zero() -> Fraction {
    Fraction(0.0)
}
fn batch_mean() -> BatchReduction {
    BatchReduction::BatchMean
}

/// Asymmetric loss of logits `[N, C]` against targets `[N, C]` of 0 and 1 (or between).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AsymmetricLossMultiLabel {
    /// Focusing exponent of negatives, 0 or above.
    #[serde(default = "four")]
    gamma_neg: NonNegative,
    /// Focusing exponent of positives, 0 or above.
    #[serde(default = "one")]
    gamma_pos: NonNegative,
    /// The probability below which negatives do not count; none or 0: all count.
    #[serde(default = "margin")]
    clip: Option<NonNegative>,
    /// The smallest probability of which the logarithm is taken.
    #[serde(default = "eps")]
    eps: NonNegative,
    /// Treats the focusing weights as constants in the backward pass.
    #[serde(default)]
    disable_torch_grad_focal_loss: bool,
    /// Moves each target towards one half, by this share.
    #[serde(default = "zero")]
    smoothing: Fraction,
    /// batchmean, sum, mean or none.
    #[serde(default = "batch_mean")]
    reduction: BatchReduction,
    /// A weight per class.
    #[serde(default)]
    weight: Option<Weights>,
    /// The weight of the positive term, one or per class.
    #[serde(default)]
    pos_weight: Option<Weights>,
}

/// Asymmetric loss of logits `[N, C]` against labels `[N]`, with label smoothing `eps`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AsymmetricLossSingleLabel {
    /// Focusing exponent of the true class, 0 or above.
    #[serde(default = "one")]
    gamma_pos: NonNegative,
    /// Focusing exponent of the others, 0 or above.
    #[serde(default = "four")]
    gamma_neg: NonNegative,
    /// The share of the target that is spread evenly over the classes, from 0 to 1.
    #[serde(default = "tenth")]
    eps: Fraction,
    /// mean, or anything else for one value per sample.
    #[serde(default)]
    reduction: Reduction,
}

losses! {
    AsymmetricLossMultiLabel: "timm.loss.AsymmetricLossMultiLabel",
    AsymmetricLossSingleLabel: "timm.loss.AsymmetricLossSingleLabel",
}

fn less_than_one(tensor: &Tensor) -> Tensor {
    tensor.ones_like() - tensor
}

impl Loss for AsymmetricLossMultiLabel {
    fn forward(&self, input: &Tensor, target: &Tensor) -> Tensor {
        same_rank(input, target);
        // In float32 also under mixed precision: a probability below half precision's reach would become log 0.
        let (input, mut target) = (input.to_kind(Kind::Float), target.to_kind(Kind::Float));
        if self.smoothing.0 > 0.0 {
            target = target * (1.0 - self.smoothing.0) + 0.5 * self.smoothing.0;
        }
        let positive = input.sigmoid();
        let mut negative = less_than_one(&positive);
        if let Some(NonNegative(clip)) = self.clip.filter(|clip| clip.0 > 0.0) {
            negative = (negative + clip).clamp_max(1.0);
        }
        let absent = less_than_one(&target);
        let mut positive_term = &target * positive.clamp_min(self.eps.0).log();
        if let Some(weight) = &self.pos_weight {
            positive_term *= weight.on(&input);
        }
        let mut loss = positive_term + &absent * negative.clamp_min(self.eps.0).log();
        let (neg, pos) = (self.gamma_neg.0, self.gamma_pos.0);
        if neg > 0.0 || pos > 0.0 {
            let probability = positive * &target + negative * &absent;
            let exponent = target * pos + absent * neg;
            let focus = less_than_one(&probability).pow(&exponent);
            loss *= if self.disable_torch_grad_focal_loss { focus.detach() } else { focus };
        }
        if let Some(weight) = &self.weight {
            loss *= weight.on(&input);
        }
        self.reduction.apply(&-loss)
    }
}

impl Loss for AsymmetricLossSingleLabel {
    fn forward(&self, input: &Tensor, target: &Tensor) -> Tensor {
        let classes = input.size().last().copied().unwrap_or(1) as f64;
        let log_probabilities = input.log_softmax(-1, None::<Kind>);
        let truth = log_probabilities.detach().zeros_like().scatter_value(1, &labels(target).unsqueeze(1), 1.0);
        let others = less_than_one(&truth);
        let positive = log_probabilities.exp();
        let negative = less_than_one(&positive) * &others;
        let exponent = &truth * self.gamma_pos.0 + others * self.gamma_neg.0;
        let focus = (less_than_one(&(positive * &truth)) - negative).pow(&exponent);
        let truth = if self.eps.0 > 0.0 { truth * (1.0 - self.eps.0) + self.eps.0 / classes } else { truth };
        let loss = -(truth * log_probabilities * focus).sum_dim_intlist([-1].as_slice(), false, None::<Kind>);
        if self.reduction == Reduction::Mean { loss.mean(None) } else { loss }
    }
}
