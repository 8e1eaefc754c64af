//! Transforms one after another.

use std::sync::Arc;

use super::values::{cast_table, normalized};
use super::{Canvas, Fixed, Op, Plan, Transform, TransformKind, Windowed};
use crate::data::SampleKey;
use crate::data::image::{Picture, Table};
use crate::data::rng::Rng;
use crate::error::Result;
use crate::prelude::*;

/// A list of transforms in a config.
pub type Transforms = Vec<Slot<TransformKind>>;

/// Transforms one after another.
///
/// Mirrors `torchvision.transforms.Compose`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Compose {
    /// The transforms, first to last.
    transforms: Transforms,
}

impl Component for Compose {
    type Kind = TransformKind;
    const TARGETS: &'static [&'static str] = &["torchvision.transforms.Compose"];
    fn build(self, cx: &mut Build) -> Result<Box<dyn Transform>> {
        Ok(Box::new(Sequence(cx.build_all(&self.transforms)?)))
    }
}

/// Transforms in order.
pub(super) struct Sequence(pub Vec<Box<dyn Transform>>);

impl Transform for Sequence {
    fn plan(&self, rng: &mut Rng, plan: &mut Plan) -> Result<()> {
        self.0.iter().try_for_each(|transform| transform.plan(rng, plan))
    }

    fn fixed(&self) -> Option<Vec<Op>> {
        let ops: Option<Vec<Vec<Op>>> = self.0.iter().map(|transform| transform.fixed()).collect();
        Some(ops?.into_iter().flatten().collect())
    }
}

/// The transforms of a split, ready to be carried out on any number of samples from several threads.
#[derive(Clone)]
pub struct Pipeline {
    transforms: Arc<Vec<Box<dyn Transform>>>,
    tables: Option<Arc<Vec<Table>>>,
}

impl Pipeline {
    /// A pipeline of transforms. A cast and the normalizations after it become one table.
    pub fn new(transforms: Vec<Box<dyn Transform>>) -> Self {
        let mut merged: Vec<Box<dyn Transform>> = Vec::new();
        let mut tables: Option<Vec<Table>> = None;
        let flush = |tables: &mut Option<Vec<Table>>, merged: &mut Vec<Box<dyn Transform>>| {
            if let Some(tables) = tables.take() {
                merged.push(Box::new(Fixed(Op::Table(Arc::new(tables)))));
            }
        };
        for transform in transforms {
            let Some(ops) = transform.fixed() else {
                flush(&mut tables, &mut merged);
                merged.push(transform);
                continue;
            };
            for op in ops {
                match (op, &mut tables) {
                    (Op::Identity, _) => {}
                    (Op::ToFloat { scale }, None) => tables = Some(vec![cast_table(scale)]),
                    (Op::Normalize { mean, std }, Some(tables)) if tables.len() == 1 || mean.len() == tables.len() => {
                        *tables = mean
                            .iter()
                            .zip(&std)
                            .enumerate()
                            .map(|(channel, (mean, std))| {
                                normalized(tables.get(channel).unwrap_or(&tables[0]), *mean, *std)
                            })
                            .collect();
                    }
                    (op, _) => {
                        flush(&mut tables, &mut merged);
                        merged.push(Box::new(Fixed(op)));
                    }
                }
            }
        }
        flush(&mut tables, &mut merged);
        let tables = match merged.as_slice() {
            [only] => only.fixed().and_then(|ops| match ops.as_slice() {
                [Op::Table(tables)] => Some(tables.clone()),
                _ => None,
            }),
            _ => None,
        };
        Pipeline { transforms: Arc::new(merged), tables }
    }

    /// The usual pipeline of a data set: bytes to 0…1, then normalized by these means and deviations.
    pub fn normalize(mean: &[f32], std: &[f32]) -> Self {
        let normalize = Op::Normalize { mean: mean.to_vec(), std: std.to_vec() };
        Pipeline::new(vec![Box::new(Fixed(Op::ToFloat { scale: 1.0 / 255.0 })), Box::new(Fixed(normalize))])
    }

    /// Draws what is to be done to a picture of this size.
    ///
    /// # Errors
    /// When a transform cannot act on a picture of its size.
    pub fn plan(&self, canvas: Canvas, rng: &mut Rng) -> Result<Plan> {
        let mut plan = Plan::new(canvas);
        for transform in self.transforms.iter() {
            transform.plan(rng, &mut plan)?;
        }
        Ok(plan)
    }

    /// Transforms a picture with the randomness of a sample.
    ///
    /// # Errors
    /// As [`Pipeline::plan`], and when an operation meets a picture of another kind than it acts on.
    pub fn run(&self, picture: impl Into<Picture>, key: SampleKey) -> Result<Picture> {
        let picture = picture.into();
        let (channels, height, width) = picture.size();
        let plan = self.plan(Canvas { height, width, channels }, &mut Rng::of(key))?;
        plan.ops.iter().try_fold(picture, |picture, op| op.apply(picture))
    }

    /// The plan for a picture of this size that is yet to be decoded, with the randomness of a sample.
    ///
    /// # Errors
    /// As [`Pipeline::plan`].
    pub fn windowed(&self, canvas: Canvas, key: SampleKey) -> Result<Windowed> {
        Ok(Windowed::new(canvas, self.plan(canvas, &mut Rng::of(key))?))
    }

    /// What black and white bytes are after the transforms, a channel each: floats are shown as pictures by it.
    pub fn levels(&self, channels: usize) -> Vec<[f32; 2]> {
        let mut levels = vec![[0.0, 255.0]; channels];
        for op in self.transforms.iter().filter_map(|transform| transform.fixed()).flatten() {
            let of = |values: &[f32], channel: usize| values.get(channel).or(values.first()).copied();
            for (channel, level) in levels.iter_mut().enumerate() {
                *level = match &op {
                    Op::ToFloat { scale } => level.map(|value| value * scale),
                    Op::ToBytes => [0.0, 255.0],
                    Op::Table(tables) => match tables.get(channel).or(tables.first()) {
                        Some(table) => [table[0], table[255]],
                        None => *level,
                    },
                    Op::Normalize { mean, std } => {
                        let (mean, std) = (of(mean, channel).unwrap_or(0.0), of(std, channel).unwrap_or(1.0));
                        level.map(|value| (value - mean) / std)
                    }
                    _ => *level,
                };
            }
        }
        levels
    }

    /// The tables by which an image of this many channels becomes floats, when that is all that the transforms do.
    pub fn tables(&self, channels: usize) -> Option<Vec<Table>> {
        match self.tables.as_ref()?.as_slice() {
            [one] => Some(vec![*one; channels]),
            tables if tables.len() == channels => Some(tables.to_vec()),
            _ => None,
        }
    }
}

pub(super) fn register(registry: &mut Registry) {
    registry.add::<Compose>();
}
