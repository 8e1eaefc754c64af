//! Automatic augmentation: AutoAugment, RandAugment, TrivialAugment, AugMix.
//!
//! Each draws named operations from a [`Space`] and a magnitude from the operation's table.

use super::{Fill, Interpolation, Policy, SubPolicy, policies};
use crate::data::rng::Rng;
use crate::data::transforms::{Canvas, Op, Plan, Transform, TransformKind};
use crate::error::{Error, Result};
use crate::prelude::*;

/// The magnitudes of an operation.
#[derive(Clone, Debug, PartialEq)]
pub enum Magnitudes {
    /// The operation has none.
    None,
    /// From weak to strong.
    Bins(Vec<f32>),
}

/// The operations that an augmentation draws from: name, magnitudes, and whether the sign is drawn too.
pub type Space = Vec<(&'static str, Magnitudes, bool)>;

/// `n` numbers from `start` to `end`, counted from the nearer end as `torch.linspace` does.
fn linspace(start: f32, end: f32, n: usize) -> Magnitudes {
    let step = (end - start) / (n.max(2) - 1) as f32;
    let at = |i: usize| if i < n / 2 { start + step * i as f32 } else { end - step * (n - 1 - i) as f32 };
    Magnitudes::Bins((0..n).map(at).collect())
}

/// Bits that are kept: from `most` down by `range`.
fn bits(most: f32, range: f32, n: usize) -> Magnitudes {
    let at = |i: usize| most - (i as f32 / ((n.max(2) - 1) as f32 / range)).round_ties_even();
    Magnitudes::Bins((0..n).map(at).collect())
}

/// Sizes of a space's largest magnitudes.
struct Ranges {
    shear: f32,
    translate: (f32, f32),
    rotate: f32,
    enhance: f32,
    posterize: (f32, f32),
}

fn geometric(r: &Ranges, n: usize) -> Space {
    vec![
        ("ShearX", linspace(0.0, r.shear, n), true),
        ("ShearY", linspace(0.0, r.shear, n), true),
        ("TranslateX", linspace(0.0, r.translate.0, n), true),
        ("TranslateY", linspace(0.0, r.translate.1, n), true),
        ("Rotate", linspace(0.0, r.rotate, n), true),
    ]
}

fn enhancing(r: &Ranges, n: usize) -> Space {
    ["Brightness", "Color", "Contrast", "Sharpness"].map(|name| (name, linspace(0.0, r.enhance, n), true)).to_vec()
}

fn tonal(r: &Ranges, n: usize) -> Space {
    vec![
        ("Posterize", bits(r.posterize.0, r.posterize.1, n), false),
        ("Solarize", linspace(255.0, 0.0, n), false),
        ("AutoContrast", Magnitudes::None, false),
        ("Equalize", Magnitudes::None, false),
    ]
}

fn identity() -> Space {
    vec![("Identity", Magnitudes::None, false)]
}

/// Translations of AutoAugment and RandAugment: 150 pixels of 331.
fn usual(canvas: Canvas) -> Ranges {
    let share = |side: usize| (150.0 / 331.0 * side as f64) as f32;
    let translate = (share(canvas.width), share(canvas.height));
    Ranges { shear: 0.3, translate, rotate: 30.0, enhance: 0.9, posterize: (8.0, 4.0) }
}

impl AutoAugment {
    /// The operations and magnitudes for a picture of a size.
    pub fn space(bins: usize, canvas: Canvas) -> Space {
        let r = usual(canvas);
        let invert = vec![("Invert", Magnitudes::None, false)];
        [geometric(&r, bins), enhancing(&r, bins), tonal(&r, bins), invert].concat()
    }
}

impl RandAugment {
    /// The operations and magnitudes for a picture of a size.
    pub fn space(bins: usize, canvas: Canvas) -> Space {
        let r = usual(canvas);
        [identity(), geometric(&r, bins), enhancing(&r, bins), tonal(&r, bins)].concat()
    }
}

impl TrivialAugmentWide {
    /// The operations and magnitudes.
    pub fn space(bins: usize) -> Space {
        let r = Ranges { shear: 0.99, translate: (32.0, 32.0), rotate: 135.0, enhance: 0.99, posterize: (8.0, 6.0) };
        [identity(), geometric(&r, bins), enhancing(&r, bins), tonal(&r, bins)].concat()
    }
}

impl AugMix {
    /// The operations and magnitudes for a picture of a size; the enhancers only with `all_ops`.
    pub fn space(bins: usize, canvas: Canvas, all_ops: bool) -> Space {
        let translate = ((canvas.width as f64 / 3.0) as f32, (canvas.height as f64 / 3.0) as f32);
        let r = Ranges { shear: 0.3, translate, rotate: 30.0, enhance: 0.9, posterize: (4.0, 4.0) };
        let enhancing = if all_ops { enhancing(&r, bins) } else { Vec::new() };
        [geometric(&r, bins), tonal(&r, bins), enhancing].concat()
    }
}

/// The operation of a name at a magnitude, as torchvision's automatic augmentations apply it.
///
/// # Errors
/// When there is no operation of that name.
pub fn augment(name: &str, magnitude: f64, interpolation: Interpolation, fill: &Fill) -> Result<Op> {
    let affine = |translate: [f64; 2], shear: [f64; 2], center: Option<[f64; 2]>| Op::Affine {
        angle: 0.0,
        translate,
        scale: 1.0,
        shear,
        interpolation,
        center,
        fill: fill.clone(),
    };
    // The magnitude of a shear is a slope; it is about the top left corner.
    let slope = magnitude.atan().to_degrees();
    let corner = Some([0.0; 2]);
    Ok(match name {
        "Identity" => Op::Identity,
        "ShearX" => affine([0.0; 2], [slope, 0.0], corner),
        "ShearY" => affine([0.0; 2], [0.0, slope], corner),
        "TranslateX" => affine([magnitude.trunc(), 0.0], [0.0; 2], None),
        "TranslateY" => affine([0.0, magnitude.trunc()], [0.0; 2], None),
        "Rotate" => Op::Rotate { angle: magnitude, interpolation, expand: false, center: None, fill: fill.clone() },
        "Brightness" => Op::Brightness(1.0 + magnitude),
        "Color" => Op::Saturation(1.0 + magnitude),
        "Contrast" => Op::Contrast(1.0 + magnitude),
        "Sharpness" => Op::Sharpness(1.0 + magnitude),
        "Posterize" => Op::Posterize(magnitude.clamp(0.0, 8.0) as u8),
        "Solarize" => Op::Solarize(magnitude),
        "AutoContrast" => Op::AutoContrast,
        "Equalize" => Op::Equalize,
        "Invert" => Op::Invert,
        other => return Err(Error::failed(format!("there is no augmentation `{other}`"))),
    })
}

/// How the drawn operations make pixels.
#[derive(Clone, Debug)]
struct Look {
    interpolation: Interpolation,
    fill: Fill,
}

impl Look {
    /// An operation of a space at a bin, its sign drawn where it has one.
    fn draw(&self, space: &Space, op: usize, bin: impl FnOnce(&mut Rng, usize) -> usize, rng: &mut Rng) -> Result<Op> {
        let (name, magnitudes, signed) = &space[op];
        let mut magnitude = match magnitudes {
            Magnitudes::None => 0.0,
            Magnitudes::Bins(bins) => f64::from(bins[bin(rng, bins.len()).min(bins.len() - 1)]),
        };
        if *signed && rng.chance(0.5) {
            magnitude = -magnitude;
        }
        augment(name, magnitude, self.interpolation, &self.fill)
    }
}

fn nearest() -> Interpolation {
    Interpolation::Nearest
}

/// Pairs of operations whose probabilities and magnitudes were learned (Cubuk et al., 2018).
///
/// Mirrors `torchvision.transforms.AutoAugment` on a PIL image.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AutoAugment {
    /// The data set that the pairs were learned on: imagenet, cifar10 or svhn.
    #[serde(default)]
    policy: Policy,
    /// nearest, bilinear or bicubic.
    #[serde(default = "nearest")]
    interpolation: Interpolation,
    /// The colour of what comes into view: one number, or one a channel; null is black.
    #[serde(default)]
    fill: Option<Fill>,
}

