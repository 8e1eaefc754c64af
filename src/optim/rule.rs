//! What one optimizer adds to the common engine: its arguments, the tensors of its state, its formula.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, DeserializeOwned, Deserializer, Visitor};
use serde::{Serialize, Serializer};
use tch::{Device, Kind, Tensor};

use super::GroupOptions;
use super::engine::Engine;
use super::{Optimizer, OptimizerSpec, ParamGroup};
use crate::error::Result;
use crate::native::{foreach, fused};

/// An optimizer's arguments, which are also its rule. The names and defaults are PyTorch's, so that the arguments as
/// JSON are PyTorch's `param_groups` entry.
pub(super) trait Rule: Clone + Serialize + DeserializeOwned + Send + 'static {
    /// The class's name.
    const NAME: &'static str;
    /// Whether the momentum is Adam's first beta.
    const BETA1: bool = false;
    /// Whether [`Rule::update`] heeds `work.scale`; else the engine unscales and skips for it.
    const SCALES: bool = false;

    /// The options that schedulers change.
    fn options(&self) -> GroupOptions;

    /// Takes over what schedulers changed.
    fn assign(&mut self, options: &GroupOptions);

    /// What is wrong with the arguments together: the argument at fault and a sentence.
    fn validate(&self) -> Result<(), (&'static str, String)> {
        Ok(())
    }

    /// The names of a parameter's state tensors, as in PyTorch's state dict.
    fn slots(&self) -> Vec<&'static str>;

    /// Fresh state of a parameter, in the order of [`Rule::slots`].
    fn fresh(&self, param: &Tensor) -> Vec<Tensor>;

    /// One step of parameters that have a gradient, all of one dtype and device. Runs without autograd.
    fn update(&self, work: Work) -> Result<()>;
}

/// The parameters of one step.
pub(super) struct Work<'a> {
    /// The parameters.
    pub params: Vec<&'a Tensor>,
    /// Their gradients; they may be changed, but [`Work::owned_grads`] must be asked first.
    pub grads: Vec<Tensor>,
    /// Their state, in the order of [`Rule::slots`].
    pub state: Vec<&'a [Tensor]>,
    /// Whether the state is fresh: this is the parameter's first step.
    pub fresh: Vec<bool>,
    /// What mixed precision says.
    pub scale: fused::Scale<'a>,
}

impl<'a> Work<'a> {
    /// One state tensor of every parameter.
    pub fn slot(&self, index: usize) -> Vec<&'a Tensor> {
        self.state.iter().map(|state| &state[index]).collect()
    }

    /// The parameters for which `which` holds, by their index, and the others.
    pub fn split(self, which: impl Fn(usize) -> bool) -> (Work<'a>, Work<'a>) {
        let empty = |scale| Work { params: vec![], grads: vec![], state: vec![], fresh: vec![], scale };
        let (mut yes, mut no) = (empty(self.scale), empty(self.scale));
        let items = self.params.into_iter().zip(self.grads).zip(self.state).zip(self.fresh);
        for (i, (((param, grad), state), fresh)) in items.enumerate() {
            let part = if which(i) { &mut yes } else { &mut no };
            part.params.push(param);
            part.grads.push(grad);
            part.state.push(state);
            part.fresh.push(fresh);
        }
        (yes, no)
    }

    /// Adds 1 to the step counts, which lie in state tensor `index` on the CPU, and calls `update` with the
    /// parameters of every count, usually all of them at once.
    pub fn by_step(self, index: usize, mut update: impl FnMut(f64, Work<'a>) -> Result<()>) -> Result<()> {
        let steps = self.slot(index);
        foreach::add_scalar(&steps, 1.0)?;
        let mut counts = steps.iter().map(|step| Ok(step.f_double_value(&[])?)).collect::<Result<Vec<f64>>>()?;
        let mut rest = self;
        while let Some(&count) = counts.first() {
            let (part, others) = rest.split(|i| counts[i] == count);
            counts.retain(|other| *other != count);
            update(count, part)?;
            rest = others;
        }
        Ok(())
    }

    /// The gradients with their sign turned if the rule climbs, plus `weight_decay` times the parameters. The
    /// gradients themselves stay as they are.
    pub fn directions(&self, maximize: bool, weight_decay: f64) -> Result<Vec<Tensor>> {
        if !maximize && weight_decay == 0.0 {
            return Ok(self.grads.iter().map(Tensor::shallow_clone).collect());
        }
        let copies: Vec<Tensor> = self.grads.iter().map(|g| if maximize { g.neg() } else { g.copy() }).collect();
        if weight_decay != 0.0 {
            foreach::add(&copies, &self.params, weight_decay)?;
        }
        Ok(copies)
    }
}

