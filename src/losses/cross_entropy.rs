//! Cross entropy over classes that exclude each other.

use schemars::JsonSchema;
use serde::Deserialize;
use tch::{Kind, Tensor};

use super::{Loss, Reduction, Weights, labels, losses, widened};
use crate::registry::Fraction;

fn ignore() -> i64 {
    -100
}
fn tenth() -> Fraction {
    Fraction(0.1)
}
fn zero() -> Fraction {
    Fraction(0.0)
}

/// Cross entropy of logits `[N, C, ...]` against class labels `[N, ...]` or class probabilities `[N, C, ...]`.
///
/// `-sum_c w_c y_c log softmax(x)_c`; the mean over labels divides by the summed weights, over probabilities by N
/// (PyTorch's `torch.nn.CrossEntropyLoss`).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CrossEntropyLoss {
    /// A weight per class.
    #[serde(default)]
    weight: Option<Weights>,
    /// Deprecated in PyTorch: use `reduction`.
    #[serde(default)]
    size_average: Option<bool>,
    /// The label that counts neither in the loss nor in its mean.
    #[serde(default = "ignore")]
    ignore_index: i64,
    /// Deprecated in PyTorch: use `reduction`.
    #[serde(default)]
    reduce: Option<bool>,
    /// none, mean or sum.
    #[serde(default)]
    reduction: Reduction,
    /// The share of the target that is spread evenly over the classes, from 0 to 1.
    #[serde(default = "zero")]
    label_smoothing: Fraction,
}

/// Negative log likelihood of log-probabilities `[N, C, ...]` against class labels `[N, ...]`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NLLLoss {
    /// A weight per class.
    #[serde(default)]
    weight: Option<Weights>,
    /// Deprecated in PyTorch: use `reduction`.
    #[serde(default)]
    size_average: Option<bool>,
    /// The label that counts neither in the loss nor in its mean.
    #[serde(default = "ignore")]
    ignore_index: i64,
    /// Deprecated in PyTorch: use `reduction`.
    #[serde(default)]
    reduce: Option<bool>,
    /// none, mean or sum.
    #[serde(default)]
    reduction: Reduction,
}

/// timm's cross entropy with label smoothing, of logits `[N, C]` against labels `[N]`; the mean.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LabelSmoothingCrossEntropy {
    /// The share of the target that is spread evenly over the classes, from 0 to 1.
    #[serde(default = "tenth")]
    smoothing: Fraction,
}

/// timm's cross entropy of logits `[N, C]` against class probabilities `[N, C]`; the mean.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SoftTargetCrossEntropy {}

losses! {
    CrossEntropyLoss: "torch.nn.CrossEntropyLoss",
    NLLLoss: "torch.nn.NLLLoss",
    LabelSmoothingCrossEntropy: "timm.loss.LabelSmoothingCrossEntropy",
    SoftTargetCrossEntropy: "timm.loss.SoftTargetCrossEntropy",
}

impl Loss for CrossEntropyLoss {
    fn forward(&self, input: &Tensor, target: &Tensor) -> Tensor {
        let weight = self.weight.as_ref().map(|weight| weight.on(input));
        let input = if weight.is_some() { widened(input) } else { input.shallow_clone() };
        let target = if target.is_floating_point() { target.to_kind(input.kind()) } else { labels(target) };
        let reduction = self.reduction.legacy(self.size_average, self.reduce).tch();
        input.cross_entropy_loss(&target, weight, reduction, self.ignore_index, self.label_smoothing.0)
    }
}

impl Loss for NLLLoss {
    fn forward(&self, input: &Tensor, target: &Tensor) -> Tensor {
        let weight = self.weight.as_ref().map(|weight| weight.on(input));
        let input = if weight.is_some() { widened(input) } else { input.shallow_clone() };
        let reduction = self.reduction.legacy(self.size_average, self.reduce).tch();
        input.nll_loss_nd(&labels(target), weight, reduction, self.ignore_index)
    }
}

impl Loss for LabelSmoothingCrossEntropy {
    fn forward(&self, input: &Tensor, target: &Tensor) -> Tensor {
        let log_probabilities = input.log_softmax(-1, None::<Kind>);
        let likelihood = log_probabilities.gather(-1, &labels(target).unsqueeze(1), false).squeeze_dim(1);
        let uniform = log_probabilities.mean_dim([-1].as_slice(), false, None::<Kind>);
        -(likelihood * (1.0 - self.smoothing.0) + uniform * self.smoothing.0).mean(None)
    }
}

impl Loss for SoftTargetCrossEntropy {
    fn forward(&self, input: &Tensor, target: &Tensor) -> Tensor {
        -(target * input.log_softmax(-1, None::<Kind>)).sum_dim_intlist([-1].as_slice(), false, None::<Kind>).mean(None)
    }
}
