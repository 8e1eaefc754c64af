//! Resilient backpropagation.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::GroupOptions;
use super::rule::{Rule, Work, number, optimizer, zeros};
use crate::error::Result;
use crate::native::foreach;
use crate::registry::{Ignored, NonNegative};

/// Rprop: steps by the gradient's sign alone (Riedmiller and Braun, 1993).
///
/// Each weight has a step size that grows by `etas[1]` while the sign stays and shrinks by `etas[0]` when it turns; the
/// step after a turn is left out. <https://docs.pytorch.org/docs/stable/generated/torch.optim.Rprop.html>
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "some arguments are only accepted")]
pub struct Rprop {
    /// The first step size.
    #[serde(default = "lr")]
    pub lr: NonNegative,
    /// Factors of a step size: below 1 when the sign turns, above 1 while it stays.
    #[serde(default = "etas")]
    pub etas: (f64, f64),
    /// The smallest and the largest step size.
    #[serde(default = "step_sizes")]
    pub step_sizes: (f64, f64),
    /// For CUDA graphs, which are not used.
    #[serde(default, skip_serializing)]
    pub capturable: Ignored,
    /// Parameters are always updated together.
    #[serde(default, skip_serializing)]
    pub foreach: Ignored,
    /// Climbs instead of descending.
    #[serde(default)]
    pub maximize: bool,
    /// Steps are never differentiated through.
    #[serde(default, skip_serializing)]
    pub differentiable: Ignored,
}

fn lr() -> NonNegative {
    NonNegative(1e-2)
}

fn etas() -> (f64, f64) {
    (0.5, 1.2)
}

fn step_sizes() -> (f64, f64) {
    (1e-6, 50.0)
}

optimizer!(Rprop, "torch.optim.Rprop");

impl Rule for Rprop {
    const NAME: &'static str = "Rprop";

    fn options(&self) -> GroupOptions {
        GroupOptions { lr: self.lr.0, initial_lr: None, momentum: None, weight_decay: 0.0 }
    }

    fn assign(&mut self, options: &GroupOptions) {
        self.lr.0 = options.lr;
    }

    fn validate(&self) -> Result<(), (&'static str, String)> {
        let (shrink, grow) = self.etas;
        if !(0.0 < shrink && shrink < 1.0 && 1.0 < grow) {
            return Err(("etas", "the first factor lies between 0 and 1, the second above 1".into()));
        }
        Ok(())
    }

    fn slots(&self) -> Vec<&'static str> {
        vec!["step", "prev", "step_size"]
    }

    fn fresh(&self, param: &Tensor) -> Vec<Tensor> {
        vec![number(0.0), zeros(param), param.detach().full_like(self.lr.0)]
    }

    fn update(&self, work: Work) -> Result<()> {
        foreach::add_scalar(&work.slot(0), 1.0)?;
        let grads = work.directions(self.maximize, 0.0)?;
        let (previous, sizes) = (work.slot(1), work.slot(2));
        let (mut kept, mut signs) = (Vec::new(), Vec::new());
        for ((grad, before), size) in grads.iter().zip(&previous).zip(&sizes) {
            let turn = grad * *before;
            let factor = Tensor::ones_like(grad).masked_fill(&turn.gt(0), self.etas.1);
            let factor = factor.masked_fill(&turn.lt(0), self.etas.0);
            let mut size = size.shallow_clone();
            let mut grown = size.g_mul_(&factor);
            let _ = grown.clamp_(self.step_sizes.0, self.step_sizes.1);
            let grad = grad.masked_fill(&turn.lt(0), 0.0);
            signs.push(grad.sign());
            kept.push(grad);
        }
        foreach::addcmul(&work.params, &signs, &sizes, -1.0)?;
        Ok(foreach::copy(&previous, &kept, false)?)
    }
}
