//! Aggregation of values as they come: mean, sum, largest, smallest, all.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};
use tch::{Device, Kind, Tensor};

use super::args::{Arguments, metrics};
use super::store::{Definition, Store};
use super::{Update, Value};
use crate::error::{Error, Result};
use crate::registry::{Check, Registry};

pub(super) fn register(registry: &mut Registry) {
    registry.add::<MeanMetric>();
    registry.add::<SumMetric>();
    registry.add::<MaxMetric>();
    registry.add::<MinMetric>();
    registry.add::<CatMetric>();
    registry.add::<RunningMean>();
    registry.add::<RunningSum>();
}

/// What is done about a value that is not a number: `error`, `warn` (left out, said once), `ignore` (left out),
/// `disable` (taken in), or a number to put in its place.
#[derive(Clone, Copy, Debug, PartialEq)]
enum NanStrategy {
    Error,
    Warn,
    Ignore,
    Disable,
    Replace(f64),
}

impl<'de> Deserialize<'de> for NanStrategy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Take;
        impl Visitor<'_> for Take {
            type Value = NanStrategy;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("error, warn, ignore, disable or a number")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<NanStrategy, E> {
                match text {
                    "error" => Ok(NanStrategy::Error),
                    "warn" => Ok(NanStrategy::Warn),
                    "ignore" => Ok(NanStrategy::Ignore),
                    "disable" => Ok(NanStrategy::Disable),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }
            fn visit_f64<E: de::Error>(self, v: f64) -> Result<NanStrategy, E> {
                Ok(NanStrategy::Replace(v))
            }
            fn visit_i64<E: de::Error>(self, v: i64) -> Result<NanStrategy, E> {
                Ok(NanStrategy::Replace(v as f64))
            }
            fn visit_u64<E: de::Error>(self, v: u64) -> Result<NanStrategy, E> {
                Ok(NanStrategy::Replace(v as f64))
            }
        }
        deserializer.deserialize_any(Take)
    }
}

impl JsonSchema for NanStrategy {
    fn schema_name() -> Cow<'static, str> {
        "NanStrategy".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "enum": ["error", "warn", "ignore", "disable"] }, { "type": "number" }] })
    }
    fn inline_schema() -> bool {
        true
    }
}

fn warn() -> NanStrategy {
    NanStrategy::Warn
}
fn five() -> u64 {
    5
}

metrics! {
    /// The weighted mean of values, over all batches.
    MeanMetric ["torchmetrics.MeanMetric", "torchmetrics.aggregation.MeanMetric"] {
        /// What is done about a value that is not a number: error, warn, ignore, disable or a replacement.
        #[serde(default = "warn")]
        nan_strategy: NanStrategy,
    }
    /// The sum of values, over all batches.
    SumMetric ["torchmetrics.SumMetric", "torchmetrics.aggregation.SumMetric"] {
        /// What is done about a value that is not a number: error, warn, ignore, disable or a replacement.
        #[serde(default = "warn")]
        nan_strategy: NanStrategy,
    }
    /// The largest value of all batches.
    MaxMetric ["torchmetrics.MaxMetric", "torchmetrics.aggregation.MaxMetric"] {
        /// What is done about a value that is not a number: error, warn, ignore, disable or a replacement.
        #[serde(default = "warn")]
        nan_strategy: NanStrategy,
    }
    /// The smallest value of all batches.
    MinMetric ["torchmetrics.MinMetric", "torchmetrics.aggregation.MinMetric"] {
        /// What is done about a value that is not a number: error, warn, ignore, disable or a replacement.
        #[serde(default = "warn")]
        nan_strategy: NanStrategy,
    }
    /// All values, one after the other.
    CatMetric ["torchmetrics.CatMetric", "torchmetrics.aggregation.CatMetric"] {
        /// What is done about a value that is not a number: error, warn, ignore, disable or a replacement.
        #[serde(default = "warn")]
        nan_strategy: NanStrategy,
    }
    /// The weighted mean of the values of the last batches.
    RunningMean ["torchmetrics.RunningMean", "torchmetrics.aggregation.RunningMean"] {
        /// How many batches, 1 or more.
        #[serde(default = "five")]
        window: u64,
        /// What is done about a value that is not a number: error, warn, ignore, disable or a replacement.
        #[serde(default = "warn")]
        nan_strategy: NanStrategy,
    }
    /// The sum of the values of the last batches.
    RunningSum ["torchmetrics.RunningSum", "torchmetrics.aggregation.RunningSum"] {
        /// How many batches, 1 or more.
        #[serde(default = "five")]
        window: u64,
        /// What is done about a value that is not a number: error, warn, ignore, disable or a replacement.
        #[serde(default = "warn")]
        nan_strategy: NanStrategy,
    }
}

/// What becomes of the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fold {
    Mean,
    Sum,
    Max,
    Min,
    Cat,
}

/// An aggregation; with a window only over the last batches.
#[derive(Debug)]
pub struct Aggregation {
    fold: Fold,
    nan: NanStrategy,
    window: Option<usize>,
}

macro_rules! folds {
    ($($name:ident: $fold:ident),*) => {
        $(impl Arguments for $name {
            type Definition = Aggregation;
            fn define(self) -> Aggregation {
                Aggregation { fold: Fold::$fold, nan: self.nan_strategy, window: None }
            }
        })*
    };
}
folds!(MeanMetric: Mean, SumMetric: Sum, MaxMetric: Max, MinMetric: Min, CatMetric: Cat);

