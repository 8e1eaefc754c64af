//! NAdam.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::GroupOptions;
use super::rule::{Betas, Rule, Work, betas, eps, number, optimizer, zero, zeros};
use crate::error::Result;
use crate::native::foreach;
use crate::registry::{Ignored, NonNegative};

/// NAdam: Adam with Nesterov's momentum (Dozat, 2016).
///
/// `μ = β1 (1 - ½ · 0.96^(t · momentum_decay))`, and the step mixes the gradient, with `(1-μₜ)/(1-Πμ)`, and the
/// average, with `μₜ₊₁/(1-Πμ·μₜ₊₁)`. <https://docs.pytorch.org/docs/stable/generated/torch.optim.NAdam.html>
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "some arguments are only accepted")]
pub struct NAdam {
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
    /// How fast the momentum's warm-up decays.
    #[serde(default = "momentum_decay")]
    pub momentum_decay: NonNegative,
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
    NonNegative(2e-3)
}

fn momentum_decay() -> NonNegative {
    NonNegative(4e-3)
}

optimizer!(NAdam, "torch.optim.NAdam");

impl Rule for NAdam {
    const NAME: &'static str = "NAdam";
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
        vec!["step", "mu_product", "exp_avg", "exp_avg_sq"]
    }

    fn fresh(&self, param: &Tensor) -> Vec<Tensor> {
        vec![number(0.0), number(1.0), zeros(param), zeros(param)]
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
            let mu = |step: f64| beta1 * (1.0 - 0.5 * 0.96f64.powf(step * self.momentum_decay.0));
            let (mu, mu_next) = (mu(step), mu(step + 1.0));
            let products = work.slot(1);
            foreach::mul_scalar(&products, mu)?;
            let (averages, squares) = (work.slot(2), work.slot(3));
            foreach::lerp(&averages, &grads, 1.0 - beta1)?;
            foreach::mul_scalar(&squares, beta2)?;
            foreach::addcmul(&squares, &grads, &grads, 1.0 - beta2)?;
            let roots = foreach::sqrt(&squares)?;
            foreach::div_scalar(&roots, (1.0 - beta2.powf(step)).sqrt())?;
            foreach::add_scalar(&roots, self.eps.0)?;
            // The product is the same for all parameters that took the same steps at the same betas, but need not be.
            for (i, param) in work.params.iter().enumerate() {
                let product = products[i].f_double_value(&[])?;
                let one = i..i + 1;
                let (param, root) = (std::slice::from_ref(param), &roots[one.clone()]);
                foreach::addcdiv(param, &grads[one.clone()], root, -lr * (1.0 - mu) / (1.0 - product))?;
                foreach::addcdiv(param, &averages[one], root, -lr * mu_next / (1.0 - product * mu_next))?;
            }
            Ok(())
        })
    }
}
