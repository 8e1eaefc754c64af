//! Binary cross entropy: each class is a question of its own.

use schemars::JsonSchema;
use serde::Deserialize;
use tch::{Kind, Tensor};

use super::{Loss, Reduction, Weights, labels, losses, same_rank, widened};
use crate::registry::Fraction;

fn tenth() -> Fraction {
    Fraction(0.1)
}

/// Binary cross entropy of logits against probabilities of the same shape, computed stably.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BCEWithLogitsLoss {
    /// Weights that broadcast to the batch.
    #[serde(default)]
    weight: Option<Weights>,
    /// Deprecated in PyTorch: use `reduction`.
    #[serde(default)]
    size_average: Option<bool>,
    /// Deprecated in PyTorch: use `reduction`.
    #[serde(default)]
    reduce: Option<bool>,
    /// none, mean or sum.
    #[serde(default)]
    reduction: Reduction,
    /// The weight of the positive term, per class.
    #[serde(default)]
    pos_weight: Option<Weights>,
}

/// Binary cross entropy of probabilities against probabilities; each logarithm is clamped at -100.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BCELoss {
    /// Weights that broadcast to the batch.
    #[serde(default)]
    weight: Option<Weights>,
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

/// timm's binary cross entropy of logits `[N, C]` against labels `[N]`, made one-hot and smoothed, or against
/// dense targets `[N, C]`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BinaryCrossEntropy {
    /// The share of a label that is spread evenly over the classes, from 0 to 1.
    #[serde(default = "tenth")]
    smoothing: Fraction,
    /// Makes targets above this value 1 and the others 0.
    #[serde(default)]
    target_threshold: Option<f64>,
    /// Weights that broadcast to the batch.
    #[serde(default)]
    weight: Option<Weights>,
    /// none, mean or sum.
    #[serde(default)]
    reduction: Reduction,
    /// Sums over the classes, then takes the mean over the batch.
    #[serde(default)]
    sum_classes: bool,
    /// The weight of the positive term, one or per class.
    #[serde(default)]
    pos_weight: Option<Weights>,
    /// Smooths dense targets too, towards one half.
    #[serde(default)]
    smooth_dense: bool,
}

/// Binary cross entropy of logits `[N, C]` against 0 and 1, averaged over the classes, then reduced over N.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MultiLabelSoftMarginLoss {
    /// A weight per class.
    #[serde(default)]
    weight: Option<Weights>,
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

losses! {
    BCEWithLogitsLoss: "torch.nn.BCEWithLogitsLoss",
    BCELoss: "torch.nn.BCELoss",
    BinaryCrossEntropy: "timm.loss.BinaryCrossEntropy",
    MultiLabelSoftMarginLoss: "torch.nn.MultiLabelSoftMarginLoss",
}

/// Binary cross entropy of logits; targets take the logits' precision.
fn with_logits(
    input: &Tensor,
    target: &Tensor,
    weight: Option<&Weights>,
    pos_weight: Option<&Weights>,
    reduction: Reduction,
) -> Tensor {
    same_rank(input, target);
    let (weight, pos_weight) = (weight.map(|w| w.on(input)), pos_weight.map(|w| w.on(input)));
    let wide = weight.is_some() || pos_weight.is_some();
    let input = if wide { widened(input) } else { input.shallow_clone() };
    input.binary_cross_entropy_with_logits(&target.to_kind(input.kind()), weight, pos_weight, reduction.tch())
}

impl Loss for BCEWithLogitsLoss {
    fn forward(&self, input: &Tensor, target: &Tensor) -> Tensor {
        let reduction = self.reduction.legacy(self.size_average, self.reduce);
        with_logits(input, target, self.weight.as_ref(), self.pos_weight.as_ref(), reduction)
    }
}

impl Loss for BCELoss {
    fn forward(&self, input: &Tensor, target: &Tensor) -> Tensor {
        same_rank(input, target);
        let weight = self.weight.as_ref().map(|weight| weight.on(input));
        let input = if weight.is_some() { widened(input) } else { input.shallow_clone() };
        let reduction = self.reduction.legacy(self.size_average, self.reduce).tch();
        input.binary_cross_entropy(&target.to_kind(input.kind()), weight, reduction)
    }
}

impl Loss for BinaryCrossEntropy {
    fn forward(&self, input: &Tensor, target: &Tensor) -> Tensor {
        let smoothing = self.smoothing.0;
        let mut target = if target.size() == input.size() {
            let dense = target.to_kind(input.kind());
            if self.smooth_dense { dense * (1.0 - smoothing) + 0.5 * smoothing } else { dense }
        } else {
            let off = smoothing / input.size().last().map_or(1.0, |classes| *classes as f64);
            let spread = input.detach().full_like(off);
            spread.scatter_value(1, &labels(target).reshape([-1, 1]), 1.0 - smoothing + off)
        };
        if let Some(threshold) = self.target_threshold {
            target = target.gt(threshold).to_kind(input.kind());
        }
        let reduction = if self.sum_classes { Reduction::None } else { self.reduction };
        let loss = with_logits(input, &target, self.weight.as_ref(), self.pos_weight.as_ref(), reduction);
        if !self.sum_classes {
            return loss;
        }
        loss.sum_dim_intlist([-1].as_slice(), false, None::<Kind>).mean(None)
    }
}

impl Loss for MultiLabelSoftMarginLoss {
    fn forward(&self, input: &Tensor, target: &Tensor) -> Tensor {
        same_rank(input, target);
        let positive: Tensor = target * input.log_sigmoid();
        let mut loss = -(positive + target.ones_like().g_sub(target) * (-input).log_sigmoid());
        if let Some(weight) = &self.weight {
            loss *= weight.on(input);
        }
        let reduction = self.reduction.legacy(self.size_average, self.reduce);
        reduction.apply(&loss.mean_dim([-1].as_slice(), false, None::<Kind>))
    }
}
