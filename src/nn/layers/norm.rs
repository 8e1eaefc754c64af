//! `torch.nn.BatchNorm1d`, `BatchNorm2d`, `LayerNorm`, `GroupNorm`.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use tch::{Device, Kind, Tensor};

use crate::error::{Error, Result};
use crate::nn::args::{Count, yes};
use crate::nn::trace::{Cost, Label};
use crate::nn::{Module, Path, init, net};
use crate::registry::{Ignored, NonNegative, OneOrMany};

/// Batch normalisation over axis 1 (Ioffe and Szegedy, 2015).
///
/// State dict: `weight`, `bias`, `running_mean`, `running_var` `[features]`, `num_batches_tracked` (one i64).
pub struct BatchNorm {
    label: Arc<Label>,
    affine: Option<(Tensor, Tensor)>,
    running: Option<Running>,
    options: BatchNormOptions,
}

struct Running {
    mean: Tensor,
    var: Tensor,
    batches: Tensor,
}

/// What batch normalisation is given besides its features.
#[derive(Clone, Copy, Debug)]
pub struct BatchNormOptions {
    /// Added to the variance.
    pub eps: f64,
    /// Weight of the new batch in the running statistics; `None` averages over all batches.
    pub momentum: Option<f64>,
    /// Whether scale and shift are learned.
    pub affine: bool,
    /// Whether running statistics are kept; without them evaluation uses the batch's.
    pub track_running_stats: bool,
}

impl Default for BatchNormOptions {
    fn default() -> Self {
        BatchNormOptions { eps: 1e-5, momentum: Some(0.1), affine: true, track_running_stats: true }
    }
}

impl BatchNorm {
    /// PyTorch's `BatchNorm2d` with its defaults.
    ///
    /// # Errors
    /// When the names are taken.
    pub fn new(path: &Path, features: i64) -> Result<Self> {
        Self::with(path, features, BatchNormOptions::default())
    }

    /// PyTorch's `BatchNorm1d` with its defaults.
    ///
    /// # Errors
    /// When the names are taken.
    pub fn one_dimensional(path: &Path, features: i64) -> Result<Self> {
        Self::named(path, "BatchNorm1d", features, BatchNormOptions::default())
    }

    /// With `eps` and `momentum` of its own.
    ///
    /// # Errors
    /// When the names are taken.
    pub fn with(path: &Path, features: i64, options: BatchNormOptions) -> Result<Self> {
        Self::named(path, "BatchNorm2d", features, options)
    }

    fn named(path: &Path, kind: &'static str, features: i64, options: BatchNormOptions) -> Result<Self> {
        let label = path.layer(kind);
        let affine = options.affine.then(|| affine(path, &[features], true));
        let running = options.track_running_stats.then(|| {
            Ok::<_, Error>(Running {
                mean: path.buffer("running_mean", Tensor::f_zeros([features], (Kind::Float, Device::Cpu))?)?,
                var: path.buffer("running_var", Tensor::f_ones([features], (Kind::Float, Device::Cpu))?)?,
                batches: path.buffer("num_batches_tracked", Tensor::from(0i64))?,
            })
        });
        let affine = affine.transpose()?.map(|(weight, bias)| (weight, bias.unwrap_or_default()));
        Ok(BatchNorm { label, affine, running: running.transpose()?, options })
    }
}

/// `weight` of ones and `bias` of zeros.
fn affine(path: &Path, shape: &[i64], bias: bool) -> Result<(Tensor, Option<Tensor>)> {
    let weight = path.parameter("weight", shape, init::ones)?;
    let bias = bias.then(|| path.parameter("bias", shape, init::zeros));
    Ok((weight, bias.transpose()?))
}

impl Module for BatchNorm {
    fn spares_output(&self) -> bool {
        true
    }

    fn forward(&self, input: &Tensor, train: bool) -> Tensor {
        let mut momentum = self.options.momentum.unwrap_or(0.0);
        if let Some(running) = self.running.as_ref().filter(|_| train) {
            let _ = running.batches.shallow_clone().g_add_scalar_(1);
            if self.options.momentum.is_none() || self.label.is_averaging() {
                momentum = 1.0 / running.batches.double_value(&[]);
            }
        }
        let weight = self.affine.as_ref().map(|(weight, _)| weight);
        let bias = self.affine.as_ref().map(|(_, bias)| bias);
        let (mean, var) = (self.running.as_ref().map(|r| &r.mean), self.running.as_ref().map(|r| &r.var));
        let batch = train || self.running.is_none();
        let output = input.batch_norm(weight, bias, mean, var, batch, momentum, self.options.eps, true);
        self.label.report(input, &output, || Cost::of(self.affine.iter().flat_map(|(weight, bias)| [weight, bias])));
        output
    }
}

/// Layer normalisation over the last axes (Ba et al., 2016).
///
/// State dict: `weight`, `bias` of the normalised shape.
pub struct LayerNorm {
    label: Arc<Label>,
    shape: Vec<i64>,
    weight: Option<Tensor>,
    bias: Option<Tensor>,
    eps: f64,
}

impl LayerNorm {
    /// Over the last axis of `features`, with scale and shift.
    ///
    /// # Errors
    /// When the names are taken.
    pub fn new(path: &Path, features: i64, eps: f64) -> Result<Self> {
        Self::with(path, vec![features], eps, true, true)
    }

