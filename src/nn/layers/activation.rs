//! PyTorch's activations.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::nn::trace::{Cost, Label};
use crate::nn::{Module, Path, net};
use crate::registry::Ignored;

/// A function applied to each element (softmax: along an axis).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Function {
    /// max(x, 0).
    Relu,
    /// min(max(x, 0), 6).
    Relu6,
    /// x Φ(x), exact or by the tanh approximation.
    Gelu(Approximate),
    /// x sigmoid(x).
    Silu,
    /// 1 / (1 + exp(-x)).
    Sigmoid,
    /// The hyperbolic tangent.
    Tanh,
    /// x above 0, `slope` x below.
    LeakyRelu {
        /// The slope below 0.
        slope: f64,
    },
    /// x above 0, `alpha` (exp(x) - 1) below.
    Elu {
        /// The limit below 0, negated.
        alpha: f64,
    },
    /// x min(max(x + 3, 0), 6) / 6.
    Hardswish,
    /// min(max(x + 3, 0), 6) / 6.
    Hardsigmoid,
    /// exp(x) / Σ exp(x) along the axis.
    Softmax(i64),
    /// x tanh(log(1 + exp(x))).
    Mish,
}

/// How the Gaussian's distribution function is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Approximate {
    /// Exactly, by the error function.
    #[default]
    None,
    /// By a hyperbolic tangent.
    Tanh,
}

impl Function {
    /// PyTorch's class name.
    pub fn name(self) -> &'static str {
        match self {
            Function::Relu => "ReLU",
            Function::Relu6 => "ReLU6",
            Function::Gelu(_) => "GELU",
            Function::Silu => "SiLU",
            Function::Sigmoid => "Sigmoid",
            Function::Tanh => "Tanh",
            Function::LeakyRelu { .. } => "LeakyReLU",
            Function::Elu { .. } => "ELU",
            Function::Hardswish => "Hardswish",
            Function::Hardsigmoid => "Hardsigmoid",
            Function::Softmax(_) => "Softmax",
            Function::Mish => "Mish",
        }
    }

    /// The function of `x`.
    pub fn apply(self, x: &Tensor) -> Tensor {
        match self {
            Function::Relu => x.relu(),
            Function::Relu6 => x.relu6(),
            Function::Gelu(Approximate::None) => x.gelu("none"),
            Function::Gelu(Approximate::Tanh) => x.gelu("tanh"),
            Function::Silu => x.silu(),
            Function::Sigmoid => x.sigmoid(),
            Function::Tanh => x.tanh(),
            // tch's leaky_relu and elu take no argument.
            Function::LeakyRelu { slope } => x.prelu(&Tensor::from(slope).to_kind(x.kind()).to_device(x.device())),
            Function::Elu { alpha: 1.0 } => x.elu(),
            Function::Elu { alpha } => x.where_self(&x.gt(0.0), &(x.clamp_max(0.0).expm1() * alpha)),
            Function::Hardswish => x.hardswish(),
            Function::Hardsigmoid => x.hardsigmoid(),
            Function::Softmax(dim) => x.softmax(dim, None),
            Function::Mish => x.mish(),
        }
    }

    /// The function of `x`, in `x`'s own memory where libtorch can.
    fn apply_in_place(self, x: &Tensor) -> Tensor {
        let mut shared = x.shallow_clone();
        match self {
            Function::Relu => shared.relu_(),
            Function::Relu6 => shared.relu6_(),
            Function::Silu => shared.silu_(),
            Function::Hardswish => shared.hardswish_(),
            _ => self.apply(x),
        }
    }
}

/// An activation as a layer.
pub struct Activation {
    label: Arc<Label>,
    function: Function,
    in_place: bool,
}

impl Activation {
    /// A layer that keeps its input.
    pub fn new(path: &Path, function: Function) -> Self {
        Activation { label: path.layer(function.name()), function, in_place: false }
    }

    /// A layer that may reuse its input's memory, for the output of a layer that nobody else reads.
    pub fn in_place(path: &Path, function: Function) -> Self {
        Activation { in_place: true, ..Self::new(path, function) }
    }
}

impl Module for Activation {
    fn forward(&self, input: &Tensor, _: bool) -> Tensor {
        let output = if self.in_place { self.function.apply_in_place(input) } else { self.function.apply(input) };
        self.label.report(input, &output, Cost::default);
        output
    }

    // The gradient of the rectifier needs its output alone.
    fn forward_in_place(&self, input: &Tensor, train: bool) -> Tensor {
        match self.function {
            Function::Relu => self.function.apply_in_place(input),
            _ => self.forward(input, train),
        }
    }
}

