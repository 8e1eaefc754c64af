//! `torch.nn.Conv1d`, `Conv2d` and `ConvTranspose2d`.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::error::{Error, Result};
use crate::nn::args::{Count, Extent, Padding, yes};
use crate::nn::trace::{Cost, Label};
use crate::nn::{Module, Path, init, net};
use crate::registry::Ignored;

/// How a convolution fills what lies beyond the border.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PaddingMode {
    /// With zeros.
    #[default]
    Zeros,
    /// Mirrored, without the border pixel.
    Reflect,
    /// With the border pixel.
    Replicate,
    /// With the other side.
    Circular,
}

impl PaddingMode {
    fn name(self) -> &'static str {
        match self {
            PaddingMode::Zeros => "constant",
            PaddingMode::Reflect => "reflect",
            PaddingMode::Replicate => "replicate",
            PaddingMode::Circular => "circular",
        }
    }
}

/// What a convolution over `N` axes is given besides its channels.
#[derive(Clone, Copy, Debug)]
pub struct ConvOptions<const N: usize> {
    /// Size of the window.
    pub kernel: [i64; N],
    /// Steps of the window.
    pub stride: [i64; N],
    /// Padding on both sides.
    pub padding: Padding<N>,
    /// Distance between the window's elements.
    pub dilation: [i64; N],
    /// Groups of channels that do not see each other; divides both channel counts.
    pub groups: i64,
    /// Whether a bias is learned.
    pub bias: bool,
    /// What lies beyond the border.
    pub mode: PaddingMode,
}

impl<const N: usize> ConvOptions<N> {
    /// A window of `kernel` on every axis, PyTorch's defaults otherwise.
    pub fn new(kernel: i64) -> Self {
        ConvOptions {
            kernel: [kernel; N],
            stride: [1; N],
            padding: Padding::default(),
            dilation: [1; N],
            groups: 1,
            bias: true,
            mode: PaddingMode::Zeros,
        }
    }

    /// With this stride on every axis.
    pub fn stride(self, stride: i64) -> Self {
        ConvOptions { stride: [stride; N], ..self }
    }

    /// With this padding on every axis.
    pub fn padding(self, padding: i64) -> Self {
        ConvOptions { padding: Padding::Size([padding; N]), ..self }
    }

    /// With this dilation on every axis.
    pub fn dilation(self, dilation: i64) -> Self {
        ConvOptions { dilation: [dilation; N], ..self }
    }

    /// With groups of channels.
    pub fn groups(self, groups: i64) -> Self {
        ConvOptions { groups, ..self }
    }

    /// Without bias.
    pub fn no_bias(self) -> Self {
        ConvOptions { bias: false, ..self }
    }

    /// The padding of each axis, before and after: `same` puts the odd one behind.
    fn sides(&self) -> [(i64, i64); N] {
        std::array::from_fn(|axis| match self.padding {
            Padding::Size(size) => (size[axis], size[axis]),
            Padding::Same => {
                let total = self.dilation[axis] * (self.kernel[axis] - 1);
                (total / 2, total - total / 2)
            }
        })
    }

    fn check(&self, inputs: i64, outputs: i64) -> Result<()> {
        if inputs % self.groups != 0 || outputs % self.groups != 0 {
            let message =
                format!("groups ({}) must divide in_channels ({inputs}) and out_channels ({outputs})", self.groups);
            return Err(Error::request(message));
        }
        if self.padding == Padding::Same && self.stride.iter().any(|&s| s != 1) {
            return Err(Error::request("padding \"same\" needs a stride of 1"));
        }
        Ok(())
    }
}

/// A convolution: `[batch, in_channels, …]` to `[batch, out_channels, …]` over `N` axes.
///
/// State dict: `weight` `[out_channels, in_channels / groups, kernel…]`, `bias` `[out_channels]`.
pub struct Conv<const N: usize> {
    label: Arc<Label>,
    weight: Tensor,
    bias: Option<Tensor>,
    options: ConvOptions<N>,
    /// What is padded before the convolution, as `Tensor::pad` wants it: last axis first.
    pad: Option<Vec<i64>>,
    padding: [i64; N],
}