struct Learned {
    policies: Vec<SubPolicy>,
    look: Look,
}

impl Transform for Learned {
    fn plan(&self, rng: &mut Rng, plan: &mut Plan) -> Result<()> {
        let space = AutoAugment::space(10, plan.canvas);
        let chosen = &self.policies[rng.below(self.policies.len() as u64) as usize];
        for (name, p, bin) in chosen {
            if rng.chance(*p) {
                let op = space.iter().position(|(known, ..)| known == name);
                let op = op.ok_or_else(|| Error::failed(format!("there is no augmentation `{name}`")))?;
                plan.push(self.look.draw(&space, op, |_, _| bin.unwrap_or(0), rng)?);
            }
        }
        Ok(())
    }
}

impl Component for AutoAugment {
    type Kind = TransformKind;
    const TARGETS: &'static [&'static str] = &["torchvision.transforms.AutoAugment"];
    fn build(self, _: &mut Build) -> Result<Box<dyn Transform>> {
        let look = Look { interpolation: self.interpolation, fill: self.fill.unwrap_or_default() };
        Ok(Box::new(Learned { policies: policies(self.policy), look }))
    }
}

/// Some operations one after another, all of one magnitude (Cubuk et al., 2019).
///
/// Mirrors `torchvision.transforms.RandAugment` on a PIL image.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RandAugment {
    /// How many operations.
    #[serde(default = "two")]
    num_ops: usize,
    /// The bin of the magnitude, from 0.
    #[serde(default = "nine")]
    magnitude: usize,
    /// How many bins there are.
    #[serde(default = "thirty_one")]
    num_magnitude_bins: usize,
    /// nearest, bilinear or bicubic.
    #[serde(default = "nearest")]
    interpolation: Interpolation,
    /// The colour of what comes into view: one number, or one a channel; null is black.
    #[serde(default)]
    fill: Option<Fill>,
}