macro_rules! running {
    ($($name:ident: $fold:ident),*) => {
        $(impl Arguments for $name {
            type Definition = Aggregation;
            fn validate(&self, cx: &mut Check) {
                if self.window == 0 {
                    cx.problem("window", "the window is 1 batch or more");
                }
            }
            fn define(self) -> Aggregation {
                let window = Some(usize::try_from(self.window).unwrap_or(usize::MAX));
                Aggregation { fold: Fold::$fold, nan: self.nan_strategy, window }
            }
        })*
    };
}
running!(RunningMean: Mean, RunningSum: Sum);

/// Where the sums of a window's batches are kept: one row a batch.
const ROWS: &str = "batches";

impl Aggregation {
    /// Values and weights, with what is not a number replaced or made to count nothing; and where it was.
    fn clean(&self, value: &Tensor, weight: Option<&Tensor>) -> (Tensor, Tensor, Tensor) {
        let value = value.to_kind(Kind::Double);
        let weight = match weight {
            Some(weight) => weight.to_kind(Kind::Double).to_device(value.device()).expand_as(&value),
            None => value.ones_like(),
        };
        let nan = value.isnan().logical_or(&weight.isnan());
        let (value, weight) = match self.nan {
            NanStrategy::Disable => (value, weight),
            NanStrategy::Replace(v) => (value.masked_fill(&nan, v), weight.masked_fill(&nan, 1.0)),
            NanStrategy::Error | NanStrategy::Warn | NanStrategy::Ignore => {
                (value.masked_fill(&nan, 0.0), weight.masked_fill(&nan, 0.0))
            }
        };
        (value, weight, nan)
    }

    /// Whether values that are not numbers are left out.
    fn leaves_out(&self) -> bool {
        matches!(self.nan, NanStrategy::Error | NanStrategy::Warn | NanStrategy::Ignore)
    }

    /// Says what was met, once it is known without waiting.
    fn report(&self, count: &Tensor) -> Result<()> {
        match self.nan {
            NanStrategy::Error if count.int64_value(&[]) > 0 => {
                Err(Error::failed("a value to aggregate is not a number")
                    .help("set nan_strategy to leave such values out"))
            }
            NanStrategy::Warn => match count.int64_value(&[]) {
                0 => Ok(()),
                n => {
                    tracing::warn!("{n} of the values to aggregate are not numbers and are left out");
                    Ok(())
                }
            },
            _ => Ok(()),
        }
    }
}

impl Definition for Aggregation {
    fn store(&self) -> Store {
        let store = Store::new().sum("nans", &[], Kind::Int64);
        match (self.window, self.fold) {
            (Some(_), _) => store.cat(ROWS),
            (None, Fold::Mean) => store.sum("mean_value", &[], Kind::Double).sum("weight", &[], Kind::Double),
            (None, Fold::Sum) => store.sum("sum_value", &[], Kind::Double),
            (None, Fold::Max) => store.max("max_value", f64::NEG_INFINITY),
            (None, Fold::Min) => store.min("min_value", f64::INFINITY),
            (None, Fold::Cat) => store.cat("value"),
        }
    }

    fn update(&self, store: &mut Store, update: &Update) -> Result<()> {
        let (given, weight) = update.value()?;
        let (value, weight, nan) = self.clean(given, weight);
        let nans = nan.sum(Kind::Int64);
        if nans.device() == Device::Cpu && self.nan == NanStrategy::Error {
            self.report(&nans)?;
        }
        store.take("nans", &nans);
        if value.numel() == 0 {
            return Ok(());
        }
        let keep =
            |extreme: f64| if self.leaves_out() { value.masked_fill(&nan, extreme) } else { value.shallow_clone() };
        match (self.window, self.fold) {
            (Some(window), fold) => {
                let sum =
                    if fold == Fold::Mean { (&value * &weight).sum(Kind::Double) } else { value.sum(Kind::Double) };
                store.take(ROWS, &Tensor::stack(&[sum, weight.sum(Kind::Double)], 0).unsqueeze(0));
                store.keep_last(ROWS, window);
            }
            (None, Fold::Mean) => {
                store.take("mean_value", &(&value * &weight).sum(Kind::Double));
                store.take("weight", &weight.sum(Kind::Double));
            }
            (None, Fold::Sum) => store.take("sum_value", &value.sum(Kind::Double)),
            (None, Fold::Max) => store.take("max_value", &keep(f64::NEG_INFINITY).max()),
            (None, Fold::Min) => store.take("min_value", &keep(f64::INFINITY).min()),
            // Which values stay is decided at the end: here it would mean waiting for the device.
            (None, Fold::Cat) => {
                let all = if self.leaves_out() { given.to_kind(Kind::Float) } else { value.to_kind(Kind::Float) };
                store.take("value", &if all.dim() == 0 { all.unsqueeze(0) } else { all });
            }
        }
        Ok(())
    }

    fn compute(&self, store: &Store) -> Result<Value> {
        self.report(&store.get("nans"))?;
        let value = match (self.window, self.fold) {
            (Some(_), fold) => {
                let rows = store.get(ROWS).to_kind(Kind::Double).reshape([-1, 2]).sum_dim_intlist(
                    [0].as_slice(),
                    false,
                    Kind::Double,
                );
                if fold == Fold::Mean { rows.get(0) / rows.get(1) } else { rows.get(0) }
            }
            (None, Fold::Mean) => store.get("mean_value") / store.get("weight"),
            (None, Fold::Sum) => store.get("sum_value"),
            (None, Fold::Max) => store.get("max_value"),
            (None, Fold::Min) => store.get("min_value"),
            (None, Fold::Cat) => {
                let all = store.get("value");
                if self.leaves_out() && all.dim() == 1 { all.masked_select(&all.isnan().logical_not()) } else { all }
            }
        };
        Ok(value.to_kind(Kind::Float).into())
    }

    fn higher_is_better(&self) -> Option<bool> {
        None
    }
}
