//! Mixing the samples of a batch: MixUp and CutMix, as torchvision and timm do them.
//!
//! Labels become a row of weights a sample, `[N, classes]` floats. Beside them fastai's ([`per_sample`]), and the time
//! warp of signals ([`warp`]).

pub mod per_sample;
pub mod warp;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use tch::{Kind as Dtype, Tensor};

use crate::data::rng::Rng;
use crate::data::{Batch, Field};
use crate::error::{Error, Result};
use crate::prelude::*;

/// A transform of whole batches. Its randomness comes from (seed, epoch, batch).
pub trait BatchTransform: Send + Sync {
    /// Transforms a batch.
    ///
    /// # Errors
    /// When the batch is not of the kind that the transform acts on.
    fn apply(&self, batch: Batch, rng: &mut Rng) -> Result<Batch>;

    /// The same for data of so many classes, if it needs to know how many and has not been told.
    fn for_classes(&self, _: i64) -> Option<Arc<dyn BatchTransform>> {
        None
    }

    /// Its parts, when it mixes samples.
    fn mixing(&self) -> Option<&Mixing> {
        None
    }
}

/// The kind of batch transforms.
pub struct BatchTransformKind;

impl Kind for BatchTransformKind {
    type Built = Box<dyn BatchTransform>;
    const NAME: &'static str = "batch transform";
}

/// Whom a sample is mixed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Partner {
    /// The sample before it; the first with the last (torchvision).
    Roll,
    /// The sample as far from the end as it is from the start (timm).
    Flip,
}

impl Partner {
    fn of(self, tensor: &Tensor) -> Result<Tensor> {
        Ok(match self {
            Partner::Roll => tensor.f_roll([1], [0])?,
            Partner::Flip => tensor.f_flip([0])?,
        })
    }
}

/// What a draw decided.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Draw {
    /// Nothing is mixed.
    Nothing,
    /// `lambda * sample + (1 - lambda) * partner`.
    Blend {
        /// The sample's share.
        lambda: f64,
    },
    /// A rectangle of the partner is pasted into the sample.
    Paste {
        /// x1, y1, x2, y2; the ends are outside.
        rectangle: [i64; 4],
        /// The sample's share in the labels: the area that is left.
        lambda: f64,
    },
}

/// How samples are mixed.
#[derive(Clone, Debug)]
pub struct Mixing {
    partner: Partner,
    /// Of the Beta distribution of MixUp; 0 is off.
    mixup: f64,
    /// Of the Beta distribution of CutMix; 0 is off.
    cutmix: f64,
    probability: f64,
    /// Where both are on, how often it is CutMix.
    switch: f64,
    classes: i64,
    smoothing: f64,
    /// Shares of a side for a drawn rectangle, instead of a size that follows lambda.
    minmax: Option<[f64; 2]>,
}

impl Mixing {
    /// Draws how a batch of pictures of a size is mixed.
    pub fn draw(&self, height: i64, width: i64, rng: &mut Rng) -> Draw {
        if self.probability < 1.0 && !rng.chance(self.probability) {
            return Draw::Nothing;
        }
        let both = self.mixup > 0.0 && self.cutmix > 0.0;
        let paste = if both { rng.chance(self.switch) } else { self.cutmix > 0.0 };
        let alpha = if paste { self.cutmix } else { self.mixup };
        let lambda = rng.beta(alpha, alpha);
        if !paste {
            return Draw::Blend { lambda };
        }
        if let Some([least, most]) = self.minmax {
            let side = |rng: &mut Rng, side: i64| {
                let [low, high] = [least, most].map(|share| (share * side as f64) as i64);
                let cut = low + rng.below((high - low).max(1) as u64) as i64;
                let start = rng.below((side - cut).max(1) as u64) as i64;
                (start, start + cut)
            };
            let ((y1, y2), (x1, x2)) = (side(rng, height), side(rng, width));
            return paste_in([x1, y1, x2, y2], height, width);
        }
        let (x, y) = (rng.below(width as u64) as i64, rng.below(height as u64) as i64);
        self.rectangle(lambda, x, y, height, width)
    }

    /// The rectangle about a centre whose area is the partner's share, cut off at the border.
    pub fn rectangle(&self, lambda: f64, x: i64, y: i64, height: i64, width: i64) -> Draw {
        let ratio = (1.0 - lambda).sqrt();
        // Both halve the side, but torchvision before it truncates and timm after.
        let half = |side: i64| match self.partner {
            Partner::Roll => (0.5 * ratio * side as f64) as i64,
            Partner::Flip => (ratio * side as f64) as i64 / 2,
        };
        let (across, down) = (half(width), half(height));
        let (x1, y1) = ((x - across).max(0), (y - down).max(0));
        let (x2, y2) = ((x + across).min(width), (y + down).min(height));
        paste_in([x1, y1, x2, y2], height, width)
    }

