//! Means of errors.

use tch::{Kind, Tensor};

use super::{check_outputs, columns, count, doubles, one, over_samples};
use crate::error::Result;
use crate::metrics::args::{Arguments, metrics};
use crate::metrics::store::{Definition, Store};
use crate::metrics::{Update, Value};
use crate::registry::{Check, Registry};

pub(super) fn register(registry: &mut Registry) {
    registry.add::<MeanSquaredError>();
    registry.add::<MeanAbsoluteError>();
    registry.add::<MeanAbsolutePercentageError>();
    registry.add::<SymmetricMeanAbsolutePercentageError>();
    registry.add::<WeightedMeanAbsolutePercentageError>();
    registry.add::<MeanSquaredLogError>();
    registry.add::<LogCoshError>();
    registry.add::<MinkowskiDistance>();
}

fn yes() -> bool {
    true
}

metrics! {
    /// The mean squared error, or its root.
    MeanSquaredError ["torchmetrics.MeanSquaredError", "torchmetrics.regression.MeanSquaredError"] {
        /// false takes the root.
        #[serde(default = "yes")]
        squared: bool,
        /// How many outputs are kept apart; 1 puts everything together.
        #[serde(default = "one")]
        num_outputs: u64,
    }
    /// The mean absolute error.
    MeanAbsoluteError ["torchmetrics.MeanAbsoluteError", "torchmetrics.regression.MeanAbsoluteError"] {
        /// How many outputs are kept apart; 1 puts everything together.
        #[serde(default = "one")]
        num_outputs: u64,
    }
    /// The mean of the absolute error over the absolute target (at least 1.17e-6).
    MeanAbsolutePercentageError [
        "torchmetrics.MeanAbsolutePercentageError", "torchmetrics.regression.MeanAbsolutePercentageError",
    ] {}
    /// The mean of twice the absolute error over the sum of both absolute values (at least 1.17e-6).
    SymmetricMeanAbsolutePercentageError [
        "torchmetrics.SymmetricMeanAbsolutePercentageError",
        "torchmetrics.regression.SymmetricMeanAbsolutePercentageError",
    ] {}
    /// The summed absolute error over the summed absolute targets (at least 1.17e-6).
    WeightedMeanAbsolutePercentageError [
        "torchmetrics.WeightedMeanAbsolutePercentageError",
        "torchmetrics.regression.WeightedMeanAbsolutePercentageError",
    ] {}
    /// The mean squared difference of `log(1 + x)`.
    MeanSquaredLogError ["torchmetrics.MeanSquaredLogError", "torchmetrics.regression.MeanSquaredLogError"] {}
    /// The mean of `log(cosh(error))`.
    LogCoshError ["torchmetrics.LogCoshError", "torchmetrics.regression.LogCoshError"] {
        /// How many outputs are kept apart.
        #[serde(default = "one")]
        num_outputs: u64,
    }
    /// Minkowski's distance of all predictions from all targets.
    MinkowskiDistance ["torchmetrics.MinkowskiDistance", "torchmetrics.regression.MinkowskiDistance"] {
        /// The norm's degree, 1 or above.
        p: f64,
    }
}

/// Which error.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Of {
    Squared { root: bool },
    Absolute,
    Percentage,
    Symmetric,
    Weighted,
    Log,
    LogCosh,
    Minkowski(f64),
}

/// Summed errors over what they are divided by.
#[derive(Debug)]
pub struct Errors {
    of: Of,
    outputs: u64,
}

macro_rules! simple {
    ($($name:ident: $of:ident),*) => {
        $(impl Arguments for $name {
            type Definition = Errors;
            fn define(self) -> Errors {
                Errors { of: Of::$of, outputs: 1 }
            }
        })*
    };
}
simple!(
    MeanAbsolutePercentageError: Percentage,
    SymmetricMeanAbsolutePercentageError: Symmetric,
    WeightedMeanAbsolutePercentageError: Weighted,
    MeanSquaredLogError: Log
);

