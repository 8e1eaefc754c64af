//! Components that change the size.

use std::num::NonZeroU32;

use super::{Fill, Size};
use crate::data::rng::Rng;
use crate::data::transforms::{Canvas, Interpolation, Op, Plan, Transform, TransformKind};
use crate::error::{Error, Result};
use crate::prelude::*;

/// Resizes a picture. One number for `size` is the shorter side, the other keeps the aspect ratio (truncated).
///
/// Mirrors `torchvision.transforms.Resize` on a PIL image.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Resize {
    /// The shorter side, or [height, width]; null with `max_size` makes the longer side `max_size`.
    size: Option<OneOrMany<u32>>,
    /// nearest, nearest-exact, bilinear, bicubic, box, hamming or lanczos.
    #[serde(default)]
    interpolation: Interpolation,
    /// The most that the longer side may have; only where `size` is one number.
    #[serde(default)]
    max_size: Option<NonZeroU32>,
    /// Whether floats are averaged when they are reduced. 8-bit pictures always are, as PIL's.
    #[serde(default = "yes")]
    antialias: Option<bool>,
}

fn yes() -> Option<bool> {
    Some(true)
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target {
    Exact(usize, usize),
    Shorter(usize, Option<usize>),
    Longer(usize),
}

impl Target {
    pub(super) fn of(size: Option<&[u32]>, max_size: Option<NonZeroU32>) -> Option<Self> {
        let max = max_size.map(|max| max.get() as usize);
        Some(match (size, max) {
            (None, Some(max)) => Target::Longer(max),
            (Some(&[side]), max) if side > 0 => Target::Shorter(side as usize, max),
            (Some(&[height, width]), None) if height > 0 && width > 0 => Target::Exact(height as usize, width as usize),
            _ => return None,
        })
    }

    /// (height, width) for a picture of this size.
    pub(super) fn size(self, canvas: Canvas) -> (usize, usize) {
        let (height, width) = (canvas.height, canvas.width);
        let (short, long) = (height.min(width).max(1), height.max(width));
        let (new_short, new_long) = match self {
            Target::Exact(height, width) => return (height, width),
            // The arithmetic of torchvision's _compute_resized_output_size, truncation included.
            Target::Shorter(side, max) => {
                let long = (side as f64 * long as f64 / short as f64) as usize;
                match max {
                    Some(max) if long > max => ((max as f64 * side as f64 / long as f64) as usize, max),
                    _ => (side, long),
                }
            }
            Target::Longer(max) => ((max as f64 * short as f64 / long.max(1) as f64) as usize, max),
        };
        let new_short = new_short.max(1);
        if width <= height { (new_long, new_short) } else { (new_short, new_long) }
    }
}

struct Resizer {
    target: Target,
    interpolation: Interpolation,
    antialias: bool,
}

impl Transform for Resizer {
    fn plan(&self, _: &mut Rng, plan: &mut Plan) -> Result<()> {
        let (height, width) = self.target.size(plan.canvas);
        if (height, width) != (plan.canvas.height, plan.canvas.width) {
            plan.push(Op::Resize { height, width, interpolation: self.interpolation, antialias: self.antialias });
        }
        Ok(())
    }
}

const WANTED: &str = "`size` is a whole number above 0, or [height, width] without `max_size`";

impl Resize {
    fn target(&self) -> Option<Target> {
        Target::of(self.size.as_ref().map(OneOrMany::as_slice), self.max_size)
    }
}

impl Component for Resize {
    type Kind = TransformKind;
    const TARGETS: &'static [&'static str] = &["torchvision.transforms.Resize"];

    fn check(&self, cx: &mut Check) {
        match self.target() {
            None => {
                cx.problem("size", WANTED);
            }
            Some(Target::Shorter(side, Some(max))) if max <= side => {
                cx.problem("max_size", format!("`max_size` must be above `size`, {side}"));
            }
            Some(_) => {}
        }
    }

    fn build(self, _: &mut Build) -> Result<Box<dyn Transform>> {
        let target = self.target().ok_or_else(|| Error::request(WANTED))?;
        let antialias = self.antialias.unwrap_or(true);
        Ok(Box::new(Resizer { target, interpolation: self.interpolation, antialias }))
    }
}