/// Zeros like a parameter, in its memory layout.
pub(super) fn zeros(param: &Tensor) -> Tensor {
    param.detach().zeros_like()
}

/// A step count of 0 on `device`.
pub(super) fn count(device: Device) -> Tensor {
    Tensor::zeros([], (Kind::Float, device))
}

/// A number on the CPU, as PyTorch keeps those that belong to a parameter.
pub(super) fn number(value: f64) -> Tensor {
    Tensor::full([], value, (Kind::Float, Device::Cpu))
}

impl<R: Rule> OptimizerSpec for R {
    fn make(&self, groups: Vec<ParamGroup>) -> Result<Box<dyn Optimizer>> {
        Ok(Box::new(Engine::new(self, groups)?))
    }
}

/// The component of a rule: PyTorch's name and an alias of the same class elsewhere, if there is one.
macro_rules! optimizer {
    ($args:ty, $($target:literal),+) => {
        impl $crate::registry::Component for $args {
            type Kind = $crate::optim::OptimizerKind;
            const TARGETS: &'static [&'static str] = &[$($target),+];

            fn check(&self, cx: &mut $crate::registry::Check) {
                if let Err((argument, message)) = $crate::optim::rule::Rule::validate(self) {
                    cx.problem(argument, message);
                }
            }

            fn build(
                self,
                _: &mut $crate::registry::Build,
            ) -> $crate::error::Result<Box<dyn $crate::optim::OptimizerSpec>> {
                Ok(Box::new(self))
            }
        }
    };
}
pub(super) use optimizer;

/// The decay of a running average: from 0 to below 1.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Decay(pub f64);

impl<'de> Deserialize<'de> for Decay {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Take;
        impl Visitor<'_> for Take {
            type Value = Decay;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a number from 0 to below 1")
            }
            fn visit_f64<E: de::Error>(self, v: f64) -> Result<Decay, E> {
                if (0.0..1.0).contains(&v) {
                    Ok(Decay(v))
                } else {
                    Err(E::invalid_value(de::Unexpected::Float(v), &self))
                }
            }
            fn visit_i64<E: de::Error>(self, v: i64) -> Result<Decay, E> {
                self.visit_f64(v as f64)
            }
            fn visit_u64<E: de::Error>(self, v: u64) -> Result<Decay, E> {
                self.visit_f64(v as f64)
            }
        }
        deserializer.deserialize_f64(Take)
    }
}

impl Serialize for Decay {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0)
    }
}

impl JsonSchema for Decay {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Decay".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number", "minimum": 0, "exclusiveMaximum": 1 })
    }
    fn inline_schema() -> bool {
        true
    }
}

/// The betas of the Adam family and their default, 0.9 and 0.999.
pub(super) type Betas = (Decay, Decay);

/// The default of [`Betas`].
pub(super) fn betas() -> Betas {
    (Decay(0.9), Decay(0.999))
}

/// The default `eps` of most optimizers.
pub(super) fn eps() -> crate::registry::NonNegative {
    crate::registry::NonNegative(1e-8)
}

/// The default of options that are off.
pub(super) fn zero() -> crate::registry::NonNegative {
    crate::registry::NonNegative(0.0)
}