/// An activation with no argument but `inplace`.
macro_rules! plain {
    ($($(#[$doc:meta])* $name:ident, $target:literal, $function:expr;)*) => {
        $(
            $(#[$doc])*
            #[derive(Deserialize, JsonSchema)]
            #[serde(deny_unknown_fields)]
            pub(super) struct $name {
                /// The input is never changed here.
                #[serde(default)]
                #[allow(dead_code)]
                inplace: Ignored,
            }

            net!($name, [$target], |_, path| Ok(Activation::new(path, $function)));
        )*
    };
}

plain! {
    /// The rectifier: max(x, 0).
    ReluArgs, "torch.nn.ReLU", Function::Relu;
    /// The rectifier with a ceiling: min(max(x, 0), 6).
    Relu6Args, "torch.nn.ReLU6", Function::Relu6;
    /// x sigmoid(x), also called swish.
    SiluArgs, "torch.nn.SiLU", Function::Silu;
    /// x min(max(x + 3, 0), 6) / 6.
    HardswishArgs, "torch.nn.Hardswish", Function::Hardswish;
    /// min(max(x + 3, 0), 6) / 6.
    HardsigmoidArgs, "torch.nn.Hardsigmoid", Function::Hardsigmoid;
    /// x tanh(log(1 + exp(x))).
    MishArgs, "torch.nn.Mish", Function::Mish;
}

/// The logistic function, 1 / (1 + exp(-x)).
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SigmoidArgs {}
net!(SigmoidArgs, ["torch.nn.Sigmoid"], |_, path| Ok(Activation::new(path, Function::Sigmoid)));

/// The hyperbolic tangent.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TanhArgs {}
net!(TanhArgs, ["torch.nn.Tanh"], |_, path| Ok(Activation::new(path, Function::Tanh)));

/// x Φ(x) with the Gaussian's distribution function Φ.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GeluArgs {
    /// `none` (exact) or `tanh`.
    #[serde(default)]
    approximate: Approximate,
}
net!(GeluArgs, ["torch.nn.GELU"], |args, path| Ok(Activation::new(path, Function::Gelu(args.approximate))));

fn slope() -> f64 {
    0.01
}

/// x above 0, a small slope below.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LeakyReluArgs {
    /// The slope below 0.
    #[serde(default = "slope")]
    negative_slope: f64,
    /// The input is never changed here.
    #[serde(default)]
    #[allow(dead_code)]
    inplace: Ignored,
}
net!(LeakyReluArgs, ["torch.nn.LeakyReLU"], |args, path| {
    Ok(Activation::new(path, Function::LeakyRelu { slope: args.negative_slope }))
});

fn alpha() -> f64 {
    1.0
}

/// x above 0, alpha (exp(x) - 1) below.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EluArgs {
    /// The limit below 0, negated.
    #[serde(default = "alpha")]
    alpha: f64,
    /// The input is never changed here.
    #[serde(default)]
    #[allow(dead_code)]
    inplace: Ignored,
}
net!(EluArgs, ["torch.nn.ELU"], |args, path| Ok(Activation::new(path, Function::Elu { alpha: args.alpha })));

/// exp(x) / Σ exp(x) along an axis.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SoftmaxArgs {
    /// The axis that sums to 1.
    #[serde(default)]
    dim: Option<i64>,
}
net!(SoftmaxArgs, ["torch.nn.Softmax"], |args, path| {
    // PyTorch's legacy choice without `dim` depends on the number of axes; the last one is what is meant.
    Ok(Activation::new(path, Function::Softmax(args.dim.unwrap_or(-1))))
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_the_definitions() {
        let x = Tensor::from_slice(&[-4.0f32, -1.0, 0.0, 0.5, 7.0]);
        let cases: [(Function, [f64; 5]); 6] = [
            (Function::LeakyRelu { slope: 0.2 }, [-0.8, -0.2, 0.0, 0.5, 7.0]),
            (Function::Elu { alpha: 2.0 }, [-1.963369, -1.264241, 0.0, 0.5, 7.0]),
            (Function::Relu6, [0.0, 0.0, 0.0, 0.5, 6.0]),
            (Function::Hardswish, [0.0, -0.333333, 0.0, 0.291667, 7.0]),
            (Function::Hardsigmoid, [0.0, 0.333333, 0.5, 0.583333, 1.0]),
            (Function::Mish, [-0.072592, -0.303401, 0.0, 0.375245, 6.999988]),
        ];
        for (function, want) in cases {
            for got in [function.apply(&x), function.apply_in_place(&x.copy())] {
                let got: Vec<f64> = Vec::try_from(got.to_kind(tch::Kind::Double)).unwrap();
                for (got, want) in got.iter().zip(want) {
                    assert!((got - want).abs() < 2e-6, "{function:?}: {got} {want}");
                }
            }
        }
    }
}
