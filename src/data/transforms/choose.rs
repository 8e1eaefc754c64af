//! Transforms that choose among others.

use super::flip::half;
use super::pipeline::Sequence;
use crate::data::rng::Rng;
use crate::data::transforms::{Plan, Transform, TransformKind, Transforms};
use crate::error::{Error, Result};
use crate::prelude::*;

/// Applies a list of transforms, all or none, with a probability.
///
/// Mirrors `torchvision.transforms.RandomApply`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RandomApply {
    /// The transforms.
    transforms: Transforms,
    /// The probability.
    #[serde(default = "half")]
    p: Fraction,
}

struct Sometimes {
    p: f64,
    transforms: Sequence,
}

impl Transform for Sometimes {
    fn plan(&self, rng: &mut Rng, plan: &mut Plan) -> Result<()> {
        if rng.chance(self.p) { self.transforms.plan(rng, plan) } else { Ok(()) }
    }
}

impl Component for RandomApply {
    type Kind = TransformKind;
    const TARGETS: &'static [&'static str] = &["torchvision.transforms.RandomApply"];
    fn build(self, cx: &mut Build) -> Result<Box<dyn Transform>> {
        Ok(Box::new(Sometimes { p: self.p.0, transforms: Sequence(cx.build_all(&self.transforms)?) }))
    }
}

/// Applies one of several transforms.
///
/// Mirrors `torchvision.transforms.RandomChoice`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RandomChoice {
    /// The transforms.
    transforms: Transforms,
    /// Their weights; null: all alike.
    #[serde(default)]
    p: Option<Vec<NonNegative>>,
}

struct OneOf {
    transforms: Vec<Box<dyn Transform>>,
    /// Sums of the weights.
    sums: Vec<f64>,
}

impl Transform for OneOf {
    fn plan(&self, rng: &mut Rng, plan: &mut Plan) -> Result<()> {
        let total = self.sums.last().copied().unwrap_or(0.0);
        let at = rng.unit() * total;
        let choice = self.sums.partition_point(|sum| *sum <= at).min(self.transforms.len().saturating_sub(1));
        self.transforms.get(choice).map_or(Ok(()), |transform| transform.plan(rng, plan))
    }
}

impl RandomChoice {
    fn weights(&self) -> Option<Vec<f64>> {
        let n = self.transforms.len();
        let weights = self.p.as_ref().map_or_else(|| vec![1.0; n], |p| p.iter().map(|w| w.0).collect());
        (weights.len() == n && weights.iter().sum::<f64>() > 0.0).then_some(weights)
    }
}

impl Component for RandomChoice {
    type Kind = TransformKind;
    const TARGETS: &'static [&'static str] = &["torchvision.transforms.RandomChoice"];

    fn check(&self, cx: &mut Check) {
        if self.transforms.is_empty() {
            cx.problem("transforms", "there is nothing to choose from");
        } else if self.weights().is_none() {
            cx.problem(
                "p",
                format!("`p` is one weight for each of the {} transforms, not all 0", self.transforms.len()),
            );
        }
    }

    fn build(self, cx: &mut Build) -> Result<Box<dyn Transform>> {
        let weights = self.weights().ok_or_else(|| Error::request("`p` is one weight a transform, not all 0"))?;
        let sums = weights.iter().scan(0.0, |sum, weight| {
            *sum += weight;
            Some(*sum)
        });
        Ok(Box::new(OneOf { sums: sums.collect(), transforms: cx.build_all(&self.transforms)? }))
    }
}

/// Applies all of several transforms in a drawn order.
///
/// Mirrors `torchvision.transforms.RandomOrder`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RandomOrder {
    /// The transforms.
    transforms: Transforms,
}

struct Shuffled(Vec<Box<dyn Transform>>);

impl Transform for Shuffled {
    fn plan(&self, rng: &mut Rng, plan: &mut Plan) -> Result<()> {
        let mut order: Vec<usize> = (0..self.0.len()).collect();
        rng.shuffle(&mut order);
        order.into_iter().try_for_each(|i| self.0[i].plan(rng, plan))
    }
}

impl Component for RandomOrder {
    type Kind = TransformKind;
    const TARGETS: &'static [&'static str] = &["torchvision.transforms.RandomOrder"];
    fn build(self, cx: &mut Build) -> Result<Box<dyn Transform>> {
        Ok(Box::new(Shuffled(cx.build_all(&self.transforms)?)))
    }
}

pub(super) fn register(registry: &mut Registry) {
    registry.add::<RandomApply>();
    registry.add::<RandomChoice>();
    registry.add::<RandomOrder>();
}
