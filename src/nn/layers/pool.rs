//! `torch.nn.MaxPool2d`, `AvgPool2d`, `AdaptiveAvgPool2d`, `AdaptiveMaxPool2d`.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use tch::Tensor;

use crate::nn::args::{Count, Extent, yes};
use crate::nn::trace::{Cost, Label};
use crate::nn::{Module, Path, net};
use crate::registry::Ignored;

/// Pooling over the last two axes.
pub struct Pool {
    label: Arc<Label>,
    kind: PoolKind,
}

/// What is pooled how.
#[derive(Clone, Copy, Debug)]
pub enum PoolKind {
    /// The largest of each window.
    Max {
        /// Size of the window.
        kernel: [i64; 2],
        /// Its steps.
        stride: [i64; 2],
        /// Padding, with minus infinity.
        padding: [i64; 2],
        /// Distance between the window's elements.
        dilation: [i64; 2],
        /// Whether a window that sticks out counts.
        ceil: bool,
    },
    /// The mean of each window.
    Average {
        /// Size of the window.
        kernel: [i64; 2],
        /// Its steps.
        stride: [i64; 2],
        /// Padding, with zeros.
        padding: [i64; 2],
        /// Whether a window that sticks out counts.
        ceil: bool,
        /// Whether the padding counts in the mean.
        count_padding: bool,
        /// What the sum is divided by instead of the window's size.
        divisor: Option<i64>,
    },
    /// The mean over as many windows as the output has pixels.
    AdaptiveAverage([i64; 2]),
    /// The largest over as many windows as the output has pixels.
    AdaptiveMax([i64; 2]),
}

impl Pool {
    /// A pooling layer.
    pub fn new(path: &Path, kind: PoolKind) -> Self {
        let name = match kind {
            PoolKind::Max { .. } => "MaxPool2d",
            PoolKind::Average { .. } => "AvgPool2d",
            PoolKind::AdaptiveAverage(_) => "AdaptiveAvgPool2d",
            PoolKind::AdaptiveMax(_) => "AdaptiveMaxPool2d",
        };
        Pool { label: path.layer(name), kind }
    }

    /// The largest of square windows.
    pub fn max(path: &Path, kernel: i64, stride: i64, padding: i64) -> Self {
        let kind = PoolKind::Max {
            kernel: [kernel; 2],
            stride: [stride; 2],
            padding: [padding; 2],
            dilation: [1; 2],
            ceil: false,
        };
        Pool::new(path, kind)
    }

    /// The mean over the whole image, as an image of `size` times `size`.
    pub fn global(path: &Path, size: i64) -> Self {
        Pool::new(path, PoolKind::AdaptiveAverage([size; 2]))
    }
}

impl Module for Pool {
    fn forward(&self, input: &Tensor, _: bool) -> Tensor {
        let output = match self.kind {
            PoolKind::Max { kernel, stride, padding, dilation, ceil } => {
                input.max_pool2d(kernel, stride, padding, dilation, ceil)
            }
            PoolKind::Average { kernel, stride, padding, ceil, count_padding, divisor } => {
                input.avg_pool2d(kernel, stride, padding, ceil, count_padding, divisor)
            }
            PoolKind::AdaptiveAverage(size) => input.adaptive_avg_pool2d(size),
            PoolKind::AdaptiveMax(size) => input.adaptive_max_pool2d(size).0,
        };
        self.label.report(input, &output, Cost::default);
        output
    }
}

/// The largest of each window of `[batch, channels, height, width]`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MaxPool2dArgs {
    /// Size of the window.
    kernel_size: Extent<2, 1>,
    /// Steps of the window; its size unless given.
    #[serde(default)]
    stride: Option<Extent<2, 1>>,
    /// Padding with minus infinity on both sides, at most half the window.
    #[serde(default)]
    padding: Extent<2, 0>,
    /// Distance between the window's elements.
    #[serde(default)]
    dilation: Extent<2, 1>,
    /// The indices have no place to go here.
    #[serde(default)]
    #[allow(dead_code)]
    return_indices: Ignored,
    /// Whether a window that sticks out counts.
    #[serde(default)]
    ceil_mode: bool,
}

net!(MaxPool2dArgs, ["torch.nn.MaxPool2d"], |args, path| {
    Ok(Pool::new(
        path,
        PoolKind::Max {
            kernel: args.kernel_size.0,
            stride: args.stride.unwrap_or(args.kernel_size).0,
            padding: args.padding.0,
            dilation: args.dilation.0,
            ceil: args.ceil_mode,
        },
    ))
});

/// The mean of each window of `[batch, channels, height, width]`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AvgPool2dArgs {
    /// Size of the window.
    kernel_size: Extent<2, 1>,
    /// Steps of the window; its size unless given.
    #[serde(default)]
    stride: Option<Extent<2, 1>>,
    /// Padding with zeros on both sides, at most half the window.
    #[serde(default)]
    padding: Extent<2, 0>,
    /// Whether a window that sticks out counts.
    #[serde(default)]
    ceil_mode: bool,
    /// Whether the padding counts in the mean.
    #[serde(default = "yes")]
    count_include_pad: bool,
    /// What the sum is divided by instead of the window's size.
    #[serde(default)]
    divisor_override: Option<Count>,
}

net!(AvgPool2dArgs, ["torch.nn.AvgPool2d"], |args, path| {
    Ok(Pool::new(
        path,
        PoolKind::Average {
            kernel: args.kernel_size.0,
            stride: args.stride.unwrap_or(args.kernel_size).0,
            padding: args.padding.0,
            ceil: args.ceil_mode,
            count_padding: args.count_include_pad,
            divisor: args.divisor_override.map(|count| count.0),
        },
    ))
});

/// The mean over as many windows as the output has pixels, whatever the input's size.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AdaptiveAvgPool2dArgs {
    /// Height and width of the output.
    output_size: Extent<2, 1>,
}

net!(AdaptiveAvgPool2dArgs, ["torch.nn.AdaptiveAvgPool2d"], |args, path| {
    Ok(Pool::new(path, PoolKind::AdaptiveAverage(args.output_size.0)))
});

/// The largest over as many windows as the output has pixels, whatever the input's size.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AdaptiveMaxPool2dArgs {
    /// Height and width of the output.
    output_size: Extent<2, 1>,
    /// The indices have no place to go here.
    #[serde(default)]
    #[allow(dead_code)]
    return_indices: Ignored,
}

net!(AdaptiveMaxPool2dArgs, ["torch.nn.AdaptiveMaxPool2d"], |args, path| {
    Ok(Pool::new(path, PoolKind::AdaptiveMax(args.output_size.0)))
});
