//! Metrics with torchmetrics' names, defaults and numbers.
//!
//! A metric accumulates over batches in named state tensors, on the device of its inputs and without waiting for
//! it, and is computed at the end of an epoch.

mod aggregation;
mod args;
mod classification;
mod detection;
mod inputs;
mod regression;
mod store;

use indexmap::IndexMap;
use tch::Tensor;

use crate::error::{Error, Result};
use crate::registry::{Kind, Registry};

pub use store::{Accumulated, Definition, Store};

/// Registers every metric.
pub fn register(registry: &mut Registry) {
    classification::register(registry);
    regression::register(registry);
    detection::register(registry);
    aggregation::register(registry);
}

/// What a metric is updated with.
pub enum Update<'a> {
    /// Predictions (labels, scores or values) against targets.
    Pair {
        /// Predictions.
        preds: &'a Tensor,
        /// Targets.
        target: &'a Tensor,
    },
    /// Values to aggregate, with an optional weight each.
    Value {
        /// The values.
        value: &'a Tensor,
        /// Weights that broadcast to the values.
        weight: Option<&'a Tensor>,
    },
    /// Boxes found and boxes that are there, one element an image.
    Boxes {
        /// Found boxes.
        preds: &'a [Boxes],
        /// True boxes.
        target: &'a [Boxes],
    },
}

impl<'a> Update<'a> {
    /// Predictions and targets.
    ///
    /// # Errors
    /// When it is an update of another kind.
    pub fn pair(&self) -> Result<(&'a Tensor, &'a Tensor)> {
        match *self {
            Update::Pair { preds, target } => Ok((preds, target)),
            _ => Err(Error::failed("the metric takes predictions and targets")),
        }
    }

    /// Values and weights.
    ///
    /// # Errors
    /// When it is an update of another kind.
    pub fn value(&self) -> Result<(&'a Tensor, Option<&'a Tensor>)> {
        match *self {
            Update::Value { value, weight } => Ok((value, weight)),
            _ => Err(Error::failed("the metric takes values, not predictions and targets")),
        }
    }

    /// Found and true boxes, one element an image.
    ///
    /// # Errors
    /// When it is an update of another kind, or one of unequal lengths.
    pub fn boxes(&self) -> Result<(&'a [Boxes], &'a [Boxes])> {
        match *self {
            Update::Boxes { preds, target } if preds.len() != target.len() => Err(Error::failed(format!(
                "{} images with predictions and {} with targets; give one element per image to both",
                preds.len(),
                target.len()
            ))),
            Update::Boxes { preds, target } => Ok((preds, target)),
            _ => Err(Error::failed("the metric takes boxes, one element an image")),
        }
    }
}

/// The boxes of one image.
#[derive(Debug)]
pub struct Boxes {
    /// `[n, 4]`, float, in the metric's box format (xyxy by default), in pixels.
    pub boxes: Tensor,
    /// `[n]`, whole numbers.
    pub labels: Tensor,
    /// `[n]`, float, of predictions.
    pub scores: Option<Tensor>,
    /// `[n]`, 1 for a crowd region, of targets.
    pub iscrowd: Option<Tensor>,
    /// `[n]`, of targets: the area by which a target is small, medium or large, where it is not the box' own (0: it
    /// is).
    pub area: Option<Tensor>,
}

/// A computed metric.
#[derive(Debug)]
pub enum Value {
    /// A number, or one per class or a matrix.
    Tensor(Tensor),
    /// Several named numbers.
    Map(IndexMap<String, Value>),
}

impl From<Tensor> for Value {
    fn from(tensor: Tensor) -> Self {
        Value::Tensor(tensor)
    }
}

/// How a state tensor is combined across processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// Added.
    Sum,
    /// Joined along the first dimension.
    Cat,
    /// The largest.
    Max,
    /// The smallest.
    Min,
}

/// A metric.
pub trait Metric: Send {
    /// Takes in a batch.
    ///
    /// # Errors
    /// When shapes, types or labels do not fit the metric.
    fn update(&mut self, update: &Update) -> Result<()>;

    /// The value over everything since the last reset.
    fn compute(&self) -> Result<Value>;

    /// Forgets everything.
    fn reset(&mut self);

    /// The accumulated state: names, tensors and how they combine across processes.
    fn state(&self) -> Vec<(String, Tensor, Reduction)>;

    /// Puts accumulated state back, as [`Metric::state`] gave it.
    fn restore(&mut self, state: &IndexMap<String, Tensor>) -> Result<()>;

    /// Whether more is better; `None` where neither is.
    fn higher_is_better(&self) -> Option<bool>;
}

/// The kind of metrics.
pub struct MetricKind;

impl Kind for MetricKind {
    type Built = Box<dyn Metric>;
    const NAME: &'static str = "metric";
    const PARTIAL: bool = true;
}
