//! Stochastic gradient descent.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::GroupOptions;
use super::rule::{Rule, Work, optimizer, zero, zeros};
use crate::error::Result;
use crate::native::fused;
use crate::registry::{Ignored, NonNegative};

/// Stochastic gradient descent, with momentum (also Nesterov's) and weight decay.
///
/// `g += weight_decay * p; b = momentum * b + (1 - dampening) * g; p -= lr * b`, where the first step stores `b = g`
/// undamped. <https://docs.pytorch.org/docs/stable/generated/torch.optim.SGD.html>
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "some arguments are only accepted")]
pub struct Sgd {
    /// Learning rate.
    #[serde(default = "lr")]
    pub lr: NonNegative,
    /// Momentum factor.
    #[serde(default = "zero")]
    pub momentum: NonNegative,
    /// Dampening of the momentum.
    #[serde(default)]
    pub dampening: f64,
    /// Weight decay (L2 penalty).
    #[serde(default = "zero")]
    pub weight_decay: NonNegative,
    /// Nesterov's momentum; needs a momentum above 0 and no dampening.
    #[serde(default)]
    pub nesterov: bool,
    /// Climbs instead of descending.
    #[serde(default)]
    pub maximize: bool,
    /// The step is always fused.
    #[serde(default, skip_serializing)]
    pub foreach: Ignored,
    /// Steps are never differentiated through.
    #[serde(default, skip_serializing)]
    pub differentiable: Ignored,
    /// The step is always fused.
    #[serde(default, skip_serializing)]
    pub fused: Ignored,
}

fn lr() -> NonNegative {
    NonNegative(1e-3)
}

optimizer!(Sgd, "torch.optim.SGD");

impl Rule for Sgd {
    const NAME: &'static str = "SGD";
    const SCALES: bool = true;

    fn options(&self) -> GroupOptions {
        GroupOptions {
            lr: self.lr.0,
            initial_lr: None,
            momentum: Some(self.momentum.0),
            weight_decay: self.weight_decay.0,
        }
    }

    fn assign(&mut self, options: &GroupOptions) {
        self.lr.0 = options.lr;
        self.momentum.0 = options.momentum.unwrap_or(0.0);
        self.weight_decay.0 = options.weight_decay;
    }

    fn validate(&self) -> Result<(), (&'static str, String)> {
        if self.nesterov && (self.momentum.0 == 0.0 || self.dampening != 0.0) {
            return Err(("nesterov", "Nesterov's momentum needs `momentum` above 0 and `dampening` 0".into()));
        }
        Ok(())
    }

    fn slots(&self) -> Vec<&'static str> {
        if self.momentum.0 == 0.0 { Vec::new() } else { vec!["momentum_buffer"] }
    }

    fn fresh(&self, param: &Tensor) -> Vec<Tensor> {
        if self.momentum.0 == 0.0 { Vec::new() } else { vec![zeros(param)] }
    }

    fn update(&self, work: Work) -> Result<()> {
        let mut options = fused::Sgd {
            lr: self.lr.0,
            momentum: self.momentum.0,
            dampening: self.dampening,
            weight_decay: self.weight_decay.0,
            nesterov: self.nesterov,
            maximize: self.maximize,
            is_first_step: false,
        };
        if self.momentum.0 == 0.0 {
            return Ok(fused::sgd::<Tensor>(&work.params, &work.grads, &[], &options, work.scale)?);
        }
        // Buffers of zeros make a first step like any other, but for the dampening. A skipped step leaves the zeros,
        // and the next one is damped; only mixed precision can come here.
        let fresh = work.fresh.clone();
        let (first, rest) = if self.dampening == 0.0 { work.split(|_| false) } else { work.split(|i| fresh[i]) };
        fused::sgd(&rest.params, &rest.grads, &rest.slot(0), &options, rest.scale)?;
        options.is_first_step = true;
        let skipped = match first.scale.found_inf {
            Some(found) if !first.params.is_empty() => found.f_double_value(&[])? != 0.0,
            _ => false,
        };
        if !skipped {
            fused::sgd(&first.params, &first.grads, &first.slot(0), &options, first.scale)?;
        }
        Ok(())
    }
}