impl Arguments for MeanSquaredError {
    type Definition = Errors;
    fn validate(&self, cx: &mut Check) {
        check_outputs(cx, self.num_outputs);
    }
    fn define(self) -> Errors {
        Errors { of: Of::Squared { root: !self.squared }, outputs: self.num_outputs }
    }
}

impl Arguments for MeanAbsoluteError {
    type Definition = Errors;
    fn validate(&self, cx: &mut Check) {
        check_outputs(cx, self.num_outputs);
    }
    fn define(self) -> Errors {
        Errors { of: Of::Absolute, outputs: self.num_outputs }
    }
}

impl Arguments for LogCoshError {
    type Definition = Errors;
    fn validate(&self, cx: &mut Check) {
        check_outputs(cx, self.num_outputs);
    }
    fn define(self) -> Errors {
        Errors { of: Of::LogCosh, outputs: self.num_outputs }
    }
}

impl Arguments for MinkowskiDistance {
    type Definition = Errors;
    fn validate(&self, cx: &mut Check) {
        if self.p.is_nan() || self.p < 1.0 {
            cx.problem("p", "the norm's degree is 1 or above");
        }
    }
    fn define(self) -> Errors {
        Errors { of: Of::Minkowski(self.p), outputs: 1 }
    }
}

/// Keeps percentages finite; torchmetrics' value.
const LEAST: f64 = 1.17e-6;

impl Errors {
    /// The errors, and what their sum is divided by.
    fn terms(&self, preds: &Tensor, target: &Tensor) -> (Tensor, Tensor) {
        let off = preds - target;
        let errors = match self.of {
            Of::Squared { .. } => off.square(),
            Of::Absolute | Of::Weighted => off.abs(),
            Of::Percentage => off.abs() / target.abs().clamp_min(LEAST),
            Of::Symmetric => off.abs() * 2.0 / (target.abs() + preds.abs()).clamp_min(LEAST),
            Of::Log => (preds.log1p() - target.log1p()).square(),
            // log(cosh x) without overflow: |x| + log(1 + exp(-2 |x|)) - log 2.
            Of::LogCosh => off.abs() + (off.abs() * -2.0).exp().log1p() - 2f64.ln(),
            Of::Minkowski(p) => off.abs().pow_tensor_scalar(p),
        };
        let divisor = match self.of {
            Of::Weighted => over_samples(&target.abs()).sum(None::<Kind>),
            Of::Minkowski(_) => count(0),
            _ => count(target.size()[0]),
        };
        (over_samples(&errors), divisor)
    }
}

impl Definition for Errors {
    fn store(&self) -> Store {
        Store::new().sum("error", &[self.outputs as i64], Kind::Double).sum("total", &[], Kind::Double)
    }

    fn update(&self, store: &mut Store, update: &Update) -> Result<()> {
        let (preds, target) = update.pair()?;
        let (preds, target) = if self.outputs == 1 {
            let (preds, target) = doubles(preds, target)?;
            (preds.reshape([-1, 1]), target.reshape([-1, 1]))
        } else {
            columns(preds, target, self.outputs)?
        };
        let (errors, divisor) = self.terms(&preds, &target);
        store.take("error", &errors);
        store.take("total", &divisor.to_device(errors.device()));
        Ok(())
    }

    fn compute(&self, store: &Store) -> Result<Value> {
        let (error, total) = (store.get("error"), store.get("total"));
        let value = match self.of {
            Of::Squared { root: true } => (error / total).sqrt(),
            Of::Weighted => error / total.clamp_min(LEAST),
            Of::Minkowski(p) => error.pow_tensor_scalar(1.0 / p),
            _ => error / total,
        };
        Ok(value.to_kind(Kind::Float).into())
    }

    fn higher_is_better(&self) -> Option<bool> {
        Some(false)
    }
}
