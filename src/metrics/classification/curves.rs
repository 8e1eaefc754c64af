//! Areas under the receiver operating characteristic and the precision-recall curve.
//!
//! Without `thresholds` every distinct score is one: all predictions are kept. With them only counts per threshold
//! are.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};
use tch::{Device, Kind, Tensor};

use super::confusion::binary_truth;
use super::{Average, divide};
use crate::error::{Error, Result};
use crate::metrics::inputs::{
    Normalize, count, has_scores, label_dimension, not_a_class, not_binary, probabilities, same_shape,
};
use crate::metrics::store::{Definition, Store};
use crate::metrics::{Update, Value};

/// Where a curve is sampled: at so many places from 0 to 1, or at given ones.
#[derive(Clone, Debug, PartialEq)]
pub enum Thresholds {
    /// This many, evenly spaced, 0 and 1 among them.
    Count(u64),
    /// These.
    At(Vec<f64>),
}

impl<'de> Deserialize<'de> for Thresholds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Take;
        impl<'de> Visitor<'de> for Take {
            type Value = Thresholds;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number, 2 or above, or a list of numbers from 0 to 1")
            }
            fn visit_u64<E: de::Error>(self, n: u64) -> Result<Thresholds, E> {
                if n >= 2 {
                    Ok(Thresholds::Count(n))
                } else {
                    Err(E::invalid_value(de::Unexpected::Unsigned(n), &self))
                }
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Thresholds, A::Error> {
                let mut values = Vec::new();
                while let Some(value) = seq.next_element::<crate::registry::Fraction>()? {
                    values.push(value.0);
                }
                Ok(Thresholds::At(values))
            }
        }
        deserializer.deserialize_any(Take)
    }
}

impl JsonSchema for Thresholds {
    fn schema_name() -> Cow<'static, str> {
        "Thresholds".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "integer", "minimum": 2 },
            { "type": "array", "items": { "type": "number", "minimum": 0, "maximum": 1 } }] })
    }
    fn inline_schema() -> bool {
        true
    }
}

impl Thresholds {
    fn tensor(&self, device: Device) -> Tensor {
        match self {
            Thresholds::Count(n) => Tensor::linspace(0.0, 1.0, *n as i64, (Kind::Float, device)),
            Thresholds::At(values) => Tensor::from_slice(values).to_kind(Kind::Float).to_device(device),
        }
    }

    fn len(&self) -> i64 {
        match self {
            Thresholds::Count(n) => *n as i64,
            Thresholds::At(values) => values.len() as i64,
        }
    }
}

/// Which area.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Area {
    /// Under the receiver operating characteristic; of a binary task up to `max_fpr`, standardized (McClish, 1989).
    Roc { max_fpr: Option<f64> },
    /// Under the precision-recall curve, as steps.
    PrecisionRecall,
}

/// What is scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scored {
    /// One question.
    Binary,
    /// So many classes that exclude each other.
    Classes(i64),
    /// So many questions.
    Labels(i64),
}

/// Scores with their targets, or counts of them per threshold, and an area.
#[derive(Debug)]
pub struct Curves {
    pub(super) scored: Scored,
    pub(super) area: Area,
    pub(super) average: Average,
    pub(super) thresholds: Option<Thresholds>,
    pub(super) ignore_index: Option<i64>,
}

/// The target that marks what is ignored in the kept state.
const IGNORED: i64 = -1;

impl Curves {
    /// How many curves.
    fn width(&self) -> i64 {
        match self.scored {
            Scored::Binary => 1,
            Scored::Classes(n) | Scored::Labels(n) => n,
        }
    }