/// Cuts out a rectangle of drawn area and aspect, and resizes it: the usual training on ImageNet.
///
/// Mirrors `torchvision.transforms.RandomResizedCrop` on a PIL image.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RandomResizedCrop {
    /// The side of a square, or [height, width].
    size: Size,
    /// [low, high] of the rectangle's share of the picture.
    #[serde(default = "scale")]
    scale: Vec<Positive>,
    /// [low, high] of width / height.
    #[serde(default = "ratio")]
    ratio: Vec<Positive>,
    /// nearest, nearest-exact, bilinear, bicubic, box, hamming or lanczos.
    #[serde(default)]
    interpolation: Interpolation,
    /// Whether floats are averaged when they are reduced. 8-bit pictures always are, as PIL's.
    #[serde(default = "yes")]
    antialias: Option<bool>,
}

fn scale() -> Vec<Positive> {
    vec![Positive(0.08), Positive(1.0)]
}

fn ratio() -> Vec<Positive> {
    vec![Positive(3.0 / 4.0), Positive(4.0 / 3.0)]
}

struct Zoom {
    size: (usize, usize),
    scale: [f64; 2],
    ratio: [f64; 2],
    interpolation: Interpolation,
    antialias: bool,
}

impl Zoom {
    /// Top, left, height, width.
    fn draw(&self, rng: &mut Rng, canvas: Canvas) -> (usize, usize, usize, usize) {
        let (rows, columns) = (canvas.height, canvas.width);
        let area = (rows * columns) as f64;
        let [narrow, wide] = self.ratio;
        for _ in 0..10 {
            let target = area * rng.uniform(self.scale[0], self.scale[1]);
            let aspect = rng.uniform(narrow.ln(), wide.ln()).exp();
            let width = (target * aspect).sqrt().round_ties_even() as usize;
            let height = (target / aspect).sqrt().round_ties_even() as usize;
            if (1..=columns).contains(&width) && (1..=rows).contains(&height) {
                let top = rng.below((rows - height) as u64 + 1) as usize;
                let left = rng.below((columns - width) as u64 + 1) as usize;
                return (top, left, height, width);
            }
        }
        // The middle, as much of it as the ratios allow.
        let aspect = columns as f64 / rows as f64;
        let (height, width) = if aspect < narrow {
            (((columns as f64 / narrow).round_ties_even() as usize).min(rows), columns)
        } else if aspect > wide {
            (rows, ((rows as f64 * wide).round_ties_even() as usize).min(columns))
        } else {
            (rows, columns)
        };
        ((rows - height) / 2, (columns - width) / 2, height.max(1), width.max(1))
    }
}

impl Transform for Zoom {
    fn plan(&self, rng: &mut Rng, plan: &mut Plan) -> Result<()> {
        let (top, left, height, width) = self.draw(rng, plan.canvas);
        plan.push(Op::Crop { top: top as i64, left: left as i64, height, width, fill: Fill::default() });
        let (height, width) = self.size;
        if (plan.canvas.height, plan.canvas.width) != self.size {
            plan.push(Op::Resize { height, width, interpolation: self.interpolation, antialias: self.antialias });
        }
        Ok(())
    }
}

impl RandomResizedCrop {
    fn ranges(&self) -> Result<([f64; 2], [f64; 2]), (&'static str, &'static str)> {
        let scale = match *self.scale {
            [low, high] if low.0 <= high.0 => [low.0, high.0],
            _ => return Err(("scale", "`scale` is [low, high], shares of the picture")),
        };
        let ratio = match *self.ratio {
            [low, high] if low.0 <= high.0 => [low.0, high.0],
            _ => return Err(("ratio", "`ratio` is [low, high] of width / height")),
        };
        Ok((scale, ratio))
    }
}

impl Component for RandomResizedCrop {
    type Kind = TransformKind;
    const TARGETS: &'static [&'static str] = &["torchvision.transforms.RandomResizedCrop"];

    fn check(&self, cx: &mut Check) {
        self.size.check(cx);
        if let Err((name, message)) = self.ranges() {
            cx.problem(name, message);
        }
    }

    fn build(self, _: &mut Build) -> Result<Box<dyn Transform>> {
        let (scale, ratio) = self.ranges().map_err(|(_, message)| Error::request(message))?;
        let (size, antialias) = (self.size.checked()?, self.antialias.unwrap_or(true));
        Ok(Box::new(Zoom { size, scale, ratio, interpolation: self.interpolation, antialias }))
    }
}

pub(super) fn register(registry: &mut Registry) {
    registry.add::<Resize>();
    registry.add::<RandomResizedCrop>();
}