    /// Mixes inputs as drawn.
    ///
    /// # Errors
    /// When the inputs are not pictures of floats.
    pub fn inputs(&self, x: &Tensor, draw: Draw) -> Result<Tensor> {
        Ok(match draw {
            Draw::Nothing => x.shallow_clone(),
            Draw::Blend { lambda } => {
                let partner = self.partner.of(x)?;
                partner.f_mul_scalar(1.0 - lambda)?.f_add(&x.f_mul_scalar(lambda)?)?
            }
            Draw::Paste { rectangle: [x1, y1, x2, y2], .. } => {
                let mixed = x.copy();
                if x2 > x1 && y2 > y1 {
                    let cut = |tensor: &Tensor| tensor.f_narrow(-2, y1, y2 - y1)?.f_narrow(-1, x1, x2 - x1);
                    cut(&mixed)?.f_copy_(&cut(&self.partner.of(x)?)?)?;
                }
                mixed
            }
        })
    }

    /// Labels (class numbers or weights) as weights, mixed as drawn and smoothed.
    ///
    /// # Errors
    /// When a label is not among the classes.
    pub fn labels(&self, labels: &Tensor, draw: Draw) -> Result<Tensor> {
        let off = self.smoothing / self.classes as f64;
        let on = 1.0 - self.smoothing + off;
        let weights = if labels.dim() == 1 && !labels.is_floating_point() {
            let top = labels.f_max()?.int64_value(&[]);
            if top >= self.classes {
                let message = format!("a label is {top}, and num_classes is {}", self.classes);
                return Err(Error::failed(message).help("set num_classes of the mixing transform to the data's"));
            }
            labels.f_one_hot(self.classes)?.f_to_kind(Dtype::Float)?.f_mul_scalar(on - off)?.f_add_scalar(off)?
        } else {
            labels.f_to_kind(Dtype::Float)?
        };
        let lambda = match draw {
            Draw::Nothing => return Ok(weights),
            Draw::Blend { lambda } | Draw::Paste { lambda, .. } => lambda,
        };
        Ok(self.partner.of(&weights)?.f_mul_scalar(1.0 - lambda)?.f_add(&weights.f_mul_scalar(lambda)?)?)
    }
}

fn paste_in(rectangle: [i64; 4], height: i64, width: i64) -> Draw {
    let [x1, y1, x2, y2] = rectangle;
    let area = (x2 - x1).max(0) * (y2 - y1).max(0);
    Draw::Paste { rectangle, lambda: 1.0 - area as f64 / (height * width) as f64 }
}

impl BatchTransform for Mixing {
    fn apply(&self, mut batch: Batch, rng: &mut Rng) -> Result<Batch> {
        let input = batch.input()?;
        let size = input.size();
        let [.., height, width] = size[..] else {
            return Err(Error::failed(format!("pictures are mixed, and the input's shape is {size:?}")));
        };
        if !input.is_floating_point() {
            return Err(Error::failed("pictures of floats are mixed, and these are bytes")
                .help("end the transforms with ToTensor, or with ToDtype and scale: true"));
        }
        let draw = self.draw(height, width, rng);
        let input = self.inputs(input, draw)?;
        let target = self.labels(batch.target()?, draw)?;
        batch.fields.insert("input".into(), Field::Tensor(input));
        batch.fields.insert("target".into(), Field::Tensor(target));
        Ok(batch)
    }

    fn mixing(&self) -> Option<&Mixing> {
        Some(self)
    }
}

fn one() -> Positive {
    Positive(1.0)
}

/// torchvision's two have the same arguments.
macro_rules! torchvision {
    ($(#[$doc:meta])* $name:ident, $target:literal, $mixup:literal, $cutmix:literal) => {
        $(#[$doc])*
        #[derive(Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            /// Of the Beta distribution from which a sample's share is drawn, once a batch.
            #[serde(default = "one")]
            alpha: Positive,
            /// How many classes there are.
            num_classes: i64,
            /// No effect: labels are the field `target`.
            #[serde(default)]
            #[allow(dead_code, reason = "accepted because torchvision has it")]
            labels_getter: Ignored,
        }

        impl Component for $name {
            type Kind = BatchTransformKind;
            const TARGETS: &'static [&'static str] = &[$target];
            fn check(&self, cx: &mut Check) {
                if self.num_classes < 1 {
                    cx.problem("num_classes", "`num_classes` is a whole number above 0");
                }
            }
            fn build(self, _: &mut Build) -> Result<Box<dyn BatchTransform>> {
                Ok(Box::new(Mixing {
                    partner: Partner::Roll,
                    mixup: self.alpha.0 * $mixup,
                    cutmix: self.alpha.0 * $cutmix,
                    probability: 1.0,
                    switch: 0.0,
                    classes: self.num_classes,
                    smoothing: 0.0,
                    minmax: None,
                }))
            }
        }
    };
}

