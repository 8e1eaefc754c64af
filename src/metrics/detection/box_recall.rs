//! DeepForest's box recall and precision at one IoU.

use indexmap::IndexMap;
use tch::Tensor;

use super::assignment::assign;
use super::{BoxFormat, FOUND, TRUE, images, keep, keep_column, numbers, per_image, split};
use crate::error::Result;
use crate::metrics::args::{Arguments, metrics};
use crate::metrics::store::{Definition, Store};
use crate::metrics::{Update, Value};
use crate::registry::{Fraction, Registry};

pub(super) fn register(registry: &mut Registry) {
    registry.add::<BoxRecall>();
}

fn threshold() -> Fraction {
    Fraction(0.4)
}

metrics! {
    /// Box recall and precision at one IoU, as DeepForest evaluates crowns. Per image the boxes are paired one to
    /// one so that the total intersection area is largest; a pair counts when its IoU is above the threshold.
    /// `box_recall` is the mean over the images with targets, `box_precision` over those with both (nan without
    /// any), `pooled_…` the same over the sums; `greedy_…` instead gives each prediction, best score first, the
    /// free target of largest IoU, at least the threshold, over all images.
    BoxRecall ["deepforest.evaluate.evaluate_boxes", "runner.metrics.BoxRecallPrecision"] {
        /// The IoU above which a pair counts, from 0 to 1.
        #[serde(default = "threshold")]
        iou_threshold: Fraction,
        /// xyxy, xywh or cxcywh: what the four numbers of a box are.
        #[serde(default)]
        box_format: BoxFormat,
    }
}

/// Kept boxes, paired at the end.
#[derive(Debug)]
pub struct Pairing {
    threshold: f64,
    format: BoxFormat,
}

impl Arguments for BoxRecall {
    type Definition = Pairing;
    fn define(self) -> Pairing {
        Pairing { threshold: self.iou_threshold.0, format: self.box_format }
    }
}

type Corners = [f64; 4];

fn area([x1, y1, x2, y2]: &Corners) -> f64 {
    (x2 - x1).max(0.0) * (y2 - y1).max(0.0)
}

fn intersection(a: &Corners, b: &Corners) -> f64 {
    area(&[a[0].max(b[0]), a[1].max(b[1]), a[2].min(b[2]), a[3].min(b[3])])
}

fn iou(a: &Corners, b: &Corners) -> f64 {
    let shared = intersection(a, b);
    let union = area(a) + area(b) - shared;
    if union > 0.0 { shared / union } else { 0.0 }
}

impl Pairing {
    /// Right predictions when pairs make the total intersection largest.
    fn paired(&self, found: &[Corners], truth: &[Corners]) -> usize {
        let areas: Vec<Vec<f64>> = truth.iter().map(|t| found.iter().map(|f| intersection(f, t)).collect()).collect();
        let pairs = assign(&areas, found.len());
        let right = |(t, f): &(usize, Option<usize>)| f.is_some_and(|f| iou(&found[f], &truth[*t]) > self.threshold);
        pairs.into_iter().enumerate().filter(right).count()
    }

    /// Right predictions when the best score chooses first.
    fn greedy(&self, found: &[Corners], scores: &[f64], truth: &[Corners]) -> usize {
        let mut order: Vec<usize> = (0..found.len()).collect();
        order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
        let mut free: Vec<usize> = (0..truth.len()).collect();
        let mut right = 0;
        for f in order {
            let best = free.iter().enumerate().map(|(place, t)| (place, iou(&found[f], &truth[*t]))).fold(
                None,
                |best: Option<(usize, f64)>, (place, iou)| match best {
                    Some((_, most)) if iou <= most => best,
                    _ => Some((place, iou)),
                },
            );
            if let Some((place, _)) = best.filter(|(_, iou)| *iou >= self.threshold) {
                free.remove(place);
                right += 1;
            }
        }
        right
    }
}

/// A share that is collected image by image and as a whole.
#[derive(Default)]
struct Share {
    each: Vec<f64>,
    right: usize,
    of: usize,
}

impl Share {
    fn add(&mut self, right: usize, of: usize) {
        self.each.push(right as f64 / of as f64);
        self.right += right;
        self.of += of;
    }

    fn mean(&self) -> f64 {
        self.each.iter().sum::<f64>() / self.each.len() as f64
    }

    fn pooled(&self) -> f64 {
        self.right as f64 / self.of as f64
    }
}

const SCORES: &str = "detection_scores";

impl Definition for Pairing {
    fn store(&self) -> Store {
        [FOUND, TRUE].into_iter().flatten().fold(Store::new(), Store::cat).cat(SCORES)
    }

    fn update(&self, store: &mut Store, update: &Update) -> Result<()> {
        let (preds, target) = images(update, true)?;
        keep(store, FOUND, preds, |boxes| self.format.corners(boxes));
        keep_column(store, SCORES, preds, |image| image.scores.as_ref());
        keep(store, TRUE, target, |boxes| self.format.corners(boxes));
        Ok(())
    }

    fn compute(&self, store: &Store) -> Result<Value> {
        let (found, truth) = (per_image(store, FOUND)?, per_image(store, TRUE)?);
        let scores = split(numbers(store, SCORES)?, &found);
        let corners = |boxes: &[(Corners, i64)]| boxes.iter().map(|(corners, _)| *corners).collect::<Vec<_>>();
        let (mut recall, mut precision) = (Share::default(), Share::default());
        let (mut greedy, mut predictions, mut targets) = (0, 0, 0);
        for ((found, truth), scores) in found.iter().zip(&truth).zip(&scores) {
            let (found, truth) = (corners(found), corners(truth));
            predictions += found.len();
            targets += truth.len();
            greedy += self.greedy(&found, scores, &truth);
            if !truth.is_empty() {
                let right = self.paired(&found, &truth);
                recall.add(right, truth.len());
                if !found.is_empty() {
                    precision.add(right, found.len());
                }
            }
        }
        let values = [
            ("box_recall", recall.mean()),
            ("box_precision", precision.mean()),
            ("pooled_recall", recall.pooled()),
            ("pooled_precision", precision.pooled()),
            ("greedy_recall", greedy as f64 / targets as f64),
            ("greedy_precision", greedy as f64 / predictions as f64),
        ];
        Ok(Value::Map(IndexMap::from(values.map(|(name, value)| (name.to_owned(), Tensor::from(value).into())))))
    }

    fn higher_is_better(&self) -> Option<bool> {
        Some(true)
    }
}
