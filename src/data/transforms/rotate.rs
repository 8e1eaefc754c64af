//! Rotations, affine and perspective maps.

use super::{Fill, Interpolation};
use crate::data::rng::Rng;
use crate::data::transforms::{Op, Plan, Transform, TransformKind};
use crate::error::{Error, Result};
use crate::prelude::*;

/// A pair from low to high.
pub(super) type Range = [f64; 2];

/// torchvision's "a number or a pair" of angles: a number d stands for -d to d.
pub(super) fn around(values: &OneOrMany<f64>) -> Option<Range> {
    match *values.as_slice() {
        [d] if d >= 0.0 => Some([-d, d]),
        [low, high] if low <= high => Some([low, high]),
        _ => None,
    }
}

/// Reports interpolations that maps do not have.
fn check_interpolation(interpolation: Interpolation, cx: &mut Check) {
    use Interpolation::{Box, Hamming, Lanczos};
    if matches!(interpolation, Box | Hamming | Lanczos) {
        cx.problem("interpolation", "rotations and warps interpolate by nearest, bilinear or bicubic");
    }
}

fn nearest() -> Interpolation {
    Interpolation::Nearest
}

fn point(values: &Option<Vec<f64>>) -> Option<[f64; 2]> {
    values.as_ref().and_then(|values| values.as_slice().try_into().ok())
}

fn check_center(center: &Option<Vec<f64>>, cx: &mut Check) {
    if center.as_ref().is_some_and(|center| center.len() != 2) {
        cx.problem("center", "`center` is a point [x, y]");
    }
}

const DEGREES: &str = "`degrees` is a number of 0 or above, or [low, high]";

/// Rotates by an angle drawn from a range, counter-clockwise.
///
/// Mirrors `torchvision.transforms.RandomRotation` on a PIL image.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RandomRotation {
    /// [low, high] in degrees; a number d stands for [-d, d].
    degrees: OneOrMany<f64>,
    /// nearest, bilinear or bicubic.
    #[serde(default = "nearest")]
    interpolation: Interpolation,
    /// Whether the picture grows to hold all of itself.
    #[serde(default)]
    expand: bool,
    /// [x, y] to turn about, from the top left corner; null: the middle.
    #[serde(default)]
    center: Option<Vec<f64>>,
    /// The colour of what comes into view: one number, or one a channel.
    #[serde(default)]
    fill: Fill,
}

struct Rotation {
    degrees: Range,
    interpolation: Interpolation,
    expand: bool,
    center: Option<[f64; 2]>,
    fill: Fill,
}

impl Transform for Rotation {
    fn plan(&self, rng: &mut Rng, plan: &mut Plan) -> Result<()> {
        let angle = rng.uniform(self.degrees[0], self.degrees[1]);
        let Rotation { interpolation, expand, center, ref fill, .. } = *self;
        plan.push(Op::Rotate { angle, interpolation, expand, center, fill: fill.clone() });
        Ok(())
    }
}

impl Component for RandomRotation {
    type Kind = TransformKind;
    const TARGETS: &'static [&'static str] = &["torchvision.transforms.RandomRotation"];

    fn check(&self, cx: &mut Check) {
        if around(&self.degrees).is_none() {
            cx.problem("degrees", DEGREES);
        }
        check_interpolation(self.interpolation, cx);
        check_center(&self.center, cx);
    }

    fn build(self, _: &mut Build) -> Result<Box<dyn Transform>> {
        let degrees = around(&self.degrees).ok_or_else(|| Error::request(DEGREES))?;
        let center = point(&self.center);
        let RandomRotation { interpolation, expand, fill, .. } = self;
        Ok(Box::new(Rotation { degrees, interpolation, expand, center, fill }))
    }
}

/// Rotates, moves, scales and shears by drawn amounts.
///
/// Mirrors `torchvision.transforms.RandomAffine` on a PIL image.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RandomAffine {
    /// [low, high] in degrees, clockwise; a number d stands for [-d, d].
    degrees: OneOrMany<f64>,
    /// [x, y]: the largest moves as shares of width and height.
    #[serde(default)]
    translate: Option<Vec<Fraction>>,
    /// [low, high] of the scale.
    #[serde(default)]
    scale: Option<Vec<Positive>>,
    /// Degrees: a number s is [-s, s] along x; [low, high] along x; [x low, x high, y low, y high].
    #[serde(default)]
    shear: Option<OneOrMany<f64>>,
    /// nearest, bilinear or bicubic.
    #[serde(default = "nearest")]
    interpolation: Interpolation,
    /// The colour of what comes into view: one number, or one a channel.
    #[serde(default)]
    fill: Fill,
    /// [x, y] to turn about, from the top left corner; null: the middle.
    #[serde(default)]
    center: Option<Vec<f64>>,
}

struct Affine {
    degrees: Range,
    translate: Option<[f64; 2]>,
    scale: Option<Range>,
    shear: Option<(Range, Option<Range>)>,
    interpolation: Interpolation,
    fill: Fill,
    center: Option<[f64; 2]>,
}

