//! MixUp with a share of its own for each sample, and CutMix, as fastai draws them; for classes and sets of classes.

use std::sync::Arc;

use tch::{Kind as Dtype, Tensor};

use super::{BatchTransform, BatchTransformKind, Draw};
use crate::data::rng::Rng;
use crate::data::{Batch, Field};
use crate::error::{Error, Result};
use crate::prelude::*;

/// Blends each sample with another of the batch: `lambda` from Beta(alpha, alpha) for each, the larger of it and
/// `1 - lambda`, partners by one random permutation.
///
/// As fastai's `MixUp`. Targets are blended alike: sets of classes as they are, classes as weights
/// `[batch, num_classes]`, of which cross entropy is the blend of both losses.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SampleMixUp {
    /// Of the Beta distribution.
    #[serde(default = "alpha")]
    alpha: Positive,
    /// How many classes there are; null: as the data says.
    #[serde(default)]
    num_classes: Option<i64>,
    /// Label smoothing of classes.
    #[serde(default = "none")]
    label_smoothing: Fraction,
}

fn alpha() -> Positive {
    Positive(0.4)
}

fn one() -> Positive {
    Positive(1.0)
}

fn none() -> Fraction {
    Fraction(0.0)
}

/// Pastes a rectangle of another sample of the batch into each sample: one share and one rectangle a batch, partners
/// by one random permutation.
///
/// As fastai's `CutMix`: sides are rounded, the rectangle is cut off at the border, and the share follows what is left.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SampleCutMix {
    /// Of the Beta distribution.
    #[serde(default = "one")]
    alpha: Positive,
    /// How many classes there are; null: as the data says.
    #[serde(default)]
    num_classes: Option<i64>,
    /// Label smoothing of classes.
    #[serde(default = "none")]
    label_smoothing: Fraction,
}

/// How targets become weights.
#[derive(Clone, Copy)]
struct Weights {
    classes: Option<i64>,
    smoothing: f64,
}

impl Weights {
    fn of(&self, target: &Tensor) -> Result<Tensor> {
        if target.dim() == 2 && target.is_floating_point() {
            return Ok(target.shallow_clone());
        }
        if target.dim() != 1 || target.is_floating_point() {
            let message =
                format!("classes or sets of classes are mixed, and the target's shape is {:?}", target.size());
            return Err(Error::failed(message));
        }
        let Some(classes) = self.classes else {
            return Err(Error::request("classes are mixed as weights, and num_classes is not given")
                .help("set num_classes of the batch transform"));
        };
        let top = target.f_max()?.int64_value(&[]);
        if top >= classes {
            return Err(Error::failed(format!("a label is {top}, and num_classes is {classes}"))
                .help("set num_classes of the mixing transform to the data's"));
        }
        let off = self.smoothing / classes as f64;
        Ok(target.f_one_hot(classes)?.f_to_kind(Dtype::Float)?.f_mul_scalar(1.0 - self.smoothing)?.f_add_scalar(off)?)
    }
}

/// A random order of the batch.
fn permutation(count: i64, rng: &mut Rng) -> Tensor {
    let mut order: Vec<i64> = (0..count).collect();
    rng.shuffle(&mut order);
    Tensor::from_slice(&order)
}

fn floats(batch: &Batch) -> Result<&Tensor> {
    let input = batch.input()?;
    if input.is_floating_point() {
        return Ok(input);
    }
    Err(Error::failed("inputs of floats are mixed, and these are bytes")
        .help("end the transforms with ToTensor, or with ToDtype and scale: true"))
}

/// `lambda * x + (1 - lambda) * x[order]`, a lambda for each sample.
///
/// # Errors
/// When the shapes do not fit.
pub fn blend(x: &Tensor, order: &Tensor, lambdas: &[f64]) -> Result<Tensor> {
    let mut shape = vec![1; x.dim()];
    shape[0] = lambdas.len() as i64;
    let lambda = Tensor::from_slice(lambdas).f_to_kind(x.kind())?.f_view(&shape[..])?;
    let partner = x.f_index_select(0, order)?;
    // `partner + lambda * (x - partner)`.
    Ok(Tensor::f_lerp_tensor(&partner, x, &lambda)?)
}

