//! Correlation of ranks. Ranks are only known at the end: all values are kept.

use tch::{Kind, Tensor};

use super::{check_outputs, columns, one};
use crate::error::{Error, Result};
use crate::metrics::args::{Arguments, metrics};
use crate::metrics::store::{Definition, Store};
use crate::metrics::{Update, Value};
use crate::registry::{Check, Registry};

pub(super) fn register(registry: &mut Registry) {
    registry.add::<SpearmanCorrCoef>();
    registry.add::<KendallRankCorrCoef>();
}

/// How ties count in Kendall's tau.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Variant {
    /// Tied pairs are left out.
    A,
    /// Tied pairs count in the denominator, by side.
    #[default]
    B,
    /// For tables that are not square.
    C,
}

metrics! {
    /// Spearman's rank correlation coefficient of `(N)` or `(N, outputs)`; equal values share their mean rank.
    SpearmanCorrCoef ["torchmetrics.SpearmanCorrCoef", "torchmetrics.regression.SpearmanCorrCoef"] {
        /// How many outputs there are.
        #[serde(default = "one")]
        num_outputs: u64,
    }
    /// Kendall's rank correlation coefficient of `(N)` or `(N, outputs)`, without its significance test.
    KendallRankCorrCoef ["torchmetrics.KendallRankCorrCoef", "torchmetrics.regression.KendallRankCorrCoef"] {
        /// a, b or c: how ties count.
        #[serde(default)]
        variant: Variant,
        /// Only false: the test is not computed.
        #[serde(default)]
        t_test: bool,
        /// Of the test.
        #[serde(default)]
        #[allow(dead_code, reason = "accepted for configs of torchmetrics")]
        alternative: crate::registry::Ignored,
        /// How many outputs there are.
        #[serde(default = "one")]
        num_outputs: u64,
    }
}

/// Which coefficient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Spearman,
    Kendall(Variant),
}

/// All predictions and targets.
#[derive(Debug)]
pub struct Ranks {
    of: Of,
    outputs: u64,
}

impl Arguments for SpearmanCorrCoef {
    type Definition = Ranks;
    fn validate(&self, cx: &mut Check) {
        check_outputs(cx, self.num_outputs);
    }
    fn define(self) -> Ranks {
        Ranks { of: Of::Spearman, outputs: self.num_outputs }
    }
}

impl Arguments for KendallRankCorrCoef {
    type Definition = Ranks;
    fn validate(&self, cx: &mut Check) {
        check_outputs(cx, self.num_outputs);
        if self.t_test {
            cx.problem("t_test", "the significance test of Kendall's tau is not computed here");
        }
    }
    fn define(self) -> Ranks {
        Ranks { of: Of::Kendall(self.variant), outputs: self.num_outputs }
    }
}

/// Ranks from 1; equal values share the mean of theirs.
fn ranks(values: &Tensor) -> Tensor {
    let sorted = values.sort(0, false).0;
    let place = |side: &str| values.searchsorted(&sorted, false, side == "right", side, None::<&Tensor>);
    (place("left") + place("right") + 1).to_kind(Kind::Double) / 2.0
}

fn spearman(x: &Tensor, y: &Tensor) -> f64 {
    let centred = |values: &Tensor| {
        let ranks = ranks(values);
        &ranks - ranks.mean(None::<Kind>)
    };
    let (x, y) = (centred(x), centred(y));
    let mean = |product: Tensor| product.mean(None::<Kind>).double_value(&[]);
    let spread = mean(x.square()).sqrt() * mean(y.square()).sqrt();
    (mean(x * y) / (spread + 1e-6)).clamp(-1.0, 1.0)
}

/// -1, 0 or 1 as `a` is below, equal to or above `b`.
fn order(a: f64, b: f64) -> i64 {
    i64::from(a > b) - i64::from(a < b)
}

/// Kendall's tau over all pairs (Kendall, 1938; 1945).
fn kendall(x: &[f64], y: &[f64], variant: Variant) -> f64 {
    let n = x.len();
    let (mut agree, mut tied_x, mut tied_y, mut untied) = (0i64, 0i64, 0i64, 0i64);
    for i in 0..n {
        for j in i + 1..n {
            let (dx, dy) = (order(x[i], x[j]), order(y[i], y[j]));
            agree += dx * dy;
            untied += (dx * dy).abs();
            tied_x += i64::from(dx == 0);
            tied_y += i64::from(dy == 0);
        }
    }
    let pairs = (n * n.saturating_sub(1) / 2) as i64;
    let distinct = |values: &[f64]| {
        let mut values = values.to_vec();
        values.sort_by(f64::total_cmp);
        values.dedup();
        values.len()
    };
    let tau = match variant {
        Variant::A => agree as f64 / untied as f64,
        Variant::B => agree as f64 / (((pairs - tied_x) as f64) * ((pairs - tied_y) as f64)).sqrt(),
        Variant::C => {
            let classes = distinct(x).min(distinct(y)) as f64;
            2.0 * agree as f64 / ((classes - 1.0) / classes * (n * n) as f64)
        }
    };
    tau.clamp(-1.0, 1.0)
}

impl Definition for Ranks {
    fn store(&self) -> Store {
        Store::new().cat("preds").cat("target")
    }

    fn update(&self, store: &mut Store, update: &Update) -> Result<()> {
        let (preds, target) = update.pair()?;
        let (x, y) = columns(preds, target, self.outputs)?;
        store.take("preds", &x);
        store.take("target", &y);
        Ok(())
    }

    fn compute(&self, store: &Store) -> Result<Value> {
        let (x, y) = (store.get("preds"), store.get("target"));
        if x.dim() != 2 {
            return Err(Error::failed("a rank correlation needs samples, but there are none"));
        }
        let numbers = |column: Tensor| Vec::<f64>::try_from(column).unwrap_or_default();
        let each: Vec<f64> = (0..x.size()[1])
            .map(|k| match (self.of, x.select(1, k).contiguous(), y.select(1, k).contiguous()) {
                (Of::Spearman, x, y) => spearman(&x, &y),
                (Of::Kendall(variant), x, y) => kendall(&numbers(x), &numbers(y), variant),
            })
            .collect();
        Ok(Tensor::from_slice(&each).to_kind(Kind::Float).into())
    }

    fn higher_is_better(&self) -> Option<bool> {
        match self.of {
            Of::Spearman => Some(true),
            Of::Kendall(_) => None,
        }
    }
}