impl Transform for Affine {
    fn plan(&self, rng: &mut Rng, plan: &mut Plan) -> Result<()> {
        let angle = rng.uniform(self.degrees[0], self.degrees[1]);
        let translate = self.translate.map_or([0.0; 2], |[x, y]| {
            let most = [x * plan.canvas.width as f64, y * plan.canvas.height as f64];
            most.map(|most| rng.uniform(-most, most).round_ties_even())
        });
        let scale = self.scale.map_or(1.0, |[low, high]| rng.uniform(low, high));
        let shear = self.shear.map_or([0.0; 2], |(x, y)| {
            let x = rng.uniform(x[0], x[1]);
            [x, y.map_or(0.0, |y| rng.uniform(y[0], y[1]))]
        });
        let (interpolation, center, fill) = (self.interpolation, self.center, self.fill.clone());
        plan.push(Op::Affine { angle, translate, scale, shear, interpolation, center, fill });
        Ok(())
    }
}

impl RandomAffine {
    fn ranges(&self) -> Result<Affine, (&'static str, &'static str)> {
        let degrees = around(&self.degrees).ok_or(("degrees", DEGREES))?;
        let translate = match self.translate.as_deref() {
            None => None,
            Some([x, y]) => Some([x.0, y.0]),
            Some(_) => return Err(("translate", "`translate` is [x, y], shares of width and height")),
        };
        let scale = match self.scale.as_deref() {
            None => None,
            Some([low, high]) if low.0 <= high.0 => Some([low.0, high.0]),
            Some(_) => return Err(("scale", "`scale` is [low, high]")),
        };
        let shear = match self.shear.as_ref().map(OneOrMany::as_slice) {
            None => None,
            Some(&[s]) if s >= 0.0 => Some(([-s, s], None)),
            Some(&[low, high]) if low <= high => Some(([low, high], None)),
            Some(&[low, high, y_low, y_high]) if low <= high && y_low <= y_high => {
                Some(([low, high], Some([y_low, y_high])))
            }
            Some(_) => return Err(("shear", "`shear` is a number of 0 or above, [low, high], or two such pairs")),
        };
        let center = point(&self.center);
        let (interpolation, fill) = (self.interpolation, self.fill.clone());
        Ok(Affine { degrees, translate, scale, shear, interpolation, fill, center })
    }
}

impl Component for RandomAffine {
    type Kind = TransformKind;
    const TARGETS: &'static [&'static str] = &["torchvision.transforms.RandomAffine"];

    fn check(&self, cx: &mut Check) {
        if let Err((name, message)) = self.ranges() {
            cx.problem(name, message);
        }
        check_interpolation(self.interpolation, cx);
        check_center(&self.center, cx);
    }

    fn build(self, _: &mut Build) -> Result<Box<dyn Transform>> {
        self.ranges()
            .map(|affine| Box::new(affine) as Box<dyn Transform>)
            .map_err(|(_, message)| Error::request(message))
    }
}

/// Looks at the picture from a drawn direction, with a probability.
///
/// Mirrors `torchvision.transforms.RandomPerspective` on a PIL image.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RandomPerspective {
    /// How far a corner may move, as a share of half a side.
    #[serde(default = "half")]
    distortion_scale: Fraction,
    /// The probability.
    #[serde(default = "half")]
    p: Fraction,
    /// nearest, bilinear or bicubic.
    #[serde(default)]
    interpolation: Interpolation,
    /// The colour of what comes into view: one number, or one a channel.
    #[serde(default)]
    fill: Fill,
}

fn half() -> Fraction {
    Fraction(0.5)
}

impl Transform for RandomPerspective {
    fn plan(&self, rng: &mut Rng, plan: &mut Plan) -> Result<()> {
        if !rng.chance(self.p.0) {
            return Ok(());
        }
        let (width, height) = (plan.canvas.width, plan.canvas.height);
        let reach = |side: usize| (self.distortion_scale.0 * (side / 2) as f64) as u64;
        let mut near = |side: usize| rng.below(reach(side) + 1) as f64;
        // torchvision draws corner by corner, x before y.
        let mut corner = |right: bool, bottom: bool| {
            let (x, y) = (near(width), near(height));
            let far = |side: usize, offset: f64| (side as f64 - 1.0 - reach(side) as f64) + offset;
            [if right { far(width, x) } else { x }, if bottom { far(height, y) } else { y }]
        };
        let endpoints = [corner(false, false), corner(true, false), corner(true, true), corner(false, true)];
        let (right, bottom) = (width as f64 - 1.0, height as f64 - 1.0);
        let startpoints = [[0.0, 0.0], [right, 0.0], [right, bottom], [0.0, bottom]];
        let (interpolation, fill) = (self.interpolation, self.fill.clone());
        plan.push(Op::Perspective { startpoints, endpoints, interpolation, fill });
        Ok(())
    }
}

impl Component for RandomPerspective {
    type Kind = TransformKind;
    const TARGETS: &'static [&'static str] = &["torchvision.transforms.RandomPerspective"];
    fn check(&self, cx: &mut Check) {
        check_interpolation(self.interpolation, cx);
    }
    fn build(self, _: &mut Build) -> Result<Box<dyn Transform>> {
        Ok(Box::new(self))
    }
}

pub(super) fn register(registry: &mut Registry) {
    registry.add::<RandomRotation>();
    registry.add::<RandomAffine>();
    registry.add::<RandomPerspective>();
}
