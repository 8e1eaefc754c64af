//! `torch.nn.Dropout`, `Dropout1d`, `Dropout2d`; `torchvision.ops.StochasticDepth`.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::nn::trace::{Cost, Label};
use crate::nn::{Module, Path, net};
use crate::registry::{Fraction, Ignored};

/// Dropout of elements, or of whole channels; what is kept is divided by 1 - p. Nothing in evaluation.
pub struct Dropout {
    label: Arc<Label>,
    p: f64,
    /// Channels (axis 1) fall together.
    channels: bool,
}

impl Dropout {
    /// Dropout of elements with probability `p`.
    pub fn new(path: &Path, p: f64) -> Self {
        Dropout { label: path.layer("Dropout"), p, channels: false }
    }
}

impl Module for Dropout {
    fn forward(&self, input: &Tensor, train: bool) -> Tensor {
        let output = match self.channels {
            true => input.feature_dropout(self.p, train),
            false => input.dropout(self.p, train),
        };
        self.label.report(input, &output, Cost::default);
        output
    }
}

fn half() -> Fraction {
    Fraction(0.5)
}

macro_rules! dropout_args {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $target:literal, $channels:literal) => {
        $(#[$doc])*
        #[derive(Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub(super) struct $name {
            /// Probability with which each is zeroed.
            #[serde(default = "half")]
            p: Fraction,
            /// The input is never changed here.
            #[serde(default)]
            #[allow(dead_code)]
            inplace: Ignored,
        }

        net!($name, [$target], |args, path| {
            Ok(Dropout { label: path.layer($kind), p: args.p.0, channels: $channels })
        });
    };
}

dropout_args!(
    /// Zeroes elements at random in training (Srivastava et al., 2014).
    DropoutArgs, "Dropout", "torch.nn.Dropout", false
);
dropout_args!(
    /// Zeroes whole channels of `[batch, channels, length]` at random in training.
    Dropout1dArgs, "Dropout1d", "torch.nn.Dropout1d", true
);
dropout_args!(
    /// Zeroes whole channels of `[batch, channels, height, width]` at random in training.
    Dropout2dArgs, "Dropout2d", "torch.nn.Dropout2d", true
);

/// What stochastic depth draws for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StochasticMode {
    /// The whole batch at once.
    Batch,
    /// Every sample.
    Row,
}

/// Stochastic depth (Huang et al., 2016): zeroes a residual branch at random in training, the rest is divided by
/// 1 - p.
pub struct StochasticDepth {
    label: Arc<Label>,
    p: f64,
    mode: StochasticMode,
}

impl StochasticDepth {
    /// One draw per sample, with probability `p` of a zero.
    pub fn new(path: &Path, p: f64) -> Self {
        StochasticDepth { label: path.layer("StochasticDepth"), p, mode: StochasticMode::Row }
    }
}

impl Module for StochasticDepth {
    fn forward(&self, input: &Tensor, train: bool) -> Tensor {
        let output = if train && self.p > 0.0 {
            let mut shape = vec![1; input.dim()];
            if let (StochasticMode::Row, Some(rows)) = (self.mode, shape.first_mut()) {
                *rows = input.size()[0];
            }
            let survival = 1.0 - self.p;
            let mut noise = Tensor::empty(shape.as_slice(), (input.kind(), input.device()));
            let _ = noise.bernoulli_float_(survival);
            if survival > 0.0 {
                let _ = noise.g_div_scalar_(survival);
            }
            input * noise
        } else {
            input.shallow_clone()
        };
        self.label.report(input, &output, Cost::default);
        output
    }
}

/// Zeroes a whole residual branch at random in training.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StochasticDepthArgs {
    /// Probability with which it is zeroed.
    p: Fraction,
    /// `row`: one draw per sample; `batch`: one draw.
    mode: StochasticMode,
}

net!(StochasticDepthArgs, ["torchvision.ops.StochasticDepth"], |args, path| {
    Ok(StochasticDepth { label: path.layer("StochasticDepth"), p: args.p.0, mode: args.mode })
});
