//! Adagrad.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::{Device, Tensor};

use super::GroupOptions;
use super::adam::uncount;
use super::rule::{Rule, Work, count, optimizer, zero};
use crate::error::Result;
use crate::native::{foreach, fused};
use crate::registry::{Ignored, NonNegative};

/// Adagrad (Duchi, Hazan and Singer, 2011).
///
/// `s += g²; p -= lr / (1 + (t-1) lr_decay) · g / (√s + eps)`.
/// <https://docs.pytorch.org/docs/stable/generated/torch.optim.Adagrad.html>
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "some arguments are only accepted")]
pub struct Adagrad {
    /// Learning rate.
    #[serde(default = "lr")]
    pub lr: NonNegative,
    /// Decay of the learning rate.
    #[serde(default = "zero")]
    pub lr_decay: NonNegative,
    /// Weight decay (L2 penalty).
    #[serde(default = "zero")]
    pub weight_decay: NonNegative,
    /// With what the sums of squares begin.
    #[serde(default = "zero")]
    pub initial_accumulator_value: NonNegative,
    /// Added to the denominator.
    #[serde(default = "eps")]
    pub eps: NonNegative,
    /// Parameters are always updated together.
    #[serde(default, skip_serializing)]
    pub foreach: Ignored,
    /// Climbs instead of descending.
    #[serde(default)]
    pub maximize: bool,
    /// Steps are never differentiated through.
    #[serde(default, skip_serializing)]
    pub differentiable: Ignored,
    /// The step is fused wherever libtorch has the kernel: on the CPU.
    #[serde(default, skip_serializing)]
    pub fused: Ignored,
}

fn lr() -> NonNegative {
    NonNegative(1e-2)
}

fn eps() -> NonNegative {
    NonNegative(1e-10)
}

optimizer!(Adagrad, "torch.optim.Adagrad");

impl Rule for Adagrad {
    const NAME: &'static str = "Adagrad";

    fn options(&self) -> GroupOptions {
        GroupOptions { lr: self.lr.0, initial_lr: None, momentum: None, weight_decay: self.weight_decay.0 }
    }

    fn assign(&mut self, options: &GroupOptions) {
        self.lr.0 = options.lr;
        self.weight_decay.0 = options.weight_decay;
    }

    fn slots(&self) -> Vec<&'static str> {
        vec!["step", "sum"]
    }

    fn fresh(&self, param: &Tensor) -> Vec<Tensor> {
        vec![count(Device::Cpu), param.detach().full_like(self.initial_accumulator_value.0)]
    }

    fn update(&self, work: Work) -> Result<()> {
        if work.params.first().is_some_and(|param| param.device() == Device::Cpu) {
            let (steps, sums) = (work.slot(0), work.slot(1));
            foreach::add_scalar(&steps, 1.0)?;
            let options = fused::Adagrad {
                lr: self.lr.0,
                lr_decay: self.lr_decay.0,
                weight_decay: self.weight_decay.0,
                eps: self.eps.0,
                maximize: self.maximize,
            };
            fused::adagrad(&work.params, &work.grads, &sums, &steps, &options, work.scale)?;
            return uncount(&steps, work.scale.found_inf);
        }
        work.by_step(0, |step, work| {
            let grads = work.directions(self.maximize, self.weight_decay.0)?;
            let sums = work.slot(1);
            foreach::addcmul(&sums, &grads, &grads, 1.0)?;
            let roots = foreach::sqrt(&sums)?;
            foreach::add_scalar(&roots, self.eps.0)?;
            foreach::addcdiv(&work.params, &grads, &roots, -self.lr.0 / (1.0 + (step - 1.0) * self.lr_decay.0))?;
            Ok(())
        })
    }
}
