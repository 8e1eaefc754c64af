//! Adamax.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::GroupOptions;
use super::rule::{Betas, Rule, Work, betas, eps, number, optimizer, zero, zeros};
use crate::error::Result;
use crate::native::foreach;
use crate::registry::{Ignored, NonNegative};

/// Adamax: Adam with the infinity norm (Kingma and Ba, 2015).
///
/// `m = β1 m + (1-β1) g; u = max(β2 u, |g| + eps); p -= lr / (1-β1ᵗ) · m / u`.
/// <https://docs.pytorch.org/docs/stable/generated/torch.optim.Adamax.html>
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "some arguments are only accepted")]
pub struct Adamax {
    /// Learning rate.
    #[serde(default = "lr")]
    pub lr: NonNegative,
    /// Decay of the average of the gradient and of its norm.
    #[serde(default = "betas")]
    pub betas: Betas,
    /// Added to the gradient's size.
    #[serde(default = "eps")]
    pub eps: NonNegative,
    /// Weight decay (L2 penalty).
    #[serde(default = "zero")]
    pub weight_decay: NonNegative,
    /// Parameters are always updated together.
    #[serde(default, skip_serializing)]
    pub foreach: Ignored,
    /// Climbs instead of descending.
    #[serde(default)]
    pub maximize: bool,
    /// Steps are never differentiated through.
    #[serde(default, skip_serializing)]
    pub differentiable: Ignored,
    /// For CUDA graphs, which are not used.
    #[serde(default, skip_serializing)]
    pub capturable: Ignored,
}

fn lr() -> NonNegative {
    NonNegative(2e-3)
}

optimizer!(Adamax, "torch.optim.Adamax");

impl Rule for Adamax {
    const NAME: &'static str = "Adamax";
    const BETA1: bool = true;

    fn options(&self) -> GroupOptions {
        GroupOptions {
            lr: self.lr.0,
            initial_lr: None,
            momentum: Some(self.betas.0.0),
            weight_decay: self.weight_decay.0,
        }
    }

    fn assign(&mut self, options: &GroupOptions) {
        self.lr.0 = options.lr;
        self.weight_decay.0 = options.weight_decay;
        self.betas.0.0 = options.momentum.unwrap_or(self.betas.0.0);
    }

    fn slots(&self) -> Vec<&'static str> {
        vec!["step", "exp_avg", "exp_inf"]
    }

    fn fresh(&self, param: &Tensor) -> Vec<Tensor> {
        vec![number(0.0), zeros(param), zeros(param)]
    }

    fn update(&self, work: Work) -> Result<()> {
        let (beta1, beta2) = (self.betas.0.0, self.betas.1.0);
        work.by_step(0, |step, work| {
            let grads = work.directions(self.maximize, self.weight_decay.0)?;
            let (averages, norms) = (work.slot(1), work.slot(2));
            foreach::lerp(&averages, &grads, 1.0 - beta1)?;
            foreach::mul_scalar(&norms, beta2)?;
            let sizes = grads.iter().map(|grad| grad.abs() + self.eps.0);
            let larger: Vec<Tensor> = norms.iter().zip(sizes).map(|(norm, size)| norm.maximum(&size)).collect();
            foreach::copy(&norms, &larger, false)?;
            Ok(foreach::addcdiv(&work.params, &averages, &norms, -self.lr.0 / (1.0 - beta1.powf(step)))?)
        })
    }
}
