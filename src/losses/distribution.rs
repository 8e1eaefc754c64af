//! Losses against distributions.

use std::f64::consts::PI;

use schemars::JsonSchema;
use serde::Deserialize;
use tch::Tensor;

use super::{BatchReduction, Loss, Reduction, losses, same_rank};
use crate::registry::Positive;

fn yes() -> bool {
    true
}
fn small() -> Positive {
    Positive(1e-8)
}
fn smaller_than_noise() -> Positive {
    Positive(1e-6)
}
fn mean() -> BatchReduction {
    BatchReduction::Mean
}

/// Negative log likelihood of counts under a Poisson distribution of the predicted rate.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PoissonNLLLoss {
    /// Whether the prediction is the rate's logarithm.
    #[serde(default = "yes")]
    log_input: bool,
    /// Adds Stirling's approximation of `log(target!)`.
    #[serde(default)]
    full: bool,
    /// Deprecated in PyTorch: use `reduction`.
    #[serde(default)]
    size_average: Option<bool>,
    /// Added to the rate before its logarithm, above 0.
    #[serde(default = "small")]
    eps: Positive,
    /// Deprecated in PyTorch: use `reduction`.
    #[serde(default)]
    reduce: Option<bool>,
    /// none, mean or sum.
    #[serde(default)]
    reduction: Reduction,
}

/// Negative log likelihood of values under normal distributions of predicted mean and variance `var`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GaussianNLLLoss {
    /// Adds the constant `0.5 log(2 pi)`.
    #[serde(default)]
    full: bool,
    /// The variance is at least this, above 0.
    #[serde(default = "smaller_than_noise")]
    eps: Positive,
    /// none, mean or sum.
    #[serde(default)]
    reduction: Reduction,
}

/// Kullback-Leibler divergence of log-probabilities from probabilities (or log-probabilities).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KLDivLoss {
    /// Deprecated in PyTorch: use `reduction`.
    #[serde(default)]
    size_average: Option<bool>,
    /// Deprecated in PyTorch: use `reduction`.
    #[serde(default)]
    reduce: Option<bool>,
    /// none, batchmean, mean or sum; only `batchmean` is the divergence's definition.
    #[serde(default = "mean")]
    reduction: BatchReduction,
    /// Whether the target is in logarithms too.
    #[serde(default)]
    log_target: bool,
}

losses! {
    PoissonNLLLoss: "torch.nn.PoissonNLLLoss",
    GaussianNLLLoss: "torch.nn.GaussianNLLLoss",
    KLDivLoss: "torch.nn.KLDivLoss",
}

impl Loss for PoissonNLLLoss {
    fn forward(&self, input: &Tensor, target: &Tensor) -> Tensor {
        same_rank(input, target);
        let reduction = self.reduction.legacy(self.size_average, self.reduce).tch();
        input.poisson_nll_loss(target, self.log_input, self.full, self.eps.0, reduction)
    }
}

impl Loss for GaussianNLLLoss {
    fn forward(&self, _: &Tensor, _: &Tensor) -> Tensor {
        panic!("torch.nn.GaussianNLLLoss needs a third tensor `var`, the predicted variance")
    }

    fn needs(&self) -> Option<&'static str> {
        Some("var")
    }

    fn forward_with(&self, input: &Tensor, target: &Tensor, var: &Tensor) -> Tensor {
        same_rank(input, target);
        // One variance per row goes with all of the row's values.
        let var = if var.dim() + 1 == input.dim() { var.unsqueeze(-1) } else { var.shallow_clone() };
        // The clamp moves the value and leaves the gradient: `var` plus the step that the clamp would take.
        let step = tch::no_grad(|| var.clamp_min(self.eps.0) - &var);
        let var = var + step;
        let mut loss = (var.log() + (input - target).square() / &var) * 0.5;
        if self.full {
            loss += 0.5 * (2.0 * PI).ln();
        }
        self.reduction.apply(&loss)
    }
}

impl Loss for KLDivLoss {
    fn forward(&self, input: &Tensor, target: &Tensor) -> Tensor {
        same_rank(input, target);
        let legacy = self.size_average.is_some() || self.reduce.is_some();
        let loss = input.kl_div(target, tch::Reduction::None, self.log_target);
        if legacy {
            Reduction::Mean.legacy(self.size_average, self.reduce).apply(&loss)
        } else {
            self.reduction.apply(&loss)
        }
    }
}
