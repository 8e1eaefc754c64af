//! The mean overlap of predicted with true boxes, in four measures.

use indexmap::IndexMap;
use std::f64::consts::PI;
use tch::{Device, Kind, Tensor};

use super::{BoxFormat, images, numbers};
use crate::error::Result;
use crate::metrics::args::{Arguments, metrics};
use crate::metrics::store::{Definition, Store};
use crate::metrics::{Boxes, Update, Value};
use crate::registry::Registry;

fn yes() -> bool {
    true
}

/// The four components, which differ in the measure.
macro_rules! overlaps {
    ($($(#[$doc:meta])* $name:ident [$($target:literal),+] $measure:ident;)+) => {
        metrics! {
            $(
                $(#[$doc])*
                $name [$($target),+] {
                    /// xyxy, xywh or cxcywh: what the four numbers of a box are.
                    #[serde(default)]
                    box_format: BoxFormat,
                    /// Pairs below it are left out.
                    #[serde(default)]
                    iou_threshold: Option<f64>,
                    /// Also gives the mean per class.
                    #[serde(default)]
                    class_metrics: bool,
                    /// Leaves out pairs of different labels.
                    #[serde(default = "yes")]
                    respect_labels: bool,
                }
            )+
        }
        $(
            impl Arguments for $name {
                type Definition = Overlaps;
                fn define(self) -> Overlaps {
                    Overlaps {
                        measure: Measure::$measure,
                        format: self.box_format,
                        threshold: self.iou_threshold,
                        class_metrics: self.class_metrics,
                        respect_labels: self.respect_labels,
                    }
                }
            }
        )+
        pub(super) fn register(registry: &mut Registry) {
            $(registry.add::<$name>();)+
        }
    };
}

overlaps! {
    /// Intersection over union of the pairs of predicted and true boxes.
    IntersectionOverUnion [
        "torchmetrics.detection.IntersectionOverUnion", "torchmetrics.detection.iou.IntersectionOverUnion"
    ] Plain;
    /// Generalized IoU (Rezatofighi et al., 2019) of the pairs of predicted and true boxes.
    GeneralizedIntersectionOverUnion [
        "torchmetrics.detection.GeneralizedIntersectionOverUnion",
        "torchmetrics.detection.giou.GeneralizedIntersectionOverUnion"
    ] Generalized;
    /// Distance IoU (Zheng et al., 2019) of the pairs of predicted and true boxes.
    DistanceIntersectionOverUnion [
        "torchmetrics.detection.DistanceIntersectionOverUnion",
        "torchmetrics.detection.diou.DistanceIntersectionOverUnion"
    ] Distance;
    /// Complete IoU (Zheng et al., 2019) of the pairs of predicted and true boxes.
    CompleteIntersectionOverUnion [
        "torchmetrics.detection.CompleteIntersectionOverUnion",
        "torchmetrics.detection.ciou.CompleteIntersectionOverUnion"
    ] Complete;
}

/// Which overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Measure {
    Plain,
    Generalized,
    Distance,
    Complete,
}

/// Keeps torchvision's divisions away from 0.
const EPS: f64 = 1e-7;

impl Measure {
    fn name(self) -> &'static str {
        match self {
            Measure::Plain => "iou",
            Measure::Generalized => "giou",
            Measure::Distance => "diou",
            Measure::Complete => "ciou",
        }
    }

    /// The value that says that a pair is left out; none of the measures reaches it but at an extreme.
    fn left_out(self) -> f64 {
        if self == Measure::Complete { -2.0 } else { -1.0 }
    }

    /// Of every pair of boxes `[n, 4]` and `[m, 4]`: `[n, m]`.
    fn of(self, a: &Tensor, b: &Tensor) -> Tensor {
        let corners = |boxes: &Tensor, dim: i64| [0, 1, 2, 3].map(|i| boxes.select(-1, i).unsqueeze(dim));
        let (a, b) = (corners(a, 1), corners(b, 0));
        let area = |[x1, y1, x2, y2]: &[Tensor; 4]| (x2 - x1) * (y2 - y1);
        let inner = |low: usize| (a[low + 2].minimum(&b[low + 2]) - a[low].maximum(&b[low])).clamp_min(0.0);
        let outer = |low: usize| (a[low + 2].maximum(&b[low + 2]) - a[low].minimum(&b[low])).clamp_min(0.0);
        let shared = inner(0) * inner(1);
        let union = area(&a) + area(&b) - &shared;
        let iou = shared / &union;
        if self == Measure::Plain {
            return iou;
        }
        if self == Measure::Generalized {
            let hull = outer(0) * outer(1);
            return iou - (&hull - union) / hull;
        }
        let diagonal = outer(0).square() + outer(1).square() + EPS;
        let apart = |low: usize| ((&a[low] + &a[low + 2]) / 2.0 - (&b[low] + &b[low + 2]) / 2.0).square();
        let distance = &iou - (apart(0) + apart(1)) / diagonal;
        if self == Measure::Distance {
            return distance;
        }
        let angle = |[x1, y1, x2, y2]: &[Tensor; 4]| ((x2 - x1) / (y2 - y1)).atan();
        let aspect = (angle(&a) - angle(&b)).square() * (4.0 / PI.powi(2));
        let alpha = &aspect / (-iou + 1.0 + &aspect + EPS);
        distance - alpha * aspect
    }
}

/// The measure of every pair, with the label of its target, and all labels.
#[derive(Debug)]
pub struct Overlaps {
    measure: Measure,
    format: BoxFormat,
    threshold: Option<f64>,
    class_metrics: bool,
    respect_labels: bool,
}

impl Overlaps {
    /// The pairs of one image `[n, m]` and the label of each. An image without predictions gives a 0 for each
    /// target, one without targets a 0 for each prediction (of no class).
    fn pairs(&self, pred: &Boxes, target: &Boxes) -> (Tensor, Tensor) {
        let (found, there) = (pred.labels.numel() as i64, target.labels.numel() as i64);
        let labels = target.labels.to_kind(Kind::Int64);
        let options = (Kind::Float, labels.device());
        if found == 0 || there == 0 {
            let n = found.max(there);
            let each = if there > 0 {
                labels.reshape([1, n])
            } else {
                labels.new_full([1, n], NO_CLASS, (Kind::Int64, options.1))
            };
            // Without labels to compare, torchmetrics counts a whole square of zeros.
            let rows = if self.respect_labels { 1 } else { n };
            return (Tensor::zeros([rows, n], options), each.expand([rows, n], false));
        }
        let corners = |boxes: &Tensor| self.format.corners(&boxes.to_kind(Kind::Float));
        let mut values = self.measure.of(&corners(&pred.boxes), &corners(&target.boxes));
        let left_out = self.measure.left_out();
        if let Some(threshold) = self.threshold {
            values = values.masked_fill(&values.lt(threshold), left_out);
        }
        if self.respect_labels {
            let other = pred.labels.to_kind(Kind::Int64).unsqueeze(1).ne_tensor(&labels.unsqueeze(0));
            values = values.masked_fill(&other, left_out);
        }
        (values, labels.unsqueeze(0).expand([found, there], false))
    }
}

/// The label of a pair that has no target.
const NO_CLASS: i64 = i64::MIN;

const VALUES: &str = "iou_matrix";
const CLASSES: &str = "iou_labels";
const LABELS: &str = "labels";

impl Definition for Overlaps {
    fn store(&self) -> Store {
        Store::new().cat(VALUES).cat(CLASSES).cat(LABELS)
    }

    fn update(&self, store: &mut Store, update: &Update) -> Result<()> {
        let (preds, target) = images(update, false)?;
        for (pred, target) in preds.iter().zip(target) {
            let (values, classes) = self.pairs(pred, target);
            store.take(VALUES, &values.reshape([-1]));
            store.take(CLASSES, &classes.reshape([-1]));
            for labels in [&pred.labels, &target.labels] {
                store.take(LABELS, &labels.to_kind(Kind::Int64).reshape([-1]));
            }
        }
        Ok(())
    }

    fn compute(&self, store: &Store) -> Result<Value> {
        let values = numbers(store, VALUES)?;
        let classes = Vec::<i64>::try_from(store.get(CLASSES).to_kind(Kind::Int64).to_device(Device::Cpu))?;
        let left_out = self.measure.left_out();
        let mean = |class: Option<i64>| {
            let own = |(value, label): &(&f64, &i64)| **value != left_out && class.is_none_or(|class| **label == class);
            let (sum, n) = values.iter().zip(&classes).filter(own).fold((0.0, 0), |(sum, n), (v, _)| (sum + v, n + 1));
            let mean = sum / f64::from(n);
            Tensor::from(if mean.is_nan() { 0.0 } else { mean }).to_kind(Kind::Float)
        };
        let name = self.measure.name();
        let mut value: IndexMap<String, Value> = IndexMap::from([(name.to_owned(), mean(None).into())]);
        if self.class_metrics {
            let mut labels = Vec::<i64>::try_from(store.get(LABELS).to_kind(Kind::Int64).to_device(Device::Cpu))?;
            labels.sort_unstable();
            labels.dedup();
            value.extend(labels.into_iter().map(|class| (format!("{name}/cl_{class}"), mean(Some(class)).into())));
        }
        Ok(Value::Map(value))
    }

    fn higher_is_better(&self) -> Option<bool> {
        Some(true)
    }
}