fn two() -> usize {
    2
}

fn nine() -> usize {
    9
}

fn thirty_one() -> usize {
    31
}

struct Several {
    num_ops: usize,
    magnitude: usize,
    bins: usize,
    look: Look,
}

impl Transform for Several {
    fn plan(&self, rng: &mut Rng, plan: &mut Plan) -> Result<()> {
        let space = RandAugment::space(self.bins, plan.canvas);
        for _ in 0..self.num_ops {
            let op = rng.below(space.len() as u64) as usize;
            plan.push(self.look.draw(&space, op, |_, _| self.magnitude, rng)?);
        }
        Ok(())
    }
}

impl Component for RandAugment {
    type Kind = TransformKind;
    const TARGETS: &'static [&'static str] = &["torchvision.transforms.RandAugment"];

    fn check(&self, cx: &mut Check) {
        if self.num_magnitude_bins < 2 {
            cx.problem("num_magnitude_bins", "two bins are the least");
        } else if self.magnitude >= self.num_magnitude_bins {
            let message = format!("the bins are 0 to {}", self.num_magnitude_bins - 1);
            cx.problem("magnitude", message);
        }
    }

    fn build(self, _: &mut Build) -> Result<Box<dyn Transform>> {
        let look = Look { interpolation: self.interpolation, fill: self.fill.unwrap_or_default() };
        let RandAugment { num_ops, magnitude, num_magnitude_bins: bins, .. } = self;
        Ok(Box::new(Several { num_ops, magnitude, bins, look }))
    }
}

/// One operation of a drawn magnitude (Mueller and Hutter, 2021).
///
/// Mirrors `torchvision.transforms.TrivialAugmentWide` on a PIL image.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrivialAugmentWide {
    /// How many bins of magnitudes there are.
    #[serde(default = "thirty_one")]
    num_magnitude_bins: usize,
    /// nearest, bilinear or bicubic.
    #[serde(default = "nearest")]
    interpolation: Interpolation,
    /// The colour of what comes into view: one number, or one a channel; null is black.
    #[serde(default)]
    fill: Option<Fill>,
}

struct Trivial {
    space: Space,
    look: Look,
}

impl Transform for Trivial {
    fn plan(&self, rng: &mut Rng, plan: &mut Plan) -> Result<()> {
        let op = rng.below(self.space.len() as u64) as usize;
        let bin = |rng: &mut Rng, bins: usize| rng.below(bins as u64) as usize;
        plan.push(self.look.draw(&self.space, op, bin, rng)?);
        Ok(())
    }
}

