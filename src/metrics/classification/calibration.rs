//! How far confidence is from the share of right predictions (Guo et al., 2017, arXiv:1706.04599).

use tch::{Kind, Tensor};

use super::confusion::binary_truth;
use super::{TaskName, check_classes};
use crate::error::{Error, Result};
use crate::metrics::args::{Arguments, metrics};
use crate::metrics::inputs::{Normalize, has_scores, not_a_class, not_binary, probabilities, same_shape};
use crate::metrics::store::{Definition, Store};
use crate::metrics::{Update, Value};
use crate::registry::{Check, Registry};

pub(super) fn register(registry: &mut Registry) {
    registry.add::<CalibrationError>();
    registry.add::<BinaryCalibrationError>();
    registry.add::<MulticlassCalibrationError>();
}

/// How the bins' errors become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Norm {
    /// Their mean, weighted by how full the bins are.
    #[default]
    L1,
    /// The root of the weighted mean of their squares.
    L2,
    /// The largest.
    Max,
}

fn fifteen() -> u64 {
    15
}

metrics! {
    /// Expected calibration error, for the task that `task` names.
    CalibrationError ["torchmetrics.CalibrationError", "torchmetrics.classification.CalibrationError"] {
        /// binary or multiclass.
        task: TaskName,
        /// Into how many bins of equal width [0, 1] is cut, 1 or more.
        #[serde(default = "fifteen")]
        n_bins: u64,
        /// l1, l2 or max: how the bins' errors become one.
        #[serde(default)]
        norm: Norm,
        /// How many classes (multiclass).
        #[serde(default)]
        num_classes: Option<i64>,
        /// The target that does not count.
        #[serde(default)]
        ignore_index: Option<i64>,
    }
    /// Expected calibration error of binary scores: the score against the share of positives.
    BinaryCalibrationError ["torchmetrics.classification.BinaryCalibrationError"] {
        /// Into how many bins of equal width [0, 1] is cut, 1 or more.
        #[serde(default = "fifteen")]
        n_bins: u64,
        /// l1, l2 or max: how the bins' errors become one.
        #[serde(default)]
        norm: Norm,
        /// The target that does not count.
        #[serde(default)]
        ignore_index: Option<i64>,
    }
    /// Expected calibration error of class scores: the best score against the share of right predictions.
    MulticlassCalibrationError ["torchmetrics.classification.MulticlassCalibrationError"] {
        /// How many classes.
        num_classes: i64,
        /// Into how many bins of equal width [0, 1] is cut, 1 or more.
        #[serde(default = "fifteen")]
        n_bins: u64,
        /// l1, l2 or max: how the bins' errors become one.
        #[serde(default)]
        norm: Norm,
        /// The target that does not count.
        #[serde(default)]
        ignore_index: Option<i64>,
    }
}

/// Per bin: how many, the sum of their confidence, how many right.
#[derive(Debug)]
pub struct Calibration {
    /// `None` for a binary task.
    classes: Option<i64>,
    bins: i64,
    norm: Norm,
    ignore_index: Option<i64>,
}

fn check_bins(cx: &mut Check, bins: u64) {
    if bins == 0 || bins > 1_000_000 {
        cx.problem("n_bins", "there are 1 to 1000000 bins");
    }
}

impl Arguments for CalibrationError {
    type Definition = Calibration;
    fn validate(&self, cx: &mut Check) {
        check_bins(cx, self.n_bins);
        match self.task {
            TaskName::Binary => {}
            TaskName::Multiclass => check_classes(cx, self.num_classes, None, true),
            TaskName::Multilabel => {
                cx.problem("task", "the calibration error is of binary or multiclass predictions");
            }
        }
    }
    fn define(self) -> Calibration {
        Calibration {
            classes: self.num_classes.filter(|_| self.task == TaskName::Multiclass),
            bins: self.n_bins as i64,
            norm: self.norm,
            ignore_index: self.ignore_index,
        }
    }
}

impl Arguments for BinaryCalibrationError {
    type Definition = Calibration;
    fn validate(&self, cx: &mut Check) {
        check_bins(cx, self.n_bins);
    }
    fn define(self) -> Calibration {
        Calibration { classes: None, bins: self.n_bins as i64, norm: self.norm, ignore_index: self.ignore_index }
    }
}

