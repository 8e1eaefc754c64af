//! Flips.

use crate::data::rng::Rng;
use crate::data::transforms::{Op, Plan, Transform, TransformKind};
use crate::error::Result;
use crate::prelude::*;

/// One operation, with a probability.
pub(super) struct Maybe {
    pub p: f64,
    pub op: Op,
}

impl Transform for Maybe {
    fn plan(&self, rng: &mut Rng, plan: &mut Plan) -> Result<()> {
        if rng.chance(self.p) {
            plan.push(self.op.clone());
        }
        Ok(())
    }
}

pub(super) fn half() -> Fraction {
    Fraction(0.5)
}

/// Exchanges left and right with a probability.
///
/// Mirrors `torchvision.transforms.RandomHorizontalFlip`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RandomHorizontalFlip {
    /// The probability.
    #[serde(default = "half")]
    p: Fraction,
}

impl Component for RandomHorizontalFlip {
    type Kind = TransformKind;
    const TARGETS: &'static [&'static str] = &["torchvision.transforms.RandomHorizontalFlip"];
    fn build(self, _: &mut Build) -> Result<Box<dyn Transform>> {
        Ok(Box::new(Maybe { p: self.p.0, op: Op::HorizontalFlip }))
    }
}

/// Exchanges top and bottom with a probability.
///
/// Mirrors `torchvision.transforms.RandomVerticalFlip`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RandomVerticalFlip {
    /// The probability.
    #[serde(default = "half")]
    p: Fraction,
}

impl Component for RandomVerticalFlip {
    type Kind = TransformKind;
    const TARGETS: &'static [&'static str] = &["torchvision.transforms.RandomVerticalFlip"];
    fn build(self, _: &mut Build) -> Result<Box<dyn Transform>> {
        Ok(Box::new(Maybe { p: self.p.0, op: Op::VerticalFlip }))
    }
}

pub(super) fn register(registry: &mut Registry) {
    registry.add::<RandomHorizontalFlip>();
    registry.add::<RandomVerticalFlip>();
}