    fn with(path: &Path, shape: Vec<i64>, eps: f64, scale: bool, shift: bool) -> Result<Self> {
        let label = path.layer("LayerNorm");
        let (weight, bias) = match scale.then(|| affine(path, &shape, shift)).transpose()? {
            Some((weight, bias)) => (Some(weight), bias),
            None => (None, None),
        };
        Ok(LayerNorm { label, shape, weight, bias, eps })
    }
}

impl Module for LayerNorm {
    fn forward(&self, input: &Tensor, _: bool) -> Tensor {
        let output = input.layer_norm(self.shape.as_slice(), self.weight.as_ref(), self.bias.as_ref(), self.eps, true);
        self.label.report(input, &output, || Cost::of(self.weight.iter().chain(&self.bias)));
        output
    }
}

/// Group normalisation over groups of channels (Wu and He, 2018).
///
/// State dict: `weight`, `bias` `[channels]`.
pub struct GroupNorm {
    label: Arc<Label>,
    groups: i64,
    affine: Option<(Tensor, Option<Tensor>)>,
    eps: f64,
}

impl Module for GroupNorm {
    fn forward(&self, input: &Tensor, _: bool) -> Tensor {
        let (weight, bias) = self.affine.as_ref().map_or((None, None), |(weight, bias)| (Some(weight), bias.as_ref()));
        let output = input.group_norm(self.groups, weight, bias, self.eps, true);
        self.label.report(input, &output, || Cost::of(weight.into_iter().chain(bias)));
        output
    }
}

fn eps() -> NonNegative {
    NonNegative(1e-5)
}

fn momentum() -> Option<NonNegative> {
    Some(NonNegative(0.1))
}

macro_rules! batch_norm_args {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $target:literal) => {
        $(#[$doc])*
        #[derive(Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub(super) struct $name {
            /// Features or channels: the size of axis 1.
            num_features: Count,
            /// Added to the variance.
            #[serde(default = "eps")]
            eps: NonNegative,
            /// Weight of the new batch in the running statistics; null averages over all batches.
            #[serde(default = "momentum")]
            momentum: Option<NonNegative>,
            /// Whether scale and shift are learned.
            #[serde(default = "yes")]
            affine: bool,
            /// Whether running statistics are kept; without them evaluation uses the batch's.
            #[serde(default = "yes")]
            track_running_stats: bool,
            /// The trainer places networks.
            #[serde(default)]
            #[allow(dead_code)]
            device: Ignored,
            /// The trainer's precision decides.
            #[serde(default)]
            #[allow(dead_code)]
            dtype: Ignored,
        }

        net!($name, [$target], |args, path| {
            let options = BatchNormOptions {
                eps: args.eps.0,
                momentum: args.momentum.map(|m| m.0),
                affine: args.affine,
                track_running_stats: args.track_running_stats,
            };
            BatchNorm::named(path, $kind, args.num_features.0, options)
        });
    };
}

batch_norm_args!(
    /// Batch normalisation of `[batch, features]` or `[batch, features, length]`.
    BatchNorm1dArgs, "BatchNorm1d", "torch.nn.BatchNorm1d"
);
batch_norm_args!(
    /// Batch normalisation of `[batch, channels, height, width]`.
    BatchNorm2dArgs, "BatchNorm2d", "torch.nn.BatchNorm2d"
);

/// Layer normalisation over the last axes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LayerNormArgs {
    /// Sizes of the last axes.
    normalized_shape: OneOrMany<i64>,
    /// Added to the variance.
    #[serde(default = "eps")]
    eps: NonNegative,
    /// Whether a scale is learned.
    #[serde(default = "yes")]
    elementwise_affine: bool,
    /// Whether a shift is learned; only with `elementwise_affine`.
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

net!(LayerNormArgs, ["torch.nn.LayerNorm"], |args, path| {
    let shape = args.normalized_shape.as_slice().to_vec();
    LayerNorm::with(path, shape, args.eps.0, args.elementwise_affine, args.bias)
});

/// Group normalisation over groups of channels.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GroupNormArgs {
    /// Groups into which the channels are divided.
    num_groups: Count,
    /// Channels: the size of axis 1.
    num_channels: Count,
    /// Added to the variance.
    #[serde(default = "eps")]
    eps: NonNegative,
    /// Whether scale and shift are learned.
    #[serde(default = "yes")]
    affine: bool,
    /// The trainer places networks.
    #[serde(default)]
    #[allow(dead_code)]
    device: Ignored,
    /// The trainer's precision decides.
    #[serde(default)]
    #[allow(dead_code)]
    dtype: Ignored,
}

net!(GroupNormArgs, ["torch.nn.GroupNorm"], |args, path| {
    let (groups, channels) = (args.num_groups.0, args.num_channels.0);
    if channels % groups != 0 {
        return Err(Error::request(format!("num_groups ({groups}) must divide num_channels ({channels})")));
    }
    let affine = args.affine.then(|| affine(path, &[channels], true)).transpose()?;
    Ok(GroupNorm { label: path.layer("GroupNorm"), groups, affine, eps: args.eps.0 })
});
