//! From bytes to floats, normalization, gray.

use serde::Serialize;

use super::Fixed;
use super::flip::Maybe;
use crate::data::transforms::{Op, Transform, TransformKind};
use crate::error::{Error, Result};
use crate::prelude::*;

/// 8-bit pictures become floats from 0 to 1, channels first.
///
/// Mirrors `torchvision.transforms.ToTensor`. The division happens when the picture is written into its batch.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToTensor {}

impl Component for ToTensor {
    type Kind = TransformKind;
    const TARGETS: &'static [&'static str] = &["torchvision.transforms.ToTensor"];
    fn build(self, _: &mut Build) -> Result<Box<dyn Transform>> {
        Ok(Box::new(Fixed(Op::ToFloat { scale: 1.0 / 255.0 })))
    }
}

/// Does nothing: pictures are tensors of bytes when they reach the network unless something makes them floats.
///
/// Mirrors `torchvision.transforms.PILToTensor`, and of `torchvision.transforms.v2` `ToImage`, `ToPureTensor` and
/// `Identity`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PilToTensor {}

impl Component for PilToTensor {
    type Kind = TransformKind;
    const TARGETS: &'static [&'static str] = &[
        "torchvision.transforms.PILToTensor",
        "torchvision.transforms.v2.ToImage",
        "torchvision.transforms.v2.ToPureTensor",
        "torchvision.transforms.v2.Identity",
    ];
    fn build(self, _: &mut Build) -> Result<Box<dyn Transform>> {
        Ok(Box::new(Fixed(Op::Identity)))
    }
}

/// The type of a picture's values, in torch's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Dtype {
    /// 32-bit floats.
    #[serde(alias = "float", alias = "f32", alias = "torch.float32", alias = "torch.float")]
    Float32,
    /// Bytes.
    #[serde(alias = "u8", alias = "torch.uint8")]
    Uint8,
}

impl Dtype {
    fn op(self, scale: bool) -> Op {
        match self {
            Dtype::Float32 => Op::ToFloat { scale: if scale { 1.0 / 255.0 } else { 1.0 } },
            Dtype::Uint8 => Op::ToBytes,
        }
    }
}

/// Changes the type of a picture's values and scales them: bytes 0 to 255 are floats 0 to 1.
///
/// Mirrors `torchvision.transforms.ConvertImageDtype`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConvertImageDtype {
    /// float32 or uint8 (also as torch.float32, torch.uint8).
    dtype: Dtype,
}

impl Component for ConvertImageDtype {
    type Kind = TransformKind;
    const TARGETS: &'static [&'static str] = &["torchvision.transforms.ConvertImageDtype"];
    fn build(self, _: &mut Build) -> Result<Box<dyn Transform>> {
        Ok(Box::new(Fixed(self.dtype.op(true))))
    }
}

/// Changes the type of a picture's values.
///
/// Mirrors `torchvision.transforms.v2.ToDtype`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToDtype {
    /// float32 or uint8 (also as torch.float32, torch.uint8).
    dtype: Dtype,
    /// Whether bytes 0 to 255 are floats 0 to 1, instead of 0 to 255.
    #[serde(default)]
    scale: bool,
}

impl Component for ToDtype {
    type Kind = TransformKind;
    const TARGETS: &'static [&'static str] = &["torchvision.transforms.v2.ToDtype"];
    fn check(&self, cx: &mut Check) {
        if self.dtype == Dtype::Uint8 && !self.scale {
            cx.problem("scale", "floats are made bytes with `scale: true` only");
        }
    }
    fn build(self, _: &mut Build) -> Result<Box<dyn Transform>> {
        Ok(Box::new(Fixed(self.dtype.op(self.scale))))
    }
}

/// Subtracts a mean and divides by a standard deviation, channel by channel.
///
/// Mirrors `torchvision.transforms.Normalize`. Done together with the cast, when the picture is written into its
/// batch.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Normalize {
    /// One mean a channel (or one for all), in the unit of the floats: 0 to 1 after ToTensor.
    mean: OneOrMany<f64>,
    /// One standard deviation a channel (or one for all), above 0.
    std: OneOrMany<Positive>,
    /// No effect: nothing is normalized in place.
    #[serde(default)]
    #[allow(dead_code, reason = "accepted because torchvision has it")]
    inplace: Ignored,
}

impl Component for Normalize {
    type Kind = TransformKind;
    const TARGETS: &'static [&'static str] = &["torchvision.transforms.Normalize"];

    fn check(&self, cx: &mut Check) {
        let (means, stds) = (self.mean.as_slice().len(), self.std.as_slice().len());
        if means == 0 || means != stds {
            cx.problem("std", format!("{means} means and {stds} standard deviations; give one of each a channel"));
        }
    }

    fn build(self, _: &mut Build) -> Result<Box<dyn Transform>> {
        let mean: Vec<f32> = self.mean.as_slice().iter().map(|v| *v as f32).collect();
        let std: Vec<f32> = self.std.as_slice().iter().map(|v| v.0 as f32).collect();
        if mean.is_empty() || mean.len() != std.len() {
            return Err(Error::request("give as many means as standard deviations"));
        }
        Ok(Box::new(Fixed(Op::Normalize { mean, std })))
    }
}

/// Makes a picture gray.
///
/// Mirrors `torchvision.transforms.Grayscale` on a PIL image: (19595 R + 38470 G + 7471 B + 32768) / 65536.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Grayscale {
    /// 1, or 3 equal channels.
    #[serde(default = "one")]
    num_output_channels: usize,
}

fn one() -> usize {
    1
}

impl Component for Grayscale {
    type Kind = TransformKind;
    const TARGETS: &'static [&'static str] = &["torchvision.transforms.Grayscale"];
    fn check(&self, cx: &mut Check) {
        if ![1, 3].contains(&self.num_output_channels) {
            cx.problem("num_output_channels", "`num_output_channels` is 1 or 3");
        }
    }
    fn build(self, _: &mut Build) -> Result<Box<dyn Transform>> {
        Ok(Box::new(Fixed(Op::Grayscale { channels: self.num_output_channels })))
    }
}

/// Makes a picture gray with a probability; it keeps its number of channels.
///
/// Mirrors `torchvision.transforms.RandomGrayscale` on a PIL image.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RandomGrayscale {
    /// The probability.
    #[serde(default = "tenth")]
    p: Fraction,
}

fn tenth() -> Fraction {
    Fraction(0.1)
}

impl Component for RandomGrayscale {
    type Kind = TransformKind;
    const TARGETS: &'static [&'static str] = &["torchvision.transforms.RandomGrayscale"];
    fn build(self, _: &mut Build) -> Result<Box<dyn Transform>> {
        Ok(Box::new(Maybe { p: self.p.0, op: Op::Gray }))
    }
}

pub(super) fn register(registry: &mut Registry) {
    registry.add::<ToTensor>();
    registry.add::<PilToTensor>();
    registry.add::<ConvertImageDtype>();
    registry.add::<ToDtype>();
    registry.add::<Normalize>();
    registry.add::<Grayscale>();
    registry.add::<RandomGrayscale>();
}
