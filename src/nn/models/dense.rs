//! Networks of linear layers: lightning-hydra-template's `SimpleDenseNet`, and an MLP of any depth.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::error::Result;
use crate::nn::args::Count;
use crate::nn::layers::{Activation, BatchNorm, Dropout, Function, Linear, Sequential};
use crate::nn::{Module, Path, net};
use crate::registry::Fraction;

/// A chain of layers over all features of a sample.
pub struct Dense {
    chain: Sequential,
}

impl Module for Dense {
    fn forward(&self, input: &Tensor, train: bool) -> Tensor {
        self.chain.forward(&input.flatten(1, -1), train)
    }
}

/// Lightning-hydra-template's network for MNIST: three times linear, batch normalisation, rectifier; then linear.
///
/// Any input `[batch, …]` is flattened to `[batch, input_size]`. State dict: `model.0.weight`, ….
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SimpleDenseNetArgs {
    /// Values of a sample: channels × height × width.
    #[serde(default = "mnist")]
    input_size: Count,
    /// Features of the first hidden layer.
    #[serde(default = "hidden")]
    lin1_size: Count,
    /// Features of the second hidden layer.
    #[serde(default = "hidden")]
    lin2_size: Count,
    /// Features of the third hidden layer.
    #[serde(default = "hidden")]
    lin3_size: Count,
    /// Outputs: classes.
    #[serde(default = "ten")]
    output_size: Count,
}

fn mnist() -> Count {
    Count(784)
}

fn hidden() -> Count {
    Count(256)
}

fn ten() -> Count {
    Count(10)
}

net!(
    SimpleDenseNetArgs,
    ["runner.models.SimpleDenseNet", "src.models.components.simple_dense_net.SimpleDenseNet"],
    |args, path| {
        let sizes = [args.lin1_size.0, args.lin2_size.0, args.lin3_size.0];
        let options = Hidden { norm: true, activation: ActivationName::Relu, dropout: 0.0 };
        dense(&path.child("model"), args.input_size.0, &sizes, args.output_size.0, options)
    }
);

/// Names of activations, as timm writes them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum ActivationName {
    #[default]
    Relu,
    Gelu,
    Silu,
    Tanh,
    Sigmoid,
    Mish,
}

impl ActivationName {
    pub(super) fn function(self) -> Function {
        match self {
            ActivationName::Relu => Function::Relu,
            ActivationName::Gelu => Function::Gelu(Default::default()),
            ActivationName::Silu => Function::Silu,
            ActivationName::Tanh => Function::Tanh,
            ActivationName::Sigmoid => Function::Sigmoid,
            ActivationName::Mish => Function::Mish,
        }
    }
}

struct Hidden {
    norm: bool,
    activation: ActivationName,
    dropout: f64,
}

fn dense(path: &Path, inputs: i64, hidden: &[i64], outputs: i64, options: Hidden) -> Result<Dense> {
    let mut chain = Sequential::new(path);
    let mut features = inputs;
    for &size in hidden {
        chain.push(Linear::new(&path.child(chain.len()), features, size, true)?);
        if options.norm {
            chain.push(BatchNorm::one_dimensional(&path.child(chain.len()), size)?);
        }
        chain.push(Activation::in_place(&path.child(chain.len()), options.activation.function()));
        if options.dropout > 0.0 {
            chain.push(Dropout::new(&path.child(chain.len()), options.dropout));
        }
        features = size;
    }
    chain.push(Linear::new(&path.child(chain.len()), features, outputs, true)?);
    Ok(Dense { chain })
}

/// A multi-layer perceptron: linear layers with an activation between them.
///
/// Any input `[batch, …]` is flattened to `[batch, in_features]`. State dict: `layers.0.weight`, ….
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MlpArgs {
    /// Values of a sample.
    in_features: Count,
    /// Features of each hidden layer.
    #[serde(default = "two_hidden")]
    hidden_features: Vec<Count>,
    /// Outputs: classes, or values of a regression.
    #[serde(default = "ten")]
    out_features: Count,
    /// The activation between the layers.
    #[serde(default)]
    activation: ActivationName,
    /// Whether batch normalisation follows each hidden layer.
    #[serde(default)]
    batch_norm: bool,
    /// Dropout after each activation.
    #[serde(default = "zero")]
    dropout: Fraction,
}

fn two_hidden() -> Vec<Count> {
    vec![Count(128), Count(128)]
}

fn zero() -> Fraction {
    Fraction(0.0)
}

net!(MlpArgs, ["runner.models.MLP"], |args, path| {
    let hidden: Vec<i64> = args.hidden_features.iter().map(|count| count.0).collect();
    let options = Hidden { norm: args.batch_norm, activation: args.activation, dropout: args.dropout.0 };
    dense(&path.child("layers"), args.in_features.0, &hidden, args.out_features.0, options)
});