impl<const N: usize> Conv<N> {
    /// Makes the layer with PyTorch's initial values: uniform in ±1/sqrt(fan in), weight first.
    ///
    /// # Errors
    /// When groups do not divide the channels, `same` meets a stride, or the names are taken.
    pub fn new(path: &Path, inputs: i64, outputs: i64, options: ConvOptions<N>) -> Result<Self> {
        options.check(inputs, outputs)?;
        let label = path.layer(match N {
            1 => "Conv1d",
            2 => "Conv2d",
            _ => "Conv3d",
        });
        let mut shape = vec![outputs, inputs / options.groups];
        shape.extend(options.kernel);
        let weight = path.parameter("weight", &shape, init::default_weight)?;
        let bias = options.bias.then(|| path.parameter("bias", &[outputs], |t| init::default_bias(t, &shape)));
        let sides = options.sides();
        let uneven = sides.iter().any(|(before, after)| before != after);
        let pad = (uneven || options.mode != PaddingMode::Zeros)
            .then(|| sides.iter().rev().flat_map(|&(before, after)| [before, after]).collect());
        let padding = if pad.is_some() { [0; N] } else { sides.map(|(before, _)| before) };
        Ok(Conv { label, weight, bias: bias.transpose()?, options, pad, padding })
    }
}

impl<const N: usize> Module for Conv<N> {
    fn spares_output(&self) -> bool {
        true
    }

    fn forward(&self, input: &Tensor, _: bool) -> Tensor {
        if self.label.is_bypassed() {
            return input.shallow_clone();
        }
        let ConvOptions { stride, dilation, groups, mode, .. } = &self.options;
        let padded = self.pad.as_ref().map(|pad| input.pad(pad.as_slice(), mode.name(), None));
        let source = padded.as_ref().unwrap_or(input);
        let none = [0i64; N];
        let bias = self.bias.as_ref();
        let output = match N {
            // The named forms also take an input without a batch axis.
            1 => source.conv1d(&self.weight, bias, stride, self.padding, dilation, *groups),
            2 => source.conv2d(&self.weight, bias, stride, self.padding, dilation, *groups),
            _ => source.convolution(&self.weight, bias, stride, self.padding, dilation, false, none, *groups),
        };
        self.label.report(input, &output, || conv_cost(&self.weight, &self.bias, &output));
        output
    }
}

/// Every output element of every channel is a product over one filter.
fn conv_cost(weight: &Tensor, bias: &Option<Tensor>, output: &Tensor) -> Cost {
    let filter = weight.numel() as u64 / weight.size()[0] as u64;
    Cost::of([weight].into_iter().chain(bias)).flops(2 * filter * output.numel() as u64)
}

/// A transposed convolution over images: `[batch, in_channels, h, w]` to a larger `[batch, out_channels, h', w']`.
///
/// State dict: `weight` `[in_channels, out_channels / groups, kh, kw]`, `bias` `[out_channels]`.
pub struct ConvTranspose {
    label: Arc<Label>,
    weight: Tensor,
    bias: Option<Tensor>,
    options: ConvOptions<2>,
    padding: [i64; 2],
    output_padding: [i64; 2],
}

impl ConvTranspose {
    /// Makes the layer with PyTorch's initial values.
    ///
    /// # Errors
    /// When groups do not divide the channels, or the names are taken.
    pub fn new(
        path: &Path,
        inputs: i64,
        outputs: i64,
        options: ConvOptions<2>,
        output_padding: [i64; 2],
    ) -> Result<Self> {
        options.check(inputs, outputs)?;
        let Padding::Size(padding) = options.padding else {
            return Err(Error::request("a transposed convolution has no padding \"same\""));
        };
        let label = path.layer("ConvTranspose2d");
        let shape = [inputs, outputs / options.groups, options.kernel[0], options.kernel[1]];
        let weight = path.parameter("weight", &shape, init::default_weight)?;
        let bias = options.bias.then(|| path.parameter("bias", &[outputs], |t| init::default_bias(t, &shape)));
        Ok(ConvTranspose { label, weight, bias: bias.transpose()?, options, padding, output_padding })
    }
}

