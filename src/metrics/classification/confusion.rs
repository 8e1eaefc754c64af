//! Confusion matrices, and what is computed from one: kappa, Matthews' coefficient, Jaccard's index.

use tch::{Kind, Tensor};

use super::{Average, Task, divide};
use crate::error::Result;
use crate::metrics::inputs::{
    Normalize, count, label_dimension, labels, masks, not_a_class, not_binary, probabilities, same_shape, truth,
};
use crate::metrics::store::{Definition, Store};
use crate::metrics::{Update, Value};

/// Over what the counts of a matrix are divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Share {
    /// Each row: the true classes.
    True,
    /// Each column: the predicted classes.
    Pred,
    /// Everything.
    All,
    /// Not at all.
    None,
}

/// How far apart two classes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Weighting {
    /// By the difference of their numbers.
    Linear,
    /// By its square.
    Quadratic,
    /// All alike.
    None,
}

/// What is computed from the matrix.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Of {
    /// The matrix itself, rows true, columns predicted.
    Matrix(Share),
    /// Cohen's kappa.
    Kappa(Weighting),
    /// Matthews' correlation coefficient.
    Matthews,
    /// Intersection over union of predicted and true.
    Jaccard { average: Average, zero_division: f64 },
}

/// A confusion matrix summed over the batches: `[C, C]`, of labels `[L, 2, 2]`.
#[derive(Debug)]
pub struct Confusion {
    pub(super) task: Task,
    pub(super) of: Of,
    pub(super) ignore_index: Option<i64>,
}

impl Confusion {
    fn shape(&self) -> Vec<i64> {
        match self.task {
            Task::Binary { .. } => vec![2, 2],
            Task::Multiclass { classes, .. } => vec![classes.unwrap_or(1); 2],
            Task::Multilabel { labels, .. } => vec![labels, 2, 2],
        }
    }

    /// For every place the matrix' cell, and whether it counts.
    fn cells(&self, store: &mut Store, preds: &Tensor, target: &Tensor) -> Result<(Tensor, Tensor)> {
        match self.task {
            Task::Multiclass { classes, top_k } => {
                let found = labels(store, preds, target, classes, top_k, self.ignore_index)?;
                Ok((found.target * classes.unwrap_or(1) + found.preds, found.valid))
            }
            Task::Binary { threshold } => {
                // Unlike for the scores, what is ignored has no say in whether these are probabilities.
                let kept = self.ignore_index.map(|ignore| target.ne(ignore));
                same_shape(preds, target)?;
                let preds = match preds.is_floating_point() {
                    true => probabilities(preds, Normalize::Sigmoid, kept.as_ref()).gt(threshold).to_kind(Kind::Int64),
                    false => preds.shallow_clone(),
                };
                let masks = masks(store, &preds, target, threshold, self.ignore_index)?;
                let valid = masks.positive.logical_or(&masks.negative);
                Ok((masks.positive.to_kind(Kind::Int64) * 2 + masks.hit.to_kind(Kind::Int64), valid))
            }
            Task::Multilabel { labels, threshold } => {
                label_dimension(preds, labels)?;
                let masks = masks(store, preds, target, threshold, self.ignore_index)?;
                let valid = masks.positive.logical_or(&masks.negative);
                let cell = masks.positive.to_kind(Kind::Int64) * 2 + masks.hit.to_kind(Kind::Int64);
                let mut along = vec![1; target.dim()];
                along[1] = labels;
                let first = Tensor::arange(labels, (Kind::Int64, target.device())) * 4;
                Ok((cell + first.reshape(along), valid))
            }
        }
    }
}

impl Definition for Confusion {
    fn store(&self) -> Store {
        Store::new().sum("confmat", &self.shape(), Kind::Int64).faults()
    }

    fn update(&self, store: &mut Store, update: &Update) -> Result<()> {
        let (preds, target) = update.pair()?;
        let (cell, valid) = self.cells(store, preds, target)?;
        let shape = self.shape();
        let counts = count(&cell.reshape([1, -1]), &valid.reshape([1, -1]), shape.iter().product());
        store.take("confmat", &counts.reshape(shape));
        Ok(())
    }

    fn compute(&self, store: &Store) -> Result<Value> {
        store.sound(|value| match self.task {
            Task::Multiclass { classes, .. } => not_a_class(value, classes.unwrap_or(0)),
            _ => not_binary(value),
        })?;
        let matrix = store.double("confmat");
        let value = match self.of {
            Of::Matrix(Share::None) => return Ok(store.get("confmat").into()),
            Of::Matrix(share) => shares(&matrix, share),
            Of::Kappa(weighting) => kappa(&matrix, weighting),
            Of::Matthews => matthews(&matrix),
            Of::Jaccard { average, zero_division } => {
                jaccard(&matrix, self.task.is_binary(), average, self.ignore_index, zero_division)
            }
        };
        Ok(value.to_kind(Kind::Float).into())
    }

    fn higher_is_better(&self) -> Option<bool> {
        match self.of {
            Of::Matrix(_) => None,
            _ => Some(true),
        }
    }
}

fn sum(tensor: &Tensor, dim: i64, keep: bool) -> Tensor {
    tensor.sum_dim_intlist([dim].as_slice(), keep, None::<Kind>)
}

/// The matrix in shares; an empty row, column or matrix stays 0.
fn shares(matrix: &Tensor, share: Share) -> Tensor {
    let whole = match share {
        Share::True => sum(matrix, -1, true),
        Share::Pred => sum(matrix, -2, true),
        Share::All => matrix.sum_dim_intlist([-2, -1].as_slice(), true, None::<Kind>),
        Share::None => return matrix.shallow_clone(),
    };
    (matrix / whole).nan_to_num(0.0, None, None)
}

