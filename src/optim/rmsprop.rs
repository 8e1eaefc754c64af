//! RMSprop.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::GroupOptions;
use super::rule::{Rule, Work, eps, number, optimizer, zero, zeros};
use crate::error::Result;
use crate::native::foreach;
use crate::registry::{Ignored, NonNegative};

/// RMSprop (Hinton, 2012), also centered (Graves, 2013) and with momentum.
///
/// `v = α v + (1-α) g²; p -= lr · g / (√v + eps)`.
/// <https://docs.pytorch.org/docs/stable/generated/torch.optim.RMSprop.html>
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "some arguments are only accepted")]
pub struct RmsProp {
    /// Learning rate.
    #[serde(default = "lr")]
    pub lr: NonNegative,
    /// Decay of the average of squared gradients.
    #[serde(default = "alpha")]
    pub alpha: NonNegative,
    /// Added to the denominator.
    #[serde(default = "eps")]
    pub eps: NonNegative,
    /// Weight decay (L2 penalty).
    #[serde(default = "zero")]
    pub weight_decay: NonNegative,
    /// Momentum factor.
    #[serde(default = "zero")]
    pub momentum: NonNegative,
    /// Divides by the deviation of the gradient rather than by its size.
    #[serde(default)]
    pub centered: bool,
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

fn alpha() -> NonNegative {
    NonNegative(0.99)
}

optimizer!(RmsProp, "torch.optim.RMSprop");

impl Rule for RmsProp {
    const NAME: &'static str = "RMSprop";

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
        self.weight_decay.0 = options.weight_decay;
        self.momentum.0 = options.momentum.unwrap_or(self.momentum.0);
    }

    fn slots(&self) -> Vec<&'static str> {
        // The momentum is last: a scheduler may switch it on later.
        let mut slots = vec!["step", "square_avg"];
        slots.extend(self.centered.then_some("grad_avg"));
        slots.extend((self.momentum.0 > 0.0).then_some("momentum_buffer"));
        slots
    }

    fn fresh(&self, param: &Tensor) -> Vec<Tensor> {
        let mut state = vec![number(0.0), zeros(param)];
        state.extend(self.centered.then(|| zeros(param)));
        state.extend((self.momentum.0 > 0.0).then(|| zeros(param)));
        state
    }

    fn update(&self, work: Work) -> Result<()> {
        foreach::add_scalar(&work.slot(0), 1.0)?;
        let grads = work.directions(self.maximize, self.weight_decay.0)?;
        let squares = work.slot(1);
        foreach::mul_scalar(&squares, self.alpha.0)?;
        foreach::addcmul(&squares, &grads, &grads, 1.0 - self.alpha.0)?;
        let roots = if self.centered {
            let averages = work.slot(2);
            foreach::lerp(&averages, &grads, 1.0 - self.alpha.0)?;
            let variances: Vec<Tensor> = squares.iter().map(|square| square.copy()).collect();
            foreach::addcmul(&variances, &averages, &averages, -1.0)?;
            foreach::sqrt(&variances)?
        } else {
            foreach::sqrt(&squares)?
        };
        foreach::add_scalar(&roots, self.eps.0)?;
        if self.momentum.0 > 0.0 {
            let buffers = work.slot(if self.centered { 3 } else { 2 });
            foreach::mul_scalar(&buffers, self.momentum.0)?;
            foreach::addcdiv(&buffers, &grads, &roots, 1.0)?;
            foreach::add(&work.params, &buffers, -self.lr.0)?;
        } else {
            foreach::addcdiv(&work.params, &grads, &roots, -self.lr.0)?;
        }
        Ok(())
    }
}