/// The rectangle of a share about a centre, its sides rounded (halves to the even number), cut off at the border.
pub fn rectangle(lambda: f64, x: i64, y: i64, height: i64, width: i64) -> Draw {
    let ratio = (1.0 - lambda).sqrt();
    let side = |side: i64| (side as f64 * ratio).round_ties_even() as i64 / 2;
    let (across, down) = (side(width), side(height));
    let (x1, x2) = ((x - across).clamp(0, width), (x + across).clamp(0, width));
    let (y1, y2) = ((y - down).clamp(0, height), (y + down).clamp(0, height));
    super::paste_in([x1, y1, x2, y2], height, width)
}

struct Blending {
    alpha: f64,
    weights: Weights,
}

impl BatchTransform for Blending {
    fn for_classes(&self, classes: i64) -> Option<Arc<dyn BatchTransform>> {
        let weights = Weights { classes: Some(classes), ..self.weights };
        (self.weights.classes.is_none() && classes > 0).then(|| Arc::new(Blending { weights, ..*self }) as _)
    }

    fn apply(&self, mut batch: Batch, rng: &mut Rng) -> Result<Batch> {
        let input = floats(&batch)?;
        let count = input.size()[0];
        let lambdas: Vec<f64> = (0..count)
            .map(|_| {
                let lambda = rng.beta(self.alpha, self.alpha);
                lambda.max(1.0 - lambda)
            })
            .collect();
        let order = permutation(count, rng);
        let mixed = blend(input, &order, &lambdas)?;
        let target = blend(&self.weights.of(batch.target()?)?, &order, &lambdas)?;
        batch.fields.insert("input".into(), Field::Tensor(mixed));
        batch.fields.insert("target".into(), Field::Tensor(target));
        Ok(batch)
    }
}

struct Pasting {
    alpha: f64,
    weights: Weights,
}

impl BatchTransform for Pasting {
    fn for_classes(&self, classes: i64) -> Option<Arc<dyn BatchTransform>> {
        let weights = Weights { classes: Some(classes), ..self.weights };
        (self.weights.classes.is_none() && classes > 0).then(|| Arc::new(Pasting { weights, ..*self }) as _)
    }

    fn apply(&self, mut batch: Batch, rng: &mut Rng) -> Result<Batch> {
        let input = floats(&batch)?;
        let size = input.size();
        let [count, .., height, width] = size[..] else {
            return Err(Error::failed(format!("pictures are mixed, and the input's shape is {size:?}")));
        };
        let lambda = rng.beta(self.alpha, self.alpha);
        let (x, y) = (rng.below(width as u64) as i64, rng.below(height as u64) as i64);
        let Draw::Paste { rectangle: [x1, y1, x2, y2], lambda } = rectangle(lambda, x, y, height, width) else {
            return Ok(batch);
        };
        let order = permutation(count, rng);
        let mixed = input.copy();
        if x2 > x1 && y2 > y1 {
            let cut = |tensor: &Tensor| tensor.f_narrow(-2, y1, y2 - y1)?.f_narrow(-1, x1, x2 - x1);
            cut(&mixed)?.f_copy_(&cut(input)?.f_index_select(0, &order)?)?;
        }
        let target = blend(&self.weights.of(batch.target()?)?, &order, &vec![lambda; count as usize])?;
        batch.fields.insert("input".into(), Field::Tensor(mixed));
        batch.fields.insert("target".into(), Field::Tensor(target));
        Ok(batch)
    }
}

impl Component for SampleMixUp {
    type Kind = BatchTransformKind;
    const TARGETS: &'static [&'static str] = &["fastai.callback.mixup.MixUp", "runner.transforms.MixUp"];
    fn build(self, _: &mut Build) -> Result<Box<dyn BatchTransform>> {
        let weights = Weights { classes: self.num_classes, smoothing: self.label_smoothing.0 };
        Ok(Box::new(Blending { alpha: self.alpha.0, weights }))
    }
}