impl Component for TrivialAugmentWide {
    type Kind = TransformKind;
    const TARGETS: &'static [&'static str] = &["torchvision.transforms.TrivialAugmentWide"];
    fn check(&self, cx: &mut Check) {
        if self.num_magnitude_bins < 2 {
            cx.problem("num_magnitude_bins", "two bins are the least");
        }
    }
    fn build(self, _: &mut Build) -> Result<Box<dyn Transform>> {
        let look = Look { interpolation: self.interpolation, fill: self.fill.unwrap_or_default() };
        Ok(Box::new(Trivial { space: TrivialAugmentWide::space(self.num_magnitude_bins), look }))
    }
}

/// Chains of weak operations, mixed with each other and with the picture (Hendrycks et al., 2019).
///
/// Mirrors `torchvision.transforms.AugMix`; the operations are those on PIL images.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AugMix {
    /// The strongest magnitude, 1 to 10.
    #[serde(default = "three")]
    severity: usize,
    /// How many chains.
    #[serde(default = "three")]
    mixture_width: usize,
    /// Operations in a chain; 0 or below: 1 to 3, drawn.
    #[serde(default = "drawn")]
    chain_depth: i64,
    /// Of the Dirichlet and Beta distributions of the weights.
    #[serde(default = "one")]
    alpha: Positive,
    /// Whether brightness, colour, contrast and sharpness are among the operations.
    #[serde(default = "yes")]
    all_ops: bool,
    /// nearest, bilinear or bicubic.
    #[serde(default)]
    interpolation: Interpolation,
    /// The colour of what comes into view: one number, or one a channel; null is black.
    #[serde(default)]
    fill: Option<Fill>,
}

fn three() -> usize {
    3
}

fn drawn() -> i64 {
    -1
}

fn one() -> Positive {
    Positive(1.0)
}

fn yes() -> bool {
    true
}

struct Mixer {
    severity: usize,
    width: usize,
    depth: Option<usize>,
    alpha: f64,
    all_ops: bool,
    look: Look,
}

/// torchvision's number of magnitudes of AugMix.
const SEVERITIES: usize = 10;

impl Transform for Mixer {
    fn plan(&self, rng: &mut Rng, plan: &mut Plan) -> Result<()> {
        let space = AugMix::space(SEVERITIES, plan.canvas, self.all_ops);
        // Two numbers of a Dirichlet distribution are one of a Beta distribution.
        let keep = rng.beta(self.alpha, self.alpha);
        let weights: Vec<f64> = (0..self.width).map(|_| rng.gamma(self.alpha)).collect();
        let total: f64 = weights.iter().sum();
        let mut chains = Vec::with_capacity(self.width);
        for weight in weights {
            let depth = self.depth.unwrap_or_else(|| 1 + rng.below(3) as usize);
            let mut ops = Vec::with_capacity(depth);
            for _ in 0..depth {
                let op = rng.below(space.len() as u64) as usize;
                let bin = |rng: &mut Rng, _| rng.below(self.severity as u64) as usize;
                ops.push(self.look.draw(&space, op, bin, rng)?);
            }
            chains.push(((1.0 - keep) * weight / total.max(f64::MIN_POSITIVE), ops));
        }
        plan.push(Op::Mix { keep, chains });
        Ok(())
    }
}

impl Component for AugMix {
    type Kind = TransformKind;
    const TARGETS: &'static [&'static str] = &["torchvision.transforms.AugMix"];
    fn check(&self, cx: &mut Check) {
        if !(1..=SEVERITIES).contains(&self.severity) {
            cx.problem("severity", format!("`severity` is 1 to {SEVERITIES}"));
        }
        if self.mixture_width == 0 {
            cx.problem("mixture_width", "one chain is the least");
        }
    }
    fn build(self, _: &mut Build) -> Result<Box<dyn Transform>> {
        let look = Look { interpolation: self.interpolation, fill: self.fill.unwrap_or_default() };
        Ok(Box::new(Mixer {
            severity: self.severity,
            width: self.mixture_width,
            depth: usize::try_from(self.chain_depth).ok().filter(|depth| *depth > 0),
            alpha: self.alpha.0,
            all_ops: self.all_ops,
            look,
        }))
    }
}

pub(super) fn register(registry: &mut Registry) {
    registry.add::<AutoAugment>();
    registry.add::<RandAugment>();
    registry.add::<TrivialAugmentWide>();
    registry.add::<AugMix>();
}
