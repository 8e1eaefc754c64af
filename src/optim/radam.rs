//! RAdam.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::GroupOptions;
use super::rule::{Betas, Rule, Work, betas, eps, number, optimizer, zero, zeros};
use crate::error::Result;
use crate::native::foreach;
use crate::registry::{Ignored, NonNegative};

/// RAdam: Adam whose variance is rectified in its first steps (Liu et al., 2020).
///
/// While the length of the average's window is at most 5, the step follows the average of the gradient alone.
/// <https://docs.pytorch.org/docs/stable/generated/torch.optim.RAdam.html>
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "some arguments are only accepted")]
pub struct RAdam {
    /// Learning rate.
    #[serde(default = "lr")]
    pub lr: NonNegative,
    /// Decay of the averages of the gradient and of its square.
    #[serde(default = "betas")]
    pub betas: Betas,
    /// Added to the denominator.
    #[serde(default = "eps")]
    pub eps: NonNegative,
    /// Weight decay (L2 penalty, or decoupled).
    #[serde(default = "zero")]
    pub weight_decay: NonNegative,
    /// Decays the weights apart from the gradient, as AdamW.
    #[serde(default)]
    pub decoupled_weight_decay: bool,
    /// Parameters are always updated together.
    #[serde(default, skip_serializing)]
    pub foreach: Ignored,
    /// Climbs instead of descending.
    #[serde(default)]
    pub maximize: bool,
    /// For CUDA graphs, which are not used.
    #[serde(default, skip_serializing)]
    pub capturable: Ignored,
    /// Steps are never differentiated through.
    #[serde(default, skip_serializing)]
    pub differentiable: Ignored,
}

fn lr() -> NonNegative {
    NonNegative(1e-3)
}

optimizer!(RAdam, "torch.optim.RAdam");

impl Rule for RAdam {
    const NAME: &'static str = "RAdam";
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
        vec!["step", "exp_avg", "exp_avg_sq"]
    }

    fn fresh(&self, param: &Tensor) -> Vec<Tensor> {
        vec![number(0.0), zeros(param), zeros(param)]
    }

    fn update(&self, work: Work) -> Result<()> {
        let (lr, (beta1, beta2), wd) = (self.lr.0, (self.betas.0.0, self.betas.1.0), self.weight_decay.0);
        work.by_step(0, |step, work| {
            let grads = if self.decoupled_weight_decay {
                foreach::mul_scalar(&work.params, 1.0 - lr * wd)?;
                work.directions(self.maximize, 0.0)?
            } else {
                work.directions(self.maximize, wd)?
            };
            let (averages, squares) = (work.slot(1), work.slot(2));
            foreach::lerp(&averages, &grads, 1.0 - beta1)?;
            foreach::mul_scalar(&squares, beta2)?;
            foreach::addcmul(&squares, &grads, &grads, 1.0 - beta2)?;
            let (correction1, correction2) = (1.0 - beta1.powf(step), 1.0 - beta2.powf(step));
            // The length of the window that the average of squares has seen, and its limit.
            let rho_inf = 2.0 / (1.0 - beta2) - 1.0;
            let rho = rho_inf - 2.0 * step * beta2.powf(step) / correction2;
            if rho > 5.0 {
                let rectified = (rho - 4.0) * (rho - 2.0) * rho_inf / ((rho_inf - 4.0) * (rho_inf - 2.0) * rho);
                let roots = foreach::sqrt(&squares)?;
                foreach::add_scalar(&roots, self.eps.0)?;
                let rate = lr * rectified.sqrt() * correction2.sqrt() / correction1;
                foreach::addcdiv(&work.params, &averages, &roots, -rate)?;
            } else {
                foreach::add(&work.params, &averages, -lr / correction1)?;
            }
            Ok(())
        })
    }
}