    /// Probabilities `[M, K]`; targets `[M, K]` of 0 and 1 (of classes `[M]`) or [`IGNORED`].
    fn flat(&self, store: &mut Store, preds: &Tensor, target: &Tensor) -> Result<(Tensor, Tensor)> {
        if !preds.is_floating_point() {
            return Err(Error::failed("the area under a curve needs scores, but the predictions are whole numbers"));
        }
        let Scored::Classes(classes) = self.scored else {
            same_shape(preds, target)?;
            let labels = self.scored != Scored::Binary;
            if labels {
                label_dimension(preds, self.width())?;
            }
            let (positive, valid) = binary_truth(store, target, self.ignore_index)?;
            // Of a binary task what is ignored has no say in whether these are probabilities.
            let preds = probabilities(preds, Normalize::Sigmoid, (!labels).then_some(&valid));
            let target = positive.to_kind(Kind::Int64).masked_fill(&valid.logical_not(), IGNORED);
            let rows = |t: &Tensor| if labels { rows(t) } else { t.reshape([-1, 1]) };
            return Ok((rows(&preds), rows(&target)));
        };
        if !has_scores(preds, target, Some(classes))? {
            return Err(Error::failed(
                "the area under the curves of classes needs scores (N, C, ...) against (N, ...)",
            ));
        }
        let target = target.to_kind(Kind::Int64);
        let mut valid = match self.ignore_index {
            Some(ignore) => target.ne(ignore),
            None => target.ones_like().to_kind(Kind::Bool),
        };
        let bad = target.lt(0).logical_or(&target.ge(classes)).logical_and(&valid);
        store.fault(&target, &bad, |value| not_a_class(value, classes))?;
        valid = valid.logical_and(&bad.logical_not());
        let preds = probabilities(preds, Normalize::Softmax, Some(&valid.unsqueeze(1)));
        Ok((rows(&preds), target.masked_fill(&valid.logical_not(), IGNORED).flatten(0, -1)))
    }

    /// Counts per threshold and curve: true positives and false positives `[T, K]`, positives and negatives `[K]`.
    fn binned(&self, preds: &Tensor, target: &Tensor, thresholds: &Thresholds) -> [Tensor; 4] {
        let (positive, negative) = match self.scored {
            Scored::Classes(classes) => {
                let number = Tensor::arange(classes, (Kind::Int64, target.device()));
                let own = target.unsqueeze(1).eq_tensor(&number);
                let other = own.logical_not().logical_and(&target.ne(IGNORED).unsqueeze(1));
                (own, other)
            }
            _ => (target.eq(1), target.eq(0)),
        };
        let (sorted, order) = thresholds.tensor(preds.device()).sort(0, false);
        // How many thresholds a score reaches; whoever reaches more than j reaches the j-th.
        let reached = preds.to_kind(Kind::Float).transpose(0, 1).contiguous().bucketize(&sorted, false, true);
        let back = order.argsort(0, false);
        let at_least = |mask: &Tensor| {
            let counts = count(&reached, &mask.transpose(0, 1), thresholds.len() + 1);
            let above = counts.flip([1]).cumsum(1, None::<Kind>).flip([1]).narrow(1, 1, thresholds.len());
            above.transpose(0, 1).index_select(0, &back)
        };
        let total = |mask: &Tensor| mask.sum_dim_intlist([0].as_slice(), false, Kind::Int64);
        [at_least(&positive), at_least(&negative), total(&positive), total(&negative)]
    }

    /// The area of one curve from kept scores: `positive` and `negative` say what each is.
    fn exact(&self, preds: &Tensor, target: &Tensor, class: i64) -> Result<f64> {
        let kept = target.ne(IGNORED);
        let (preds, target) = (preds.masked_select(&kept), target.masked_select(&kept));
        if preds.numel() == 0 {
            return Err(Error::failed("the area under a curve needs one prediction or more"));
        }
        let (fps, tps) = ranked(&preds, &target.eq(class));
        Ok(match self.area {
            Area::Roc { max_fpr } => {
                let rate = |counts: &Tensor| {
                    let all = counts.double_value(&[-1]);
                    let rates = if all > 0.0 { counts / all } else { counts.zeros_like() };
                    Tensor::cat(&[rates.narrow(0, 0, 1).zeros_like(), rates], 0)
                };
                partial(&rate(&fps), &rate(&tps), max_fpr)
            }
            Area::PrecisionRecall => {
                let precision = &tps / (&tps + &fps);
                // torchmetrics asks whether all targets are 0, also for other classes than 1.
                let nothing = target.eq(0).all().int64_value(&[]) != 0;
                let all = tps.double_value(&[-1]);
                let recall = if nothing { tps.ones_like() } else { tps / all };
                let before =
                    Tensor::cat(&[recall.narrow(0, 0, 1).zeros_like(), recall.narrow(0, 0, recall.size()[0] - 1)], 0);
                let area = ((recall - before) * precision).sum(None::<Kind>).double_value(&[]);
                if area.is_nan() && self.scored == Scored::Binary { 0.0 } else { area }
            }
        })
    }

