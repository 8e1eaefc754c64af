//! The components that are areas under curves.

use super::curves::{Area, Curves, Scored, Thresholds};
use super::{Average, TaskName, check_classes, check_labels, check_task, macro_};
use crate::metrics::args::{Arguments, metrics};
use crate::registry::{Check, Fraction, Registry};

pub(super) fn register(registry: &mut Registry) {
    registry.add::<Auroc>();
    registry.add::<BinaryAuroc>();
    registry.add::<MulticlassAuroc>();
    registry.add::<MultilabelAuroc>();
    registry.add::<AveragePrecision>();
    registry.add::<BinaryAveragePrecision>();
    registry.add::<MulticlassAveragePrecision>();
    registry.add::<MultilabelAveragePrecision>();
}

metrics! {
    /// The area under the receiver operating characteristic, for the task that `task` names.
    Auroc ["torchmetrics.AUROC", "torchmetrics.classification.AUROC"] {
        /// binary, multiclass or multilabel.
        task: TaskName,
        /// At how many or which thresholds the curve is sampled; none: at every score, exactly.
        #[serde(default)]
        thresholds: Option<Thresholds>,
        /// How many classes (multiclass).
        #[serde(default)]
        num_classes: Option<i64>,
        /// How many labels (multilabel).
        #[serde(default)]
        num_labels: Option<i64>,
        /// macro, weighted, none, or micro (multilabel): how classes become one number.
        #[serde(default = "macro_")]
        average: Option<Average>,
        /// Up to which false positive rate, from 0 to 1 (binary).
        #[serde(default)]
        max_fpr: Option<Fraction>,
        /// The target that does not count.
        #[serde(default)]
        ignore_index: Option<i64>,
    }
    /// The area under the receiver operating characteristic of binary scores.
    BinaryAuroc ["torchmetrics.classification.BinaryAUROC"] {
        /// Up to which false positive rate, from 0 to 1.
        #[serde(default)]
        max_fpr: Option<Fraction>,
        /// At how many or which thresholds the curve is sampled; none: at every score, exactly.
        #[serde(default)]
        thresholds: Option<Thresholds>,
        /// The target that does not count.
        #[serde(default)]
        ignore_index: Option<i64>,
    }
    /// The areas under the receiver operating characteristic of each class against the others.
    MulticlassAuroc ["torchmetrics.classification.MulticlassAUROC"] {
        /// How many classes.
        num_classes: i64,
        /// macro, weighted or none: how classes become one number.
        #[serde(default = "macro_")]
        average: Option<Average>,
        /// At how many or which thresholds the curve is sampled; none: at every score, exactly.
        #[serde(default)]
        thresholds: Option<Thresholds>,
        /// The target that does not count.
        #[serde(default)]
        ignore_index: Option<i64>,
    }
    /// The areas under the receiver operating characteristic of labels.
    MultilabelAuroc ["torchmetrics.classification.MultilabelAUROC"] {
        /// How many labels.
        num_labels: i64,
        /// micro, macro, weighted or none: how labels become one number.
        #[serde(default = "macro_")]
        average: Option<Average>,
        /// At how many or which thresholds the curve is sampled; none: at every score, exactly.
        #[serde(default)]
        thresholds: Option<Thresholds>,
        /// The target that does not count.
        #[serde(default)]
        ignore_index: Option<i64>,
    }
    /// Average precision, the area under the precision-recall curve, for the task that `task` names.
    AveragePrecision ["torchmetrics.AveragePrecision", "torchmetrics.classification.AveragePrecision"] {
        /// binary, multiclass or multilabel.
        task: TaskName,
        /// At how many or which thresholds the curve is sampled; none: at every score, exactly.
        #[serde(default)]
        thresholds: Option<Thresholds>,
        /// How many classes (multiclass).
        #[serde(default)]
        num_classes: Option<i64>,
        /// How many labels (multilabel).
        #[serde(default)]
        num_labels: Option<i64>,
        /// macro, weighted, none, or micro (multilabel): how classes become one number.
        #[serde(default = "macro_")]
        average: Option<Average>,
        /// The target that does not count.
        #[serde(default)]
        ignore_index: Option<i64>,
    }
    /// Average precision of binary scores.
    BinaryAveragePrecision ["torchmetrics.classification.BinaryAveragePrecision"] {
        /// At how many or which thresholds the curve is sampled; none: at every score, exactly.
        #[serde(default)]
        thresholds: Option<Thresholds>,
        /// The target that does not count.
        #[serde(default)]
        ignore_index: Option<i64>,
    }
    /// Average precision of each class against the others.
    MulticlassAveragePrecision ["torchmetrics.classification.MulticlassAveragePrecision"] {
        /// How many classes.
        num_classes: i64,
        /// macro, weighted or none: how classes become one number.
        #[serde(default = "macro_")]
        average: Option<Average>,
        /// At how many or which thresholds the curve is sampled; none: at every score, exactly.
        #[serde(default)]
        thresholds: Option<Thresholds>,
        /// The target that does not count.
        #[serde(default)]
        ignore_index: Option<i64>,
    }
    /// Average precision of labels.
    MultilabelAveragePrecision ["torchmetrics.classification.MultilabelAveragePrecision"] {
        /// How many labels.
        num_labels: i64,
        /// micro, macro, weighted or none: how labels become one number.
        #[serde(default = "macro_")]
        average: Option<Average>,
        /// At how many or which thresholds the curve is sampled; none: at every score, exactly.
        #[serde(default)]
        thresholds: Option<Thresholds>,
        /// The target that does not count.
        #[serde(default)]
        ignore_index: Option<i64>,
    }
}

