//! Predictions and targets of classification, checked and brought into one form.
//!
//! Binary and multilabel inputs become masks, multiclass inputs labels. What `ignore_index` names takes part in
//! nothing. Values that cannot be labels are reported by [`Store::fault`].

use tch::{Device, Kind, Tensor};

use super::store::Store;
use crate::error::{Error, Result};

/// How scores outside [0, 1] become probabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Normalize {
    /// Each for itself.
    Sigmoid,
    /// Over dimension 1.
    Softmax,
}

/// Scores as probabilities: left alone when all (of those at `kept`, which broadcasts) lie in [0, 1], else
/// normalized, the whole batch.
pub(super) fn probabilities(scores: &Tensor, how: Normalize, kept: Option<&Tensor>) -> Tensor {
    let normalized = || match how {
        Normalize::Sigmoid => scores.sigmoid(),
        Normalize::Softmax => scores.softmax(1, None::<Kind>),
    };
    let mut outside = scores.ge(0.0).logical_and(&scores.le(1.0)).logical_not();
    if let Some(kept) = kept {
        outside = outside.logical_and(kept);
    }
    let outside = outside.any();
    if scores.device() == Device::Cpu {
        return if outside.int64_value(&[]) != 0 { normalized() } else { scores.shallow_clone() };
    }
    normalized().where_self(&outside, scores)
}

/// Binary predictions and targets as masks of one shape.
pub(super) struct Masks {
    /// Predicted positive.
    pub hit: Tensor,
    /// Positive targets.
    pub positive: Tensor,
    /// Negative targets; what is neither is ignored.
    pub negative: Tensor,
}

/// The error for a target or a label prediction that is neither 0 nor 1.
pub(super) fn not_binary(value: f64) -> Error {
    Error::failed(format!("the value {value} among binary labels, which are 0 or 1"))
        .help(format!("give 0 and 1, or ignore_index: {value} to leave it out"))
}

/// The error for a label outside `0..classes`.
pub(super) fn not_a_class(value: f64, classes: i64) -> Error {
    Error::failed(format!(
        "the label {value} is out of range: with num_classes {classes} labels go from 0 to {}",
        classes - 1
    ))
    .help(format!("set num_classes, or ignore_index: {value} to leave it out"))
}

/// Refuses inputs of different shapes.
pub(super) fn same_shape(preds: &Tensor, target: &Tensor) -> Result<()> {
    if preds.size() == target.size() {
        return Ok(());
    }
    let (preds, target) = (preds.size(), target.size());
    Err(Error::failed(format!(
        "predictions of shape {preds:?} and targets of shape {target:?}; both need the same shape"
    )))
}

/// Refuses multilabel inputs whose second dimension is not the labels'.
pub(super) fn label_dimension(preds: &Tensor, labels: i64) -> Result<()> {
    match preds.size().get(1) {
        Some(n) if *n == labels => Ok(()),
        _ => Err(Error::failed(format!(
            "predictions of shape {:?}; with num_labels {labels} the second dimension is {labels}",
            preds.size()
        ))),
    }
}

/// Positive and negative targets.
pub(super) fn truth(store: &mut Store, target: &Tensor, ignore: Option<i64>) -> Result<(Tensor, Tensor)> {
    let (mut positive, mut negative) = (target.eq(1), target.eq(0));
    let mut bad = positive.logical_or(&negative).logical_not();
    if let Some(ignore) = ignore {
        let kept = target.ne(ignore);
        positive = positive.logical_and(&kept);
        negative = negative.logical_and(&kept);
        bad = bad.logical_and(&kept);
    }
    store.fault(target, &bad, not_binary)?;
    Ok((positive, negative))
}

/// Masks of scores (above `threshold` is positive; logits are squashed first) or 0/1 labels against 0/1 targets.
pub(super) fn masks(
    store: &mut Store,
    preds: &Tensor,
    target: &Tensor,
    threshold: f64,
    ignore: Option<i64>,
) -> Result<Masks> {
    same_shape(preds, target)?;
    let hit = if preds.is_floating_point() {
        probabilities(preds, Normalize::Sigmoid, None).gt(threshold)
    } else {
        let hit = preds.eq(1);
        store.fault(preds, &hit.logical_or(&preds.eq(0)).logical_not(), not_binary)?;
        hit
    };
    let (positive, negative) = truth(store, target, ignore)?;
    Ok(Masks { hit, positive, negative })
}