    /// The areas of curves from counts `[T, K]`.
    fn sampled(&self, [tp, fp, positives, negatives]: &[Tensor; 4]) -> Tensor {
        match self.area {
            Area::Roc { max_fpr } => {
                let rate = |counts: &Tensor, all: &Tensor| divide(counts, &all.expand_as(counts), 0.0).flip([0]);
                let (fpr, tpr) = (rate(fp, negatives), rate(tp, positives));
                let areas: Vec<f64> =
                    (0..fpr.size()[1]).map(|k| partial(&fpr.select(1, k), &tpr.select(1, k), max_fpr)).collect();
                Tensor::from_slice(&areas)
            }
            Area::PrecisionRecall => {
                let precision = divide(tp, &(tp + fp), 0.0);
                let recall = divide(tp, &positives.expand_as(tp), 0.0);
                let after =
                    Tensor::cat(&[recall.narrow(0, 1, recall.size()[0] - 1), recall.narrow(0, 0, 1).zeros_like()], 0);
                ((recall - after) * precision).sum_dim_intlist([0].as_slice(), false, None::<Kind>)
            }
        }
    }

    /// One value of the curves' areas; an area that is not a number is left out of the mean.
    fn averaged(&self, areas: &Tensor, support: &Tensor) -> Tensor {
        if self.scored == Scored::Binary {
            return areas.get(0);
        }
        let known = areas.isnan().logical_not();
        let (some, weights) = (areas.masked_select(&known), support.to_device(areas.device()).masked_select(&known));
        match self.average {
            Average::None | Average::Micro => areas.shallow_clone(),
            Average::Macro => some.mean(None::<Kind>),
            Average::Weighted => (some * divide(&weights, &weights.sum(None::<Kind>), 0.0)).sum(None::<Kind>),
        }
    }

    fn of_kept(&self, store: &Store) -> Result<Tensor> {
        let (preds, target) = (store.get("preds"), store.get("target"));
        let micro = self.average == Average::Micro && matches!(self.scored, Scored::Labels(_));
        if micro || self.scored == Scored::Binary {
            return Ok(Tensor::from(self.exact(&preds.flatten(0, -1), &target.flatten(0, -1), 1)?));
        }
        let width = self.width();
        let preds = preds.reshape([-1, width]);
        let mut areas = Vec::new();
        let mut support = Vec::new();
        for k in 0..width {
            let (target, class) = match self.scored {
                Scored::Classes(_) => (target.shallow_clone(), k),
                _ => (target.reshape([-1, width]).select(1, k), 1),
            };
            areas.push(self.exact(&preds.select(1, k), &target, class)?);
            support.push(target.eq(class).sum(Kind::Double).double_value(&[]));
        }
        Ok(self.averaged(&Tensor::from_slice(&areas), &Tensor::from_slice(&support)))
    }

    fn of_counts(&self, store: &Store) -> Tensor {
        let counts = COUNTS.map(|name| store.double(name));
        if self.average == Average::Micro && matches!(self.scored, Scored::Labels(_)) {
            let together = counts.map(|count| count.sum_dim_intlist([-1].as_slice(), true, None::<Kind>));
            return self.sampled(&together).get(0);
        }
        self.averaged(&self.sampled(&counts), &counts[2])
    }
}

