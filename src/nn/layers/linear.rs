//! `torch.nn.Linear`.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use tch::Tensor;

use crate::error::Result;
use crate::nn::args::{Count, yes};
use crate::nn::trace::{Cost, Label};
use crate::nn::{Module, Path, init, net};
use crate::registry::Ignored;

/// A linear map with bias of the last axis: `[…, in_features]` to `[…, out_features]`.
///
/// State dict: `weight` `[out_features, in_features]`, `bias` `[out_features]`.
pub struct Linear {
    label: Arc<Label>,
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    /// Makes the layer with PyTorch's initial values: uniform in ±1/sqrt(in_features), weight first.
    ///
    /// # Errors
    /// When the names are taken.
    pub fn new(path: &Path, inputs: i64, outputs: i64, bias: bool) -> Result<Self> {
        let label = path.layer("Linear");
        let shape = [outputs, inputs];
        let weight = path.parameter("weight", &shape, init::default_weight)?;
        let bias = bias.then(|| path.parameter("bias", &[outputs], |t| init::default_bias(t, &shape)));
        Ok(Linear { label, weight, bias: bias.transpose()? })
    }
}

impl Module for Linear {
    fn forward(&self, input: &Tensor, _: bool) -> Tensor {
        if self.label.is_bypassed() {
            return input.shallow_clone();
        }
        let input = &if self.label.is_flattening() { input.flatten(1, -1) } else { input.shallow_clone() };
        let output = input.linear(&self.weight, self.bias.as_ref());
        self.label.report(input, &output, || {
            let rows = output.numel() as u64 / self.weight.size()[0] as u64;
            Cost::of([&self.weight].into_iter().chain(&self.bias)).flops(2 * rows * self.weight.numel() as u64)
        });
        output
    }
}

/// A linear map of the last axis: `y = x Wᵀ + b`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LinearArgs {
    /// Size of each input sample.
    in_features: Count,
    /// Size of each output sample.
    out_features: Count,
    /// Whether a bias is learned.
    #[serde(default = "yes")]
    bias: bool,
    /// The trainer places networks.
    #[serde(default)]
    #[allow(dead_code)]
    device: Ignored,
    /// The trainer's precision decides.
    #[serde(default)]
    #[allow(dead_code)]
    dtype: Ignored,
}

net!(LinearArgs, ["torch.nn.Linear"], |args, path| {
    Linear::new(path, args.in_features.0, args.out_features.0, args.bias)
});