/// Predicted and true classes `[N, ...]` and where they count.
pub(super) struct Labels {
    /// Predicted classes.
    pub preds: Tensor,
    /// True classes.
    pub target: Tensor,
    /// Where both are classes and the target is not ignored.
    pub valid: Tensor,
}

/// The shapes of multiclass inputs: `true` for scores `[N, C, ...]` against `[N, ...]`, `false` for labels of one
/// shape.
pub(super) fn has_scores(preds: &Tensor, target: &Tensor, classes: Option<i64>) -> Result<bool> {
    let (p, t) = (preds.size(), target.size());
    if p.len() == t.len() {
        same_shape(preds, target)?;
        return Ok(false);
    }
    let fits = p.len() == t.len() + 1 && p[0] == t[0] && p[2..] == t[1..];
    if !fits {
        return Err(Error::failed(format!(
            "predictions of shape {p:?} and targets of shape {t:?}; they need the same shape, or (N, C, ...) and (N, ...)"
        )));
    }
    if !preds.is_floating_point() {
        return Err(Error::failed(format!("predictions of shape {p:?} are scores, one per class, and must be floats")));
    }
    match classes {
        Some(classes) if p[1] != classes => Err(Error::failed(format!(
            "predictions of shape {p:?} score {} classes, but num_classes is {classes}",
            p[1]
        ))),
        _ => Ok(true),
    }
}

/// Classes of scores (the best, or with `top_k` above 1 the target itself where it is among the best) or labels.
pub(super) fn labels(
    store: &mut Store,
    preds: &Tensor,
    target: &Tensor,
    classes: Option<i64>,
    top_k: i64,
    ignore: Option<i64>,
) -> Result<Labels> {
    let scores = has_scores(preds, target, classes)?;
    let target = target.to_kind(Kind::Int64);
    let kept = match ignore {
        Some(ignore) => target.ne(ignore),
        None => target.full_like(1).to_kind(Kind::Bool),
    };
    let mut valid = kept;
    let outside = |labels: &Tensor, classes: i64| labels.lt(0).logical_or(&labels.ge(classes));
    if let Some(classes) = classes {
        let bad = outside(&target, classes).logical_and(&valid);
        store.fault(&target, &bad, |value| not_a_class(value, classes))?;
        valid = valid.logical_and(&bad.logical_not());
    }
    let preds = match (scores, top_k) {
        (true, 1) => preds.argmax(1, false),
        (true, k) => {
            let best = preds.topk(k, 1, true, true).1;
            let among = best.eq_tensor(&target.unsqueeze(1)).any_dim(1, false);
            target.where_self(&among, &best.select(1, 0))
        }
        (false, 1) => preds.to_kind(Kind::Int64),
        (false, k) => {
            return Err(Error::failed(format!("top_k {k} needs scores (N, C, ...), but the predictions are labels")));
        }
    };
    if let (false, Some(classes)) = (scores, classes) {
        let bad = outside(&preds, classes).logical_and(&valid);
        store.fault(&preds, &bad, |value| not_a_class(value, classes))?;
        valid = valid.logical_and(&bad.logical_not());
    }
    Ok(Labels { preds, target, valid })
}

/// How often each of `0..bins` occurs in each row of `index` `[R, X]`, where `valid`: `[R, bins]`.
///
/// What is not valid is counted in a bin that is thrown away, so that no shape depends on values and a device need
/// not be waited for.
pub(super) fn count(index: &Tensor, valid: &Tensor, bins: i64) -> Tensor {
    let rows = index.size()[0];
    let index = index.masked_fill(&valid.logical_not(), bins);
    if rows == 1 && index.device() == Device::Cpu {
        return index.flatten(0, -1).bincount(None::<&Tensor>, bins + 1).narrow(0, 0, bins).unsqueeze(0);
    }
    let ones = index.ones_like();
    let counts = Tensor::zeros([rows, bins + 1], (Kind::Int64, index.device()));
    counts.scatter_add(1, &index, &ones).narrow(1, 0, bins)
}
