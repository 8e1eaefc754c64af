//! Transforms with torchvision's names, arguments and pixels.
//!
//! A [`Transform`] draws its random numbers and writes down what is to be done as a list of [`Op`]s, each of which is
//! deterministic; a [`Pipeline`] carries the list out. So the same draw acts on an image and on the boxes in it, a
//! draw can be looked at, and the cast and the normalization become one pass at the end.
//!
//! Of the ecosystem's three paths the images follow PIL's (`torchvision.transforms` on a PIL image): Pillow's
//! resampling, Pillow's colour arithmetic. Boxes follow `torchvision.transforms.v2`. Components are found under
//! `torchvision.transforms.*` and `torchvision.transforms.v2.*` alike.

mod augment;
mod boxes;
mod choose;
mod colour;
mod convert;
mod crop;
mod erase;
mod flip;
mod geometry;
mod jitter;
mod lighting;
mod op;
mod pad;
mod pipeline;
mod policies;
mod resample;
mod resize;
mod rotate;
mod values;
mod warp;
mod window;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use augment::{AugMix, AutoAugment, Magnitudes, RandAugment, Space, TrivialAugmentWide, augment};
pub use boxes::Boxes;
pub use colour::default_sigma;
pub use op::{Erase, Op};
pub use pad::PadMode;
pub use pipeline::{Pipeline, Transforms};
pub use policies::{Policy, SubPolicy, policies};
pub use resample::Interpolation;
pub use window::Windowed;

use super::rng::Rng;
use crate::error::Result;
use crate::registry::{Kind, OneOrMany, Registry};

/// The size of a picture on its way through the transforms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Canvas {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Channels.
    pub channels: usize,
}

/// What a draw of a transform decided: operations, and the size after them.
#[derive(Debug)]
pub struct Plan {
    /// In order.
    pub ops: Vec<Op>,
    /// The size after the last operation.
    pub canvas: Canvas,
}

impl Plan {
    /// Nothing to do yet, on a picture of this size.
    pub fn new(canvas: Canvas) -> Self {
        Plan { ops: Vec::new(), canvas }
    }

    /// Adds an operation.
    pub fn push(&mut self, op: Op) {
        self.canvas = op.canvas(self.canvas);
        self.ops.push(op);
    }
}

/// A transform.
pub trait Transform: Send + Sync {
    /// Draws what is random and adds what is to be done to the plan.
    ///
    /// # Errors
    /// When the transform cannot act on a picture of the plan's size: a crop larger than the picture.
    fn plan(&self, rng: &mut Rng, plan: &mut Plan) -> Result<()>;

    /// The operations of a transform that always does the same, whatever the size and the draw.
    fn fixed(&self) -> Option<Vec<Op>> {
        None
    }
}

/// The kind of transforms.
pub struct TransformKind;

impl Kind for TransformKind {
    type Built = Box<dyn Transform>;
    const NAME: &'static str = "transform";
}

/// A transform that always does the same one thing.
struct Fixed(Op);

impl Transform for Fixed {
    fn plan(&self, _: &mut Rng, plan: &mut Plan) -> Result<()> {
        plan.push(self.0.clone());
        Ok(())
    }

    fn fixed(&self) -> Option<Vec<Op>> {
        Some(vec![self.0.clone()])
    }
}

/// A size in torchvision's way: one number, or `[height, width]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
struct Size(OneOrMany<u32>);

impl Size {
    /// (height, width) where one number means a square; `None` for a list of another length or a 0.
    fn pair(&self) -> Option<(usize, usize)> {
        match *self.0.as_slice() {
            [side] if side > 0 => Some((side as usize, side as usize)),
            [height, width] if height > 0 && width > 0 => Some((height as usize, width as usize)),
            _ => None,
        }
    }

    /// Reports an unusable size.
    fn check(&self, cx: &mut crate::registry::Check) {
        if self.pair().is_none() {
            cx.problem("size", "`size` is a whole number above 0, or [height, width]");
        }
    }

    /// The pair that [`Size::check`] has seen to be there.
    fn checked(&self) -> Result<(usize, usize)> {
        self.pair().ok_or_else(|| crate::error::Error::request("`size` is a whole number above 0, or [height, width]"))
    }
}

/// A fill in torchvision's way: one number for all channels, or one a channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Fill(OneOrMany<f64>);

impl Default for Fill {
    fn default() -> Self {
        Fill(OneOrMany::One(0.0))
    }
}

impl Fill {
    /// The value of a channel.
    pub fn of(&self, channel: usize) -> f64 {
        let values = self.0.as_slice();
        values.get(channel).or(values.first()).copied().unwrap_or(0.0)
    }

    /// The bytes of a pixel.
    pub fn bytes(&self, channels: usize) -> Vec<u8> {
        (0..channels).map(|channel| self.of(channel).clamp(0.0, 255.0) as u8).collect()
    }
}

/// The transforms' components.
pub fn register(registry: &mut Registry) {
    pipeline::register(registry);
    convert::register(registry);
    resize::register(registry);
    crop::register(registry);
    pad::register(registry);
    flip::register(registry);
    rotate::register(registry);
    jitter::register(registry);
    lighting::register(registry);
    erase::register(registry);
    choose::register(registry);
    augment::register(registry);
}

#[cfg(test)]
mod tests;
