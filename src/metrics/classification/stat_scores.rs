//! True and false positives and negatives per class, and the scores that are ratios of them.

use tch::{Kind, Tensor};

use super::{Average, Task, divide, weighted_mean};
use crate::error::{Error, Result};
use crate::metrics::inputs::{count, label_dimension, labels, masks, not_a_class, not_binary};
use crate::metrics::store::{Definition, Store};
use crate::metrics::{Update, Value};

/// A ratio of the counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Score {
    /// The counts themselves, with the support.
    Counts,
    /// (tp + tn) / all; of exclusive classes tp / (tp + fn).
    Accuracy,
    /// tp / (tp + fp).
    Precision { zero_division: f64 },
    /// tp / (tp + fn).
    Recall { zero_division: f64 },
    /// (1 + beta^2) tp / ((1 + beta^2) tp + beta^2 fn + fp).
    FBeta { beta: f64, zero_division: f64 },
    /// tn / (tn + fp).
    Specificity,
    /// tn / (tn + fn).
    NegativePredictive,
    /// 1 - accuracy.
    Hamming,
}

/// Counts per class, summed over the batches (or kept per sample), and a score of them.
#[derive(Debug)]
pub struct StatScores {
    pub(super) task: Task,
    pub(super) score: Score,
    /// How classes become one number; nothing for a binary task.
    pub(super) average: Average,
    pub(super) samplewise: bool,
    pub(super) ignore_index: Option<i64>,
}

/// Names of the counts, in the order in which they are computed.
const COUNTS: [&str; 4] = ["tp", "fp", "tn", "fn"];

impl StatScores {
    /// Counts of a batch, each `[R, K]`: R is 1 or the samples, K the classes.
    fn counts(&self, store: &mut Store, preds: &Tensor, target: &Tensor) -> Result<[Tensor; 4]> {
        if self.samplewise {
            let least = if self.task.is_multilabel() { 3 } else { 2 };
            if target.dim() < least {
                return Err(Error::failed(format!(
                    "multidim_average samplewise needs targets of {least} dimensions or more, not of shape {:?}",
                    target.size()
                )));
            }
        }
        match self.task {
            Task::Multiclass { classes, top_k } => self.of_classes(store, preds, target, classes, top_k),
            Task::Binary { threshold } => {
                let rows = if self.samplewise { target.size()[0] } else { 1 };
                self.of_masks(store, preds, target, threshold, [rows, 1, -1])
            }
            Task::Multilabel { labels, threshold } => {
                label_dimension(preds, labels)?;
                let rows = target.size()[0];
                self.of_masks(store, preds, target, threshold, [rows, labels, -1])
            }
        }
    }

    fn of_masks(
        &self,
        store: &mut Store,
        preds: &Tensor,
        target: &Tensor,
        threshold: f64,
        shape: [i64; 3],
    ) -> Result<[Tensor; 4]> {
        let masks = masks(store, preds, target, threshold, self.ignore_index)?;
        let missed = masks.hit.logical_not();
        let dims: &[i64] = if self.samplewise { &[2] } else { &[0, 2] };
        let sum = |a: &Tensor, b: &Tensor| {
            let both = a.logical_and(b).reshape(shape).sum_dim_intlist(dims, false, Kind::Int64);
            if self.samplewise { both } else { both.unsqueeze(0) }
        };
        Ok([
            sum(&masks.hit, &masks.positive),
            sum(&masks.hit, &masks.negative),
            sum(&missed, &masks.negative),
            sum(&missed, &masks.positive),
        ])
    }

    fn of_classes(
        &self,
        store: &mut Store,
        preds: &Tensor,
        target: &Tensor,
        classes: Option<i64>,
        top_k: i64,
    ) -> Result<[Tensor; 4]> {
        let found = labels(store, preds, target, classes, top_k, self.ignore_index)?;
        let rows = if self.samplewise { target.size()[0] } else { 1 };
        let [preds, target, valid] = [found.preds, found.target, found.valid].map(|t| t.reshape([rows, -1]));
        let right = preds.eq_tensor(&target).logical_and(&valid);
        let total = valid.sum_dim_intlist([1].as_slice(), true, Kind::Int64);
        let (tp, predicted, support) = match classes {
            Some(classes) => {
                (count(&target, &right, classes), count(&preds, &valid, classes), count(&target, &valid, classes))
            }
            // Without their number the classes cannot be told apart, only right and wrong.
            None => (right.sum_dim_intlist([1].as_slice(), true, Kind::Int64), total.copy(), total.copy()),
        };
        let (fp, missed) = (predicted - &tp, support - &tp);
        let tn = total - &tp - &fp - &missed;
        Ok([tp, fp, tn, missed])
    }

