//! How much of the targets' variance the predictions explain.

use tch::{Kind, Tensor};

use super::{Multioutput, check_outputs, count, doubles, one, over_samples};
use crate::error::{Error, Result};
use crate::metrics::args::{Arguments, metrics};
use crate::metrics::store::{Definition, Store};
use crate::metrics::{Update, Value};
use crate::registry::{Check, Registry};

pub(super) fn register(registry: &mut Registry) {
    registry.add::<R2Score>();
    registry.add::<ExplainedVariance>();
    registry.add::<RelativeSquaredError>();
}

fn yes() -> bool {
    true
}

metrics! {
    /// R2, the coefficient of determination, of `(N)` or `(N, outputs)`.
    R2Score ["torchmetrics.R2Score", "torchmetrics.regression.R2Score"] {
        /// The number of independent regressors for the adjusted score; 0 for the plain one.
        #[serde(default)]
        adjusted: u64,
        /// raw_values, uniform_average or variance_weighted: how outputs become one number.
        #[serde(default)]
        multioutput: Multioutput,
    }
    /// The share of the targets' variance that is not the variance of the errors.
    ExplainedVariance ["torchmetrics.ExplainedVariance", "torchmetrics.regression.ExplainedVariance"] {
        /// raw_values, uniform_average or variance_weighted: how outputs become one number.
        #[serde(default)]
        multioutput: Multioutput,
    }
    /// The squared error over that of always predicting the mean target; the mean over the outputs.
    RelativeSquaredError ["torchmetrics.RelativeSquaredError", "torchmetrics.regression.RelativeSquaredError"] {
        /// How many outputs there are.
        #[serde(default = "one")]
        num_outputs: u64,
        /// false takes the root.
        #[serde(default = "yes")]
        squared: bool,
    }
}

/// What is computed from the sums.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Of {
    R2 { adjusted: u64, multioutput: Multioutput },
    Explained { multioutput: Multioutput },
    Relative { root: bool },
}

/// Sums of targets, errors and their squares, per output.
#[derive(Debug)]
pub struct Variance {
    of: Of,
}

impl Arguments for R2Score {
    type Definition = Variance;
    fn define(self) -> Variance {
        Variance { of: Of::R2 { adjusted: self.adjusted, multioutput: self.multioutput } }
    }
}

impl Arguments for ExplainedVariance {
    type Definition = Variance;
    fn define(self) -> Variance {
        Variance { of: Of::Explained { multioutput: self.multioutput } }
    }
}

impl Arguments for RelativeSquaredError {
    type Definition = Variance;
    fn validate(&self, cx: &mut Check) {
        check_outputs(cx, self.num_outputs);
    }
    fn define(self) -> Variance {
        Variance { of: Of::Relative { root: !self.squared } }
    }
}

const SUMS: [&str; 4] = ["sum_target", "sum_squared_target", "sum_error", "sum_squared_error"];

/// Below this R2 takes a sum of squares for 0 (torchmetrics' value).
const R2_ZERO: f64 = 1e-4;

/// Rounding leaves about this share of a mean square where a variance is 0.
const ROUNDING: f64 = 1e-13;

/// `1 - error / variance` where both are there; 1 without error, 0 where only the variance is missing.
fn explained(error: &Tensor, variance: &Tensor, some_error: &Tensor, some_variance: &Tensor) -> Tensor {
    let share: Tensor = 1.0 - error / variance;
    let missing = some_error.logical_and(&some_variance.logical_not());
    share.masked_fill(&some_error.logical_not(), 1.0).masked_fill(&missing, 0.0)
}

impl Definition for Variance {
    fn store(&self) -> Store {
        SUMS.into_iter().fold(Store::new(), Store::sum_of_any_shape).sum("total", &[], Kind::Double)
    }

    fn update(&self, store: &mut Store, update: &Update) -> Result<()> {
        let (preds, target) = update.pair()?;
        let (preds, target) = doubles(preds, target)?;
        if preds.dim() == 0 || (preds.dim() > 2 && !matches!(self.of, Of::Explained { .. })) {
            let shape = preds.size();
            return Err(Error::failed(format!("predictions of shape {shape:?}; the metric takes (N) or (N, outputs)")));
        }
        let error = &target - preds;
        let sums = [
            over_samples(&target),
            over_samples(&target.square()),
            over_samples(&error),
            over_samples(&error.square()),
        ];
        for (name, sum) in SUMS.into_iter().zip(sums) {
            store.take(name, &sum);
        }
        store.take("total", &count(target.size()[0]).to_device(error.device()));
        Ok(())
    }

    fn compute(&self, store: &Store) -> Result<Value> {
        let [target, squared_target, error, squared_error] = SUMS.map(|name| store.get(name));
        let total = store.get("total").double_value(&[]);
        let mean = &target / total;
        let value = match self.of {
            Of::R2 { adjusted, multioutput } => {
                if total < 2.0 {
                    return Err(Error::failed(format!("R2 needs two samples or more, not {total}")));
                }
                let variance = &squared_target - &target * mean;
                let scores =
                    explained(&squared_error, &variance, &squared_error.gt(R2_ZERO), &variance.abs().gt(R2_ZERO));
                let r2 = multioutput.apply(&scores, &variance);
                let free = total - adjusted as f64 - 1.0;
                if adjusted > 0 && free > 0.0 { 1.0 - (1.0 - r2) * (total - 1.0) / free } else { r2 }
            }
            Of::Explained { multioutput } => {
                let part = |sum: &Tensor, squares: &Tensor| {
                    let (mean, square) = (sum / total, squares / total);
                    let variance = &square - mean.square();
                    let some = variance.abs().gt_tensor(&(square * ROUNDING));
                    (variance, some)
                };
                let ((left, some_left), (variance, some)) =
                    (part(&error, &squared_error), part(&target, &squared_target));
                multioutput.apply(&explained(&left, &variance, &some_left, &some), &variance)
            }
            Of::Relative { root } => {
                let variance = (&squared_target - &target * mean).clamp_min(f64::from(f32::EPSILON));
                let relative = squared_error / variance;
                if root { relative.sqrt() } else { relative }.mean(None::<Kind>)
            }
        };
        Ok(value.to_kind(Kind::Float).into())
    }

    fn higher_is_better(&self) -> Option<bool> {
        Some(!matches!(self.of, Of::Relative { .. }))
    }
}
