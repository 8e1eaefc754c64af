//! Correlation of values, from sums that add up over batches and processes.

use tch::{Kind, Tensor};

use super::{check_outputs, columns, count, one, over_samples};
use crate::error::{Error, Result};
use crate::metrics::args::{Arguments, metrics};
use crate::metrics::inputs::same_shape;
use crate::metrics::store::{Definition, Store};
use crate::metrics::{Update, Value};
use crate::registry::{Check, Registry};

pub(super) fn register(registry: &mut Registry) {
    registry.add::<PearsonCorrCoef>();
    registry.add::<ConcordanceCorrCoef>();
    registry.add::<CosineSimilarity>();
}

/// How the similarities of the samples become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
enum SampleReduction {
    /// Their sum.
    Sum,
    /// Their mean.
    Mean,
    /// One value per sample.
    None,
}

fn sum() -> Option<SampleReduction> {
    Some(SampleReduction::Sum)
}

metrics! {
    /// Pearson's correlation coefficient of `(N)` or `(N, outputs)`.
    PearsonCorrCoef ["torchmetrics.PearsonCorrCoef", "torchmetrics.regression.PearsonCorrCoef"] {
        /// How many outputs there are.
        #[serde(default = "one")]
        num_outputs: u64,
    }
    /// Lin's concordance correlation coefficient of `(N)` or `(N, outputs)`.
    ConcordanceCorrCoef ["torchmetrics.ConcordanceCorrCoef", "torchmetrics.regression.ConcordanceCorrCoef"] {
        /// How many outputs there are.
        #[serde(default = "one")]
        num_outputs: u64,
    }
    /// The cosine of the angle between prediction and target, of samples `(N, D)`.
    CosineSimilarity ["torchmetrics.CosineSimilarity", "torchmetrics.regression.CosineSimilarity"] {
        /// sum, mean or none: how samples become one number.
        #[serde(default = "sum")]
        reduction: Option<SampleReduction>,
    }
}

/// Sums of both, their squares and their product, and how far both reach.
#[derive(Debug)]
pub struct Correlation {
    outputs: u64,
    concordance: bool,
}

impl Arguments for PearsonCorrCoef {
    type Definition = Correlation;
    fn validate(&self, cx: &mut Check) {
        check_outputs(cx, self.num_outputs);
    }
    fn define(self) -> Correlation {
        Correlation { outputs: self.num_outputs, concordance: false }
    }
}

impl Arguments for ConcordanceCorrCoef {
    type Definition = Correlation;
    fn validate(&self, cx: &mut Check) {
        check_outputs(cx, self.num_outputs);
    }
    fn define(self) -> Correlation {
        Correlation { outputs: self.num_outputs, concordance: true }
    }
}

const SUMS: [&str; 5] = ["sum_x", "sum_y", "sum_xx", "sum_yy", "sum_xy"];

/// One side: its mean, the sum of squared distances from it, and the largest distance.
struct Side {
    mean: Tensor,
    squares: Tensor,
    reach: Tensor,
    constant: Tensor,
}

impl Side {
    fn of(store: &Store, total: f64, [sum, squares, low, high]: [&'static str; 4]) -> Self {
        let (low, high) = (store.get(low), store.get(high));
        let mean = store.get(sum) / total;
        Side {
            squares: (store.get(squares) - mean.square() * total).clamp_min(0.0),
            reach: (&high - &mean).maximum(&(&mean - &low)),
            constant: high.eq_tensor(&low),
            mean,
        }
    }

    /// The variance is 0 or, next to the largest distance, so small that torchmetrics' float32 gives up.
    fn flat(&self, total: f64) -> Tensor {
        let relative = &self.squares / (total - 1.0) / self.reach.square();
        relative.ge(f64::from(f32::EPSILON).sqrt()).logical_not().logical_or(&self.constant)
    }
}

impl Definition for Correlation {
    fn store(&self) -> Store {
        let sums =
            SUMS.into_iter().fold(Store::new(), |store, name| store.sum(name, &[self.outputs as i64], Kind::Double));
        sums.min("min_x", f64::INFINITY)
            .max("max_x", f64::NEG_INFINITY)
            .min("min_y", f64::INFINITY)
            .max("max_y", f64::NEG_INFINITY)
            .sum("total", &[], Kind::Double)
    }

