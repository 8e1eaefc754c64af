//! Losses that ask for a margin.

use schemars::JsonSchema;
use serde::Deserialize;
use tch::{Kind, Tensor};

use super::{Loss, Reduction, Weights, labels, losses, same_rank};
use crate::registry::{Check, Component};

fn one() -> f64 {
    1.0
}
fn first() -> u32 {
    1
}
fn euclid() -> f64 {
    2.0
}
fn tiny() -> f64 {
    1e-6
}

/// `log(1 + exp(-target * input))` against targets of -1 and 1.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SoftMarginLoss {
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

/// Hinge loss of scores `[N, C]` against labels `[N]`: `sum_i max(0, margin - x[y] + x[i])^p / C`, `i` not `y`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MultiMarginLoss {
    /// The power: 1 or 2.
    #[serde(default = "first")]
    p: u32,
    /// How far the true class must lead.
    #[serde(default = "one")]
    margin: f64,
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

/// Hinge loss between several true classes (labels `[N, C]`, filled up with -1) and the others.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MultiLabelMarginLoss {
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

/// The distance itself where the target is 1, what it lacks of the margin where it is -1.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HingeEmbeddingLoss {
    /// How far pairs of target -1 must lie apart.
    #[serde(default = "one")]
    margin: f64,
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

/// `max(0, d(anchor, positive) - d(anchor, negative) + margin)`; `input` is the anchor, `target` the positive,
/// `negative` the third tensor, each `[N, D]`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TripletMarginLoss {
    /// How much nearer the positive must be.
    #[serde(default = "one")]
    margin: f64,
    /// The norm's degree.
    #[serde(default = "euclid")]
    p: f64,
    /// Added to the differences.
    #[serde(default = "tiny")]
    eps: f64,
    /// Takes the positive's distance to the negative where that is smaller.
    #[serde(default)]
    swap: bool,
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
    SoftMarginLoss: "torch.nn.SoftMarginLoss",
    MultiLabelMarginLoss: "torch.nn.MultiLabelMarginLoss",
    HingeEmbeddingLoss: "torch.nn.HingeEmbeddingLoss",
    TripletMarginLoss: "torch.nn.TripletMarginLoss",
}

impl Component for MultiMarginLoss {
    type Kind = super::LossKind;
    const TARGETS: &'static [&'static str] = &["torch.nn.MultiMarginLoss"];
    fn check(&self, cx: &mut Check) {
        if !matches!(self.p, 1 | 2) {
            cx.problem("p", "the power is 1 or 2");
        }
    }
    fn build(self, _: &mut crate::registry::Build) -> crate::error::Result<Box<dyn Loss>> {
        Ok(Box::new(self))
    }
}

impl Loss for SoftMarginLoss {
    fn forward(&self, input: &Tensor, target: &Tensor) -> Tensor {
        same_rank(input, target);
        input.soft_margin_loss(target, self.reduction.legacy(self.size_average, self.reduce).tch())
    }
}

impl Loss for MultiMarginLoss {
    fn forward(&self, input: &Tensor, target: &Tensor) -> Tensor {
        let target = labels(target);
        let (index, input) =
            (target.reshape([-1, 1]), if input.dim() == 1 { input.unsqueeze(0) } else { input.shallow_clone() });
        let lacking = (input.gather(1, &index, false) * -1.0 + self.margin + &input).relu();
        // The true class against itself would always lack the whole margin.
        let lacking = lacking * input.detach().ones_like().scatter_value(1, &index, 0.0);
        let mut terms = if self.p == 2 { lacking.square() } else { lacking };
        if let Some(weight) = &self.weight {
            terms *= weight.on(&input).take(&index);
        }
        let loss = terms.mean_dim([-1].as_slice(), false, None::<Kind>).reshape(target.size());
        self.reduction.legacy(self.size_average, self.reduce).apply(&loss)
    }
}

impl Loss for MultiLabelMarginLoss {
    fn forward(&self, input: &Tensor, target: &Tensor) -> Tensor {
        same_rank(input, target);
        input.multilabel_margin_loss(&labels(target), self.reduction.legacy(self.size_average, self.reduce).tch())
    }
}

impl Loss for HingeEmbeddingLoss {
    fn forward(&self, input: &Tensor, target: &Tensor) -> Tensor {
        same_rank(input, target);
        let reduction = self.reduction.legacy(self.size_average, self.reduce).tch();
        input.hinge_embedding_loss(target, self.margin, reduction)
    }
}

impl Loss for TripletMarginLoss {
    fn forward(&self, _: &Tensor, _: &Tensor) -> Tensor {
        panic!("torch.nn.TripletMarginLoss needs a third tensor `negative`")
    }

    fn needs(&self) -> Option<&'static str> {
        Some("negative")
    }

    fn forward_with(&self, anchor: &Tensor, positive: &Tensor, negative: &Tensor) -> Tensor {
        let reduction = self.reduction.legacy(self.size_average, self.reduce).tch();
        let TripletMarginLoss { margin, p, eps, swap, .. } = *self;
        Tensor::triplet_margin_loss(anchor, positive, negative, margin, p, eps, swap, reduction)
    }
}
