//! Colours, sharpness and blur.

use std::num::NonZeroU64;

use super::flip::{Maybe, half};
use super::rotate::Range;
use crate::data::rng::Rng;
use crate::data::transforms::{Op, Plan, Transform, TransformKind};
use crate::error::{Error, Result};
use crate::prelude::*;

/// Changes brightness, contrast, saturation and hue by drawn amounts, in a drawn order.
///
/// Mirrors `torchvision.transforms.ColorJitter` on a PIL image.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ColorJitter {
    /// [low, high] of the factor; a number b stands for [max(0, 1 - b), 1 + b].
    #[serde(default = "none")]
    brightness: OneOrMany<f64>,
    /// [low, high] of the factor; a number c stands for [max(0, 1 - c), 1 + c].
    #[serde(default = "none")]
    contrast: OneOrMany<f64>,
    /// [low, high] of the factor; a number s stands for [max(0, 1 - s), 1 + s].
    #[serde(default = "none")]
    saturation: OneOrMany<f64>,
    /// [low, high] of the turn within -0.5 to 0.5; a number h stands for [-h, h].
    #[serde(default = "none")]
    hue: OneOrMany<f64>,
}

fn none() -> OneOrMany<f64> {
    OneOrMany::One(0.0)
}

/// The range of a factor; `Err` when it cannot be one, `Ok(None)` when it changes nothing.
fn factor(values: &OneOrMany<f64>) -> Result<Option<Range>, ()> {
    let [low, high] = match *values.as_slice() {
        [v] if v >= 0.0 => [(1.0 - v).max(0.0), 1.0 + v],
        [low, high] if 0.0 <= low && low <= high => [low, high],
        _ => return Err(()),
    };
    Ok(((low, high) != (1.0, 1.0)).then_some([low, high]))
}

fn turn(values: &OneOrMany<f64>) -> Result<Option<Range>, ()> {
    let [low, high] = match *values.as_slice() {
        [v] if (0.0..=0.5).contains(&v) => [-v, v],
        [low, high] if -0.5 <= low && low <= high && high <= 0.5 => [low, high],
        _ => return Err(()),
    };
    Ok(((low, high) != (0.0, 0.0)).then_some([low, high]))
}

struct Jitter([Option<Range>; 4]);

impl Transform for Jitter {
    fn plan(&self, rng: &mut Rng, plan: &mut Plan) -> Result<()> {
        let mut order = [0, 1, 2, 3];
        rng.shuffle(&mut order);
        let factors = self.0.map(|range| range.map(|[low, high]| rng.uniform(low, high)));
        let make: [fn(f64) -> Op; 4] = [Op::Brightness, Op::Contrast, Op::Saturation, Op::Hue];
        for i in order {
            if let Some(factor) = factors[i] {
                plan.push(make[i](factor));
            }
        }
        Ok(())
    }
}

impl ColorJitter {
    fn ranges(&self) -> [(&'static str, Result<Option<Range>, ()>); 4] {
        [
            ("brightness", factor(&self.brightness)),
            ("contrast", factor(&self.contrast)),
            ("saturation", factor(&self.saturation)),
            ("hue", turn(&self.hue)),
        ]
    }
}

impl Component for ColorJitter {
    type Kind = TransformKind;
    const TARGETS: &'static [&'static str] = &["torchvision.transforms.ColorJitter"];

    fn check(&self, cx: &mut Check) {
        for (name, range) in self.ranges() {
            if range.is_err() && name == "hue" {
                cx.problem(name, "`hue` is a number from 0 to 0.5, or [low, high] within -0.5 to 0.5");
            } else if range.is_err() {
                cx.problem(name, format!("`{name}` is a number of 0 or above, or [low, high] of 0 or above"));
            }
        }
    }

    fn build(self, _: &mut Build) -> Result<Box<dyn Transform>> {
        let mut ranges = [None; 4];
        for (range, (name, given)) in ranges.iter_mut().zip(self.ranges()) {
            *range = given.map_err(|()| Error::request(format!("`{name}` is not a range")))?;
        }
        Ok(Box::new(Jitter(ranges)))
    }
}

macro_rules! with_probability {
    ($(#[$doc:meta])* $name:ident, $target:literal, $op:expr) => {
        $(#[$doc])*
        #[derive(Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            /// The probability.
            #[serde(default = "half")]
            p: Fraction,
        }

        impl Component for $name {
            type Kind = TransformKind;
            const TARGETS: &'static [&'static str] = &[$target];
            fn build(self, _: &mut Build) -> Result<Box<dyn Transform>> {
                Ok(Box::new(Maybe { p: self.p.0, op: $op }))
            }
        }
    };
}

with_probability!(
    /// Inverts the colours with a probability.
    ///
    /// Mirrors `torchvision.transforms.RandomInvert`.
    RandomInvert, "torchvision.transforms.RandomInvert", Op::Invert
);
with_probability!(
    /// Stretches each channel to the whole range with a probability.
    ///
    /// Mirrors `torchvision.transforms.RandomAutocontrast` on a PIL image.
    RandomAutocontrast, "torchvision.transforms.RandomAutocontrast", Op::AutoContrast
);
with_probability!(
    /// Makes each channel's values equally frequent with a probability.
    ///
    /// Mirrors `torchvision.transforms.RandomEqualize`.
    RandomEqualize, "torchvision.transforms.RandomEqualize", Op::Equalize
);