    fn update(&self, store: &mut Store, update: &Update) -> Result<()> {
        let (preds, target) = update.pair()?;
        let (x, y) = columns(preds, target, self.outputs)?;
        if x.size()[0] == 0 {
            return Ok(());
        }
        let sums = [
            over_samples(&x),
            over_samples(&y),
            over_samples(&x.square()),
            over_samples(&y.square()),
            over_samples(&(&x * &y)),
        ];
        for (name, sum) in SUMS.into_iter().zip(sums) {
            store.take(name, &sum);
        }
        for (values, low, high) in [(&x, "min_x", "max_x"), (&y, "min_y", "max_y")] {
            store.take(low, &values.amin([0].as_slice(), false));
            store.take(high, &values.amax([0].as_slice(), false));
        }
        store.take("total", &count(x.size()[0]).to_device(x.device()));
        Ok(())
    }

    fn compute(&self, store: &Store) -> Result<Value> {
        let total = store.get("total").double_value(&[]);
        let x = Side::of(store, total, ["sum_x", "sum_xx", "min_x", "max_x"]);
        let y = Side::of(store, total, ["sum_y", "sum_yy", "min_y", "max_y"]);
        let product = store.get("sum_xy") - &x.mean * &y.mean * total;
        let none = x.flat(total).logical_or(&y.flat(total));
        let pearson = (product / (&x.squares * &y.squares).sqrt()).clamp(-1.0, 1.0).masked_fill(&none, f64::NAN);
        let value = if self.concordance {
            let (vx, vy) = (x.squares / (total - 1.0), y.squares / (total - 1.0));
            pearson * 2.0 * (&vx * &vy).sqrt() / (vx + vy + (x.mean - y.mean).square())
        } else {
            pearson
        };
        Ok(value.to_kind(Kind::Float).into())
    }

    fn higher_is_better(&self) -> Option<bool> {
        self.concordance.then_some(true)
    }
}

/// Similarities, summed or kept.
#[derive(Debug)]
pub struct Cosine {
    reduction: SampleReduction,
}

impl Arguments for CosineSimilarity {
    type Definition = Cosine;
    fn define(self) -> Cosine {
        Cosine { reduction: self.reduction.unwrap_or(SampleReduction::None) }
    }
}

impl Definition for Cosine {
    fn store(&self) -> Store {
        match self.reduction {
            SampleReduction::None => Store::new().cat("similarity"),
            _ => Store::new().sum("similarity", &[], Kind::Double).sum("total", &[], Kind::Double),
        }
    }

    fn update(&self, store: &mut Store, update: &Update) -> Result<()> {
        let (preds, target) = update.pair()?;
        same_shape(preds, target)?;
        if preds.dim() != 2 {
            return Err(Error::failed(format!(
                "predictions of shape {:?}; the cosine similarity takes (N, D)",
                preds.size()
            )));
        }
        let (x, y) = (preds.to_kind(Kind::Double), target.to_kind(Kind::Double));
        let dot = |a: &Tensor, b: &Tensor| (a * b).sum_dim_intlist([-1].as_slice(), false, None::<Kind>);
        let similarity = dot(&x, &y) / (dot(&x, &x).sqrt() * dot(&y, &y).sqrt());
        if self.reduction == SampleReduction::None {
            store.take("similarity", &similarity);
        } else {
            store.take("similarity", &similarity.sum(None::<Kind>));
            store.take("total", &count(x.size()[0]).to_device(x.device()));
        }
        Ok(())
    }

    fn compute(&self, store: &Store) -> Result<Value> {
        let similarity = store.get("similarity");
        let value = if self.reduction == SampleReduction::Mean { similarity / store.get("total") } else { similarity };
        Ok(value.to_kind(Kind::Float).into())
    }

    fn higher_is_better(&self) -> Option<bool> {
        Some(true)
    }
}