fn scored(task: TaskName, classes: Option<i64>, labels: Option<i64>) -> Scored {
    match task {
        TaskName::Binary => Scored::Binary,
        // `validate` refuses a missing number before anything is defined.
        TaskName::Multiclass => Scored::Classes(classes.unwrap_or(0)),
        TaskName::Multilabel => Scored::Labels(labels.unwrap_or(0)),
    }
}

fn check_average(cx: &mut Check, task: TaskName, average: Option<Average>) {
    if task == TaskName::Multiclass && average == Some(Average::Micro) {
        cx.problem("average", "the curves of classes are averaged by macro, weighted or none");
    }
}

fn check_limit(cx: &mut Check, max_fpr: Option<Fraction>) {
    if max_fpr.is_some_and(|limit| limit.0 == 0.0) {
        cx.problem("max_fpr", "the area up to a false positive rate of 0 is empty; give a number above 0");
    }
}

impl Arguments for Auroc {
    type Definition = Curves;
    fn validate(&self, cx: &mut Check) {
        check_task(cx, self.task, self.num_classes, self.num_labels, None);
        check_average(cx, self.task, self.average);
        check_limit(cx, self.max_fpr);
    }
    fn define(self) -> Curves {
        let max_fpr = self.max_fpr.filter(|_| self.task == TaskName::Binary).map(|limit| limit.0);
        Curves {
            scored: scored(self.task, self.num_classes, self.num_labels),
            area: Area::Roc { max_fpr },
            average: self.average.unwrap_or(Average::None),
            thresholds: self.thresholds,
            ignore_index: self.ignore_index,
        }
    }
}

impl Arguments for BinaryAuroc {
    type Definition = Curves;
    fn validate(&self, cx: &mut Check) {
        check_limit(cx, self.max_fpr);
    }
    fn define(self) -> Curves {
        Curves {
            scored: Scored::Binary,
            area: Area::Roc { max_fpr: self.max_fpr.map(|limit| limit.0) },
            average: Average::None,
            thresholds: self.thresholds,
            ignore_index: self.ignore_index,
        }
    }
}

impl Arguments for AveragePrecision {
    type Definition = Curves;
    fn validate(&self, cx: &mut Check) {
        check_task(cx, self.task, self.num_classes, self.num_labels, None);
        check_average(cx, self.task, self.average);
    }
    fn define(self) -> Curves {
        Curves {
            scored: scored(self.task, self.num_classes, self.num_labels),
            area: Area::PrecisionRecall,
            average: self.average.unwrap_or(Average::None),
            thresholds: self.thresholds,
            ignore_index: self.ignore_index,
        }
    }
}

impl Arguments for BinaryAveragePrecision {
    type Definition = Curves;
    fn define(self) -> Curves {
        Curves {
            scored: Scored::Binary,
            area: Area::PrecisionRecall,
            average: Average::None,
            thresholds: self.thresholds,
            ignore_index: self.ignore_index,
        }
    }
}

macro_rules! of_classes {
    ($($name:ident: $area:expr),*) => {
        $(impl Arguments for $name {
            type Definition = Curves;
            fn validate(&self, cx: &mut Check) {
                check_classes(cx, Some(self.num_classes), None, true);
                check_average(cx, TaskName::Multiclass, self.average);
            }
            fn define(self) -> Curves {
                Curves {
                    scored: Scored::Classes(self.num_classes),
                    area: $area,
                    average: self.average.unwrap_or(Average::None),
                    thresholds: self.thresholds,
                    ignore_index: self.ignore_index,
                }
            }
        })*
    };
}
of_classes!(MulticlassAuroc: Area::Roc { max_fpr: None }, MulticlassAveragePrecision: Area::PrecisionRecall);

macro_rules! of_labels {
    ($($name:ident: $area:expr),*) => {
        $(impl Arguments for $name {
            type Definition = Curves;
            fn validate(&self, cx: &mut Check) {
                check_labels(cx, Some(self.num_labels));
            }
            fn define(self) -> Curves {
                Curves {
                    scored: Scored::Labels(self.num_labels),
                    area: $area,
                    average: self.average.unwrap_or(Average::None),
                    thresholds: self.thresholds,
                    ignore_index: self.ignore_index,
                }
            }
        })*
    };
}
of_labels!(MultilabelAuroc: Area::Roc { max_fpr: None }, MultilabelAveragePrecision: Area::PrecisionRecall);