torchvision!(
    /// Blends each sample of a batch with the one before it (Zhang et al., 2017).
    ///
    /// Mirrors `torchvision.transforms.v2.MixUp`.
    MixUp, "torchvision.transforms.v2.MixUp", 1.0, 0.0
);
torchvision!(
    /// Pastes a rectangle of the sample before it into each sample of a batch (Yun et al., 2019).
    ///
    /// Mirrors `torchvision.transforms.v2.CutMix`.
    CutMix, "torchvision.transforms.v2.CutMix", 0.0, 1.0
);

/// How often timm draws.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Mode {
    /// Once a batch.
    #[default]
    Batch,
}

/// MixUp, CutMix or now one and now the other, with label smoothing.
///
/// Mirrors `timm.data.Mixup` in its mode `batch`: the partner is the batch in reverse.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mixup {
    /// Of MixUp's Beta distribution; 0 turns MixUp off.
    #[serde(default = "full")]
    mixup_alpha: NonNegative,
    /// Of CutMix's Beta distribution; 0 turns CutMix off.
    #[serde(default = "zero")]
    cutmix_alpha: NonNegative,
    /// [least, most] share of a side that CutMix pastes, instead of a size that follows the draw.
    #[serde(default)]
    cutmix_minmax: Option<Vec<Fraction>>,
    /// The probability that a batch is mixed.
    #[serde(default = "always")]
    prob: Fraction,
    /// Where both are on, the probability of CutMix.
    #[serde(default = "half")]
    switch_prob: Fraction,
    /// batch: one draw a batch.
    #[serde(default)]
    #[allow(dead_code, reason = "there is one mode")]
    mode: Mode,
    /// Whether labels follow the area that was pasted; always so here.
    #[serde(default)]
    #[allow(dead_code, reason = "accepted because timm has it")]
    correct_lam: Ignored,
    /// Label smoothing.
    #[serde(default = "tenth")]
    label_smoothing: Fraction,
    /// How many classes there are.
    #[serde(default = "thousand")]
    num_classes: i64,
}

fn full() -> NonNegative {
    NonNegative(1.0)
}

fn zero() -> NonNegative {
    NonNegative(0.0)
}

fn always() -> Fraction {
    Fraction(1.0)
}

fn half() -> Fraction {
    Fraction(0.5)
}

fn tenth() -> Fraction {
    Fraction(0.1)
}

fn thousand() -> i64 {
    1000
}

impl Mixup {
    fn minmax(&self) -> Result<Option<[f64; 2]>> {
        match self.cutmix_minmax.as_deref() {
            None => Ok(None),
            Some([least, most]) if least.0 <= most.0 => Ok(Some([least.0, most.0])),
            Some(_) => Err(Error::request("`cutmix_minmax` is [least, most]")),
        }
    }
}

impl Component for Mixup {
    type Kind = BatchTransformKind;
    const TARGETS: &'static [&'static str] = &["timm.data.Mixup", "timm.data.mixup.Mixup"];

    fn check(&self, cx: &mut Check) {
        if self.num_classes < 1 {
            cx.problem("num_classes", "`num_classes` is a whole number above 0");
        }
        if self.minmax().is_err() {
            cx.problem("cutmix_minmax", "`cutmix_minmax` is [least, most]");
        }
        if self.mixup_alpha.0 == 0.0 && self.cutmix_alpha.0 == 0.0 && self.cutmix_minmax.is_none() {
            cx.problem("mixup_alpha", "both MixUp and CutMix are off");
        }
    }

    fn build(self, _: &mut Build) -> Result<Box<dyn BatchTransform>> {
        let minmax = self.minmax()?;
        Ok(Box::new(Mixing {
            partner: Partner::Flip,
            mixup: self.mixup_alpha.0,
            // With given sizes timm draws them whatever the alpha.
            cutmix: if minmax.is_some() { 1.0 } else { self.cutmix_alpha.0 },
            probability: self.prob.0,
            switch: self.switch_prob.0,
            classes: self.num_classes,
            smoothing: self.label_smoothing.0,
            minmax,
        }))
    }
}

pub(super) fn register(registry: &mut Registry) {
    registry.add::<MixUp>();
    registry.add::<CutMix>();
    registry.add::<Mixup>();
    registry.add::<per_sample::SampleMixUp>();
    registry.add::<per_sample::SampleCutMix>();
    registry.add::<warp::TimeWarp>();
}
