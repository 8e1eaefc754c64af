//! Adadelta.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::GroupOptions;
use super::rule::{Rule, Work, number, optimizer, zero, zeros};
use crate::error::Result;
use crate::native::foreach;
use crate::registry::{Fraction, Ignored, NonNegative};

/// Adadelta (Zeiler, 2012).
///
/// `v = ρ v + (1-ρ) g²; d = √(u + eps) / √(v + eps) · g; u = ρ u + (1-ρ) d²; p -= lr · d`.
/// <https://docs.pytorch.org/docs/stable/generated/torch.optim.Adadelta.html>
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "some arguments are only accepted")]
pub struct Adadelta {
    /// Factor of the step.
    #[serde(default = "lr")]
    pub lr: NonNegative,
    /// Decay of the averages of squared gradients and squared steps.
    #[serde(default = "rho")]
    pub rho: Fraction,
    /// Added under the roots.
    #[serde(default = "eps")]
    pub eps: NonNegative,
    /// Weight decay (L2 penalty).
    #[serde(default = "zero")]
    pub weight_decay: NonNegative,
    /// Parameters are always updated together.
    #[serde(default, skip_serializing)]
    pub foreach: Ignored,
    /// For CUDA graphs, which are not used.
    #[serde(default, skip_serializing)]
    pub capturable: Ignored,
    /// Climbs instead of descending.
    #[serde(default)]
    pub maximize: bool,
    /// Steps are never differentiated through.
    #[serde(default, skip_serializing)]
    pub differentiable: Ignored,
}

fn lr() -> NonNegative {
    NonNegative(1.0)
}

fn rho() -> Fraction {
    Fraction(0.9)
}

fn eps() -> NonNegative {
    NonNegative(1e-6)
}

optimizer!(Adadelta, "torch.optim.Adadelta");

impl Rule for Adadelta {
    const NAME: &'static str = "Adadelta";

    fn options(&self) -> GroupOptions {
        GroupOptions { lr: self.lr.0, initial_lr: None, momentum: None, weight_decay: self.weight_decay.0 }
    }

    fn assign(&mut self, options: &GroupOptions) {
        self.lr.0 = options.lr;
        self.weight_decay.0 = options.weight_decay;
    }

    fn slots(&self) -> Vec<&'static str> {
        vec!["step", "square_avg", "acc_delta"]
    }

    fn fresh(&self, param: &Tensor) -> Vec<Tensor> {
        vec![number(0.0), zeros(param), zeros(param)]
    }

    fn update(&self, work: Work) -> Result<()> {
        foreach::add_scalar(&work.slot(0), 1.0)?;
        let grads = work.directions(self.maximize, self.weight_decay.0)?;
        let (squares, deltas) = (work.slot(1), work.slot(2));
        foreach::mul_scalar(&squares, self.rho.0)?;
        foreach::addcmul(&squares, &grads, &grads, 1.0 - self.rho.0)?;
        let root = |tensor: &&Tensor| (*tensor + self.eps.0).sqrt_();
        let steps: Vec<Tensor> = deltas.iter().map(root).collect();
        foreach::div(&steps, &squares.iter().map(root).collect::<Vec<_>>())?;
        foreach::mul(&steps, &grads)?;
        foreach::mul_scalar(&deltas, self.rho.0)?;
        foreach::addcmul(&deltas, &steps, &steps, 1.0 - self.rho.0)?;
        Ok(foreach::add(&work.params, &steps, -self.lr.0)?)
    }
}
