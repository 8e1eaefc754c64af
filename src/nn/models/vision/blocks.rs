//! What torchvision's models are built of (`torchvision.ops.misc`), and their second initialisation.

use tch::Tensor;

use crate::error::Result;
use crate::nn::args::Padding;
use crate::nn::init::{self, Fan};
use crate::nn::layers::{
    Activation, BatchNorm, BatchNormOptions, Conv2d, ConvOptions, Dropout, Function, LayerNorm, Linear, Pool,
    Sequential,
};
use crate::nn::{Module, Path};

/// `v` rounded to a multiple of `divisor`, but not down by more than a tenth.
pub fn make_divisible(v: f64, divisor: i64) -> i64 {
    let rounded = ((v + divisor as f64 / 2.0) as i64 / divisor * divisor).max(divisor);
    if (rounded as f64) < 0.9 * v { rounded + divisor } else { rounded }
}

/// `Conv2dNormActivation`: convolution without bias, batch normalisation, activation.
#[derive(Clone, Copy)]
pub struct ConvNorm {
    inputs: i64,
    outputs: i64,
    kernel: i64,
    stride: i64,
    groups: i64,
    dilation: i64,
    norm: BatchNormOptions,
    activation: Option<Function>,
}

impl ConvNorm {
    /// Of stride 1, without activation; the padding keeps the size.
    pub fn new(inputs: i64, outputs: i64, kernel: i64, norm: BatchNormOptions) -> Self {
        ConvNorm { inputs, outputs, kernel, stride: 1, groups: 1, dilation: 1, norm, activation: None }
    }

    /// With this stride.
    pub fn stride(self, stride: i64) -> Self {
        ConvNorm { stride, ..self }
    }

    /// With groups of channels.
    pub fn groups(self, groups: i64) -> Self {
        ConvNorm { groups, ..self }
    }

    /// With this dilation.
    pub fn dilation(self, dilation: i64) -> Self {
        ConvNorm { dilation, ..self }
    }

    /// With an activation at the end.
    pub fn activation(self, function: Function) -> Self {
        ConvNorm { activation: Some(function), ..self }
    }

    /// Makes it: `0` is the convolution, `1` the normalisation.
    ///
    /// # Errors
    /// Those of its layers.
    pub fn make(self, path: &Path) -> Result<Sequential> {
        let options = ConvOptions {
            padding: Padding::Size([(self.kernel - 1) / 2 * self.dilation; 2]),
            ..ConvOptions::new(self.kernel).stride(self.stride).dilation(self.dilation).groups(self.groups).no_bias()
        };
        let mut chain = Sequential::called(path, "Conv2dNormActivation");
        chain.push(Conv2d::new(&path.child(0), self.inputs, self.outputs, options)?);
        chain.push(BatchNorm::with(&path.child(1), self.outputs, self.norm)?);
        if let Some(function) = self.activation {
            chain.push(Activation::in_place(&path.child(2), function));
        }
        Ok(chain)
    }
}

/// Squeeze and excitation (Hu et al., 2018): scales each channel by what the mean image says.
pub struct SqueezeExcitation {
    pool: Pool,
    fc1: Conv2d,
    fc2: Conv2d,
    inner: Function,
    scale: Function,
}

impl SqueezeExcitation {
    /// Over `channels` with a bottleneck of `squeezed`.
    ///
    /// # Errors
    /// When the names are taken.
    pub fn new(path: &Path, channels: i64, squeezed: i64, inner: Function, scale: Function) -> Result<Self> {
        Ok(SqueezeExcitation {
            pool: Pool::global(&path.child("avgpool"), 1),
            fc1: Conv2d::new(&path.child("fc1"), channels, squeezed, ConvOptions::new(1))?,
            fc2: Conv2d::new(&path.child("fc2"), squeezed, channels, ConvOptions::new(1))?,
            inner,
            scale,
        })
    }
}

impl Module for SqueezeExcitation {
    fn forward(&self, input: &Tensor, train: bool) -> Tensor {
        let squeezed = self.fc1.forward(&self.pool.forward(input, train), train);
        let scale = self.fc2.forward(&self.inner.apply(&squeezed), train);
        self.scale.apply(&scale) * input
    }
}

/// Layer normalisation over the channels of an image.
pub struct LayerNorm2d(LayerNorm);

impl LayerNorm2d {
    /// Over `channels`.
    ///
    /// # Errors
    /// When the names are taken.
    pub fn new(path: &Path, channels: i64, eps: f64) -> Result<Self> {
        LayerNorm::new(path, channels, eps).map(LayerNorm2d)
    }
}

impl Module for LayerNorm2d {
    fn forward(&self, input: &Tensor, train: bool) -> Tensor {
        self.0.forward(&input.permute([0, 2, 3, 1]), train).permute([0, 3, 1, 2])
    }
}

/// Reorders the axes.
pub struct Permute(pub &'static [i64]);

impl Module for Permute {
    fn forward(&self, input: &Tensor, _: bool) -> Tensor {
        input.permute(self.0)
    }
}

/// A transformer's two linear layers with GELU and dropout (`torchvision.ops.MLP` as its models use it): `0`, `3`.
/// Weights by Xavier, biases nearly 0.
///
/// # Errors
/// When the names are taken.
pub fn transformer_mlp(path: &Path, dim: i64, hidden: i64, dropout: f64) -> Result<Sequential> {
    let mut chain = Sequential::called(path, "MLP");
    chain.push(Linear::new(&path.child(0), dim, hidden, true)?);
    chain.push(Activation::new(&path.child(1), Function::Gelu(Default::default())));
    chain.push(Dropout::new(&path.child(2), dropout));
    chain.push(Linear::new(&path.child(3), hidden, dim, true)?);
    chain.push(Dropout::new(&path.child(4), dropout));
    path.reinitialize(|_, name, t| match name {
        "weight" => init::xavier_uniform(t),
        _ => init::normal(t, 0.0, 1e-6),
    });
    Ok(chain)
}

/// The second initialisation of most of torchvision's convolutional models: convolutions by He, biases 0, and
/// linear layers by `linear`.
pub fn reinitialize(path: &Path, fan: Fan, linear: impl Fn(&mut Tensor)) {
    path.reinitialize(|kind, name, t| match (kind, name) {
        ("Conv2d", "weight") => init::kaiming_normal(t, fan),
        ("Linear", "weight") => linear(t),
        ("Conv2d" | "Linear", "bias") => init::zeros(t),
        _ => {}
    });
}

#[cfg(test)]
mod tests {
    #[test]
    fn channels_are_divisible_and_not_much_smaller() {
        let cases = [(32.0 * 0.35, 8, 16), (24.0 * 0.35, 8, 8), (1280.0, 8, 1280), (72.0 / 4.0, 8, 24), (3.0, 8, 8)];
        for (v, divisor, want) in cases {
            assert_eq!(super::make_divisible(v, divisor), want, "{v}");
        }
    }
}
