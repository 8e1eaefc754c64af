//! Averaged stochastic gradient descent.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::GroupOptions;
use super::rule::{Rule, Work, number, optimizer, zero, zeros};
use crate::error::Result;
use crate::native::foreach;
use crate::registry::{Ignored, NonNegative};

/// Averaged stochastic gradient descent (Polyak and Juditsky, 1992).
///
/// `p = p (1 - lambd · η) - η g; η = lr / (1 + lambd · lr · t)^alpha`; from step `t0` on, the state `ax` is the average
/// of the weights. <https://docs.pytorch.org/docs/stable/generated/torch.optim.ASGD.html>
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "some arguments are only accepted")]
pub struct Asgd {
    /// Learning rate.
    #[serde(default = "lr")]
    pub lr: NonNegative,
    /// Decay term.
    #[serde(default = "lambd")]
    pub lambd: f64,
    /// Power of the rate's decay.
    #[serde(default = "alpha")]
    pub alpha: f64,
    /// The step at which averaging starts.
    #[serde(default = "t0")]
    pub t0: f64,
    /// Weight decay (L2 penalty).
    #[serde(default = "zero")]
    pub weight_decay: NonNegative,
    /// Each parameter has a rate of its own.
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
    NonNegative(1e-2)
}

fn lambd() -> f64 {
    1e-4
}

fn alpha() -> f64 {
    0.75
}

fn t0() -> f64 {
    1e6
}

optimizer!(Asgd, "torch.optim.ASGD");

impl Rule for Asgd {
    const NAME: &'static str = "ASGD";

    fn options(&self) -> GroupOptions {
        GroupOptions { lr: self.lr.0, initial_lr: None, momentum: None, weight_decay: self.weight_decay.0 }
    }

    fn assign(&mut self, options: &GroupOptions) {
        self.lr.0 = options.lr;
        self.weight_decay.0 = options.weight_decay;
    }

    fn slots(&self) -> Vec<&'static str> {
        vec!["step", "eta", "mu", "ax"]
    }

    fn fresh(&self, param: &Tensor) -> Vec<Tensor> {
        vec![number(0.0), number(self.lr.0), number(1.0), zeros(param)]
    }

    fn update(&self, work: Work) -> Result<()> {
        let lr = self.lr.0;
        work.by_step(0, |step, work| {
            let grads = work.directions(self.maximize, self.weight_decay.0)?;
            let (etas, mus, averages) = (work.slot(1), work.slot(2), work.slot(3));
            for (i, param) in work.params.iter().enumerate() {
                let (eta, mu) = (etas[i].f_double_value(&[])?, mus[i].f_double_value(&[])?);
                let (param, average) = (std::slice::from_ref(param), &averages[i..=i]);
                foreach::mul_scalar(param, 1.0 - self.lambd * eta)?;
                foreach::add(param, &grads[i..=i], -eta)?;
                if mu == 1.0 {
                    foreach::copy(average, param, false)?;
                } else {
                    foreach::lerp(average, param, mu)?;
                }
            }
            let eta = lr / (1.0 + self.lambd * lr * step).powf(self.alpha);
            foreach::copy(&etas, &vec![&number(eta); etas.len()], false)?;
            let mu = 1.0 / (step - self.t0).max(1.0);
            Ok(foreach::copy(&mus, &vec![&number(mu); mus.len()], false)?)
        })
    }
}
