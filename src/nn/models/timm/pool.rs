//! timm's choices of what becomes of the final feature map: `global_pool`.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::nn::trace::{Cost, Label};
use crate::nn::{Module, Path};

/// How the positions of the final feature map become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum GlobalPool {
    /// Their mean.
    #[default]
    Avg,
    /// The largest.
    Max,
    /// The mean of both.
    AvgMax,
    /// Both, side by side: twice the features.
    CatAvgMax,
    /// A transformer's class token.
    Token,
    /// They stay as they are; only without a head.
    #[serde(rename = "")]
    None,
}

impl GlobalPool {
    /// How many features there are for one channel.
    pub fn times(self) -> i64 {
        if self == GlobalPool::CatAvgMax { 2 } else { 1 }
    }

    /// Over the given axes of `x`, which go.
    pub fn over(self, x: &Tensor, axes: &[i64]) -> Tensor {
        let mean = || x.mean_dim(axes, false, None::<Kind>);
        match self {
            GlobalPool::Avg => mean(),
            GlobalPool::Max => x.amax(axes, false),
            GlobalPool::AvgMax => (mean() + x.amax(axes, false)) * 0.5,
            GlobalPool::CatAvgMax => Tensor::cat(&[mean(), x.amax(axes, false)], 1),
            GlobalPool::Token | GlobalPool::None => x.shallow_clone(),
        }
    }
}

/// The pooling of a convolutional network: `[N, C, H, W]` to `[N, features]`.
pub(super) struct Pooling {
    label: Arc<Label>,
    pub kind: GlobalPool,
}

impl Pooling {
    pub fn new(path: &Path, kind: GlobalPool) -> Self {
        Pooling { label: path.layer("SelectAdaptivePool2d"), kind }
    }
}

impl Module for Pooling {
    fn forward(&self, input: &Tensor, _: bool) -> Tensor {
        let output = self.kind.over(input, &[2, 3]);
        self.label.report(input, &output, Cost::default);
        output
    }
}