/// `[N, K, ...]` as `[M, K]`.
fn rows(tensor: &Tensor) -> Tensor {
    let width = tensor.size()[1];
    tensor.movedim_int(1, -1).reshape([-1, width])
}

/// False and true positives when everything down to each distinct score is called positive, best score first.
fn ranked(preds: &Tensor, positive: &Tensor) -> (Tensor, Tensor) {
    let order = preds.argsort(0, true);
    let (preds, positive) = (preds.index_select(0, &order), positive.index_select(0, &order));
    let last = preds.size()[0] - 1;
    let changes = preds.narrow(0, 1, last).ne_tensor(&preds.narrow(0, 0, last)).nonzero().squeeze_dim(1);
    let at = Tensor::cat(&[changes, Tensor::from_slice(&[last]).to_device(preds.device())], 0);
    let tps = positive.to_kind(Kind::Double).cumsum(0, None::<Kind>).index_select(0, &at);
    (at.to_kind(Kind::Double) + 1.0 - &tps, tps)
}

/// The area under a curve by trapezoids; up to `max_fpr` scaled so that chance is 0.5 and perfection 1.
fn partial(fpr: &Tensor, tpr: &Tensor, max_fpr: Option<f64>) -> f64 {
    let values = |t: &Tensor| Vec::<f64>::try_from(t.to_kind(Kind::Double)).unwrap_or_default();
    let (mut x, mut y) = (values(fpr), values(tpr));
    let flat = x.iter().sum::<f64>() == 0.0 || y.iter().sum::<f64>() == 0.0;
    let limit = max_fpr.filter(|limit| *limit < 1.0 && !flat);
    if let Some(limit) = limit {
        let stop = x.iter().take_while(|fpr| **fpr <= limit).count();
        if (1..x.len()).contains(&stop) {
            let weight = (limit - x[stop - 1]) / (x[stop] - x[stop - 1]);
            let edge = y[stop - 1] + weight * (y[stop] - y[stop - 1]);
            x.truncate(stop);
            y.truncate(stop);
            x.push(limit);
            y.push(edge);
        }
    }
    let area: f64 = x.windows(2).zip(y.windows(2)).map(|(x, y)| (x[1] - x[0]) * (y[0] + y[1]) / 2.0).sum();
    limit.map_or(area, |limit| {
        let chance = 0.5 * limit * limit;
        0.5 * (1.0 + (area - chance) / (limit - chance))
    })
}

const COUNTS: [&str; 4] = ["tp", "fp", "positive", "negative"];

impl Definition for Curves {
    fn store(&self) -> Store {
        let store = Store::new().faults();
        let Some(thresholds) = &self.thresholds else { return store.cat("preds").cat("target") };
        let (many, width) = ([thresholds.len(), self.width()], [self.width()]);
        let shapes: [&[i64]; 4] = [&many, &many, &width, &width];
        COUNTS.into_iter().zip(shapes).fold(store, |store, (name, shape)| store.sum(name, shape, Kind::Int64))
    }

    fn update(&self, store: &mut Store, update: &Update) -> Result<()> {
        let (preds, target) = update.pair()?;
        let (preds, target) = self.flat(store, preds, target)?;
        match &self.thresholds {
            None => {
                store.take("preds", &preds);
                store.take("target", &target);
            }
            Some(thresholds) => {
                for (name, counts) in COUNTS.into_iter().zip(self.binned(&preds, &target, thresholds)) {
                    store.take(name, &counts);
                }
            }
        }
        Ok(())
    }

    fn compute(&self, store: &Store) -> Result<Value> {
        store.sound(|value| match self.scored {
            Scored::Classes(classes) => not_a_class(value, classes),
            _ => not_binary(value),
        })?;
        let value = if self.thresholds.is_some() { self.of_counts(store) } else { self.of_kept(store)? };
        Ok(value.to_kind(Kind::Float).into())
    }

    fn higher_is_better(&self) -> Option<bool> {
        Some(true)
    }
}