impl Arguments for MulticlassCalibrationError {
    type Definition = Calibration;
    fn validate(&self, cx: &mut Check) {
        check_bins(cx, self.n_bins);
        check_classes(cx, Some(self.num_classes), None, true);
    }
    fn define(self) -> Calibration {
        let classes = Some(self.num_classes);
        Calibration { classes, bins: self.n_bins as i64, norm: self.norm, ignore_index: self.ignore_index }
    }
}

impl Calibration {
    /// Confidence, whether right, and whether it counts; flat.
    fn judged(&self, store: &mut Store, preds: &Tensor, target: &Tensor) -> Result<[Tensor; 3]> {
        if !preds.is_floating_point() {
            return Err(Error::failed("the calibration error needs scores, but the predictions are whole numbers"));
        }
        let Some(classes) = self.classes else {
            same_shape(preds, target)?;
            let (positive, valid) = binary_truth(store, target, self.ignore_index)?;
            return Ok([probabilities(preds, Normalize::Sigmoid, Some(&valid)), positive, valid]);
        };
        if !has_scores(preds, target, Some(classes))? {
            return Err(Error::failed("the calibration error of classes needs scores (N, C, ...) against (N, ...)"));
        }
        let mut valid = match self.ignore_index {
            Some(ignore) => target.ne(ignore),
            None => target.ones_like().to_kind(Kind::Bool),
        };
        let bad = target.lt(0).logical_or(&target.ge(classes)).logical_and(&valid);
        store.fault(target, &bad, |value| not_a_class(value, classes))?;
        valid = valid.logical_and(&bad.logical_not());
        let (confidence, best) = probabilities(preds, Normalize::Softmax, Some(&valid.unsqueeze(1))).max_dim(1, false);
        Ok([confidence, best.eq_tensor(&target.to_kind(Kind::Int64)), valid])
    }
}

const SUMS: [&str; 3] = ["count", "confidence", "right"];

impl Definition for Calibration {
    fn store(&self) -> Store {
        // The last bin is for a confidence of exactly 1.
        SUMS.into_iter().fold(Store::new(), |store, name| store.sum(name, &[self.bins + 1], Kind::Double)).faults()
    }

    fn update(&self, store: &mut Store, update: &Update) -> Result<()> {
        let (preds, target) = update.pair()?;
        let [confidence, right, valid] = self.judged(store, preds, target)?.map(|tensor| tensor.flatten(0, -1));
        let kind = if confidence.kind() == Kind::Double { Kind::Double } else { Kind::Float };
        let confidence = confidence.to_kind(kind);
        let edges = Tensor::linspace(0.0, 1.0, self.bins + 1, (kind, confidence.device()));
        let bin = (confidence.bucketize(&edges, false, true) - 1).clamp(0, self.bins);
        let weight = valid.to_kind(Kind::Double);
        let sums = [weight.copy(), confidence.to_kind(Kind::Double) * &weight, right.to_kind(Kind::Double) * &weight];
        for (name, values) in SUMS.into_iter().zip(sums) {
            let empty = Tensor::zeros([self.bins + 1], (Kind::Double, values.device()));
            store.take(name, &empty.scatter_add(0, &bin, &values));
        }
        Ok(())
    }

    fn compute(&self, store: &Store) -> Result<Value> {
        store.sound(|value| self.classes.map_or_else(|| not_binary(value), |classes| not_a_class(value, classes)))?;
        let [count, confidence, right] = SUMS.map(|name| store.double(name));
        let off = ((right - confidence) / &count).nan_to_num(0.0, None, None).abs();
        let share = &count / count.sum(None::<Kind>);
        let value = match self.norm {
            Norm::L1 => (off * share).sum(None::<Kind>),
            Norm::L2 => (off.square() * share).sum(None::<Kind>).sqrt(),
            Norm::Max => off.max(),
        };
        Ok(value.to_kind(Kind::Float).into())
    }

    fn higher_is_better(&self) -> Option<bool> {
        Some(false)
    }
}
