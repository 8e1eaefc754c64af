//! The share of samples of which everything is right.

use tch::{Kind, Tensor};

use super::{Multidim, Task, TaskName, check_classes, check_labels, check_task, half};
use crate::error::Result;
use crate::metrics::args::{Arguments, metrics};
use crate::metrics::inputs::{label_dimension, labels, masks, not_a_class, not_binary};
use crate::metrics::store::{Definition, Store};
use crate::metrics::{Update, Value};
use crate::registry::{Check, Fraction, Registry};

pub(super) fn register(registry: &mut Registry) {
    registry.add::<ExactMatch>();
    registry.add::<MulticlassExactMatch>();
    registry.add::<MultilabelExactMatch>();
}

metrics! {
    /// The share of samples of which everything is right, for the task that `task` names.
    ExactMatch ["torchmetrics.ExactMatch", "torchmetrics.classification.ExactMatch"] {
        /// multiclass or multilabel.
        task: TaskName,
        /// Above it a score is positive, from 0 to 1 (multilabel).
        #[serde(default = "half")]
        threshold: Fraction,
        /// How many classes (multiclass).
        #[serde(default)]
        num_classes: Option<i64>,
        /// How many labels (multilabel).
        #[serde(default)]
        num_labels: Option<i64>,
        /// global or samplewise.
        #[serde(default)]
        multidim_average: Multidim,
        /// The target that is right whatever is predicted.
        #[serde(default)]
        ignore_index: Option<i64>,
    }
    /// The share of samples `(N, ...)` of which every place has the right class.
    MulticlassExactMatch ["torchmetrics.classification.MulticlassExactMatch"] {
        /// How many classes.
        num_classes: i64,
        /// global or samplewise.
        #[serde(default)]
        multidim_average: Multidim,
        /// The target that is right whatever is predicted.
        #[serde(default)]
        ignore_index: Option<i64>,
    }
    /// The share of samples (places of `(N, L, ...)`) of which every label is right.
    MultilabelExactMatch ["torchmetrics.classification.MultilabelExactMatch"] {
        /// How many labels.
        num_labels: i64,
        /// Above it a score is positive, from 0 to 1.
        #[serde(default = "half")]
        threshold: Fraction,
        /// global or samplewise.
        #[serde(default)]
        multidim_average: Multidim,
        /// The target that is right whatever is predicted.
        #[serde(default)]
        ignore_index: Option<i64>,
    }
}

/// Right samples and all samples.
#[derive(Debug)]
pub struct Matches {
    task: Task,
    samplewise: bool,
    ignore_index: Option<i64>,
}

impl Arguments for ExactMatch {
    type Definition = Matches;
    fn validate(&self, cx: &mut Check) {
        if self.task == TaskName::Binary {
            cx.problem(
                "task",
                "an exact match is of multiclass or multilabel predictions; of binary ones it is the accuracy",
            );
        }
        check_task(cx, self.task, self.num_classes, self.num_labels, None);
    }
    fn define(self) -> Matches {
        Matches {
            task: Task::named(self.task, self.threshold.0, self.num_classes, self.num_labels, None),
            samplewise: self.multidim_average == Multidim::Samplewise,
            ignore_index: self.ignore_index,
        }
    }
}

impl Arguments for MulticlassExactMatch {
    type Definition = Matches;
    fn validate(&self, cx: &mut Check) {
        check_classes(cx, Some(self.num_classes), None, true);
    }
    fn define(self) -> Matches {
        Matches {
            task: Task::Multiclass { classes: Some(self.num_classes), top_k: 1 },
            samplewise: self.multidim_average == Multidim::Samplewise,
            ignore_index: self.ignore_index,
        }
    }
}

impl Arguments for MultilabelExactMatch {
    type Definition = Matches;
    fn validate(&self, cx: &mut Check) {
        check_labels(cx, Some(self.num_labels));
    }
    fn define(self) -> Matches {
        Matches {
            task: Task::Multilabel { labels: self.num_labels, threshold: self.threshold.0 },
            samplewise: self.multidim_average == Multidim::Samplewise,
            ignore_index: self.ignore_index,
        }
    }
}

impl Matches {
    /// Per sample (and, for labels, place): whether all is right. `[N]` or `[N, X]`.
    fn right(&self, store: &mut Store, preds: &Tensor, target: &Tensor) -> Result<Tensor> {
        match self.task {
            Task::Multiclass { classes, top_k } => {
                let found = labels(store, preds, target, classes, top_k, self.ignore_index)?;
                let right = found.preds.eq_tensor(&found.target).logical_or(&found.valid.logical_not());
                Ok(right.reshape([target.size()[0], -1]).all_dim(1, false))
            }
            Task::Binary { threshold } | Task::Multilabel { threshold, .. } => {
                let labels = self.task.width();
                label_dimension(preds, labels)?;
                let found = masks(store, preds, target, threshold, self.ignore_index)?;
                let wrong = found
                    .hit
                    .logical_and(&found.negative)
                    .logical_or(&found.hit.logical_not().logical_and(&found.positive));
                Ok(wrong.reshape([target.size()[0], labels, -1]).any_dim(1, false).logical_not())
            }
        }
    }
}

impl Definition for Matches {
    fn store(&self) -> Store {
        let store = Store::new().faults();
        if self.samplewise {
            return store.cat("correct").cat("total");
        }
        store.sum("correct", &[], Kind::Int64).sum("total", &[], Kind::Int64)
    }

    fn update(&self, store: &mut Store, update: &Update) -> Result<()> {
        let (preds, target) = update.pair()?;
        let right = self.right(store, preds, target)?;
        if self.samplewise {
            let places = right.reshape([target.size()[0], -1]);
            store.take("correct", &places.sum_dim_intlist([1].as_slice(), false, Kind::Int64));
            store.take("total", &places.ones_like().sum_dim_intlist([1].as_slice(), false, Kind::Int64));
        } else {
            store.take("correct", &right.sum(Kind::Int64));
            store.take("total", &Tensor::from(right.numel() as i64).to_device(right.device()));
        }
        Ok(())
    }

    fn compute(&self, store: &Store) -> Result<Value> {
        store.sound(|value| match self.task {
            Task::Multiclass { classes, .. } => not_a_class(value, classes.unwrap_or(0)),
            _ => not_binary(value),
        })?;
        Ok(super::divide(&store.double("correct"), &store.double("total"), 0.0).to_kind(Kind::Float).into())
    }

    fn higher_is_better(&self) -> Option<bool> {
        Some(true)
    }
}