impl Component for SampleCutMix {
    type Kind = BatchTransformKind;
    const TARGETS: &'static [&'static str] = &["fastai.callback.mixup.CutMix", "runner.transforms.CutMix"];
    fn build(self, _: &mut Build) -> Result<Box<dyn BatchTransform>> {
        let weights = Weights { classes: self.num_classes, smoothing: self.label_smoothing.0 };
        Ok(Box::new(Pasting { alpha: self.alpha.0, weights }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::rng::Purpose;

    /// A hand-computed batch: the values of varKoder's reference.
    #[test]
    fn blends_and_rectangles() {
        let x = Tensor::from_slice(&[0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875]).view([2, 2, 2]);
        let mixed = blend(&x, &Tensor::from_slice(&[1i64, 0]), &[0.7, 0.9]).unwrap();
        let values = Vec::<f64>::try_from(mixed.view(-1)).unwrap();
        for (value, expected) in values.iter().zip([0.15, 0.275, 0.4, 0.525, 0.45, 0.575, 0.7, 0.825]) {
            assert!((value - expected).abs() < 1e-9, "{values:?}");
        }
        let cases = [
            (0.7, 40, 10, 91, [15, 0, 65, 35], 0.788_672_9),
            (0.25, 200, 100, 224, [103, 3, 224, 197], 0.532_166_8),
            (0.9, 0, 31, 32, [0, 26, 5, 32], 0.970_703_1),
        ];
        for (lambda, x, y, side, expected, left) in cases {
            let Draw::Paste { rectangle, lambda } = rectangle(lambda, x, y, side, side) else { panic!("no rectangle") };
            assert_eq!(rectangle, expected);
            assert!((lambda - left).abs() < 1e-6, "{lambda}");
        }
    }

    fn batch() -> Batch {
        let mut batch = Batch { indices: (0..4).collect(), ..Batch::default() };
        let input = Tensor::arange(4, (Dtype::Float, tch::Device::Cpu)).view([4, 1, 1, 1])
            * Tensor::ones([4, 1, 8, 8], (Dtype::Float, tch::Device::Cpu));
        batch.fields.insert("input".into(), Field::Tensor(input));
        batch.fields.insert("target".into(), Field::Tensor(Tensor::from_slice(&[0i64, 1, 2, 3])));
        batch
    }

    /// Inputs are their class's number, so that the mean class of the weights is the mean of the pixels.
    #[test]
    fn weights_follow_the_pixels() {
        let weights = || Weights { classes: Some(4), smoothing: 0.0 };
        let both: [Box<dyn BatchTransform>; 2] = [
            Box::new(Blending { alpha: 0.4, weights: weights() }),
            Box::new(Pasting { alpha: 1.0, weights: weights() }),
        ];
        for transform in both {
            for draw in 0..20 {
                let mut rng = Rng::new(Purpose::Batch, 3, &[draw]);
                let mixed = transform.apply(batch(), &mut rng).unwrap();
                let pixels = mixed.input().unwrap().mean_dim([1i64, 2, 3].as_slice(), false, Dtype::Float);
                let classes = Tensor::arange(4, (Dtype::Float, tch::Device::Cpu));
                let expected = mixed.target().unwrap().matmul(&classes);
                assert!((pixels - expected).abs().max().double_value(&[]) < 1e-5);
            }
        }
        let unknown = Blending { alpha: 0.4, weights: Weights { classes: None, smoothing: 0.0 } };
        let error = unknown.apply(batch(), &mut Rng::new(Purpose::Batch, 3, &[])).unwrap_err().to_string();
        assert!(error.contains("num_classes is not given"), "{error}");
    }

    #[test]
    fn sets_of_classes_are_blended_and_each_sample_keeps_the_larger_share() {
        let mut batch = batch();
        batch.fields.insert("target".into(), Field::Tensor(Tensor::eye(4, (Dtype::Float, tch::Device::Cpu))));
        let transform = Blending { alpha: 0.4, weights: Weights { classes: None, smoothing: 0.0 } };
        let mixed = transform.apply(batch, &mut Rng::new(Purpose::Batch, 5, &[])).unwrap();
        let own = mixed.target().unwrap().diagonal(0, 0, 1);
        assert!(own.min().double_value(&[]) >= 0.5 - 1e-6);
    }
}