    /// The score from counts `[..., K]` or, averaged before, `[...]`.
    fn score(&self, [tp, fp, tn, missed]: &[Tensor; 4]) -> Tensor {
        let accuracy = || {
            if matches!(self.task, Task::Multiclass { .. }) {
                divide(tp, &(tp + missed), 0.0)
            } else {
                let right = tp + tn;
                divide(&right, &(&right + fp + missed), 0.0)
            }
        };
        match self.score {
            Score::Counts | Score::Accuracy => accuracy(),
            Score::Hamming => 1.0 - accuracy(),
            Score::Precision { zero_division } => divide(tp, &(tp + fp), zero_division),
            Score::Recall { zero_division } => divide(tp, &(tp + missed), zero_division),
            Score::Specificity => divide(tn, &(tn + fp), 0.0),
            Score::NegativePredictive => divide(tn, &(tn + missed), 0.0),
            Score::FBeta { beta, zero_division } => {
                let square = beta * beta;
                let weighted = tp * (1.0 + square);
                divide(&weighted, &(&weighted + missed * square + fp), zero_division)
            }
        }
    }

    fn averaged(&self, counts: &[Tensor; 4]) -> Tensor {
        if self.task.is_binary() {
            return self.score(counts).squeeze_dim(-1);
        }
        let [tp, fp, _, missed] = counts;
        match self.average {
            Average::None => self.score(counts),
            Average::Micro => self.score(&counts.each_ref().map(over_classes)),
            Average::Weighted => weighted_mean(&self.score(counts), &(tp + missed)),
            Average::Macro => {
                let weights = if self.task.is_multilabel() {
                    tp.ones_like()
                } else {
                    // A class that appears nowhere has no score; with the best k only targets count as appearing.
                    let strict = matches!(self.task, Task::Multiclass { top_k, .. } if top_k > 1)
                        && !matches!(self.score, Score::FBeta { .. } | Score::Specificity | Score::Hamming);
                    let seen = if strict { tp + missed } else { tp + fp + missed };
                    seen.ne(0).to_kind(Kind::Double)
                };
                weighted_mean(&self.score(counts), &weights)
            }
        }
    }

    /// The counts as torchmetrics stacks them: tp, fp, tn, fn, support.
    fn stacked(&self, counts: &[Tensor; 4]) -> Tensor {
        let [tp, fp, tn, missed] = counts;
        let support = tp + missed;
        let all = Tensor::stack(&[tp, fp, tn, missed, &support], -1);
        if self.task.is_binary() {
            return all.squeeze_dim(-2);
        }
        match self.average {
            Average::None => all,
            Average::Micro => all.sum_dim_intlist([-2].as_slice(), false, None::<Kind>),
            Average::Macro => all.to_kind(Kind::Double).mean_dim([-2].as_slice(), false, None::<Kind>),
            Average::Weighted => {
                let support = support.to_kind(Kind::Double);
                // torchmetrics divides by the support of everything for labels, of the sample for classes.
                let whole = match self.task {
                    Task::Multilabel { .. } => support.sum(None::<Kind>),
                    _ => support.sum_dim_intlist([-1].as_slice(), true, None::<Kind>),
                };
                (all * (support / whole).unsqueeze(-1)).sum_dim_intlist([-2].as_slice(), false, None::<Kind>)
            }
        }
    }
}

fn over_classes(count: &Tensor) -> Tensor {
    count.sum_dim_intlist([-1].as_slice(), false, None::<Kind>)
}

impl Definition for StatScores {
    fn store(&self) -> Store {
        let keep = |store: Store, name| match self.samplewise {
            true => store.cat(name),
            false => store.sum(name, &[self.task.width()], Kind::Int64),
        };
        COUNTS.into_iter().fold(Store::new(), keep).faults()
    }

    fn update(&self, store: &mut Store, update: &Update) -> Result<()> {
        let (preds, target) = update.pair()?;
        let counts = self.counts(store, preds, target)?;
        for (name, counts) in COUNTS.into_iter().zip(counts) {
            store.take(name, &if self.samplewise { counts } else { counts.squeeze_dim(0) });
        }
        Ok(())
    }

    fn compute(&self, store: &Store) -> Result<Value> {
        store.sound(|value| match self.task {
            Task::Multiclass { classes, .. } => not_a_class(value, classes.unwrap_or(0)),
            _ => not_binary(value),
        })?;
        if self.score == Score::Counts {
            let all = self.stacked(&COUNTS.map(|name| store.get(name)));
            return Ok(if all.is_floating_point() { all.to_kind(Kind::Float) } else { all }.into());
        }
        Ok(self.averaged(&COUNTS.map(|name| store.double(name))).to_kind(Kind::Float).into())
    }

    fn higher_is_better(&self) -> Option<bool> {
        match self.score {
            Score::Counts => None,
            Score::Hamming => Some(false),
            _ => Some(true),
        }
    }
}
