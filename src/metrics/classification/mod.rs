//! Metrics of classification: binary, multiclass and multilabel.

mod areas;
mod calibration;
mod confusion;
mod curves;
mod exact_match;
mod matrices;
mod scores;
mod stat_scores;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::registry::{Check, Registry};

pub(super) fn register(registry: &mut Registry) {
    scores::register(registry);
    exact_match::register(registry);
    matrices::register(registry);
    areas::register(registry);
    calibration::register(registry);
}

/// What is classified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TaskName {
    /// One question with two answers.
    Binary,
    /// One of several classes.
    Multiclass,
    /// Several questions with two answers each.
    Multilabel,
}

/// How the values of the classes become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Average {
    /// From the sums over all classes.
    Micro,
    /// The mean over the classes.
    Macro,
    /// The mean over the classes, weighted by their support.
    Weighted,
    /// One value per class.
    None,
}

/// What happens to dimensions beyond the classes'.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Multidim {
    /// They count as more samples.
    #[default]
    Global,
    /// One value per sample.
    Samplewise,
}

pub(crate) fn half() -> crate::registry::Fraction {
    crate::registry::Fraction(0.5)
}
pub(crate) fn one() -> Option<i64> {
    Some(1)
}
pub(crate) fn micro() -> Option<Average> {
    Some(Average::Micro)
}
pub(crate) fn macro_() -> Option<Average> {
    Some(Average::Macro)
}

/// What a task classifies, with what it takes to know.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Task {
    Binary { threshold: f64 },
    Multiclass { classes: Option<i64>, top_k: i64 },
    Multilabel { labels: i64, threshold: f64 },
}

impl Task {
    /// The task that the arguments of a `task=` wrapper name.
    pub fn named(
        name: TaskName,
        threshold: f64,
        classes: Option<i64>,
        labels: Option<i64>,
        top_k: Option<i64>,
    ) -> Self {
        match name {
            TaskName::Binary => Task::Binary { threshold },
            TaskName::Multiclass => Task::Multiclass { classes, top_k: top_k.unwrap_or(1) },
            // `validate` refuses a missing `num_labels` before anything is defined.
            TaskName::Multilabel => Task::Multilabel { labels: labels.unwrap_or(0), threshold },
        }
    }

    /// How many classes or labels are told apart; 1 where only right and wrong are.
    pub fn width(&self) -> i64 {
        match *self {
            Task::Binary { .. } => 1,
            Task::Multiclass { classes, .. } => classes.unwrap_or(1),
            Task::Multilabel { labels, .. } => labels,
        }
    }

    pub fn is_binary(&self) -> bool {
        matches!(self, Task::Binary { .. })
    }

    pub fn is_multilabel(&self) -> bool {
        matches!(self, Task::Multilabel { .. })
    }
}

/// Checks the numbers that go with a task.
pub(crate) fn check_task(
    cx: &mut Check,
    name: TaskName,
    classes: Option<i64>,
    labels: Option<i64>,
    top_k: Option<i64>,
) {
    match name {
        TaskName::Binary => {}
        TaskName::Multiclass => check_classes(cx, classes, top_k, true),
        TaskName::Multilabel => check_labels(cx, labels),
    }
}

/// Checks `num_classes` and `top_k`.
pub(crate) fn check_classes(cx: &mut Check, classes: Option<i64>, top_k: Option<i64>, needed: bool) {
    match classes {
        None if needed => {
            cx.problem("num_classes", "task multiclass needs `num_classes`");
        }
        Some(n) if n < 2 => {
            cx.problem("num_classes", format!("there are 2 classes or more, not {n}"));
        }
        _ => {}
    }
    match (top_k, classes) {
        (Some(k), _) if k < 1 => {
            cx.problem("top_k", format!("the best 1 or more, not {k}"));
        }
        (Some(k), Some(n)) if n >= 2 && k > n => {
            cx.problem("top_k", format!("the best {k} of only {n} classes"));
        }
        _ => {}
    }
}

/// Checks `num_labels`.
pub(crate) fn check_labels(cx: &mut Check, labels: Option<i64>) {
    match labels {
        None => {
            cx.problem("num_labels", "task multilabel needs `num_labels`");
        }
        Some(n) if n < 2 => {
            cx.problem("num_labels", format!("there are 2 labels or more, not {n}"));
        }
        _ => {}
    }
}

/// Checks `zero_division`.
pub(crate) fn check_zero_division(cx: &mut Check, value: f64) {
    if value != 0.0 && value != 1.0 {
        cx.problem("zero_division", "what 0/0 gives is 0 or 1");
    }
}

/// `a / b`, and `otherwise` where `b` is 0.
pub(crate) fn divide(a: &Tensor, b: &Tensor, otherwise: f64) -> Tensor {
    let quotient = a / b;
    quotient.masked_fill(&b.eq(0), otherwise)
}

/// The mean of values per class (last dimension): of all, or weighted.
pub(crate) fn weighted_mean(values: &Tensor, weights: &Tensor) -> Tensor {
    let total = weights.sum_dim_intlist([-1].as_slice(), true, None::<Kind>);
    divide(&(weights * values), &total, 0.0).sum_dim_intlist([-1].as_slice(), false, None::<Kind>)
}