/// Keeps the upper bits of each byte, with a probability.
///
/// Mirrors `torchvision.transforms.RandomPosterize`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RandomPosterize {
    /// How many bits, 0 to 8.
    bits: u8,
    /// The probability.
    #[serde(default = "half")]
    p: Fraction,
}

impl Component for RandomPosterize {
    type Kind = TransformKind;
    const TARGETS: &'static [&'static str] = &["torchvision.transforms.RandomPosterize"];
    fn check(&self, cx: &mut Check) {
        if self.bits > 8 {
            cx.problem("bits", "`bits` is 0 to 8");
        }
    }
    fn build(self, _: &mut Build) -> Result<Box<dyn Transform>> {
        Ok(Box::new(Maybe { p: self.p.0, op: Op::Posterize(self.bits.min(8)) }))
    }
}

/// Inverts what is at or above a threshold, with a probability.
///
/// Mirrors `torchvision.transforms.RandomSolarize`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RandomSolarize {
    /// The threshold, 0 to 256.
    threshold: f64,
    /// The probability.
    #[serde(default = "half")]
    p: Fraction,
}

impl Component for RandomSolarize {
    type Kind = TransformKind;
    const TARGETS: &'static [&'static str] = &["torchvision.transforms.RandomSolarize"];
    fn build(self, _: &mut Build) -> Result<Box<dyn Transform>> {
        Ok(Box::new(Maybe { p: self.p.0, op: Op::Solarize(self.threshold) }))
    }
}

/// Sharpens or smooths, with a probability.
///
/// Mirrors `torchvision.transforms.RandomAdjustSharpness` on a PIL image.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RandomAdjustSharpness {
    /// 0 smooths, 1 changes nothing, 2 sharpens.
    sharpness_factor: NonNegative,
    /// The probability.
    #[serde(default = "half")]
    p: Fraction,
}

impl Component for RandomAdjustSharpness {
    type Kind = TransformKind;
    const TARGETS: &'static [&'static str] = &["torchvision.transforms.RandomAdjustSharpness"];
    fn build(self, _: &mut Build) -> Result<Box<dyn Transform>> {
        Ok(Box::new(Maybe { p: self.p.0, op: Op::Sharpness(self.sharpness_factor.0) }))
    }
}

/// Blurs with a Gaussian of a drawn deviation.
///
/// Mirrors `torchvision.transforms.GaussianBlur`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GaussianBlur {
    /// Odd: one size in pixels, or [x, y].
    kernel_size: OneOrMany<NonZeroU64>,
    /// One deviation in pixels, or [low, high].
    #[serde(default = "usual")]
    sigma: OneOrMany<Positive>,
}

fn usual() -> OneOrMany<Positive> {
    OneOrMany::Many(vec![Positive(0.1), Positive(2.0)])
}

struct Blur {
    kernel: [usize; 2],
    sigma: Range,
}

impl Transform for Blur {
    fn plan(&self, rng: &mut Rng, plan: &mut Plan) -> Result<()> {
        let sigma = rng.uniform(self.sigma[0], self.sigma[1]);
        plan.push(Op::GaussianBlur { kernel: self.kernel, sigma: [sigma; 2] });
        Ok(())
    }
}

impl GaussianBlur {
    fn kernel(&self) -> Option<[usize; 2]> {
        let sizes = match *self.kernel_size.as_slice() {
            [size] => [size, size],
            [x, y] => [x, y],
            _ => return None,
        };
        sizes.iter().all(|size| size.get() % 2 == 1).then(|| sizes.map(|size| size.get() as usize))
    }

    fn range(&self) -> Option<Range> {
        match *self.sigma.as_slice() {
            [sigma] => Some([sigma.0; 2]),
            [low, high] if low.0 <= high.0 => Some([low.0, high.0]),
            _ => None,
        }
    }
}

impl Component for GaussianBlur {
    type Kind = TransformKind;
    const TARGETS: &'static [&'static str] = &["torchvision.transforms.GaussianBlur"];

    fn check(&self, cx: &mut Check) {
        if self.kernel().is_none() {
            cx.problem("kernel_size", "`kernel_size` is an odd number, or two: [x, y]");
        }
        if self.range().is_none() {
            cx.problem("sigma", "`sigma` is a number above 0, or [low, high]");
        }
    }

    fn build(self, _: &mut Build) -> Result<Box<dyn Transform>> {
        match (self.kernel(), self.range()) {
            (Some(kernel), Some(sigma)) => Ok(Box::new(Blur { kernel, sigma })),
            _ => Err(Error::request("`kernel_size` is odd and `sigma` a range")),
        }
    }
}

pub(super) fn register(registry: &mut Registry) {
    registry.add::<ColorJitter>();
    registry.add::<RandomInvert>();
    registry.add::<RandomPosterize>();
    registry.add::<RandomSolarize>();
    registry.add::<RandomAdjustSharpness>();
    registry.add::<RandomAutocontrast>();
    registry.add::<RandomEqualize>();
    registry.add::<GaussianBlur>();
}
