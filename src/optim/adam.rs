//! Adam and AdamW.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::GroupOptions;
use super::rule::{Betas, Rule, Work, betas, count, eps, optimizer, zero, zeros};
use crate::error::Result;
use crate::native::{foreach, fused};
use crate::registry::{Ignored, NonNegative};

/// Adam (Kingma and Ba, 2015), with AMSGrad.
///
/// `m = β1 m + (1-β1) g; v = β2 v + (1-β2) g²; p -= lr · m/(1-β1ᵗ) / (√v/√(1-β2ᵗ) + eps)`.
/// <https://docs.pytorch.org/docs/stable/generated/torch.optim.Adam.html>
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "some arguments are only accepted")]
pub struct Adam {
    /// Learning rate.
    #[serde(default = "lr")]
    pub lr: NonNegative,
    /// Decay of the averages of the gradient and of its square.
    #[serde(default = "betas")]
    pub betas: Betas,
    /// Added to the denominator.
    #[serde(default = "eps")]
    pub eps: NonNegative,
    /// Weight decay (L2 penalty).
    #[serde(default = "zero")]
    pub weight_decay: NonNegative,
    /// Uses the largest second moment so far (AMSGrad).
    #[serde(default)]
    pub amsgrad: bool,
    /// The step is always fused.
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
    /// The step is always fused.
    #[serde(default, skip_serializing)]
    pub fused: Ignored,
    /// Decays the weights apart from the gradient, as AdamW.
    #[serde(default)]
    pub decoupled_weight_decay: bool,
}

/// AdamW: Adam with decoupled weight decay (Loshchilov and Hutter, 2019).
///
/// `p *= 1 - lr · weight_decay` before Adam's step.
/// <https://docs.pytorch.org/docs/stable/generated/torch.optim.AdamW.html>
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "some arguments are only accepted")]
pub struct AdamW {
    /// Learning rate.
    #[serde(default = "lr")]
    pub lr: NonNegative,
    /// Decay of the averages of the gradient and of its square.
    #[serde(default = "betas")]
    pub betas: Betas,
    /// Added to the denominator.
    #[serde(default = "eps")]
    pub eps: NonNegative,
    /// Decoupled weight decay.
    #[serde(default = "hundredth")]
    pub weight_decay: NonNegative,
    /// Uses the largest second moment so far (AMSGrad).
    #[serde(default)]
    pub amsgrad: bool,
    /// Climbs instead of descending.
    #[serde(default)]
    pub maximize: bool,
    /// The step is always fused.
    #[serde(default, skip_serializing)]
    pub foreach: Ignored,
    /// For CUDA graphs, which are not used.
    #[serde(default, skip_serializing)]
    pub capturable: Ignored,
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

fn hundredth() -> NonNegative {
    NonNegative(1e-2)
}

optimizer!(Adam, "torch.optim.Adam");
optimizer!(AdamW, "torch.optim.AdamW");

impl Adam {
    fn step(&self, decoupled: bool, work: &Work) -> Result<()> {
        let steps = work.slot(0);
        foreach::add_scalar(&steps, 1.0)?;
        let (exp_avgs, exp_avg_sqs) = (work.slot(1), work.slot(2));
        let max_exp_avg_sqs = if self.amsgrad { work.slot(3) } else { Vec::new() };
        let state = fused::AdamState {
            exp_avgs: &exp_avgs,
            exp_avg_sqs: &exp_avg_sqs,
            max_exp_avg_sqs: &max_exp_avg_sqs,
            steps: &steps,
        };
        let options = fused::Adam {
            lr: self.lr.0,
            betas: (self.betas.0.0, self.betas.1.0),
            weight_decay: self.weight_decay.0,
            eps: self.eps.0,
            amsgrad: self.amsgrad,
            maximize: self.maximize,
        };
        let step = if decoupled { fused::adamw } else { fused::adam };
        step(&work.params, &work.grads, &state, &options, work.scale)?;
        uncount(&steps, work.scale.found_inf)
    }
}

/// Takes a step that mixed precision skipped out of the step counts again, without asking the device whether it did.
pub(super) fn uncount(steps: &[&Tensor], found_inf: Option<&Tensor>) -> Result<()> {
    if let Some(found) = found_inf {
        let found = found.f_reshape([0i64; 0])?.f_to_kind(Kind::Float)?;
        foreach::add(steps, &vec![&found; steps.len()], -1.0)?;
    }
    Ok(())
}

impl Rule for Adam {
    const NAME: &'static str = "Adam";
    const BETA1: bool = true;
    const SCALES: bool = true;

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
        let mut slots = vec!["step", "exp_avg", "exp_avg_sq"];
        slots.extend(self.amsgrad.then_some("max_exp_avg_sq"));
        slots
    }

    fn fresh(&self, param: &Tensor) -> Vec<Tensor> {
        let mut state = vec![count(param.device()), zeros(param), zeros(param)];
        state.extend(self.amsgrad.then(|| zeros(param)));
        state
    }

    fn update(&self, work: Work) -> Result<()> {
        self.step(self.decoupled_weight_decay, &work)
    }
}

/// AdamW's arguments as Adam's, which compute the same.
impl AdamW {
    fn adam(&self) -> Adam {
        Adam {
            lr: self.lr,
            betas: self.betas,
            eps: self.eps,
            weight_decay: self.weight_decay,
            amsgrad: self.amsgrad,
            foreach: Ignored,
            maximize: self.maximize,
            capturable: Ignored,
            differentiable: Ignored,
            fused: Ignored,
            decoupled_weight_decay: true,
        }
    }
}

impl Rule for AdamW {
    const NAME: &'static str = "AdamW";
    const BETA1: bool = true;
    const SCALES: bool = true;

    fn options(&self) -> GroupOptions {
        self.adam().options()
    }

    fn assign(&mut self, options: &GroupOptions) {
        self.lr.0 = options.lr;
        self.weight_decay.0 = options.weight_decay;
        self.betas.0.0 = options.momentum.unwrap_or(self.betas.0.0);
    }

    fn slots(&self) -> Vec<&'static str> {
        self.adam().slots()
    }

    fn fresh(&self, param: &Tensor) -> Vec<Tensor> {
        self.adam().fresh(param)
    }

    fn update(&self, work: Work) -> Result<()> {
        self.adam().step(true, &work)
    }
}
