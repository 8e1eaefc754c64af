//! The components that are computed from a confusion matrix.

#![allow(clippy::no_effect, reason = "a metric without checks of its own has an empty one")]

use super::confusion::{Confusion, Of, Share, Weighting};
use super::{Average, Task, TaskName, check_classes, check_labels, check_task, check_zero_division, half, macro_};
use crate::metrics::args::{Arguments, metrics};
use crate::registry::{Check, Fraction, Registry};

/// All components of this file, with how each makes its definition: the task it is about, and what it computes.
macro_rules! matrices {
    ($(
        $(#[$doc:meta])*
        $name:ident [$($target:literal),+] {
            $($(#[$field_doc:meta])* $field:ident: $type:ty,)*
        }
        check |$checked:ident, $cx:ident| $check:expr;
        make |$args:ident| $task:expr, $of:expr;
    )+) => {
        metrics! {
            $(
                $(#[$doc])*
                $name [$($target),+] {
                    $($(#[$field_doc])* $field: $type,)*
                    /// The target that does not count.
                    #[serde(default)]
                    ignore_index: Option<i64>,
                }
            )+
        }
        $(
            impl Arguments for $name {
                type Definition = Confusion;
                fn validate(&self, cx: &mut Check) {
                    let ($checked, $cx) = (self, cx);
                    $check;
                }
                fn define(self) -> Confusion {
                    let $args = &self;
                    Confusion { task: $task, of: $of, ignore_index: self.ignore_index }
                }
            }
        )+
        pub(super) fn register(registry: &mut Registry) {
            $(registry.add::<$name>();)+
        }
    };
}

fn jaccard(average: Option<Average>, zero_division: f64) -> Of {
    Of::Jaccard { average: average.unwrap_or(Average::None), zero_division }
}

fn check_jaccard(cx: &mut Check, zero_division: f64) {
    check_zero_division(cx, zero_division);
}

matrices! {
    /// The confusion matrix, rows true and columns predicted, for the task that `task` names.
    ConfusionMatrix ["torchmetrics.ConfusionMatrix", "torchmetrics.classification.ConfusionMatrix"] {
        /// binary, multiclass or multilabel.
        task: TaskName,
        /// Above it a score is positive, from 0 to 1 (binary, multilabel).
        #[serde(default = "half")]
        threshold: Fraction,
        /// How many classes (multiclass).
        #[serde(default)]
        num_classes: Option<i64>,
        /// How many labels (multilabel).
        #[serde(default)]
        num_labels: Option<i64>,
        /// true, pred, all or none: over what the counts are divided.
        #[serde(default)]
        normalize: Option<Share>,
    }
    check |args, cx| check_task(cx, args.task, args.num_classes, args.num_labels, None);
    make |args| Task::named(args.task, args.threshold.0, args.num_classes, args.num_labels, None),
        Of::Matrix(args.normalize.unwrap_or(Share::None));

    /// The confusion matrix `[2, 2]` of binary predictions.
    BinaryConfusionMatrix ["torchmetrics.classification.BinaryConfusionMatrix"] {
        /// Above it a score is positive, from 0 to 1.
        #[serde(default = "half")]
        threshold: Fraction,
        /// true, pred, all or none: over what the counts are divided.
        #[serde(default)]
        normalize: Option<Share>,
    }
    check |_args, _cx| ();
    make |args| Task::Binary { threshold: args.threshold.0 }, Of::Matrix(args.normalize.unwrap_or(Share::None));

    /// The confusion matrix `[C, C]` of classes.
    MulticlassConfusionMatrix ["torchmetrics.classification.MulticlassConfusionMatrix"] {
        /// How many classes.
        num_classes: i64,
        /// true, pred, all or none: over what the counts are divided.
        #[serde(default)]
        normalize: Option<Share>,
    }
    check |args, cx| check_classes(cx, Some(args.num_classes), None, true);
    make |args| Task::Multiclass { classes: Some(args.num_classes), top_k: 1 },
        Of::Matrix(args.normalize.unwrap_or(Share::None));

    /// The confusion matrices `[L, 2, 2]` of labels.
    MultilabelConfusionMatrix ["torchmetrics.classification.MultilabelConfusionMatrix"] {
        /// How many labels.
        num_labels: i64,
        /// Above it a score is positive, from 0 to 1.
        #[serde(default = "half")]
        threshold: Fraction,
        /// true, pred, all or none: over what the counts are divided.
        #[serde(default)]
        normalize: Option<Share>,
    }
    check |args, cx| check_labels(cx, Some(args.num_labels));
    make |args| Task::Multilabel { labels: args.num_labels, threshold: args.threshold.0 },
        Of::Matrix(args.normalize.unwrap_or(Share::None));

    /// Cohen's kappa, the agreement beyond chance, for the task that `task` names.
    CohenKappa ["torchmetrics.CohenKappa", "torchmetrics.classification.CohenKappa"] {
        /// binary or multiclass.
        task: TaskName,
        /// Above it a score is positive, from 0 to 1 (binary).
        #[serde(default = "half")]
        threshold: Fraction,
        /// How many classes (multiclass).
        #[serde(default)]
        num_classes: Option<i64>,
        /// linear, quadratic or none: how much it matters how far off a class is.
        #[serde(default)]
        weights: Option<Weighting>,
    }
    check |args, cx| match args.task {
        TaskName::Multilabel => {
            cx.problem("task", "kappa is of binary or multiclass predictions");
        }
        task => check_task(cx, task, args.num_classes, None, None),
    };
    make |args| Task::named(args.task, args.threshold.0, args.num_classes, None, None),
        Of::Kappa(args.weights.unwrap_or(Weighting::None));

    /// Cohen's kappa of binary predictions.
    BinaryCohenKappa ["torchmetrics.classification.BinaryCohenKappa"] {
        /// Above it a score is positive, from 0 to 1.
        #[serde(default = "half")]
        threshold: Fraction,
        /// linear, quadratic or none.
        #[serde(default)]
        weights: Option<Weighting>,
    }
    check |_args, _cx| ();
    make |args| Task::Binary { threshold: args.threshold.0 }, Of::Kappa(args.weights.unwrap_or(Weighting::None));

    /// Cohen's kappa of classes.
    MulticlassCohenKappa ["torchmetrics.classification.MulticlassCohenKappa"] {
        /// How many classes.
        num_classes: i64,
        /// linear, quadratic or none: how much it matters how far off a class is.
        #[serde(default)]
        weights: Option<Weighting>,
    }
    check |args, cx| check_classes(cx, Some(args.num_classes), None, true);
    make |args| Task::Multiclass { classes: Some(args.num_classes), top_k: 1 },
        Of::Kappa(args.weights.unwrap_or(Weighting::None));

    /// Matthews' correlation coefficient, for the task that `task` names.
    MatthewsCorrCoef ["torchmetrics.MatthewsCorrCoef", "torchmetrics.classification.MatthewsCorrCoef"] {
        /// binary, multiclass or multilabel.
        task: TaskName,
        /// Above it a score is positive, from 0 to 1 (binary, multilabel).
        #[serde(default = "half")]
        threshold: Fraction,
        /// How many classes (multiclass).
        #[serde(default)]
        num_classes: Option<i64>,
        /// How many labels (multilabel).
        #[serde(default)]
        num_labels: Option<i64>,
    }
    check |args, cx| check_task(cx, args.task, args.num_classes, args.num_labels, None);
    make |args| Task::named(args.task, args.threshold.0, args.num_classes, args.num_labels, None), Of::Matthews;

    /// Matthews' correlation coefficient of binary predictions.
    BinaryMatthewsCorrCoef ["torchmetrics.classification.BinaryMatthewsCorrCoef"] {
        /// Above it a score is positive, from 0 to 1.
        #[serde(default = "half")]
        threshold: Fraction,
    }
    check |_args, _cx| ();
    make |args| Task::Binary { threshold: args.threshold.0 }, Of::Matthews;

    /// Matthews' correlation coefficient of classes.
    MulticlassMatthewsCorrCoef ["torchmetrics.classification.MulticlassMatthewsCorrCoef"] {
        /// How many classes.
        num_classes: i64,
    }
    check |args, cx| check_classes(cx, Some(args.num_classes), None, true);
    make |args| Task::Multiclass { classes: Some(args.num_classes), top_k: 1 }, Of::Matthews;

    /// Matthews' correlation coefficient of labels, all together.
    MultilabelMatthewsCorrCoef ["torchmetrics.classification.MultilabelMatthewsCorrCoef"] {
        /// How many labels.
        num_labels: i64,
        /// Above it a score is positive, from 0 to 1.
        #[serde(default = "half")]
        threshold: Fraction,
    }
    check |args, cx| check_labels(cx, Some(args.num_labels));
    make |args| Task::Multilabel { labels: args.num_labels, threshold: args.threshold.0 }, Of::Matthews;

    /// Jaccard's index (intersection over union), for the task that `task` names.
    JaccardIndex ["torchmetrics.JaccardIndex", "torchmetrics.classification.JaccardIndex"] {
        /// binary, multiclass or multilabel.
        task: TaskName,
        /// Above it a score is positive, from 0 to 1 (binary, multilabel).
        #[serde(default = "half")]
        threshold: Fraction,
        /// How many classes (multiclass).
        #[serde(default)]
        num_classes: Option<i64>,
        /// How many labels (multilabel).
        #[serde(default)]
        num_labels: Option<i64>,
        /// micro, macro, weighted or none: how classes become one number.
        #[serde(default = "macro_")]
        average: Option<Average>,
        /// What 0/0 gives: 0 or 1.
        #[serde(default)]
        zero_division: f64,
    }
    check |args, cx| {
        check_jaccard(cx, args.zero_division);
        check_task(cx, args.task, args.num_classes, args.num_labels, None)
    };
    make |args| Task::named(args.task, args.threshold.0, args.num_classes, args.num_labels, None),
        jaccard(args.average, args.zero_division);

    /// Jaccard's index of the positive class.
    BinaryJaccardIndex ["torchmetrics.classification.BinaryJaccardIndex"] {
        /// Above it a score is positive, from 0 to 1.
        #[serde(default = "half")]
        threshold: Fraction,
        /// What 0/0 gives: 0 or 1.
        #[serde(default)]
        zero_division: f64,
    }
    check |args, cx| check_jaccard(cx, args.zero_division);
    make |args| Task::Binary { threshold: args.threshold.0 }, jaccard(None, args.zero_division);

    /// Jaccard's index of classes.
    MulticlassJaccardIndex ["torchmetrics.classification.MulticlassJaccardIndex"] {
        /// How many classes.
        num_classes: i64,
        /// micro, macro, weighted or none: how classes become one number.
        #[serde(default = "macro_")]
        average: Option<Average>,
        /// What 0/0 gives: 0 or 1.
        #[serde(default)]
        zero_division: f64,
    }
    check |args, cx| {
        check_jaccard(cx, args.zero_division);
        check_classes(cx, Some(args.num_classes), None, true)
    };
    make |args| Task::Multiclass { classes: Some(args.num_classes), top_k: 1 }, jaccard(args.average, args.zero_division);

    /// Jaccard's index of labels.
    MultilabelJaccardIndex ["torchmetrics.classification.MultilabelJaccardIndex"] {
        /// How many labels.
        num_labels: i64,
        /// Above it a score is positive, from 0 to 1.
        #[serde(default = "half")]
        threshold: Fraction,
        /// micro, macro, weighted or none: how labels become one number.
        #[serde(default = "macro_")]
        average: Option<Average>,
        /// What 0/0 gives: 0 or 1.
        #[serde(default)]
        zero_division: f64,
    }
    check |args, cx| {
        check_jaccard(cx, args.zero_division);
        check_labels(cx, Some(args.num_labels))
    };
    make |args| Task::Multilabel { labels: args.num_labels, threshold: args.threshold.0 },
        jaccard(args.average, args.zero_division);
}
