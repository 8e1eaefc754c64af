//! Padding.

use crate::data::rng::Rng;
use crate::data::transforms::{Fill, Op, Plan, Transform, TransformKind};
use crate::error::{Error, Result};
use crate::prelude::*;
use serde::Serialize;

/// What padding is filled with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PadMode {
    /// A colour.
    #[default]
    Constant,
    /// The last value at the edge.
    Edge,
    /// The picture mirrored, without repeating the edge.
    Reflect,
    /// The picture mirrored, with the edge repeated.
    Symmetric,
}

/// Padding in torchvision's way: one number, `[left/right, top/bottom]`, or `[left, top, right, bottom]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub(super) struct Padding(OneOrMany<u32>);

impl Padding {
    /// Left, top, right, bottom.
    pub(super) fn sides(&self) -> Option<[usize; 4]> {
        let sides = match *self.0.as_slice() {
            [all] => [all; 4],
            [x, y] => [x, y, x, y],
            [left, top, right, bottom] => [left, top, right, bottom],
            _ => return None,
        };
        Some(sides.map(|side| side as usize))
    }

    pub(super) fn check(&self, cx: &mut Check) {
        if self.sides().is_none() {
            cx.problem("padding", "`padding` is one number, [left/right, top/bottom] or [left, top, right, bottom]");
        }
    }
}

/// Adds padding to a plan: constant padding is a crop that reaches outside.
pub(super) fn push(plan: &mut Plan, padding: [usize; 4], fill: &Fill, mode: PadMode) {
    let [left, top, right, bottom] = padding;
    plan.push(match mode {
        PadMode::Constant => Op::Crop {
            top: -(top as i64),
            left: -(left as i64),
            height: plan.canvas.height + top + bottom,
            width: plan.canvas.width + left + right,
            fill: fill.clone(),
        },
        mode => Op::Pad { padding, mode },
    });
}

/// Adds a border.
///
/// Mirrors `torchvision.transforms.Pad`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pad {
    /// Pixels on every side, [left/right, top/bottom], or [left, top, right, bottom].
    padding: Padding,
    /// The colour of constant padding: one number, or one a channel.
    #[serde(default)]
    fill: Fill,
    /// constant, edge, reflect or symmetric.
    #[serde(default)]
    padding_mode: PadMode,
}

struct Padder {
    padding: [usize; 4],
    fill: Fill,
    mode: PadMode,
}

impl Transform for Padder {
    fn plan(&self, _: &mut Rng, plan: &mut Plan) -> Result<()> {
        push(plan, self.padding, &self.fill, self.mode);
        Ok(())
    }
}

impl Component for Pad {
    type Kind = TransformKind;
    const TARGETS: &'static [&'static str] = &["torchvision.transforms.Pad"];

    fn check(&self, cx: &mut Check) {
        self.padding.check(cx);
    }

    fn build(self, _: &mut Build) -> Result<Box<dyn Transform>> {
        let padding = self.padding.sides().ok_or_else(|| Error::request("`padding` is a list of 1, 2 or 4"))?;
        Ok(Box::new(Padder { padding, fill: self.fill, mode: self.padding_mode }))
    }
}

pub(super) fn register(registry: &mut Registry) {
    registry.add::<Pad>();
}
