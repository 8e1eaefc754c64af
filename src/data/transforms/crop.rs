//! Crops.

use super::pad::{self, Padding};
use super::{Fill, PadMode, Size};
use crate::data::rng::Rng;
use crate::data::transforms::{Op, Plan, Transform, TransformKind};
use crate::error::{Error, Result};
use crate::prelude::*;

/// Cuts the middle out; a picture that is smaller is padded with 0.
///
/// Mirrors `torchvision.transforms.CenterCrop`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CenterCrop {
    /// The side of a square, or [height, width].
    size: Size,
}

/// Adds a centre crop to a plan.
pub(super) fn center(plan: &mut Plan, height: usize, width: usize) {
    let short = |want: usize, have: usize| want.saturating_sub(have);
    let (missing_y, missing_x) = (short(height, plan.canvas.height), short(width, plan.canvas.width));
    if missing_y > 0 || missing_x > 0 {
        // torchvision puts the odd pixel to the right and to the bottom.
        let padding = [missing_x / 2, missing_y / 2, missing_x.div_ceil(2), missing_y.div_ceil(2)];
        pad::push(plan, padding, &Fill::default(), PadMode::Constant);
    }
    let offset = |have: usize, want: usize| ((have - want) as f64 / 2.0).round_ties_even() as i64;
    if (plan.canvas.height, plan.canvas.width) != (height, width) {
        let (top, left) = (offset(plan.canvas.height, height), offset(plan.canvas.width, width));
        plan.push(Op::Crop { top, left, height, width, fill: Fill::default() });
    }
}

struct Centered {
    height: usize,
    width: usize,
}

impl Transform for Centered {
    fn plan(&self, _: &mut Rng, plan: &mut Plan) -> Result<()> {
        center(plan, self.height, self.width);
        Ok(())
    }
}

impl Component for CenterCrop {
    type Kind = TransformKind;
    const TARGETS: &'static [&'static str] = &["torchvision.transforms.CenterCrop"];
    fn check(&self, cx: &mut Check) {
        self.size.check(cx);
    }
    fn build(self, _: &mut Build) -> Result<Box<dyn Transform>> {
        let (height, width) = self.size.checked()?;
        Ok(Box::new(Centered { height, width }))
    }
}

/// Cuts a rectangle out at a random place, after padding.
///
/// Mirrors `torchvision.transforms.RandomCrop`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RandomCrop {
    /// The side of a square, or [height, width].
    size: Size,
    /// Padding before the crop: one number, [left/right, top/bottom], or [left, top, right, bottom].
    #[serde(default)]
    padding: Option<Padding>,
    /// Whether a picture smaller than the crop is padded to its size (on both sides, as torchvision does).
    #[serde(default)]
    pad_if_needed: bool,
    /// The colour of constant padding: one number, or one a channel.
    #[serde(default)]
    fill: Fill,
    /// constant, edge, reflect or symmetric.
    #[serde(default)]
    padding_mode: PadMode,
}

struct Cropper {
    height: usize,
    width: usize,
    padding: Option<[usize; 4]>,
    pad_if_needed: bool,
    fill: Fill,
    mode: PadMode,
}

impl Transform for Cropper {
    fn plan(&self, rng: &mut Rng, plan: &mut Plan) -> Result<()> {
        let (height, width) = (self.height, self.width);
        if let Some(padding) = self.padding {
            pad::push(plan, padding, &self.fill, self.mode);
        }
        if self.pad_if_needed && plan.canvas.width < width {
            let missing = width - plan.canvas.width;
            pad::push(plan, [missing, 0, missing, 0], &self.fill, self.mode);
        }
        if self.pad_if_needed && plan.canvas.height < height {
            let missing = height - plan.canvas.height;
            pad::push(plan, [0, missing, 0, missing], &self.fill, self.mode);
        }
        let canvas = plan.canvas;
        if canvas.height < height || canvas.width < width {
            return Err(Error::failed(format!(
                "RandomCrop cannot cut {height}x{width} out of a picture of {}x{}",
                canvas.height, canvas.width
            ))
            .help("set pad_if_needed: true, or resize first"));
        }
        let top = rng.below((canvas.height - height) as u64 + 1) as i64;
        let left = rng.below((canvas.width - width) as u64 + 1) as i64;
        plan.push(Op::Crop { top, left, height, width, fill: Fill::default() });
        Ok(())
    }
}

impl Component for RandomCrop {
    type Kind = TransformKind;
    const TARGETS: &'static [&'static str] = &["torchvision.transforms.RandomCrop"];

    fn check(&self, cx: &mut Check) {
        self.size.check(cx);
        if let Some(padding) = &self.padding {
            padding.check(cx);
        }
    }

    fn build(self, _: &mut Build) -> Result<Box<dyn Transform>> {
        let (height, width) = self.size.checked()?;
        let padding = self.padding.as_ref().and_then(Padding::sides);
        let RandomCrop { pad_if_needed, fill, padding_mode: mode, .. } = self;
        Ok(Box::new(Cropper { height, width, padding, pad_if_needed, fill, mode }))
    }
}

/// The four corners and the middle of a picture, as five pictures.
///
/// Mirrors `torchvision.transforms.FiveCrop`. The transforms after it act on each; the network's input gets a
/// dimension of 5 before the channels.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FiveCrop {
    /// The side of a square, or [height, width].
    size: Size,
}

struct Crops {
    height: usize,
    width: usize,
    flips: Option<bool>,
}

impl Transform for Crops {
    fn plan(&self, _: &mut Rng, plan: &mut Plan) -> Result<()> {
        plan.push(Op::Crops { height: self.height, width: self.width, flips: self.flips });
        Ok(())
    }
}

impl Component for FiveCrop {
    type Kind = TransformKind;
    const TARGETS: &'static [&'static str] = &["torchvision.transforms.FiveCrop"];
    fn check(&self, cx: &mut Check) {
        self.size.check(cx);
    }
    fn build(self, _: &mut Build) -> Result<Box<dyn Transform>> {
        let (height, width) = self.size.checked()?;
        Ok(Box::new(Crops { height, width, flips: None }))
    }
}

/// [`FiveCrop`] of a picture and of its mirror image, as ten pictures.
///
/// Mirrors `torchvision.transforms.TenCrop`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TenCrop {
    /// The side of a square, or [height, width].
    size: Size,
    /// Whether the mirror image is upside down instead of left to right.
    #[serde(default)]
    vertical_flip: bool,
}

impl Component for TenCrop {
    type Kind = TransformKind;
    const TARGETS: &'static [&'static str] = &["torchvision.transforms.TenCrop"];
    fn check(&self, cx: &mut Check) {
        self.size.check(cx);
    }
    fn build(self, _: &mut Build) -> Result<Box<dyn Transform>> {
        let (height, width) = self.size.checked()?;
        Ok(Box::new(Crops { height, width, flips: Some(self.vertical_flip) }))
    }
}

pub(super) fn register(registry: &mut Registry) {
    registry.add::<FiveCrop>();
    registry.add::<TenCrop>();
    registry.add::<CenterCrop>();
    registry.add::<RandomCrop>();
}