/// 1 - (disagreement / disagreement by chance), weighted (Cohen, 1960; 1968).
fn kappa(matrix: &Tensor, weighting: Weighting) -> Tensor {
    let classes = matrix.size()[0];
    let expected = sum(matrix, 1, true).matmul(&sum(matrix, 0, true)) / matrix.sum(None::<Kind>);
    let number = Tensor::arange(classes, (Kind::Double, matrix.device()));
    let apart = number.unsqueeze(0) - number.unsqueeze(1);
    let weights = match weighting {
        Weighting::None => apart.ne(0).to_kind(Kind::Double),
        Weighting::Linear => apart.abs(),
        Weighting::Quadratic => apart.square(),
    };
    1.0 - (&weights * matrix).sum(None::<Kind>) / (weights * expected).sum(None::<Kind>)
}

/// The correlation of predicted and true classes (Gorodkin, 2004), and torchmetrics' values where a binary one is
/// 0/0: 1 and -1 when all is right or wrong, otherwise moved by the float32 epsilon.
fn matthews(matrix: &Tensor) -> Tensor {
    let matrix = if matrix.dim() == 3 { sum(matrix, 0, false) } else { matrix.shallow_clone() };
    let (truths, guesses) = (sum(&matrix, -1, false), sum(&matrix, -2, false));
    let (right, all) = (matrix.trace().double_value(&[]), matrix.sum(None::<Kind>).double_value(&[]));
    let dot = |a: &Tensor, b: &Tensor| a.dot(b).double_value(&[]);
    let numerator = right * all - dot(&truths, &guesses);
    let denominator = (all * all - dot(&guesses, &guesses)) * (all * all - dot(&truths, &truths));
    let value = if matrix.numel() == 4 {
        let [tn, fp, missed, tp] = [0, 1, 2, 3].map(|i| matrix.double_value(&[i / 2, i % 2]));
        if tp + tn != 0.0 && fp + missed == 0.0 {
            1.0
        } else if tp + tn == 0.0 && fp + missed != 0.0 {
            -1.0
        } else if denominator == 0.0 {
            degenerate(tn, fp, missed, tp)
        } else {
            numerator / denominator.sqrt()
        }
    } else if denominator == 0.0 {
        0.0
    } else {
        numerator / denominator.sqrt()
    };
    Tensor::from(value)
}

fn degenerate(tn: f64, fp: f64, missed: f64, tp: f64) -> f64 {
    let eps = f64::from(f32::EPSILON);
    let small = eps.sqrt();
    let numerator = match (tp == 0.0, tn == 0.0, fp == 0.0, missed == 0.0) {
        (_, true, _, true) => small * (tp - fp),
        (_, true, true, _) => small * (tp - missed),
        (true, _, _, true) => small * (tn - fp),
        (true, _, true, _) => small * (tn - missed),
        (true, _, _, _) => tn - fp * missed,
        (_, true, _, _) => tp - fp * missed,
        (_, _, true, _) | (_, _, _, true) => tp * tn,
        _ => return 0.0,
    };
    numerator / ((tp + fp + eps) * (tp + missed + eps) * (tn + fp + eps) * (tn + missed + eps)).sqrt()
}

/// Intersection over union per class, averaged. An ignored class counts neither in the mean nor in the union.
fn jaccard(matrix: &Tensor, binary: bool, average: Average, ignore: Option<i64>, zero_division: f64) -> Tensor {
    let cell = |i: i64, j: i64| matrix.select(-2, i).select(-1, j);
    if binary {
        return divide(&cell(1, 1), &(cell(0, 1) + cell(1, 0) + cell(1, 1)), zero_division);
    }
    let multilabel = matrix.dim() == 3;
    let (shared, union, support, seen) = if multilabel {
        let union = cell(1, 1) + cell(0, 1) + cell(1, 0);
        (cell(1, 1), union.copy(), cell(1, 1) + cell(1, 0), union.ones_like())
    } else {
        let (shared, support) = (matrix.diag(0), sum(matrix, 1, false));
        let both = sum(matrix, 0, false) + &support;
        (shared.copy(), &both - shared, support, both.ne(0).to_kind(Kind::Double))
    };
    // Labels have no class that could be left out.
    let ignored = ignore.filter(|i| !multilabel && (0..matrix.size()[0]).contains(i));
    if average == Average::Micro {
        let left_out = ignored.map_or(0.0, |i| union.double_value(&[i]));
        return divide(&shared.sum(None::<Kind>), &(union.sum(None::<Kind>) - left_out), zero_division);
    }
    let each = divide(&shared, &union, zero_division);
    let weights = match average {
        Average::None | Average::Micro => return each,
        Average::Weighted => support,
        Average::Macro => {
            if let Some(i) = ignored {
                let _ = seen.get(i).fill_(0.0);
            }
            seen
        }
    };
    (&weights * each / weights.sum(None::<Kind>)).sum(None::<Kind>)
}

/// Positive targets and whether a place counts, for metrics that need no predicted labels.
pub(super) fn binary_truth(store: &mut Store, target: &Tensor, ignore: Option<i64>) -> Result<(Tensor, Tensor)> {
    let (positive, negative) = truth(store, target, ignore)?;
    let valid = positive.logical_or(&negative);
    Ok((positive, valid))
}
