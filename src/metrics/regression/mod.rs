//! Metrics of values against values.

mod correlation;
mod errors;
mod rank;
mod variance;

use serde::Deserialize;
use tch::{Kind, Tensor};

use crate::error::{Error, Result};
use crate::registry::{Check, Registry};

pub(super) fn register(registry: &mut Registry) {
    errors::register(registry);
    variance::register(registry);
    correlation::register(registry);
    rank::register(registry);
}

/// How the values of several outputs become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Multioutput {
    /// One value per output.
    RawValues,
    /// Their mean.
    #[default]
    UniformAverage,
    /// Their mean, weighted by the variance of the targets.
    VarianceWeighted,
}

impl Multioutput {
    fn apply(self, scores: &Tensor, variance: &Tensor) -> Tensor {
        match self {
            Multioutput::RawValues => scores.shallow_clone(),
            Multioutput::UniformAverage => scores.mean(None::<Kind>),
            Multioutput::VarianceWeighted => (variance / variance.sum(None::<Kind>) * scores).sum(None::<Kind>),
        }
    }
}

fn one() -> u64 {
    1
}

fn check_outputs(cx: &mut Check, outputs: u64) {
    if outputs == 0 {
        cx.problem("num_outputs", "there is 1 output or more");
    }
}

/// Both in double precision, of one shape.
fn doubles(preds: &Tensor, target: &Tensor) -> Result<(Tensor, Tensor)> {
    crate::metrics::inputs::same_shape(preds, target)?;
    Ok((preds.to_kind(Kind::Double), target.to_kind(Kind::Double)))
}

/// As `[N, outputs]`.
fn columns(preds: &Tensor, target: &Tensor, outputs: u64) -> Result<(Tensor, Tensor)> {
    let (preds, target) = doubles(preds, target)?;
    let outputs = outputs as i64;
    match preds.size()[..] {
        [_] if outputs == 1 => Ok((preds.unsqueeze(1), target.unsqueeze(1))),
        [_, n] if n == outputs => Ok((preds, target)),
        _ => Err(Error::failed(format!(
            "predictions of shape {:?}; with num_outputs {outputs} the metric takes (N, {outputs}){}",
            preds.size(),
            if outputs == 1 { " or (N)" } else { "" }
        ))),
    }
}

/// The sum over the first dimension.
fn over_samples(tensor: &Tensor) -> Tensor {
    tensor.sum_dim_intlist([0].as_slice(), false, None::<Kind>)
}

fn count(n: i64) -> Tensor {
    Tensor::from(n)
}
