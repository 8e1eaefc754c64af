//! The components that are ratios of true and false positives and negatives: a wrapper with `task=`, and one class
//! per task, each.

#![allow(clippy::no_effect, reason = "a metric without checks of its own has an empty one")]

use super::stat_scores::{Score, StatScores};
use super::{Average, Multidim, Task, TaskName, check_classes, check_labels, check_task, check_zero_division};
use super::{half, macro_, micro, one};
use crate::metrics::args::{Arguments, metrics};
use crate::registry::{Check, Fraction, Ignored, Positive, Registry};

fn unit() -> Positive {
    Positive(1.0)
}

/// One score's four components. `lead` are the arguments that come before the usual ones, `tail` those after.
macro_rules! scores {
    ($(
        $what:literal
        $wrapper:ident [$($wrapper_target:literal),+], $binary:ident [$binary_target:literal],
        $multiclass:ident [$multiclass_target:literal], $multilabel:ident [$multilabel_target:literal];
        wrapper lead { $($(#[$wrapper_lead_doc:meta])* $wrapper_lead:ident: $wrapper_lead_type:ty,)* }
        lead { $($(#[$lead_doc:meta])* $lead:ident: $lead_type:ty,)* }
        tail { $($(#[$tail_doc:meta])* $tail:ident: $tail_type:ty,)* }
        check |$checked:ident, $cx:ident| $check:expr;
        score |$args:ident| $score:expr;
    )+) => {$(
        metrics! {
            #[doc = concat!($what, ", for the task that `task` names.")]
            $wrapper [$($wrapper_target),+] {
                /// binary, multiclass or multilabel.
                task: TaskName,
                $($(#[$wrapper_lead_doc])* $wrapper_lead: $wrapper_lead_type,)*
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
                #[serde(default = "micro")]
                average: Option<Average>,
                /// global or samplewise: whether further dimensions are more samples.
                #[serde(default)]
                multidim_average: Multidim,
                /// How many of the best classes may hold the target (multiclass).
                #[serde(default = "one")]
                top_k: Option<i64>,
                /// The target that does not count.
                #[serde(default)]
                ignore_index: Option<i64>,
                $($(#[$tail_doc])* $tail: $tail_type,)*
            }
            #[doc = concat!($what, ", of binary targets `(N, ...)` against scores or labels of the same shape.")]
            $binary [$binary_target] {
                $($(#[$lead_doc])* $lead: $lead_type,)*
                /// Above it a score is positive, from 0 to 1.
                #[serde(default = "half")]
                threshold: Fraction,
                /// global or samplewise: whether further dimensions are more samples.
                #[serde(default)]
                multidim_average: Multidim,
                /// The target that does not count.
                #[serde(default)]
                ignore_index: Option<i64>,
                $($(#[$tail_doc])* $tail: $tail_type,)*
            }
            #[doc = concat!($what, ", of classes `(N, ...)` against scores `(N, C, ...)` or labels `(N, ...)`.")]
            $multiclass [$multiclass_target] {
                $($(#[$lead_doc])* $lead: $lead_type,)*
                /// How many classes; may be left out with average micro.
                #[serde(default)]
                num_classes: Option<i64>,
                /// How many of the best classes may hold the target.
                #[serde(default = "one")]
                top_k: Option<i64>,
                /// micro, macro, weighted or none: how classes become one number.
                #[serde(default = "macro_")]
                average: Option<Average>,
                /// global or samplewise: whether further dimensions are more samples.
                #[serde(default)]
                multidim_average: Multidim,
                /// The target that does not count.
                #[serde(default)]
                ignore_index: Option<i64>,
                $($(#[$tail_doc])* $tail: $tail_type,)*
            }
            #[doc = concat!($what, ", of labels `(N, L, ...)` of 0 and 1 against scores or labels of the same shape.")]
            $multilabel [$multilabel_target] {
                $($(#[$lead_doc])* $lead: $lead_type,)*
                /// How many labels.
                num_labels: i64,
                /// Above it a score is positive, from 0 to 1.
                #[serde(default = "half")]
                threshold: Fraction,
                /// micro, macro, weighted or none: how labels become one number.
                #[serde(default = "macro_")]
                average: Option<Average>,
                /// global or samplewise: whether further dimensions are more samples.
                #[serde(default)]
                multidim_average: Multidim,
                /// The target that does not count.
                #[serde(default)]
                ignore_index: Option<i64>,
                $($(#[$tail_doc])* $tail: $tail_type,)*
            }
        }

        impl Arguments for $wrapper {
            type Definition = StatScores;
            fn validate(&self, cx: &mut Check) {
                check_task(cx, self.task, self.num_classes, self.num_labels, self.top_k);
                let ($checked, $cx) = (self, cx);
                $check;
            }
            fn define(self) -> StatScores {
                let $args = &self;
                StatScores {
                    score: $score,
                    task: Task::named(self.task, self.threshold.0, self.num_classes, self.num_labels, self.top_k),
                    average: self.average.unwrap_or(Average::None),
                    samplewise: self.multidim_average == Multidim::Samplewise,
                    ignore_index: self.ignore_index,
                }
            }
        }
        impl Arguments for $binary {
            type Definition = StatScores;
            fn validate(&self, cx: &mut Check) {
                let ($checked, $cx) = (self, cx);
                $check;
            }
            fn define(self) -> StatScores {
                let $args = &self;
                StatScores {
                    score: $score,
                    task: Task::Binary { threshold: self.threshold.0 },
                    average: Average::None,
                    samplewise: self.multidim_average == Multidim::Samplewise,
                    ignore_index: self.ignore_index,
                }
            }
        }
        impl Arguments for $multiclass {
            type Definition = StatScores;
            fn validate(&self, cx: &mut Check) {
                check_classes(cx, self.num_classes, self.top_k, self.average != Some(Average::Micro));
                let ($checked, $cx) = (self, cx);
                $check;
            }
            fn define(self) -> StatScores {
                let $args = &self;
                StatScores {
                    score: $score,
                    task: Task::Multiclass { classes: self.num_classes, top_k: self.top_k.unwrap_or(1) },
                    average: self.average.unwrap_or(Average::None),
                    samplewise: self.multidim_average == Multidim::Samplewise,
                    ignore_index: self.ignore_index,
                }
            }
        }
        impl Arguments for $multilabel {
            type Definition = StatScores;
            fn validate(&self, cx: &mut Check) {
                check_labels(cx, Some(self.num_labels));
                let ($checked, $cx) = (self, cx);
                $check;
            }
            fn define(self) -> StatScores {
                let $args = &self;
                StatScores {
                    score: $score,
                    task: Task::Multilabel { labels: self.num_labels, threshold: self.threshold.0 },
                    average: self.average.unwrap_or(Average::None),
                    samplewise: self.multidim_average == Multidim::Samplewise,
                    ignore_index: self.ignore_index,
                }
            }
        }
    )+

    pub(super) fn register(registry: &mut Registry) {
        $(
            registry.add::<$wrapper>();
            registry.add::<$binary>();
            registry.add::<$multiclass>();
            registry.add::<$multilabel>();
        )+
    }
    };
}

scores! {
    "Accuracy, the share of right predictions"
    Accuracy ["torchmetrics.Accuracy", "torchmetrics.classification.Accuracy"],
    BinaryAccuracy ["torchmetrics.classification.BinaryAccuracy"],
    MulticlassAccuracy ["torchmetrics.classification.MulticlassAccuracy"],
    MultilabelAccuracy ["torchmetrics.classification.MultilabelAccuracy"];
    wrapper lead {}
    lead {}
    tail {
        /// No effect on this score; torchmetrics takes it too.
        #[serde(default)]
        #[allow(dead_code, reason = "accepted because torchmetrics has it")]
        zero_division: Ignored,
    }
    check |_args, _cx| ();
    score |_args| Score::Accuracy;

    "Precision, the share of positive predictions that are right"
    Precision ["torchmetrics.Precision", "torchmetrics.classification.Precision"],
    BinaryPrecision ["torchmetrics.classification.BinaryPrecision"],
    MulticlassPrecision ["torchmetrics.classification.MulticlassPrecision"],
    MultilabelPrecision ["torchmetrics.classification.MultilabelPrecision"];
    wrapper lead {}
    lead {}
    tail {
        /// What 0/0 gives: 0 or 1.
        #[serde(default)]
        zero_division: f64,
    }
    check |args, cx| check_zero_division(cx, args.zero_division);
    score |args| Score::Precision { zero_division: args.zero_division };

    "Recall (sensitivity), the share of positive targets that are found"
    Recall ["torchmetrics.Recall", "torchmetrics.classification.Recall"],
    BinaryRecall ["torchmetrics.classification.BinaryRecall"],
    MulticlassRecall ["torchmetrics.classification.MulticlassRecall"],
    MultilabelRecall ["torchmetrics.classification.MultilabelRecall"];
    wrapper lead {}
    lead {}
    tail {
        /// What 0/0 gives: 0 or 1.
        #[serde(default)]
        zero_division: f64,
    }
    check |args, cx| check_zero_division(cx, args.zero_division);
    score |args| Score::Recall { zero_division: args.zero_division };

    "F1, the harmonic mean of precision and recall"
    F1Score ["torchmetrics.F1Score", "torchmetrics.classification.F1Score", "torchmetrics.F1"],
    BinaryF1Score ["torchmetrics.classification.BinaryF1Score"],
    MulticlassF1Score ["torchmetrics.classification.MulticlassF1Score"],
    MultilabelF1Score ["torchmetrics.classification.MultilabelF1Score"];
    wrapper lead {}
    lead {}
    tail {
        /// What 0/0 gives: 0 or 1.
        #[serde(default)]
        zero_division: f64,
    }
    check |args, cx| check_zero_division(cx, args.zero_division);
    score |args| Score::FBeta { beta: 1.0, zero_division: args.zero_division };

    "F-beta, the harmonic mean of precision and recall with recall weighing beta times as much"
    FBetaScore ["torchmetrics.FBetaScore", "torchmetrics.classification.FBetaScore"],
    BinaryFBetaScore ["torchmetrics.classification.BinaryFBetaScore"],
    MulticlassFBetaScore ["torchmetrics.classification.MulticlassFBetaScore"],
    MultilabelFBetaScore ["torchmetrics.classification.MultilabelFBetaScore"];
    wrapper lead {
        /// How much more recall weighs, above 0.
        #[serde(default = "unit")]
        beta: Positive,
    }
    lead {
        /// How much more recall weighs, above 0.
        beta: Positive,
    }
    tail {
        /// What 0/0 gives: 0 or 1.
        #[serde(default)]
        zero_division: f64,
    }
    check |args, cx| check_zero_division(cx, args.zero_division);
    score |args| Score::FBeta { beta: args.beta.0, zero_division: args.zero_division };

    "Specificity, the share of negative targets that are predicted negative"
    Specificity ["torchmetrics.Specificity", "torchmetrics.classification.Specificity"],
    BinarySpecificity ["torchmetrics.classification.BinarySpecificity"],
    MulticlassSpecificity ["torchmetrics.classification.MulticlassSpecificity"],
    MultilabelSpecificity ["torchmetrics.classification.MultilabelSpecificity"];
    wrapper lead {}
    lead {}
    tail {
        /// No effect on this score; torchmetrics takes it too.
        #[serde(default)]
        #[allow(dead_code, reason = "accepted because torchmetrics has it")]
        zero_division: Ignored,
    }
    check |_args, _cx| ();
    score |_args| Score::Specificity;

    "Negative predictive value, the share of negative predictions that are right"
    NegativePredictiveValue ["torchmetrics.NegativePredictiveValue", "torchmetrics.classification.NegativePredictiveValue"],
    BinaryNegativePredictiveValue ["torchmetrics.classification.BinaryNegativePredictiveValue"],
    MulticlassNegativePredictiveValue ["torchmetrics.classification.MulticlassNegativePredictiveValue"],
    MultilabelNegativePredictiveValue ["torchmetrics.classification.MultilabelNegativePredictiveValue"];
    wrapper lead {}
    lead {}
    tail {
        /// No effect on this score; torchmetrics takes it too.
        #[serde(default)]
        #[allow(dead_code, reason = "accepted because torchmetrics has it")]
        zero_division: Ignored,
    }
    check |_args, _cx| ();
    score |_args| Score::NegativePredictive;

    "Hamming distance, the share of wrong predictions"
    HammingDistance ["torchmetrics.HammingDistance", "torchmetrics.classification.HammingDistance"],
    BinaryHammingDistance ["torchmetrics.classification.BinaryHammingDistance"],
    MulticlassHammingDistance ["torchmetrics.classification.MulticlassHammingDistance"],
    MultilabelHammingDistance ["torchmetrics.classification.MultilabelHammingDistance"];
    wrapper lead {}
    lead {}
    tail {
        /// No effect on this score; torchmetrics takes it too.
        #[serde(default)]
        #[allow(dead_code, reason = "accepted because torchmetrics has it")]
        zero_division: Ignored,
    }
    check |_args, _cx| ();
    score |_args| Score::Hamming;

    "Counts of true positives, false positives, true negatives, false negatives, and the support"
    StatScoresMetric ["torchmetrics.StatScores", "torchmetrics.classification.StatScores"],
    BinaryStatScores ["torchmetrics.classification.BinaryStatScores"],
    MulticlassStatScores ["torchmetrics.classification.MulticlassStatScores"],
    MultilabelStatScores ["torchmetrics.classification.MultilabelStatScores"];
    wrapper lead {}
    lead {}
    tail {
        /// No effect on this score; torchmetrics takes it too.
        #[serde(default)]
        #[allow(dead_code, reason = "accepted because torchmetrics has it")]
        zero_division: Ignored,
    }
    check |_args, _cx| ();
    score |_args| Score::Counts;
}