impl Module for ConvTranspose {
    fn forward(&self, input: &Tensor, _: bool) -> Tensor {
        let ConvOptions { stride, dilation, groups, .. } = &self.options;
        let bias = self.bias.as_ref();
        let output =
            input.conv_transpose2d(&self.weight, bias, stride, self.padding, self.output_padding, *groups, dilation);
        self.label.report(input, &output, || conv_cost(&self.weight, &self.bias, input));
        output
    }
}

macro_rules! conv_args {
    ($(#[$doc:meta])* $name:ident, $n:literal) => {
        $(#[$doc])*
        #[derive(Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub(super) struct $name {
            /// Channels of the input.
            in_channels: Count,
            /// Channels of the output.
            out_channels: Count,
            /// Size of the window.
            kernel_size: Extent<$n, 1>,
            /// Steps of the window.
            #[serde(default)]
            stride: Extent<$n, 1>,
            /// Padding on both sides, `same` or `valid`.
            #[serde(default)]
            padding: Padding<$n>,
            /// Distance between the window's elements.
            #[serde(default)]
            dilation: Extent<$n, 1>,
            /// Groups of channels that do not see each other; divides both channel counts.
            #[serde(default = "one_group")]
            groups: Count,
            /// Whether a bias is learned.
            #[serde(default = "yes")]
            bias: bool,
            /// What lies beyond the border.
            #[serde(default)]
            padding_mode: PaddingMode,
            /// The trainer places networks.
            #[serde(default)]
            #[allow(dead_code)]
            device: Ignored,
            /// The trainer's precision decides.
            #[serde(default)]
            #[allow(dead_code)]
            dtype: Ignored,
        }

        impl $name {
            fn make(&self, path: &Path) -> Result<Conv<$n>> {
                let options = ConvOptions {
                    kernel: self.kernel_size.0,
                    stride: self.stride.0,
                    padding: self.padding,
                    dilation: self.dilation.0,
                    groups: self.groups.0,
                    bias: self.bias,
                    mode: self.padding_mode,
                };
                Conv::new(path, self.in_channels.0, self.out_channels.0, options)
            }
        }
    };
}

fn one_group() -> Count {
    Count(1)
}

conv_args!(
    /// A convolution over sequences `[batch, channels, length]`.
    Conv1dArgs, 1
);
net!(Conv1dArgs, ["torch.nn.Conv1d"], Conv1dArgs::make);

conv_args!(
    /// A convolution over images `[batch, channels, height, width]`.
    Conv2dArgs, 2
);
net!(Conv2dArgs, ["torch.nn.Conv2d"], Conv2dArgs::make);

/// A transposed convolution over images `[batch, channels, height, width]`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ConvTranspose2dArgs {
    /// Channels of the input.
    in_channels: Count,
    /// Channels of the output.
    out_channels: Count,
    /// Size of the window.
    kernel_size: Extent<2, 1>,
    /// Steps of the window in the output.
    #[serde(default)]
    stride: Extent<2, 1>,
    /// What is cut from both sides of the output.
    #[serde(default)]
    padding: Extent<2, 0>,
    /// Rows and columns added to one side of the output; below the stride or the dilation.
    #[serde(default)]
    output_padding: Extent<2, 0>,
    /// Groups of channels that do not see each other; divides both channel counts.
    #[serde(default = "one_group")]
    groups: Count,
    /// Whether a bias is learned.
    #[serde(default = "yes")]
    bias: bool,
    /// Distance between the window's elements.
    #[serde(default)]
    dilation: Extent<2, 1>,
    /// PyTorch knows only `zeros` here.
    #[serde(default)]
    #[allow(dead_code)]
    padding_mode: Ignored,
    /// The trainer places networks.
    #[serde(default)]
    #[allow(dead_code)]
    device: Ignored,
    /// The trainer's precision decides.
    #[serde(default)]
    #[allow(dead_code)]
    dtype: Ignored,
}

net!(ConvTranspose2dArgs, ["torch.nn.ConvTranspose2d"], |args, path| {
    let options = ConvOptions {
        kernel: args.kernel_size.0,
        stride: args.stride.0,
        padding: Padding::Size(args.padding.0),
        dilation: args.dilation.0,
        groups: args.groups.0,
        bias: args.bias,
        mode: PaddingMode::Zeros,
    };
    ConvTranspose::new(path, args.in_channels.0, args.out_channels.0, options, args.output_padding.0)
});
