//! The metrics of a task's config: what the task knows (how many classes) need not be written.

use super::levels::Level;
use crate::config::{KeyPath, Map, Node, Value};
use crate::metrics::{Metric, MetricKind};
use crate::prelude::*;

/// How a network's outputs are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// Logits of classes of which one is right.
    Softmax,
    /// Logits of labels of which any number are right.
    Sigmoid,
    /// The logit of one question.
    Binary,
}

/// Completes the metrics of one kind of task.
pub(super) struct Of<R>(std::marker::PhantomData<R>);

/// A [`Reading`] as a type.
pub(super) trait Reads: 'static {
    const READING: Reading;
}

macro_rules! readings {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        pub(super) struct $name;
        impl Reads for $name {
            const READING: Reading = Reading::$name;
        }
    )*};
}
readings! {
    /// Classes.
    Softmax
    /// Labels.
    Sigmoid
    /// One question.
    Binary
}

/// A metric in a task's config.
pub(super) type MetricSlot<R> = Completed<Of<R>>;

/// The argument by which a metric of labels leaves some of them out.
const IGNORED: &str = "ignore_labels";
/// Stands for the number of classes while a config is checked and the data is not known yet.
const MANY: i64 = 1 << 20;

impl<R: Reads> Complete for Of<R> {
    type Kind = MetricKind;

    fn complete(node: &mut Node) {
        if R::READING == Reading::Sigmoid {
            take_ignored(node);
        }
        fill(node, R::READING, MANY);
    }
}

/// Removes and gives the labels that a metric leaves out.
fn take_ignored(node: &mut Node) -> Vec<String> {
    let Value::Map(map) = &mut node.value else { return Vec::new() };
    match map.shift_remove(IGNORED).map(|node| node.value) {
        Some(Value::List(labels)) => labels.iter().filter_map(|label| Some(label.as_str()?.to_owned())).collect(),
        Some(Value::Str(label)) => vec![label],
        _ => Vec::new(),
    }
}

/// The torchmetrics classes that take `task`.
const WRAPPERS: &[&str] = &[
    "Accuracy",
    "Precision",
    "Recall",
    "F1Score",
    "F1",
    "FBetaScore",
    "Specificity",
    "NegativePredictiveValue",
    "HammingDistance",
    "StatScores",
    "AUROC",
    "AveragePrecision",
    "ConfusionMatrix",
    "CohenKappa",
    "MatthewsCorrCoef",
    "JaccardIndex",
    "CalibrationError",
    "ExactMatch",
    "ROC",
    "PrecisionRecallCurve",
    "Dice",
];

/// Fills in `task`, and `num_classes` or `num_labels`, where a metric of torchmetrics takes them and has them not.
fn fill(node: &mut Node, reading: Reading, count: i64) {
    let target = node.get("_target_").and_then(Node::as_str).unwrap_or_default().to_owned();
    let Some(class) = target.strip_prefix("torchmetrics.").and_then(|rest| rest.rsplit('.').next()) else { return };
    let class = class.to_owned();
    let Value::Map(map) = &mut node.value else { return };
    let (task, number) = match reading {
        Reading::Softmax => ("multiclass", "num_classes"),
        Reading::Sigmoid => ("multilabel", "num_labels"),
        Reading::Binary => ("binary", ""),
    };
    let is_wrapper = WRAPPERS.contains(&class.as_str());
    if is_wrapper {
        set(map, "task", Node::program(task));
    }
    let own = match map.get("task").and_then(Node::as_str) {
        Some(given) if is_wrapper => given == task,
        _ => class.to_lowercase().starts_with(task),
    };
    if own && !number.is_empty() {
        set(map, number, Node::program(count));
    }
}

/// Gives a key a value unless it has one.
fn set(map: &mut Map, key: &str, value: Node) {
    if map.get(key).is_none_or(Node::is_null) {
        map.insert(key.into(), value);
    }
}

/// Builds a metric of a level, and says which of its classes it is given; `None`: all.
///
/// # Errors
/// When it cannot be built.
pub(super) fn build(
    node: &Node,
    path: &KeyPath,
    reading: Reading,
    level: &Level,
    cx: &mut Build,
) -> Result<(Box<dyn Metric>, Option<Vec<i64>>)> {
    let mut node = node.clone();
    let ignored = if reading == Reading::Sigmoid { take_ignored(&mut node) } else { Vec::new() };
    let is_kept = |class: &i64| !level.classes.get(*class as usize).is_some_and(|name| ignored.contains(name));
    let kept: Vec<i64> = (0..level.width).filter(is_kept).collect();
    fill(&mut node, reading, kept.len() as i64);
    let metric = cx.build(&Slot::<MetricKind>::new(node, path.clone()))?;
    Ok((metric, (kept.len() < level.width as usize).then_some(kept)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(args: &[(&str, Node)]) -> Node {
        Node::program(args.iter().map(|(key, value)| ((*key).into(), value.clone())).collect::<Map>())
    }

    #[test]
    fn what_the_task_knows_is_filled_in() {
        let mut old =
            node(&[("_target_", Node::program("torchmetrics.Accuracy")), ("average", Node::program("micro"))]);
        fill(&mut old, Reading::Softmax, 7);
        assert_eq!(old.get("task").and_then(Node::as_str), Some("multiclass"));
        assert_eq!(old.get("num_classes").and_then(Node::as_int), Some(7));
        let mut given = node(&[("_target_", Node::program("torchmetrics.Recall")), ("task", Node::program("binary"))]);
        fill(&mut given, Reading::Softmax, 7);
        assert!(given.get("num_classes").is_none());
        let mut other = node(&[("_target_", Node::program("torchmetrics.MeanSquaredError"))]);
        fill(&mut other, Reading::Sigmoid, 7);
        assert!(other.get("task").is_none() && other.get("num_labels").is_none());
    }
}
